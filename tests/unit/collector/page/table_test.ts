/** Goal: rows sort as people expect, lines of charts add up. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { WINDOW_MS_DEFAULT } from "../../../../src/limits.ts";
import {
  edgesS,
  lostOf,
  ratesOf,
  stacked,
  steps,
} from "../../../../src/collector/page/client/grid.js";
import { sorted } from "../../../../src/collector/page/client/table.js";

interface Row {
  readonly value: unknown;
  readonly place: number;
}

const valueOf = ({ value }: Row) => value;
const rowsOf = (values: readonly unknown[]): Row[] =>
  values.map((value, place) => ({ value, place }));
const sortedValues = (values: readonly unknown[], sort: string) =>
  sorted(rowsOf(values), sort, valueOf).map(valueOf);

test("sorted() orders counts of any kind exactly, texts by their numbers, the unknown last", () => {
  const counts = [1, 2n ** 53n + 1n, 2 ** 53, 0n, 5];
  assert.deepEqual(sortedValues(counts, "a"), [2n ** 53n + 1n, 2 ** 53, 5, 1, 0n]);
  assert.deepEqual(sortedValues(counts, "-a"), [0n, 1, 5, 2 ** 53, 2n ** 53n + 1n]);
  assert.deepEqual(sortedValues(["web-10", "web-9", "Web-1"], "-a"), ["Web-1", "web-9", "web-10"]);
  assert.deepEqual(sortedValues(["10.0.0.10", "10.0.0.9"], "-a"), ["10.0.0.9", "10.0.0.10"]);
  for (const unknown of [null, undefined, NaN]) {
    assert.deepEqual(sortedValues([1, unknown, 2, unknown, 0], "a"), [2, 1, 0, unknown, unknown]);
    assert.deepEqual(sortedValues([1, unknown, 2], "-a"), [1, 2, unknown]);
  }
});

test("sorted() is stable either way, changes nothing, and loses nothing", () => {
  const value = fc.oneof(fc.nat(3), fc.bigInt(0n, 3n), fc.constant(null));
  fc.assert(
    fc.property(fc.array(value, { size: "medium" }), fc.boolean(), (values, isUp) => {
      const rows = rowsOf(values);
      const before = [...rows];
      const found = sorted(rows, isUp ? "-a" : "a", valueOf);
      assert.deepEqual(rows, before);
      assert.deepEqual(new Set(found), new Set(rows));
      assert.equal(found.length, rows.length);
      for (let index = 1; index < found.length; index++) {
        const [a, b] = [found[index - 1], found[index]];
        if (a.value === null || b.value === null) {
          assert.ok(b.value === null);
          if (a.value === null) assert.ok(a.place < b.place);
        } else {
          const [left, right] = [Number(a.value), Number(b.value)];
          assert.ok(isUp ? left <= right : left >= right);
          if (left === right) assert.ok(a.place < b.place);
        }
      }
    }),
    { seed: 1, numRuns: 500 },
  );
});

test("sorted() without a column keeps the collector's order", () => {
  const rows = rowsOf([1, 3, 2]);
  assert.equal(sorted(rows, "", valueOf), rows);
});

test("ratesOf() is bits per second, null where nothing is known", () => {
  const line = { txBytes: [1, 0, null, 2n ** 60n], rxBytes: [1, 0, null, 0] };
  assert.deepEqual(ratesOf(line, 1_000), [16, 0, null, 2 ** 63]);
  assert.deepEqual(ratesOf(line, 5_000).slice(0, 2), [3.2, 0]);
  assert.deepEqual(ratesOf({ txBytes: [], rxBytes: [] }, 1_000), []);
});

test("ratesOf() tells a bucket that still fills by what was heard of it, and by a window at least", () => {
  const line = { txBytes: [6_000, 3_000, 0, 50], rxBytes: [0, 0, 0, 0] };
  const rates = (newestMs: number, stepMs = 60_000) =>
    ratesOf(line, stepMs, { fromMs: 1_000, newestMs });
  assert.deepEqual(rates(61_000 + 30_000), [800, 800, null, 400 / 60]);
  assert.deepEqual(rates(61_000 + 60_000), [800, 400, null, 400 / 60]);
  assert.deepEqual(rates(61_000 + 60_001)[2], 0);
  assert.deepEqual(rates(61_000 + 5_000)[1], 4_800);
  assert.deepEqual(rates(61_000 + 1)[1], 3_000 * 8_000 / WINDOW_MS_DEFAULT);
  assert.deepEqual(rates(61_000)[1], 400);
  // Steps that are no longer than a window are always whole.
  for (const partMs of [1, 2_500, 5_000, 9_000]) {
    assert.deepEqual(rates(6_000 + partMs, 5_000)[1], 4_800, `${partMs}`);
  }
  assert.deepEqual(rates(1e15), [800, 400, 0, 400 / 60]);
});

test("stacked(): the top line is the sum, no line is below the one under it, gaps stay gaps", () => {
  assert.deepEqual(stacked([]), []);
  assert.deepEqual(stacked([[1, null, null], [2, 3, null]]), [[1, 0, null], [3, 3, null]]);
  const value = fc.option(fc.nat(1_000_000));
  const lines = fc.nat(8).chain((length) =>
    fc.array(fc.array(value, { minLength: length, maxLength: length }), {
      minLength: 1,
      maxLength: 5,
    })
  );
  fc.assert(
    fc.property(lines, (values) => {
      const found = stacked(values);
      for (let at = 0; at < values[0].length; at++) {
        const known = values.map((line) => line[at]).filter((each) => each !== null);
        const top = found.at(-1)![at];
        assert.equal(top, known.length === 0 ? null : known.reduce((all, each) => all + each, 0));
        for (let index = 1; index < found.length && top !== null; index++) {
          assert.ok(found[index][at]! >= found[index - 1][at]!);
        }
      }
    }),
    { seed: 1 },
  );
});

test("edgesS(), steps() and lostOf() agree on ends", () => {
  assert.deepEqual(edgesS(10_000, 5_000, 2), [10, 15, 15, 20]);
  assert.deepEqual(edgesS(10_000, 5_000, 0), []);
  assert.deepEqual(steps([1, null]), [1, 1, null, null]);
  assert.deepEqual(steps([]), []);
  const gap = { from: "2026-01-31T12:00:00Z", to: "2026-01-31T12:00:05Z" };
  const fromMs = Date.UTC(2026, 0, 31, 12);
  assert.deepEqual(lostOf({ gaps: [gap] }), [{ fromMs, toMs: fromMs + 5_000 }]);
});
