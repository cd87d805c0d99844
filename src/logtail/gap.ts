/**
 * Gap records: what the log has lost, and why, as an entry of the log itself.
 *
 * In: ranges of entries that will not be delivered, with the windows, packets and bytes they held. Out: one JSON object
 * with sums and the ranges, within an entry's size; and back, for a spool keeps it as the same text.
 * Guarantees: sums are exact by class and direction whatever is merged, to 2^64 - 1 and beyond; ranges merge only where
 * nothing is lost by it, as long as there is room; what nobody knows is called unknown, not zero.
 *
 * `offered` is what keeps books exact when an answer was lost: such an entry was sent, nobody knows whether it was stored,
 * so it stands alone, and a reader that has it under its (procId, seq) takes it off the sums.
 */
import { CLASS_NAMES, type ClassName, type ClassSums, type TrafficSums } from "../counters.ts";
import { GAP_RANGES_MAX } from "../limits.ts";
import { parseTime, timeText } from "../time_text.ts";

/**
 * Why entries were lost. `full`: over the spool's limit. `memory`: over the limit of what is kept while the disk
 * fails. `refused`, `tooLarge`: the collector would not take it, it is set aside. `damaged`: bytes on disk changed.
 * `torn`: the process ended while it was being written. `killed`: the process ended without taking its last window.
 * `output`: a local file or stream could not be written to.
 */
export const GAP_CAUSES = [
  "full",
  "memory",
  "refused",
  "tooLarge",
  "damaged",
  "torn",
  "killed",
  "output",
] as const;
/** See GAP_CAUSES. */
export type GapCause = typeof GAP_CAUSES[number];

/** Entries lost for one cause. */
export interface LostRange {
  readonly cause: GapCause;
  /** Process that wrote them; 0 = unknown, or more than one. */
  readonly procId: number;
  /** Valid iff procId is not 0; 0 = unknown. All numbers between are meant, unless `entries` says fewer. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** How many; 0 = unknown. */
  readonly entries: number;
  /** Windows from the first one's start to the last one's inclusive end, Unix time in ns. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** null = unknown. */
  readonly sums: ClassSums | null;
  /** Whether some of them were sent, so that they may have arrived all the same. */
  readonly offered: boolean;
}

/** No traffic in any class. */
export const NO_SUMS: ClassSums = classSums(() => ({
  txPackets: 0n,
  txBytes: 0n,
  rxPackets: 0n,
  rxBytes: 0n,
}));

/** Adds two sums, class by class. */
export function addSums(a: ClassSums, b: ClassSums): ClassSums {
  return classSums((name) => ({
    txPackets: a[name].txPackets + b[name].txPackets,
    txBytes: a[name].txBytes + b[name].txBytes,
    rxPackets: a[name].rxPackets + b[name].rxPackets,
    rxBytes: a[name].rxBytes + b[name].rxBytes,
  }));
}

/**
 * Returns the ranges with one more, merged with the last where that loses nothing, and further only beyond `rangesMax`.
 * @param ranges In the order in which they were lost; not changed.
 * @param rangesMax At least 2.
 */
export function addLost(
  ranges: readonly LostRange[],
  range: LostRange,
  rangesMax: number = GAP_RANGES_MAX,
): LostRange[] {
  const last = ranges.at(-1);
  if (last !== undefined && mergesExactly(last, range)) {
    return [...ranges.slice(0, -1), merged(last, range)];
  }
  const all = [...ranges, range];
  while (all.length > rangesMax) mergeCheapest(all);
  return all;
}

/** Sums over ranges; `complete` is false when some range's are unknown. */
export function sumLost(
  ranges: readonly LostRange[],
): { entries: number; sums: ClassSums; complete: boolean } {
  let entries = 0;
  let sums = NO_SUMS;
  for (const range of ranges) {
    entries += range.entries;
    if (range.sums !== null) sums = addSums(sums, range.sums);
  }
  return { entries, sums, complete: ranges.every((range) => range.sums !== null) };
}

/** One sentence for people, e.g. `lost 3 entries with 120 packets: full`. */
export function gapSummary(ranges: readonly LostRange[]): string {
  const { entries, sums, complete } = sumLost(ranges);
  const causes = GAP_CAUSES.filter((cause) => ranges.some((range) => range.cause === cause));
  const packets = CLASS_NAMES.reduce(
    (sum, name) => sum + sums[name].txPackets + sums[name].rxPackets,
    0n,
  );
  return `lost ${complete ? "" : "at least "}${entries} entries with ${packets} packets: ${
    causes.join(", ")
  }`;
}

/**
 * Writes a gap record: `{"gap":{…}}`. Members and classes that are zero are left out.
 * @param ranges At least one.
 */
export function gapText(ranges: readonly LostRange[]): string {
  const { entries, sums, complete } = sumLost(ranges);
  const start = ranges.reduce((min, { startNs }) => startNs < min ? startNs : min, FAR_NS);
  const end = ranges.reduce((max, { endNs }) => endNs > max ? endNs : max, 0n);
  const head = `"start":"${timeText(start)}","end":"${timeText(end)}"${number("entries", entries)}`;
  const unknown = complete ? "" : `,"unknown":true`;
  return `{"gap":{${head}${trafficText(sums)}${unknown},"lost":[${
    ranges.map(rangeText).join(",")
  }]}}`;
}

/**
 * Reads what gapText wrote.
 * @throws {SyntaxError} If it is no gap record.
 */
export function parseGap(text: string): LostRange[] {
  const value: unknown = JSON.parse(text, exactInteger);
  const lost = field(field(value, "gap"), "lost");
  if (!Array.isArray(lost)) throw new SyntaxError('Cannot read gap record: no list "lost"');
  return lost.map(parseRange);
}

/** 9999-12-31T23:59:59Z: no window is later. */
const FAR_NS = 253_402_300_799_000_000_000n;

/** Whether the two are neighbours of one kind, so that their union says the same as they do. */
function mergesExactly(a: LostRange, b: LostRange): boolean {
  return a.cause === b.cause && a.procId === b.procId && a.procId !== 0 &&
    !a.offered && !b.offered && a.sums !== null && b.sums !== null && a.lastSeq + 1 === b.firstSeq;
}

/** Merges the two neighbours whose union says least less. @param ranges At least three. */
function mergeCheapest(ranges: LostRange[]): void {
  let [first, second, least] = [0, 2, Infinity];
  for (let index = 1; index < ranges.length; index++) {
    const [a, b] = [ranges[index - 1], ranges[index]];
    const cost = mergeCost(a, b);
    // Known sums never meet unknown ones; where every neighbour is of the other kind, the first and third are of one.
    if ((a.sums === null) !== (b.sums === null) || cost >= least) continue;
    [first, second, least] = [index - 1, index, cost];
  }
  ranges[first] = merged(ranges[first], ranges[second]);
  ranges.splice(second, 1);
}

function mergeCost(a: LostRange, b: LostRange): number {
  return (a.procId !== b.procId ? 4 : 0) + (a.cause !== b.cause ? 2 : 0) +
    (a.offered || b.offered ? 1 : 0);
}

function merged(a: LostRange, b: LostRange): LostRange {
  const procId = a.procId === b.procId ? a.procId : 0;
  return {
    cause: a.cause,
    procId,
    firstSeq: procId === 0 ? 0 : Math.min(a.firstSeq, b.firstSeq),
    lastSeq: procId === 0 ? 0 : Math.max(a.lastSeq, b.lastSeq),
    entries: a.entries + b.entries,
    startNs: a.startNs < b.startNs ? a.startNs : b.startNs,
    endNs: a.endNs > b.endNs ? a.endNs : b.endNs,
    sums: a.sums === null || b.sums === null ? null : addSums(a.sums, b.sums),
    offered: a.offered || b.offered,
  };
}

function rangeText(range: LostRange): string {
  return `{"cause":"${range.cause}"${number("procId", range.procId)}${
    number("firstSeq", range.firstSeq)
  }${number("lastSeq", range.lastSeq)}${number("entries", range.entries)},"start":"${
    timeText(range.startNs)
  }","end":"${timeText(range.endNs)}"${
    range.sums === null ? `,"unknown":true` : trafficText(range.sums)
  }${range.offered ? `,"offered":true` : ""}}`;
}

/** `,"traffic":{…}`, or nothing where there was none. */
function trafficText(sums: ClassSums): string {
  const classes = CLASS_NAMES.flatMap((name) => {
    const members = countsText(sums[name]);
    return members === "" ? [] : [`"${name}":{${members.slice(1)}}`];
  });
  return classes.length === 0 ? "" : `,"traffic":{${classes.join(",")}}`;
}

function countsText(sums: TrafficSums): string {
  return number("txPkts", sums.txPackets) + number("txBytes", sums.txBytes) +
    number("rxPkts", sums.rxPackets) + number("rxBytes", sums.rxBytes);
}

function number(name: string, value: number | bigint): string {
  return value === 0 || value === 0n ? "" : `,"${name}":${value}`;
}

function parseRange(value: unknown): LostRange {
  const cause = field(value, "cause") as GapCause;
  if (!GAP_CAUSES.includes(cause)) {
    throw new SyntaxError(`Cannot read gap record: cause is ${JSON.stringify(cause)}`);
  }
  return {
    cause,
    procId: Number(integer(value, "procId")),
    firstSeq: Number(integer(value, "firstSeq")),
    lastSeq: Number(integer(value, "lastSeq")),
    entries: Number(integer(value, "entries")),
    startNs: timeOf(value, "start"),
    endNs: timeOf(value, "end"),
    sums: field(value, "unknown") === true ? null : parseTraffic(field(value, "traffic")),
    offered: field(value, "offered") === true,
  };
}

function parseTraffic(traffic: unknown): ClassSums {
  return classSums((name) => {
    const counts = field(traffic, name);
    return {
      txPackets: integer(counts, "txPkts"),
      txBytes: integer(counts, "txBytes"),
      rxPackets: integer(counts, "rxPkts"),
      rxBytes: integer(counts, "rxBytes"),
    };
  });
}

/** Makes sums of what `of` says about each class. */
function classSums(of: (name: ClassName) => TrafficSums): ClassSums {
  return Object.fromEntries(CLASS_NAMES.map((name) => [name, of(name)])) as ClassSums;
}

function timeOf(value: unknown, name: string): bigint {
  const member = field(value, name);
  const ns = typeof member === "string" ? parseTime(member) : null;
  if (ns === null) {
    throw new SyntaxError(
      `Cannot read gap record: "${name}" is ${JSON.stringify(member)}, must be a time`,
    );
  }
  return ns;
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function integer(value: unknown, name: string): bigint {
  const member = field(value, name) ?? 0;
  if (typeof member === "bigint") return member;
  if (typeof member === "number" && Number.isSafeInteger(member) && member >= 0) {
    return BigInt(member);
  }
  throw new SyntaxError(
    `Cannot read gap record: "${name}" is ${JSON.stringify(member)}, must be a whole number`,
  );
}

/** Reviver that reads integers beyond 2^53 from their digits, before they lose any. */
function exactInteger(_name: string, value: unknown, context?: { source?: string }): unknown {
  const isLarge = typeof value === "number" && !Number.isSafeInteger(value);
  return isLarge && /^\d+$/.test(context?.source ?? "") ? BigInt(context!.source!) : value;
}
