/** Goal: the longest prefix is found. Method: both sides of every length; random sets against a linear search. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Family, type Prefix } from "../../../src/packet/mod.ts";
import { NO_VALUE, PrefixTrie } from "../../../src/netlog/trie.ts";
import { addressNumber, addressWordsOf, longest } from "../../reference/prefix_twin.ts";
import { prefix, wordsOf } from "./support.ts";

const SEED = 31;

function trieOf(prefixes: readonly Prefix[]): PrefixTrie {
  const trie = new PrefixTrie();
  for (const [value, each] of prefixes.entries()) trie.add(each, value);
  return trie;
}

test("find() of an empty trie is NO_VALUE", () => {
  assert.equal(new PrefixTrie().find(wordsOf("10.0.0.1"), 0, 4), NO_VALUE);
  assert.equal(new PrefixTrie().find(wordsOf("::"), 0, 6), NO_VALUE);
});

test("find() prefers the longer prefix, in whatever order they came", () => {
  const texts = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "0.0.0.0/0"];
  for (const order of [texts, texts.toReversed()]) {
    const trie = trieOf(order.map(prefix));
    const found = (address: string) => order[trie.find(wordsOf(address), 0, 4)];
    assert.equal(found("10.1.2.3"), "10.1.2.3/32");
    assert.equal(found("10.1.2.4"), "10.1.2.0/24");
    assert.equal(found("10.1.3.3"), "10.1.0.0/16");
    assert.equal(found("10.2.2.3"), "10.0.0.0/8");
    assert.equal(found("11.1.2.3"), "0.0.0.0/0");
  }
});

test("find() keeps families apart: an IPv4-mapped address is in no IPv4 prefix", () => {
  const trie = trieOf([prefix("0.0.0.0/0")]);
  assert.equal(trie.find(wordsOf("::ffff:10.0.0.1"), 0, 6), NO_VALUE);
  trie.add(prefix("::ffff:0:0/96"), 7);
  assert.equal(trie.find(wordsOf("::ffff:10.0.0.1"), 0, 6), 7);
  assert.equal(trie.find(wordsOf("10.0.0.1"), 0, 4), 0);
});

test("add() keeps the value of a prefix that is there, host bits or not", () => {
  const trie = trieOf([prefix("10.1.2.3/8"), prefix("10.9.9.9/8"), prefix("10.0.0.0/8")]);
  assert.equal(trie.find(wordsOf("10.200.0.1"), 0, 4), 0);
});

test("add() gives a value to a fork that had none", () => {
  // The fork of the first two stands at /15, where the third ends.
  const trie = trieOf(["10.0.0.0/16", "10.1.0.0/16", "10.0.0.0/15"].map(prefix));
  assert.equal(trie.find(wordsOf("10.0.0.1"), 0, 4), 0);
  assert.equal(trie.find(wordsOf("10.1.0.1"), 0, 4), 1);
  assert.equal(
    trieOf([prefix("10.0.0.0/16"), prefix("10.1.0.0/16")]).find(wordsOf("10.2.0.1"), 0, 4),
    -1,
  );
  const fork = trieOf(["10.0.0.0/16", "10.3.0.0/16", "10.0.0.0/14"].map(prefix));
  assert.equal(fork.find(wordsOf("10.2.0.1"), 0, 4), 2);
});

test("find() honours each length of either family at its last bit", () => {
  const bases: [Family, string][] = [[4, "165.90.195.60"], [
    6,
    "a55a:c33c:1234:5678:9abc:def0:0f1e:2d3c",
  ]];
  for (const [family, text] of bases) {
    const bits = family === 4 ? 32 : 128;
    const base = addressNumber(family, wordsOf(text));
    for (let length = 0; length <= bits; length++) {
      const trie = trieOf([prefix(`${text}/${length}`)]);
      assert.equal(trie.find(addressWordsOf(family, base), 0, family), 0);
      for (let bit = 0; bit < bits; bit++) {
        const other = addressWordsOf(family, base ^ 1n << BigInt(bits - 1 - bit));
        assert.equal(
          trie.find(other, 0, family),
          bit < length ? NO_VALUE : 0,
          `/${length}, bit ${bit}`,
        );
      }
    }
  }
});

test("find() reads at its offset alone", () => {
  const trie = trieOf([prefix("10.0.0.1/32"), prefix("fd00::1/128")]);
  const words = new Uint32Array(12).fill(0xa5a5a5a5);
  words.set(wordsOf("fd00::1"), 4);
  assert.equal(trie.find(words, 4, 6), 1);
  words.set(wordsOf("10.0.0.1"), 4);
  assert.equal(trie.find(words, 4, 4), 0);
  assert.equal(trie.find(words, 0, 4), NO_VALUE);
});

/** Near one another, so that prefixes nest and fork at every depth. */
const nearAddress = (family: Family) =>
  fc.array(fc.nat(family === 4 ? 31 : 127), { maxLength: 3 }).map((flipped) =>
    flipped.reduce(
      (number, bit) => number ^ 1n << BigInt(bit),
      family === 4 ? 0x0a010203n : 0xfdn << 120n | 1n,
    )
  );
const nearPrefix = (family: Family) =>
  fc.tuple(nearAddress(family), fc.nat(family === 4 ? 32 : 128)).map((
    [address, prefixBits],
  ): Prefix => ({ family, addressWords: addressWordsOf(family, address), prefixBits }));

test("find() equals a linear search", () => {
  let hits = 0;
  let looks = 0;
  fc.assert(
    fc.property(
      fc.array(fc.oneof(nearPrefix(4), nearPrefix(6)), { maxLength: 60 }),
      fc.array(nearAddress(4), { maxLength: 10 }),
      fc.array(nearAddress(6), { maxLength: 10 }),
      (prefixes, addresses4, addresses6) => {
        const trie = trieOf(prefixes);
        for (const [family, addresses] of [[4, addresses4], [6, addresses6]] as const) {
          for (const address of addresses) {
            const found = trie.find(addressWordsOf(family, address), 0, family);
            assert.equal(found, longest(prefixes, family, address));
            looks++;
            if (found !== NO_VALUE) hits++;
          }
        }
      },
    ),
    { seed: SEED, numRuns: 500 },
  );
  assert.ok(hits > looks / 10 && hits < looks * 9 / 10, `${hits} of ${looks} found`);
});

test("find() equals a linear search among 3,000 prefixes, which makes the table grow", () => {
  const prefixes = Array.from({ length: 3_000 }, (_, index): Prefix => ({
    family: 4,
    addressWords: addressWordsOf(4, BigInt(Math.imul(index, 0x9e3779b9) >>> 0)),
    prefixBits: 4 + index % 29,
  }));
  const trie = trieOf(prefixes);
  for (let index = 0; index < 1_000; index++) {
    const address = BigInt(Math.imul(index, 0x85ebca6b) >>> 0);
    assert.equal(trie.find(addressWordsOf(4, address), 0, 4), longest(prefixes, 4, address));
  }
});
