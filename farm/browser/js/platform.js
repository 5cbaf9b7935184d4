// The part of the hook that looks after what the platform does in other threads and processes, and says when it has
// done it: streams, storage, keys, modules, ports, tasks. Runs in the page's own world, with what hook.js counts by.
const watchPlatform = (tools) => {
  "use strict";
  const { setTimeout, time, alive, shownAt, opened, whileOpen, answered, promising, ANSWERS } = tools;
  const { timerCapMs, aliveMs, newsMs, longestMs, startMs, moreMs } = tools;
  const apply = Reflect.apply;
  const construct = Reflect.construct;
  const { Proxy } = window;
  const { addEventListener } = EventTarget.prototype;
  const { defineProperty, getOwnPropertyDescriptor, getOwnPropertyNames, getPrototypeOf } = Object;
  const { get: request, set: keep } = WeakMap.prototype;

  // Most pages use none of these: what is behind a property is looked after when it is first asked for.
  const onFirst = (holder, name, follow) => {
    const found = getOwnPropertyDescriptor(holder, name);
    if (!found?.get || !found.configurable) return;
    const get = function () {
      defineProperty(holder, name, found);
      const value = apply(found.get, this, []);
      try {
        if (value) follow(value);
      } catch {
        // The page has broken what is looked after here: it settles earlier.
      }
      return value;
    };
    defineProperty(holder, name, { ...found, get });
  };
  const streaming = () => {
    promising(window.ReadableStreamDefaultReader?.prototype, ["read"], aliveMs);
    promising(window.ReadableStreamBYOBReader?.prototype, ["read"], aliveMs);
    promising(window.ReadableStream?.prototype, ["pipeTo"], aliveMs);
    const { values } = window.ReadableStream.prototype;
    const walk = function (...args) {
      const iterator = apply(values, this, args);
      const { next } = iterator;
      iterator.next = function () {
        const promise = apply(next, this, []);
        return alive() ? whileOpen(promise, aliveMs) : promise;
      };
      return iterator;
    };
    window.ReadableStream.prototype.values = window.ReadableStream.prototype[Symbol.asyncIterator] = walk;
  };
  // A worker says how far it is, and answers in parts. So what it was asked is done a moment after the page has shown
  // something of it, or when it has fallen silent. It may take its time for an answer: it loads its script, and what that
  // needs. One that speaks for ever, and of which nothing shows, is not waited for.
  const workers = new WeakMap();
  if (window.Worker) {
    const isIdle = (own) => time() - (shownAt() > own.since ? shownAt() : own.since) >= longestMs;
    const talk = (own) => {
      own.last = time();
      if (own.close || isIdle(own) || !alive()) return;
      own.close = opened(0);
      const look = () => {
        const at = time();
        const isShown = own.heard && shownAt() > own.last && at - shownAt() >= moreMs;
        // It has not said a word, or nothing has shown since it began: it may be what the page is for.
        const isBeginning = (own.due > 0 && !own.heard) || shownAt() < own.since;
        const patienceMs = isBeginning ? startMs : own.due > 0 || !own.heard ? aliveMs : newsMs;
        if (!isShown && at - own.last < patienceMs && !isIdle(own)) return apply(setTimeout, window, [look, moreMs]);
        own.close();
        own.close = null;
      };
      apply(setTimeout, window, [look, moreMs]);
    };
    const say = Worker.prototype.postMessage;
    window.Worker = new Proxy(window.Worker, {
      construct(target, args, made) {
        const started = construct(target, args, made);
        const own = { since: time(), last: 0, due: 0, heard: false, close: null };
        apply(keep, workers, [started, own]);
        const hear = () => {
          own.heard = true;
          own.due -= own.due > 0 ? 1 : 0;
          talk(own);
        };
        apply(addEventListener, started, ["message", hear]);
        apply(addEventListener, started, ["error", () => (own.last = -Infinity)]);
        talk(own);
        return started;
      },
    });
    Worker.prototype.postMessage = function (...args) {
      const result = apply(say, this, args);
      const own = apply(request, workers, [this]);
      if (own) {
        own.due += 1;
        talk(own);
      }
      return result;
    };
  }
  // A port that speaks to another thread. Within one thread messages come with the tasks that are let pass anyway.
  const speaking = (port) => {
    const { postMessage } = port;
    port.postMessage = function (...args) {
      const result = apply(postMessage, this, args);
      if (alive()) answered(this, ANSWERS, aliveMs);
      return result;
    };
    answered(port, ANSWERS, aliveMs);
  };
  if (window.SharedWorker) {
    window.SharedWorker = new Proxy(window.SharedWorker, {
      construct(target, args, made) {
        const started = construct(target, args, made);
        if (alive()) speaking(started.port);
        return started;
      },
    });
  }
  // A port that is handed to a worker: its twin, which stays here, is answered by the other thread.
  const twins = new WeakMap();
  if (window.MessageChannel && window.Worker) {
    window.MessageChannel = new Proxy(window.MessageChannel, {
      construct(target, args, made) {
        const channel = construct(target, args, made);
        const { port1, port2 } = channel;
        apply(keep, twins, [port1, port2]);
        apply(keep, twins, [port2, port1]);
        return channel;
      },
    });
    const hand = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (...args) {
      const handed = args[1]?.transfer ?? args[1];
      for (let at = 0; at < (handed?.length ?? 0); at += 1) {
        const twin = handed[at] && typeof handed[at] === "object" ? apply(request, twins, [handed[at]]) : null;
        if (twin && alive()) speaking(twin);
      }
      return apply(hand, this, args);
    };
  }
  if (window.BroadcastChannel) {
    // By way of another process, also to this document's own channels.
    const BROADCAST_MS = 100;
    const { postMessage } = BroadcastChannel.prototype;
    BroadcastChannel.prototype.postMessage = function (...args) {
      const result = apply(postMessage, this, args);
      if (alive()) opened(BROADCAST_MS);
      return result;
    };
  }

  if (window.Response) onFirst(Response.prototype, "body", streaming);

  // What the platform does in other threads or processes, and says when it has done it.
  promising(window.WebAssembly, ["compile", "instantiate", "compileStreaming", "instantiateStreaming"]);
  promising(window, ["createImageBitmap"], aliveMs);
  promising(Blob.prototype, ["arrayBuffer", "bytes", "text"], aliveMs);
  onFirst(window, "indexedDB", (factory) => {
    const holder = getPrototypeOf(factory);
    for (const name of ["open", "deleteDatabase"]) {
      const ask = holder[name];
      holder[name] = function (...args) {
        const asking = apply(ask, this, args);
        if (alive()) answered(asking, ["success", "error", "blocked"]);
        return asking;
      };
    }
    promising(holder, ["databases"]);
    const { transaction } = IDBDatabase.prototype;
    IDBDatabase.prototype.transaction = function (...args) {
      const begun = apply(transaction, this, args);
      if (alive()) answered(begun, ["complete", "abort"], aliveMs);
      return begun;
    };
  });
  onFirst(window, "caches", (storage) => {
    promising(getPrototypeOf(storage), ["open", "match", "has", "keys", "delete"]);
    promising(Cache.prototype, ["match", "matchAll", "add", "addAll", "put", "delete", "keys"]);
  });
  const all = (patienceMs) => (value) => {
    const holder = getPrototypeOf(value);
    const names = [];
    for (const name of getOwnPropertyNames(holder)) {
      const method = getOwnPropertyDescriptor(holder, name).value;
      if (name !== "constructor" && typeof method === "function") names[names.length] = name;
    }
    promising(holder, names, patienceMs);
  };
  onFirst(window, "crypto", (value) => onFirst(getPrototypeOf(value), "subtle", all(0)));
  onFirst(window, "cookieStore", (value) => promising(getPrototypeOf(value), ["get", "getAll", "set", "delete"], aliveMs));
  onFirst(window, "scheduler", (value) => {
    const holder = getPrototypeOf(value);
    const { postTask } = holder;
    holder.postTask = function (...args) {
      const promise = apply(postTask, this, args);
      return alive() && !(args[1]?.delay > timerCapMs) ? whileOpen(promise, timerCapMs) : promise;
    };
    promising(holder, ["yield"], aliveMs);
  });
  onFirst(Document.prototype, "fonts", (faces) => {
    promising(getPrototypeOf(faces), ["load"], aliveMs);
    promising(FontFace.prototype, ["load"], aliveMs);
  });
  const FILES = ["FileSystemHandle", "FileSystemDirectoryHandle", "FileSystemFileHandle", "FileSystemWritableFileStream"];
  onFirst(Navigator.prototype, "storage", (value) => {
    all(aliveMs)(value);
    for (const name of FILES) if (window[name]) all(aliveMs)({ __proto__: window[name].prototype });
  });
  for (const name of ["permissions", "locks", "userAgentData", "mediaDevices", "mediaCapabilities", "credentials"]) {
    onFirst(Navigator.prototype, name, all(aliveMs));
  }
  onFirst(Navigator.prototype, "serviceWorker", (value) =>
    promising(getPrototypeOf(value), ["register", "getRegistration", "getRegistrations"], aliveMs),
  );
};
