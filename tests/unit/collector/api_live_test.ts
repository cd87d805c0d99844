/** Goal: live clients get each window once, resume without a hole, hear a heartbeat, and are dropped when too slow. */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  LIVE_CLIENTS_MAX,
  LIVE_DROPPED_MS,
  LIVE_HEARTBEAT_MS,
  LIVE_POLL_MS,
  LIVE_WAITING_BYTES_MAX,
} from "../../../src/limits.ts";
import { Live } from "../../../src/collector/api/live.ts";
import { MemoryClock } from "../../../src/platform/memory_clock.ts";
import { LIVE } from "../../../src/collector/api/answers.ts";
import type { HttpReply } from "../../../src/collector/http/router.ts";
import { parseExactJson } from "../../../src/netlog/mod.ts";
import { MemoryStoreReader } from "../../support/memory_store_reader.ts";
import { advance, settle } from "../../support/virtual_time.ts";
import { ApiScene, assertSchema } from "./api_support.ts";
import { rowOf, windowOf } from "./query_support.ts";

class Scene {
  readonly reader = new MemoryStoreReader();
  readonly api: ApiScene;
  #window = 0;

  constructor() {
    this.reader.addStream();
    this.reader.addStream({ adoptedMs: null });
    this.api = new ApiScene(this.reader);
  }

  add(stream = 1): number {
    return this.reader.add(windowOf(this.#window++, [rowOf()], { stream }));
  }

  async client(headers: Record<string, string> = {}, target = "/live"): Promise<Client> {
    const gone = new AbortController();
    const reply = await this.api.reply(target, { headers, signal: gone.signal });
    const client = new Client(reply, gone);
    await settle();
    return client;
  }
}

class Client {
  text = "";
  isEnded = false;
  readonly gone: AbortController;
  isReading = true;

  readonly dropped: AbortSignal;

  constructor({ body, dropped }: HttpReply, gone: AbortController) {
    this.gone = gone;
    this.dropped = dropped!;
    void this.#read(body as AsyncIterable<string>);
  }

  async #read(body: AsyncIterable<string>): Promise<void> {
    for await (const piece of body) {
      this.text += piece;
      while (!this.isReading) await settle();
    }
    this.isEnded = true;
  }

  get ids(): number[] {
    return [...this.text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
  }
}

test("live: windows come as they are stored, each once, those of adopted streams only", async () => {
  const scene = new Scene();
  scene.add();
  const client = await scene.client();
  const second = scene.add();
  scene.add(2);
  await advance(scene.api.clock, LIVE_POLL_MS);
  const fourth = scene.add();
  await advance(scene.api.clock, LIVE_POLL_MS);
  assert.deepEqual(client.ids, [second, fourth]);
  const [, data] = /^event: window\ndata: (.*)$/m.exec(client.text)!;
  assertSchema(parseExactJson(data) as never, LIVE);
  client.gone.abort();
  await settle();
  assert.ok(client.isEnded);
  assert.equal(scene.api.api.live.clients, 0);
  const asked = scene.api.asked.length;
  await advance(scene.api.clock, 10 * LIVE_POLL_MS);
  assert.equal(scene.api.asked.length, asked, "without clients nothing is asked");
});

test("live: a client that comes back misses nothing and gets nothing twice, while others follow", async () => {
  const scene = new Scene();
  const all = await scene.client();
  const ids = [scene.add(), scene.add(), scene.add()];
  await advance(scene.api.clock, LIVE_POLL_MS);
  const back = await scene.client({ "last-event-id": String(ids[0]) });
  assert.deepEqual(back.ids, [ids[1], ids[2]]);
  const after = await scene.client({}, `/live?after=${ids[1]}`);
  assert.deepEqual(after.ids, [ids[2]]);
  ids.push(scene.add());
  await advance(scene.api.clock, LIVE_POLL_MS);
  assert.deepEqual(back.ids, ids.slice(1));
  assert.deepEqual(after.ids, ids.slice(2));
  assert.deepEqual(all.ids, ids);
});

test("live: silence is filled with heartbeats", async () => {
  const scene = new Scene();
  const client = await scene.client();
  await advance(scene.api.clock, LIVE_HEARTBEAT_MS - 1);
  assert.doesNotMatch(client.text, /: alive/);
  await advance(scene.api.clock, 1);
  assert.match(client.text, /: alive\n\n/);
});

test("live: one that reads too slowly is dropped and counted, the others go on", async () => {
  const scene = new Scene();
  const slow = await scene.client();
  const quick = await scene.client();
  const first = scene.add();
  slow.isReading = false;
  await advance(scene.api.clock, LIVE_POLL_MS);
  let stored = 1;
  for (; scene.api.api.live.dropped === 0; stored += 500) {
    assert.ok(stored < LIVE_WAITING_BYTES_MAX / 100, "it is never dropped");
    for (let window = 0; window < 500; window++) scene.add();
    await advance(scene.api.clock, LIVE_POLL_MS);
  }
  assert.equal(quick.ids.length, stored);
  const stuck = slow.dropped;
  assert.equal(stuck.aborted, false, "it may still read that it is dropped");
  slow.isReading = true;
  for (let turn = 0; turn < 10; turn++) await settle();
  assert.ok(slow.isEnded);
  assert.match(slow.text, /event: dropped/);
  assert.deepEqual(slow.ids, [first]);
  assert.equal(quick.isEnded, false);
  await advance(scene.api.clock, LIVE_DROPPED_MS);
  assert.equal(stuck.aborted, false, "it has read it");
});

test("live: the connection of one that does not even read that it is dropped is closed", async () => {
  const scene = new Scene();
  const stuck = await scene.client();
  scene.add();
  stuck.isReading = false;
  for (let turn = 0; turn < 100 && scene.api.api.live.dropped === 0; turn++) {
    for (let window = 0; window < 500; window++) scene.add();
    await advance(scene.api.clock, LIVE_POLL_MS);
  }
  assert.equal(scene.api.api.live.dropped, 1);
  await advance(scene.api.clock, LIVE_DROPPED_MS - 1);
  assert.equal(stuck.dropped.aborted, false);
  await advance(scene.api.clock, 1);
  assert.equal(stuck.dropped.aborted, true);
  stuck.isReading = true;
  for (let turn = 0; turn < 10; turn++) await settle();
});

test("live: clients beyond the limit and ids that are none are refused", async () => {
  const scene = new Scene();
  const clients = [];
  for (let count = 0; count < LIVE_CLIENTS_MAX; count++) clients.push(await scene.client());
  assert.equal((await scene.api.reply("/live")).status, 503);
  clients[0].gone.abort();
  await settle();
  assert.equal((await scene.api.reply("/live")).status, 200);
  const bad = await scene.api.reply("/live", { headers: { "last-event-id": "x" } });
  assert.equal(bad.status, 400);
});

test("live: what is sent to all while a client is brought up to now is not missed by it", async () => {
  const clock = new MemoryClock();
  const held: ((answer: { status: number; text: string }) => void)[] = [];
  let isHeld = false;
  let newest = 3;
  const news = (after: number | null) => {
    const ids = after === null
      ? []
      : Array.from({ length: newest - after }, (_id, n) => after + n + 1);
    const lines = ids.map((id) => `{"id":${id}}`);
    return { status: 200, text: [`{"next":${newest},"found":${ids.length}}`, ...lines].join("\n") };
  };
  const live = new Live({
    ask: (question) => {
      assert.ok(question.kind === "live");
      const answer = news(question.after);
      if (!isHeld) return Promise.resolve(answer);
      isHeld = false;
      return new Promise((resolve) => held.push(() => resolve(answer)));
    },
    timers: clock,
    wallMs: () => 0,
  });
  const clientOf = (after: number | null) => {
    const gone = new AbortController();
    return new Client({ status: 200, ...live.stream(after, gone.signal) }, gone);
  };
  const first = clientOf(null);
  await settle();
  isHeld = true;
  const late = clientOf(1);
  await settle();
  newest = 5;
  await advance(clock, LIVE_POLL_MS);
  assert.deepEqual(first.ids, [4, 5]);
  held[0](news(null));
  await settle();
  assert.deepEqual(late.ids, [2, 3, 4, 5]);
  newest = 6;
  await advance(clock, LIVE_POLL_MS);
  assert.deepEqual(late.ids, [2, 3, 4, 5, 6]);
});
