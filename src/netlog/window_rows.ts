/**
 * The rows of one window, in columns.
 *
 * In: rows of both devices, one at a time and reused by their owner. Out: columns by row number, addresses being numbers
 * of one AddressTable. Limit: WINDOW_ROWS_MAX; what comes beyond it is folded into one row per device, so that no count
 * is lost.
 */
import { WINDOW_ROWS_MAX } from "../limits.ts";
import { KEY, KEY_DST_V6, KEY_SRC_V6 } from "../packet/mod.ts";
import { type AddressTable, NO_ADDRESS } from "./address_table.ts";
import { CountsSum } from "./counts.ts";
import type { StatisticsRow } from "./device.ts";

/** Set in a head iff several flows share the row. */
export const HEAD_FOLDED = 1 << 8;
/** Set iff it is a last-resort row, without addresses. HEAD_FOLDED is set too. */
export const HEAD_OTHER = 1 << 9;
/** Set iff the device of physical traffic counted it. */
export const HEAD_PHYSICAL = 1 << 10;

/** Counters of a row. */
export const ROW_COUNTS = 4;

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
   * @throws {RangeError} If a counter is not a safe integer: such a row cannot be written.
   */
  add(row: StatisticsRow, isPhysical: boolean): void {
    const { txPackets, txBytes, rxPackets, rxBytes } = row;
    // A sum of non-negative numbers is a safe integer only if each is; fractions are looked for one by one.
    if (
      !Number.isSafeInteger(txPackets) || !Number.isSafeInteger(txBytes) ||
      !Number.isSafeInteger(rxPackets) || !Number.isSafeInteger(rxBytes) ||
      txPackets < 0 || txBytes < 0 || rxPackets < 0 || rxBytes < 0
    ) {
      throw new RangeError(
        `Cannot log counters ${txPackets}, ${txBytes}, ${rxPackets}, ${rxBytes}: want integers of 0 .. 2^53 - 1`,
      );
    }
    if (this.#count === this.#rowsMax) {
      this.#beyond[isPhysical ? 1 : 0].add(txPackets, txBytes, rxPackets, rxBytes);
      return;
    }
    if (this.#count === this.heads.length) this.#resize(this.heads.length * 2);
    const { key } = row;
    const head = key[KEY.HEAD];
    const at = this.#count++;
    this.heads[at] = (head & 0xff) | (row.folded ? HEAD_FOLDED : 0) |
      (row.other ? HEAD_OTHER | HEAD_FOLDED : 0) | (isPhysical ? HEAD_PHYSICAL : 0);
    this.srcs[at] = row.other
      ? NO_ADDRESS
      : this.#addresses.number(key, KEY.SRC, (head & KEY_SRC_V6) !== 0);
    this.dsts[at] = row.other
      ? NO_ADDRESS
      : this.#addresses.number(key, KEY.DST, (head & KEY_DST_V6) !== 0);
    this.ports[at] = key[KEY.PORTS];
    const counts = this.counts;
    counts[at * ROW_COUNTS] = txPackets;
    counts[at * ROW_COUNTS + 1] = txBytes;
    counts[at * ROW_COUNTS + 2] = rxPackets;
    counts[at * ROW_COUNTS + 3] = rxBytes;
  }

  /** Forgets all rows; the addresses are the owner's to clear. */
  clear(): void {
    this.#count = 0;
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
