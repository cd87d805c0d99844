/**
 * The writer's side of the dictionary: a number for each address.
 *
 * In: addresses as words or text. Out: numbers from 1 on, 0 being "no address". Guarantees: an address has one number for
 * ever; memory is bounded: what has not been used for a while is looked up in the database again. New addresses wait in
 * memory for the next commit.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { ADDRESSES_CACHED_MAX, ADDRESSES_WAITING_MAX } from "../../limits.ts";
import type { Family } from "../../packet/mod.ts";
import { StoreError } from "../store.ts";
import { addressKey, addressKeyOf } from "./address_key.ts";

/** Random words that a book wants. */
export const ADDRESS_SECRET_WORDS = 9;
/** Entries that an empty table has room for. */
const ENTRIES_MIN = 4_096;
/** Texts whose numbers are kept: for callers that bring text. */
const TEXTS_MAX = 65_536;
const { imul } = Math;

/** An address that the database does not have yet. */
interface Waiting {
  readonly number: number;
  readonly key: Uint8Array;
}

/** See file header. */
export class AddressBook {
  readonly #find: StatementSync;
  readonly #insert: StatementSync;
  readonly #secret: Int32Array;
  readonly #cachedMax: number;
  /** Two generations: when the young one is full, it becomes the old one and the old one is forgotten. */
  #young: NumberTable;
  #old: NumberTable;
  #texts = new Map<string, number>();
  #waiting: Waiting[] = [];
  /** Those that wait and have a zone, which tables do not hold. */
  #waitingZoned = new Map<string, number>();
  readonly #numbers: { address: number };

  /**
   * @param numbers Holds the number of the next new address.
   * @param secret ADDRESS_SECRET_WORDS random words, against addresses that are chosen to be slow.
   * @param cachedMax For tests.
   */
  constructor(
    database: DatabaseSync,
    numbers: { address: number },
    secret: Uint32Array,
    cachedMax = ADDRESSES_CACHED_MAX,
  ) {
    this.#find = database.prepare("SELECT number FROM address WHERE key = ?");
    this.#insert = database.prepare("INSERT INTO address (number, key) VALUES (?, ?)");
    this.#numbers = numbers;
    this.#secret = Int32Array.from(secret);
    this.#cachedMax = cachedMax;
    this.#young = new NumberTable(this.#secret);
    this.#old = new NumberTable(this.#secret);
  }

  /** Number of an address in its canonical text. @throws {RangeError} If it is none. */
  number(text: string): number {
    if (text === "") return 0;
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    const key = addressKeyOf(text);
    const number = text.includes("%") ? this.#numberOfZoned(text, key) : this.#numberOfKey(key);
    if (this.#texts.size >= TEXTS_MAX) this.#texts.clear();
    this.#texts.set(text, number);
    return number;
  }

  #numberOfKey(key: Uint8Array): number {
    const view = new DataView(key.buffer);
    const words = new Uint32Array(4).map((_, word) => view.getUint32(1 + word * 4));
    return this.numberOfWords(words, 0, key[0] as Family);
  }

  #numberOfZoned(text: string, key: Uint8Array): number {
    const known = this.#waitingZoned.get(text) ?? this.#look(key);
    if (known !== 0) return known;
    const number = this.#wait(key);
    this.#waitingZoned.set(text, number);
    return number;
  }

  /** Number of the address that `words` hold from `wordOffset` on. */
  numberOfWords(words: Uint32Array, wordOffset: number, family: Family): number {
    const young = this.#young.get(words, wordOffset, family);
    if (young !== 0) return young;
    let number = this.#old.get(words, wordOffset, family);
    if (number === 0) {
      const key = addressKey(words, wordOffset, family);
      number = this.#look(key);
      if (number === 0) number = this.#wait(key);
    }
    this.#young.set(words, wordOffset, family, number);
    return number;
  }

  #look(key: Uint8Array): number {
    return (this.#find.get(key)?.number as number | undefined) ?? 0;
  }

  #wait(key: Uint8Array): number {
    if (this.#waiting.length >= ADDRESSES_WAITING_MAX) {
      throw new StoreError(
        "full",
        `Cannot number another address: ${this.#waiting.length} wait for a commit`,
      );
    }
    const number = this.#numbers.address++;
    this.#waiting.push({ number, key });
    return number;
  }

  /** Writes what waits. Within a transaction; written() is to be called when it is durable. */
  write(): void {
    for (const { number, key } of this.#waiting) this.#insert.run(number, key);
  }

  /** Nothing waits any more. */
  written(): void {
    this.#waiting = [];
    this.#waitingZoned.clear();
    // Not earlier: what waits is found nowhere but here.
    if (this.#young.count < this.#cachedMax) return;
    this.#old = this.#young;
    this.#young = new NumberTable(this.#secret);
  }
}

/** Numbers by address, open-addressed. */
class NumberTable {
  readonly #secret: Int32Array;
  #words = new Uint32Array(ENTRIES_MIN * 4);
  #families = new Uint8Array(ENTRIES_MIN);
  #hashes = new Int32Array(ENTRIES_MIN);
  #numbers = new Uint32Array(ENTRIES_MIN);
  /** Entry + 1; 0 = free. Half full at most. */
  #index = new Int32Array(ENTRIES_MIN * 2);
  count = 0;

  constructor(secret: Int32Array) {
    this.#secret = secret;
  }

  /** 0 = not there. */
  get(words: Uint32Array, at: number, family: Family): number {
    const hash = this.#hash(words, at, family);
    const index = this.#index;
    const mask = index.length - 1;
    const known = this.#words;
    for (let slot = hash & mask; index[slot] !== 0; slot = (slot + 1) & mask) {
      const entry = index[slot] - 1;
      const word = entry * 4;
      if (
        this.#hashes[entry] === hash && known[word + 3] === words[at + 3] &&
        known[word + 2] === words[at + 2] && known[word + 1] === words[at + 1] &&
        known[word] === words[at] && this.#families[entry] === family
      ) return this.#numbers[entry];
    }
    return 0;
  }

  /** Enters an address that is not there. */
  set(words: Uint32Array, at: number, family: Family, number: number): void {
    if (this.count === this.#numbers.length) this.#grow();
    const entry = this.count++;
    for (let word = 0; word < 4; word++) this.#words[entry * 4 + word] = words[at + word];
    this.#families[entry] = family;
    this.#hashes[entry] = this.#hash(words, at, family);
    this.#numbers[entry] = number;
    this.#enter(entry);
  }

  #enter(entry: number): void {
    const mask = this.#index.length - 1;
    let slot = this.#hashes[entry] & mask;
    while (this.#index[slot] !== 0) slot = (slot + 1) & mask;
    this.#index[slot] = entry + 1;
  }

  #grow(): void {
    const entries = this.count * 2;
    const words = new Uint32Array(entries * 4);
    words.set(this.#words);
    this.#words = words;
    const families = new Uint8Array(entries);
    families.set(this.#families);
    this.#families = families;
    const hashes = new Int32Array(entries);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
    const numbers = new Uint32Array(entries);
    numbers.set(this.#numbers);
    this.#numbers = numbers;
    this.#index = new Int32Array(entries * 2);
    for (let entry = 0; entry < this.count; entry++) this.#enter(entry);
  }

  /** Multilinear, as packet/hash.ts, where its bound is proved. */
  #hash(words: Uint32Array, at: number, family: Family): number {
    const secret = this.#secret;
    let sum = imul(family, secret[8]);
    for (let word = 0; word < 4; word++) {
      const value = words[at + word];
      sum = sum + imul(value, secret[word * 2]) + imul(value >>> 16, secret[word * 2 + 1]) | 0;
    }
    sum = imul(sum ^ (sum >>> 16), 0x85ebca6b);
    sum = imul(sum ^ (sum >>> 13), 0xc2b2ae35);
    return sum ^ (sum >>> 16);
  }
}
