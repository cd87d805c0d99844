/** Goal: what is drawn of a node's time is what the collector says of it: nothing beyond the range, losses on top. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  percentAt,
  type Stretch,
  stretchesOf,
  ticksOf,
} from "../../../../src/collector/page/client/timeline.js";

const at = (ms: number) => new Date(ms).toISOString();
const process = (startMs: number, endMs: number, reportMs: number | null = null) => ({
  start: at(startMs),
  end: at(endMs),
  report: reportMs === null ? null : { end: at(reportMs) },
});
const gap = (fromMs: number, toMs: number, kind = "declared", stream = 1) => ({
  ...{ stream, kind, from: at(fromMs), to: at(toMs) },
});
const RANGE = { fromMs: 1_000, toMs: 2_000 };
const shown = (found: readonly Stretch[]) =>
  found.map(({ state, fromMs, toMs }) => [state, fromMs, toMs]);

test("stretchesOf() is complete from a process's first to its last word, joined, and cut to the range", () => {
  const stream = (...processes: unknown[]) => ({ stream: 1, processes });
  const of = (...processes: unknown[]) => shown(stretchesOf(stream(...processes), [], RANGE));
  assert.deepEqual(of(process(1_100, 1_200)), [["complete", 1_100, 1_200]]);
  assert.deepEqual(of(process(1_100, 1_200, 1_300)), [["complete", 1_100, 1_300]]);
  assert.deepEqual(of(process(0, 9_000)), [["complete", 1_000, 2_000]]);
  assert.deepEqual(of(process(0, 999), process(2_001, 2_002)), []);
  assert.deepEqual(of(process(1_300, 1_400), process(1_100, 1_300)), [["complete", 1_100, 1_400]]);
  assert.deepEqual(of(process(1_100, 1_200), process(1_201, 1_300)).length, 2);
  assert.deepEqual(of({ start: null, end: null, report: null }), []);
  assert.deepEqual(of({ start: at(1_100), end: null, report: null }), []);
  assert.deepEqual(of(), []);
});

test("stretchesOf() lays what is lost over what is complete, what is missing over what was declared", () => {
  const stream = { stream: 1, processes: [process(1_000, 2_000)] };
  const gaps = [
    gap(1_500, 1_600, "missing"),
    gap(1_550, 1_700),
    gap(1_200, 1_100),
    gap(1_300, 1_400, "missing", 2),
    gap(100, 200),
  ];
  assert.deepEqual(shown(stretchesOf(stream, gaps, RANGE)), [
    ["complete", 1_000, 2_000],
    ["gap", 1_550, 1_700],
    ["gap", 1_100, 1_200],
    ["missing", 1_500, 1_600],
  ]);
});

test("stretchesOf() never leaves the range, and its complete ones do not touch", () => {
  const time = fc.integer({ min: 0, max: 3_000 });
  const processes = fc.array(
    fc.tuple(time, time).map(([a, b]) => process(Math.min(a, b), Math.max(a, b))),
  );
  fc.assert(
    fc.property(processes, (list) => {
      const found = stretchesOf({ stream: 1, processes: list }, [], RANGE);
      for (const [index, { fromMs, toMs }] of found.entries()) {
        assert.ok(RANGE.fromMs <= fromMs && fromMs <= toMs && toMs <= RANGE.toMs);
        if (index > 0) assert.ok(found[index - 1].toMs < fromMs);
        assert.ok(percentAt(fromMs, RANGE) >= 0 && percentAt(toMs, RANGE) <= 100);
      }
      // Each ms is complete iff a process says so.
      for (let ms = RANGE.fromMs; ms <= RANGE.toMs; ms += 7) {
        const isComplete = list.some(({ start, end }) =>
          Date.parse(start) <= ms && ms <= Date.parse(end)
        );
        assert.equal(found.some(({ fromMs, toMs }) => fromMs <= ms && ms <= toMs), isComplete);
      }
    }),
    { seed: 1 },
  );
});

test("ticksOf() is round, within the range, and no more than what has room", () => {
  assert.deepEqual(ticksOf({ fromMs: 1_500, toMs: 4_000 }, 5), {
    ticks: [2_000, 3_000, 4_000],
    stepMs: 1_000,
  });
  fc.assert(
    fc.property(fc.nat(2 ** 31), fc.integer({ min: 1, max: 2 ** 31 }), (fromMs, lengthMs) => {
      const toMs = fromMs + lengthMs;
      const { ticks, stepMs } = ticksOf({ fromMs, toMs }, 8);
      assert.ok(ticks.length <= 9, `${ticks.length}`);
      for (const tick of ticks) assert.ok(tick % stepMs === 0 && tick >= fromMs && tick <= toMs);
    }),
    { seed: 1 },
  );
});
