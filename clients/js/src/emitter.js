/** Listeners by type of event. */

/**
 * Those of the events that are of a type.
 *
 * @template E
 * @template T
 * @typedef {E extends {type: infer K} ? (T extends K ? E : never) : never} EventOf
 */

/**
 * A listener's fault is its own, and must not end what it listens to.
 *
 * @param {unknown} error
 */
function report(error) {
  if (typeof globalThis.reportError === "function") return globalThis.reportError(error);
  queueMicrotask(() => {
    throw error;
  });
}

/**
 * @template {{type: string}} E
 */
export class Emitter {
  /** @type {Map<string, Set<(event: any) => void>>} */
  #listeners = new Map();

  /**
   * Call `listener` with each event of this type, or of any with `"*"`. Returns what stops it.
   *
   * @template {E["type"] | "*"} T
   * @param {T} type
   * @param {(event: T extends "*" ? E : EventOf<E, T>) => void} listener
   * @returns {() => void}
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  /** @protected */
  get hasListeners() {
    return [...this.#listeners.values()].some((listeners) => listeners.size > 0);
  }

  /**
   * @protected
   * @param {E} event
   */
  emit(event) {
    for (const type of [event.type, "*"]) {
      for (const listener of [...(this.#listeners.get(type) ?? [])]) {
        try {
          listener(event);
        } catch (error) {
          report(error);
        }
      }
    }
  }
}
