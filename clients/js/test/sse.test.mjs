import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamParser } from "../src/sse.js";

const WILD = 'a\u2028b 👩‍👩‍👧 {"x": "\\n"} :data: id';

function read(bytes, size) {
  const parser = new EventStreamParser();
  const decoder = new TextDecoder();
  const messages = [];
  for (let at = 0; at < bytes.length; at += size) {
    messages.push(...parser.feed(decoder.decode(bytes.subarray(at, at + size), { stream: true })));
  }
  return { messages, parser };
}

for (const [name, newline] of Object.entries({ LF: "\n", CRLF: "\r\n", CR: "\r" })) {
  test(`a stream with ${name} is the same in pieces of any size`, () => {
    const lines = ["\ufeffretry: 1372", "", ": comment", "event: run", "data:1", "", `id: 17-80`, "event: delta", `data: ${WILD}`, "data:  two", "",
      "data", "", "id: bad\0", "event: nothing", "", "unknown: x", "data: last", "", "data: cut in mid-line"];
    const bytes = new TextEncoder().encode(lines.join(newline));
    const whole = read(bytes, bytes.length);
    assert.deepEqual(whole.messages, [
      { event: "run", data: "1", id: undefined },
      { event: "delta", data: `${WILD}\n two`, id: "17-80" },
      { event: "message", data: "", id: "17-80" },
      { event: "message", data: "last", id: "17-80" },
    ]);
    for (const size of [1, 2, 3, 5, 7, 64]) {
      const { messages, parser } = read(bytes, size);
      assert.deepEqual(messages, whole.messages);
      assert.equal(parser.retryMs, 1372);
    }
  });
}

test("what no empty line has finished is no message", () => {
  const parser = new EventStreamParser();
  assert.deepEqual(parser.feed('id: 5-1\nevent: delta\ndata: {"after":4}\n'), []);
});

test("a field without a colon is empty, and one space after it is not part of the value", () => {
  assert.deepEqual(read(new TextEncoder().encode("data:  x\ndata\nretry: soon\n\n"), 1).messages[0].data, " x\n");
});
