// Goal: the benchmark cannot rot. Method: it runs tiny; its checksums tell that it did what it says.
import { test } from "node:test";
import assert from "node:assert/strict";
import { measureHandshakes, measureLookups } from "../../bench/handshake_bench.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";

test("handshake_bench completes every handshake that it counts", () => {
  for (const crypto of CRYPTO_PORTS) {
    const { ns, checksum } = measureHandshakes(crypto, { rounds: 2, handshakes: 3 });
    assert.equal(ns.length, 2);
    assert.ok(ns.every((value) => value > 0));
    // Warm-up included.
    assert.equal(checksum, 9);
  }
});

test("handshake_bench finds with the trie what it finds with the twin", () => {
  for (const family of [4, 6] as const) {
    const options = { rounds: 1, lookups: 300 };
    const fast = measureLookups(family, 50, { ...options, twin: false });
    const slow = measureLookups(family, 50, { ...options, twin: true });
    assert.equal(fast.checksum, slow.checksum);
    assert.ok(fast.checksum > 0);
  }
});
