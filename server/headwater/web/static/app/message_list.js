/** All messages of a room on the page, in their order. */

import { $, h } from "./dom.js";
import { MessageRow } from "./message_row.js";

// Within which one who goes on is not named again.
const SAME_BREATH_S = 300;
const NEAR_PX = 80;

export class MessageList {
  #room;
  #list = $("messages");
  #scroller = $("scroller");
  /** @type {Map<string, MessageRow>} by the message's id */
  #rows = new Map();

  /** @param {import("./room_page.js").RoomPage} room */
  constructor(room) {
    this.#room = room;
    this.#scroller.addEventListener("scroll", () => this.atEnd && ($("newest").hidden = true), { passive: true });
    $("newest").addEventListener("click", () => this.toEnd());
    this.#scroller.addEventListener("keydown", (event) => this.#onKey(event));
    for (const [type, isCurrent] of [["focusin", true], ["focusout", false]]) {
      this.#list.addEventListener(type, ({ target }) => this.#rowOf(target)?.setCurrent(isCurrent));
    }
    // What changes the height, as pictures of a keyboard on a phone, leaves one at the end who was there.
    let wasAtEnd = true;
    this.#scroller.addEventListener("scroll", () => (wasAtEnd = this.atEnd), { passive: true });
    new ResizeObserver(() => wasAtEnd && this.toEnd()).observe(this.#scroller);
  }

  /** Up and down go from message to message. @param {KeyboardEvent} event */
  #onKey(event) {
    const { target, key } = event;
    const isMessage = target.classList.contains("message");
    if (!["ArrowUp", "ArrowDown"].includes(key) || !(isMessage || target === this.#scroller)) return;
    const sibling = key === "ArrowUp" ? "previousElementSibling" : "nextElementSibling";
    const next = isMessage ? target[sibling] : this.#list.lastElementChild;
    next?.focus();
    event.preventDefault();
  }

  /** @param {EventTarget} target */
  #rowOf(target) {
    const element = /** @type {Element} */ (target).closest(".message");
    return [...this.#rows.values()].find((row) => row.element === element);
  }

  get atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    $("newest").hidden = true;
  }

  /** Do what changes heights; whoever is at the end stays there. @param {() => void} change */
  keepPlace(change) {
    const atEnd = this.atEnd;
    change();
    if (atEnd) this.toEnd();
  }

  /** Do what puts something before all; what one reads stays where it is. @param {() => void} change */
  keepView(change) {
    const below = this.#scroller.scrollHeight - this.#scroller.scrollTop;
    change();
    this.#scroller.scrollTop = this.#scroller.scrollHeight - below;
  }

  /** A local copy is heard: it is the same row. @param {string} clientId @param {string} id */
  rename(clientId, id) {
    const row = this.#rows.get(clientId);
    if (!row) return;
    this.#rows.delete(clientId);
    this.#rows.set(id, row);
  }

  /** @param {string} id */
  row(id) {
    return this.#rows.get(id);
  }

  /** @returns {MessageRow | undefined} the newest for which this holds */
  findLast(is) {
    return [...this.#room.messages].reverse().map(({ id }) => this.#rows.get(id)).find((row) => row && is(row));
  }

  /** Make the rows what the messages are. @param {import("../headwater/types.js").RoomMessage[]} messages */
  show(messages) {
    const ids = new Set(messages.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    let before;
    let next = this.#list.firstElementChild;
    for (const message of messages) {
      const row = this.#rows.get(message.id) ?? new MessageRow(this.#room, message);
      this.#rows.set(message.id, row);
      if (row.message !== message) row.update(message);
      if (row.element === next) next = next.nextElementSibling;
      else this.#list.insertBefore(row.element, next);
      row.setFirst(!before || before.by !== message.by || Boolean(before.run || message.run) || message.at - before.at > SAME_BREATH_S);
      before = message;
    }
    $("empty").hidden = messages.length > 0;
  }
}
