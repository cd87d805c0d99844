/**
 * Rows of a batch while it grows.
 *
 * In: rows, one by one. Out: RowColumns. Arrays are kept from batch to batch: a commit reads them and is done with them.
 */
import { COUNTERS, makeColumns, type RowColumns } from "../rows.ts";

/** Rows that there is room for at first, and to which an unusually large list shrinks again. */
const ROWS_FIRST = 16_384;
const ROWS_KEPT_MAX = 524_288;

/** See file header. */
export class RowList {
  #columns = makeColumns(ROWS_FIRST);
  #room = ROWS_FIRST;

  /** The rows so far. Another object after each reserve(). */
  get columns(): RowColumns {
    return this.#columns;
  }

  /** How many. */
  get count(): number {
    return this.#columns.count;
  }

  /** Makes room for one more row, whose number it returns; all of its columns must be set. */
  add(): number {
    if (this.#columns.count === this.#room) this.#grow();
    return this.#columns.count++;
  }

  /** Takes back the rows from `count` on. */
  truncate(count: number): void {
    const columns = this.#columns;
    if (columns.beyond.size > 0) {
      for (const key of columns.beyond.keys()) {
        if (key >= count * COUNTERS.length) columns.beyond.delete(key);
      }
    }
    columns.count = count;
  }

  /** Forgets all. */
  clear(): void {
    if (this.#room > ROWS_KEPT_MAX) {
      this.#columns = makeColumns(ROWS_FIRST);
      this.#room = ROWS_FIRST;
      return;
    }
    this.#columns.count = 0;
    this.#columns.beyond.clear();
  }

  /** Adds rows `first` .. `first + count - 1` once more, for another stream. @returns Number of the first. */
  copy(first: number, count: number, stream: number): number {
    const copied = this.#columns.count;
    while (this.#room < copied + count) this.#grow();
    const columns = this.#columns;
    const copyWithin = (array: Uint8Array | Uint16Array | Uint32Array | Float64Array): void => {
      array.copyWithin(copied, first, first + count);
    };
    const { classCode, proto, flags, src, dst, srcPort, dstPort, counters, beyond } = columns;
    for (const array of [classCode, proto, flags, src, dst, srcPort, dstPort, ...counters]) {
      copyWithin(array);
    }
    columns.stream.fill(stream, copied, copied + count);
    if (beyond.size > 0) {
      const width = COUNTERS.length;
      for (const [key, value] of [...beyond]) {
        const row = Math.floor(key / width);
        if (row >= first && row < first + count) beyond.set(key + (copied - first) * width, value);
      }
    }
    columns.count = copied + count;
    return copied;
  }

  #grow(): void {
    const old = this.#columns;
    this.#room *= 2;
    const columns = makeColumns(this.#room);
    columns.stream.set(old.stream);
    columns.classCode.set(old.classCode);
    columns.proto.set(old.proto);
    columns.flags.set(old.flags);
    columns.src.set(old.src);
    columns.dst.set(old.dst);
    columns.srcPort.set(old.srcPort);
    columns.dstPort.set(old.dstPort);
    for (const [index, counter] of columns.counters.entries()) counter.set(old.counters[index]);
    for (const [key, value] of old.beyond) columns.beyond.set(key, value);
    columns.count = old.count;
    this.#columns = columns;
  }
}
