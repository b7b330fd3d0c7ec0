/** Server-sent events, read as they come: https://html.spec.whatwg.org/#event-stream-interpretation */

/**
 * @typedef {object} Message
 * @property {string} event its name
 * @property {string} data
 * @property {string | undefined} id the newest there was
 */

/** Takes the text of one response in pieces that end anywhere. What was not finished by an empty line is no message. */
export class EventStreamParser {
  /** How long the server asks to wait before a reconnect. @type {number | undefined} */
  retryMs;
  /** The beginning of a line whose end has not come, in pieces: a long one is joined once. @type {string[]} */
  #line = [];
  #afterCr = false;
  #event = "";
  /** @type {string[]} */
  #data = [];
  /** @type {string | undefined} */
  #id;

  /**
   * The messages that are whole with this piece.
   *
   * @param {string} text
   * @returns {Message[]}
   */
  feed(text) {
    if (text === "") return [];
    const fresh = this.#afterCr && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterCr = text.endsWith("\r");
    const lines = fresh.split(/\r\n|\n|\r/);
    const messages = [];
    const rest = /** @type {string} */ (lines.pop());
    for (const end of lines) {
      const line = this.#line.length > 0 ? this.#line.join("") + end : end;
      this.#line = [];
      if (line !== "") this.#field(line);
      else {
        const message = this.#dispatch();
        if (message !== undefined) messages.push(message);
      }
    }
    if (rest !== "") this.#line.push(rest);
    return messages;
  }

  /** @param {string} line */
  #field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
  }

  /** @returns {Message | undefined} */
  #dispatch() {
    const message = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
    const isEmpty = this.#data.length === 0;
    this.#event = "";
    this.#data = [];
    return isEmpty ? undefined : message;
  }
}
