/** Goal: what benchmarks say of their samples is right. Method: samples whose answer is known. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { type Aim, aimTable } from "../../bench/support/aims.ts";
import { parseBenchOptions } from "../../bench/support/options.ts";
import { parsePings } from "../../bench/support/pings.ts";
import { resultRows, resultTable } from "../../bench/support/report.ts";
import {
  orderOf,
  pairedRatios,
  quantile,
  Samples,
  summarize,
} from "../../bench/support/statistics.ts";

test("quantile() lies between samples by their distance, whatever their order", () => {
  assert.equal(quantile([5], 0.9), 5);
  assert.equal(quantile([30, 10, 20], 0.5), 20);
  assert.equal(quantile([10, 20], 0.5), 15);
  assert.equal(quantile([0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100], 0.1), 10);
  assert.equal(quantile([2, 1], 0), 1);
  assert.equal(quantile([2, 1], 1), 2);
  assert.throws(() => quantile([], 0.5), RangeError);
  assert.deepEqual(summarize([1, 2, 3]), { median: 2, p10: 1.2, p90: 2.8 });
});

test("pairedRatios() compares samples of the same round only", () => {
  // The machine was half as fast in the second round; the ratio is the same.
  assert.deepEqual(pairedRatios([8, 4], [4, 2]), [2, 2]);
  assert.throws(() => pairedRatios([1, 2], [1]), RangeError);
});

test("orderOf() turns the order round every other time and leaves the list alone", () => {
  const contenders = ["a", "b", "c"];
  assert.deepEqual(orderOf(contenders, 0), ["a", "b", "c"]);
  assert.deepEqual(orderOf(contenders, 1), ["c", "b", "a"]);
  assert.deepEqual(orderOf(contenders, 2), ["a", "b", "c"]);
  assert.deepEqual(contenders, ["a", "b", "c"]);
});

const RATE = { name: "rate", unit: "Gbit/s", digits: 2 };

function rates(): Samples {
  const samples = new Samples();
  for (const value of [2, 4]) samples.add("rate", "base", value);
  for (const value of [4, 8]) samples.add("rate", "fast", value);
  return samples;
}

test("resultRows() has a row for each that was measured, with ratios to the base", () => {
  const rows = resultRows(rates(), [RATE], ["base", "fast", "absent"], "base");
  assert.deepEqual(rows.map(({ contender }) => contender), ["base", "fast"]);
  assert.deepEqual(rows[1]!.samples, [4, 8]);
  assert.equal(rows[1]!.summary.median, 6);
  assert.deepEqual(rows[1]!.ratio, { median: 2, p10: 2, p90: 2 });
  assert.match(
    resultTable(rows, [RATE], "base"),
    /^\| rate \| fast \| 6\.00 \| 4\.40 … 7\.60 \| Gbit\/s \| 2\.00 \| 2\.00 … 2\.00 \|$/m,
  );
});

test("resultRows() has no ratio where the base was not measured or is 0", () => {
  assert.equal(resultRows(rates(), [RATE], ["fast"], "absent")[0]!.ratio, null);
  const lost = new Samples();
  lost.add("rate", "base", 0);
  lost.add("rate", "fast", 0);
  const rows = resultRows(lost, [RATE], ["base", "fast"], "base");
  assert.equal(rows[1]!.ratio, null);
  assert.match(resultTable(rows, [RATE], "base"), /^\| rate \| fast \| 0\.00 .* \| {2}\| {2}\|$/m);
});

test("aimTable() says yes and no on both sides of each bound, of ratios and of values", () => {
  const aims: Aim[] = [
    { measure: "rate", of: "base", bound: "at least", value: 2 },
    { measure: "rate", of: "base", bound: "at least", value: 2.01 },
    { measure: "rate", of: null, bound: "at most", value: 6 },
    { measure: "rate", of: null, bound: "at most", value: 5.99 },
    { measure: "rate", of: "absent", bound: "at most", value: 1 },
    { measure: "rate", of: "base", bound: "at least", value: 2, contenders: ["absent"] },
    { measure: "other", of: null, bound: "at least", value: 1 },
  ];
  assert.deepEqual(aimTable(aims, rates(), ["fast"]).split("\n").slice(2), [
    "| rate | at least 2 of base | 2.00 yes |",
    "| rate | at least 2.01 of base | 2.00 no |",
    "| rate | at most 6 | 6.00 yes |",
    "| rate | at most 5.99 | 6.00 no |",
  ]);
  assert.equal(aimTable(aims, new Samples(), ["fast"]), "");
});

const DEFAULTS = {
  name: "x",
  contenders: ["a", "b", "c"],
  contendersByDefault: ["a", "b"],
  measures: ["m", "n"],
  rounds: 5,
  seconds: 3,
} as const;

test("parseBenchOptions() has defaults, short ones with --quick, and takes what is named", () => {
  assert.deepEqual(parseBenchOptions([], DEFAULTS), {
    quick: false,
    rounds: 5,
    seconds: 3,
    contenders: ["a", "b"],
    measures: ["m", "n"],
    jsonPath: "tests/out/bench-x.json",
  });
  const quick = parseBenchOptions(["--quick", "--rounds", "2"], DEFAULTS);
  assert.deepEqual([quick.quick, quick.rounds, quick.seconds], [true, 2, 1]);
  const args = ["--only", "c", "--only", "a", "--measure", "n", "--json", "f"];
  const { contenders, measures, jsonPath } = parseBenchOptions(args, DEFAULTS);
  assert.deepEqual([contenders, measures, jsonPath], [["a", "c"], ["n"], "f"]);
});

test("parseBenchOptions() refuses what it does not know", () => {
  for (
    const args of [
      ["--only", "d"],
      ["--measure", "a"],
      ["--rounds", "0"],
      ["--seconds", "1.5"],
      ["--rounds", "many"],
      ["--unknown"],
      ["word"],
    ]
  ) assert.throws(() => parseBenchOptions(args, DEFAULTS), TypeError, args.join(" "));
});

test("parsePings() reads the time of each answer and counts those that did not come", () => {
  const text = [
    "PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.",
    "64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.038 ms",
    "64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=12.5 ms",
    "",
    "--- 10.0.0.2 ping statistics ---",
    "3 packets transmitted, 2 received, 33.3333% packet loss, time 20ms",
    "rtt min/avg/max/mdev = 0.038/6.269/12.500/6.231 ms",
  ].join("\n");
  assert.deepEqual(parsePings(text), { sent: 3, timesUs: [38, 12_500] });
  assert.throws(() => parsePings("ping: unknown host"), /nothing of use/);
});
