/**
 * The store's writer over SQLite: see StoreWriter.
 *
 * In: batches. Out: what is durable. Guarantees: a commit is there as a whole or not at all, each entry once; roll-ups
 * follow it and survive a crash with it; after a refusal (disk full, read-only) nothing is half written and the next call
 * may succeed.
 */
import { randomFillSync } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import {
  HOURS_KEPT_MS_DEFAULT,
  MINUTES_KEPT_MS_DEFAULT,
  ORPHAN_BYTES_MAX_DEFAULT,
  RAW_KEPT_MS_DEFAULT,
  STORE_BYTES_MAX_DEFAULT,
} from "../../limits.ts";
import type { Family } from "../../packet/mod.ts";
import type { ZstdPort } from "../../ports.ts";
import type { CommitResult, IngestBatch, StoreWriter, Stream } from "../store.ts";
import { ADDRESS_SECRET_WORDS, AddressBook } from "./address_book.ts";
import { lockStore, openForWriting, storeError, type StoreLock } from "./database.ts";
import { ProcessBook } from "./process_book.ts";
import { type Kept, Retention } from "./retention.ts";
import { ROLLUP_SECRET_WORDS } from "./rollup_table.ts";
import { HourWriter, MinuteWriter } from "./rollup_writer.ts";
import { SegmentWriter, type WrittenSegment } from "./segment_writer.ts";
import { StreamBook, type StreamChange } from "./stream_book.ts";
import { WriteContext } from "./write_context.ts";

/** How a store is written. */
export interface SqliteWriterOptions {
  readonly zstd: ZstdPort;
  /** Absent members: the defaults of limits.ts. */
  readonly kept?: Partial<Kept>;
  /** What the database's file may never grow beyond: commits are refused with `full` then. Absent: the disk's end. */
  readonly fileBytesMax?: number;
  /** For tests. */
  readonly addressesCachedMax?: number;
}

/** The write-ahead log is emptied above this, when no reader is at work. */
const WAL_BYTES_MAX = 8 * 1024 * 1024;
/** Free pages above which the file is made smaller, and how many a call gives back. */
const FREE_PAGES_MAX = 1_024;
const VACUUM_PAGES = 1_024;

/**
 * Opens a store for writing; makes it where there is none.
 * @throws {StoreError} If another has it open, it is not ours, or of a later version, or cannot be read.
 */
export function openSqliteWriter(path: string, options: SqliteWriterOptions): SqliteWriter {
  const lock = lockStore(path);
  let database: DatabaseSync | null = null;
  try {
    database = openForWriting(path);
    if (options.fileBytesMax !== undefined) {
      const pages = Math.max(1, Math.floor(options.fileBytesMax / 4_096));
      database.exec(`PRAGMA max_page_count = ${pages}`);
    }
    return new SqliteWriter(path, lock, database, options);
  } catch (error) {
    database?.close();
    lock.release();
    throw storeError(`open store "${path}"`, error);
  }
}

/** See file header. */
export class SqliteWriter implements StoreWriter {
  readonly #path: string;
  readonly #lock: StoreLock;
  readonly #database: DatabaseSync;
  readonly #context: WriteContext;
  readonly #streams: StreamBook;
  readonly #addresses: AddressBook;
  readonly #processes: ProcessBook;
  readonly #segments: SegmentWriter;
  readonly #minutes: MinuteWriter;
  readonly #hours: HourWriter;
  readonly #retention: Retention;
  #nowMs = 0;
  #isOpen = true;

  /** For openSqliteWriter. */
  constructor(
    path: string,
    lock: StoreLock,
    database: DatabaseSync,
    { zstd, kept, addressesCachedMax }: SqliteWriterOptions,
  ) {
    this.#path = path;
    this.#lock = lock;
    this.#database = database;
    this.#context = new WriteContext(path, database, zstd);
    const { numbers } = this.#context;
    this.#streams = new StreamBook(database, numbers);
    const addressSecret = randomFillSync(new Uint32Array(ADDRESS_SECRET_WORDS));
    this.#addresses = new AddressBook(database, numbers, addressSecret, addressesCachedMax);
    this.#processes = new ProcessBook(database);
    this.#segments = new SegmentWriter(this.#context, this.#processes);
    const secret = randomFillSync(new Uint32Array(ROLLUP_SECRET_WORDS));
    this.#minutes = new MinuteWriter(this.#context, secret);
    this.#hours = new HourWriter(this.#context, secret);
    this.#retention = new Retention(this.#context, {
      rawMs: RAW_KEPT_MS_DEFAULT,
      minutesMs: MINUTES_KEPT_MS_DEFAULT,
      hoursMs: HOURS_KEPT_MS_DEFAULT,
      bytesMax: STORE_BYTES_MAX_DEFAULT,
      orphanBytesMax: ORPHAN_BYTES_MAX_DEFAULT,
      ...kept,
    });
    // What an earlier process did not roll up. Its blocks say when it was received, not when we counted it.
    this.#nowMs = this.#newestReceivedMs();
    this.#minutes.catchUp(this.#nowMs);
  }

  stream(collection: string, publicId: string, nowMs: number): Stream {
    return this.#streams.see(collection, publicId, nowMs);
  }

  streams(): readonly Stream[] {
    return this.#streams.all();
  }

  adopt(collection: string, publicId: string, adoptedMs: number | null): Stream {
    const stream = this.#streams.adopted(collection, publicId, adoptedMs);
    const orphanBytes = this.#context.transact("adopt a stream", () => {
      this.#streams.put(stream);
      return adoptedMs === null ? 0 : this.#takeSegments(stream.number);
    });
    this.#streams.keep(stream);
    this.#retention.addOrphanBytes(-orphanBytes);
    this.#minutes.catchUp(this.#nowMs);
    return stream;
  }

  address(text: string): number {
    return this.#addresses.number(text);
  }

  addressOfWords(words: Uint32Array, wordOffset: number, family: Family): number {
    return this.#addresses.numberOfWords(words, wordOffset, family);
  }

  commit(batch: IngestBatch): CommitResult {
    const { receivedMs, columns } = batch;
    this.#nowMs = receivedMs;
    this.#minutes.makeRoom(receivedMs, columns.count);
    this.#retention.limitOrphans();
    let segments: WrittenSegment[];
    let keepStreams: () => void;
    let isDurable = false;
    try {
      [segments, keepStreams] = this.#context.transact("write to", () => {
        this.#addresses.write();
        const written = this.#segments.write(batch, (number) => this.#streams.isAdopted(number));
        this.#processes.write();
        return [written, this.#streams.write(streamChanges(batch, written))];
      });
      isDurable = true;
    } finally {
      this.#processes.ended(isDurable);
    }
    keepStreams();
    this.#addresses.written();
    let stored = 0;
    let rows = 0;
    for (const segment of segments) {
      stored += segment.entries.length;
      rows += segment.columns.count;
      if (segment.owner === 0) this.#minutes.add(segment.id, segment);
      else this.#retention.addOrphanBytes(segment.bytes);
    }
    return { stored, repeated: batch.entries.length - stored, rows };
  }

  maintain(nowMs: number): boolean {
    this.#nowMs = nowMs;
    let isMore = false;
    const failures: unknown[] = [];
    const steps = [
      () => this.#minutes.writeIfDue(nowMs),
      () => isMore = this.#hours.step(nowMs),
      () => isMore = this.#retention.step(nowMs) || isMore,
      () => this.#sweep(nowMs),
      () => this.#shrink(),
    ];
    // A block that cannot be read must not keep the store from being made smaller.
    for (const step of steps) {
      try {
        step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    return isMore;
  }

  sizeBytes(): number {
    return [this.#path, `${this.#path}-wal`].reduce((sum, path) => sum + fileBytes(path), 0);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    try {
      this.#minutes.write(this.#nowMs);
    } finally {
      this.#database.close();
      this.#lock.release();
    }
  }

  /** Hands an orphan's segments to the adopted ones. @returns Their bytes. */
  #takeSegments(number: number): number {
    const sum = "SELECT total(bytes) bytes FROM segment WHERE owner = ? AND owner > 0";
    const bytes = Number(this.#database.prepare(sum).get(number)!.bytes);
    this.#database.prepare("UPDATE segment SET owner = 0 WHERE owner = ? AND owner > 0")
      .run(number);
    return bytes;
  }

  #sweep(nowMs: number): void {
    const isSwept = this.#retention.sweep(nowMs, () => this.#streams.expire(nowMs));
    if (isSwept) this.#processes.forget();
  }

  #newestReceivedMs(): number {
    const row = this.#database.prepare("SELECT received_ms FROM segment ORDER BY id DESC LIMIT 1")
      .get();
    return row === undefined ? 0 : Number(row.received_ms);
  }

  /** Gives pages and the write-ahead log back. */
  #shrink(): void {
    const action = `shrink store "${this.#path}"`;
    try {
      const free = Number(this.#database.prepare("PRAGMA freelist_count").get()!.freelist_count);
      // Each page is a step of the statement, and Deno's exec() takes but one.
      if (free > FREE_PAGES_MAX) {
        this.#database.prepare(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`).all();
      }
      if (fileBytes(`${this.#path}-wal`) < WAL_BYTES_MAX) return;
      // A reader at work makes it answer that it could not; it is tried again next time.
      this.#database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get();
    } catch (error) {
      const failed = storeError(action, error);
      if (failed.code !== "busy") throw failed;
    }
  }
}

/** What a batch changes of streams. */
function streamChanges(
  batch: IngestBatch,
  segments: readonly WrittenSegment[],
): Map<number, StreamChange> {
  const changes = new Map<number, StreamChange>();
  for (const [number, bodyBytes] of batch.bodyBytes) {
    changes.set(number, { bodyBytes, nodeId: "", nodeName: "" });
  }
  for (const entry of segments.flatMap(({ entries }) => entries)) {
    if (entry.kind !== "message" || entry.nodeId === "") continue;
    const { nodeId, nodeName } = entry;
    const bodyBytes = changes.get(entry.stream)?.bodyBytes ?? 0;
    changes.set(entry.stream, { bodyBytes, nodeId, nodeName });
  }
  return changes;
}

function fileBytes(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}
