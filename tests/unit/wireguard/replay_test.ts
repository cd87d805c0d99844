// Goal: the window takes each counter once, never one below it, and forgets nothing within it.
// Method: examples at its edges; random walks against a twin made of a Set.
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { REPLAY_WINDOW_BITS, ReplayWindow } from "../../../src/wireguard/replay.ts";
import { ReplayTwin } from "../../reference/replay_twin.ts";

const SEED = 1;

/** Offers counters one after the other. @returns Which were taken. */
function offer(counters: readonly number[], window = new ReplayWindow()): boolean[] {
  return counters.map((counter) => {
    const isNew = window.isNew(counter);
    if (isNew) window.mark(counter);
    return isNew;
  });
}

test("ReplayWindow takes 0 once", () => {
  assert.deepEqual(offer([0, 0]), [true, false]);
});

test("ReplayWindow takes the oldest counter of the window and refuses the one below", () => {
  const newest = 100_000;
  assert.deepEqual(offer([newest, newest - REPLAY_WINDOW_BITS + 1, newest - REPLAY_WINDOW_BITS]), [
    true,
    true,
    false,
  ]);
});

test("ReplayWindow spans 8192 counters", () => {
  assert.equal(REPLAY_WINDOW_BITS, 8192);
});

test("ReplayWindow forgets the round before when it moves on", () => {
  // The second counter has the place of the first in the ring.
  assert.deepEqual(offer([5, 5 + REPLAY_WINDOW_BITS, 6, 6 + REPLAY_WINDOW_BITS]), [
    true,
    true,
    true,
    true,
  ]);
});

test("ReplayWindow takes all that were skipped by a jump of each length up to the window's", () => {
  for (const jump of [1, 2, 31, 32, 33, 64, 8190, 8191, 8192, 8193, 20_000]) {
    const window = new ReplayWindow();
    const filled = Array.from({ length: REPLAY_WINDOW_BITS }, (_, counter) => counter);
    assert.ok(offer(filled, window).every((taken) => taken));
    const newest = REPLAY_WINDOW_BITS - 1 + jump;
    assert.deepEqual(offer([newest], window), [true]);
    for (let counter = newest - REPLAY_WINDOW_BITS + 1; counter < newest; counter++) {
      assert.equal(
        window.isNew(counter),
        counter >= REPLAY_WINDOW_BITS,
        `${counter} after ${jump}`,
      );
    }
  }
});

test("ReplayWindow is exact up to the last counter there is", () => {
  const last = 2 ** 53 - 1;
  assert.deepEqual(offer([last - 1, last, last - 1, last, last - 8191, last - 8192]), [
    true,
    true,
    false,
    false,
    true,
    false,
  ]);
});

test("ReplayWindow does not move by asking", () => {
  const window = new ReplayWindow();
  window.isNew(1e9);
  assert.deepEqual(offer([0, 1], window), [true, true]);
});

test("ReplayWindow equals its twin on random walks", () => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: -40, max: 40 }) },
    { weight: 3, arbitrary: fc.integer({ min: -8300, max: 8300 }) },
    { weight: 1, arbitrary: fc.integer({ min: -20_000, max: 100_000 }) },
  );
  const start = fc.constantFrom(0, 1, 2 ** 31 - 20, 2 ** 32 - 20, 2 ** 52);
  let taken = 0;
  let refused = 0;
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 400, size: "max" }), (first, steps) => {
      const window = new ReplayWindow();
      const twin = new ReplayTwin(REPLAY_WINDOW_BITS);
      let newest = first;
      for (const by of steps) {
        const counter = Math.max(0, newest + by);
        const isNew = window.isNew(counter);
        assert.equal(isNew, twin.isNew(counter), `counter ${counter}`);
        if (isNew) {
          window.mark(counter);
          twin.mark(counter);
          taken++;
        } else refused++;
        newest = Math.max(newest, counter);
      }
    }),
    { seed: SEED, numRuns: 300 },
  );
  assert.ok(taken > 10_000 && refused > 1_000, `${taken} taken, ${refused} refused`);
});
