// Resolves when the page has settled, at the cap with what is missing, or when it needs a frame (`frame: true`), which
// the caller then asks the browser for before it calls again. Runs in the isolated world.
//
// Settled: the documents are parsed and loaded, nothing that the page announced is pending (hook.js counts), and
// the DOM has been quiet for a while. `wait` replaces the rule where the user knows better. Frames of the same
// origin belong to the page.
const memory = { changed: performance.now(), stirred: 0, framedAt: 0, mutated: true, seen: new WeakSet(), asking: false, wake: () => {} };

async function settle({ nonce, wait, selector, quietMs, capMs, framed, onDemand }) {
  const FRAME_MS = 33;
  const STARVED_MS = 20;
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
  const parsed = () => document.readyState !== "loading";
  const loaded = () => windows().every((inner) => inner.document.readyState === "complete");

  let told = 0;
  const touch = () => {
    memory.changed = performance.now();
    memory.mutated = true;
    if (memory.changed - told > 50) {
      told = memory.changed;
      for (const inner of windows()) inner.dispatchEvent(new CustomEvent(nonce + "!"));
    }
    memory.wake();
  };
  const watch = (inner) => {
    if (memory.seen.has(inner.document)) return;
    memory.seen.add(inner.document);
    const what = { childList: true, subtree: true, characterData: true, attributes: true };
    new MutationObserver(() => memory.touch()).observe(inner.document, what);
    inner.document.addEventListener("readystatechange", () => memory.touch());
    inner.addEventListener(nonce, () => {
      // What was waited for has come: what it changes follows.
      if (memory.asking) return;
      memory.stirred = performance.now();
      memory.wake();
    });
  };
  memory.touch = touch;
  const ask = () => {
    const sum = { pending: 0, frames: 0 };
    for (const inner of windows()) {
      watch(inner);
      const reply = (event) => {
        const [pending, frames, watching] = String(event.detail).split(" ", 3).map(Number);
        sum.pending += pending || 0;
        sum.frames += (frames || 0) + (watching && memory.mutated ? 1 : 0);
      };
      inner.addEventListener(nonce, reply);
      memory.asking = true;
      inner.dispatchEvent(new CustomEvent(nonce + "?"));
      memory.asking = false;
      inner.removeEventListener(nonce, reply);
    }
    return sum;
  };
  const animated = () =>
    performance.now() - memory.changed < 1300 &&
    document.getAnimations().some((one) => one.playState === "running" && one.effect.getComputedTiming().endTime < 1300);
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
  let starved = 0;

  if (framed) {
    memory.framedAt = performance.now();
    for (const inner of windows()) inner.dispatchEvent(new CustomEvent(nonce + "#"));
  }
  try {
    for (;;) {
      const { pending, frames } = ask();
      if (left() <= 0) {
        if (wait === "css") return answer(false, `no element matches ${selector}`);
        return answer(false, !loaded() ? "loading" : pending > 0 ? "pending" : "changing");
      }
      if (wait === "domcontentloaded" && parsed()) return answer(true, wait);
      if (wait === "load" && loaded()) return answer(true, wait);
      if (wait === "css" && document.querySelector(selector)) return answer(true, wait);
      if (frames > 0 && parsed()) {
        const soon = FRAME_MS - (performance.now() - memory.framedAt);
        if (soon > 0) await rest(soon);
        memory.mutated = false;
        if (onDemand) return { frame: true };
        await Promise.race([new Promise((resolve) => requestAnimationFrame(resolve)), rest(250)]);
        memory.framedAt = performance.now();
        for (const inner of windows()) inner.dispatchEvent(new CustomEvent(nonce + "#"));
        continue;
      }
      if (wait === "settle" && loaded() && pending === 0) {
        const quiet = performance.now() - Math.max(memory.changed, memory.stirred);
        if (quiet >= quietMs) {
          const then = memory.changed + memory.stirred;
          await turn();
          await turn();
          if (then !== memory.changed + memory.stirred || ask().pending > 0) continue;
          if (!animated()) return answer(true, "quiet");
          if (onDemand) return { frame: true };
        }
        // Not woken by changes: a page that changes all the time would make this a busy loop.
        memory.wake = () => {};
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
    memory.wake = () => {};
  }
}
