/** What a member of a room holds: pushes in, events out. Nothing here waits, asks or sends. */

import { Answer, outOfSequence } from "./answer.js";

/**
 * @typedef {import("./types.js").RoomMessage} RoomMessage
 * @typedef {import("./types.js").RoomEvent} RoomEvent
 * @typedef {import("./types.js").Member} Member
 */

const PLACED = ["message", "edited", "deleted", "reacted", "run", "end"];
/** As many as a room keeps of itself, unless it is set otherwise. */
const MESSAGES_KEPT = 10_000;
const GROWTH = ["snapshot", "delta", "attempt"];

export class RoomState {
  /** Who one is here. @type {import("./types.js").You | undefined} */
  you;
  /** Where one stands in the room's log, once one was told. @type {string | undefined} */
  position;
  /** @type {Member[]} */
  members = [];
  /** Who is writing now. @type {Member[]} */
  typing = [];
  /** The seq up to which each member has read. @type {Record<string, number>} */
  marks = {};
  /** Of the log; undefined where any is good to go on from. @type {number | undefined} */
  #seq;
  /** What the room holds, in order. @type {RoomMessage[]} */
  #placed = [];
  /** What was said here and not heard yet, by client_id. @type {Map<string, RoomMessage>} */
  #local = new Map();
  /** Those of #local that the server has taken: they are in its history, whether they were heard or not. */
  #taken = new Set();
  /** Those that grow, by message. @type {Map<string, Answer>} */
  #answers = new Map();
  /** @type {RoomMessage[] | undefined} */
  #all;
  #tell;

  /** @param {(event: RoomEvent) => void} tell is called with each change, once it is made */
  constructor(tell) {
    this.#tell = tell;
  }

  /** All messages in order, those last that were said here and not heard yet. */
  get messages() {
    this.#all ??= [...this.#placed, ...this.#local.values()];
    return this.#all;
  }

  /** @param {string} id a message's, or the client_id of one that is pending */
  find(id) {
    return this.#placed.find((message) => message.id === id) ?? this.#local.get(id);
  }

  // -- what is said here

  /**
   * The local copy of what is said, until it is heard.
   *
   * @param {RoomMessage} message
   */
  say(message) {
    this.#local.set(message.id, message);
    this.#all = undefined;
    this.#tell({ type: "message", message, pending: true });
  }

  /** @param {string} clientId it was taken, and will be heard if it was not yet */
  taken(clientId) {
    if (this.#local.has(clientId)) this.#taken.add(clientId);
  }

  /**
   * It will never be heard.
   *
   * @param {string} clientId
   * @param {Error} error
   */
  refused(clientId, error) {
    const message = this.#local.get(clientId);
    if (message === undefined) return;
    this.#forget(clientId);
    this.#tell({ type: "refused", clientId, message, error });
  }

  // -- what is heard

  /**
   * A push that answers no command but the join. Throws where it does not join what there is, which it leaves as it is.
   *
   * @param {any} push
   */
  take(push) {
    const kind = push.type;
    if (PLACED.includes(kind)) this.#place(push);
    else if (GROWTH.includes(kind)) this.#grow(push);
    else if (kind === "joined") this.#join(push);
    else if (kind === "presence") this.#move(push);
    else if (kind === "typing") {
      this.typing = push.members;
      this.#tell({ type: "typing", members: this.typing });
    } else if (kind === "read") {
      this.marks = { ...this.marks, [push.by]: push.seq };
      this.#tell({ type: "read", by: push.by, seq: push.seq });
    }
  }

  /**
   * A page from before the first message that is held: it is put before it.
   *
   * @param {RoomMessage[]} page
   * @param {boolean} hasMore
   */
  prepend(page, hasMore) {
    const known = new Set(this.#placed.map((message) => message.id));
    const messages = page.filter((message) => !known.has(message.id));
    this.#placed = [...messages, ...this.#placed];
    this.#all = undefined;
    this.#tell({ type: "history", messages, hasMore });
  }

  /** @returns {string | undefined} */
  get oldest() {
    return this.#placed[0]?.id;
  }

  /** @param {any} push */
  #join(push) {
    this.you = push.you;
    this.members = push.members;
    this.marks = push.marks ?? {};
    this.typing = [];
    for (const answer of this.#answers.values()) answer.reconnected();
    if (!push.recovered) this.position = push.position;
    this.#tell({ type: "joined", recovered: push.recovered, you: push.you, members: push.members });
    if (push.recovered) for (const event of push.events) this.#place(event);
    else this.#begin(push.messages);
    this.position = push.position;
  }

  /** @param {{joined: Member[], left: Member[]}} presence */
  #move({ joined, left }) {
    const moved = new Set([...joined, ...left].map((member) => member.id));
    this.members = [...this.members.filter((member) => !moved.has(member.id)), ...joined];
    this.#tell({ type: "presence", joined, left, members: this.members });
  }

  /**
   * What was before is not, or is history that is not vouched for.
   *
   * @param {RoomMessage[]} page
   */
  #begin(page) {
    this.#placed = [...page];
    this.#seq = undefined;
    this.#answers = new Map();
    for (const clientId of this.#taken) this.#forget(clientId);
    for (const message of page) {
      if (message.status === "in_progress") this.#answers.set(message.id, new Answer());
      if (this.#isLocal(message)) this.#forget(/** @type {string} */ (message.client_id));
    }
    this.#all = undefined;
    this.#tell({ type: "reset", messages: this.messages });
  }

  /** @param {any} push an event of the room's log */
  #place(push) {
    if (this.#seq !== undefined && push.seq !== this.#seq + 1) {
      throw outOfSequence(`event ${push.seq} of the room came after event ${this.#seq}`);
    }
    this.#seq = push.seq;
    this.position = push.position;
    this.#apply(push);
  }

  /** @param {any} push */
  #apply(push) {
    const { type, seq, position, ...rest } = push;
    switch (type) {
      case "message": {
        const replaces = this.#isLocal(rest) ? rest.client_id : undefined;
        if (replaces !== undefined) this.#forget(replaces);
        const message = this.#add({ ...rest, seq, position });
        this.#tell({ type, message, pending: false, ...(replaces === undefined ? {} : { replaces }) });
        return;
      }
      case "run": {
        const { message: id, run, by, model, asked, at } = rest;
        this.#answers.set(id, new Answer());
        const answer = { id, seq, position, by, name: model, text: "", at, run, model, asked, status: "in_progress" };
        this.#tell({ type, message: this.#add(/** @type {RoomMessage} */ (answer)) });
        return;
      }
      case "end": {
        const { message: id, at: _, ...end } = rest;
        this.#answers.delete(id);
        return this.#change(type, id, (message) => ({ ...message, ...(message.deleted ? { status: end.status } : end) }));
      }
      case "edited":
        return this.#change(type, rest.message, (message) => ({ ...message, text: rest.text, edited_at: rest.at }));
      case "deleted":
        return this.#change(type, rest.message, leftOfDeleted);
      default:
        return this.#change(type, rest.message, (message) => ({ ...message, reactions: reactionsAfter(message, rest) }));
    }
  }

  /**
   * An answer grows, or is told anew.
   *
   * @param {any} push
   */
  #grow(push) {
    const answer = this.#answers.get(push.message);
    if (answer === undefined) return;
    let more = {};
    if (push.type === "snapshot") answer.replace(push.parts, push.seq);
    else if (push.type === "delta") more = { delta: answer.append(push) };
    else {
      answer.retry(push);
      const { type, message, after, seq, ...attempt } = push;
      more = { attempt };
    }
    const now = { text: answer.text, parts: [...answer.parts] };
    this.#change(push.type, push.message, (message) => ({ ...message, ...now }), more);
  }

  /** @param {RoomMessage} message */
  #add(message) {
    this.#placed.push(message);
    if (this.#placed.length > MESSAGES_KEPT) this.#placed.shift();
    this.#all = undefined;
    return message;
  }

  /**
   * A message that is held is another object afterwards. Of one that is not there is nothing to tell.
   *
   * @param {string} type
   * @param {string} id
   * @param {(message: RoomMessage) => RoomMessage} how
   * @param {object} [more] of the event
   */
  #change(type, id, how, more) {
    const at = this.#placed.findLastIndex((message) => message.id === id);
    if (at < 0) return;
    const message = how(this.#placed[at]);
    this.#placed[at] = message;
    this.#all = undefined;
    this.#tell(/** @type {RoomEvent} */ ({ type, message, ...more }));
  }

  /** @param {RoomMessage} message whether it is what was said here */
  #isLocal(message) {
    return message.by === this.you?.id && message.client_id !== undefined && this.#local.has(message.client_id);
  }

  /** @param {string} clientId */
  #forget(clientId) {
    this.#local.delete(clientId);
    this.#taken.delete(clientId);
    this.#all = undefined;
  }
}

/**
 * Only who and when.
 *
 * @param {RoomMessage} message
 * @returns {RoomMessage}
 */
function leftOfDeleted(message) {
  const left = { ...message, text: "", deleted: true };
  for (const field of /** @type {const} */ (["parts", "mentions", "reactions", "edited_at", "reason", "error", "usage"])) {
    delete left[field];
  }
  return left;
}

/**
 * @param {RoomMessage} message
 * @param {{by: string, reaction: string, on: boolean}} event
 */
function reactionsAfter(message, { by, reaction, on }) {
  const others = (message.reactions?.[reaction] ?? []).filter((id) => id !== by);
  const reactions = { ...message.reactions, [reaction]: on ? [...others, by] : others };
  return Object.fromEntries(Object.entries(reactions).filter(([, those]) => those.length > 0));
}
