/** The queue in front of the store: what is committed together, what is answered when, and who suffers for whose fault. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { Ingest, type Upload, type UploadAnswer } from "../../../src/collector/ingest/ingest.ts";
import { StoreError } from "../../../src/collector/store.ts";
import { COMMIT_ROWS_MAX, INGEST_WAITING_BYTES_MAX } from "../../../src/limits.ts";
import { MemoryStoreWriter } from "../../support/memory_store_writer.ts";
import { bytesOf, kindsOf } from "./ingest_support.ts";

const BODY_MAX = 65_536;
const TIMES = `"start":"2022-10-13T20:23:09Z","end":"2022-10-13T20:23:14Z"`;

/** An ingest over a store in memory, and its deferred work. */
class Bench {
  readonly store = new MemoryStoreWriter();
  readonly warnings: string[] = [];
  readonly answers: UploadAnswer[] = [];
  readonly #deferred: (() => void)[] = [];
  readonly ingest: Ingest;

  constructor(adoptAll = false) {
    this.ingest = new Ingest({
      ...{ store: this.store, bodyBytesMax: BODY_MAX, adoptAll },
      clock: { nowMs: () => 0, wallMs: () => 1_700_000_000_000.5 },
      warn: (message) => this.warnings.push(message),
      defer: (run) => this.#deferred.push(run),
    });
  }

  post(body: string | Uint8Array, more: Partial<Upload> = {}): Promise<UploadAnswer> {
    const bytes = typeof body === "string" ? bytesOf(body) : body;
    const upload = { collection: "c", publicId: "aa", copyPublicId: null, encoding: "" };
    const answer = this.ingest.store({ ...upload, lengthHint: null, body: bytes, ...more });
    void answer.then((value) => this.answers.push(value));
    return answer;
  }

  /** Runs what was deferred, once. */
  async turn(): Promise<void> {
    for (const run of this.#deferred.splice(0)) run();
    for (let round = 0; round < 5; round++) await Promise.resolve();
  }
}

const textBody = (seq: number) => `[{"logtail":{"proc_id":7,"proc_seq":${seq}},"text":"t"}\n]`;

test("uploads that wait together are one commit, and none is answered before it", async () => {
  const bench = new Bench();
  for (let seq = 1; seq <= 5; seq++) void bench.post(textBody(seq), { publicId: `0${seq}` });
  await Promise.resolve();
  assert.deepEqual(bench.answers, []);
  await bench.turn();
  assert.equal(bench.store.commits, 1);
  assert.deepEqual(bench.answers.map(({ status }) => status), [200, 200, 200, 200, 200]);
  assert.deepEqual(bench.store.kept.map(({ entry }) => entry.stream), [1, 2, 3, 4, 5]);
  assert.equal(bench.ingest.stats.answers["200"], 5);
});

test("what comes twice is answered 200 twice and stored once", async () => {
  const bench = new Bench();
  void bench.post(textBody(1));
  void bench.post(textBody(1));
  await bench.turn();
  assert.deepEqual(bench.answers.map(({ status }) => status), [200, 200]);
  assert.equal(bench.store.kept.length, 1);
  assert.equal(bench.ingest.stats.repeated, 1);
});

test("a commit ends at the body with which it has enough rows", async () => {
  const bench = new Bench();
  const rowsPerBody = 10_000;
  const body = `[{${TIMES},"exitTraffic":[${Array(rowsPerBody).fill("{}").join(",")}]}\n]`;
  assert.ok(body.length <= BODY_MAX);
  const bodies = Math.ceil(COMMIT_ROWS_MAX / rowsPerBody) + 1;
  for (let number = 0; number < bodies; number++) void bench.post(body);
  await bench.turn();
  assert.equal(bench.answers.length, bodies - 1);
  await bench.turn();
  assert.equal(bench.store.commits, 2);
  assert.equal(bench.ingest.stats.rows, bodies * rowsPerBody);
});

test("copyId: entries and rows are stored under both streams; a copy to oneself is none", async () => {
  const bench = new Bench();
  const body =
    `[{${TIMES},"virtualTraffic":[{"src":"10.0.0.1:1","rxBytes":18446744073709551615}]}\n,{"text":"x"}]`;
  void bench.post(body, { copyPublicId: "bb" });
  await bench.turn();
  assert.deepEqual(
    bench.store.kept.map(({ entry, rows }) => [entry.stream, entry.kind, rows.length]),
    [[1, "message", 1], [1, "text", 0], [2, "message", 1], [2, "text", 0]],
  );
  assert.deepEqual(bench.store.kept[2].rows, bench.store.kept[0].rows);
  void bench.post(body, { publicId: "cc", copyPublicId: "cc" });
  await bench.turn();
  assert.equal(bench.store.kept.length, 6);
});

test("a store that is full puts everybody off, tells it once, and takes them when they come again", async () => {
  const bench = new Bench();
  const full = () => new StoreError("full", "Cannot write: no space");
  bench.store.failures.push(full(), full());
  for (let round = 0; round < 3; round++) {
    void bench.post(textBody(1));
    await bench.turn();
  }
  assert.deepEqual(bench.answers.map(({ status }) => status), [503, 503, 200]);
  assert.ok(bench.answers[0].retryAfterS! > 0 && bench.answers[0].retryAfterS! <= 300);
  assert.equal(bench.warnings.length, 1);
  assert.equal(bench.ingest.stats.commitsFailed, 2);
  assert.deepEqual(kindsOf(bench.store.kept), ["text"]);
});

test("a body that the store cannot take becomes an error entry; the others of its commit are stored", async () => {
  const bench = new Bench();
  bench.store.inspect = ({ entries }) => {
    if (entries.some((entry) => entry.procSeq === 2)) throw new RangeError("too odd");
  };
  for (let seq = 1; seq <= 3; seq++) void bench.post(textBody(seq));
  await bench.turn();
  assert.deepEqual(bench.answers.map(({ status }) => status), [200, 200, 200]);
  assert.deepEqual(kindsOf(bench.store.kept), ["text", "error", "text"]);
  assert.match((bench.store.kept[1].entry as { json: string }).json, /too odd/);
  assert.equal(bench.warnings.length, 1);
});

test("encodings that cannot be read are kept as errors, and answered 200", async () => {
  const bench = new Bench();
  void bench.post("zzzz", { encoding: "zstd" });
  void bench.post(textBody(1), { encoding: "br" });
  await bench.turn();
  assert.deepEqual(bench.answers.map(({ status }) => status), [200, 200]);
  assert.deepEqual(kindsOf(bench.store.kept), ["error", "error"]);
});

test("a length hint that lies is counted, and nothing else", async () => {
  const bench = new Bench();
  const body = textBody(1);
  void bench.post(body, { lengthHint: body.length });
  void bench.post(textBody(2), { lengthHint: 9 });
  await bench.turn();
  assert.equal(bench.ingest.stats.lengthHintsWrong, 1);
  assert.equal(bench.store.kept.length, 2);
});

test("a body over the limit is refused, until the same one comes again and again", async () => {
  const bench = new Bench();
  const large = `["${"x".repeat(BODY_MAX)}"]`;
  const statuses: number[] = [];
  for (let round = 0; round < 3; round++) {
    void bench.post(large).then(({ status }) => statuses.push(status));
    await bench.turn();
  }
  assert.deepEqual(statuses, [413, 413, 200]);
  assert.deepEqual(kindsOf(bench.store.kept), ["error"]);
  // Who sends something else each time, as our own client does, is told each time.
  for (let round = 0; round < 4; round++) {
    void bench.post(large + " ".repeat(round)).then(({ status }) => statuses.push(status));
    await bench.turn();
  }
  assert.deepEqual(statuses.slice(3), [413, 413, 413, 413]);
});

test("room is reserved up to the limit and no further", () => {
  const { ingest } = new Bench();
  assert.ok(ingest.reserve(INGEST_WAITING_BYTES_MAX));
  assert.ok(!ingest.reserve(1));
  ingest.release(1);
  assert.ok(ingest.reserve(1));
  assert.equal(ingest.stats.answers["503"], 1);
});

test("streams are orphans unless all are adopted", async () => {
  for (const adoptAll of [false, true]) {
    const bench = new Bench(adoptAll);
    void bench.post(textBody(1));
    await bench.turn();
    assert.equal(bench.store.streams()[0].adoptedMs !== null, adoptAll);
  }
});
