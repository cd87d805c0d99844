/**
 * The distinct addresses of one window, numbered, so that what costs something is done once per address.
 *
 * In: addresses as words. Out: numbers from 1 on, 0 being "no address"; and by number whatever other files keep in
 * columns. An open-addressed table under a keyed hash: strangers choose the addresses, and must not choose the work.
 */
import { ADDRESS_WORDS, type Family, hashKey, KEY, KEY_SRC_V6, KEY_WORDS } from "../packet/mod.ts";

/** Number of "no address". */
export const NO_ADDRESS = 0;

/** Index entries that an empty table keeps; more are given back after a big window. */
const INDEX_ENTRIES_MIN = 1 << 12;

/** See file header. */
export class AddressTable {
  readonly #secret: Int32Array;
  readonly #key = new Uint32Array(KEY_WORDS);
  #words = new Uint32Array(INDEX_ENTRIES_MIN / 2 * ADDRESS_WORDS);
  /** 0 for number 0, else 4 or 6. */
  #families = new Uint8Array(INDEX_ENTRIES_MIN / 2);
  #hashes = new Int32Array(INDEX_ENTRIES_MIN / 2);
  #index = new Int32Array(INDEX_ENTRIES_MIN);
  /** Numbers in use, 0 included. */
  #count = 1;

  /** @param secret HASH_SECRET_WORDS random words. */
  constructor(secret: Uint32Array) {
    this.#secret = Int32Array.from(secret);
  }

  /** Numbers in use are 0 .. count - 1. */
  get count(): number {
    return this.#count;
  }

  /** Words of all addresses, ADDRESS_WORDS each. Valid until the next number() or clear(). */
  get words(): Uint32Array {
    return this.#words;
  }

  /** Family of address `number`; 0 for NO_ADDRESS. */
  family(number: number): Family | 0 {
    return this.#families[number] as Family | 0;
  }

  /**
   * Returns the address's number; a new one for a new address.
   * @param words Holds the address from `wordOffset` on; read, not kept.
   */
  number(words: Uint32Array, wordOffset: number, isV6: boolean): number {
    const word0 = words[wordOffset];
    const word1 = words[wordOffset + 1];
    const word2 = words[wordOffset + 2];
    const word3 = words[wordOffset + 3];
    // An IPv4 address has 0xffff there, even 0.0.0.0.
    if (!isV6 && word2 === 0) return NO_ADDRESS;
    const key = this.#key;
    key[KEY.HEAD] = isV6 ? KEY_SRC_V6 : 0;
    key[KEY.SRC] = word0;
    key[KEY.SRC + 1] = word1;
    key[KEY.SRC + 2] = word2;
    key[KEY.SRC + 3] = word3;
    const hash = hashKey(key, this.#secret);
    const index = this.#index;
    const mask = index.length - 1;
    const known = this.#words;
    const family = isV6 ? 6 : 4;
    let slot = hash & mask;
    for (let number = index[slot]; number !== 0; number = index[slot]) {
      const at = number * ADDRESS_WORDS;
      if (
        known[at + 3] === word3 && known[at + 2] === word2 && known[at + 1] === word1 &&
        known[at] === word0 && this.#families[number] === family
      ) return number;
      // Never full: at most half of the entries are in use.
      slot = (slot + 1) & mask;
    }
    return this.#insert(hash, slot, family);
  }

  /** Forgets all addresses. */
  clear(): void {
    if (this.#index.length > INDEX_ENTRIES_MIN * 16) this.#allocate(INDEX_ENTRIES_MIN);
    else this.#index.fill(0);
    this.#count = 1;
  }

  /** Enters the address in #key at a free place of the index. */
  #insert(hash: number, slot: number, family: Family): number {
    if (this.#count * 2 >= this.#index.length) {
      this.#grow();
      const mask = this.#index.length - 1;
      slot = hash & mask;
      while (this.#index[slot] !== 0) slot = (slot + 1) & mask;
    }
    const number = this.#count++;
    for (let word = 0; word < ADDRESS_WORDS; word++) {
      this.#words[number * ADDRESS_WORDS + word] = this.#key[KEY.SRC + word];
    }
    this.#families[number] = family;
    this.#hashes[number] = hash;
    this.#index[slot] = number;
    return number;
  }

  #grow(): void {
    const [words, families, hashes] = [this.#words, this.#families, this.#hashes];
    this.#allocate(this.#index.length * 2);
    this.#words.set(words);
    this.#families.set(families);
    this.#hashes.set(hashes);
    const mask = this.#index.length - 1;
    for (let number = 1; number < this.#count; number++) {
      let slot = this.#hashes[number] & mask;
      while (this.#index[slot] !== 0) slot = (slot + 1) & mask;
      this.#index[slot] = number;
    }
  }

  #allocate(indexEntries: number): void {
    const addresses = indexEntries / 2;
    this.#words = new Uint32Array(addresses * ADDRESS_WORDS);
    this.#families = new Uint8Array(addresses);
    this.#hashes = new Int32Array(addresses);
    this.#index = new Int32Array(indexEntries);
  }
}
