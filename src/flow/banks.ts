/**
 * Two banks between two threads: one counts, the other reads what was counted in the window before.
 *
 * In: counts from one writer; flips from one reader. Out: rows. Guarantees: each count is in exactly one window's
 * rows, whatever the interleaving; the writer never waits, and pays one atomic load per batch for the hand-over.
 *
 *   reader: flip() ── REQUESTED = n ──▶ writer: handOver(), once per batch: now writes bank n & 1
 *   reader: acknowledged() ◀── ACKNOWLEDGED = n ──┘
 *   reader: forEachRow(), clear() on the bank that was left; only then may it flip again.
 *
 * The two atomic stores order all other memory: whoever sees the number sees the bank as it was left.
 */
import { KEY, KEY_DST_V6, KEY_SRC_V6, KEY_WORDS } from "../packet/mod.ts";
import { Bank, RX, TX } from "./bank.ts";
import {
  bankViews,
  CONTROL,
  CONTROL_OTHER,
  CONTROL_TOTALS,
  type ControlViews,
  controlViews,
} from "./layout.ts";
import { FlowRow, readOther, readRecord } from "./rows.ts";

// In constants of this file: see packet/decode.ts.
const { HEAD, PORTS, SRC, DST } = KEY;

/** Sums of all that a writer has counted. */
export interface FlowTotals {
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
}

/** The counting side. One per memory, in one thread. */
export class FlowWriter {
  readonly #control: Int32Array;
  readonly #totals: Float64Array;
  readonly #banks: readonly [Bank, Bank];
  readonly #swapped = new Uint32Array(KEY_WORDS);
  #bank: Bank;
  #flips: number;

  /**
   * @param memory Made by createBanks.
   * @param onFirst Called at the first count into an empty bank, so that somebody can be told that this window
   *   will have rows; must not count.
   */
  constructor(memory: SharedArrayBuffer, onFirst: () => void = () => {}) {
    const control = controlViews(memory);
    this.#control = control.words;
    this.#totals = control.floats;
    this.#banks = [new Bank(memory, control, 0, onFirst), new Bank(memory, control, 1, onFirst)];
    this.#flips = Atomics.load(this.#control, CONTROL.ACKNOWLEDGED);
    this.#bank = this.#banks[this.#flips & 1];
  }

  /** Leaves the bank if the reader has asked for it. To be called once per batch, never between two of its packets. */
  handOver(): void {
    const requested = Atomics.load(this.#control, CONTROL.REQUESTED);
    if (requested === this.#flips) return;
    this.#flips = requested;
    this.#bank = this.#banks[requested & 1];
    this.#bank.begin();
    Atomics.store(this.#control, CONTROL.ACKNOWLEDGED, requested);
  }

  /**
   * Counts packets sent into the tunnel; `key` is theirs, the source being the local side.
   * @param key KEY_WORDS words; read, not kept. HEAD holds the key's own bits only.
   * @param packets At least 1; a super-packet counts its segments.
   * @param bytes IP bytes of all of them.
   * @param detail INFO.DETAIL.
   */
  countTx(key: Uint32Array, packets: number, bytes: number, detail: number): void {
    this.#totals[CONTROL_TOTALS] += packets;
    this.#totals[CONTROL_TOTALS + 1] += bytes;
    this.#bank.count(key, TX, packets, bytes, detail);
  }

  /** Counts packets received; `key` is theirs, the destination being the local side. The rest as countTx. */
  countRx(key: Uint32Array, packets: number, bytes: number, detail: number): void {
    this.#totals[CONTROL_TOTALS + 2] += packets;
    this.#totals[CONTROL_TOTALS + 3] += bytes;
    const swapped = this.#swapped;
    swapKey(key, swapped);
    this.#bank.count(swapped, RX, packets, bytes, detail);
  }
}

/** Writes `key` with source and destination exchanged to `output`. */
function swapKey(key: Uint32Array, output: Uint32Array): void {
  const head = key[HEAD];
  const ports = key[PORTS];
  // The two family bits lie side by side.
  const families = ((head & KEY_SRC_V6) << 1) | ((head & KEY_DST_V6) >>> 1);
  output[HEAD] = (head & ~(KEY_SRC_V6 | KEY_DST_V6)) | families;
  output[PORTS] = (ports << 16) | (ports >>> 16);
  output[SRC] = key[DST];
  output[SRC + 1] = key[DST + 1];
  output[SRC + 2] = key[DST + 2];
  output[SRC + 3] = key[DST + 3];
  output[DST] = key[SRC];
  output[DST + 1] = key[SRC + 1];
  output[DST + 2] = key[SRC + 2];
  output[DST + 3] = key[SRC + 3];
}

/** The reading side. One per memory, in one thread, which may be another than the writer's. */
export class FlowReader {
  readonly #memory: SharedArrayBuffer;
  readonly #control: ControlViews;
  readonly #row = new FlowRow();
  #flips: number;
  /** Whether the bank that the writer left is still to be cleared. */
  #reading = false;

  /** @param memory Made by createBanks. */
  constructor(memory: SharedArrayBuffer) {
    this.#memory = memory;
    this.#control = controlViews(memory);
    this.#flips = Atomics.load(this.#control.words, CONTROL.REQUESTED);
  }

  /** Whether nothing was counted into the bank being written: then there is no need to flip. */
  get activeIsEmpty(): boolean {
    return Atomics.load(this.#control.words, CONTROL.USED[this.#flips & 1]) === 0;
  }

  /**
   * Asks the writer to go over to the other bank.
   * @throws {Error} If the bank of the flip before has not been cleared.
   */
  flip(): void {
    if (this.#reading) throw new Error("Cannot flip: the last bank has not been cleared");
    this.#reading = true;
    this.#flips = (this.#flips + 1) | 0;
    Atomics.store(this.#control.words, CONTROL.REQUESTED, this.#flips);
  }

  /** Whether the writer has left the bank; only then may it be read. */
  acknowledged(): boolean {
    return Atomics.load(this.#control.words, CONTROL.ACKNOWLEDGED) === this.#flips;
  }

  /** Flips, or finishes a flip, for a writer that has ended and will never answer. */
  flipForEndedWriter(): void {
    if (!this.#reading) this.flip();
    Atomics.store(this.#control.words, CONTROL.ACKNOWLEDGED, this.#flips);
  }

  /**
   * Calls `visit` for each row of the bank that the writer left, in the order of first packets; the "other" row
   * last. The row is reused.
   * @throws {Error} If there is no such bank, or the writer has not left it.
   */
  forEachRow(visit: (row: FlowRow) => void): void {
    this.#mustRead();
    const bank = (this.#flips & 1) ^ 1;
    const { layout, words, floats } = this.#control;
    const views = bankViews(this.#memory, layout, bank);
    const row = this.#row;
    const used = words[CONTROL.USED[bank]];
    for (let record = 0; record < used; record++) {
      readRecord(views, record, row);
      // A record whose first count was beyond its 32 bits stayed empty.
      if (row.txPackets + row.rxPackets > 0) visit(row);
    }
    readOther(floats, CONTROL_OTHER[bank], row);
    if (row.txPackets + row.rxPackets > 0) visit(row);
  }

  /**
   * Clears the bank that the writer left, so that the next flip can give it back. Time by the rows it had.
   * @throws {Error} As forEachRow.
   */
  clear(): void {
    this.#mustRead();
    const bank = (this.#flips & 1) ^ 1;
    const { layout, words, floats } = this.#control;
    const { slots, index } = bankViews(this.#memory, layout, bank);
    const used = words[CONTROL.USED[bank]];
    // One pass over the whole index is faster than many jumps in it.
    if (used > index.length / 16) index.fill(0);
    else for (let record = 0; record < used; record++) index[slots[record]] = 0;
    floats.fill(0, CONTROL_OTHER[bank], CONTROL_OTHER[bank] + 4);
    Atomics.store(words, CONTROL.USED[bank], 0);
    this.#reading = false;
  }

  /**
   * All that was ever counted, in either bank. Read while the writer writes, so the four numbers may be of
   * moments a packet apart; exact when it has stopped.
   */
  totals(): FlowTotals {
    const { floats } = this.#control;
    return {
      txPackets: floats[CONTROL_TOTALS],
      txBytes: floats[CONTROL_TOTALS + 1],
      rxPackets: floats[CONTROL_TOTALS + 2],
      rxBytes: floats[CONTROL_TOTALS + 3],
    };
  }

  #mustRead(): void {
    if (!this.#reading || !this.acknowledged()) {
      throw new Error("Cannot read a bank: the writer has not left one");
    }
  }
}
