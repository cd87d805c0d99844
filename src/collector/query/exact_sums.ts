/**
 * Sums of the four counters for any number of cells, exact beyond 2^53.
 *
 * In: rows of RowColumns. Out: bigints. A cell's sums stand side by side as Float64 while they are exact, else the exact
 * ones stand in a map as well, as in `RowColumns.beyond`.
 */
import type { RowColumns } from "../rows.ts";

const { MAX_SAFE_INTEGER } = Number;

/** One value for each of COUNTERS. */
export type CounterValues = readonly [bigint, bigint, bigint, bigint];

/** See file header. */
export class ExactSums {
  #sums: Float64Array;
  readonly #beyond = new Map<number, bigint>();

  /** @param cells Room to begin with. */
  constructor(cells: number) {
    this.#sums = new Float64Array(cells * 4);
  }

  /** Cells that there is room for. */
  get cells(): number {
    return this.#sums.length / 4;
  }

  /** Makes room for at least so many cells. */
  grow(cells: number): void {
    if (cells * 4 <= this.#sums.length) return;
    const grown = new Float64Array(cells * 4);
    grown.set(this.#sums);
    this.#sums = grown;
  }

  /** Adds counters of the row to those of the cell. */
  add(cell: number, columns: RowColumns, row: number): void {
    const sums = this.#sums;
    const { counters } = columns;
    const at = cell * 4;
    const sum0 = sums[at] + counters[0][row];
    const sum1 = sums[at + 1] + counters[1][row];
    const sum2 = sums[at + 2] + counters[2][row];
    const sum3 = sums[at + 3] + counters[3][row];
    // One comparison for four: each is at most their sum, which is at most four times the limit away from it.
    if (sum0 + sum1 + sum2 + sum3 > MAX_SAFE_INTEGER) {
      this.#addExactly(cell, columns, row);
      return;
    }
    sums[at] = sum0;
    sums[at + 1] = sum1;
    sums[at + 2] = sum2;
    sums[at + 3] = sum3;
  }

  #addExactly(cell: number, columns: RowColumns, row: number): void {
    for (let counter = 0; counter < 4; counter++) {
      const at = cell * 4 + counter;
      const exact = this.#exact(at) +
        (columns.beyond.get(row * 4 + counter) ?? BigInt(columns.counters[counter][row]));
      this.#sums[at] = Number(exact);
      if (exact > MAX_SAFE_INTEGER) this.#beyond.set(at, exact);
    }
  }

  #exact(at: number): bigint {
    return this.#beyond.get(at) ?? BigInt(this.#sums[at]);
  }

  /** Exact sums of a cell. */
  values(cell: number): CounterValues {
    const at = cell * 4;
    return [this.#exact(at), this.#exact(at + 1), this.#exact(at + 2), this.#exact(at + 3)];
  }

  /** One sum as the nearest number. */
  near(cell: number, counter: number): number {
    return this.#sums[cell * 4 + counter];
  }
}

/** Adds two lists of counters. */
export function addValues(a: CounterValues, b: CounterValues): CounterValues {
  return [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]];
}

/** Takes the counters `b` from `a`. */
export function lessValues(a: CounterValues, b: CounterValues): CounterValues {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]];
}

/** Nothing counted. */
export const NO_VALUES: CounterValues = [0n, 0n, 0n, 0n];
