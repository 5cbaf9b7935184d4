// Runs in the page's own world before any of its scripts: what a page tells its console is told to nobody here, but
// passes through the process that serves every page of the engine. So a document may say a thousand things, which is
// more than a page says that is well, and what goes on after that is dropped where it begins. A page can get around this
// (a worker has a console of its own); then the driver ends it (`watch.cjs`).
((most, chars) => {
  "use strict";
  const apply = Reflect.apply;
  const { preventDefault } = Event.prototype;
  let said = 0;
  for (const name of Object.keys(console)) {
    const native = console[name];
    if (typeof native !== "function") continue;
    console[name] = {
      [name](...args) {
        said += 1;
        for (const one of args) if (typeof one === "string") said += one.length / chars;
        if (said <= most) return apply(native, console, args);
        return undefined;
      },
    }[name];
  }
  const ignore = (event) => {
    if ((said += 1) > most) apply(preventDefault, event, []);
  };
  addEventListener("error", ignore);
  addEventListener("unhandledrejection", ignore);
})(1000, 10000);
