/** What a screen reader is told: of a growing answer whole sentences, and no more often than one can listen. */

import { $ } from "./dom.js";

// Some ten words; a reader's queue shall not grow faster than it is read.
const EVERY_MS = 3000;

/** @param {string} text */
export function say(text) {
  const region = $("said");
  const line = document.createElement("p");
  line.textContent = text;
  region.append(line);
  while (region.childElementCount > 5) region.firstElementChild.remove();
}

/** Reads one answer out as it grows. */
export class Reader {
  #said = 0;
  #text = "";
  #timer;

  /** @param {string} text all of it so far */
  grow(text) {
    if (!text.startsWith(this.#text.slice(0, this.#said))) this.#said = 0;
    this.#text = text;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#sayUpTo(sentencesIn(this.#text));
    }, EVERY_MS);
  }

  /** @param {string} text all of it @param {string} [verdict] how it ended */
  end(text, verdict) {
    this.stop();
    this.#text = text;
    this.#sayUpTo(text.length);
    if (verdict) say(verdict);
  }

  /** What there is of it has been shown before. @param {string} text */
  skip(text) {
    this.#text = text;
    this.#said = sentencesIn(text);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #sayUpTo(end) {
    const more = this.#text.slice(this.#said, end).trim();
    this.#said = Math.max(this.#said, end);
    if (more) say(more);
  }
}

/** Where the last whole sentence ends. @param {string} text */
function sentencesIn(text) {
  let end = 0;
  for (const match of text.matchAll(/[.!?:]["')\]]*\s|\n\n/g)) end = match.index + match[0].length;
  return end;
}
