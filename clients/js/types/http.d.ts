/** Requests to one server: its address, its token, and what its answers mean. */
import { Patience } from "./backoff.js";
import { HeadwaterError } from "./errors.js";
import { Credentials } from "./token.js";
/** Longer than a restart or a deploy takes; a person has reloaded by then. */
export declare const MAX_WAIT_MS = 120000;
export type ClientOptions = import("./types.js").ClientOptions;
export type Request = {
    method?: string;
    headers?: Record<string, string>;
    body?: string;
    signal?: AbortSignal;
};
/**
 * @typedef {import("./types.js").ClientOptions} ClientOptions
 *
 * @typedef {object} Request
 * @property {string} [method]
 * @property {Record<string, string>} [headers]
 * @property {string} [body]
 * @property {AbortSignal} [signal]
 */
export declare class Connection {
    #private;
    options: import("./types.js").ClientOptions;
    base: string;
    credentials: Credentials;
    silenceMs: number;
    timeoutMs: number;
    /** @param {ClientOptions} options */
    constructor(options: ClientOptions);
    /** @param {{maxWaitMs?: number}} [options] */
    patience({ maxWaitMs }?: {
        maxWaitMs?: number;
    }): Patience;
    /**
     * One request, with a newer token if the first is not taken. Throws a typed error for whatever is no success.
     *
     * @param {string} path
     * @param {Request} [request]
     * @returns {Promise<Response>}
     */
    send(path: string, request?: Request): Promise<Response>;
    /**
     * The JSON of an answer; once, or as often as `patience` lets it.
     *
     * @param {string} path
     * @param {Request & {patience?: Patience}} [request]
     * @returns {Promise<any>}
     */
    json(path: string, { patience, ...request }?: Request & {
        patience?: Patience;
    }): Promise<any>;
}
/**
 * A network's failure as one of ours; an error of ours as it is.
 *
 * @param {unknown} error
 * @param {string} url
 */
export declare function asTrouble(error: unknown, url: string): HeadwaterError;
