/** Windows of the flow log: their labels whatever the clocks do. Examples, then laws over random clocks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WindowGrid } from "../../../src/node/window_grid.ts";

const PERIOD_MS = 5_000;
/** A grid point. */
const GRID_MS = 1_700_000_000_000;

function gridFrom(beginMs: number): WindowGrid {
  const grid = new WindowGrid(PERIOD_MS);
  grid.begin(beginMs);
  return grid;
}

test("WindowGrid makes the first window short and the next whole", () => {
  const grid = gridFrom(GRID_MS + 1_234.7);
  assert.equal(grid.open(GRID_MS + 1_300), PERIOD_MS - 1_300);
  assert.deepEqual(grid.close(GRID_MS + PERIOD_MS), {
    startMs: GRID_MS + 1_234,
    endMs: GRID_MS + PERIOD_MS,
  });
  assert.equal(grid.open(GRID_MS + PERIOD_MS + 1), PERIOD_MS - 1);
  assert.deepEqual(grid.close(GRID_MS + 2 * PERIOD_MS + 3.5), {
    startMs: GRID_MS + PERIOD_MS,
    endMs: GRID_MS + 2 * PERIOD_MS,
  });
});

test("WindowGrid rounds the time that is left up, so that a timer is never early", () => {
  const grid = gridFrom(GRID_MS);
  assert.equal(grid.open(GRID_MS + 0.4), PERIOD_MS);
  assert.equal(grid.open(GRID_MS + PERIOD_MS - 0.4), 1);
});

test("WindowGrid keeps the planned end when its timer is early all the same", () => {
  const grid = gridFrom(GRID_MS);
  grid.open(GRID_MS + 10);
  const first = grid.close(GRID_MS + PERIOD_MS - 0.3);
  assert.deepEqual(first, { startMs: GRID_MS, endMs: GRID_MS + PERIOD_MS });
  // The next one opens before the end of the last: it must not be empty.
  assert.equal(grid.open(GRID_MS + PERIOD_MS - 0.2), PERIOD_MS);
  assert.deepEqual(grid.close(GRID_MS + 2 * PERIOD_MS + 1), {
    startMs: GRID_MS + PERIOD_MS,
    endMs: GRID_MS + 2 * PERIOD_MS,
  });
});

test("WindowGrid leaves idle windows out", () => {
  const grid = gridFrom(GRID_MS);
  grid.open(GRID_MS + 1);
  grid.close(GRID_MS + PERIOD_MS);
  grid.open(GRID_MS + 10 * PERIOD_MS + 7);
  assert.deepEqual(grid.close(GRID_MS + 11 * PERIOD_MS), {
    startMs: GRID_MS + 10 * PERIOD_MS,
    endMs: GRID_MS + 11 * PERIOD_MS,
  });
});

test("WindowGrid ends a window that overslept at the last grid point passed", () => {
  const grid = gridFrom(GRID_MS);
  grid.open(GRID_MS + 1);
  const { endMs } = grid.close(GRID_MS + 7 * PERIOD_MS + 400);
  assert.equal(endMs, GRID_MS + 7 * PERIOD_MS);
});

test("WindowGrid goes on from its last end when the clock is set back", () => {
  const grid = gridFrom(GRID_MS);
  grid.open(GRID_MS + 1);
  grid.close(GRID_MS + PERIOD_MS);
  const hourMs = 3_600_000;
  assert.equal(grid.open(GRID_MS + PERIOD_MS - hourMs), PERIOD_MS);
  assert.deepEqual(grid.close(GRID_MS + 2 * PERIOD_MS - hourMs), {
    startMs: GRID_MS + PERIOD_MS,
    endMs: GRID_MS + 2 * PERIOD_MS,
  });
});

test("WindowGrid.closeLast ends now, at least 1 ms behind the start", () => {
  const grid = gridFrom(GRID_MS);
  grid.open(GRID_MS + 1);
  assert.deepEqual(grid.closeLast(GRID_MS + 700.9), { startMs: GRID_MS, endMs: GRID_MS + 700 });
  assert.deepEqual(grid.closeLast(GRID_MS + 700.95), {
    startMs: GRID_MS + 700,
    endMs: GRID_MS + 701,
  });
});

test("WindowGrid: windows follow each other and are never empty, whatever the clock does", () => {
  // Steps of the wall clock between calls: mostly forward, some far, some back.
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.double({ min: 0, max: 2 * PERIOD_MS, noNaN: true }) },
    { weight: 1, arbitrary: fc.double({ min: -1e7, max: 1e9, noNaN: true }) },
  );
  const scenario = fc.array(fc.tuple(step, step), { minLength: 1, maxLength: 50, size: "max" });
  fc.assert(
    fc.property(scenario, fc.double({ min: 0, max: PERIOD_MS, noNaN: true }), (steps, beginMs) => {
      let wallMs = GRID_MS + beginMs;
      const grid = gridFrom(wallMs);
      let lastEndMs = Math.floor(wallMs);
      steps.forEach(([untilOpenMs, untilCloseMs], index) => {
        wallMs += untilOpenMs;
        const leftMs = grid.open(wallMs);
        assert.ok(Number.isInteger(leftMs) && leftMs >= 1 && leftMs <= PERIOD_MS);
        wallMs += untilCloseMs;
        const isLast = index === steps.length - 1;
        const { startMs, endMs } = isLast ? grid.closeLast(wallMs) : grid.close(wallMs);
        assert.ok(startMs >= lastEndMs, "overlaps the one before");
        assert.ok(endMs > startMs, "is empty");
        assert.ok(isLast || endMs % PERIOD_MS === 0, "does not end on the grid");
        assert.ok(Number.isInteger(startMs) && Number.isInteger(endMs));
        lastEndMs = endMs;
      });
    }),
    { seed: 2, numRuns: 500 },
  );
});
