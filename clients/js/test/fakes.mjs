// A server that says what the test has it say, in place of fetch and of WebSocket.

const encoder = new TextEncoder();
const PROBLEM = { "Content-Type": "application/problem+json" };

/** For clients of tests: nothing is waited for that need not be. */
export const QUICK = { url: "http://server.test/llm/", backoff: { baseMs: 1, capMs: 4 }, maxWaitMs: 400, timeoutMs: 100, silenceMs: 60 };

/** @param {string} event @param {object} data @param {string} [id] */
export function sse(event, data, id) {
  return `${id ? `id: ${id}\n` : ""}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

export const RUN = sse("run", { id: "run_1", status: "in_progress", model: "demo" });

/** @param {number} after @param {number} seq @param {string} text */
export const delta = (after, seq, text) => sse("delta", { after, seq, text }, `${seq}-9`);

/** @param {number} after */
export const end = (after, status = "completed") => sse("end", { after, seq: after + 1, status }, `${after + 1}-9`);

export function json(body, status = 200, headers = {}) {
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });
}

export function problem(status, code, more = {}, headers = {}) {
  return new Response(JSON.stringify({ status, code, detail: `It is ${code}.`, ...more }), { status, headers: { ...PROBLEM, ...headers } });
}

export function html(status = 200) {
  return new Response("<!doctype html><p>Welcome to nginx!", { status, headers: { "Content-Type": "text/html" } });
}

/** An event stream of these pieces; then it ends, breaks, or stays silent until it is aborted. */
export function stream(pieces, { then = "end", signal } = {}) {
  const body = new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
      if (then === "end") controller.close();
      if (then === "break") setTimeout(() => controller.error(new TypeError("terminated")));
      if (then === "silence") signal?.addEventListener("abort", () => controller.error(signal.reason));
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
}

export const refused = () => Promise.reject(new TypeError("fetch failed", { cause: new Error("ECONNREFUSED") }));

/** A fetch whose answers come one after the other, the last of them for ever; `asked` is what it was asked. */
export function fetching(...answers) {
  const asked = [];
  const fetch = async (url, init = {}) => {
    asked.push({ url, ...init });
    init.signal?.throwIfAborted();
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    return typeof answer === "function" ? answer({ url, ...init }) : answer.clone();
  };
  return { fetch, asked };
}

/** A class of sockets whose other ends, in the order in which they are opened, are `lines`. */
export function sockets() {
  const lines = [];
  class FakeSocket {
    readyState = 0;
    constructor(url) {
      const sent = [];
      const waiting = [];
      this.line = {
        url,
        sent,
        /** The next command. */
        next: () => (sent.length > this.line.read ? Promise.resolve(sent[this.line.read++]) : new Promise((resolve) => waiting.push(resolve))),
        read: 0,
        open: () => ((this.readyState = 1), this.onopen?.({})),
        say: (push) => this.onmessage?.({ data: JSON.stringify(push) }),
        close: (code, reason = "") => ((this.readyState = 3), this.onclose?.({ code, reason })),
        socket: this,
      };
      this.take = (command) => {
        sent.push(command);
        if (waiting.length > 0) (this.line.read++, waiting.shift()(command));
      };
      lines.push(this.line);
      queued.shift()?.(this.line);
    }
    send(data) {
      this.take(JSON.parse(data));
    }
    close() {
      this.readyState = 3;
    }
  }
  const queued = [];
  let taken = 0;
  /** The next socket that is opened. */
  const next = () => (lines.length > taken ? Promise.resolve(lines[taken++]) : new Promise((resolve) => (taken++, queued.push(resolve))));
  return { WebSocket: FakeSocket, lines, next };
}

export const ANN = { id: "guest:Ann", name: "Ann", role: "moderate" };
export const BERT = { id: "guest:Bert", name: "Bert" };

export function joined(more = {}) {
  return { type: "joined", ref: "join", position: "0-0", recovered: false, you: ANN, members: [{ id: ANN.id, name: "Ann" }], messages: [], marks: {}, ...more };
}

/** An event of the room's log. */
export function placed(type, seq, more) {
  return { type, seq, position: `${seq}-7`, ...more };
}

export function said(seq, by, text, more = {}) {
  return placed("message", seq, { id: `msg_${seq}`, by: by.id, name: by.name, text, at: 1, client_id: `c${seq}`, ...more });
}

/** Return once it holds. */
export async function until(condition) {
  for (const late = Date.now() + 5_000; !condition(); await new Promise((resolve) => setTimeout(resolve, 1))) {
    if (Date.now() > late) throw new Error(`never: ${condition}`);
  }
}
