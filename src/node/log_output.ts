/**
 * Where the flow log goes, as one interface for lines on this machine and for a collector.
 *
 * In: windows, and what a self-report says. Out: a Report for each output, because each has losses of its own.
 */
import {
  CLASS_NAMES,
  type ClassSums,
  COUNTER_INFO,
  COUNTER_NAMES,
  type CounterName,
  type CounterValue,
  type TrafficSums,
} from "../counters.ts";
import {
  type DeviceTotals,
  type LoggedWindow,
  type LoggerTotals,
  type LostSums,
  type Report,
  toCount,
} from "../netlog/mod.ts";

/** What an output has not delivered. */
export interface OutputLosses {
  /** Messages lost, by cause. */
  readonly lost: Readonly<Record<string, LostSums>>;
  /** Entries that wait. */
  readonly waitingEntries: number;
}

/** One place that the flow log goes to. No call throws. */
export interface LogOutput {
  /** Takes the messages of one window. */
  write(window: LoggedWindow): void;
  /** Takes a report. @param text One JSON object. */
  writeReport(text: string, report: Report): void;
  losses(): OutputLosses;
  /** Delivers what it holds. @returns Entries that were not delivered within the time. */
  close(timeoutMs: number): Promise<number>;
}

/** What the reports of all outputs have in common. */
export interface ReportSource {
  readonly nodeId: string;
  readonly totals: LoggerTotals;
  readonly counters: Readonly<Record<CounterName, CounterValue>>;
}

/** Makes the report of one output. */
export function reportOf(source: ReportSource, losses: OutputLosses): Report {
  const { totals, counters, nodeId } = source;
  const { byClass } = totals;
  const dropped = COUNTER_NAMES.filter((name) =>
    COUNTER_INFO[name].kind === "drop" && counters[name].packets > 0
  );
  return {
    nodeId,
    startNs: totals.startNs,
    endNs: totals.endNs,
    windows: totals.windows,
    messages: totals.messages,
    rows: byClass.rows,
    foldedRows: byClass.foldedRows,
    traffic: Object.fromEntries(CLASS_NAMES.map((name) => [name, byClass.of(name).value()])),
    tun: exactOrNull(totals.tun),
    sock: exactOrNull(totals.sock),
    stale: totals.stale.value(),
    drops: Object.fromEntries(dropped.map((name) => [name, counters[name]])),
    lost: losses.lost,
    waitingEntries: losses.waitingEntries,
  };
}

/** The data plane's own totals are Float64: beyond 2^53 they are no longer exact, and no witness. */
function exactOrNull(totals: DeviceTotals | null): DeviceTotals | null {
  return totals !== null && Object.values(totals).every(Number.isSafeInteger) ? totals : null;
}

/** Sums over all classes, for people and reports; the exact sums by class are in gap records. */
export function lostSums(entries: number, sums: ClassSums): LostSums {
  const total = (name: keyof TrafficSums) =>
    toCount(CLASS_NAMES.reduce((sum, className) => sum + sums[className][name], 0n));
  return {
    entries,
    txPackets: total("txPackets"),
    txBytes: total("txBytes"),
    rxPackets: total("rxPackets"),
    rxBytes: total("rxBytes"),
  };
}
