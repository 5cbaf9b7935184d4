// Resolves when the page has settled, or at the cap with what is missing. Runs in the isolated world.
//
// Settled: the document is parsed and loaded, nothing that the page announced is pending (hook.js counts), and
// the DOM has been quiet for a while. `wait` replaces the rule where the user knows better.
async function settle({ nonce, wait, selector, quietMs, capMs }) {
  const started = performance.now();
  const left = () => capMs - (performance.now() - started);
  const answer = (settled, reason) => ({ settled, reason, ms: Math.round(performance.now() - started) });
  const parsed = () => document.readyState !== "loading";
  const loaded = () => document.readyState === "complete";

  let pending = 0;
  let changed = started;
  let wake = () => {};
  const touch = () => {
    changed = performance.now();
    wake();
  };
  const count = (event) => {
    pending = Number(event.detail) || 0;
    touch();
  };
  const ask = () => {
    pending = 0;
    window.removeEventListener(nonce, count);
    const reply = (event) => {
      pending = Number(event.detail) || 0;
    };
    window.addEventListener(nonce, reply);
    window.dispatchEvent(new CustomEvent(nonce + "?"));
    window.removeEventListener(nonce, reply);
    window.addEventListener(nonce, count);
    return pending;
  };
  const pause = (ms) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const observer = new MutationObserver(touch);
  observer.observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
  document.addEventListener("readystatechange", touch);
  window.addEventListener("load", touch);
  try {
    for (;;) {
      if (left() <= 0) {
        if (wait === "css") return answer(false, `no element matches ${selector}`);
        return answer(false, !loaded() ? "loading" : pending > 0 ? "pending" : "changing");
      }
      if (wait === "domcontentloaded" && parsed()) return answer(true, wait);
      if (wait === "load" && loaded()) return answer(true, wait);
      if (wait === "css" && document.querySelector(selector)) return answer(true, wait);
      if (wait === "settle" && loaded() && ask() === 0) {
        const quiet = performance.now() - changed;
        if (quiet >= quietMs) return answer(true, "quiet");
        // Not woken by changes: a page that changes all the time would make this a busy loop.
        wake = () => {};
        await new Promise((resolve) => setTimeout(resolve, Math.min(quietMs - quiet + 1, Math.max(1, left()))));
        continue;
      }
      await pause(Math.max(1, Math.min(left(), 250)));
    }
  } finally {
    observer.disconnect();
    document.removeEventListener("readystatechange", touch);
    window.removeEventListener("load", touch);
    window.removeEventListener(nonce, count);
  }
}
