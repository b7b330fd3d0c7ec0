/** A member of a room, over as many connections as it takes. */
import { Emitter } from "./emitter.js";
export type Connection = import("./http.js").Connection;
export type RoomMessage = import("./types.js").RoomMessage;
export type Abortable = import("./types.js").Abortable;
export type JoinOptions = {
    /**
     * what others see, where no token says it
     */
    name?: string;
    /**
     * the position from which to come back
     */
    since?: string;
    /**
     * after which a silent line is asked for a sign of life; 20,000
     */
    pingMs?: number;
    signal?: AbortSignal;
};
export type Said = {
    clientId: string;
    done: Promise<string>;
};
/**
 * It joins by itself, and comes back by itself until it leaves. What it holds is in `messages`, `members`, `typing` and
 * `marks`; every change is an event. `ready` is when it is in for the first time. `done` is when it has left, and fails
 * with whatever else ended it.
 *
 * @extends {Emitter<import("./types.js").RoomEvent>}
 */
export declare class Room extends Emitter<import("./types.js").RoomEvent> {
    #private;
    /** The room's name. */
    room: string;
    /** @type {Promise<void>} */
    ready: Promise<void>;
    /** @type {Promise<void>} */
    done: Promise<void>;
    /**
     * @param {Connection} connection
     * @param {string} room
     * @param {JoinOptions} [options]
     */
    constructor(connection: Connection, room: string, options?: JoinOptions);
    /** All messages in order; last those that were said here and have not been heard yet. */
    get messages(): import("./types.js").RoomMessage[];
    /** Everybody who is there. */
    get members(): import("./types.js").Member[];
    /** Who is writing now. */
    get typing(): import("./types.js").Member[];
    /** The seq up to which each member has read. */
    get marks(): {
        [x: string]: number;
    };
    /** Who one is here, once one is in. */
    get you(): import("./types.js").You | undefined;
    /** From where to come back, as `since` of another join. */
    get position(): string | undefined;
    /** Whether the line is up. */
    get isIn(): boolean;
    /**
     * Say something. It is among the messages at once, and is sent until it is answered.
     *
     * @param {string} text
     * @param {{mentions?: string[], replyTo?: string, clientId?: string} & Abortable} [options]
     * @returns {Said}
     */
    say(text: string, { mentions, replyTo, clientId, signal }?: {
        mentions?: string[];
        replyTo?: string;
        clientId?: string;
    } & Abortable): Said;
    /**
     * Change what one has said.
     *
     * @param {string} message
     * @param {string} text
     * @param {Abortable} [options]
     * @returns {Promise<void>}
     */
    edit(message: string, text: string, { signal }?: Abortable): Promise<void>;
    /**
     * Take it back, or down.
     *
     * @param {string} message
     * @param {Abortable} [options]
     * @returns {Promise<void>}
     */
    delete(message: string, { signal }?: Abortable): Promise<void>;
    /**
     * Put a reaction on a message, or take one's own off.
     *
     * @param {string} message
     * @param {string} reaction
     * @param {{on?: boolean} & Abortable} [options]
     * @returns {Promise<void>}
     */
    react(message: string, reaction: string, { on, signal }?: {
        on?: boolean;
    } & Abortable): Promise<void>;
    /**
     * Stop an answer: that of a run, or all to a message that one said under this clientId.
     *
     * @param {{run: string} | {clientId: string}} which
     * @param {Abortable} [options]
     * @returns {Promise<void>}
     */
    cancel(which: {
        run: string;
    } | {
        clientId: string;
    }, { signal }?: Abortable): Promise<void>;
    /**
     * Messages from before a message's id or a position; without it, from before the first that is held, and from then
     * on they are held, too.
     *
     * @param {string} [before]
     * @param {number} [limit] 50, and at most 100
     * @param {Abortable} [options]
     * @returns {Promise<{messages: RoomMessage[], hasMore: boolean}>}
     */
    history(before?: string, limit?: number, { signal }?: Abortable): Promise<{
        messages: RoomMessage[];
        hasMore: boolean;
    }>;
    /**
     * Say that one is writing, on every key, or that one has stopped. It is told no more often than need be.
     *
     * @param {boolean} [on]
     */
    setTyping(on?: boolean): void;
    /**
     * Say how far one has read; without a position, to where one is.
     *
     * @param {string} [position]
     */
    read(position?: string): void;
    /** Be gone. What has not been answered fails; wait for its `done` before, if it matters. */
    leave(): void;
}
