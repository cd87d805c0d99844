/**
 * Books of both ends compared: what A says it sent to B against what B says it received from A.
 *
 * In: virtual rows of nodes that both log; when each one's log is complete. Out: per pair and flow an interval that holds the
 * true loss, and a verdict.
 *
 * Law. Let T be a stretch of true time in which both logs are complete, with a margin. A window's label is wrong by at most
 * `skewMs` at either end, and a packet takes at most `transitMs`. What was sent within T is at least the sum of the windows
 * that certainly lie in T (labels, widened by the skew, within T), and at most the sum of those that possibly touch T. What of
 * it was received is at least what was received certainly within (T.from + transit, T.to], at most what was possibly
 * received within (T.from, T.to + transit]. So
 *
 *     sentInner - receivedOuter <= loss in T <= sentOuter - receivedInner
 *
 * and a flow that began and ended within T has both sides equal. Verdicts, per direction:
 *  - `loss`: the lower side is above zero, in packets or bytes;
 *  - `altered`: the upper side is below zero: more arrived than was sent;
 *  - `withheld`: one end received packets certainly within T, so that the other sent them, but the other has no row of that
 *    connection at all. (Sent packets of which the other says nothing are `loss`: they may never have arrived.)
 *  - `unknown`: there is no stretch in which both logs are complete, or an end had no room for rows of their own (`folded`);
 *  - `good`: else.
 * Sums here are Float64: beyond 2^53 the interval is widened by more than they can be wrong.
 */
import { CLASS } from "../../netlog/mod.ts";
import { COMPLETE_LAG_MS, RECONCILE_FLOWS_MAX, WINDOW_S_MAX } from "../../limits.ts";
import { ROW_FOLDED, type RowColumns } from "../rows.ts";
import {
  completenessJson,
  keptFromMs,
  type QueryContext,
  selectionOf,
  streamsOf,
} from "./context.ts";
import { truncated } from "./engine.ts";
import { windowsKept } from "./flows.ts";
import { firstInOrder, KeyTable } from "./group_table.ts";
import { intersection, type Interval, lengthMs } from "./intervals.ts";
import type { QueryNode } from "./node_book.ts";
import type { Json, ReconcileQuestion } from "./question.ts";
import { type SelectedPart, visitSelected } from "./selection.ts";
import { rangeJson } from "./times.ts";

/** See file header. */
export type Verdict = "good" | "loss" | "altered" | "withheld" | "unknown";

/** Sums of one direction of one flow: packets and bytes by place. */
const SENT_INNER = 0;
const SENT_OUTER = 2;
const RECEIVED_INNER = 4;
const RECEIVED_OUTER = 6;
const DIRECTION_SUMS = 8;
/** Of both directions: 0 goes from the pair's first node to its second. */
const FLOW_SUMS = 2 * DIRECTION_SUMS;

/** Smallest of a stretch that is worth a verdict. */
const STRETCH_MS_MIN = 1;
/** Labels are rounded up to ms. */
const ROUNDING_MS = 1;

/** Two nodes that both log; the lower index is the first. */
interface Pair {
  readonly nodes: readonly [QueryNode, QueryNode];
  readonly stretches: readonly Interval[];
  /** Whether an end had rows without room of their own. */
  readonly isFolded: [boolean, boolean];
  /** Numbers of its flows. */
  readonly flows: number[];
}

/** Answers a question for books of both ends. */
export function answerReconcile(context: QueryContext, question: ReconcileQuestion): Json {
  const books = new Books(context, question);
  const { range, skewMs, transitMs } = question;
  const marginMs = 2 * skewMs + transitMs + WINDOW_S_MAX * 1_000;
  const wide = {
    fromMs: Math.floor(range.fromMs - marginMs),
    toMs: Math.ceil(range.toMs + marginMs),
  };
  const plan = { source: { from: "rows", tier: "raw" }, kept: wide } as const;
  if (question.filter.kind !== "all") {
    const selection = selectionOf(context, question);
    visitSelected(context.reader, plan, selection, context.guard, (part) => books.want(part));
  }
  // Both ends of a flow are read if either matches: a filter by node or direction must not make the other end look silent.
  const all = selectionOf(context, { ...question, filter: { kind: "all" } });
  visitSelected(context.reader, plan, all, context.guard, (part) => books.add(part));
  const isCut = context.guard.isFull || books.refusedFlows > 0;
  const pairs = books.pairs().map((pair) => pairJson(context, books.flows, pair, question, isCut));
  const streams = streamsOf(context, question);
  const { kept, notes } = windowsKept(context, streams, range);
  return {
    range: rangeJson(range),
    tier: "raw",
    notes,
    skewMs,
    transitMs,
    pairs: pairs.map(({ json }) => json),
    alarms: pairs.reduce((sum, { alarms }) => sum + alarms, 0),
    truncated: truncated({ rows: context.guard.isFull, flows: books.refusedFlows > 0 }),
    rowsRead: context.guard.rows,
    completeness: completenessJson(context, streams, range, question.nowMs, kept),
  };
}

/** Collects rows by pair and flow. */
class Books {
  readonly #context: QueryContext;
  readonly #question: ReconcileQuestion;
  readonly #pairs = new Map<number, Pair>();
  /** Flows that the filter matches; null = all. */
  readonly #wanted: FlowTable | null;
  readonly flows = new FlowTable();
  refusedFlows = 0;

  constructor(context: QueryContext, question: ReconcileQuestion) {
    this.#context = context;
    this.#question = question;
    this.#wanted = question.filter.kind === "all" ? null : new FlowTable();
  }

  /** Notes that the flows of these rows are wanted. */
  want(part: SelectedPart): void {
    this.#forEachRow(part, (row, isFirst) => {
      if (this.#wanted!.numberOf(part.columns, row, isFirst) < 0) this.refusedFlows++;
    });
  }

  pairs(): Pair[] {
    return [...this.#pairs.values()].sort((a, b) =>
      a.nodes[0].index - b.nodes[0].index || a.nodes[1].index - b.nodes[1].index
    );
  }

  add(part: SelectedPart): void {
    const { flows } = this;
    const { columns } = part;
    const { counters: [txPackets, txBytes, rxPackets, rxBytes] } = columns;
    this.#forEachRow(part, (row, isFirst, own, other) => {
      if (this.#wanted !== null && !this.#wanted.has(columns, row, isFirst)) return;
      const pair = isFirst ? this.#pair(own, other) : this.#pair(other, own);
      const end = isFirst ? 0 : 1;
      if ((columns.flags[row] & ROW_FOLDED) !== 0) pair.isFolded[end] = true;
      const known = flows.count;
      const flow = flows.numberOf(columns, row, isFirst);
      if (flow < 0) {
        this.refusedFlows++;
        return;
      }
      // Whose the addresses are says which pair it is of.
      if (flow === known) pair.flows.push(flow);
      flows.see(flow, end);
      // What this end sent goes its own way, what it received the other's.
      const at = flow * FLOW_SUMS;
      const back = at + (1 - end) * DIRECTION_SUMS;
      const { sums } = flows;
      this.#addSent(pair, part, sums, at + end * DIRECTION_SUMS, txPackets[row], txBytes[row]);
      this.#addReceived(pair, part, sums, back, rxPackets[row], rxBytes[row]);
    });
  }

  /** Calls `use` for rows between two nodes that both log. `isFirst`: the reporting node is the pair's first. */
  #forEachRow(
    { columns, rows, count }: SelectedPart,
    use: (row: number, isFirst: boolean, own: QueryNode, other: QueryNode) => void,
  ): void {
    const { nodes } = this.#context;
    for (let index = 0; index < count; index++) {
      const row = rows[index];
      if (columns.classCode[row] !== CLASS.VIRTUAL) continue;
      const own = nodes.ofStream(columns.stream[row]);
      const other = nodes.owner(columns.dst[row]);
      if (own === null || other === null || own === other || other.streams.length === 0) continue;
      // Only what the node itself sent or received: src is its own address.
      if (nodes.owner(columns.src[row]) !== own) continue;
      use(row, own.index < other.index, own, other);
    }
  }

  #addSent(
    { stretches }: Pair,
    { startMs, endMs }: SelectedPart,
    sums: Float64Array,
    at: number,
    packets: number,
    bytes: number,
  ): void {
    const { skewMs } = this.#question;
    const slackMs = skewMs + ROUNDING_MS;
    let isOuter = false;
    for (const { fromMs, toMs } of stretches) {
      if (startMs - slackMs >= fromMs && endMs + skewMs <= toMs) {
        addAt(sums, at + SENT_INNER, packets, bytes);
      }
      // A window that touches two stretches is possibly of either, but its packets are counted once.
      isOuter ||= startMs - slackMs <= toMs && endMs + skewMs >= fromMs;
    }
    if (isOuter) addAt(sums, at + SENT_OUTER, packets, bytes);
  }

  #addReceived(
    { stretches }: Pair,
    { startMs, endMs }: SelectedPart,
    sums: Float64Array,
    at: number,
    packets: number,
    bytes: number,
  ): void {
    const { skewMs, transitMs } = this.#question;
    const slackMs = skewMs + ROUNDING_MS;
    let isOuter = false;
    for (const { fromMs, toMs } of stretches) {
      if (startMs - slackMs >= fromMs + transitMs && endMs + skewMs <= toMs) {
        addAt(sums, at + RECEIVED_INNER, packets, bytes);
      }
      isOuter ||= startMs - slackMs <= toMs + transitMs && endMs + skewMs >= fromMs;
    }
    if (isOuter) addAt(sums, at + RECEIVED_OUTER, packets, bytes);
  }

  #pair(first: QueryNode, second: QueryNode): Pair {
    const key = first.index * 2 ** 24 + second.index;
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      const stretches = stretchesOf(this.#context, first, second, this.#question);
      pair = { nodes: [first, second], stretches, isFolded: [false, false], flows: [] };
      this.#pairs.set(key, pair);
    }
    return pair;
  }
}

/** Flows by number, from 0, in the order in which they were met. */
class FlowTable {
  /** Protocol, then address and port of the first node's end and of the second's. */
  readonly #keys = new KeyTable(5, RECONCILE_FLOWS_MAX);
  /** One key at a time. */
  readonly #key = Array.from({ length: 5 }, () => new Uint32Array(1));
  /** Bit n: end n has a row of it, anywhere in the time read. */
  #seen = new Uint8Array(this.#keys.room);
  /** FLOW_SUMS of each. */
  sums = new Float64Array(this.#keys.room * FLOW_SUMS);

  get count(): number {
    return this.#keys.count;
  }

  /** Number of a row's flow: the same for both ends' rows. @returns -1 if there is no room. */
  numberOf(columns: RowColumns, row: number, isFirst: boolean): number {
    this.#setKey(columns, row, isFirst);
    return this.#keys.groupAt(this.#key, 0);
  }

  /** Whether a row's flow is known. */
  has(columns: RowColumns, row: number, isFirst: boolean): boolean {
    this.#setKey(columns, row, isFirst);
    return this.#keys.findAt(this.#key, 0) >= 0;
  }

  #setKey({ proto, src, srcPort, dst, dstPort }: RowColumns, row: number, isFirst: boolean): void {
    const own = isFirst ? 1 : 3;
    const other = 4 - own;
    this.#key[0][0] = proto[row];
    this.#key[own][0] = src[row];
    this.#key[own + 1][0] = srcPort[row];
    this.#key[other][0] = dst[row];
    this.#key[other + 1][0] = dstPort[row];
  }

  #grow(): void {
    const seen = new Uint8Array(this.#seen.length * 2);
    seen.set(this.#seen);
    this.#seen = seen;
    const sums = new Float64Array(this.sums.length * 2);
    sums.set(this.sums);
    this.sums = sums;
  }

  /** Notes that an end has a row of the flow, and makes room for its sums. */
  see(flow: number, end: number): void {
    if (flow >= this.#seen.length) this.#grow();
    this.#seen[flow] |= 1 << end;
  }

  isSeen(flow: number, end: number): boolean {
    return (this.#seen[flow] & (1 << end)) !== 0;
  }

  proto(flow: number): number {
    return this.#keys.word(flow, 0);
  }

  /** Number of the address, and the port, of one end. */
  end(flow: number, end: number): { address: number; port: number } {
    return {
      address: this.#keys.word(flow, 1 + 2 * end),
      port: this.#keys.word(flow, 2 + 2 * end),
    };
  }
}

function addAt(sums: Float64Array, at: number, packets: number, bytes: number): void {
  sums[at] += packets;
  sums[at + 1] += bytes;
}

/**
 * True time in which both ends' logs are complete, whatever their clocks: what a label calls complete from a to b is so
 * for certain from a + skew to b - skew; what was sent at the end arrives `transit` later. Windows that touch a stretch
 * reach beyond it by two skews: there the logs must be complete, and their rows kept, for the outer sums too.
 */
function stretchesOf(
  context: QueryContext,
  first: QueryNode,
  second: QueryNode,
  { range, skewMs, transitMs, nowMs }: ReconcileQuestion,
): Interval[] {
  const marginMs = 2 * skewMs + transitMs + ROUNDING_MS;
  const reach = {
    fromMs: range.fromMs - marginMs,
    toMs: Math.min(range.toMs + marginMs, nowMs - COMPLETE_LAG_MS),
  };
  const complete = (node: QueryNode) =>
    node.streams.map((stream) => {
      const rowsMs = keptFromMs(context, stream, context.kept.rawMs || -Infinity);
      const fromMs = Math.max(reach.fromMs, rowsMs);
      return context.completeness.complete(stream, { ...reach, fromMs });
    })
      .reduce((all, next) => union(all, next), []);
  return intersection(complete(first), complete(second)).map(({ fromMs, toMs }) => ({
    fromMs: Math.max(range.fromMs, fromMs + marginMs),
    toMs: Math.min(range.toMs, toMs - marginMs),
  })).filter((stretch) => stretch.toMs - stretch.fromMs >= STRETCH_MS_MIN);
}

function union(a: Interval[], b: Interval[]): Interval[] {
  return [...a, ...b].sort((x, y) => x.fromMs - y.fromMs).reduce<Interval[]>((all, next) => {
    const last = all.at(-1);
    if (last === undefined || next.fromMs > last.toMs) return [...all, next];
    const toMs = Math.max(last.toMs, next.toMs);
    return [...all.slice(0, -1), { fromMs: last.fromMs, toMs }];
  }, []);
}

// ---- Verdicts -------------------------------------------------------------------------------------------------------

/** Bounds of what was lost: packets and bytes. */
interface LossBounds {
  readonly packets: readonly [min: number, max: number];
  readonly bytes: readonly [min: number, max: number];
}

/** @param at Of the direction's sums. */
function boundsOf(sums: Float64Array, at: number): LossBounds {
  return {
    packets: [leastLost(sums, at, 0), mostLost(sums, at, 0)],
    bytes: [leastLost(sums, at, 1), mostLost(sums, at, 1)],
  };
}

/** What sums beyond 2^53 may be wrong by, and far more. */
function slackOf(sum: number): number {
  return sum <= Number.MAX_SAFE_INTEGER ? 0 : Math.ceil(sum / 2 ** 30);
}

/** One bound of `boundsOf`, without making anything: there are as many as flows. @param unit 0 = packets, 1 = bytes. */
function leastLost(sums: Float64Array, at: number, unit: number): number {
  const outer = sums[at + RECEIVED_OUTER + unit];
  return sums[at + SENT_INNER + unit] - outer -
    slackOf(Math.max(sums[at + SENT_OUTER + unit], outer));
}

/** The other. */
function mostLost(sums: Float64Array, at: number, unit: number): number {
  const outer = sums[at + SENT_OUTER + unit];
  return outer - sums[at + RECEIVED_INNER + unit] +
    slackOf(Math.max(outer, sums[at + RECEIVED_OUTER + unit]));
}

/** @param isSeen Whether the sending end has a row of it. @param at Of the direction's sums. */
function verdictOf(
  pair: Pair,
  sums: Float64Array,
  at: number,
  isSeen: boolean,
  isCut: boolean,
): Verdict {
  if (pair.stretches.length === 0 || isCut || pair.isFolded[0] || pair.isFolded[1]) {
    return "unknown";
  }
  if (!isSeen) return sums[at + RECEIVED_INNER] > 0 ? "withheld" : "good";
  if (leastLost(sums, at, 0) > 0 || leastLost(sums, at, 1) > 0) return "loss";
  if (mostLost(sums, at, 0) < 0 || mostLost(sums, at, 1) < 0) return "altered";
  return "good";
}

function isAlarm(verdict: Verdict): boolean {
  return verdict !== "good" && verdict !== "unknown";
}

function pairJson(
  context: QueryContext,
  flows: FlowTable,
  pair: Pair,
  question: ReconcileQuestion,
  isCut: boolean,
): { json: Json; alarms: number } {
  const total = new Float64Array(FLOW_SUMS);
  const found = { places: [] as number[], ranks: [] as number[] };
  const counts: Record<Verdict, number> = { good: 0, loss: 0, altered: 0, withheld: 0, unknown: 0 };
  const { sums } = flows;
  for (const flow of pair.flows) {
    const start = flow * FLOW_SUMS;
    for (let at = 0; at < FLOW_SUMS; at++) total[at] += sums[start + at];
    for (let direction = 0; direction < 2; direction++) {
      const at = start + direction * DIRECTION_SUMS;
      const verdict = verdictOf(pair, sums, at, flows.isSeen(flow, direction), isCut);
      counts[verdict]++;
      if (!question.hasAll && !isAlarm(verdict)) continue;
      const gravity = Math.max(0, leastLost(sums, at, 0), -mostLost(sums, at, 0));
      found.places.push(2 * flow + direction);
      found.ranks.push(isAlarm(verdict) ? 1 + gravity : 0);
    }
  }
  // Only those that are told become texts: there may be as many as flows.
  const { places, ranks } = found;
  const isBefore = (a: number, b: number) => ranks[a] === ranks[b] ? a < b : ranks[a] > ranks[b];
  const told = firstInOrder(places.length, question.limit, isBefore);
  const { share, directions } = pairTotals(pair, total, question, isCut);
  return {
    json: {
      nodes: pair.nodes.map(nodeName),
      share,
      directions,
      flowCount: pair.flows.length,
      verdicts: counts,
      flows: told.map((index) => flowJson(context, flows, pair, places[index], isCut)),
      moreFlows: Math.max(0, places.length - question.limit),
    },
    alarms: counts.loss + counts.altered + counts.withheld,
  };
}

function pairTotals(
  pair: Pair,
  total: Float64Array,
  { range }: ReconcileQuestion,
  isCut: boolean,
): { share: number; directions: Json } {
  const share = lengthMs(pair.stretches) / Math.max(1, range.toMs - range.fromMs);
  const directions = ([0, 1] as const).map((direction) => {
    const at = direction * DIRECTION_SUMS;
    const verdict = verdictOf(pair, total, at, true, isCut);
    return {
      from: nodeName(pair.nodes[direction]),
      to: nodeName(pair.nodes[1 - direction]),
      verdict,
      ...boundsJson(verdict, total, at),
    };
  });
  return { share, directions };
}

/** @param place Of the flow's direction: twice its number, and one more for the second. */
function flowJson(
  { reader }: QueryContext,
  flows: FlowTable,
  pair: Pair,
  place: number,
  isCut: boolean,
): Json {
  const { nodes } = pair;
  const flow = place >> 1;
  const direction = place & 1;
  const at = flow * FLOW_SUMS + direction * DIRECTION_SUMS;
  const src = flows.end(flow, direction);
  const dst = flows.end(flow, 1 - direction);
  const verdict = verdictOf(pair, flows.sums, at, flows.isSeen(flow, direction), isCut);
  return {
    from: nodeName(nodes[direction]),
    to: nodeName(nodes[1 - direction]),
    proto: flows.proto(flow),
    src: reader.addressText(src.address),
    sport: src.port,
    dst: reader.addressText(dst.address),
    dport: dst.port,
    verdict,
    ...boundsJson(verdict, flows.sums, at),
  };
}

/** Sums at least and at most; a loss that is possible is never below zero, unless more arrived than was sent. */
function boundsJson(
  verdict: Verdict,
  sums: Float64Array,
  at: number,
): Record<string, Json> {
  if (verdict === "unknown") return { lostPackets: null, lostBytes: null };
  const { packets, bytes } = boundsOf(sums, at);
  const shown = ([min, max]: readonly [number, number]) =>
    verdict === "altered" || verdict === "withheld"
      ? [min, max]
      : [Math.max(0, min), Math.max(0, max)];
  return {
    sentPackets: [sums[at + SENT_INNER], sums[at + SENT_OUTER]],
    receivedPackets: [sums[at + RECEIVED_INNER], sums[at + RECEIVED_OUTER]],
    lostPackets: shown(packets),
    lostBytes: shown(bytes),
  };
}

function nodeName({ name, nodeId, index }: QueryNode): string {
  return name || nodeId || `node ${index}`;
}
