/** An answer as it grows: its parts, and the check that nothing of it is missing and nothing came twice. */

import { Unavailable } from "./errors.js";

/**
 * @typedef {import("./types.js").Part} Part
 * @typedef {import("./types.js").Delta} Delta
 */

const KINDS = /** @type {const} */ (["text", "reasoning", "refusal"]);

export class Answer {
  /** What there is, in order; a part is never changed, but replaced. @type {Part[]} */
  parts = [];
  /** How far it has come; undefined where any place is good to go on from. @type {number | undefined} */
  seq = 0;
  #text = "";
  #isStale = false;

  /** The text alone. */
  get text() {
    return this.#text;
  }

  /** The connection is a new one, on which it comes as a snapshot or from its start. Until then this is shown. */
  reconnected() {
    this.seq = 0;
    this.#isStale = true;
  }

  /**
   * @param {Part[]} parts
   * @param {number | undefined} seq
   */
  replace(parts, seq) {
    this.parts = [...parts];
    this.#text = parts.map((part) => part.text ?? "").join("");
    this.#isStale = false;
    this.seq = seq;
  }

  /**
   * It goes on. Throws where this does not join what there is, and changes nothing then.
   *
   * @param {Delta} delta
   * @returns {string} the text that is new
   */
  append(delta) {
    this.#cover(delta);
    if (delta.tool_call !== undefined) this.#appendCall(delta.tool_call);
    for (const kind of KINDS) {
      const piece = delta[kind];
      const last = this.parts.at(-1);
      if (piece === undefined) continue;
      if (last?.[kind] !== undefined) this.parts[this.parts.length - 1] = { [kind]: last[kind] + piece };
      else this.parts.push({ [kind]: piece });
    }
    this.#text += delta.text ?? "";
    return delta.text ?? "";
  }

  /**
   * It is tried anew. Throws as `append` does.
   *
   * @param {{after: number, seq: number, how: string}} attempt
   */
  retry(attempt) {
    this.#cover(attempt);
    if (attempt.how === "restarted") this.replace([], attempt.seq);
  }

  /**
   * It is over. Throws as `append` does.
   *
   * @param {{after: number, seq: number}} end
   */
  end(end) {
    this.#cover(end);
  }

  /** @param {{after: number, seq: number}} range */
  #cover({ after, seq }) {
    if ((this.seq !== undefined && after !== this.seq) || !(seq > after)) {
      throw outOfSequence(`events ${after} to ${seq} of an answer came after event ${this.seq}`);
    }
    if (this.#isStale) this.replace([], seq);
    this.seq = seq;
  }

  /** @param {NonNullable<Delta["tool_call"]>} fragment */
  #appendCall({ index, id, name, arguments: more = "" }) {
    const at = this.parts.findIndex((part) => part.tool_call?.index === index);
    const known = this.parts[at]?.tool_call;
    /** @type {NonNullable<Part["tool_call"]>} */
    const call = { index };
    if (known?.id ?? id) call.id = known?.id ?? id;
    if (known?.name ?? name) call.name = known?.name ?? name;
    call.arguments = (known?.arguments ?? "") + more;
    if (known) this.parts[at] = { tool_call: call };
    else this.parts.push({ tool_call: call });
  }
}

/** @param {string} what */
export function outOfSequence(what) {
  return new Unavailable(`What came does not join what came before: ${what}.`, { code: "out_of_sequence" });
}
