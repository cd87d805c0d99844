/**
 * The writer's streams: few, so all of them are in memory, and written with the commits that change them.
 *
 * In: who writes, and what came of them. Out: Streams. Guarantees: a number means one stream for ever; orphans are
 * bounded.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { ORPHAN_KEPT_MS, ORPHANS_MAX } from "../../limits.ts";
import { StoreError, type Stream } from "../store.ts";

/** What a commit changes of a stream. */
export interface StreamChange {
  readonly bodyBytes: number;
  /** "" = no news. */
  readonly nodeId: string;
  readonly nodeName: string;
}

/** See file header. */
export class StreamBook {
  readonly #numbers: { stream: number };
  readonly #put: StatementSync;
  readonly #delete: readonly StatementSync[];
  readonly #owners: StatementSync;
  readonly #byKey = new Map<string, Stream>();
  readonly #byNumber = new Map<number, Stream>();
  /** Not in the database yet, or different there. */
  readonly #dirty = new Set<number>();
  /** Those whose rows may be among the adopted ones'. */
  readonly #wereAdopted = new Set<number>();
  #orphans = 0;

  /** @param numbers Holds the number of the next new stream. */
  constructor(database: DatabaseSync, numbers: { stream: number }) {
    this.#numbers = numbers;
    this.#put = database.prepare(
      "INSERT OR REPLACE INTO stream (number, collection, public_id, first_seen_ms, last_seen_ms," +
        " adopted_ms, was_adopted, node_id, node_name, body_bytes)" +
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#delete = [
      "DELETE FROM stream WHERE number = ?",
      "DELETE FROM process WHERE stream = ?",
      "DELETE FROM gap WHERE stream = ?",
      "DELETE FROM orphan_kept_since WHERE stream = ?",
    ].map((sql) => database.prepare(sql));
    this.#owners = database.prepare("SELECT DISTINCT owner FROM segment WHERE owner > 0");
    for (const row of database.prepare("SELECT * FROM stream ORDER BY number").all()) {
      const stream = toStream(row);
      this.#set(stream);
      if (row.was_adopted === 1) this.#wereAdopted.add(stream.number);
    }
  }

  all(): Stream[] {
    return [...this.#byNumber.values()];
  }

  /** Whether the stream is kept for good. @throws {RangeError} If there is none of that number. */
  isAdopted(number: number): boolean {
    const stream = this.#byNumber.get(number);
    if (stream === undefined) throw new RangeError(`Cannot write to stream ${number}: unknown`);
    return stream.adoptedMs !== null;
  }

  /** Finds or makes a stream. @throws {StoreError} `full` if there are too many orphans. */
  see(collection: string, publicId: string, nowMs: number): Stream {
    const known = this.#byKey.get(keyOf(collection, publicId));
    if (known === undefined && this.#orphans >= ORPHANS_MAX) {
      throw new StoreError(
        "full",
        `Cannot take another stream: ${this.#orphans} wait to be adopted`,
      );
    }
    const stream = known === undefined
      ? this.#make(collection, publicId, nowMs)
      : { ...known, lastSeenMs: Math.max(known.lastSeenMs, nowMs) };
    return this.#change(stream);
  }

  /** Finds or makes a stream whose adoption is about to change. */
  adopted(collection: string, publicId: string, adoptedMs: number | null): Stream {
    const known = this.#byKey.get(keyOf(collection, publicId)) ??
      this.#make(collection, publicId, adoptedMs ?? 0);
    return { ...known, adoptedMs };
  }

  /** Says what a commit changes. Within a transaction. @returns To be called when it is durable. */
  write(changes: ReadonlyMap<number, StreamChange>): () => void {
    const streams = [...new Set([...this.#dirty, ...changes.keys()])].map((number) =>
      changedStream(this.#byNumber.get(number)!, changes.get(number))
    );
    for (const stream of streams) this.put(stream);
    return () => {
      for (const stream of streams) this.#set(stream);
      this.#dirty.clear();
    };
  }

  /** Writes one stream. Within a transaction; keep() is to be called when it is durable. */
  put(stream: Stream): void {
    const wasAdopted = stream.adoptedMs !== null || this.#wereAdopted.has(stream.number);
    this.#put.run(
      stream.number,
      stream.collection,
      stream.publicId,
      stream.firstSeenMs,
      stream.lastSeenMs,
      stream.adoptedMs,
      wasAdopted ? 1 : 0,
      stream.nodeId,
      stream.nodeName,
      stream.bodyBytes,
    );
  }

  /** Remembers a stream that is durable. */
  keep(stream: Stream): void {
    this.#set(stream);
    this.#dirty.delete(stream.number);
  }

  /** Deletes orphans that were not heard of for so long that nothing of them is left. Within a transaction. */
  expire(nowMs: number): () => void {
    const isOwner = new Set(this.#owners.all().map((row) => row.owner));
    const expired = this.all().filter(({ number, adoptedMs, lastSeenMs }) =>
      adoptedMs === null && lastSeenMs < nowMs - ORPHAN_KEPT_MS &&
      !isOwner.has(number) && !this.#wereAdopted.has(number)
    );
    for (const { number } of expired) {
      for (const statement of this.#delete) statement.run(number);
    }
    return () => {
      for (const { number, collection, publicId } of expired) {
        this.#byKey.delete(keyOf(collection, publicId));
        this.#byNumber.delete(number);
        this.#dirty.delete(number);
        this.#orphans--;
      }
    };
  }

  #make(collection: string, publicId: string, nowMs: number): Stream {
    return {
      number: this.#numbers.stream++,
      collection,
      publicId,
      firstSeenMs: nowMs,
      lastSeenMs: nowMs,
      adoptedMs: null,
      nodeId: "",
      nodeName: "",
      bodyBytes: 0,
    };
  }

  #change(stream: Stream): Stream {
    this.#set(stream);
    this.#dirty.add(stream.number);
    return stream;
  }

  #set(stream: Stream): void {
    const before = this.#byNumber.get(stream.number);
    if (before?.adoptedMs === null) this.#orphans--;
    if (stream.adoptedMs === null) this.#orphans++;
    else this.#wereAdopted.add(stream.number);
    this.#byNumber.set(stream.number, stream);
    this.#byKey.set(keyOf(stream.collection, stream.publicId), stream);
  }
}

function changedStream(stream: Stream, change: StreamChange | undefined): Stream {
  if (change === undefined) return stream;
  return {
    ...stream,
    bodyBytes: stream.bodyBytes + change.bodyBytes,
    nodeId: change.nodeId || stream.nodeId,
    nodeName: change.nodeName || stream.nodeName,
  };
}

/** Collections have no NUL in their names. */
function keyOf(collection: string, publicId: string): string {
  return `${collection}\0${publicId}`;
}

/** Reads a row of `stream`. */
export function toStream(row: Record<string, unknown>): Stream {
  return {
    number: Number(row.number),
    collection: String(row.collection),
    publicId: String(row.public_id),
    firstSeenMs: Number(row.first_seen_ms),
    lastSeenMs: Number(row.last_seen_ms),
    adoptedMs: row.adopted_ms === null ? null : Number(row.adopted_ms),
    nodeId: String(row.node_id),
    nodeName: String(row.node_name),
    bodyBytes: Number(row.body_bytes),
  };
}
