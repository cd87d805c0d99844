/** Goal: the spool's benchmark runs and delivers all that it appends. Method: a tiny run; no times are judged. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measureCrc, measureSpool } from "../../bench/spool_bench.ts";

test("spool_bench: a tiny run delivers what it appends and leaves nothing behind", () => {
  const parent = mkdtempSync(join(tmpdir(), "tunlog-bench-test-"));
  try {
    const results = measureSpool({ rounds: 1, totalBytes: 64 * 1024, parent });
    assert.deepEqual(results.map(({ where }) => where), [
      ...["memory", "disk", "memory", "disk", "memory", "disk"],
    ]);
    for (const { entries, entryBytes, checksum } of results) {
      assert.ok(entries >= 4);
      assert.equal(checksum, entries * entryBytes);
    }
    assert.deepEqual(readdirSync(parent), []);
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
  assert.ok(measureCrc(2, 10_007).equal);
});
