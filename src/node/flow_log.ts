/**
 * The flow-log task: takes what the data plane counted, window by window, and writes it down.
 *
 * In: flow banks, a notice when the data plane counts into an empty one. Out: one line of JSON per window that had
 * traffic, and running totals for status. Windows lie on the UTC grid of the period; the first and the last are
 * short; each begins 1 ns after the one before it ends. An idle node writes nothing and sets no timer.
 * Not here: classification and delivery.
 */
import type { FlowReader, FlowRow, FlowTotals as CountedTotals } from "../flow/mod.ts";
import { addressPortText, KEY, KEY_DST_V6, KEY_SRC_V6 } from "../packet/mod.ts";
import type { ClockPort } from "../ports.ts";
import { WindowGrid, type WindowLabels } from "./window_grid.ts";

/** Takes finished lines. */
export interface FlowSink {
  /** Writes one line, which ends without a newline. @throws If it cannot; the task counts and reports that. */
  write(line: string): void;
}

/** What was counted since the start, the window under way included, and how many rows it took. */
export interface FlowTotals extends CountedTotals {
  /** Rows of the windows taken, and how many of them stand for several flows because the table was full. */
  readonly rows: number;
  readonly foldedRows: number;
}

/** What the task tells status. */
export interface FlowLogStatus {
  readonly virtual: FlowTotals;
  readonly physical: FlowTotals;
  readonly windows: number;
  readonly windowsFailed: number;
  /** Why the last window could not be written, if it could not. */
  readonly lastError: string | null;
}

/** What the task works with. */
export interface FlowLogParts {
  readonly virtual: FlowReader;
  readonly physical: FlowReader;
  readonly clock: ClockPort;
  readonly periodMs: number;
  readonly sink: FlowSink | null;
  /** Makes the data plane look at the hand-over at once. */
  readonly wake: () => void;
  readonly warn: (message: string) => void;
}

/** How often a pending hand-over is looked at: the data plane answers within one batch. */
const HAND_OVER_POLL_MS = 1;

/** See file header. */
export class FlowLog {
  readonly #parts: FlowLogParts;
  /** Sums over the rows taken. */
  readonly #taken = { virtual: new RowSums(), physical: new RowSums() };
  #timer: ReturnType<typeof setTimeout> | null = null;
  readonly #grid: WindowGrid;
  #taking: Promise<void> = Promise.resolve();
  #writerEnded = false;
  #windows = 0;
  #windowsFailed = 0;
  #lastError: string | null = null;

  constructor(parts: FlowLogParts) {
    this.#parts = parts;
    this.#grid = new WindowGrid(parts.periodMs);
  }

  /** Begins the first window now. */
  start(): void {
    this.#grid.begin(this.#parts.clock.wallMs());
  }

  /** The data plane counted into an empty bank: the window under way must be taken when it ends. */
  counting(): void {
    if (this.#timer !== null) return;
    const { clock } = this.#parts;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#takeWindow(this.#grid.close(clock.wallMs()));
    }, this.#grid.open(clock.wallMs()));
  }

  /** Takes the last, short window. The data plane must have stopped counting. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#writerEnded = true;
    const { virtual, physical, clock, warn } = this.#parts;
    await this.#takeWindow(this.#grid.closeLast(clock.wallMs()));
    if (this.#taken.virtual.equals(virtual) && this.#taken.physical.equals(physical)) return;
    warn("The rows of the flow log are not what was counted: this is a bug in tunlog");
  }

  /** Totals of what was taken and what is being counted, so that they can be compared with the interface's own. */
  status(): FlowLogStatus {
    const { virtual, physical } = this.#parts;
    return {
      virtual: this.#taken.virtual.totals(virtual),
      physical: this.#taken.physical.totals(physical),
      windows: this.#windows,
      windowsFailed: this.#windowsFailed,
      lastError: this.#lastError,
    };
  }

  /** One window at a time: a slow taking must not meet the next. */
  #takeWindow(labels: WindowLabels): Promise<void> {
    this.#taking = this.#taking.then(() => this.#takeNow(labels));
    return this.#taking;
  }

  async #takeNow({ startMs, endMs }: WindowLabels): Promise<void> {
    const { virtual, physical, wake } = this.#parts;
    if (virtual.activeIsEmpty && physical.activeIsEmpty) return;
    virtual.flip();
    physical.flip();
    if (this.#writerEnded) {
      virtual.flipForEndedWriter();
      physical.flipForEndedWriter();
    }
    wake();
    while (!virtual.acknowledged() || !physical.acknowledged()) {
      await new Promise((resolve) => setTimeout(resolve, HAND_OVER_POLL_MS));
    }
    const virtualTraffic = this.#rowsOf(virtual, this.#taken.virtual);
    const physicalTraffic = this.#rowsOf(physical, this.#taken.physical);
    const window = {
      start: `${new Date(startMs).toISOString().slice(0, -1)}000001Z`,
      end: new Date(endMs).toISOString(),
      ...(virtualTraffic.length > 0 && { virtualTraffic }),
      ...(physicalTraffic.length > 0 && { physicalTraffic }),
    };
    this.#write(JSON.stringify(window));
  }

  #write(line: string): void {
    this.#windows++;
    try {
      this.#parts.sink?.write(line);
    } catch (error) {
      this.#windowsFailed++;
      this.#lastError = error instanceof Error ? error.message : String(error);
      this.#parts.warn(`Cannot write a window of the flow log: ${this.#lastError}`);
    }
  }

  #rowsOf(reader: FlowReader, sums: RowSums): object[] {
    const rows: object[] = [];
    reader.forEachRow((row) => {
      sums.add(row);
      rows.push(jsonRow(row));
    });
    reader.clear();
    return rows;
  }
}

/** Sums over rows, kept beside the writer's own totals, so that a row that goes missing is noticed. */
class RowSums {
  rows = 0;
  foldedRows = 0;
  #txPackets = 0;
  #txBytes = 0;
  #rxPackets = 0;
  #rxBytes = 0;

  add(row: FlowRow): void {
    this.rows++;
    if (row.folded) this.foldedRows++;
    this.#txPackets += row.txPackets;
    this.#txBytes += row.txBytes;
    this.#rxPackets += row.rxPackets;
    this.#rxBytes += row.rxBytes;
  }

  totals(reader: FlowReader): FlowTotals {
    return { ...reader.totals(), rows: this.rows, foldedRows: this.foldedRows };
  }

  /** Whether the rows hold exactly what the reader's writer counted. True only when nothing is being counted. */
  equals(reader: FlowReader): boolean {
    const { txPackets, txBytes, rxPackets, rxBytes } = reader.totals();
    return txPackets === this.#txPackets && txBytes === this.#txBytes &&
      rxPackets === this.#rxPackets && rxBytes === this.#rxBytes;
  }
}

/** A row as JSON: zero members are left out, so that a row without addresses is only its counts. */
function jsonRow(row: FlowRow): object {
  const { key } = row;
  const ports = key[KEY.PORTS]!;
  const members = {
    proto: key[KEY.HEAD]! & 0xff,
    ...(!row.other && {
      src: endText(key, KEY.SRC, (key[KEY.HEAD]! & KEY_SRC_V6) !== 0, ports >>> 16),
      dst: endText(key, KEY.DST, (key[KEY.HEAD]! & KEY_DST_V6) !== 0, ports & 0xffff),
    }),
    txPkts: row.txPackets,
    txBytes: row.txBytes,
    rxPkts: row.rxPackets,
    rxBytes: row.rxBytes,
    folded: row.folded,
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value));
}

/** One side of a row; "" when it has no address (a cookie reply to a stranger has no overlay side). */
function endText(key: Uint32Array, word: number, isV6: boolean, port: number): string {
  if (!isV6 && key[word] === 0 && key[word + 2] === 0) return "";
  return addressPortText(key, word, isV6 ? 6 : 4, port);
}
