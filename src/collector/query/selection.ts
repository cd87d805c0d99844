/**
 * Rows of a plan that a question is about.
 *
 * In: a reader, a plan, a filter. Out: parts of rows with the numbers of those that match. Guarantees: the guard is asked
 * for each part; streams that nobody adopted are left out unless asked for.
 */
import { CLASS_NAMES } from "../../counters.ts";
import {
  compileFilter,
  type Filter,
  type FilterResolver,
  type RowSelector,
} from "../filter/mod.ts";
import { COUNTERS, makeColumns, type RowColumns } from "../rows.ts";
import type { ScanPart, StoreReader, Totals } from "../store.ts";
import { type QueryGuard, unwrapStopped } from "./guard.ts";
import type { Plan } from "./plan.ts";

/** Rows of a part that match: numbers `rows[0 .. count - 1]` of the columns. Valid until the next part. */
export interface SelectedPart {
  readonly startMs: number;
  readonly endMs: number;
  readonly columns: RowColumns;
  readonly rows: Uint32Array;
  readonly count: number;
}

/** Rows that match a filter, part by part. */
export class Selection {
  readonly #select: RowSelector;
  /** By number of a stream: 1 = left out. null = all are read. */
  readonly #excluded: Uint8Array | null;
  #rows = new Uint32Array(4_096);

  /** @param excluded Streams that are not read. */
  constructor(filter: Filter, resolver: FilterResolver, excluded: readonly number[]) {
    this.#select = compileFilter(filter, resolver);
    this.#excluded = excluded.length === 0 ? null : maskOf(excluded);
  }

  /** Selects rows of a part. */
  select({ startMs, endMs, columns, first, count }: ScanPart): SelectedPart {
    if (count > this.#rows.length) this.#rows = new Uint32Array(count * 2);
    const rows = this.#rows;

    let kept = this.#select(columns, { first, count, windowMs: endMs - startMs }, rows);
    const excluded = this.#excluded;
    if (excluded !== null) {
      const { stream } = columns;
      const all = kept;
      kept = 0;
      for (let index = 0; index < all; index++) {
        const row = rows[index];
        rows[kept] = row;
        const number = stream[row];
        kept += number < excluded.length ? 1 - excluded[number] : 1;
      }
    }
    return { startMs, endMs, columns, rows, count: kept };
  }
}

function maskOf(numbers: readonly number[]): Uint8Array {
  const mask = new Uint8Array(Math.max(...numbers) + 1);
  for (const number of numbers) mask[number] = 1;
  return mask;
}

/** Calls `visit` for all parts of a plan that have matching rows; ends early where the guard says so. */
export function visitSelected(
  reader: StoreReader,
  plan: Pick<Plan, "source" | "range">,
  selection: Selection,
  guard: QueryGuard,
  visit: (part: SelectedPart) => void,
): void {
  unwrapStopped(() => {
    const take = (part: ScanPart) => {
      if (guard.isFull || !guard.take(part.count)) return;
      const selected = selection.select(part);
      if (selected.count > 0) visit(selected);
    };
    const { range, source } = plan;
    guard.check();
    if (source.from === "rows") reader.scan({ ...range, tier: source.tier }, take);
    else {
      const step = source.tier === "raw" ? "window" : source.tier;
      for (const part of partsOfTotals(reader.totals({ ...range, step }))) take(part);
    }
  });
}

/** Rows of one bucket together, at most. */
const TOTALS_ROWS = 8_192;

/** Totals as rows without addresses: one for each stream and class with traffic. */
function* partsOfTotals(totals: readonly Totals[]): Generator<ScanPart> {
  for (let first = 0; first < totals.length;) {
    const { startMs, endMs } = totals[first];
    let end = first + 1;
    const isSame = ({ startMs: start, endMs: stop }: Totals) => start === startMs && stop === endMs;
    while (end < totals.length && end - first < TOTALS_ROWS && isSame(totals[end])) end++;
    const columns = columnsOfTotals(totals.slice(first, end));
    if (columns.count > 0) yield { startMs, endMs, columns, first: 0, count: columns.count };
    first = end;
  }
}

function columnsOfTotals(totals: readonly Totals[]): RowColumns {
  const columns = makeColumns(totals.length * CLASS_NAMES.length);
  for (const { stream, sums } of totals) {
    for (const [code, name] of CLASS_NAMES.entries()) {
      const row = columns.count;
      let any = false;
      for (const [counter, word] of COUNTERS.entries()) {
        const value = sums[name][word];
        if (value === 0n) {
          columns.counters[counter][row] = 0;
          continue;
        }
        any = true;
        columns.counters[counter][row] = Number(value);
        if (value > Number.MAX_SAFE_INTEGER) columns.beyond.set(row * 4 + counter, value);
      }
      if (!any) continue;
      columns.stream[row] = stream;
      columns.classCode[row] = code;
      columns.count++;
    }
  }
  return columns;
}
