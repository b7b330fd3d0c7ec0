/** Headwater's client: answers and rooms that survive whatever the line does. docs/protocol.md is what it speaks. */

import { Connection } from "./http.js";
import { Room } from "./room.js";
import * as run from "./run.js";
import { Watch } from "./watch.js";

export * from "./errors.js";
export { Room, Watch };

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
export function createClient(options) {
  const connection = new Connection(options);
  return {
    /**
     * Start an answer, and return at once. It is safe to call again with the same `idempotencyKey`, as this does itself
     * while the server is away: one run is started.
     *
     * @param {RunRequest | RunRequest["input"]} input
     * @param {{idempotencyKey?: string} & Abortable} [options]
     */
    createRun: (input, options) => run.create(connection, input, options),

    /**
     * The run with all of its output so far.
     *
     * @param {string | {id: string}} id
     * @param {Abortable} [options]
     */
    getRun: (id, options) => run.get(connection, id, options),

    /**
     * Follow a run to its end, wherever it runs and however often the line breaks.
     *
     * @param {string | {id: string}} id
     * @param {WatchOptions} [options]
     */
    watchRun: (id, options) => new Watch(connection, id, options),

    /**
     * Stop a run for good.
     *
     * @param {string | {id: string}} id
     * @param {Abortable} [options]
     */
    cancelRun: (id, options) => run.cancel(connection, id, options),

    /**
     * Come into a room, and stay.
     *
     * @param {string} room
     * @param {JoinOptions} [options]
     */
    joinRoom: (room, options) => new Room(connection, room, options),
  };
}

/**
 * `createRun` of a client that is used once.
 *
 * @param {RunRequest | RunRequest["input"]} input
 * @param {ClientOptions & {idempotencyKey?: string} & Abortable} options
 */
export const createRun = (input, options) => createClient(options).createRun(input, options);

/**
 * `getRun` of a client that is used once.
 *
 * @param {string | {id: string}} id
 * @param {ClientOptions & Abortable} options
 */
export const getRun = (id, options) => createClient(options).getRun(id, options);

/**
 * `watchRun` of a client that is used once.
 *
 * @param {string | {id: string}} id
 * @param {ClientOptions & WatchOptions} options
 */
export const watchRun = (id, options) => createClient(options).watchRun(id, options);

/**
 * `cancelRun` of a client that is used once.
 *
 * @param {string | {id: string}} id
 * @param {ClientOptions & Abortable} options
 */
export const cancelRun = (id, options) => createClient(options).cancelRun(id, options);

/**
 * `joinRoom` of a client that is used once.
 *
 * @param {string} room
 * @param {ClientOptions & JoinOptions} options
 */
export const joinRoom = (room, options) => createClient(options).joinRoom(room, options);
