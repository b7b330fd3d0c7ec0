/** A WebSocket (RFC 6455) for Node 20, which has none: as much of it as a room's client needs. */
export type Socket = import("./types.js").Socket;
/** @typedef {import("./types.js").Socket} Socket */
/** @implements {Socket} */
export declare class NodeSocket implements Socket {
    #private;
    readyState: number;
    protocol: string;
    /** @type {((event: any) => void) | null} */
    onopen: ((event: any) => void) | null;
    /** @type {((event: {data: any}) => void) | null} */
    onmessage: ((event: {
        data: any;
    }) => void) | null;
    /** @type {((event: any) => void) | null} */
    onerror: ((event: any) => void) | null;
    /** @type {((event: {code: number, reason: string}) => void) | null} */
    onclose: ((event: {
        code: number;
        reason: string;
    }) => void) | null;
    /**
     * @param {string} url
     * @param {string[]} [protocols]
     */
    constructor(url: string, protocols?: string[]);
    /** @param {string} data */
    send(data: string): void;
    /**
     * @param {number} [code]
     * @param {string} [reason]
     */
    close(code?: number, reason?: string): void;
}
export type Frame = {
    opcode: number;
    isLast: boolean;
    payload: Buffer;
};
/**
 * @typedef {{opcode: number, isLast: boolean, payload: Buffer}} Frame
 */
/**
 * A client's frame.
 *
 * @param {number} opcode
 * @param {Buffer} payload
 * @param {Buffer} mask four random bytes
 */
export declare function frameOf(opcode: number, payload: Buffer, mask: Buffer): Buffer<ArrayBuffer>;
/** Takes a server's bytes in pieces that end anywhere. */
export declare class FrameReader {
    #private;
    /**
     * The frames that are whole with this piece. Throws at what no server may send.
     *
     * @param {Buffer} data
     * @returns {Frame[]}
     */
    feed(data: Buffer): Frame[];
}
