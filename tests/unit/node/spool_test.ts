/**
 * Goal: what a spool promises in the ordinary course of things and at its limits. Method: each case on disk (in memory) and
 * in memory alone, books kept of every entry. Crashes, damage and random courses: spool_crash_test.ts, spool_model_test.ts.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { GAP_HOLD_OFF_MS, SPOOL_SEGMENTS_MIN } from "../../../src/limits.ts";
import { parseGap } from "../../../src/logtail/mod.ts";
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from "../../../src/node/spool_record.ts";
import { REFUSED_NAMES } from "../../../src/node/spool_disk.ts";
import { MemoryDisk } from "../../support/memory_spool_files.ts";
import { SpoolBooks, SpoolProcess } from "../../support/spool_books.ts";

const BODY_BYTES_MAX = 262_144;

/** Runs a case on disk and in memory. */
function both(name: string, run: (disk: MemoryDisk | null) => void): void {
  test(`${name} (disk)`, () => run(new MemoryDisk()));
  test(`${name} (memory)`, () => run(null));
}

function started(disk: MemoryDisk | null, bytesMax: number = 1_000_000): SpoolProcess {
  const process = new SpoolProcess(new SpoolBooks(), disk, 7, bytesMax);
  process.spool.open();
  return process;
}

function numbers(batch: { entries: readonly { procSeq: number }[] } | null): number[] {
  return batch?.entries.map(({ procSeq }) => procSeq) ?? [];
}

both("Spool.offer() gives the same until it is settled", (disk) => {
  const process = started(disk);
  assert.equal(process.spool.offer(8, BODY_BYTES_MAX), null);
  for (let count = 0; count < 5; count++) process.append();
  const first = process.spool.offer(3, BODY_BYTES_MAX);
  assert.deepEqual(numbers(first), [1, 2, 3]);
  process.append();
  assert.deepEqual(process.spool.offer(8, BODY_BYTES_MAX), first, "not more, although more waits");
  process.books.store(first!);
  process.spool.delivered(first!);
  assert.deepEqual(numbers(process.spool.offer(8, BODY_BYTES_MAX)), [4, 5, 6]);
  assert.equal(process.spool.status().entries, 3);
  assert.equal(process.drain(), 1);
  assert.deepEqual(process.books.check(), { stored: 6, declared: 0, unknown: 0, waiting: 0 });
  assert.equal(process.spool.status().entries, 0);
});

both("Spool.offer() makes a batch smaller that was too large", (disk) => {
  const process = started(disk);
  for (let count = 0; count < 4; count++) process.append(200);
  assert.deepEqual(numbers(process.spool.offer(4, BODY_BYTES_MAX)), [1, 2, 3, 4]);
  assert.deepEqual(numbers(process.spool.offer(4, 2 + 200 + 1 + 200)), [1, 2]);
  const one = process.spool.offer(4, 2 + 200 + 200)!;
  assert.deepEqual(numbers(one), [1], "a comma between two has no room");
  assert.deepEqual(numbers(process.spool.offer(4, 10)), [1], "the first always fits");
  process.spool.setAside(one, "tooLarge");
  assert.deepEqual(process.spool.status().lost.tooLarge.entries, 1);
  process.drain();
  assert.deepEqual(process.books.check(), { stored: 3, declared: 1, unknown: 0, waiting: 0 });
});

both("Spool.delivered() of a batch that is not in flight takes nothing off", (disk) => {
  const process = started(disk);
  process.append();
  const old = process.spool.offer(1, BODY_BYTES_MAX)!;
  process.spool.delivered(old);
  process.append();
  assert.deepEqual(numbers(process.spool.offer(1, BODY_BYTES_MAX)), [2]);
  process.spool.delivered(old);
  process.spool.delivered({ entries: [] });
  assert.deepEqual(numbers(process.spool.offer(1, BODY_BYTES_MAX)), [2]);
  assert.equal(process.spool.status().entries, 1);
});

both("Spool.append() keeps to bytesMax, to the byte", (disk) => {
  const record = RECORD_HEADER_BYTES + 200;
  // One segment per entry, for a segment is a part of this small spool.
  const segment = SEGMENT_HEADER_BYTES + record;
  assert.ok(record > 3 * segment / SPOOL_SEGMENTS_MIN);
  for (const [bytesMax, kept] of [[3 * segment - 1, 2], [3 * segment, 3], [3 * segment + 1, 3]]) {
    const process = started(disk === null ? null : new MemoryDisk(), bytesMax);
    for (let count = 0; count < 4; count++) {
      process.append(200);
      assert.ok(process.spool.status().bytes <= bytesMax);
    }
    assert.equal(process.spool.status().lost.full.entries, 4 - kept);
    process.drain();
    assert.deepEqual(process.books.check(), {
      ...{ stored: kept, declared: 4 - kept, unknown: 0, waiting: 0 },
    });
    const [range, ...more] = process.books.declared();
    assert.deepEqual(more, [], "neighbours are one range");
    assert.deepEqual([range.cause, range.firstSeq, range.lastSeq], ["full", 1, 4 - kept]);
  }
});

both("Spool.append() declares an entry that never fits", (disk) => {
  const process = started(disk, SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 200);
  process.append(200);
  process.append(201);
  process.append(300_001);
  process.drain();
  assert.deepEqual(process.books.check(), { stored: 1, declared: 2, unknown: 0, waiting: 0 });
  assert.deepEqual(process.books.declared().map(({ cause }) => cause), ["full", "tooLarge"]);
});

both("Spool.append() never drops what is in flight", (disk) => {
  const segment = SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 200;
  const process = started(disk, 3 * segment);
  for (let count = 0; count < 3; count++) process.append(200);
  const batch = process.spool.offer(2, BODY_BYTES_MAX)!;
  assert.deepEqual(numbers(batch), [1, 2]);
  for (let count = 0; count < 5; count++) process.append(200);
  assert.deepEqual(process.spool.offer(2, BODY_BYTES_MAX), batch);
  process.books.store(batch);
  process.spool.delivered(batch);
  process.drain();
  assert.deepEqual(process.books.check(), { stored: 3, declared: 5, unknown: 0, waiting: 0 });
  assert.ok(process.books.declared().every(({ offered }) => !offered));
});

both("Spool.append() drops the new entry when all others are in flight", (disk) => {
  const segment = SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 200;
  const process = started(disk, segment + 10);
  process.append(200);
  const batch = process.spool.offer(2, BODY_BYTES_MAX)!;
  process.append(200);
  process.books.store(batch);
  process.spool.delivered(batch);
  process.append(200);
  process.drain();
  assert.deepEqual(process.books.check(), { stored: 2, declared: 1, unknown: 0, waiting: 0 });
});

both("Spool: an entry that was offered and is lost is named singly", (disk) => {
  const segment = SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 200;
  const process = started(disk, 3 * segment);
  for (let count = 0; count < 3; count++) process.append(200);
  process.books.store(process.spool.offer(3, BODY_BYTES_MAX)!);
  // Its answer was lost, and the next attempt is of one entry, so that the two others are no more in flight.
  process.spool.offer(1, BODY_BYTES_MAX);
  for (let count = 0; count < 3; count++) process.append(200);
  process.drain();
  const ranges = process.books.declared();
  assert.deepEqual(ranges.map(({ firstSeq, lastSeq, offered }) => [firstSeq, lastSeq, offered]), [
    [2, 2, true],
    [3, 3, true],
    [4, 4, false],
  ]);
  assert.deepEqual(process.books.check(), { stored: 5, declared: 1, unknown: 0, waiting: 0 });
});

both("Spool.offer() gives gap records first, each with a name of its own", (disk) => {
  const segment = SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 200;
  const process = started(disk, 2 * segment);
  for (let count = 0; count < 3; count++) process.append(200);
  assert.equal(process.spool.status().entries, 3, "two entries and a gap record");
  const gap = process.spool.offer(8, BODY_BYTES_MAX)!;
  assert.deepEqual(numbers(gap), [4]);
  const text = new TextDecoder().decode(gap.entries[0].bytes);
  assert.ok(text.endsWith("}\n"));
  assert.deepEqual(JSON.parse(text).logtail.proc_id, 7);
  assert.deepEqual(JSON.parse(text).logtail.proc_seq, 4);
  // What is lost from now on is not in it, for it is frozen.
  process.append(200);
  assert.deepEqual(process.spool.offer(8, BODY_BYTES_MAX), gap);
  process.books.store(gap);
  process.spool.delivered(gap);
  assert.deepEqual(numbers(process.spool.offer(8, BODY_BYTES_MAX)), [6]);
  process.drain();
  assert.deepEqual(process.books.check(), { stored: 2, declared: 2, unknown: 0, waiting: 0 });
});

both("Spool.setAside() of a gap record holds it back and lets entries pass", (disk) => {
  const segment = SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 200;
  const process = started(disk, 2 * segment);
  for (let count = 0; count < 3; count++) process.append(200);
  const gap = process.spool.offer(8, BODY_BYTES_MAX)!;
  process.spool.setAside(gap, "refused");
  assert.deepEqual(process.spool.status().lost.refused.entries, 0);
  assert.deepEqual(numbers(process.spool.offer(8, BODY_BYTES_MAX)), [2, 3]);
  process.spool.delivered(process.spool.offer(8, BODY_BYTES_MAX)!);
  assert.equal(process.spool.offer(8, BODY_BYTES_MAX), null);
  assert.equal(process.spool.status().entries, 1);
  process.clock.advance(GAP_HOLD_OFF_MS - 1);
  assert.equal(process.spool.offer(8, BODY_BYTES_MAX), null);
  process.clock.advance(1);
  assert.deepEqual(process.spool.offer(8, BODY_BYTES_MAX), gap);
});

both("Spool.delivered() of a gap record that was held back lets the next one pass", (disk) => {
  const segment = SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 200;
  const process = started(disk, 2 * segment);
  for (let count = 0; count < 3; count++) process.append(200);
  const gap = process.spool.offer(8, BODY_BYTES_MAX)!;
  process.books.store(gap);
  process.spool.setAside(gap, "refused");
  process.append(200);
  process.spool.delivered(gap);
  const next = process.spool.offer(8, BODY_BYTES_MAX)!;
  assert.ok(new TextDecoder().decode(next.entries[0].bytes).includes(`"gap"`));
  process.drain();
  assert.deepEqual(process.books.check(), { stored: 2, declared: 2, unknown: 0, waiting: 0 });
});

test("Spool.setAside() writes refused entries beside the spool, in bounds", () => {
  const disk = new MemoryDisk();
  const process = started(disk, 100_000_000);
  const entryBytes = 200_000;
  for (let count = 0; count < 45; count++) {
    process.append(entryBytes);
    process.spool.setAside(process.spool.offer(1, 1)!, "refused");
    process.drain(1, 1);
  }
  assert.deepEqual(process.books.check(), { stored: 0, declared: 45, unknown: 0, waiting: 0 });
  const sizes = REFUSED_NAMES.map((name) => disk.bytes(name).length / entryBytes);
  assert.deepEqual(sizes, [5, 20], "20 fit 4 MiB; the oldest 20 are gone");
  const text = new TextDecoder().decode(disk.bytes(REFUSED_NAMES[0]));
  const entries = text.trimEnd().split("\n").map((line) => JSON.parse(line).procSeq as number);
  assert.equal(entries.at(-1), [...process.books.appended.values()].at(-1)!.procSeq);
});

test("Spool.close() leaves what waits to the next process, under its old names", () => {
  const disk = new MemoryDisk();
  const first = started(disk, 2 * (SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 200));
  for (let count = 0; count < 3; count++) first.append(200);
  const gap = first.spool.offer(8, BODY_BYTES_MAX);
  assert.equal(first.spool.close(), 3);
  const second = new SpoolProcess(first.books, disk, 8, 1_000_000, first.clock);
  second.spool.open();
  assert.equal(second.spool.status().entries, 3);
  assert.deepEqual(second.spool.offer(8, BODY_BYTES_MAX), gap);
  second.append(200);
  second.drain();
  assert.deepEqual(second.books.check(), { stored: 3, declared: 1, unknown: 0, waiting: 0 });
  assert.equal(second.spool.close(), 0);
  assert.deepEqual([...disk.files.keys()], ["state"]);
});

test("Spool.open() declares the time since the last window that a killed process synced", () => {
  const disk = new MemoryDisk();
  const first = started(disk);
  first.append();
  first.spool.sync();
  const syncedNs = first.books.appended.get("7/1")!.endNs;
  first.append();
  first.clock.advance(2_000);
  const second = new SpoolProcess(first.books, disk.copy(), 8, 1_000_000, first.clock);
  second.spool.open();
  second.drain();
  const [killed, ...more] = second.books.declared();
  assert.deepEqual(more, []);
  assert.deepEqual(killed, {
    cause: "killed",
    procId: 7,
    firstSeq: 0,
    lastSeq: 0,
    entries: 0,
    startNs: syncedNs + 1n,
    endNs: BigInt(first.clock.wallMs()) * 1_000_000n,
    sums: null,
    offered: false,
  });
  assert.equal(second.spool.status().lost.killed.complete, false);
  assert.deepEqual(second.books.check(), { stored: 2, declared: 0, unknown: 0, waiting: 0 });
});

test("Spool.open() refuses a directory that a living process has open, and takes over a dead one's", () => {
  const disk = new MemoryDisk();
  const first = started(disk);
  first.append();
  const second = new SpoolProcess(first.books, disk, 8, 1_000_000, first.clock);
  assert.throws(() => second.spool.open(), /EBUSY/);
  first.files!.isKilled = true;
  second.spool.open();
  second.drain();
  assert.deepEqual(second.books.check(), { stored: 1, declared: 0, unknown: 0, waiting: 0 });
});

test("gap records: what a spool writes can be read in full by parseGap()", () => {
  const process = started(null, 300);
  process.append(200);
  const text = new TextDecoder().decode(process.spool.offer(1, 1)!.entries[0].bytes);
  assert.equal(parseGap(text).length, 1);
  assert.equal(JSON.parse(text).gap.lost[0].cause, "full");
});
