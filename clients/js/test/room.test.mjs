import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { createClient } from "../src/index.js";
import { ANN, BERT, QUICK, fetching, html, joined, placed, problem, refused, said, sockets, until } from "./fakes.mjs";

/** A room whose server is the test. */
function enter({ client = {}, ...options } = {}) {
  const net = sockets();
  const room = createClient({ ...QUICK, WebSocket: net.WebSocket, ...client }).joinRoom("lobby", { name: "Ann", ...options });
  const events = [];
  room.on("*", (event) => events.push(event));
  return { room, events, ...net };
}

/** The next connection, let in; and its join. */
async function letIn(net, more) {
  const line = await net.next();
  line.open();
  const join = await line.next();
  line.say(joined(more));
  return { line, join };
}

const ok = (line, command, more) => line.say({ type: "ok", ref: command.ref, ...more });
const error = (line, command, code, retryable = false) => line.say({ type: "error", ref: command.ref, code, detail: `It is ${code}.`, retryable });

test("it joins, says, hears, and leaves", async () => {
  const net = enter();
  const { line, join } = await letIn(net);
  assert.equal(line.url, "ws://server.test/llm/v1/rooms/lobby/ws");
  assert.deepEqual(join, { type: "join", ref: "join", name: "Ann" });
  await net.room.ready;
  const { clientId, done } = net.room.say("hi", { mentions: ["demo"], replyTo: "msg_0" });
  assert.deepEqual(net.room.messages.map((message) => [message.text, message.pending, message.by]), [["hi", true, ANN.id]]);
  const command = await line.next();
  assert.deepEqual({ ...command, ref: 0 }, { type: "message", client_id: clientId, text: "hi", mentions: ["demo"], reply_to: "msg_0", ref: 0 });
  line.say(said(1, ANN, "hi", { client_id: clientId }));
  ok(line, command, { message: "msg_1" });
  assert.equal(await done, "msg_1");
  assert.deepEqual(net.room.messages.map((message) => [message.id, message.pending]), [["msg_1", undefined]]);
  net.room.leave();
  await net.room.done;
  assert.equal(line.socket.readyState, 3);
  await assert.rejects(net.room.say("late").done, { name: "AbortError" });
  assert.deepEqual(net.events.filter((event) => event.type === "status").map((event) => event.state), ["connecting", "live", "closed"]);
});

test("commands go one after the other, and wait for one another over a cut", async () => {
  const net = enter();
  const { line } = await letIn(net);
  await net.room.ready;
  const said3 = ["one", "two", "three"].map((text) => net.room.say(text));
  const first = await line.next();
  assert.equal(line.sent.length, 2, "the join, and the first of three");
  ok(line, first, { message: "msg_1" });
  const second = await line.next();
  line.say(said(1, ANN, "one", { client_id: said3[0].clientId }));
  line.close(1006);
  const { line: again, join } = await letIn(net, { recovered: true, position: "1-7", events: [] });
  assert.equal(join.since, "1-7");
  assert.deepEqual(await again.next(), second, "the very same command");
  ok(again, second, { message: "msg_2" });
  const third = await again.next();
  assert.equal(third.client_id, said3[2].clientId);
  ok(again, third, { message: "msg_3" });
  assert.deepEqual(await Promise.all(said3.map(({ done }) => done)), ["msg_1", "msg_2", "msg_3"]);
  net.room.leave();
});

test("what was refused for now is sent again, in its place; what is refused for good is told", async () => {
  const net = enter();
  const { line } = await letIn(net);
  await net.room.ready;
  const one = net.room.say("one");
  const two = net.room.say("two");
  const command = await line.next();
  error(line, command, "too_fast", true);
  assert.deepEqual(await line.next(), command);
  error(line, command, "store_unavailable", true);
  await line.next();
  error(line, command, "forbidden");
  await assert.rejects(one.done, { name: "Forbidden", code: "forbidden" });
  assert.equal(net.events.find((event) => event.type === "refused").clientId, one.clientId);
  ok(line, await line.next(), { message: "msg_2" });
  assert.equal(await two.done, "msg_2");
  net.room.leave();
});

test("what was done before the cut is done", async () => {
  const net = enter();
  const { line } = await letIn(net);
  await net.room.ready;
  const deleting = net.room.delete("msg_1");
  await line.next();
  line.close(1001);
  const { line: again } = await letIn(net, { recovered: true, events: [] });
  error(again, await again.next(), "unknown_message");
  await deleting;
  const fresh = net.room.delete("msg_1");
  error(again, await again.next(), "unknown_message");
  await assert.rejects(fresh, { name: "NotFound" });
  net.room.leave();
});

test("every command is as the protocol has it", async () => {
  const net = enter();
  const { line } = await letIn(net, { position: "5-7", messages: [said(5, BERT, "five")] });
  await net.room.ready;
  const commands = [
    [() => net.room.edit("msg_1", "new"), { type: "edit", message: "msg_1", text: "new" }],
    [() => net.room.delete("msg_1"), { type: "delete", message: "msg_1" }],
    [() => net.room.react("msg_1", "👍"), { type: "react", message: "msg_1", reaction: "👍", on: true }],
    [() => net.room.react("msg_1", "👍", { on: false }), { type: "react", message: "msg_1", reaction: "👍", on: false }],
    [() => net.room.cancel({ run: "run_1" }), { type: "cancel", run: "run_1" }],
    [() => net.room.cancel({ clientId: "c1" }), { type: "cancel", client_id: "c1" }],
    [() => net.room.history("msg_0", 7), { type: "history", before: "msg_0", limit: 7 }, { messages: [], has_more: true }],
    [() => net.room.history(), { type: "history", before: "msg_5" }, { messages: [said(4, BERT, "four")], has_more: false }],
  ];
  for (const [act, expected, more] of commands) {
    const acting = act();
    const command = await line.next();
    assert.deepEqual(command, { ...expected, ref: command.ref });
    ok(line, command, more);
    await acting;
  }
  assert.deepEqual(net.room.messages.map((message) => message.text), ["four", "five"]);
  net.room.leave();
});

test("typing is told no more often than need be, and how far one has read is told again", async () => {
  const net = enter();
  const { line } = await letIn(net, { position: "5-7" });
  await net.room.ready;
  for (let key = 0; key < 5; key += 1) net.room.setTyping();
  net.room.setTyping(false);
  net.room.setTyping(false);
  net.room.read();
  net.room.read("5-7");
  assert.deepEqual(line.sent.slice(1), [{ type: "typing", on: true }, { type: "typing", on: false }, { type: "read", position: "5-7" }]);
  line.close(1001);
  const { line: again } = await letIn(net, { recovered: true, events: [], position: "5-7" });
  assert.deepEqual(await again.next(), { type: "read", position: "5-7" });
  net.room.leave();
});

for (const [code, name, isFinal] of [[1009, "BadRequest", true], [4400, "BadRequest", true], [4403, "Forbidden", true], [1001, 0, false], [1006, 0, false],
  [1011, 0, false], [1013, 0, false], [4409, 0, false], [4430, 0, false]]) {
  test(`after ${code} it ${isFinal ? `ends with ${name}` : "comes back"}`, async () => {
    const net = enter();
    const { line } = await letIn(net, { position: "3-7" });
    line.close(code, "because");
    if (isFinal) {
      await assert.rejects(net.room.done, { name, status: code });
      assert.equal(net.events.at(-1).error.name, name);
    } else {
      const { join } = await letIn(net, { recovered: true, events: [] });
      assert.equal(join.since, "3-7");
      assert.equal(net.events.find((event) => event.state === "retrying").error.status, code);
      net.room.leave();
    }
  });
}

test("after 4429 it comes back slower", async () => {
  const net = enter();
  const { line } = await letIn(net);
  line.close(4429);
  await until(() => net.events.some((event) => event.state === "closed" || event.state === "retrying"));
  const told = net.events.at(-1);
  assert.equal((told.error.cause ?? told.error).retryAfterMs, 5_000);
  net.room.leave();
});

test("a token that has expired is asked for anew, once", async () => {
  const tokens = ["old", "new", "newer"];
  const net = enter({ client: { token: () => tokens.shift() ?? "newest" } });
  const { line, join } = await letIn(net, { position: "3-7" });
  assert.equal(join.token, "old");
  line.close(4401);
  const { line: again, join: second } = await letIn(net, { recovered: true, events: [] });
  assert.deepEqual([second.token, second.since], ["new", "3-7"]);
  again.close(4401);
  const third = await net.next();
  third.open();
  assert.equal((await third.next()).token, "newer");
  third.close(4401);
  await assert.rejects(net.room.done, { name: "Unauthorized" });
  assert.deepEqual([net.lines.length, tokens.length], [3, 0]);
});

test("without a token, or with a fixed one, 4401 ends it", async () => {
  for (const token of [undefined, "fixed"]) {
    const net = enter({ client: { token } });
    const line = await net.next();
    line.open();
    line.close(4401);
    await assert.rejects(net.room.ready, { name: "Unauthorized" });
  }
});

test("a join that is refused for good ends it, and one that is refused for now does not", async () => {
  const net = enter();
  const line = await net.next();
  line.open();
  error(line, await line.next(), "store_unavailable", true);
  const again = await net.next();
  again.open();
  error(again, await again.next(), "unknown_room");
  await assert.rejects(net.room.done, { name: "NotFound", code: "unknown_room" });
});

test("what does not join is not shown: it comes back, at last from the beginning, and gives up", async () => {
  const net = enter();
  const { line } = await letIn(net, { position: "3-7" });
  line.say(said(4, BERT, "four"));
  const sinces = [];
  line.say(said(6, BERT, "WRONG"));
  for (let time = 0; time < 6; time += 1) {
    const next = await net.next();
    next.open();
    sinces.push((await next.next()).since);
    next.say(joined({ recovered: true, position: "9-7", events: [said(9, BERT, "WRONG")] }));
  }
  await assert.rejects(net.room.done, { name: "TooManyRetries", code: "out_of_sequence" });
  assert.deepEqual(sinces, ["4-7", "4-7", "4-7", undefined, undefined, undefined]);
  assert.ok(!JSON.stringify(net.events).includes("WRONG"));
});

test("a room whose socket cannot be opened is asked why", async () => {
  const cases = [[problem(403, "forbidden"), "Forbidden"], [html(200), "NotHeadwater"], [problem(401, "unauthenticated"), "Unauthorized"],
    [refused, "TooManyRetries", /cannot be reached/], [problem(404, "unknown_room"), "TooManyRetries", /Upgrade and Connection/]];
  for (const [answer, name, message] of cases) {
    const net = enter({ client: { ...fetching(answer), maxWaitMs: 30 } });
    net.room.on("status", ({ state }) => state === "connecting" && net.next().then((line) => line.close(1006)));
    await assert.rejects(net.room.done, (reason) => reason.name === name && (message ?? /./).test(reason.message));
  }
});

test("a line that is dead in silence is asked for a sign of life", async () => {
  const net = enter({ pingMs: 10 });
  const { line } = await letIn(net);
  await until(() => line.sent.some((command) => command.type === "ping"));
  line.say({ type: "ok" });
  assert.equal(net.room.isIn, true);
  net.room.leave();
});

test("an abort ends it with its reason, and leaves nothing behind", async () => {
  for (const isIn of [false, true]) {
    const controller = new AbortController();
    const net = enter({ signal: controller.signal });
    if (isIn) await letIn(net);
    else await net.next();
    const { done } = net.room.say("never heard");
    controller.abort(new Error("enough"));
    await assert.rejects(net.room.done, /enough/);
    await assert.rejects(done, /enough/);
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
    assert.ok(!process.getActiveResourcesInfo().includes("Timeout"));
  }
});

test("a command that is aborted is not waited for, and its late answer is nobody's", async () => {
  const net = enter();
  const { line } = await letIn(net);
  await net.room.ready;
  const controller = new AbortController();
  const one = net.room.say("one", { signal: controller.signal });
  const two = net.room.say("two");
  const first = await line.next();
  controller.abort(new Error("enough"));
  await assert.rejects(one.done, /enough/);
  ok(line, first, { message: "msg_1" });
  ok(line, await line.next(), { message: "msg_2" });
  assert.equal(await two.done, "msg_2");
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  net.room.leave();
});

test("what no room takes is not sent", async () => {
  const net = enter();
  const { line } = await letIn(net);
  await net.room.ready;
  await assert.rejects(net.room.say("x".repeat(70_000)).done, { name: "BadRequest", code: "too_large", limit: 65_536 });
  assert.deepEqual([line.sent.length, net.room.messages.length], [1, 0]);
  net.room.leave();
});

test("it comes back from a position of before, and a listener that acts at once does no harm", async () => {
  const net = enter({ since: "8-7" });
  net.room.on("message", ({ message, pending }) => pending || message.by === ANN.id || void net.room.say(`re: ${message.text}`));
  const { line, join } = await letIn(net, { recovered: true, position: "9-7", events: [said(9, BERT, "nine")] });
  assert.equal(join.since, "8-7");
  assert.equal((await line.next()).text, "re: nine");
  line.say(placed("deleted", 10, { message: "msg_9", by: BERT.id, at: 1 }));
  assert.deepEqual(net.room.messages.map((message) => message.text), ["", "re: nine"]);
  net.room.leave();
});

test("a socket that may not even be tried is told, and not tried again", async () => {
  class Forbidding {
    constructor() {
      throw new DOMException("An insecure WebSocket connection may not be initiated from a page loaded over HTTPS.", "SecurityError");
    }
  }
  const net = enter({ client: { WebSocket: Forbidding } });
  await assert.rejects(net.room.done, ({ name, code, message }) => name === "Unsupported" && code === "no_socket" && message.includes("loaded over HTTPS"));
  assert.deepEqual(net.events.filter((event) => event.type === "status").map((event) => event.state), ["connecting", "closed"]);
});
