/** A member of a room, over as many connections as it takes. */

import { Linked } from "./abort.js";
import { sleep } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { HeadwaterError, NotFound, TooManyRetries, Unavailable, refusalOf } from "./errors.js";
import { Line } from "./line.js";
import { Outbox } from "./outbox.js";
import { RoomState } from "./room_state.js";
import { randomId } from "./run.js";

/**
 * @typedef {import("./http.js").Connection} Connection
 * @typedef {import("./types.js").RoomMessage} RoomMessage
 * @typedef {import("./types.js").Abortable} Abortable
 *
 * @typedef {object} JoinOptions
 * @property {string} [name] what others see, where no token says it
 * @property {string} [since] the position from which to come back
 * @property {number} [pingMs] after which a silent line is asked for a sign of life; 20,000
 * @property {AbortSignal} [signal]
 *
 * @typedef {{clientId: string, done: Promise<string>}} Said `done` is the id that the message got
 */

/** Once one has been in: over a lunch with the laptop closed. */
const AWAY_MS = 3_600_000;
/** In which typing is not told again; with the server it wears off after six seconds. */
const TYPING_MS = 3_000;
/** Joins in a row that did not fit: then the room is begun anew, and at last given up. */
const STRAYS_BEFORE_RESET = 3;
const STRAYS_MAX = 6;

/**
 * It joins by itself, and comes back by itself until it leaves. What it holds is in `messages`, `members`, `typing` and
 * `marks`; every change is an event. `ready` is when it is in for the first time. `done` is when it has left, and fails
 * with whatever else ended it.
 *
 * @extends {Emitter<import("./types.js").RoomEvent>}
 */
export class Room extends Emitter {
  #connection;
  #options;
  #linked;
  #patience;
  #state;
  #outbox;
  /** The connection on which one is in. @type {Line | undefined} */
  #line;
  #hasBeenIn = false;
  /** Connections in a row whose token was not taken. */
  #refusals = 0;
  #strays = 0;
  #typingAt = 0;
  /** @type {string | undefined} */
  #readTo;
  #left = new DOMException("The room was left.", "AbortError");
  /** @type {{resolve: () => void, reject: (error: unknown) => void}} */
  #ready;

  /**
   * @param {Connection} connection
   * @param {string} room
   * @param {JoinOptions} [options]
   */
  constructor(connection, room, options = {}) {
    super();
    /** The room's name. */
    this.room = room;
    this.#connection = connection;
    this.#options = options;
    this.#linked = new Linked(options.signal);
    this.#patience = connection.patience();
    this.#outbox = new Outbox(connection.patience());
    this.#state = new RoomState((event) => this.emit(event));
    this.#state.position = options.since;
    this.#ready = { resolve: () => {}, reject: () => {} };
    /** @type {Promise<void>} */
    this.ready = new Promise((resolve, reject) => (this.#ready = { resolve: () => resolve(undefined), reject }));
    this.ready.catch(() => {}); // `done` says the same
    /** @type {Promise<void>} */
    this.done = Promise.resolve().then(() => this.#stay());
    this.done.catch(() => {}); // and so does the status
  }

  // -- what one holds

  /** All messages in order; last those that were said here and have not been heard yet. */
  get messages() {
    return [...this.#state.messages];
  }

  /** Everybody who is there. */
  get members() {
    return [...this.#state.members];
  }

  /** Who is writing now. */
  get typing() {
    return [...this.#state.typing];
  }

  /** The seq up to which each member has read. */
  get marks() {
    return { ...this.#state.marks };
  }

  /** Who one is here, once one is in. */
  get you() {
    return this.#state.you;
  }

  /** From where to come back, as `since` of another join. */
  get position() {
    return this.#state.position;
  }

  /** Whether the line is up. */
  get isIn() {
    return this.#line !== undefined;
  }

  // -- what one does

  /**
   * Say something. It is among the messages at once, and is sent until it is answered.
   *
   * @param {string} text
   * @param {{mentions?: string[], replyTo?: string, clientId?: string} & Abortable} [options]
   * @returns {Said}
   */
  say(text, { mentions, replyTo, clientId = randomId(), signal } = {}) {
    const command = { client_id: clientId, text, ...(mentions && { mentions }), ...(replyTo && { reply_to: replyTo }) };
    const { client_id, reply_to } = { reply_to: undefined, ...command };
    const by = this.you?.id ?? "";
    const name = this.you?.name ?? this.#options.name ?? "";
    this.#typingAt = 0;
    this.#state.say({ id: clientId, by, name, text, at: Date.now() / 1000, pending: true, client_id, reply_to, mentions });
    const done = this.#outbox.ask({ type: "message", ...command }, signal).then(
      (ok) => {
        this.#state.taken(clientId);
        return ok.message;
      },
      (error) => {
        this.#state.refused(clientId, error);
        throw error;
      },
    );
    done.catch(() => {}); // the event `refused` tells it, too
    return { clientId, done };
  }

  /**
   * Change what one has said.
   *
   * @param {string} message
   * @param {string} text
   * @param {Abortable} [options]
   * @returns {Promise<void>}
   */
  async edit(message, text, { signal } = {}) {
    await this.#outbox.ask({ type: "edit", message, text }, signal);
  }

  /**
   * Take it back, or down.
   *
   * @param {string} message
   * @param {Abortable} [options]
   * @returns {Promise<void>}
   */
  async delete(message, { signal } = {}) {
    await this.#outbox.ask({ type: "delete", message }, signal);
  }

  /**
   * Put a reaction on a message, or take one's own off.
   *
   * @param {string} message
   * @param {string} reaction
   * @param {{on?: boolean} & Abortable} [options]
   * @returns {Promise<void>}
   */
  async react(message, reaction, { on = true, signal } = {}) {
    await this.#outbox.ask({ type: "react", message, reaction, on }, signal);
  }

  /**
   * Stop an answer: that of a run, or all to a message that one said under this clientId.
   *
   * @param {{run: string} | {clientId: string}} which
   * @param {Abortable} [options]
   * @returns {Promise<void>}
   */
  async cancel(which, { signal } = {}) {
    const what = "run" in which ? { run: which.run } : { client_id: which.clientId };
    await this.#outbox.ask({ type: "cancel", ...what }, signal);
  }

  /**
   * Messages from before a message's id or a position; without it, from before the first that is held, and from then
   * on they are held, too.
   *
   * @param {string} [before]
   * @param {number} [limit] 50, and at most 100
   * @param {Abortable} [options]
   * @returns {Promise<{messages: RoomMessage[], hasMore: boolean}>}
   */
  async history(before = this.#state.oldest, limit, { signal } = {}) {
    const command = { type: "history", ...(before && { before }), ...(limit && { limit }) };
    const { messages, has_more: hasMore } = await this.#outbox.ask(command, signal);
    if (before === this.#state.oldest) this.#state.prepend(messages, hasMore);
    return { messages, hasMore };
  }

  /**
   * Say that one is writing, on every key, or that one has stopped. It is told no more often than need be.
   *
   * @param {boolean} [on]
   */
  setTyping(on = true) {
    const now = Date.now();
    if (on ? now - this.#typingAt < TYPING_MS : this.#typingAt === 0) return;
    this.#typingAt = on ? now : 0;
    this.#line?.send({ type: "typing", on });
  }

  /**
   * Say how far one has read; without a position, to where one is.
   *
   * @param {string} [position]
   */
  read(position = this.position) {
    if (position === undefined || position === this.#readTo) return;
    this.#readTo = position;
    this.#line?.send({ type: "read", position });
  }

  /** Be gone. What has not been answered fails; wait for its `done` before, if it matters. */
  leave() {
    this.#linked.controller.abort(this.#left);
  }

  // -- one connection after another

  async #stay() {
    const { signal } = this.#linked;
    try {
      for (;;) {
        const began = Date.now();
        this.#tellStatus({ state: "connecting" });
        const { error, wasIn } = await this.#visit();
        if (signal.aborted) throw signal.reason;
        const trouble = await this.#passing(error, wasIn);
        if (trouble === undefined) continue;
        const waitMs = this.#patience.next(trouble, wasIn ? 0 : Date.now() - began);
        this.#tellStatus({ state: "retrying", waitMs, error: trouble });
        await sleep(waitMs, signal);
      }
    } catch (error) {
      this.#tellStatus({ state: "closed", ...(error instanceof HeadwaterError && { error }) });
      this.#ready.reject(error);
      this.#outbox.close(error);
      if (error !== this.#left) throw error;
    } finally {
      this.#linked.unlink();
    }
  }

  /** One connection: why it is over, and whether one was in. */
  async #visit() {
    const { signal } = this.#linked;
    let wasIn = false;
    /** @type {string | undefined} */
    let token;
    try {
      token = await this.#connection.credentials.current();
      signal.throwIfAborted();
      const line = await Line.to(this.#connection, this.room, this.#options.pingMs);
      const join = { type: "join", ref: "join", since: this.position, name: this.#options.name, token: token || undefined };
      const error = await line.talk(join, signal, (push) => {
        this.#take(push, line, token !== undefined);
        wasIn = true;
      });
      return { error: await this.#renewed(error, token), wasIn };
    } catch (error) {
      return { error, wasIn };
    } finally {
      this.#line = undefined;
      this.#outbox.pause();
    }
  }

  /**
   * The error, or undefined where it is mended with a newer token.
   *
   * @param {unknown} error
   * @param {string | undefined} token
   */
  async #renewed(error, token) {
    const isRefused = error instanceof HeadwaterError && error.code === "unauthenticated";
    if (!isRefused || this.#refusals > 0) return error;
    const newer = await this.#connection.credentials.renew(token);
    this.#refusals += 1;
    return newer === undefined ? error : undefined;
  }

  /**
   * @param {any} push
   * @param {Line} line
   * @param {boolean} hasToken
   */
  #take(push, line, hasToken) {
    if (push.ref === "join" && push.type === "error") throw refusalOf(push, hasToken);
    if (push.ref !== undefined && push.type !== "joined") return this.#outbox.take(push);
    this.#state.take(push);
    if (push.type === "joined") this.#come(line);
    else if (push.seq !== undefined) this.#strays = 0;
  }

  /** @param {Line} line */
  #come(line) {
    this.#line = line;
    this.#refusals = 0;
    this.#typingAt = 0;
    if (!this.#hasBeenIn) this.#patience.maxWaitMs = this.#connection.options.maxWaitMs ?? AWAY_MS;
    this.#hasBeenIn = true;
    this.#patience.reset();
    this.#tellStatus({ state: "live" });
    this.#ready.resolve();
    if (this.#readTo !== undefined) line.send({ type: "read", position: this.#readTo });
    this.#outbox.open((command) => line.send(command));
  }

  /**
   * What failed, if another try may mend it; undefined where it may do so at once. Throws it otherwise.
   *
   * @param {unknown} error
   * @param {boolean} wasIn
   * @returns {Promise<HeadwaterError | undefined>}
   */
  async #passing(error, wasIn) {
    if (error === undefined) return undefined;
    if (!(error instanceof Unavailable)) throw error;
    if (error.code === "out_of_sequence") {
      this.#strays += 1;
      if (this.#strays > STRAYS_MAX) {
        throw new TooManyRetries(`The room's events do not join. ${error.message}`, { code: error.code, cause: error });
      }
      if (this.#strays > STRAYS_BEFORE_RESET) this.#state.position = undefined;
    }
    if (error.code === "no_socket" && !wasIn && !this.#hasBeenIn) return this.#whyNot(error);
    return error;
  }

  /**
   * A browser does not say why there is no socket: ask for the room instead. Throws what is wrong.
   *
   * @param {Unavailable} error
   * @returns {Promise<HeadwaterError>}
   */
  async #whyNot(error) {
    const { signal } = this.#linked;
    try {
      await this.#connection.json(`/v1/rooms/${encodeURIComponent(this.room)}`, { signal });
    } catch (reason) {
      if (reason instanceof Unavailable) return reason;
      if (!(reason instanceof NotFound)) throw reason;
    }
    const message =
      "The server answers, but not to WebSockets: a proxy on the way must pass the headers Upgrade and Connection on.";
    return new Unavailable(message, { code: "no_socket", cause: error });
  }

  /** @param {Omit<import("./types.js").StatusEvent, "type" | "tries">} status */
  #tellStatus(status) {
    this.emit({ type: "status", tries: this.#patience.tries, ...status });
  }
}
