/**
 * Goal: hashKey() depends on every bit of a key, spreads regular traffic like chance, and keeps its proved bound
 * against keys made to collide. Method: counts over fixed families of keys and secrets.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  HASH_SECRET_WORDS,
  hashKey,
  KEY,
  KEY_DST_V6,
  KEY_SRC_V6,
  KEY_WORDS,
} from "../../../src/packet/mod.ts";
import { SeededRandom } from "../../../src/platform/memory.ts";

function secretOf(seed: number): Int32Array {
  const random = new SeededRandom(seed);
  return Int32Array.from({ length: HASH_SECRET_WORDS }, () => random.word());
}

function keyV4(ports: number, src: number, dst: number): Uint32Array {
  return Uint32Array.of(6, ports, 0, 0, 0xffff, src, 0, 0, 0xffff, dst);
}

test("hashKey() changes with every bit of an IPv6 key and every address or port bit of an IPv4 key", () => {
  const secret = secretOf(1);
  const v6 = Uint32Array.from({ length: KEY_WORDS }, (_, at) => at * 0x01020304);
  v6[KEY.HEAD] = 6 | KEY_SRC_V6 | KEY_DST_V6;
  for (const key of [v6, keyV4(0x04d20050, 0x64400001, 0x64400002)]) {
    const before = hashKey(key, secret);
    const isV6 = (key[KEY.HEAD] & KEY_SRC_V6) !== 0;
    for (let word = 0; word < KEY_WORDS; word++) {
      if (!isV6 && ![0, 1, 5, 9].includes(word)) continue;
      for (let bit = 0; bit < (word === KEY.HEAD ? 8 : 32); bit++) {
        const changed = key.slice();
        changed[word] ^= 1 << bit;
        assert.notEqual(hashKey(changed, secret), before, `word ${word}, bit ${bit}`);
      }
    }
  }
  for (const family of [KEY_SRC_V6, KEY_DST_V6, KEY_SRC_V6 | KEY_DST_V6]) {
    const key = keyV4(1, 2, 3);
    const before = hashKey(key, secret);
    key[KEY.HEAD] |= family;
    assert.notEqual(hashKey(key, secret), before);
  }
});

test("hashKey() depends on every word of the secret", () => {
  const key = Uint32Array.from({ length: KEY_WORDS }, (_, at) => at * 0x01020304 + 0x10001);
  key[KEY.HEAD] = 6 | KEY_SRC_V6;
  const secret = secretOf(2);
  const before = hashKey(key, secret);
  for (let word = 0; word < HASH_SECRET_WORDS; word++) {
    // HEAD has no upper half.
    if (word === 1) continue;
    const changed = secret.slice();
    changed[word] ^= 1;
    assert.notEqual(hashKey(key, changed), before, `word ${word}`);
  }
});

/** Longest run of taken places when the keys are put into a half-full table by linear probing. */
function longestRun(keys: readonly Uint32Array[], secret: Int32Array): number {
  const mask = 2 ** Math.ceil(Math.log2(keys.length * 2)) - 1;
  const taken = new Uint8Array(mask + 1);
  for (const key of keys) {
    let at = hashKey(key, secret) & mask;
    while (taken[at] === 1) at = (at + 1) & mask;
    taken[at] = 1;
  }
  let longest = 0;
  for (let at = 0, run = 0; at < taken.length * 2; at++) {
    run = taken[at & mask] === 1 ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}

test("hashKey() spreads scans and hostile patterns so that probes stay short", () => {
  const count = 32_768;
  const families: Record<string, (index: number) => Uint32Array> = {
    "port scan": (i) => keyV4(i, 1, 2),
    "source ports": (i) => keyV4((i << 16) | 80, 1, 2),
    "address scan": (i) => keyV4(0, 1, 0x0a000000 + i),
    "host bits high": (i) => keyV4(0, 1, i << 16),
    "both addresses": (i) => keyV4(0, i >>> 8, (i & 0xff) << 24),
    // Only bit 15 of each half differs: the worst for a multiplicative hash.
    "top bits of halves": (i) => {
      const key = new Uint32Array(KEY_WORDS);
      for (let half = 0; half < 16; half++) {
        if ((i & (1 << half)) !== 0) {
          key[2 + (half >>> 1)] |= (half & 1) === 0 ? 0x8000 : 0x80000000;
        }
      }
      key[KEY.HEAD] = 6 | KEY_SRC_V6 | KEY_DST_V6;
      return key;
    },
  };
  for (const [name, make] of Object.entries(families)) {
    const keys = Array.from({ length: count }, (_, index) => make(index));
    for (let seed = 1; seed <= 3; seed++) {
      const longest = longestRun(keys, secretOf(seed));
      assert.ok(longest < 100, `${name}, secret ${seed}: a run of ${longest}`);
    }
  }
});

test("hashKey() makes a chosen pair collide no more often than its bound says", () => {
  const secrets = 200_000;
  const random = new SeededRandom(4);
  const secret = new Int32Array(HASH_SECRET_WORDS);
  const a = keyV4(0, 0, 0);
  // Differ in the top bit alone: 2^-17 is reached here, so about 1.5 collisions are expected.
  const b = keyV4(0, 0x80000000, 0);
  let collisions = 0;
  for (let draw = 0; draw < secrets; draw++) {
    for (let word = 0; word < HASH_SECRET_WORDS; word++) secret[word] = random.word();
    if (hashKey(a, secret) === hashKey(b, secret)) collisions++;
  }
  assert.ok(collisions <= 8, `${collisions} of ${secrets}`);
});
