// Goal: the longest prefix wins, one prefix has one owner, lists keep their order, nothing is left behind.
// Method: examples; random operations against a linear search over BigInts.
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { AllowedIps, NO_OWNER } from "../../../src/wireguard/allowed_ips.ts";
import type { AllowedIp } from "../../../src/wireguard/mod.ts";
import { addressNumber, AllowedIpsTwin } from "../../reference/allowed_ips_twin.ts";

const SEED = 3;

function v4(address: number, prefixBits: number): AllowedIp {
  return { family: 4, addressWords: Uint32Array.of(0, 0, 0xffff, address), prefixBits };
}

function v6(words: readonly number[], prefixBits: number): AllowedIp {
  return { family: 6, addressWords: Uint32Array.from(words), prefixBits };
}

/** Looks an address up from packet bytes at an odd offset. */
function find(table: AllowedIps, family: 4 | 6, words: Uint32Array): number {
  const view = new DataView(new ArrayBuffer(64));
  for (let offset = 0; offset < 64; offset++) view.setUint8(offset, 0xa5);
  if (family === 4) {
    view.setUint32(7, words[3]);
    return table.find4(view, 7);
  }
  words.forEach((word, index) => view.setUint32(7 + index * 4, word));
  return table.find6(view, 7);
}

const find4 = (table: AllowedIps, address: number): number =>
  find(table, 4, Uint32Array.of(0, 0, 0xffff, address));
const find6 = (table: AllowedIps, words: readonly number[]): number =>
  find(table, 6, Uint32Array.from(words));

test("AllowedIps finds nothing in an empty table", () => {
  const table = new AllowedIps();
  assert.equal(find4(table, 0), NO_OWNER);
  assert.equal(find6(table, [0, 0, 0, 0]), NO_OWNER);
  assert.deepEqual(table.list(0), []);
  table.removeAll(99);
});

test("AllowedIps prefers the longer prefix, whatever the order of adding", () => {
  const entries: [AllowedIp, number][] = [
    [v4(0, 0), 1],
    [v4(0x0a000000, 8), 2],
    [v4(0x0a010000, 16), 3],
    [v4(0x0a010203, 32), 4],
  ];
  for (const order of [entries, [...entries].reverse()]) {
    const table = new AllowedIps();
    for (const [entry, owner] of order) table.add(entry, owner);
    assert.equal(find4(table, 0x0a010203), 4);
    assert.equal(find4(table, 0x0a010204), 3);
    assert.equal(find4(table, 0x0a020304), 2);
    assert.equal(find4(table, 0x0b000000), 1);
  }
});

test("AllowedIps keeps families apart", () => {
  const table = new AllowedIps();
  table.add(v4(0, 0), 1);
  assert.equal(find6(table, [0, 0, 0xffff, 0x0a000001]), NO_OWNER);
  table.add(v6([0, 0, 0, 0], 0), 2);
  assert.equal(find6(table, [0, 0, 0xffff, 0x0a000001]), 2);
  assert.equal(find4(table, 0x0a000001), 1);
});

test("AllowedIps honours each IPv6 prefix length at its last bit", () => {
  const base = [0x20010db8, 0x85a30000, 0x00008a2e, 0x03707334];
  for (let bits = 0; bits <= 128; bits++) {
    const table = new AllowedIps();
    table.add(v6(base, bits), 5);
    assert.equal(find6(table, base), 5);
    for (let bit = 0; bit < 128; bit++) {
      const other = Uint32Array.from(base);
      other[bit >>> 5] ^= 1 << (31 - (bit & 31));
      assert.equal(find(table, 6, other), bit < bits ? NO_OWNER : 5, `/${bits}, bit ${bit}`);
    }
  }
});

test("AllowedIps masks the bits behind the prefix and lists what it masked", () => {
  const table = new AllowedIps();
  table.add(v4(0xc0a801ff, 24), 0);
  table.add(v6([0xfd000000, 1, 2, 3], 48), 0);
  assert.deepEqual(table.list(0), [v4(0xc0a80100, 24), v6([0xfd000000, 0, 0, 0], 48)]);
});

test("AllowedIps takes a prefix from its owner when another gets it", () => {
  const table = new AllowedIps();
  table.add(v4(0x0a000000, 24), 1);
  table.add(v4(0x0a000100, 24), 1);
  assert.equal(table.add(v4(0x0a0000ff, 24), 2), 1);
  assert.deepEqual(table.list(1), [v4(0x0a000100, 24)]);
  assert.deepEqual(table.list(2), [v4(0x0a000000, 24)]);
  assert.equal(find4(table, 0x0a000001), 2);
  assert.equal(table.count, 2);
  assert.equal(table.countOf(1), 1);
});

test("AllowedIps.add() makes a prefix that is there already the last of the list", () => {
  const table = new AllowedIps();
  table.add(v4(1, 32), 1);
  table.add(v4(2, 32), 1);
  assert.equal(table.add(v4(1, 32), 1), 1);
  assert.deepEqual(table.list(1), [v4(2, 32), v4(1, 32)]);
  assert.equal(table.count, 2);
});

test("AllowedIps.remove() takes only from the owner named", () => {
  const table = new AllowedIps();
  table.add(v4(1, 32), 1);
  assert.ok(!table.remove(v4(1, 32), 2));
  assert.ok(!table.remove(v4(1, 31), 1));
  assert.ok(table.remove(v4(1, 32), 1));
  assert.ok(!table.remove(v4(1, 32), 1));
  assert.equal(table.count, 0);
  assert.equal(find4(table, 1), NO_OWNER);
});

test("AllowedIps uses the places of removed prefixes again", () => {
  const table = new AllowedIps();
  for (let round = 0; round < 50; round++) {
    for (let host = 0; host < 200; host++) table.add(v4(host * 977, 32), host & 3);
    for (let owner = 0; owner < 4; owner++) table.removeAll(owner);
    assert.equal(table.count, 0);
    assert.equal(table.nodeCount, 0);
  }
  assert.equal(find4(table, 977), NO_OWNER);
});

/** Prefixes that lie close together, so that they nest, fork and meet. */
const entry: fc.Arbitrary<AllowedIp> = fc.oneof(
  fc.tuple(fc.integer({ min: 0, max: 0xff }), fc.integer({ min: 22, max: 32 })).map(([low, bits]) =>
    v4(0x0a000000 | low << 2, bits)
  ),
  fc.tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0, max: 32 })).map(
    ([address, bits]) => v4(address, bits),
  ),
  fc.tuple(
    fc.constantFrom(0xfd000000, 0xfd000001, 0x7d000000),
    fc.constantFrom(0, 1, 0x80000000),
    fc.integer({ min: 0, max: 15 }),
    fc.constantFrom(0, 1, 7, 31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128),
  ).map(([high, middle, low, bits]) => v6([high, middle, 0, low], bits)),
);

test("AllowedIps equals its twin under random changes", () => {
  const owner = fc.integer({ min: 0, max: 5 });
  const step = fc.oneof(
    { weight: 10, arbitrary: fc.tuple(fc.constant("add" as const), entry, owner) },
    { weight: 4, arbitrary: fc.tuple(fc.constant("remove" as const), entry, owner) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("removeAll" as const), entry, owner) },
  );
  let found = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const table = new AllowedIps();
      const twin = new AllowedIpsTwin();
      for (const [what, which, by] of steps) {
        if (what === "add") {
          const before = twin.ownerOf(which);
          assert.equal(table.add(which, by), before);
          twin.add(which, by);
        } else if (what === "remove") {
          assert.equal(table.remove(which, by), twin.ownerOf(which) === by);
          twin.remove(which, by);
        } else {
          table.removeAll(by);
          twin.removeAll(by);
        }
        assert.equal(table.count, twin.entries.length);
        // A node per prefix, and a fork where two part: never one that is of no use.
        assert.ok(table.nodeCount < Math.max(1, 2 * table.count), `${table.nodeCount} nodes`);
      }
      for (const [, { family, addressWords }] of steps) {
        for (const flip of [0, 1, 0x100]) {
          const words = addressWords.slice();
          words[3] ^= flip;
          const expected = twin.find(family, addressNumber(family, words));
          assert.equal(find(table, family, words), expected);
          if (expected !== NO_OWNER) found++;
        }
      }
      for (let by = 0; by <= 5; by++) {
        const listed = table.list(by).map((item) =>
          `${item.family}/${addressNumber(item.family, item.addressWords)}/${item.prefixBits}`
        );
        const wanted = twin.entries.filter((item) => item.owner === by).map((item) =>
          `${item.family}/${item.base}/${item.prefixBits}`
        );
        assert.deepEqual(listed, wanted);
        assert.equal(table.countOf(by), wanted.length);
      }
    }),
    { seed: SEED, numRuns: 200 },
  );
  assert.ok(found > 1_000, `only ${found} look-ups found an owner`);
});
