/**
 * Rows of the flow log in columns: the one form in which the collector keeps, filters and sums them.
 *
 * A row is one connection in one window, or, in a roll-up, all windows of a bucket. Addresses are numbers of the store's
 * dictionary. Counters are Float64, exact to 2^53; the few beyond stand exactly in `beyond`.
 */

/** Set in RowColumns.flags iff the row stands for several connections. */
export const ROW_FOLDED = 1;

/** Counters of a row, in the order of RowColumns.counters and of `beyond`. */
export const COUNTERS = ["txPackets", "txBytes", "rxPackets", "rxBytes"] as const;

/** Columns; row n is element n of each. Arrays may be longer than `count`. */
export interface RowColumns {
  count: number;
  /** Number of the stream that reported the row. */
  stream: Uint32Array;
  /** Index in CLASS_NAMES (counters.ts). */
  classCode: Uint8Array;
  proto: Uint8Array;
  /** ROW_*. */
  flags: Uint8Array;
  /** Dictionary numbers; 0 = no address. */
  src: Uint32Array;
  dst: Uint32Array;
  /** 0 in roll-ups, which do not keep it. */
  srcPort: Uint16Array;
  dstPort: Uint16Array;
  /** By index in COUNTERS. */
  counters: readonly [Float64Array, Float64Array, Float64Array, Float64Array];
  /** Exact values beyond 2^53, by row * 4 + index in COUNTERS; the column then holds the nearest number. */
  beyond: Map<number, bigint>;
}

/** Makes columns with room for `rows`. They share one buffer: twelve would cost more than what they hold is worth. */
export function makeColumns(rows: number): RowColumns {
  // Those with the widest elements first, so that each begins where it may.
  const buffer = new ArrayBuffer(rows * ROW_BYTES);
  let at = 0;
  const next = (bytes: number) => (at += rows * bytes) - rows * bytes;
  const counter = () => new Float64Array(buffer, next(8), rows);
  return {
    count: 0,
    counters: [counter(), counter(), counter(), counter()],
    stream: new Uint32Array(buffer, next(4), rows),
    src: new Uint32Array(buffer, next(4), rows),
    dst: new Uint32Array(buffer, next(4), rows),
    srcPort: new Uint16Array(buffer, next(2), rows),
    dstPort: new Uint16Array(buffer, next(2), rows),
    classCode: new Uint8Array(buffer, next(1), rows),
    proto: new Uint8Array(buffer, next(1), rows),
    flags: new Uint8Array(buffer, next(1), rows),
    beyond: new Map(),
  };
}

/** Bytes of one row in all columns. */
export const ROW_BYTES = 4 * 8 + 3 * 4 + 2 * 2 + 3;
