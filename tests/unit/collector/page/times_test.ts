/**
 * Goal: a time is shown as the clock on the wall, also where that jumps; ranges are what their texts say. Method: time zones
 * set for the test, borders of units and of days.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import process from "node:process";
import fc from "fast-check";
import { timeParameter } from "../../../../src/collector/mod.ts";
import {
  agoText,
  axisTexts,
  changedRange,
  clockText,
  durationText,
  inputText,
  localText,
  rangeOf,
  rangeText,
  timeOf,
  utcText,
} from "../../../../src/collector/page/client/times.js";

const NOW = Date.UTC(2026, 0, 31, 12, 0, 5);
const HOUR = 3_600_000;

function inZone(zone: string, run: () => void): void {
  const { TZ } = process.env;
  process.env.TZ = zone;
  try {
    run();
  } finally {
    if (TZ === undefined) delete process.env.TZ;
    else process.env.TZ = TZ;
  }
}

test("localText() is the wall's time, utcText() the world's, on either side of a change of clocks", () => {
  inZone("Europe/Berlin", () => {
    const spring = Date.UTC(2026, 2, 29, 1);
    assert.equal(localText(spring - 1_000), "2026-03-29 01:59:59");
    assert.equal(localText(spring), "2026-03-29 03:00:00");
    const autumn = Date.UTC(2026, 9, 25, 1);
    assert.equal(localText(autumn - 1), "2026-10-25 02:59:59");
    assert.equal(localText(autumn), "2026-10-25 02:00:00");
    assert.equal(utcText(autumn), "2026-10-25 01:00:00 UTC");
    assert.equal(clockText(spring), "03:00:00");
    assert.equal(inputText(spring), "2026-03-29T03:00:00");
  });
  inZone("Asia/Kathmandu", () => assert.equal(localText(NOW), "2026-01-31 17:45:05"));
  inZone("America/St_Johns", () => assert.equal(localText(NOW), "2026-01-31 08:30:05"));
  inZone("UTC", () => assert.equal(localText(0), "1970-01-01 00:00:00"));
  assert.equal(utcText(NOW + 7), "2026-01-31 12:00:05.007 UTC");
});

test("inputText() is what a browser's field reads back, but for parts of a second", () => {
  for (const zone of ["UTC", "Europe/Berlin", "Pacific/Chatham"]) {
    inZone(zone, () => {
      // Not within the hour that is there twice: its text stands for either.
      for (const ms of [NOW, Date.UTC(2026, 2, 29, 0, 59, 59), Date.UTC(2026, 6, 1), 0]) {
        assert.equal(Date.parse(inputText(ms)), ms, zone);
      }
    });
  }
});

test("axisTexts() names the day where it begins, and seconds where they tell", () => {
  inZone("Europe/Berlin", () => {
    const midnight = Date.UTC(2026, 0, 30, 23) / 1_000;
    const ticks = (step: number, count = 4, from = midnight - 2 * step) =>
      axisTexts(Array.from({ length: count }, (_, index) => from + index * step), step);
    assert.deepEqual(ticks(5), ["23:59:50", "23:59:55", "00:00:00\n01-31", "00:00:05"]);
    assert.deepEqual(ticks(60), ["23:58", "23:59", "00:00\n01-31", "00:01"]);
    assert.deepEqual(ticks(3_600, 3, midnight), ["00:00\n01-31", "01:00", "02:00"]);
    assert.deepEqual(ticks(43_200), ["00:00\n01-30", "12:00", "00:00\n01-31", "12:00"]);
    assert.deepEqual(ticks(86_400), ["01-29", "01-30", "01-31", "02-01"]);
    assert.deepEqual(ticks(90, 3), ["23:57:00", "23:58:30", "00:00:00\n01-31"]);
    // The night that has 25 hours: the hour that comes twice is told twice, the day once.
    const autumn = Date.UTC(2026, 9, 24, 22) / 1_000;
    assert.deepEqual(ticks(3_600, 5, autumn), ["00:00\n10-25", "01:00", "02:00", "02:00", "03:00"]);
    const spring = Date.UTC(2026, 2, 28, 23) / 1_000;
    assert.deepEqual(ticks(3_600, 4, spring), ["00:00\n03-29", "01:00", "03:00", "04:00"]);
    assert.deepEqual(axisTexts([], 60), []);
  });
  // A day that begins at one o'clock.
  inZone("Africa/Cairo", () => {
    const spring = Date.UTC(2024, 3, 25, 20) / 1_000;
    const hours = [0, 1, 2, 3].map((hour) => spring + hour * 3_600);
    assert.deepEqual(axisTexts(hours, 3_600), ["22:00", "23:00", "01:00\n04-26", "02:00"]);
  });
});

test("durationText() is cut to its two greatest units", () => {
  const cases: readonly [number, string][] = [
    ...([[0, "0 ms"], [999, "999 ms"], [999.4, "999 ms"], [999.5, "1 s"]] as [number, string][]),
    ...([[59_999, "59 s"], [60_000, "1 min"], [61_000, "1 min 1 s"]] as [number, string][]),
    ...([[HOUR - 1, "59 min 59 s"], [HOUR, "1 h"], [HOUR + 59_999, "1 h"]] as [number, string][]),
    ...([[24 * HOUR, "1 d"], [51 * HOUR, "2 d 3 h"], [-5_000, "5 s"]] as [number, string][]),
  ];
  for (const [ms, text] of cases) assert.equal(durationText(ms), text, `${ms}`);
  assert.equal(agoText(NOW - 999, NOW), "now");
  assert.equal(agoText(NOW + 5_000, NOW), "now");
  assert.equal(agoText(NOW - 1_000, NOW), "1 s ago");
});

test("timeOf() takes what the collector takes, and knows no time that it does not", () => {
  const { read } = timeParameter("A time", null);
  const collectors = (text: string) => {
    try {
      return read(text, NOW);
    } catch {
      return null;
    }
  };
  const texts = [
    ...["now", "-1s", "-15m", "-1h", "-7d", "-2w", "-0s", "0", "1769860800000", "253402300799999"],
    ...["253402300800000", "-999999999w", "-3000w", "999999999999999", `-${NOW / 1_000}s`],
  ];
  for (const text of texts) assert.equal(timeOf(text, NOW), collectors(text), text);
  assert.equal(timeOf(`-${NOW / 1_000 + 1}s`, NOW), null);
  // What others may write into an address.
  for (
    const text of [
      ...[
        "",
        " ",
        "-",
        "-1",
        "-1x",
        "-h",
        "--1h",
        "1h",
        "+1h",
        "-1.5h",
        "-1h ",
        "NaN",
        "1e9",
        "now-1h",
      ],
      ...["-1H", "0x10", "١", "1769860800000.5", "constructor", "-1234567890s", "1234567890123456"],
    ]
  ) assert.equal(timeOf(text, NOW), null, text);
});

test("rangeOf() is null unless it has a length; rangeText() says what people call it", () => {
  assert.deepEqual(rangeOf({ from: "-1h", to: "now" }, NOW), { fromMs: NOW - HOUR, toMs: NOW });
  assert.equal(rangeOf({ from: "now", to: "now" }, NOW), null);
  assert.equal(rangeOf({ from: "5", to: "5" }, NOW), null);
  assert.deepEqual(rangeOf({ from: "5", to: "6" }, NOW), { fromMs: 5, toMs: 6 });
  assert.equal(rangeOf({ from: "x", to: "now" }, NOW), null);
  inZone("UTC", () => {
    const cases: readonly [string, string, string][] = [
      ["-1h", "now", "Last hour"],
      ["-15m", "now", "Last 15 minutes"],
      ["-2w", "now", "Last 2 weeks"],
      ["-1h", "-1m", "2026-01-31 11:00:05 – 11:59:05"],
      ["-1d", "-1m", "2026-01-30 12:00:05 – 2026-01-31 11:59:05"],
      ["0", "1000", "1970-01-01 00:00:00 – 00:00:01"],
      ["<b>", "now", "<b> – now"],
    ];
    for (const [from, to, text] of cases) assert.equal(rangeText({ from, to }, NOW), text);
  });
});

test("changedRange() keeps length when it moves, middle when it scales, and is a range whatever is asked", () => {
  assert.deepEqual(changedRange({ fromMs: 10_000, toMs: 20_000 }, { move: -0.5 }), {
    fromMs: 5_000,
    toMs: 15_000,
  });
  assert.deepEqual(changedRange({ fromMs: 10_000, toMs: 20_000 }, { scale: 2 }), {
    fromMs: 5_000,
    toMs: 25_000,
  });
  assert.deepEqual(changedRange({ fromMs: 0, toMs: 1_000 }, { move: -0.5 }), {
    fromMs: 0,
    toMs: 500,
  });
  fc.assert(
    fc.property(
      fc.tuple(fc.integer({ min: 0, max: NOW }), fc.integer({ min: 1, max: NOW })),
      fc.double({ min: -1, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 4, noNaN: true }),
      ([fromMs, length], move, scale) => {
        const found = changedRange({ fromMs, toMs: fromMs + length }, { move, scale });
        assert.ok(
          found.fromMs >= 0 && Number.isInteger(found.fromMs) && Number.isInteger(found.toMs),
        );
        if (found.fromMs > 0) assert.ok(found.toMs - found.fromMs >= 999);
      },
    ),
    { seed: 1 },
  );
});
