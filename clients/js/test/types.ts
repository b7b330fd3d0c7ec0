// What users write, as TypeScript sees it by way of types/. It is only checked, never run.
import { createClient, watchRun, BadRequest, type RoomMessage, type Run, type WatchEvent } from "headwater";

const client = createClient({ url: "/llm", token: async (stale) => stale ?? "first", maxWaitMs: 1_000 });

export async function runs(signal: AbortSignal): Promise<string> {
  const run: Run = await client.createRun({ input: "Hello", metadata: { page: "1" } }, { idempotencyKey: "k", signal });
  const watch = client.watchRun(run, { transport: "eventsource" });
  const stop: () => void = watch.on("status", ({ state, error, waitMs }) => console.log(state, error?.code, (waitMs ?? 0) / 2));
  watch.on("delta", ({ delta, text, data }) => console.log(delta.length + text.length + data.seq));
  watch.on("*", (event: WatchEvent) => console.log(event.position));
  for await (const event of watch) {
    if (event.type === "delta") console.log(event.delta);
    if (event.type === "end") console.log(event.data.status === "completed", event.data.usage?.output_tokens);
  }
  stop();
  const { status, text, error } = await watchRun(run.id, { url: "http://127.0.0.1:8000", signal }).done;
  // @ts-expect-error there is no such event
  watch.on("deltas", () => {});
  // @ts-expect-error a snapshot has no delta
  watch.on("snapshot", ({ delta }) => delta);
  // @ts-expect-error a client needs to know where the server is
  createClient({});
  return status + text + error?.detail;
}

export async function room(): Promise<RoomMessage[]> {
  const room = client.joinRoom("lobby", { name: "Ann" });
  room.on("message", ({ message, pending, replaces }) => console.log(message.text, pending, replaces));
  room.on("edited", ({ message }) => console.log(message.edited_at));
  room.on("delta", ({ message, delta }) => console.log(message.status, delta));
  room.on("presence", ({ joined, left, members }) => console.log(joined.length, left.length, members[0]?.name));
  const { clientId, done } = room.say("hi", { mentions: ["demo"] });
  await room.cancel({ clientId });
  // @ts-expect-error either of the two
  await room.cancel({});
  const { messages, hasMore } = await room.history();
  console.log(await done, hasMore, room.marks["user:ann"], room.typing.length);
  try {
    await room.edit("msg_1", "new");
  } catch (error) {
    if (error instanceof BadRequest) console.log(error.field, error.limit, error.message);
  }
  return [...room.messages, ...messages];
}
