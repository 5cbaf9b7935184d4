// Runs in the page's own world before any of its scripts: counts what the page has announced and not yet done.
//
// A fetch or XMLHttpRequest in flight, a body being read, a short timer and a frame that was asked for are work
// that will probably change the page. The collector, in its isolated world, asks for the count by an event with a
// secret name, and is told by the same when the count falls to zero.
//
// The page can break this only to its own loss: everything needed later is taken now, and a count that is
// missing or wrong costs precision (the page settles a little early or at the cap), nothing else.
((nonce, timerCapMs, chainCap) => {
  "use strict";
  const apply = Reflect.apply;
  const { setTimeout, clearTimeout, requestAnimationFrame, cancelAnimationFrame, fetch, CustomEvent } = window;
  const { dispatchEvent, addEventListener } = EventTarget.prototype;
  const then = Promise.prototype.then;
  const { get, set, has } = Map.prototype;
  const erase = Map.prototype.delete;

  let pending = 0;
  const tell = () => {
    apply(dispatchEvent, window, [new CustomEvent(nonce, { detail: pending })]);
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

  // A timer that sets a timer that sets a timer is a clock, not content on its way: past `chainCap` links of one
  // chain, timers no longer count.
  const timers = new Map();
  let chain = 0;
  window.setTimeout = function (callback, delay, ...rest) {
    const counts = typeof callback === "function" && !(delay > timerCapMs) && chain < chainCap;
    if (!counts) return apply(setTimeout, window, [callback, delay, ...rest]);
    const link = chain + 1;
    let id = 0;
    const run = function (...args) {
      apply(erase, timers, [id]);
      const before = chain;
      chain = link;
      try {
        return apply(callback, this, args);
      } finally {
        chain = before;
        end();
      }
    };
    begin();
    id = apply(setTimeout, window, [run, delay, ...rest]);
    apply(set, timers, [id, true]);
    return id;
  };
  window.clearTimeout = function (id) {
    if (apply(has, timers, [id])) {
      apply(erase, timers, [id]);
      end();
    }
    return apply(clearTimeout, window, [id]);
  };

  const frames = new Map();
  let frameChain = 0;
  window.requestAnimationFrame = function (callback) {
    if (typeof callback !== "function" || frameChain >= chainCap) {
      return apply(requestAnimationFrame, window, [callback]);
    }
    const link = frameChain + 1;
    let id = 0;
    const run = (time) => {
      apply(erase, frames, [id]);
      const before = frameChain;
      frameChain = link;
      try {
        return callback(time);
      } finally {
        frameChain = before;
        end();
      }
    };
    begin();
    id = apply(requestAnimationFrame, window, [run]);
    apply(set, frames, [id, true]);
    return id;
  };
  window.cancelAnimationFrame = function (id) {
    if (apply(has, frames, [id])) {
      apply(erase, frames, [id]);
      end();
    }
    return apply(cancelAnimationFrame, window, [id]);
  };

  const whileOpen = (promise) => {
    begin();
    apply(then, promise, [end, end]);
    return promise;
  };
  if (fetch) {
    window.fetch = function (...args) {
      return whileOpen(apply(fetch, window, args));
    };
    for (const name of ["json", "text", "arrayBuffer", "blob", "formData"]) {
      const read = Response.prototype[name];
      Response.prototype[name] = function (...args) {
        return whileOpen(apply(read, this, args));
      };
    }
  }
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (...args) {
    const result = apply(send, this, args);
    begin();
    let open = true;
    apply(addEventListener, this, [
      "loadend",
      () => {
        if (open) end();
        open = false;
      },
    ]);
    return result;
  };
})("NONCE", 1000, 8);
