// The page for a browser. Everything that comes from the farm is set as text, never as markup.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const STATES = ["done", "dead", "leased", "delayed", "queued"];
const MOST_SAMPLES = 600;
const AGAIN_MS = 2000;
const LETTERS_EVERY_MS = 5000;
const GLANCE_EVERY_MS = 2000;
const samples = { memory: [], received: [], processor: [] };
const drawn = new Map();
let state = null;
const letters = { start: 0, size: 0, dead: 0, asked: 0, at: 0 };
const glanced = { name: "", at: 0, isLoading: false };
let source = null;
let waiting = 0;

const at = (id) => document.getElementById(id);

function text(id, value) {
  const node = at(id);
  if (node.textContent !== value) node.textContent = value;
}

function element(name, value, className) {
  const node = document.createElement(name);
  if (value !== undefined) node.textContent = value;
  if (className) node.className = className;
  return node;
}

function shape(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function drawing(width, height) {
  return shape("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
}

function drawLedger(ledger) {
  const total = STATES.reduce((sum, name) => sum + ledger[name], 0);
  const svg = drawing(1000, 10);
  let x = 0;
  for (const name of STATES) {
    const width = total ? (1000 * ledger[name]) / total : 0;
    svg.append(shape("rect", { x, y: 0, width, height: 10, class: name }));
    x += width;
  }
  at("bar").replaceChildren(svg);
  at("bar").setAttribute("aria-label", STATES.map((name) => `${ledger[name]} ${name}`).join(", "));
  at("ledger").replaceChildren(...STATES.map((name) => element("li", `${ledger[name].toLocaleString("en")} ${name}`)));
}

// A curve with its label and its time written beside it, as high as its card; `limit` is drawn, `most` is the top.
function drawCurve(id, values, spanText, label, limit, most) {
  const box = at(id).getBoundingClientRect();
  const width = 300;
  const height = box.width ? Math.max(80, (width * box.height) / box.width) : 110;
  const base = height - 18;
  const top = Math.max(1e-9, limit || 0, most || 0, ...values);
  const y = (value) => (base - ((base - 16) * value) / top).toFixed(1);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height.toFixed(1)}`, role: "img", "aria-label": label });
  svg.append(shape("line", { x1: 0, y1: base, x2: width, y2: base, class: "axis" }));
  const points = values.map((value, index) => {
    const x = values.length > 1 ? (width * index) / (values.length - 1) : width;
    return `${x.toFixed(1)},${y(value)}`;
  });
  svg.append(shape("polyline", { points: points.join(" "), class: "curve" }));
  if (limit) svg.append(shape("line", { x1: 0, y1: y(limit), x2: width, y2: y(limit), class: "budget" }));
  const words = [[0, 10, "start", label], [0, height - 4, "start", spanText], [width, height - 4, "end", "now"]];
  for (const [x, baseline, anchor, value] of words) {
    const node = shape("text", { x, y: baseline, "text-anchor": anchor });
    node.textContent = value;
    svg.append(node);
  }
  at(id).replaceChildren(svg);
}

// A curve of what was told each second since the page was opened.
function drawSamples(id, value, label, limit, most) {
  samples[id].push(value);
  if (samples[id].length > MOST_SAMPLES) samples[id].shift();
  drawCurve(id, samples[id], ago(samples[id].length), label, limit, most);
}

function perSecond(bytes) {
  return bytes < 2 ** 20 ? `${(bytes / 2 ** 10).toFixed(0)} KiB/s` : `${(bytes / 2 ** 20).toFixed(1)} MiB/s`;
}

function ago(seconds) {
  return seconds < 60 ? `-${Math.round(seconds)} s` : `-${Math.round(seconds / 60)} min`;
}

function drawBars(id, pairs, unit, className) {
  const most = Math.max(1, ...pairs.map((pair) => pair[1]));
  const nodes = pairs.flatMap(([name, count]) => {
    const svg = drawing(100, 10);
    svg.append(shape("rect", { x: 0, y: 0, width: (100 * count) / most, height: 10, class: className }));
    const cell = element("dd");
    cell.append(svg);
    return [element("dt", name), element("dd", `${count.toLocaleString("en")}${unit}`), cell];
  });
  at(id).replaceChildren(...(nodes.length ? nodes : [element("dt", "none")]));
}

function drawTable(id, table, longColumn, press) {
  const section = at(id).closest("section");
  // What has not changed stays as it is, so that somebody can select and read it.
  const told = JSON.stringify(table);
  if (drawn.get(id) === told) return;
  drawn.set(id, told);
  section.hidden = !table || !table.rows.length;
  if (section.hidden) return;
  const head = element("tr");
  table.columns.forEach((title, index) => head.append(element("th", title, table.left[index] ? "left" : "")));
  const rows = table.rows.map((cells) => {
    const row = element("tr");
    cells.forEach((cell, index) => {
      const className = (table.left[index] ? "left" : "") + (index === longColumn ? " long" : "");
      const node = element("td", cell, className.trim());
      if (press && index === 0) {
        const button = element("button", cell);
        button.type = "button";
        button.addEventListener("click", () => press(cell));
        node.replaceChildren(button);
      }
      row.append(node);
    });
    return row;
  });
  const pressed = at(id).contains(document.activeElement) ? document.activeElement.textContent : "";
  at(id).replaceChildren(head, ...rows);
  // Whoever goes by keys stays where they were.
  if (pressed) [...at(id).querySelectorAll("button")].find((one) => one.textContent === pressed)?.focus();
}

// What a context shows at the moment, for as long as it is chosen: its button once more ends it.
function chooseGlance(name) {
  glanced.name = glanced.name === name ? "" : name;
  at("glance").hidden = !glanced.name;
  at("glance-picture").replaceChildren();
  text("glance-said", glanced.name && `What context ${glanced.name} shows`);
  if (glanced.name) loadGlance();
}

function loadGlance() {
  if (glanced.isLoading) return;
  const name = glanced.name;
  const image = element("img");
  const end = (isShown) => {
    glanced.isLoading = false;
    glanced.at = Date.now();
    if (name !== glanced.name) return;
    text("glance-said", isShown ? `What context ${name} shows` : `Context ${name} shows no page at the moment`);
    if (isShown) at("glance-picture").replaceChildren(image);
  };
  glanced.isLoading = true;
  image.alt = `What context ${name} shows`;
  image.addEventListener("load", () => end(true));
  image.addEventListener("error", () => end(false));
  image.src = `/contexts/${encodeURIComponent(name)}.jpg?at=${Date.now()}`;
}

function letterItem(letter) {
  const item = element("li");
  if (letter.picture) {
    const link = element("a");
    link.href = `/snapshots/${letter.id}.jpg`;
    link.target = "_blank";
    link.rel = "noopener";
    const image = element("img");
    image.alt = "What the page showed";
    image.loading = "lazy";
    // It may have given way to newer ones by now.
    image.addEventListener("error", () => link.remove());
    image.src = link.href;
    link.append(image);
    item.append(link);
  }
  const words = element("div");
  const visits = `${letter.attempts} ${letter.attempts === 1 ? "try" : "tries"}`;
  words.append(
    element("strong", letter.url || "cannot be read"),
    element("p", `${letter.reason}, ${visits}, ${letter.at}`),
    element("p", letter.detail),
    element("p", letter.id),
  );
  item.append(words);
  return item;
}

function showLetters(told) {
  const end = told.start + told.letters.length;
  letters.size = told.size;
  const count = (number) => number.toLocaleString("en");
  text("letters-said", told.letters.length ? `${count(told.start + 1)} to ${count(end)} of ${count(told.total)}` : "none");
  at("letters-before").disabled = told.start === 0;
  at("letters-after").disabled = end >= told.total;
  // What has not changed stays, with its picture.
  if (drawn.get("letters") === JSON.stringify(told.letters)) return;
  drawn.set("letters", JSON.stringify(told.letters));
  at("letters").replaceChildren(...told.letters.map(letterItem));
}

async function loadLetters() {
  const asked = (letters.asked += 1);
  letters.at = Date.now();
  letters.dead = state.ledger.dead;
  const reason = encodeURIComponent(at("letters-reason").value);
  try {
    const answer = await fetch(`/dead?start=${letters.start}&reason=${reason}`);
    const told = answer.ok ? await answer.json() : await answer.text();
    if (asked !== letters.asked) return;
    if (!answer.ok) text("letters-said", told);
    else if (!told.letters.length && told.start) turnLetters(-told.start);
    else showLetters(told);
  } catch {
    text("letters-said", "not connected");
  }
}

function turnLetters(by) {
  letters.start = Math.max(0, letters.start + by);
  loadLetters();
}

function noteLetters(told) {
  const section = at("dead-letters");
  const were = section.hidden;
  section.hidden = !told.named || !told.ledger.dead;
  if (section.hidden) return;
  const reasons = told.dead.map(([name]) => name);
  if (drawn.get("reasons") !== reasons.join("\n")) {
    drawn.set("reasons", reasons.join("\n"));
    const chosen = at("letters-reason").value;
    at("letters-reason").replaceChildren(new Option("all", ""), ...reasons.map((name) => new Option(name)));
    at("letters-reason").value = reasons.includes(chosen) ? chosen : "";
  }
  const isNews = told.ledger.dead !== letters.dead && Date.now() - letters.at >= LETTERS_EVERY_MS;
  if (were || isNews) loadLetters();
}

function show(told) {
  state = told;
  document.title = `${told.share} % ${told.state} · farm`;
  text("title", told.title);
  text("state", told.state);
  text("elapsed", told.elapsed);
  text("share", `${told.share} %`);
  text("to-go", told.to_go);
  text("how", told.how);
  text("held", told.held);
  drawLedger(told.ledger);
  at("numbers").replaceChildren(...told.numbers.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  const highest = Math.max(0, ...told.pages_per_s);
  drawCurve("rate", told.pages_per_s, ago(told.pages_per_s.length * told.bin_s), `${highest.toFixed(1)}/s at most`, 0);
  const gib = (bytes) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  drawSamples("memory", told.memory[0], `${gib(told.memory[0])} of ${gib(told.memory[1])}`, told.memory[1]);
  drawSamples("received", told.bytes_per_s, `${perSecond(told.bytes_per_s)} now`);
  at("processor-part").hidden = told.processor === null;
  if (told.processor !== null) drawSamples("processor", told.processor, `${Math.round(100 * told.processor)} % busy`, 0, 1);
  text("grid", told.grid.map((cell) => cell[0]).join(""));
  at("grid").setAttribute("aria-hidden", "true");
  at("phases").replaceChildren(
    ...told.phases.filter((phase) => phase[2]).map(([sign, name, count]) => element("li", `${sign} ${name} ${count}`)),
  );
  drawBars("codes", told.codes, "", "done");
  drawBars("dead", told.dead, "", "dead");
  drawBars("times", told.times, " ms", "leased");
  drawTable("sites", told.sites);
  drawTable("proxies", told.proxies);
  drawTable("nodes", told.nodes);
  const left = [true, true, false, true];
  drawTable("contexts", told.contexts && { columns: ["context", "phase", "for", "URL"], left, rows: told.contexts }, 3, chooseGlance);
  if (glanced.name && Date.now() - glanced.at >= GLANCE_EVERY_MS) loadGlance();
  drawTable("events", told.events && { columns: ["at", "", ""], left: [false, true, true], rows: told.events }, 2);
  noteLetters(told);
  at("login").hidden = told.named || !told.has_token;
  at("control").hidden = !told.named;
  text("pause", told.state === "running" ? "Pause" : "Resume");
}

async function post(path, body) {
  const headers = { "content-type": "application/json" };
  try {
    return await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  } catch {
    return new Response("not connected", { status: 503 });
  }
}

function connect() {
  clearTimeout(waiting);
  if (source) source.close();
  source = new EventSource("/events");
  source.onmessage = (message) => show(JSON.parse(message.data));
  source.addEventListener("again", connect);
  source.onerror = () => {
    text("state", state && state.state === "finished" ? "finished" : "not connected");
    source.close();
    clearTimeout(waiting);
    waiting = setTimeout(connect, AGAIN_MS);
  };
}

at("pause").addEventListener("click", async () => {
  const answer = await post("/act", { act: state.state === "running" ? "pause" : "resume" });
  if (!answer.ok) text("state", await answer.text());
});

at("letters-reason").addEventListener("change", () => turnLetters(-letters.start));
at("letters-before").addEventListener("click", () => turnLetters(-letters.size));
at("letters-after").addEventListener("click", () => turnLetters(letters.size));

at("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await post("/token", { token: at("token").value });
  at("token").value = "";
  text("token-said", answer.ok ? "" : answer.status === 403 ? "That is not the token." : await answer.text());
  if (answer.ok) connect();
});

connect();
