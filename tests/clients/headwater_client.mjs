// Our own client as its users write it. Takes what to do on stdin and says on stdout, as JSON, what came of each case;
// judges nothing. It ends by itself, so that whatever is left behind would be seen.
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { createClient } from "../../clients/js/src/index.js";

const { cases, ...job } = JSON.parse(await new Response(process.stdin).text());
const quick = { backoff: { baseMs: 20, capMs: 200 } };

// -- runs

async function answer(client, body) {
  const run = await client.createRun(body);
  const told = { run: run.id, retries: 0, sums: true, ends: 0, final: undefined };
  let sum = "";
  const watch = client.watchRun(run);
  for await (const event of watch) {
    told.retries += event.type === "status" && event.state === "retrying";
    told.ends += event.type === "end";
    if (event.type === "snapshot" || event.data?.how === "restarted") sum = event.text;
    if (event.type === "delta") sum += event.delta;
    told.sums &&= event.text === sum;
  }
  const { status, text } = await watch.done;
  return { ...told, status, text };
}

// -- rooms

function member(client, room, name) {
  const joined = client.joinRoom(room, { name });
  const told = { name, retries: 0, resets: 0, log: [], echoes: {}, grown: true, room: joined };
  const grew = new Map();
  joined.on("status", ({ state }) => (told.retries += state === "retrying"));
  joined.on("reset", () => (told.resets += 1));
  joined.on("message", ({ message, pending, replaces }) => {
    if (!pending) told.log.push([message.id, message.by, message.text]);
    if (replaces) told.echoes[replaces] = (told.echoes[replaces] ?? 0) + 1;
  });
  for (const type of ["snapshot", "delta"]) joined.on(type, ({ message }) => grew.set(message.id, [...(grew.get(message.id) ?? []), message.text]));
  joined.on("end", ({ message }) => (told.grown &&= (grew.get(message.id) ?? []).every((text) => message.text.startsWith(text))));
  return told;
}

async function talk(client, { room, members, messages, model }) {
  const all = Array.from({ length: members }, (_, number) => member(client, room, `m${number}`));
  await Promise.all(all.map((one) => one.room.ready));
  const said = all.map((one) => Array.from({ length: messages }, (_, number) => one.room.say(`${one.name} says ${number}`)));
  const asked = all[0].room.say("Tell me.", { mentions: [model] });
  const ids = await Promise.all(said.flat().map(({ done }) => done));
  await asked.done;
  const isDone = ({ room: { messages: held } }) =>
    held.length === members * messages + 2 && held.every((message) => !message.pending && message.status !== "in_progress");
  await Promise.all(all.map((one) => new Promise((resolve) => {
    const look = () => isDone(one) && resolve(undefined);
    one.room.on("*", look);
    look();
  })));
  const told = all.map(({ room: joined, ...one }) => ({ ...one, answer: joined.messages.find((message) => message.run)?.text }));
  all.forEach((one) => one.room.leave());
  await Promise.all(all.map((one) => one.room.done));
  return { members: told, ids };
}

// -- what stands between

/** A proxy that passes nothing on before it has all of it. */
function collecting(target) {
  const server = createServer(async (request, response) => {
    const left = new AbortController();
    response.on("close", () => left.abort());
    const { method, url, headers: { authorization } } = request;
    try {
      const from = await fetch(target + url, { method, headers: { authorization }, signal: left.signal });
      const body = Buffer.from(await from.arrayBuffer());
      response.writeHead(from.status, { "Content-Type": from.headers.get("Content-Type") }).end(body);
    } catch {
      response.destroy();
    }
  });
  return served(server);
}

function page() {
  return served(createServer((_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<p>Welcome!")));
}

async function served(server) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => (server.closeAllConnections(), server.close()) };
}

const entered = (client, name = "Ann") => {
  const room = client.joinRoom("lobby", { name });
  return room.ready.then(() => room.leave()).then(() => room.done);
};

const kinds = {
  async runs({ url, bodies }) {
    const client = createClient({ url, ...quick });
    return Promise.all(bodies.map((body) => answer(client, body)));
  },
  talk: ({ url, ...rest }) => talk(createClient({ url, ...quick }), rest),

  create: ({ url, token, input = "hello", request = {} }) => createClient({ url, token, ...quick }).createRun({ input, ...request }),
  read: ({ url, token, id }) => createClient({ url, token, ...quick }).getRun(id),
  watch: ({ url, token, id, after, ...rest }) => createClient({ url, token, ...quick, ...rest }).watchRun(id, { after }).done,
  enter: ({ url, token, ...rest }) => entered(createClient({ url, token, ...quick, ...rest })),
  twice: async ({ url, token }) => {
    const client = createClient({ url, token });
    const runs = [];
    for (const _ of [1, 2]) runs.push((await client.createRun("once", { idempotencyKey: "k" })).id);
    return runs;
  },
  async collected({ url, token, id }) {
    const proxy = await collecting(url);
    try {
      return await createClient({ url: proxy.url, token, ...quick, silenceMs: 300 }).watchRun(id).done;
    } finally {
      proxy.close();
    }
  },
  async elsewhere({ id }) {
    const other = await page();
    try {
      return await createClient({ url: other.url, ...quick }).watchRun(id).done;
    } finally {
      other.close();
    }
  },
  async aborted({ url, token, id }) {
    const controller = new AbortController();
    const watch = createClient({ url, token }).watchRun(id, { signal: controller.signal });
    watch.on("delta", () => controller.abort(new Error("enough")));
    return watch.done;
  },
  async cancelled({ url, token, id }) {
    const client = createClient({ url, token });
    const watch = client.watchRun(id);
    const run = await client.cancelRun(id);
    return [run.status, (await watch.done).status];
  },
  async eventSource({ url, token, id, after }) {
    return createClient({ url, token, ...quick }).watchRun(id, { transport: "eventsource", after }).done;
  },
  async refreshed({ url, claims, secret, lives, id }) {
    let asked = 0;
    const told = [];
    const client = createClient({ url, token: () => signed({ ...claims, exp: Date.now() / 1000 + lives[asked++] }, secret), ...quick });
    const room = client.joinRoom("lobby", {});
    room.on("joined", ({ recovered, you }) => told.push([recovered, you.id]));
    await room.ready;
    const { status, text } = await client.watchRun(id).done;
    while (told.length < 2) await new Promise((resolve) => room.on("joined", resolve));
    await room.say("still here").done;
    room.leave();
    await room.done;
    return { asked, told, status, text };
  },
};

/** A token whose time begins when it is asked for: a start of Node may take as long as that. */
function signed(claims, secret) {
  const parts = [{ alg: "HS256", typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
  return [...parts, createHmac("sha256", secret).update(parts.join(".")).digest("base64url")].join(".");
}

async function outcome({ kind, ...rest }) {
  try {
    return { value: await kinds[kind]({ ...job, ...rest }) };
  } catch (error) {
    const { name, code, status, field, message } = error;
    return { error: { name, code, status, field, message, cause: error.cause?.code } };
  }
}

const outcomes = await Promise.all(Object.entries(cases).map(async ([name, one]) => [name, await outcome(one)]));
console.log(JSON.stringify(Object.fromEntries(outcomes)));
