/** Goal: the benchmark of filters keeps running and does what it says. Method: tiny runs, checksums of both forms. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { FILTERS, makeColumns, measure } from "../../bench/filter_bench.ts";

test("filter_bench selects the same rows by both forms, some of them and not all", () => {
  const columns = makeColumns(3_000);
  let selective = 0;
  for (const filter of FILTERS) {
    const [narrowing, closures] = measure(filter, columns, 2);
    assert.equal(narrowing.checksum, closures.checksum, filter);
    assert.equal(narrowing.selected, closures.selected, filter);
    assert.deepEqual([narrowing.nsPerRow.length, closures.nsPerRow.length], [2, 2]);
    if (narrowing.selected > 0 && narrowing.selected < 3_000) selective++;
  }
  assert.ok(selective >= FILTERS.length - 2, `${selective}`);
});
