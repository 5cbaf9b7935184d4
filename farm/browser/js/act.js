// What is done to a settled page before it is read: presses and scrolling. Runs in the isolated world, after
// settle.js. Open shadow roots and same-origin frames belong to the page, as they do when it is read.
function roots() {
  const found = [document];
  for (let at = 0; at < found.length; at += 1) {
    for (const element of found[at].querySelectorAll("*")) {
      const shadow = dom.shadow(element);
      if (shadow) found.push(shadow);
      if (element.localName !== "iframe" && element.localName !== "frame") continue;
      try {
        if (element.contentDocument?.documentElement) found.push(element.contentDocument);
      } catch {
        // Another origin's frame: it is a page of its own.
      }
    }
  }
  return found;
}

// What grows when something new has come: elements, and the height that they take.
function extent() {
  const elements = roots().reduce((sum, root) => sum + root.querySelectorAll("*").length, 0);
  return { elements, height: scroller().scrollHeight };
}

function shows(element) {
  const { width, height } = element.getBoundingClientRect();
  return width > 0 && height > 0 && !element.disabled && element.checkVisibility({ visibilityProperty: true });
}

// Presses the first visible element that matches, as a hand would as far as scripts can tell; whether there was one.
function press(selector) {
  for (const root of roots()) {
    const target = [...root.querySelectorAll(selector)].find(shows);
    if (!target) continue;
    memory.touch?.(true);
    target.scrollIntoView({ block: "center", behavior: "instant" });
    const { left, top, width, height } = target.getBoundingClientRect();
    const view = target.ownerDocument.defaultView;
    const where = { clientX: left + width / 2, clientY: top + height / 2 };
    const what = { bubbles: true, cancelable: true, composed: true, view, button: 0, ...where };
    const pointer = { ...what, pointerId: 1, pointerType: "mouse", isPrimary: true };
    target.dispatchEvent(new PointerEvent("pointerdown", { ...pointer, buttons: 1 }));
    target.dispatchEvent(new MouseEvent("mousedown", { ...what, buttons: 1 }));
    target.focus?.({ preventScroll: true });
    target.dispatchEvent(new PointerEvent("pointerup", pointer));
    target.dispatchEvent(new MouseEvent("mouseup", what));
    // Not an event of ours: only this makes links, buttons and boxes do what they do.
    if (target.click) target.click();
    else target.dispatchEvent(new MouseEvent("click", what));
    return true;
  }
  return false;
}

// The element that scrolls: the document, or the largest box of a page that scrolls inside itself.
function scroller() {
  const whole = document.scrollingElement ?? document.documentElement;
  if (whole.scrollHeight > whole.clientHeight + 1) return whole;
  let best = whole;
  let most = (innerWidth * innerHeight) / 4;
  for (const element of document.querySelectorAll("body *")) {
    const area = element.clientWidth * element.clientHeight;
    if (area <= most || element.scrollHeight <= element.clientHeight + 1) continue;
    if (!/auto|scroll/.test(getComputedStyle(element).overflowY)) continue;
    most = area;
    best = element;
  }
  return best;
}

// One step down, or all the way; returns how far it is from the step's end to `goal`, the height to get to.
function step(goal, all) {
  memory.touch?.(true);
  const box = scroller();
  const seen = box.clientHeight || innerHeight;
  box.scrollTo({ top: all ? goal : box.scrollTop + seen * 0.9, behavior: "instant" });
  return goal - box.scrollTop - seen;
}

function backToTop() {
  scroller().scrollTo({ top: 0, behavior: "instant" });
}

// Two frames: what the first one shows, observers see in the second.
function passed() {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  return Promise.race([frame().then(frame).then(() => true), new Promise((resolve) => setTimeout(resolve, 250, true))]);
}
