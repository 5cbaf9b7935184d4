// What boxes the elements of a page have, by its style sheets. This engine's own computed styles know which elements are
// shown, and neither boxes nor white space; so here the rules that say something of those are applied, in the order of the
// cascade. Runs in the isolated world, before text.js. So many rules are taken at most, and so often it is tested whether one
// matches; what is beyond that counts for nothing.
const MOST_RULES = 4_000;
const MOST_TESTS = 20_000;
const BOXES_BY = ["display", "white-space", "float", "position"];
const INDENTS_BY = ["margin-left", "padding-left", "margin-right", "padding-right", "margin", "padding"];
const SAYS_BOX = /(?:^|[{;\s])(?:display|white-space|float|position)\s*:/i;
const SAYS_INDENT = /(?:^|[{;\s])(?:margin|padding)(?:-left|-right)?\s*:/i;

// The boxes of the standard's own style sheet; what is not here is inline.
const OWN = new Map();
const boxes = (display, names) => names.split(" ").forEach((name) => OWN.set(name, display));
boxes(
  "block",
  "html body address article aside blockquote center dd details dialog dir div dl dt fieldset figcaption figure footer form" +
    " frameset h1 h2 h3 h4 h5 h6 header hgroup hr legend listing main menu nav ol optgroup option p plaintext pre search" +
    " section summary ul xmp",
);
boxes("list-item", "li");
boxes("inline-block", "button input meter progress select textarea");
boxes("table", "table");
boxes("table-row", "tr");
boxes("table-cell", "td th");
boxes("table-row-group", "tbody");
boxes("table-header-group", "thead");
boxes("table-footer-group", "tfoot");
boxes("table-caption", "caption");
boxes("contents", "slot");
const OWN_SPACE = { pre: "pre", listing: "pre", plaintext: "pre", xmp: "pre", textarea: "pre-wrap" };

const NAMED = /[.#](?:\\.|[\w\u0080-\uffff-])+/g;
const named = (text) => (text.match(NAMED) ?? []).map((one) => one.replace(/\\(.)/g, "$1"));
const bareOf = (selector) => selector.replace(/\[[^\]]*\]/g, "").replace(/:not\([^()]*\)/g, "");

// By the last compound of each selector: its id, its class, or its name, under which an element can be found.
function keyOf(selector) {
  const last = /[^\s>+~]*$/.exec(bareOf(selector).replace(/\([^()]*\)/g, "").trim())[0];
  const names = named(last);
  const type = /^[a-z][\w-]*/i.exec(last);
  return names.find((one) => one[0] === "#") ?? names[0] ?? (type ? type[0].toLowerCase() : "*");
}

// Whether all classes and ids that a selector asks for are there at all: most rules of a site are for its other pages.
function mayMatch(selector, used) {
  const bare = bareOf(selector);
  return /:(is|where|has)\(/.test(bare) || named(bare).every((one) => used.has(one));
}

function weightOf(selector) {
  const bare = selector.replace(/:(where)\([^()]*\)/g, "").replace(/:(is|not|has)\(/g, " ");
  const count = (pattern) => (bare.match(pattern) ?? []).length;
  const ids = count(/#[\w-]+/g);
  const classes = count(/\.[\w-]+|\[[^\]]*\]|:(?!:)[\w-]+/g);
  return ids * 10_000 + classes * 100 + count(/(^|[\s>+~])[a-z][\w-]*/gi);
}

function partsOf(list) {
  const parts = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < list.length; at += 1) {
    const char = list[at];
    if (char === "(" || char === "[") depth += 1;
    else if (char === ")" || char === "]") depth -= 1;
    else if (char === "," && depth === 0) {
      parts.push(list.slice(from, at).trim());
      from = at + 1;
    }
  }
  parts.push(list.slice(from).trim());
  return parts;
}

// Rules by key, each with what it says; `order` makes the later of two with the same weight count.
function rulesOf(sheets, names, says, used) {
  const found = new Map();
  found.tests = MOST_TESTS;
  let order = 0;
  const take = (rule) => {
    if (order >= MOST_RULES) return;
    const { selectorText, style } = rule;
    if (typeof selectorText !== "string" || !style) return group(rule);
    const text = rule.cssText;
    if (typeof text !== "string" || !says.test(text.slice(selectorText.length))) return;
    const said = [];
    for (const name of names) {
      const value = style.getPropertyValue(name);
      if (value) said.push([name, value, style.getPropertyPriority(name) === "important"]);
    }
    if (said.length === 0) return;
    order += 1;
    for (const selector of partsOf(selectorText)) {
      if (selector.includes("::") || /:(before|after|hover|focus|active|target|visited)/.test(selector)) continue;
      if (!mayMatch(selector, used)) continue;
      const key = keyOf(selector);
      if (!found.has(key)) found.set(key, []);
      found.get(key).push({ selector, weight: weightOf(selector), order, said });
    }
  };
  // This engine knows a group of rules only as text.
  const group = (rule) => {
    const parts = /^@(media|supports|layer)([^{]*)\{([\s\S]*)\}\s*$/.exec(rule.cssText ?? "");
    if (!parts || (parts[1] === "media" && !matchMedia(parts[2].trim()).matches)) return;
    const inner = new CSSStyleSheet();
    inner.replaceSync(parts[3]);
    for (const one of inner.cssRules) take(one);
  };
  for (const sheet of sheets) {
    try {
      if (sheet.disabled || (sheet.media?.mediaText && !matchMedia(sheet.media.mediaText).matches)) continue;
      for (const rule of sheet.cssRules) take(rule);
    } catch {
      // Another origin's, which no script may look into.
    }
  }
  return found;
}

// What the rules and the element's own style say of it, by the name of the property.
function saidOf(element, rules, names) {
  const won = {};
  const keys = ["*", dom.name(element)];
  const id = dom.attribute(element, "id");
  if (id) keys.push(`#${id}`);
  for (const name of (dom.attribute(element, "class") ?? "").split(/\s+/)) if (name) keys.push(`.${name}`);
  for (const key of keys) {
    for (const rule of rules.get(key) ?? []) {
      let matches = null;
      for (const [name, value, isImportant] of rule.said) {
        const now = won[name];
        const weight = rule.weight + (isImportant ? 1e9 : 0);
        if (now && (now.weight > weight || (now.weight === weight && now.order > rule.order))) continue;
        if (matches === null && (rules.tests -= 1) < 0) return won;
        try {
          matches ??= dom.matches(element, rule.selector);
        } catch {
          matches = false;
        }
        if (matches) won[name] = { value, weight, order: rule.order };
      }
    }
  }
  if (dom.has(element, "style")) {
    for (const name of names) {
      const value = element.style?.getPropertyValue(name);
      if (value && !(won[name]?.weight >= 1e9)) won[name] = { value, weight: 1e8, order: 0 };
    }
  }
  return won;
}

// Returns what gives an element's display, its white space (null where it has its parent's), and whether it stands apart
// from the flow. Its `indent` returns by how much an element is held off on a side; asked of few, it reads more rules.
function boxesOf(root) {
  const sheets = [...(root.styleSheets ?? []), ...(root.adoptedStyleSheets ?? [])];
  const used = new Set();
  for (const element of sheets.length > 0 ? allOf(root, "[class], [id]") : []) {
    const id = dom.attribute(element, "id");
    if (id) used.add(`#${id}`);
    for (const name of (dom.attribute(element, "class") ?? "").split(/\s+/)) used.add(`.${name}`);
  }
  const rules = rulesOf(sheets, BOXES_BY, SAYS_BOX, used);
  const known = new Map();
  let indents = null;
  const boxOf = (element) => {
    const before = known.get(element);
    if (before) return before;
    const won = saidOf(element, rules, BOXES_BY);
    const name = dom.name(element);
    const given = won.display?.value.trim();
    const isOwn = !given || /var\(|inherit|initial|unset|revert|none/.test(given);
    const position = won.position?.value;
    const float = won.float?.value;
    const box = {
      display: isOwn ? (OWN.get(name) ?? "inline") : given,
      space: won["white-space"]?.value ?? OWN_SPACE[name] ?? null,
      isLoose: position === "absolute" || position === "fixed" || float === "left" || float === "right",
    };
    known.set(element, box);
    return box;
  };
  boxOf.indent = (element, side) => {
    indents ??= rulesOf(sheets, INDENTS_BY, SAYS_INDENT, used);
    const won = saidOf(element, indents, INDENTS_BY);
    const held = (name) => {
      const sides = (won[name]?.value ?? "").split(/\s+/);
      const all = parseFloat((side === "left" ? sides[3] : null) ?? sides[1] ?? sides[0]) || 0;
      const own = won[`${name}-${side}`];
      return own && !(won[name]?.weight > own.weight) ? parseFloat(own.value) || 0 : all;
    };
    return held("margin") + held("padding");
  };
  return boxOf;
}
