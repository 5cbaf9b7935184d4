// Loaded into Playwright's driver before it starts. Of what the driver says about loading and requests it passes on
// what the farm looks at: documents, and scripts that take their time, as the browser tells them to a tab's own session.
// That is three messages of a page's forty-three; each of the others would be written, read, parsed and handed round in Python to be dropped
// there. Who would wait for a load state, or listen to requests, by Playwright's objects must let them pass first.
//
// And it ends a page that floods the browser with events (`watch`), before the driver and the farm fall behind.
//
// It reads messages as Playwright writes them, and passes on all that does not look exactly so: another version of
// Playwright costs speed and nothing else.
"use strict";

// Playwright makes an Error for each call in case it fails; where it was made is told to nobody.
Error.stackTraceLimit = 0;

const LENGTH_BYTES = 4;
const EVENT = /^\{"guid":"(cdp-session@[^"]+)","method":"event","params":\{"method":"Network\.(\w+)","params":\{(?:"requestId":"([^"]+)")?/;
const UNHEARD = /^\{"guid":"(?:frame|browser-context|page)@[^"]+","method":"(?:console|loadstate|pageError|request|requestFinished|requestFailed|response)","params":/;
const ASKED_TYPE = /,"type":"(\w+)","frameId":"\w+","hasUserGesture":\w+/;
const ANSWER_TYPE = /,"timestamp":[\d.]+,"type":"(\w+)"/;
const HEAD_BYTES = 512;
const TAIL_BYTES = 256;
const SEEN = new Set(["loadingFailed", "loadingFinished", "requestWillBeSent", "responseReceived"]);
// The oldest go first: a request that was passed on and has no end belongs to a page that is gone.
const MOST_FOLLOWED = 4096;
const followed = new Set();
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
    const type = ASKED_TYPE.exec(tail)?.[1];
    if (type === "Script") return { id, session };
    if (type !== undefined && type !== "Document") return DROP;
    follow(id);
  }
  if (name === "responseReceived") {
    const type = ANSWER_TYPE.exec(head)?.[1];
    if (type !== undefined && type !== "Document") return DROP;
  }
  if ((name === "loadingFinished" || name === "loadingFailed") && (held.delete(id) || !followed.delete(id))) return DROP;
  return passed(session);
}

function follow(id) {
  followed.add(id);
  if (followed.size > MOST_FOLLOWED) followed.delete(followed.values().next().value);
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
    follow(id);
    send(size, text);
  }
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

// A page can have its browser send events without end: console lines, errors, frames, workers, sockets. All of them pass
// through the one process that serves every page of the engine, through this one, and many through the farm. So what
// comes from each page is counted, and one that sends more than a hundred ordinary pages at once is ended: its renderer
// is crashed, which needs neither the page nor the farm to be quick. The farm is told by a file which page it was.
const children = require("node:child_process");
const { appendFileSync } = require("node:fs");
const { join } = require("node:path");

const WINDOW_MS = 2000;
const MOST_EVENTS = 5000;
const MOST_BYTES = 128 * 1024 * 1024;
const MOST_SESSIONS = 8192;
const FLOODED = join(__dirname, "flooded");
const SESSION = '"sessionId":"';
const SESSION_CHARS = 32;
const SESSION_TAIL = SESSION.length + SESSION_CHARS + 2;
const ATTACHED_AT = '{"method":"'.length; // `Target.attachedToTarget`: the first letter sorts nearly all others out
const ATTACHED_BYTE = "T".charCodeAt(0);
const ATTACHED_CHARS = 256;
const CHILD = /^\{"method":"Target\.attachedToTarget","params":\{"sessionId":"(\w{32})","targetInfo":\{"targetId":"([\w-]+)","type":"(\w+)"/;
const MOST_ENDED = 1000;
const MOST_KEPT = 4096;
const UNASKED = -9999; // the number of the driver's own `Browser.close`, of which it ignores the answer

function watch(to, from) {
  const counts = new Map(); // by session: when its window began, and its events and bytes since
  const parents = new Map(); // by session: the session that it came by, its target and that one's type
  let ended = 0;
  let begun = 0; // bytes of a message whose end has not come,
  let cut = null; // and where they are few, these bytes

  const end = (session) => {
    if (ended >= MOST_ENDED) return;
    // A worker or a frame of another site has a session of its own, which came by its page's.
    let top = session;
    for (let known = parents.get(top); known?.parent && known.type !== "page"; known = parents.get(top)) {
      top = known.parent;
    }
    ended += 1;
    appendFileSync(FLOODED, (parents.get(top)?.target ?? "") + "\n");
    to.write(JSON.stringify({ id: UNASKED, sessionId: top, method: "Page.crash" }) + "\0");
  };
  const count = (session, bytes, now) => {
    const known = counts.get(session);
    if (known === undefined || now - known.since > WINDOW_MS) {
      if (counts.size >= MOST_SESSIONS) counts.clear();
      counts.set(session, { since: now, events: 1, bytes });
      return;
    }
    known.events += 1;
    known.bytes += bytes;
    if (known.events === MOST_EVENTS || (known.bytes >= MOST_BYTES && known.events < MOST_EVENTS)) {
      known.events = MOST_EVENTS;
      end(session);
    }
  };
  const adopt = (piece, start, session) => {
    const [, child, target, type] = CHILD.exec(piece.toString("latin1", start, start + ATTACHED_CHARS)) ?? [];
    if (child === undefined) return;
    if (parents.size >= MOST_SESSIONS) parents.clear();
    parents.set(child, { parent: session, target, type });
  };
  const look = (came) => {
    const now = Date.now();
    const piece = cut === null ? came : Buffer.concat([cut, came]);
    if (cut !== null) begun = 0;
    let start = 0;
    for (let stop = piece.indexOf(0); stop >= 0; stop = piece.indexOf(0, start)) {
      const tail = stop - SESSION_TAIL >= start ? piece.toString("latin1", stop - SESSION_TAIL, stop) : "";
      const session = tail.startsWith(SESSION) ? tail.slice(SESSION.length, SESSION.length + SESSION_CHARS) : "";
      if (begun === 0 && piece[start + ATTACHED_AT] === ATTACHED_BYTE) adopt(piece, start, session);
      if (session) count(session, begun + stop - start, now);
      begun = 0;
      start = stop + 1;
    }
    const left = piece.length - start;
    cut = begun === 0 && left > 0 && left < MOST_KEPT ? Buffer.from(piece.subarray(start)) : null;
    begun += left;
  };
  const emit = from.emit;
  from.emit = function (name, ...rest) {
    if (name === "data" && Buffer.isBuffer(rest[0])) look(rest[0]);
    return emit.call(this, name, ...rest);
  };
}

const { spawn } = children;
children.spawn = function (program, argv, ...rest) {
  const child = spawn.call(this, program, argv, ...rest);
  const [, , , to, from] = child.stdio ?? [];
  if (to && from && Array.isArray(argv) && argv.includes("--remote-debugging-pipe")) watch(to, from);
  return child;
};
