/** Headwater's client: answers and rooms that survive whatever the line does. docs/protocol.md is what it speaks. */
import { Room } from "./room.js";
import { Watch } from "./watch.js";
export * from "./errors.js";
export { Room, Watch };
export type ClientOptions = import("./types.js").ClientOptions;
export type Abortable = import("./types.js").Abortable;
export type Run = import("./types.js").Run;
export type RunRequest = import("./types.js").RunRequest;
export type RunStatus = import("./types.js").RunStatus;
export type Part = import("./types.js").Part;
export type Result = import("./types.js").Result;
export type WatchEvent = import("./types.js").WatchEvent;
export type StatusEvent = import("./types.js").StatusEvent;
export type RoomMessage = import("./types.js").RoomMessage;
export type RoomEvent = import("./types.js").RoomEvent;
export type Member = import("./types.js").Member;
export type WatchOptions = import("./watch.js").WatchOptions;
export type JoinOptions = import("./room.js").JoinOptions;
export type Client = ReturnType<typeof createClient>;
/**
 * @typedef {import("./types.js").ClientOptions} ClientOptions
 * @typedef {import("./types.js").Abortable} Abortable
 * @typedef {import("./types.js").Run} Run
 * @typedef {import("./types.js").RunRequest} RunRequest
 * @typedef {import("./types.js").RunStatus} RunStatus
 * @typedef {import("./types.js").Part} Part
 * @typedef {import("./types.js").Result} Result
 * @typedef {import("./types.js").WatchEvent} WatchEvent
 * @typedef {import("./types.js").StatusEvent} StatusEvent
 * @typedef {import("./types.js").RoomMessage} RoomMessage
 * @typedef {import("./types.js").RoomEvent} RoomEvent
 * @typedef {import("./types.js").Member} Member
 * @typedef {import("./watch.js").WatchOptions} WatchOptions
 * @typedef {import("./room.js").JoinOptions} JoinOptions
 * @typedef {ReturnType<typeof createClient>} Client
 */
/**
 * A client of one server.
 *
 * @param {ClientOptions} options
 */
export declare function createClient(options: ClientOptions): {
    /**
     * Start an answer, and return at once. It is safe to call again with the same `idempotencyKey`, as this does itself
     * while the server is away: one run is started.
     *
     * @param {RunRequest | RunRequest["input"]} input
     * @param {{idempotencyKey?: string} & Abortable} [options]
     */
    createRun: (input: RunRequest | RunRequest["input"], options?: {
        idempotencyKey?: string;
    } & Abortable) => Promise<import("./types.js").Run>;
    /**
     * The run with all of its output so far.
     *
     * @param {string | {id: string}} id
     * @param {Abortable} [options]
     */
    getRun: (id: string | {
        id: string;
    }, options?: Abortable) => Promise<import("./types.js").Run>;
    /**
     * Follow a run to its end, wherever it runs and however often the line breaks.
     *
     * @param {string | {id: string}} id
     * @param {WatchOptions} [options]
     */
    watchRun: (id: string | {
        id: string;
    }, options?: WatchOptions) => Watch;
    /**
     * Stop a run for good.
     *
     * @param {string | {id: string}} id
     * @param {Abortable} [options]
     */
    cancelRun: (id: string | {
        id: string;
    }, options?: Abortable) => Promise<import("./types.js").Run>;
    /**
     * Come into a room, and stay.
     *
     * @param {string} room
     * @param {JoinOptions} [options]
     */
    joinRoom: (room: string, options?: JoinOptions) => Room;
};
/**
 * `createRun` of a client that is used once.
 *
 * @param {RunRequest | RunRequest["input"]} input
 * @param {ClientOptions & {idempotencyKey?: string} & Abortable} options
 */
export declare const createRun: (input: RunRequest | RunRequest["input"], options: ClientOptions & {
    idempotencyKey?: string;
} & Abortable) => Promise<import("./types.js").Run>;
/**
 * `getRun` of a client that is used once.
 *
 * @param {string | {id: string}} id
 * @param {ClientOptions & Abortable} options
 */
export declare const getRun: (id: string | {
    id: string;
}, options: ClientOptions & Abortable) => Promise<import("./types.js").Run>;
/**
 * `watchRun` of a client that is used once.
 *
 * @param {string | {id: string}} id
 * @param {ClientOptions & WatchOptions} options
 */
export declare const watchRun: (id: string | {
    id: string;
}, options: ClientOptions & WatchOptions) => Watch;
/**
 * `cancelRun` of a client that is used once.
 *
 * @param {string | {id: string}} id
 * @param {ClientOptions & Abortable} options
 */
export declare const cancelRun: (id: string | {
    id: string;
}, options: ClientOptions & Abortable) => Promise<import("./types.js").Run>;
/**
 * `joinRoom` of a client that is used once.
 *
 * @param {string} room
 * @param {ClientOptions & JoinOptions} options
 */
export declare const joinRoom: (room: string, options: ClientOptions & JoinOptions) => Room;
