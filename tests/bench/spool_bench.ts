/**
 * Question: what does a spool take and give, and how long does a start take over a full one? Budget: an entry of a window of
 * 1,000 flows is some 200 KiB every 5 s, so that 1 MiB/s is plenty; what counts is that the main thread is not held up:
 * one window's append and sync below 50 ms, recovery of 64 MiB below 2 s.
 *
 * Entries of 1, 16 and 256 KiB; one sync per window of `entriesPerWindow`; then all is offered and delivered in batches of
 * at most 128 entries and 256 KiB. Memory and disk (a directory below the one that is named, or the system's temporary
 * one: on tmpfs a sync costs nothing). Last the CRC by four tables against the byte-wise one.
 *
 *     deno run -A tests/bench/spool_bench.ts [rounds] [MiB] [directory]
 *     bun --no-install tests/bench/spool_bench.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, NO_SUMS } from "../../src/logtail/mod.ts";
import { crc32c } from "../../src/node/crc32c.ts";
import { Spool } from "../../src/node/spool.ts";
import { spoolFilesIn } from "../../src/node/spool_files.ts";

/** One line of the result. */
export interface Measurement {
  readonly where: "memory" | "disk";
  readonly entryBytes: number;
  readonly entries: number;
  /** Medians over rounds, in ms: appending with its syncs, the longest window, taking over, draining. */
  readonly appendMs: number;
  readonly windowMs: number;
  /** 0 in memory, where nothing is left to take over. */
  readonly recoverMs: number;
  readonly drainMs: number;
  /** Bytes delivered: all that were appended. */
  readonly checksum: number;
}

/** Entries of one window. */
const ENTRIES_PER_WINDOW = 4;
const KIB = 1024;

function spoolIn(directory: string | null, bytesMax: number, procId: number): Spool {
  let seq = 1_000_000_000;
  const spool = new Spool({
    ...{ files: directory === null ? null : spoolFilesIn(directory), bytesMax, procId },
    nextSeq: () => ++seq,
    clock: { nowMs: () => performance.now(), wallMs: () => Date.now() },
    warn: (message) => console.error(message),
  });
  spool.open();
  return spool;
}

/** Fills a spool, starts again over it, and empties it. */
function round(directory: string | null, entryBytes: number, entries: number): Measurement {
  const bytesMax = 4 * entries * (entryBytes + KIB);
  const entry = new Uint8Array(entryBytes).fill(0x61);
  let spool = spoolIn(directory, bytesMax, 1);
  let windowMs = 0;
  const startMs = performance.now();
  let windowStartMs = startMs;
  for (let index = 1; index <= entries; index++) {
    const startNs = BigInt(index) * 5_000_000_000n;
    spool.append(index, { startNs, endNs: startNs + 4_999_999_999n, sums: NO_SUMS }, entry);
    if (index % ENTRIES_PER_WINDOW !== 0) continue;
    spool.sync();
    const nowMs = performance.now();
    windowMs = Math.max(windowMs, nowMs - windowStartMs);
    windowStartMs = nowMs;
  }
  const appendMs = performance.now() - startMs;
  let recoverMs = 0;
  if (directory !== null) {
    spool.close();
    const recoverStartMs = performance.now();
    spool = spoolIn(directory, bytesMax, 2);
    recoverMs = performance.now() - recoverStartMs;
  }
  const drainStartMs = performance.now();
  let checksum = 0;
  for (;;) {
    const batch = spool.offer(BATCH_ENTRIES_MAX, BATCH_BYTES_MAX);
    if (batch === null) break;
    for (const { bytes } of batch.entries) checksum += bytes.length;
    spool.delivered(batch);
  }
  const drainMs = performance.now() - drainStartMs;
  spool.close();
  const where = directory === null ? "memory" : "disk";
  return { where, entryBytes, entries, appendMs, windowMs, recoverMs, drainMs, checksum };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

/**
 * Measures all sizes in memory and on disk.
 * @param totalBytes Of entries in each spool.
 * @param parent Where spools are made; they are removed again.
 */
export function measureSpool(
  { rounds, totalBytes, parent }: { rounds: number; totalBytes: number; parent: string },
): Measurement[] {
  const results: Measurement[] = [];
  for (const entryBytes of [KIB, 16 * KIB, 256 * KIB]) {
    for (const where of ["memory", "disk"] as const) {
      const entries = Math.max(ENTRIES_PER_WINDOW, Math.floor(totalBytes / entryBytes));
      const all = Array.from({ length: rounds }, () => {
        const directory = where === "memory" ? null : mkdtempSync(join(parent, "tunlog-bench-"));
        try {
          return round(directory, entryBytes, entries);
        } finally {
          if (directory !== null) rmSync(directory, { recursive: true, force: true });
        }
      });
      const of = (value: (one: Measurement) => number) => median(all.map(value));
      results.push({
        ...{ where, entryBytes, entries, checksum: all[0]!.checksum },
        ...{ appendMs: of((one) => one.appendMs), windowMs: of((one) => one.windowMs) },
        ...{ recoverMs: of((one) => one.recoverMs), drainMs: of((one) => one.drainMs) },
      });
    }
  }
  return results;
}

/** One byte after the other, by one table. */
function byteWise(table: Int32Array, bytes: Uint8Array): number {
  let state = -1;
  for (let at = 0; at < bytes.length; at++) {
    state = (state >>> 8) ^ table[(state ^ bytes[at]!) & 0xff]!;
  }
  return ~state >>> 0;
}

/** Table of the byte-wise checksum. */
function makeTable(): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0x82f63b78 : 0);
    return crc;
  });
}

/** Compares the two checksums. @returns MB/s of each, and whether they agree. */
export function measureCrc(
  rounds: number,
  length: number,
): { tables: number; byteWise: number; equal: boolean } {
  const bytes = Uint8Array.from({ length }, (_, index) => index * 31);
  const table = makeTable();
  const times: [number[], number[]] = [[], []];
  let equal = true;
  for (let index = 0; index < rounds; index++) {
    const startMs = performance.now();
    const fast = crc32c(bytes);
    const middleMs = performance.now();
    const slow = byteWise(table, bytes);
    times[0].push(middleMs - startMs);
    times[1].push(performance.now() - middleMs);
    equal &&= fast === slow;
  }
  const rate = (ms: readonly number[]) => length / 1_000 / median(ms);
  return { tables: rate(times[0]), byteWise: rate(times[1]), equal };
}

function main([rounds = "3", mebibytes = "64", parent = tmpdir()]: string[]): void {
  const options = { rounds: Number(rounds), totalBytes: Number(mebibytes) * KIB * KIB, parent };
  console.log(`${mebibytes} MiB of entries, sync every ${ENTRIES_PER_WINDOW}, in ${parent}`);
  console.log("where   KiB  entries  append/s   MB/s  longest window  recovery  drained/s   MB/s");
  for (const one of measureSpool(options)) {
    const perSecond = (ms: number) => (one.entries / ms * 1_000).toFixed(0);
    const megabytes = (ms: number) => (one.entries * one.entryBytes / 1_000 / ms).toFixed(0);
    console.log(
      one.where.padEnd(6) + String(one.entryBytes / KIB).padStart(5) +
        String(one.entries).padStart(9) + perSecond(one.appendMs).padStart(10) +
        megabytes(one.appendMs).padStart(7) + `${one.windowMs.toFixed(1)} ms`.padStart(16) +
        `${one.recoverMs.toFixed(0)} ms`.padStart(10) + perSecond(one.drainMs).padStart(11) +
        megabytes(one.drainMs).padStart(7),
    );
  }
  const crc = measureCrc(20, KIB * KIB);
  console.log(
    `CRC-32C: four tables ${crc.tables.toFixed(0)} MB/s, byte-wise ${crc.byteWise.toFixed(0)} MB/s`,
  );
}

if (import.meta.main) main(process.argv.slice(2));
