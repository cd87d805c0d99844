/**
 * Rows that are copied, counted together and summed, exactly.
 *
 * In and out: RowColumns. Guarantees: counters are exact whatever their size: up to 2^53 - 1 in their columns, above in
 * `beyond` as well.
 */
import { CLASS_NAMES, type ClassSums, type TrafficSums } from "../../counters.ts";
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
function totalsOf(columns: RowColumns): RowColumns {
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
function noSums(): SumList {
  return new Array<bigint>(SUMS).fill(0n);
}

/** Adds one row to the sums of its class. */
function addRowToSums(sums: SumList, columns: RowColumns, row: number): void {
  const at = columns.classCode[row] * 4;
  for (let counter = 0; counter < 4; counter++) {
    if (columns.counters[counter][row] !== 0) {
      sums[at + counter] += counterOf(columns, row, counter);
    }
  }
}

/** @param of Makes the sums of the class whose first element in a SumList is `at`. */
function byClass(of: (at: number) => TrafficSums): ClassSums {
  return {
    virtual: of(0),
    subnet: of(4),
    exit: of(8),
    unknown: of(12),
    physical: of(16),
  } satisfies Record<(typeof CLASS_NAMES)[number], TrafficSums>;
}

/** Sums by class as a list. */
export function toSumList(sums: ClassSums): SumList {
  return CLASS_NAMES.flatMap((name) => COUNTERS.map((counter) => sums[name][counter]));
}

/**
 * Writes sums as text: `1:120,5:9` says that element 1 is 120, element 5 is 9 and all others are zero. Text, for a blob
 * costs a reader an ArrayBuffer: with thousands of windows that is most of the time and of the memory.
 */
export function sumsText(sums: SumList): string {
  let text = "";
  for (const [index, sum] of sums.entries()) {
    if (sum !== 0n) text += `${text === "" ? "" : ","}${index}:${sum}`;
  }
  return text;
}

/** Digits of which every number is exact in a Float64. */
const EXACT_DIGITS = 15;
const COLON = 0x3a;
const COMMA = 0x2c;
const ZERO = 0x30;

/** What a text says, by element: scratch memory of readSums. */
const near = new Float64Array(SUMS);
/** Elements that need more digits, exactly. */
const far = new Map<number, bigint>();

/** Reads what sumsText wrote into `near` and `far`. */
function readSums(text: string): void {
  near.fill(0);
  if (far.size > 0) far.clear();
  let index = 0;
  let value = 0;
  let start = 0;
  for (let at = 0; at <= text.length; at++) {
    const code = at === text.length ? COMMA : text.charCodeAt(at);
    if (code === COLON) {
      index = value;
      value = 0;
      start = at + 1;
    } else if (code === COMMA) {
      if (at - start > EXACT_DIGITS) {
        const exact = BigInt(text.slice(start, at));
        far.set(index, exact);
        value = Number(exact);
      }
      near[index] = value;
      value = 0;
      start = at + 1;
    } else {
      value = value * 10 + code - ZERO;
    }
  }
}

/** Exact value of an element after readSums. A BigInt is made only where there is something. */
function readSum(index: number): bigint {
  if (near[index] === 0) return 0n;
  return far.get(index) ?? BigInt(near[index]);
}

/** Many sums by class under way, in one buffer: a list of bigints each would be most of the time and memory. */
export class SumPool {
  #values = new Float64Array(SUMS * 256);
  /** Exact values beyond 2^53 - 1, by position; the buffer then holds the nearest number. */
  readonly #beyond = new Map<number, bigint>();
  #count = 0;

  /** Makes sums of zero. @returns Their index. */
  make(): number {
    if ((this.#count + 1) * SUMS > this.#values.length) {
      const values = new Float64Array(this.#values.length * 2);
      values.set(this.#values);
      this.#values = values;
    }
    return this.#count++;
  }

  /** Adds what sumsText wrote. */
  add(index: number, text: string): void {
    readSums(text);
    const start = index * SUMS;
    for (let element = 0; element < SUMS; element++) {
      if (near[element] === 0) continue;
      const at = start + element;
      const sum = this.#values[at] + near[element];
      if (sum <= MAX_SAFE_INTEGER) {
        this.#values[at] = sum;
      } else {
        const exact = this.#exact(at) + readSum(element);
        this.#beyond.set(at, exact);
        this.#values[at] = Number(exact);
      }
    }
  }

  classSums(index: number): ClassSums {
    return byClass((first) => {
      const at = index * SUMS + first;
      const values = this.#values;
      if (
        values[at] === 0 && values[at + 1] === 0 && values[at + 2] === 0 && values[at + 3] === 0
      ) {
        return NO_SUMS.virtual;
      }
      return {
        txPackets: this.#exact(at),
        txBytes: this.#exact(at + 1),
        rxPackets: this.#exact(at + 2),
        rxBytes: this.#exact(at + 3),
      };
    });
  }

  #exact(at: number): bigint {
    const value = this.#values[at];
    if (value <= MAX_SAFE_INTEGER) return value === 0 ? 0n : BigInt(value);
    return this.#beyond.get(at)!;
  }
}

/** Reads what sumsText wrote. */
export function parseSums(text: string): ClassSums {
  readSums(text);
  return byClass((at) =>
    near[at] === 0 && near[at + 1] === 0 && near[at + 2] === 0 && near[at + 3] === 0
      ? NO_SUMS.virtual
      : {
        txPackets: readSum(at),
        txBytes: readSum(at + 1),
        rxPackets: readSum(at + 2),
        rxBytes: readSum(at + 3),
      }
  );
}

/** Sums rows by stream and class, as text: a line `stream=sums` for each stream. */
export function totalsText(columns: RowColumns): string {
  const totals = totalsOf(columns);
  const byStream = new Map<number, SumList>();
  for (let row = 0; row < totals.count; row++) {
    const stream = totals.stream[row];
    let sums = byStream.get(stream);
    if (sums === undefined) byStream.set(stream, sums = noSums());
    addRowToSums(sums, totals, row);
  }
  return [...byStream].map(([stream, sums]) => `${stream}=${sumsText(sums)}`).join("\n");
}
