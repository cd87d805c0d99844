/**
 * Raw segments: the rows of one commit with a directory of the windows that they belong to.
 *
 * In and out: rows in columns, stretches of them that share a window. Not here: compression (blob.ts).
 */
import type { RowColumns } from "../rows.ts";
import { StoreError } from "../store.ts";
import { decodeColumns, encodeColumns } from "./column_codec.ts";

/** Rows `first` .. `first + count - 1` of a segment, which are of one window. */
export interface Stretch {
  /** Window's start and end, Unix ms, rounded up. */
  readonly startMs: number;
  readonly endMs: number;
  readonly first: number;
  readonly count: number;
}

/** What a segment holds. */
export interface Segment {
  readonly stretches: readonly Stretch[];
  readonly columns: RowColumns;
}

/** Two Float64 and the count; firsts follow from the counts. */
const STRETCH_BYTES = 20;

/**
 * Encodes a segment. Stretches must follow one another without holes.
 * @returns A view that is valid until rows are encoded again.
 */
export function encodeSegment({ stretches, columns }: Segment): Uint8Array {
  const head = new Uint8Array(4 + stretches.length * STRETCH_BYTES);
  const view = new DataView(head.buffer);
  view.setUint32(0, stretches.length, true);
  for (const [index, { startMs, endMs, count }] of stretches.entries()) {
    const at = 4 + index * STRETCH_BYTES;
    view.setFloat64(at, startMs, true);
    view.setFloat64(at + 8, endMs, true);
    view.setUint32(at + 16, count, true);
  }
  return encodeColumns(columns, head);
}

/** Decodes what encodeSegment wrote. @throws {StoreError} `damaged`. */
export function decodeSegment(bytes: Uint8Array): Segment {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 4 ? 0 : view.getUint32(0, true);
  const start = 4 + length * STRETCH_BYTES;
  if (start > bytes.length) throw damaged();
  const columns = decodeColumns(bytes, start);
  const stretches: Stretch[] = [];
  let first = 0;
  for (let at = 4; at < start; at += STRETCH_BYTES) {
    const count = view.getUint32(at + 16, true);
    stretches.push({
      startMs: view.getFloat64(at, true),
      endMs: view.getFloat64(at + 8, true),
      first,
      count,
    });
    first += count;
  }
  if (first !== columns.count) throw damaged();
  return { stretches, columns };
}

function damaged(): StoreError {
  return new StoreError("damaged", "Cannot read rows of the store: the directory is damaged");
}
