/** What tests of the Logger share: devices with faults, a sink that keeps what it is given, and sums of both. */
import { CLASS_NAMES, type ClassName, type ClassSums } from "../../../src/counters.ts";
import {
  type Counts,
  type Device,
  type DeviceTotals,
  type LoggedWindow,
  Logger,
  type LoggerOptions,
  type LoggerTotals,
  type Message,
  parseMessage,
  type StatisticsRow,
  type WindowSink,
} from "../../../src/netlog/mod.ts";
import { MemoryClock } from "../../../src/platform/memory.ts";
import { advance } from "../../support/virtual_time.ts";
import { row, type RowParts, SECRET } from "./support.ts";

/** A grid point of every period in use, and where MemoryClock starts unless told. */
export const GRID_MS = 1_767_225_600_000;

/** A device that is asked every period. */
export class FakeDevice implements Device {
  readonly calls: string[] = [];
  toggles = 0;
  enabled = false;
  /** Extractions that are to fail. */
  failures = 0;
  /** What an extraction waits for before it hands anything over; null = it answers at once. */
  hold: Promise<void> | null = null;
  /** Rows counted, and not handed over yet. */
  held: StatisticsRow[] = [];
  handedOver: StatisticsRow[] = [];
  /** Visitor of the last extraction, for those who call it late. */
  lastVisit: ((row: StatisticsRow) => void) | null = null;

  setStatisticsEnabled(enabled: boolean): void {
    this.calls.push(`enable(${enabled})`);
    if (enabled !== this.enabled) this.toggles++;
    this.enabled = enabled;
  }

  extractStatistics(visit: (row: StatisticsRow) => void): void | Promise<void> {
    this.calls.push("extract");
    this.lastVisit = visit;
    if (this.failures > 0) {
      this.failures--;
      throw new Error("statistics are out of order");
    }
    if (this.hold === null) return this.#handOver(visit);
    return this.hold.then(() => this.#handOver(visit));
  }

  count(parts: RowParts | StatisticsRow): void {
    this.held.push("key" in parts ? parts : row(parts));
  }

  #handOver(visit: (row: StatisticsRow) => void): void {
    const rows = this.held;
    this.held = [];
    this.handedOver.push(...rows);
    for (const each of rows) visit(each);
  }
}

/** A device that tells of its first count, and of its totals. */
export class TellingDevice extends FakeDevice {
  listener: (() => void) | null = null;
  readonly totals = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };

  onCounting(listener: (() => void) | null): void {
    this.listener = listener;
  }

  statisticsTotals(): DeviceTotals {
    return { ...this.totals };
  }

  override count(parts: RowParts | StatisticsRow): void {
    const isFirst = this.held.length === 0;
    super.count(parts);
    const { txPackets, txBytes, rxPackets, rxBytes } = this.held.at(-1)!;
    this.totals.txPackets += txPackets;
    this.totals.txBytes += txBytes;
    this.totals.rxPackets += rxPackets;
    this.totals.rxBytes += rxBytes;
    if (isFirst) this.listener?.();
  }
}

/** What a report said, at the time. */
export interface ReportSeen {
  readonly atMs: number;
  readonly windows: number;
  readonly sums: ClassSums;
  readonly totals: LoggerTotals;
}

/** Keeps all that it is given. */
export class MemorySink implements WindowSink {
  readonly windows: LoggedWindow[] = [];
  readonly reports: ReportSeen[] = [];
  readonly closes: number[] = [];
  /** What close() waits for. */
  closing: Promise<number> = Promise.resolve(0);
  readonly #clock: MemoryClock;

  constructor(clock: MemoryClock) {
    this.#clock = clock;
  }

  write(window: LoggedWindow): void {
    this.windows.push(window);
  }

  report(totals: LoggerTotals): void {
    const { windows, byClass } = totals;
    this.reports.push({ atMs: this.#clock.nowMs(), windows, sums: byClass.sums(), totals });
  }

  close(timeoutMs: number): Promise<number> {
    this.closes.push(timeoutMs);
    return this.closing;
  }

  get messages(): Message[] {
    return this.windows.flatMap(({ messages }) =>
      messages.map(({ bytes }) => parseMessage(new TextDecoder().decode(bytes)))
    );
  }
}

/** A logger in a laboratory. */
export class LoggerLab {
  readonly clock = new MemoryClock();
  readonly warnings: string[] = [];
  readonly sink = new MemorySink(this.clock);
  readonly logger: Logger;

  constructor(options: Partial<LoggerOptions> = {}) {
    const { clock, warnings } = this;
    this.logger = new Logger({
      clock,
      timers: clock,
      hashSecret: SECRET,
      warn: (message) => warnings.push(message),
      ...options,
    });
  }

  start(tun?: Device, sock?: Device, name = "wg0"): Promise<void> {
    return this.logger.startup({
      name,
      sink: this.sink,
      ...(tun !== undefined && { tun }),
      ...(sock !== undefined && { sock }),
    });
  }

  advance(byMs: number): Promise<void> {
    return advance(this.clock, byMs);
  }
}

/** Sums of what the lists of messages hold; exit stands for unknown as well. */
export function listSums(messages: readonly Message[]): Record<string, bigint[]> {
  const of = (list: "virtual" | "subnet" | "exit" | "physical") =>
    add(messages.flatMap((message) => message[list]));
  return {
    virtual: of("virtual"),
    subnet: of("subnet"),
    exit: of("exit"),
    physical: of("physical"),
  };
}

/** The same of sums by class. */
export function classListSums(sums: ClassSums): Record<string, bigint[]> {
  const of = (...names: ClassName[]) => add(names.map((name) => sums[name]));
  return {
    virtual: of("virtual"),
    subnet: of("subnet"),
    exit: of("exit", "unknown"),
    physical: of("physical"),
  };
}

/** txPackets, txBytes, rxPackets, rxBytes over all. */
export function add(all: readonly Counts[]): bigint[] {
  const sums = [0n, 0n, 0n, 0n];
  for (const { txPackets, txBytes, rxPackets, rxBytes } of all) {
    [txPackets, txBytes, rxPackets, rxBytes].forEach((count, index) => {
      sums[index] += BigInt(count);
    });
  }
  return sums;
}

/** Names of the classes in which something was counted. */
export function classesSeen(totals: LoggerTotals): ClassName[] {
  return CLASS_NAMES.filter((name) => !totals.byClass.of(name).isZero);
}
