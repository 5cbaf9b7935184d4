// Loaded into Playwright's driver before it starts. Of what the driver says about loading and requests it passes on
// what the farm looks at: documents and scripts, as the browser tells them to a tab's own session. That is nine messages
// of a page's forty-three; each of the others would be written, read, parsed and handed round in Python to be dropped
// there. Who would wait for a load state, or listen to requests, by Playwright's objects must let them pass first.
//
// It reads messages as Playwright writes them, and passes on all that does not look exactly so: another version of
// Playwright costs speed and nothing else.
"use strict";

// Playwright makes an Error for each call in case it fails; where it was made is told to nobody.
Error.stackTraceLimit = 0;

const LENGTH_BYTES = 4;
const EVENT = /^\{"guid":"(cdp-session@[^"]+)","method":"event","params":\{"method":"Network\.(\w+)","params":\{(?:"requestId":"([^"]+)")?/;
const UNHEARD = /^\{"guid":"(?:frame|browser-context)@[^"]+","method":"(?:loadstate|request|requestFinished|requestFailed|response)","params":/;
const ASKED_TYPE = /,"type":"(\w+)","frameId":"\w+","hasUserGesture":\w+/;
const ANSWER_TYPE = /,"timestamp":[\d.]+,"type":"(\w+)"/;
const HEAD_BYTES = 512;
const TAIL_BYTES = 256;
const UNSEEN = new Set([
  "dataReceived",
  "policyUpdated",
  "requestServedFromCache",
  "requestWillBeSentExtraInfo",
  "resourceChangedPriority",
  "responseReceivedExtraInfo",
]);
// The oldest go first: a request that was passed on and has no end belongs to a page that is gone.
const MOST_FOLLOWED = 4096;
const followed = new Set();

function isWanted(body) {
  const head = body.toString("latin1", 0, HEAD_BYTES);
  const [, session, name, number] = EVENT.exec(head) ?? [];
  if (name === undefined) return !UNHEARD.test(head);
  if (UNSEEN.has(name)) return false;
  if (number === undefined) return true;
  // Two tabs may number their requests alike.
  const id = session + number;
  if (name === "requestWillBeSent") {
    const tail = body.toString("latin1", Math.max(0, body.length - TAIL_BYTES));
    const type = ASKED_TYPE.exec(tail)?.[1];
    if (type !== undefined && type !== "Document" && type !== "Script") return false;
    followed.add(id);
    if (followed.size > MOST_FOLLOWED) followed.delete(followed.values().next().value);
  }
  if (name === "responseReceived") {
    const type = ANSWER_TYPE.exec(head)?.[1];
    return type === undefined || type === "Document";
  }
  if (name === "loadingFinished" || name === "loadingFailed") return followed.delete(id);
  return true;
}

// A message comes in two pieces: the bytes of its length, and its text.
const out = process.stdout;
const write = out.write.bind(out);
let length = null;

out.write = (piece, ...more) => {
  if (length === null && Buffer.isBuffer(piece) && piece.length === LENGTH_BYTES) {
    length = piece;
    return true;
  }
  const announced = length;
  length = null;
  if (announced === null) return write(piece, ...more);
  const isMessage = Buffer.isBuffer(piece) && piece.length === announced.readUInt32LE(0);
  if (isMessage && !isWanted(piece)) return true;
  out.cork();
  write(announced);
  const goesOn = write(piece, ...more);
  out.uncork();
  return goesOn;
};
