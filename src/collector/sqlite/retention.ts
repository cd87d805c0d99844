/**
 * What goes: by age, by size, and orphans.
 *
 * Age counts from receipt, not from what a node's clock said, so that no clock shortens or lengthens it. By size, raw rows
 * go first, then minutes, then hours, the oldest of each. Guarantees: raw rows go only when minutes hold them, minutes only
 * when hours do; each step is bounded; the transaction that deletes says up to which end it did (KeptSince). Addresses stay: to know that nothing uses one, all blocks would have to be read
 * (docs/design/0006-collector-store.md).
 */
import type { StatementSync } from "node:sqlite";
import { KEPT_AHEAD_MS, ORPHAN_KEPT_MS } from "../../limits.ts";
import type { WriteContext } from "./write_context.ts";

/** What is kept. */
export interface Kept {
  readonly rawMs: number;
  readonly minutesMs: number;
  readonly hoursMs: number;
  /** Bytes of the store in use. */
  readonly bytesMax: number;
  /** Bytes of all orphans' entries. */
  readonly orphanBytesMax: number;
}

/** Bytes and deletions of one step. */
const STEP_BYTES = 16 * 1024 * 1024;
const STEP_ITEMS = 256;
/** How often small things are looked through. */
const SWEEP_PERIOD_MS = 600_000;

/** A segment or block that may go. */
interface Item {
  readonly id: number;
  readonly bytes: number;
  /** End of its last window or of its bucket; 0 = it has no rows. */
  readonly end_ms: number;
  /** When it was received or written. */
  readonly known_ms: number;
  /** Of a segment: 0, or the orphan's stream. */
  readonly owner: number;
  readonly first_entry: number;
  readonly last_entry: number;
}

/** See file header. */
export class Retention {
  readonly #context: WriteContext;
  readonly #kept: Kept;
  readonly #rawOld: StatementSync;
  readonly #rawAny: StatementSync;
  readonly #orphanOld: StatementSync;
  readonly #minuteOld: StatementSync;
  readonly #hourOld: StatementSync;
  readonly #deleteMinute: StatementSync;
  readonly #deleteHour: StatementSync;
  readonly #deleteSegment: readonly StatementSync[];
  readonly #deleteEntries: readonly StatementSync[];
  readonly #deleteGaps: StatementSync;
  readonly #keptSince: Readonly<Record<"raw" | "minute" | "hour", StatementSync>>;
  readonly #orphanKeptSince: StatementSync;
  readonly #sweep: readonly StatementSync[];
  readonly #pages: readonly StatementSync[];
  #orphanBytes: number;
  #sweptMs = -Infinity;

  constructor(context: WriteContext, kept: Kept) {
    this.#context = context;
    this.#kept = kept;
    const prepare = (sql: string) => context.database.prepare(sql);
    const raw = "SELECT id, bytes, end_max_ms end_ms, received_ms known_ms, owner, first_entry," +
      " last_entry FROM segment";
    const block = "SELECT id, bytes, end_ms, written_ms known_ms, 0 owner, 0 first_entry," +
      " 0 last_entry FROM";
    this.#rawOld = prepare(
      `${raw} WHERE owner = 0 AND rolled = 1 AND received_ms < ? ORDER BY id LIMIT ${STEP_ITEMS}`,
    );
    this.#rawAny = prepare(
      `${raw} WHERE owner = 0 AND rolled = 1 AND ? ORDER BY id LIMIT ${STEP_ITEMS}`,
    );
    this.#orphanOld = prepare(
      `${raw} WHERE owner > 0 AND received_ms < ? ORDER BY id LIMIT ${STEP_ITEMS}`,
    );
    this.#minuteOld = prepare(
      `${block} minute_block WHERE merged = 1 AND written_ms < ? ORDER BY id LIMIT ${STEP_ITEMS}`,
    );
    this.#hourOld = prepare(
      `${block} hour_block WHERE written_ms < ? ORDER BY id LIMIT ${STEP_ITEMS}`,
    );
    this.#deleteMinute = prepare("DELETE FROM minute_block WHERE id = ?");
    this.#deleteHour = prepare("DELETE FROM hour_block WHERE id = ?");
    this.#deleteSegment = [
      prepare("DELETE FROM segment_blob WHERE segment = ?"),
      prepare("DELETE FROM segment WHERE id = ?"),
    ];
    this.#deleteEntries = [
      prepare(
        "DELETE FROM message WHERE (end_ms, entry) IN" +
          " (SELECT end_ms, id FROM entry WHERE id BETWEEN ? AND ? AND end_ms IS NOT NULL)",
      ),
      prepare("DELETE FROM entry WHERE id BETWEEN ? AND ?"),
    ];
    this.#deleteGaps = prepare("DELETE FROM gap WHERE entry BETWEEN ? AND ?");
    const keep = (tier: string) => prepare(`UPDATE kept_since SET ${tier}_ms = max(${tier}_ms, ?)`);
    this.#keptSince = { raw: keep("raw"), minute: keep("minute"), hour: keep("hour") };
    this.#orphanKeptSince = prepare(
      "INSERT INTO orphan_kept_since (stream, since_ms) VALUES (?, ?)" +
        " ON CONFLICT (stream) DO UPDATE SET since_ms = max(since_ms, excluded.since_ms)",
    );
    this.#sweep = [
      prepare("DELETE FROM gap WHERE received_ms < ?"),
      prepare("DELETE FROM process WHERE received_ms < ?"),
    ];
    this.#pages = ["page_count", "freelist_count", "page_size"].map((name) =>
      prepare(`PRAGMA ${name}`)
    );
    const row = prepare("SELECT total(bytes) bytes FROM segment WHERE owner > 0").get()!;
    this.#orphanBytes = Number(row.bytes);
  }

  /** Counts what orphans have brought, or what is theirs no more. */
  addOrphanBytes(bytes: number): void {
    this.#orphanBytes += bytes;
  }

  /** Bytes of pages in use. */
  usedBytes(): number {
    const [pages, free, pageBytes] = this.#pages.map((statement) =>
      Number(Object.values(statement.get()!)[0])
    );
    return (pages - free) * pageBytes;
  }

  /** Does a bounded part of what is due. @returns Whether more is due. @throws {StoreError} */
  step(nowMs: number): boolean {
    const { rawMs, minutesMs, hoursMs } = this.#kept;
    let isMore = this.#deleteOrphans(nowMs);
    isMore = this.#deleteItems(this.#rawOld.all(nowMs - rawMs), "raw") || isMore;
    isMore = this.#deleteItems(this.#minuteOld.all(nowMs - minutesMs), "minute") || isMore;
    isMore = this.#deleteItems(this.#hourOld.all(nowMs - hoursMs), "hour") || isMore;
    isMore = this.#deleteForSize() || isMore;
    return isMore;
  }

  /** Deletes what is kept besides rows. @returns Whether it was time to. @throws {StoreError} */
  sweep(nowMs: number, alsoDelete: () => () => void): boolean {
    const sinceMs = nowMs - this.#sweptMs;
    if (sinceMs >= 0 && sinceMs < SWEEP_PERIOD_MS) return false;
    this.#sweptMs = nowMs;
    const done = this.#context.transact("delete from", () => {
      for (const statement of this.#sweep) statement.run(nowMs - this.#kept.hoursMs);
      return alsoDelete();
    });
    done();
    return true;
  }

  #deleteOrphans(nowMs: number): boolean {
    const isMore = this.#deleteItems(this.#orphanOld.all(nowMs - ORPHAN_KEPT_MS), "orphan");
    return this.limitOrphans() || isMore;
  }

  /** Deletes the oldest entries of orphans, where they are too many. @returns Whether there may be more. */
  limitOrphans(): boolean {
    const excess = this.#orphanBytes - this.#kept.orphanBytesMax;
    if (excess <= 0) return false;
    const oldest = upTo(this.#orphanOld.all(Number.MAX_SAFE_INTEGER) as unknown as Item[], excess);
    return this.#deleteItems(oldest, "orphan");
  }

  #deleteForSize(): boolean {
    const excess = this.usedBytes() - this.#kept.bytesMax;
    if (excess <= 0) return false;
    const tiers = [
      ["raw", () => this.#rawAny.all(1)],
      ["minute", () => this.#minuteOld.all(Number.MAX_SAFE_INTEGER)],
      ["hour", () => this.#hourOld.all(Number.MAX_SAFE_INTEGER)],
    ] as const;
    for (const [tier, find] of tiers) {
      const items = upTo(find() as unknown as Item[], excess);
      if (items.length === 0) continue;
      this.#deleteItems(items, tier);
      return true;
    }
    return false;
  }

  /** @returns Whether there may be more of the kind. */
  #deleteItems(found: unknown, tier: "raw" | "orphan" | "minute" | "hour"): boolean {
    const items = found as readonly Item[];
    const some = upTo(items, STEP_BYTES);
    if (some.length === 0) return false;
    this.#context.transact("delete from", () => {
      for (const item of some) {
        this.#noteEnd(item, tier);
        if (tier === "minute") this.#deleteMinute.run(item.id);
        else if (tier === "hour") this.#deleteHour.run(item.id);
        else this.#deleteEntriesOf(item, tier);
      }
    });
    if (tier === "orphan") { for (const { bytes } of some) this.#orphanBytes -= bytes; }
    return some.length < items.length || items.length === STEP_ITEMS;
  }

  #noteEnd({ end_ms, known_ms, owner }: Item, tier: "raw" | "orphan" | "minute" | "hour"): void {
    const endMs = Math.min(end_ms, Math.ceil(known_ms) + KEPT_AHEAD_MS);
    if (endMs <= 0) return;
    if (tier === "orphan") this.#orphanKeptSince.run(owner, endMs);
    else this.#keptSince[tier].run(endMs);
  }

  #deleteEntriesOf({ id, first_entry, last_entry }: Item, tier: "raw" | "orphan"): void {
    // Declared gaps of adopted streams are kept as long as hours are.
    if (tier === "orphan") this.#deleteGaps.run(first_entry, last_entry);
    for (const statement of this.#deleteEntries) statement.run(first_entry, last_entry);
    for (const statement of this.#deleteSegment) statement.run(id);
  }
}

/** The first items, until they have `bytes` together. */
function upTo(items: readonly Item[], bytes: number): Item[] {
  let sum = 0;
  return items.filter((item) => {
    const isWanted = sum < bytes;
    sum += item.bytes;
    return isWanted;
  });
}
