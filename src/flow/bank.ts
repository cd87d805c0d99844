/**
 * One bank as its writer sees it: a hash table of flows that never refuses a count.
 *
 * In: flow keys with packets and bytes. Out: records (see layout.ts). Guarantees: nothing is allocated per call, and
 * a call's work is bounded: PROBES_MAX entries of the index for the flow and, when it finds no room, as many for the
 * row that its addresses share; failing that too, the count goes to the one "other" row. No count is lost.
 * Not here: who may write when (banks.ts).
 */
import {
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
  DETAIL_RX_SHIFT,
  DETAIL_SHIFT,
  RECORD,
  RECORD_BYTES_OF,
  RECORD_FOLDED,
  RECORD_WORDS,
} from "./layout.ts";

/**
 * Entries looked at for one key. With the table half full and a hash that nobody can steer, the longest run among a
 * million keys is about 80 (Knuth, TAOCP 3 §6.4: linear probing), so this is met only when the hash's secret is known.
 */
const PROBES_MAX = 128;
/** No record: the count belongs to the "other" row. */
const NO_RECORD = -1;
const HEAD_MASK = KEY_HEAD_MASK | RECORD_FOLDED;
const ANY_V6 = KEY_SRC_V6 | KEY_DST_V6;
const U32_MAX = 0xffffffff;

/** Which side's counters a count goes to: the word and Float64 offsets, and the place of TCP flags. */
const TX = 0;
const RX = 1;

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
  readonly #secret0: number;
  readonly #secret1: number;
  readonly #control: Int32Array;
  readonly #usedWord: number;
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
    this.#secret0 = words[CONTROL.SECRET];
    this.#secret1 = words[CONTROL.SECRET + 1];
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
   * Counts what was sent into the tunnel.
   * @param key KEY_WORDS words, local side as source; no bits in HEAD but the key's own.
   * @param packets 1 .. 2^32 - 1.
   * @param detail INFO.DETAIL of the packet.
   */
  countTx(key: Uint32Array, packets: number, bytes: number, detail: number): void {
    this.#count(this.#find(key, detail), key, TX, packets, bytes, detail);
  }

  /** Counts what was received from it; parameters as in countTx. */
  countRx(key: Uint32Array, packets: number, bytes: number, detail: number): void {
    this.#count(this.#find(key, detail), key, RX, packets, bytes, detail);
  }

  #count(
    record: number,
    key: Uint32Array,
    side: number,
    packets: number,
    bytes: number,
    detail: number,
  ): void {
    const words = this.#words;
    const word = record * RECORD_WORDS;
    const sum = record === NO_RECORD ? Infinity : words[word + RECORD.TX_PACKETS + side] + packets;
    if (sum > U32_MAX) {
      this.#countBeyond(record, key, side, packets, bytes);
      return;
    }
    words[word + RECORD.TX_PACKETS + side] = sum;
    this.#floats[(word >>> 1) + RECORD_BYTES_OF.TX + side] += bytes;
    if ((key[KEY.HEAD] & 0xff) === PROTO.TCP) {
      words[word] |= detail << (side === TX ? DETAIL_SHIFT : DETAIL_RX_SHIFT);
    }
  }

  /**
   * Counts where there is no record, or where its 32 bits of packets are full: on the row of the addresses, then
   * on the "other" row, whose Float64s have no end in sight.
   */
  #countBeyond(
    record: number,
    key: Uint32Array,
    side: number,
    packets: number,
    bytes: number,
  ): void {
    const isFlow = record !== NO_RECORD &&
      (this.#words[record * RECORD_WORDS] & RECORD_FOLDED) === 0;
    const folded = isFlow ? this.#findFolded(key) : NO_RECORD;
    if (folded !== NO_RECORD) {
      const word = folded * RECORD_WORDS;
      const sum = this.#words[word + RECORD.TX_PACKETS + side] + packets;
      if (sum <= U32_MAX) {
        this.#words[word + RECORD.TX_PACKETS + side] = sum;
        this.#floats[(word >>> 1) + RECORD_BYTES_OF.TX + side] += bytes;
        return;
      }
    }
    this.#other[this.#otherStart + side * 2] += packets;
    this.#other[this.#otherStart + side * 2 + 1] += bytes;
  }

  /** Finds a flow's record or makes it. @returns Record number; a folded row's where it must; or NO_RECORD. */
  #find(key: Uint32Array, detail: number): number {
    const hash = hashKey(key, this.#secret0, this.#secret1);
    const index = this.#index;
    const indexMask = this.#indexMask;
    const numberMask = this.#numberMask;
    let slot = hash & indexMask;
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const entry = index[slot];
      if (entry === 0) {
        if (this.#flows < this.#flowsMax) {
          this.#flows++;
          return this.#insert(key, hash, slot, detail);
        }
        break;
      }
      if (((entry ^ hash) & ~numberMask) === 0) {
        const record = (entry & numberMask) - 1;
        if (this.#isKey(record * RECORD_WORDS, key)) return record;
      }
      slot = (slot + 1) & indexMask;
    }
    return this.#findFolded(key);
  }

  /** Finds or makes the row that all flows of one proto and address pair share. */
  #findFolded(key: Uint32Array): number {
    const folded = this.#foldedKey;
    for (let word = KEY.SRC; word < KEY_WORDS; word++) folded[word] = key[word];
    folded[KEY.HEAD] = key[KEY.HEAD] | RECORD_FOLDED;
    const hash = hashKey(folded, this.#secret0, this.#secret1);
    const indexMask = this.#indexMask;
    const numberMask = this.#numberMask;
    let slot = hash & indexMask;
    for (let probe = 0; probe < PROBES_MAX; probe++) {
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
    const head = key[KEY.HEAD];
    const difference = ((words[word] ^ head) & HEAD_MASK) |
      (words[word + KEY.PORTS] ^ key[KEY.PORTS]) |
      (words[word + KEY.SRC + 3] ^ key[KEY.SRC + 3]) |
      (words[word + KEY.DST + 3] ^ key[KEY.DST + 3]);
    if (difference !== 0) return false;
    if ((head & ANY_V6) === 0) return true;
    return ((words[word + KEY.SRC] ^ key[KEY.SRC]) |
      (words[word + KEY.SRC + 1] ^ key[KEY.SRC + 1]) |
      (words[word + KEY.SRC + 2] ^ key[KEY.SRC + 2]) |
      (words[word + KEY.DST] ^ key[KEY.DST]) |
      (words[word + KEY.DST + 1] ^ key[KEY.DST + 1]) |
      (words[word + KEY.DST + 2] ^ key[KEY.DST + 2])) === 0;
  }

  /** Enters a record at a free place of the index. */
  #insert(key: Uint32Array, hash: number, slot: number, detail: number): number {
    const record = this.#flows + this.#folded - 1;
    const word = record * RECORD_WORDS;
    const words = this.#words;
    for (let at = 0; at < KEY_WORDS; at++) words[word + at] = key[at];
    // TCP flags are added by direction; ICMP's type and code are those of the flow's first packet.
    if ((key[KEY.HEAD] & 0xff) !== PROTO.TCP) words[word] |= detail << DETAIL_SHIFT;
    words[word + RECORD.TX_PACKETS] = 0;
    words[word + RECORD.RX_PACKETS] = 0;
    this.#floats[(word >>> 1) + RECORD_BYTES_OF.TX] = 0;
    this.#floats[(word >>> 1) + RECORD_BYTES_OF.RX] = 0;
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
