/**
 * Goal: no crash, cut, flipped bit or refused call makes a spool throw, forget an entry, or declare it falsely. Method: a small
 * spool is damaged at every place, or its process killed in every call, and the next process delivers what it finds; books
 * are kept of every entry.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { ERRNO } from "../../../src/errors.ts";
import { SPOOL_SEGMENTS_MIN, SPOOL_STATE_BYTES } from "../../../src/limits.ts";
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from "../../../src/node/spool_record.ts";
import { type FileCall, type FileFault, MemoryDisk } from "../../support/memory_spool_files.ts";
import { READ_ATTEMPTS_MAX } from "../../../src/node/spool_segment.ts";
import { crc32c } from "../../../src/node/crc32c.ts";
import { SpoolBooks, SpoolProcess } from "../../support/spool_books.ts";

const BODY_BYTES_MAX = 262_144;
const ENTRY_BYTES = 90;
const RECORD_BYTES = RECORD_HEADER_BYTES + ENTRY_BYTES;
/** A segment takes two records; the spool, a few more than this parts. */
const SEGMENT_BYTES = SEGMENT_HEADER_BYTES + 2 * RECORD_BYTES;
const BYTES_MAX = SPOOL_SEGMENTS_MIN * SEGMENT_BYTES;

function copyOf(books: SpoolBooks): SpoolBooks {
  const copy = new SpoolBooks();
  for (const [name, entry] of books.appended) copy.appended.set(name, entry);
  for (const [name, text] of books.stored) copy.stored.set(name, text);
  return copy;
}

/** Next process over a directory: it delivers all, and closes. */
function recover(disk: MemoryDisk, books: SpoolBooks, before: SpoolProcess): SpoolProcess {
  if (before.files !== null) before.files.isKilled = true;
  const process = new SpoolProcess(books, disk, before.procId + 1, BYTES_MAX, before.clock);
  process.spool.open();
  process.drain();
  assert.equal(process.spool.status().entries, 0);
  assert.equal(process.spool.close(), 0);
  return process;
}

/** Spool of one segment with three entries, one of them delivered, and a declared loss that nobody was told of yet. */
function smallSpool(): { process: SpoolProcess; disk: MemoryDisk } {
  const disk = new MemoryDisk();
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, 2 * BYTES_MAX);
  process.spool.open();
  process.append(ENTRY_BYTES);
  process.append(ENTRY_BYTES);
  process.spool.setAside(process.spool.offer(1, 1)!, "refused");
  process.append(ENTRY_BYTES);
  process.spool.sync();
  return { process, disk };
}

const SEGMENT_NAME = "00000001.seg";
const FIRST = SEGMENT_HEADER_BYTES + RECORD_BYTES;
const SECOND = FIRST + RECORD_BYTES;

test("Spool: a segment cut at any byte loses what is cut off, and says so", () => {
  const { process, disk } = smallSpool();
  process.spool.close();
  const bytes = disk.bytes(SEGMENT_NAME);
  assert.equal(bytes.length, SECOND + RECORD_BYTES);
  // What is cut off is read as zeros, and the last number of a header ends in some.
  const headerEnd = (start: number) =>
    bytes.subarray(0, start + RECORD_HEADER_BYTES).findLastIndex((byte) => byte !== 0) + 1;
  for (let length = 0; length <= bytes.length; length++) {
    const damaged = disk.copy();
    damaged.cut(SEGMENT_NAME, length);
    const books = copyOf(process.books);
    recover(damaged, books, process);
    const fates = books.check();
    const whole = length === bytes.length ? 2 : length >= SECOND ? 1 : 0;
    assert.equal(fates.stored, whole, `stored when ${length} bytes are left`);
    // A record whose header is whole is declared exactly, beside the one that was refused.
    const torn = whole < 2 && length >= headerEnd(whole === 1 ? SECOND : FIRST);
    assert.equal(fates.declared, 1 + (torn ? 1 : 0), `declared when ${length} bytes are left`);
  }
});

test("Spool: a file that is gone is declared with the windows it held", () => {
  const { process, disk } = smallSpool();
  process.spool.close();
  disk.files.delete(SEGMENT_NAME);
  recover(disk, process.books, process);
  const [, gone] = process.books.declared();
  assert.deepEqual([gone.cause, gone.sums], ["damaged", null]);
  assert.equal(gone.startNs, process.books.appended.get("1/1")!.startNs);
  assert.equal(gone.endNs, process.books.appended.get("1/3")!.endNs);
  assert.deepEqual(process.books.check(), { stored: 0, declared: 1, unknown: 2, waiting: 0 });
});

test("Spool: a flipped bit of a segment costs one entry at most", () => {
  const { process, disk } = smallSpool();
  process.spool.close();
  const bytes = disk.bytes(SEGMENT_NAME);
  for (let bit = 0; bit < bytes.length * 8; bit += bit < FIRST * 8 ? 7 : 1) {
    const damaged = disk.copy();
    damaged.flip(SEGMENT_NAME, bit);
    const books = copyOf(process.books);
    recover(damaged, books, process);
    const fates = books.check();
    const offset = bit >> 3;
    // All before FIRST is settled: nobody reads it again.
    const inHeader = offset >= FIRST && (offset - FIRST) % RECORD_BYTES < RECORD_HEADER_BYTES;
    assert.deepEqual(
      fates,
      offset < FIRST
        ? { stored: 2, declared: 1, unknown: 0, waiting: 0 }
        : inHeader
        ? { stored: 1, declared: 1, unknown: 1, waiting: 0 }
        : { stored: 1, declared: 2, unknown: 0, waiting: 0 },
      `bit ${bit}`,
    );
  }
});

test("Spool: a flipped bit of the state costs nothing when the spool was closed", () => {
  const { process, disk } = smallSpool();
  process.spool.close();
  flipState(disk, process, 7, (books, bit) => {
    assert.deepEqual(books.check(), { stored: 2, declared: 1, unknown: 0, waiting: 0 }, `${bit}`);
  });
});

test("Spool: a flipped bit of the state of a killed process forgets no entry", () => {
  const { process, disk } = smallSpool();
  process.append(ENTRY_BYTES);
  process.spool.offer(1, 1);
  flipState(disk, process, 1, (books) => {
    const { stored, declared } = books.check();
    // The older state does not know that an entry was set aside: it is offered again.
    assert.ok(stored === 3 && declared === 1 || stored === 4 && declared === 0);
  });
});

function flipState(
  disk: MemoryDisk,
  process: SpoolProcess,
  step: number,
  check: (books: SpoolBooks, bit: number) => void,
): void {
  const bytes = disk.bytes("state");
  for (const place of [0, SPOOL_STATE_BYTES]) {
    const used = bytes.subarray(place, place + SPOOL_STATE_BYTES).findLastIndex((b) => b !== 0) + 8;
    assert.ok(used > 300);
    // Both places are read by the same code: of the second, one bit of each byte.
    for (let bit = 0; bit < used * 8; bit += place === 0 ? step : 9) {
      const damaged = disk.copy();
      damaged.flip("state", place * 8 + bit);
      const books = copyOf(process.books);
      recover(damaged, books, process);
      check(books, place * 8 + bit);
    }
  }
}

test("Spool: a state file cut at any byte forgets no entry", () => {
  const { process, disk } = smallSpool();
  process.spool.close();
  const bytes = disk.bytes("state");
  // A place says its length behind magic and generation; behind its end an older, longer text may show.
  const view = new DataView(bytes.buffer);
  const [firstEnd, secondEnd] = [0, SPOOL_STATE_BYTES].map((place) =>
    place + 16 + view.getUint32(place + 8, true)
  );
  const lengths = [SPOOL_STATE_BYTES - 1, SPOOL_STATE_BYTES, bytes.length - 1, bytes.length];
  for (let length = 0; length <= firstEnd + 1; length++) lengths.push(length);
  for (let length = SPOOL_STATE_BYTES; length <= secondEnd + 1; length += 7) lengths.push(length);
  for (const length of lengths) {
    const damaged = disk.copy();
    damaged.cut("state", length);
    const books = copyOf(process.books);
    recover(damaged, books, process);
    // Without any state, what was set aside is delivered once more; its loss is among what nobody knows.
    const [stored, declared] = length >= firstEnd ? [2, 1] : [3, 0];
    assert.deepEqual(books.check(), { stored, declared, unknown: 0, waiting: 0 }, `${length}`);
  }
});

// ---- Kills and power failures -----------------------------------------------------------------------------------------

/** Does all that a spool can do, until the process is killed. */
function session(process: SpoolProcess): void {
  const { spool, books } = process;
  const steps: (() => void)[] = [
    () => spool.open(),
    () => process.append(ENTRY_BYTES),
    () => process.appendToWindow(ENTRY_BYTES),
    () => spool.sync(),
    () => process.append(ENTRY_BYTES),
    // Stored, and the answer comes.
    () => settle(process, 2),
    () => process.append(ENTRY_BYTES),
    () => spool.sync(),
    // Stored, and the answer is lost.
    () => void books.store(spool.offer(2, BODY_BYTES_MAX) ?? { entries: [] }),
    // Over the limit.
    ...Array.from(
      { length: 2 * SPOOL_SEGMENTS_MIN + 4 },
      () => () => void process.append(ENTRY_BYTES),
    ),
    () => spool.sync(),
    () => settle(process, 1),
    // The gap record is stored, and the answer is lost; then it comes.
    () => void books.store(spool.offer(2, BODY_BYTES_MAX) ?? { entries: [] }),
    () => process.append(ENTRY_BYTES),
    () => settle(process, 3),
    () => refuse(process),
    () => process.append(ENTRY_BYTES),
    () => spool.sync(),
    () => settle(process, 5),
    () => settle(process, 5),
    () => void spool.close(),
  ];
  for (const step of steps) {
    step();
    if (process.isKilled) return;
  }
}

function settle(process: SpoolProcess, entriesMax: number): void {
  const batch = process.spool.offer(entriesMax, BODY_BYTES_MAX);
  // A process that is killed while it offers sends nothing.
  if (batch === null || process.isKilled) return;
  process.books.store(batch);
  process.spool.delivered(batch);
}

function refuse(process: SpoolProcess): void {
  const batch = process.spool.offer(2, BODY_BYTES_MAX);
  if (batch !== null && !process.isKilled) process.spool.setAside(batch, "refused");
}

/** Calls that a session makes. */
function callsOf(run: (process: SpoolProcess) => void): FileCall[] {
  const disk = new MemoryDisk();
  const calls: FileCall[] = [];
  disk.fault = (call) => {
    calls.push(call);
    return null;
  };
  run(new SpoolProcess(new SpoolBooks(), disk, 1, BYTES_MAX));
  return calls;
}

function kill(at: number, writtenBytes: number): { process: SpoolProcess; disk: MemoryDisk } {
  const disk = new MemoryDisk();
  disk.fault = ({ index }): FileFault | null => index === at ? { kill: true, writtenBytes } : null;
  const process = new SpoolProcess(new SpoolBooks(), disk, 1, BYTES_MAX);
  session(process);
  assert.ok(process.isKilled, `call ${at} was made`);
  disk.fault = () => null;
  return { process, disk };
}

/** Lengths at which a write is cut. */
function cuts({ operation, length }: FileCall): number[] {
  return operation !== "write" ? [0] : [...new Set([0, length >> 1, length - 1, length])];
}

test("Spool: a process killed in any call of its files forgets nothing", () => {
  const calls = callsOf(session);
  assert.ok(calls.length > 150, `${calls.length} calls`);
  for (const call of calls) {
    for (const writtenBytes of cuts(call)) {
      const { process, disk } = kill(call.index, writtenBytes);
      recover(disk, process.books, process);
      process.books.check();
    }
  }
});

test("Spool: a power failure in any call forgets nothing, whatever of the unsynced is on disk", () => {
  for (const call of callsOf(session)) {
    for (const keeps of [() => false, isState, (name: string) => !isState(name), () => true]) {
      const { process, disk } = kill(call.index, call.length >> 1);
      disk.powerCut(keeps);
      recover(disk, process.books, process);
      process.books.check();
    }
  }
});

function isState(name: string): boolean {
  return name === "state";
}

test("Spool: a process killed while it takes over, at any call, forgets nothing", () => {
  const { process, disk } = smallSpool();
  process.append(ENTRY_BYTES);
  process.spool.offer(8, BODY_BYTES_MAX);
  const before = disk.copy();
  const second = () => new SpoolProcess(copyOf(process.books), disk2, 2, BYTES_MAX, process.clock);
  let disk2 = before.copy();
  const run = (other: SpoolProcess) => {
    other.spool.open();
    if (!other.isKilled) settle(other, 2);
    if (!other.isKilled) settle(other, 1);
    if (!other.isKilled) other.append(ENTRY_BYTES);
    if (!other.isKilled) other.spool.close();
  };
  run(second());
  const calls = disk2.calls;
  assert.ok(calls > 20);
  for (let at = 0; at < calls; at++) {
    disk2 = before.copy();
    disk2.fault = ({ index }) => index === at ? { kill: true, writtenBytes: 20 } : null;
    const other = second();
    run(other);
    assert.ok(other.isKilled);
    disk2.fault = () => null;
    recover(disk2, other.books, other);
    other.books.check();
  }
});

// ---- A disk that refuses ------------------------------------------------------------------------------------------------

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
