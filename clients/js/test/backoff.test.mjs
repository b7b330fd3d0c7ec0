import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { Patience, fullJitter, sleep } from "../src/backoff.js";
import { TooManyRetries, Unavailable } from "../src/errors.js";

const trouble = new Unavailable("It is away.", { code: "unreachable" });

test("the bound doubles with each try, up to the cap", () => {
  const most = [1, 2, 3, 4, 20, 5_000].map((tries) => fullJitter(tries, { baseMs: 500, capMs: 30_000, random: () => 1 }));
  assert.deepEqual(most, [500, 1_000, 2_000, 4_000, 30_000, 30_000]);
  assert.equal(fullJitter(5, { random: () => 0 }), 0);
});

test("waits are drawn from all of it", () => {
  const waits = Array.from({ length: 500 }, () => fullJitter(3, { baseMs: 100 }));
  assert.ok(Math.min(...waits) < 40 && Math.max(...waits) > 360 && Math.max(...waits) <= 400);
});

test("patience is used up, and what happened last is the cause", () => {
  const patience = new Patience({ maxWaitMs: 1_000, random: () => 1 });
  assert.equal(patience.next(trouble), 500);
  assert.equal(patience.next(trouble, 100), 400);
  assert.throws(() => patience.next(trouble), (error) => error instanceof TooManyRetries && error.cause === trouble && /3 times/.test(error.message));
});

test("patience begins anew when something works, and half of it when somebody is there", () => {
  const patience = new Patience({ maxWaitMs: 1_000, random: () => 1 });
  patience.next(trouble, 900);
  patience.heard();
  assert.equal(patience.next(trouble), 1_000);
  patience.reset();
  assert.equal(patience.next(trouble), 500);
});

test("what the server asks for is waited for, with the jitter on top", () => {
  const patience = new Patience({ maxWaitMs: 10_000, random: () => 0.5 });
  assert.equal(patience.next(new Unavailable("busy", { retryAfterMs: 3_000 })), 3_250);
  assert.throws(() => patience.next(new Unavailable("busy", { retryAfterMs: 60_000 })), TooManyRetries);
});

test("a sleep that is aborted leaves neither a timer nor a listener", async () => {
  const controller = new AbortController();
  const sleeping = sleep(60_000, controller.signal);
  controller.abort(new Error("enough"));
  await assert.rejects(sleeping, /enough/);
  await assert.rejects(sleep(60_000, controller.signal), /enough/);
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  assert.ok(!process.getActiveResourcesInfo().includes("Timeout"));
});
