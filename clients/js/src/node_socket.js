/** A WebSocket (RFC 6455) for Node 20, which has none: as much of it as a room's client needs. */

import { createHash, randomBytes } from "node:crypto";
import { request as overHttp } from "node:http";
import { request as overTls } from "node:https";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CONTINUATION = 0;
const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
/** Of one message: a page of a room's longest messages is shorter. */
const MESSAGE_BYTES = 64 * 1024 * 1024;
const LOST = 1006;
/** For the other side to close the connection after the closing frames. */
const CLOSE_MS = 1_000;

/** @typedef {import("./types.js").Socket} Socket */

/** @implements {Socket} */
export class NodeSocket {
  readyState = 0;
  protocol = "";
  /** @type {((event: any) => void) | null} */
  onopen = null;
  /** @type {((event: {data: any}) => void) | null} */
  onmessage = null;
  /** @type {((event: any) => void) | null} */
  onerror = null;
  /** @type {((event: {code: number, reason: string}) => void) | null} */
  onclose = null;

  #request;
  /** @type {import("node:stream").Duplex | undefined} */
  #stream;
  #frames = new FrameReader();
  /** @type {Buffer[]} */
  #pieces = [];
  #end = { code: LOST, reason: "" };

  /**
   * @param {string} url
   * @param {string[]} [protocols]
   */
  constructor(url, protocols = []) {
    const key = randomBytes(16).toString("base64");
    const target = new URL(url.replace(/^ws/, "http"));
    const headers = {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Key": key,
      "Sec-WebSocket-Version": "13",
      ...(protocols.length > 0 && { "Sec-WebSocket-Protocol": protocols.join(", ") }),
    };
    this.#request = (target.protocol === "https:" ? overTls : overHttp)(target, { headers, agent: false });
    this.#request.on("upgrade", (response, stream, head) => {
      const expected = createHash("sha1").update(key + GUID).digest("base64");
      if (response.headers["sec-websocket-accept"] !== expected) return void stream.destroy(), this.#closed();
      this.#open(stream, head, response.headers["sec-websocket-protocol"] ?? "");
    });
    this.#request.on("response", (response) => {
      response.destroy();
      this.#closed();
    });
    this.#request.on("error", () => this.#closed());
    this.#request.end();
  }

  /** @param {string} data */
  send(data) {
    if (this.readyState === 1) this.#write(TEXT, Buffer.from(data));
  }

  /**
   * @param {number} [code]
   * @param {string} [reason]
   */
  close(code = 1000, reason = "") {
    if (this.readyState === 0) {
      this.#request.destroy();
      this.#closed();
    } else if (this.readyState === 1) {
      this.#sendClose(code, reason);
    }
  }

  /**
   * @param {import("node:stream").Duplex} stream
   * @param {Buffer} head
   * @param {string} protocol
   */
  #open(stream, head, protocol) {
    if (this.readyState !== 0) return void stream.destroy();
    this.readyState = 1;
    this.protocol = protocol;
    this.#stream = stream;
    stream.on("error", () => {}); // "close" follows
    stream.on("close", () => this.#closed());
    stream.on("end", () => stream.destroy());
    stream.on("data", (data) => this.#read(data));
    this.onopen?.({ type: "open" });
    if (head.length > 0) this.#read(head);
  }

  /** @param {Buffer} data */
  #read(data) {
    try {
      for (const frame of this.#frames.feed(data)) this.#take(frame);
    } catch {
      this.#sendClose(1002, "");
    }
  }

  /** @param {Frame} frame */
  #take({ opcode, isLast, payload }) {
    if (opcode === PING) this.#write(PONG, payload);
    else if (opcode === CLOSE) {
      const code = payload.length >= 2 ? payload.readUInt16BE() : 1005;
      this.#end = { code, reason: payload.subarray(2).toString() };
      this.#sendClose(code === 1005 ? 1000 : code, "");
    } else if (opcode === TEXT || opcode === CONTINUATION) {
      this.#pieces.push(payload);
      if (!isLast) return;
      const data = Buffer.concat(this.#pieces).toString();
      this.#pieces = [];
      if (this.readyState === 1) this.onmessage?.({ data });
    }
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #sendClose(code, reason) {
    if (this.readyState !== 1) return;
    const payload = Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]);
    this.#write(CLOSE, payload);
    this.readyState = 2;
    const timer = setTimeout(() => this.#stream?.destroy(), CLOSE_MS);
    this.#stream?.once("close", () => clearTimeout(timer));
  }

  /**
   * @param {number} opcode
   * @param {Buffer} payload
   */
  #write(opcode, payload) {
    this.#stream?.write(frameOf(opcode, payload, randomBytes(4)));
  }

  #closed() {
    if (this.readyState === 3) return;
    const wasOpen = this.readyState > 0;
    this.readyState = 3;
    if (!wasOpen) this.onerror?.({ type: "error" });
    this.onclose?.(this.#end);
  }
}

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
export function frameOf(opcode, payload, mask) {
  const { length } = payload;
  const size = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const frame = Buffer.alloc(2 + size + 4 + length);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (size === 0 ? length : size === 2 ? 126 : 127);
  if (size === 2) frame.writeUInt16BE(length, 2);
  if (size === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  mask.copy(frame, 2 + size);
  for (let at = 0; at < length; at += 1) frame[6 + size + at] = payload[at] ^ mask[at & 3];
  return frame;
}

/** Takes a server's bytes in pieces that end anywhere. */
export class FrameReader {
  /** @type {Buffer[]} */
  #held = [];
  #size = 0;
  #needed = 2;

  /**
   * The frames that are whole with this piece. Throws at what no server may send.
   *
   * @param {Buffer} data
   * @returns {Frame[]}
   */
  feed(data) {
    this.#held.push(data);
    this.#size += data.length;
    const frames = [];
    while (this.#size >= this.#needed) {
      const bytes = this.#held.length === 1 ? this.#held[0] : Buffer.concat(this.#held);
      const { end, frame } = frameIn(bytes);
      this.#held = frame === undefined ? [bytes] : [bytes.subarray(end)];
      this.#size = this.#held[0].length;
      this.#needed = frame === undefined ? end : 2;
      if (frame !== undefined) frames.push(frame);
    }
    return frames;
  }
}

/**
 * The first frame, or how many bytes are needed to know more.
 *
 * @param {Buffer} bytes at least two
 * @returns {{end: number, frame?: Frame}}
 */
function frameIn(bytes) {
  const short = bytes[1] & 0x7f;
  const head = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes[0] & 0x70 || bytes[1] & 0x80) throw new RangeError("no extension was agreed on, and servers do not mask");
  if (bytes.length < head) return { end: head };
  const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (length > MESSAGE_BYTES) throw new RangeError("the frame is too long");
  const end = head + length;
  if (bytes.length < end) return { end };
  return { end, frame: { opcode: bytes[0] & 0x0f, isLast: (bytes[0] & 0x80) !== 0, payload: bytes.subarray(head, end) } };
}
