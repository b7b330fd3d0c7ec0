/** One WebSocket to a room, from its opening until it is over. */

import { Watchdog } from "./abort.js";
import { Unavailable, Unsupported, closeOf } from "./errors.js";

/**
 * @typedef {import("./http.js").Connection} Connection
 * @typedef {import("./types.js").Socket} Socket
 */

const OPEN = 1;
const PING_MS = 20_000;
/** For the answer to a ping. */
const PONG_MS = 10_000;

export class Line {
  /** @type {Socket | undefined} */
  #socket;
  #dial;
  #openMs;
  #pingMs;

  /**
   * A line that is not opened yet.
   *
   * @param {Connection} connection
   * @param {string} room
   * @param {number} [pingMs] after which a silent line is asked for a sign of life
   */
  static async to(connection, room, pingMs) {
    const Socket = await socketClass(connection.options);
    const url = `${connection.base.replace(/^http/, "ws")}/v1/rooms/${encodeURIComponent(room)}/ws`;
    return new Line(() => new Socket(url, ["headwater.v1"]), connection.timeoutMs, pingMs);
  }

  /**
   * @param {() => Socket} dial
   * @param {number} openMs
   * @param {number} [pingMs]
   */
  constructor(dial, openMs, pingMs = PING_MS) {
    this.#dial = dial;
    this.#openMs = openMs;
    this.#pingMs = pingMs;
  }

  /** What cannot even begin, such as ws: from a page that came by https:, throws; a browser does not say more. */
  #dialled() {
    try {
      return this.#dial();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Unsupported(`No WebSocket can be opened here: ${why}`, { code: "no_socket", cause: error });
    }
  }

  /** @param {object} command what is not sent, because the line is down, is lost */
  send(command) {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(command));
  }

  /**
   * Open it, join, and take what comes. Returns why it is over, which may be what `take` has thrown.
   *
   * @param {{token?: string}} join
   * @param {AbortSignal} signal
   * @param {(push: any) => void} take
   * @returns {Promise<unknown>}
   */
  talk(join, signal, take) {
    const socket = this.#dialled();
    this.#socket = socket;
    let wasOpen = false;
    return new Promise((resolve) => {
      const finish = (/** @type {unknown} */ why) => {
        watchdog.stop();
        signal.removeEventListener("abort", onAbort);
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.onerror = () => {}; // some throw what nobody listens to
        socket.close(1000);
        resolve(why);
      };
      const onAbort = () => finish(signal.reason);
      const onSilence = () => {
        this.send({ type: "ping" });
        watchdog = new Watchdog(PONG_MS, () => finish(noSign(PONG_MS)));
      };
      let watchdog = new Watchdog(this.#openMs, () => finish(noSocket()));
      socket.onopen = () => {
        wasOpen = true;
        this.send(join);
      };
      socket.onmessage = ({ data }) => {
        watchdog.stop();
        watchdog = new Watchdog(this.#pingMs, onSilence);
        try {
          take(JSON.parse(String(data)));
        } catch (error) {
          finish(error);
        }
      };
      socket.onerror = () => {};
      socket.onclose = ({ code, reason }) => {
        finish(wasOpen ? closeOf(code, String(reason ?? ""), join.token !== undefined) : noSocket());
      };
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort);
    });
  }
}

/**
 * @param {import("./types.js").ClientOptions} options
 * @returns {Promise<import("./types.js").SocketClass>}
 */
async function socketClass(options) {
  const known = options.WebSocket ?? /** @type {any} */ (globalThis).WebSocket;
  if (known !== undefined) return known;
  // Node has its own from 22 on.
  if (globalThis.process?.versions?.node) return (await import("./node_socket.js")).NodeSocket;
  throw new Unsupported("There is no WebSocket here: give the client one, as the option `WebSocket`.");
}

function noSocket() {
  return new Unavailable("The room's WebSocket could not be opened.", { code: "no_socket" });
}

/** @param {number} ms */
function noSign(ms) {
  return new Unavailable(`The room did not answer a ping within ${ms} ms.`, { code: "silent" });
}
