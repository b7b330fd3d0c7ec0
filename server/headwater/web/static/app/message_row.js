/** One message of a room on the page. */

import { h, mark, timeOf } from "./dom.js";
import { verdictOf } from "./ends.js";
import { withMentions } from "./mentions.js";
import { rendered } from "./server.js";

/** @typedef {import("../headwater/types.js").RoomMessage} RoomMessage */

const REACTIONS = { "👍": "Thumbs up", "❤️": "Heart", "😄": "Laugh", "🎉": "Hooray" };
const HUES = 8;
const SURE_MS = 3000;

/** A colour that stays somebody's. @param {string} id */
export function hueOf(id) {
  let hash = 0;
  for (const char of id) hash = (hash * 31 + char.codePointAt(0)) % 9973;
  return `hue-${hash % HUES}`;
}

/** @param {string} id @param {string} name */
export function avatarOf(id, name) {
  return h("span", { class: `avatar ${hueOf(id)}`, "aria-hidden": "true" }, [...name][0]?.toUpperCase() ?? "?");
}

// Answers that are to be rendered, all of a page at once.
const waiting = [];

/** @param {string} text @returns {Promise<string | undefined>} */
function htmlOf(text) {
  return new Promise((resolve) => {
    waiting.push({ text, resolve });
    if (waiting.length === 1) {
      queueMicrotask(async () => {
        const batch = waiting.splice(0);
        const html = await rendered(batch.map((one) => one.text));
        batch.forEach((one, n) => one.resolve(html[n]));
      });
    }
  });
}

export class MessageRow {
  /** @type {RoomMessage} */
  message;
  #room;
  #body = h("div", { class: "plain" });
  #prose;
  #growing = document.createTextNode("");
  #attempt = h("p", { class: "attempt", hidden: true });
  #extra = h("div");
  #reactions = h("div", { class: "reactions" });
  #tail = h("p", { class: "tail" });
  #tools = h("div", { class: "tools", role: "group", "aria-label": "What to do with this message" });
  #byline = h("div", { class: "byline" });
  #editing = false;
  #isCurrent = false;

  /** @param {import("./room_page.js").RoomPage} room @param {RoomMessage} message */
  constructor(room, message) {
    this.#room = room;
    this.message = message;
    const avatar = message.run ? h("span", { class: "avatar", "aria-hidden": "true" }, mark()) : avatarOf(message.by, message.name);
    const said = h("div", { class: "said" }, this.#body, this.#attempt, this.#extra, this.#reactions, this.#tail);
    this.element = h("li", { class: "message", tabIndex: -1 }, avatar, this.#byline, said, this.#tools);
    this.element.classList.toggle("answer-message", message.run !== undefined);
    this.#tellWho();
    this.update(message);
  }

  /** It is another now. @param {RoomMessage} message */
  update(message) {
    this.message = message;
    const { classList } = this.element;
    classList.toggle("pending", Boolean(message.pending));
    classList.toggle("deleted", Boolean(message.deleted));
    if (!this.#editing) this.#showText();
    this.#showExtra();
    this.#showReactions();
    this.#showTools();
    this.tell("");
  }

  /** The answer goes on. @param {RoomMessage} message @param {string} delta */
  grow(message, delta) {
    if (this.#growing.length + delta.length !== message.text.length || !this.#growing.isConnected) return this.update(message);
    this.message = message;
    this.#growing.appendData(delta);
  }

  /** It goes on after something failed. @param {RoomMessage} message @param {string} how */
  retry(message, how) {
    Object.assign(this.#attempt, { textContent: how, hidden: false });
    this.update(message);
  }

  /** Below it: that it is sent, or who has seen it. @param {string} seen */
  tell(seen) {
    const { pending, edited_at: edited, deleted } = this.message;
    this.#tail.textContent = pending ? "Sending …" : [edited && !deleted ? "edited" : "", seen].filter(Boolean).join(" · ");
  }

  /** The first of several that somebody said at once bears the name. @param {boolean} isFirst */
  setFirst(isFirst) {
    this.element.classList.toggle("first", isFirst);
  }

  /** A keyboard comes to the tools of one message, not to those of all. @param {boolean} isCurrent */
  setCurrent(isCurrent) {
    this.#isCurrent = isCurrent;
    for (const button of this.#tools.children) button.tabIndex = isCurrent ? 0 : -1;
  }

  get isGrowing() {
    return this.message.status === "in_progress" && !this.message.deleted;
  }

  #tellWho() {
    const { run, name, at, by } = this.message;
    const asker = run ? [h("span", { class: "dim" }, `answers ${this.#room.nameOf(by)}`)] : [];
    this.#byline.replaceChildren(h("strong", {}, name), ...asker, timeOf(at));
  }

  #showText() {
    const { message } = this;
    this.#body.toggleAttribute("data-live", this.isGrowing);
    this.#body.classList.toggle("growing", this.isGrowing);
    if (message.deleted) this.#body.textContent = "This message was deleted.";
    else if (message.run) this.#showAnswer();
    else this.#body.replaceChildren(...withMentions(message.text, message.mentions?.length ? this.#room.everybody() : []));
    if (!message.deleted) return;
    this.#attempt.hidden = true;
    this.#dropProse();
  }

  async #showAnswer() {
    const { text, status } = this.message;
    this.#growing.data = text;
    this.#body.replaceChildren(this.#growing);
    this.#body.hidden = false;
    this.#dropProse();
    if (status === "in_progress" || !text.trim()) return;
    const html = await htmlOf(text);
    if (html === undefined || this.message.text !== text || this.message.deleted || this.#prose) return;
    this.#prose = h("div", { class: "prose", innerHTML: html }); // of our own server, which lets no HTML through
    this.#room.keepPlace(() => {
      this.#body.hidden = true;
      this.#body.after(this.#prose);
    });
  }

  #dropProse() {
    this.#prose?.remove();
    this.#prose = undefined;
    this.#body.hidden = false;
  }

  #showExtra() {
    const { status, run, deleted } = this.message;
    const verdict = run && !deleted && status && status !== "in_progress" ? verdictOf(this.message) : undefined;
    const nodes = [];
    if (verdict) nodes.push(h("p", { class: "verdict", data: { tone: { cancelled: "dim", failed: "bad" }[status] ?? "warn" } }, verdict));
    if (this.isGrowing) {
      const stop = h("button", { type: "button", class: "danger stop-answer" }, "Stop");
      stop.addEventListener("click", () => this.#room.act((room) => room.cancel({ run })));
      nodes.push(stop);
    }
    this.#extra.replaceChildren(...nodes);
  }

  // -- reactions and tools

  #showReactions() {
    const buttons = Object.entries(this.message.reactions ?? {}).map(([reaction, by]) => {
      const mine = by.includes(this.#room.you?.id);
      const names = by.map((id) => this.#room.nameOf(id)).join(", ");
      const label = `${REACTIONS[reaction] ?? reaction}: ${names}`;
      const button = h("button", { type: "button", "aria-pressed": String(mine), "aria-label": label, title: label }, `${reaction} ${by.length}`);
      button.addEventListener("click", () => this.#react(reaction, !mine));
      return button;
    });
    this.#reactions.replaceChildren(...buttons);
  }

  #react(reaction, on) {
    this.#room.act((room) => room.react(this.message.id, reaction, { on }));
  }

  #showTools() {
    const { message } = this;
    const you = this.#room.you;
    const isOver = !message.pending && !message.deleted && you && you.role !== "read";
    const mine = you && message.by === you.id;
    const buttons = [];
    if (isOver) {
      for (const [reaction, name] of Object.entries(REACTIONS)) {
        buttons.push(tool(reaction, name, () => this.#react(reaction, !message.reactions?.[reaction]?.includes(you.id))));
      }
      if (mine && !message.run) buttons.push(tool("Edit", "Edit", () => this.edit()));
      if ((mine || you.role === "moderate") && !this.isGrowing) buttons.push(this.#deleteTool());
    }
    this.#tools.hidden = !buttons.length;
    for (const button of buttons) button.tabIndex = this.#isCurrent ? 0 : -1;
    this.#tools.replaceChildren(...buttons);
  }

  /** Asks once, by another word. */
  #deleteTool() {
    const button = tool("Delete", "Delete", () => {
      if (button.dataset.sure) return this.#room.act((room) => room.delete(this.message.id));
      button.dataset.sure = "yes";
      button.textContent = "Really?";
      button.setAttribute("aria-label", "Really delete");
      setTimeout(() => this.#showTools(), SURE_MS);
    });
    return button;
  }

  edit() {
    this.#editing = true;
    const area = /** @type {HTMLTextAreaElement} */ (h("textarea", { value: this.message.text, rows: 1, "aria-label": "Edit your message" }));
    const hint = h("p", { class: "tail" }, "Enter keeps it, Escape leaves it as it was.");
    this.#body.replaceChildren(h("div", { class: "editor" }, area, hint));
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
    const close = () => {
      this.#editing = false;
      this.#showText();
      this.#room.focusComposer();
    };
    area.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape") return close();
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      const text = area.value.trim();
      if (text && text !== this.message.text) this.#room.act((room) => room.edit(this.message.id, text));
      close();
    });
  }
}

/** @param {string} text @param {string} label @param {() => void} act */
function tool(text, label, act) {
  const button = h("button", { type: "button", "aria-label": label, title: label }, text);
  button.addEventListener("click", act);
  return button;
}
