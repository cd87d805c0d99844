/** Goal: overlay addresses are told from others. Method: the original's cases (SPEC 8.4), ranges of one's own, the twin. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { ConfigError } from "../../../src/errors.ts";
import { OVERLAY_RANGES_MAX } from "../../../src/limits.ts";
import { parseAddress } from "../../../src/packet/mod.ts";
import { OverlayRanges } from "../../../src/netlog/mod.ts";
import { isOverlay } from "../../reference/classify_twin.ts";
import { anyAddress } from "./support.ts";

const SEED = 33;

function contains(ranges: OverlayRanges, text: string): boolean {
  const { family, addressWords } = parseAddress(text)!;
  return ranges.contains(addressWords, 0, family);
}

test("OverlayRanges are Tailscale's by default", () => {
  const ranges = new OverlayRanges();
  const cases: Record<string, boolean> = {
    "100.67.19.57": true,
    "10.10.10.10": false,
    "fd7a:115c:a1e0:3f2b:7a1d:4e88:9c2b:7f01": true,
    "bc9d:aa0:1f0a:69ab:eb5c:28e0:5456:a518": false,
    "100.115.92.157": false,
    "::ffff:100.67.19.57": true,
    "::ffff:10.10.10.10": false,
    "::ffff:100.115.92.157": false,
    // ChromeOS's range, and both sides of each range's ends.
    "100.101.102.103": true,
    "100.115.91.255": true,
    "100.115.92.0": false,
    "100.115.93.255": false,
    "100.115.94.0": true,
    "100.63.255.255": false,
    "100.64.0.0": true,
    "100.127.255.255": true,
    "100.128.0.0": false,
    "fd7a:115c:a1df:ffff:ffff:ffff:ffff:ffff": false,
    "fd7a:115c:a1e0::": true,
    "fd7a:115c:a1e0:ffff:ffff:ffff:ffff:ffff": true,
    "fd7a:115c:a1e1::": false,
    // Only the form that stands for an IPv4 address is judged as one.
    "::100.67.19.57": false,
    "::fffe:100.67.19.57": false,
    "0:1::ffff:100.67.19.57": false,
    "0:0:1::ffff:100.67.19.57": false,
    "0:0:0:1:0:ffff:100.67.19.57": false,
    "::1:ffff:100.67.19.57": false,
    "1::ffff:100.67.19.57": false,
  };
  for (const [text, expected] of Object.entries(cases)) {
    assert.equal(contains(ranges, text), expected, text);
  }
});

test("OverlayRanges reads at its offset", () => {
  const words = new Uint32Array(9);
  words.set(parseAddress("::ffff:100.67.19.57")!.addressWords, 3);
  assert.ok(new OverlayRanges().contains(words, 3, 6));
  assert.ok(!new OverlayRanges().contains(words, 4, 6));
});

test("OverlayRanges: the longest range around an address decides, exception or not", () => {
  const ranges = new OverlayRanges(["10.0.0.0/8", "!10.1.0.0/16", "10.1.2.0/24", "!10.1.2.3"]);
  assert.ok(contains(ranges, "10.0.0.1"));
  assert.ok(!contains(ranges, "10.1.1.1"));
  assert.ok(contains(ranges, "10.1.2.4"));
  assert.ok(!contains(ranges, "10.1.2.3"));
  assert.ok(!contains(ranges, "100.64.0.1"), "ranges of one's own take the place of the default");
});

test("OverlayRanges equals the rule of the original for any address", () => {
  const ranges = new OverlayRanges();
  fc.assert(
    fc.property(anyAddress.filter((text) => text !== ""), (text) => {
      assert.equal(contains(ranges, text), isOverlay(parseAddress(text)!), text);
    }),
    { seed: SEED, numRuns: 2_000 },
  );
});

test("OverlayRanges refuses what is no prefix, naming it", () => {
  for (const text of ["", "!", "10.0.0.0/33", "hello", "!!10.0.0.0/8", "10.0.0.0/8 "]) {
    assert.throws(() => new OverlayRanges([text]), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.ok(error.message.includes(JSON.stringify(text)), error.message);
      return true;
    });
  }
});

test("OverlayRanges takes OVERLAY_RANGES_MAX ranges and no more", () => {
  const ranges = Array.from(
    { length: OVERLAY_RANGES_MAX + 1 },
    (_, n) => `10.${n >>> 16}.${(n >>> 8) & 255}.${n & 255}`,
  );
  const most = new OverlayRanges(ranges.slice(1));
  assert.ok(!contains(most, ranges[0]));
  assert.ok(contains(most, ranges[OVERLAY_RANGES_MAX]));
  assert.throws(() => new OverlayRanges(ranges), ConfigError);
});
