/** One connection to the events of a run, by fetch or by EventSource: messages, until it is over. */
import { Unavailable } from "./errors.js";
export type Connection = import("./http.js").Connection;
export type Message = import("./sse.js").Message;
export type Opening = {
    /**
     * of the run
     */
    path: string;
    /**
     * after which to go on
     */
    position: string | undefined;
    signal: AbortSignal;
    /**
     * the server says how long to wait before the next connection
     */
    onRetry?: (retryMs: number) => void;
};
/**
 * @typedef {import("./http.js").Connection} Connection
 * @typedef {import("./sse.js").Message} Message
 *
 * @typedef {object} Opening
 * @property {string} path of the run
 * @property {string | undefined} position after which to go on
 * @property {AbortSignal} signal
 * @property {(retryMs: number) => void} [onRetry] the server says how long to wait before the next connection
 */
/** The server says that there is nothing left. @type {Message} */
export declare const STOPPED: Message;
/**
 * @param {Connection} connection
 * @param {Opening} opening
 * @returns {AsyncGenerator<Message>}
 */
export declare function byFetch(connection: Connection, { path, position, signal, onRetry }: Opening): AsyncGenerator<Message>;
/**
 * The browser's own EventSource, for one connection: how to come back is decided in one place, for both.
 *
 * @param {Connection} connection
 * @param {Opening} opening
 * @returns {AsyncGenerator<Message>}
 */
export declare function byEventSource(connection: Connection, { path, position, signal }: Opening): AsyncGenerator<Message>;
export declare function lineBroke(): Unavailable;
