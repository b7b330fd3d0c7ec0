import assert from "node:assert/strict";
import { test } from "node:test";
import { RoomState } from "../src/room_state.js";
import { ANN, BERT, joined, placed, said } from "./fakes.mjs";

function room(...pushes) {
  const told = [];
  const state = new RoomState((event) => told.push(event));
  const play = (...more) => more.forEach((push) => state.take(push));
  play(...pushes);
  return { state, told, play };
}

const texts = ({ messages }) => messages.map((message) => (message.pending ? `${message.text}…` : message.text));
const begun = (seq, more) => placed("run", seq, { message: "msg_a", run: "run_a", by: ANN.id, model: "demo", asked: "msg_1", at: 1, ...more });
const ended = (seq, text, more) => placed("end", seq, { message: "msg_a", run: "run_a", status: "completed", text, parts: [{ text }], at: 2, ...more });
const grown = (type, more) => ({ type, message: "msg_a", ...more });

test("what is said is there at once, and is replaced once", () => {
  const { state, told, play } = room(joined());
  state.say({ id: "c1", client_id: "c1", by: ANN.id, name: "Ann", text: "mine", at: 1, pending: true });
  play(said(1, BERT, "theirs", { client_id: "c1" }));
  assert.deepEqual(texts(state), ["theirs", "mine…"], "another's client_id is none of ours");
  play(said(2, ANN, "mine", { client_id: "c1" }), said(3, ANN, "of another device", { client_id: "c1" }));
  assert.deepEqual(texts(state), ["theirs", "mine", "of another device"]);
  assert.deepEqual(told.filter((event) => event.type === "message").map((event) => [event.message.text, event.pending, event.replaces]), [
    ["mine", true, undefined], ["theirs", false, undefined], ["mine", false, "c1"], ["of another device", false, undefined],
  ]);
});

test("edits, deletions and reactions are applied to what they are about", () => {
  const { state, told, play } = room(joined(), said(1, ANN, "one", { mentions: ["demo"] }), said(2, BERT, "two"));
  const before = state.messages[0];
  play(
    placed("edited", 3, { message: "msg_1", by: ANN.id, text: "uno", at: 5 }),
    placed("reacted", 4, { message: "msg_1", by: BERT.id, reaction: "👍", on: true, at: 6 }),
    placed("reacted", 5, { message: "msg_1", by: ANN.id, reaction: "👍", on: true, at: 6 }),
    placed("reacted", 6, { message: "msg_1", by: ANN.id, reaction: "🎉", on: true, at: 6 }),
    placed("reacted", 7, { message: "msg_1", by: ANN.id, reaction: "🎉", on: false, at: 6 }),
    placed("deleted", 8, { message: "msg_2", by: BERT.id, at: 7 }),
    placed("edited", 9, { message: "msg_unknown", by: ANN.id, text: "?", at: 5 }),
  );
  const [one, two] = state.messages;
  assert.deepEqual([one.text, one.edited_at, one.reactions], ["uno", 5, { "👍": [BERT.id, ANN.id] }]);
  assert.deepEqual([two.text, two.deleted, two.by], ["", true, BERT.id]);
  assert.equal(before.text, "one", "what was handed out stays as it was");
  assert.equal(told.at(-1).type, "deleted");
  assert.equal(state.position, "9-7");
});

test("an answer grows as one entry, and its end replaces it", () => {
  const { state, told, play } = room(joined(), said(1, ANN, "well?"), begun(2), grown("delta", { after: 0, seq: 1, text: "To " }));
  play(said(3, BERT, "hm"), grown("delta", { after: 1, seq: 3, text: "be" }));
  assert.deepEqual([texts(state), state.messages[1].status], [["well?", "To be", "hm"], "in_progress"]);
  play(grown("attempt", { after: 3, seq: 4, number: 2, reason: "takeover", how: "restarted" }), grown("delta", { after: 4, seq: 5, reasoning: "Hm" }));
  assert.deepEqual([state.messages[1].text, state.messages[1].parts], ["", [{ reasoning: "Hm" }]]);
  play(ended(4, "Not to be", { usage: { output_tokens: 3 } }));
  const { text, status, seq, usage } = state.messages[1];
  assert.deepEqual([text, status, seq, usage], ["Not to be", "completed", 2, { output_tokens: 3 }]);
  play(grown("delta", { after: 5, seq: 6, text: "late" }));
  assert.equal(state.messages[1].text, "Not to be");
  assert.deepEqual(told.filter((event) => event.type === "delta").map((event) => event.delta), ["To ", "be", ""]);
});

test("an answer that changes hands keeps its text, and says who goes on", () => {
  const { state, told, play } = room(joined(), begun(1), grown("delta", { after: 0, seq: 1, text: "to" }));
  const attempt = { number: 2, reason: "failover", how: "continued", model: "backup" };
  play(grown("attempt", { after: 1, seq: 2, ...attempt }), grown("delta", { after: 2, seq: 3, text: "gether" }));
  assert.deepEqual(told.find((event) => event.type === "attempt").attempt, attempt);
  assert.deepEqual([state.messages[0].text, state.messages[0].parts], ["together", [{ text: "together" }]]);
});

test("a hole and a repeat are refused, in the log and in an answer", () => {
  const { state, play } = room(joined(), said(1, ANN, "one"), begun(2), grown("delta", { after: 0, seq: 2, text: "ab" }));
  for (const seq of [1, 2, 4]) assert.throws(() => play(said(seq, ANN, "WRONG")), { code: "out_of_sequence" });
  for (const after of [0, 1, 3]) assert.throws(() => play(grown("delta", { after, seq: after + 1, text: "WRONG" })), { code: "out_of_sequence" });
  assert.deepEqual([texts(state), state.position], [["one", "ab"], "2-7"]);
  play(grown("delta", { after: 2, seq: 3, text: "c" }), said(3, ANN, "three"));
  assert.deepEqual(texts(state), ["one", "abc", "three"]);
});

test("a recovered join goes on without a hole; an open answer is shown until it is told anew", () => {
  const { state, told, play } = room(joined(), said(1, ANN, "one"), begun(2), grown("delta", { after: 0, seq: 2, text: "ab" }));
  play(joined({ recovered: true, position: "3-7", events: [said(3, BERT, "three")], marks: { [BERT.id]: 3 } }));
  assert.deepEqual(texts(state), ["one", "ab", "three"]);
  assert.throws(() => play(grown("delta", { after: 2, seq: 3, text: "WRONG" })), { code: "out_of_sequence" });
  play(grown("snapshot", { seq: 3, parts: [{ text: "abc" }] }), grown("delta", { after: 3, seq: 4, text: "d" }), ended(4, "abcd"));
  assert.deepEqual(texts(state), ["one", "abcd", "three"]);
  assert.deepEqual(state.marks, { [BERT.id]: 3 });
  assert.equal(told.filter((event) => event.type === "reset").length, 1);
  assert.throws(() => play(joined({ recovered: true, position: "9-7", events: [said(9, BERT, "WRONG")] })), { code: "out_of_sequence" });
});

test("a join that is not recovered begins anew, and keeps what was not heard", () => {
  const { state, told, play } = room(joined(), said(1, ANN, "one"));
  for (const id of ["c8", "c9", "c10"]) state.say({ id, client_id: id, by: ANN.id, name: "Ann", text: id, at: 1, pending: true });
  state.taken("c9");
  const page = [
    { id: "msg_8", seq: 8, position: "8-1", by: ANN.id, name: "Ann", text: "c8", at: 1, client_id: "c8" },
    { id: "msg_a", seq: 9, position: "9-1", by: ANN.id, name: "demo", text: "", at: 1, run: "run_a", model: "demo", status: "in_progress" },
  ];
  play(joined({ position: "12-5", messages: page }), grown("snapshot", { seq: 4, parts: [{ text: "ab" }] }), said(13, BERT, "13"));
  assert.deepEqual(texts(state), ["c8", "ab", "13", "c10…"]);
  assert.deepEqual(told.filter((event) => event.type === "reset").at(-1).messages.map((message) => message.id), ["msg_8", "msg_a", "c10"]);
});

test("what is refused is gone, and told", () => {
  const { state, told } = room(joined());
  state.say({ id: "c1", client_id: "c1", by: ANN.id, name: "Ann", text: "mine", at: 1, pending: true });
  state.refused("c1", new Error("no"));
  assert.deepEqual([texts(state), told.at(-1).type, told.at(-1).message.text], [[], "refused", "mine"]);
});

test("people come and go, write and read", () => {
  const { state, play } = room(joined());
  play({ type: "presence", joined: [BERT], left: [] }, { type: "presence", joined: [{ ...BERT, name: "Bertha" }], left: [] });
  assert.deepEqual(state.members.map((member) => member.name), ["Ann", "Bertha"]);
  play({ type: "typing", members: [BERT] }, { type: "read", by: BERT.id, seq: 4 }, { type: "presence", joined: [], left: [BERT] });
  assert.deepEqual([state.members.length, state.typing, state.marks], [1, [BERT], { [BERT.id]: 4 }]);
  play({ type: "typing", members: [] }, { type: "something new", seq: 3 });
  assert.deepEqual(state.typing, []);
});

test("older pages are put before, once", () => {
  const { state } = room(joined({ position: "3-7", messages: [said(3, ANN, "three")] }));
  state.prepend([said(1, ANN, "one"), said(2, ANN, "two"), said(3, ANN, "three")], false);
  assert.deepEqual([texts(state), state.oldest], [["one", "two", "three"], "msg_1"]);
});
