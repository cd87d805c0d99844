/**
 * Groups of rows by up to three dimensions: sums, rows, connections, rates; the greatest first.
 *
 * In: a question. Out: the first groups in an order that is always the same, the sum of the others, the sum of all, how it
 * was read and how complete that is. Sums are exact. `truncated` names what was not gone through or not kept: `rows` (the
 * sums are of a part of the rows only), `groups` (sums of all are right, but groups that came late are in the rest only),
 * `flows` (connections were not all told apart). That there are more groups than were asked for is no truncation: they are
 * the rest.
 */
import { QUERY_CELLS_MAX, QUERY_GROUPS_MAX } from "../../limits.ts";
import { needs } from "../filter/mod.ts";
import {
  completenessJson,
  orphanNotes,
  type QueryContext,
  selectionOf,
  streamsOf,
} from "./context.ts";
import { KeyWriter } from "./dimensions.ts";
import { type CounterValues, ExactSums, lessValues, NO_VALUES } from "./exact_sums.ts";
import { firstInOrder, GroupTable, KeyTable } from "./group_table.ts";
import { type Plan, planOf } from "./plan.ts";
import { type Json, type Order, QuestionError, type TopQuestion } from "./question.ts";
import { type SelectedPart, visitSelected } from "./selection.ts";
import { rangeJson, timeJson, valuesJson } from "./times.ts";

/** Bytes and ms to bits per second. */
const BITS_PER_BYTE_AND_MS = 8_000;
/** Buckets of raw windows for rates: the length of a window unless configured. */
const RAW_BUCKET_MS = 5_000;

/** Answers a question for groups. */
export function answerTop(context: QueryContext, question: TopQuestion): Json {
  const plan = planOf({
    range: question.range,
    needs: needs(question.filter),
    dimensions: question.by,
    tier: question.tier,
    stepMs: 0,
    needsRows: question.hasFlows || question.order === "rows" || question.hasRates,
    hasRates: question.hasRates,
    kept: context.kept,
  });
  const streams = streamsOf(context, question);
  const selection = selectionOf(context, question);
  const keys = new KeyWriter(question.by, context.reader, context.nodes, question);
  const table = new GroupTable(question.by.length, QUERY_GROUPS_MAX);
  const total = new Total();
  const flows = question.hasFlows ? new FlowCounter(QUERY_GROUPS_MAX) : null;
  const groups = new Int32Array(flows === null ? 0 : 4_096);
  visitSelected(context.reader, plan, selection, context.guard, (part) => {
    total.add(part);
    keys.forEachBlock(part, ({ words, rows, count }) => {
      table.add(words, part.columns, rows, count, flows === null ? undefined : groups);
      flows?.add(part, rows, groups, count);
    });
  });
  const groupCount = table.count;
  const top = firstInOrder(groupCount, question.limit, orderOf(table, question.order));
  const rates = question.hasRates ? ratesOf(context, question, plan, table, keys, top) : null;
  const isWhole = question.by.includes("host") ? null : shownValues(table, top);
  const lengthMs = plan.kept.toMs - plan.kept.fromMs;
  return {
    range: rangeJson(plan.range),
    tier: tierName(plan),
    notes: [...plan.notes, ...orphanNotes(context, streams, plan.range)],
    groups: top.map((group, index) => ({
      ...keys.label(table.keys.key(group)),
      ...valuesJson(table.values(group)),
      ...countsJson(plan, table.rows(group)),
      ...(flows !== null && { flows: flows.count(group) }),
      averageBitsPerSecond: rateOf(table.near(group, 1) + table.near(group, 3), lengthMs),
      ...(rates?.[index] ?? {}),
    })),
    groupCount,
    rest: isWhole === null ? null : {
      groups: groupCount - top.length,
      ...valuesJson(lessValues(total.values, isWhole)),
    },
    total: { ...valuesJson(total.values), ...countsJson(plan, total.rows) },
    truncated: truncated({
      rows: context.guard.isFull,
      groups: table.refusedRows > 0,
      flows: flows?.isFull ?? false,
    }),
    rowsRead: context.guard.rows,
    completeness: completenessJson(context, streams, plan.range, question.nowMs, plan.kept),
  };
}

/** Rows mean nothing where sums by class were read. */
function countsJson({ source }: Plan, rows: number): Record<string, Json> {
  return source.from === "totals" ? {} : { rows };
}

function shownValues(table: GroupTable, groups: readonly number[]): CounterValues {
  const sums: [bigint, bigint, bigint, bigint] = [...NO_VALUES];
  for (const group of groups) {
    for (const [counter, value] of table.values(group).entries()) sums[counter] += value;
  }
  return sums;
}

/** What an answer says of where it was read. */
export function tierName({ source }: Plan): string {
  return source.from === "totals" ? `totals ${source.tier}` : source.tier;
}

/** Names of what was cut, or null. */
export function truncated(marks: Readonly<Record<string, boolean>>): Json {
  const names = Object.keys(marks).filter((name) => marks[name]);
  return names.length === 0 ? null : names;
}

/** Sum of all selected rows. */
export class Total {
  readonly #sums = new ExactSums(1);
  rows = 0;

  add({ columns, rows, count }: SelectedPart): void {
    this.rows += count;
    for (let index = 0; index < count; index++) this.#sums.add(0, columns, rows[index]);
  }

  get values(): CounterValues {
    return this.#sums.values(0);
  }
}

/** An order of groups in which no two are equal: ties go by the keys' words, which are the same at each question. */
export function orderOf(table: GroupTable, order: Order): (a: number, b: number) => boolean {
  const near = nearValue(table, order);
  const { keys } = table;
  return (a, b) => {
    const nearA = near(a);
    const nearB = near(b);
    if (nearA !== nearB) return nearA > nearB;
    if (nearA > Number.MAX_SAFE_INTEGER && order !== "rows") {
      const exactA = exactValue(table.values(a), order);
      const exactB = exactValue(table.values(b), order);
      if (exactA !== exactB) return exactA > exactB;
    }
    for (let word = 0; word < keys.wordCount; word++) {
      const wordA = keys.word(a, word);
      const wordB = keys.word(b, word);
      if (wordA !== wordB) return wordA < wordB;
    }
    return false;
  };
}

/** Counters that an order adds up, by index in COUNTERS. */
const ORDER_COUNTERS: Record<Exclude<Order, "rows">, readonly number[]> = {
  bytes: [1, 3],
  packets: [0, 2],
  txBytes: [1],
  rxBytes: [3],
  txPackets: [0],
  rxPackets: [2],
};

function nearValue(table: GroupTable, order: Order): (group: number) => number {
  if (order === "rows") return (group) => table.rows(group);
  const [first, second] = ORDER_COUNTERS[order];
  return second === undefined
    ? (group) => table.near(group, first)
    : (group) => table.near(group, first) + table.near(group, second);
}

function exactValue(values: CounterValues, order: Exclude<Order, "rows">): bigint {
  return ORDER_COUNTERS[order].reduce((sum, counter) => sum + values[counter], 0n);
}

// ---- Connections --------------------------------------------------------------------------------------------------

/** Counts distinct connections of each group; in roll-ups those that differ in more than the source port. */
class FlowCounter {
  readonly #table: KeyTable;
  readonly #counts = new Map<number, number>();
  readonly #words = Array.from({ length: 6 }, () => new Uint32Array(4_096));
  isFull = false;

  constructor(flowsMax: number) {
    this.#table = new KeyTable(6, flowsMax);
  }

  add({ columns }: SelectedPart, rows: Uint32Array, groups: Int32Array, count: number): void {
    const [group, stream, source, target, kinds, ports] = this.#words;
    const table = this.#table;
    for (let index = 0; index < count; index++) {
      const row = rows[index];
      group[index] = groups[index];
      stream[index] = columns.stream[row];
      source[index] = columns.src[row];
      target[index] = columns.dst[row];
      kinds[index] = columns.classCode[row] << 8 | columns.proto[row];
      ports[index] = columns.srcPort[row] << 16 | columns.dstPort[row];
    }
    for (let index = 0; index < count; index++) {
      if (groups[index] < 0) continue;
      const before = table.count;
      if (table.groupAt(this.#words, index) < 0) this.isFull = true;
      else if (table.count > before) {
        this.#counts.set(groups[index], (this.#counts.get(groups[index]) ?? 0) + 1);
      }
    }
  }

  count(group: number): number {
    return this.#counts.get(group) ?? 0;
  }
}

// ---- Rates --------------------------------------------------------------------------------------------------------

/** Bits per second over `lengthMs`. */
export function rateOf(bytes: number, lengthMs: number): number | null {
  return lengthMs > 0 ? bytes * BITS_PER_BYTE_AND_MS / lengthMs : null;
}

/** Goes through the rows again, for the groups that are shown: bytes by bucket. */
function ratesOf(
  context: QueryContext,
  question: TopQuestion,
  plan: Plan,
  table: GroupTable,
  keys: KeyWriter,
  top: readonly number[],
): Record<string, Json>[] {
  const bucketMs = plan.bucketMs || RAW_BUCKET_MS;
  const firstBucket = Math.floor(plan.kept.fromMs / bucketMs);
  const buckets = Math.ceil(plan.kept.toMs / bucketMs) - firstBucket;
  if (plan.source.tier === "sum") {
    throw new QuestionError('Tier "sum" has no rates: "minute" and "hour" have', "tier");
  }
  if (top.length * buckets > QUERY_CELLS_MAX) {
    throw new QuestionError(
      `Rates of ${top.length} groups in ${buckets} buckets are too many: ask for fewer groups or less time`,
      "limit",
    );
  }
  const indexByGroup = new Map(top.map((group, index) => [group, index]));
  const bytes = new Float64Array(top.length * buckets);
  visitSelected(context.reader, plan, selectionOf(context, question), context.guard, (part) => {
    const bucket = Math.ceil(part.endMs / bucketMs) - 1 - firstBucket;
    keys.forEachBlock(part, ({ words, rows, count }) => {
      const { counters } = part.columns;
      for (let index = 0; index < count; index++) {
        const place = indexByGroup.get(table.keys.groupAt(words, index));
        if (place === undefined) continue;
        const row = rows[index];
        bytes[place * buckets + bucket] += counters[1][row] + counters[3][row];
      }
    });
  });
  return top.map((_group, index) => {
    const own = bytes.subarray(index * buckets, (index + 1) * buckets);
    return ratesJson(own, firstBucket, bucketMs);
  });
}

/** @param bytes By bucket; idle buckets count for the percentile. */
function ratesJson(
  bytes: Float64Array,
  firstBucket: number,
  bucketMs: number,
): Record<string, Json> {
  let peak = 0;
  for (let bucket = 1; bucket < bytes.length; bucket++) {
    if (bytes[bucket] > bytes[peak]) peak = bucket;
  }
  const sorted = bytes.slice().sort();
  // Nearest rank: the least value that 95 of 100 buckets do not exceed.
  const rank = Math.max(0, Math.ceil(sorted.length * 95 / 100) - 1);
  return {
    peakBitsPerSecond: rateOf(bytes[peak] ?? 0, bucketMs),
    peakAt: timeJson((firstBucket + peak) * bucketMs),
    percentile95BitsPerSecond: rateOf(sorted[rank] ?? 0, bucketMs),
    rateBucketMs: bucketMs,
  };
}
