/** The token, and a newer one when it is not taken any more. */
export type TokenSource = string | ((stale?: string) => string | Promise<string>);
/** @typedef {string | ((stale?: string) => string | Promise<string>)} TokenSource */
export declare class Credentials {
    #private;
    /** @param {TokenSource | null} [source] */
    constructor(source?: TokenSource | null);
    /**
     * The token to send, if there is one.
     *
     * @returns {Promise<string | undefined>}
     */
    current(): Promise<string | undefined>;
    /**
     * Another one than this, which was not taken; undefined where there is none.
     *
     * @param {string | undefined} stale
     * @returns {Promise<string | undefined>}
     */
    renew(stale: string | undefined): Promise<string | undefined>;
}
