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
import type { Plan, Source } from "./plan.ts";
import type { Range } from "./question.ts";

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

  /** Streams that are read; nothing if all are. */
  streamsOf(reader: StoreReader): { streams?: readonly number[] } {
    const excluded = this.#excluded;
    if (excluded === null) return {};
    const numbers = reader.streams().map(({ number }) => number);
    return { streams: numbers.filter((number) => excluded[number] !== 1) };
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

/** Calls `visit` for all parts of what of a plan is kept that have matching rows; ends early where the guard says so. */
export function visitSelected(
  reader: StoreReader,
  plan: Pick<Plan, "source" | "kept">,
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
    const { kept, source } = plan;
    guard.check();
    if (source.from === "rows") reader.scan({ ...kept, tier: source.tier }, take);
    else visitTotals(reader, source, kept, selection, take);
  });
}

/** Streams of one bucket that are one part, at most. */
const TOTALS_STREAMS = 2_048;
const HOUR_MS = 3_600_000;
/**
 * Totals asked for at once, about: so few that they are forgotten while they are young. A day of minutes of 20 nodes takes
 * a quarter less time than one question for all (tests/bench/query_bench.ts).
 */
const SLICE_TOTALS = 4_096;
/** Length of a step, or what windows usually have. */
const STEP_MS = { window: 5_000, minute: 60_000, hour: HOUR_MS } as const;

/** Calls `visit` with totals as rows without addresses, valid until the next part. */
function visitTotals(
  reader: StoreReader,
  { tier, isSummed }: Source & { readonly from: "totals" },
  range: Range,
  selection: Selection,
  visit: (part: ScanPart) => void,
): void {
  // Once they are added up nobody can leave streams out.
  const summed = isSummed ? { isSummed, ...selection.streamsOf(reader) } : {};
  const streams = Math.max(1, isSummed ? 1 : reader.streams().length);
  const read = (fromMs: number, toMs: number, step: "window" | "minute" | "hour") => {
    const sliceMs = Math.max(1, Math.floor(SLICE_TOTALS / streams)) * STEP_MS[step];
    for (let startMs = fromMs; startMs < toMs; startMs += sliceMs) {
      const endMs = Math.min(toMs, startMs + sliceMs);
      forEachPart(reader.totals({ fromMs: startMs, toMs: endMs, step, ...summed }), visit);
    }
  };
  const { fromMs, toMs } = range;
  if (tier !== "sum") {
    read(fromMs, toMs, tier === "raw" ? "window" : tier);
    return;
  }
  const firstMs = Math.ceil(fromMs / HOUR_MS) * HOUR_MS;
  const lastMs = Math.max(firstMs, Math.floor(toMs / HOUR_MS) * HOUR_MS);
  read(fromMs, Math.min(firstMs, toMs), "minute");
  read(firstMs, Math.min(lastMs, toMs), "hour");
  read(lastMs, toMs, "minute");
}

/** Cuts totals, which are in order of time, into parts: one row for each stream and class with traffic. */
function forEachPart(totals: readonly Totals[], visit: (part: ScanPart) => void): void {
  // One for all parts: a day of minutes has thousands.
  let columns = makeColumns(0);
  for (let first = 0; first < totals.length;) {
    const { startMs, endMs } = totals[first];
    let end = first + 1;
    const isSame = ({ startMs: start, endMs: stop }: Totals) => start === startMs && stop === endMs;
    while (end < totals.length && end - first < TOTALS_STREAMS && isSame(totals[end])) end++;
    const rowsMax = (end - first) * CLASS_NAMES.length;
    if (columns.src.length < rowsMax) columns = makeColumns(rowsMax);
    putTotals(columns, totals, first, end);
    if (columns.count > 0) visit({ startMs, endMs, columns, first: 0, count: columns.count });
    first = end;
  }
}

function putTotals(
  columns: RowColumns,
  totals: readonly Totals[],
  first: number,
  end: number,
): void {
  columns.count = 0;
  columns.beyond.clear();
  for (let index = first; index < end; index++) {
    const { stream, sums } = totals[index];
    for (const [code, name] of CLASS_NAMES.entries()) {
      const row = columns.count;
      const ofClass = sums[name];
      let any = false;
      for (const [counter, word] of COUNTERS.entries()) {
        const value = ofClass[word];
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
}
