/**
 * What the store knows, and what it does not: per stream and time one of four states.
 *
 * In: processes (which numbers came, which are missing), declared gaps, reports. Out: timelines, shares, what is missing.
 *
 * States. A process vouches for the time from its first window's start (or its report's) to the end of its last window or
 * report: numbers without holes prove that what no message tells of was idle. Of that time
 *  - `missing`: a hole in the numbers that no gap record explains: from the entry before it to the entry after it;
 *  - `gap`: declared lost, with cause and exact loss, unless it was `offered` and did arrive (src/logtail/gap.ts);
 *  - `complete`: all else.
 * `silent` is time that no process vouches for: before a restart's first window, or since the last word. Missing wins over
 * gap, gap over complete, complete over silent, where processes overlap.
 *
 * Share. Of a range and some streams: (complete time) / (expected time), both summed over the streams. Expected of a stream
 * is the part of the range between its first vouched moment and COMPLETE_LAG_MS before now, for what was counted since may
 * still be on its way; of each silent stretch only the first SILENT_COUNTED_MS count, so that a node that died lowers the
 * share while it is news and not for ever. Nodes that are silent at the range's end are named whatever their share.
 * What retention has removed of an answer's rows is expected, but no longer complete: `removed`.
 * Where nothing is expected the share is null: then nothing is known at all, and 0 or 1 would both claim something.
 */
import { parseExactJson, parseReport, type Report } from "../../netlog/mod.ts";
import { COMPLETE_LAG_MS, SILENT_COUNTED_MS } from "../../limits.ts";
import type { MissingRange, ProcessState, StoredGap, StoreReader } from "../store.ts";
import {
  difference,
  intersection,
  type Interval,
  joined,
  lengthMs,
  msOfTime,
  within,
} from "./intervals.ts";

/** See file header. */
export type CompletenessState = "complete" | "gap" | "missing" | "silent";

/** Entries that no gap record explains. */
export interface MissingEntries extends Interval {
  readonly stream: number;
  readonly procId: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly entries: number;
}

/** Time and state of one stream. */
export interface Timeline {
  readonly stream: number;
  /** By state, joined; the four do not overlap, but for the points where they touch. */
  readonly intervals: Readonly<Record<Exclude<CompletenessState, "silent">, readonly Interval[]>>;
  /** What any process vouches for, lost or not. */
  readonly vouched: readonly Interval[];
  readonly gaps: readonly StoredGap[];
  readonly missing: readonly MissingEntries[];
}

/** Time by state, in ms; `expectedMs` as in the file header. */
export interface ShareTimes {
  readonly completeMs: number;
  /** Was complete, but the rows that would be read are no longer kept. */
  readonly removedMs: number;
  readonly gapMs: number;
  readonly missingMs: number;
  readonly silentMs: number;
  readonly expectedMs: number;
}

/** See file header. */
export class Completeness {
  readonly #timelines = new Map<number, Timeline>();

  constructor(processes: readonly ProcessState[], gaps: readonly StoredGap[]) {
    const processesByStream = Map.groupBy(processes, ({ stream }) => stream);
    const gapsByStream = Map.groupBy(gaps, ({ stream }) => stream);
    for (const stream of new Set([...processesByStream.keys(), ...gapsByStream.keys()])) {
      const own = processesByStream.get(stream) ?? [];
      this.#timelines.set(stream, timelineOf(stream, own, gapsByStream.get(stream) ?? []));
    }
  }

  /** A stream's timeline; one without any word is empty. */
  timeline(stream: number): Timeline {
    return this.#timelines.get(stream) ?? timelineOf(stream, [], []);
  }

  /**
   * Time by state of one stream in a range.
   * @param keptFromMs From when on rows are kept. Absent: no rows are read.
   */
  times(
    stream: number,
    range: Interval,
    nowMs: number,
    keptFromMs: number = -Infinity,
  ): ShareTimes {
    const { intervals, vouched } = this.timeline(stream);
    const firstMs = vouched[0]?.fromMs;
    const fromMs = Math.max(range.fromMs, firstMs ?? Infinity);
    const toMs = Math.min(range.toMs, nowMs - COMPLETE_LAG_MS);
    if (!(fromMs < toMs)) return NO_TIMES;
    const span = { fromMs, toMs };
    const of = (state: keyof typeof intervals) => lengthMs(within(intervals[state], span));
    const knownMs = of("complete");
    const kept = { fromMs: Math.max(fromMs, keptFromMs), toMs };
    const completeMs = Math.min(knownMs, lengthMs(within(intervals.complete, kept)));
    const removedMs = knownMs - completeMs;
    const times = { completeMs, removedMs, gapMs: of("gap"), missingMs: of("missing") };
    const silentMs = lengthMs(within(countedSilence(vouched, nowMs), span));
    const expectedMs = knownMs + times.gapMs + times.missingMs + silentMs;
    return { ...times, silentMs, expectedMs };
  }

  /** When a stream spoke last; null = never. */
  lastWordMs(stream: number): number | null {
    return this.timeline(stream).vouched.at(-1)?.toMs ?? null;
  }

  /** Stretches of a range for which a stream's log is complete. */
  complete(stream: number, range: Interval): Interval[] {
    return within(this.timeline(stream).intervals.complete, range);
  }
}

/** No time at all. */
export const NO_TIMES: ShareTimes = {
  completeMs: 0,
  removedMs: 0,
  gapMs: 0,
  missingMs: 0,
  silentMs: 0,
  expectedMs: 0,
};

/** Sums times over streams. */
export function addTimes(a: ShareTimes, b: ShareTimes): ShareTimes {
  return {
    completeMs: a.completeMs + b.completeMs,
    removedMs: a.removedMs + b.removedMs,
    gapMs: a.gapMs + b.gapMs,
    missingMs: a.missingMs + b.missingMs,
    silentMs: a.silentMs + b.silentMs,
    expectedMs: a.expectedMs + b.expectedMs,
  };
}

/** The share; null = nothing was expected. */
export function shareOf({ completeMs, expectedMs }: ShareTimes): number | null {
  return expectedMs === 0 ? null : Math.min(1, completeMs / expectedMs);
}

/** The first SILENT_COUNTED_MS of each silent stretch. */
function countedSilence(vouched: readonly Interval[], nowMs: number): Interval[] {
  return vouched.map(({ toMs }, index) => ({
    fromMs: toMs,
    toMs: Math.min(vouched[index + 1]?.fromMs ?? Math.max(nowMs, toMs), toMs + SILENT_COUNTED_MS),
  }));
}

function timelineOf(
  stream: number,
  processes: readonly ProcessState[],
  declared: readonly StoredGap[],
): Timeline {
  const byProcess = new Map(processes.map((process) => [process.procId, process]));
  const gaps = declared.filter((gap) => !didArrive(gap, byProcess.get(gap.procId)));
  const missing = processes.flatMap((process) => undeclared(process, gaps));
  const gapTimes = joined(gaps.map(({ startNs, endNs }) => orderedInterval(startNs, endNs)));
  const missingTimes = joined(missing);
  const spans = processes.flatMap(vouchedInterval);
  // What a gap record tells of was vouched for by its writer, though no message of that time came.
  const vouched = joined([...spans, ...gapTimes]);
  const complete = difference(difference(joined(spans), gapTimes), missingTimes);
  return {
    stream,
    intervals: {
      complete,
      gap: difference(gapTimes, missingTimes),
      missing: intersection(missingTimes, vouched),
    },
    vouched,
    gaps,
    missing,
  };
}

function orderedInterval(startNs: bigint, endNs: bigint): Interval {
  const [from, to] = startNs <= endNs ? [startNs, endNs] : [endNs, startNs];
  return { fromMs: msOfTime(from), toMs: msOfTime(to) };
}

/** Whether all entries of an offered range were received after all. */
export function didArrive(gap: StoredGap, process: ProcessState | undefined): boolean {
  const { offered, procId, firstSeq, lastSeq } = gap;
  if (!offered || procId === 0 || firstSeq === 0 || process === undefined) return false;
  return firstSeq >= process.firstSeq && lastSeq <= process.lastSeq &&
    !process.missing.some((range) => range.firstSeq <= lastSeq && firstSeq <= range.lastSeq);
}

/** What a process vouches for. */
function vouchedInterval(process: ProcessState): Interval[] {
  const report = reportOf(process);
  const starts = [process.firstStartNs, report?.startNs ?? null].filter((ns) => ns !== null);
  const ends = [process.lastEndNs, report?.endNs ?? null].filter((ns) => ns !== null);
  if (starts.length === 0 || ends.length === 0) return [];
  const startNs = starts.reduce((a, b) => a < b ? a : b);
  const endNs = ends.reduce((a, b) => a > b ? a : b);
  return [orderedInterval(startNs, endNs)];
}

/** A process's newest report; null if there is none that can be read. */
export function reportOf({ reportJson }: ProcessState): Report | null {
  if (reportJson === null) return null;
  try {
    return parseReport(parseExactJson(reportJson));
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Holes in a process's numbers, less what gap records tell of. */
function undeclared(process: ProcessState, gaps: readonly StoredGap[]): MissingEntries[] {
  const { stream, procId } = process;
  const declared = gaps.filter((gap) => gap.procId === procId && gap.firstSeq > 0)
    .sort((a, b) => a.firstSeq - b.firstSeq);
  return holesOf(process).flatMap(({ firstSeq, lastSeq, afterNs, beforeNs }) => {
    const time = orderedInterval(afterNs, beforeNs);
    const left: MissingEntries[] = [];
    const add = (first: number, last: number) => {
      if (first > last) return;
      const entries = last - first + 1;
      left.push({ stream, procId, firstSeq: first, lastSeq: last, entries, ...time });
    };
    let next = firstSeq;
    for (const gap of declared) {
      if (gap.lastSeq < next || gap.firstSeq > lastSeq) continue;
      add(next, Math.min(gap.firstSeq - 1, lastSeq));
      next = Math.max(next, gap.lastSeq + 1);
    }
    add(next, lastSeq);
    return left;
  });
}

/** Missing ranges, and what came before the first number that was received: every process counts from 1. */
function holesOf(process: ProcessState): MissingRange[] {
  const { firstSeq, missing, firstStartNs } = process;
  if (firstSeq <= 1) return [...missing];
  const startNs = reportOf(process)?.startNs ?? firstStartNs;
  if (startNs === null) return [...missing];
  const beforeNs = firstStartNs ?? startNs;
  return [
    { firstSeq: 1, lastSeq: firstSeq - 1, afterNs: startNs, beforeNs },
    ...missing,
  ];
}

/** Reads all that is known. */
export function readCompleteness(
  reader: StoreReader,
  processes: readonly ProcessState[],
): Completeness {
  return new Completeness(
    processes,
    reader.gaps(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  );
}
