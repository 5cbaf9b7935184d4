// Stands between the rules for cookie banners (autoconsent) and the farm: keeps what they say until it is asked for.
// Runs before them, in an isolated world of their own.
if (!window.consentNews) {
  const asked = [];
  const ENDS = ["nothingDetected", "done", "optOutSucceeded", "optOutFailed", "optInSucceeded", "optInFailed"];
  // Not only the word: `privacy` alone stands in every footer.
  const ABOUT = /cookie|consent|gdpr|rgpd|dsgvo|datenschutz|einwilligung|tracking|confidentialit|privacidad|privatlivs/i;
  const YES =
    /^(i )?(accept|agree|allow|ok(ay)?|got it|understood|yes|continue|alle(s)? (akzeptieren|zulassen|erlauben|accepteren)|akzeptieren|zustimmen|einverstanden|annehmen|verstanden|zulassen|tout accepter|accepter|j.accepte|d.accord|aceptar|acepto|permitir|accett[ao]|accetta tutto|consenti|akkoord|accepteren|toestaan|aceitar|aceito|zgadzam|akceptuj|zaakceptuj|godk[aä]nn|acceptera|godta|tillad|hyv[aä]ksy|souhlas|p[rř]ijmout|elfogad)/i;
  let state = "loading";
  let by = "";
  let isWaiting = true;
  let wake = () => {};
  // They wait for a word to answer the banner: who knows it is told before, since the answer may load the page again.
  const isNews = () =>
    asked.length > 0 || ENDS.includes(state) || (isWaiting && state === "openPopupDetected");

  // The browser's own waits for a frame, and frames are made on demand.
  window.requestIdleCallback = (callback) => setTimeout(callback, 0);
  window.autoconsentSendMessage = async (message) => {
    if (message.type === "eval") asked.push([message.id, message.code]);
    else if (message.type === "report") state = message.state.lifecycle;
    else if (message.type === "popupFound") by = message.cmp;
    wake();
  };

  // What there is to be known, as soon as there is something, or when the time is over.
  window.consentNews = async (ms) => {
    if (!isNews()) {
      await new Promise((resolve) => {
        wake = () => isNews() && resolve();
        setTimeout(resolve, ms);
      });
    }
    if (state === "openPopupDetected") isWaiting = false;
    return JSON.stringify({ asked: asked.splice(0, 20), state, by, over: ENDS.includes(state) });
  };

  // The rules press `reject` on a banner that they do not know, and never `accept`.
  window.consentAccept = () => {
    for (const { text, buttons } of window.autoconsentHeuristics.getPotentialPopups(100)) {
      const button = ABOUT.test(text.slice(0, 5000)) && buttons.find((one) => YES.test(one.text.trim()));
      if (!button) continue;
      button.element.click();
      return true;
    }
    return false;
  };
}
