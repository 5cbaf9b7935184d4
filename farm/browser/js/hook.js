// Runs in the page's own world before any of its scripts: counts what the page has announced and not yet done.
//
// A request in flight, a body being read, a short timer, a frame or an idle moment that was asked for, a worker or
// a socket that has not answered: work that will probably change the page. The collector, in its isolated world,
// asks for the counts by an event with a secret name, and is told by the same when nothing is left.
//
// What is announced counts only while the page is alive: until `aliveMs` after its last change (the collector says
// when that was). So a page that polls, or asks for frames for ever without showing anything new, comes to rest.
//
// The page can break this only to its own loss: everything needed later is taken now, and a count that is missing
// or wrong costs precision (the page settles a little early or at the cap), nothing else.
((nonce, timerCapMs, chainMs, aliveMs, pollCap) => {
  "use strict";
  const apply = Reflect.apply;
  const construct = Reflect.construct;
  const { setTimeout, clearTimeout, setInterval, clearInterval, fetch, CustomEvent, Proxy } = window;
  const { requestAnimationFrame, cancelAnimationFrame, requestIdleCallback, cancelIdleCallback } = window;
  const { dispatchEvent, addEventListener } = EventTarget.prototype;
  const then = Promise.prototype.then;
  const { get, set, has, clear } = Map.prototype;
  const erase = Map.prototype.delete;
  const { split } = String.prototype;
  const clock = performance;
  const { now } = Performance.prototype;
  const time = () => apply(now, clock, []);

  let pending = 0; // everything announced
  let drawn = 0; // the part of it that only a frame can bring
  let watching = 0; // observers that look at a frame's layout
  let fresh = 0; // those that have not seen a frame yet
  let active = time();
  const alive = () => time() - active < aliveMs;
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
    () => {
      active = time();
      apply(clear, asked, []);
    },
  ]);
  apply(addEventListener, window, [nonce + "#", () => (fresh = 0)]);

  // A callback that sets the next one is a chain. One that goes on for longer than `chainMs` is a clock, not content
  // on its way. The chain's beginning is handed on also where a link does not count.
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
  const counts = (since) => alive() && time() - since < chainMs;

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
        if ((!frame && rest[0] > timerCapMs) || !counts(since)) {
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
    [window.requestIdleCallback, window.cancelIdleCallback] = announced(requestIdleCallback, cancelIdleCallback, true);
  }

  // Of an interval only the first tick is waited for: it may be what fills the page, the others repeat it.
  const intervals = new Map();
  const ticked = (id) => {
    if (apply(erase, intervals, [id])) end();
  };
  window.setInterval = function (callback, delay, ...rest) {
    if (typeof callback !== "function" || delay > timerCapMs || !alive()) {
      return apply(setInterval, window, [callback, delay, ...rest]);
    }
    let id = 0;
    const run = function (...args) {
      try {
        return apply(callback, this, args);
      } finally {
        ticked(id);
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
  const whileOpen = (promise) => {
    begin();
    apply(then, promise, [finish, finish]);
    return promise;
  };
  if (fetch) {
    window.fetch = function (...args) {
      const promise = apply(fetch, window, args);
      return isNews(args[0]?.url ?? args[0]) ? whileOpen(promise) : promise;
    };
    for (const name of ["json", "text", "arrayBuffer", "blob", "formData"]) {
      const read = Response.prototype[name];
      Response.prototype[name] = function (...args) {
        const promise = apply(read, this, args);
        return alive() ? whileOpen(promise) : promise;
      };
    }
  }
  const { open, send } = XMLHttpRequest.prototype;
  const targets = new WeakMap();
  const { get: target, set: aim } = WeakMap.prototype;
  XMLHttpRequest.prototype.open = function (...args) {
    apply(aim, targets, [this, args[1]]);
    return apply(open, this, args);
  };
  XMLHttpRequest.prototype.send = function (...args) {
    const result = apply(send, this, args);
    if (isNews(apply(target, targets, [this]))) answered(this, ["loadend"]);
    return result;
  };

  // What may answer or not is waited for until its first answer, for `patienceMs` at the most.
  const answered = (target, names, patienceMs) => {
    let open = true;
    const close = () => {
      if (open) finish();
      open = false;
    };
    begin();
    for (const name of names) apply(addEventListener, target, [name, close]);
    if (patienceMs) apply(setTimeout, window, [close, patienceMs]);
  };
  const ANSWERS = ["message", "error", "close"];
  for (const name of ["WebSocket", "EventSource", "Worker"]) {
    const native = window[name];
    if (!native) continue;
    window[name] = new Proxy(native, {
      construct(target, args, made) {
        const opened = construct(target, args, made);
        if (alive()) answered(opened, ANSWERS, aliveMs);
        return opened;
      },
    });
    const verb = name === "Worker" ? "postMessage" : "send";
    const say = native.prototype[verb];
    if (!say) continue;
    native.prototype[verb] = function (...args) {
      const result = apply(say, this, args);
      if (alive()) answered(this, ANSWERS, aliveMs);
      return result;
    };
  }

  for (const name of ["IntersectionObserver", "ResizeObserver"]) {
    const native = window[name];
    if (!native) continue;
    const observe = native.prototype.observe;
    native.prototype.observe = function (...args) {
      const result = apply(observe, this, args);
      watching = fresh = 1;
      return result;
    };
  }
})("NONCE", 1000, 1300, 1300, 4);
