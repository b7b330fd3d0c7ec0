/** Listeners by type of event. */
export type EventOf<E, T> = E extends {
    type: infer K;
} ? (T extends K ? E : never) : never;
/**
 * @template {{type: string}} E
 */
export declare class Emitter<E extends {
    type: string;
}> {
    #private;
    /**
     * Call `listener` with each event of this type, or of any with `"*"`. Returns what stops it.
     *
     * @template {E["type"] | "*"} T
     * @param {T} type
     * @param {(event: T extends "*" ? E : EventOf<E, T>) => void} listener
     * @returns {() => void}
     */
    on<T extends E["type"] | "*">(type: T, listener: (event: T extends "*" ? E : EventOf<E, T>) => void): () => void;
    /** @protected */
    protected get hasListeners(): boolean;
    /**
     * @protected
     * @param {E} event
     */
    protected emit(event: E): void;
}
