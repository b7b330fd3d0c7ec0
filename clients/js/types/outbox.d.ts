/** Commands to a room, in order: each is sent once the one before is answered, and again until it is answered itself. */
export type Command = {
    type: string;
    ref: string;
} & Record<string, unknown>;
export type Waiting = {
    command: Command;
    /**
     * so that nobody knows whether it was done
     */
    wasSent: boolean;
    resolve: (answer: any) => void;
    reject: (error: unknown) => void;
};
/**
 * @typedef {{type: string, ref: string} & Record<string, unknown>} Command
 *
 * @typedef {object} Waiting
 * @property {Command} command
 * @property {boolean} wasSent so that nobody knows whether it was done
 * @property {(answer: any) => void} resolve
 * @property {(error: unknown) => void} reject
 */
export declare class Outbox {
    #private;
    /** @param {import("./backoff.js").Patience} patience with a command that is refused for now */
    constructor(patience: import("./backoff.js").Patience);
    /**
     * The answer to this command, once it came. Fails with what it was refused with, and with the signal's reason.
     *
     * @param {{type: string} & Record<string, unknown>} fields
     * @param {AbortSignal} [signal]
     * @returns {Promise<any>}
     */
    ask(fields: {
        type: string;
    } & Record<string, unknown>, signal?: AbortSignal): Promise<any>;
    /**
     * The line is up.
     *
     * @param {(command: Command) => void} send
     */
    open(send: (command: Command) => void): void;
    /** The line was lost. */
    pause(): void;
    /** @param {any} answer `ok` or `error`; one to nothing that waits is nobody's */
    take(answer: any): void;
    /**
     * Whatever waits, or comes yet, fails with this.
     *
     * @param {unknown} error
     */
    close(error: unknown): void;
}
