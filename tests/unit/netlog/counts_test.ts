/** Goal: sums are exact at any size. Method: bigints as twin, at both sides of 2^52 and 2^53. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Count, type Counts, CountsSum, NO_COUNTS, toCount } from "../../../src/netlog/mod.ts";

const SEED = 40;
const SAFE = Number.MAX_SAFE_INTEGER;

test("toCount() is a number up to 2^53 - 1 and a bigint above", () => {
  assert.equal(toCount(0n), 0);
  assert.equal(toCount(BigInt(SAFE)), SAFE);
  assert.equal(toCount(BigInt(SAFE) + 1n), 9007199254740992n);
});

test("CountsSum begins with nothing", () => {
  const sum = new CountsSum();
  assert.ok(sum.isZero);
  assert.deepEqual(sum.value(), NO_COUNTS);
});

test("CountsSum.isZero is false for any one count, small or big", () => {
  for (let at = 0; at < 4; at++) {
    for (const count of [1, SAFE]) {
      const sum = new CountsSum();
      const [a, b, c, d] = [0, 0, 0, 0].with(at, count);
      sum.add(a, b, c, d);
      assert.ok(!sum.isZero);
      assert.deepEqual(Object.values(sum.value()), [a, b, c, d]);
      sum.clear();
      assert.ok(sum.isZero);
      assert.deepEqual(sum.value(), NO_COUNTS);
    }
  }
});

test("CountsSum is exact for each count by itself", () => {
  for (let at = 0; at < 4; at++) {
    const sum = new CountsSum();
    const [a, b, c, d] = [0, 0, 0, 0].with(at, SAFE);
    for (let times = 0; times < 5; times++) sum.add(a, b, c, d);
    assert.equal(Object.values(sum.value())[at], 5n * BigInt(SAFE));
  }
});

const anyCount = fc.oneof(
  fc.constantFrom<Count>(
    0,
    1,
    2 ** 52 - 1,
    2 ** 52,
    2 ** 52 + 1,
    SAFE - 1,
    SAFE,
    2n ** 53n,
    2n ** 64n - 1n,
  ),
  fc.maxSafeNat(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
);

test("CountsSum equals sums of bigints, whatever is added in whatever order", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(anyCount, anyCount, anyCount, anyCount), { maxLength: 12 }),
      (added) => {
        const sum = new CountsSum();
        const expected = [0n, 0n, 0n, 0n];
        for (const [txPackets, txBytes, rxPackets, rxBytes] of added) {
          const counts: Counts = { txPackets, txBytes, rxPackets, rxBytes };
          for (const [at, count] of Object.values(counts).entries()) expected[at] += BigInt(count);
          const numbers = Object.values(counts).filter((count) => typeof count === "number");
          if (numbers.length === 4) sum.add(numbers[0], numbers[1], numbers[2], numbers[3]);
          else sum.addCounts(counts);
          assert.deepEqual(Object.values(sum.value()), expected.map(toCount));
        }
        const copy = new CountsSum();
        copy.addCounts(sum);
        assert.deepEqual(copy.value(), sum.value());
        assert.equal(sum.isZero, expected.every((count) => count === 0n));
      },
    ),
    { seed: SEED, numRuns: 2_000 },
  );
});
