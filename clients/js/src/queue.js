/** What waits for one reader of a watch. A slow one gets fewer, larger deltas: no more waits than there is of the answer. */

/**
 * @typedef {import("./types.js").WatchEvent} WatchEvent
 */

export class Queue {
  /** @type {WatchEvent[]} */
  #events = [];
  /** @type {{error: unknown} | undefined} how it is over */
  #over;
  #wake = () => {};

  /** @param {WatchEvent} event */
  push(event) {
    const last = this.#events.at(-1);
    if (event.type === "delta" && last?.type === "delta" && event.delta && last.delta) {
      const text = last.delta + event.delta;
      const data = { after: last.data.after, seq: event.data.seq, text };
      this.#events[this.#events.length - 1] = { ...event, delta: text, data };
    } else if (event.type === "status" && last?.type === "status") {
      this.#events[this.#events.length - 1] = event;
    } else {
      this.#events.push(event);
    }
    this.#wake();
  }

  /** @param {unknown} [error] */
  close(error) {
    this.#over ??= { error };
    this.#wake();
  }

  /** The next, or undefined after the last. Throws what it was closed with. */
  async next() {
    while (this.#events.length === 0) {
      if (this.#over?.error !== undefined) throw this.#over.error;
      if (this.#over) return undefined;
      await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
    }
    return this.#events.shift();
  }
}
