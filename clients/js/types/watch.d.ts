/** Following a run to its end, over as many connections as it takes. */
import { Emitter } from "./emitter.js";
export type Connection = import("./http.js").Connection;
export type Message = import("./sse.js").Message;
export type WatchEvent = import("./types.js").WatchEvent;
export type Result = import("./types.js").Result;
export type WatchOptions = {
    /**
     * a position from which to go on; without it, all that there is comes first
     */
    after?: string;
    /**
     * what is held already, up to `after`
     */
    text?: string;
    transport?: "fetch" | "eventsource";
    signal?: AbortSignal;
};
/**
 * One who follows a run. It begins by itself; listeners that are added at once miss nothing, and a loop that begins
 * late begins with a snapshot. `done` is how the run ended, and fails with whatever ended the watch before.
 *
 * @extends {Emitter<WatchEvent>}
 */
export declare class Watch extends Emitter<WatchEvent> {
    #private;
    /** The run's. */
    id: string;
    /** How the run stands, as far as it was told. @type {import("./types.js").RunStatus | undefined} */
    status: import("./types.js").RunStatus | undefined;
    /** @type {Promise<Result>} */
    done: Promise<Result>;
    /**
     * @param {Connection} connection
     * @param {string | {id: string}} run
     * @param {WatchOptions} [options]
     */
    constructor(connection: Connection, run: string | {
        id: string;
    }, { after, text, transport, signal }?: WatchOptions);
    /** All text so far. */
    get text(): string;
    /** All output so far: text, reasoning, refusals and tool calls. */
    get parts(): import("./types.js").Part[];
    /** From where to go on, in another watch; undefined before the first event that has one. */
    get position(): string | undefined;
    /** Stop watching; the run goes on. */
    close(): void;
    /**
     * The events, from what there is on. Leaving the loop closes the watch, unless others follow it too.
     *
     * @returns {AsyncGenerator<WatchEvent, void, void>}
     */
    [Symbol.asyncIterator](): AsyncGenerator<WatchEvent, void, void>;
}
