import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import * as headwater from "../src/index.js";
import { QUICK, RUN, delta, end, fetching, html, json, problem, refused, sse, stream } from "./fakes.mjs";

const { createClient } = headwater;
const RUNNING = () => json({ id: "run_1", status: "in_progress" });

function watch(answers, { client = {}, ...options } = {}) {
  const fake = fetching(...answers);
  const watching = createClient({ ...QUICK, fetch: fake.fetch, ...client }).watchRun("run_1", options);
  const events = [];
  watching.on("*", (event) => events.push(event));
  return { watching, events, ...fake };
}

const kinds = (events) => events.filter((event) => event.type !== "status").map((event) => event.type);

test("an answer comes as events, each with the text so far", async () => {
  const { watching, events, asked } = watch([() => stream(["retry: 3\n\n", RUN, delta(0, 2, "To "), delta(2, 3, "be"), end(3)])]);
  assert.deepEqual(await watching.done, { id: "run_1", status: "completed", text: "To be", parts: [{ text: "To be" }], position: "4-9" });
  assert.deepEqual(kinds(events), ["run", "delta", "delta", "end"]);
  assert.deepEqual(events.filter((event) => event.type === "delta").map((event) => [event.delta, event.text, event.position]), [["To ", "To ", "2-9"], ["be", "To be", "3-9"]]);
  assert.deepEqual(events.filter((event) => event.type === "status").map((event) => event.state), ["connecting", "live", "closed"]);
  assert.deepEqual([watching.status, watching.text, watching.position], ["completed", "To be", "4-9"]);
  assert.equal(asked[0].url, "http://server.test/llm/v1/runs/run_1/events");
});

test("it goes on behind the last whole event after a cut in mid-line, a 502, a 503, a 504 and a lost network", async () => {
  const half = delta(2, 3, "be").slice(0, 25);
  const { watching, events, asked } = watch([
    () => stream([RUN, delta(0, 2, "To "), half], { then: "break" }),
    html(502), problem(503, "draining"), html(504), refused, problem(429, "too_many"),
    () => stream([RUN, delta(2, 3, "be"), end(3)]),
  ]);
  assert.equal((await watching.done).text, "To be");
  assert.deepEqual(kinds(events), ["run", "delta", "run", "delta", "end"]);
  assert.ok(asked.slice(1).every((one) => one.url.endsWith("/events?after=2-9")));
  const retrying = events.filter((event) => event.state === "retrying");
  assert.deepEqual(retrying.map((event) => event.error.name), Array(6).fill("Unavailable"));
  assert.deepEqual(retrying.map((event) => event.tries), [1, 2, 3, 4, 5, 6]);
});

for (const [name, after] of Object.entries({ gap: 3, repeat: 0 })) {
  test(`a ${name} is never shown, and is resumed from the last good place`, async () => {
    const { watching, events, asked } = watch([
      () => stream([RUN, delta(0, 2, "To "), delta(after, after + 3, "WRONG")]),
      () => stream([RUN, delta(2, 3, "be"), end(3)]),
    ]);
    assert.equal((await watching.done).text, "To be");
    assert.ok(!JSON.stringify(events).includes("WRONG"));
    assert.match(asked[1].url, /after=2-9$/);
  });
}

test("events that never join are given up", async () => {
  const { watching, asked } = watch([() => stream([RUN, delta(5, 6, "WRONG")])]);
  await assert.rejects(watching.done, { name: "TooManyRetries", code: "out_of_sequence" });
  assert.ok(asked.length < 10);
});

test("now and then one that does not join does no harm", async () => {
  const tries = Array.from({ length: 12 }, (_, seq) => () => stream([RUN, delta(seq, seq + 1, "x"), delta(40, 41, "WRONG")]));
  const { watching } = watch([...tries, () => stream([RUN, end(12)])]);
  assert.equal((await watching.done).text, "x".repeat(12));
});

test("a snapshot replaces, also where history was lost; a restarted attempt clears", async () => {
  const snapshot = sse("snapshot", { seq: 2, parts: [{ reasoning: "Hm" }, { text: "ab" }] }, "2-5");
  const attempt = sse("attempt", { after: 3, seq: 4, number: 2, reason: "takeover", how: "restarted" }, "4-5");
  const { watching, events } = watch([
    () => stream([RUN, delta(0, 9, "lost")]),
    () => stream([RUN, snapshot, delta(2, 3, "c"), attempt, delta(4, 5, "new"), end(5)]),
  ]);
  assert.equal((await watching.done).text, "new");
  assert.deepEqual(events.filter((event) => event.type !== "status").map((event) => event.text), ["", "lost", "lost", "ab", "abc", "", "new", "new"]);
});

test("a loop gets everything, and one that begins late begins with a snapshot", async () => {
  const { watching } = watch([() => stream([RUN, delta(0, 2, "To "), delta(2, 3, "be"), end(3)])]);
  const early = [];
  for await (const event of watching) early.push(event);
  assert.deepEqual(kinds(early).at(-1), "end");
  const late = [];
  for await (const event of watching) late.push(event);
  assert.deepEqual(late.map((event) => [event.type, event.text]), [["snapshot", "To be"], ["end", "To be"]]);
});

test("a position from before is gone on from, with the text that is held", async () => {
  const { watching, asked } = watch([() => stream([RUN, delta(7, 8, " be"), end(8)])], { after: "7-3", text: "To" });
  assert.equal((await watching.done).text, "To be");
  assert.match(asked[0].url, /after=7-3$/);
});

test("where nothing is left, the run is read", async () => {
  const run = { id: "run_1", status: "incomplete", reason: "length", output: "All", parts: [{ text: "All" }], position: "9-1", error: null, usage: null };
  const { watching, events } = watch([() => new Response(null, { status: 204 }), json(run)], { after: "9-1" });
  assert.deepEqual(await watching.done, { id: "run_1", status: "incomplete", reason: "length", text: "All", parts: [{ text: "All" }], position: "9-1" });
  assert.deepEqual(kinds(events), ["snapshot", "end"]);
});

const REFUSALS = [[problem(401, "unauthenticated"), "Unauthorized"], [problem(403, "forbidden"), "Forbidden"], [problem(404, "unknown_run"), "NotFound"],
  [problem(400, "malformed_position"), "BadRequest"], [html(200), "NotHeadwater"], [html(404), "NotHeadwater"], [problem(500, "damaged_log"), "ServerFailed"]];
for (const [answer, name] of REFUSALS) {
  test(`${answer.status} ends it with ${name}`, async () => {
    const { watching, events, asked } = watch([answer]);
    await assert.rejects(watching.done, { name });
    assert.equal(asked.length, 1);
    assert.deepEqual([events.at(-1).state, events.at(-1).error.name], ["closed", name]);
    await assert.rejects(async () => { for await (const _ of watching); }, { name });
  });
}

test("what speaks for a server that is away does not end it", async () => {
  const { watching } = watch([() => stream([RUN, delta(0, 2, "To ")]), html(404), html(200), () => stream([RUN, delta(2, 3, "be"), end(3)])]);
  assert.equal((await watching.done).text, "To be");
});

test("it gives up where nothing works for long", async () => {
  const { watching, events } = watch([refused], { client: { maxWaitMs: 40 } });
  await assert.rejects(watching.done, { name: "TooManyRetries", code: "too_many_retries" });
  assert.ok(events.filter((event) => event.state === "retrying").length > 2);
});

test("a model that thinks behind a proxy that cuts is waited for", async () => {
  let connections = 0;
  const thinking = () => stream((connections += 1) < 30 ? [RUN] : [RUN, delta(0, 1, "Yes."), end(1)]);
  const { watching } = watch([thinking], { client: { maxWaitMs: 40 } });
  assert.equal((await watching.done).text, "Yes.");
});

test("a stream that a proxy collects is told, with what to set", async () => {
  const silence = ({ signal }) => stream([], { then: "silence", signal });
  const { watching } = watch([silence, RUNNING]);
  await assert.rejects(watching.done, (error) => error.name === "Buffered" && /proxy_buffering off/.test(error.message) && error.cause.code === "nothing");
  const noHeaders = ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  await assert.rejects(watch([noHeaders, RUNNING]).watching.done, { name: "Buffered" });
});

test("a line that has died in silence is given up for another, and keep-alives keep one", async () => {
  const { watching, asked } = watch([
    ({ signal }) => stream([RUN, delta(0, 2, "To ")], { then: "silence", signal }),
    ({ signal }) => {
      const { readable, writable } = new TransformStream();
      const writer = writable.getWriter();
      const alive = setInterval(() => writer.write(new TextEncoder().encode(": \n\n")).catch(() => {}), 15);
      setTimeout(() => (clearInterval(alive), writer.write(new TextEncoder().encode(RUN + delta(2, 3, "be") + end(3)))), 150);
      signal.addEventListener("abort", () => (clearInterval(alive), writer.abort(signal.reason)));
      return new Response(readable, { headers: { "Content-Type": "text/event-stream" } });
    },
  ]);
  assert.equal((await watching.done).text, "To be");
  assert.equal(asked.length, 2);
});

test("an abort ends it with its reason, and leaves nothing behind", async () => {
  for (const answer of [refused, ({ signal }) => stream([RUN, delta(0, 2, "To ")], { then: "silence", signal })]) {
    const controller = new AbortController();
    const { watching, events } = watch([answer], { signal: controller.signal, client: { backoff: { baseMs: 60_000 }, maxWaitMs: 600_000, silenceMs: 60_000 } });
    const loop = (async () => { for await (const _ of watching); })();
    setTimeout(() => controller.abort(new Error("enough")), 10);
    await assert.rejects(watching.done, /enough/);
    await assert.rejects(loop, /enough/);
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
    assert.ok(!process.getActiveResourcesInfo().includes("Timeout"));
    assert.equal(events.at(-1).state, "closed");
  }
});

test("leaving the loop closes the connection", async () => {
  let signal;
  const fake = fetching((init) => ((signal = init.signal), stream([RUN, delta(0, 2, "To ")], { then: "silence", signal })));
  const watching = createClient({ ...QUICK, fetch: fake.fetch }).watchRun("run_1");
  for await (const event of watching) if (event.type === "delta") break;
  await assert.rejects(watching.done, { name: "AbortError" });
  assert.ok(signal.aborted);
});

test("a loop over a watch that is closed just ends", async () => {
  const { watching } = watch([({ signal }) => stream([RUN], { then: "silence", signal })]);
  for await (const event of watching) if (event.type === "run") watching.close();
});

test("a listener's fault does not end what it listens to", async () => {
  const { watching } = watch([() => stream([RUN, delta(0, 2, "To be"), end(2)])]);
  const faults = [];
  globalThis.reportError = (error) => faults.push(error.message);
  watching.on("delta", () => { throw new Error("a slip"); });
  assert.equal((await watching.done).text, "To be");
  delete globalThis.reportError;
  assert.deepEqual(faults, ["a slip"]);
});

// -- EventSource

class FakeEventSource {
  static opened = [];
  readyState = 1;
  listeners = {};
  constructor(url) {
    this.url = url;
    FakeEventSource.opened.push(this);
    queueMicrotask(() => FakeEventSource.plays.shift()(this));
  }
  addEventListener(type, listener) { this.listeners[type] = listener; }
  tell(type, data, lastEventId = "") { this.listeners[type]({ data: JSON.stringify(data), lastEventId }); }
  close() { this.readyState = 2; }
  fail(readyState) { this.readyState = readyState; this.onerror({}); }
}

function eventSource(plays, answers, options = {}) {
  FakeEventSource.opened = [];
  FakeEventSource.plays = plays;
  return watch(answers, { transport: "eventsource", client: { EventSource: FakeEventSource, ...options } });
}

const RAN = { id: "run_1", status: "in_progress", model: "demo" };

test("EventSource is one more way, with a ticket in place of the header", async () => {
  const { watching, asked } = eventSource([
    (source) => (source.tell("run", RAN), source.tell("delta", { after: 0, seq: 2, text: "To " }, "2-9"), source.fail(0)),
    (source) => (source.tell("run", RAN), source.tell("delta", { after: 2, seq: 3, text: "be" }, "3-9"), source.tell("end", { after: 3, seq: 4, status: "completed" }, "4-9")),
  ], [json({ ticket: "hwt_1" })], { token: "secret" });
  assert.equal((await watching.done).text, "To be");
  assert.deepEqual(FakeEventSource.opened.map(({ url }) => url.split("?")[1]), ["ticket=hwt_1", "after=2-9&ticket=hwt_1"]);
  assert.deepEqual(JSON.parse(asked[0].body), { run: "run_1" });
  assert.ok(FakeEventSource.opened.every((source) => source.readyState === 2));
});

test("an EventSource that is refused is asked why", async () => {
  await assert.rejects(eventSource([(source) => source.fail(2)], [problem(404, "unknown_run")]).watching.done, { name: "NotFound" });
  await assert.rejects(eventSource([(source) => source.fail(2)], [html(200)]).watching.done, { name: "NotHeadwater" });
  const run = { id: "run_1", status: "completed", parts: [{ text: "All" }], position: "9-1" };
  assert.equal((await eventSource([(source) => source.fail(2)], [() => new Response(null, { status: 204 }), json(run)]).watching.done).text, "All");
});

test("an EventSource that nothing comes from is behind a proxy that collects", async () => {
  await assert.rejects(eventSource([() => {}], [RUNNING]).watching.done, { name: "Buffered" });
});

test("without an EventSource it says what to do", async () => {
  await assert.rejects(watch([RUNNING], { transport: "eventsource" }).watching.done, { name: "Unsupported" });
});
