/** Where one writes: Enter sends, @ offers names, and the others hear that one writes. */

import { say } from "./aloud.js";
import { $, h } from "./dom.js";
import { meant } from "./mentions.js";

/** @typedef {import("./mentions.js").Named} Named */

const OFFERED_MAX = 8;

export class Composer {
  #text = /** @type {HTMLTextAreaElement} */ ($("text"));
  #list = $("suggestions");
  /** @type {Named[]} */
  #offered = [];
  #chosen = 0;
  /** Where the @ is that is being completed. */
  #at = -1;

  /**
   * @param {object} actions
   * @param {() => Named[]} actions.everybody
   * @param {(text: string, mentions: string[]) => void} actions.say
   * @param {(on: boolean) => void} actions.typing
   * @param {() => void} actions.editLast
   */
  constructor(actions) {
    this.actions = actions;
    $("say").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#text.addEventListener("keydown", (event) => this.#onKey(event));
    this.#text.addEventListener("input", () => {
      actions.typing(this.#text.value.trim() !== "");
      this.#offer();
    });
    this.#text.addEventListener("click", () => this.#offer());
    this.#text.addEventListener("blur", () => this.#close());
  }

  focus() {
    this.#text.focus();
  }

  /** Put a name where the cursor is. @param {string} name */
  mention(name) {
    const { selectionStart: at, value } = this.#text;
    const space = at > 0 && !/\s$/.test(value.slice(0, at)) ? " " : "";
    this.#text.setRangeText(`${space}@${name} `, at, this.#text.selectionEnd, "end");
    this.focus();
  }

  #send() {
    const text = this.#text.value.trim();
    if (!text) return;
    this.#text.value = "";
    this.#close();
    this.actions.typing(false);
    this.actions.say(text, meant(text, this.actions.everybody()));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.isComposing) return;
    const open = this.#at >= 0;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (open && step) this.#choose((this.#chosen + step + this.#offered.length) % this.#offered.length);
    else if (open && (event.key === "Enter" || event.key === "Tab")) this.#complete(this.#offered[this.#chosen]);
    else if (open && event.key === "Escape") this.#close();
    else if (event.key === "Enter" && !event.shiftKey) this.#send();
    else if (event.key === "ArrowUp" && this.#text.value === "") this.actions.editLast();
    else return;
    event.preventDefault();
  }

  // -- names

  #offer() {
    const before = this.#text.value.slice(0, this.#text.selectionStart);
    const begun = before.match(/(?:^|[\s(])@([^\s@]*)$/u);
    const prefix = begun?.[1].toLowerCase() ?? "";
    this.#offered = begun
      ? this.actions.everybody().filter(({ name }) => name.toLowerCase().startsWith(prefix)).slice(0, OFFERED_MAX)
      : [];
    if (!this.#offered.length) return this.#close();
    const wasClosed = this.#at < 0;
    this.#at = before.length - prefix.length - 1;
    this.#list.replaceChildren(...this.#offered.map((named, n) => this.#option(named, n)));
    this.#list.hidden = false;
    if (wasClosed) say(`${this.#offered.length} names to choose from, with the arrow keys and Enter.`);
    this.#choose(0);
  }

  /** @param {Named} named @param {number} n */
  #option(named, n) {
    const option = h("li", { role: "option", id: `suggestion-${n}`, "aria-selected": "false" }, named.name, h("span", {}, named.kind));
    option.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the cursor stays in the text
      this.#complete(named);
    });
    return option;
  }

  #choose(n) {
    this.#chosen = n;
    for (const [at, option] of [...this.#list.children].entries()) option.setAttribute("aria-selected", String(at === n));
    this.#list.children[n].scrollIntoView({ block: "nearest" });
    this.#text.setAttribute("aria-activedescendant", `suggestion-${n}`);
  }

  /** @param {Named} named */
  #complete(named) {
    this.#text.setRangeText(`@${named.name} `, this.#at, this.#text.selectionStart, "end");
    this.#close();
  }

  #close() {
    this.#at = -1;
    this.#list.hidden = true;
    this.#text.removeAttribute("aria-activedescendant");
  }
}
