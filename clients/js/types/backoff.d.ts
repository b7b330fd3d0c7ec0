/** How long to wait before another try, and when to give up. */
import { HeadwaterError, TooManyRetries } from "./errors.js";
/** Before the second try: as long as a server's restart spreads its readers over. */
export declare const BASE_MS = 500;
/** At most: after a server's outage of seconds its answers shall go on within seconds. */
export declare const CAP_MS = 8000;
/**
 * A random time between nothing and a bound that doubles with each try, so that clients which were cut at once do not
 * come back at once.
 *
 * @param {number} tries that have failed, from 1
 * @param {{baseMs?: number, capMs?: number, random?: () => number}} [options]
 */
export declare function fullJitter(tries: number, { baseMs, capMs, random }?: {
    baseMs?: number;
    capMs?: number;
    random?: () => number;
}): number;
/** Counts tries that failed in a row, and the time that they have taken. */
export declare class Patience {
    maxWaitMs: number;
    baseMs: number;
    capMs: number;
    random: () => number;
    tries: number;
    waitedMs: number;
    /**
     * @param {object} options
     * @param {number} options.maxWaitMs after which it is used up
     * @param {number} [options.baseMs]
     * @param {number} [options.capMs]
     * @param {() => number} [options.random]
     */
    constructor({ maxWaitMs, baseMs, capMs, random }: {
        maxWaitMs: number;
        baseMs?: number;
        capMs?: number;
        random?: () => number;
    });
    /** It works again. */
    reset(): void;
    /** Somebody is there, who may only have nothing to say. */
    heard(): void;
    /**
     * How long to wait after this failed. Throws TooManyRetries.
     *
     * @param {HeadwaterError} trouble
     * @param {number} [spentMs] how long the try took
     * @returns {number}
     */
    next(trouble: HeadwaterError, spentMs?: number): number;
    /** @param {HeadwaterError} trouble */
    usedUp(trouble: HeadwaterError): TooManyRetries;
}
/**
 * Wait; in a browser no longer than until the network is back. Rejects with the signal's reason.
 *
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export declare function sleep(ms: number, signal?: AbortSignal): Promise<void>;
