/** Commands to a room, in order: each is sent once the one before is answered, and again until it is answered itself. */

import { BadRequest, Unavailable, refusalOf } from "./errors.js";

/** Of a frame, as UTF-8: over that the server closes the socket for good. */
const FRAME_BYTES = 64 * 1024;
/** Of commands that wait: more than anybody types while the network is away. */
const WAITING_MAX = 1_000;
/** What it means where a command may have been done already: that it was. */
const DONE_BEFORE = /** @type {Record<string, string[]>} */ ({
  delete: ["unknown_message"],
  cancel: ["conflict", "unknown_run", "unknown_message"],
});

/**
 * @typedef {{type: string, ref: string} & Record<string, unknown>} Command
 *
 * @typedef {object} Waiting
 * @property {Command} command
 * @property {boolean} wasSent so that nobody knows whether it was done
 * @property {(answer: any) => void} resolve
 * @property {(error: unknown) => void} reject
 */

export class Outbox {
  /** @type {Waiting[]} */
  #waiting = [];
  /** Whether the first of them is. */
  #isUnderWay = false;
  #refs = 0;
  #patience;
  /** @type {((command: Command) => void) | undefined} while the line is up */
  #send;
  /** @type {ReturnType<typeof setTimeout> | undefined} until what was refused for now is sent again */
  #timer;
  /** @type {{error: unknown} | undefined} why nothing is taken any more */
  #closed;

  /** @param {import("./backoff.js").Patience} patience with a command that is refused for now */
  constructor(patience) {
    this.#patience = patience;
  }

  /**
   * The answer to this command, once it came. Fails with what it was refused with, and with the signal's reason.
   *
   * @param {{type: string} & Record<string, unknown>} fields
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async ask(fields, signal) {
    if (this.#closed) throw this.#closed.error;
    signal?.throwIfAborted();
    this.#refs += 1;
    const command = { ...fields, ref: `${this.#refs}` };
    if (new TextEncoder().encode(JSON.stringify(command)).length > FRAME_BYTES) {
      const about = { code: "too_large", field: "text", limit: FRAME_BYTES };
      throw new BadRequest("It is too long for a room: send a long text with POST /v1/runs.", about);
    }
    if (this.#waiting.length >= WAITING_MAX) {
      const about = { code: "too_many", limit: WAITING_MAX };
      throw new Unavailable("Too much waits to be sent: wait until the room is there again.", about);
    }
    return this.#answerTo(command, signal);
  }

  /**
   * The line is up.
   *
   * @param {(command: Command) => void} send
   */
  open(send) {
    this.#send = send;
    this.#pump();
  }

  /** The line was lost. */
  pause() {
    this.#send = undefined;
    this.#again();
  }

  /** @param {any} answer `ok` or `error`; one to nothing that waits is nobody's */
  take(answer) {
    const [waiting] = this.#waiting;
    if (!this.#isUnderWay || waiting.command.ref !== answer.ref) return;
    if (answer.type === "error" && answer.retryable) {
      const refusal = refusalOf(answer, true);
      try {
        this.#againIn(this.#patience.next(refusal));
        return;
      } catch (error) {
        waiting.reject(error);
      }
    } else {
      const wasDone = waiting.wasSent && DONE_BEFORE[waiting.command.type]?.includes(answer.code);
      if (answer.type === "ok" || wasDone) waiting.resolve(answer);
      else waiting.reject(refusalOf(answer, true));
    }
    this.#drop(waiting);
  }

  /**
   * Whatever waits, or comes yet, fails with this.
   *
   * @param {unknown} error
   */
  close(error) {
    this.#closed = { error };
    clearTimeout(this.#timer);
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
  }

  // --

  /**
   * @param {Command} command
   * @param {AbortSignal} [signal]
   */
  #answerTo(command, signal) {
    return new Promise((resolve, reject) => {
      const settle = () => signal?.removeEventListener("abort", onAbort);
      /** @type {Waiting} */
      const waiting = {
        command,
        wasSent: false,
        resolve: (answer) => (settle(), resolve(answer)),
        reject: (error) => (settle(), reject(error)),
      };
      const onAbort = () => {
        waiting.reject(signal?.reason);
        this.#drop(waiting);
      };
      signal?.addEventListener("abort", onAbort);
      this.#waiting.push(waiting);
      this.#pump();
    });
  }

  /** Send the first, if nothing is under way and nothing is waited for. */
  #pump() {
    const [first] = this.#waiting;
    if (this.#isUnderWay || first === undefined || this.#send === undefined || this.#timer !== undefined) return;
    this.#isUnderWay = true;
    this.#send(first.command);
  }

  /** @param {Waiting} waiting */
  #drop(waiting) {
    const at = this.#waiting.indexOf(waiting);
    if (at === 0) {
      this.#isUnderWay = false;
      this.#patience.reset();
    }
    if (at >= 0) this.#waiting.splice(at, 1);
    this.#pump();
  }

  #again() {
    if (this.#isUnderWay) this.#waiting[0].wasSent = true;
    this.#isUnderWay = false;
  }

  /** @param {number} ms */
  #againIn(ms) {
    this.#again();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#pump();
    }, ms);
  }
}
