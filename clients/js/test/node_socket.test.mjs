import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { FrameReader, NodeSocket, frameOf } from "../src/node_socket.js";

/** A server's frame: a client's without the mask. */
function frame(opcode, payload, isLast = true) {
  const masked = frameOf(opcode, payload, Buffer.alloc(4));
  const head = masked.length - payload.length - 4;
  const plain = Buffer.concat([masked.subarray(0, head), payload]);
  plain[0] = (isLast ? 0x80 : 0) | opcode;
  plain[1] &= 0x7f;
  return plain;
}

test("frames of all sizes are read in pieces of any size", () => {
  const payloads = [0, 1, 125, 126, 65_535, 65_536].map((size) => Buffer.alloc(size, "ä"));
  const bytes = Buffer.concat(payloads.map((payload) => frame(1, payload)));
  for (const size of [1, 2, 3, 1_000, bytes.length]) {
    const reader = new FrameReader();
    const read = [];
    for (let at = 0; at < bytes.length; at += size) read.push(...reader.feed(bytes.subarray(at, at + size)));
    assert.deepEqual(read.map(({ payload }) => payload.length), payloads.map((payload) => payload.length));
    assert.ok(read.every(({ payload }, at) => payload.equals(payloads[at])));
  }
});

test("what a client sends is masked", () => {
  const sent = frameOf(1, Buffer.from("Hello"), Buffer.from([0x37, 0xfa, 0x21, 0x3d]));
  assert.equal(sent.toString("hex"), "818537fa213d7f9f4d5158"); // RFC 6455, 5.7
});

test("what no server may send is refused", () => {
  assert.throws(() => new FrameReader().feed(frameOf(1, Buffer.from("masked"), Buffer.alloc(4))), RangeError);
  assert.throws(() => new FrameReader().feed(Buffer.from([0xc1, 0])), RangeError);
  assert.throws(() => new FrameReader().feed(Buffer.from([0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0])), RangeError);
});

/** A server that upgrades, and says these bytes. */
async function server(t, say, accept = (key) => createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")) {
  const http = createServer((_, response) => response.writeHead(403).end("no"));
  const heard = [];
  http.on("upgrade", ({ headers }, stream) => {
    stream.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept(headers["sec-websocket-key"])}\r\n\r\n`);
    stream.on("data", (data) => heard.push(data)).on("error", () => {});
    say?.(stream);
  });
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  t.after(() => (http.closeAllConnections(), http.close()));
  return { url: `ws://127.0.0.1:${http.address().port}/`, heard };
}

function told(socket) {
  const messages = [];
  socket.onmessage = ({ data }) => messages.push(data);
  return new Promise((resolve) => (socket.onclose = ({ code, reason }) => resolve({ messages, code, reason })));
}

test("fragments are joined around a ping, and the code of a close is told", async (t) => {
  const { url, heard } = await server(t, (stream) => {
    stream.write(Buffer.concat([frame(1, Buffer.from("Hel"), false), frame(9, Buffer.from("?")), frame(0, Buffer.from("lo"))]));
    stream.end(frame(8, Buffer.from([0x11, 0x31, ...Buffer.from("no token")]))); // 4401
  });
  assert.deepEqual(await told(new NodeSocket(url)), { messages: ["Hello"], code: 4401, reason: "no token" });
  const [pong] = new FrameReader().feed(Buffer.from([0x8a, 1, heard[0][6] ^ heard[0][2]]));
  assert.deepEqual([heard[0][0], pong.payload.toString()], [0x8a, "?"]);
});

test("a line that breaks, a refusal, and a server that is none are 1006", async (t) => {
  const lost = await server(t, (stream) => stream.destroy());
  assert.equal((await told(new NodeSocket(lost.url))).code, 1006);
  const wrong = await server(t, undefined, () => "wrong");
  assert.equal((await told(new NodeSocket(wrong.url))).code, 1006);
  assert.equal((await told(new NodeSocket("ws://127.0.0.1:9/"))).code, 1006);
  const refusing = createServer((_, response) => response.writeHead(403).end("no"));
  await new Promise((resolve) => refusing.listen(0, "127.0.0.1", resolve));
  t.after(() => refusing.close());
  assert.equal((await told(new NodeSocket(`ws://127.0.0.1:${refusing.address().port}/`))).code, 1006);
});

test("a close is sent, and an opening one is given up", async (t) => {
  const { url, heard } = await server(t, (stream) => stream.on("data", () => stream.end()));
  const socket = new NodeSocket(url);
  const over = told(socket);
  await new Promise((resolve) => (socket.onopen = resolve));
  socket.send("one");
  socket.close(1000, "bye");
  await over;
  assert.ok(Buffer.concat(heard).length > 0);
  const opening = new NodeSocket(url);
  const closed = told(opening);
  opening.close();
  assert.equal((await closed).code, 1006);
});
