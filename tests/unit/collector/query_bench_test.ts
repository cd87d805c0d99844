/** The benchmark of queries runs, so that it cannot rot. Its numbers are not looked at here. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { measureGroups, measureQueries } from "../../bench/query_bench.ts";

test("query_bench.ts groups rows and asks a store every question", async () => {
  const groups = measureGroups(8_192, 1);
  assert.equal(Object.keys(groups).length, 4);
  for (const [by, perSecond] of Object.entries(groups)) assert.ok(perSecond > 0, by);
  const times = await measureQueries(20_000, 1);
  assert.equal(times.length, 10);
  for (const { name, rowsRead, medianMs } of times) assert.ok(rowsRead > 0 && medianMs > 0, name);
});
