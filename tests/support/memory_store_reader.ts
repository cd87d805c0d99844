/**
 * A StoreReader over a list of messages in memory: obvious, exact. Queries are tested over it without a database.
 *
 * In: streams, messages and other entries in order of receipt. Out: what a store would answer.
 */
import { CLASS_NAMES, type ClassSums } from "../../src/counters.ts";
import { parseAddress, parsePrefix, prefixContains } from "../../src/packet/mod.ts";
import { makeColumns, ROW_FOLDED, type RowColumns } from "../../src/collector/rows.ts";
import type {
  DeclaredGap,
  EntriesQuery,
  KeptSince,
  ProcessState,
  ScanPart,
  ScanRange,
  StoredEntry,
  StoredGap,
  StoredMessage,
  StoredWindow,
  StoreReader,
  Stream,
  Totals,
  TotalsQuery,
} from "../../src/collector/store.ts";
import { twinBucketEnd, type TwinMessage, type TwinRow } from "../reference/store_twin.ts";
import { sumsOf } from "./store_batches.ts";

const STEP_MS = { minute: 60_000, hour: 3_600_000 } as const;

interface Kept {
  readonly id: number;
  readonly message: TwinMessage;
  readonly receivedMs: number;
  readonly restJson: string;
}

/** See file header. */
export class MemoryStoreReader implements StoreReader {
  readonly kept: Kept[] = [];
  readonly #streams: Stream[] = [];
  readonly #gaps: StoredGap[] = [];
  readonly #reports = new Map<string, { seq: number; json: string }>();
  readonly #addresses = [""];
  #since: KeptSince = { rawMs: 0, minuteMs: 0, hourMs: 0, orphans: new Map() };
  #entry = 0;
  /** Called before every scan and look-up, to make a store fail. */
  onRead: () => void = () => {};

  addStream(stream: Partial<Stream> = {}): Stream {
    const number = this.#streams.length + 1;
    const made: Stream = {
      number,
      collection: "logs",
      publicId: number.toString(16).padStart(64, "0"),
      firstSeenMs: 0,
      lastSeenMs: number,
      adoptedMs: 1,
      nodeId: `id${number}`,
      nodeName: `node${number}`,
      bodyBytes: 0,
      ...stream,
    };
    this.#streams.push(made);
    return made;
  }

  /** @param rest Members beside the rows, as the node's message had them. */
  add(message: TwinMessage, rest: Record<string, unknown> = {}, receivedMs = 0): number {
    const id = ++this.#entry;
    const restJson = JSON.stringify({
      nodeId: this.#streams[message.stream - 1]?.nodeId ?? "",
      start: new Date(Number(message.startNs / 1_000_000n)).toISOString(),
      end: new Date(Number(message.endNs / 1_000_000n)).toISOString(),
      ...rest,
    });
    for (const { src, dst } of message.rows) for (const text of [src, dst]) this.#number(text);
    this.kept.push({ id, message, receivedMs, restJson });
    return id;
  }

  addGap(stream: number, gap: DeclaredGap): void {
    this.#gaps.push({ ...gap, stream, entry: ++this.#entry, receivedMs: 0 });
  }

  addReport(stream: number, procId: number, seq: number, json: string): void {
    this.#entry++;
    this.#reports.set(`${stream} ${procId}`, { seq, json });
  }

  #number(text: string): number {
    const known = this.#addresses.indexOf(text);
    return known >= 0 ? known : this.#addresses.push(text) - 1;
  }

  /**
   * Forgets rows as retention does: of each tier what ends no later. `kept` stays as it is, for all tiers are views of it.
   */
  forget(since: Partial<Omit<KeptSince, "orphans">>): void {
    this.#since = { ...this.#since, ...since };
  }

  /** Forgets what a stream brought before somebody adopted it. */
  forgetOrphan(stream: number, sinceMs: number): void {
    this.#since = { ...this.#since, orphans: new Map([[stream, sinceMs]]) };
  }

  atOnce<T>(run: () => T): T {
    return run();
  }

  keptSince(): KeptSince {
    return this.#since;
  }

  /** Messages of which a tier still has the rows. */
  #left(tier: "raw" | "minute" | "hour"): Kept[] {
    const since = { raw: "rawMs", minute: "minuteMs", hour: "hourMs" } as const;
    return this.kept.filter(({ message: { endNs, stream } }) => {
      const endMs = twinBucketEnd(endNs, tier);
      return endMs > Math.max(
        this.#since[since[tier]] || -Infinity,
        this.#since.orphans.get(stream) ?? -Infinity,
      );
    });
  }

  streams(): readonly Stream[] {
    return this.#streams;
  }

  scan({ fromMs, toMs, tier }: ScanRange, visit: (part: ScanPart) => void): void {
    this.onRead();
    if (tier === "sum") {
      const first = Math.ceil(fromMs / STEP_MS.hour) * STEP_MS.hour;
      const last = Math.floor(toMs / STEP_MS.hour) * STEP_MS.hour;
      if (first >= last) return this.scan({ fromMs, toMs, tier: "minute" }, visit);
      this.scan({ fromMs, toMs: first, tier: "minute" }, visit);
      this.scan({ fromMs: first, toMs: last, tier: "hour" }, visit);
      this.scan({ fromMs: last, toMs, tier: "minute" }, visit);
      return;
    }
    for (const { message } of this.#left(tier)) {
      const endMs = twinBucketEnd(message.endNs, tier);
      if (endMs <= fromMs || endMs > toMs || message.rows.length === 0) continue;
      const startMs = tier === "raw"
        ? twinBucketEnd(message.startNs - 1n, "raw")
        : endMs - STEP_MS[tier];
      const columns = this.#columns(message, tier !== "raw");
      visit({ startMs, endMs, columns, first: 0, count: columns.count });
    }
  }

  #columns({ rows, stream }: TwinMessage, isRolled: boolean): RowColumns {
    const columns = makeColumns(rows.length);
    for (const [at, row] of rows.entries()) {
      columns.count++;
      columns.stream[at] = stream;
      columns.classCode[at] = row.classCode;
      columns.proto[at] = row.proto;
      columns.flags[at] = row.folded && !isRolled ? ROW_FOLDED : 0;
      columns.src[at] = this.#number(row.src);
      columns.dst[at] = this.#number(row.dst);
      columns.srcPort[at] = isRolled ? 0 : row.srcPort;
      columns.dstPort[at] = row.dstPort;
      for (const [counter, value] of row.counters.entries()) {
        columns.counters[counter][at] = Number(value);
        if (value > Number.MAX_SAFE_INTEGER) columns.beyond.set(at * 4 + counter, value);
      }
    }
    return columns;
  }

  totals({ fromMs, toMs, step, streams, isSummed = false }: TotalsQuery): Totals[] {
    this.onRead();
    const byKey = new Map<string, { totals: Omit<Totals, "sums">; rows: TwinRow[] }>();
    const tier = step === "window" ? "raw" : step;
    for (const { message } of this.#left(tier)) {
      const endMs = twinBucketEnd(message.endNs, tier);
      const stream = isSummed ? 0 : message.stream;
      if (endMs <= fromMs || endMs > toMs || streams?.includes(message.stream) === false) continue;
      const startMs = step === "window"
        ? twinBucketEnd(message.startNs - 1n, "raw")
        : endMs - STEP_MS[step];
      const key = `${endMs} ${startMs} ${stream}`;
      const known = byKey.get(key) ?? { totals: { stream, startMs, endMs }, rows: [] };
      known.rows.push(...message.rows);
      byKey.set(key, known);
    }
    return [...byKey.values()].map(({ totals, rows }) => ({ ...totals, sums: sumsOf(rows) }))
      .sort((a, b) => a.endMs - b.endMs || a.startMs - b.startMs || a.stream - b.stream);
  }

  processes(): ProcessState[] {
    this.onRead();
    const groups = Map.groupBy(
      this.kept.filter(({ message }) => message.procSeq > 0),
      ({ message }) => `${message.stream} ${message.procId}`,
    );
    return [...groups].map(([key, kept]) => {
      const messages = kept.map(({ message }) => message).sort((a, b) => a.procSeq - b.procSeq);
      const report = this.#reports.get(key);
      const known = new Set(messages.map(({ procSeq }) => procSeq));
      if (report !== undefined) known.add(report.seq);
      const missing: ProcessState["missing"][number][] = [];
      for (const [index, { procSeq, startNs }] of messages.entries()) {
        const before = messages[index - 1];
        if (before === undefined) continue;
        const holes: number[] = [];
        for (let seq = before.procSeq + 1; seq < procSeq; seq++) {
          if (!known.has(seq)) holes.push(seq);
        }
        if (holes.length > 0) {
          missing.push({
            firstSeq: holes[0],
            lastSeq: holes.at(-1)!,
            afterNs: before.endNs,
            beforeNs: startNs,
          });
        }
      }
      const { stream, procId } = messages[0];
      return {
        stream,
        procId,
        firstSeq: Math.min(...known),
        lastSeq: Math.max(...known),
        received: known.size,
        missing,
        firstStartNs: messages.map(({ startNs }) => startNs).reduce((a, b) => a < b ? a : b),
        lastEndNs: messages.map(({ endNs }) => endNs).reduce((a, b) => a > b ? a : b),
        reportJson: report?.json ?? null,
        lastReceivedMs: 0,
      };
    });
  }

  gaps(fromMs: number, toMs: number): StoredGap[] {
    return this.#gaps.filter(({ startNs, endNs }) =>
      Number(endNs) / 1e6 > fromMs && Number(startNs) / 1e6 <= toMs
    );
  }

  windows(stream: number, fromMs: number, toMs: number): StoredWindow[] {
    return this.#left("raw").filter(({ message }) => message.stream === stream).map((kept) => ({
      kept,
      endMs: twinBucketEnd(kept.message.endNs, "raw"),
    })).filter(({ endMs }) => endMs > fromMs && endMs <= toMs)
      .sort((a, b) => a.endMs - b.endMs || a.kept.id - b.kept.id)
      .map(({ kept }) => toWindow(kept));
  }

  windowsAfter(id: number, limit: number): StoredWindow[] {
    return this.kept.filter((kept) => kept.id > id).slice(0, limit).map(toWindow);
  }

  message(id: number): StoredMessage | null {
    const kept = this.#left("raw").find((each) => each.id === id);
    if (kept === undefined) return null;
    const columns = this.#columns(kept.message, false);
    return { ...toWindow(kept), columns, first: 0, restJson: kept.restJson };
  }

  entries({ after, limit, streams }: EntriesQuery): StoredEntry[] {
    return this.kept.filter(({ id, message }) =>
      id > after && streams?.includes(message.stream) !== false
    ).slice(0, limit).map(({ id, message, receivedMs, restJson }) => ({
      id,
      stream: message.stream,
      kind: "message",
      receivedMs,
      procId: message.procId,
      procSeq: message.procSeq,
      json: restJson,
    }));
  }

  lastEntry(): number {
    return this.#entry;
  }

  addressText(number: number): string {
    return this.#addresses[number] ?? "";
  }

  addressNumber(text: string): number {
    return Math.max(0, this.#addresses.indexOf(text));
  }

  addressesWithin(text: string): Uint8Array {
    const prefix = parsePrefix(text)!;
    const bits = new Uint8Array((this.#addresses.length >> 3) + 1);
    for (const [number, each] of this.#addresses.entries()) {
      const address = parseAddress(each);
      if (address !== null && prefixContains(prefix, address.addressWords, 0, address.family)) {
        bits[number >> 3] |= 1 << (number & 7);
      }
    }
    return bits;
  }

  close(): void {}
}

function toWindow({ id, message, receivedMs }: Kept): StoredWindow {
  const { stream, startNs, endNs, rows, procId, procSeq } = message;
  return {
    id,
    stream,
    startNs,
    endNs,
    lengthMs: Number((endNs - startNs) / 1_000_000n),
    part: 1,
    parts: 1,
    rowCount: rows.length,
    sums: sumsOf(rows),
    procId,
    procSeq,
    receivedMs,
  };
}

/** No traffic but one class's. */
export function classSums(name: keyof ClassSums, values: ClassSums["virtual"]): ClassSums {
  const none = { txPackets: 0n, txBytes: 0n, rxPackets: 0n, rxBytes: 0n };
  return Object.fromEntries(
    CLASS_NAMES.map((each) => [each, each === name ? values : none]),
  ) as ClassSums;
}
