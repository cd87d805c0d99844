/**
 * What every answer needs: the reader, who the nodes are, what is complete.
 *
 * In: a reader. Out: contexts of questions; the part of an answer that says how complete it is. What was read of nodes and
 * processes is kept for BOOK_MS at least, for pages ask many questions at once.
 */
import type { Filter } from "../filter/mod.ts";
import type { KeptSince, ProcessState, StoreReader, Stream } from "../store.ts";
import {
  addTimes,
  Completeness,
  NO_TIMES,
  readCompleteness,
  shareOf,
  type ShareTimes,
} from "./completeness.ts";
import type { QueryGuard } from "./guard.ts";
import { hasId } from "../filter/mod.ts";
import { NodeBook } from "./node_book.ts";
import type { Json, QuestionBase, Range } from "./question.ts";
import { Selection } from "./selection.ts";
import { timeJson } from "./times.ts";

/** How long nodes and processes are remembered, and how many times as long as reading them took. */
const BOOK_MS = 2_000;
const BOOK_COSTS = 20;
/** Nodes named in an answer's completeness: the worst. */
const WORST_NODES = 5;

/** See file header. */
export interface QueryContext {
  readonly reader: StoreReader;
  /** As they are now; what is kept may be older. */
  readonly streams: readonly Stream[];
  readonly nodes: NodeBook;
  readonly processes: readonly ProcessState[];
  readonly completeness: Completeness;
  readonly kept: KeptSince;
  readonly guard: QueryGuard;
}

/** Keeps what contexts share. */
export class ContextBook {
  readonly #reader: StoreReader;
  readonly #monotonicMs: () => number;
  #dueMs = -Infinity;
  #adopted = "";
  #kept: Pick<QueryContext, "nodes" | "processes" | "completeness"> | null = null;

  constructor(reader: StoreReader, monotonicMs: () => number) {
    this.#reader = reader;
    this.#monotonicMs = monotonicMs;
  }

  context(guard: QueryGuard): QueryContext {
    const startMs = this.#monotonicMs();
    const streams = this.#reader.streams();
    const adopted = adoptedText(streams);
    if (this.#kept === null || startMs >= this.#dueMs || adopted !== this.#adopted) {
      this.#adopted = adopted;
      const processes = this.#reader.processes();
      this.#kept = {
        processes,
        nodes: new NodeBook(this.#reader, processes),
        completeness: readCompleteness(this.#reader, processes),
      };
      const endMs = this.#monotonicMs();
      this.#dueMs = endMs + Math.max(BOOK_MS, (endMs - startMs) * BOOK_COSTS);
    }
    return { reader: this.#reader, guard, streams, kept: this.#reader.keptSince(), ...this.#kept };
  }
}

/** Who is adopted, and under which names: what no question may be behind with. Orphans may come in floods. */
function adoptedText(streams: readonly Stream[]): string {
  return streams.filter(({ adoptedMs }) => adoptedMs !== null)
    .map(({ number, nodeId, nodeName }) => `${number} ${nodeId} ${nodeName}`).join("\n");
}

/** Selects the rows of a question. */
export function selectionOf(context: QueryContext, question: QuestionBase): Selection {
  return new Selection(question.filter, context.nodes, excludedStreams(context, question));
}

/** Streams that a question leaves out: those that nobody adopted. */
export function excludedStreams(
  { streams }: QueryContext,
  { hasOrphans }: QuestionBase,
): number[] {
  if (hasOrphans) return [];
  return streams.filter(({ adoptedMs }) => adoptedMs === null)
    .map(({ number }) => number);
}

/** Streams that a question may have an answer from: not left out, and not ruled out by the filter's `node`. */
export function streamsOf(context: QueryContext, question: QuestionBase): number[] {
  const excluded = new Set(excludedStreams(context, question));
  const allowed = allowedStreams(question.filter, context.nodes);
  return context.streams.map(({ number }) => number).filter((number) =>
    !excluded.has(number) && (allowed === null || allowed(number))
  );
}

/** null = any. Only what rules streams out for certain does; all else may match. */
function allowedStreams(filter: Filter, nodes: NodeBook): ((stream: number) => boolean) | null {
  switch (filter.kind) {
    case "node": {
      const set = nodes.streamsOfNodes(filter.patterns);
      return (stream) => hasId(set, stream) === 1;
    }
    case "and": {
      const all = filter.operands.map((operand) => allowedStreams(operand, nodes))
        .filter((allowed) => allowed !== null);
      return all.length === 0 ? null : (stream) => all.every((allowed) => allowed(stream));
    }
    case "or": {
      const any = filter.operands.map((operand) => allowedStreams(operand, nodes));
      return any.includes(null) ? null : (stream) => any.some((allowed) => allowed!(stream));
    }
    default:
      return null;
  }
}

/** From when on a stream's rows are kept, of a tier that is kept from `fromMs` on. */
export function keptFromMs({ kept }: QueryContext, stream: number, fromMs: number): number {
  return Math.max(fromMs, kept.orphans.get(stream) ?? -Infinity);
}

/** Says whose rows were removed within a range while nobody had adopted them. */
export function orphanNotes(
  { kept, nodes }: QueryContext,
  streams: readonly number[],
  { fromMs }: Range,
): string[] {
  const lost = streams.filter((stream) => (kept.orphans.get(stream) ?? fromMs) > fromMs);
  const shown = lost.slice(0, WORST_NODES).map((stream) =>
    `${nodes.streamLabel(stream)} up to ${timeJson(kept.orphans.get(stream)!)}`
  );
  if (lost.length > shown.length) shown.push(`${lost.length - shown.length} more`);
  return lost.length === 0
    ? []
    : [`Removed before somebody adopted the log it stood in: rows of ${shown.join(", ")}`];
}

/**
 * How complete an answer is: see completeness.ts.
 * @param rows What of the range is kept of the rows that are read. Absent: none are.
 */
export function completenessJson(
  context: QueryContext,
  streams: readonly number[],
  range: Range,
  nowMs: number,
  rows?: Range,
): Json {
  const { completeness, nodes } = context;
  let sum = NO_TIMES;
  let gaps = 0;
  let missing = 0;
  const parts: { stream: number; share: number; times: ShareTimes; isSilent: boolean }[] = [];
  for (const stream of streams) {
    context.guard.check();
    const fromMs = rows === undefined ? undefined : keptFromMs(context, stream, rows.fromMs);
    const times = completeness.times(stream, range, nowMs, fromMs);
    sum = addTimes(sum, times);
    const timeline = completeness.timeline(stream);
    const touches = (fromMs: number, toMs: number) => toMs > range.fromMs && fromMs <= range.toMs;
    for (const { startNs, endNs } of timeline.gaps) {
      if (touches(Number(startNs) / 1e6, Number(endNs) / 1e6)) gaps++;
    }
    for (const { fromMs, toMs, entries } of timeline.missing) {
      if (touches(fromMs, toMs)) missing += entries;
    }
    const lastMs = completeness.lastWordMs(stream);
    const isSilent = lastMs !== null && lastMs < Math.min(range.toMs, nowMs) - SILENT_NAMED_MS;
    // What retention has removed is no failing of the node.
    const share = shareOf({ ...times, completeMs: times.completeMs + times.removedMs });
    if ((share !== null && share < 1) || isSilent) {
      parts.push({ stream, share: share ?? 1, times, isSilent });
    }
  }
  parts.sort((a, b) => a.share - b.share || a.stream - b.stream);
  return {
    share: shareOf(sum),
    nodes: parts.slice(0, WORST_NODES).map(({ stream, share, times, isSilent }) => ({
      node: nodes.streamLabel(stream),
      stream,
      share,
      ...(times.gapMs > 0 && { gapMs: Math.round(times.gapMs) }),
      ...(times.missingMs > 0 && { missingMs: Math.round(times.missingMs) }),
      ...(times.silentMs > 0 && { silentMs: Math.round(times.silentMs) }),
      ...(isSilent && { silentSince: timeJson(completeness.lastWordMs(stream)!) }),
    })),
    nodesIncomplete: parts.length,
    gaps,
    missing,
    ...(rows !== undefined && rows.fromMs > range.fromMs && { keptFrom: timeJson(rows.fromMs) }),
  };
}

/** A node that is idle writes nothing, and reports come once a minute at most: shorter silence is no news. */
const SILENT_NAMED_MS = 120_000;
