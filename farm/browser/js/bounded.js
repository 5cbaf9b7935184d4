// What a page says of itself has no bounds of its own: a title of 50 MB, ten thousand links of a megabyte. It is cut here,
// before it is written out, carried through two processes and read on the farm's event loop. Names of what is cut go
// into `truncated`. Runs in the isolated world, on what `collect` returns.
function bounded(seen, { urlCap, wordCap, titleCap, allCap }) {
  const truncated = new Set(seen.truncated);
  const cut = (name, cap) => {
    if (seen[name].length <= cap) return;
    seen[name] = seen[name].slice(0, cap);
    truncated.add(name);
  };
  cut("title", titleCap);
  cut("robots", wordCap);
  cut("lang", wordCap);
  if (seen.canonical?.length > urlCap) {
    seen.canonical = null;
    truncated.add("canonical");
  }
  const links = seen.links.filter(([url]) => url.length <= urlCap);
  if (links.length < seen.links.length) truncated.add("links");
  seen.links = links.map(([url, text, rel]) => [url, text, rel.slice(0, wordCap)]);
  seen.truncated = [...truncated];
  let said = JSON.stringify(seen);
  // Half of a surrogate pair is written in six letters, a control character too: what is short can become long.
  for (const name of ["html", "text"]) {
    if (said.length <= allCap) break;
    cut(name, Math.max(0, Math.floor((seen[name].length * allCap) / said.length / 4)));
    seen.truncated = [...truncated];
    said = JSON.stringify(seen);
  }
  return said;
}
