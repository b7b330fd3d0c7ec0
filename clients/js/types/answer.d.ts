/** An answer as it grows: its parts, and the check that nothing of it is missing and nothing came twice. */
import { Unavailable } from "./errors.js";
export type Part = import("./types.js").Part;
export type Delta = import("./types.js").Delta;
export declare class Answer {
    #private;
    /** What there is, in order; a part is never changed, but replaced. @type {Part[]} */
    parts: Part[];
    /** How far it has come; undefined where any place is good to go on from. @type {number | undefined} */
    seq: number | undefined;
    /** The text alone. */
    get text(): string;
    /** The connection is a new one, on which it comes as a snapshot or from its start. Until then this is shown. */
    reconnected(): void;
    /**
     * @param {Part[]} parts
     * @param {number | undefined} seq
     */
    replace(parts: Part[], seq: number | undefined): void;
    /**
     * It goes on. Throws where this does not join what there is, and changes nothing then.
     *
     * @param {Delta} delta
     * @returns {string} the text that is new
     */
    append(delta: Delta): string;
    /**
     * It is tried anew. Throws as `append` does.
     *
     * @param {{after: number, seq: number, how: string}} attempt
     */
    retry(attempt: {
        after: number;
        seq: number;
        how: string;
    }): void;
    /**
     * It is over. Throws as `append` does.
     *
     * @param {{after: number, seq: number}} end
     */
    end(end: {
        after: number;
        seq: number;
    }): void;
}
/** @param {string} what */
export declare function outOfSequence(what: string): Unavailable;
