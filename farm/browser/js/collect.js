// Reads everything that a record needs out of the settled page, in one go. Runs in the isolated world, so that the
// page can neither see it nor change what it calls.
//
// Open shadow roots and same-origin frames are read like the document itself. What a cap cuts is named.
function collect({ htmlCap, textCap, linkCap, linksCap, linkTextCap, isPage }) {
  const truncated = [];
  const cut = (text, cap, name) => {
    if (text.length <= cap) return text;
    truncated.push(name);
    return text.slice(0, cap);
  };
  const roots = [];
  const shadows = [];
  const walk = (root) => {
    roots.push(root);
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) {
        if (root.ownerDocument === document || root === document) shadows.push(element.shadowRoot);
        walk(element.shadowRoot);
      } else if (element.localName === "iframe" || element.localName === "frame") {
        let inner = null;
        try {
          inner = element.contentDocument;
        } catch {
          // Another origin's frame: it is a page of its own.
        }
        if (inner && inner.documentElement) walk(inner);
      }
    }
  };
  walk(document);

  const visible = (root) => {
    if (root.body) return root.body.innerText;
    return [...(root.children ?? [])].map((child) => child.innerText ?? "").join("\n");
  };
  const text = roots.map(visible).filter(Boolean).join("\n");

  const links = [];
  let overflow = false;
  let linkChars = 0;
  for (const root of roots) {
    for (const anchor of root.querySelectorAll("a[href], area[href]")) {
      if (links.length >= linkCap) {
        overflow = true;
        break;
      }
      const href = typeof anchor.href === "string" ? anchor.href : anchor.href?.baseVal;
      if (!href) continue;
      const label = (anchor.textContent || anchor.getAttribute("aria-label") || anchor.getAttribute("alt") || "")
        .replace(/\s+/g, " ")
        .trim();
      let absolute = href;
      try {
        absolute = new URL(href, anchor.baseURI).href;
      } catch {
        continue;
      }
      // Of another scheme no more is asked; a page may repeat one of a megabyte.
      if (!/^https?:/.test(absolute)) absolute = absolute.slice(0, 2_000);
      const link = [absolute, label.slice(0, linkTextCap), anchor.getAttribute("rel") ?? ""];
      linkChars += link[0].length + link[1].length + link[2].length;
      if (linkChars > linksCap) {
        overflow = true;
        break;
      }
      links.push(link);
    }
  }
  if (overflow) truncated.push("links");

  let html = "";
  if (isPage && document.documentElement) {
    const doctype = document.doctype ? new XMLSerializer().serializeToString(document.doctype) + "\n" : "";
    const element = document.documentElement;
    if (shadows.length === 0) {
      html = doctype + element.outerHTML;
    } else {
      const open = element.cloneNode(false).outerHTML.replace(/<\/[^>]*>$/, "");
      html = doctype + open + element.getHTML({ shadowRoots: shadows }) + `</${element.localName}>`;
    }
    html = cut(html, htmlCap, "html");
  }
  const meta = document.querySelector('meta[name="robots" i]');
  const canonical = document.querySelector('link[rel~="canonical" i][href]');
  return {
    url: location.href,
    title: document.title,
    text: cut(text, textCap, "text"),
    html,
    links,
    canonical: canonical ? canonical.href : null,
    robots: meta ? (meta.getAttribute("content") ?? "") : "",
    lang: document.documentElement?.lang ?? "",
    truncated,
  };
}
