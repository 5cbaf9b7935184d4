// Runs in the page's own world before any of its scripts: counts what the page has announced and not yet done.
//
// A request in flight, a body being read, a short timer, a frame or an idle moment that was asked for, a worker or
// a socket that has not answered: work that will probably change the page. The collector, in its isolated world,
// asks for the counts by an event with a secret name, and is told by the same when nothing is left.
//
// What is announced counts only while the page is alive: until it is loaded, and until `aliveMs` after its last change
// (the collector says when that was) or the last script that came. So a page that polls, or asks for frames for ever
// without showing anything new, comes to rest.
//
// The page can break this only to its own loss: everything needed later is taken now, and a count that is missing
// or wrong costs precision (the page settles a little early or at the cap), nothing else.
((nonce, limits, onDemand) => {
  "use strict";
  const { timerCapMs, chainMs, aliveMs, pollCap, newsMs, longestMs, stepMs, toldMs } = limits;
  const apply = Reflect.apply;
  const construct = Reflect.construct;
  const { setTimeout, clearTimeout, setInterval, clearInterval, fetch, CustomEvent, Proxy } = window;
  const { getOwnPropertyDescriptor } = Object;
  const { requestAnimationFrame, cancelAnimationFrame, requestIdleCallback, cancelIdleCallback } = window;
  const { dispatchEvent, addEventListener } = EventTarget.prototype;
  const then = Promise.prototype.then;
  const { get, set, has, clear } = Map.prototype;
  const erase = Map.prototype.delete;
  const { split } = String.prototype;
  const clock = performance;
  const { now, getEntriesByType } = Performance.prototype;
  const time = () => apply(now, clock, []);
  const getter = (holder, name) => {
    const { get: own } = getOwnPropertyDescriptor(holder, name);
    return (it) => apply(own, it, []);
  };
  const readyState = getter(Document.prototype, "readyState");
  const initiatorType = getter(PerformanceResourceTiming.prototype, "initiatorType");
  const responseEnd = getter(PerformanceResourceTiming.prototype, "responseEnd");

  let pending = 0; // everything announced
  let drawn = 0; // the part of it that only a frame can bring
  let watching = 0; // observers that look at a frame's layout
  let fresh = 0; // those that have not seen a frame yet
  let active = time();
  let news = active; // when something new was shown
  // A script that took its time to come is at its beginning, whatever the page was before: where one has come since
  // the last change, the browser's own list of what was loaded has it before it runs.
  let known = 0;
  const isRevived = () => {
    if (readyState(document) !== "complete") return true;
    const loaded = apply(getEntriesByType, clock, ["resource"]);
    if (loaded.length === known) return false;
    known = loaded.length;
    for (let at = known - 1; at >= 0; at -= 1) {
      const type = initiatorType(loaded[at]);
      if ((type === "script" || type === "other") && responseEnd(loaded[at]) > active) {
        active = time();
        return true;
      }
    }
    return false;
  };
  const alive = () => time() - active < aliveMs || isRevived();
  const tell = () => {
    const detail = pending + " " + (drawn + fresh) + " " + watching;
    apply(dispatchEvent, window, [new CustomEvent(nonce, { detail })]);
  };
  const begin = () => {
    pending += 1;
  };
  const end = () => {
    pending -= 1;
    if (pending <= 0) {
      pending = 0;
      tell();
    }
  };
  apply(addEventListener, window, [nonce + "?", tell]);
  const asked = new Map(); // how often each path was asked for since the last change
  apply(addEventListener, window, [
    nonce + "!",
    (event) => {
      active = time();
      if (event.detail === "shown") news = active;
      apply(clear, asked, []);
    },
  ]);
  apply(addEventListener, window, [nonce + "#", () => (fresh = 0)]);

  // A callback that sets the next one is a chain. One that goes on for longer than `chainMs` is a clock, not content
  // on its way, unless it takes quick steps and has just shown something new, as the timeline of an animation does. The
  // chain's beginning is handed on also where a link does not count.
  let chain = null;
  const linked = (callback, since, done) =>
    function (...args) {
      if (done) done();
      const before = chain;
      chain = since;
      try {
        return apply(callback, this, args);
      } finally {
        chain = before;
        if (done) end();
      }
    };
  const counts = (since, isQuick) => {
    const lasts = time() - since;
    return alive() && (lasts < chainMs || (isQuick && lasts < longestMs && time() - news < newsMs));
  };

  // `ask` returns the number by which the page can take it back; `frame` says that only a frame will bring it.
  const announced = (ask, cancel, frame) => {
    const open = new Map();
    const taken = (id) => {
      apply(erase, open, [id]);
      if (frame) drawn -= 1;
    };
    return [
      function (callback, ...rest) {
        if (typeof callback !== "function") return apply(ask, window, [callback, ...rest]);
        const since = chain ?? time();
        if ((!frame && rest[0] > timerCapMs) || !counts(since, frame || !(rest[0] > stepMs))) {
          return apply(ask, window, [linked(callback, since, null), ...rest]);
        }
        let id = 0;
        begin();
        if (frame) drawn += 1;
        id = apply(ask, window, [linked(callback, since, () => taken(id)), ...rest]);
        apply(set, open, [id, true]);
        return id;
      },
      function (id) {
        if (apply(has, open, [id])) {
          taken(id);
          end();
        }
        return apply(cancel, window, [id]);
      },
    ];
  };
  [window.setTimeout, window.clearTimeout] = announced(setTimeout, clearTimeout, false);
  [window.requestAnimationFrame, window.cancelAnimationFrame] = announced(
    requestAnimationFrame,
    cancelAnimationFrame,
    true,
  );
  if (requestIdleCallback) {
    // Where frames are made on demand a page with an animation is never idle by the browser's reckoning: it waits for
    // the next frame. Such a callback comes with a deadline of its own after a moment, as in the pause between frames.
    const IDLE_AFTER_MS = 20;
    const IDLE_MS = 40;
    const idle = function (callback, options) {
      const asked = time();
      const patience = options?.timeout > 0 ? options.timeout : Infinity;
      const run = function (deadline) {
        const began = time();
        if (!deadline.didTimeout || began - asked >= patience) return apply(callback, this, [deadline]);
        const timeRemaining = () => (IDLE_MS > time() - began ? IDLE_MS - (time() - began) : 0);
        return apply(callback, this, [{ didTimeout: false, timeRemaining }]);
      };
      return apply(requestIdleCallback, window, [run, { timeout: patience < IDLE_AFTER_MS ? patience : IDLE_AFTER_MS }]);
    };
    [window.requestIdleCallback, window.cancelIdleCallback] = announced(
      onDemand ? idle : requestIdleCallback,
      cancelIdleCallback,
      false,
    );
  }

  // Of an interval only the first tick is waited for: it may be what fills the page, the others repeat it. Further ones
  // where they follow quickly and each shows something new, letter by letter or row by row. What changes within
  // `toldMs` of another change is not told by itself.
  const intervals = new Map();
  const ticked = (id) => {
    if (apply(erase, intervals, [id])) end();
  };
  window.setInterval = function (callback, delay, ...rest) {
    if (typeof callback !== "function" || delay > timerCapMs || !alive()) {
      return apply(setInterval, window, [callback, delay, ...rest]);
    }
    let id = 0;
    const since = time();
    const run = function (...args) {
      const began = time();
      try {
        return apply(callback, this, args);
      } finally {
        if (delay > stepMs || began - since > longestMs) ticked(id);
        else if (apply(has, intervals, [id])) apply(setTimeout, window, [() => news < began - toldMs && ticked(id), 0]);
      }
    };
    begin();
    id = apply(setInterval, window, [run, delay, ...rest]);
    apply(set, intervals, [id, true]);
    return id;
  };
  window.clearInterval = function (id) {
    ticked(id);
    return apply(clearInterval, window, [id]);
  };

  // A request that is answered keeps the page alive, since the next one may follow from it; but the same path asked
  // again and again without anything new to see is a poll.
  const isNews = (url) => {
    const path = apply(split, String(url), ["?", 1])[0];
    const times = (apply(get, asked, [path]) ?? 0) + 1;
    apply(set, asked, [path, times]);
    return times <= pollCap && alive();
  };
  const finish = () => {
    active = time();
    end();
  };
  // What may come or not is waited for until it comes, for `patienceMs` at the most, or as long as it takes.
  const opened = (patienceMs) => {
    let open = true;
    begin();
    const close = () => {
      if (open) finish();
      open = false;
    };
    if (patienceMs) apply(setTimeout, window, [close, patienceMs]);
    return close;
  };
  const whileOpen = (promise, patienceMs) => {
    const close = opened(patienceMs);
    try {
      apply(then, promise, [close, close]);
    } catch {
      close();
    }
    return promise;
  };
  const answered = (target, names, patienceMs) => {
    const close = opened(patienceMs);
    for (const name of names) apply(addEventListener, target, [name, close]);
    return close;
  };
  // Methods that return a promise: what it brings is on its way.
  const promising = (holder, names, patienceMs) => {
    for (const name of names) {
      const ask = holder?.[name];
      if (typeof ask !== "function") continue;
      holder[name] = function (...args) {
        const promise = apply(ask, this, args);
        return alive() ? whileOpen(promise, patienceMs) : promise;
      };
    }
  };
  if (fetch) {
    window.fetch = function (...args) {
      const promise = apply(fetch, window, args);
      return isNews(args[0]?.url ?? args[0]) ? whileOpen(promise) : promise;
    };
    promising(Response.prototype, ["json", "text", "arrayBuffer", "blob", "bytes", "formData"]);
  }
  const { open, send } = XMLHttpRequest.prototype;
  const requests = new WeakMap();
  const { get: request, set: keep } = WeakMap.prototype;
  XMLHttpRequest.prototype.open = function (...args) {
    // What was under way is given up without a word.
    apply(request, requests, [this])?.close?.();
    // A synchronous one is answered before anything else can happen.
    apply(keep, requests, [this, { url: args[1], waits: args.length < 3 || Boolean(args[2]) }]);
    return apply(open, this, args);
  };
  XMLHttpRequest.prototype.send = function (...args) {
    const result = apply(send, this, args);
    const own = apply(request, requests, [this]);
    if (own?.waits && isNews(own.url)) own.close = answered(this, ["loadend"]);
    return result;
  };

  const ANSWERS = ["message", "error", "close"];
  for (const name of ["WebSocket", "EventSource"]) {
    const native = window[name];
    if (!native) continue;
    window[name] = new Proxy(native, {
      construct(target, args, made) {
        const started = construct(target, args, made);
        if (alive()) answered(started, ANSWERS, aliveMs);
        return started;
      },
    });
    const { send } = native.prototype;
    if (!send) continue;
    native.prototype.send = function (...args) {
      const result = apply(send, this, args);
      if (alive()) answered(this, ANSWERS, aliveMs);
      return result;
    };
  }
  const shownAt = () => news;
  watchPlatform({ ...limits, setTimeout, time, alive, shownAt, opened, whileOpen, answered, promising, ANSWERS });

  const frames = {
    draw: () => (drawn += 1),
    drew: () => (drawn -= drawn > 0 ? 1 : 0),
    scrolled: () => (fresh = 1),
    observed: () => (watching = fresh = 1),
  };
  watchFrames({ ...frames, aliveMs, setTimeout, alive, whileOpen }, onDemand);
})(
  "NONCE",
  {
    timerCapMs: 1000,
    chainMs: 1300,
    aliveMs: 1300,
    pollCap: 4,
    newsMs: 700,
    longestMs: 5000,
    stepMs: 250,
    toldMs: 50,
    startMs: 4000,
    moreMs: 100,
  },
  "ON_DEMAND",
);
