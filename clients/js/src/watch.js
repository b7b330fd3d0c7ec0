/** Following a run to its end, over as many connections as it takes. */

import { Answer, outOfSequence } from "./answer.js";
import { Linked } from "./abort.js";
import { sleep } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { Buffered, HeadwaterError, NotHeadwater, TooManyRetries, Unavailable } from "./errors.js";
import { Queue } from "./queue.js";
import { pathOf } from "./run.js";
import { STOPPED, byEventSource, byFetch, lineBroke } from "./streams.js";

/**
 * @typedef {import("./http.js").Connection} Connection
 * @typedef {import("./sse.js").Message} Message
 * @typedef {import("./types.js").WatchEvent} WatchEvent
 * @typedef {import("./types.js").Result} Result
 *
 * @typedef {object} WatchOptions
 * @property {string} [after] a position from which to go on; without it, all that there is comes first
 * @property {string} [text] what is held already, up to `after`
 * @property {"fetch" | "eventsource"} [transport]
 * @property {AbortSignal} [signal]
 */

// In a row: a server whose events do not join is not mended by asking it again.
const STRAYS_MAX = 5;
const ENDED = ["completed", "failed", "cancelled", "incomplete"];

/**
 * One who follows a run. It begins by itself; listeners that are added at once miss nothing, and a loop that begins
 * late begins with a snapshot. `done` is how the run ended, and fails with whatever ended the watch before.
 *
 * @extends {Emitter<WatchEvent>}
 */
export class Watch extends Emitter {
  #connection;
  #path;
  #open;
  #linked;
  #answer = new Answer();
  /** @type {string | undefined} */
  #position;
  /** @type {Set<Queue>} */
  #queues = new Set();
  /** @type {{error?: unknown, end?: WatchEvent} | undefined} */
  #over;
  #patience;
  #strays = 0;
  #furthest = -1;
  #heard = false;
  #heardHere = false;
  #closed = new DOMException("The watch was closed.", "AbortError");

  /**
   * @param {Connection} connection
   * @param {string | {id: string}} run
   * @param {WatchOptions} [options]
   */
  constructor(connection, run, { after, text, transport = "fetch", signal } = {}) {
    super();
    /** The run's. */
    this.id = typeof run === "string" ? run : run.id;
    /** How the run stands, as far as it was told. @type {import("./types.js").RunStatus | undefined} */
    this.status = undefined;
    this.#connection = connection;
    this.#path = pathOf(run);
    this.#open = transport === "eventsource" ? byEventSource : byFetch;
    this.#linked = new Linked(signal);
    this.#position = after;
    if (after !== undefined) this.#answer.replace(text ? [{ text }] : [], undefined);
    this.#patience = connection.patience();
    /** @type {Promise<Result>} */
    this.done = Promise.resolve().then(() => this.#follow());
    this.done.catch(() => {}); // told to loops and to the status as well
  }

  /** All text so far. */
  get text() {
    return this.#answer.text;
  }

  /** All output so far: text, reasoning, refusals and tool calls. */
  get parts() {
    return [...this.#answer.parts];
  }

  /** From where to go on, in another watch; undefined before the first event that has one. */
  get position() {
    return this.#position;
  }

  /** Stop watching; the run goes on. */
  close() {
    this.#linked.controller.abort(this.#closed);
  }

  /**
   * The events, from what there is on. Leaving the loop closes the watch, unless others follow it too.
   *
   * @returns {AsyncGenerator<WatchEvent, void, void>}
   */
  async *[Symbol.asyncIterator]() {
    const queue = new Queue();
    if (this.#heard) queue.push(this.#event("snapshot", { seq: this.#answer.seq, parts: this.parts }));
    if (this.#over?.end) queue.push(this.#over.end);
    if (this.#over) queue.close(this.#over.error);
    else this.#queues.add(queue);
    try {
      for (let event = await queue.next(); event !== undefined; event = await queue.next()) yield event;
    } finally {
      this.#queues.delete(queue);
      if (this.#queues.size === 0 && !this.hasListeners) this.close();
    }
  }

  // -- one connection after another

  /** @returns {Promise<Result>} */
  async #follow() {
    try {
      const end = await this.#toTheEnd();
      const told = this.#event("end", end);
      this.#over = { end: told };
      this.status = end.status;
      this.#tell(told);
      this.#tellStatus({ state: "closed" });
      const { after, seq, ...ending } = end;
      return { id: this.id, ...ending, text: this.text, parts: this.parts, position: this.#position };
    } catch (error) {
      this.#over = error === this.#closed ? {} : { error };
      const told = error instanceof HeadwaterError ? { error } : {};
      this.#tellStatus({ state: "closed", ...told });
      throw error;
    } finally {
      this.#linked.unlink();
      for (const queue of this.#queues) queue.close(this.#over?.error);
    }
  }

  /** @returns {Promise<import("./types.js").EndData>} */
  async #toTheEnd() {
    const { signal } = this.#linked;
    for (;;) {
      const began = Date.now();
      this.#tellStatus({ state: "connecting" });
      let trouble;
      try {
        const end = await this.#once();
        if (end !== undefined) return end;
        trouble = lineBroke();
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        trouble = await this.#passing(error);
      }
      const waitMs = this.#patience.next(trouble, this.#heardHere ? 0 : Date.now() - began);
      this.#tellStatus({ state: "retrying", waitMs, error: trouble });
      await sleep(waitMs, signal);
    }
  }

  /** One connection: the end of the run, if it came to it. */
  async #once() {
    const opening = {
      path: this.#path,
      position: this.#position,
      signal: this.#linked.signal,
      onRetry: (/** @type {number} */ ms) => (this.#patience.baseMs = Math.min(ms, this.#patience.capMs)),
    };
    this.#heardHere = false;
    for await (const message of this.#open(this.#connection, opening)) {
      if (message === STOPPED) return this.#stopped();
      if (!this.#heardHere) this.#tellStatus({ state: "live" });
      this.#heardHere = true;
      const end = this.#take(message);
      if (end !== undefined) return end;
    }
    return undefined;
  }

  /**
   * What failed, if another try may mend it. Throws it otherwise, or what it comes from.
   *
   * @param {unknown} error
   * @returns {Promise<HeadwaterError>}
   */
  async #passing(error) {
    // Where Headwater has answered before, something before it speaks for it while it is away.
    if (error instanceof NotHeadwater && this.#heard) return error;
    if (!(error instanceof Unavailable)) throw error;
    if (error.code === "out_of_sequence" && ++this.#strays > STRAYS_MAX) {
      throw new TooManyRetries(`The server's events do not join, whatever is asked for. ${error.message}`, {
        code: "out_of_sequence",
        cause: error,
      });
    }
    if (error.code === "nothing" && (await this.#isServed())) {
      throw new Buffered(
        "The server answers, but its stream does not come through: a proxy on the way collects it. In nginx, set " +
          "`proxy_buffering off;` and `proxy_http_version 1.1;` for this location, and do not ignore X-Accel-Buffering.",
        { code: "buffered", cause: error },
      );
    }
    return error;
  }

  /** Whether the run is under way, and can be read: then its events should have come. */
  async #isServed() {
    try {
      const { signal } = this.#linked;
      return !ENDED.includes((await this.#connection.json(this.#path, { signal })).status);
    } catch (error) {
      if (error instanceof Unavailable) return false;
      throw error;
    }
  }

  /** There is nothing after the position that this watch was begun from. */
  async #stopped() {
    const { signal } = this.#linked;
    const run = await this.#connection.json(this.#path, { signal });
    if (!ENDED.includes(run.status)) throw outOfSequence("nothing is left of a run that has not ended");
    this.#answer.replace(run.parts, undefined);
    this.#position = run.position;
    this.#heard = true;
    this.#tell(this.#event("snapshot", { parts: run.parts }));
    /** @type {import("./types.js").EndData} */
    const end = { status: run.status };
    const told = Object.entries({ finish_reason: run.finish_reason, reason: run.reason, error: run.error, usage: run.usage });
    return Object.assign(end, Object.fromEntries(told.filter(([, value]) => value !== null && value !== undefined)));
  }

  // -- what comes

  /**
   * @param {Message} message
   * @returns {import("./types.js").EndData | undefined}
   */
  #take({ event, data: json, id }) {
    const data = parsed(json);
    if (event === "run") {
      this.#heard = true;
      this.#patience.heard();
      this.status = data.status;
      this.#tell(this.#event("run", data));
      return undefined;
    }
    const delta = this.#grow(event, data);
    if (delta === undefined) return undefined;
    this.#heard = true;
    this.#position = id ?? this.#position;
    if (data.seq > this.#furthest) {
      this.#furthest = data.seq;
      this.#strays = 0;
      this.#patience.reset();
    }
    if (event === "end") return data;
    this.#tell(this.#event(event, data, event === "delta" ? { delta } : {}));
    return undefined;
  }

  /**
   * The new text, or undefined of an event that is of no kind we know.
   *
   * @param {string} event
   * @param {any} data
   */
  #grow(event, data) {
    const answer = this.#answer;
    if (event === "delta") return answer.append(data);
    if (event === "snapshot") answer.replace(data.parts, data.seq);
    else if (event === "attempt") answer.retry(data);
    else if (event === "end") answer.end(data);
    else return undefined;
    return "";
  }

  // -- who is told

  /**
   * @param {string} type
   * @param {unknown} data
   * @param {object} [more]
   * @returns {WatchEvent}
   */
  #event(type, data, more) {
    return /** @type {any} */ ({ type, text: this.text, position: this.#position, data, ...more });
  }

  /** @param {Omit<import("./types.js").StatusEvent, "type" | "tries">} status */
  #tellStatus(status) {
    const soFar = { text: this.text, position: this.#position };
    this.#tell({ type: "status", tries: this.#patience.tries, ...soFar, ...status });
  }

  /** @param {WatchEvent} event */
  #tell(event) {
    for (const queue of this.#queues) queue.push(event);
    this.emit(event);
  }
}

/** @param {string} json */
function parsed(json) {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new Unavailable("An event of the stream is not JSON.", { code: "out_of_sequence", cause: error });
  }
}
