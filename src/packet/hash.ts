/**
 * Keyed hash of flow keys, for tables that strangers fill.
 *
 * In: key words and a secret of two words, drawn at start. Out: 32 bits. Who does not know the secret cannot choose
 * keys that collide, so that one bucket or probe sequence cannot be made long on purpose.
 */
import { KEY, KEY_DST_V6, KEY_SRC_V6, KEY_WORDS } from "./key.ts";

/** Words of the secret. */
export const HASH_SECRET_WORDS = 2;

/**
 * Hashes a flow key by HalfSipHash-1-3 over its words (Aumasson & Bernstein, "SipHash: a fast short-input PRF";
 * Linux uses this variant for hash tables on 32-bit machines, include/linux/siphash.h hsiphash). Between two IPv4
 * addresses only words that vary are read: HEAD tells the lengths apart, so no two keys have the same input.
 *
 * @param key KEY_WORDS words; all bits of HEAD take part.
 * @param secret0 First word of the secret, any integer of 32 bits.
 * @param secret1 Second word.
 * @returns Signed 32-bit integer.
 */
export function hashKey(key: Uint32Array, secret0: number, secret1: number): number {
  let v0 = secret0 | 0;
  let v1 = secret1 | 0;
  let v2 = secret0 ^ 0x6c796765;
  let v3 = secret1 ^ 0x74656462;
  const head = key[KEY.HEAD];
  // PORTS and the last word of each address lie four apart.
  const step = (head & (KEY_SRC_V6 | KEY_DST_V6)) === 0 ? 4 : 1;
  let word = head | 0;
  let next: number = KEY.PORTS;
  for (;;) {
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
    if (next >= KEY_WORDS) break;
    word = key[next] | 0;
    next += step;
  }
  v2 ^= 0xff;
  for (let round = 0; round < 3; round++) {
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
  }
  return v1 ^ v3;
}
