/** One connection to the events of a run, by fetch or by EventSource: messages, until it is over. */

import { Linked, Watchdog } from "./abort.js";
import { Unavailable, Unsupported, mediaType, notHeadwater } from "./errors.js";
import { asTrouble } from "./http.js";
import { EventStreamParser } from "./sse.js";

/**
 * @typedef {import("./http.js").Connection} Connection
 * @typedef {import("./sse.js").Message} Message
 *
 * @typedef {object} Opening
 * @property {string} path of the run
 * @property {string | undefined} position after which to go on
 * @property {AbortSignal} signal
 * @property {(retryMs: number) => void} [onRetry] the server says how long to wait before the next connection
 */

/** The server says that there is nothing left. @type {Message} */
export const STOPPED = { event: "stopped", data: "", id: undefined };

const EVENTS = ["run", "snapshot", "delta", "attempt", "end"];

/**
 * @param {Connection} connection
 * @param {Opening} opening
 * @returns {AsyncGenerator<Message>}
 */
export async function* byFetch(connection, { path, position, signal, onRetry }) {
  const url = `${path}/events${position === undefined ? "" : `?after=${encodeURIComponent(position)}`}`;
  const linked = new Linked(signal);
  let bytes = 0;
  const watchdog = new Watchdog(connection.silenceMs, () => {
    linked.controller.abort(bytes === 0 ? nothingCame(connection.silenceMs) : silent(connection.silenceMs));
  });
  try {
    const response = await connection.send(url, { signal: linked.signal });
    if (response.status === 204) {
      yield STOPPED;
      return;
    }
    const type = mediaType(response);
    if (type !== "text/event-stream" || response.body === null) throw notHeadwater(connection.base + url, type);
    const parser = new EventStreamParser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    const next = () =>
      reader.read().catch((error) => {
        throw asTrouble(error, connection.base + url);
      });
    for (let read = await next(); !read.done; read = await next()) {
      watchdog.heard();
      bytes += read.value.length;
      yield* parser.feed(decoder.decode(read.value, { stream: true }));
      if (parser.retryMs !== undefined) onRetry?.(parser.retryMs);
    }
  } catch (error) {
    throw linked.signal.aborted ? linked.signal.reason : error;
  } finally {
    watchdog.stop();
    linked.unlink();
    linked.controller.abort(); // whatever is left of the response
  }
}

/**
 * The browser's own EventSource, for one connection: how to come back is decided in one place, for both.
 *
 * @param {Connection} connection
 * @param {Opening} opening
 * @returns {AsyncGenerator<Message>}
 */
export async function* byEventSource(connection, { path, position, signal }) {
  const EventSource = /** @type {import("./types.js").EventSourceClass | undefined} */ (
    connection.options.EventSource ?? globalThis.EventSource
  );
  if (EventSource === undefined) {
    throw new Unsupported("There is no EventSource here: leave out `transport`, or give the client an `EventSource`.");
  }
  const query = new URLSearchParams(position === undefined ? {} : { after: position });
  const ticket = await ticketFor(connection, path, signal);
  if (ticket !== undefined) query.set("ticket", ticket);
  signal.throwIfAborted();

  /** @type {Message[]} */
  let came = [];
  /** @type {unknown} */
  let over;
  let wake = () => {};
  const source = new EventSource(`${connection.base}${path}/events${query.size > 0 ? `?${query}` : ""}`);
  const finish = (/** @type {unknown} */ why) => {
    over ??= why;
    source.close();
    wake();
  };
  // Keep-alives cannot be seen from here, but the first event comes at once.
  const watchdog = new Watchdog(connection.silenceMs, () => finish(nothingCame(connection.silenceMs)));
  const onAbort = () => finish(signal.reason);
  signal.addEventListener("abort", onAbort);
  source.onerror = () => finish(source.readyState === 2 ? REFUSED : lineBroke());
  for (const event of EVENTS) {
    source.addEventListener(event, ({ data, lastEventId }) => {
      watchdog.stop();
      came.push({ event, data, id: lastEventId || undefined });
      wake();
    });
  }
  try {
    while (over === undefined || came.length > 0) {
      const messages = came;
      came = [];
      yield* messages;
      if (came.length === 0 && over === undefined) await new Promise((resolve) => (wake = () => resolve(undefined)));
    }
    if (over !== REFUSED) throw over;
    yield* whyRefused(connection, path, position, signal);
  } finally {
    watchdog.stop();
    source.close();
    signal.removeEventListener("abort", onAbort);
  }
}

const REFUSED = Symbol("EventSource gives no reason");

/**
 * EventSource does not tell the status: ask again. Throws what is wrong.
 *
 * @param {Connection} connection
 * @param {string} path
 * @param {string | undefined} position
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Message>}
 */
async function* whyRefused(connection, path, position, signal) {
  for await (const message of byFetch(connection, { path, position, signal })) {
    if (message === STOPPED) yield STOPPED;
    break;
  }
  throw lineBroke();
}

/**
 * @param {Connection} connection
 * @param {string} path
 * @param {AbortSignal} signal
 * @returns {Promise<string | undefined>}
 */
async function ticketFor(connection, path, signal) {
  if ((await connection.credentials.current()) === undefined) return undefined;
  const body = JSON.stringify({ run: decodeURIComponent(path.slice(path.lastIndexOf("/") + 1)) });
  const headers = { "Content-Type": "application/json" };
  return (await connection.json("/v1/tickets", { method: "POST", headers, body, signal })).ticket;
}

export function lineBroke() {
  return new Unavailable("The stream broke off before the end of the answer.", { code: "cut" });
}

/** @param {number} ms */
function silent(ms) {
  return new Unavailable(`Nothing came for ${ms} ms, not even a keep-alive.`, { code: "silent" });
}

/** @param {number} ms */
function nothingCame(ms) {
  return new Unavailable(`Nothing of the stream came within ${ms} ms, not even its first event.`, { code: "nothing" });
}
