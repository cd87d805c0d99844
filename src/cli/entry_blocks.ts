/**
 * Entries of the log that are no messages, for people: gap records, self-reports, texts.
 *
 * In: an entry with what stands beside it, the zone of times. Out: a few lines, begun like a message's table.
 */
import { CLASS_NAMES, type TrafficSums } from "../counters.ts";
import { gapSummary, type LostRange } from "../logtail/mod.ts";
import {
  type Counts,
  localTimeText,
  printable,
  type Provenance,
  provenanceLines,
  type Report,
  type ZoneOffset,
} from "../netlog/mod.ts";

const RULE = "=".repeat(60);

/** What is lost for good: each range with its cause and what it held. */
export function gapBlock(
  ranges: readonly LostRange[],
  provenance: Provenance,
  zone: ZoneOffset,
): string {
  return block(provenance, "", zone, [
    `Gap:    ${gapSummary(ranges)}`,
    ...ranges.flatMap((range) => [
      `    ${range.cause}: ${rangeText(range)}, ${windowText(range, zone)}`,
      ...(range.sums === null ? ["        traffic unknown"] : trafficLines(range.sums)),
    ]),
  ]);
}

/** Totals of a process since its start. */
export function reportBlock(report: Report, provenance: Provenance, zone: ZoneOffset): string {
  const { windows, messages, rows, foldedRows, traffic, tun, sock, stale } = report;
  return block(provenance, report.nodeId, zone, [
    `Report: ${windowText(report, zone)}`,
    `    ${windows} windows, ${messages} messages, ${rows} rows, ${foldedRows} of them folded`,
    ...CLASS_NAMES.flatMap((name) => countsLine(`logged ${name}`, traffic[name])),
    ...countsLine("counted by TUN", tun),
    ...countsLine("counted by UDP", sock),
    ...countsLine("counted before the start", stale),
    ...Object.entries(report.drops).map(([name, { packets, bytes }]) =>
      `    dropped ${name}: ${packets} packets, ${bytes} bytes`
    ),
    ...Object.entries(report.lost).flatMap(([cause, lost]) => [
      `    lost ${printable(cause)}: ${lost.entries} entries`,
      ...countsLine("    of traffic", lost),
    ]),
    `    ${report.waitingEntries} entries wait for upload`,
  ]);
}

/** A text entry. */
export function textBlock(text: string, provenance: Provenance, zone: ZoneOffset): string {
  return block(provenance, "", zone, [`Text:   ${printable(text.trimEnd())}`]);
}

function block(
  provenance: Provenance,
  nodeId: string,
  zone: ZoneOffset,
  lines: readonly string[],
): string {
  return [RULE, ...provenanceLines(provenance, nodeId, zone), ...lines, ""].join("\n");
}

function rangeText({ procId, firstSeq, lastSeq, entries, offered }: LostRange): string {
  const count = entries === 0 ? "entries" : entries === 1 ? "1 entry" : `${entries} entries`;
  const sequence = firstSeq === lastSeq ? `${firstSeq}` : `${firstSeq} to ${lastSeq}`;
  const numbers = procId === 0 || firstSeq === 0 ? "" : ` (process ${procId}, ${sequence})`;
  return `${count}${numbers}${offered ? ", sent and perhaps stored" : ""}`;
}

function windowText(
  { startNs, endNs }: { readonly startNs: bigint; readonly endNs: bigint },
  zone: ZoneOffset,
): string {
  return `${localTimeText(startNs, zone)} (${(Number(endNs - startNs) / 1e9).toFixed(3)}s)`;
}

function trafficLines(sums: Readonly<Record<typeof CLASS_NAMES[number], TrafficSums>>): string[] {
  return CLASS_NAMES.flatMap((name) => countsLine(`    ${name}`, sums[name]));
}

/** One line, or none where nothing was counted. */
function countsLine(title: string, counts: Counts | null | undefined): string[] {
  if (counts === null || counts === undefined) return [];
  const { txPackets, txBytes, rxPackets, rxBytes } = counts;
  if ([txPackets, txBytes, rxPackets, rxBytes].every((count) => count == 0)) return [];
  const tx = `tx ${txPackets} packets, ${txBytes} bytes`;
  return [`    ${title}: ${tx}; rx ${rxPackets} packets, ${rxBytes} bytes`];
}
