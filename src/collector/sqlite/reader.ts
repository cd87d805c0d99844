/**
 * A reader of the store over SQLite: see StoreReader. It has a connection of its own and is used in a thread of its own.
 *
 * In: questions. Out: rows, sums, entries, as they were committed. Guarantees: each call sees one state of the store; what
 * it keeps in memory is bounded.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { READER_CACHE_BYTES_DEFAULT } from "../../limits.ts";
import type {
  EntriesQuery,
  KeptSince,
  ProcessState,
  ScanPart,
  ScanRange,
  StoredEntry,
  StoredGap,
  StoredMessage,
  StoredWindow,
  StoreReader,
  Stream,
  Totals,
  TotalsQuery,
} from "../store.ts";
import { addressKeyOf, addressKeyText, prefixKeys } from "./address_key.ts";
import { openForReading, prepareArrays, readAtOnce, storeError } from "./database.ts";
import { EntryReader } from "./entry_reader.ts";
import { toProcessState } from "./process_book.ts";
import { Scanner } from "./scan.ts";
import { toStream } from "./stream_book.ts";

/** How a store is read. */
export interface SqliteReaderOptions {
  /** Decoded rows kept for the next scan. Absent: READER_CACHE_BYTES_DEFAULT. */
  readonly cacheBytesMax?: number;
}

/** Texts of addresses that are kept. */
const TEXTS_MAX = 65_536;

/** Opens a store for reading. @throws {StoreError} If it is not there, not ours, or of another version. */
export function openSqliteReader(path: string, options: SqliteReaderOptions = {}): SqliteReader {
  const database = openForReading(path);
  try {
    return new SqliteReader(path, database, options.cacheBytesMax ?? READER_CACHE_BYTES_DEFAULT);
  } catch (error) {
    database.close();
    throw storeError(`read store "${path}"`, error);
  }
}

/** See file header. */
export class SqliteReader implements StoreReader {
  readonly #action: string;
  readonly #database: DatabaseSync;
  readonly #scanner: Scanner;
  readonly #entries: EntryReader;
  readonly #streams: StatementSync;
  readonly #processes: StatementSync;
  readonly #keptSince: StatementSync;
  readonly #orphansKeptSince: StatementSync;
  readonly #lastEntry: StatementSync;
  readonly #keyOf: StatementSync;
  readonly #numberOf: StatementSync;
  readonly #numbersBetween: StatementSync;
  readonly #numberMax: StatementSync;
  readonly #texts = new Map<number, string>();
  #isOpen = true;
  #isReading = false;

  /** For openSqliteReader. */
  constructor(path: string, database: DatabaseSync, cacheBytesMax: number) {
    this.#action = `read store "${path}"`;
    this.#database = database;
    this.#scanner = new Scanner(database, cacheBytesMax);
    this.#entries = new EntryReader(database, this.#scanner, (number) => this.#textOf(number));
    this.#streams = database.prepare("SELECT * FROM stream ORDER BY number");
    this.#processes = database.prepare("SELECT * FROM process ORDER BY stream, proc_id");
    this.#keptSince = database.prepare("SELECT * FROM kept_since");
    this.#orphansKeptSince = database.prepare("SELECT * FROM orphan_kept_since");
    this.#lastEntry = database.prepare("SELECT entry - 1 id FROM next_number");
    this.#keyOf = database.prepare("SELECT key FROM address WHERE number = ?");
    this.#numberOf = database.prepare("SELECT number FROM address WHERE key = ?");
    this.#numbersBetween = prepareArrays(
      database,
      "SELECT number FROM address WHERE key >= ? AND key < ?",
    );
    this.#numberMax = database.prepare("SELECT max(number) number FROM address");
  }

  atOnce<T>(run: () => T): T {
    let thrown: { readonly error: unknown } | null = null;
    const result = this.#read(() => {
      try {
        return run();
      } catch (error) {
        thrown = { error };
        return null;
      }
    });
    if (thrown !== null) throw (thrown as { readonly error: unknown }).error;
    return result as T;
  }

  keptSince(): KeptSince {
    return this.#read(() => {
      const row = this.#keptSince.get()!;
      const orphans = this.#orphansKeptSince.all();
      return {
        rawMs: Number(row.raw_ms),
        minuteMs: Number(row.minute_ms),
        hourMs: Number(row.hour_ms),
        orphans: new Map(orphans.map((each) => [Number(each.stream), Number(each.since_ms)])),
      };
    });
  }

  streams(): readonly Stream[] {
    return this.#read(() => this.#streams.all().map(toStream));
  }

  scan(range: ScanRange, visit: (part: ScanPart) => void): void {
    this.#read(() => this.#scanner.scan(range, visit));
  }

  totals(query: TotalsQuery): Totals[] {
    return this.#read(() => this.#scanner.totals(query));
  }

  processes(): ProcessState[] {
    return this.#read(() => this.#processes.all().map(toProcessState));
  }

  gaps(fromMs: number, toMs: number): StoredGap[] {
    return this.#read(() => this.#entries.gaps(fromMs, toMs));
  }

  windows(stream: number, fromMs: number, toMs: number): StoredWindow[] {
    return this.#read(() => this.#entries.windows(stream, fromMs, toMs));
  }

  windowsAfter(id: number, limit: number): StoredWindow[] {
    return this.#read(() => this.#entries.windowsAfter(id, limit));
  }

  message(id: number): StoredMessage | null {
    return this.#read(() => this.#entries.message(id));
  }

  entries(query: EntriesQuery): StoredEntry[] {
    return this.#read(() => this.#entries.entries(query));
  }

  lastEntry(): number {
    return this.#read(() => Number(this.#lastEntry.get()!.id));
  }

  addressText(number: number): string {
    return this.#texts.get(number) ?? this.#read(() => this.#textOf(number));
  }

  addressNumber(text: string): number {
    if (text === "") return 0;
    const key = addressKeyOf(text);
    return this.#read(() => Number(this.#numberOf.get(key)?.number ?? 0));
  }

  addressesWithin(prefix: string): Uint8Array {
    const { from, to } = prefixKeys(prefix);
    return this.#read(() => {
      const max = Number(this.#numberMax.get()!.number ?? 0);
      const bits = new Uint8Array((max >> 3) + 1);
      for (const row of this.#numbersBetween.iterate(from, to)) {
        const [number] = row as unknown as [number];
        bits[number >> 3] |= 1 << (number & 7);
      }
      return bits;
    });
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#database.close();
  }

  /** Within a transaction. */
  #textOf(number: number): string {
    const known = this.#texts.get(number);
    if (known !== undefined) return known;
    const key = this.#keyOf.get(number)?.key as Uint8Array | undefined;
    // A number that is not there yet may be there later.
    if (key === undefined) return "";
    const text = addressKeyText(key);
    if (this.#texts.size >= TEXTS_MAX) this.#texts.clear();
    this.#texts.set(number, text);
    return text;
  }

  #read<T>(run: () => T): T {
    // A visitor may ask for addresses; it is answered from the state that it goes through.
    if (this.#isReading) return this.#within(run);
    this.#isReading = true;
    try {
      return readAtOnce(this.#database, this.#action, run);
    } finally {
      this.#isReading = false;
    }
  }

  #within<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw storeError(this.#action, error);
    }
  }
}
