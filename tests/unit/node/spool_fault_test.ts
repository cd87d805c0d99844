/**
 * Goal: a disk that refuses calls, for once or for long, and single places that are damaged cost what they must and no more. Method:
 * as in spool_crash_test.ts; the process goes on, books are kept of every entry.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { ERRNO } from "../../../src/errors.ts";
import { SPOOL_STATE_BYTES } from "../../../src/limits.ts";
import { crc32c } from "../../../src/node/crc32c.ts";
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from "../../../src/node/spool_record.ts";
import { READ_ATTEMPTS_MAX } from "../../../src/node/spool_segment.ts";
import { type FileCall, MemoryDisk } from "../../support/memory_spool_files.ts";
import { SpoolBooks, SpoolProcess } from "../../support/spool_books.ts";
import {
  BODY_BYTES_MAX,
  BYTES_MAX,
  callsOf,
  ENTRY_BYTES,
  RECORD_BYTES,
  recover,
  SECOND,
  SEGMENT_NAME,
  session,
  smallSpool,
} from "../../support/spool_session.ts";

test("Spool: any call refused once costs nothing", () => {
  for (const call of callsOf(session)) {
    const isRead = ["read", "size", "names"].includes(call.operation);
    for (const errno of [isRead ? ERRNO.EIO : ERRNO.ENOSPC, ERRNO.ENOENT]) {
      const disk = new MemoryDisk();
      disk.fault = ({ index, length }) =>
        index === call.index ? { errno, writtenBytes: length >> 1 } : null;
      const process = new SpoolProcess(new SpoolBooks(), disk, 1, BYTES_MAX);
      session(process);
      recover(disk, process.books, process);
      const fates = process.books.check();
      assert.equal(fates.unknown, 0, `${call.operation} of ${call.name}, errno ${errno}`);
    }
  }
});

/** What a full or read-only disk refuses. */
const WRITING: readonly FileCall["operation"][] = ["lock", "write", "truncate", "remove", "rename"];

/** A session on a disk that fails from one call on. It does not come to its end. */
function failing(call: FileCall, errno: number, refused: (call: FileCall) => boolean) {
  const disk = new MemoryDisk();
  disk.fault = (other) => other.index >= call.index && refused(other) ? { errno } : null;
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, BYTES_MAX);
  const close = process.spool.close.bind(process.spool);
  process.spool.close = () => 0;
  session(process);
  process.spool.close = close;
  return { disk, process };
}

test("Spool: a disk that cannot be written from any call on, and then can, costs what memory cannot hold", () => {
  let whole = 0;
  for (const call of callsOf(session)) {
    const refuses = (other: FileCall) => WRITING.includes(other.operation);
    const { disk, process } = failing(call, ERRNO.ENOSPC, refuses);
    disk.fault = () => null;
    const before = process.spool.status();
    process.spool.sync();
    process.drain();
    process.spool.sync();
    const after = process.spool.status();
    assert.deepEqual([after.where, after.lastError, after.entries], ["disk", null, 0]);
    if (before.where === "memory") {
      assert.equal(process.warnings.length, 2, "said once, and once that it is over");
      assert.match(process.warnings[0], /ENOSPC.*; the spool goes on in memory$/);
      assert.match(process.warnings[1], /on disk again/);
    }
    const fates = process.books.check();
    assert.equal(fates.unknown, 0, `${call.operation} of ${call.name}`);
    if (before.lost.memory.entries === 0) whole++;
    process.spool.close();
    recover(disk, process.books, process);
    process.books.check();
  }
  assert.ok(whole > 20, `${whole} without a loss`);
});

test("Spool: a disk that fails in all from any call on, and works again, forgets nothing", () => {
  for (const call of callsOf(session)) {
    const { disk, process } = failing(call, ERRNO.EIO, ({ operation }) => operation !== "close");
    disk.fault = () => null;
    process.spool.sync();
    process.drain();
    process.spool.close();
    recover(disk, process.books, process);
    process.books.check();
  }
});

test("Spool: a disk that fails until the process is killed forgets nothing once it was in use", () => {
  let checked = 0;
  for (const call of callsOf(session)) {
    const refuses = (other: FileCall) => WRITING.includes(other.operation);
    const { disk, process } = failing(call, ERRNO.EROFS, refuses);
    const next = disk.copy();
    recover(next, process.books, process);
    // A process that never could write down that it runs is missed by nobody.
    if (!disk.files.has("state") || disk.bytes("state").every((byte) => byte === 0)) continue;
    // What was dropped in vain, for it could not be written down, is delivered late instead.
    process.books.check({ inOrder: false });
    checked++;
  }
  assert.ok(checked > 150, `${checked} checked`);
});

test("Spool: a sector that cannot be read costs the entry on it, after some attempts", () => {
  const entryBytes = 9_000;
  const disk = new MemoryDisk();
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, 1_000_000);
  process.spool.open();
  for (let count = 0; count < 4; count++) process.append(entryBytes);
  const bad = SEGMENT_HEADER_BYTES + 2 * RECORD_HEADER_BYTES + 1.5 * entryBytes;
  disk.fault = ({ operation, name, offset, length }) =>
    operation === "read" && name === SEGMENT_NAME && offset <= bad && bad < offset + length
      ? { errno: ERRNO.EIO }
      : null;
  for (let attempt = 1; attempt < READ_ATTEMPTS_MAX; attempt++) {
    assert.equal(process.spool.offer(8, BODY_BYTES_MAX), null);
    assert.match(process.spool.status().lastError!, /EIO/);
    assert.equal(process.spool.status().where, "disk", "new entries can be written");
  }
  assert.equal(process.warnings.length, 1);
  process.drain();
  assert.deepEqual(process.books.check(), { stored: 3, declared: 1, unknown: 0, waiting: 0 });
  assert.deepEqual(process.books.declared().map(({ cause, firstSeq }) => [cause, firstSeq]), [
    ["damaged", 2],
  ]);
  assert.equal(process.spool.status().lastError, null);
  assert.equal(process.warnings.length, 2);
});

test("Spool: a file that cannot be read for lack of rights is waited for", () => {
  const disk = new MemoryDisk();
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, 1_000_000);
  process.spool.open();
  process.append();
  disk.fault = ({ operation }) => operation === "read" ? { errno: ERRNO.EACCES } : null;
  for (let attempt = 0; attempt < 3 * READ_ATTEMPTS_MAX; attempt++) {
    assert.equal(process.spool.offer(8, BODY_BYTES_MAX), null);
  }
  disk.fault = () => null;
  process.drain();
  assert.deepEqual(process.books.check(), { stored: 1, declared: 0, unknown: 0, waiting: 0 });
});

test("Spool.open() refuses a spool of a later version, and leaves it as it is", () => {
  const { process, disk } = smallSpool();
  process.spool.close();
  const bytes = disk.bytes(SEGMENT_NAME);
  bytes[7]++;
  new DataView(bytes.buffer).setUint32(12, crc32c(bytes, 0, 12), true);
  disk.put(SEGMENT_NAME, bytes);
  const before = [...disk.files.keys()].map((name) => disk.bytes(name));
  const next = new SpoolProcess(process.books, disk, 2, BYTES_MAX, process.clock);
  assert.throws(() => next.spool.open(), /version 2, not 1/);
  assert.deepEqual([...disk.files.keys()].map((name) => disk.bytes(name)), before);
  // It gave the lock back.
  const third = new SpoolProcess(process.books, disk, 3, BYTES_MAX, process.clock);
  assert.throws(() => third.spool.open(), /version 2, not 1/);
});

test("Spool: damage behind an entry in flight waits until that is answered", () => {
  const disk = new MemoryDisk();
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, 1_000_000);
  process.spool.open();
  for (let count = 0; count < 3; count++) process.append(ENTRY_BYTES);
  process.spool.sync();
  disk.flip(SEGMENT_NAME, 8 * (SECOND - 10));
  const batch = process.spool.offer(8, BODY_BYTES_MAX)!;
  assert.deepEqual(batch.entries.map(({ procSeq }) => procSeq), [1]);
  assert.equal(process.spool.status().lost.damaged.entries, 0);
  recover(disk.copy(), process.books, process);
  assert.deepEqual(process.books.check(), { stored: 2, declared: 1, unknown: 0, waiting: 0 });
});

test("Spool: a full disk whose state can be written does not cover what is in memory", () => {
  const disk = new MemoryDisk();
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, 1_000_000);
  process.spool.open();
  process.append();
  process.spool.sync();
  disk.fault = ({ operation, name }) =>
    operation === "write" && name !== "state" ? { errno: ERRNO.ENOSPC } : null;
  process.append();
  process.spool.sync();
  process.append();
  process.spool.sync();
  disk.fault = () => null;
  recover(disk.copy(), process.books, process);
  assert.deepEqual(process.books.check(), { stored: 1, declared: 0, unknown: 2, waiting: 0 });
});

/** A spool of one segment per entry; the next process has room for one entry only. */
function loseTheRest(disk: MemoryDisk, process: SpoolProcess): void {
  process.files!.isKilled = true;
  const room = SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + ENTRY_BYTES;
  const next = new SpoolProcess(process.books, disk, 2, room, process.clock);
  next.spool.open();
  next.append(ENTRY_BYTES);
  next.drain();
}

test("Spool: an entry that was offered is known as such after a power failure", () => {
  const disk = new MemoryDisk();
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, 1_000_000);
  process.spool.open();
  process.append(ENTRY_BYTES);
  process.append(ENTRY_BYTES);
  process.spool.sync();
  process.books.store(process.spool.offer(1, 1)!);
  disk.powerCut();
  loseTheRest(disk, process);
  const full = process.books.declared().filter(({ cause }) => cause === "full");
  assert.deepEqual(full.map(({ firstSeq, offered }) => [firstSeq, offered]), [[1, true], [
    2,
    false,
  ]]);
  assert.deepEqual(process.books.check(), { stored: 2, declared: 1, unknown: 0, waiting: 0 });
});

test("Spool: without a state all that is found may have been offered", () => {
  const disk = new MemoryDisk();
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, 1_000_000);
  process.spool.open();
  process.append(ENTRY_BYTES);
  process.append(ENTRY_BYTES);
  process.books.store(process.spool.offer(1, 1)!);
  disk.flip("state", 8 * 20);
  disk.flip("state", 8 * (SPOOL_STATE_BYTES + 20));
  loseTheRest(disk, process);
  const full = process.books.declared().filter(({ cause }) => cause === "full");
  assert.deepEqual(full.map(({ firstSeq, offered }) => [firstSeq, offered]), [[1, true], [
    2,
    true,
  ]]);
  process.books.check();
});

test("Spool: what was offered in memory is known as such on disk", () => {
  const disk = new MemoryDisk();
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, 1_000_000);
  disk.fault = ({ operation }) => operation === "write" ? { errno: ERRNO.ENOSPC } : null;
  process.spool.open();
  for (let count = 0; count < 3; count++) process.append(ENTRY_BYTES);
  const first = process.spool.offer(1, 1)!;
  process.books.store(first);
  process.spool.delivered(first);
  process.books.store(process.spool.offer(1, 1)!);
  disk.fault = () => null;
  process.spool.sync();
  assert.equal(process.spool.status().where, "disk");
  assert.equal(process.spool.offer(8, 1)!.entries[0].procSeq, 2, "it is still in flight");
  loseTheRest(disk, process);
  const full = process.books.declared().filter(({ cause }) => cause === "full");
  assert.deepEqual(full.map(({ firstSeq, offered }) => [firstSeq, offered]), [[2, true], [
    3,
    false,
  ]]);
  process.books.check();
});

test("Spool: a segment whose append failed ends where it ended before", () => {
  const disk = new MemoryDisk();
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, 1_000_000);
  process.spool.open();
  process.append(ENTRY_BYTES);
  // All of the record is written, then the call fails, and it cannot be taken back.
  disk.fault = ({ operation, name }) =>
    operation === "truncate" || operation === "write" && name === SEGMENT_NAME
      ? { errno: ERRNO.EIO, writtenBytes: 10_000 }
      : null;
  process.append(ENTRY_BYTES);
  disk.fault = () => null;
  process.spool.sync();
  const bytes = disk.bytes(SEGMENT_NAME);
  assert.equal(bytes.length, SEGMENT_HEADER_BYTES + 2 * RECORD_BYTES, "it does stand there");
  const copy = disk.copy();
  process.drain();
  assert.deepEqual([...process.books.stored.keys()], ["1/1", "1/2"]);
  const books = new SpoolBooks();
  for (const [name, entry] of process.books.appended) books.appended.set(name, entry);
  const next = new SpoolProcess(books, copy, 2, 1_000_000, process.clock);
  next.spool.open();
  assert.equal(next.spool.status().entries, 3, "each once, and the gap record");
  next.drain();
  assert.deepEqual(books.check(), { stored: 2, declared: 0, unknown: 0, waiting: 0 });
});

test("Spool: what is damaged is declared with the windows of its neighbours", () => {
  const disk = new MemoryDisk();
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, 1_000_000);
  process.spool.open();
  for (let count = 0; count < 5; count++) process.append(ENTRY_BYTES);
  process.spool.sync();
  disk.flip(SEGMENT_NAME, 8 * (SECOND + 20));
  process.drain();
  const [damaged, ...more] = process.books.declared();
  assert.deepEqual([more, damaged.cause, damaged.sums], [[], "damaged", null]);
  const around = ["1/2", "1/4"].map((name) => process.books.appended.get(name)!);
  assert.deepEqual([damaged.startNs, damaged.endNs], [around[0].startNs, around[1].endNs]);
});
