/**
 * Where a question reads, and over which range exactly.
 *
 * In: range, what filter and groups look at, since when each tier is kept. Out: the source, the range widened to its buckets,
 * and how much of it the source holds. Rules for the tier that is read if it reaches back far enough, in this order:
 *  1. what only rows tell (source ports, what was folded, steps below a minute) is read from `raw`; so are filters by bytes, packets or rate
 *     up to QUERY_RAW_FILTER_MS_MAX, for in a roll-up they would compare sums of many windows;
 *  2. questions by class and node only, filtered by nothing else, are answered from `totals`;
 *  3. short ranges are read from `raw`, to the millisecond;
 *  4. all else from roll-ups: minutes, hours for steps of hours, `sum` for one sum over a long time.
 * Where it does not, another that can tell takes its place: the finest of the coarser ones that reaches, else the coarsest of
 * the finer ones. If none reaches, the one that reaches furthest is read, and the answer is of what of the range is kept: the
 * rows that are left of earlier times are a part of unknown size. Notes say all of that.
 * Ranges of roll-ups are widened to whole minutes or hours and the answer says so.
 */
import { QUERY_RAW_FILTER_MS_MAX, QUERY_RAW_MS_MAX } from "../../limits.ts";
import type { FilterNeeds } from "../filter/mod.ts";
import type { KeptSince } from "../store.ts";
import { type Dimension, QuestionError, type Range, type TierChoice } from "./question.ts";
import { timeJson } from "./times.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Ranges from which on whole hours take the place of minutes in one sum. */
const SUM_MS_MIN = 2 * HOUR_MS;
/** Longest range whose rates are those of minutes. */
const RATES_BY_MINUTE_MS_MAX = 2 * 86_400_000;

/** A tier of the store. */
export type Tier = Exclude<TierChoice, "auto">;

/** From fine to coarse. */
const TIERS_BY_LENGTH: readonly Tier[] = ["raw", "minute", "sum", "hour"];

/** Where rows are read. */
export type Source =
  | { readonly from: "rows"; readonly tier: Tier }
  | {
    readonly from: "totals";
    readonly tier: Tier;
    /** Whether nobody asks which stream it was. */
    readonly isSummed: boolean;
  };

/** See file header. */
export interface Plan {
  readonly source: Source;
  readonly range: Range;
  /** The part of the range that is kept, and that is read: all of it, its end, or nothing (from = to). */
  readonly kept: Range;
  /** Length of the source's buckets; 0 = windows, or mixed. */
  readonly bucketMs: number;
  /** What the reader of the answer should know. */
  readonly notes: readonly string[];
}

/** What a question wants of its plan. */
export interface PlanWish {
  readonly range: Range;
  readonly needs: FilterNeeds;
  readonly dimensions: readonly Dimension[];
  readonly tier: TierChoice;
  /** Buckets of the answer; 0 = one sum. */
  readonly stepMs: number;
  /** Whether rows themselves are counted or told apart, so that totals will not do. */
  readonly needsRows: boolean;
  /** Whether buckets must be of one length. */
  readonly hasRates: boolean;
  readonly kept: KeptSince;
}

/** @throws {QuestionError} If a tier was asked for that cannot tell. */
export function planOf(wish: PlanWish): Plan {
  const notes: string[] = [];
  const source = sourceOf(wish, notes);
  noteComparison(wish, source, notes);
  return planned(wish, source, notes);
}

function sourceOf(wish: PlanWish, notes: string[]): Source {
  const { needs, dimensions, tier } = wish;
  if (tier !== "auto") {
    refuseTier(wish, tier);
    return { from: "rows", tier };
  }
  const isTotals = !wish.needsRows && !needsRows(needs) &&
    dimensions.every((dimension) => dimension === "class" || dimension === "node");
  const preferred = preferredTier(wish, isTotals);
  const reaching = reachingTier(wish, preferred);
  if (reaching !== preferred) notes.push(replacedNote(wish, preferred, reaching));
  if (!isTotals) return { from: "rows", tier: reaching };
  return {
    from: "totals",
    tier: reaching,
    isSummed: !needs.nodes && !dimensions.includes("node"),
  };
}

/** What only windows tell. */
function isRawOnly({ needs, dimensions, stepMs }: PlanWish): boolean {
  return needs.srcPort || dimensions.includes("sport") ||
    (stepMs > 0 && (stepMs < MINUTE_MS || stepMs % MINUTE_MS !== 0));
}

function refuseTier(wish: PlanWish, tier: Tier): void {
  const { stepMs } = wish;
  if (isRawOnly(wish) && tier !== "raw") {
    throw new QuestionError(
      `Tier "${tier}" cannot tell source ports or steps below a minute: "raw" can`,
      "tier",
    );
  }
  if (stepMs > 0 && (tier === "sum" || (tier === "hour" && stepMs % HOUR_MS !== 0))) {
    throw new QuestionError(`Tier "${tier}" cannot tell steps of ${stepMs} ms`, "tier");
  }
}

/** The tier that is read if it reaches back far enough. */
function preferredTier(wish: PlanWish, isTotals: boolean): Tier {
  const { range, needs, stepMs, hasRates } = wish;
  const lengthMs = range.toMs - range.fromMs;
  if (isRawOnly(wish) || needs.folded) return "raw";
  const isCompared = needs.counters && lengthMs <= QUERY_RAW_FILTER_MS_MAX;
  const isShort = lengthMs <= QUERY_RAW_MS_MAX;
  if (isCompared || (isShort && (stepMs === 0 || !isTotals))) return "raw";
  if (stepMs > 0) return stepMs % HOUR_MS === 0 ? "hour" : "minute";
  if (lengthMs < SUM_MS_MIN) return "minute";
  if (!hasRates) return "sum";
  return lengthMs > RATES_BY_MINUTE_MS_MAX ? "hour" : "minute";
}

/** The preferred tier, or what takes its place: see the file header. */
function reachingTier(wish: PlanWish, preferred: Tier): Tier {
  const place = TIERS_BY_LENGTH.indexOf(preferred);
  const coarser = TIERS_BY_LENGTH.slice(place + 1);
  const finer = TIERS_BY_LENGTH.slice(0, place).reverse();
  const able = [preferred, ...[...coarser, ...finer].filter((tier) => canTell(wish, tier))];
  const sinceMs = (tier: Tier) => keptSinceMs(wish.kept, tier, wideRange(wish, tier));
  const reaching = able.find((tier) => reaches(wideRange(wish, tier).fromMs, sinceMs(tier)));
  if (reaching !== undefined) return reaching;
  return able.reduce((best, tier) => sinceMs(tier) < sinceMs(best) ? tier : best);
}

/** Whether a tier may take another's place. */
function canTell(wish: PlanWish, tier: Tier): boolean {
  const { stepMs, needs, hasRates } = wish;
  if (tier === "raw") return true;
  // Roll-ups do not say which rows were folded: by them it would look as if there were none.
  if (isRawOnly(wish) || needs.folded) return false;
  if (tier === "sum") return stepMs === 0 && !hasRates;
  return tier === "minute" || stepMs % HOUR_MS === 0;
}

/** From when on a tier holds all that a range needs of it. `sum` reads minutes at edges within an hour only. */
function keptSinceMs({ rawMs, minuteMs, hourMs }: KeptSince, tier: Tier, range: Range): number {
  if (tier === "raw") return rawMs;
  if (tier === "minute") return ceilTo(minuteMs, MINUTE_MS);
  if (tier === "hour") return ceilTo(hourMs, HOUR_MS);
  const lastMs = Math.floor(range.toMs / HOUR_MS) * HOUR_MS;
  const isEdgeKept = lastMs === range.toMs || reaches(lastMs, minuteMs);
  const isWhole = range.fromMs % HOUR_MS === 0;
  const edgeMs = isWhole && isEdgeKept ? 0 : ceilTo(minuteMs, MINUTE_MS);
  return Math.max(edgeMs, ceilTo(hourMs, HOUR_MS));
}

/** Ends of buckets are whole, but for those that clocks put too far ahead (KeptSince). */
function ceilTo(ms: number, lengthMs: number): number {
  return Math.ceil(ms / lengthMs) * lengthMs;
}

/** Whether what ends behind `fromMs` is all there. */
export function reaches(fromMs: number, sinceMs: number): boolean {
  return sinceMs === 0 || fromMs >= sinceMs;
}

/** Whether a filter looks at more than class and node of a row. */
function needsRows(needs: FilterNeeds): boolean {
  return needs.protos || needs.addresses || needs.srcPort || needs.dstPort || needs.counters ||
    needs.folded;
}

function noteComparison({ needs }: PlanWish, { tier }: Source, notes: string[]): void {
  if (needs.counters && tier !== "raw") {
    notes.push(
      `bytes, pkts and rate of the filter are compared with sums of the tier "${tier}", not of windows`,
    );
  }
  if (needs.folded && tier !== "raw") {
    notes.push(`rows of the tier "${tier}" do not tell which were folded`);
  }
}

function replacedNote(wish: PlanWish, preferred: Tier, reaching: Tier): string {
  const { kept } = wish;
  const lost = goneText(preferred, keptSinceMs(kept, preferred, wideRange(wish, preferred)));
  return `${lost}: read from ${TIER_ROWS[reaching]} instead`;
}

const TIER_ROWS: Readonly<Record<Tier, string>> = {
  raw: "single windows",
  minute: "sums of minutes",
  hour: "sums of hours",
  sum: "sums of hours and minutes",
};

/** Says that a tier does not reach back. */
export function goneText(tier: Tier, sinceMs: number): string {
  const rows = TIER_ROWS[tier];
  return `${rows[0].toUpperCase()}${rows.slice(1)} up to ${timeJson(sinceMs)} are no longer kept`;
}

/** The range in whole buckets of a tier. */
function wideRange({ range, stepMs }: PlanWish, tier: Tier): Range {
  const gridMs = Math.max(stepMs, GRID_MS[tier], 1);
  return {
    fromMs: Math.floor(range.fromMs / gridMs) * gridMs,
    toMs: Math.ceil(range.toMs / gridMs) * gridMs,
  };
}

/** `sum` reads minutes at its edges. */
const GRID_MS: Readonly<Record<Tier, number>> = {
  raw: 0,
  minute: MINUTE_MS,
  sum: MINUTE_MS,
  hour: HOUR_MS,
};

function planned(wish: PlanWish, source: Source, notes: string[]): Plan {
  const { tier } = source;
  const range = wideRange(wish, tier);
  const sinceMs = keptSinceMs(wish.kept, tier, range);
  const isKept = reaches(range.fromMs, sinceMs);
  if (!isKept) {
    const rest = sinceMs < range.toMs ? "what is told is of the time behind" : "nothing is told";
    notes.push(`${goneText(tier, sinceMs)}: ${rest}`);
  }
  return {
    source,
    range,
    kept: isKept ? range : { fromMs: Math.min(sinceMs, range.toMs), toMs: range.toMs },
    bucketMs: tier === "sum" ? 0 : GRID_MS[tier],
    notes,
  };
}
