/**
 * Raw rows, page by page, in order of time; and one connection window by window.
 *
 * In: a question, perhaps with the cursor of the page before. Out: rows, and the cursor of the next page. Order: end of the
 * window, then id of the entry, then place in it, or all of it backwards: a total order of things that never change, so
 * that pages neither repeat nor skip a row whatever is stored meanwhile; what comes late before the cursor is not shown.
 * How: time is cut into stretches that grow while nothing matches. Rows of a stretch are scanned for those that match, and
 * only windows with such rows are read with their entries.
 */
import { CLASS_NAMES } from "../../counters.ts";
import { parseAddress } from "../../packet/mod.ts";
import { ROW_FOLDED, type RowColumns } from "../rows.ts";
import type { StoredWindow } from "../store.ts";
import {
  completenessJson,
  orphanNotes,
  type QueryContext,
  selectionOf,
  streamsOf,
} from "./context.ts";
import { truncated } from "./engine.ts";
import { unwrapStopped } from "./guard.ts";
import { ceilMsOfTime, openStartMs } from "./intervals.ts";
import { goneText, reaches } from "./plan.ts";
import {
  type ConnectionKey,
  type ConnectionQuestion,
  type FlowsQuestion,
  type Json,
  QuestionError,
  type Range,
} from "./question.ts";
import { type Selection, visitSelected } from "./selection.ts";
import { rangeJson, timeJsonNs, valuesJson } from "./times.ts";

/** Length of the first stretch, and of the longest. */
const STRETCH_MS_MIN = 60_000;
const STRETCH_MS_MAX = 6 * 3_600_000;
/** A stretch with so many windows or more is followed by one of half its length. */
const WINDOWS_MANY = 20_000;

/** One row and where it stands. */
export interface FoundFlow {
  readonly window: StoredWindow;
  /** End of the window as the store counts it. */
  readonly endMs: number;
  /** Place in its message, from 0. */
  readonly row: number;
  readonly columns: RowColumns;
  /** Row of the columns. */
  readonly at: number;
}

/** Answers a question for flows. */
export function answerFlows(context: QueryContext, question: FlowsQuestion): Json {
  const { limit, range, nowMs } = question;
  const found: FoundFlow[] = [];
  const progress: Progress = { reachedMs: null };
  // One more than wanted says whether there is a next page.
  for (const flow of flowsOf(context, question, selectionOf(context, question), progress)) {
    found.push(flow);
    if (found.length > limit) break;
  }
  const page = found.slice(0, limit);
  const streams = streamsOf(context, question);
  const { kept, notes } = windowsKept(context, streams, range);
  return {
    range: rangeJson(range),
    tier: "raw",
    notes,
    flows: page.map((flow) => flowJson(context, flow)),
    next: found.length > limit ? cursorOf(page[limit - 1]) : cursorOfTime(question, progress),
    truncated: truncated({
      rows: context.guard.isFull,
      time: found.length <= limit && progress.reachedMs !== null,
    }),
    rowsRead: context.guard.rows,
    completeness: completenessJson(context, streams, range, nowMs, kept),
  };
}

/** What of a range windows are kept for, and what is to be said of it: for answers that are made of windows only. */
export function windowsKept(
  context: QueryContext,
  streams: readonly number[],
  range: Range,
): { readonly kept: Range; readonly notes: readonly string[] } {
  const { rawMs, minuteMs, hourMs } = context.kept;
  const orphans = orphanNotes(context, streams, range);
  if (reaches(range.fromMs, rawMs)) return { kept: range, notes: orphans };
  const gone = goneText("raw", rawMs);
  const hasSums = Math.min(minuteMs, hourMs) < rawMs;
  return {
    kept: { fromMs: Math.min(rawMs, range.toMs), toMs: range.toMs },
    notes: [hasSums ? `${gone}: sums of that time can be asked for` : gone, ...orphans],
  };
}

/** How far a search came that ended before its range did, for half of its time was used up. */
interface Progress {
  reachedMs: number | null;
}

function cursorOf({ endMs, window, row }: FoundFlow): string {
  return `${endMs}.${window.id}.${row}`;
}

/** Where a search goes on that ran out of time: at the stretch that it did not look at. */
function cursorOfTime({ isNewestFirst }: FlowsQuestion, { reachedMs }: Progress): string | null {
  if (reachedMs === null) return null;
  return isNewestFirst ? `${reachedMs + 1}.0.0` : `${reachedMs}.${Number.MAX_SAFE_INTEGER}.0`;
}

/** Finds rows in the question's order, from behind its cursor on. */
function* flowsOf(
  context: QueryContext,
  question: FlowsQuestion,
  selection: Selection,
  progress: Progress,
): Generator<FoundFlow> {
  const { range, isNewestFirst, cursor } = question;
  const streams = new Set(streamsOf(context, question));
  let fromMs = Math.floor(range.fromMs);
  let toMs = Math.ceil(range.toMs);
  if (cursor !== null && isNewestFirst) toMs = Math.min(toMs, cursor.endMs);
  if (cursor !== null && !isNewestFirst) fromMs = Math.max(fromMs, cursor.endMs - 1);
  for (let lengthMs = STRETCH_MS_MIN; fromMs < toMs && !context.guard.isFull;) {
    const stretch = isNewestFirst
      ? { fromMs: Math.max(fromMs, toMs - lengthMs), toMs }
      : { fromMs, toMs: Math.min(toMs, fromMs + lengthMs) };
    const rowsBefore = context.guard.rows;
    const windows = matchingWindows(context, stretch, selection, streams);
    windows.sort((a, b) => a.endMs - b.endMs || a.window.id - b.window.id);
    if (isNewestFirst) windows.reverse();
    for (const { window, endMs } of windows) {
      yield* rowsOf(context, window, endMs, selection, question);
    }
    if (isNewestFirst) toMs = stretch.fromMs;
    else fromMs = stretch.toMs;
    if (context.guard.elapsedMs * 2 > question.timeMs && fromMs < toMs) {
      progress.reachedMs = isNewestFirst ? toMs : fromMs;
      return;
    }
    if (windows.length >= WINDOWS_MANY) lengthMs = Math.max(STRETCH_MS_MIN / 60, lengthMs / 2);
    // Time without any row costs nothing: centuries of it are passed over in a few steps.
    else if (context.guard.rows === rowsBefore) lengthMs *= 2;
    else lengthMs = Math.min(STRETCH_MS_MAX, lengthMs * 2);
  }
}

interface PlacedWindow {
  readonly window: StoredWindow;
  readonly endMs: number;
}

/** Windows of a stretch that have a row that matches. */
function matchingWindows(
  context: QueryContext,
  range: Range,
  selection: Selection,
  streams: ReadonlySet<number>,
): PlacedWindow[] {
  const { reader, guard } = context;
  /** Ends of windows by stream. */
  const wanted = new Map<number, Set<number>>();
  const plan = { source: { from: "rows", tier: "raw" }, kept: range } as const;
  visitSelected(reader, plan, selection, guard, ({ columns, rows, count, endMs }) => {
    for (let index = 0; index < count; index++) {
      const stream = columns.stream[rows[index]];
      let ends = wanted.get(stream);
      if (ends === undefined) wanted.set(stream, ends = new Set());
      ends.add(endMs);
    }
  });
  return [...wanted].filter(([stream]) => streams.has(stream)).flatMap(([stream, ends]) =>
    reader.windows(stream, range.fromMs, range.toMs)
      .map((window) => ({ window, endMs: ceilMsOfTime(window.endNs) }))
      .filter(({ endMs }) => ends.has(endMs))
  );
}

/** Matching rows of one message, behind the cursor. */
function* rowsOf(
  context: QueryContext,
  window: StoredWindow,
  endMs: number,
  selection: Selection,
  { isNewestFirst, cursor, range }: FlowsQuestion,
): Generator<FoundFlow> {
  if (endMs <= range.fromMs || endMs > range.toMs) return;
  const message = unwrapStopped(() => context.reader.message(window.id));
  if (message === null || !context.guard.take(message.rowCount)) return;
  const { columns, first, rowCount } = message;
  const startMs = openStartMs(window.startNs);
  const { rows, count } = selection.select({ startMs, endMs, columns, first, count: rowCount });
  const places = [...rows.subarray(0, count)].map((at) => at - first);
  if (isNewestFirst) places.reverse();
  for (const row of places) {
    if (cursor !== null) {
      const order = endMs - cursor.endMs || window.id - cursor.entry || row - cursor.row;
      if (isNewestFirst ? order >= 0 : order <= 0) continue;
    }
    yield { window, endMs, row, columns, at: first + row };
  }
}

/** A row as answers show it. */
export function flowJson(context: QueryContext, { window, columns, at, row }: FoundFlow): Json {
  const { nodes, reader } = context;
  const proto = columns.proto[at];
  const peer = nodes.owner(columns.dst[at]);
  const sums = columns.counters.map((counter, index) =>
    columns.beyond.get(at * 4 + index) ?? BigInt(counter[at])
  );
  return {
    start: timeJsonNs(window.startNs),
    end: timeJsonNs(window.endNs),
    node: nodes.streamLabel(window.stream),
    stream: window.stream,
    class: CLASS_NAMES[columns.classCode[at]],
    proto,
    src: reader.addressText(columns.src[at]),
    sport: columns.srcPort[at],
    dst: reader.addressText(columns.dst[at]),
    dport: columns.dstPort[at],
    peer: peer === null ? "" : peer.name || peer.nodeId,
    ...valuesJson([sums[0], sums[1], sums[2], sums[3]]),
    ...((columns.flags[at] & ROW_FOLDED) !== 0 && { folded: true }),
    entry: window.id,
    row,
  };
}

// ---- One connection -------------------------------------------------------------------------------------------------

/** A connection in the store's numbers; null = the store never saw one of its ends. */
export interface ConnectionNumbers {
  readonly streams: readonly number[];
  readonly proto: number;
  readonly src: number;
  readonly dst: number;
  readonly srcPort: number;
  readonly dstPort: number;
}

/** @throws {QuestionError} If there is no such node, or an address is none. */
export function connectionNumbers(
  context: QueryContext,
  connection: ConnectionKey,
): ConnectionNumbers | null {
  const node = context.nodes.find(connection.node);
  if (node === null) throw new QuestionError(`Node "${connection.node}" is not known`, "node");
  const numbers = (["src", "dst"] as const).map((side) => {
    const text = connection[side];
    if (text !== "" && parseAddress(text) === null) {
      throw new QuestionError(`"${text}" is not an address`, side);
    }
    return text === "" ? 0 : context.reader.addressNumber(text) || null;
  });
  const [src, dst] = numbers;
  if (src === null || dst === null) return null;
  const { proto, srcPort, dstPort } = connection;
  return { streams: node.streams, proto, src, dst, srcPort, dstPort };
}

/** Whether a row is the connection's. */
export function isRowOf(
  { proto, src, dst, srcPort, dstPort }: Omit<ConnectionNumbers, "streams">,
  columns: RowColumns,
  row: number,
): boolean {
  return columns.src[row] === src && columns.dst[row] === dst && columns.proto[row] === proto &&
    columns.srcPort[row] === srcPort && columns.dstPort[row] === dstPort;
}

/** Rows of a connection in order of time, at most `limit`. */
export function connectionFlows(
  context: QueryContext,
  connection: ConnectionNumbers,
  range: Range,
  limit: number,
): FoundFlow[] {
  const { reader, guard } = context;
  const wanted = new Map<number, Set<number>>();
  const streams = new Set(connection.streams);
  unwrapStopped(() =>
    reader.scan({ ...range, tier: "raw" }, ({ columns, first, count, endMs }) => {
      if (!guard.take(count)) return;
      for (let row = first; row < first + count; row++) {
        const stream = columns.stream[row];
        if (!isRowOf(connection, columns, row) || !streams.has(stream)) continue;
        let ends = wanted.get(stream);
        if (ends === undefined) wanted.set(stream, ends = new Set());
        ends.add(endMs);
      }
    })
  );
  const windows = [...wanted].flatMap(([stream, ends]) =>
    reader.windows(stream, range.fromMs, range.toMs)
      .map((window) => ({ window, endMs: ceilMsOfTime(window.endNs) }))
      .filter(({ endMs }) => ends.has(endMs))
  );
  windows.sort((a, b) => a.endMs - b.endMs || a.window.id - b.window.id);
  const found: FoundFlow[] = [];
  for (const { window, endMs } of windows) {
    guard.check();
    const message = reader.message(window.id);
    if (message === null) continue;
    const { columns, first, rowCount } = message;
    for (let at = first; at < first + rowCount; at++) {
      if (isRowOf(connection, columns, at)) {
        found.push({ window, endMs, row: at - first, columns, at });
      }
    }
    if (found.length >= limit) break;
  }
  return found.slice(0, limit);
}

/** Answers a question for one connection over time. */
export function answerConnection(context: QueryContext, question: ConnectionQuestion): Json {
  const { range, nowMs, limit } = question;
  const numbers = connectionNumbers(context, question.connection);
  const flows = numbers === null ? [] : connectionFlows(context, numbers, range, limit + 1);
  const streams = context.nodes.find(question.connection.node)?.streams ?? [];
  const { kept, notes } = windowsKept(context, streams, range);
  return {
    range: rangeJson(range),
    tier: "raw",
    notes,
    flows: flows.slice(0, limit).map((flow) => flowJson(context, flow)),
    truncated: truncated({ rows: context.guard.isFull, flows: flows.length > limit }),
    rowsRead: context.guard.rows,
    completeness: completenessJson(context, streams, range, nowMs, kept),
  };
}
