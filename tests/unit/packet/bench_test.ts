/** Goal: the benchmark of offloads keeps running and does what it says. Method: a tiny run, and what it returns. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { checksumVariants, measure, offloadVariants } from "../../bench/offload_bench.ts";

const TINY = { rounds: 1, bytes: 1 };

test("offload_bench sums the same in every way", () => {
  const results = measure(checksumVariants(1_380), TINY);
  assert.equal(results.length, 6);
  assert.equal(new Set(results.map(({ checksum }) => checksum)).size, 1);
  for (const { nsPerPacket } of results) assert.equal(nsPerPacket.length, 1);
});

test("offload_bench segments all bytes and coalesces all packets, over both kinds of memory", () => {
  const results = measure(offloadVariants({ name: "TCPv4", version: 4, proto: 6 }), TINY);
  assert.deepEqual(results.map(({ name }) => name), [
    ...["segment TCPv4: webassembly", "coalesce TCPv4: webassembly"],
    ...["segment TCPv4: script", "coalesce TCPv4: script"],
  ]);
  const packets = Math.ceil((65_000 - 52) / (1_420 - 52));
  for (const { name, checksum } of results) {
    assert.equal(checksum, name.startsWith("coalesce") ? 1 : 65_000 + (packets - 1) * 52);
  }
});
