// Loaded into Playwright's driver before it starts. Of what the driver says about loading and requests it passes on
// what the farm looks at: documents, and scripts that take their time, as the browser tells them to a tab's own session.
// That is three messages of a page's forty-three; each of the others would be written, read, parsed and handed round in
// Python to be dropped there. Who would wait for a load state, or listen to requests, by Playwright's objects must let
// them pass first.
//
// What fails on a page it tells in an event of its own (`page_errors.cjs`), what goes to the browser it gathers
// (`outgoing.cjs`), and it ends a page that floods the browser with events (`watch.cjs`), before the driver and the farm
// fall behind. The four are one script.
//
// It reads messages as Playwright writes them, and passes on all that does not look exactly so: another version of
// Playwright costs speed and nothing else.
"use strict";

// Playwright makes an Error for each call in case it fails; where it was made is told to nobody.
Error.stackTraceLimit = 0;

const LENGTH_BYTES = 4;
const EVENT = /^\{"guid":"(cdp-session@[^"]+)","method":"event","params":\{"method":"Network\.(\w+)","params":\{(?:"requestId":"([^"]+)")?/;
const UNHEARD = /^\{"guid":"(?:frame|browser-context|page)@[^"]+","method":"(?:console|loadstate|pageError|request|requestFinished|requestFailed|response)","params":/;
const ASKED_TYPE = /,"type":"(\w+)","frameId":"(\w+)","hasUserGesture":\w+/;
const ANSWER_TYPE = /,"timestamp":[\d.]+,"type":"(\w+)"/;
const HEAD_BYTES = 512;
const TAIL_BYTES = 256;
const SEEN = new Set(["loadingFailed", "loadingFinished", "requestWillBeSent", "responseReceived"]);
// The oldest go first: a request that was passed on and has no end belongs to a page that is gone.
const MOST_FOLLOWED = 4096;
const REQUESTS = new Set([]); // the types that tabs hear of besides, where they capture; filled in where this is written
const followed = new Map(); // by session and number: the request's text, null where its failure is no page error
const others = new Map(); // in the same way, of requests that are not passed on and whose failure is a page error
const [PASS, DROP] = ["pass", "drop"];

const ADDRESSED = '{"guid":"'; // how an event begins, and no answer
// Requests for scripts that have not ended, by session and number, oldest first: `[session, length, text]`. Nearly all
// end before anybody looks, and then neither their beginning nor their end is passed on. The others are passed on before
// the next event of their session and before any answer: only with an answer the farm looks at what is loading.
const held = new Map();

// Return what becomes of a message: PASS, DROP, or the id under which it is held and its session.
function judge(body) {
  const head = body.toString("latin1", 0, HEAD_BYTES);
  const [, session, name, number] = EVENT.exec(head) ?? [];
  if (name === undefined) {
    if (UNHEARD.test(head)) return DROP;
    if (!head.startsWith(ADDRESSED)) tell();
    return PASS;
  }
  if (!SEEN.has(name)) return DROP;
  if (number === undefined) return passed(session);
  // Two tabs may number their requests alike.
  const id = session + number;
  if (name === "requestWillBeSent") {
    const tail = body.toString("latin1", Math.max(0, body.length - TAIL_BYTES));
    const [, type, frame] = ASKED_TYPE.exec(tail) ?? [];
    const isHeard = REQUESTS.has(type);
    if (type === "Script" && !isHeard) return { id, session };
    if (COUNTED.has(type) && !isHeard) keep(others, id, headOf(body));
    if (type !== undefined && type !== "Document" && !isHeard) return DROP;
    const isMain = type === "Document" && pages.has(frame);
    if (isMain) restart(session, frame);
    keep(followed, id, isMain ? null : headOf(body));
  }
  if (name === "responseReceived") {
    const type = ANSWER_TYPE.exec(head)?.[1];
    if (LOADED.has(type)) answered(session, type, body);
    if (type !== undefined && type !== "Document" && !REQUESTS.has(type)) return DROP;
  }
  if (name === "loadingFinished" || name === "loadingFailed") {
    if (name === "loadingFailed") failed(session, head, held.get(id)?.[2] ?? followed.get(id) ?? others.get(id));
    others.delete(id);
    if (held.delete(id) || !followed.delete(id)) return DROP;
  }
  return passed(session);
}

// Of a request nothing is read before it has failed; what is kept of it is short, since it may have a body.
function headOf(body) {
  return body.length > KEPT_BYTES ? Buffer.from(body.subarray(0, KEPT_BYTES)) : body;
}

function keep(requests, id, text) {
  requests.set(id, text);
  if (requests.size > MOST_FOLLOWED) requests.delete(requests.keys().next().value);
}

function passed(session) {
  tell(session);
  return PASS;
}

// Pass on the requests for scripts that are held, of one session or of all.
function tell(session) {
  for (const [id, [of, size, text]] of held) {
    if (session !== undefined && of !== session) continue;
    held.delete(id);
    keep(followed, id, headOf(text));
    send(size, text);
  }
  // How many errors more there were is told with an answer, and not with each of them.
  if (session === undefined && untold.size > 0) tellCounts();
}

// A message comes in two pieces: the bytes of its length, and its text.
const out = process.stdout;
const write = out.write.bind(out);
let length = null;

function send(size, text, ...more) {
  out.cork();
  write(size);
  const goesOn = write(text, ...more);
  out.uncork();
  return goesOn;
}

out.write = (piece, ...more) => {
  if (length === null && Buffer.isBuffer(piece) && piece.length === LENGTH_BYTES) {
    length = piece;
    return true;
  }
  const announced = length;
  length = null;
  if (announced === null) return write(piece, ...more);
  if (Buffer.isBuffer(piece) && piece.length === announced.readUInt32LE(0)) {
    const fate = judge(piece);
    if (fate === DROP) return true;
    if (fate !== PASS) {
      held.set(fate.id, [fate.session, announced, piece]);
      if (held.size > MOST_FOLLOWED) tell();
      return true;
    }
  }
  return send(announced, piece, ...more);
};
