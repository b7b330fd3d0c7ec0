/** The token, and a newer one when it is not taken any more. */

import { HeadwaterError, Unavailable } from "./errors.js";

/** @typedef {string | ((stale?: string) => string | Promise<string>)} TokenSource */

export class Credentials {
  #source;
  /** @type {string | undefined} */
  #token;
  /** @type {Promise<string> | undefined} */
  #asking;

  /** @param {TokenSource | null} [source] */
  constructor(source) {
    if (source && !["string", "function"].includes(typeof source)) throw new TypeError("a token is a string or a function");
    this.#source = source ?? undefined;
    if (typeof source === "string") this.#token = source;
  }

  /**
   * The token to send, if there is one.
   *
   * @returns {Promise<string | undefined>}
   */
  async current() {
    if (this.#token === undefined && this.#source !== undefined) return this.#ask();
    return this.#token;
  }

  /**
   * Another one than this, which was not taken; undefined where there is none.
   *
   * @param {string | undefined} stale
   * @returns {Promise<string | undefined>}
   */
  async renew(stale) {
    if (typeof this.#source !== "function") return undefined;
    const newer = this.#token !== stale ? await this.current() : await this.#ask(stale);
    return newer === stale ? undefined : newer;
  }

  /**
   * @param {string} [stale]
   * @returns {Promise<string>}
   */
  #ask(stale) {
    const source = /** @type {Exclude<TokenSource, string>} */ (this.#source);
    // Whoever needs one meanwhile waits for the same.
    this.#asking ??= Promise.resolve()
      .then(() => source(stale))
      .then(
        (token) => (this.#token = token),
        (error) => {
          if (error instanceof HeadwaterError) throw error;
          // Where tokens come from may be away for a moment, as anything else.
          throw new Unavailable(`The function \`token\` failed: ${error}.`, { code: "no_token", cause: error });
        },
      )
      .finally(() => (this.#asking = undefined));
    return this.#asking;
  }
}
