/**
 * Self-reports: what a node has logged, dropped and lost since it started, as an entry of the log itself, so that a reader
 * can check from the log alone that nothing is missing.
 *
 * In: a Report. Out: `{"nodeId":…,"start":…,"end":…,"tunlog":{"report":{…}}}`, and back. All sums run from the start of
 * the process, so that the newest report of a process stands for all before it. Its law, for the entries of one process up
 * to the report: traffic of the messages read, plus that of the gap records, equals `traffic`, per class and direction;
 * and all classes together, with `stale`, equal `tun` and `sock` together; without stale counts, the physical class equals
 * `sock` and the others `tun`.
 */
import { CLASS_NAMES, type ClassName, COUNTER_NAMES, type CounterName } from "../counters.ts";
import { timeText } from "../time_text.ts";
import { type Count, type Counts, NO_COUNTS } from "./counts.ts";
import { type ExactJson } from "./exact_json.ts";
import { object, quote, WIRE, writeCounts } from "./schema.ts";
import { type Members, toCount, toCounts, toMembers, toText, toTime } from "./parse.ts";

/** Packets and bytes under one name. */
export interface PacketsBytes {
  readonly packets: Count;
  readonly bytes: Count;
}

/** Messages that are lost. */
export interface LostSums extends Counts {
  readonly entries: Count;
}

/** See file header. */
export interface Report {
  readonly nodeId: string;
  /** First window's start and last window's inclusive end, Unix time in ns. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly windows: Count;
  readonly messages: Count;
  readonly rows: Count;
  readonly foldedRows: Count;
  /** What was written into messages; classes without traffic are left out. */
  readonly traffic: Readonly<Partial<Record<ClassName, Counts>>>;
  /** What the devices say that they counted; null = they do not say. */
  readonly tun: Counts | null;
  readonly sock: Counts | null;
  /** Counted before the log began. */
  readonly stale: Counts;
  /** Packets that the data plane refused, by reason. */
  readonly drops: Readonly<Partial<Record<CounterName, PacketsBytes>>>;
  /** Messages lost so far, by cause, whether a gap record has told of them yet or not; unknown sums count as none. */
  readonly lost: Readonly<Record<string, LostSums>>;
  /** Entries that waited for upload, this report not included. */
  readonly waitingEntries: Count;
}

/** Members on the wire that messages do not have. */
const NAME = {
  report: "report",
  windows: "windows",
  messages: "messages",
  rows: "rows",
  foldedRows: "foldedRows",
  traffic: "traffic",
  tun: "tun",
  sock: "sock",
  stale: "stale",
  drops: "drops",
  packets: "pkts",
  bytes: "bytes",
  lost: "lost",
  entries: "entries",
  waitingEntries: "waitingEntries",
} as const;

/** Writes a report on one line. */
export function writeReport(report: Report): string {
  const { nodeId, startNs, endNs, tun, sock, stale, traffic, drops, lost } = report;
  const members = object([
    member(NAME.windows, report.windows),
    member(NAME.messages, report.messages),
    member(NAME.rows, report.rows),
    member(NAME.foldedRows, report.foldedRows),
    group(NAME.traffic, traffic, writeCounts),
    tun === null ? "" : `"${NAME.tun}":${writeCounts(tun)}`,
    sock === null ? "" : `"${NAME.sock}":${writeCounts(sock)}`,
    optional(NAME.stale, writeCounts(stale)),
    group(
      NAME.drops,
      drops,
      ({ packets, bytes }) => object([member(NAME.packets, packets), member(NAME.bytes, bytes)]),
    ),
    group(NAME.lost, lost, (sums) => {
      const entries = member(NAME.entries, sums.entries);
      return object([entries, writeCounts(sums).slice(1, -1)]);
    }),
    member(NAME.waitingEntries, report.waitingEntries),
  ]);
  return object([
    `"${WIRE.nodeId}":${quote(nodeId)}`,
    `"${WIRE.start}":"${timeText(startNs)}"`,
    `"${WIRE.end}":"${timeText(endNs)}"`,
    `"${WIRE.extension}":{"${NAME.report}":${members}}`,
  ]);
}

function member(name: string, count: Count): string {
  return count == 0 ? "" : `"${name}":${count}`;
}

function optional(name: string, text: string): string {
  return text === "{}" ? "" : `"${name}":${text}`;
}

/** An object of those members that have something to say; nothing where none has. Their names may be any. */
function group<T>(
  name: string,
  values: Readonly<Partial<Record<string, T>>>,
  write: (value: T) => string,
): string {
  const members = Object.entries(values).map(([key, value]) =>
    value === undefined ? "" : optional(quote(key).slice(1, -1), write(value))
  );
  return optional(name, object(members));
}

/**
 * Reads a report out of an entry.
 * @param value As parseExactJson gives it.
 * @returns null if the entry is none.
 * @throws {SyntaxError} If it is one, but wrong.
 */
export function parseReport(value: ExactJson): Report | null {
  const extension = membersOr(value)[WIRE.extension];
  const found = membersOr(extension ?? null)[NAME.report] ?? null;
  if (found === null) return null;
  const entry = toMembers(value, NAME.report);
  const report = toMembers(found, NAME.report);
  return {
    nodeId: toText(entry[WIRE.nodeId], WIRE.nodeId),
    startNs: toTime(entry[WIRE.start], WIRE.start),
    endNs: toTime(entry[WIRE.end], WIRE.end),
    windows: toCount(report[NAME.windows], NAME.windows),
    messages: toCount(report[NAME.messages], NAME.messages),
    rows: toCount(report[NAME.rows], NAME.rows),
    foldedRows: toCount(report[NAME.foldedRows], NAME.foldedRows),
    traffic: toGroup(report[NAME.traffic], NAME.traffic, CLASS_NAMES, toCounts),
    tun: toCountsOrNull(report[NAME.tun], NAME.tun),
    sock: toCountsOrNull(report[NAME.sock], NAME.sock),
    stale: toCountsOrNull(report[NAME.stale], NAME.stale) ?? NO_COUNTS,
    drops: toGroup(report[NAME.drops], NAME.drops, COUNTER_NAMES, (drop) => ({
      packets: toCount(drop[NAME.packets], NAME.packets),
      bytes: toCount(drop[NAME.bytes], NAME.bytes),
    })),
    lost: toGroup(report[NAME.lost], NAME.lost, null, (sums) => ({
      entries: toCount(sums[NAME.entries], NAME.entries),
      ...toCounts(sums),
    })),
    waitingEntries: toCount(report[NAME.waitingEntries], NAME.waitingEntries),
  };
}

/** Members of an object; none of what is no object. */
function membersOr(value: ExactJson): Members {
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  return isObject ? value as Members : {};
}

function isAbsent(value: ExactJson | undefined): value is null | undefined {
  return value === undefined || value === null;
}

function toCountsOrNull(value: ExactJson | undefined, name: string): Counts | null {
  return isAbsent(value) ? null : toCounts(toMembers(value, name));
}

/** Names that a newer version of tunlog may have added are passed over. @param names null = any. */
function toGroup<Name extends string, T>(
  value: ExactJson | undefined,
  name: string,
  names: readonly Name[] | null,
  read: (members: Members) => T,
): Record<Name, T> {
  const members = isAbsent(value) ? {} : toMembers(value, name);
  const known = Object.entries(members).filter(([key]) => names?.includes(key as Name) ?? true);
  return Object.fromEntries(
    known.map(([key, member]) => [key, read(toMembers(member ?? null, key))]),
  ) as Record<Name, T>;
}
