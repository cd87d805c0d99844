/**
 * Courses of a small spool that tests damage, kill and starve: three entries, or all that a spool can do.
 */
import assert from "node:assert/strict";
import { SPOOL_SEGMENTS_MIN } from "../../src/limits.ts";
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from "../../src/node/spool_record.ts";
import { type FileCall, MemoryDisk } from "./memory_spool_files.ts";
import { SpoolBooks, SpoolProcess } from "./spool_books.ts";

export const BODY_BYTES_MAX = 262_144;
export const ENTRY_BYTES = 90;
export const RECORD_BYTES = RECORD_HEADER_BYTES + ENTRY_BYTES;
/** A segment takes two records; the spool, a few more than this parts. */
export const SEGMENT_BYTES = SEGMENT_HEADER_BYTES + 2 * RECORD_BYTES;
export const BYTES_MAX = SPOOL_SEGMENTS_MIN * SEGMENT_BYTES;

/** Next process over a directory: it delivers all, and closes. */
export function recover(disk: MemoryDisk, books: SpoolBooks, before: SpoolProcess): SpoolProcess {
  if (before.files !== null) before.files.isKilled = true;
  const process = new SpoolProcess(books, disk, before.procId + 1, BYTES_MAX, before.clock);
  process.spool.open();
  process.drain();
  assert.equal(process.spool.status().entries, 0);
  assert.equal(process.spool.close(), 0);
  return process;
}

/** Spool of one segment with three entries, one of them delivered, and a declared loss that nobody was told of yet. */
export function smallSpool(): { process: SpoolProcess; disk: MemoryDisk } {
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

export const SEGMENT_NAME = "00000001.seg";
export const FIRST = SEGMENT_HEADER_BYTES + RECORD_BYTES;
export const SECOND = FIRST + RECORD_BYTES;

/** Does all that a spool can do, until the process is killed. */
export function session(process: SpoolProcess): void {
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

/** Has the collector take what is offered. */
export function settle(process: SpoolProcess, entriesMax: number): void {
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
export function callsOf(run: (process: SpoolProcess) => void): FileCall[] {
  const disk = new MemoryDisk();
  const calls: FileCall[] = [];
  disk.fault = (call) => {
    calls.push(call);
    return null;
  };
  run(new SpoolProcess(new SpoolBooks(), disk, 1, BYTES_MAX));
  return calls;
}
