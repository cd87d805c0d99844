/**
 * Goal: searches and curves of the benchmarks of load say what a link can do. Method: links whose capacity is known.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { remaining } from "../../bench/degradation_bench.ts";
import { LOSS_MAX, type Offer, searchLossless } from "../../bench/support/lossless.ts";

/** A link that delivers up to `capacity` and loses the rest; remembers what it was offered. */
function link(capacity: number): { offered: number[]; offer: (rate: number) => Promise<Offer> } {
  const offered: number[] = [];
  const offer = (rate: number): Promise<Offer> => {
    offered.push(rate);
    const delivered = Math.min(rate, capacity);
    return Promise.resolve({ delivered, loss: 1 - delivered / rate });
  };
  return { offered, offer };
}

test("searchLossless() comes as near to the capacity as its steps allow, from below", async () => {
  for (const capacity of [11, 100, 500, 990]) {
    const { offered, offer } = link(capacity);
    const found = await searchLossless({ low: 10, high: 1_000, steps: 8 }, offer);
    // 100 times in 8 halvings of the logarithm: a last step of 1.8 %.
    assert.ok(found <= capacity && found >= capacity / 1.02, `${found} of ${capacity}`);
    assert.ok(offered.every((rate) => rate > 10 && rate < 1_000));
  }
});

test("searchLossless() counts a run with exactly as much loss as allowed", async () => {
  const lossy = (loss: number) => (rate: number) => Promise.resolve({ delivered: rate, loss });
  const search = { low: 1, high: 4, steps: 1 };
  assert.equal(await searchLossless(search, lossy(LOSS_MAX)), 2);
  assert.equal(await searchLossless(search, lossy(LOSS_MAX * 1.01)), 0);
});

test("searchLossless() forgives one run that lost, not two", async () => {
  const failing = (times: number) => {
    let left = times;
    return (rate: number) => Promise.resolve({ delivered: rate, loss: left-- > 0 ? 1 : 0 });
  };
  const search = { low: 1, high: 4, steps: 1 };
  assert.equal(await searchLossless(search, failing(1)), 2);
  // Then the lowest rate is all that is left.
  assert.equal(await searchLossless(search, failing(2)), 1);
  assert.equal(await searchLossless(search, failing(4)), 0);
});

test("remaining() compares one point with the best of all", () => {
  const curve = ([[0.5, 1], [1, 10], [3, 5], [null, 2]] as const).map(([part, delivered]) => ({
    ...{ part, delivered },
    ...{ asked: 1, sent: 1 },
  }));
  assert.equal(remaining(curve, 1), 1);
  assert.equal(remaining(curve, 3), 0.5);
  assert.equal(remaining(curve, null), 0.2);
  assert.throws(() => remaining(curve, 2), RangeError);
});
