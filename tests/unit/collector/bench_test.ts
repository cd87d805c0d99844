/** The benchmark of ingest runs, so that it cannot rot. Its numbers are not looked at here. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { measureIngest } from "../../bench/ingest_bench.ts";

test("ingest_bench.ts reads every row by every way", async () => {
  const results = await measureIngest(1, 1);
  assert.equal(Object.keys(results).length, 8);
  for (const [name, perSecond] of Object.entries(results)) assert.ok(perSecond > 0, name);
});
