/** Starting, reading and cancelling a run. */
export type Run = import("./types.js").Run;
export type RunRequest = import("./types.js").RunRequest;
export type Abortable = import("./types.js").Abortable;
export type Connection = import("./http.js").Connection;
/**
 * @typedef {import("./types.js").Run} Run
 * @typedef {import("./types.js").RunRequest} RunRequest
 * @typedef {import("./types.js").Abortable} Abortable
 * @typedef {import("./http.js").Connection} Connection
 */
/**
 * @param {Connection} connection
 * @param {RunRequest | RunRequest["input"]} input
 * @param {{idempotencyKey?: string} & Abortable} [options]
 * @returns {Promise<Run>}
 */
export declare function create(connection: Connection, input: RunRequest | RunRequest["input"], { idempotencyKey, signal }?: {
    idempotencyKey?: string;
} & Abortable): Promise<Run>;
/**
 * @param {Connection} connection
 * @param {string | {id: string}} run
 * @param {Abortable} [options]
 * @returns {Promise<Run>}
 */
export declare function get(connection: Connection, run: string | {
    id: string;
}, { signal }?: Abortable): Promise<Run>;
/**
 * @param {Connection} connection
 * @param {string | {id: string}} run
 * @param {Abortable} [options]
 * @returns {Promise<Run>}
 */
export declare function cancel(connection: Connection, run: string | {
    id: string;
}, { signal }?: Abortable): Promise<Run>;
/** @param {string | {id: string}} run */
export declare function pathOf(run: string | {
    id: string;
}): string;
/** A UUID, also in a page that has no HTTPS, where crypto.randomUUID is missing. */
export declare function randomId(): string;
