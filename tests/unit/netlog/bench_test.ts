/** Goal: the benchmark of messages keeps running and does what it says. Method: tiny runs, checksums twice. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { EXIT_MODES } from "../../../src/netlog/mod.ts";
import { measure } from "../../bench/classify_bench.ts";

test("classify_bench measures both mixes, with a checksum that depends on nothing but its work", () => {
  const checksums = (["peers", "distinct"] as const).flatMap((mix) =>
    [10, 100].map((routes) => {
      const [a, b] = [1, 2].map((rounds) => measure(mix, { routes, flows: 500, rounds }));
      assert.equal(a.checksum, b.checksum);
      assert.deepEqual([a.nsPerFlow.length, b.nsPerFlow.length], [1, 2]);
      assert.equal(a.messages, 1);
      // Most rows are written, not summed up.
      assert.ok(a.messageBytes > 500 * 80, `${a.messageBytes} bytes`);
      return a.checksum;
    })
  );
  // Distinct addresses lie in wide routes, so that their number changes nothing.
  assert.equal(new Set(checksums).size, 3);
});

test("classify_bench knows every exit mode, and no other", () => {
  const bytes = EXIT_MODES.map((exitMode) =>
    measure("peers", { routes: 10, flows: 500, rounds: 1, exitMode }).messageBytes
  );
  assert.ok(bytes[0] < bytes[2] && bytes[2] < bytes[4], bytes.join());
  assert.throws(
    () => measure("peers", { routes: 10, flows: 1, rounds: 1, exitMode: "none" }),
    RangeError,
  );
});
