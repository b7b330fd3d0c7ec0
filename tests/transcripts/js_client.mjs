// The JavaScript client in every scene: the path of its module as the argument; a JSON list of {name, url, holds} on
// stdin; for each scene a line of JSON on stdout, of what the client knows in the end.

import { pathToFileURL } from "node:url";
import { text } from "node:stream/consumers";

const { createClient } = await import(pathToFileURL(process.argv[2]).href);

// In a loop, a moment between looks.
const LOOK_MS = 5;
const DEADLINE_MS = 20_000;

async function* acts(url) {
  for (;;) {
    const response = await fetch(`${url}/next`);
    if (response.status === 204) return;
    yield await response.json();
  }
}

async function until(condition, what) {
  const deadline = Date.now() + DEADLINE_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

// -- runs

async function followRun(client, url) {
  let watch;
  let result;
  for await (const act of acts(url)) {
    if (act.create) await client.createRun(act.create);
    else if (act.cancel) await client.cancelRun(act.cancel);
    else if (act.after === null) {
      watch = client.watchRun(act.watch);
      result = watch.done;
    } else {
      const before = await result;
      const again = await client.watchRun(act.watch, { after: act.after }).done;
      if (again.status !== before.status || again.text !== before.text) throw new Error("it ended otherwise before");
    }
  }
  const { id, text: output, ...rest } = await result;
  const optional = { finish_reason: null, reason: null, error: null, usage: null };
  return { ...optional, ...rest, output };
}

// -- rooms

const COMMANDS = {
  message: (room, { text: said, mentions, reply_to: replyTo }) => room.say(said, { mentions, replyTo }).done,
  edit: (room, { message, text: said }) => room.edit(message, said),
  delete: (room, { message }) => room.delete(message),
  react: (room, { message, reaction, on }) => room.react(message, reaction, { on }),
  typing: (room, { on }) => room.setTyping(on),
  read: (room, { position }) => room.read(position),
  cancel: (room, { run }) => room.cancel({ run }),
};

async function beInRoom(client, url, holds) {
  let room;
  const refused = [];
  const under_way = [];
  for await (const act of acts(url)) {
    if (act.join) room = client.joinRoom(act.join, { name: act.name });
    else {
      const { type, ...fields } = act.command;
      const done = Promise.resolve(COMMANDS[type](room, fields));
      under_way.push(done.catch((error) => refused.push(error.code)));
    }
  }
  await Promise.all(under_way);
  const hasRead = ([id, seq]) => room.marks[id] === seq;
  const ids = () => room.members.map((member) => member.id).sort().join();
  await until(
    () =>
      room.position === holds.position &&
      ids() === Object.keys(holds.members).sort().join() &&
      Object.entries(holds.marks).every(hasRead) &&
      !room.messages.some((message) => message.pending),
    () => `${room.position} ${ids()} ${JSON.stringify(room.marks)}`,
  );
  const members = Object.fromEntries(room.members.map(({ id, name }) => [id, name]));
  const state = { position: room.position, members, marks: room.marks, messages: room.messages, refused };
  room.leave();
  await room.done;
  return state;
}

const scenes = JSON.parse(await text(process.stdin));
await Promise.all(
  scenes.map(async ({ name, url, holds }) => {
    const client = createClient({ url, backoff: { baseMs: 1, capMs: 20 }, maxWaitMs: DEADLINE_MS });
    let told;
    try {
      told = holds.messages ? await beInRoom(client, url, holds) : await followRun(client, url);
    } catch (error) {
      told = { failed: `${error.stack}` };
    }
    await new Promise((resolve) => process.stdout.write(`${JSON.stringify({ name, told })}\n`, resolve));
  }),
);
process.exit(); // whatever a scene that failed has left behind
