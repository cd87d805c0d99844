/**
 * A process that writes a spool until it is killed; a test's child.
 *
 * Arguments: directory of the spool, journal, proc_id, wall time in ms. The journal gets a line before and after each step, by
 * which the test keeps the books; a dot on standard output tells it that a step is done.
 */
import { appendFileSync, writeSync } from "node:fs";
import process from "node:process";
import { MemoryClock } from "../../src/platform/memory_clock.ts";
import { Spool } from "../../src/node/spool.ts";
import { spoolFilesIn } from "../../src/node/spool_files.ts";
import { makeEntry } from "./spool_books.ts";

/** A line of the journal: an entry is appended, all before is, a batch is stored. */
export type JournalLine =
  | { readonly kind: "appended" }
  | {
    readonly kind: "appending";
    readonly procId: number;
    readonly procSeq: number;
    readonly wallMs: number;
    readonly length: number;
  }
  | { readonly kind: "stored"; readonly entries: readonly [number, number, string][] };

/** Bound of the spool: it overflows now and then. */
export const CHILD_BYTES_MAX = 10_000;
/** A child whose killer is gone ends by itself. */
const STEPS_MAX = 20_000;

function main([directory, journal, procText, wallText]: string[]): void {
  const procId = Number(procText);
  const clock = new MemoryClock({ wallMs: Number(wallText) });
  const note = (line: JournalLine) => appendFileSync(journal, `${JSON.stringify(line)}\n`);
  let seq = 0;
  const spool = new Spool({
    ...{ files: spoolFilesIn(directory), bytesMax: CHILD_BYTES_MAX, procId, clock },
    nextSeq: () => ++seq,
    warn: (message) => writeSync(2, `${message}\n`),
  });
  spool.open();
  for (let step = 0; step < STEPS_MAX; step++) {
    clock.advance(5_000);
    const [procSeq, wallMs, length] = [++seq, clock.wallMs(), 100 + (step % 7) * 300];
    note({ kind: "appending", procId, procSeq, wallMs, length });
    const { meta, text } = makeEntry(procId, procSeq, wallMs, length);
    spool.append(procSeq, meta, new TextEncoder().encode(text));
    note({ kind: "appended" });
    if (step % 3 === 0) spool.sync();
    if (step % 40 < 20) upload(spool, note);
    writeSync(1, ".");
  }
}

function upload(spool: Spool, note: (line: JournalLine) => void): void {
  const batch = spool.offer(2, 100_000);
  if (batch === null) return;
  const decoder = new TextDecoder();
  note({
    kind: "stored",
    entries: batch.entries.map(({ procId, procSeq, bytes }) => [
      ...[procId, procSeq] as const,
      decoder.decode(bytes),
    ]),
  });
  spool.delivered(batch);
}

if (import.meta.main) main(process.argv.slice(2));
