// The text of a page as a browser's `innerText` gives it, by the algorithm of the HTML standard. This engine lays nothing
// out, so what a box is follows from the styles alone. Runs in the isolated world after collect.js, and replaces its `read`.
const PRESERVED = { pre: true, "pre-wrap": true, "break-spaces": true, "pre-line": true };
const REPLACED = new Set(["script", "style", "noscript", "template", "head", "title", "textarea", "input", "audio", "video"]);
const ROWS = new Set(["table-row-group", "table-header-group", "table-footer-group"]);

function needed(nonce) {
  let needs = "";
  const hear = (event) => (needs = String(event.detail).slice(0, 40));
  dom.listen(window, nonce + "=", hear);
  dom.dispatch(window, new CustomEvent(nonce + "~"));
  dom.forget(window, nonce + "=", hear);
  return needs;
}

// Pieces of text and what is between them: numbers are line breaks that are due, the most of a row counts.
function read() {
  const parts = [];
  const isFlexible = (display) => /flex|grid/.test(display);
  const children = (node, around) => {
    for (const child of dom.childNodes(node)) piece(child, around);
  };
  const words = (text, around) => {
    if (around.visibility !== "visible") return;
    let said = text;
    if (around.textTransform === "uppercase") said = said.toUpperCase();
    else if (around.textTransform === "lowercase") said = said.toLowerCase();
    else if (around.textTransform === "capitalize") said = said.replace(/(^|\s)\S/g, (first) => first.toUpperCase());
    parts.push({ said, space: around.whiteSpace });
  };
  const inside = (node, name, around) => {
    if (name === "iframe" || name === "frame") {
      const inner = documentOf(node);
      const body = inner && dom.body(inner);
      if (!body || around.visibility !== "visible") return;
      parts.push(1);
      piece(body, { visibility: "visible", whiteSpace: "normal", textTransform: "none", display: "block" });
      parts.push(1);
      return;
    }
    const shadow = dom.shadow(node);
    if (shadow) children(shadow, around);
    else if (name === "slot" && dom.namespace(node) === HTML && dom.slotted(node).length > 0) {
      for (const child of dom.slotted(node)) piece(child, around);
    } else if (name !== "details" || node.open) children(node, around);
    else for (const child of dom.childNodes(node)) if (dom.name(child) === "summary") piece(child, around);
  };
  const isLast = (node, test) => {
    for (let at = node.nextElementSibling; at; at = at.nextElementSibling) if (test(getComputedStyle(at).display)) return false;
    return true;
  };
  const piece = (node, around) => {
    const type = dom.type(node);
    if (type === 3) return words(node.data, around);
    if (type !== 1) return undefined;
    const name = dom.name(node);
    if (name === "br") return parts.push({ said: "\n", space: "pre" });
    if (REPLACED.has(name)) return undefined;
    const style = getComputedStyle(node);
    let { display } = style;
    if (display === "none") return undefined;
    const { visibility, whiteSpace, textTransform, position, cssFloat } = style;
    const own = { visibility, whiteSpace: whiteSpace || "normal", textTransform, display };
    const isLoose = position === "absolute" || position === "fixed" || (cssFloat && cssFloat !== "none");
    if ((isLoose || isFlexible(around.display)) && display !== "contents") {
      display = display.startsWith("inline") ? display.replace(/^inline-?/, "") || "block" : display;
    }
    if (display === "contents") own.display = around.display;
    const isInline = /^(inline|contents|ruby)/.test(display);
    if (display === "table-cell") {
      inside(node, name, own);
      if (!isLast(node, (other) => other === "table-cell")) parts.push({ said: "\t", space: "pre" });
    } else if (display === "table-row") {
      inside(node, name, own);
      const group = dom.parent(node);
      const isEnd = isLast(node, (other) => other === "table-row");
      const isLastGroup = !group || group.nodeType !== 1 || isLast(group, (other) => ROWS.has(other) || other === "table-row");
      if (!isEnd || !isLastGroup) parts.push({ said: "\n", space: "pre" });
    } else if (isInline || ROWS.has(display)) {
      const apart = display.startsWith("inline-");
      const isSpaced = apart || parseFloat(style.marginLeft) + parseFloat(style.paddingLeft) > 0;
      if (isSpaced && display !== "contents") parts.push({ said: "", apart: true });
      inside(node, name, own);
      if (apart) parts.push({ said: "", apart: true });
    } else {
      const lines = name === "p" ? 2 : 1;
      parts.push(lines);
      inside(node, name, own);
      parts.push(lines);
    }
    return undefined;
  };
  const body = dom.body(document);
  if (!body) return plain(dom.root(document));
  piece(body, { visibility: "visible", whiteSpace: "normal", textTransform: "none", display: "block" });
  return joined(parts);
}

function joined(parts) {
  let text = "";
  let due = 0;
  let isSpaceDue = false;
  let isApart = false;
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
    let said = keeps ? part.said : part.said.replace(/[ \t\r\n\f]+/g, " ");
    if (part.space === "pre-line") said = said.replace(/[ \t]*\n[ \t]*/g, "\n").replace(/[ \t]+/g, " ");
    if (said === "") continue;
    if (!keeps && said === " ") {
      isSpaceDue = true;
      continue;
    }
    const isBreak = said === "\n" || said === "\t";
    if (due > 0) {
      if (text) text += "\n".repeat(due);
      due = 0;
      isSpaceDue = isApart = false;
      if (!keeps) said = said.replace(/^ /, "");
    } else if (!keeps) {
      const begins = isSpaceDue || said.startsWith(" ");
      said = said.replace(/^ /, "");
      if (text && !/\s$/.test(text) && (begins || isApart)) text += " ";
    } else if (isSpaceDue && !isBreak && text && !/\s$/.test(text)) text += " ";
    isApart = false;
    isSpaceDue = !keeps && said.endsWith(" ");
    text += isSpaceDue ? said.slice(0, -1) : said;
  }
  return text.replace(/^\n+|\s+$/g, "");
}
