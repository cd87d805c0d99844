/**
 * Roll-ups: raw rows to minutes, minutes to hours.
 *
 * In: segments that are durable. Out: blocks of buckets. Guarantees: whatever happens in between, each raw row is in the
 * minutes once and in the hours once, for the transaction that writes blocks also marks what they are made of; after a
 * crash, what was not marked is counted again.
 */
import type { StatementSync } from "node:sqlite";
import {
  ROLLUP_BLOCK_ROWS,
  ROLLUP_BUCKETS_MAX,
  ROLLUP_KEYS_MAX,
  ROLLUP_PERIOD_MS,
  ROLLUP_ROWS_MAX,
} from "../../limits.ts";
import { makeColumns } from "../rows.ts";
import { packBlob, unpackBlob } from "./blob.ts";
import { decodeColumns, encodeColumns } from "./column_codec.ts";
import { type Bucket, RollupTable } from "./rollup_table.ts";
import { appendRows, totalsText } from "./row_sums.ts";
import { decodeSegment, type Segment } from "./segment_codec.ts";
import { bucketEnd, HOUR_MS, MINUTE_MS } from "./time_columns.ts";
import type { WriteContext } from "./write_context.ts";

/** Rows of minutes that one step of a merge takes: some 20 ms. */
const MERGE_STEP_ROWS = 131_072;
/** Keys at which a merge is written before its hour is through. */
const MERGE_KEYS_MAX = 2 * ROLLUP_KEYS_MAX;
/** An hour is merged when it has been over and quiet for so long. */
const HOUR_OVER_MS = 5 * 60_000;
const HOUR_QUIET_MS = 2 * 60_000;
/** Or when its minutes have waited for so long, over or not: a node's clock may be wrong by years. */
const HOUR_WAIT_MAX_MS = 2 * HOUR_MS;
/** How often due hours are looked for. */
const LOOK_PERIOD_MS = 10_000;

/** Writes buckets as blocks of one tier. */
class BlockWriter {
  readonly #context: WriteContext;
  readonly #insert: StatementSync;

  constructor(context: WriteContext, tier: "minute" | "hour") {
    this.#context = context;
    this.#insert = context.database.prepare(
      tier === "minute"
        ? "INSERT INTO minute_block (id, end_ms, written_ms, merged, row_count, bytes, totals, rows)" +
          " VALUES (?, ?, ?, 0, ?, ?, ?, ?)"
        : "INSERT INTO hour_block (id, end_ms, written_ms, row_count, bytes, totals, rows)" +
          " VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
  }

  /** Within a transaction. */
  write({ endMs, columns }: Bucket, writtenMs: number): void {
    for (let first = 0; first < columns.count; first += ROLLUP_BLOCK_ROWS) {
      const count = Math.min(ROLLUP_BLOCK_ROWS, columns.count - first);
      const block = makeColumns(count);
      appendRows(block, columns, first, count);
      const totals = totalsText(block);
      const rows = packBlob(encodeColumns(block), this.#context.zstd);
      const bytes = totals.length + rows.length;
      this.#insert.run(
        this.#context.numbers.block++,
        endMs,
        writtenMs,
        count,
        bytes,
        totals,
        rows,
      );
    }
  }
}

/** Raw rows to minutes. */
export class MinuteWriter {
  readonly #context: WriteContext;
  readonly #table: RollupTable;
  readonly #blocks: BlockWriter;
  readonly #mark: StatementSync;
  readonly #behind: StatementSync;
  readonly #blob: StatementSync;
  /** Segments that the table holds. */
  #segments = new Set<number>();
  #rows = 0;
  #writtenMs = 0;

  /** @param secret ROLLUP_SECRET_WORDS random words. */
  constructor(context: WriteContext, secret: Uint32Array) {
    this.#context = context;
    this.#table = new RollupTable(secret);
    this.#blocks = new BlockWriter(context, "minute");
    const { database } = context;
    this.#mark = database.prepare("UPDATE segment SET rolled = 1 WHERE id = ?");
    this.#behind = database.prepare(
      "SELECT id FROM segment WHERE rolled = 0 AND owner = 0 ORDER BY id",
    );
    this.#blob = database.prepare("SELECT rows FROM segment_blob WHERE segment = ?");
  }

  /** Segments of adopted streams that no block holds yet. */
  get segmentsBehind(): number {
    return this.#segments.size;
  }

  /** Counts the rows of a durable segment of adopted streams. */
  add(id: number, { stretches, columns }: Segment): void {
    if (columns.count === 0) return;
    for (const { endMs, first, count } of stretches) {
      this.#table.add(columns, first, count, bucketEnd(endMs, MINUTE_MS));
    }
    this.#segments.add(id);
    this.#rows += columns.count;
  }

  /** Counts all durable segments of adopted streams that nobody counted yet. @throws {StoreError} */
  catchUp(nowMs: number): void {
    for (const { id } of this.#behind.all() as { id: number }[]) {
      if (this.#segments.has(id)) continue;
      this.makeRoom(nowMs, 0);
      const blob = this.#blob.get(id)?.rows as Uint8Array;
      this.add(id, decodeSegment(unpackBlob(blob)));
    }
  }

  /** Writes if `rows` more would be too many. @throws {StoreError} */
  makeRoom(nowMs: number, rows: number): void {
    const isFull = this.#table.count + rows > ROLLUP_KEYS_MAX ||
      this.#rows + rows > ROLLUP_ROWS_MAX || this.#table.buckets >= ROLLUP_BUCKETS_MAX;
    if (isFull) this.write(nowMs);
  }

  /** Writes if it is time. @throws {StoreError} */
  writeIfDue(nowMs: number): void {
    const ageMs = nowMs - this.#writtenMs;
    // Negative: the clock was set.
    if (ageMs >= ROLLUP_PERIOD_MS || ageMs < 0) this.write(nowMs);
  }

  /** Writes all that was counted. @throws {StoreError} It is still counted then. */
  write(nowMs: number): void {
    this.#writtenMs = nowMs;
    if (this.#segments.size === 0) return;
    this.#context.transact("write minutes", () => {
      for (const bucket of this.#table.contents()) this.#blocks.write(bucket, nowMs);
      for (const id of this.#segments) this.#mark.run(id);
    });
    this.#table.clear();
    this.#segments.clear();
    this.#rows = 0;
  }
}

/** A block of minutes that is to be merged. */
interface MinuteBlock {
  readonly id: number;
  readonly rows: number;
}

/** Minutes to hours. */
export class HourWriter {
  readonly #context: WriteContext;
  readonly #table: RollupTable;
  readonly #blocks: BlockWriter;
  readonly #unmerged: StatementSync;
  readonly #blob: StatementSync;
  readonly #mark: StatementSync;
  /** Hour under way. */
  #endMs = 0;
  #waiting: MinuteBlock[] = [];
  /** Blocks that the table holds. */
  #taken: number[] = [];
  #lookedMs = -Infinity;

  /** @param secret ROLLUP_SECRET_WORDS random words. */
  constructor(context: WriteContext, secret: Uint32Array) {
    this.#context = context;
    this.#table = new RollupTable(secret);
    this.#blocks = new BlockWriter(context, "hour");
    const { database } = context;
    this.#unmerged = database.prepare(
      "SELECT id, end_ms, written_ms, row_count FROM minute_block WHERE merged = 0",
    );
    this.#blob = database.prepare("SELECT rows FROM minute_block WHERE id = ?");
    this.#mark = database.prepare("UPDATE minute_block SET merged = 1 WHERE id = ?");
  }

  /** Does a bounded part of what is due. @returns Whether more is due. @throws {StoreError} */
  step(nowMs: number): boolean {
    if (this.#waiting.length === 0 && this.#taken.length === 0 && !this.#begin(nowMs)) return false;
    let rows = 0;
    while (this.#waiting.length > 0 && rows < MERGE_STEP_ROWS) {
      if (this.#table.count >= MERGE_KEYS_MAX) break;
      const block = this.#waiting.shift()!;
      const blob = this.#blob.get(block.id)!.rows as Uint8Array;
      const columns = decodeColumns(unpackBlob(blob), 0);
      this.#table.add(columns, 0, columns.count, this.#endMs);
      this.#taken.push(block.id);
      rows += columns.count;
    }
    if (this.#waiting.length === 0 || this.#table.count >= MERGE_KEYS_MAX) this.#write(nowMs);
    return true;
  }

  /** Looks for an hour that is due. */
  #begin(nowMs: number): boolean {
    const sinceMs = nowMs - this.#lookedMs;
    if (sinceMs >= 0 && sinceMs < LOOK_PERIOD_MS) return false;
    const hours = new Map<number, { blocks: MinuteBlock[]; oldestMs: number; newestMs: number }>();
    for (const row of this.#unmerged.all()) {
      const writtenMs = Number(row.written_ms);
      const endMs = bucketEnd(Number(row.end_ms), HOUR_MS);
      const hour = hours.get(endMs) ?? { blocks: [], oldestMs: writtenMs, newestMs: writtenMs };
      hour.blocks.push({ id: Number(row.id), rows: Number(row.row_count) });
      hour.oldestMs = Math.min(hour.oldestMs, writtenMs);
      hour.newestMs = Math.max(hour.newestMs, writtenMs);
      hours.set(endMs, hour);
    }
    for (const [endMs, { blocks, oldestMs, newestMs }] of hours) {
      const isQuiet = endMs + HOUR_OVER_MS <= nowMs && newestMs + HOUR_QUIET_MS <= nowMs;
      if (!isQuiet && oldestMs + HOUR_WAIT_MAX_MS > nowMs) continue;
      this.#endMs = endMs;
      this.#waiting = blocks;
      return true;
    }
    this.#lookedMs = nowMs;
    return false;
  }

  #write(nowMs: number): void {
    this.#context.transact("write hours", () => {
      for (const bucket of this.#table.contents()) this.#blocks.write(bucket, nowMs);
      for (const id of this.#taken) this.#mark.run(id);
    });
    this.#table.clear();
    this.#taken = [];
  }
}
