// What the page says of itself to programs: JSON-LD as text, Open Graph, Twitter cards, and microdata by the HTML
// standard's algorithm; null where it says nothing. Runs in the isolated world, after text.js.
//
// It has at most `metadataCap` characters. A script can make any number of items, refer to them in a circle and nest
// them without end, so each item, name and step is paid for.
Object.assign(dom, {
  has: native(Element.prototype, "hasAttribute"),
  within: native(Element.prototype, "querySelectorAll"),
  byId: native(Document.prototype, "getElementById"),
});
const VALUES = { meta: "content", data: "value", meter: "value", time: "datetime", object: "data" };
for (const name of ["a", "area", "link"]) VALUES[name] = "href";
for (const name of ["audio", "embed", "iframe", "img", "source", "track", "video"]) VALUES[name] = "src";

function metadataOf({ metadataCap, metadataValueCap }, truncated) {
  const MOST_STEPS = 200_000;
  const MOST_NESTED = 32;
  const MOST_REFERRED = 1_000;
  const MOST_SCRIPTS = 100;
  const ITEM_COST = 40;
  const NAME_COST = 10;
  const NAME_CAP = 300;
  let left = metadataCap;
  let steps = MOST_STEPS;
  let short = false;
  const enough = (is) => is || !(short = true);
  const pay = (chars) => enough(chars <= left) && (left -= chars) >= 0;
  const step = () => enough(steps > 0) && (steps -= 1) >= 0;
  const cut = (text) => (enough(text.length <= metadataValueCap) ? text : text.slice(0, metadataValueCap).toWellFormed());
  const words = (element, name) => new Set((dom.attribute(element, name) ?? "").split(/[\t\n\f\r ]+/).filter(Boolean));
  const address = (element, name) => {
    const href = dom.attribute(element, name);
    return href !== null && URL.canParse(href, dom.base(element)) ? new URL(href, dom.base(element)).href : "";
  };

  // One selector at a time: a list of them costs the browser 30 times as much.
  const graph = Object.create(null);
  const twitter = Object.create(null);
  for (const meta of dom.findAll(document, "meta")) {
    const content = dom.attribute(meta, "content");
    if (content === null || !step()) continue;
    const name = dom.attribute(meta, "name") ?? "";
    const keys = `${dom.attribute(meta, "property") ?? ""} ${/^\s*(og|twitter):/i.test(name) ? name : ""}`.toLowerCase();
    for (const key of new Set(keys.split(/\s+/))) {
      if (!key.includes(":") || !enough(key.length <= NAME_CAP)) continue;
      const value = cut(content.trim());
      if (!pay(NAME_COST + key.length + value.length)) break;
      const into = key.startsWith("twitter:") ? twitter : graph;
      if (Array.isArray(into[key])) into[key].push(value);
      else into[key] = key in into ? [into[key], value] : value;
    }
  }
  const ld = [];
  for (const script of dom.findAll(document, 'script[type^="application/ld+json" i]')) {
    const text = dom.content(script);
    if (enough(ld.length < MOST_SCRIPTS) && pay(text.length)) ld.push(text);
  }

  // The properties of an item, in tree order: what stands in it and in no item between, and what it names by `itemref`.
  const items = dom.findAll(document, "[itemscope]");
  const own = new Map();
  const owners = new Map();
  const referred = new Map();
  const ownerOf = (element) => {
    for (let at = dom.parent(element); at && step(); at = dom.parent(at)) {
      if (dom.type(at) === 1 && dom.has(at, "itemscope")) return at;
    }
    return null;
  };
  for (const property of items.length > 0 ? dom.findAll(document, "[itemprop]") : []) {
    if (!step()) break;
    const owner = ownerOf(property);
    owners.set(property, { owner, at: owners.size });
    if (own.has(owner)) own.get(owner).push(property);
    else own.set(owner, [property]);
  }
  const propertiesAt = (id) => {
    if (referred.has(id)) return referred.get(id);
    const other = enough(referred.size < MOST_REFERRED) ? dom.byId(document, id) : null;
    const list = other && owners.has(other) ? [other] : [];
    if (other && !dom.has(other, "itemscope")) {
      const around = ownerOf(other);
      for (const inside of dom.within(other, "[itemprop]")) {
        if (!step()) break;
        if (owners.get(inside)?.owner === around) list.push(inside);
      }
    }
    referred.set(id, list);
    return list;
  };
  const propertiesOf = (item) => {
    const list = own.get(item) ?? [];
    if (!dom.has(item, "itemref")) return list;
    const all = new Set(list);
    for (const id of words(item, "itemref")) for (const property of propertiesAt(id)) if (step()) all.add(property);
    return [...all].sort((one, two) => owners.get(one).at - owners.get(two).at);
  };
  const valueOf = (element, above) => {
    if (dom.has(element, "itemscope")) return above.includes(element) ? "ERROR" : told(element, above);
    const given = VALUES[dom.name(element)];
    if (/^(href|src|data)$/.test(given)) return cut(address(element, given));
    // The standard reads `content` of `meta` alone; search engines, and who writes for them, of every element.
    const value = dom.attribute(element, given ?? "content");
    const text = given && given !== "datetime" ? "" : dom.content(element).replace(/\s+/g, " ");
    return cut((value ?? text).trim());
  };
  const told = (element, above) => {
    if (!enough(above.length < MOST_NESTED) || !pay(ITEM_COST)) return null;
    const item = {};
    const type = [...words(element, "itemtype")].map((name) => name.slice(0, NAME_CAP));
    const id = type.length > 0 && dom.has(element, "itemid") ? cut(address(element, "itemid")) : "";
    if (type.length > 0 && pay(type.join().length)) item.type = type;
    if (id && pay(id.length)) item.id = id;
    item.properties = Object.create(null);
    for (const property of propertiesOf(element)) {
      if (!step()) break;
      const before = left;
      const value = valueOf(property, [...above, element]);
      if (value === null) continue;
      // What it takes is paid for each of its names: an item is written out for each, and has been paid for once.
      let paid = before - left;
      const size = typeof value === "string" ? value.length : paid;
      for (const name of words(property, "itemprop")) {
        if (!enough(name.length <= NAME_CAP) || !pay(NAME_COST + name.length + size - paid)) break;
        paid = 0;
        (item.properties[name] ??= []).push(value);
      }
    }
    return item;
  };
  const microdata = [];
  for (const item of items) {
    if (!step() || !enough(left >= ITEM_COST)) break;
    const one = dom.has(item, "itemprop") ? null : told(item, []);
    if (one) microdata.push(one);
  }
  if (short) truncated.push("metadata");
  const isSaid = ld.length > 0 || microdata.length > 0 || Object.keys(graph).length > 0 || Object.keys(twitter).length > 0;
  return isSaid ? { ld, graph, twitter, items: microdata } : null;
}
