// Evaluated in a world of its own when a URL is given up: what it showed, without what the user keeps secret.

// Masks secrets in texts and attributes, in shadow trees too, so that neither picture nor HTML has them. Looks at so
// many nodes: a page may have millions.
const mostMasked = 200000;

const masked = (text, secrets) => secrets.reduce((left, secret) => left.split(secret).join('***'), text);

const maskTree = (root, secrets, state) => {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT | NodeFilter.SHOW_COMMENT);
  for (let node = walker.currentNode; node !== null && state.seen < mostMasked; node = walker.nextNode()) {
    state.seen += 1;
    if (node.nodeType !== Node.ELEMENT_NODE) {
      const text = node.nodeValue ?? '';
      const without = masked(text, secrets);
      if (without !== text) node.nodeValue = without;
      continue;
    }
    for (const attribute of node.attributes) {
      const without = masked(attribute.value, secrets);
      if (without !== attribute.value) attribute.value = without;
    }
    if ((node instanceof HTMLInputElement && node.type !== 'file') || node instanceof HTMLTextAreaElement) {
      const without = masked(node.value, secrets);
      if (without !== node.value) node.value = without;
    }
    if (node.shadowRoot !== null) maskTree(node.shadowRoot, secrets, state);
  }
};

const snapshot = (secrets, cap) => {
  if (secrets.length > 0) maskTree(document, secrets, { seen: 0 });
  const html = document.documentElement === null ? '' : document.documentElement.outerHTML;
  return html.slice(0, cap);
};
