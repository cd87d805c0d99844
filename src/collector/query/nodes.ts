/**
 * Who logs, how complete that is, and what was lost: nodes, gaps, the law of self-reports.
 *
 * In: questions. Out: per node its streams with states; per range all declared gaps and missing entries, newest first.
 *
 * Law (src/netlog/report.ts): traffic of the messages read plus that of the gap records equals the report's, for the entries
 * of one process up to the report. `kept`: it holds. `missing`: entries are missing, and the difference is what they held.
 * `broken`: nothing is missing and it does not hold, or more was read than was written: somebody altered the log, or a bug.
 * `unknown`: rows are too old, or some gap's sums are unknown.
 */
import { CLASS_NAMES, type ClassSums, type TrafficSums } from "../../counters.ts";
import { addSums, NO_SUMS } from "../../logtail/mod.ts";
import { parseExactJson, type Report } from "../../netlog/mod.ts";
import type { ProcessState, Stream } from "../store.ts";
import { reportOf, shareOf } from "./completeness.ts";
import { completenessJson, type QueryContext, streamsOf } from "./context.ts";
import { truncated } from "./engine.ts";
import { ceilMsOfTime, msOfTime } from "./intervals.ts";
import type { GapsQuestion, Json, NodesQuestion } from "./question.ts";
import { rangeJson, timeJson, timeJsonNs } from "./times.ts";

/** Answers a question for nodes. */
export function answerNodes(context: QueryContext, question: NodesQuestion): Json {
  const { nodes } = context;
  const { range, nowMs } = question;
  const streams = new Set(streamsOf(context, question));
  const found = nodes.nodes.filter((node) =>
    node.streams.length === 0 || node.streams.some((stream) => streams.has(stream))
  );
  return {
    range: rangeJson(range),
    nodes: found.map(({ nodeId, name, addresses, streams: own }) => ({
      nodeId,
      name,
      addresses,
      logs: own.length > 0,
      streams: own.filter((stream) => streams.has(stream)).map((stream) =>
        streamJson(context, nodes.streams.get(stream)!, question)
      ),
    })),
    completeness: completenessJson(context, [...streams], range, nowMs),
  };
}

function streamJson(context: QueryContext, stream: Stream, question: NodesQuestion): Json {
  const { completeness } = context;
  const { number, firstSeenMs, lastSeenMs, adoptedMs, collection, publicId, bodyBytes } = stream;
  context.guard.check();
  const times = completeness.times(number, question.range, question.nowMs);
  const lastMs = completeness.lastWordMs(number);
  const processes = context.processes.filter((process) => process.stream === number);
  return {
    stream: number,
    collection,
    publicId,
    firstSeen: timeJson(firstSeenMs),
    lastSeen: timeJson(lastSeenMs),
    lastWord: lastMs === null ? null : timeJson(lastMs),
    adopted: adoptedMs === null ? null : timeJson(adoptedMs),
    bodyBytes,
    share: shareOf(times),
    completeMs: Math.round(times.completeMs),
    gapMs: Math.round(times.gapMs),
    missingMs: Math.round(times.missingMs),
    silentMs: Math.round(times.silentMs),
    processes: processes.map((process) => processJson(context, process, question)),
  };
}

function processJson(
  context: QueryContext,
  process: ProcessState,
  { hasChecks }: NodesQuestion,
): Json {
  const report = reportOf(process);
  return {
    // Beyond 2^53 in no process id (32 bits), but text keeps it a name and no number.
    procId: String(process.procId),
    firstSeq: process.firstSeq,
    lastSeq: process.lastSeq,
    received: process.received,
    missingRanges: process.missing.length,
    start: process.firstStartNs === null ? null : timeJsonNs(process.firstStartNs),
    end: process.lastEndNs === null ? null : timeJsonNs(process.lastEndNs),
    report: report === null ? null : reportJson(report),
    ...(hasChecks && { law: lawOf(context, process, report) }),
  };
}

function reportJson(report: Report): Json {
  const counts = (
    value: { readonly packets: number | bigint; readonly bytes: number | bigint },
  ) => ({
    packets: value.packets,
    bytes: value.bytes,
  });
  return {
    end: timeJsonNs(report.endNs),
    windows: report.windows,
    messages: report.messages,
    rows: report.rows,
    foldedRows: report.foldedRows,
    drops: Object.fromEntries(
      Object.entries(report.drops).map(([name, drop]) => [name, counts(drop!)]),
    ),
    lostEntries: Object.fromEntries(
      Object.entries(report.lost).map(([cause, { entries }]) => [cause, entries]),
    ),
    waitingEntries: report.waitingEntries,
  };
}

// ---- Law ------------------------------------------------------------------------------------------------------------

/** Whether the books of a process agree with its own report. */
export function lawOf(context: QueryContext, process: ProcessState, report: Report | null): Json {
  const reportSeq = seqOfReport(process);
  if (report === null || reportSeq === null) return { state: "unknown", reason: "no report yet" };
  const { completeness, reader } = context;
  const timeline = completeness.timeline(process.stream);
  const gaps = timeline.gaps.filter(({ procId }) => procId === process.procId);
  const isUnclear = timeline.gaps.some(({ procId, sums }) =>
    procId === 0 || (procId === process.procId && sums === null)
  );
  if (isUnclear) return { state: "unknown", reason: "sums of a declared gap are not known" };
  const { firstStartNs, lastEndNs } = process;
  // By the process's own extent: the clock may have been set since the report.
  const fromMs = Math.floor(msOfTime(firstStartNs ?? report.startNs)) - 1;
  const toMs = ceilMsOfTime(lastEndNs ?? report.endNs);
  const windows = reader.windows(process.stream, fromMs, toMs)
    .filter(({ procId, procSeq }) => procId === process.procId && procSeq < reportSeq);
  const missing = timeline.missing.filter(({ procId, firstSeq }) =>
    procId === process.procId && firstSeq < reportSeq
  );
  const missingEntries = missing.reduce((sum, { entries }) => sum + entries, 0);
  const lostEntries = gaps.reduce((sum, { entries }) => sum + entries, 0);
  // Rows that retention took would look like rows that somebody withheld.
  if (BigInt(windows.length + missingEntries + lostEntries) < BigInt(report.messages)) {
    return { state: "unknown", reason: "some messages are no longer kept, or not yet here" };
  }
  let read = NO_SUMS;
  for (const { sums } of windows) read = addSums(read, sums);
  for (const { sums } of gaps) read = addSums(read, sums!);
  const difference = differenceOf(report, read);
  const values = difference.flatMap(({ values }) => Object.values(values) as bigint[]);
  const isKept = values.every((value) => value === 0n);
  const isMissing = missing.length > 0 && values.every((value) => value >= 0n);
  const state = isKept ? "kept" : isMissing ? "missing" : "broken";
  return {
    state,
    ...(!isKept && {
      difference: Object.fromEntries(difference.map(({ name, values }) => [name, values])),
    }),
  };
}

/** What the report says was written, less what was read and declared lost; classes without difference are left out. */
function differenceOf(
  report: Report,
  read: ClassSums,
): { name: string; values: Record<keyof TrafficSums, bigint> }[] {
  return CLASS_NAMES.map((name) => {
    const said = report.traffic[name];
    const less = (counter: keyof TrafficSums) => BigInt(said?.[counter] ?? 0) - read[name][counter];
    const values = {
      txPackets: less("txPackets"),
      txBytes: less("txBytes"),
      rxPackets: less("rxPackets"),
      rxBytes: less("rxBytes"),
    };
    return { name, values };
  }).filter(({ values }) => Object.values(values).some((value) => value !== 0n));
}

/** Number of the entry that the newest report was; null = it does not say. */
function seqOfReport({ reportJson }: ProcessState): number | null {
  if (reportJson === null) return null;
  const entry = parseExactJson(reportJson) as { logtail?: { proc_seq?: unknown } } | null;
  const seq = entry?.logtail?.proc_seq;
  return typeof seq === "number" ? seq : null;
}

// ---- Gaps -----------------------------------------------------------------------------------------------------------

/** Answers a question for what is not complete. */
export function answerGaps(context: QueryContext, question: GapsQuestion): Json {
  const { range, limit, nowMs } = question;
  const { completeness, nodes } = context;
  const streams = streamsOf(context, question);
  const found: { toMs: number; json: Json }[] = [];
  for (const stream of streams) {
    context.guard.check();
    const { gaps, missing } = completeness.timeline(stream);
    const node = { node: nodes.streamLabel(stream), stream };
    for (const gap of gaps) {
      const toMs = msOfTime(gap.endNs);
      if (toMs <= range.fromMs || msOfTime(gap.startNs) > range.toMs) continue;
      found.push({
        toMs,
        json: {
          kind: "declared",
          ...node,
          from: timeJsonNs(gap.startNs),
          to: timeJsonNs(gap.endNs),
          cause: gap.cause,
          procId: String(gap.procId),
          firstSeq: gap.firstSeq,
          lastSeq: gap.lastSeq,
          entries: gap.entries,
          offered: gap.offered,
          sums: gap.sums === null ? null : sumsJson(gap.sums),
        },
      });
    }
    for (const { fromMs, toMs, procId, firstSeq, lastSeq, entries } of missing) {
      if (toMs <= range.fromMs || fromMs > range.toMs) continue;
      found.push({
        toMs,
        json: {
          kind: "missing",
          ...node,
          from: timeJson(fromMs),
          to: timeJson(toMs),
          procId: String(procId),
          firstSeq,
          lastSeq,
          entries,
        },
      });
    }
  }
  found.sort((a, b) => b.toMs - a.toMs);
  return {
    range: rangeJson(range),
    gaps: found.slice(0, limit).map(({ json }) => json),
    truncated: truncated({ gaps: found.length > limit }),
    completeness: completenessJson(context, streams, range, nowMs),
  };
}

/** Sums by class; classes without traffic are left out. */
export function sumsJson(sums: ClassSums): Record<string, Json> {
  const names = CLASS_NAMES.filter((name) =>
    Object.values(sums[name]).some((value) => value !== 0n)
  );
  return Object.fromEntries(names.map((name) => [name, { ...sums[name] }]));
}
