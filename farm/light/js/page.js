// Runs in the page's own world before any of its scripts, and before hook.js: what this engine cannot do, and what a page
// must not do in it. The collector, in its isolated world, asks at the end by an event with a secret name for what the
// page has used of the former; a page that breaks this is only not visited by a browser.
((nonce) => {
  "use strict";
  const { apply, construct } = Reflect;
  const { CustomEvent, Proxy } = window;
  const { addEventListener, dispatchEvent } = EventTarget.prototype;
  let needs = "";
  // A web socket of this engine goes past its proxy, and is refused for that.
  for (const name of ["WebSocket", "RTCPeerConnection", "WebTransport"]) {
    const native = window[name];
    if (typeof native !== "function") continue;
    window[name] = new Proxy(native, {
      construct(target, args, made) {
        needs = name;
        return construct(target, args, made);
      },
    });
  }
  // As in a browser in which nobody has clicked. Here it would be one more page, beside the visit's.
  window.open = () => null;
  apply(addEventListener, window, [
    nonce + "~",
    () => apply(dispatchEvent, window, [new CustomEvent(nonce + "=", { detail: needs })]),
  ]);
})("NONCE");
