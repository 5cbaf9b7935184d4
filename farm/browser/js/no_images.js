// Runs where images are not loaded, after the hook: Blink then leaves every image untouched, without a request and
// without an event, and a page that waits for its images would wait for ever. To a page that listens, an image that
// was not loaded is one that failed, as one is whose request was refused; nobody else pays for that. A handler in
// the HTML that a script inserts later, and one that captures at the document, are not known of here.
(() => {
  "use strict";
  const apply = Reflect.apply;
  const { setTimeout, Event, DOMException, Promise } = window;
  const { addEventListener, dispatchEvent } = EventTarget.prototype;
  const { setAttribute } = Element.prototype;
  const { querySelectorAll } = document;
  const image = HTMLImageElement.prototype;
  const { decode } = image;
  const { has, add, delete: forget } = WeakSet.prototype;
  const { get, set } = WeakMap.prototype;
  const { keys } = Object;
  const { startsWith } = String.prototype;
  const { test } = RegExp.prototype;
  const getter = (name) => Object.getOwnPropertyDescriptor(image, name).get;
  const [complete, chosen, source] = [getter("complete"), getter("currentSrc"), getter("src")];
  const LOCAL = /^(data|blob):/i;

  const heard = new WeakMap(); // images that the page listens to, and by how many listeners
  const failed = new WeakSet();
  const queued = new WeakSet();
  let waiting = [];
  const isLeft = (img) => {
    const url = apply(chosen, img, []) || apply(source, img, []);
    return url !== "" && !apply(test, LOCAL, [url]) && !apply(complete, img, []);
  };
  // React listens to every image by two listeners of its own, and takes its time to find that nobody asked.
  const isWanted = (img) => {
    if (apply(get, heard, [img]) === 2) {
      for (const key of keys(img)) {
        if (apply(startsWith, key, ["__reactProps$"])) return Boolean(img[key]?.onError || img[key]?.onLoad);
      }
    }
    return true;
  };
  const flush = () => {
    const images = waiting;
    waiting = [];
    for (const img of images) {
      apply(forget, queued, [img]);
      if (isLeft(img)) {
        apply(add, failed, [img]);
        if (isWanted(img)) apply(dispatchEvent, img, [new Event("error")]);
      }
    }
  };
  const look = (img) => {
    if (!apply(get, heard, [img]) || apply(has, queued, [img])) return;
    apply(add, queued, [img]);
    if (waiting.length === 0) setTimeout(flush, 0);
    waiting[waiting.length] = img;
  };
  const hear = (img) => {
    apply(set, heard, [img, (apply(get, heard, [img]) ?? 0) + 1]);
    // Whoever comes late is told by `complete`.
    if (!apply(has, failed, [img])) look(img);
  };

  const define = (name, value) => Object.defineProperty(image, name, { value, writable: true, configurable: true });
  define("addEventListener", function (type, ...rest) {
    const result = apply(addEventListener, this, [type, ...rest]);
    if (type === "load" || type === "error") hear(this);
    return result;
  });
  define("setAttribute", function (name, ...rest) {
    const result = apply(setAttribute, this, [name, ...rest]);
    if (name === "src" || name === "srcset") look(this);
    else if (name === "onload" || name === "onerror") hear(this);
    return result;
  });
  const assign = (owner, name, then) => {
    const native = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(image, name, {
      ...native,
      set(value) {
        apply(native.set, this, [value]);
        then(this);
      },
    });
  };
  assign(image, "src", look);
  assign(image, "srcset", look);
  assign(HTMLElement.prototype, "onload", hear);
  assign(HTMLElement.prototype, "onerror", hear);
  Object.defineProperty(image, "complete", {
    ...Object.getOwnPropertyDescriptor(image, "complete"),
    get() {
      return apply(complete, this, []) || apply(has, failed, [this]);
    },
  });
  define("decode", function () {
    if (!isLeft(this)) return apply(decode, this, []);
    return Promise.reject(new DOMException("The source image cannot be decoded.", "EncodingError"));
  });
  apply(addEventListener, document, [
    "DOMContentLoaded",
    () => {
      for (const img of apply(querySelectorAll, document, ["img[onerror], img[onload]"])) hear(img);
    },
  ]);
})();
