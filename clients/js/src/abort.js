/** Signals and silence. */

/** A controller that is aborted with a signal, until it is unlinked: the signal may outlive it by far. */
export class Linked {
  #signal;
  #onAbort;

  /** @param {AbortSignal} [signal] */
  constructor(signal) {
    const controller = new AbortController();
    this.controller = controller;
    this.signal = controller.signal;
    this.#signal = signal;
    this.#onAbort = () => controller.abort(signal?.reason);
    if (signal?.aborted) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort);
  }

  /** Let go of the signal. */
  unlink() {
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }
}

/** Calls once nothing was heard for so long. One timer, however much is heard. */
export class Watchdog {
  #heardAt = Date.now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {number} ms
   * @param {() => void} onSilence
   */
  constructor(ms, onSilence) {
    this.ms = ms;
    this.onSilence = onSilence;
    this.#wait(ms);
  }

  /** Something was heard. */
  heard() {
    this.#heardAt = Date.now();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  /** @param {number} ms */
  #wait(ms) {
    this.#timer = setTimeout(() => {
      const left = this.#heardAt + this.ms - Date.now();
      if (left > 0) this.#wait(left);
      else this.onSilence();
    }, ms);
  }
}
