/**
 * Decoded rows of a reader, kept for its next scan: pages ask for the same stretch of time again and again.
 *
 * Guarantees: bounded in bytes, those used longest ago go first; a name means one thing for ever, for numbers on disk are
 * never given out twice.
 */
import { ROW_BYTES, type RowColumns } from "../rows.ts";

/** What is kept. */
interface Decoded {
  readonly columns: RowColumns;
}

/** What stands around columns. */
const COLUMNS_BYTES = 2_048;
const BEYOND_BYTES = 100;

/** See file header. */
export class SegmentCache<T extends Decoded> {
  readonly #bytesMax: number;
  readonly #kept = new Map<string, T>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Returns what `name` means, from memory or by `decode`. */
  get(name: string, decode: () => T): T {
    const known = this.#kept.get(name);
    if (known !== undefined) {
      this.#kept.delete(name);
      this.#kept.set(name, known);
      return known;
    }
    const made = decode();
    this.#kept.set(name, made);
    this.#bytes += bytesOf(made);
    for (const [oldest, value] of this.#kept) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#kept.delete(oldest);
      this.#bytes -= bytesOf(value);
    }
    return made;
  }
}

function bytesOf({ columns }: Decoded): number {
  return columns.src.length * ROW_BYTES + columns.beyond.size * BEYOND_BYTES + COLUMNS_BYTES;
}
