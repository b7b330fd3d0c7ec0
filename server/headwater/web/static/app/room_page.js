/** A room on the page: what happens in it, and what one does there. */

import { $, h, messageOf, setPill, setRefused, tryAgain } from "./dom.js";
import { Reader, say } from "./aloud.js";
import { Composer } from "./composer.js";
import { attemptOf } from "./ends.js";
import { MessageList } from "./message_list.js";
import { avatarOf } from "./message_row.js";
import { ask, client } from "./server.js";

const BACK_MS = 3000;
const NEAR_TOP_PX = 120;
const PAGE = 50;

export class RoomPage {
  #list = new MessageList(this);
  #composer;
  #room;
  /** @type {import("./mentions.js").Named[]} */
  #models = [];
  /** @type {Map<string, string>} everybody who was ever seen here, by id */
  #names = new Map();
  /** @type {Map<string, Reader>} by answer */
  #readers = new Map();
  #wasLost = false;
  #loading = false;
  #hasMore = true;

  /** @param {string} name @param {string | undefined} guest */
  constructor(name, guest) {
    this.#room = client.joinRoom(name, { name: guest || undefined });
    this.#composer = new Composer({
      everybody: () => this.everybody().filter(({ id }) => id !== this.you?.id),
      say: (text, mentions) => this.#say(text, mentions),
      typing: (on) => this.#room.setTyping(on),
      editLast: () => this.#list.findLast(({ message }) => message.by === this.you?.id && !message.run && !message.pending && !message.deleted)?.edit(),
    });
    this.#hear();
    $("earlier").addEventListener("click", () => this.#readBack());
    $("scroller").addEventListener("scroll", () => this.#onScroll(), { passive: true });
    document.addEventListener("visibilitychange", () => this.#read());
    // The browser says so before the line knows.
    addEventListener("offline", () => setPill($("line"), "You are offline", "warn"));
    addEventListener("online", () => this.#room.isIn && setPill($("line"), "Live", "good"));
    addEventListener("pagehide", () => this.#room.leave());
    // Back from where a browser keeps pages: this one has left.
    addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
    if (matchMedia("(hover: hover)").matches) this.#composer.focus();
    this.#listModels();
  }

  // -- what rows ask

  get you() {
    return this.#room.you;
  }

  get messages() {
    return this.#room.messages;
  }

  /** @returns {import("./mentions.js").Named[]} */
  everybody() {
    return [...this.#models, ...this.#room.members.map(({ id, name }) => ({ id, name, kind: "person" }))];
  }

  /** @param {string} id */
  nameOf(id) {
    return this.#names.get(id) ?? id.replace(/^\w+:/, "");
  }

  keepPlace(change) {
    this.#list.keepPlace(change);
  }

  focusComposer() {
    this.#composer.focus();
  }

  /** Do something in the room; what is refused is told. @param {(room: any) => Promise<unknown>} what */
  async act(what) {
    try {
      setRefused();
      await what(this.#room);
    } catch (error) {
      setRefused(error);
    }
  }

  #say(text, mentions) {
    this.#list.toEnd();
    this.act((room) => room.say(text, { mentions }).done);
  }

  // -- what happens

  #hear() {
    const room = this.#room;
    room.on("status", (event) => this.#onStatus(event));
    room.on("joined", () => this.#onPeople());
    room.on("reset", () => this.#onReset());
    room.on("message", (event) => this.#onMessage(event));
    room.on("run", ({ message }) => this.#onRun(message));
    room.on("delta", ({ message, delta }) => this.#onDelta(message, delta));
    room.on("attempt", ({ message, attempt }) => this.#onAttempt(message, attemptOf(attempt)));
    for (const type of ["snapshot", "edited", "deleted", "reacted"]) {
      room.on(type, ({ message }) => this.#onChange(message));
    }
    room.on("end", ({ message }) => this.#onEnd(message));
    room.on("presence", ({ joined, left }) => this.#onPresence(joined, left));
    room.on("typing", ({ members }) => this.#onTyping(members));
    room.on("read", () => this.#showSeen());
    room.on("refused", ({ error }) => {
      this.#show();
      setRefused(error);
    });
  }

  #onStatus({ state, error }) {
    const pill = $("line");
    if (state === "retrying") {
      this.#wasLost = true;
      setPill(pill, navigator.onLine ? "Connection lost, trying again" : "You are offline", "warn");
    } else if (state === "live") {
      setPill(pill, this.#wasLost ? "Back, nothing was missed" : "Live", "good");
      if (this.#wasLost) setTimeout(() => this.#room.isIn && setPill(pill, "Live", "good"), BACK_MS);
      this.#wasLost = false;
    } else if (state === "closed" && error) {
      setPill(pill, "Not connected", "bad");
      setRefused(error);
      $("refused").append(" ", tryAgain());
    }
  }

  #onReset() {
    this.#hasMore = this.#room.messages.length >= PAGE;
    $("earlier").hidden = !this.#hasMore;
    this.#show();
    this.#list.toEnd();
    this.#read();
  }

  #onMessage({ message, pending, replaces }) {
    if (replaces) this.#list.rename(replaces, message.id);
    const isMine = message.by === this.you?.id;
    this.#comes();
    if (!pending && !isMine) say(`${message.name}: ${message.text}`);
  }

  #onRun(message) {
    this.#readers.set(message.id, new Reader());
    this.#comes();
    say(`${message.name} begins to answer.`);
  }

  #comes() {
    const atEnd = this.#list.atEnd;
    this.#show();
    if (atEnd) this.#list.toEnd();
    else $("newest").hidden = false;
    this.#read();
  }

  #onDelta(message, delta) {
    this.#list.keepPlace(() => this.#list.row(message.id)?.grow(message, delta));
    this.#readers.get(message.id)?.grow(message.text);
  }

  #onAttempt(message, how) {
    this.#list.keepPlace(() => this.#list.row(message.id)?.retry(message, how));
    say(`${message.name}: ${how}.`);
  }

  #onChange(message) {
    this.#list.keepPlace(() => this.#list.row(message.id)?.update(message));
    this.#showSeen();
  }

  #onEnd(message) {
    this.#onChange(message);
    this.#readers.get(message.id)?.end(message.text);
    this.#readers.delete(message.id);
    this.#read();
  }

  #show() {
    for (const { by, name, run } of this.#room.messages) if (!run) this.#names.set(by, name);
    this.#list.show(this.#room.messages);
    this.#showSeen();
  }

  // -- people

  #onPresence(joined, left) {
    for (const { name } of joined) say(`${name} came in.`);
    for (const { name } of left) say(`${name} has left.`);
    this.#onPeople();
  }

  #onPeople() {
    const isMe = ({ id }) => id === this.you?.id;
    const members = [...this.#room.members].sort((one, other) => isMe(other) - isMe(one) || one.name.localeCompare(other.name));
    for (const { id, name } of members) this.#names.set(id, name);
    $("count").textContent = String(members.length);
    $("members").replaceChildren(
      ...members.map(({ id, name }) => h("li", {}, avatarOf(id, name), h("span", {}, id === this.you?.id ? `${name} (you)` : name))),
    );
  }

  #onTyping(members) {
    const names = members.filter(({ id }) => id !== this.you?.id).map(({ name }) => name);
    const all = new Intl.ListFormat("en").format(names.length > 3 ? [...names.slice(0, 2), `${names.length - 2} others`] : names);
    $("typing").textContent = names.length ? `${all} ${names.length > 1 ? "are" : "is"} writing …` : "";
  }

  async #listModels() {
    try {
      const { data } = await ask("/v1/models");
      this.#models = data.map(({ id }) => ({ id, name: id, kind: "model" }));
    } catch {
      return; // whoever may talk need not know the models
    }
    $("models").replaceChildren(
      ...this.#models.map(({ name }) => {
        const button = h("button", { type: "button", title: `Mention ${name}` }, `@${name}`);
        button.addEventListener("click", () => this.#composer.mention(name));
        return h("li", {}, button);
      }),
    );
    for (const message of this.#room.messages) this.#list.row(message.id)?.update(message);
  }

  // -- reading

  #read() {
    if (document.visibilityState === "visible" && this.#room.isIn && this.#list.atEnd) this.#room.read();
  }

  /** Who has seen the newest of one's own. */
  #showSeen() {
    const mine = this.#list.findLast(({ message }) => message.by === this.you?.id && !message.run && !message.pending);
    for (const { id } of this.#room.messages) {
      const row = this.#list.row(id);
      if (row && row !== mine) row.tell("");
    }
    if (!mine) return;
    const { seq } = mine.message;
    const seen = Object.entries(this.#room.marks).filter(([id, mark]) => id !== this.you?.id && mark >= seq);
    mine.tell(seen.length ? `seen by ${new Intl.ListFormat("en").format(seen.map(([id]) => this.nameOf(id)))}` : "");
  }

  #onScroll() {
    if (this.#list.atEnd) this.#read();
    if ($("scroller").scrollTop < NEAR_TOP_PX && this.#room.messages.length) this.#readBack();
  }

  async #readBack() {
    if (this.#loading || !this.#hasMore || !this.#room.isIn) return;
    this.#loading = true;
    try {
      const { hasMore } = await this.#room.history(undefined, PAGE);
      this.#hasMore = hasMore;
      this.#list.keepView(() => {
        $("earlier").hidden = !hasMore;
        this.#show();
      });
    } catch (error) {
      setRefused(messageOf(error));
    } finally {
      this.#loading = false;
    }
  }
}
