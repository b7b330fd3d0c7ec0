/** One WebSocket to a room, from its opening until it is over. */
export type Connection = import("./http.js").Connection;
export type Socket = import("./types.js").Socket;
export declare class Line {
    #private;
    /**
     * A line that is not opened yet.
     *
     * @param {Connection} connection
     * @param {string} room
     * @param {number} [pingMs] after which a silent line is asked for a sign of life
     */
    static to(connection: Connection, room: string, pingMs?: number): Promise<Line>;
    /**
     * @param {() => Socket} dial
     * @param {number} openMs
     * @param {number} [pingMs]
     */
    constructor(dial: () => Socket, openMs: number, pingMs?: number);
    /** @param {object} command what is not sent, because the line is down, is lost */
    send(command: object): void;
    /**
     * Open it, join, and take what comes. Returns why it is over, which may be what `take` has thrown.
     *
     * @param {{token?: string}} join
     * @param {AbortSignal} signal
     * @param {(push: any) => void} take
     * @returns {Promise<unknown>}
     */
    talk(join: {
        token?: string;
    }, signal: AbortSignal, take: (push: any) => void): Promise<unknown>;
}
