/**
 * The network logger: takes what devices counted, window by window, and hands messages to a sink.
 *
 * In: devices, routes, nodes, clock and timers. Out: messages, and totals of all that was logged, for self-reports.
 * Guarantees: each count that a device hands over is in exactly one window's messages; windows are those of
 * window_grid.ts; an idle logger whose devices tell when they count sets no timer; start, stop and start again are safe in
 * any order and number; whatever comes late from before a stop is ignored.
 * Mended against the original (SPEC 1.1, 1.8): shutdown takes the last window before it tells the sink to deliver, waits
 * for no lock, and may be called by any number at once; routes outlive a stop.
 * Not here: what a sink does with messages (node).
 */
import { messageOf } from "../errors.ts";
import { REPORT_PERIOD_MS, WINDOW_LENGTH_TOLERANCE_MS, WINDOW_MS_DEFAULT } from "../limits.ts";
import type { ClockPort, TimerPort } from "../ports.ts";
import { ClassTotals } from "./class_totals.ts";
import { Classifier } from "./classify.ts";
import { CountsSum } from "./counts.ts";
import { type Device, type DeviceTotals, NO_DEVICE, type StatisticsRow } from "./device.ts";
import type { ExitPolicy } from "./exit_mode.ts";
import { WindowEncoder } from "./message.ts";
import type { EncodedMessage } from "./message_parts.ts";
import { NO_NODES, type NodeSource } from "./nodes.ts";
import { OverlayRanges } from "./overlay.ts";
import { RouteHistory } from "./route_history.ts";
import { type RouteConfig, RouteTable } from "./routes.ts";
import { type ClockReading, WindowGrid, type WindowLabels } from "./window_grid.ts";

/** Messages of one window. */
export interface LoggedWindow {
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** At least one. */
  readonly messages: readonly EncodedMessage[];
}

/** All that a logger has logged since it was started. */
export interface LoggerTotals {
  /** Start of the first window with traffic, and inclusive end of the last window taken; equal before there was any. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly windows: number;
  readonly messages: number;
  readonly byClass: ClassTotals;
  /** Counted before the start and, as in the original, not logged. */
  readonly stale: CountsSum;
  /** Windows whose messages could not be made, by a bug: what they held is in none of the classes. */
  readonly windowsFailed: number;
  /** Rows that a device handed over with counters that no message can hold; the first of a run is warned of. */
  readonly rowsRefused: number;
  /** Extractions that failed; what they would have brought comes with the next. */
  readonly extractionsFailed: number;
  /** Versions of the routes forgotten before their time. */
  readonly routesForgotten: number;
  /** What the devices say of themselves; null = they say nothing. */
  readonly tun: DeviceTotals | null;
  readonly sock: DeviceTotals | null;
}

/** Takes what a logger makes. No call may throw. */
export interface WindowSink {
  write(window: LoggedWindow): void;
  /** It is time to report totals: once a minute while there are windows, and at the end. */
  report(totals: LoggerTotals): void;
  /**
   * Delivers what it holds.
   * @param timeoutMs When to give up.
   * @returns Entries that were not delivered.
   */
  close(timeoutMs: number): Promise<number>;
}

/** What a logger works with. */
export interface LoggerOptions {
  readonly clock: ClockPort;
  readonly timers: TimerPort;
  /** HASH_SECRET_WORDS random words. */
  readonly hashSecret: Uint32Array;
  readonly warn: (message: string) => void;
  readonly periodMs?: number;
  readonly overlay?: OverlayRanges;
  readonly exitPolicy?: ExitPolicy;
}

/** What is logged, and where to. */
export interface LoggerStartup {
  /** Names the log in messages, e.g. by its public id. */
  readonly name: string;
  readonly tun?: Device;
  readonly sock?: Device;
  readonly sink: WindowSink;
}

/** How long shutdown() waits for the sink unless told otherwise, as the original's owner does. */
export const SHUTDOWN_MS_DEFAULT = 5_000;

/** See file header. */
export class Logger {
  readonly #options: LoggerOptions;
  readonly #encoder: WindowEncoder;
  #overlay: OverlayRanges;
  readonly #periodMs: number;
  /** Of all runs: they write to one stream, in which no window may overlap another. */
  readonly #grid: WindowGrid;
  readonly #routes = new RouteHistory();
  #nodes: NodeSource = NO_NODES;
  #run: Run | null = null;
  #ending: Promise<number> | null = null;

  constructor(options: LoggerOptions) {
    this.#options = options;
    this.#periodMs = options.periodMs ?? WINDOW_MS_DEFAULT;
    this.#grid = new WindowGrid(this.#periodMs);
    this.#overlay = options.overlay ?? new OverlayRanges();
    this.#encoder = new WindowEncoder(options.hashSecret, options.exitPolicy ?? { mode: "zero" });
  }

  /** Whether it logs; true until the end of shutdown(). */
  get running(): boolean {
    return this.#run !== null;
  }

  /**
   * Starts logging. What the devices counted before is taken from them and not logged, but is among the totals.
   * @throws {Error} If it is running.
   */
  async startup(startup: LoggerStartup): Promise<void> {
    if (this.#run !== null) {
      throw new Error(`Cannot start: network logger already running for ${this.#run.name}`);
    }
    const run = new Run(startup, {
      ...this.#options,
      periodMs: this.#periodMs,
      grid: this.#grid,
      encode: (labels, previousStartNowMs) => this.#encode(labels, previousStartNowMs),
      add: (row, isPhysical) => this.#encoder.add(row, isPhysical),
      routesForgotten: () => this.#routes.forgotten,
    });
    this.#run = run;
    await run.start();
  }

  /** Takes over new routes; allowed while it does not run. What was counted under the old ones is classified by them. */
  reconfigRoutes(config: RouteConfig, overlay: OverlayRanges = this.#overlay): void {
    this.#overlay = overlay;
    this.#routes.replace(new RouteTable(config), this.#options.clock.nowMs());
  }

  /** Takes over new knowledge of nodes, for windows that end from now on. */
  reconfigNodes(nodes: NodeSource): void {
    this.#nodes = nodes;
  }

  /** Totals of the run under way; null = it does not run. */
  totals(): LoggerTotals | null {
    return this.#run?.totals() ?? null;
  }

  /**
   * Takes the last window, reports, has the sink deliver, and ends. Calls while it ends wait for the same end.
   * @param timeoutMs How long it may take: a device that does not answer is given up half-way, the sink has the rest.
   * @returns Entries that were not delivered; 0 when it was not running.
   */
  shutdown(timeoutMs: number = SHUTDOWN_MS_DEFAULT): Promise<number> {
    if (this.#run === null) return Promise.resolve(0);
    this.#ending ??= this.#run.end(timeoutMs).finally(() => {
      this.#run = null;
      this.#ending = null;
    });
    return this.#ending;
  }

  #encode(labels: WindowLabels, previousStartNowMs: number): EncodedMessage[] {
    const versions = this.#routes.versionsSince(previousStartNowMs);
    try {
      return this.#encoder.encode({
        classifier: new Classifier(versions, this.#overlay),
        nodes: this.#nodes,
        window: { startNs: labels.startNs, endNs: labels.endNs, ...statedLength(labels) },
      });
    } finally {
      this.#encoder.clear();
    }
  }
}

/** The length goes into messages only where the labels say something else. */
function statedLength({ startNs, endNs, lengthMs }: WindowLabels): { lengthMs?: number } {
  const labelledMs = Number(endNs - startNs) / 1e6;
  return Math.abs(lengthMs - labelledMs) <= WINDOW_LENGTH_TOLERANCE_MS
    ? {}
    : { lengthMs: Math.max(0, Math.round(lengthMs)) };
}

/** What a run needs of its logger. */
interface RunParts extends LoggerOptions {
  readonly periodMs: number;
  readonly grid: WindowGrid;
  readonly add: (row: StatisticsRow, isPhysical: boolean) => void;
  readonly encode: (labels: WindowLabels, previousStartNowMs: number) => EncodedMessage[];
  readonly routesForgotten: () => number;
}

/** One run from startup to shutdown. Nothing of it reaches the next but the end of its last window. */
class Run {
  readonly name: string;
  readonly #parts: RunParts;
  readonly #sink: WindowSink;
  readonly #tun: Device;
  readonly #sock: Device;
  readonly #grid: WindowGrid;
  readonly #cancels = new Set<() => void>();
  /** Windows are taken one after another: a slow device must not meet the next extraction. */
  #taking: Promise<void> = Promise.resolve();
  /** Give up devices that have not answered yet. */
  readonly #giveUps = new Set<() => void>();
  /** Given up: their answer, should it come, must not meet another question. */
  readonly #givenUp = new Set<Device>();
  #isWindowOpen = false;
  #isReportDue = false;
  #state: "starting" | "running" | "ended" = "starting";
  #startNowMs = 0;
  #previous: WindowLabels | null = null;
  #startNs = 0n;
  #endNs = 0n;
  #windows = 0;
  #messages = 0;
  #windowsFailed = 0;
  #rowsRefused = 0;
  #extractionsFailed = 0;
  readonly #byClass = new ClassTotals();
  readonly #stale = new CountsSum();

  constructor(startup: LoggerStartup, parts: RunParts) {
    this.name = startup.name;
    this.#parts = parts;
    this.#sink = startup.sink;
    this.#tun = startup.tun ?? NO_DEVICE;
    this.#sock = startup.sock ?? NO_DEVICE;
    this.#grid = parts.grid;
  }

  get #devices(): readonly Device[] {
    return [this.#tun, this.#sock];
  }

  async start(): Promise<void> {
    for (const device of this.#devices) this.#tell(() => device.setStatisticsEnabled(true));
    await this.#enqueue(() => this.#discardStale());
    if (this.#state === "ended") return;
    this.#state = "running";
    for (const device of this.#devices) {
      this.#tell(() => device.onCounting?.(() => this.#counting()));
    }
    // Counts may have come between the extraction and the telling.
    this.#counting();
  }

  async #discardStale(): Promise<void> {
    await Promise.all(
      this.#devices.map((device) =>
        this.#extract(device, ({ txPackets, txBytes, rxPackets, rxBytes }) => {
          this.#stale.add(txPackets, txBytes, rxPackets, rxBytes);
        })
      ),
    );
    const now = this.#read();
    this.#grid.begin(now);
    this.#startNowMs = now.nowMs;
  }

  /** Something is being counted, or may be: the window under way must be taken when it ends. */
  #counting(): void {
    if (this.#state !== "running" || this.#isWindowOpen) return;
    this.#isWindowOpen = true;
    this.#schedule(this.#grid.open(this.#read()), () => {
      this.#isWindowOpen = false;
      const labels = this.#grid.close(this.#read());
      void this.#enqueue(() => this.#take(labels));
      if (this.#devices.some(isSilent)) this.#counting();
    });
  }

  async #take(labels: WindowLabels): Promise<void> {
    await Promise.all([
      this.#extract(this.#tun, (row) => this.#add(row, false)),
      this.#extract(this.#sock, (row) => this.#add(row, true)),
    ]);
    const messages = this.#parts.encode(labels, this.#startOfWindowBefore(labels));
    this.#previous = labels;
    if (messages.length > 0) this.#count(labels, messages);
    // An idle window is known to be idle: a report vouches for it, above all for the one before a shutdown.
    if (this.#windows > 0) this.#endNs = labels.endNs;
    if (messages.length === 0) return;
    this.#sink.write({ startNs: labels.startNs, endNs: labels.endNs, messages });
    this.#planReport();
  }

  /** By the monotonic clock. The window before an idle time is not the one before: that one was idle as well. */
  #startOfWindowBefore({ startNs, startNowMs }: WindowLabels): number {
    const previous = this.#previous;
    return previous !== null && previous.endNs + 1n === startNs
      ? previous.startNowMs
      : Math.max(this.#startNowMs, startNowMs - this.#parts.periodMs);
  }

  #count({ startNs }: WindowLabels, messages: readonly EncodedMessage[]): void {
    if (this.#windows === 0) this.#startNs = startNs;
    this.#windows++;
    this.#messages += messages.length;
    for (const { totals } of messages) this.#byClass.addTotals(totals);
  }

  #add(row: StatisticsRow, isPhysical: boolean): void {
    try {
      this.#parts.add(row, isPhysical);
    } catch (error) {
      if (this.#rowsRefused++ === 0) this.#parts.warn(messageOf(error));
    }
  }

  /** A device that fails keeps what it counted (see Device), and must not take the other's counts with it. */
  async #extract(device: Device, visit: (row: StatisticsRow) => void): Promise<void> {
    if (this.#givenUp.has(device)) return;
    let isOpen = true;
    try {
      const taken = device.extractStatistics((row) => {
        // A row that comes late would be counted into another window, or into another run.
        if (isOpen) visit(row);
      });
      if (taken !== undefined) await this.#untilGivenUp(device, taken);
    } catch (error) {
      this.#extractionsFailed++;
      this.#parts.warn(`Cannot take what was counted: ${messageOf(error)}`);
      // Its first count may be over: it would never tell of the counts that it kept.
      this.#counting();
    } finally {
      isOpen = false;
    }
  }

  async #untilGivenUp(device: Device, taken: Promise<void>): Promise<void> {
    const { promise, reject } = Promise.withResolvers<void>();
    const giveUp = () => {
      this.#givenUp.add(device);
      reject(new Error("the device does not answer"));
    };
    this.#giveUps.add(giveUp);
    try {
      await Promise.race([taken, promise]);
    } finally {
      this.#giveUps.delete(giveUp);
    }
  }

  /** A device that cannot be told something must not keep counts, its own or the other's, from being taken. */
  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#parts.warn(`Cannot tell a device to count or to stop: ${messageOf(error)}`);
    }
  }

  /** The first window after a report makes the next one due, so that an idle logger sleeps. */
  #planReport(): void {
    if (this.#isReportDue || this.#state === "ended") return;
    this.#isReportDue = true;
    this.#schedule(REPORT_PERIOD_MS, () => {
      this.#isReportDue = false;
      void this.#enqueue(() => this.#sink.report(this.totals()));
    });
  }

  async end(timeoutMs: number): Promise<number> {
    const deadlineMs = this.#read().nowMs + timeoutMs;
    this.#state = "ended";
    this.#cancelAll();
    // Once for what was being taken already, once for the last window.
    for (const delayMs of [timeoutMs / 2, timeoutMs]) {
      this.#schedule(delayMs, () => this.#giveUps.forEach((giveUp) => giveUp()));
    }
    for (const device of this.#devices) {
      this.#tell(() => device.onCounting?.(null));
      this.#tell(() => device.setStatisticsEnabled(false));
    }
    await this.#enqueue(() => this.#take(this.#grid.closeLast(this.#read())));
    this.#cancelAll();
    if (this.#windows > 0) await this.#enqueue(() => this.#sink.report(this.totals()));
    return await this.#sink.close(Math.max(0, deadlineMs - this.#read().nowMs));
  }

  totals(): LoggerTotals {
    return {
      startNs: this.#startNs,
      endNs: this.#endNs,
      windows: this.#windows,
      messages: this.#messages,
      byClass: this.#byClass,
      stale: this.#stale,
      windowsFailed: this.#windowsFailed,
      rowsRefused: this.#rowsRefused,
      extractionsFailed: this.#extractionsFailed,
      routesForgotten: this.#parts.routesForgotten(),
      tun: this.#tun.statisticsTotals?.() ?? null,
      sock: this.#sock.statisticsTotals?.() ?? null,
    };
  }

  /** Runs `work` after all that was enqueued before. Nothing that fails keeps later windows from being taken. */
  #enqueue(work: () => void | Promise<void>): Promise<void> {
    this.#taking = this.#taking.then(work).catch((error) => {
      this.#windowsFailed++;
      this.#parts.warn(`Cannot log a window, a bug in tunlog: ${messageOf(error)}`);
    });
    return this.#taking;
  }

  #schedule(delayMs: number, run: () => void): void {
    const cancel = this.#parts.timers.schedule(delayMs, () => {
      this.#cancels.delete(cancel);
      run();
    });
    this.#cancels.add(cancel);
  }

  #cancelAll(): void {
    for (const cancel of this.#cancels) cancel();
    this.#cancels.clear();
  }

  #read(): ClockReading {
    const { clock } = this.#parts;
    return { nowMs: clock.nowMs(), wallMs: clock.wallMs() };
  }
}

/** Whether a device does not tell when it begins to count. The stand-in for no device never does count. */
function isSilent(device: Device): boolean {
  return device !== NO_DEVICE && device.onCounting === undefined;
}
