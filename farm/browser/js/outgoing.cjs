// What the driver writes to the browser. The scripts by which pages are read are long and sent to each document: the
// farm sends a mark, and here, where a message leaves, the script takes its place. Neither Python nor the driver has to
// write and read it. A message and the byte that ends it are one system call, as are all messages of a turn.
const SCRIPTS = {}; // by mark, as they stand within a message; filled in where this file is written
const [MARK] = Object.keys(SCRIPTS).map((mark) => mark.slice(0, mark.indexOf(":")));

function expanded(text) {
  if (MARK === undefined || !text.includes(MARK)) return text;
  return Object.entries(SCRIPTS).reduce((sent, [mark, script]) => sent.replace(mark, () => script), text);
}

function gather(to) {
  const { write } = to;
  let isHeld = false;
  const flush = () => {
    isHeld = false;
    to.uncork();
  };
  to.write = function (text, ...rest) {
    if (!isHeld) {
      isHeld = true;
      to.cork();
      process.nextTick(flush);
    }
    return write.call(this, typeof text === "string" ? expanded(text) : text, ...rest);
  };
}
