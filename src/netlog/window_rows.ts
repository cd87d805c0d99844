/**
 * The rows of one window, in columns.
 *
 * In: rows of both devices, one at a time and reused by their owner. Out: columns by row number, addresses being numbers
 * of one AddressTable. Rows that counted nothing are not kept. Limits: WINDOW_ROWS_MAX, and what comes beyond it is
 * folded into one row per device, so that no count is lost; and a window's sum, so that each counter of each row and
 * total is one that a message can carry, however rows are merged.
 */
import { WINDOW_ROWS_MAX } from "../limits.ts";
import { KEY, KEY_DST_V6, KEY_SRC_V6 } from "../packet/mod.ts";
import { type AddressTable, NO_ADDRESS } from "./address_table.ts";
import { COUNT_MAX, CountsSum } from "./counts.ts";
import type { StatisticsRow } from "./device.ts";

/** Set in a head iff several flows share the row. */
export const HEAD_FOLDED = 1 << 8;
/** Set iff it is a last-resort row, without addresses. HEAD_FOLDED is set too. */
export const HEAD_OTHER = 1 << 9;
/** Set iff the device of physical traffic counted it. */
export const HEAD_PHYSICAL = 1 << 10;

/** Counters of a row. */
export const ROW_COUNTS = 4;

/** Half of what a counter can carry: sums of floats may be a little off. */
const WINDOW_SUM_MAX = Number(COUNT_MAX / 2n);

const ROWS_MIN = 1 << 10;
/** Rows for which memory is kept from window to window. */
const ROWS_KEPT = 1 << 16;

/** See file header. */
export class WindowRows {
  /** proto in bits 0..7, HEAD_* above. */
  heads = new Uint16Array(ROWS_MIN);
  srcs = new Uint32Array(ROWS_MIN);
  dsts = new Uint32Array(ROWS_MIN);
  /** As in a flow key: source above, destination below. */
  ports = new Uint32Array(ROWS_MIN);
  /** ROW_COUNTS per row: txPackets, txBytes, rxPackets, rxBytes. */
  counts = new Float64Array(ROWS_MIN * ROW_COUNTS);
  #count = 0;
  /** Of all counters of all rows. */
  #sum = 0;
  readonly #addresses: AddressTable;
  readonly #rowsMax: number;
  /** What found no room: of the tunnel's device, of the physical one. */
  readonly #beyond = [new CountsSum(), new CountsSum()] as const;

  constructor(addresses: AddressTable, rowsMax = WINDOW_ROWS_MAX) {
    this.#addresses = addresses;
    this.#rowsMax = rowsMax;
  }

  /** Rows in the columns. */
  get count(): number {
    return this.#count;
  }

  /** Whether nothing was counted. */
  get isEmpty(): boolean {
    return this.#count === 0 && this.#beyond[0].isZero && this.#beyond[1].isZero;
  }

  /** What found no room in the columns, of one device. */
  beyond(isPhysical: boolean): CountsSum {
    return this.#beyond[isPhysical ? 1 : 0];
  }

  /**
   * Adds one row.
   * @throws {RangeError} If a counter is not a safe integer, or the window's sum passes 2^63: it cannot be written.
   */
  add(row: StatisticsRow, isPhysical: boolean): void {
    const { txPackets, txBytes, rxPackets, rxBytes } = row;
    if (
      !Number.isSafeInteger(txPackets) || !Number.isSafeInteger(txBytes) ||
      !Number.isSafeInteger(rxPackets) || !Number.isSafeInteger(rxBytes) ||
      txPackets < 0 || txBytes < 0 || rxPackets < 0 || rxBytes < 0
    ) {
      throw new RangeError(
        `Cannot log counters ${txPackets}, ${txBytes}, ${rxPackets}, ${rxBytes}: want integers of 0 .. 2^53 - 1`,
      );
    }
    const sum = txPackets + txBytes + rxPackets + rxBytes;
    if (sum === 0) return;
    if (this.#sum + sum > WINDOW_SUM_MAX) {
      throw new RangeError("Cannot log counters of a window whose sum is more than 2^63");
    }
    this.#sum += sum;
    if (this.#count === this.#rowsMax) {
      this.#beyond[isPhysical ? 1 : 0].add(txPackets, txBytes, rxPackets, rxBytes);
      return;
    }
    if (this.#count === this.heads.length) this.#resize(this.heads.length * 2);
    const at = this.#count++;
    const device = isPhysical ? HEAD_PHYSICAL : 0;
    if (row.other) {
      this.heads[at] = device | HEAD_OTHER | HEAD_FOLDED;
      this.srcs[at] = NO_ADDRESS;
      this.dsts[at] = NO_ADDRESS;
      this.ports[at] = 0;
    } else {
      const { key } = row;
      const head = key[KEY.HEAD];
      const src = this.#addresses.number(key, KEY.SRC, (head & KEY_SRC_V6) !== 0);
      const dst = this.#addresses.number(key, KEY.DST, (head & KEY_DST_V6) !== 0);
      this.heads[at] = device | (head & 0xff) | (row.folded ? HEAD_FOLDED : 0);
      this.srcs[at] = src;
      this.dsts[at] = dst;
      // What has no address has no port.
      this.ports[at] = key[KEY.PORTS] &
        ((src === NO_ADDRESS ? 0 : 0xffff0000) | (dst === NO_ADDRESS ? 0 : 0xffff));
    }
    const counts = this.counts;
    counts[at * ROW_COUNTS] = txPackets;
    counts[at * ROW_COUNTS + 1] = txBytes;
    counts[at * ROW_COUNTS + 2] = rxPackets;
    counts[at * ROW_COUNTS + 3] = rxBytes;
  }

  /** Forgets all rows; the addresses are the owner's to clear. */
  clear(): void {
    this.#count = 0;
    this.#sum = 0;
    for (const sum of this.#beyond) sum.clear();
    if (this.heads.length > ROWS_KEPT) this.#resize(ROWS_MIN);
  }

  #resize(rows: number): void {
    const { heads, srcs, dsts, ports, counts } = this;
    this.heads = new Uint16Array(rows);
    this.srcs = new Uint32Array(rows);
    this.dsts = new Uint32Array(rows);
    this.ports = new Uint32Array(rows);
    this.counts = new Float64Array(rows * ROW_COUNTS);
    if (rows < heads.length) return;
    this.heads.set(heads);
    this.srcs.set(srcs);
    this.dsts.set(dsts);
    this.ports.set(ports);
    this.counts.set(counts);
  }
}
