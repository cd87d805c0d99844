/** Goal: planOf() reads the finest tier that can tell and reaches back; where none does, it says from when on it tells. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { needs } from "../../../src/collector/filter/mod.ts";
import { type Plan, planOf, type PlanWish, reaches } from "../../../src/collector/query/plan.ts";
import { QuestionError } from "../../../src/collector/query/question.ts";
import type { KeptSince } from "../../../src/collector/store.ts";
import { filterOf, HOUR_MS, MINUTE_MS, START_MS } from "./query_support.ts";

const DAY_MS = 24 * HOUR_MS;
const NOW_MS = START_MS + 1_000 * DAY_MS;
const RAW_MS = NOW_MS - 7 * DAY_MS;
const MINUTES_MS = NOW_MS - 30 * DAY_MS;
const HOURS_MS = NOW_MS - 400 * DAY_MS;

function keptOf(rawMs = RAW_MS, minuteMs = MINUTES_MS, hourMs = HOURS_MS): KeptSince {
  return { rawMs, minuteMs, hourMs, orphans: new Map() };
}

/** A range of `lengthMs` from `fromMs` on, and what else is wished for. */
function plan(
  fromMs: number,
  lengthMs: number,
  { filter = "", ...more }: Partial<PlanWish> & { filter?: string } = {},
): Plan {
  return planOf({
    range: { fromMs, toMs: fromMs + lengthMs },
    needs: needs(filterOf(filter)),
    dimensions: ["dst"],
    tier: "auto",
    stepMs: 0,
    needsRows: false,
    hasRates: false,
    kept: keptOf(),
    ...more,
  });
}

/** Tier, whether all of the range is kept, and how many notes there are. */
function shown({ source, range, kept, notes }: Plan): [string, boolean, number] {
  assert.equal(kept.toMs, range.toMs);
  return [source.tier, kept.fromMs === range.fromMs, notes.length];
}

const TEN = 10 * MINUTE_MS;
const FIVE = 5 * MINUTE_MS;

test("planOf() reads short ranges from raw as far back as raw reaches, to the ms, then from minutes, then hours", () => {
  assert.deepEqual(shown(plan(RAW_MS, FIVE)), ["raw", true, 0]);
  assert.deepEqual(shown(plan(RAW_MS - 1, FIVE)), ["minute", true, 1]);
  assert.deepEqual(shown(plan(MINUTES_MS, FIVE)), ["minute", true, 1]);
  assert.deepEqual(shown(plan(MINUTES_MS - 1, FIVE)), ["hour", true, 1]);
  assert.deepEqual(shown(plan(HOURS_MS, FIVE)), ["hour", true, 1]);
  assert.deepEqual(shown(plan(HOURS_MS - 1, FIVE)), ["hour", false, 2]);
  // The same for totals.
  const dimensions = ["class"] as const;
  for (const [fromMs, tier] of [[RAW_MS, "raw"], [RAW_MS - 1, "minute"]] as const) {
    const { source } = plan(fromMs, FIVE, { dimensions });
    assert.deepEqual([source.from, source.tier], ["totals", tier]);
  }
});

test("planOf() widens the range to what it reads, and names the tier that is gone and till when", () => {
  const { range, kept, notes } = plan(MINUTES_MS - 1, TEN);
  assert.deepEqual(range, { fromMs: MINUTES_MS - HOUR_MS, toMs: MINUTES_MS + HOUR_MS });
  assert.deepEqual(kept, range);
  const day = new Date(MINUTES_MS).toISOString().slice(0, 10);
  assert.deepEqual(notes, [
    `Sums of minutes up to ${day}T10:00:00Z are no longer kept: read from sums of hours instead`,
  ]);
});

test("planOf() says from when on it tells, and reads nothing before", () => {
  const half = plan(RAW_MS - FIVE, TEN, { filter: "sport 53" });
  assert.deepEqual(half.kept, { fromMs: RAW_MS, toMs: RAW_MS + FIVE });
  assert.match(half.notes[0], /^Single windows up to .*: what is told is of the time behind$/);
  const none = plan(RAW_MS - TEN, TEN, { filter: "sport 53" });
  assert.deepEqual(none.kept, { fromMs: RAW_MS, toMs: RAW_MS });
  assert.match(none.notes[0], /: nothing is told$/);
  const older = plan(RAW_MS - DAY_MS, TEN, { filter: "sport 53" });
  assert.equal(older.kept.fromMs, older.range.toMs);
});

test("planOf() puts no roll-up in the place of what only windows tell", () => {
  const old = RAW_MS - DAY_MS;
  for (
    const more of [
      { filter: "sport 53" },
      { filter: "folded" },
      { dimensions: ["sport"] },
      { stepMs: 10_000 },
      { stepMs: 90_000 },
    ] as const
  ) assert.deepEqual(shown(plan(old, TEN, more)), ["raw", false, 1], JSON.stringify(more));
  // Compared with sums, and said so, as over a long time.
  const { source, notes } = plan(old, TEN, { filter: "bytes > 1k" });
  assert.equal(source.tier, "minute");
  assert.equal(notes.length, 2);
  assert.match(notes[1], /are compared with sums of the tier "minute"/);
  assert.equal(plan(RAW_MS, 2 * DAY_MS, { filter: "folded" }).source.tier, "raw");
});

test("planOf() keeps to steps: hours only for whole hours, finer tiers where these reach further", () => {
  const old = MINUTES_MS - DAY_MS;
  assert.deepEqual(shown(plan(old, DAY_MS, { stepMs: MINUTE_MS })), ["minute", false, 1]);
  assert.deepEqual(shown(plan(old, DAY_MS, { stepMs: HOUR_MS })), ["hour", true, 0]);
  assert.deepEqual(shown(plan(old, DAY_MS, { stepMs: 3 * MINUTE_MS / 2 })), ["raw", false, 1]);
  const minuteGone = keptOf(HOURS_MS, NOW_MS, NOW_MS);
  const more = { stepMs: MINUTE_MS, kept: minuteGone };
  assert.deepEqual(shown(plan(old, DAY_MS, more)), ["raw", true, 1]);
  const hoursGone = keptOf(HOURS_MS, HOURS_MS, NOW_MS);
  assert.deepEqual(shown(plan(old, DAY_MS, { stepMs: HOUR_MS, kept: hoursGone })), [
    "minute",
    true,
    1,
  ]);
});

test("planOf() takes what reaches furthest where nothing reaches, the preferred of equals", () => {
  assert.deepEqual(shown(plan(START_MS, FIVE, { kept: keptOf(NOW_MS, NOW_MS, NOW_MS) })), [
    "raw",
    false,
    1,
  ]);
  const kept = keptOf(NOW_MS, RAW_MS, RAW_MS + DAY_MS);
  assert.deepEqual(shown(plan(START_MS, FIVE, { kept })), ["minute", false, 2]);
});

test("planOf() reads one sum over a long time by hours and minutes while it can, else by hours", () => {
  const long = 40 * DAY_MS;
  const from = MINUTES_MS - 5 * DAY_MS;
  // On the hour no minutes are needed at the start; at the end they are there.
  assert.deepEqual(shown(plan(from, long)), ["sum", true, 0]);
  assert.deepEqual(shown(plan(from, long + MINUTE_MS)), ["sum", true, 0]);
  assert.deepEqual(shown(plan(from + MINUTE_MS, long)), ["hour", true, 1]);
  // At the end they are gone too.
  assert.deepEqual(shown(plan(from, 2 * DAY_MS)), ["sum", true, 0]);
  assert.deepEqual(shown(plan(from, 2 * DAY_MS + MINUTE_MS)), ["hour", true, 1]);
  assert.deepEqual(shown(plan(from, 5 * DAY_MS + MINUTE_MS)), ["sum", true, 0]);
  assert.deepEqual(shown(plan(from, 5 * DAY_MS - MINUTE_MS)), ["hour", true, 1]);
  // Asked for, it is taken: with what of it is kept.
  assert.deepEqual(shown(plan(from, HOUR_MS / 2, { tier: "sum" })), ["sum", false, 1]);
  const asked = plan(from + MINUTE_MS, long, { tier: "sum" });
  assert.deepEqual([asked.source.tier, asked.kept.fromMs], ["sum", MINUTES_MS]);
  // Rates want buckets of one length.
  assert.equal(plan(from, long, { hasRates: true }).source.tier, "hour");
  assert.equal(plan(RAW_MS, 2 * DAY_MS, { hasRates: true }).source.tier, "minute");
  assert.equal(plan(RAW_MS, 2 * DAY_MS + 1, { hasRates: true }).source.tier, "hour");
  assert.equal(plan(from, 2 * DAY_MS, { hasRates: true }).source.tier, "hour");
});

test("planOf() takes bounds that are not whole for the end of their bucket", () => {
  const kept = keptOf(RAW_MS, MINUTES_MS + 1, HOURS_MS + 1);
  assert.equal(plan(MINUTES_MS, TEN, { kept, tier: "minute" }).kept.fromMs, MINUTES_MS + MINUTE_MS);
  assert.equal(plan(HOURS_MS, DAY_MS, { kept, tier: "hour" }).kept.fromMs, HOURS_MS + HOUR_MS);
  assert.equal(plan(HOURS_MS, DAY_MS, { kept, tier: "sum" }).kept.fromMs, HOURS_MS + HOUR_MS);
  const edge = plan(MINUTES_MS - MINUTE_MS, DAY_MS, { kept, tier: "sum" });
  assert.equal(edge.kept.fromMs, MINUTES_MS + MINUTE_MS);
});

test("planOf() honours a tier that is asked for, whatever is kept; reaches() takes 0 for ever", () => {
  assert.deepEqual(shown(plan(RAW_MS - FIVE, TEN, { tier: "raw" })), ["raw", false, 1]);
  assert.deepEqual(shown(plan(RAW_MS, TEN, { tier: "raw" })), ["raw", true, 0]);
  assert.deepEqual(shown(plan(RAW_MS, DAY_MS, { tier: "minute" })), ["minute", true, 0]);
  assert.throws(() => plan(RAW_MS, TEN, { tier: "minute", stepMs: 5_000 }), QuestionError);
  assert.throws(() => plan(RAW_MS, TEN, { tier: "hour", stepMs: MINUTE_MS }), QuestionError);
  assert.throws(() => plan(RAW_MS, TEN, { tier: "sum", stepMs: HOUR_MS }), QuestionError);
  assert.deepEqual(shown(plan(-DAY_MS, FIVE, { kept: keptOf(0, 0, 0) })), ["raw", true, 0]);
  assert.deepEqual([reaches(-5, 0), reaches(4, 5), reaches(5, 5)], [true, false, true]);
});
