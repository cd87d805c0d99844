/** Goal: the benchmark of the banks keeps running and counts what it says. Method: a tiny run, its checksum twice. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { bankCounter, measure } from "../../bench/flow_bench.ts";

test("flow_bench measures every mix, with a checksum that depends on nothing but its work", () => {
  const checksums = (["v4", "v6", "mixed"] as const).map((mix) => {
    const [a, b] = [1, 2].map(() =>
      measure(mix, 100, { rounds: 1, packets: 2_000, ...bankCounter(128) })
    );
    assert.equal(a.checksum, b.checksum);
    assert.equal(a.nsPerPacket.length, 1);
    return a.checksum;
  });
  assert.equal(new Set(checksums).size, 3);
});
