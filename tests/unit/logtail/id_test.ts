/**
 * Goal: ids are the original's (SPEC 2.1, 8.5). Method: every HEAD vector; round trips; hostile texts.
 * Where tunlog differs on purpose: "parsing allocates nothing" has no counterpart, ids are parsed once at start.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import {
  addToId,
  compareIds,
  idPrefix64,
  idText,
  isZeroId,
  makePrivateId,
  makeProcId,
  parsePrivateId,
  parsePublicId,
  type PublicId,
  publicIdOf,
} from "../../../src/logtail/mod.ts";

const FC = { seed: 8_005, numRuns: 300 };
const sha256 = (input: Uint8Array) => new Uint8Array(createHash("sha256").update(input).digest());
const idOf = (value: bigint) => parsePublicId(value.toString(16).padStart(64, "0"));

test("makePrivateId() makes two ids that differ in private, public and text, and round-trip", () => {
  const first = makePrivateId(new Uint8Array(32).fill(0xff));
  const second = makePrivateId(new Uint8Array(32));
  assert.notEqual(idText(first), idText(second));
  assert.notEqual(idText(publicIdOf(first, sha256)), idText(publicIdOf(second, sha256)));
  for (const id of [first, second]) {
    const again = parsePrivateId(idText(id));
    assert.deepEqual(again, id);
    assert.deepEqual(publicIdOf(again, sha256), publicIdOf(id, sha256));
    assert.deepEqual(parsePublicId(idText(publicIdOf(id, sha256))), publicIdOf(id, sha256));
  }
});

test("makePrivateId() clamps and leaves the random bytes alone", () => {
  const ones = new Uint8Array(32).fill(0xff);
  assert.equal(idText(makePrivateId(ones)), `f8${"ff".repeat(30)}7f`);
  assert.equal(idText(makePrivateId(new Uint8Array(32))), `${"00".repeat(31)}40`);
  assert.deepEqual(ones, new Uint8Array(32).fill(0xff));
  assert.throws(() => makePrivateId(new Uint8Array(31)), RangeError);
  assert.throws(() => makePrivateId(new Uint8Array(33)), RangeError);
});

test("publicIdOf() hashes the raw bytes", () => {
  assert.equal(
    idText(publicIdOf(parsePrivateId("0".repeat(64)), sha256)),
    "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925",
  );
  assert.equal(
    idText(publicIdOf(parsePrivateId("0123456789abcdef".repeat(4)), sha256)),
    "4884fdaafea47c29fea7159d0daddd9c085d6200e1359e85bb81736af6b7c837",
  );
});

test("parsePublicId() reads and idText() writes HEAD's id", () => {
  const text = "6c60a9e0e7af57170bb1347b2d477e4cbc27d4571a4923b21651456f931e3d55";
  assert.equal(idText(parsePublicId(text)), text);
  assert.equal(idText(parsePublicId(text.toUpperCase())), text);
});

test("parsePrivateId() names the length or the first bad digit, never the rest", () => {
  const good = "0123456789abcdef".repeat(4);
  assert.throws(() => parsePrivateId(good.slice(1)), /^SyntaxError: .*length is 63/);
  assert.throws(() => parsePrivateId(`${good}0`), /length is 65/);
  assert.throws(() => parsePrivateId(""), /length is 0/);
  const bad = `${good.slice(0, 9)}g${good.slice(10, 20)}!${good.slice(21)}`;
  assert.throws(() => parsePrivateId(bad), (error: Error) => {
    assert.match(error.message, /character 10 is "g"/);
    return !error.message.includes(good.slice(0, 6));
  });
});

test("addToId() adds as HEAD does, modulo 2^256", () => {
  const [two63, two64, two256] = [2n ** 63n, 2n ** 64n, 2n ** 256n];
  const cases: [id: bigint, increment: bigint, sum: bigint][] = [
    [0n, 0n, 0n],
    [0n, 1n, 1n],
    [two256 - 1n, 1n, 0n],
    [0n, -1n, two256 - 1n],
    [0n, -two63, two256 - two63],
    [two64 - 1n, -two63, two63 - 1n],
    [0n, two63 - 1n, two63 - 1n],
    [two63 - 1n, two63 - 1n, two64 - 2n],
    [two64 - 1n, 1n, two64],
    [2n ** 128n - 2n, 3n, 2n ** 128n + 1n],
    [2n ** 192n - 3n, 5n, 2n ** 192n + 2n],
    [two256 - 4n, 7n, 3n],
    [two256 - two64, -1n, two256 - two64 - 1n],
    [two256 - 2n ** 128n + 1n, -3n, two256 - 2n ** 128n - 2n],
    [two256 - 2n ** 192n + 2n, -5n, two256 - 2n ** 192n - 3n],
    [3n, -7n, two256 - 4n],
  ];
  for (const [id, increment, sum] of cases) {
    assert.equal(idText(addToId(idOf(id), increment)), idText(idOf(sum)), `${id} + ${increment}`);
    // HEAD leaves -2^63 out, whose negation does not fit its integers; it does here.
    assert.equal(idText(addToId(idOf(sum), -increment)), idText(idOf(id)));
  }
});

test("compareIds(), isZeroId() and idPrefix64() see ids as big-endian integers", () => {
  const value = fc.bigInt(0n, 2n ** 256n - 1n);
  fc.assert(
    fc.property(value, value, (a, b) => {
      const [idA, idB]: PublicId[] = [idOf(a), idOf(b)];
      assert.equal(Math.sign(compareIds(idA, idB)), a < b ? -1 : a > b ? 1 : 0);
      assert.equal(compareIds(idA, idOf(a)), 0);
      assert.equal(isZeroId(idA), a === 0n);
      assert.equal(idPrefix64(idA), a >> 192n);
    }),
    { ...FC, examples: [[0n, 0n], [0n, 1n], [2n ** 255n, 1n]] },
  );
});

test("makeProcId() reads 32 bits little-endian and makes 7 of 0", () => {
  assert.equal(makeProcId(Uint8Array.of(1, 2, 3, 0xff)), 0xff030201);
  assert.equal(makeProcId(new Uint8Array(4)), 7);
  assert.equal(makeProcId(new Uint8Array([9, 1, 0, 0, 0, 9]).subarray(1, 5)), 1);
});
