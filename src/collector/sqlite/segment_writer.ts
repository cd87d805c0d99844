/**
 * Writes the entries of a batch: those of adopted streams as one segment, those of each orphan as one of its own, so that
 * an orphan's can go without touching others.
 *
 * In: a batch. Out: segments, within the caller's transaction. Guarantees: an entry that is there already is left out with
 * its rows.
 */
import type { StatementSync } from "node:sqlite";
import { makeColumns, type RowColumns } from "../rows.ts";
import type { DeclaredGap, IngestBatch, MessageEntry, OtherEntry } from "../store.ts";
import { packBlob } from "./blob.ts";
import type { ProcessBook } from "./process_book.ts";
import { appendRows, sumsText, toSumList } from "./row_sums.ts";
import { ENTRY_KINDS, SEGMENT_SPAN_MS } from "./schema.ts";
import { encodeSegment, type Segment, type Stretch } from "./segment_codec.ts";
import { ceilMs, openStartMs, restNs } from "./time_columns.ts";
import type { WriteContext } from "./write_context.ts";

type Entry = MessageEntry | OtherEntry;

/** A segment that has been written. */
export interface WrittenSegment extends Segment {
  readonly id: number;
  /** 0 = adopted streams. */
  readonly owner: number;
  readonly entries: readonly Entry[];
  /** As in its row. */
  readonly bytes: number;
}

/** What an entry's rows of SQL and their indexes take, about. */
const ENTRY_BYTES = 160;
const INT64_MAX = 2n ** 63n - 1n;

/** See file header. */
export class SegmentWriter {
  readonly #context: WriteContext;
  readonly #processes: ProcessBook;
  readonly #entry: StatementSync;
  readonly #sameSeq: StatementSync;
  readonly #message: StatementSync;
  readonly #gap: StatementSync;
  readonly #segment: StatementSync;
  readonly #blob: StatementSync;

  constructor(context: WriteContext, processes: ProcessBook) {
    this.#context = context;
    this.#processes = processes;
    const { database } = context;
    this.#entry = database.prepare(
      "INSERT INTO entry (id, segment, stream, kind, received_ms, proc_id, proc_seq, client_time," +
        " text_length, end_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    );
    this.#sameSeq = database.prepare(
      "SELECT 1 FROM entry WHERE stream = ? AND proc_id = ? AND proc_seq = ? AND proc_seq > 0 LIMIT 1",
    );
    this.#message = database.prepare(
      "INSERT INTO message (end_ms, entry, stream, start_ms, start_rest, end_rest, length_ms, part," +
        " parts, first_row, row_count, sums) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#gap = database.prepare(
      "INSERT INTO gap (entry, number, stream, received_ms, cause, proc_id, first_seq, last_seq," +
        " entries, start_ms, start_rest, end_ms, end_rest, sums, offered)" +
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#segment = database.prepare(
      "INSERT INTO segment (id, owner, rolled, received_ms, first_entry, last_entry, row_count," +
        " end_min_ms, end_max_ms, is_wide, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#blob = database.prepare(
      "INSERT INTO segment_blob (segment, rows, texts) VALUES (?, ?, ?)",
    );
  }

  /** Writes the entries that are not there yet. */
  write(batch: IngestBatch, isAdopted: (stream: number) => boolean): WrittenSegment[] {
    const byOwner = new Map<number, Entry[]>();
    for (const entry of batch.entries) {
      const owner = isAdopted(entry.stream) ? 0 : entry.stream;
      const entries = byOwner.get(owner);
      if (entries === undefined) byOwner.set(owner, [entry]);
      else entries.push(entry);
    }
    return [...byOwner].flatMap(([owner, entries]) => this.#writeSegment(batch, owner, entries));
  }

  #writeSegment(batch: IngestBatch, owner: number, entries: readonly Entry[]): WrittenSegment[] {
    const { numbers } = this.#context;
    const { columns, receivedMs } = batch;
    const id = numbers.segment;
    const stored: Entry[] = [];
    const stretches: Stretch[] = [];
    const ranges: Range[] = [];
    let rowCount = 0;
    for (const entry of entries) {
      if (this.#isForgotten(entry) || !this.#writeEntry(id, entry, receivedMs)) continue;
      stored.push(entry);
      this.#processes.note(entry, receivedMs);
      if (entry.kind === "message") {
        this.#writeMessage(entry, rowCount);
        addStretch(stretches, entry, rowCount);
        ranges.push({ first: entry.firstRow, count: entry.rowCount });
        rowCount += entry.rowCount;
      } else {
        for (const [number, gap] of entry.gaps.entries()) {
          this.#writeGap(entry.stream, receivedMs, number, gap);
        }
      }
      numbers.entry++;
    }
    if (stored.length === 0) return [];
    numbers.segment++;
    const rows = takeRows(columns, ranges, rowCount);
    const bytes = this.#writeBlobs(id, owner, receivedMs, stored, { stretches, columns: rows });
    return [{ id, owner, entries: stored, stretches, columns: rows, bytes }];
  }

  /**
   * Whether an entry came before and has been deleted since, as after an outage of a week: its rows are in the roll-ups. Of
   * entries that are kept, client times tell those apart that share a number.
   */
  #isForgotten(entry: Entry): boolean {
    return this.#processes.hasSeen(entry) &&
      this.#sameSeq.get(entry.stream, entry.procId, entry.procSeq) === undefined;
  }

  /** @returns Whether it was not there yet. */
  #writeEntry(segment: number, entry: Entry, receivedMs: number): boolean {
    const { changes } = this.#entry.run(
      this.#context.numbers.entry,
      segment,
      entry.stream,
      ENTRY_KINDS.indexOf(entry.kind),
      receivedMs,
      entry.procId,
      entry.procSeq,
      clientTime(entry.clientTimeNs),
      textOf(entry).length,
      entry.kind === "message" ? ceilMs(entry.endNs) : null,
    );
    return Number(changes) === 1;
  }

  #writeMessage(message: MessageEntry, firstRow: number): void {
    const { startNs, endNs } = message;
    this.#message.run(
      ceilMs(endNs),
      this.#context.numbers.entry,
      message.stream,
      ceilMs(startNs),
      restNs(startNs),
      restNs(endNs),
      message.lengthMs,
      message.part ?? 1,
      message.parts ?? 1,
      firstRow,
      message.rowCount,
      sumsText(toSumList(message.sums)),
    );
  }

  #writeGap(stream: number, receivedMs: number, number: number, gap: DeclaredGap): void {
    this.#gap.run(
      this.#context.numbers.entry,
      number,
      stream,
      receivedMs,
      gap.cause,
      gap.procId,
      gap.firstSeq,
      gap.lastSeq,
      gap.entries,
      ceilMs(gap.startNs),
      restNs(gap.startNs),
      ceilMs(gap.endNs),
      restNs(gap.endNs),
      gap.sums === null ? null : sumsText(toSumList(gap.sums)),
      gap.offered ? 1 : 0,
    );
  }

  /** @returns Bytes that the segment takes, about. */
  #writeBlobs(
    id: number,
    owner: number,
    receivedMs: number,
    stored: readonly Entry[],
    segment: Segment,
  ): number {
    const { zstd, numbers } = this.#context;
    const { count } = segment.columns;
    const rows = count === 0 ? null : packBlob(encodeSegment(segment), zstd);
    const texts = packBlob(new TextEncoder().encode(stored.map(textOf).join("")), zstd);
    this.#blob.run(id, rows, texts);
    let endMinMs = Infinity;
    let endMaxMs = -Infinity;
    for (const { endMs } of count === 0 ? [NO_STRETCH] : segment.stretches) {
      endMinMs = Math.min(endMinMs, endMs);
      endMaxMs = Math.max(endMaxMs, endMs);
    }
    const bytes = (rows?.length ?? 0) + texts.length + stored.length * ENTRY_BYTES;
    this.#segment.run(
      id,
      owner,
      count === 0 ? 1 : 0,
      receivedMs,
      numbers.entry - stored.length,
      numbers.entry - 1,
      count,
      endMinMs,
      endMaxMs,
      endMaxMs - endMinMs > SEGMENT_SPAN_MS ? 1 : 0,
      bytes,
    );
    return bytes;
  }
}

const NO_STRETCH: Stretch = { startMs: 0, endMs: 0, first: 0, count: 0 };

/** JSON that is kept of an entry. */
function textOf(entry: Entry): string {
  return entry.kind === "message" ? entry.restJson : entry.json;
}

/** As a value of the column: see schema.ts. */
function clientTime(ns: bigint | null): bigint | string {
  if (ns === null) return "";
  return ns > INT64_MAX || ns < -INT64_MAX ? String(ns) : ns;
}

/** Rows of one message in the batch. */
interface Range {
  readonly first: number;
  readonly count: number;
}

/** The rows of the ranges: the batch's own columns where that is all of them in order, as it mostly is. */
function takeRows(columns: RowColumns, ranges: readonly Range[], rowCount: number): RowColumns {
  let next = 0;
  for (const { first, count } of ranges) next = first === next ? next + count : NaN;
  if (next === columns.count) return columns;
  const rows = makeColumns(rowCount);
  for (const { first, count } of ranges) appendRows(rows, columns, first, count);
  return rows;
}

/** Adds a message's rows; parts of one window share a stretch. */
function addStretch(stretches: Stretch[], message: MessageEntry, first: number): void {
  const { rowCount } = message;
  if (rowCount === 0) return;
  const startMs = openStartMs(message.startNs);
  const endMs = ceilMs(message.endNs);
  const last = stretches.at(-1);
  if (last?.startMs === startMs && last.endMs === endMs) {
    stretches[stretches.length - 1] = { ...last, count: last.count + rowCount };
  } else {
    stretches.push({ startMs, endMs, first, count: rowCount });
  }
}
