/** What waits for one reader of a watch. A slow one gets fewer, larger deltas: no more waits than there is of the answer. */
export type WatchEvent = import("./types.js").WatchEvent;
/**
 * @typedef {import("./types.js").WatchEvent} WatchEvent
 */
export declare class Queue {
    #private;
    /** @param {WatchEvent} event */
    push(event: WatchEvent): void;
    /** @param {unknown} [error] */
    close(error?: unknown): void;
    /** The next, or undefined after the last. Throws what it was closed with. */
    next(): Promise<import("./types.js").WatchEvent | undefined>;
}
