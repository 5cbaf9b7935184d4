// The images and media of a page, where the user wants them listed. Runs in the isolated world, after text.js.
//
// What counts is what the browser has chosen. Where it loads no images it chooses none: then `src`, else the first
// address of a `srcset`. Other addresses than http(s) are what a page shows until an image comes into view.
Object.assign(dom, {
  src: native(HTMLImageElement.prototype, "src"),
  chosen: native(HTMLImageElement.prototype, "currentSrc"),
  width: native(HTMLImageElement.prototype, "naturalWidth"),
  height: native(HTMLImageElement.prototype, "naturalHeight"),
  played: native(HTMLMediaElement.prototype, "currentSrc"),
});
function imagesOf(roots, { imageCap, imagesCap, urlCap, linkTextCap }, truncated) {
  let left = imagesCap;
  let count = 0;
  const images = [];
  const media = [];
  const isWeb = (href) => /^https?:/.test(href) && URL.canParse(href);
  const isFull = () => count >= imageCap || left <= 0;
  const add = (into, address, ...more) => {
    if (isFull() || !isWeb(address)) return;
    if (address.length > urlCap) {
      truncated.push("images");
      return;
    }
    count += 1;
    left -= address.length + String(more[0]).length;
    into.push([address, ...more]);
  };
  const address = (element, name) => {
    const value = dom.attribute(element, name);
    return value && URL.canParse(value, dom.base(element)) ? new URL(value, dom.base(element)).href : "";
  };
  const first = (element) => {
    const found = /^[\s,]*(\S+?),*(\s|$)/.exec(dom.attribute(element, "srcset") ?? "")?.[1];
    return found && URL.canParse(found, dom.base(element)) ? new URL(found, dom.base(element)).href : "";
  };
  const chosen = (image) => {
    const own = [dom.chosen(image), dom.src(image), first(image)].find(isWeb);
    const around = dom.parent(image);
    if (own || dom.type(around) !== 1 || dom.name(around) !== "picture") return own ?? "";
    return dom.within(around, "source[srcset]").values().map(first).find(isWeb) ?? "";
  };
  // Its own size, which a page whose images are not loaded can only say.
  const side = (own, said) => own || (/^\s*\d{1,6}\s*(px)?\s*$/.test(said) ? parseInt(said, 10) : null);
  for (const root of roots) {
    for (const image of allOf(root, "img")) {
      if (dom.namespace(image) !== HTML) continue;
      const alt = (dom.attribute(image, "alt") ?? "").replace(/\s+/g, " ").trim().slice(0, linkTextCap);
      const size = ["width", "height"].map((name) => side(dom[name](image), dom.attribute(image, name)));
      add(images, chosen(image), alt, ...size);
    }
    for (const element of allOf(root, "video, audio")) {
      const kind = dom.name(element);
      if (dom.namespace(element) !== HTML) continue;
      add(media, dom.played(element) || address(element, "src"), kind);
      for (const source of dom.within(element, "source[src]")) add(media, address(source, "src"), kind);
      for (const track of dom.within(element, "track[src]")) add(media, address(track, "src"), "track");
      if (kind === "video") add(media, address(element, "poster"), "poster");
    }
  }
  if (isFull()) truncated.push("images");
  return { images, media };
}
