/**
 * Columns of rows as bytes, and back.
 *
 * Each column takes as many bytes a row as its greatest value needs, none where all are equal, and its bytes lie by
 * significance: all lowest ones, then all next ones. That makes columns a third as long before compression, and what is
 * alike stands together for it (docs/design/0006-collector-store.md).
 * In and out: RowColumns. Guarantees: decoding what was encoded gives the same rows, exactly; other bytes are refused.
 */
import { makeColumns, type RowColumns } from "../rows.ts";
import { StoreError } from "../store.ts";

/** Set in a column's first byte iff all rows have the value behind it. */
const SAME = 0x80;
const WIDTH_MASK = 0x0f;
const U32 = 2 ** 32;
/** Bytes of one exact value: sums of 2^64 - 1 fit many times over. */
const BEYOND_BYTES = 16;
const BEYOND_ENTRY_BYTES = 4 + BEYOND_BYTES;
const COLUMNS = 12;
/** Bytes of a row whose every value needs all its bytes. */
const ROW_BYTES_MAX = 4 * 8 + 3 * 4 + 2 * 2 + 3;
/** Memory that is kept from call to call whatever the need. */
const OUTPUT_BYTES_KEPT = 1 << 20;
const NO_HEAD = new Uint8Array(0);
/** Most rows that a header may claim. */
const ROWS_MAX = 1 << 24;

/** Rows at a time: scratch memory of this module, the lower and upper words of one column. */
let low = new Uint32Array(4_096);
let high = new Uint32Array(4_096);

function reserve(rows: number): void {
  if (low.length >= rows && low.length <= Math.max(rows * 8, 1 << 16)) return;
  low = new Uint32Array(Math.max(rows, 4_096));
  high = new Uint32Array(Math.max(rows, 4_096));
}

/** The columns in their order on disk. */
function columnsOf(columns: RowColumns): (Uint8Array | Uint16Array | Uint32Array | Float64Array)[] {
  return [
    columns.stream,
    columns.classCode,
    columns.proto,
    columns.flags,
    columns.src,
    columns.dst,
    columns.srcPort,
    columns.dstPort,
    ...columns.counters,
  ];
}

/** What encodeColumns writes to, used again: a buffer for each commit would be most of the garbage. */
let output = new Uint8Array(1 << 16);

/**
 * Encodes rows 0 .. count - 1.
 * @param head Bytes that come first.
 * @returns A view that is valid until the next call.
 */
export function encodeColumns(columns: RowColumns, head: Uint8Array = NO_HEAD): Uint8Array {
  const { count, beyond } = columns;
  reserve(count);
  const lengthMax = head.length + 8 + COLUMNS * 9 + count * ROW_BYTES_MAX +
    beyond.size * BEYOND_ENTRY_BYTES;
  if (output.length < lengthMax || output.length > lengthMax * 8 + OUTPUT_BYTES_KEPT) {
    output = new Uint8Array(lengthMax);
  }
  const bytes = output;
  const view = new DataView(bytes.buffer);
  bytes.set(head);
  view.setUint32(head.length, count, true);
  let at = head.length + 4;
  for (const [index, column] of columnsOf(columns).entries()) {
    low.set(column.subarray(0, count));
    const hasHigh = column instanceof Float64Array &&
      splitHigh(column, count, beyond, index - COLUMNS + 4);
    at = encodeWords(bytes, at, count, hasHigh);
  }
  view.setUint32(at, beyond.size, true);
  at += 4;
  for (const [key, value] of beyond) {
    view.setUint32(at, key, true);
    view.setBigUint64(at + 4, BigInt.asUintN(64, value), true);
    view.setBigUint64(at + 12, value >> 64n, true);
    at += BEYOND_ENTRY_BYTES;
  }
  return bytes.subarray(0, at);
}

/** Writes the upper words of a column. @returns Whether any is not zero. */
function splitHigh(
  column: Float64Array,
  count: number,
  beyond: RowColumns["beyond"],
  counter: number,
): boolean {
  let max = 0;
  for (let row = 0; row < count; row++) if (column[row] > max) max = column[row];
  if (max < U32) return false;
  for (let row = 0; row < count; row++) high[row] = Math.floor(column[row] / U32);
  // Their exact values stand apart; the nearest number may need 65 bits.
  for (const key of beyond.keys()) {
    if ((key & 3) !== counter) continue;
    low[key >>> 2] = 0;
    high[key >>> 2] = 0;
  }
  return true;
}

/** Encodes the column in `low` and `high`. @returns Offset behind it. */
function encodeWords(bytes: Uint8Array, start: number, count: number, hasHigh: boolean): number {
  const lowBits = bitsOf(low, count);
  const highBits = hasHigh ? bitsOf(high, count) : NO_BITS;
  const isSame = lowBits.varying === 0 && highBits.varying === 0;
  const width = highBits.any !== 0 ? 4 + bytesOf(highBits.any) : bytesOf(lowBits.any);
  bytes[start] = (isSame ? SAME : 0) | width;
  let at = start + 1;
  for (let plane = 0; plane < width; plane++) {
    const words = plane < 4 ? low : high;
    const shift = (plane & 3) * 8;
    const rows = isSame ? 1 : count;
    for (let row = 0; row < rows; row++) bytes[at + row] = words[row] >>> shift;
    at += rows;
  }
  return at;
}

const NO_BITS = { any: 0, varying: 0 };

/** Bits that some row has set, and bits in which rows differ. */
function bitsOf(words: Uint32Array, count: number): { any: number; varying: number } {
  const first = count === 0 ? 0 : words[0];
  let any = 0;
  let varying = 0;
  for (let row = 0; row < count; row++) {
    const word = words[row];
    any |= word;
    varying |= word ^ first;
  }
  return { any, varying };
}

/** Bytes that a word needs. */
function bytesOf(word: number): number {
  return word === 0 ? 0 : 4 - (Math.clz32(word) >>> 3);
}

/**
 * Decodes what encodeColumns wrote.
 * @param bytes Holds the columns from `offset` to its end.
 * @throws {StoreError} `damaged`.
 */
export function decodeColumns(bytes: Uint8Array, offset: number): RowColumns {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return decode(bytes, view, offset);
  } catch (error) {
    if (error instanceof RangeError) throw damaged(error);
    throw error;
  }
}

function decode(bytes: Uint8Array, view: DataView, offset: number): RowColumns {
  const count = view.getUint32(offset, true);
  if (count > ROWS_MAX) throw damaged();
  const columns = makeColumns(count);
  columns.count = count;
  reserve(count);
  let at = offset + 4;
  for (const column of columnsOf(columns)) {
    const width = view.getUint8(at) & WIDTH_MASK;
    const rows = (bytes[at] & SAME) !== 0 ? 1 : count;
    const end = at + 1 + width * rows;
    if (width > 8 || end > bytes.length || (width > 4 && !(column instanceof Float64Array))) {
      throw damaged();
    }
    if (rows === 1) column.fill(decodeOne(bytes, at + 1, width));
    else decodeColumn(bytes, at + 1, width, count, column);
    at = end;
  }
  decodeBeyond(view, at, columns);
  return columns;
}

function decodeOne(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let plane = width - 1; plane >= 0; plane--) value = value * 256 + bytes[at + plane];
  return value;
}

function decodeColumn(
  bytes: Uint8Array,
  at: number,
  width: number,
  count: number,
  column: Uint8Array | Uint16Array | Uint32Array | Float64Array,
): void {
  if (width === 0) return;
  if (width === 1) {
    column.set(bytes.subarray(at, at + count));
    return;
  }
  const words = column instanceof Uint32Array ? column : low;
  decodeWords(bytes, at, Math.min(width, 4), count, words);
  if (words !== column) column.set(low.subarray(0, count));
  if (width <= 4) return;
  decodeWords(bytes, at + 4 * count, width - 4, count, high);
  for (let row = 0; row < count; row++) column[row] += high[row] * U32;
}

function decodeWords(
  bytes: Uint8Array,
  at: number,
  width: number,
  count: number,
  words: Uint32Array,
): void {
  const second = at + count;
  const third = second + count;
  const fourth = third + count;
  if (width === 1) {
    words.set(bytes.subarray(at, second));
  } else if (width === 2) {
    for (let row = 0; row < count; row++) words[row] = bytes[at + row] | bytes[second + row] << 8;
  } else if (width === 3) {
    for (let row = 0; row < count; row++) {
      words[row] = bytes[at + row] | bytes[second + row] << 8 | bytes[third + row] << 16;
    }
  } else {
    for (let row = 0; row < count; row++) {
      words[row] = bytes[at + row] | bytes[second + row] << 8 | bytes[third + row] << 16 |
        bytes[fourth + row] << 24;
    }
  }
}

function decodeBeyond(view: DataView, start: number, columns: RowColumns): void {
  const entries = view.getUint32(start, true);
  if (start + 4 + entries * BEYOND_ENTRY_BYTES !== view.byteLength) throw damaged();
  for (let entry = 0; entry < entries; entry++) {
    const at = start + 4 + entry * BEYOND_ENTRY_BYTES;
    const key = view.getUint32(at, true);
    if (key >= columns.count * 4) throw damaged();
    const value = view.getBigUint64(at + 4, true) | view.getBigUint64(at + 12, true) << 64n;
    columns.beyond.set(key, value);
    columns.counters[key & 3][key >>> 2] = Number(value);
  }
}

function damaged(cause?: unknown): StoreError {
  return new StoreError("damaged", "Cannot read rows of the store: columns are damaged", cause);
}
