/**
 * The store as a list of messages in memory: obvious, slow, exact. What src/collector/sqlite answers must equal this.
 *
 * In: the same messages. Out: sums by bucket and key as text, in bigints; totals; entries by name.
 */
import { CLASS_NAMES } from "../../src/counters.ts";

/** A row as people would write it. */
export interface TwinRow {
  readonly classCode: number;
  readonly proto: number;
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly folded: boolean;
  /** txPackets, txBytes, rxPackets, rxBytes. */
  readonly counters: readonly [bigint, bigint, bigint, bigint];
}

/** A message with its rows. */
export interface TwinMessage {
  readonly stream: number;
  readonly procId: number;
  readonly procSeq: number;
  readonly clientTimeNs: bigint | null;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly rows: readonly TwinRow[];
}

/** Sums by key. */
export type TwinSums = Map<string, bigint[]>;

/** Lengths of buckets in ns; a window is its own bucket in `raw`. */
const BUCKET_NS = { raw: 0n, minute: 60_000_000_000n, hour: 3_600_000_000_000n } as const;
const NS_PER_MS = 1_000_000n;

/** Rounds up, also below zero. */
function ceilTo(ns: bigint, step: bigint): bigint {
  const rest = ((ns % step) + step) % step;
  return rest === 0n ? ns : ns - rest + step;
}

/** End of the bucket that a window belongs to, Unix ms. */
export function twinBucketEnd(endNs: bigint, tier: keyof typeof BUCKET_NS): number {
  const step = tier === "raw" ? NS_PER_MS : BUCKET_NS[tier];
  return Number(ceilTo(endNs, step) / NS_PER_MS);
}

/** Adds to the sums of a key. */
export function addTo(sums: TwinSums, key: string, values: readonly bigint[]): void {
  const known = sums.get(key) ?? values.map(() => 0n);
  sums.set(key, known.map((sum, index) => sum + values[index]));
}

/** See file header. */
export class StoreTwin {
  #messages: { message: TwinMessage; receivedMs: number }[] = [];
  readonly #names = new Set<string>();

  /** @returns Whether it was not there yet. */
  add(message: TwinMessage, receivedMs: number): boolean {
    const { stream, procId, procSeq, clientTimeNs } = message;
    const name = `${stream} ${procId} ${procSeq} ${clientTimeNs}`;
    if (procSeq !== 0 && this.#names.has(name)) return false;
    this.#names.add(name);
    this.#messages.push({ message, receivedMs });
    return true;
  }

  /** Sums of what was received at `sinceMs` or later, whose bucket ends within (fromMs, toMs]. */
  sums(
    tier: keyof typeof BUCKET_NS,
    { sinceMs = -Infinity, fromMs = -Infinity, toMs = Infinity } = {},
  ): TwinSums {
    const sums: TwinSums = new Map();
    for (const { message, receivedMs } of this.#messages) {
      const endMs = twinBucketEnd(message.endNs, tier);
      if (receivedMs < sinceMs || endMs <= fromMs || endMs > toMs) continue;
      for (const row of message.rows) {
        const { classCode, proto, src, dst, dstPort, srcPort, folded } = row;
        const raw = tier === "raw" ? ` ${srcPort} ${folded}` : "";
        const key =
          `${endMs} ${message.stream} ${classCode} ${proto} ${src} ${dst} ${dstPort}${raw}`;
        addTo(sums, key, row.counters);
      }
    }
    return sums;
  }

  /** Sums by bucket, stream and class; those that are zero are left out. */
  totals(tier: keyof typeof BUCKET_NS, sinceMs = -Infinity): TwinSums {
    const sums: TwinSums = new Map();
    for (const { message, receivedMs } of this.#messages) {
      if (receivedMs < sinceMs) continue;
      const endMs = twinBucketEnd(message.endNs, tier);
      for (const { classCode, counters } of message.rows) {
        if (counters.every((counter) => counter === 0n)) continue;
        addTo(sums, `${endMs} ${message.stream} ${CLASS_NAMES[classCode]}`, counters);
      }
    }
    return sums;
  }
}
