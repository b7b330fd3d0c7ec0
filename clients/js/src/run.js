/** Starting, reading and cancelling a run. */

/**
 * @typedef {import("./types.js").Run} Run
 * @typedef {import("./types.js").RunRequest} RunRequest
 * @typedef {import("./types.js").Abortable} Abortable
 * @typedef {import("./http.js").Connection} Connection
 */

/**
 * @param {Connection} connection
 * @param {RunRequest | RunRequest["input"]} input
 * @param {{idempotencyKey?: string} & Abortable} [options]
 * @returns {Promise<Run>}
 */
export function create(connection, input, { idempotencyKey = randomId(), signal } = {}) {
  const request = typeof input === "string" || Array.isArray(input) ? { input } : input;
  return connection.json("/v1/runs", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey },
    body: JSON.stringify({ ...request, stream: false }),
    signal,
    patience: connection.patience(),
  });
}

/**
 * @param {Connection} connection
 * @param {string | {id: string}} run
 * @param {Abortable} [options]
 * @returns {Promise<Run>}
 */
export function get(connection, run, { signal } = {}) {
  return connection.json(pathOf(run), { signal, patience: connection.patience() });
}

/**
 * @param {Connection} connection
 * @param {string | {id: string}} run
 * @param {Abortable} [options]
 * @returns {Promise<Run>}
 */
export function cancel(connection, run, { signal } = {}) {
  return connection.json(`${pathOf(run)}/cancel`, { method: "POST", signal, patience: connection.patience() });
}

/** @param {string | {id: string}} run */
export function pathOf(run) {
  return `/v1/runs/${encodeURIComponent(typeof run === "string" ? run : run.id)}`;
}

/** A UUID, also in a page that has no HTTPS, where crypto.randomUUID is missing. */
export function randomId() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
