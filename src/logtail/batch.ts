/**
 * Framing of entries in one request: `[{...}\n,{...}\n]` (SPEC 2.4, 2.5).
 *
 * In: entries with their newlines. Out: the body. A body ends before it would grow beyond the limit, unless its first
 * entry alone does: the original looks before each append and may go to nearly twice the limit, which the service
 * takes too, but smaller bodies cost nothing here.
 */
import { ENTRY_BYTES_MAX } from "./entry.ts";

/** Body beyond which nothing is added, before compression. */
export const BATCH_BYTES_MAX = ENTRY_BYTES_MAX;
/** Entries of one batch: each may have to be named alone in a gap record, which must stay far below an entry's limit. */
export const BATCH_ENTRIES_MAX = 128;
/** A body up to this length goes as it is (SPEC 2.6). */
export const COMPRESS_BODY_BYTES_MIN = 257;
/** What compression must save at least; else the body goes as it is (SPEC 2.6). */
export const COMPRESS_SAVED_BYTES_MIN = 65;

const OPEN = 0x5b;
const COMMA = 0x2c;
const CLOSE = 0x5d;

/** Collects entries of one body up to its limits. */
export class BatchSize {
  #bodyBytes = 2;
  #entries = 0;

  /** @param entriesMax At least 1. */
  constructor(readonly entriesMax: number, readonly bodyBytesMax: number = BATCH_BYTES_MAX) {}

  /** Whether an entry of this length still has room; the first always has. */
  takes(entryBytes: number): boolean {
    if (this.#entries === 0) return true;
    return this.#entries < this.entriesMax &&
      this.#bodyBytes + 1 + entryBytes <= this.bodyBytesMax;
  }

  /** Counts an entry that was taken. */
  add(entryBytes: number): void {
    this.#bodyBytes += entryBytes + (this.#entries === 0 ? 0 : 1);
    this.#entries++;
  }

  /** Length of the body so far. */
  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  /** Entries so far. */
  get entries(): number {
    return this.#entries;
  }
}

/**
 * Writes the body of a request.
 * @param entries At least one, each with its newline; copied.
 */
export function frameBatch(entries: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  // Brackets, entries, and a comma between each two of them.
  const length = entries.reduce((sum, entry) => sum + entry.length + 1, 1);
  const body = new Uint8Array(length);
  let offset = 0;
  for (const entry of entries) {
    body[offset] = offset === 0 ? OPEN : COMMA;
    body.set(entry, offset + 1);
    offset += entry.length + 1;
  }
  body[offset] = CLOSE;
  return body;
}
