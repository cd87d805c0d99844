/**
 * Rows of several data-plane threads as those of one: what both ways of a connection or several of its packets counted
 * in different threads becomes one row again.
 *
 * In: rows of one window, reused by their owner. Out: one row per key and kind, in the order of first rows. Sums are
 * exact. Memory is kept for as many rows as ROWS_KEPT from window to window.
 */
import { FlowRow } from "../flow/mod.ts";
import { hashKey, KEY_WORDS } from "../packet/mod.ts";

const ROWS_MIN = 1 << 8;
const ROWS_KEPT = 1 << 16;
/** Counters of a row: tx packets, tx bytes, rx packets, rx bytes. */
const COUNTS = 4;
/** Bits of a row's kind and details. */
const KIND = { FOLDED: 1, OTHER: 2 } as const;

/** See file header. */
export class RowMerge {
  readonly #secret: Int32Array;
  readonly #row = new FlowRow();
  #keys!: Uint32Array;
  #counts!: Float64Array;
  /** KIND of each row. */
  #kinds!: Uint8Array;
  /** TCP flags, sent below and received above; or'ed. */
  #flags!: Uint16Array;
  #icmp!: Uint16Array;
  /** Row number + 1 by hash, at most half full; 0 = free. */
  #index!: Int32Array;
  #count = 0;

  /** @param secret HASH_SECRET_WORDS random words. */
  constructor(secret: Uint32Array) {
    this.#secret = new Int32Array(secret);
    this.#allocate(ROWS_MIN);
  }

  /** Adds a row to the one of its key and kind. */
  add(row: FlowRow): void {
    const kind = (row.folded ? KIND.FOLDED : 0) | (row.other ? KIND.OTHER : 0);
    const at = this.#find(row.key, kind);
    const counts = at * COUNTS;
    this.#counts[counts] += row.txPackets;
    this.#counts[counts + 1] += row.txBytes;
    this.#counts[counts + 2] += row.rxPackets;
    this.#counts[counts + 3] += row.rxBytes;
    this.#flags[at] |= row.txTcpFlags | row.rxTcpFlags << 8;
    if (this.#icmp[at] === 0) this.#icmp[at] = row.icmpTypeCode;
  }

  /** Hands out all rows, in one object that is reused, and forgets them. */
  take(visit: (row: FlowRow) => void): void {
    const row = this.#row;
    for (let at = 0; at < this.#count; at++) {
      row.key.set(this.#keys.subarray(at * KEY_WORDS, (at + 1) * KEY_WORDS));
      row.txPackets = this.#counts[at * COUNTS];
      row.txBytes = this.#counts[at * COUNTS + 1];
      row.rxPackets = this.#counts[at * COUNTS + 2];
      row.rxBytes = this.#counts[at * COUNTS + 3];
      row.folded = (this.#kinds[at] & KIND.FOLDED) !== 0;
      row.other = (this.#kinds[at] & KIND.OTHER) !== 0;
      row.txTcpFlags = this.#flags[at] & 0xff;
      row.rxTcpFlags = this.#flags[at] >>> 8;
      row.icmpTypeCode = this.#icmp[at];
      visit(row);
    }
    this.#clear();
  }

  /** Number of the row of this key and kind, made if there is none. */
  #find(key: Uint32Array, kind: number): number {
    if ((this.#count + 1) * 2 > this.#index.length) this.#grow();
    const mask = this.#index.length - 1;
    let slot = (hashKey(key, this.#secret) + kind) & mask;
    for (; this.#index[slot] !== 0; slot = (slot + 1) & mask) {
      const at = this.#index[slot] - 1;
      if (this.#kinds[at] === kind && this.#isOf(at, key)) return at;
    }
    const at = this.#count++;
    this.#index[slot] = at + 1;
    this.#kinds[at] = kind;
    this.#keys.set(key, at * KEY_WORDS);
    return at;
  }

  #isOf(at: number, key: Uint32Array): boolean {
    for (let word = 0; word < KEY_WORDS; word++) {
      if (this.#keys[at * KEY_WORDS + word] !== key[word]) return false;
    }
    return true;
  }

  #grow(): void {
    const { length } = this.#kinds;
    const [keys, counts, kinds, flags, icmp] = [
      this.#keys,
      this.#counts,
      this.#kinds,
      this.#flags,
      this.#icmp,
    ];
    this.#allocate(length * 2);
    this.#keys.set(keys);
    this.#counts.set(counts);
    this.#kinds.set(kinds);
    this.#flags.set(flags);
    this.#icmp.set(icmp);
    const mask = this.#index.length - 1;
    for (let at = 0; at < this.#count; at++) {
      const key = this.#keys.subarray(at * KEY_WORDS, (at + 1) * KEY_WORDS);
      let slot = (hashKey(key, this.#secret) + this.#kinds[at]) & mask;
      while (this.#index[slot] !== 0) slot = (slot + 1) & mask;
      this.#index[slot] = at + 1;
    }
  }

  #clear(): void {
    if (this.#kinds.length > ROWS_KEPT) {
      this.#allocate(ROWS_MIN);
    } else {
      this.#counts.fill(0, 0, this.#count * COUNTS);
      this.#flags.fill(0, 0, this.#count);
      this.#icmp.fill(0, 0, this.#count);
      this.#index.fill(0);
    }
    this.#count = 0;
  }

  #allocate(rows: number): void {
    this.#keys = new Uint32Array(rows * KEY_WORDS);
    this.#counts = new Float64Array(rows * COUNTS);
    this.#kinds = new Uint8Array(rows);
    this.#flags = new Uint16Array(rows);
    this.#icmp = new Uint16Array(rows);
    this.#index = new Int32Array(rows * 2);
  }
}
