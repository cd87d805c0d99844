/**
 * Questions to the log and the parts that their answers share, as plain values: they cross from thread to thread.
 *
 * Times are Unix ms; ranges are open at their start and closed at their end, as in ScanRange.
 */
import type { Filter } from "../filter/mod.ts";

/** By what rows may be grouped. */
export const DIMENSIONS = [
  "class",
  "node",
  "peer",
  "proto",
  "src",
  "dst",
  "host",
  "sport",
  "dport",
  "srcNet",
  "dstNet",
] as const;

/** See DIMENSIONS. `host`: either end, so that a row counts for both; `peer`: the node at the other end. */
export type Dimension = typeof DIMENSIONS[number];

/** By what groups may be ordered, the greatest first. */
export const ORDERS = [
  "bytes",
  "packets",
  "txBytes",
  "rxBytes",
  "txPackets",
  "rxPackets",
  "rows",
] as const;

/** See ORDERS. */
export type Order = typeof ORDERS[number];

/** Where rows are read. `totals`: sums by stream and class, which need no rows. */
export const TIERS = ["auto", "raw", "minute", "hour", "sum"] as const;

/** See TIERS. */
export type TierChoice = typeof TIERS[number];

/** A range of time. */
export interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What every question says. */
export interface QuestionBase {
  readonly range: Range;
  readonly filter: Filter;
  /** Whether streams that nobody adopted are read too. */
  readonly hasOrphans: boolean;
  /** Time at the collector. */
  readonly nowMs: number;
  readonly timeMs: number;
}

/** Groups by sums. */
export interface TopQuestion extends QuestionBase {
  readonly kind: "top";
  /** One to three. */
  readonly by: readonly Dimension[];
  readonly order: Order;
  readonly limit: number;
  readonly tier: TierChoice;
  /** Whether distinct connections are counted. */
  readonly hasFlows: boolean;
  /** Whether peak and 95th percentile of the rate are wanted, per bucket of the tier. */
  readonly hasRates: boolean;
  /** Length of prefixes for `srcNet`, `dstNet`. */
  readonly netBits4: number;
  readonly netBits6: number;
}

/** Sums over time. */
export interface SeriesQuestion extends QuestionBase {
  readonly kind: "series";
  readonly by: Dimension;
  /** 0 = by span. */
  readonly stepMs: number;
  /** Lines; what is beyond is summed as the rest. */
  readonly limit: number;
  readonly order: Order;
  readonly tier: TierChoice;
  readonly netBits4: number;
  readonly netBits6: number;
}

/** Where a page of flows goes on: behind this row. */
export interface FlowCursor {
  readonly endMs: number;
  readonly entry: number;
  readonly row: number;
}

/** Raw rows, page by page. */
export interface FlowsQuestion extends QuestionBase {
  readonly kind: "flows";
  readonly limit: number;
  readonly isNewestFirst: boolean;
  readonly cursor: FlowCursor | null;
}

/** Which connection is meant, as its node writes it: src is the node's side. */
export interface ConnectionKey {
  /** Name, id, address or public id of the node. */
  readonly node: string;
  readonly proto: number;
  readonly src: string;
  readonly srcPort: number;
  readonly dst: string;
  readonly dstPort: number;
}

/** One connection, window by window. */
export interface ConnectionQuestion extends QuestionBase {
  readonly kind: "connection";
  readonly connection: ConnectionKey;
  readonly limit: number;
}

/** Class of a connection and why. */
export interface ExplainQuestion extends QuestionBase {
  readonly kind: "explain";
  readonly connection: ConnectionKey;
  /** Most windows shown. */
  readonly limit: number;
}

/** Who logs. */
export interface NodesQuestion extends QuestionBase {
  readonly kind: "nodes";
  /** Whether the law of self-reports is checked, which reads all windows of the processes concerned. */
  readonly hasChecks: boolean;
}

/** What is not complete. */
export interface GapsQuestion extends QuestionBase {
  readonly kind: "gaps";
  readonly limit: number;
}

/** Books of both ends compared. */
export interface ReconcileQuestion extends QuestionBase {
  readonly kind: "reconcile";
  readonly skewMs: number;
  readonly transitMs: number;
  readonly limit: number;
  /** Whether flows in good order are listed too. */
  readonly hasAll: boolean;
}

/** Windows that came since an entry. */
export interface LiveQuestion {
  readonly kind: "live";
  /** null = from now on: only the newest id is asked for. */
  readonly after: number | null;
  readonly nowMs: number;
  readonly timeMs: number;
}

/** What could be typed next in a filter, and what is wrong with it. */
export interface CompleteQuestion {
  readonly kind: "complete";
  readonly text: string;
  /** Of the cursor, in UTF-16 units. */
  readonly position: number;
  readonly nowMs: number;
  readonly timeMs: number;
}

/** How the store does. */
export interface HealthQuestion {
  readonly kind: "health";
  readonly nowMs: number;
  readonly timeMs: number;
}

/** Any question. */
export type Question =
  | TopQuestion
  | SeriesQuestion
  | FlowsQuestion
  | ConnectionQuestion
  | ExplainQuestion
  | NodesQuestion
  | GapsQuestion
  | ReconcileQuestion
  | LiveQuestion
  | CompleteQuestion
  | HealthQuestion;

/** A question that cannot be answered as it was put. */
export class QuestionError extends Error {
  override readonly name = "QuestionError";

  /** @param parameter Which part of the question is wrong; "" = all of it. */
  constructor(message: string, readonly parameter = "") {
    super(message);
  }
}

/** A value as it is written to JSON; bigints as digits. */
export type Json =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly Json[]
  | { readonly [name: string]: Json | undefined };
