import assert from "node:assert/strict";
import { test } from "node:test";
import * as headwater from "../src/index.js";
import { QUICK, fetching, html, json, problem, refused } from "./fakes.mjs";

const { createClient } = headwater;
const CREATED = () => json({ id: "run_1", status: "queued" }, 202);

test("a run is started under one key, however often it takes", async () => {
  const { fetch, asked } = fetching(refused, problem(503, "draining"), problem(429, "too_many", {}, { "Retry-After": "0" }), html(502), CREATED);
  const run = await createClient({ ...QUICK, fetch }).createRun("Hello", {});
  assert.equal(run.id, "run_1");
  assert.equal(asked.length, 5);
  assert.equal(new Set(asked.map((one) => one.headers.get("Idempotency-Key"))).size, 1);
  assert.match(asked[0].headers.get("Idempotency-Key"), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(asked[0].url, "http://server.test/llm/v1/runs");
  assert.deepEqual(JSON.parse(asked[4].body), { input: "Hello", stream: false });
});

test("a key of one's own is sent, and two runs have two", async () => {
  const { fetch, asked } = fetching(CREATED);
  await headwater.createRun({ input: "Hello", model: "fast", stream: true }, { ...QUICK, fetch, idempotencyKey: "mine" });
  await headwater.createRun([{ role: "user", content: "Hello" }], { ...QUICK, fetch });
  assert.equal(asked[0].headers.get("Idempotency-Key"), "mine");
  assert.notEqual(asked[1].headers.get("Idempotency-Key"), "mine");
  assert.deepEqual(JSON.parse(asked[0].body), { input: "Hello", model: "fast", stream: false });
});

test("what the server asks to wait is waited, and what is too long is not", async () => {
  const client = (seconds) => createClient({ ...QUICK, ...fetching(problem(503, "unavailable", {}, { "Retry-After": seconds }), CREATED) });
  const began = Date.now();
  await client("0.2").createRun("Hello");
  assert.ok(Date.now() - began >= 190);
  await assert.rejects(client("60").createRun("Hello"), (error) => error instanceof headwater.TooManyRetries && error.cause.retryAfterMs === 60_000);
});

test("it gives up in the end, and says so", async () => {
  const { fetch, asked } = fetching(refused);
  await assert.rejects(createClient({ ...QUICK, fetch, maxWaitMs: 30 }).createRun("Hello"), (error) => {
    assert.ok(error instanceof headwater.TooManyRetries && error.cause instanceof headwater.Unavailable);
    assert.match(error.message, /cannot be reached.*maxWaitMs/);
    return error.cause.cause instanceof TypeError;
  });
  assert.ok(asked.length > 2);
});

test("a request that is never answered is sent again", async () => {
  const never = ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const { fetch, asked } = fetching(never, CREATED);
  await createClient({ ...QUICK, fetch, timeoutMs: 20 }).createRun("Hello");
  assert.equal(asked.length, 2);
});

const REFUSALS = [
  [() => problem(400, "malformed_position"), "BadRequest", "malformed_position"],
  [() => problem(422, "invalid", { field: "model" }), "BadRequest", "invalid"],
  [() => problem(413, "too_large", { limit: 9 }), "BadRequest", "too_large"],
  [() => problem(409, "idempotency_conflict"), "BadRequest", "idempotency_conflict"],
  [() => problem(404, "unknown_model"), "BadRequest", "unknown_model"],
  [() => problem(404, "unknown_run"), "NotFound", "unknown_run"],
  [() => problem(401, "unauthenticated"), "Unauthorized", "unauthenticated"],
  [() => problem(403, "forbidden"), "Forbidden", "forbidden"],
  [() => problem(500, "internal_error"), "ServerFailed", "internal_error"],
  [() => html(404), "NotHeadwater", "not_headwater"],
  [() => html(200), "NotHeadwater", "not_headwater"],
  [() => html(405), "NotHeadwater", "not_headwater"],
];
for (const [answer, name, code] of REFUSALS) {
  test(`${answer().status} ${code} is ${name}, at once`, async () => {
    const { fetch, asked } = fetching(answer);
    await assert.rejects(createClient({ ...QUICK, fetch }).getRun("run_1"), (error) => {
      assert.deepEqual([error.name, error.code], [name, code]);
      assert.ok(error instanceof headwater[name] && error instanceof headwater.HeadwaterError);
      const { field, limit } = code === "invalid" ? { field: "model" } : code === "too_large" ? { limit: 9 } : {};
      assert.deepEqual([error.field, error.limit], [field, limit]);
      return true;
    });
    assert.equal(asked.length, 1);
  });
}

test("a redirect is not followed, with the token and the question, but told", async () => {
  const opaque = () => Object.defineProperties(new Response(), { type: { value: "opaqueredirect" }, status: { value: 0 }, ok: { value: false } });
  for (const answer of [() => new Response(null, { status: 307, headers: { Location: "http://other.test" } }), opaque]) {
    const { fetch, asked } = fetching(answer);
    await assert.rejects(createClient({ ...QUICK, fetch, token: "secret" }).createRun("Hello"), { name: "NotHeadwater", message: /a redirect/ });
    assert.deepEqual(asked.map(({ redirect }) => redirect), ["manual"]);
  }
});

test("a url that is none is told at once", () => {
  for (const url of ["", "nonsense", "ftp://server.test", undefined]) assert.throws(() => createClient({ url }), { name: "NotHeadwater", code: "bad_url" });
});

test("a url with a password in it is refused, and the password is not repeated", () => {
  for (const url of ["http://ann:secret@server.test", "https://ann@server.test/llm", "ann:secret@server.test"]) {
    assert.throws(() => createClient({ url }), ({ name, message }) => name === "NotHeadwater" && message.includes("`token`") && !/secret|ann/.test(message));
  }
  createClient({ url: "http://server.test/@ann" });
});

test("what is no token, or no header can bear, is told at once", async () => {
  assert.throws(() => createClient({ ...QUICK, token: 7 }), TypeError);
  await assert.rejects(createClient({ ...QUICK, token: "two\nlines" }).getRun("run_1"), TypeError);
});

test("a newer token is asked for once, by all who need it", async () => {
  let newest = 1;
  const asked = [];
  const token = (stale) => (asked.push(stale), `token-${newest}`);
  const fetch = async (_, { headers }) => (headers.get("Authorization") === `Bearer token-${newest}` ? json({ id: "run_1" }) : problem(401, "unauthenticated"));
  const client = createClient({ ...QUICK, fetch, token });
  await client.getRun("run_1");
  newest = 2;
  await Promise.all([client.getRun("run_1"), client.getRun("run_1"), client.cancelRun("run_1")]);
  assert.deepEqual(asked, [undefined, "token-1"]);
});

test("a token that stays refused is Unauthorized", async () => {
  const { fetch, asked } = fetching(problem(401, "unauthenticated"));
  let drawn = 0;
  await assert.rejects(createClient({ ...QUICK, fetch, token: async () => `token-${(drawn += 1)}` }).getRun("run_1"), headwater.Unauthorized);
  assert.deepEqual([asked.length, drawn], [2, 2]);
  await assert.rejects(createClient({ ...QUICK, fetch, token: "fixed" }).getRun("run_1"), { message: /sign in again/ });
  await assert.rejects(createClient({ ...QUICK, fetch }).getRun("run_1"), { message: /give the client a `token`/ });
});

test("where tokens come from may be away for a moment", async () => {
  let asked = 0;
  const token = () => ((asked += 1) < 3 ? Promise.reject(new Error("no network")) : "good");
  await createClient({ ...QUICK, ...fetching(json({ id: "run_1" })), token }).getRun("run_1");
  assert.equal(asked, 3);
});

test("an aborted request fails with its reason", async () => {
  const { fetch } = fetching(refused);
  const controller = new AbortController();
  const creating = createClient({ ...QUICK, fetch, maxWaitMs: 60_000, backoff: { baseMs: 60_000 } }).createRun("Hello", { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")), 5);
  await assert.rejects(creating, /enough/);
});
