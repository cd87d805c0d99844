/**
 * Sums over time: lines by one dimension, the greatest `limit` of them and the rest, in contiguous buckets.
 *
 * In: a question. Out: for each line and bucket exact sums; 0 where nothing happened, null where nothing is known: no
 * stream of the question vouches for any part of the bucket (completeness.ts), or its rows are no longer kept. `shares` says how much of each bucket is.
 */
import { CLASS_NAMES } from "../../counters.ts";
import { QUERY_CELLS_MAX, QUERY_GROUPS_MAX, SERIES_BUCKETS_MAX } from "../../limits.ts";
import { needs } from "../filter/mod.ts";
import { COUNTERS } from "../rows.ts";
import { addTimes, shareOf, type ShareTimes } from "./completeness.ts";
import {
  completenessJson,
  keptFromMs,
  orphanNotes,
  type QueryContext,
  selectionOf,
  streamsOf,
} from "./context.ts";
import { KeyWriter } from "./dimensions.ts";
import { orderOf, tierName, truncated } from "./engine.ts";
import { type CounterValues, ExactSums } from "./exact_sums.ts";
import { firstInOrder, GroupTable } from "./group_table.ts";
import { type Plan, planOf } from "./plan.ts";
import { type Json, QuestionError, type Range, type SeriesQuestion } from "./question.ts";
import { type SelectedPart, visitSelected } from "./selection.ts";
import { rangeJson, timeJson } from "./times.ts";

/** Steps that are chosen by span: the first that makes at most BUCKETS_WANTED of it. */
const STEPS_MS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400].map(
  (seconds) => seconds * 1_000,
);
const BUCKETS_WANTED = 400;
/** From this span on steps are whole minutes: roll-ups answer ten times as fast as windows. */
const ROLLED_SPAN_MS = 3_600_000;
const ROLLED_STEP_MS_MIN = 60_000;

/** Least steps that are tried where a lesser one is no longer kept: of what minutes tell, and of what hours do. */
const KEPT_STEPS_MS_MIN = [60_000, 3_600_000];

/** The step of a series whose question leaves it open. */
export function stepBySpan({ fromMs, toMs }: Range, stepMsMin = 0): number {
  const span = toMs - fromMs;
  const leastMs = Math.max(stepMsMin, span >= ROLLED_SPAN_MS ? ROLLED_STEP_MS_MIN : 0);
  return STEPS_MS.find((stepMs) => stepMs >= leastMs && span / stepMs <= BUCKETS_WANTED) ??
    STEPS_MS.at(-1)!;
}

/** Answers a question for a series. */
export function answerSeries(context: QueryContext, question: SeriesQuestion): Json {
  const { plan, stepMs, notes } = planOfSeries(context, question);
  const keys = new KeyWriter([question.by], context.reader, context.nodes, question);
  const lines = linesOf(context, question, plan, keys);
  const grid = new Grid(plan.range, stepMs, lines.words.length);
  fill(context, question, plan, keys, lines, grid);
  const streams = streamsOf(context, question);
  const shares = bucketShares(context, streams, grid, stepMs, question.nowMs, plan.kept);
  return {
    range: rangeJson(plan.range),
    tier: tierName(plan),
    notes: [...notes, ...plan.notes, ...orphanNotes(context, streams, plan.range)],
    stepMs,
    starts: shares.map((_share, bucket) => timeJson(plan.range.fromMs + bucket * stepMs)),
    shares,
    series: lines.words.map((word, line) => ({
      ...keys.label([word]),
      ...grid.lineJson(line, shares),
    })),
    rest: question.by === "host" ? null : grid.lineJson(lines.words.length, shares),
    lineCount: lines.count,
    truncated: truncated({ rows: context.guard.isFull, groups: lines.isFull }),
    rowsRead: context.guard.rows,
    completeness: completenessJson(context, streams, plan.range, question.nowMs, plan.kept),
  };
}

/** A plan with its step: the question's, or the least by span that is kept for all of the range. */
function planOfSeries(
  { kept }: QueryContext,
  question: SeriesQuestion,
): { readonly plan: Plan; readonly stepMs: number; readonly notes: readonly string[] } {
  const { range, filter, by, tier, order } = question;
  const spanMs = range.toMs - range.fromMs;
  const plannedBy = (stepMs: number) => {
    if (spanMs / stepMs > SERIES_BUCKETS_MAX) {
      throw new QuestionError(
        `A step of ${stepMs} ms makes more than ${SERIES_BUCKETS_MAX} buckets`,
        "step",
      );
    }
    const needsRows = order === "rows";
    const wish = { range, needs: needs(filter), dimensions: [by], tier, stepMs, needsRows, kept };
    return { plan: planOf({ ...wish, hasRates: false }), stepMs };
  };
  const first = plannedBy(question.stepMs || stepBySpan(range));
  if (question.stepMs > 0 || tier !== "auto") return { ...first, notes: [] };
  let best = first;
  for (const stepMsMin of KEPT_STEPS_MS_MIN) {
    if (lostMs(best.plan) === 0) break;
    const next = plannedBy(stepBySpan(range, stepMsMin));
    if (lostMs(next.plan) < lostMs(best.plan)) best = next;
  }
  const words = `Steps of ${first.stepMs / 1_000} s are no longer kept for all of the range`;
  const notes = best === first ? [] : [`${words}: they are of ${best.stepMs / 1_000} s instead`];
  return { ...best, notes };
}

/** Time of a plan's range that is no longer kept. */
function lostMs({ range, kept }: Plan): number {
  return kept.fromMs - range.fromMs;
}

/** Which lines there are. */
interface Lines {
  readonly words: readonly number[];
  readonly index: ReadonlyMap<number, number>;
  readonly count: number;
  readonly isFull: boolean;
}

/** Finds the greatest lines; classes are few and always all there. */
function linesOf(
  context: QueryContext,
  question: SeriesQuestion,
  plan: Plan,
  keys: KeyWriter,
): Lines {
  if (question.by === "class") return toLines(CLASS_NAMES.map((_name, code) => code), 5, false);
  const table = new GroupTable(1, QUERY_GROUPS_MAX);
  visitSelected(context.reader, plan, selectionOf(context, question), context.guard, (part) => {
    keys.forEachBlock(part, ({ words, rows, count }) => {
      table.add(words, part.columns, rows, count);
    });
  });
  const top = firstInOrder(table.count, question.limit, orderOf(table, question.order));
  const words = top.map((group) => table.keys.word(group, 0));
  return toLines(words, table.count, table.refusedRows > 0);
}

function toLines(words: readonly number[], count: number, isFull: boolean): Lines {
  return { words, count, isFull, index: new Map(words.map((word, index) => [word, index])) };
}

function fill(
  context: QueryContext,
  question: SeriesQuestion,
  plan: Plan,
  keys: KeyWriter,
  { words: shown, index: lineByWord }: Lines,
  grid: Grid,
): void {
  const rest = shown.length;
  visitSelected(context.reader, plan, selectionOf(context, question), context.guard, (part) => {
    const bucket = grid.bucketOf(part);
    keys.forEachBlock(part, ({ words: [words], rows, count }) => {
      let word = -1;
      let line = rest;
      for (let index = 0; index < count; index++) {
        if (words[index] !== word) {
          word = words[index];
          line = lineByWord.get(word) ?? rest;
        }
        grid.add(line, bucket, part, rows[index]);
      }
    });
  });
}

/** Lines by buckets; the line behind the last is the rest. */
class Grid {
  readonly range: Range;
  readonly buckets: number;
  readonly #stepMs: number;
  readonly #sums: ExactSums;

  constructor(range: Range, stepMs: number, lines: number) {
    this.range = range;
    this.#stepMs = stepMs;
    this.buckets = Math.round((range.toMs - range.fromMs) / stepMs);
    if (this.buckets * (lines + 1) > QUERY_CELLS_MAX) {
      throw new QuestionError(
        `${lines} lines of ${this.buckets} buckets are too many: ask for fewer, or a greater step`,
        "step",
      );
    }
    this.#sums = new ExactSums(this.buckets * (lines + 1));
  }

  /** Buckets are open at their start and closed at their end, as everywhere. */
  bucketOf({ endMs }: SelectedPart): number {
    return Math.ceil((endMs - this.range.fromMs) / this.#stepMs) - 1;
  }

  add(line: number, bucket: number, { columns }: SelectedPart, row: number): void {
    this.#sums.add(line * this.buckets + bucket, columns, row);
  }

  /** Counters by name, each a list with one value for each bucket. */
  lineJson(line: number, shares: readonly (number | null)[]): Record<string, Json> {
    const values = shares.map((_share, bucket) => this.#sums.values(line * this.buckets + bucket));
    // A bucket that nothing vouches for may still have rows, of writers without numbers: what was counted is shown.
    const isKnown = shares.map((share, bucket) => (share ?? 0) > 0 || this.#hasRows(bucket));
    return Object.fromEntries(COUNTERS.map((name, counter) => [
      name,
      values.map((value: CounterValues, bucket) => isKnown[bucket] ? value[counter] : null),
    ]));
  }

  #hasRows(bucket: number): boolean {
    for (let cell = bucket; cell < this.cells; cell += this.buckets) {
      for (let counter = 0; counter < 4; counter++) {
        if (this.#sums.near(cell, counter) !== 0) return true;
      }
    }
    return false;
  }

  get cells(): number {
    return this.#sums.cells;
  }
}

/** Share of each bucket that is known. */
function bucketShares(
  context: QueryContext,
  streams: readonly number[],
  grid: Grid,
  stepMs: number,
  nowMs: number,
  kept: Range,
): (number | null)[] {
  const { completeness, guard } = context;
  return Array.from({ length: grid.buckets }, (_value, bucket) => {
    guard.check();
    const fromMs = grid.range.fromMs + bucket * stepMs;
    let sum: ShareTimes | null = null;
    for (const stream of streams) {
      const rowsMs = keptFromMs(context, stream, kept.fromMs);
      const times = completeness.times(stream, { fromMs, toMs: fromMs + stepMs }, nowMs, rowsMs);
      sum = sum === null ? times : addTimes(sum, times);
    }
    return sum === null ? null : shareOf(sum);
  });
}
