// Reads everything that a record needs out of the settled page, in one go. Runs in the isolated world, after text.js.
//
// Open shadow roots and same-origin frames are read where they stand. What a cap cuts is named.
const BLOCKS = new Set(
  (
    "address article aside blockquote br caption center dd details dialog dir div dl dt fieldset figcaption figure " +
    "footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li listing main menu nav ol option p plaintext pre search " +
    "section summary table td th tr ul xmp"
  ).split(" "),
);
const UNSAID = new Set(["script", "style", "noscript", "template"]);

// What stands in a link, its blocks apart: a card has a title and a text.
function labelOf(element) {
  const MOST_STEPS = 2_000;
  if (dom.firstElement(element) === null) return dom.content(element);
  const said = [];
  const waiting = [dom.first(element)];
  for (let step = 0; waiting.length > 0 && step < MOST_STEPS; step += 1) {
    const at = waiting.pop();
    if (at === null) continue;
    if (at === " ") {
      said.push(at);
      continue;
    }
    waiting.push(dom.after(at));
    const type = dom.type(at);
    if (type === 3 || type === 4) said.push(at.data);
    if (type !== 1 || UNSAID.has(dom.name(at))) continue;
    if (BLOCKS.has(dom.name(at))) {
      said.push(" ");
      waiting.push(" ");
    }
    waiting.push(dom.first(at));
  }
  return said.join("");
}

function linksOf(roots, { linkCap, linksCap, linkTextCap }, truncated) {
  const links = [];
  let chars = 0;
  const frames = { iframe: "src", frame: "src", object: "data" };
  for (const root of roots) {
    for (const element of allOf(root, "a, area[href], iframe[src], frame[src], object[data]")) {
      const name = dom.name(element);
      if (name === "object" && documentOf(element) === null) continue;
      const own = element[frames[name] ?? "href"];
      const href = typeof own === "string" ? own : own?.baseVal;
      if (!href) continue;
      if (links.length >= linkCap) {
        truncated.push("links");
        return links;
      }
      // The browser has resolved it already, but for SVG's; what it could not resolve it gives as it stands.
      if (!URL.canParse(href, own === href ? undefined : dom.base(element))) continue;
      let absolute = own === href ? href : new URL(href, dom.base(element)).href;
      const isWeb = /^https?:/.test(absolute);
      if (frames[name] && !isWeb) continue;
      // Of another scheme no more is asked; a page may repeat one of a megabyte.
      if (!isWeb) absolute = absolute.slice(0, 2_000);
      const label = (
        labelOf(element).trim() ||
        dom.attribute(element, "aria-label") ||
        dom.attribute(element, "alt") ||
        (frames[name] && dom.attribute(element, "title")) ||
        ""
      )
        .replace(/\s+/g, " ")
        .trim();
      const link = [absolute, label.slice(0, linkTextCap), dom.attribute(element, "rel") ?? ""];
      chars += link[0].length + link[1].length + link[2].length;
      if (chars > linksCap) {
        truncated.push("links");
        return links;
      }
      links.push(link);
    }
  }
  return links;
}

// Whether something is not laid out until it comes into view (`content-visibility: auto`): the browser gives no text of
// it. Of the elements that end another one some are looked at, of the last ones, which are out of view, all.
function isLeftOut(roots) {
  const MOST = 50;
  let left = 10 * MOST;
  for (const root of roots) {
    const ends = allOf(root, ":last-child");
    const count = Math.min(ends.length, 2 * MOST, left);
    left -= count;
    for (let number = 0; number < count; number += 1) {
      const isLast = number < MOST;
      const at = isLast ? ends.length - 1 - number : Math.floor(((number - MOST) * (ends.length - MOST)) / MOST);
      if (getComputedStyle(ends[at]).contentVisibility === "auto") return true;
      if (!dom.visible(ends[at], { contentVisibilityAuto: true }) && dom.visible(ends[at])) return true;
    }
    if (left === 0) break;
  }
  return false;
}

// What `look` returns while all that only waits to come into view is laid out.
function laidOut(shadows, look) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("*:not([hidden]) { content-visibility: visible !important; }");
  const ofDocument = native(Document.prototype, "adoptedStyleSheets");
  const ofShadow = native(ShadowRoot.prototype, "adoptedStyleSheets");
  const lists = [ofDocument(document), ...shadows.map(ofShadow)];
  for (const list of lists) list.push(sheet);
  try {
    return look();
  } finally {
    for (const list of lists) list.pop();
  }
}

function readAll(found) {
  return isLeftOut(found.roots) ? laidOut(found.shadows, () => read(found)) : read(found);
}

// What was shown on the way down and is not there any more, as in a list that keeps only the rows in its window.
const shown = { lines: new Set(), links: new Map(), chars: 0 };
function pass({ textCap, linkCap, linksCap, linkTextCap }) {
  const found = survey();
  const { roots } = found;
  for (const line of readAll(found).split("\n")) {
    if (!line.trim() || shown.lines.has(line) || shown.chars >= textCap) continue;
    shown.lines.add(line);
    shown.chars += line.length;
  }
  for (const link of linksOf(roots, { linkCap, linksCap, linkTextCap }, [])) {
    if (shown.links.size < linkCap && !shown.links.has(link[0])) shown.links.set(link[0], link);
  }
}
function withPassed(text) {
  if (shown.lines.size === 0) return text;
  const last = new Set(text.split("\n"));
  const gone = [...shown.lines].filter((line) => !last.has(line));
  return gone.length > 0 ? `${text}\n${gone.join("\n")}` : text;
}

function collect(caps) {
  const { htmlCap, htmlOfText, textCap, linkCap, linksCap, linkTextCap, isPage } = caps;
  const truncated = [];
  const cut = (text, cap, name) => {
    if (text.length <= cap) return text;
    truncated.push(name);
    return text.slice(0, cap);
  };
  const found = survey();
  const { roots, shadows } = found;
  const text = withPassed(readAll(found));
  const links = linksOf(roots, { linkCap, linksCap, linkTextCap }, truncated);
  if (shown.links.size > 0) {
    const last = new Set(links.map(([url]) => url));
    for (const [url, link] of shown.links) if (links.length < linkCap && !last.has(url)) links.push(link);
  }

  const root = dom.root(document);
  let html = "";
  if (isPage && root && (htmlOfText === null || text.length <= htmlOfText)) {
    const doctype = dom.doctype(document);
    const head = doctype ? new XMLSerializer().serializeToString(doctype) + "\n" : "";
    if (shadows.length === 0) {
      html = head + dom.outer(root);
    } else {
      const tag = dom.outer(dom.clone(root, false)).replace(/<\/[^>]*>$/, "");
      html = head + tag + dom.serialized(root, { shadowRoots: shadows }) + `</${dom.name(root)}>`;
    }
    html = cut(html, htmlCap, "html");
  }
  const own = location.href.split("#", 1)[0] + "#";
  const isRoute = ([url]) => url.startsWith(own) && /[/!]/.test(url[own.length]) && url.length > own.length + 1;
  // For all robots, and for the farm alone.
  const metas = [...dom.findAll(document, 'meta[name*="robots" i], meta[name*="crawlfarm" i]')];
  const metadata = isPage ? metadataOf(caps, truncated) : null;
  const canonical = dom.find(document, 'link[rel~="canonical" i][href]');
  return {
    url: location.href,
    // What was asked for: scripts may have given it another address since.
    came: performance.getEntriesByType("navigation")[0]?.name ?? location.href,
    title: dom.title(document),
    text: cut(text, textCap, "text"),
    html,
    links,
    routes: links.some(isRoute),
    canonical: canonical ? canonical.href : null,
    // Several add up: what any of them forbids is forbidden.
    robots: metas
      .filter((meta) => ["robots", "crawlfarm"].includes(dom.attribute(meta, "name").trim().toLowerCase()))
      .map((meta) => dom.attribute(meta, "content") ?? "")
      .join(", "),
    lang: root ? (dom.attribute(root, "lang") ?? "") : "",
    charset: dom.charset(document),
    ...(metadata && { metadata }),
    ...(caps.loggedIn && { loggedIn: dom.find(document, caps.loggedIn) !== null }),
    ...(caps.listImages && imagesOf(roots, caps, truncated)),
    truncated,
  };
}
