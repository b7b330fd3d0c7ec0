/** One run on the page: its answer, and what is known of it. */

import { $, count, messageOf, seconds, setPill, timeOf, tryAgain, h } from "./dom.js";
import { Reader, say } from "./aloud.js";
import { attemptOf, statusOf, verdictOf } from "./ends.js";
import { client, rendered } from "./server.js";

// Over which a speed is measured: long enough to be calm, short enough to be now.
const SPEED_MS = 3000;

export class RunView {
  #id;
  #watch;
  #askedAt;
  #reader = new Reader();
  #text = document.createTextNode("");
  /** @type {[number, number][]} when, and how many tokens there were */
  #pace = [];
  #wasLost = false;
  #closed = false;
  #over = new AbortController();

  /**
   * @param {string} id
   * @param {{question?: string, askedAt?: number}} [known] of a run that was asked for here
   */
  constructor(id, { question, askedAt } = {}) {
    this.#id = id;
    this.#askedAt = askedAt;
    this.#clear(question ?? "…");
    this.#note(askedAt ? "Asked" : "Opened");
    if (question === undefined) this.#nameIt();
    this.#follow();
  }

  /** Nobody looks at it any more; the run goes on. */
  close() {
    this.#closed = true;
    this.#over.abort();
    this.#watch.close();
    this.#reader.stop();
  }

  async stop() {
    $("stop").disabled = true;
    try {
      await client.cancelRun(this.#id);
    } catch (error) {
      if (!this.#closed) this.#note(messageOf(error), "bad");
    } finally {
      $("stop").disabled = false;
    }
  }

  /** @param {string} question */
  #clear(question) {
    $("question").textContent = question;
    $("output").replaceChildren(this.#text);
    $("output").hidden = false;
    $("model-name").textContent = "";
    for (const id of ["rendered", "view", "verdict", "thoughts", "attempt"]) $(id).hidden = true;
    for (const fact of ["first", "speed", "tokens", "position"]) $(`fact-${fact}`).textContent = "–";
    $("fact-attempts").textContent = "1";
    $("log").replaceChildren();
    this.#show("Waiting", "live", "live");
  }

  /** The question that whoever asked has left with the run. */
  async #nameIt() {
    const run = await client.getRun(this.#id).catch(() => undefined);
    if (this.#closed) return;
    $("question").textContent = run?.metadata.prompt ?? "An answer";
    if (run) $("model-name").textContent = run.model;
  }

  // -- what comes

  #follow() {
    const watch = (this.#watch = client.watchRun(this.#id));
    watch.on("run", ({ data }) => this.#onRun(data));
    watch.on("snapshot", (event) => this.#onSnapshot(event));
    watch.on("delta", (event) => this.#onDelta(event));
    watch.on("attempt", (event) => this.#onAttempt(event));
    watch.on("end", (event) => this.#onEnd(event));
    watch.on("status", (event) => this.#onStatus(event));
    const { signal } = this.#over;
    for (const type of ["offline", "online"]) addEventListener(type, () => this.#onNetwork(), { signal });
  }

  #onRun({ status, model }) {
    $("model-name").textContent = model;
    this.#show(...statusOf(status), "live");
    $("stop").hidden = false;
  }

  #onSnapshot({ text, position, data }) {
    this.#setText(text);
    this.#reader.skip(text);
    this.#think(data.parts.map((part) => part.reasoning ?? "").join(""), true);
    if (!this.#askedAt) this.#note(`${count(text.length)} characters were there already`);
    else if (text) this.#first();
    this.#place(position, data.seq);
  }

  #onDelta({ text, delta, position, data }) {
    this.#first();
    if (this.#text.length + delta.length === text.length) this.#grow(delta);
    else this.#setText(text);
    if (data.reasoning) this.#think(data.reasoning);
    this.#reader.grow(text);
    this.#place(position, data.seq);
  }

  /** How long whoever asked here has waited. */
  #first() {
    if (!this.#askedAt || $("fact-first").textContent !== "–") return;
    $("fact-first").textContent = seconds(performance.now() - this.#askedAt);
    this.#note("First token");
  }

  #onAttempt({ text, position, data }) {
    this.#setText(text);
    $("fact-attempts").textContent = String(data.number);
    const said = attemptOf(data);
    Object.assign($("attempt"), { textContent: said, hidden: false });
    this.#note(said, "warn");
    say(`${said}.`);
    this.#place(position, data.seq);
  }

  async #onEnd({ text, position, data }) {
    this.#over.abort();
    const [word, tone] = statusOf(data.status);
    const verdict = verdictOf(data);
    this.#setText(text);
    this.#show(word, tone, tone);
    this.#place(position);
    this.#note(word, tone);
    if (verdict) {
      Object.assign($("verdict"), { textContent: verdict, hidden: false });
      $("verdict").dataset.tone = data.status === "cancelled" ? "dim" : tone;
    }
    this.#reader.end(text, verdict ?? "The answer is complete.");
    $("stop").hidden = true;
    await Promise.all([this.#render(text), this.#settle(data)]);
  }

  #onStatus({ state, waitMs, error }) {
    if (state === "retrying") {
      this.#wasLost = true;
      this.#show(...lost(), "lost");
      this.#note(`The line is lost; another try in ${seconds(waitMs)}`, "warn");
    } else if (state === "live" && this.#wasLost) {
      this.#wasLost = false;
      this.#note("Back, right behind the last token", "good");
    } else if (state === "closed" && error && !this.#closed) {
      this.#over.abort();
      this.#show("Not followed", "bad", "bad");
      this.#note(error.message, "bad");
      $("verdict").replaceChildren(error.message, " ", tryAgain());
      $("verdict").hidden = false;
      $("verdict").dataset.tone = "bad";
      $("stop").hidden = true;
    }
  }

  /** The browser says so before any connection knows. */
  #onNetwork() {
    if (!navigator.onLine) this.#show(...lost(), "lost");
    else if (!this.#wasLost) this.#show(...statusOf(this.#watch.status ?? "queued"), "live");
  }

  // -- what is shown

  /** @param {string} word @param {string} tone @param {string} state of the line */
  #show(word, tone, state) {
    setPill($("status"), word, tone);
    $("answer").dataset.state = state;
    $("output").toggleAttribute("data-live", state === "live");
  }

  #grow(delta) {
    const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
    const atBottom = scrollHeight > clientHeight && scrollHeight - clientHeight - scrollTop < 60;
    this.#text.appendData(delta);
    if (atBottom && scrollTop > 0) document.documentElement.scrollTop = scrollHeight;
  }

  #setText(text) {
    if (this.#text.data !== text) this.#text.data = text;
  }

  #think(reasoning, anew = false) {
    const box = $("thoughts").querySelector(".plain");
    if (anew) box.textContent = "";
    if (!reasoning && !anew) return;
    box.append(reasoning);
    $("thoughts").hidden = box.textContent === "";
  }

  #place(position, seq) {
    $("fact-position").textContent = position ?? "–";
    if (seq === undefined) return;
    $("fact-tokens").textContent = count(seq);
    const now = performance.now();
    this.#pace.push([now, seq]);
    while (this.#pace[0][0] < now - SPEED_MS) this.#pace.shift();
    const [at, from] = this.#pace[0];
    if (now - at > SPEED_MS / 4) $("fact-speed").textContent = `${Math.round(((seq - from) * 1000) / (now - at))} tokens/s`;
  }

  async #render(text) {
    const [html] = text.trim() ? await rendered([text]) : [undefined];
    if (this.#closed || html === undefined) return;
    $("rendered").innerHTML = html; // of our own server, which lets no HTML of the text through
    $("view").hidden = false;
    this.showPlain(false);
  }

  /** @param {boolean} plain */
  showPlain(plain) {
    $("output").hidden = !plain;
    $("rendered").hidden = plain;
    $("view").textContent = plain ? "Formatted" : "Plain text";
    $("view").setAttribute("aria-pressed", String(plain));
  }

  get text() {
    return this.#text.data;
  }

  /** What only the run itself knows, once it is over. */
  async #settle({ usage }) {
    const run = await client.getRun(this.#id).catch(() => undefined);
    if (this.#closed) return;
    if (run?.attempts) $("fact-attempts").textContent = count(run.attempts.length);
    if (usage?.output_tokens) $("fact-tokens").textContent = `${usage.estimated ? "about " : ""}${count(usage.output_tokens)}`;
    const took = run?.started_at && run?.ended_at ? run.ended_at - run.started_at : 0;
    if (took && usage?.output_tokens) $("fact-speed").textContent = `${Math.round(usage.output_tokens / took)} tokens/s`;
  }

  #note(what, tone = "none") {
    $("log").append(h("li", { data: { tone } }, timeOf(Date.now() / 1000, true), h("span", {}, what)));
    $("log").scrollTop = $("log").scrollHeight;
  }
}

/** How a line that is lost is told of. @returns {[string, string]} */
function lost() {
  return [navigator.onLine ? "Reconnecting" : "You are offline", "warn"];
}
