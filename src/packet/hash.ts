/**
 * Keyed hash of flow keys, for tables that strangers fill.
 *
 * In: key words, and a secret drawn at start. Out: 32 bits. Who does not know the secret cannot choose keys that
 * collide, so that no bucket or probe sequence can be made long on purpose; the bound is proved below.
 */
import { KEY, KEY_DST_V6, KEY_SRC_V6, KEY_WORDS } from "./key.ts";

/** Words of the secret: one for each half of each key word. */
export const HASH_SECRET_WORDS = KEY_WORDS * 2;

// In constants of this file: see decode.ts.
const { HEAD, PORTS, SRC, DST } = KEY;
const { imul } = Math;
const ANY_V6 = KEY_SRC_V6 | KEY_DST_V6;

/**
 * Hashes a flow key: the sum, modulo 2^32, of each word and each word's upper half times a secret factor of its own
 * (multilinear hashing, after Carter & Wegman 1979), then a fixed permutation that spreads it (finaliser of
 * MurmurHash3, a bijection, so it makes no collisions).
 *
 * Bound: two different keys collide with a probability of at most 2^-17 over the secrets. Let some word differ. If its
 * lower half does, the difference is odd times 2^s with s <= 15, so its product with the word's first factor takes
 * 2^(32 - s) values evenly, and at most one of them makes the sums equal. If only the upper half differs, the same holds
 * for the second factor. So among n keys chosen without the secret, one collides with n / 2^17 others on average: 8 of a
 * million. Twice as fast as HalfSipHash-1-3, whose rounds wait for one another (docs/design/0002-flow-banks.md).
 *
 * Between two IPv4 addresses only words that vary are read: HEAD tells the two kinds apart.
 *
 * @param key KEY_WORDS words; HEAD below 2^16.
 * @param secret HASH_SECRET_WORDS random words.
 * @returns Signed 32-bit integer.
 */
export function hashKey(key: Uint32Array, secret: Int32Array): number {
  const head = key[HEAD];
  const ports = key[PORTS];
  const src = key[SRC + 3];
  const dst = key[DST + 3];
  let sum = imul(head, secret[0]) + imul(ports, secret[2]) + imul(ports >>> 16, secret[3]) | 0;
  sum = sum + imul(src, secret[10]) + imul(src >>> 16, secret[11]) | 0;
  sum = sum + imul(dst, secret[18]) + imul(dst >>> 16, secret[19]) | 0;
  if ((head & ANY_V6) !== 0) sum = sum + upperWords(key, secret) | 0;
  sum = imul(sum ^ (sum >>> 16), 0x85ebca6b);
  sum = imul(sum ^ (sum >>> 13), 0xc2b2ae35);
  return sum ^ (sum >>> 16);
}

/** The part of the sum that the first three words of both addresses make. */
function upperWords(key: Uint32Array, secret: Int32Array): number {
  let word = key[SRC];
  let sum = imul(word, secret[4]) + imul(word >>> 16, secret[5]) | 0;
  word = key[SRC + 1];
  sum = sum + imul(word, secret[6]) + imul(word >>> 16, secret[7]) | 0;
  word = key[SRC + 2];
  sum = sum + imul(word, secret[8]) + imul(word >>> 16, secret[9]) | 0;
  word = key[DST];
  sum = sum + imul(word, secret[12]) + imul(word >>> 16, secret[13]) | 0;
  word = key[DST + 1];
  sum = sum + imul(word, secret[14]) + imul(word >>> 16, secret[15]) | 0;
  word = key[DST + 2];
  return sum + imul(word, secret[16]) + imul(word >>> 16, secret[17]) | 0;
}
