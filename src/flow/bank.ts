/**
 * One bank as its writer sees it: a hash table of flows that never refuses a count.
 *
 * In: flow keys with packets and bytes. Out: records (see layout.ts). Guarantees: nothing is allocated per call, and
 * a call's work is bounded: FLOW_PROBES_MAX entries of the index for the flow and, when it finds no room, as many for the
 * row that its addresses share; failing that too, the count goes to the one "other" row. No count is lost.
 * Not here: who may write when (banks.ts).
 */
import { FLOW_PROBES_MAX } from "../limits.ts";
import {
  HASH_SECRET_WORDS,
  hashKey,
  KEY,
  KEY_DST_V6,
  KEY_HEAD_MASK,
  KEY_SRC_V6,
  KEY_WORDS,
  PROTO,
} from "../packet/mod.ts";
import {
  bankViews,
  CONTROL,
  CONTROL_OTHER,
  type ControlViews,
  DETAIL_SHIFT,
  RECORD,
  RECORD_FLOATS,
  RECORD_FOLDED,
  RECORD_WORDS,
} from "./layout.ts";

// In constants of this file: see packet/decode.ts.
const { HEAD, PORTS, SRC, DST } = KEY;
const { TX_PACKETS, RX_PACKETS } = RECORD;
const { TX_BYTES, RX_BYTES } = RECORD_FLOATS;
const { TCP } = PROTO;
const SRC_LAST = SRC + 3;
const DST_LAST = DST + 3;

/** No record: the count belongs to the "other" row. */
const NO_RECORD = -1;
const HEAD_MASK = KEY_HEAD_MASK | RECORD_FOLDED;
const ANY_V6 = KEY_SRC_V6 | KEY_DST_V6;
const U32_MAX = 0xffffffff;

/** Sides of a count: what was sent into the tunnel, and what came out of it. */
export const TX = 0;
export const RX = 1;

/** Writer's side of one bank. */
export class Bank {
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;
  readonly #slots: Uint32Array;
  readonly #index: Int32Array;
  readonly #indexMask: number;
  /** Bits of an index entry that name a record; the rest is part of the hash. */
  readonly #numberMask: number;
  readonly #flowsMax: number;
  readonly #foldedMax: number;
  readonly #secret: Int32Array;
  readonly #control: Int32Array;
  readonly #usedWord: number;
  /** The control block, which holds the "other" row from #otherStart on. */
  readonly #other: Float64Array;
  readonly #otherStart: number;
  readonly #onFirst: () => void;
  readonly #foldedKey = new Uint32Array(KEY_WORDS);
  #flows = 0;
  #folded = 0;

  /** @param onFirst Called when the first flow is entered into the empty bank. */
  constructor(memory: SharedArrayBuffer, control: ControlViews, bank: number, onFirst: () => void) {
    const { layout, words, floats } = control;
    const views = bankViews(memory, layout, bank);
    this.#words = views.recordWords;
    this.#floats = views.recordFloats;
    this.#slots = views.slots;
    this.#index = views.index;
    this.#indexMask = layout.indexEntries - 1;
    const numberBits = Math.ceil(Math.log2(layout.flowsMax + layout.foldedMax + 1));
    this.#numberMask = 2 ** numberBits - 1;
    this.#flowsMax = layout.flowsMax;
    this.#foldedMax = layout.foldedMax;
    // A copy: memory that is not shared.
    this.#secret = words.slice(CONTROL.SECRET, CONTROL.SECRET + HASH_SECRET_WORDS);
    this.#control = words;
    this.#usedWord = CONTROL.USED[bank];
    this.#other = floats;
    this.#otherStart = CONTROL_OTHER[bank];
    this.#onFirst = onFirst;
  }

  /** Takes the bank over; it must be clear. */
  begin(): void {
    this.#flows = 0;
    this.#folded = 0;
  }

  /**
   * Counts packets of one flow in one direction.
   * @param key KEY_WORDS words, local side as source; no bits in HEAD but the key's own.
   * @param side TX or RX.
   * @param packets 1 .. 2^32 - 1.
   * @param bytes IP bytes of all of them.
   * @param detail INFO.DETAIL of the packet.
   */
  count(key: Uint32Array, side: number, packets: number, bytes: number, detail: number): void {
    const record = this.#find(key, detail);
    if (record === NO_RECORD) {
      this.#countOther(side, packets, bytes);
      return;
    }
    const words = this.#words;
    const word = record * RECORD_WORDS;
    const before = words[word + TX_PACKETS + side];
    const after = (before + packets) >>> 0;
    if (after < before) {
      this.#countBeyond(word, key, side, packets, bytes);
      return;
    }
    words[word + TX_PACKETS + side] = after;
    this.#floats[(word >>> 1) + TX_BYTES + side] += bytes;
    if ((key[HEAD] & 0xff) === TCP) words[word] |= detail << (DETAIL_SHIFT + side * 8);
  }

  /**
   * Counts where a record's 32 bits of packets are full: on the row that its addresses share, then on the "other"
   * row, whose Float64s have no end in sight.
   */
  #countBeyond(
    fullWord: number,
    key: Uint32Array,
    side: number,
    packets: number,
    bytes: number,
  ): void {
    const words = this.#words;
    const isFolded = (words[fullWord] & RECORD_FOLDED) !== 0;
    const record = isFolded ? NO_RECORD : this.#findFolded(key);
    const word = record * RECORD_WORDS + TX_PACKETS + side;
    if (record === NO_RECORD || words[word] + packets > U32_MAX) {
      this.#countOther(side, packets, bytes);
      return;
    }
    words[word] += packets;
    this.#floats[record * (RECORD_WORDS / 2) + TX_BYTES + side] += bytes;
  }

  #countOther(side: number, packets: number, bytes: number): void {
    this.#other[this.#otherStart + side * 2] += packets;
    this.#other[this.#otherStart + side * 2 + 1] += bytes;
  }

  /** Finds a flow's record or makes it. @returns Record number; a folded row's where it must; or NO_RECORD. */
  #find(key: Uint32Array, detail: number): number {
    const hash = hashKey(key, this.#secret);
    const index = this.#index;
    const numberMask = this.#numberMask;
    let slot = hash & this.#indexMask;
    for (let probe = 0; probe < FLOW_PROBES_MAX; probe++) {
      const entry = index[slot];
      if (entry === 0) return this.#enter(key, hash, slot, detail);
      if (((entry ^ hash) & ~numberMask) === 0) {
        const record = (entry & numberMask) - 1;
        if (this.#isKey(record * RECORD_WORDS, key)) return record;
      }
      slot = (slot + 1) & this.#indexMask;
    }
    return this.#findFolded(key);
  }

  /** Enters a new flow at a free place of the index, or folds it when there are flowsMax already. */
  #enter(key: Uint32Array, hash: number, slot: number, detail: number): number {
    if (this.#flows === this.#flowsMax) return this.#findFolded(key);
    this.#flows++;
    return this.#insert(key, hash, slot, detail);
  }

  /** Finds or makes the row that all flows of one proto and address pair share. */
  #findFolded(key: Uint32Array): number {
    const folded = this.#foldedKey;
    for (let word = SRC; word < KEY_WORDS; word++) folded[word] = key[word];
    folded[HEAD] = key[HEAD] | RECORD_FOLDED;
    const hash = hashKey(folded, this.#secret);
    const indexMask = this.#indexMask;
    const numberMask = this.#numberMask;
    let slot = hash & indexMask;
    for (let probe = 0; probe < FLOW_PROBES_MAX; probe++) {
      const entry = this.#index[slot];
      if (entry === 0) {
        if (this.#folded === this.#foldedMax) return NO_RECORD;
        this.#folded++;
        return this.#insert(folded, hash, slot, 0);
      }
      if (((entry ^ hash) & ~numberMask) === 0) {
        const record = (entry & numberMask) - 1;
        if (this.#isKey(record * RECORD_WORDS, folded)) return record;
      }
      slot = (slot + 1) & indexMask;
    }
    return NO_RECORD;
  }

  /** Whether the record at `word` has this key. IPv4 addresses differ in their last words only. */
  #isKey(word: number, key: Uint32Array): boolean {
    const words = this.#words;
    const head = key[HEAD];
    const difference = ((words[word] ^ head) & HEAD_MASK) | (words[word + PORTS] ^ key[PORTS]) |
      (words[word + SRC_LAST] ^ key[SRC_LAST]) | (words[word + DST_LAST] ^ key[DST_LAST]);
    if (difference !== 0) return false;
    return (head & ANY_V6) === 0 || this.#isKeyV6(word, key);
  }

  #isKeyV6(word: number, key: Uint32Array): boolean {
    const words = this.#words;
    return ((words[word + SRC] ^ key[SRC]) | (words[word + SRC + 1] ^ key[SRC + 1]) |
      (words[word + SRC + 2] ^ key[SRC + 2]) | (words[word + DST] ^ key[DST]) |
      (words[word + DST + 1] ^ key[DST + 1]) | (words[word + DST + 2] ^ key[DST + 2])) === 0;
  }

  /** Enters a record at a free place of the index. */
  #insert(key: Uint32Array, hash: number, slot: number, detail: number): number {
    const record = this.#flows + this.#folded - 1;
    const word = record * RECORD_WORDS;
    const words = this.#words;
    for (let at = 0; at < KEY_WORDS; at++) words[word + at] = key[at];
    // TCP flags are added by direction; ICMP's type and code are those of the flow's first packet.
    if ((key[HEAD] & 0xff) !== TCP) words[word] |= detail << DETAIL_SHIFT;
    words[word + TX_PACKETS] = 0;
    words[word + RX_PACKETS] = 0;
    this.#floats[(word >>> 1) + TX_BYTES] = 0;
    this.#floats[(word >>> 1) + RX_BYTES] = 0;
    this.#slots[record] = slot;
    this.#index[slot] = (hash & ~this.#numberMask) | (record + 1);
    if (record === 0) {
      Atomics.store(this.#control, this.#usedWord, 1);
      this.#onFirst();
    } else {
      this.#control[this.#usedWord] = record + 1;
    }
    return record;
  }
}
