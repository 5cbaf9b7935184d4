// The text of a page as a browser's `innerText` gives it, by the algorithm of the HTML standard. This engine lays nothing
// out, so what a box is follows from the styles alone. Runs in the isolated world after collect.js, and replaces its `read`
// and its `survey`.
const PRESERVED = { pre: true, "pre-wrap": true, "break-spaces": true, "pre-line": true };
const UNSEEN = new Set(
  "script style noscript template head title audio rp noframes noembed datalist desc metadata".split(" "),
);
// What stands in a line like a letter, and has no text.
const OBJECTS = new Set("img input textarea canvas video meter progress embed".split(" "));
const OBJECT = "\ufdd0";
const ROWS = new Set(["table-row-group", "table-header-group", "table-footer-group"]);

const NEIGHBOUR = new Set("a button span label summary b strong i em small input select div li dd dt".split(" "));
const ROOT = { visibility: "visible", transform: "none", space: "normal", display: "block" };
Object.assign(dom, { matches: native(Element.prototype, "matches") });

function needed(nonce) {
  let needs = "";
  const hear = (event) => (needs = String(event.detail).slice(0, 40));
  dom.listen(window, nonce + "=", hear);
  dom.dispatch(window, new CustomEvent(nonce + "~"));
  dom.forget(window, nonce + "=", hear);
  // It loads no document of an object, and shows nothing in place of one that fails.
  return needs || (allOf(document, "object[data]").length > 0 ? "an object" : "");
}

// The documents and shadow roots of the page, and the shadow roots of its own document. What is held apart is known here.
function survey() {
  const found = { roots: [], shadows: [], open: new Set(), glued: [] };
  const walk = (root) => {
    found.roots.push(root);
    const frames = new Set(allOf(root, "iframe, frame"));
    for (const element of allOf(root, "*")) {
      const shadow = dom.shadow(element);
      if (shadow) {
        if (dom.owner(element) === document) found.shadows.push(shadow);
        walk(shadow);
      } else if (frames.size > 0 && frames.has(element)) {
        const inner = documentOf(element);
        if (inner) walk(inner);
      }
    }
  };
  walk(document);
  return found;
}

// Here all is laid out that is shown anywhere.
function readAll() {
  return read();
}

// Pieces of text and what is between them: numbers are line breaks that are due, the most of a row counts.
function read() {
  const parts = [];
  let boxOf = boxesOf(document);
  const isFlexible = (display) => /flex|grid/.test(display);
  const children = (node, around) => {
    for (const child of dom.childNodes(node)) piece(child, around);
  };
  const words = (text, around) => {
    if (around.visibility !== "visible") return;
    let said = text;
    if (around.transform === "uppercase") said = said.toUpperCase();
    else if (around.transform === "lowercase") said = said.toLowerCase();
    else if (around.transform === "capitalize") said = said.replace(/(^|\s)\S/g, (first) => first.toUpperCase());
    parts.push({ said, space: around.space });
  };
  const within = (root, body, around) => {
    const before = boxOf;
    boxOf = boxesOf(root);
    body(around);
    boxOf = before;
  };
  const inside = (node, name, around) => {
    if (name === "iframe" || name === "frame") {
      const inner = documentOf(node);
      const body = inner && dom.body(inner);
      if (!body || around.visibility !== "visible") return;
      parts.push(1);
      within(inner, () => piece(body, ROOT), null);
      parts.push(1);
      return;
    }
    const shadow = dom.shadow(node);
    if (shadow) within(shadow, (own) => children(shadow, own), around);
    else if (name === "slot" && dom.namespace(node) === HTML && dom.slotted(node).length > 0) {
      for (const child of dom.slotted(node)) piece(child, around);
    } else if (name !== "details" || dom.has(node, "open")) children(node, around);
    else {
      const summary = [...dom.childNodes(node)].find((child) => dom.type(child) === 1 && dom.name(child) === "summary");
      if (summary) piece(summary, around);
    }
  };
  const isLast = (node, test) => {
    for (let at = node.nextElementSibling; at; at = at.nextElementSibling) if (test(boxOf(at).display)) return false;
    return true;
  };
  // Neighbours that only their boxes hold apart, as the browser's collector has them.
  const isApart = (node, display) => {
    const before = neighbour(node);
    if (!before || !NEIGHBOUR.has(dom.name(node))) return false;
    const [one, other] = [isBox(boxOf(before)), isBox({ display })];
    if (!edgeOf(before, one, true, null) || !edgeOf(node, other, false, null)) return false;
    return one || other || boxOf.indent(before, "right") + boxOf.indent(node, "left") > 0;
  };
  const object = (around) => {
    if (around.visibility === "visible") parts.push({ said: OBJECT, space: "pre" });
  };
  const piece = (node, around) => {
    const type = dom.type(node);
    if (type === 3) return words(node.data, around);
    if (type !== 1) return undefined;
    const name = dom.name(node);
    if (name === "br") return parts.push({ said: "\n", space: "pre" });
    if (UNSEEN.has(name)) return undefined;
    const style = getComputedStyle(node);
    if (style.display === "none" || (name === "input" && dom.attribute(node, "type") === "hidden")) return undefined;
    const box = boxOf(node);
    let { display } = box;
    if ((box.isLoose || isFlexible(around.display)) && display.startsWith("inline")) {
      display = display.replace(/^inline-?/, "") || "block";
    }
    const own = {
      visibility: style.visibility || "visible",
      transform: style.textTransform || "none",
      space: box.space ?? around.space,
      display: display === "contents" ? around.display : display,
    };
    const isInline = /^(inline|contents|ruby)/.test(display);
    if (OBJECTS.has(name) || (name === "object" && dom.has(node, "data"))) {
      if (!isInline) parts.push(1);
      object(own);
      if (!isInline) parts.push(1);
    } else if (name === "select") {
      object(own);
      inside(node, name, own);
      parts.push(1);
      object(own);
    } else if (dom.namespace(node) !== HTML && name === "text") {
      parts.push(1);
      inside(node, name, own);
      parts.push(1);
    } else if (display === "table-cell") {
      inside(node, name, own);
      if (!isLast(node, (other) => other === "table-cell")) parts.push({ said: "\t", space: "pre" });
    } else if (display === "table-row") {
      inside(node, name, own);
      const group = dom.parent(node);
      const isEnd = isLast(node, (other) => other === "table-row");
      const isRow = (other) => ROWS.has(other) || other === "table-row";
      if (!isEnd || !(dom.type(group) !== 1 || isLast(group, isRow))) parts.push({ said: "\n", space: "pre" });
    } else if (isInline || ROWS.has(display)) {
      if (isInline && isApart(node, display)) parts.push({ said: "", apart: true });
      inside(node, name, own);
    } else if (own.visibility !== "visible") inside(node, name, own);
    else {
      const lines = name === "p" ? 2 : 1;
      parts.push(lines);
      inside(node, name, own);
      parts.push(lines);
    }
    return undefined;
  };
  const body = dom.body(document);
  if (!body) return plain(dom.root(document));
  piece(body, ROOT);
  return joined(parts);
}

function joined(parts) {
  const said = [];
  let last = ""; // the last character
  let due = 0;
  let isSpaceDue = false;
  let isApart = false;
  let isKept = false; // what came last keeps its spaces: one that follows does not fall into them
  const say = (text) => {
    if (text === "") return;
    said.push(text);
    last = text[text.length - 1];
  };
  const isSpace = (char) => char === " " || char === "\n" || char === "\t";
  for (const part of parts) {
    if (typeof part === "number") {
      due = Math.max(due, part);
      isSpaceDue = isApart = false;
      continue;
    }
    if (part.apart) {
      isApart = true;
      continue;
    }
    const keeps = PRESERVED[part.space];
    let text = keeps ? part.said : part.said.replace(/[ \t\r\n\f]+/g, " ");
    if (part.space === "pre-line") text = text.split("\n").map((line) => line.replace(/[ \t]+/g, " ").trim()).join("\n");
    if (text === "") continue;
    if (!keeps && text === " ") {
      isSpaceDue = true;
      continue;
    }
    const isBreak = text === "\n" || text === "\t";
    const isFresh = last === "" || due > 0;
    if (due > 0) {
      if (last) say("\n".repeat(due));
      due = 0;
      isSpaceDue = isApart = false;
    }
    if (!keeps) {
      const begins = isSpaceDue || isApart || text[0] === " ";
      if (text[0] === " ") text = text.slice(1);
      if (begins && !isFresh && (isKept ? last !== "\n" : !isSpace(last))) say(" ");
    } else if (isSpaceDue && !isBreak && !isFresh && !isSpace(last)) say(" ");
    isApart = false;
    isKept = Boolean(keeps) && !isBreak;
    isSpaceDue = !keeps && text[text.length - 1] === " ";
    say(isSpaceDue ? text.slice(0, -1) : text);
  }
  return withoutObjects(said.join(""));
}

// A line of such objects alone is none; of the breaks around it the most count.
function withoutObjects(text) {
  const lines = [];
  let empty = 0;
  let most = 0;
  for (const line of text.split("\n")) {
    const seen = line.replaceAll(OBJECT, "");
    if (line === "") empty += 1;
    else if (seen === "") {
      most = Math.max(most, empty);
      empty = 0;
    } else {
      if (lines.length > 0) for (let left = Math.max(most, empty); left > 0; left -= 1) lines.push("");
      lines.push(seen);
      empty = most = 0;
    }
  }
  return lines.join("\n").trimEnd();
}
