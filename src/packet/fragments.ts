/**
 * Joins later fragments to their datagram's flow.
 *
 * In: key and info of packets that are fragments. Out: the same key, with the first fragment's proto and ports.
 * Guarantees: fixed memory, nothing allocated per call. A flood of first fragments pushes out older ones (first in,
 * first out) and does no more: a later fragment whose first is not known keeps PROTO.FRAGMENT, without ports.
 *
 * A fragment that could overwrite the transport header (FRAGMENT.OVERLAP) is never joined, not even to a known first
 * one: what the receiver will take for the ports is then the sender's choice (RFC 1858 §3), so it stays UNKNOWN.
 * A first fragment whose own transport is unreadable is remembered too: the datagram stays in one row, and an older
 * datagram of the same identification does not lend it ports.
 */
import { FRAGMENT_CACHE_MS, FRAGMENT_CACHE_SLOTS } from "../limits.ts";
import { FRAGMENT, INFO } from "./decode.ts";
import { hashKey } from "./hash.ts";
import { KEY, KEY_HEAD_MASK, KEY_WORDS } from "./key.ts";

/** Words of an entry: what identifies the datagram, in the layout of a flow key, then HEAD and PORTS of its first. */
const ENTRY_WORDS = KEY_WORDS + 2;
const ENTRY_HEAD = KEY_WORDS;
const ENTRY_PORTS = KEY_WORDS + 1;
const NONE = -1;

/** Remembers first fragments. One per thread. */
export class FragmentCache {
  readonly #slots: number;
  readonly #ttlMs: number;
  readonly #secret: Int32Array;
  /** Ring of entries, in the order they came. */
  readonly #entries: Uint32Array;
  readonly #seenMs: Float64Array;
  /** Per bucket the first entry of its chain, per entry the next one. */
  readonly #first: Int32Array;
  readonly #next: Int32Array;
  readonly #bucketMask: number;
  readonly #wanted = new Uint32Array(KEY_WORDS);
  readonly #victim = new Uint32Array(KEY_WORDS);
  readonly #nowMs = new Float64Array(1);
  #used = 0;
  #oldest = 0;

  /**
   * @param secret HASH_SECRET_WORDS random words; copied.
   * @param limits.slots First fragments remembered, at least 1.
   * @param limits.ttlMs For how long.
   */
  constructor(
    secret: Uint32Array,
    limits = { slots: FRAGMENT_CACHE_SLOTS, ttlMs: FRAGMENT_CACHE_MS },
  ) {
    this.#slots = limits.slots;
    this.#ttlMs = limits.ttlMs;
    this.#secret = new Int32Array(secret);
    this.#entries = new Uint32Array(limits.slots * ENTRY_WORDS);
    this.#seenMs = new Float64Array(limits.slots);
    const buckets = 2 ** Math.ceil(Math.log2(limits.slots * 2));
    this.#bucketMask = buckets - 1;
    this.#first = new Int32Array(buckets).fill(NONE);
    this.#next = new Int32Array(limits.slots).fill(NONE);
  }

  /** First fragments in memory, expired ones included. */
  get used(): number {
    return this.#used;
  }

  /**
   * Remembers a first fragment; gives a later one its first one's proto and ports. To be called once for each
   * packet whose INFO.FRAGMENT is not NONE, after decode() has returned OK.
   * @param key Changed iff the result is true.
   * @param nowMs Monotonic.
   * @returns Whether a later fragment was joined.
   */
  resolve(key: Uint32Array, info: Uint32Array, nowMs: number): boolean {
    // A small function that V8 inlines: passed on as an argument, a time with a fraction would be 16 bytes of heap.
    this.#nowMs[0] = nowMs;
    return this.#resolve(key, info);
  }

  #resolve(key: Uint32Array, info: Uint32Array): boolean {
    const nowMs = this.#nowMs[0];
    const kind = info[INFO.FRAGMENT];
    if (kind !== FRAGMENT.FIRST && kind !== FRAGMENT.LATER) return false;
    const wanted = this.#wanted;
    wanted.set(key);
    wanted[KEY.HEAD] = (key[KEY.HEAD] & KEY_HEAD_MASK & ~0xff) | info[INFO.FRAGMENT_PROTO];
    wanted[KEY.PORTS] = info[INFO.FRAGMENT_ID];
    const bucket = hashKey(wanted, this.#secret) & this.#bucketMask;
    const found = this.#find(bucket);
    if (kind === FRAGMENT.FIRST) {
      const slot = found === NONE ? this.#insert(bucket) : found;
      this.#seenMs[slot] = nowMs;
      this.#entries[slot * ENTRY_WORDS + ENTRY_HEAD] = key[KEY.HEAD];
      this.#entries[slot * ENTRY_WORDS + ENTRY_PORTS] = key[KEY.PORTS];
      return false;
    }
    if (found === NONE || nowMs - this.#seenMs[found] >= this.#ttlMs) return false;
    key[KEY.HEAD] = this.#entries[found * ENTRY_WORDS + ENTRY_HEAD];
    key[KEY.PORTS] = this.#entries[found * ENTRY_WORDS + ENTRY_PORTS];
    return true;
  }

  #find(bucket: number): number {
    const entries = this.#entries;
    const wanted = this.#wanted;
    for (let slot = this.#first[bucket]; slot !== NONE; slot = this.#next[slot]) {
      let word = 0;
      while (word < KEY_WORDS && entries[slot * ENTRY_WORDS + word] === wanted[word]) word++;
      if (word === KEY_WORDS) return slot;
    }
    return NONE;
  }

  /** Puts #wanted into a free entry, or into the oldest one's. @returns Its slot. */
  #insert(bucket: number): number {
    let slot = this.#used;
    if (slot < this.#slots) {
      this.#used++;
    } else {
      slot = this.#oldest;
      this.#oldest = (slot + 1) % this.#slots;
      this.#unlink(slot);
    }
    this.#entries.set(this.#wanted, slot * ENTRY_WORDS);
    this.#next[slot] = this.#first[bucket];
    this.#first[bucket] = slot;
    return slot;
  }

  /** Takes an entry out of its chain. #wanted stays what it is. */
  #unlink(slot: number): void {
    const victim = this.#victim;
    for (let word = 0; word < KEY_WORDS; word++) {
      victim[word] = this.#entries[slot * ENTRY_WORDS + word];
    }
    const bucket = hashKey(victim, this.#secret) & this.#bucketMask;
    if (this.#first[bucket] === slot) {
      this.#first[bucket] = this.#next[slot];
      return;
    }
    let before = this.#first[bucket];
    while (this.#next[before] !== slot) before = this.#next[before];
    this.#next[before] = this.#next[slot];
  }
}
