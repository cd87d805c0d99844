/**
 * Holds the flow log's entries until the collector has them.
 *
 * In: entries with what they are about. Out: batches to upload, gap records first; what is lost is declared in gap records.
 */
import type { ClassSums } from "../counters.ts";
import {
  addSums,
  entryLine,
  GAP_CAUSES,
  type GapCause,
  gapText,
  type LostRange,
  NO_SUMS,
} from "../logtail/mod.ts";
import { addLost, BatchSize } from "../logtail/mod.ts";
import type { ClockPort } from "../ports.ts";
import { nsOfWallMs } from "../time_text.ts";
import type { SpoolFiles } from "./spool_files.ts";
import type { EntryMeta } from "./spool_record.ts";

/** One entry to upload. */
export interface SpoolEntry {
  readonly procId: number;
  readonly procSeq: number;
  /** One JSON object and its newline. */
  readonly bytes: Uint8Array;
}

/** Entries to upload in one request. */
export interface SpoolBatch {
  readonly entries: readonly SpoolEntry[];
}

/** What was lost for one cause since the spool was opened. */
export interface SpoolLoss {
  readonly entries: number;
  /** What is known of their traffic. */
  readonly sums: ClassSums;
  /** Whether all of it is known. */
  readonly complete: boolean;
}

/** How a spool is. */
export interface SpoolStatus {
  /** Entries that wait, gap records included. */
  readonly entries: number;
  /** Bytes that they take. */
  readonly bytes: number;
  /** Where new entries go. */
  readonly where: "disk" | "memory";
  /** What failed last on the disk, while it does; null = nothing. */
  readonly lastError: string | null;
  readonly lost: Readonly<Record<GapCause, SpoolLoss>>;
}

/** What a spool is made of. */
export interface SpoolOptions {
  /** null = memory only. */
  readonly files: SpoolFiles | null;
  /** Bound of all segments. */
  readonly bytesMax: number;
  /** Of this process. */
  readonly procId: number;
  /** Next proc_seq of this process, for gap records. */
  readonly nextSeq: () => number;
  readonly clock: ClockPort;
  readonly warn: (message: string) => void;
}

interface Waiting {
  readonly entry: SpoolEntry;
  readonly meta: EntryMeta;
  offered: boolean;
}

/** See file header. */
export class Spool {
  readonly #options: SpoolOptions;
  #waiting: Waiting[] = [];
  #inFlight: Waiting[] = [];
  #gap: SpoolEntry | null = null;
  #lost: LostRange[] = [];
  #losses = Object.fromEntries(
    GAP_CAUSES.map((cause) => [cause, { entries: 0, sums: NO_SUMS, complete: true }]),
  ) as Record<GapCause, SpoolLoss>;
  #bytes = 0;

  constructor(options: SpoolOptions) {
    this.#options = options;
  }

  /** Takes over what a former process left. */
  open(): void {}

  /** Keeps an entry. Never throws. */
  append(procSeq: number, meta: EntryMeta, entry: Uint8Array): void {
    const bytes = entry.slice();
    this.#waiting.push({
      entry: { procId: this.#options.procId, procSeq, bytes },
      meta,
      offered: false,
    });
    this.#bytes += bytes.length;
    while (this.#bytes > this.#options.bytesMax) {
      const index = this.#inFlight.length < this.#waiting.length ? this.#inFlight.length : 0;
      this.#lose(this.#waiting[index], "full");
    }
  }

  /** Returns what to upload next; the same until it is settled. */
  offer(entriesMax: number, bodyBytesMax: number): SpoolBatch | null {
    if (this.#gap === null && this.#lost.length > 0) this.#freeze();
    if (this.#gap !== null) return { entries: [this.#gap] };
    const size = new BatchSize(entriesMax, bodyBytesMax);
    const from = this.#inFlight.length > 0 ? this.#inFlight : this.#waiting;
    const batch: Waiting[] = [];
    for (const item of from) {
      if (!size.takes(item.entry.bytes.length)) break;
      size.add(item.entry.bytes.length);
      item.offered = true;
      batch.push(item);
    }
    this.#inFlight = batch;
    return batch.length === 0 ? null : { entries: batch.map(({ entry }) => entry) };
  }

  /** Forgets what the collector has. */
  delivered(batch: SpoolBatch): void {
    for (const entry of batch.entries) {
      if (entry === this.#gap) this.#gap = null;
      else this.#forget(entry);
    }
    this.#inFlight = [];
  }

  /** Sets aside what the collector refuses for good. */
  setAside(batch: SpoolBatch, cause: "refused" | "tooLarge"): void {
    for (const entry of batch.entries) {
      const item = this.#waiting.find((waiting) => waiting.entry === entry);
      if (item !== undefined) this.#lose(item, cause);
    }
    this.#inFlight = [];
  }

  /** Has what was appended survive a power failure. */
  sync(): void {}

  /** Ends. @returns Entries that wait for the next start. */
  close(): number {
    return 0;
  }

  /** Tells how it is. */
  status(): SpoolStatus {
    const gaps = this.#gap !== null || this.#lost.length > 0 ? 1 : 0;
    return {
      entries: this.#waiting.length + gaps,
      bytes: this.#bytes,
      where: "memory",
      lastError: null,
      lost: this.#losses,
    };
  }

  #forget(entry: SpoolEntry): void {
    const index = this.#waiting.findIndex((waiting) => waiting.entry === entry);
    if (index < 0) return;
    this.#waiting.splice(index, 1);
    this.#bytes -= entry.bytes.length;
  }

  #lose(item: Waiting, cause: GapCause): void {
    this.#forget(item.entry);
    const { procId, procSeq } = item.entry;
    const { startNs, endNs, sums } = item.meta;
    const { offered } = item;
    this.#lost = addLost(this.#lost, {
      ...{ cause, procId, firstSeq: procSeq, lastSeq: procSeq, entries: 1, startNs, endNs, sums },
      offered,
    });
    const { entries, sums: before, complete } = this.#losses[cause];
    this.#losses[cause] = { entries: entries + 1, sums: addSums(before, sums), complete };
  }

  #freeze(): void {
    const { procId, nextSeq, clock } = this.#options;
    const procSeq = nextSeq();
    const clientTimeNs = nsOfWallMs(clock.wallMs());
    const line = entryLine(gapText(this.#lost), { clientTimeNs, procId, procSeq });
    this.#gap = { procId, procSeq, bytes: new TextEncoder().encode(line) };
    this.#lost = [];
  }
}
