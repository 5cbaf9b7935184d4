// A page may name its forms, images and frames after what is read here (`<form name="body">`), and `document.body` is
// the form then. So properties are taken from the prototypes, which belong to this world.
const native = (holder, name) => {
  const { get, value } = Object.getOwnPropertyDescriptor(holder, name);
  return get ? (it) => get.call(it) : (it, ...args) => value.apply(it, args);
};

// The document of a frame of the page's own origin; null of another one, which is a page of its own.
function documentOf(frame) {
  try {
    const inner = frame.contentDocument;
    return inner && native(Document.prototype, "documentElement")(inner) ? inner : null;
  } catch {
    return null;
  }
}
