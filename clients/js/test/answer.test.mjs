import assert from "node:assert/strict";
import { test } from "node:test";
import { Answer } from "../src/answer.js";
import { Queue } from "../src/queue.js";

test("neighbours of a kind are one part, and tool calls are joined by their index", () => {
  const answer = new Answer();
  const deltas = [
    { reasoning: "Hm" }, { reasoning: "m." }, { text: "Let " }, { text: "me." },
    { tool_call: { index: 0, id: "a", name: "add", arguments: '{"x"' } }, { tool_call: { index: 1, name: "sub" } },
    { tool_call: { index: 0, arguments: ": 1}" } }, { text: " So." },
  ];
  deltas.forEach((delta, seq) => answer.append({ after: seq, seq: seq + 1, ...delta }));
  assert.deepEqual(answer.parts, [
    { reasoning: "Hmm." }, { text: "Let me." }, { tool_call: { index: 0, id: "a", name: "add", arguments: '{"x": 1}' } },
    { tool_call: { index: 1, name: "sub", arguments: "" } }, { text: " So." },
  ]);
  assert.equal(answer.text, "Let me. So.");
});

test("a gap and a repeat are refused, and change nothing", () => {
  const answer = new Answer();
  answer.append({ after: 0, seq: 2, text: "ab" });
  for (const after of [0, 1, 3]) assert.throws(() => answer.append({ after, seq: after + 1, text: "x" }), { code: "out_of_sequence" });
  assert.throws(() => answer.append({ after: 2, seq: 2, text: "x" }), { code: "out_of_sequence" });
  assert.deepEqual([answer.text, answer.seq], ["ab", 2]);
});

test("a restarted attempt withdraws what there was, and a continued one does not", () => {
  const answer = new Answer();
  answer.append({ after: 0, seq: 1, text: "ab" });
  answer.retry({ after: 1, seq: 2, how: "continued" });
  assert.equal(answer.text, "ab");
  answer.retry({ after: 2, seq: 3, how: "restarted" });
  assert.deepEqual([answer.text, answer.parts], ["", []]);
});

test("on a new connection what there was is shown until it is told anew", () => {
  const answer = new Answer();
  answer.append({ after: 0, seq: 3, text: "abc" });
  answer.reconnected();
  assert.equal(answer.text, "abc");
  assert.throws(() => answer.append({ after: 3, seq: 4, text: "d" }), { code: "out_of_sequence" });
  answer.append({ after: 0, seq: 1, text: "a" });
  assert.equal(answer.text, "a");
  answer.replace([{ text: "abcd" }], 4);
  assert.equal(answer.text, "abcd");
});

test("a part that was handed out is never changed", () => {
  const answer = new Answer();
  answer.append({ after: 0, seq: 1, text: "a" });
  const [part] = answer.parts;
  answer.append({ after: 1, seq: 2, text: "b" });
  assert.deepEqual(part, { text: "a" });
});

test("a slow reader gets fewer, larger deltas", async () => {
  const queue = new Queue();
  const delta = (seq, more) => ({ type: "delta", delta: more.text ?? "", text: "", position: `${seq}-1`, data: { after: seq - 1, seq, ...more } });
  queue.push(delta(1, { text: "a" }));
  queue.push(delta(2, { text: "b" }));
  queue.push(delta(3, { reasoning: "r" }));
  queue.push(delta(4, { text: "c" }));
  queue.close();
  const told = [];
  for (let event = await queue.next(); event; event = await queue.next()) told.push([event.delta, event.data, event.position]);
  assert.deepEqual(told, [
    ["ab", { after: 0, seq: 2, text: "ab" }, "2-1"], ["", { after: 2, seq: 3, reasoning: "r" }, "3-1"], ["c", { after: 3, seq: 4, text: "c" }, "4-1"],
  ]);
});
