/** What the store does at its limits: orphans, retention by age and size, full disks, files that are not its own. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { StoreError, type StoreErrorCode } from "../../../src/collector/store.ts";
import { openForWriting } from "../../../src/collector/sqlite/database.ts";
import { openSqliteReader } from "../../../src/collector/sqlite/mod.ts";
import { APPLICATION_ID, MIGRATIONS } from "../../../src/collector/sqlite/schema.ts";
import { ORPHAN_KEPT_MS, ORPHANS_MAX } from "../../../src/limits.ts";
import { makeBatch, scanSums, totalSums } from "../../support/store_batches.ts";
import { HOUR_MS, message, MINUTE_MS, ROW, type Scene, scene, START_MS } from "./store_support.ts";

const DAY_MS = 24 * HOUR_MS;
const TIERS = ["raw", "minute", "hour"] as const;

function sizes(s: Scene): number[] {
  return TIERS.map((tier) => scanSums(s.reader, tier).size);
}

function refuses(run: () => unknown, code: StoreErrorCode): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof StoreError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, /^Cannot /);
    return true;
  });
}

test(
  "orphans are seen at once, and gone after their time, stream and all",
  scene((s) => {
    const { number } = s.store.stream("c", "a".repeat(64), START_MS);
    s.store.commit(makeBatch(s.store, START_MS, [message(number, 1, START_MS)]));
    assert.deepEqual(sizes(s), [1, 1, 1]);
    s.settle(START_MS + ORPHAN_KEPT_MS);
    assert.deepEqual(sizes(s), [1, 1, 1]);
    assert.equal(s.reader.streams().length, 1);
    s.settle(START_MS + ORPHAN_KEPT_MS + 1);
    assert.deepEqual(sizes(s), [0, 0, 0]);
    s.settle(START_MS + ORPHAN_KEPT_MS + HOUR_MS);
    assert.deepEqual([s.reader.streams(), s.store.streams(), s.reader.processes()], [[], [], []]);
    s.reopen();
    assert.equal(s.store.stream("c", "b".repeat(64), START_MS).number, number + 1);
  }),
);

test(
  "an orphan that is adopted joins the roll-ups with what it has",
  scene((s) => {
    const { number } = s.store.stream("c", "a".repeat(64), START_MS);
    s.store.commit(makeBatch(s.store, START_MS, [message(number, 1, START_MS)]));
    s.settle(START_MS + 2 * MINUTE_MS);
    const stream = s.store.adopt("c", "a".repeat(64), START_MS);
    assert.deepEqual([stream.number, stream.adoptedMs], [number, START_MS]);
    s.store.commit(makeBatch(s.store, START_MS, [message(number, 2, START_MS)]));
    for (let hours = 0; hours < 20; hours++) {
      s.settle(START_MS + hours * HOUR_MS);
      const [sums] = scanSums(s.reader, "hour").values();
      assert.deepEqual(sums, [2n, 200n, 4n, 4_000n]);
    }
    assert.equal(s.store.adopt("c", "a".repeat(64), null).adoptedMs, null);
    // What came while it was adopted stays, and so does the stream.
    s.settle(START_MS + 2 * DAY_MS);
    assert.deepEqual(sizes(s), [1, 1, 1]);
    s.reopen();
    assert.deepEqual(s.store.streams().map(({ adoptedMs }) => adoptedMs), [null]);
  }),
);

test(
  "orphans are bounded together, the oldest go first",
  scene((s) => {
    for (let n = 0; n < 20; n++) {
      const { number } = s.store.stream("c", String(n).padStart(64, "0"), START_MS);
      s.store.commit(makeBatch(s.store, START_MS, [message(number, 1, START_MS + n * 5_000)]));
    }
    const { number } = s.store.stream("c", "f".repeat(64), START_MS);
    s.store.commit(makeBatch(s.store, START_MS, [message(number, 1, START_MS + DAY_MS)]));
    const ends = [...scanSums(s.reader, "raw").keys()].map((key) => Number(key.split(" ")[0]));
    assert.ok(ends.length > 2 && ends.length < 15, `${ends.length} are left`);
    assert.equal(Math.max(...ends), START_MS + DAY_MS);
    assert.ok(Math.min(...ends) > START_MS);
  }, { kept: { orphanBytesMax: 2_000 } }),
);

test(
  "stream() refuses more orphans than its limit, but not adopted ones",
  scene((s) => {
    const id = (n: number) => n.toString(16).padStart(64, "0");
    for (let n = 0; n < ORPHANS_MAX; n++) s.store.stream("c", id(n), START_MS);
    refuses(() => s.store.stream("c", id(ORPHANS_MAX), START_MS), "full");
    assert.equal(s.store.stream("c", id(0), START_MS).number, 1);
    s.store.adopt("c", id(ORPHANS_MAX), START_MS);
    s.store.stream("c", id(ORPHANS_MAX), START_MS);
    s.store.adopt("c", id(0), START_MS);
    s.store.stream("c", id(ORPHANS_MAX + 1), START_MS);
  }),
);

test(
  "tiers go by age, each row of SQL with them",
  scene((s) => {
    const stream = s.adopted("a");
    s.store.commit(makeBatch(s.store, START_MS, [message(stream, 1, START_MS)]));
    s.settle(START_MS + MINUTE_MS);
    s.settle(START_MS + HOUR_MS);
    const writtenMs = START_MS + HOUR_MS;
    for (
      const [nowMs, expected] of [
        [START_MS + 7 * DAY_MS, [1, 1, 1]],
        [START_MS + 7 * DAY_MS + 1, [0, 1, 1]],
        [START_MS + MINUTE_MS + 30 * DAY_MS, [0, 1, 1]],
        [START_MS + MINUTE_MS + 30 * DAY_MS + 1, [0, 0, 1]],
        [writtenMs + 400 * DAY_MS, [0, 0, 1]],
        [writtenMs + 400 * DAY_MS + 1, [0, 0, 0]],
      ] as const
    ) {
      s.settle(nowMs);
      assert.deepEqual(sizes(s), expected);
    }
    assert.deepEqual(TIERS.slice(1).map((step) => totalSums(s.reader, step as "hour").size), [
      0,
      0,
    ]);
    const database = new DatabaseSync(s.path);
    for (
      const table of ["segment", "segment_blob", "entry", "message", "minute_block", "hour_block"]
    ) {
      assert.equal(database.prepare(`SELECT count(*) n FROM ${table}`).get()!.n, 0, table);
    }
    database.close();
  }),
);

test(
  "by size raw rows go first, then minutes, then hours",
  scene((s) => {
    const stream = s.adopted("a");
    const rows = Array.from({ length: 6_000 }, (_, n) => ({
      ...ROW,
      srcPort: n * 7 % 65_536,
      dstPort: n,
      counters: [BigInt(n), BigInt(n * n * 7_919 % 99_991), 1n, 2n] as const,
    }));
    for (let n = 0; n < 20; n++) {
      const endMs = START_MS + n * MINUTE_MS;
      s.store.commit(makeBatch(s.store, endMs, [message(stream, n + 1, endMs, rows)]));
    }
    const nowMs = START_MS + 3 * HOUR_MS;
    s.settle(nowMs);
    s.settle(nowMs + 10 * MINUTE_MS);
    s.reopen();
    const before = s.store.sizeBytes();
    const kept = (bytesMax: number) => {
      s.reopen({ kept: { bytesMax } });
      s.settle(nowMs + 20 * MINUTE_MS);
      return sizes(s).map((size) => size > 0);
    };
    assert.deepEqual(kept(before * 2), [true, true, true]);
    assert.deepEqual(kept(before * 0.8), [true, true, true]);
    const left = [...scanSums(s.reader, "raw").keys()].map((key) => Number(key.split(" ")[0]));
    assert.ok(Math.min(...left) > START_MS, "the oldest went");
    assert.equal(Math.max(...left), START_MS + 19 * MINUTE_MS);
    assert.deepEqual(kept(before * 0.4), [false, true, true]);
    assert.deepEqual(kept(before * 0.2), [false, false, true]);
    assert.deepEqual(kept(1), [false, false, false]);
  }),
);

test(
  "the file gets smaller when much of it is free",
  scene((s) => {
    const stream = s.adopted("a");
    let state = 1;
    const word = () => state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const random = () => BigInt((word() >>> 12) * 2 ** 32 + word());
    for (let n = 0; n < 14; n++) {
      const rows = Array.from({ length: 20_000 }, () => ({
        ...ROW,
        counters: [random(), random(), random(), random()] as const,
      }));
      s.store.commit(makeBatch(s.store, START_MS, [message(stream, n + 1, START_MS, rows)]));
    }
    s.reopen({ kept: { rawMs: MINUTE_MS } });
    const before = s.store.sizeBytes();
    for (let minute = 2; minute < 12; minute++) s.settle(START_MS + minute * MINUTE_MS);
    s.reopen();
    // Up to 1,024 free pages stay for what comes next.
    assert.ok(before > 6_000_000, `${before} bytes`);
    assert.ok(s.store.sizeBytes() < before - 2_000_000, `${s.store.sizeBytes()} of ${before}`);
  }),
);

test(
  "a full store refuses, keeps what it has, and takes more when there is room",
  scene((s) => {
    const stream = s.adopted("a");
    let stored = 0;
    const commit = () => {
      const rows = Array.from({ length: 2_000 }, (_, n) => ({
        ...ROW,
        dst: `10.${stored % 250}.${n >> 8}.${n & 255}`,
        srcPort: (n * 31 + stored) % 65_536,
      }));
      s.store.commit(makeBatch(s.store, START_MS, [message(stream, stored + 1, START_MS, rows)]));
      stored++;
    };
    s.reopen({ fileBytesMax: 600_000 });
    refuses(() => {
      for (let n = 0; n < 100; n++) commit();
    }, "full");
    assert.ok(stored > 0 && stored < 20, `${stored} stored`);
    refuses(commit, "full");
    const count = () => {
      let rows = 0;
      s.reader.scan({ fromMs: 0, toMs: START_MS, tier: "raw" }, (part) => rows += part.count);
      return rows;
    };
    assert.equal(count(), stored * 2_000);
    // close() may not find room for roll-ups; what it could not write is counted again.
    try {
      s.store.close();
    } catch (error) {
      assert.ok(error instanceof StoreError && error.code === "full");
    }
    s.store = s.open({});
    commit();
    assert.equal(count(), stored * 2_000);
    s.settle(START_MS + HOUR_MS);
    const [sums] = totalSums(s.reader, "minute").values();
    assert.equal(sums[0], BigInt(stored * 2_000));
  }),
);

test(
  "one writer at a time",
  scene((s) => {
    refuses(() => s.open(), "busy");
    s.store.close();
    s.store.close();
    s.store = s.open();
  }),
);

test(
  "what is not a store of ours is refused, untouched",
  scene((s) => {
    s.store.close();
    const whole = readFileSync(s.path);
    const path = join(s.folder, "other.db");
    const foreign = new DatabaseSync(path);
    foreign.exec("CREATE TABLE x (y)");
    foreign.close();
    const otherId = Uint8Array.from(whole);
    otherId[68] ^= 1;
    const newer = new DatabaseSync(s.path);
    newer.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`);
    newer.close();
    const cut = whole.subarray(0, 5_000);
    const cases: [Uint8Array, StoreErrorCode][] = [
      [readFileSync(path), "foreign"],
      [new TextEncoder().encode("hello"), "foreign"],
      [new Uint8Array(4_096), "foreign"],
      [otherId, "foreign"],
      [readFileSync(s.path), "newer"],
      [cut, "damaged"],
    ];
    for (const [bytes, code] of cases) {
      writeFileSync(s.path, bytes);
      refuses(() => s.open(), code);
      refuses(() => openSqliteReader(s.path), code);
      assert.deepEqual(new Uint8Array(readFileSync(s.path)), new Uint8Array(bytes), code);
    }
    refuses(() => openSqliteReader(join(s.folder, "none.db")), "other");
    writeFileSync(s.path, "");
    s.store = s.open();
  }),
);

test(
  "an older version becomes the newest, step by step, all of it or nothing",
  scene((s) => {
    const path = join(s.folder, "old.db");
    const step1 = "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1)";
    const step2 = "ALTER TABLE a ADD COLUMN y INTEGER; UPDATE a SET y = x + 1";
    const step3 = "CREATE TABLE b AS SELECT y * 2 z FROM a; DROP TABLE nothing";
    openForWriting(path, [step1]).close();
    refuses(() => openForWriting(path, [step1, step2, step3]), "other");
    const read = (migrations: string[], sql: string) => {
      const database = openForWriting(path, migrations);
      const row = { ...database.prepare(sql).get() };
      const { user_version, application_id } = {
        ...database.prepare("PRAGMA user_version").get(),
        ...database.prepare("PRAGMA application_id").get(),
      };
      database.close();
      assert.equal(application_id, APPLICATION_ID);
      return { ...row, user_version };
    };
    assert.deepEqual(read([step1, step2], "SELECT * FROM a"), { x: 1, y: 2, user_version: 2 });
    const step3Mended = "CREATE TABLE b AS SELECT y * 2 z FROM a";
    const all = [step1, step2, step3Mended];
    assert.deepEqual(read(all, "SELECT * FROM b"), { z: 4, user_version: 3 });
    assert.deepEqual(read(all, "SELECT * FROM b"), { z: 4, user_version: 3 });
    refuses(() => openForWriting(path, [step1, step2]), "newer");
  }),
);

test(
  "a blob that was changed on disk is an error, not other numbers",
  scene((s) => {
    const stream = s.adopted("a");
    s.store.commit(makeBatch(s.store, START_MS, [message(stream, 1, START_MS)]));
    s.store.close();
    const database = new DatabaseSync(s.path);
    const blob = database.prepare("SELECT rows FROM minute_block").get()!.rows as Uint8Array;
    const put = database.prepare("UPDATE minute_block SET rows = ?");
    for (
      const bytes of [
        blob.subarray(0, 3),
        blob.subarray(0, -1),
        Uint8Array.of(9, ...blob.subarray(1)),
      ]
    ) {
      put.run(bytes);
      refuses(
        () => s.reader.scan({ fromMs: 0, toMs: START_MS, tier: "minute" }, () => {}),
        "damaged",
      );
    }
    put.run(blob);
    assert.equal(scanSums(s.reader, "minute").size, 1);
    database.close();
    s.store = s.open();
  }),
);
