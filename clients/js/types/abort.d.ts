/** Signals and silence. */
/** A controller that is aborted with a signal, until it is unlinked: the signal may outlive it by far. */
export declare class Linked {
    #private;
    controller: AbortController;
    signal: AbortSignal;
    /** @param {AbortSignal} [signal] */
    constructor(signal?: AbortSignal);
    /** Let go of the signal. */
    unlink(): void;
}
/** Calls once nothing was heard for so long. One timer, however much is heard. */
export declare class Watchdog {
    #private;
    ms: number;
    onSilence: () => void;
    /**
     * @param {number} ms
     * @param {() => void} onSilence
     */
    constructor(ms: number, onSilence: () => void);
    /** Something was heard. */
    heard(): void;
    stop(): void;
}
