/**
 * Layouts and hashes that the banks were measured against (docs/design/0002-flow-banks.md): the smallest tables that
 * count, without hand-over, folding or limits.
 */
import {
  HASH_SECRET_WORDS,
  hashKey,
  KEY,
  KEY_DST_V6,
  KEY_SRC_V6,
  KEY_WORDS,
} from "../../src/packet/mod.ts";

const RECORD_WORDS = 16;
const ANY_V6 = KEY_SRC_V6 | KEY_DST_V6;
const SECRET = Int32Array.from(
  { length: HASH_SECRET_WORDS },
  (_, at) => Math.imul(at + 1, 0x9e3779b9),
);

function swap(key: Uint32Array, output: Uint32Array): void {
  output[0] = key[0];
  output[1] = (key[1] << 16) | (key[1] >>> 16);
  for (let word = 0; word < 4; word++) {
    output[KEY.SRC + word] = key[KEY.DST + word];
    output[KEY.DST + word] = key[KEY.SRC + word];
  }
}

function isKey(words: Uint32Array, word: number, key: Uint32Array): boolean {
  if (
    ((words[word] ^ key[0]) | (words[word + 1] ^ key[1]) | (words[word + 5] ^ key[5]) |
      (words[word + 9] ^ key[9])) !== 0
  ) return false;
  if ((key[0] & ANY_V6) === 0) return true;
  return ((words[word + 2] ^ key[2]) | (words[word + 3] ^ key[3]) | (words[word + 4] ^ key[4]) |
    (words[word + 6] ^ key[6]) | (words[word + 7] ^ key[7]) | (words[word + 8] ^ key[8])) === 0;
}

/** Murmur3's mix over the key's words: fast, but collisions can be made without knowing the seed. */
export function murmur(key: Uint32Array): number {
  let hash = 0x2545f491;
  const step = (key[0] & ANY_V6) === 0 ? 4 : 1;
  let word = key[0];
  let next = 1;
  for (;;) {
    let mixed = Math.imul(word, 0xcc9e2d51);
    mixed = (mixed << 15) | (mixed >>> 17);
    hash ^= Math.imul(mixed, 0x1b873593);
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64 | 0;
    if (next >= KEY_WORDS) break;
    word = key[next];
    next += step;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** HalfSipHash-1-3 (Linux hsiphash on 32-bit machines) over the key's words: no attack known, but one long chain. */
export function halfSipHash(key: Uint32Array): number {
  let v0 = SECRET[0];
  let v1 = SECRET[1];
  let v2 = SECRET[0] ^ 0x6c796765;
  let v3 = SECRET[1] ^ 0x74656462;
  const step = (key[0] & ANY_V6) === 0 ? 4 : 1;
  let word = key[0] | 0;
  let next = 1;
  // One round for each word, then three with nothing to take in.
  for (let rest = 3; rest > 0;) {
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
    if (next < KEY_WORDS) {
      word = key[next] | 0;
      next += step;
    } else {
      if (rest === 3) v2 ^= 0xff;
      word = 0;
      rest--;
    }
  }
  return v1 ^ v3;
}

/** The banks' own hash, with a fixed secret. */
export function multilinear(key: Uint32Array): number {
  return hashKey(key, SECRET);
}

/** Index and dense records like the banks, for any hash. */
export class DenseTable {
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;
  readonly #index: Int32Array;
  readonly #hash: (key: Uint32Array) => number;
  readonly #swapped = new Uint32Array(KEY_WORDS);
  #used = 0;

  constructor(flowsMax: number, hash: (key: Uint32Array) => number) {
    this.#hash = hash;
    const memory = new SharedArrayBuffer(flowsMax * RECORD_WORDS * 4);
    this.#words = new Uint32Array(memory);
    this.#floats = new Float64Array(memory);
    this.#index = new Int32Array(
      new SharedArrayBuffer(2 ** Math.ceil(Math.log2(flowsMax * 2)) * 4),
    );
  }

  countTx(key: Uint32Array, packets: number, bytes: number, _detail: number): void {
    const word = this.#find(key) * RECORD_WORDS;
    this.#words[word + 10] += packets;
    this.#floats[word / 2 + 6] += bytes;
  }

  countRx(key: Uint32Array, packets: number, bytes: number, _detail: number): void {
    swap(key, this.#swapped);
    const word = this.#find(this.#swapped) * RECORD_WORDS;
    this.#words[word + 11] += packets;
    this.#floats[word / 2 + 7] += bytes;
  }

  #find(key: Uint32Array): number {
    const hash = this.#hash(key);
    const mask = this.#index.length - 1;
    for (let slot = hash & mask;; slot = (slot + 1) & mask) {
      const entry = this.#index[slot];
      if (entry === 0) {
        this.#words.set(key, this.#used * RECORD_WORDS);
        this.#index[slot] = (hash & 0xff000000) | ++this.#used;
        return this.#used - 1;
      }
      if (((entry ^ hash) & 0xff000000) !== 0) continue;
      const record = (entry & 0xffffff) - 1;
      if (isKey(this.#words, record * RECORD_WORDS, key)) return record;
    }
  }
}

/** Open addressing in the records themselves, half full: one cache miss less, twice the memory, no dense order. */
export class DirectTable {
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;
  readonly #mask: number;
  readonly #swapped = new Uint32Array(KEY_WORDS);

  constructor(flowsMax: number) {
    const slots = 2 ** Math.ceil(Math.log2(flowsMax * 2));
    const memory = new SharedArrayBuffer(slots * RECORD_WORDS * 4);
    this.#words = new Uint32Array(memory);
    this.#floats = new Float64Array(memory);
    this.#mask = slots - 1;
  }

  countTx(key: Uint32Array, packets: number, bytes: number, _detail: number): void {
    const word = this.#find(key);
    this.#words[word + 10] += packets;
    this.#floats[word / 2 + 6] += bytes;
  }

  countRx(key: Uint32Array, packets: number, bytes: number, _detail: number): void {
    swap(key, this.#swapped);
    const word = this.#find(this.#swapped);
    this.#words[word + 11] += packets;
    this.#floats[word / 2 + 7] += bytes;
  }

  #find(key: Uint32Array): number {
    let slot = multilinear(key) & this.#mask;
    for (;; slot = (slot + 1) & this.#mask) {
      const word = slot * RECORD_WORDS;
      // Both counters zero: free.
      if ((this.#words[word + 10] | this.#words[word + 11]) === 0) {
        this.#words.set(key, word);
        return word;
      }
      if (isKey(this.#words, word, key)) return word;
    }
  }
}
