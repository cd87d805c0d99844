/**
 * The store against its twin: batches at random, with repetitions, windows of all times, counters of all sizes, flushes,
 * merges, retention, readers beside the writer, and crashes, made as copies of the files of a store that is open.
 */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  openSqliteReader,
  openSqliteWriter,
  type SqliteWriter,
} from "../../../src/collector/sqlite/mod.ts";
import { openZstd } from "../../../src/platform/mod.ts";
import { StoreTwin, type TwinMessage, type TwinRow } from "../../reference/store_twin.ts";
import { EVER, makeBatch, scanSums, totalSums } from "../../support/store_batches.ts";

// In memory where there is such a place: durability is for tests/system to show.
const FOLDER = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "tunlog-store-"));
after(() => rmSync(FOLDER, { recursive: true }));
const ZSTD = await openZstd();
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const START_MS = Date.UTC(2026, 0, 5, 10, 58);
const RAW_MS = 3 * HOUR_MS;

const COUNTER = fc.oneof(
  { weight: 8, arbitrary: fc.bigInt(0n, 100_000n) },
  { weight: 1, arbitrary: fc.bigInt(2n ** 53n - 3n, 2n ** 53n + 3n) },
  { weight: 1, arbitrary: fc.constant(2n ** 64n - 1n) },
);
const ADDRESS = fc.constantFrom(
  "",
  "10.0.0.1",
  "10.0.0.2",
  "fd00::1",
  "::ffff:10.0.0.1",
  "fe80::1%eth0",
);
const ROW: fc.Arbitrary<TwinRow> = fc.record({
  classCode: fc.nat(4),
  proto: fc.constantFrom(0, 6, 17, 255),
  src: ADDRESS,
  dst: ADDRESS,
  srcPort: fc.constantFrom(0, 1, 65_535),
  dstPort: fc.constantFrom(0, 443, 65_535),
  folded: fc.boolean(),
  counters: fc.tuple(COUNTER, COUNTER, COUNTER, COUNTER),
});

/** Where a window ends: soon before now, exactly on a boundary, 1 ns after it, or in another age. */
const END_NS = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 1_600 }).map((n) => START_MS + n * 5_000) },
  { weight: 2, arbitrary: fc.nat(3).map((n) => START_MS + 2 * MINUTE_MS + n * HOUR_MS) },
  { weight: 1, arbitrary: fc.constantFrom(-62135596800000, 0, 253402300799999, START_MS + 4e10) },
).chain((ms) =>
  fc.constantFrom(0n, 1n, 999_999n, 1_000_000n).map((ns) => BigInt(ms) * 1_000_000n + ns)
);

const MESSAGE: fc.Arbitrary<TwinMessage> = fc.record({
  stream: fc.integer({ min: 1, max: 2 }),
  procId: fc.constantFrom(7, 4_294_967_295),
  procSeq: fc.nat(12),
  endNs: END_NS,
  rows: fc.array(ROW, { maxLength: 4 }),
}).map((message) => ({
  ...message,
  startNs: message.endNs - 4_999_999_999n,
  // One number, one time: what shares a number is for store_test.ts.
  clientTimeNs: CLIENT_TIMES_NS[message.procSeq % 4],
}));

const CLIENT_TIMES_NS = [null, 1n, -62135596800000000000n, 253402300799000000000n];

type Step =
  | { kind: "commit"; messages: TwinMessage[] }
  | { kind: "pass"; ms: number }
  | { kind: "crash" | "reopen" | "compare" };
const STEP: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("commit" as const),
      messages: fc.array(MESSAGE, { maxLength: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      ms: fc.constantFrom(1_000, MINUTE_MS, 7 * MINUTE_MS, HOUR_MS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("crash", "reopen", "compare") }) },
);

let files = 0;

/** A store, its twin and the time. */
class Pair {
  readonly twin = new StoreTwin();
  path = this.#newPath();
  nowMs = START_MS;
  repeated = 0;
  store = this.#open();

  constructor() {
    for (const stream of [1, 2]) this.store.adopt("c", String(stream).repeat(64), START_MS);
  }

  #newPath(): string {
    return join(FOLDER, `${files++}.db`);
  }

  #open(): SqliteWriter {
    return openSqliteWriter(this.path, {
      zstd: ZSTD,
      kept: { rawMs: RAW_MS, minutesMs: 1e15, hoursMs: 1e15 },
      addressesCachedMax: 2,
    });
  }

  run(step: Step): void {
    if (step.kind === "commit") this.#commit(step.messages);
    else if (step.kind === "pass") this.#pass(step.ms);
    else if (step.kind === "crash") this.#crash();
    else if (step.kind === "compare") this.compare();
    else this.#reopen();
  }

  #commit(messages: readonly TwinMessage[]): void {
    const fresh = messages.filter((message) => this.twin.add(message, this.nowMs));
    const result = this.store.commit(makeBatch(this.store, this.nowMs, messages));
    const rows = fresh.reduce((sum, { rows }) => sum + rows.length, 0);
    const repeated = messages.length - fresh.length;
    assert.deepEqual(result, { stored: fresh.length, repeated, rows });
    this.repeated += repeated;
  }

  #pass(ms: number): void {
    this.nowMs += ms;
    for (let calls = 0; this.store.maintain(this.nowMs); calls++) assert.ok(calls < 100);
  }

  #reopen(): void {
    this.store.close();
    this.store = this.#open();
  }

  /** The files as they are between two calls are what a kill would leave. */
  #crash(): void {
    const before = this.path;
    this.path = this.#newPath();
    for (const suffix of ["", "-wal"]) {
      if (existsSync(before + suffix)) copyFileSync(before + suffix, this.path + suffix);
    }
    this.store.close();
    this.store = this.#open();
  }

  compare(): void {
    const reader = openSqliteReader(this.path, { cacheBytesMax: 4_096 });
    try {
      // Without a pass of a minute, retention has not been due for what is just being that old.
      assert.deepEqual(scanSums(reader, "minute"), this.twin.sums("minute"));
      assert.deepEqual(scanSums(reader, "hour"), this.twin.sums("hour"));
      assert.deepEqual(totalSums(reader, "minute"), this.twin.totals("minute"));
      assert.deepEqual(totalSums(reader, "hour"), this.twin.totals("hour"));
      const range = { fromMs: START_MS + MINUTE_MS, toMs: START_MS + HOUR_MS + 3 * MINUTE_MS };
      for (const tier of ["minute", "hour"] as const) {
        assert.deepEqual(scanSums(reader, tier, range), this.twin.sums(tier, range));
      }
    } finally {
      reader.close();
    }
  }

  /** Raw rows after retention. */
  compareRaw(): void {
    this.#pass(MINUTE_MS);
    const reader = openSqliteReader(this.path);
    const sinceMs = this.nowMs - RAW_MS;
    try {
      assert.deepEqual(scanSums(reader, "raw"), this.twin.sums("raw", { sinceMs }));
      assert.deepEqual(totalSums(reader, "window"), this.twin.totals("raw", sinceMs));
      const range = { fromMs: START_MS + MINUTE_MS, toMs: START_MS + HOUR_MS };
      const expected = this.twin.sums("raw", { ...range, sinceMs });
      assert.deepEqual(scanSums(reader, "raw", range), expected);
      assert.deepEqual(
        scanSums(reader, "raw", { ...EVER, toMs: 0 }),
        this.twin.sums("raw", { sinceMs, toMs: 0 }),
      );
    } finally {
      reader.close();
    }
  }

  close(): void {
    this.store.close();
    for (const suffix of ["", "-wal", "-shm", ".lock"]) rmSync(this.path + suffix, { force: true });
  }
}

test("store: every tier equals the twin, whatever comes, and across crashes", () => {
  let repeated = 0;
  fc.assert(
    fc.property(fc.array(STEP, { maxLength: 40, size: "max" }), (steps) => {
      const pair = new Pair();
      try {
        for (const step of steps) pair.run(step);
        pair.compare();
        pair.compareRaw();
        pair.compare();
        repeated += pair.repeated;
      } finally {
        pair.close();
      }
    }),
    { seed: 4, numRuns: 60 },
  );
  assert.ok(repeated > 50, `only ${repeated} repetitions`);
});
