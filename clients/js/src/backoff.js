/** How long to wait before another try, and when to give up. */

import { HeadwaterError, TooManyRetries } from "./errors.js";

/** Before the second try: as long as a server's restart spreads its readers over. */
export const BASE_MS = 500;
/** At most: after a server's outage of seconds its answers shall go on within seconds. */
export const CAP_MS = 8_000;

/**
 * A random time between nothing and a bound that doubles with each try, so that clients which were cut at once do not
 * come back at once.
 *
 * @param {number} tries that have failed, from 1
 * @param {{baseMs?: number, capMs?: number, random?: () => number}} [options]
 */
export function fullJitter(tries, { baseMs = BASE_MS, capMs = CAP_MS, random = Math.random } = {}) {
  return random() * Math.min(capMs, baseMs * 2 ** Math.min(tries - 1, 30));
}

/** Counts tries that failed in a row, and the time that they have taken. */
export class Patience {
  /**
   * @param {object} options
   * @param {number} options.maxWaitMs after which it is used up
   * @param {number} [options.baseMs]
   * @param {number} [options.capMs]
   * @param {() => number} [options.random]
   */
  constructor({ maxWaitMs, baseMs = BASE_MS, capMs = CAP_MS, random = Math.random }) {
    this.maxWaitMs = maxWaitMs;
    this.baseMs = baseMs;
    this.capMs = capMs;
    this.random = random;
    this.tries = 0;
    this.waitedMs = 0;
  }

  /** It works again. */
  reset() {
    this.tries = 0;
    this.waitedMs = 0;
  }

  /** Somebody is there, who may only have nothing to say. */
  heard() {
    this.waitedMs = 0;
  }

  /**
   * How long to wait after this failed. Throws TooManyRetries.
   *
   * @param {HeadwaterError} trouble
   * @param {number} [spentMs] how long the try took
   * @returns {number}
   */
  next(trouble, spentMs = 0) {
    this.tries += 1;
    this.waitedMs += spentMs;
    const asked = trouble.retryAfterMs ?? 0;
    const wait = asked + fullJitter(this.tries, this);
    const left = this.maxWaitMs - this.waitedMs;
    if (left <= 0 || asked > left) throw this.usedUp(trouble);
    const waitMs = Math.min(wait, left);
    this.waitedMs += waitMs;
    return waitMs;
  }

  /** @param {HeadwaterError} trouble */
  usedUp(trouble) {
    const tries = this.tries === 1 ? "once" : `${this.tries} times in a row`;
    return new TooManyRetries(
      `Failed ${tries}, and gave up after ${Math.round(this.waitedMs / 1000)} s: ${trouble.message} ` +
        "Try again later; how long to keep trying is the option `maxWaitMs`.",
      { code: "too_many_retries", status: trouble.status, cause: trouble },
    );
  }
}

/**
 * Wait; in a browser no longer than until the network is back. Rejects with the signal's reason.
 *
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const page = typeof globalThis.addEventListener === "function" ? globalThis : undefined;
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", settle);
      page?.removeEventListener("online", settle);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(settle, ms);
    if (signal?.aborted) return settle();
    signal?.addEventListener("abort", settle);
    page?.addEventListener("online", settle);
  });
}
