// Runs in the isolated world before the scripts of the browser's collector: what this engine has elsewhere, or not at all.
for (const name of ["body", "title"]) {
  const own = Object.getOwnPropertyDescriptor(HTMLDocument.prototype, name);
  if (own && !Object.getOwnPropertyDescriptor(Document.prototype, name)) {
    Object.defineProperty(Document.prototype, name, own);
  }
}
// Nothing moves where nothing is painted.
if (!Document.prototype.getAnimations) Document.prototype.getAnimations = () => [];
// A port of this world would hang the engine at the next navigation.
globalThis.MessageChannel = class {
  constructor() {
    const port = { onmessage: null };
    this.port1 = port;
    this.port2 = { postMessage: (data) => setTimeout(() => port.onmessage?.({ data }), 0) };
  }
};
