// Evaluated in a world of its own when a URL is given up, after native.js: what it showed, without what the user keeps
// secret.
const dom = {
  walker: native(Document.prototype, "createTreeWalker"),
  root: native(Document.prototype, "documentElement"),
  owner: native(Node.prototype, "ownerDocument"),
  type: native(Node.prototype, "nodeType"),
  name: native(Element.prototype, "localName"),
  attributes: native(Element.prototype, "attributes"),
  shadow: native(Element.prototype, "shadowRoot"),
  outer: native(Element.prototype, "outerHTML"),
};
const FRAMES = ["iframe", "frame"];

// Masks secrets in texts, attributes and fields, in shadow trees and frames of the same origin too, so that neither
// picture nor HTML has them. Looks at so many nodes as are `left`: a page may have millions.
const maskTree = (root, secret, state) => {
  const masked = (holder, name) => {
    const text = holder[name] ?? "";
    const without = text.replace(secret, "***");
    if (without !== text) holder[name] = without;
  };
  const what = NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT | NodeFilter.SHOW_COMMENT;
  const walker = dom.walker(dom.type(root) === 9 ? root : dom.owner(root), root, what);
  for (let node = walker.currentNode; node !== null && state.left > 0; node = walker.nextNode()) {
    state.left -= 1;
    if (dom.type(node) !== 1) {
      if (node.nodeValue !== null) masked(node, "nodeValue");
      continue;
    }
    for (const attribute of dom.attributes(node)) masked(attribute, "value");
    const name = dom.name(node);
    if ((name === "input" && node.type !== "file") || name === "textarea") masked(node, "value");
    const shadow = dom.shadow(node);
    if (shadow !== null) maskTree(shadow, secret, state);
    const inner = FRAMES.includes(name) ? documentOf(node) : null;
    if (inner !== null) maskTree(inner, secret, state);
  }
};

// The HTML, `cap` characters at most, and whether all of the page was looked at.
const snapshot = (secrets, cap, left) => {
  const state = { left };
  if (secrets.length > 0) {
    const literal = secrets.map((secret) => secret.replace(/[\\^$.*+?()[\]{}|\/-]/g, "\\$&"));
    maskTree(document, new RegExp(literal.join("|"), "g"), state);
  }
  const root = dom.root(document);
  return { html: root === null ? "" : dom.outer(root).slice(0, cap), masked: state.left > 0 };
};
