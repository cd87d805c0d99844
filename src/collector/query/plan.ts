/**
 * Where a question reads, and over which range exactly.
 *
 * In: range, what filter and groups look at. Out: the source and the range widened to its buckets. Rules, in this order:
 *  1. what only rows tell (source ports, steps below a minute) is read from `raw`; so are filters by bytes, packets or rate
 *     up to QUERY_RAW_FILTER_MS_MAX, for in a roll-up they would compare sums of many windows;
 *  2. questions by class and node only, filtered by nothing else, are answered from `totals`;
 *  3. short ranges are read from `raw`, to the millisecond;
 *  4. all else from roll-ups: minutes, hours for steps of hours, `sum` for one sum over a long time.
 * Ranges of roll-ups are widened to whole minutes or hours and the answer says so.
 */
import { QUERY_RAW_FILTER_MS_MAX, QUERY_RAW_MS_MAX } from "../../limits.ts";
import type { FilterNeeds } from "../filter/mod.ts";
import { type Dimension, QuestionError, type Range, type TierChoice } from "./question.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Ranges from which on whole hours take the place of minutes in one sum. */
const SUM_MS_MIN = 2 * HOUR_MS;

/** Where rows are read. */
export type Source =
  | { readonly from: "rows"; readonly tier: "raw" | "minute" | "hour" | "sum" }
  | {
    readonly from: "totals";
    readonly tier: "raw" | "minute" | "hour" | "sum";
    /** Whether nobody asks which stream it was. */
    readonly isSummed: boolean;
  };

/** See file header. */
export interface Plan {
  readonly source: Source;
  readonly range: Range;
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
}

/** @throws {QuestionError} If a tier was asked for that cannot tell. */
export function planOf(wish: PlanWish): Plan {
  const { range, needs, dimensions, stepMs } = wish;
  const lengthMs = range.toMs - range.fromMs;
  const isRawOnly = needs.srcPort || dimensions.includes("sport") ||
    (stepMs > 0 && (stepMs < MINUTE_MS || stepMs % MINUTE_MS !== 0));
  const notes: string[] = [];
  if (wish.tier !== "auto") {
    if (isRawOnly && wish.tier !== "raw") {
      throw new QuestionError(
        `Tier "${wish.tier}" cannot tell source ports or steps below a minute: "raw" can`,
        "tier",
      );
    }
    if (stepMs > 0 && (wish.tier === "sum" || (wish.tier === "hour" && stepMs % HOUR_MS !== 0))) {
      throw new QuestionError(`Tier "${wish.tier}" cannot tell steps of ${stepMs} ms`, "tier");
    }
    noteComparison(wish, wish.tier, notes);
    return planned({ from: "rows", tier: wish.tier }, range, stepMs, notes);
  }
  const isTotals = !wish.needsRows && !needsRows(needs) &&
    dimensions.every((dimension) => dimension === "class" || dimension === "node");
  if (isTotals) {
    return planned(
      {
        from: "totals",
        tier: totalsTier(stepMs, lengthMs),
        isSummed: !needs.nodes && !dimensions.includes("node"),
      },
      range,
      stepMs,
      notes,
    );
  }
  const isCompared = needs.counters && lengthMs <= QUERY_RAW_FILTER_MS_MAX;
  if (isRawOnly || isCompared || lengthMs <= QUERY_RAW_MS_MAX) {
    return planned({ from: "rows", tier: "raw" }, range, stepMs, notes);
  }
  const tier = stepMs > 0
    ? (stepMs % HOUR_MS === 0 ? "hour" : "minute")
    : lengthMs >= SUM_MS_MIN
    ? "sum"
    : "minute";
  noteComparison(wish, tier, notes);
  return planned({ from: "rows", tier }, range, stepMs, notes);
}

/** Whether a filter looks at more than class and node of a row. */
function needsRows(needs: FilterNeeds): boolean {
  return needs.protos || needs.addresses || needs.srcPort || needs.dstPort || needs.counters ||
    needs.folded;
}

function totalsTier(stepMs: number, lengthMs: number): Source["tier"] {
  if (stepMs > 0) {
    return stepMs % HOUR_MS === 0 ? "hour" : stepMs % MINUTE_MS === 0 ? "minute" : "raw";
  }
  return lengthMs <= QUERY_RAW_MS_MAX ? "raw" : lengthMs < SUM_MS_MIN ? "minute" : "sum";
}

function noteComparison({ needs }: PlanWish, tier: string, notes: string[]): void {
  if (needs.counters && tier !== "raw") {
    notes.push(
      `bytes, pkts and rate of the filter are compared with sums of the tier "${tier}", not of windows`,
    );
  }
  if (needs.folded && tier !== "raw") {
    notes.push(`rows of the tier "${tier}" do not tell which were folded`);
  }
}

function planned(source: Source, range: Range, stepMs: number, notes: string[]): Plan {
  const { tier } = source;
  const bucketMs = tier === "minute" ? MINUTE_MS : tier === "hour" ? HOUR_MS : 0;
  // `sum` reads minutes at its edges.
  const gridMs = Math.max(stepMs, tier === "sum" ? MINUTE_MS : bucketMs, 1);
  const wide = {
    fromMs: Math.floor(range.fromMs / gridMs) * gridMs,
    toMs: Math.ceil(range.toMs / gridMs) * gridMs,
  };
  return { source, range: wide, bucketMs, notes };
}
