/** What a member of a room holds: pushes in, events out. Nothing here waits, asks or sends. */
export type RoomMessage = import("./types.js").RoomMessage;
export type RoomEvent = import("./types.js").RoomEvent;
export type Member = import("./types.js").Member;
export declare class RoomState {
    #private;
    /** Who one is here. @type {import("./types.js").You | undefined} */
    you: import("./types.js").You | undefined;
    /** Where one stands in the room's log, once one was told. @type {string | undefined} */
    position: string | undefined;
    /** @type {Member[]} */
    members: Member[];
    /** Who is writing now. @type {Member[]} */
    typing: Member[];
    /** The seq up to which each member has read. @type {Record<string, number>} */
    marks: Record<string, number>;
    /** @param {(event: RoomEvent) => void} tell is called with each change, once it is made */
    constructor(tell: (event: RoomEvent) => void);
    /** All messages in order, those last that were said here and not heard yet. */
    get messages(): import("./types.js").RoomMessage[];
    /** @param {string} id a message's, or the client_id of one that is pending */
    find(id: string): import("./types.js").RoomMessage | undefined;
    /**
     * The local copy of what is said, until it is heard.
     *
     * @param {RoomMessage} message
     */
    say(message: RoomMessage): void;
    /** @param {string} clientId it was taken, and will be heard if it was not yet */
    taken(clientId: string): void;
    /**
     * It will never be heard.
     *
     * @param {string} clientId
     * @param {Error} error
     */
    refused(clientId: string, error: Error): void;
    /**
     * A push that answers no command but the join. Throws where it does not join what there is, which it leaves as it is.
     *
     * @param {any} push
     */
    take(push: any): void;
    /**
     * A page from before the first message that is held: it is put before it.
     *
     * @param {RoomMessage[]} page
     * @param {boolean} hasMore
     */
    prepend(page: RoomMessage[], hasMore: boolean): void;
    /** @returns {string | undefined} */
    get oldest(): string | undefined;
}
