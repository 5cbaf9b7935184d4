// What failed on a page: requests that its content may depend on, `console.error`, uncaught exceptions and rejections.
// Of each document the first `MOST_ERRORS` are told, each once, in the event `Farm.pageError` of the tab's session, and
// of the others how many they were. A page without errors costs no message. Goes with `quiet.cjs`.
const MOST_ERRORS = 20;
const MOST_DOCUMENTS = 1024;
const KEPT_BYTES = 4096;
const URL_CHARS = 2000;
const MESSAGE_CHARS = 300;
const LOADED = new Set(["Script", "Stylesheet"]); // of these an answer of 4xx or 5xx is an error too
const COUNTED = new Set(["Stylesheet", "XHR", "Fetch"]); // beside scripts and documents, which are followed anyway
const FAILED = /,"type":"(\w+)","errorText":"([^"]*)","canceled":false(?:,"blockedReason":"([\w-]+)")?(?:,"corsErrorStatus":\{"corsError":"(\w+)")?/;
const BLOCKED = "inspector"; // by `Network.setBlockedURLs`: the farm's own doing
const ASKED_URL = /"request":\{"url":"((?:[^"\\]|\\.)*)/;
const ANSWER_URL = /"response":\{"url":"((?:[^"\\]|\\.)*)/;
const STATUS = '"status":';
const LEAST_ERROR = "4".charCodeAt(0);
const pages = new Set(); // the targets that are pages; the main frame of each has the target's name
const owners = new Map(); // by target: the tab's session, from its first document on
const errors = new Map(); // by session: what was told of its document, and how many more there are
const untold = new Set(); // sessions with errors that are counted and not told

// A document begins: its errors are counted anew.
function restart(session, target) {
  if (untold.has(session)) tellCounts();
  errors.delete(session);
  if (owners.get(target) !== session) bounded(owners).set(target, session);
}

function bounded(map) {
  if (map.size >= MOST_DOCUMENTS) map.delete(map.keys().next().value);
  return map;
}

function isFull(session) {
  const of = errors.get(session);
  if (of === undefined || of.told.size < MOST_ERRORS) return false;
  of.more += 1;
  untold.add(session);
  return true;
}

function note(session, kind, url, message, type = "") {
  const of = errors.get(session) ?? { told: new Set(), more: 0 };
  if (of.told.size === 0) bounded(errors).set(session, of);
  const error = { kind, type, url: shortened(url, URL_CHARS), message: shortened(message, MESSAGE_CHARS) };
  const id = kind === "request" ? error.url : `${kind} ${error.url} ${error.message}`;
  if (of.told.has(id)) return;
  if (of.told.size >= MOST_ERRORS) {
    of.more += 1;
    untold.add(session);
    return;
  }
  of.told.add(id);
  tellError(session, error);
}

function tellCounts() {
  for (const session of untold) {
    const of = errors.get(session);
    if (of === undefined) continue;
    tellError(session, { more: of.more });
    of.more = 0;
  }
  untold.clear();
}

function tellError(session, error) {
  const event = `{"method":"Farm.pageError","params":${JSON.stringify(error)}}`;
  const text = Buffer.from(`{"guid":"${session}","method":"event","params":${event}}`);
  const size = Buffer.alloc(LENGTH_BYTES);
  size.writeUInt32LE(text.length);
  send(size, text);
}

function shortened(text, chars) {
  const short = String(text).slice(0, chars);
  return short.toWellFormed ? short.toWellFormed() : short;
}

function urlIn(text, form) {
  const quoted = form.exec(text.toString("utf8", 0, KEPT_BYTES))?.[1] ?? "";
  try {
    return JSON.parse(`"${quoted}"`);
  } catch {
    return "";
  }
}

function failed(session, head, text) {
  if (!text) return;
  const [, type, error, blocked, cors] = FAILED.exec(head) ?? [];
  if (type === undefined || blocked === BLOCKED) return;
  const why = blocked ?? cors;
  note(session, "request", urlIn(text, ASKED_URL), why ? `${error} (${why})` : error, type.toLowerCase());
}

function answered(session, type, body) {
  const at = body.indexOf(STATUS) + STATUS.length;
  if (at < STATUS.length || body[at] < LEAST_ERROR) return;
  const status = body.toString("latin1", at, at + 3);
  note(session, "request", urlIn(body, ANSWER_URL), `answered ${status}`, type.toLowerCase());
}

const STACK = /\n\s+at /;
function shownOf(thing) {
  const text = thing.type === "string" ? thing.value : (thing.description ?? thing.unserializableValue ?? thing.value);
  return String(text ?? thing.subtype ?? thing.type).slice(0, MOST_PARSED).split(STACK, 1)[0];
}
function urlOf(stack) {
  return stack?.callFrames.find(({ url }) => url)?.url ?? ""; // the farm's own functions have none
}
function lineOf({ args, stackTrace }) {
  return [urlOf(stackTrace), args.map(shownOf).join(" ")];
}
function thrownBy({ text, url, stackTrace, exception }) {
  return [url || urlOf(stackTrace), exception ? `${text} ${shownOf(exception)}` : text];
}
