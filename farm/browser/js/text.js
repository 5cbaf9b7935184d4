// The text of a page as it reads, shadow roots and same-origin frames included where they stand. Runs in the isolated
// world, after settle.js, so that the page can neither see it nor change what it calls; `native` reads past the names
// that a page gives its forms and images.
Object.assign(dom, {
  root: native(Document.prototype, "documentElement"),
  body: native(Document.prototype, "body"),
  title: native(Document.prototype, "title"),
  doctype: native(Document.prototype, "doctype"),
  charset: native(Document.prototype, "characterSet"),
  findIn: native(DocumentFragment.prototype, "querySelectorAll"),
  first: native(Node.prototype, "firstChild"),
  last: native(Node.prototype, "lastChild"),
  parent: native(Node.prototype, "parentNode"),
  before: native(Node.prototype, "previousSibling"),
  type: native(Node.prototype, "nodeType"),
  content: native(Node.prototype, "textContent"),
  base: native(Node.prototype, "baseURI"),
  name: native(Element.prototype, "localName"),
  shadow: native(Element.prototype, "shadowRoot"),
  slot: native(Element.prototype, "assignedSlot"),
  attribute: native(Element.prototype, "getAttribute"),
  inner: native(HTMLElement.prototype, "innerText"),
  visible: native(Element.prototype, "checkVisibility"),
  namespace: native(Element.prototype, "namespaceURI"),
  owner: native(Node.prototype, "ownerDocument"),
  slotted: native(HTMLSlotElement.prototype, "assignedNodes"),
  outer: native(Element.prototype, "outerHTML"),
  clone: native(Node.prototype, "cloneNode"),
  serialized: native(Element.prototype, "getHTML"),
});
const HTML = "http://www.w3.org/1999/xhtml";
const allOf = (root, selector) => (dom.type(root) === 11 ? dom.findIn : dom.findAll)(root, selector);
const BOXES = new Set(["div", "li", "dd", "dt"]);
// What may stand beside another element with no space between. Of boxes the first two tell for all in their row.
const NEIGHBOURS =
  "* + :is(a, button, span, label, summary, b, strong, i, em, small, input, select), :first-child + :is(div, li, dd, dt)";
const SILENT = new Set(["script", "style", "noscript", "template", "head", "title", "textarea", "input", "iframe", "frame"]);

// The documents and shadow roots of the page, the shadow roots of its own document, and the elements whose text must
// be put together piece by piece: hosts, frames, neighbours that only their boxes hold apart, and all around these.
function survey() {
  const found = { roots: [], shadows: [], open: new Set(), glued: [] };
  const opened = (node) => {
    for (let at = node; at && !found.open.has(at); ) {
      found.open.add(at);
      const type = dom.type(at);
      if (type === 1) at = dom.slot(at) ?? dom.parent(at);
      else if (type === 11) at = at.host;
      else at = null;
    }
  };
  const apart = (before, element) => {
    if (getComputedStyle(before).display.startsWith("inline-")) return true;
    const { display, marginLeft, paddingLeft } = getComputedStyle(element);
    return display.startsWith("inline-") || (display === "inline" && parseFloat(marginLeft) + parseFloat(paddingLeft) > 0);
  };
  const leaf = (node, side) => {
    let at = node;
    for (let inner = at; inner; inner = side(at)) at = inner;
    return dom.type(at) === 3 ? at.data : "";
  };
  const walk = (root) => {
    found.roots.push(root);
    // Nothing selects hosts. All else is left to selectors: a page of 3,000 elements costs its renderer 5 % less so.
    const frames = new Set(allOf(root, "iframe, frame"));
    for (const element of allOf(root, "*")) {
      const shadow = dom.shadow(element);
      if (shadow) {
        if (dom.owner(element) === document) found.shadows.push(shadow);
        opened(element);
        opened(shadow);
        walk(shadow);
      } else if (frames.size > 0 && frames.has(element)) {
        const inner = documentOf(element);
        if (inner) {
          opened(element);
          walk(inner);
        }
      }
    }
    if (root !== document) for (const slot of allOf(root, "slot")) opened(slot);
    for (const element of allOf(root, NEIGHBOURS)) {
      const before = dom.before(element);
      if (dom.type(before) !== 1 || (BOXES.has(dom.name(element)) && dom.before(before))) continue;
      const [one, other] = [leaf(before, dom.last), leaf(element, dom.first)];
      // Neighbours that only their boxes hold apart; of inline ones the second decides by its distance.
      if (one && other && !/\s$/.test(one) && !/^\s/.test(other) && apart(before, element)) found.glued.push([one, other, element]);
    }
  };
  walk(document);
  // Around a host all is put together anyway.
  if (found.open.size > 0) for (const [, , element] of found.glued) opened(dom.parent(element));
  return found;
}

// The text as it reads: what the browser gives for all that is closed, put together with the rest in the order of
// the flattened tree. Pieces are joined by line breaks and tabs where boxes are, by spaces where they hold words apart.
function textOf(root, open) {
  const parts = [];
  const say = (text) => {
    if (text) parts.push(text);
  };
  const broke = (lines) => parts.push(lines);
  const transformed = (text, how) => {
    if (how === "uppercase") return text.toUpperCase();
    if (how === "lowercase") return text.toLowerCase();
    return how === "capitalize" ? text.replace(/(^|\s)\S/g, (first) => first.toUpperCase()) : text;
  };
  const words = (node, style) => {
    if (style && style.visibility !== "visible") return;
    const text = node.data;
    const keeps = style?.whiteSpace.startsWith("pre") || style?.whiteSpaceCollapse?.startsWith("preserve");
    say(transformed(keeps ? text : text.replace(/[ \t\r\n\f]+/g, " "), style?.textTransform));
  };
  const children = (node, style) => {
    for (const child of dom.childNodes(node)) piece(child, style);
  };
  const piece = (node, around) => {
    const type = dom.type(node);
    if (type === 3) return words(node, around);
    if (type !== 1) return undefined;
    const name = dom.name(node);
    if (name === "br") return broke(1);
    const isFrame = name === "iframe" || name === "frame";
    if (SILENT.has(name) && !isFrame) return undefined;
    const style = getComputedStyle(node);
    const { display } = style;
    if (display === "none") return undefined;
    const isInline = display.startsWith("inline") || display === "contents" || display.startsWith("ruby");
    const isCell = display === "table-cell";
    const lines = name === "p" ? 2 : 1;
    if (display.startsWith("inline-")) say(" ");
    else if (isCell) say("\t");
    else if (!isInline) broke(lines);
    else if (parseFloat(style.marginLeft) + parseFloat(style.paddingLeft) > 0) say(" ");
    if (isFrame) {
      const inner = documentOf(node);
      if (inner && dom.visible(node, { visibilityProperty: true })) {
        broke(1);
        say(textOf(inner, open));
        broke(1);
      }
    } else if (name === "slot" && dom.namespace(node) === HTML && dom.slotted(node).length > 0) {
      for (const child of dom.slotted(node)) piece(child, style);
    } else if (!open.has(node)) {
      const inside = dom.childNodes(node);
      const isHtml = dom.namespace(node) === HTML;
      if (isHtml && inside.length === 1 && dom.type(inside[0]) === 3) words(inside[0], style);
      else {
        const content = isInline ? dom.content(node) : "";
        if (/^\s/.test(content)) say(" ");
        say(isHtml ? dom.inner(node) : plain(node));
        if (/\s$/.test(content)) say(" ");
      }
    } else if (dom.shadow(node)) {
      children(dom.shadow(node), style);
    } else {
      children(node, style);
    }
    if (display.startsWith("inline-")) say(" ");
    else if (!isInline && !isCell) broke(lines);
    return undefined;
  };
  const body = dom.body(root);
  if (!body || !open.has(body)) {
    if (body && dom.visible(body)) return dom.inner(body);
    return body ? "" : plain(dom.root(root));
  }
  piece(body, null);
  let text = "";
  let due = 0;
  for (const part of parts) {
    if (typeof part === "number") due = Math.max(due, part);
    else if (part === "\t") {
      if (due === 0 && text && !text.endsWith("\n")) text += part;
    } else if (part.trim() === "") {
      if (due === 0 && text && !/\s$/.test(text)) text += " ";
    } else {
      const next = text === "" || due > 0 || /\s$/.test(text) ? part.replace(/^ +/, "") : part;
      if (due > 0 && text) text = text.replace(/[ \t]+$/, "") + "\n".repeat(due);
      text += next;
      due = 0;
    }
  }
  return text.trim();
}

// The browser's own text, with a space between neighbours that only their boxes hold apart. They come in the order in
// which they read; words that are too short to be found by themselves are looked for where their parent's text is.
function spaced(text, glued) {
  const SURE = 6;
  const parts = [];
  let done = 0;
  let inside = null;
  for (const [number, [one, other, element]] of glued.entries()) {
    const around = dom.parent(element);
    let from = done;
    let glue = one + other;
    // As much of the row as it takes: one that stands right after it goes on where it ends.
    for (let next = number + 1; glue.length < SURE && next < glued.length; next += 1) {
      if (dom.before(glued[next][2]) !== glued[next - 1][2] || glued[next][0] !== glued[next - 1][1]) break;
      glue += glued[next][1];
    }
    if (glue.length < SURE && around !== inside) {
      const whole = dom.namespace(around) === HTML && dom.visible(around) ? dom.inner(around).trim() : "";
      from = whole ? text.indexOf(whole, done) : -1;
    }
    const found = from < 0 ? -1 : text.indexOf(glue, from);
    if (found < 0) continue;
    parts.push(text.slice(done, found + one.length), " ");
    done = found + one.length;
    inside = around;
  }
  return parts.join("") + text.slice(done);
}

function read(found) {
  const text = textOf(document, found.open);
  return found.open.size > 0 ? text : spaced(text, found.glued);
}

// Of what is no HTML, an SVG say: the words that stand in it.
function plain(element) {
  if (!element) return "";
  const words = [];
  const walker = native(Document.prototype, "createTreeWalker")(document, element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const around = dom.parent(walker.currentNode);
    if (!SILENT.has(dom.name(around))) words.push(walker.currentNode.data);
  }
  return words.join(" ").replace(/\s+/g, " ").trim();
}
