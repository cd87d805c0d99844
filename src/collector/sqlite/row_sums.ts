/**
 * Rows that are copied, counted together and summed, exactly.
 *
 * In and out: RowColumns. Guarantees: counters are exact whatever their size: up to 2^53 - 1 in their columns, above in
 * `beyond` as well.
 */
import { CLASS_NAMES, type ClassSums } from "../../counters.ts";
import { NO_SUMS } from "../../logtail/mod.ts";
import { COUNTERS, makeColumns, type RowColumns } from "../rows.ts";

const { MAX_SAFE_INTEGER } = Number;

/** Counters of all classes: index is class * 4 + index in COUNTERS. */
export type SumList = bigint[];

/** Number of elements of a SumList. */
export const SUMS = CLASS_NAMES.length * COUNTERS.length;

/** Exact value of one counter. */
export function counterOf(columns: RowColumns, row: number, counter: number): bigint {
  return columns.beyond.get(row * 4 + counter) ?? BigInt(columns.counters[counter][row]);
}

/** Adds the counters of one row to those of a row of `target`. */
export function addCounters(
  target: RowColumns,
  targetRow: number,
  source: RowColumns,
  sourceRow: number,
): void {
  for (let counter = 0; counter < 4; counter++) {
    const column = target.counters[counter];
    const sum = column[targetRow] + source.counters[counter][sourceRow];
    // A sum that is too great to be exact is never rounded to one that is not: 2^53 + 1 becomes 2^53.
    if (sum <= MAX_SAFE_INTEGER) {
      column[targetRow] = sum;
    } else {
      const exact = counterOf(target, targetRow, counter) + counterOf(source, sourceRow, counter);
      target.beyond.set(targetRow * 4 + counter, exact);
      column[targetRow] = Number(exact);
    }
  }
}

/** Appends rows `first` .. `first + count - 1` of `source` to `target`, which has the room. */
export function appendRows(
  target: RowColumns,
  source: RowColumns,
  first: number,
  count: number,
): void {
  const at = target.count;
  const end = first + count;
  target.stream.set(source.stream.subarray(first, end), at);
  target.classCode.set(source.classCode.subarray(first, end), at);
  target.proto.set(source.proto.subarray(first, end), at);
  target.flags.set(source.flags.subarray(first, end), at);
  target.src.set(source.src.subarray(first, end), at);
  target.dst.set(source.dst.subarray(first, end), at);
  target.srcPort.set(source.srcPort.subarray(first, end), at);
  target.dstPort.set(source.dstPort.subarray(first, end), at);
  for (let counter = 0; counter < 4; counter++) {
    target.counters[counter].set(source.counters[counter].subarray(first, end), at);
  }
  for (const [key, value] of source.beyond) {
    if (key >= first * 4 && key < end * 4) target.beyond.set(key + (at - first) * 4, value);
  }
  target.count = at + count;
}

/** Makes columns of those rows of `source` that `rows` names, in its order. */
export function gatherRows(source: RowColumns, rows: Uint32Array): RowColumns {
  const target = makeColumns(rows.length);
  target.count = rows.length;
  gatherWords(target.stream, source.stream, rows);
  gatherWords(target.src, source.src, rows);
  gatherWords(target.dst, source.dst, rows);
  for (let at = 0; at < rows.length; at++) {
    const row = rows[at];
    target.classCode[at] = source.classCode[row];
    target.proto[at] = source.proto[row];
    target.flags[at] = source.flags[row];
    target.srcPort[at] = source.srcPort[row];
    target.dstPort[at] = source.dstPort[row];
  }
  for (let counter = 0; counter < 4; counter++) {
    const to = target.counters[counter];
    const from = source.counters[counter];
    for (let at = 0; at < rows.length; at++) to[at] = from[rows[at]];
  }
  if (source.beyond.size > 0) gatherBeyond(target, source, rows);
  return target;
}

function gatherWords(target: Uint32Array, source: Uint32Array, rows: Uint32Array): void {
  for (let at = 0; at < rows.length; at++) target[at] = source[rows[at]];
}

function gatherBeyond(target: RowColumns, source: RowColumns, rows: Uint32Array): void {
  for (let at = 0; at < rows.length; at++) {
    for (let counter = 0; counter < 4; counter++) {
      const exact = source.beyond.get(rows[at] * 4 + counter);
      if (exact !== undefined) target.beyond.set(at * 4 + counter, exact);
    }
  }
}

/** Sums rows by stream and class: one row each, without addresses. */
export function totalsOf(columns: RowColumns): RowColumns {
  const rowByKey = new Map<number, number>();
  const keys: number[] = [];
  const rowOf = new Uint32Array(columns.count);
  let lastKey = -1;
  let lastRow = -1;
  for (let row = 0; row < columns.count; row++) {
    const key = columns.stream[row] * 8 + columns.classCode[row];
    if (key !== lastKey) {
      lastRow = rowByKey.get(key) ?? keys.push(key) - 1;
      rowByKey.set(key, lastRow);
      lastKey = key;
    }
    rowOf[row] = lastRow;
  }
  const totals = makeColumns(keys.length);
  totals.count = keys.length;
  for (const [row, key] of keys.entries()) {
    totals.stream[row] = Math.floor(key / 8);
    totals.classCode[row] = key % 8;
  }
  for (let row = 0; row < columns.count; row++) addCounters(totals, rowOf[row], columns, row);
  return totals;
}

/** Makes a list of zeros. */
export function noSums(): SumList {
  return new Array<bigint>(SUMS).fill(0n);
}

/** Adds one row to the sums of its class. */
export function addRowToSums(sums: SumList, columns: RowColumns, row: number): void {
  const at = columns.classCode[row] * 4;
  for (let counter = 0; counter < 4; counter++) {
    if (columns.counters[counter][row] !== 0) {
      sums[at + counter] += counterOf(columns, row, counter);
    }
  }
}

/** Sums as a record by class. */
export function toClassSums(sums: SumList): ClassSums {
  const named: Record<string, unknown> = { ...NO_SUMS };
  for (const [index, name] of CLASS_NAMES.entries()) {
    const [txPackets, txBytes, rxPackets, rxBytes] = sums.slice(index * 4, index * 4 + 4);
    named[name] = { txPackets, txBytes, rxPackets, rxBytes };
  }
  return named as ClassSums;
}

/** Sums by class as a list. */
export function toSumList(sums: ClassSums): SumList {
  return CLASS_NAMES.flatMap((name) => COUNTERS.map((counter) => sums[name][counter]));
}

/** Writes sums as bytes: index, length and little-endian digits of each that is not zero. */
export function encodeSums(sums: SumList): Uint8Array {
  const bytes: number[] = [];
  for (const [index, sum] of sums.entries()) {
    if (sum === 0n) continue;
    const lengthAt = bytes.push(index, 0) - 1;
    if (sum <= MAX_SAFE_INTEGER) {
      for (let rest = Number(sum); rest > 0; rest = Math.floor(rest / 256)) bytes.push(rest % 256);
    } else {
      for (let rest = sum; rest > 0n; rest >>= 8n) bytes.push(Number(rest & 255n));
    }
    bytes[lengthAt] = bytes.length - lengthAt - 1;
  }
  return Uint8Array.from(bytes);
}

/** Reads what encodeSums wrote and adds it to `sums`. */
export function addEncodedSums(sums: SumList, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const index = bytes[at];
    const length = bytes[at + 1];
    at += 2;
    if (length <= 6) {
      let value = 0;
      for (let digit = length - 1; digit >= 0; digit--) value = value * 256 + bytes[at + digit];
      sums[index] += BigInt(value);
    } else {
      let value = 0n;
      for (let digit = length - 1; digit >= 0; digit--) {
        value = value << 8n | BigInt(bytes[at + digit]);
      }
      sums[index] += value;
    }
    at += length;
  }
}
