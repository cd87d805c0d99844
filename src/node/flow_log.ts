/**
 * The flow-log task: takes what the data plane counted, window by window, and sends it where it is to go.
 *
 * In: flow banks, a notice when the data plane counts into an empty one, routes and peers. Out: messages and reports to
 * every output, and totals for status. Guarantees: those of the network logger (netlog/logger.ts); no output that fails
 * or waits keeps another from its windows; the data plane never waits for any of it.
 */
import { CLASS_NAMES, type ClassName, type CounterName, type CounterValue } from "../counters.ts";
import type { FlowReader, FlowTotals as CountedTotals } from "../flow/mod.ts";
import {
  ClassTotals,
  type Counts,
  type ExitPolicy,
  type LoggedWindow,
  Logger,
  type LoggerTotals,
  type WindowSink,
  writeReport,
} from "../netlog/mod.ts";
import type { ClockPort, TimerPort } from "../ports.ts";
import { BankDevice } from "./bank_device.ts";
import type { CollectorOutput, CollectorStatus } from "./collector_output.ts";
import { type LineOutput, type LineStatus } from "./line_output.ts";
import { type LogOutput, reportOf } from "./log_output.ts";
import { type LogView, nodesOf, OverlayView, routesOf } from "./log_routes.ts";

/** What the task tells status. Counts are numbers: a node that has moved more than 2^53 bytes is not in view. */
export interface FlowLogStatus {
  /** What was counted since the start, the window under way included. */
  readonly virtual: CountedTotals;
  readonly physical: CountedTotals;
  /** What of it has been written into messages, by class. */
  readonly classes: Readonly<Record<ClassName, CountedTotals>>;
  readonly windows: number;
  readonly messages: number;
  readonly rows: number;
  /** Rows that stand for several flows because the table was full. */
  readonly foldedRows: number;
  /** Windows that no message could be made of: a bug. */
  readonly windowsFailed: number;
  /** Lines on this machine; null = none wanted. */
  readonly lines: LineStatus | null;
  /** Log collection; null = none wanted. */
  readonly collector: CollectorStatus | null;
}

/** What the task works with. */
export interface FlowLogParts {
  /** One per data-plane thread. */
  readonly virtual: readonly FlowReader[];
  readonly physical: readonly FlowReader[];
  readonly clock: ClockPort;
  readonly timers: TimerPort;
  /** HASH_SECRET_WORDS random words. */
  readonly hashSecret: Uint32Array;
  readonly periodMs: number;
  readonly exitPolicy: ExitPolicy;
  readonly overlayRanges: readonly string[] | null;
  /** Names the log in errors. */
  readonly name: string;
  readonly lines: LineOutput | null;
  readonly collector: CollectorOutput | null;
  readonly counters: () => Readonly<Record<CounterName, CounterValue>>;
  /** Makes the data plane look at the hand-over at once. */
  readonly wake: () => void;
  readonly warn: (message: string) => void;
}

/** See file header. */
export class FlowLog implements WindowSink {
  readonly #parts: FlowLogParts;
  readonly #tun: BankDevice;
  readonly #sock: BankDevice;
  readonly #logger: Logger;
  readonly #overlay: OverlayView;
  readonly #outputs: readonly LogOutput[];
  #nodeId = "";
  /** Of the run that has ended; null = it runs, or never did. */
  #lastTotals: LoggerTotals | null = null;

  constructor(parts: FlowLogParts) {
    const { timers, wake, clock, hashSecret, warn, periodMs, exitPolicy } = parts;
    this.#parts = parts;
    this.#tun = new BankDevice({ readers: parts.virtual, timers, hashSecret, wake });
    this.#sock = new BankDevice({ readers: parts.physical, timers, hashSecret, wake });
    this.#logger = new Logger({ clock, timers, hashSecret, warn, periodMs, exitPolicy });
    this.#overlay = new OverlayView(parts.overlayRanges);
    this.#outputs = [parts.lines, parts.collector].filter((output) => output !== null);
  }

  /** Begins the first window now. The data plane must not have counted yet, or what it counted is not logged. */
  async start(): Promise<void> {
    const { name } = this.#parts;
    await this.#logger.startup({ name, tun: this.#tun, sock: this.#sock, sink: this });
  }

  /** The data plane counted into an empty bank: the window under way must be taken when it ends. */
  counting(): void {
    this.#tun.counting();
  }

  /** Takes over routes, peers and their names. */
  reconfigure(view: LogView): void {
    this.#nodeId = view.publicKey;
    this.#logger.reconfigRoutes(routesOf(view), this.#overlay.update(view));
    this.#logger.reconfigNodes(nodesOf(view));
  }

  /**
   * Takes the last, short window and delivers what waits. The data plane must have stopped counting.
   * @returns Entries that are not delivered.
   */
  async stop(timeoutMs: number): Promise<number> {
    this.#tun.writersEnded();
    this.#sock.writersEnded();
    // A logger that never started has nothing to take, but its outputs are open.
    return this.#logger.running
      ? await this.#logger.shutdown(timeoutMs)
      : await this.close(timeoutMs);
  }

  write(window: LoggedWindow): void {
    for (const output of this.#outputs) output.write(window);
  }

  report(totals: LoggerTotals): void {
    const source = { nodeId: this.#nodeId, totals, counters: this.#parts.counters() };
    for (const output of this.#outputs) {
      const report = reportOf(source, output.losses());
      output.writeReport(writeReport(report), report);
    }
  }

  async close(timeoutMs: number): Promise<number> {
    this.#lastTotals = this.#logger.totals() ?? this.#lastTotals;
    this.#warnOfMissingRows(this.#lastTotals);
    const left = await Promise.all(this.#outputs.map((output) => output.close(timeoutMs)));
    return left.reduce((sum, entries) => sum + entries, 0);
  }

  /** Totals of what was taken and what is being counted, so that they can be compared with the interface's own. */
  status(): FlowLogStatus {
    const totals = this.#logger.totals() ?? this.#lastTotals;
    const { lines, collector } = this.#parts;
    const byClass = totals?.byClass ?? new ClassTotals();
    return {
      virtual: this.#tun.statisticsTotals(),
      physical: this.#sock.statisticsTotals(),
      classes: Object.fromEntries(
        CLASS_NAMES.map((name) => [name, numbersOf(byClass.of(name))]),
      ) as Record<ClassName, CountedTotals>,
      windows: totals?.windows ?? 0,
      messages: totals?.messages ?? 0,
      rows: byClass.rows,
      foldedRows: byClass.foldedRows,
      windowsFailed: totals?.windowsFailed ?? 0,
      lines: lines?.status() ?? null,
      collector: collector?.status() ?? null,
    };
  }

  /** All has been taken: rows must hold exactly what the data plane counted. */
  #warnOfMissingRows(totals: LoggerTotals | null): void {
    if (totals === null) return;
    const { byClass, stale } = totals;
    const tunnel = byClass.tunnel();
    const physical = byClass.of("physical");
    const names = ["txPackets", "txBytes", "rxPackets", "rxBytes"] as const;
    const logged = (name: typeof names[number]) =>
      BigInt(tunnel[name]) + BigInt(physical[name]) + BigInt(stale[name]);
    const counted = (name: typeof names[number]) =>
      BigInt(totals.tun?.[name] ?? 0) + BigInt(totals.sock?.[name] ?? 0);
    if (names.every((name) => logged(name) === counted(name))) return;
    this.#parts.warn("The rows of the flow log are not what was counted: this is a bug in tunlog");
  }
}

function numbersOf({ txPackets, txBytes, rxPackets, rxBytes }: Counts): CountedTotals {
  return {
    txPackets: Number(txPackets),
    txBytes: Number(txBytes),
    rxPackets: Number(rxPackets),
    rxBytes: Number(rxBytes),
  };
}
