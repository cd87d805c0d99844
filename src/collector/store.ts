/**
 * What the collector asks of a store, so that SQLite inside and a database outside are one thing to it.
 *
 * Two sides. StoreWriter: one per store, in the ingest thread. StoreReader: any number, in other threads or processes, on
 * the same data; what it reads is what has been committed. All times on disk are Unix time: windows in ns, the rest in ms.
 */
import type { ClassSums } from "../counters.ts";
import type { LostRange } from "../logtail/mod.ts";
import type { RowColumns } from "./rows.ts";

/**
 * Why a store refused. `full`: no room, on the disk or under a limit. `readonly`: it may not be written. `busy`: another
 * process writes to it, or reads for too long. `foreign`: not a store of ours. `newer`: of a later version. `damaged`:
 * bytes on disk changed. `other`: the database's own words say.
 */
export type StoreErrorCode =
  | "full"
  | "readonly"
  | "busy"
  | "foreign"
  | "newer"
  | "damaged"
  | "other";

/** A store cannot do what it was asked. Nothing of it was done; later calls may succeed. */
export class StoreError extends Error {
  override readonly name = "StoreError";

  /** @param problem A sentence such as `Cannot open store "x.db": it is not a store of tunlog`. */
  constructor(readonly code: StoreErrorCode, problem: string, cause?: unknown) {
    super(problem, cause === undefined ? undefined : { cause });
  }
}

/** Who writes: one public id in one collection. */
export interface Stream {
  /** From 1; what RowColumns.stream holds. */
  readonly number: number;
  readonly collection: string;
  /** 64 hexadecimal digits, lower case. */
  readonly publicId: string;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  /** null = orphan: kept for ORPHAN_MS only, and bounded. */
  readonly adoptedMs: number | null;
  /** Of its newest message; "" = not known. */
  readonly nodeId: string;
  readonly nodeName: string;
  /** Bytes that its entries took as they came. */
  readonly bodyBytes: number;
}

/** What names an entry within its stream. 0 = the writer gave none; such entries are never taken for repetitions. */
export interface EntryName {
  readonly stream: number;
  readonly procId: number;
  readonly procSeq: number;
  /** null = none given. */
  readonly clientTimeNs: bigint | null;
}

/** A flow message. Its rows are rows `firstRow` .. `firstRow + rowCount - 1` of the batch's columns. */
export interface MessageEntry extends EntryName {
  readonly kind: "message";
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** Length by the writer's clock, or by the labels. */
  readonly lengthMs: number;
  readonly firstRow: number;
  readonly rowCount: number;
  /** Which part of its window, 1 .. parts, and of how many. Absent: the window was not split. */
  readonly part?: number;
  readonly parts?: number;
  /** Sums of the rows. */
  readonly sums: ClassSums;
  readonly nodeId: string;
  readonly nodeName: string;
  /** JSON of the members that are no rows, `logtail` included, so that the message can be written again. */
  readonly restJson: string;
}

/** Entries lost, as their writer declared. */
export type DeclaredGap = LostRange;

/** Any other entry: kept as it came. */
export interface OtherEntry extends EntryName {
  /** `drops`: a stock client's "N logs dropped"; `error`: what was not as it should be; `object`: JSON of other kinds. */
  readonly kind: "text" | "object" | "error" | "gap" | "report" | "drops";
  /** The entry, one JSON object. */
  readonly json: string;
  /** Valid iff kind is `gap`. */
  readonly gaps: readonly DeclaredGap[];
  /** Valid iff kind is `drops`: how many. */
  readonly dropped: number;
}

/** What one transaction takes. */
export interface IngestBatch {
  readonly receivedMs: number;
  readonly entries: readonly (MessageEntry | OtherEntry)[];
  readonly columns: RowColumns;
  /** Bytes as they came, by stream number: what `bodyBytes` of the stream grows by. */
  readonly bodyBytes: ReadonlyMap<number, number>;
}

/** What became of it. */
export interface CommitResult {
  readonly stored: number;
  /** Entries that were there already. */
  readonly repeated: number;
  readonly rows: number;
}

/** See file header. Calls are synchronous: a transaction is a few ms. */
export interface StoreWriter {
  /** Finds a stream, or makes an orphan. The number is durable with the next commit. */
  stream(collection: string, publicId: string, nowMs: number): Stream;
  streams(): readonly Stream[];
  /** Adopts a stream, seen or not; or gives it back (null). */
  adopt(collection: string, publicId: string, adoptedMs: number | null): Stream;
  /**
   * Number of an address in its canonical text without port; "" is 0. New ones are durable with the next commit.
   * @throws {RangeError} If it is not an address.
   */
  address(text: string): number;
  /**
   * The same for an address in words (packet's ADDRESS_WORDS): ten times faster, for who reads bodies byte by byte.
   * @param words Holds the address from `wordOffset` on; read, not kept.
   */
  addressOfWords(words: Uint32Array, wordOffset: number, family: 4 | 6): number;
  /** Writes all of it durably, or nothing. @throws {StoreError} If it cannot. */
  commit(batch: IngestBatch): CommitResult;
  /**
   * Roll-ups, retention, checkpoints: what is due at `nowMs`. To be called every few seconds; returns soon.
   * @returns Whether more is due already, so that it had better be called again at once.
   */
  maintain(nowMs: number): boolean;
  /** Bytes on disk. */
  sizeBytes(): number;
  /** Writes roll-ups and closes. */
  close(): void;
}

/**
 * Which rows a scan goes through.
 *
 * One rule of belonging, everywhere: a window belongs where it ends, and ends are inclusive. A window that ends exactly
 * on the minute belongs to the minute before, so buckets, like ranges, are open at their start and closed at their end.
 */
export interface ScanRange {
  /** What ends within: from (exclusive) to (inclusive), Unix ms, integers. */
  readonly fromMs: number;
  readonly toMs: number;
  /**
   * `raw`: windows, one by one. `minute`, `hour`: buckets; those that end within the range. `sum`: hours where a whole
   * hour lies within the range and minutes at its edges: for sums over a long time.
   */
  readonly tier: "raw" | "minute" | "hour" | "sum";
}

/** Rows of one stretch of time. Parts come in no order, and a bucket may come in several. */
export interface ScanPart {
  /** Bucket's or window's start and end, Unix ms; a window's are rounded up, and neighbours touch. */
  readonly startMs: number;
  readonly endMs: number;
  /** Read only: it may be kept for the next scan. */
  readonly columns: RowColumns;
  /** Rows `first` .. `first + count - 1` of the columns are meant. */
  readonly first: number;
  readonly count: number;
}

/** Which sums are asked for. */
export interface TotalsQuery {
  /** As in ScanRange. */
  readonly fromMs: number;
  readonly toMs: number;
  /** `window`: as long as raw rows are kept. */
  readonly step: "window" | "minute" | "hour";
  /** Whether the streams' are added up: `stream` of each is then 0. */
  readonly isSummed?: boolean;
  /** Absent: all. */
  readonly streams?: readonly number[];
}

/** Traffic of one stream in one window or bucket. */
export interface Totals {
  readonly stream: number;
  /** As in ScanPart. */
  readonly startMs: number;
  readonly endMs: number;
  readonly sums: ClassSums;
}

/** Entries that never came, between two of one process that did. */
export interface MissingRange {
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Time of the entry before and after: end and start of a message's window, else client time, else receipt. */
  readonly afterNs: bigint;
  readonly beforeNs: bigint;
}

/** What is known of one process that wrote to a stream. Kept as long as hours are. */
export interface ProcessState {
  readonly stream: number;
  readonly procId: number;
  /** Lowest and highest number received. A stock client's first is 1. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Entries received, repetitions not counted. */
  readonly received: number;
  /** In rising order. Beyond PROCESS_MISSING_MAX neighbours are merged, so that some that came count as missing. */
  readonly missing: readonly MissingRange[];
  /** Start of its earliest and end of its latest window; null = none yet. */
  readonly firstStartNs: bigint | null;
  readonly lastEndNs: bigint | null;
  /** Its report with the highest number, as it came; null = none. */
  readonly reportJson: string | null;
  readonly lastReceivedMs: number;
}

/** A declared gap and who declared it. Kept as long as hours are. */
export interface StoredGap extends DeclaredGap {
  readonly stream: number;
  readonly entry: number;
  readonly receivedMs: number;
}

/** A message without its rows. */
export interface StoredWindow {
  /** Of the entry. */
  readonly id: number;
  readonly stream: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly lengthMs: number;
  /** 1 of 1 where the window was not split. */
  readonly part: number;
  readonly parts: number;
  readonly rowCount: number;
  readonly sums: ClassSums;
  readonly procId: number;
  readonly procSeq: number;
  readonly receivedMs: number;
}

/** A message with its rows. */
export interface StoredMessage extends StoredWindow {
  /** Rows `first` .. `first + rowCount - 1` are its own. */
  readonly columns: RowColumns;
  readonly first: number;
  readonly restJson: string;
}

/** Which entries are asked for. */
export interface EntriesQuery {
  readonly collection: string;
  /** Absent: all of the collection. */
  readonly streams?: readonly number[];
  /** Received from then on (inclusive), Unix ms. */
  readonly fromMs: number;
  /** Received before (exclusive); absent: no end. */
  readonly toMs?: number;
  /** Only entries with a greater id: how the next page is asked for. 0 = from the first. */
  readonly after: number;
  /** Most entries returned. */
  readonly limit: number;
}

/** An entry as it is handed out again. */
export interface StoredEntry {
  /** Rises with receipt, never used twice. */
  readonly id: number;
  readonly stream: number;
  readonly kind: "message" | OtherEntry["kind"];
  readonly receivedMs: number;
  readonly procId: number;
  readonly procSeq: number;
  /** One JSON object; of a message with its lists, behind the members that are no rows. */
  readonly json: string;
}

/**
 * From when on nothing was deleted: what ends later and ever came is there. Unix ms; 0 = nothing was deleted. What a clock
 * put further into the future than KEPT_AHEAD_MS is not counted, or one such window would make all look deleted.
 */
export interface KeptSince {
  readonly rawMs: number;
  readonly minuteMs: number;
  readonly hourMs: number;
  /** By number of a stream: the same for what it lost of all tiers while nobody had adopted it. */
  readonly orphans: ReadonlyMap<number, number>;
}

/** See file header. Each call sees one state of the store, whatever the writer does meanwhile. */
export interface StoreReader {
  /** Runs `run`, all of whose calls see one and the same state. What it throws comes out as it was. */
  atOnce<T>(run: () => T): T;
  keptSince(): KeptSince;
  streams(): readonly Stream[];
  /** Calls `visit` for all rows of a range; what no roll-up holds yet comes from raw rows, so that sums are exact. */
  scan(range: ScanRange, visit: (part: ScanPart) => void): void;
  /** Sums by class, of each bucket and stream that has any, in order of time, then stream. */
  totals(query: TotalsQuery): Totals[];
  processes(): ProcessState[];
  /** Declared gaps that touch the range of time. */
  gaps(fromMs: number, toMs: number): StoredGap[];
  /** Messages whose windows end within (see ScanRange), in order of time. */
  windows(stream: number, fromMs: number, toMs: number): StoredWindow[];
  /** Messages with greater ids, in order of receipt, at most `limit`: for who follows the log. */
  windowsAfter(id: number, limit: number): StoredWindow[];
  /** null = there is none of that id, any more. */
  message(id: number): StoredMessage | null;
  /** Entries in order of receipt. */
  entries(query: EntriesQuery): StoredEntry[];
  /** Id of the newest entry; 0 = none yet. Cheap: for who waits for more. */
  lastEntry(): number;
  /** Text of an address; "" for 0 and for numbers that are not known. */
  addressText(number: number): string;
  /** Number of an address, 0 if no row ever had it. */
  addressNumber(text: string): number;
  /**
   * Numbers of all addresses within a prefix, as a bit per number: bit n & 7 of byte n >> 3. Numbers beyond the array are
   * not within.
   */
  addressesWithin(prefix: string): Uint8Array;
  close(): void;
}
