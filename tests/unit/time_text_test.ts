/** Goal: times are written as the original writes them and read in any zone. Method: its forms, both ends, inverses. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { msOfNs, NS_PER_MS, nsOfWallMs, parseTime, timeText } from "../../src/time_text.ts";

const SEED = 41;
/** 0001-01-01T00:00:00Z and the last nanosecond of 9999. */
const NS_MIN = -62_135_596_800_000_000_000n;
const NS_MAX = 253_402_300_799_999_999_999n;

test("timeText() cuts zeros and a bare dot away", () => {
  const base = 1_665_692_589_000_000_000n;
  const cases: [bigint, string][] = [
    [0n, ""],
    [644_000_000n, ".644"],
    [644_000_001n, ".644000001"],
    [100_000_000n, ".1"],
    [1n, ".000000001"],
    [10n, ".00000001"],
    [1_000n, ".000001"],
    [999_999_999n, ".999999999"],
  ];
  for (const [ns, fraction] of cases) {
    assert.equal(timeText(base + ns), `2022-10-13T20:23:09${fraction}Z`);
  }
});

test("timeText() writes years 1 to 9999 and no others, before 1970 too", () => {
  assert.equal(timeText(NS_MIN), "0001-01-01T00:00:00Z");
  assert.equal(timeText(NS_MAX), "9999-12-31T23:59:59.999999999Z");
  assert.equal(timeText(-1n), "1969-12-31T23:59:59.999999999Z");
  assert.throws(() => timeText(NS_MIN - 1n), RangeError);
  assert.throws(() => timeText(NS_MAX + 1n), RangeError);
});

test("parseTime() reads any zone and up to nine digits of a fraction", () => {
  const ns = 1_665_692_589_644_000_000n;
  for (
    const text of [
      "2022-10-13T20:23:09.644Z",
      "2022-10-13T20:23:09.644000000Z",
      "2022-10-13T22:23:09.644+02:00",
      "2022-10-13T14:53:09.644-05:30",
      "2022-10-14T20:22:09.644+23:59",
      "2022-10-13T20:23:09.644-00:00",
    ]
  ) assert.equal(parseTime(text), ns, text);
  assert.equal(parseTime("2024-02-29T23:59:59Z"), 1_709_251_199_000_000_000n);
  assert.equal(parseTime("1969-12-31T23:59:59.999999999Z"), -1n);
});

test("parseTime() refuses what is not RFC 3339, or no day or hour", () => {
  for (
    const text of [
      "",
      "2022-10-13",
      "2022-10-13T20:23:09",
      "2022-10-13 20:23:09Z",
      "2022-10-13t20:23:09z",
      "2022-10-13T20:23Z",
      "2022-10-13T20:23:09.Z",
      "2022-10-13T20:23:09.1234567890Z",
      "2022-10-13T20:23:09,5Z",
      "2022-10-13T24:00:00Z",
      "2022-10-13T20:60:00Z",
      "2022-10-13T20:23:60Z",
      "2022-13-01T00:00:00Z",
      "2022-00-01T00:00:00Z",
      "2022-02-29T00:00:00Z",
      "2022-02-30T00:00:00Z",
      "2022-04-31T00:00:00Z",
      "2022-10-00T00:00:00Z",
      "2022-10-13T20:23:09+24:00",
      "2022-10-13T20:23:09+02:60",
      "2022-10-13T20:23:09+0200",
      "+02022-10-13T20:23:09Z",
      " 2022-10-13T20:23:09Z",
      "2022-10-13T20:23:09Z\n",
    ]
  ) assert.equal(parseTime(text), null, text);
});

test("parseTime() refuses what timeText() could not write", () => {
  assert.equal(parseTime("0001-01-01T00:00:00Z"), NS_MIN);
  assert.equal(parseTime("9999-12-31T23:59:59.999999999Z"), NS_MAX);
  assert.equal(parseTime("0001-01-01T00:00:00+00:01"), null);
  assert.equal(parseTime("9999-12-31T23:59:59-00:01"), null);
  assert.equal(parseTime("0000-12-31T23:59:59Z"), null);
});

test("parseTime(timeText(x)) is x", () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: NS_MIN, max: NS_MAX }),
      fc.constantFrom(1n, 1_000n, NS_PER_MS),
      (any, step) => {
        const ns = any / step * step;
        assert.equal(parseTime(timeText(ns)), ns);
      },
    ),
    { seed: SEED, numRuns: 2_000 },
  );
});

test("nsOfWallMs() cuts fractions off downwards and stays within what can be written", () => {
  assert.equal(nsOfWallMs(0), 0n);
  assert.equal(nsOfWallMs(1.999), NS_PER_MS);
  assert.equal(nsOfWallMs(-0.001), -NS_PER_MS);
  assert.equal(nsOfWallMs(-Infinity), NS_MIN);
  assert.equal(nsOfWallMs(Infinity), NS_MAX - NS_PER_MS + 1n);
  assert.equal(nsOfWallMs(8.64e15), NS_MAX - NS_PER_MS + 1n);
});

test("msOfNs() rounds down on both sides of 1970", () => {
  const cases: [bigint, number][] = [[0n, 0], [999_999n, 0], [1_000_000n, 1], [-1n, -1], [
    -1_000_000n,
    -1,
  ], [-1_000_001n, -2]];
  for (const [ns, ms] of cases) assert.equal(msOfNs(ns), ms);
});
