/**
 * What can go wrong. Each error has a stable `code` for programs, a `message` that says what to do, and where something
 * else is behind it, a `cause`.
 */
export type ErrorFields = {
    /**
     * the server's own, where it gave one
     */
    code?: string;
    /**
     * the HTTP status, or the code that a WebSocket was closed with
     */
    status?: number;
    /**
     * what of the input is wrong
     */
    field?: string;
    /**
     * the bound that was passed
     */
    limit?: number;
    /**
     * how long the server asked to wait
     */
    retryAfterMs?: number;
    cause?: unknown;
};
/**
 * @typedef {object} ErrorFields
 * @property {string} [code] the server's own, where it gave one
 * @property {number} [status] the HTTP status, or the code that a WebSocket was closed with
 * @property {string} [field] what of the input is wrong
 * @property {number} [limit] the bound that was passed
 * @property {number} [retryAfterMs] how long the server asked to wait
 * @property {unknown} [cause]
 */
/** The root of them all. */
export declare class HeadwaterError extends Error {
    /** @type {string} */
    code: string;
    /** @type {number | undefined} */
    status: number | undefined;
    /** @type {string | undefined} */
    field: string | undefined;
    /** @type {number | undefined} */
    limit: number | undefined;
    /** @type {number | undefined} */
    retryAfterMs: number | undefined;
    /**
     * @param {string} message
     * @param {ErrorFields} [fields]
     */
    constructor(message: string, { code, status, field, limit, retryAfterMs, cause }?: ErrorFields);
}
/** The server asks who is there, and does not take what it was told. */
export declare class Unauthorized extends HeadwaterError {
}
/** The token is valid, and does not open this. */
export declare class Forbidden extends HeadwaterError {
}
/** It is not there (any more), or it is somebody else's. */
export declare class NotFound extends HeadwaterError {
}
/** The request is wrong, and will be however often it is sent: `field` and `limit` say where. */
export declare class BadRequest extends HeadwaterError {
}
/** A fault of the server's that another try does not mend. */
export declare class ServerFailed extends HeadwaterError {
}
/** It passes: the server is away, busy or shutting down, or the line broke. The client tries again by itself. */
export declare class Unavailable extends HeadwaterError {
}
/** It did not pass for as long as `maxWaitMs` says. `cause` is what happened last. */
export declare class TooManyRetries extends HeadwaterError {
}
/** Something else than Headwater answers at this address. */
export declare class NotHeadwater extends HeadwaterError {
}
/** A proxy on the way keeps the stream back. */
export declare class Buffered extends HeadwaterError {
}
/** This JavaScript has no WebSocket or EventSource of its own, or does not let this page use it. */
export declare class Unsupported extends HeadwaterError {
}
/**
 * The error that an answer of the server is, other than a success.
 *
 * @param {Response} response
 * @param {string} url
 * @param {boolean} hasToken whether a token was sent
 * @returns {Promise<HeadwaterError>}
 */
export declare function errorOf(response: Response, url: string, hasToken: boolean): Promise<HeadwaterError>;
/**
 * @param {boolean} hasToken whether a token was sent
 * @param {ErrorFields} fields
 */
export declare function unauthorized(hasToken: boolean, fields: ErrorFields): Unauthorized;
/**
 * @param {string} url
 * @param {string} what
 */
export declare function notHeadwater(url: string, what: string): NotHeadwater;
/**
 * The error that a room's `error` is.
 *
 * @param {{code: string, detail: string, retryable: boolean}} push
 * @param {boolean} hasToken whether a token was sent
 * @returns {HeadwaterError}
 */
export declare function refusalOf({ code, detail, retryable }: {
    code: string;
    detail: string;
    retryable: boolean;
}, hasToken: boolean): HeadwaterError;
/**
 * Why a room's WebSocket was closed.
 *
 * @param {number} status
 * @param {string} reason
 * @param {boolean} hasToken whether a token was sent
 * @returns {HeadwaterError}
 */
export declare function closeOf(status: number, reason: string, hasToken: boolean): HeadwaterError;
/**
 * Let go of what is left of a response. It is not waited for: whoever has cloned it may keep it.
 *
 * @param {Response} response
 * @returns {undefined}
 */
export declare function discard(response: Response): undefined;
/**
 * @param {Response} response
 * @returns {string}
 */
export declare function mediaType(response: Response): string;
