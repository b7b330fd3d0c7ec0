/** Server-sent events, read as they come: https://html.spec.whatwg.org/#event-stream-interpretation */
export type Message = {
    /**
     * its name
     */
    event: string;
    data: string;
    /**
     * the newest there was
     */
    id: string | undefined;
};
/**
 * @typedef {object} Message
 * @property {string} event its name
 * @property {string} data
 * @property {string | undefined} id the newest there was
 */
/** Takes the text of one response in pieces that end anywhere. What was not finished by an empty line is no message. */
export declare class EventStreamParser {
    #private;
    /** How long the server asks to wait before a reconnect. @type {number | undefined} */
    retryMs: number | undefined;
    /**
     * The messages that are whole with this piece.
     *
     * @param {string} text
     * @returns {Message[]}
     */
    feed(text: string): Message[];
}
