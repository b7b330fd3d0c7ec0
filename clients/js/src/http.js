/** Requests to one server: its address, its token, and what its answers mean. */

import { Linked } from "./abort.js";
import { Patience, sleep } from "./backoff.js";
import { HeadwaterError, NotHeadwater, Unavailable, discard, errorOf, mediaType, notHeadwater } from "./errors.js";
import { Credentials } from "./token.js";

/** Longer than a restart or a deploy takes; a person has reloaded by then. */
export const MAX_WAIT_MS = 120_000;
/** Nothing that is asked for takes longer: a run is answered before it begins, and a cancel waits for a second. */
const TIMEOUT_MS = 30_000;
/** Three times as long as the server lets a stream be silent. */
const SILENCE_MS = 45_000;
const WITH_USER = /^([^/?#]*\/\/)?[^/?#]*@/;

/**
 * @typedef {import("./types.js").ClientOptions} ClientOptions
 *
 * @typedef {object} Request
 * @property {string} [method]
 * @property {Record<string, string>} [headers]
 * @property {string} [body]
 * @property {AbortSignal} [signal]
 */

export class Connection {
  /** @param {ClientOptions} options */
  constructor(options) {
    this.options = options;
    this.base = baseOf(options?.url);
    this.credentials = new Credentials(options.token);
    this.silenceMs = options.silenceMs ?? SILENCE_MS;
    this.timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  /** @param {{maxWaitMs?: number}} [options] */
  patience({ maxWaitMs = this.options.maxWaitMs ?? MAX_WAIT_MS } = {}) {
    return new Patience({ ...this.options.backoff, maxWaitMs });
  }

  /**
   * One request, with a newer token if the first is not taken. Throws a typed error for whatever is no success.
   *
   * @param {string} path
   * @param {Request} [request]
   * @returns {Promise<Response>}
   */
  async send(path, request = {}) {
    const token = await this.credentials.current();
    const response = await this.#fetch(path, request, token);
    if (response.status === 401) {
      const newer = await this.credentials.renew(token);
      if (newer !== undefined) {
        discard(response);
        return this.#checked(path, await this.#fetch(path, request, newer), true);
      }
    }
    return this.#checked(path, response, token !== undefined);
  }

  /**
   * The JSON of an answer; once, or as often as `patience` lets it.
   *
   * @param {string} path
   * @param {Request & {patience?: Patience}} [request]
   * @returns {Promise<any>}
   */
  async json(path, { patience, ...request } = {}) {
    for (;;) {
      const began = Date.now();
      try {
        return await this.#jsonOnce(path, request);
      } catch (error) {
        if (!patience || !(error instanceof Unavailable)) throw error;
        await sleep(patience.next(error, Date.now() - began), request.signal);
      }
    }
  }

  /**
   * @param {string} path
   * @param {Request} request
   */
  async #jsonOnce(path, request) {
    const linked = new Linked(request.signal);
    const late = new Unavailable(`${this.base}${path} did not answer in ${this.timeoutMs} ms.`, { code: "timeout" });
    const timer = setTimeout(() => linked.controller.abort(late), this.timeoutMs);
    try {
      const response = await this.send(path, { ...request, signal: linked.signal });
      const type = mediaType(response);
      if (type !== "application/json") {
        discard(response);
        throw notHeadwater(this.base + path, type || "no JSON");
      }
      return await response.json().catch((error) => {
        throw asTrouble(error, this.base + path);
      });
    } catch (error) {
      throw linked.signal.aborted ? linked.signal.reason : error;
    } finally {
      clearTimeout(timer);
      linked.unlink();
    }
  }

  /**
   * @param {string} path
   * @param {Request} request
   * @param {string} [token]
   */
  async #fetch(path, { headers, ...request }, token) {
    const fetch = this.options.fetch ?? globalThis.fetch;
    const all = new Headers({ ...headers, ...(token && { Authorization: `Bearer ${token}` }) });
    try {
      // A redirect is not followed: a token, and what is asked, are for the server that was named.
      return await fetch(this.base + path, { cache: "no-store", redirect: "manual", ...request, headers: all });
    } catch (error) {
      if (request.signal?.aborted) throw request.signal.reason;
      throw asTrouble(error, this.base + path);
    }
  }

  /**
   * @param {string} path
   * @param {Response} response
   * @param {boolean} hasToken
   */
  async #checked(path, response, hasToken) {
    if (response.ok) return response;
    throw await errorOf(response, this.base + path, hasToken);
  }
}

/**
 * A network's failure as one of ours; an error of ours as it is.
 *
 * @param {unknown} error
 * @param {string} url
 */
export function asTrouble(error, url) {
  if (error instanceof HeadwaterError) return error;
  const why = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  const message = `${url} cannot be reached, or the line broke${why}. Is the server running, and the network up?`;
  return new Unavailable(message, { code: "unreachable", cause: error });
}

/** It names no address: there may be a password in it. */
function withCredentials() {
  const message = "The client's url has a user or a password in it, which is sent to nobody: leave it out, and give a `token`.";
  return new NotHeadwater(message, { code: "bad_url" });
}

/** @param {string} url */
function baseOf(url) {
  if (WITH_USER.test(url)) throw withCredentials();
  try {
    const absolute = new URL(url, globalThis.location?.href);
    if (!/^https?:$/.test(absolute.protocol)) throw new TypeError(`${absolute.protocol} is not http: or https:`);
    return absolute.origin + absolute.pathname.replace(/\/+$/, "");
  } catch (error) {
    const message = `The client's url must be the server's, such as http://127.0.0.1:8000, and not ${JSON.stringify(url)}.`;
    throw new NotHeadwater(message, { code: "bad_url", cause: error });
  }
}
