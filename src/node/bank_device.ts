/**
 * Flow banks as a device of the network logger.
 *
 * In: readers of one or more data-plane threads' banks. Out: rows at each extraction. Guarantees: each count is handed over
 * once; a thread that has ended, or died, does not keep what it counted.
 */
import type { FlowReader } from "../flow/mod.ts";
import type { Device, DeviceTotals, StatisticsRow } from "../netlog/mod.ts";
import type { TimerPort } from "../ports.ts";

/** How often a pending hand-over is looked at: the data plane answers within one batch. */
const HAND_OVER_POLL_MS = 1;

/** What it works with. */
export interface BankDeviceParts {
  /** One per thread. */
  readonly readers: readonly FlowReader[];
  readonly timers: TimerPort;
  /** Makes the data plane look at the hand-over at once. */
  readonly wake: () => void;
}

/** See file header. */
export class BankDevice implements Device {
  readonly #parts: BankDeviceParts;
  #listener: (() => void) | null = null;
  #writersEnded = false;

  constructor(parts: BankDeviceParts) {
    this.#parts = parts;
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
    for (const reader of readers) {
      reader.forEachRow(visit);
      reader.clear();
    }
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
