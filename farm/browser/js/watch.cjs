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
const MOST_PARSED = 64 * 1024; // of an error; a longer one is not told
const SAID = [
  ["console", '{"method":"Runtime.consoleAPICalled","params":{"type":"error"'],
  ["exception", '{"method":"Runtime.exceptionThrown","params":{'],
];
const SAID_CHARS = 64;
const RUNTIME_BYTE = "R".charCodeAt(0);
const UNASKED = -9999; // the number of the driver's own `Browser.close`, of which it ignores the answer

function watch(to, from) {
  const counts = new Map(); // by session: when its window began, and its events and bytes since
  const parents = new Map(); // by session: the session that it came by, its target and that one's type
  let ended = 0;
  let begun = 0; // bytes of a message whose end has not come,
  let cut = null; // and where they are few, these bytes

  // A worker or a frame of another site has a session of its own, which came by its page's.
  const pageOf = (session) => {
    let top = session;
    for (let known = parents.get(top); known?.parent && known.type !== "page"; known = parents.get(top)) {
      top = known.parent;
    }
    return top;
  };
  const end = (session) => {
    if (ended >= MOST_ENDED) return;
    const top = pageOf(session);
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
    if (type !== "page") return;
    if (pages.size >= MOST_SESSIONS) pages.clear();
    pages.add(target);
  };
  const kindOf = (piece, start) => {
    if (piece[start + ATTACHED_AT] !== RUNTIME_BYTE) return undefined;
    const head = piece.latin1Slice(start, Math.min(start + SAID_CHARS, piece.length));
    return SAID.find(([, said]) => head.startsWith(said))?.[0];
  };
  const hear = (message, kind, target) => {
    const session = owners.get(target);
    if (session === undefined || isFull(session)) return;
    try {
      const { params } = JSON.parse(message.toString());
      note(session, kind, ...(kind === "console" ? lineOf(params) : thrownBy(params.exceptionDetails)));
    } catch {
      // Another build of the browser says it otherwise; its errors are not told.
    }
  };
  // Return the errors of what came, each with the place in it where the driver must have read what was before.
  const look = (came) => {
    const said = [];
    const now = Date.now();
    const piece = cut === null ? came : Buffer.concat([cut, came]);
    if (cut !== null) begun = 0;
    let start = 0;
    for (let stop = piece.indexOf(0); stop >= 0; stop = piece.indexOf(0, start)) {
      const tail = stop - SESSION_TAIL >= start ? piece.toString("latin1", stop - SESSION_TAIL, stop) : "";
      const session = tail.startsWith(SESSION) ? tail.slice(SESSION.length, SESSION.length + SESSION_CHARS) : "";
      if (begun === 0 && piece[start + ATTACHED_AT] === ATTACHED_BYTE) adopt(piece, start, session);
      const kind = begun === 0 ? kindOf(piece, start) : undefined;
      if (kind !== undefined && stop - start <= MOST_PARSED) {
        const target = parents.get(pageOf(session))?.target;
        const message = piece.subarray(start, stop);
        said.push({ before: stop + 1 - piece.length + came.length, hear: () => hear(message, kind, target) });
      }
      if (session) count(session, begun + stop - start, now);
      begun = 0;
      start = stop + 1;
    }
    const left = piece.length - start;
    const most = kindOf(piece, start) === undefined ? MOST_KEPT : MOST_PARSED;
    cut = begun === 0 && left > 0 && left < most ? Buffer.from(piece.subarray(start)) : null;
    begun += left;
    return said;
  };
  const emit = from.emit;
  from.emit = function (name, ...rest) {
    if (name !== "data" || !Buffer.isBuffer(rest[0])) return emit.call(this, name, ...rest);
    let [piece] = rest;
    let read = 0;
    // The driver handles each message in an immediate of its own, so that this one comes in its turn: after the
    // document that the error is of was asked for, and before the answer that ends the visit.
    for (const { before, hear } of look(piece)) {
      emit.call(this, name, piece.subarray(0, before - read));
      setImmediate(hear);
      piece = piece.subarray(before - read);
      read = before;
    }
    return piece.length > 0 ? emit.call(this, name, piece) : true;
  };
}

const { spawn } = children;
children.spawn = function (program, argv, ...rest) {
  const child = spawn.call(this, program, argv, ...rest);
  const [, , , to, from] = child.stdio ?? [];
  if (to && from && Array.isArray(argv) && argv.includes("--remote-debugging-pipe")) {
    gather(to);
    watch(to, from);
  }
  return child;
};
