/**
 * What can go wrong. Each error has a stable `code` for programs, a `message` that says what to do, and where something
 * else is behind it, a `cause`.
 */

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
export class HeadwaterError extends Error {
  /**
   * @param {string} message
   * @param {ErrorFields} [fields]
   */
  constructor(message, { code = "error", status, field, limit, retryAfterMs, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    /** @type {string} */
    this.code = code;
    /** @type {number | undefined} */
    this.status = status;
    /** @type {string | undefined} */
    this.field = field;
    /** @type {number | undefined} */
    this.limit = limit;
    /** @type {number | undefined} */
    this.retryAfterMs = retryAfterMs;
  }
}

/** The server asks who is there, and does not take what it was told. */
export class Unauthorized extends HeadwaterError {}

/** The token is valid, and does not open this. */
export class Forbidden extends HeadwaterError {}

/** It is not there (any more), or it is somebody else's. */
export class NotFound extends HeadwaterError {}

/** The request is wrong, and will be however often it is sent: `field` and `limit` say where. */
export class BadRequest extends HeadwaterError {}

/** A fault of the server's that another try does not mend. */
export class ServerFailed extends HeadwaterError {}

/** It passes: the server is away, busy or shutting down, or the line broke. The client tries again by itself. */
export class Unavailable extends HeadwaterError {}

/** It did not pass for as long as `maxWaitMs` says. `cause` is what happened last. */
export class TooManyRetries extends HeadwaterError {}

/** Something else than Headwater answers at this address. */
export class NotHeadwater extends HeadwaterError {}

/** A proxy on the way keeps the stream back. */
export class Buffered extends HeadwaterError {}

/** This JavaScript has no WebSocket or EventSource of its own, or does not let this page use it. */
export class Unsupported extends HeadwaterError {}

/**
 * The error that an answer of the server is, other than a success.
 *
 * @param {Response} response
 * @param {string} url
 * @param {boolean} hasToken whether a token was sent
 * @returns {Promise<HeadwaterError>}
 */
export async function errorOf(response, url, hasToken) {
  const { status } = response;
  const problem = await problemOf(response);
  const fields = {
    code: problem?.code,
    status,
    field: problem?.field,
    limit: problem?.limit,
    retryAfterMs: retryAfterMs(response.headers.get("Retry-After")),
  };
  const detail = problem?.detail ?? `${url} answered with the status ${status}.`;
  if (status === 401) return unauthorized(hasToken, { code: "unauthenticated", status });
  if (status === 408 || status === 425 || status === 429 || (status >= 500 && !(problem && status === 500))) {
    return new Unavailable(detail, { ...fields, code: fields.code ?? "unavailable" });
  }
  if (status === 500) return new ServerFailed(detail, fields);
  if (status === 403) return new Forbidden(detail, { ...fields, code: fields.code ?? "forbidden" });
  // Browsers keep from a page what its status is.
  const isRedirect = response.type === "opaqueredirect" || (status >= 300 && status < 400);
  if (isRedirect) return notHeadwater(url, "a redirect to somewhere else");
  if (problem === undefined || problem.code === "not_found") return notHeadwater(url, `the status ${status}`);
  return new (status === 404 && problem.code !== "unknown_model" ? NotFound : BadRequest)(detail, fields);
}

/**
 * @param {boolean} hasToken whether a token was sent
 * @param {ErrorFields} fields
 */
export function unauthorized(hasToken, fields) {
  const message = hasToken
    ? "The server does not take this token (any more): sign in again, or give `token` a function that fetches a new one."
    : "The server asks who is there: give the client a `token`.";
  return new Unauthorized(message, { code: "unauthenticated", ...fields });
}

/**
 * @param {string} url
 * @param {string} what
 */
export function notHeadwater(url, what) {
  return new NotHeadwater(
    `${url} answered with ${what}, which Headwater never does there: look at the client's \`url\`, ` +
      "and at what a proxy before the server does with /v1.",
    { code: "not_headwater" },
  );
}

/**
 * The error that a room's `error` is.
 *
 * @param {{code: string, detail: string, retryable: boolean}} push
 * @param {boolean} hasToken whether a token was sent
 * @returns {HeadwaterError}
 */
export function refusalOf({ code, detail, retryable }, hasToken) {
  if (retryable) return new Unavailable(detail, { code });
  if (code === "unauthenticated") return unauthorized(hasToken, {});
  if (code === "forbidden") return new Forbidden(detail, { code });
  return new (code.startsWith("unknown_") ? NotFound : BadRequest)(detail, { code });
}

/**
 * Why a room's WebSocket was closed.
 *
 * @param {number} status
 * @param {string} reason
 * @param {boolean} hasToken whether a token was sent
 * @returns {HeadwaterError}
 */
export function closeOf(status, reason, hasToken) {
  const why = reason || `The room's WebSocket was closed with the code ${status}.`;
  switch (status) {
    case 4401:
      return unauthorized(hasToken, { status });
    case 4403:
      return new Forbidden(why, { code: "forbidden", status });
    case 1009:
      return new BadRequest(why, { code: "too_large", status });
    case 4400:
      return new BadRequest(why, { code: "protocol_error", status });
    case 4429:
      return new Unavailable(why, { code: "too_fast", status, retryAfterMs: TOO_FAST_WAIT_MS });
    default:
      return new Unavailable(why, { code: "closed", status });
  }
}

// The server closes a socket that goes on and on; the bucket that it counts with is full again after some seconds.
const TOO_FAST_WAIT_MS = 5_000;

/**
 * @param {Response} response
 * @returns {Promise<{code?: string, detail?: string, field?: string, limit?: number} | undefined>}
 */
async function problemOf(response) {
  if (mediaType(response) !== "application/problem+json") return discard(response);
  try {
    return await response.json();
  } catch {
    return undefined; // it was cut, or it is none after all
  }
}

/**
 * Let go of what is left of a response. It is not waited for: whoever has cloned it may keep it.
 *
 * @param {Response} response
 * @returns {undefined}
 */
export function discard(response) {
  response.body?.cancel().catch(() => {});
}

/**
 * @param {Response} response
 * @returns {string}
 */
export function mediaType(response) {
  return (response.headers.get("Content-Type") ?? "").split(";")[0].trim().toLowerCase();
}

/**
 * @param {string | null} header seconds, or a date
 * @returns {number | undefined}
 */
function retryAfterMs(header) {
  if (header === null) return undefined;
  const ms = /^\d+(\.\d+)?$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
