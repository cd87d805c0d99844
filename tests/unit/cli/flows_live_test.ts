// Goal: whoever follows the log sees each window once, whatever happens to the connection, and is told. Method: scripted
// connections under virtual time; events cut at every place.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  followLive,
  type LiveConnector,
  LostConnection,
  readEvents,
} from "../../../src/cli/flows/live_client.ts";
import { LIVE_HEARTBEAT_MS } from "../../../src/limits.ts";

const ENCODER = new TextEncoder();

/** One connection: pieces of text, then how it ends. */
interface Script {
  readonly pieces: readonly string[];
  /** `hang`: nothing comes any more. */
  readonly end: "close" | "break" | "hang" | "refuse";
}

const event = (id: number) => `id: ${id}\nevent: window\ndata: {"id":${id}}\n\n`;

/** Connections one after the other; when there are none left, the signal is aborted. */
class ScriptedConnector implements LiveConnector {
  readonly asked: number[] = [];
  readonly slept: number[] = [];
  readonly end = new AbortController();
  #timers: (() => void)[] = [];

  constructor(readonly scripts: Script[]) {}

  connect(after: number, link: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    this.asked.push(after);
    const script = this.scripts.shift();
    if (script === undefined) {
      this.end.abort();
      return Promise.reject(new LostConnection("over"));
    }
    if (script.end === "refuse") return Promise.reject(new LostConnection("connection refused"));
    return Promise.resolve(this.#pieces(script, link));
  }

  async *#pieces({ pieces, end }: Script, link: AbortSignal): AsyncGenerator<Uint8Array> {
    for (const piece of pieces) yield ENCODER.encode(piece);
    if (end === "break") throw new TypeError("connection reset");
    if (end !== "hang") return;
    const broken = new Promise((_resolve, reject) =>
      link.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")))
    );
    // Time passes: the watch on silence runs out.
    for (const run of this.#timers.splice(0)) run();
    await broken;
  }

  sleep(ms: number): Promise<void> {
    this.slept.push(ms);
    return Promise.resolve();
  }

  schedule = (delayMs: number, run: () => void): () => void => {
    assert.equal(delayMs, 3 * LIVE_HEARTBEAT_MS);
    this.#timers.push(run);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== run);
    };
  };
}

async function follow(
  connector: ScriptedConnector,
  after = 5,
): Promise<{ ids: number[]; notices: string[] }> {
  const ids: number[] = [];
  const notices: string[] = [];
  for await (const item of followLive(connector, after, connector.end.signal)) {
    if (item.kind === "notice") notices.push(item.text);
    else ids.push(...item.windows.map((window) => window.number("id")));
  }
  return { ids, notices };
}

test("followLive() goes on from the last window after every way of losing a connection", async () => {
  const connector = new ScriptedConnector([
    { pieces: ["retry: 2000\n: live\n\n", event(6) + event(8)], end: "close" },
    { pieces: [], end: "refuse" },
    { pieces: [], end: "refuse" },
    { pieces: [": live\n\n", event(8), event(9)], end: "break" },
    { pieces: [event(10)], end: "hang" },
    { pieces: ["event: dropped\ndata: {}\n\n"], end: "close" },
  ]);
  const { ids, notices } = await follow(connector);
  // What came twice, as 8 did, is shown once.
  assert.deepEqual(ids, [6, 8, 9, 10]);
  assert.deepEqual(connector.asked, [5, 8, 8, 8, 9, 10, 10]);
  const lost = (why: string) => `Connection to the collector was lost (${why}): trying again`;
  const again = "Connected again, from where it was left";
  assert.deepEqual(notices, [
    lost("the collector ended it"),
    again,
    lost("it broke off"),
    again,
    lost("it was silent"),
    again,
    lost("this end was too slow"),
  ]);
  // Longer each time, and short again once there was a connection.
  assert.deepEqual(connector.slept, [1_000, 2_000, 4_000, 1_000, 1_000, 1_000]);
});

test("followLive() waits no longer than half a minute", async () => {
  const scripts = Array.from({ length: 8 }, (): Script => ({ pieces: [], end: "refuse" }));
  const connector = new ScriptedConnector(scripts);
  const { notices } = await follow(connector);
  assert.equal(notices.length, 1);
  assert.deepEqual(connector.slept.slice(3), [8_000, 16_000, 30_000, 30_000, 30_000]);
});

test("followLive() ends with what the collector refuses for good, and with its signal", async () => {
  const connector = new ScriptedConnector([]);
  connector.connect = () => Promise.reject(new Error("wants an API key"));
  await assert.rejects(() => follow(connector), /wants an API key/);
  const ended = new ScriptedConnector([{ pieces: [event(1)], end: "close" }]);
  ended.end.abort();
  assert.deepEqual(await follow(ended), { ids: [], notices: [] });
  assert.deepEqual(ended.asked, []);
  const broken = new ScriptedConnector([{
    pieces: ["event: window\ndata: {\n\n"],
    end: "close",
  }]);
  await assert.rejects(() => follow(broken), /Cannot read the answer: it is not JSON/);
});

test("readEvents() reads the same events wherever the pieces are cut", async () => {
  const text = ": live\n\n" + event(1) + ": alive\n\n" +
    'event: window\r\ndata: {"a":\r\ndata: "ü→"}\r\n\r\n' + "event: dropped\ndata: {}\n\n";
  const bytes = ENCODER.encode(text);
  const wanted = [
    { event: "window", data: '{"id":1}' },
    { event: "window", data: '{"a":\n"ü→"}' },
    { event: "dropped", data: "{}" },
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 6 }),
      async (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
        const found = [];
        for await (const events of readEvents(iterate(pieces))) found.push(...events);
        assert.deepEqual(found, wanted);
      },
    ),
    { seed: 20_261_126, numRuns: 300 },
  );
});

test("readEvents() refuses an event that has no end", async () => {
  const piece = ENCODER.encode(`data: ${"x".repeat(600_000)}`);
  const read = async (count: number) => {
    for await (const _events of readEvents(iterate(Array(count).fill(piece))));
  };
  await read(1);
  await assert.rejects(() => read(2), /an event has no end/);
});

async function* iterate(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield await Promise.resolve(piece);
}
