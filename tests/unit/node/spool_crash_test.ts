/**
 * Goal: no crash, cut or flipped bit makes a spool throw, forget an entry, or declare it falsely. Method: a small spool is
 * damaged at every place, or its process killed in every call, and the next process delivers what it finds; books are kept
 * of every entry.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { SPOOL_STATE_BYTES } from "../../../src/limits.ts";
import { RECORD_HEADER_BYTES } from "../../../src/node/spool_record.ts";
import { type FileCall, type FileFault, MemoryDisk } from "../../support/memory_spool_files.ts";
import { SpoolBooks, SpoolProcess } from "../../support/spool_books.ts";
import {
  BODY_BYTES_MAX,
  BYTES_MAX,
  callsOf,
  ENTRY_BYTES,
  FIRST,
  RECORD_BYTES,
  recover,
  SECOND,
  SEGMENT_NAME,
  session,
  settle,
  smallSpool,
} from "../../support/spool_session.ts";

function copyOf(books: SpoolBooks): SpoolBooks {
  const copy = new SpoolBooks();
  for (const [name, entry] of books.appended) copy.appended.set(name, entry);
  for (const [name, text] of books.stored) copy.stored.set(name, text);
  return copy;
}

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

test("Spool: an entry whose writing was cut short is declared exactly, as torn", () => {
  for (const writtenBytes of [RECORD_HEADER_BYTES, RECORD_BYTES - 1]) {
    const disk = new MemoryDisk();
    const process = new SpoolProcess(new SpoolBooks(), disk, 1, BYTES_MAX);
    process.spool.open();
    process.append(ENTRY_BYTES);
    process.spool.sync();
    disk.fault = ({ operation }) => operation === "write" ? { kill: true, writtenBytes } : null;
    process.append(ENTRY_BYTES);
    disk.fault = () => null;
    recover(disk, process.books, process);
    const causes = process.books.declared().map(({ cause, firstSeq }) => [cause, firstSeq]);
    assert.deepEqual(causes, [["killed", 0], ["torn", 2]]);
    assert.deepEqual(process.books.check(), { stored: 1, declared: 1, unknown: 0, waiting: 0 });
  }
});
