/**
 * The questions that `/api/v1` answers: path, parameters, what is asked of the query thread, what comes back.
 *
 * In: typed values. Out: questions. This table is what requests are checked by and what the OpenAPI document is made of.
 */
import {
  FILTER_CHARS_MAX,
  FLOWS_PAGE_MAX,
  QUERY_MS_DEFAULT,
  QUERY_MS_MAX,
  QUERY_TOP_MAX,
  RECONCILE_SKEW_MS,
  RECONCILE_TRANSIT_MS,
  SERIES_LINES_MAX,
} from "../../limits.ts";
import { DIMENSIONS, ORDERS, type Question, type Range, TIERS } from "../query/question.ts";
import * as answers from "./answers.ts";
import {
  address,
  choice,
  choices,
  cursor,
  duration,
  filter,
  filterText,
  flag,
  integer,
  ParameterProblem,
  type Parameters,
  type Schema,
  text,
  time,
  type Values,
} from "./parameters.ts";

/** One path of the API. */
export interface ApiRoute {
  /** Behind API_PREFIX. */
  readonly path: string;
  readonly summary: string;
  readonly description: string;
  readonly parameters: Parameters;
  /** Of what a 200 says. */
  readonly answer: Schema;
  readonly mediaType: "application/json" | "text/event-stream";
  /** null = answered without the query thread. @throws {ParameterProblem} */
  question(values: never, nowMs: number): Question | null;
}

/** Where the API stands. */
export const API_PREFIX = "/api/v1";

const COMMON = {
  timeout: duration("How long the query may take; then it is answered 504.", {
    min: 10,
    max: QUERY_MS_MAX,
    fallback: `${QUERY_MS_DEFAULT / 1_000}s`,
  }),
};

const RANGED = {
  from: time("Start of the range, exclusive: what ended later belongs to it.", "-1h"),
  to: time("End of the range, inclusive.", "now"),
  filter: filter(
    "Which rows: the language of `tunlog flows`, such as `class subnet and dst net 10.0.0.0/8`",
  ),
  orphans: flag("Whether streams that nobody adopted are read too"),
  ...COMMON,
};

const NETS = {
  net4: integer("Bits of IPv4 prefixes for `srcNet` and `dstNet`", {
    min: 0,
    max: 32,
    fallback: 24,
  }),
  net6: integer("Bits of IPv6 prefixes", { min: 0, max: 128, fallback: 48 }),
};

const TIER = choice(
  "Where rows are read. `auto` takes the smallest that can tell; roll-ups hold no source ports",
  TIERS,
  "auto",
);
const ORDER = choice("What the greatest come first by", ORDERS, "bytes");

const CONNECTION = {
  node: text("Node that reported it: name, id, address or public id", 256),
  proto: integer("IP protocol", { min: 0, max: 255, fallback: null }),
  src: address("Address at the node's side; empty for none"),
  sport: integer("Port at the node's side", { min: 0, max: 65_535, fallback: 0 }),
  dst: address("Address at the other side; empty for none"),
  dport: integer("Port at the other side", { min: 0, max: 65_535, fallback: 0 }),
};

function limit(max: number, fallback: number, what: string) {
  return integer(`Most ${what}`, { min: 1, max, fallback });
}

type Ranged = Values<typeof RANGED>;

/** @throws {ParameterProblem} If it is empty. */
function base(values: Ranged, nowMs: number) {
  return {
    range: rangeOf(values),
    filter: values.filter,
    hasOrphans: values.orphans,
    nowMs,
    timeMs: values.timeout,
  };
}

function rangeOf({ from, to }: { readonly from: number; readonly to: number }): Range {
  if (from >= to) throw new ParameterProblem("The range is empty: from must be before to", "from");
  return { fromMs: from, toMs: to };
}

function connectionOf(values: Values<typeof CONNECTION>) {
  const { node, proto, src, sport, dst, dport } = values;
  return { node, proto, src, srcPort: sport, dst, dstPort: dport };
}

/** Checks the types of one route, and forgets them. */
function route<P extends Parameters>(
  path: string,
  { parameters, question, mediaType = "application/json", ...texts }: {
    summary: string;
    description: string;
    parameters: P;
    answer: Schema;
    mediaType?: ApiRoute["mediaType"];
    question: (values: Values<P>, nowMs: number) => Question | null;
  },
): ApiRoute {
  return { path, parameters, mediaType, ...texts, question };
}

/** See file header. */
export const API_ROUTES: readonly ApiRoute[] = [
  route("/flows", {
    summary: "Connections, window by window",
    description:
      "Raw rows in order of time, page by page. Pages neither repeat nor skip a row, whatever is stored " +
      "meanwhile; what comes late for a time that was shown already is not shown.",
    parameters: {
      ...RANGED,
      limit: limit(FLOWS_PAGE_MAX, 100, "rows"),
      order: choice("Which come first", ["newest", "oldest"], "newest"),
      cursor: cursor("`next` of the page before"),
    },
    answer: answers.FLOWS,
    question: (values, nowMs) => ({
      kind: "flows",
      ...base(values, nowMs),
      limit: values.limit,
      isNewestFirst: values.order === "newest",
      cursor: values.cursor,
    }),
  }),
  route("/connection", {
    summary: "One connection over time",
    description: "Raw rows of one connection as one node wrote them, oldest first.",
    parameters: { ...RANGED, ...CONNECTION, limit: limit(FLOWS_PAGE_MAX, 1_000, "rows") },
    answer: answers.CONNECTION,
    question: (values, nowMs) => ({
      kind: "connection",
      ...base(values, nowMs),
      connection: connectionOf(values),
      limit: values.limit,
    }),
  }),
  route("/top", {
    summary: "Sums by group, the greatest first",
    description: "Groups by one to three dimensions. Ties are in an order that is always the same.",
    parameters: {
      ...RANGED,
      by: choices("What is grouped by.", DIMENSIONS, { max: 3, fallback: "src,dst" }),
      order: ORDER,
      limit: limit(QUERY_TOP_MAX, 20, "groups"),
      tier: TIER,
      flows: flag("Whether distinct connections are counted"),
      rates: flag("Whether peak and 95th percentile of the rate are computed"),
      ...NETS,
    },
    answer: answers.TOP,
    question: (values, nowMs) => ({
      kind: "top",
      ...base(values, nowMs),
      by: values.by,
      order: values.order,
      limit: values.limit,
      tier: values.tier,
      hasFlows: values.flows,
      hasRates: values.rates,
      netBits4: values.net4,
      netBits6: values.net6,
    }),
  }),
  route("/series", {
    summary: "Sums over time",
    description:
      "Contiguous buckets, for each the counters of each line: 0 where nothing happened, null where nothing is known.",
    parameters: {
      ...RANGED,
      by: choice("What makes the lines", DIMENSIONS, "class"),
      step: duration("Length of a bucket.", {
        min: 1_000,
        max: 86_400_000 * 7,
        fallback: "auto",
        allowsAuto: true,
      }),
      order: ORDER,
      limit: limit(SERIES_LINES_MAX, 10, "lines; the others are summed as the rest"),
      tier: TIER,
      ...NETS,
    },
    answer: answers.SERIES,
    question: (values, nowMs) => ({
      kind: "series",
      ...base(values, nowMs),
      by: values.by,
      stepMs: values.step,
      order: values.order,
      limit: values.limit,
      tier: values.tier,
      netBits4: values.net4,
      netBits6: values.net6,
    }),
  }),
  route("/nodes", {
    summary: "Who logs, and how completely",
    description:
      "Nodes with their addresses and streams; with `check`, whether each process's own report agrees with what was read.",
    parameters: {
      ...RANGED,
      check: flag("Whether self-reports are checked, which reads all windows"),
    },
    answer: answers.NODES,
    question: (values, nowMs) => ({
      kind: "nodes",
      ...base(values, nowMs),
      hasChecks: values.check,
    }),
  }),
  route("/gaps", {
    summary: "What is not complete",
    description:
      "Losses that nodes declared, and entries that are missing without a word; newest first.",
    parameters: { ...RANGED, limit: limit(QUERY_TOP_MAX, 100, "gaps") },
    answer: answers.GAPS,
    question: (values, nowMs) => ({ kind: "gaps", ...base(values, nowMs), limit: values.limit }),
  }),
  route("/reconcile", {
    summary: "Books of both ends compared",
    description:
      "What was sent by one node and what the other says it received, per pair and flow, as bounds that hold the true " +
      "loss whatever windows and clocks did within the given margins. A verdict is an alarm only where the bounds exclude zero.",
    parameters: {
      ...RANGED,
      skew: duration("What a node's clock may be wrong by.", {
        min: 0,
        max: 60_000,
        fallback: `${RECONCILE_SKEW_MS / 1_000}s`,
      }),
      transit: duration("What a packet may take on its way.", {
        min: 0,
        max: 60_000,
        fallback: `${RECONCILE_TRANSIT_MS / 1_000}s`,
      }),
      limit: limit(QUERY_TOP_MAX, 100, "flows of each pair"),
      all: flag("Whether flows in good order are listed too"),
    },
    answer: answers.RECONCILE,
    question: (values, nowMs) => ({
      kind: "reconcile",
      ...base(values, nowMs),
      skewMs: values.skew,
      transitMs: values.transit,
      limit: values.limit,
      hasAll: values.all,
    }),
  }),
  route("/explain", {
    summary: "Why a connection is in its class",
    description:
      "Class and reason as far as the log tells, both ends' rows, the messages they stood in, and the tunnel's own rows.",
    parameters: { ...RANGED, ...CONNECTION, limit: limit(1_000, 20, "rows") },
    answer: answers.EXPLAIN,
    question: (values, nowMs) => ({
      kind: "explain",
      ...base(values, nowMs),
      connection: connectionOf(values),
      limit: values.limit,
    }),
  }),
  route("/complete", {
    summary: "Help with a filter while it is written",
    description:
      "What could be typed at a place of a filter: words that would replace the piece from `from` to `to`. Beside them the " +
      "first problem of the whole text with its place, or its canonical spelling.",
    parameters: {
      text: filterText("The filter as far as it is written"),
      position: integer("Place of the cursor in UTF-16 units", {
        min: 0,
        max: FILTER_CHARS_MAX,
        fallback: FILTER_CHARS_MAX,
      }),
      ...COMMON,
    },
    answer: answers.COMPLETE,
    question: ({ text, position, timeout }, nowMs) => ({
      kind: "complete",
      ...{ text, position, nowMs, timeMs: timeout },
    }),
  }),
  route("/live", {
    summary: "Windows as they arrive",
    description:
      "Server-sent events: `window` with a window's sums by class, its id as event id. A client that comes back with " +
      "`Last-Event-ID` misses nothing; one that is too slow is sent `dropped` and let go. Comments say that the stream lives.",
    parameters: {
      after: integer("Windows that were stored after this entry; 0 = from now on", {
        min: 0,
        max: Number.MAX_SAFE_INTEGER,
        fallback: 0,
      }),
    },
    answer: answers.LIVE,
    mediaType: "text/event-stream",
    question: () => null,
  }),
  route("/health", {
    summary: "How the collector does",
    description: "Whether the store answers, and what has been asked of it.",
    parameters: { ...COMMON },
    answer: answers.HEALTH,
    question: (values, nowMs) => ({ kind: "health", nowMs, timeMs: values.timeout }),
  }),
  route("/openapi.json", {
    summary: "This document",
    description: "OpenAPI 3.1, made of the table that requests are checked by.",
    parameters: {},
    answer: { type: "object" },
    question: () => null,
  }),
];
