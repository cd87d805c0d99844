/**
 * What one process writes into a log stream.
 *
 * In: objects and texts. Out: entries in the spool, each with its time, this process's number and its own number within the
 * process, by which readers find gaps and repetitions (SPEC 2.3). Guarantees: numbers rise by one for each entry, also for
 * ones that are lost later. Not here: encoding (logtail), keeping (spool.ts), sending (delivery.ts).
 */
import { encodeEntry, encodeObjectEntry, type EntryMetadata, NO_SUMS } from "../logtail/mod.ts";
import type { ClockPort } from "../ports.ts";
import { nsOfWallMs } from "../time_text.ts";
import type { EntryMeta } from "./spool_record.ts";

/** What a stream is made of. */
export interface LogStreamOptions {
  /** See makeProcId. */
  readonly procId: number;
  readonly clock: ClockPort;
  /** Spool.append. The spool asks this stream for numbers of its own, so it may be made later. */
  readonly append: (procSeq: number, meta: EntryMeta, entry: Uint8Array) => void;
}

/** See file header. */
export class LogStream {
  readonly #options: LogStreamOptions;
  #lastSeq = 0;

  constructor(options: LogStreamOptions) {
    this.#options = options;
  }

  /** See LogStreamOptions. */
  get procId(): number {
    return this.#options.procId;
  }

  /** Takes the next number, from 1: for an entry that is written elsewhere. */
  nextSeq(): number {
    return ++this.#lastSeq;
  }

  /**
   * Writes an object of our own.
   * @param object As encodeObjectEntry wants it; copied.
   * @param meta Its window and traffic, by which it is declared if it is lost.
   */
  writeObject(object: Uint8Array, meta: EntryMeta): void {
    const metadata = this.#metadata();
    this.#options.append(metadata.procSeq, meta, encodeObjectEntry(object, metadata));
  }

  /** Writes a text, or whatever JSON it turns out to be; empty text is not written. */
  writeText(text: string): void {
    if (text === "") return;
    const metadata = this.#metadata();
    const { clientTimeNs: nowNs, procSeq } = metadata;
    const entry = encodeEntry(text, metadata);
    if (entry !== null) {
      this.#options.append(procSeq, { startNs: nowNs, endNs: nowNs, sums: NO_SUMS }, entry);
    }
  }

  #metadata(): Required<Pick<EntryMetadata, "clientTimeNs" | "procId" | "procSeq">> {
    const { procId, clock } = this.#options;
    return { clientTimeNs: nsOfWallMs(clock.wallMs()), procId, procSeq: this.nextSeq() };
  }
}
