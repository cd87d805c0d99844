/**
 * Flow banks as a device of the network logger.
 *
 * In: readers of one or more data-plane threads' banks. Out: rows at each extraction, one per key whichever threads
 * counted it. Guarantees: each count is handed over once; a thread that has ended, or died, does not keep what it counted.
 */
import type { FlowReader } from "../flow/mod.ts";
import type { Device, DeviceTotals, StatisticsRow } from "../netlog/mod.ts";
import type { TimerPort } from "../ports.ts";
import { RowMerge } from "./row_merge.ts";

/** How often a pending hand-over is looked at: the data plane answers within one batch. */
const HAND_OVER_POLL_MS = 1;

/** What it works with. */
export interface BankDeviceParts {
  /** One per thread. */
  readonly readers: readonly FlowReader[];
  readonly timers: TimerPort;
  /** HASH_SECRET_WORDS random words. */
  readonly hashSecret: Uint32Array;
  /** Makes the data plane look at the hand-over at once. */
  readonly wake: () => void;
}

/** See file header. */
export class BankDevice implements Device {
  readonly #parts: BankDeviceParts;
  readonly #merge: RowMerge;
  #listener: (() => void) | null = null;
  #writersEnded = false;

  constructor(parts: BankDeviceParts) {
    this.#parts = parts;
    this.#merge = new RowMerge(parts.hashSecret);
  }

  /** The data plane counted into an empty bank. */
  counting(): void {
    this.#listener?.();
  }

  /** The data plane will answer no more. */
  writersEnded(): void {
    this.#writersEnded = true;
  }

  onCounting(listener: (() => void) | null): void {
    this.#listener = listener;
  }

  /** The data plane counts as long as it runs: its owner starts it after the logger and stops it before. */
  setStatisticsEnabled(): void {}

  async extractStatistics(visit: (row: StatisticsRow) => void): Promise<void> {
    const readers = this.#parts.readers.filter((reader) => !reader.activeIsEmpty);
    if (readers.length === 0) return;
    for (const reader of readers) reader.flip();
    this.#parts.wake();
    while (!readers.every((reader) => reader.acknowledged())) {
      if (this.#writersEnded) { for (const reader of readers) reader.flipForEndedWriter(); }
      else {await new Promise<void>((resolve) =>
          this.#parts.timers.schedule(HAND_OVER_POLL_MS, resolve)
        );}
    }
    const [only] = readers;
    if (readers.length === 1) {
      only!.forEachRow(visit);
      only!.clear();
      return;
    }
    for (const reader of readers) {
      reader.forEachRow((row) => this.#merge.add(row));
      reader.clear();
    }
    this.#merge.take(visit);
  }

  statisticsTotals(): DeviceTotals {
    const totals = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };
    for (const reader of this.#parts.readers) {
      const { txPackets, txBytes, rxPackets, rxBytes } = reader.totals();
      totals.txPackets += txPackets;
      totals.txBytes += txBytes;
      totals.rxPackets += rxPackets;
      totals.rxBytes += rxBytes;
    }
    return totals;
  }
}
