/** Logs in memory and questions to them, for the tests of queries. */
import fc from "fast-check";
import { Answerer } from "../../../src/collector/query/answer.ts";
import type { QuestionBase, TopQuestion } from "../../../src/collector/query/question.ts";
import { type Filter, parseFilter } from "../../../src/collector/filter/mod.ts";
import { parseExactJson } from "../../../src/netlog/mod.ts";
import type { Question } from "../../../src/collector/query/question.ts";
import type { StoreReader } from "../../../src/collector/store.ts";
import type { TwinPredicate } from "../../reference/query_twin.ts";
import type { TwinMessage, TwinRow } from "../../reference/store_twin.ts";

/** On the hour. */
export const START_MS = Date.UTC(2026, 0, 5, 10);
export const START_NS = BigInt(START_MS) * 1_000_000n;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;

/** Any JSON object. */
// deno-lint-ignore no-explicit-any
export type Found = any;

/** Time of queries in tests: it stands still unless told. */
export class StillTime {
  ms = 0;
  read = (): number => this.ms;
}

/** Asks a store; answers as exact values. */
export function askStore(
  reader: StoreReader,
  question: Question,
  { time = new StillTime(), rowsMax }: { time?: StillTime; rowsMax?: number } = {},
): { status: number; value: Found } {
  const answer = new Answerer(reader, time.read, rowsMax).answer(question);
  return { status: answer.status, value: parseExactJson(answer.text) };
}

/** Reads a filter that is right. */
export function filterOf(text: string): Filter {
  const result = parseFilter(text);
  if (!result.ok) throw new Error(result.problem.message);
  return result.filter;
}

/** What every question says, with an hour's range. */
export function baseOf(more: Partial<QuestionBase> = {}): QuestionBase {
  return {
    range: { fromMs: START_MS, toMs: START_MS + HOUR_MS },
    filter: { kind: "all" },
    hasOrphans: false,
    nowMs: START_MS + 10 * HOUR_MS,
    timeMs: 10_000,
    ...more,
  };
}

/** A question for groups. */
export function topOf(more: Partial<TopQuestion> = {}): TopQuestion {
  return {
    kind: "top",
    ...baseOf(),
    by: ["class"],
    order: "bytes",
    limit: 1_000,
    tier: "auto",
    hasFlows: false,
    hasRates: false,
    netBits4: 24,
    netBits6: 48,
    ...more,
  };
}

/** A row with defaults. */
export function rowOf(more: Partial<TwinRow> = {}): TwinRow {
  return {
    classCode: 0,
    proto: 6,
    src: "100.64.0.1",
    dst: "100.64.0.2",
    srcPort: 40_000,
    dstPort: 443,
    folded: false,
    counters: [1n, 100n, 2n, 200n],
    ...more,
  };
}

/** A window of 5 s, the n-th behind START_MS unless told. */
export function windowOf(
  index: number,
  rows: readonly TwinRow[],
  more: Partial<TwinMessage> = {},
): TwinMessage {
  const startNs = START_NS + BigInt(index) * 5_000_000_000n;
  return {
    stream: 1,
    procId: 1,
    procSeq: index + 1,
    clientTimeNs: null,
    startNs: startNs + 1n,
    endNs: startNs + 5_000_000_000n,
    rows,
    ...more,
  };
}

// ---- Random logs ------------------------------------------------------------------------------------------------------

const ADDRESSES = [
  "",
  "100.64.0.1",
  "100.64.0.2",
  "10.0.0.7",
  "10.0.1.7",
  "fd00::1",
  "fd00:0:1::2",
];
const counter = fc.oneof(
  fc.bigInt(0n, 2_000n),
  fc.constantFrom(0n, 2n ** 53n - 1n, 2n ** 53n + 1n, 2n ** 64n - 1n),
);

export const arbitraryTwinRow: fc.Arbitrary<TwinRow> = fc.record({
  classCode: fc.nat(4),
  proto: fc.constantFrom(0, 1, 6, 17),
  src: fc.constantFrom(...ADDRESSES),
  dst: fc.constantFrom(...ADDRESSES),
  srcPort: fc.constantFrom(0, 53, 40_000),
  dstPort: fc.constantFrom(0, 53, 443),
  folded: fc.boolean(),
  counters: fc.tuple(counter, counter, counter, counter),
});

/** Messages of three streams within three hours, some ends on boundaries of minutes and hours. */
export const arbitraryMessages: fc.Arbitrary<TwinMessage[]> = fc.array(
  fc.record({
    stream: fc.integer({ min: 1, max: 3 }),
    endMs: fc.oneof(
      fc.nat(3 * HOUR_MS),
      fc.nat(180).map((minute) => minute * MINUTE_MS),
      fc.nat(3).map((hour) => hour * HOUR_MS),
    ),
    endRest: fc.constantFrom(0n, 1n, 999_999n),
    rows: fc.array(arbitraryTwinRow, { maxLength: 6 }),
  }),
  { maxLength: 12 },
).map((messages) =>
  messages.map(({ stream, endMs, endRest, rows }, index) => {
    const endNs = START_NS + BigInt(endMs) * 1_000_000n - endRest;
    return {
      stream,
      procId: stream,
      procSeq: index + 1,
      clientTimeNs: null,
      startNs: endNs - 4_999_999_999n,
      endNs,
      rows,
    };
  })
);

/** Filters and what they mean. */
export const FILTERS: readonly (readonly [string, TwinPredicate])[] = [
  ["", () => true],
  ["class subnet or class exit", ({ classCode }) => classCode === 1 || classCode === 2],
  ["not tcp", ({ proto }) => proto !== 6],
  ["node node2", (_row, stream) => stream === 2],
  ["dst net 10.0.0.0/8", ({ dst }) => dst.startsWith("10.")],
  ["dport 443", ({ dstPort }) => dstPort === 443],
  [
    "host fd00::1 and not class physical",
    ({ src, dst, classCode }) => (src === "fd00::1" || dst === "fd00::1") && classCode !== 4,
  ],
];
/** Filters that roll-ups cannot tell. */
export const RAW_FILTERS: readonly (readonly [string, TwinPredicate])[] = [
  ["sport 53", ({ srcPort }) => srcPort === 53],
  ["bytes > 1k", ({ counters }) => counters[1] + counters[3] > 1_000n],
  ["folded", ({ folded }) => folded],
];
