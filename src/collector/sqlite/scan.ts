/**
 * Rows and sums of a range of time, by tier.
 *
 * In: ranges. Out: parts of rows, sums by class. Guarantees: each raw row is counted once, wherever it stands: in blocks of
 * the tier, in minutes that no hour holds yet, or in segments that no minute holds yet. The caller holds one transaction.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { ROW_BYTES } from "../rows.ts";
import type { ScanPart, ScanRange, Totals, TotalsQuery } from "../store.ts";
import { unpackBlob } from "./blob.ts";
import { decodeColumns } from "./column_codec.ts";
import { prepareArrays } from "./database.ts";
import { SumPool } from "./row_sums.ts";
import { SEGMENT_SPAN_MS } from "./schema.ts";
import { SegmentCache } from "./segment_cache.ts";
import { decodeSegment, type Segment } from "./segment_codec.ts";
import { bucketEnd, HOUR_MS, MINUTE_MS } from "./time_columns.ts";

type Visit = (part: ScanPart) => void;

/** What stands around columns, and what a count beyond their width takes. */
const COLUMNS_BYTES = 2_048;
const BEYOND_BYTES = 100;

function segmentBytes({ columns }: Segment): number {
  return columns.src.length * ROW_BYTES + columns.beyond.size * BEYOND_BYTES + COLUMNS_BYTES;
}

/** See file header. */
export class Scanner {
  readonly #cache: SegmentCache<Segment>;
  readonly #segmentsNear: StatementSync;
  readonly #segmentsBehind: StatementSync;
  readonly #segmentBlob: StatementSync;
  readonly #minutes: StatementSync;
  readonly #minutesUnmerged: StatementSync;
  readonly #hours: StatementSync;
  readonly #minuteBlob: StatementSync;
  readonly #hourBlob: StatementSync;
  readonly #minuteTotals: StatementSync;
  readonly #minuteTotalsUnmerged: StatementSync;
  readonly #hourTotals: StatementSync;
  readonly #windowSums: StatementSync;
  readonly #sumsBehind: StatementSync;

  constructor(database: DatabaseSync, cacheBytesMax: number) {
    this.#cache = new SegmentCache(cacheBytesMax, segmentBytes);
    const prepare = (sql: string) => prepareArrays(database, sql);
    // The two halves of a wide segment's range may be years apart: such are looked through every time.
    this.#segmentsNear = prepare(
      "SELECT id FROM segment WHERE row_count > 0 AND is_wide = 0 AND end_max_ms > ?1" +
        ` AND end_max_ms <= ?2 + ${SEGMENT_SPAN_MS} AND end_min_ms <= ?2` +
        " UNION ALL SELECT id FROM segment WHERE row_count > 0 AND is_wide = 1" +
        " AND end_max_ms > ?1 AND end_min_ms <= ?2 ORDER BY id",
    );
    this.#segmentsBehind = prepare("SELECT id FROM segment WHERE rolled = 0 ORDER BY id");
    this.#segmentBlob = prepare("SELECT rows FROM segment_blob WHERE segment = ?");
    const within = "end_ms > ? AND end_ms <= ?";
    this.#minutes = prepare(`SELECT id, end_ms FROM minute_block WHERE ${within}`);
    this.#minutesUnmerged = prepare(
      `SELECT id, end_ms FROM minute_block INDEXED BY minute_unmerged WHERE merged = 0 AND ${within}`,
    );
    this.#hours = prepare(`SELECT id, end_ms FROM hour_block WHERE ${within}`);
    this.#minuteBlob = prepare("SELECT rows FROM minute_block WHERE id = ?");
    this.#hourBlob = prepare("SELECT rows FROM hour_block WHERE id = ?");
    this.#minuteTotals = prepare(`SELECT end_ms, totals FROM minute_block WHERE ${within}`);
    this.#minuteTotalsUnmerged = prepare(
      `SELECT end_ms, totals FROM minute_block INDEXED BY minute_unmerged WHERE merged = 0 AND ${within}`,
    );
    this.#hourTotals = prepare(`SELECT end_ms, totals FROM hour_block WHERE ${within}`);
    this.#windowSums = prepare(
      // As openStartMs of its start in ns.
      `SELECT end_ms, stream, sums, start_ms - (start_rest = 999999) FROM message WHERE ${within}`,
    );
    // In this order: the planner would go through all messages of the range.
    this.#sumsBehind = prepare(
      "SELECT message.end_ms, message.stream, message.sums FROM segment" +
        " CROSS JOIN entry ON entry.id BETWEEN segment.first_entry AND segment.last_entry" +
        " CROSS JOIN message ON message.end_ms = entry.end_ms AND message.entry = entry.id" +
        " WHERE segment.rolled = 0 AND entry.end_ms > ? AND entry.end_ms <= ?",
    );
  }

  /** A segment's rows. */
  segment(id: number): Segment {
    return this.#cache.get(`s${id}`, () => decodeSegment(this.#content(this.#segmentBlob, id)));
  }

  scan({ fromMs, toMs, tier }: ScanRange, visit: Visit): void {
    if (tier === "raw") {
      for (const [id] of rowsOf(this.#segmentsNear.all(fromMs, toMs))) {
        this.#visitSegment(id, fromMs, toMs, 0, visit);
      }
    } else if (tier === "minute") {
      this.#scanMinutes(fromMs, toMs, visit);
    } else if (tier === "hour") {
      this.#scanHours(fromMs, toMs, visit);
    } else {
      const first = bucketEnd(fromMs, HOUR_MS);
      const last = Math.floor(toMs / HOUR_MS) * HOUR_MS;
      if (first >= last) {
        this.#scanMinutes(fromMs, toMs, visit);
        return;
      }
      this.#scanMinutes(fromMs, first, visit);
      this.#scanHours(first, last, visit);
      this.#scanMinutes(last, toMs, visit);
    }
  }

  #scanMinutes(fromMs: number, toMs: number, visit: Visit): void {
    if (fromMs >= toMs) return;
    for (const [id, endMs] of rowsOf(this.#minutes.all(fromMs, toMs))) {
      this.#visitBlock(this.#minuteBlob, "m", id, endMs, MINUTE_MS, visit);
    }
    this.#visitBehind(fromMs, toMs, MINUTE_MS, visit);
  }

  #scanHours(fromMs: number, toMs: number, visit: Visit): void {
    for (const [id, endMs] of rowsOf(this.#hours.all(fromMs, toMs))) {
      this.#visitBlock(this.#hourBlob, "h", id, endMs, HOUR_MS, visit);
    }
    const [first, last] = wholeHours(fromMs, toMs);
    for (const [id, endMs] of rowsOf(this.#minutesUnmerged.all(first, last))) {
      this.#visitBlock(this.#minuteBlob, "m", id, bucketEnd(endMs, HOUR_MS), HOUR_MS, visit);
    }
    this.#visitBehind(fromMs, toMs, HOUR_MS, visit);
  }

  #visitBehind(fromMs: number, toMs: number, lengthMs: number, visit: Visit): void {
    for (const [id] of rowsOf(this.#segmentsBehind.all())) {
      this.#visitSegment(id, fromMs, toMs, lengthMs, visit);
    }
  }

  /** @param lengthMs Of buckets; 0 = windows themselves. */
  #visitSegment(
    id: number,
    fromMs: number,
    toMs: number,
    lengthMs: number,
    visit: Visit,
  ): void {
    const { stretches, columns } = this.segment(id);
    for (const stretch of stretches) {
      const endMs = lengthMs === 0 ? stretch.endMs : bucketEnd(stretch.endMs, lengthMs);
      if (endMs <= fromMs || endMs > toMs) continue;
      const startMs = lengthMs === 0 ? stretch.startMs : endMs - lengthMs;
      visit({ startMs, endMs, columns, first: stretch.first, count: stretch.count });
    }
  }

  #visitBlock(
    blob: StatementSync,
    prefix: string,
    id: number,
    endMs: number,
    lengthMs: number,
    visit: Visit,
  ): void {
    const { columns } = this.#cache.get(prefix + id, () => {
      return { stretches: [], columns: decodeColumns(this.#content(blob, id), 0) };
    });
    visit({ startMs: endMs - lengthMs, endMs, columns, first: 0, count: columns.count });
  }

  #content(blob: StatementSync, id: number): Uint8Array {
    const [bytes] = blob.get(id) as unknown as [Uint8Array];
    return unpackBlob(bytes);
  }

  totals({ fromMs, toMs, step, streams, isSummed = false }: TotalsQuery): Totals[] {
    const wanted = streams === undefined ? null : new Set(streams);
    const sums = new TotalsMap(wanted, isSummed);
    if (step === "window") {
      const found = this.#windowSums.all(fromMs, toMs) as unknown as WindowSums[];
      for (const [endMs, stream, text, startMs] of found) {
        sums.add(stream, startMs, endMs, text);
      }
    } else if (step === "minute") {
      addBlocks(sums, this.#minuteTotals.all(fromMs, toMs), MINUTE_MS);
      this.#addBehind(sums, fromMs, toMs, MINUTE_MS);
    } else {
      addBlocks(sums, this.#hourTotals.all(fromMs, toMs), HOUR_MS);
      const [first, last] = wholeHours(fromMs, toMs);
      addBlocks(sums, this.#minuteTotalsUnmerged.all(first, last), HOUR_MS);
      this.#addBehind(sums, fromMs, toMs, HOUR_MS);
    }
    return sums.totals();
  }

  #addBehind(sums: TotalsMap, fromMs: number, toMs: number, lengthMs: number): void {
    // What ends within the bucket's length before `fromMs` belongs to a bucket that ends within.
    const [first, last] = lengthMs === HOUR_MS
      ? wholeHours(fromMs, toMs)
      : [wholeMinutes(fromMs), wholeMinutes(toMs)];
    const found = this.#sumsBehind.all(first, last) as unknown as WindowSums[];
    for (const [windowEndMs, stream, text] of found) {
      const endMs = bucketEnd(windowEndMs, lengthMs);
      sums.add(stream, endMs - lengthMs, endMs, text);
    }
  }
}

/** End, stream, sums and start of a window. */
type WindowSums = [number, number, string, number];

function rowsOf(rows: unknown): [number, number][] {
  return rows as [number, number][];
}

/** Range of what lies in hours that end within a range. */
function wholeHours(fromMs: number, toMs: number): [number, number] {
  return [Math.floor(fromMs / HOUR_MS) * HOUR_MS, Math.floor(toMs / HOUR_MS) * HOUR_MS];
}

function wholeMinutes(ms: number): number {
  return Math.floor(ms / MINUTE_MS) * MINUTE_MS;
}

function addBlocks(sums: TotalsMap, rows: unknown, lengthMs: number): void {
  for (const [blockEndMs, text] of rows as [number, string][]) {
    const endMs = bucketEnd(blockEndMs, lengthMs);
    for (const line of text.split("\n")) {
      const equals = line.indexOf("=");
      const stream = Number(line.slice(0, equals));
      sums.add(stream, endMs - lengthMs, endMs, line.slice(equals + 1));
    }
  }
}

/** Whose sums of what time; its index among all is that of its sums in the pool. */
type TotalsKey = Omit<Totals, "sums">;

/** Sums under way, by end, start and stream. */
class TotalsMap {
  readonly #wanted: ReadonlySet<number> | null;
  readonly #isSummed: boolean;
  readonly #keys: TotalsKey[] = [];
  readonly #pool = new SumPool();
  /** Indices by end, then by stream; of those with another start too. */
  readonly #byEnd = new Map<number, Map<number, number[]>>();

  constructor(wanted: ReadonlySet<number> | null, isSummed: boolean) {
    this.#wanted = wanted;
    this.#isSummed = isSummed;
  }

  /** Adds what sumsText wrote. */
  add(writer: number, startMs: number, endMs: number, text: string): void {
    if (this.#wanted !== null && !this.#wanted.has(writer)) return;
    const stream = this.#isSummed ? 0 : writer;
    let byStream = this.#byEnd.get(endMs);
    if (byStream === undefined) this.#byEnd.set(endMs, byStream = new Map());
    const indices = byStream.get(stream);
    let index = indices?.find((index) => this.#keys[index].startMs === startMs);
    if (index === undefined) {
      index = this.#pool.make();
      this.#keys.push({ stream, startMs, endMs });
      if (indices === undefined) byStream.set(stream, [index]);
      else indices.push(index);
    }
    this.#pool.add(index, text);
  }

  totals(): Totals[] {
    return this.#keys.map((key, index) => ({ ...key, sums: this.#pool.classSums(index) }))
      .sort((a, b) => a.endMs - b.endMs || a.startMs - b.startMs || a.stream - b.stream);
  }
}
