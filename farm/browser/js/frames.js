// The part of the hook that looks after what only a frame brings: a page that scrolled or lets its view change by a
// transition, and observers of the layout. Runs in the page's own world, with what hook.js counts by.
const watchFrames = (tools, onDemand) => {
  "use strict";
  const { draw, drew, scrolled, observed, aliveMs, setTimeout, alive, whileOpen } = tools;
  const apply = Reflect.apply;
  const then = Promise.prototype.then;
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Object;

  // What the page has done that only a frame makes known: it scrolled, or it lets its view change by a transition.
  const { startViewTransition } = Document.prototype;
  const PICTURE_MS = 300;
  let skipTransition = null;
  if (startViewTransition) {
    Document.prototype.startViewTransition = function (...args) {
      const transition = apply(startViewTransition, this, args);
      if (!alive()) return transition;
      draw();
      let open = true;
      const over = () => {
        if (open) drew();
        open = false;
      };
      // It begins with a picture of the page before, which may never come where nothing is drawn.
      let isUpdated = false;
      const updated = () => {
        isUpdated = true;
      };
      const skip = () => isUpdated || apply(skipTransition, transition, []);
      try {
        const { skipTransition: found } = getPrototypeOf(transition);
        skipTransition ??= found;
        apply(then, whileOpen(transition.updateCallbackDone, aliveMs), [updated, updated]);
        apply(then, transition.finished, [over, over]);
        if (onDemand) apply(setTimeout, window, [skip, PICTURE_MS]);
        apply(setTimeout, window, [over, aliveMs]);
      } catch {
        over();
      }
      return transition;
    };
  }
  if (onDemand) {
    const scrolling = (holder, name, key) => {
      const found = getOwnPropertyDescriptor(holder, name);
      const act = found?.[key];
      if (!act || !found.configurable) return;
      const scroll = function (...args) {
        const result = apply(act, this, args);
        scrolled();
        return result;
      };
      defineProperty(holder, name, { ...found, [key]: scroll });
    };
    for (const name of ["scroll", "scrollTo", "scrollBy"]) {
      scrolling(window, name, "value");
      scrolling(Element.prototype, name, "value");
    }
    scrolling(Element.prototype, "scrollIntoView", "value");
    scrolling(Element.prototype, "scrollTop", "set");
    scrolling(Element.prototype, "scrollLeft", "set");
  }

  for (const name of ["IntersectionObserver", "ResizeObserver"]) {
    const native = window[name];
    if (!native) continue;
    const observe = native.prototype.observe;
    native.prototype.observe = function (...args) {
      const result = apply(observe, this, args);
      observed();
      return result;
    };
  }
};
