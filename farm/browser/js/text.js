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
  after: native(Node.prototype, "nextSibling"),
  parent: native(Node.prototype, "parentNode"),
  before: native(Node.prototype, "previousSibling"),
  contains: native(Node.prototype, "contains"),
  walker: native(Document.prototype, "createTreeWalker"),
  type: native(Node.prototype, "nodeType"),
  content: native(Node.prototype, "textContent"),
  base: native(Node.prototype, "baseURI"),
  firstElement: native(Element.prototype, "firstElementChild"),
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
// What may stand beside another element with no space between. Of boxes the first two tell for all in their row: where
// their parent lets them stand side by side, all of them are looked at.
const INLINE = "a, button, span, label, summary, b, strong, i, em, small, input, select";
const NEIGHBOURS = `* + :is(${INLINE}), :first-child + :is(${[...BOXES]})`;
const ALL_NEIGHBOURS = `* + :is(${INLINE}, ${[...BOXES]})`;
const FRAMES = "iframe, frame, object";
const SEEN = { visibilityProperty: true };
const SILENT = new Set(["script", "style", "noscript", "template", "head", "title", "textarea", "input", "iframe", "frame"]);

// A text as its element shows it: its white space where that is not kept, and the case of its letters.
function shownText(node, style) {
  const keeps = style?.whiteSpace.startsWith("pre") || style?.whiteSpaceCollapse?.startsWith("preserve");
  const text = keeps ? node.data : node.data.replace(/[ \t\r\n\f]+/g, " ");
  const how = style?.textTransform;
  if (how === "uppercase") return text.toUpperCase();
  if (how === "lowercase") return text.toLowerCase();
  return how === "capitalize" ? text.replace(/(^|\s)\S/g, (first) => first.toUpperCase()) : text;
}

// The element right before another one: comments and empty texts between them do not show.
function neighbour(element) {
  let at = dom.before(element);
  while (at && (dom.type(at) === 8 || (dom.type(at) === 3 && at.data === ""))) at = dom.before(at);
  return at && dom.type(at) === 1 ? at : null;
}

// The text at the beginning or the end of an element, as it shows; empty where none is seen there, or where white space
// ends it. Of a box the white space at its ends is not seen. `style` is that of an element in one that shows.
function edgeOf(element, isBox, isEnd, style) {
  const MOST_STEPS = 20;
  const isBlank = (node) => node.data === "" || (isBox && node.data.trim() === "");
  let at = isEnd ? dom.last(element) : dom.first(element);
  let walker = null;
  if (!at || dom.type(at) !== 3 || isBlank(at)) {
    walker = dom.walker(document, element, NodeFilter.SHOW_TEXT);
    at = isEnd ? walker.lastChild() : walker.firstChild();
  }
  for (let step = 0; at && step < MOST_STEPS; step += 1) {
    const around = dom.parent(at);
    const own = around === element ? style : null;
    const isSeen = own ? own.display !== "none" && own.visibility === "visible" : dom.visible(around, SEEN);
    if (!isBlank(at) && (isSeen || dom.name(around) === "option")) {
      if (!isBox && (isEnd ? /\s/.test(at.data.slice(-1)) : /^\s/.test(at.data))) return "";
      return shownText(at, own ?? getComputedStyle(around)).trim();
    }
    if (walker === null) return "";
    at = isEnd ? walker.previousNode() : walker.nextNode();
  }
  return "";
}

const isBox = ({ display }) => display.startsWith("inline-");

// Whether only boxes, or a distance, hold two elements apart that stand beside each other. A line break does where one of
// them is a block. Little is asked of the many that are not apart.
function areApart(before, element) {
  const other = getComputedStyle(element);
  const { display } = other;
  if (!display.startsWith("inline")) return false;
  const one = getComputedStyle(before);
  if (!one.display.startsWith("inline")) return false;
  if (display !== "inline" || one.display !== "inline") return true;
  const isFar = (margin, padding) => parseFloat(margin) + parseFloat(padding) > 0;
  const isOff = isFar(other.marginInlineStart, other.paddingInlineStart);
  return isOff || isFar(one.marginInlineEnd, one.paddingInlineEnd);
}

// The neighbours in a root that only their boxes hold apart, in the order in which they read: of each two the text at
// the end of the first one, at the beginning of the second one, and this element.
function gluedIn(root) {
  const found = [];
  let elements = allOf(root, NEIGHBOURS);
  const rows = new Set();
  for (const element of elements) {
    const before = BOXES.has(dom.name(element)) ? neighbour(element) : null;
    if (before && areApart(before, element)) rows.add(dom.parent(element));
  }
  if (rows.size > 0) elements = allOf(root, ALL_NEIGHBOURS);
  for (const element of elements) {
    const before = neighbour(element);
    if (!before || (BOXES.has(dom.name(element)) && !rows.has(dom.parent(element)))) continue;
    if (!areApart(before, element) || !dom.visible(element)) continue;
    const [one, other] = [getComputedStyle(before), getComputedStyle(element)];
    const end = edgeOf(before, isBox(one), true, one);
    const start = end && edgeOf(element, isBox(other), false, other);
    if (start) found.push([end, start, element]);
  }
  return found;
}

// The documents and shadow roots of the page, the shadow roots of its own document, and the elements whose text must
// be put together piece by piece: hosts, frames, and all around these; and the neighbours that only boxes hold apart.
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
  const walk = (root) => {
    found.roots.push(root);
    // Nothing selects hosts. All else is left to selectors: a page of 3,000 elements costs its renderer 5 % less so.
    const frames = new Set(allOf(root, FRAMES));
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
    for (const one of gluedIn(root)) found.glued.push(one);
  };
  walk(document);
  // Around a host all is put together anyway.
  if (found.open.size > 0) for (const [, , element] of found.glued) opened(dom.parent(element));
  return found;
}

// The text as it reads: what the browser gives for all that is closed, put together with the rest in the order of
// the flattened tree. Pieces are joined by line breaks and tabs where boxes are, by spaces where they hold words apart.
function textOf(root, open, apart) {
  const parts = [];
  const say = (text) => {
    if (text) parts.push(text);
  };
  const broke = (lines) => parts.push(lines);
  const words = (node, style) => {
    if (!style || style.visibility === "visible") say(shownText(node, style));
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
    const isObject = name === "object" && open.has(node);
    const isFrame = name === "iframe" || name === "frame" || (isObject && documentOf(node) !== null);
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
    else if (apart.has(node) || parseFloat(style.marginInlineStart) + parseFloat(style.paddingInlineStart) > 0) {
      say(" ");
    }
    if (isFrame) {
      const inner = documentOf(node);
      if (inner && dom.visible(node, SEEN)) {
        broke(1);
        say(textOf(inner, open, apart));
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
    if (body && (dom.visible(body) || getComputedStyle(body).display === "contents")) return dom.inner(body);
    return body ? "" : plain(dom.root(root));
  }
  piece(body, null);
  return joined(parts);
}

// Texts, and the numbers of line breaks that boxes require between them, as one text. What is there already is not
// looked at again: a page may have a hundred thousand pieces.
function joined(parts) {
  const said = [];
  let due = 0;
  let end = "\n";
  const put = (text) => {
    said.push(text);
    end = text.at(-1);
  };
  for (const part of parts) {
    if (typeof part === "number") due = Math.max(due, part);
    else if (part === "\t") {
      if (due === 0 && end !== "\n") put(part);
    } else if (part.trim() === "") {
      if (due === 0 && !/\s/.test(end)) put(" ");
    } else {
      const next = due > 0 || /\s/.test(end) ? part.replace(/^ +/, "") : part;
      if (due > 0 && said.length > 0) {
        withoutBlanks(said);
        put("\n".repeat(due));
      }
      put(next);
      due = 0;
    }
  }
  return said.join("").trim();
}

// Takes the spaces and tabs off the end of what is said.
function withoutBlanks(said) {
  while (said.length > 0) {
    const text = said.pop();
    let length = text.length;
    while (length > 0 && (text[length - 1] === " " || text[length - 1] === "\t")) length -= 1;
    if (length === 0) continue;
    said.push(text.slice(0, length));
    return;
  }
}

// The browser's own text, with a space between neighbours that only their boxes hold apart. They come in the order in
// which they read; words that are too short to be found by themselves are looked for where their parent's text is.
//
// Words that are found nowhere are looked for in all that follows, so the search ends after `MOST_CHARS`.
function spaced(text, glued) {
  const SURE = 6;
  const MOST_CHARS = 100_000_000;
  const parts = [];
  let done = 0;
  let inside = null;
  let looked = null;
  let whole = "";
  let left = MOST_CHARS;
  for (const [number, [one, other, element]] of glued.entries()) {
    const around = dom.parent(element);
    let from = done;
    let glue = one + other;
    // As much of the row as it takes: one that stands right after it goes on where it ends.
    for (let next = number + 1; glue.length < SURE && next < glued.length; next += 1) {
      if (neighbour(glued[next][2]) !== glued[next - 1][2] || glued[next][0] !== glued[next - 1][1]) break;
      glue += glued[next][1];
    }
    if (glue.length < SURE && !(inside && dom.contains(around, inside))) {
      if (around !== looked) {
        looked = around;
        whole = dom.namespace(around) === HTML && dom.visible(around) ? dom.inner(around).trim() : "";
        left -= whole.length;
      }
      from = whole ? text.indexOf(whole, done) : -1;
      left -= (from < 0 ? text.length : from) - done;
    }
    const found = from < 0 ? -1 : text.indexOf(glue, from);
    if (from >= 0) left -= (found < 0 ? text.length : found) - from;
    if (left < 0) break;
    if (found < 0) continue;
    parts.push(text.slice(done, found + one.length), " ");
    done = found + one.length;
    inside = around;
  }
  return parts.join("") + text.slice(done);
}

function read(found) {
  const apart = new Set(found.open.size > 0 ? found.glued.map(([, , element]) => element) : []);
  const text = textOf(document, found.open, apart);
  return found.open.size > 0 ? text : spaced(text, found.glued);
}

// Of what is no HTML, an SVG say: the words that stand in it.
function plain(element) {
  if (!element) return "";
  const words = [];
  const walker = dom.walker(document, element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const around = dom.parent(walker.currentNode);
    if (!SILENT.has(dom.name(around))) words.push(walker.currentNode.data);
  }
  return words.join(" ").replace(/\s+/g, " ").trim();
}
