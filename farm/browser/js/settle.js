// Resolves when the page has settled, at the cap with what is missing, when it needs a frame (`frame: true`) that the
// caller asks the browser for, or when the page is on its way to another document (`leaving: true`). In the last two
// cases the caller asks again. With no time left it answers at once, without waiting for anything. Runs in the
// isolated world.
//
// Settled: the documents are parsed and loaded, nothing that the page announced is pending (hook.js counts), and
// the DOM has been quiet for a while. `wait` replaces the rule where the user knows better. Frames of the same
// origin belong to the page.

const dom = {
  readyState: native(Document.prototype, "readyState"),
  getAnimations: native(Document.prototype, "getAnimations"),
  find: native(Document.prototype, "querySelector"),
  findAll: native(Document.prototype, "querySelectorAll"),
  listen: native(EventTarget.prototype, "addEventListener"),
  forget: native(EventTarget.prototype, "removeEventListener"),
  dispatch: native(EventTarget.prototype, "dispatchEvent"),
  childNodes: native(Node.prototype, "childNodes"),
};

const memory = {
  begun: performance.now(),
  changed: performance.now(),
  stirred: 0,
  framedAt: 0,
  mutated: true,
  moving: false,
  leaving: false,
  seen: new WeakSet(),
  churn: new WeakMap(),
  started: new WeakSet(),
  styles: null,
  sheets: 0,
  asking: false,
  touch(isShown) {},
  wake() {},
  giveUp() {},
};
if (window.navigation) {
  dom.listen(navigation, "navigate", (event) => {
    const { sameDocument, url } = event.destination;
    if (sameDocument || event.downloadRequest !== null || !/^(https?|about|blob):/.test(url)) return;
    memory.leaving = true;
    memory.wake();
  });
  for (const name of ["navigatesuccess", "navigateerror"]) {
    dom.listen(navigation, name, () => {
      // It stayed within the document: the page took the navigation over, or called it off.
      memory.leaving = false;
      memory.stirred = performance.now();
      memory.wake();
    });
  }
}

// Whether the changes may show something new. An element that has been changing for a second, never pausing, and is
// no larger for it is a clock, a ticker or an animation.
function isNews(records) {
  const EARLY_MS = 300;
  const PAUSE_MS = 500;
  const CLOCK_MS = 1000;
  const now = performance.now();
  if (now - memory.begun < EARLY_MS) return true;
  let found = false;
  for (const { type, target } of records) {
    let size = 0;
    if (type === "characterData") size = target.length;
    else if (type === "childList") {
      const nodes = dom.childNodes(target);
      size = nodes.length === 1 ? 1 + (nodes[0].length ?? 0) : nodes.length;
    }
    const known = memory.churn.get(target);
    if (!known || now - known.at > PAUSE_MS) {
      memory.churn.set(target, { since: now, at: now, most: size });
      found = true;
      continue;
    }
    known.at = now;
    if (size > known.most || now - known.since < CLOCK_MS) found = true;
    known.most = Math.max(known.most, size);
  }
  return found;
}

async function settle({ nonce, wait, selector, quietMs, capMs, framed, stayed, onDemand, inert }) {
  const FRAME_MS = 33;
  const STARVED_MS = 20;
  const MOVING_MS = 1300;
  const started = performance.now();
  const left = () => capMs - (performance.now() - started);
  const answer = (settled, reason) => {
    const now = performance.now();
    return { settled, reason, ms: Math.round(now - started), idle: Math.round(now - memory.changed) };
  };
  const windows = () => {
    const found = [window];
    for (let at = 0; at < found.length; at += 1) {
      for (let inner = 0; inner < found[at].length; inner += 1) {
        try {
          if (found[at][inner].document) found.push(found[at][inner]);
        } catch {
          // Another origin's frame: it is a page of its own.
        }
      }
    }
    return found;
  };
  const stylesheets = () => [...dom.findAll(document, 'link[rel~="stylesheet" i][href]')];
  const parsed = () => dom.readyState(document) !== "loading";
  const loaded = () => windows().every((inner) => dom.readyState(inner.document) === "complete");
  // The document has broken off: what is there is all that comes.
  memory.giveUp = () => {
    capMs = 0;
    memory.wake();
  };

  let told = 0;
  // A document that has got further keeps its page alive, but shows nothing by that.
  const touch = (isShown) => {
    memory.changed = performance.now();
    memory.mutated = true;
    if (memory.changed - told > 50) {
      if (isShown) told = memory.changed;
      const detail = isShown ? "shown" : "";
      for (const inner of windows()) dom.dispatch(inner, new CustomEvent(nonce + "!", { detail }));
    }
    memory.wake();
  };
  const stir = () => {
    memory.stirred = performance.now();
    memory.wake();
  };
  // A style sheet on its way: what shows when it is there may be waiting for it. `patienceMs` where it may have ended.
  const coming = (link, patienceMs) => {
    if (link.sheet || link.disabled) return;
    let open = true;
    memory.sheets += 1;
    const done = () => {
      memory.sheets -= open ? 1 : 0;
      open = false;
      stir();
    };
    dom.listen(link, "load", done, { once: true });
    dom.listen(link, "error", done, { once: true });
    if (patienceMs) setTimeout(done, patienceMs);
  };
  // The style sheets of a page that has just been loaded have come or failed, but for what its last scripts have added.
  const note = () => {
    if (memory.styles !== null || dom.readyState(document) !== "complete") return;
    const sheets = stylesheets();
    memory.styles = new WeakSet(sheets);
    for (const link of sheets) {
      if (!link.sheet && performance.getEntriesByName(link.href).length === 0) coming(link, MOVING_MS);
    }
  };
  const watch = (inner) => {
    if (memory.seen.has(inner.document)) return;
    memory.seen.add(inner.document);
    const what = { childList: true, subtree: true, characterData: true, attributes: true };
    new MutationObserver((records) => isNews(records) && memory.touch(true)).observe(inner.document, what);
    if (inner === window) note();
    dom.listen(inner.document, "readystatechange", () => {
      if (inner === window) note();
      memory.touch(false);
    });
    dom.listen(inner, nonce, () => {
      // What was waited for has come: what it changes follows.
      if (!memory.asking) stir();
    });
  };
  memory.touch = touch;
  const ask = () => {
    const sum = { pending: 0, frames: 0 };
    const all = windows();
    for (const inner of all) {
      watch(inner);
      const reply = (event) => {
        const [pending, frames, watching] = String(event.detail).split(" ", 3).map(Number);
        sum.pending += pending || 0;
        sum.frames += (frames || 0) + (watching && memory.mutated ? 1 : 0);
      };
      dom.listen(inner, nonce, reply);
      memory.asking = true;
      dom.dispatch(inner, new CustomEvent(nonce + "?"));
      memory.asking = false;
      dom.forget(inner, nonce, reply);
    }
    // What a frame's size brings (resize, media queries), and lazy frames themselves, wait for one of the browser's.
    if (all.length > 1 && memory.mutated) sum.frames += 1;
    return sum;
  };
  // Animations that have not begun, that end soon, or that have just ended: their events come with a frame.
  const animated = () => {
    if (performance.now() - memory.changed >= MOVING_MS) return false;
    const was = memory.moving;
    memory.moving = windows().some((inner) =>
      dom
        .getAnimations(inner.document)
        .some((one) => {
          if (one.playState !== "running") return false;
          // The browser may leave it pending for ever where nothing is drawn: the frame counts that it was given.
          const isNew = !memory.started.has(one);
          memory.started.add(one);
          return isNew || one.effect.getComputedTiming().endTime < MOVING_MS;
        }),
    );
    return memory.moving || was;
  };
  const styling = () => {
    for (const link of stylesheets()) {
      if (memory.styles.has(link)) continue;
      memory.styles.add(link);
      coming(link, 0);
    }
    return memory.sheets > 0;
  };
  const refreshing = () => {
    const meta = dom.find(document, 'meta[http-equiv="refresh" i][content]');
    const found = /^\s*(\d*\.?\d*)\s*[;,]\s*(?:url\s*=)?\s*\S/i.exec(meta?.getAttribute("content") ?? "");
    return found !== null && Number(found[1]) <= 1 && performance.now() - memory.begun < (Number(found[1]) + 1) * 1000;
  };
  const pause = (ms) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      memory.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const rest = (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(1, Math.min(ms, left()))));
  // Tasks that were queued before have run when this has: a message and a timer, which have queues of their own.
  const turn = () =>
    new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => setTimeout(resolve, 0);
      port2.postMessage(null);
    });
  // A frame in which the page takes part: of an animation that runs in the compositor it would hear nothing.
  const drawing = () => {
    requestAnimationFrame(() => {});
    return { frame: true };
  };
  const over = () => {
    if (wait === "css") return answer(false, `no element matches ${selector}`);
    if (memory.leaving) return answer(false, "navigating");
    return answer(false, !loaded() ? "loading" : ask().pending > 0 ? "pending" : "changing");
  };
  let starved = 0;

  if (framed) {
    memory.framedAt = performance.now();
    for (const inner of windows()) dom.dispatch(inner, new CustomEvent(nonce + "#"));
  }
  if (stayed) memory.leaving = false;
  if (inert) {
    // Neither timers nor listeners run in such a document, and no script changes it: the caller asks again.
    if (wait === "css") return dom.find(document, selector) ? answer(true, wait) : capMs > 0 ? { later: true } : over();
    if (loaded() || (wait === "domcontentloaded" && parsed())) return answer(true, wait === "settle" ? "quiet" : wait);
    return capMs > 0 ? { later: true } : over();
  }
  try {
    for (;;) {
      if (left() <= 0) return over();
      const { pending, frames } = ask();
      if (wait === "css" && dom.find(document, selector)) return answer(true, wait);
      if (memory.leaving && wait !== "css") return { leaving: true };
      if (wait === "domcontentloaded" && parsed()) return answer(true, wait);
      if (wait === "load" && loaded()) return answer(true, wait);
      if (frames > 0 && parsed()) {
        const soon = FRAME_MS - (performance.now() - memory.framedAt);
        if (soon > 0) await rest(soon);
        if (left() <= 0) return over();
        memory.mutated = false;
        if (onDemand) return drawing();
        await Promise.race([new Promise((resolve) => requestAnimationFrame(resolve)), rest(250)]);
        memory.framedAt = performance.now();
        for (const inner of windows()) dom.dispatch(inner, new CustomEvent(nonce + "#"));
        continue;
      }
      if (wait === "settle" && loaded() && pending === 0) {
        const quiet = performance.now() - Math.max(memory.changed, memory.stirred);
        if (quiet >= quietMs) {
          const then = memory.changed + memory.stirred;
          await turn();
          await turn();
          if (then !== memory.changed + memory.stirred || ask().pending > 0 || memory.leaving) continue;
          const isMoving = animated();
          if (!isMoving && !styling() && !refreshing()) return answer(true, "quiet");
          if (isMoving && onDemand) {
            const soon = FRAME_MS - (performance.now() - memory.framedAt);
            if (soon > 0) await rest(soon);
            if (left() > 0) return drawing();
            continue;
          }
        }
        // Not woken by changes: a page that changes all the time would make this a busy loop.
        memory.wake = memory.giveUp = () => {};
        const asked = Math.max(quietMs - quiet, quiet >= quietMs ? FRAME_MS : 0) + 1;
        const before = performance.now();
        await rest(asked);
        // Time in which this thread did not run proves nothing: the page had none of it either.
        if (performance.now() - before > asked + STARVED_MS && starved < 4) {
          starved += 1;
          memory.stirred = performance.now();
        }
        continue;
      }
      await pause(Math.max(1, Math.min(left(), 250)));
    }
  } finally {
    memory.wake = memory.giveUp = () => {};
  }
}
