// What is done to a settled page before it is read: presses and scrolling. Runs in the isolated world, after
// text.js. Open shadow roots and same-origin frames belong to the page, as they do when it is read.
Object.assign(dom, {
  scrolling: native(Document.prototype, "scrollingElement"),
  view: native(Document.prototype, "defaultView"),
  scrollHeight: native(Element.prototype, "scrollHeight"),
  clientHeight: native(Element.prototype, "clientHeight"),
  clientWidth: native(Element.prototype, "clientWidth"),
  scrollTop: native(Element.prototype, "scrollTop"),
  scroll: native(Element.prototype, "scrollTo"),
  reveal: native(Element.prototype, "scrollIntoView"),
  box: native(Element.prototype, "getBoundingClientRect"),
  matches: native(Element.prototype, "matches"),
  focus: native(HTMLElement.prototype, "focus"),
  click: native(HTMLElement.prototype, "click"),
});
function roots() {
  const found = [document];
  for (let at = 0; at < found.length; at += 1) {
    for (const element of allOf(found[at], "*")) {
      const shadow = dom.shadow(element);
      if (shadow) found.push(shadow);
      const name = dom.name(element);
      const inner = name === "iframe" || name === "frame" || name === "object" ? documentOf(element) : null;
      if (inner) found.push(inner);
    }
  }
  return found;
}

// What grows when something new has come: elements, and the height that they take.
function extent() {
  const elements = roots().reduce((sum, root) => sum + allOf(root, "*").length, 0);
  const box = scroller();
  return { elements, height: box ? dom.scrollHeight(box) : 0 };
}

function shows(element) {
  const { width, height } = dom.box(element);
  const isLarge = width > 0 && height > 0;
  return isLarge && !dom.matches(element, ":disabled") && dom.visible(element, { visibilityProperty: true });
}

// Presses the first visible element that matches, as a hand would as far as scripts can tell; whether there was one.
function press(selector) {
  for (const root of roots()) {
    const target = [...allOf(root, selector)].find(shows);
    if (!target) continue;
    memory.touch?.(true);
    dom.reveal(target, { block: "center", behavior: "instant" });
    const { left, top, width, height } = dom.box(target);
    const view = dom.view(dom.owner(target));
    const where = { clientX: left + width / 2, clientY: top + height / 2 };
    const what = { bubbles: true, cancelable: true, composed: true, view, button: 0, ...where };
    const pointer = { ...what, pointerId: 1, pointerType: "mouse", isPrimary: true };
    const isHtml = dom.namespace(target) === HTML;
    dom.dispatch(target, new PointerEvent("pointerdown", { ...pointer, buttons: 1 }));
    dom.dispatch(target, new MouseEvent("mousedown", { ...what, buttons: 1 }));
    if (isHtml) dom.focus(target, { preventScroll: true });
    else target.focus?.({ preventScroll: true });
    dom.dispatch(target, new PointerEvent("pointerup", pointer));
    dom.dispatch(target, new MouseEvent("mouseup", what));
    // Not an event of ours: only this makes links, buttons and boxes do what they do.
    if (isHtml) dom.click(target);
    else dom.dispatch(target, new MouseEvent("click", what));
    return true;
  }
  return false;
}

// The element that scrolls: the document, or the largest box of a page that scrolls inside itself; null without any.
function scroller() {
  const whole = dom.scrolling(document) ?? dom.root(document);
  if (!whole || dom.scrollHeight(whole) > dom.clientHeight(whole) + 1) return whole;
  let best = whole;
  let most = (innerWidth * innerHeight) / 4;
  for (const element of dom.findAll(document, "body *")) {
    const area = dom.clientWidth(element) * dom.clientHeight(element);
    if (area <= most || dom.scrollHeight(element) <= dom.clientHeight(element) + 1) continue;
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
  if (!box) return 0;
  const seen = dom.clientHeight(box) || innerHeight;
  dom.scroll(box, { top: all ? goal : dom.scrollTop(box) + seen * 0.9, behavior: "instant" });
  return goal - dom.scrollTop(box) - seen;
}

function backToTop() {
  const box = scroller();
  if (box) dom.scroll(box, { top: 0, behavior: "instant" });
}

// Two frames: what the first one shows, observers see in the second.
function passed() {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  return Promise.race([frame().then(frame).then(() => true), new Promise((resolve) => setTimeout(resolve, 250, true))]);
}
