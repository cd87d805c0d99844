/**
 * Roll-up in memory: rows of many windows counted together by bucket, stream, class, proto, src, dst and dport.
 *
 * In: rows in columns and the bucket that they belong to. Out: the sums, by bucket. Guarantees: exact; nothing is
 * allocated per row but when the table grows. Addresses and ports are chosen by strangers, so the table is open-addressed
 * under a keyed hash (multilinear, as packet/hash.ts): who does not know the secret cannot make it slow.
 */
import { makeColumns, type RowColumns } from "../rows.ts";
import { addCounters, gatherRows } from "./row_sums.ts";

/** Random words that a table wants. */
export const ROLLUP_SECRET_WORDS = 10;
/** Rows that an empty table has room for. */
const ROWS_MIN = 4_096;
const { imul } = Math;
const { MAX_SAFE_INTEGER } = Number;

/** Rows of one bucket. */
export interface Bucket {
  /** Its inclusive end, Unix ms. */
  readonly endMs: number;
  readonly columns: RowColumns;
}

/** See file header. */
export class RollupTable {
  readonly #secret: Int32Array;
  #columns = makeColumns(ROWS_MIN);
  /** By row: number of its bucket, and its hash. */
  #bucket = new Uint32Array(ROWS_MIN);
  #hash = new Int32Array(ROWS_MIN);
  /** Row + 1; 0 = free. Half full at most. */
  #index = new Int32Array(ROWS_MIN * 2);
  readonly #ends: number[] = [];
  readonly #bucketByEnd = new Map<number, number>();

  /** @param secret ROLLUP_SECRET_WORDS random words. */
  constructor(secret: Uint32Array) {
    this.#secret = Int32Array.from(secret);
  }

  /** Rows, which is to say keys. */
  get count(): number {
    return this.#columns.count;
  }

  /** Buckets that rows were added to. */
  get buckets(): number {
    return this.#ends.length;
  }

  /** Adds rows `first` .. `first + count - 1` to the bucket that ends at `endMs`. */
  add(source: RowColumns, first: number, count: number, endMs: number): void {
    this.#reserve(this.#columns.count + count);
    const bucket = this.#bucketOf(endMs);
    const columns = this.#columns;
    const [txPackets, txBytes, rxPackets, rxBytes] = columns.counters;
    const [txPacketsIn, txBytesIn, rxPacketsIn, rxBytesIn] = source.counters;
    for (let from = first; from < first + count; from++) {
      const row = this.#find(source, from, bucket);
      columns.flags[row] |= source.flags[from];
      const a = txPackets[row] + txPacketsIn[from];
      const b = txBytes[row] + txBytesIn[from];
      const c = rxPackets[row] + rxPacketsIn[from];
      const d = rxBytes[row] + rxBytesIn[from];
      if (a + b + c + d <= MAX_SAFE_INTEGER) {
        txPackets[row] = a;
        txBytes[row] = b;
        rxPackets[row] = c;
        rxBytes[row] = d;
      } else {
        addCounters(columns, row, source, from);
      }
    }
  }

  /** The sums so far. Their order is of no meaning. */
  *contents(): Generator<Bucket> {
    const { count } = this.#columns;
    // Rows by bucket: a counting sort.
    const starts = new Uint32Array(this.#ends.length + 1);
    for (let row = 0; row < count; row++) starts[this.#bucket[row] + 1]++;
    for (let bucket = 0; bucket < this.#ends.length; bucket++) starts[bucket + 1] += starts[bucket];
    const rows = new Uint32Array(count);
    const next = starts.slice();
    for (let row = 0; row < count; row++) rows[next[this.#bucket[row]]++] = row;
    for (const [bucket, endMs] of this.#ends.entries()) {
      const ofBucket = rows.subarray(starts[bucket], starts[bucket + 1]);
      yield { endMs, columns: gatherRows(this.#columns, ofBucket) };
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#columns.beyond.clear();
    this.#columns.count = 0;
    this.#index.fill(0);
    this.#ends.length = 0;
    this.#bucketByEnd.clear();
  }

  #bucketOf(endMs: number): number {
    const known = this.#bucketByEnd.get(endMs);
    if (known !== undefined) return known;
    const bucket = this.#ends.push(endMs) - 1;
    this.#bucketByEnd.set(endMs, bucket);
    return bucket;
  }

  /** Finds the row of a key, or makes it. */
  #find(source: RowColumns, from: number, bucket: number): number {
    const stream = source.stream[from];
    const classCode = source.classCode[from];
    const proto = source.proto[from];
    const src = source.src[from];
    const dst = source.dst[from];
    const dstPort = source.dstPort[from];
    const hash = this.#hashOf(stream, bucket, src, dst, dstPort << 16 | classCode << 8 | proto);
    const columns = this.#columns;
    const mask = this.#index.length - 1;
    let slot = hash & mask;
    for (let entry = this.#index[slot]; entry !== 0; entry = this.#index[slot]) {
      const row = entry - 1;
      if (
        this.#hash[row] === hash && columns.src[row] === src && columns.dst[row] === dst &&
        columns.dstPort[row] === dstPort && columns.stream[row] === stream &&
        columns.classCode[row] === classCode && columns.proto[row] === proto &&
        this.#bucket[row] === bucket
      ) return row;
      slot = (slot + 1) & mask;
    }
    const row = columns.count++;
    this.#index[slot] = row + 1;
    this.#hash[row] = hash;
    this.#bucket[row] = bucket;
    columns.stream[row] = stream;
    columns.classCode[row] = classCode;
    columns.proto[row] = proto;
    columns.flags[row] = 0;
    columns.src[row] = src;
    columns.dst[row] = dst;
    columns.dstPort[row] = dstPort;
    for (const counter of columns.counters) counter[row] = 0;
    return row;
  }

  /** Proof of its bound: packet/hash.ts. */
  #hashOf(stream: number, bucket: number, src: number, dst: number, rest: number): number {
    const secret = this.#secret;
    let sum = imul(stream, secret[0]) + imul(stream >>> 16, secret[1]) | 0;
    sum = sum + imul(bucket, secret[2]) + imul(bucket >>> 16, secret[3]) | 0;
    sum = sum + imul(src, secret[4]) + imul(src >>> 16, secret[5]) | 0;
    sum = sum + imul(dst, secret[6]) + imul(dst >>> 16, secret[7]) | 0;
    sum = sum + imul(rest, secret[8]) + imul(rest >>> 16, secret[9]) | 0;
    sum = imul(sum ^ (sum >>> 16), 0x85ebca6b);
    sum = imul(sum ^ (sum >>> 13), 0xc2b2ae35);
    return sum ^ (sum >>> 16);
  }

  #reserve(rows: number): void {
    const before = this.#columns;
    const room = before.src.length;
    if (rows <= room) return;
    const after = makeColumns(Math.max(room * 2, 2 ** Math.ceil(Math.log2(rows))));
    copyColumns(after, before);
    this.#columns = after;
    const size = after.src.length;
    const bucket = new Uint32Array(size);
    bucket.set(this.#bucket);
    this.#bucket = bucket;
    const hash = new Int32Array(size);
    hash.set(this.#hash);
    this.#hash = hash;
    this.#index = new Int32Array(size * 2);
    const mask = this.#index.length - 1;
    for (let row = 0; row < after.count; row++) {
      let slot = hash[row] & mask;
      while (this.#index[slot] !== 0) slot = (slot + 1) & mask;
      this.#index[slot] = row + 1;
    }
  }
}

function copyColumns(target: RowColumns, source: RowColumns): void {
  target.count = source.count;
  target.stream.set(source.stream);
  target.classCode.set(source.classCode);
  target.proto.set(source.proto);
  target.flags.set(source.flags);
  target.src.set(source.src);
  target.dst.set(source.dst);
  target.dstPort.set(source.dstPort);
  for (const [counter, column] of source.counters.entries()) target.counters[counter].set(column);
  target.beyond = source.beyond;
}
