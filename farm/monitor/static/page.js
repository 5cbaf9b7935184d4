// The page for a browser. Everything that comes from the farm is set as text, never as markup.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const STATES = ["done", "dead", "leased", "delayed", "queued"];
const MOST_SAMPLES = 600;
const AGAIN_MS = 2000;
const memory = [];
const drawn = new Map();
let state = null;
let source = null;

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

// A curve with its highest value and its time written beside it.
function drawCurve(id, values, spanText, label, limit) {
  const width = 300;
  const height = 110;
  const top = Math.max(1e-9, limit || 0, ...values);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  svg.append(shape("line", { x1: 0, y1: 92, x2: width, y2: 92, class: "axis" }));
  const points = values.map((value, index) => {
    const x = values.length > 1 ? (width * index) / (values.length - 1) : width;
    return `${x.toFixed(1)},${(92 - (78 * value) / top).toFixed(1)}`;
  });
  svg.append(shape("polyline", { points: points.join(" "), class: "curve" }));
  if (limit) {
    const y = 92 - (78 * limit) / top;
    svg.append(shape("line", { x1: 0, y1: y, x2: width, y2: y, class: "budget" }));
  }
  const words = [[0, 10, "start", label], [0, 106, "start", spanText], [width, 106, "end", "now"]];
  for (const [x, y, anchor, value] of words) {
    const node = shape("text", { x, y, "text-anchor": anchor });
    node.textContent = value;
    svg.append(node);
  }
  at(id).replaceChildren(svg);
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

function drawTable(id, table, longColumn) {
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
      row.append(element("td", cell, className.trim()));
    });
    return row;
  });
  at(id).replaceChildren(head, ...rows);
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
  memory.push(told.memory[0]);
  if (memory.length > MOST_SAMPLES) memory.shift();
  const gib = (bytes) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  drawCurve("memory", memory, ago(memory.length), `${gib(told.memory[0])} of ${gib(told.memory[1])}`, told.memory[1]);
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
  drawTable("contexts", told.contexts && { columns: ["context", "", "", "URL"], left, rows: told.contexts }, 3);
  drawTable("events", told.events && { columns: ["at", "", ""], left: [false, true, true], rows: told.events }, 2);
  at("login").hidden = told.named || !told.has_token;
  at("control").hidden = !told.named;
  text("pause", told.state === "running" ? "Pause" : "Resume");
}

async function post(path, body) {
  const headers = { "content-type": "application/json" };
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
}

function connect() {
  if (source) source.close();
  source = new EventSource("/events");
  source.onmessage = (message) => show(JSON.parse(message.data));
  source.onerror = () => {
    text("state", state && state.state === "finished" ? "finished" : "not connected");
    source.close();
    setTimeout(connect, AGAIN_MS);
  };
}

at("pause").addEventListener("click", async () => {
  const answer = await post("/act", { act: state.state === "running" ? "pause" : "resume" });
  if (!answer.ok) text("state", await answer.text());
});

at("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await post("/token", { token: at("token").value });
  at("token").value = "";
  text("token-said", answer.ok ? "" : "That is not the token.");
  if (answer.ok) connect();
});

connect();
