/**
 * What a reader of the flow log knows: messages, gap records and reports, each once, and their sums.
 *
 * In: entries as a log collection stored them, repetitions included. Out: books to hold against what the kernel counted.
 * Reads JSON by itself and not by our own parsers, which are not on trial here. Counts stay far below 2^53.
 */
import assert from "node:assert/strict";
import { parseTime } from "../../../src/time_text.ts";

/** Packets and bytes, sent into the tunnel and received from it. */
export interface Sums {
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
}

export const NO_TRAFFIC: Sums = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };

/** One connection. Zero members are left out on the wire. */
export interface LogRow {
  readonly proto?: number;
  readonly src?: string;
  readonly dst?: string;
  readonly txPkts?: number;
  readonly txBytes?: number;
  readonly rxPkts?: number;
  readonly rxBytes?: number;
}

/** What every entry says of itself. */
interface Named {
  readonly procId: number;
  readonly procSeq: number;
}

/** One message. */
export interface LogMessage extends Named {
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly virtual: readonly LogRow[];
  readonly subnet: readonly LogRow[];
  readonly exit: readonly LogRow[];
  readonly physical: readonly LogRow[];
  readonly text: string;
}

/** One range of a gap record. */
export interface LogGap {
  readonly cause: string;
  readonly procId: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly entries: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** Of the tunnel's classes; null = unknown. */
  readonly sums: Sums | null;
  readonly offered: boolean;
}

/** One self-report. */
export interface LogReport extends Named {
  /** Of what the node counted at the TUN device. */
  readonly tun: Sums;
  /** Packets read from the device and not sent, and packets that the device did not take: before it is up, say. */
  readonly dropped: Sums;
  readonly windows: number;
  readonly lostEntries: number;
}

// deno-lint-ignore no-explicit-any -- what comes in is JSON; its form is what the tests are about.
type Json = any;

/** Adds up. */
export function addSums(...all: readonly Sums[]): Sums {
  const total = (name: keyof Sums) => all.reduce((sum, each) => sum + each[name], 0);
  return {
    txPackets: total("txPackets"),
    txBytes: total("txBytes"),
    rxPackets: total("rxPackets"),
    rxBytes: total("rxBytes"),
  };
}

/**
 * Holds rows against the kernel's counters of the interface: the kernel counts what is read from the device before the node
 * may drop it, and the node counts what it received before the device may refuse it.
 */
export function proveEqual(rows: Sums, dropped: Sums, kernel: Sums): void {
  const outside = {
    txPackets: rows.txPackets + dropped.txPackets,
    txBytes: rows.txBytes + dropped.txBytes,
    rxPackets: rows.rxPackets - dropped.rxPackets,
    rxBytes: rows.rxBytes - dropped.rxBytes,
  };
  assert.deepEqual(outside, kernel, "rows, less what was dropped, are what the kernel counted");
}

/** Sums over rows. */
export function sumRows(rows: readonly LogRow[]): Sums {
  return addSums(...rows.map(countsOf));
}

/** Rows of what the tunnel carried inside. */
export function tunnelRows({ virtual, subnet, exit }: LogMessage): LogRow[] {
  return [...virtual, ...subnet, ...exit];
}

/** See file header. */
export class LogBooks {
  readonly messages: readonly LogMessage[];
  readonly gaps: readonly LogGap[];
  readonly reports: readonly LogReport[];
  /** How many entries came more than once. */
  readonly repetitions: number;
  readonly #names: ReadonlySet<string>;

  /** @throws {AssertionError} If an entry has no name, or two different ones have the same. */
  constructor(texts: readonly string[]) {
    const byName = new Map<string, string>();
    const messages: LogMessage[] = [];
    const gaps: LogGap[] = [];
    const reports: LogReport[] = [];
    for (const text of texts) {
      const entry: Json = JSON.parse(text);
      const { proc_id: procId, proc_seq: procSeq } = entry.logtail;
      assert.ok(procId > 0 && procSeq > 0, `entry without a name: ${text}`);
      const name = `${procId}/${procSeq}`;
      const known = byName.get(name);
      assert.ok(known === undefined || known === text, `${name} stands for two entries`);
      if (known !== undefined) continue;
      byName.set(name, text);
      const named = { procId, procSeq };
      if (entry.gap !== undefined) gaps.push(...entry.gap.lost.map(gapOf));
      else if (entry.tunlog?.report !== undefined) {
        reports.push(reportOf(entry.tunlog.report, named));
      } else messages.push(messageOf(entry, named, text));
    }
    this.messages = messages;
    this.gaps = gaps;
    this.reports = reports;
    this.repetitions = texts.length - byName.size;
    this.#names = new Set(byName.keys());
  }

  /** Processes that wrote something, in order of their first message. */
  get procIds(): number[] {
    const inOrder = this.messages.toSorted((a, b) => a.startNs < b.startNs ? -1 : 1);
    return [...new Set(inOrder.map(({ procId }) => procId))];
  }

  /** What the rows say that the tunnel carried. */
  tunnel(procId: number | null = null): Sums {
    const own = this.messages.filter((each) => procId === null || each.procId === procId);
    return sumRows(own.flatMap(tunnelRows));
  }

  /** Newest report of a process. */
  report(procId: number): LogReport | undefined {
    return this.reports.filter((each) => each.procId === procId)
      .toSorted((a, b) => b.procSeq - a.procSeq)[0];
  }

  /** What gap records declare lost of a process and did not arrive all the same. */
  lostRanges(procId: number): LogGap[] {
    return this.gaps.filter((gap) => gap.procId === procId && !this.#arrived(gap));
  }

  /** An entry that was sent, nobody knows whether in vain, stands alone in its range. */
  #arrived({ offered, procId, firstSeq, entries }: LogGap): boolean {
    if (offered) assert.equal(entries, 1, "what was offered stands alone");
    return offered && this.#names.has(`${procId}/${firstSeq}`);
  }

  /** Numbers that a process used and of which nothing came and nothing is declared. */
  missingNames(): string[] {
    const lastSeqs = new Map<number, number>();
    for (const name of this.#names) {
      const [procId, procSeq] = name.split("/").map(Number) as [number, number];
      lastSeqs.set(procId, Math.max(procSeq, lastSeqs.get(procId) ?? 0));
    }
    const isDeclared = (procId: number, procSeq: number) =>
      this.gaps.some((gap) =>
        gap.procId === procId && gap.firstSeq <= procSeq && procSeq <= gap.lastSeq
      );
    return [...lastSeqs].flatMap(([procId, lastSeq]) =>
      Array.from({ length: lastSeq }, (_, index) => index + 1)
        .filter((seq) => !this.#names.has(`${procId}/${seq}`) && !isDeclared(procId, seq))
        .map((seq) => `${procId}/${seq}`)
    );
  }
}

function messageOf(entry: Json, named: Named, text: string): LogMessage {
  return {
    ...named,
    startNs: timeOf(entry.start),
    endNs: timeOf(entry.end),
    virtual: entry.virtualTraffic ?? [],
    subnet: entry.subnetTraffic ?? [],
    exit: entry.exitTraffic ?? [],
    physical: entry.physicalTraffic ?? [],
    text,
  };
}

function gapOf(range: Json): LogGap {
  const { physical: _, ...tunnel } = range.traffic ?? {};
  return {
    cause: range.cause,
    procId: range.procId ?? 0,
    firstSeq: range.firstSeq ?? 0,
    lastSeq: range.lastSeq ?? 0,
    entries: range.entries ?? 0,
    startNs: timeOf(range.start),
    endNs: timeOf(range.end),
    sums: range.unknown === true ? null : addSums(...Object.values(tunnel).map(countsOf)),
    offered: range.offered ?? false,
  };
}

function reportOf(report: Json, named: Named): LogReport {
  const drops: [string, { pkts?: number; bytes?: number }][] = Object.entries(report.drops ?? {});
  const out = drops.filter(([name]) => name.startsWith("out")).map(([, drop]) => drop);
  const { pkts: rxPackets = 0, bytes: rxBytes = 0 } = report.drops?.tunWriteFailed ?? {};
  const lost = Object.values(report.lost ?? {}) as { entries?: number }[];
  return {
    ...named,
    tun: countsOf(report.tun),
    dropped: {
      txPackets: out.reduce((sum, { pkts = 0 }) => sum + pkts, 0),
      txBytes: out.reduce((sum, { bytes = 0 }) => sum + bytes, 0),
      ...{ rxPackets, rxBytes },
    },
    windows: report.windows ?? 0,
    lostEntries: lost.reduce((sum, { entries = 0 }) => sum + entries, 0),
  };
}

function countsOf(counts: Json): Sums {
  const { txPkts = 0, txBytes = 0, rxPkts = 0, rxBytes = 0 } = counts;
  return { txPackets: txPkts, txBytes, rxPackets: rxPkts, rxBytes };
}

function timeOf(text: string): bigint {
  const ns = parseTime(text);
  assert.ok(ns !== null, `"${text}" is a time`);
  return ns;
}
