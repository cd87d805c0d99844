/**
 * The flow log on its way to a log collection: spooled first, then sent.
 *
 * In: windows. Out: entries in the collection. Every message is in the spool, and synced, before it is offered for upload,
 * and leaves the spool when the collection has said that it has it.
 */
import type { LoggedWindow, Report } from "../netlog/mod.ts";
import type { Delivery, DeliveryStatus } from "./delivery.ts";
import { type LogOutput, lostSums, type OutputLosses } from "./log_output.ts";
import type { LogStream } from "./log_stream.ts";
import { NO_SUMS } from "../logtail/mod.ts";
import type { Spool } from "./spool.ts";
import type { SpoolLoss } from "./spool_losses.ts";

/** What it is made of; it owns them. */
export interface CollectorOutputParts {
  readonly stream: LogStream;
  readonly spool: Spool;
  readonly delivery: Delivery;
  /** For status. */
  readonly about: CollectorFacts;
}

/** What does not change. */
export interface CollectorFacts {
  readonly url: string;
  readonly collection: string;
  /** Name of the node's stream: 64 hexadecimal digits. */
  readonly publicId: string;
  /** What compresses bodies; `none` = nothing. */
  readonly compression: string;
  readonly waitingBytesMax: number;
}

/** Messages lost for one cause. */
export interface LossStatus {
  readonly entries: number;
  readonly packets: number;
  readonly bytes: number;
  /** Whether all of it is known. */
  readonly complete: boolean;
}

/** What it tells status. */
export interface CollectorStatus extends CollectorFacts {
  readonly delivery: DeliveryStatus;
  readonly waitingEntries: number;
  readonly waitingBytes: number;
  /** `disk` or `memory`. */
  readonly where: string;
  /** What fails on the disk; null = nothing. */
  readonly diskError: string | null;
  /** By cause; those that never happened are left out. */
  readonly lost: Readonly<Record<string, LossStatus>>;
}

/** See file header. */
export class CollectorOutput implements LogOutput {
  readonly #parts: CollectorOutputParts;

  constructor(parts: CollectorOutputParts) {
    this.#parts = parts;
  }

  write({ startNs, endNs, messages }: LoggedWindow): void {
    for (const { bytes, totals } of messages) {
      this.#parts.stream.writeObject(bytes, { startNs, endNs, sums: totals.sums() });
    }
    this.#send();
  }

  writeReport(text: string, { startNs, endNs }: Report): void {
    const object = new TextEncoder().encode(text);
    this.#parts.stream.writeObject(object, { startNs, endNs, sums: NO_SUMS });
    this.#send();
  }

  losses(): OutputLosses {
    const { lost, entries } = this.#parts.spool.status();
    const sums = Object.entries(lost).map(([cause, loss]) =>
      [cause, lostSums(loss.entries, loss.sums)] as const
    );
    return { lost: Object.fromEntries(sums), waitingEntries: entries };
  }

  status(): CollectorStatus {
    const { spool, delivery, about } = this.#parts;
    const { entries, bytes, where, lastError, lost } = spool.status();
    const happened = Object.entries(lost).filter(([, loss]) => loss.entries > 0 || !loss.complete);
    return {
      ...about,
      delivery: delivery.status(),
      waitingEntries: entries,
      waitingBytes: bytes,
      where,
      diskError: lastError,
      lost: Object.fromEntries(happened.map(([cause, loss]) => [cause, lossStatus(loss)])),
    };
  }

  async close(timeoutMs: number): Promise<number> {
    await this.#parts.delivery.drain(timeoutMs);
    return this.#parts.spool.close();
  }

  #send(): void {
    this.#parts.spool.sync();
    this.#parts.delivery.wake();
  }
}

function lossStatus({ entries, sums, complete }: SpoolLoss): LossStatus {
  const { txPackets, txBytes, rxPackets, rxBytes } = lostSums(entries, sums);
  return {
    entries,
    packets: Number(txPackets) + Number(rxPackets),
    bytes: Number(txBytes) + Number(rxBytes),
    complete,
  };
}
