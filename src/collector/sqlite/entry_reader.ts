/**
 * Entries as they came: by receipt, by time of their windows, by number; and gaps that were declared.
 *
 * In: questions. Out: entries, messages written again from their rows. The caller holds one transaction.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { CLASS_NAMES } from "../../counters.ts";
import { READER_TEXTS_BYTES } from "../../limits.ts";
import type { GapCause } from "../../logtail/mod.ts";
import { type Connection, LISTS, type Message, toCount, writeMessage } from "../../netlog/mod.ts";
import { ROW_FOLDED, type RowColumns } from "../rows.ts";
import type {
  EntriesQuery,
  StoredEntry,
  StoredGap,
  StoredMessage,
  StoredWindow,
} from "../store.ts";
import { unpackBlob } from "./blob.ts";
import { counterOf, parseSums } from "./row_sums.ts";
import type { Scanner } from "./scan.ts";
import { ENTRY_KINDS } from "./schema.ts";
import { SegmentCache } from "./segment_cache.ts";
import { toNs } from "./time_columns.ts";

type Row = Record<string, unknown>;

/** What is read of a message. */
const MESSAGE_COLUMNS = "message.*, entry.proc_id, entry.proc_seq, entry.received_ms," +
  " entry.segment, entry.text_length";
/** List that a class's rows stand in: what no route explains is an exit on the wire. */
const LIST_OF_CLASS = CLASS_NAMES.map((name) => name === "unknown" ? "exit" : name);

/** See file header. */
export class EntryReader {
  readonly #scanner: Scanner;
  readonly #addressText: (number: number) => string;
  readonly #page: StatementSync;
  readonly #firstSince: StatementSync;
  readonly #oldest: StatementSync;
  readonly #streamsOf: StatementSync;
  readonly #messageOf: StatementSync;
  readonly #windows: StatementSync;
  readonly #windowsAfter: StatementSync;
  readonly #gaps: StatementSync;
  readonly #segmentOf: StatementSync;
  readonly #lengths: StatementSync;
  readonly #texts: StatementSync;
  readonly #segmentTexts = new SegmentCache<SegmentTexts>(READER_TEXTS_BYTES, textsBytes);

  constructor(
    database: DatabaseSync,
    scanner: Scanner,
    addressText: (number: number) => string,
  ) {
    this.#scanner = scanner;
    this.#addressText = addressText;
    const prepare = (sql: string) => database.prepare(sql);
    this.#page = prepare(
      "SELECT id, segment, stream, kind, received_ms, proc_id, proc_seq FROM entry" +
        " WHERE id > ? AND received_ms >= ? AND received_ms < ?" +
        " AND stream IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?",
    );
    this.#firstSince = prepare(
      "SELECT min(first_entry) first_entry FROM segment WHERE received_ms >= ?",
    );
    this.#oldest = prepare("SELECT received_ms FROM segment ORDER BY id LIMIT 1");
    this.#streamsOf = prepare("SELECT number FROM stream WHERE collection = ?");
    this.#messageOf = prepare(
      `SELECT ${MESSAGE_COLUMNS} FROM entry JOIN message` +
        " ON message.end_ms = entry.end_ms AND message.entry = entry.id WHERE entry.id = ?",
    );
    this.#windows = prepare(
      `SELECT ${MESSAGE_COLUMNS} FROM message JOIN entry ON entry.id = message.entry` +
        " WHERE message.end_ms > ? AND message.end_ms <= ? AND message.stream = ?" +
        " ORDER BY message.end_ms, message.entry",
    );
    this.#windowsAfter = prepare(
      `SELECT ${MESSAGE_COLUMNS} FROM entry JOIN message` +
        " ON message.end_ms = entry.end_ms AND message.entry = entry.id WHERE entry.id > ?" +
        " ORDER BY entry.id LIMIT ?",
    );
    this.#gaps = prepare(
      "SELECT * FROM gap WHERE end_ms > ? AND start_ms < ? ORDER BY entry, number",
    );
    this.#segmentOf = prepare("SELECT first_entry FROM segment WHERE id = ?");
    this.#lengths = prepare(
      "SELECT id, text_length FROM entry WHERE id >= ? AND segment = ? ORDER BY id",
    );
    this.#texts = prepare("SELECT texts FROM segment_blob WHERE segment = ?");
  }

  entries({ collection, streams, fromMs, toMs, after, limit }: EntriesQuery): StoredEntry[] {
    const wanted = streams === undefined ? null : new Set(streams);
    const numbers = this.#streamsOf.all(collection).map((row) => Number(row.number))
      .filter((number) => wanted === null || wanted.has(number));
    const endMs = toMs ?? Number.MAX_SAFE_INTEGER;
    const start = Math.max(after, this.#firstEntry(fromMs) - 1);
    return this.#page.all(start, fromMs, endMs, JSON.stringify(numbers), limit)
      .map((row) => this.#entry(row));
  }

  /** Lowest id of an entry received since then. */
  #firstEntry(fromMs: number): number {
    const oldest = this.#oldest.get();
    if (oldest === undefined || Number(oldest.received_ms) >= fromMs) return 0;
    const row = this.#firstSince.get(fromMs)!;
    return row.first_entry === null ? Number.MAX_SAFE_INTEGER : Number(row.first_entry);
  }

  #entry(row: Row): StoredEntry {
    const id = Number(row.id);
    const kind = ENTRY_KINDS[Number(row.kind)];
    const text = this.#text(Number(row.segment), id);
    return {
      id,
      stream: Number(row.stream),
      kind,
      receivedMs: Number(row.received_ms),
      procId: Number(row.proc_id),
      procSeq: Number(row.proc_seq),
      json: kind === "message" ? this.#messageJson(text, id) : text,
    };
  }

  message(id: number): StoredMessage | null {
    const row = this.#messageOf.get(id);
    if (row === undefined) return null;
    const segment = Number(row.segment);
    const window = toWindow(row);
    return {
      ...window,
      columns: this.#columns(segment, window.rowCount),
      first: Number(row.first_row),
      restJson: this.#text(segment, id),
    };
  }

  windows(stream: number, fromMs: number, toMs: number): StoredWindow[] {
    return this.#windows.all(fromMs, toMs, stream).map(toWindow);
  }

  windowsAfter(id: number, limit: number): StoredWindow[] {
    return this.#windowsAfter.all(id, limit).map(toWindow);
  }

  gaps(fromMs: number, toMs: number): StoredGap[] {
    return this.#gaps.all(fromMs, toMs).map(toGap);
  }

  /** A segment's rows; it has none where no message of it has. */
  #columns(segment: number, rowCount: number): RowColumns {
    return rowCount === 0 ? NO_ROWS : this.#scanner.segment(segment).columns;
  }

  /** Puts the lists behind the members that are no rows. */
  #messageJson(restJson: string, id: number): string {
    const row = this.#messageOf.get(id)!;
    const rowCount = Number(row.row_count);
    const columns = this.#columns(Number(row.segment), rowCount);
    const lists = this.#listsJson(columns, Number(row.first_row), rowCount);
    if (lists === "") return restJson;
    const rest = restJson.slice(0, restJson.lastIndexOf("}")).trimEnd();
    return `${rest.endsWith("{") ? rest : `${rest},`}${lists}}`;
  }

  /** The four lists as netlog writes them, with a comma between. */
  #listsJson(columns: RowColumns, first: number, count: number): string {
    const lists: Record<(typeof LISTS)[number], Connection[]> = {
      virtual: [],
      subnet: [],
      exit: [],
      physical: [],
    };
    for (let row = first; row < first + count; row++) {
      lists[LIST_OF_CLASS[columns.classCode[row]] as (typeof LISTS)[number]].push(
        this.#connection(columns, row),
      );
    }
    return writeMessage({ ...NO_MESSAGE, ...lists }).slice(NO_MESSAGE_JSON.length, -1);
  }

  #connection(columns: RowColumns, row: number): Connection {
    const count = (counter: number) => toCount(counterOf(columns, row, counter));
    return {
      proto: columns.proto[row],
      src: this.#end(columns.src[row], columns.srcPort[row]),
      dst: this.#end(columns.dst[row], columns.dstPort[row]),
      txPackets: count(0),
      txBytes: count(1),
      rxPackets: count(2),
      rxBytes: count(3),
      folded: (columns.flags[row] & ROW_FOLDED) !== 0,
    };
  }

  #end(address: number, port: number): string {
    const text = this.#addressText(address);
    if (text === "") return "";
    return text.includes(":") ? `[${text}]:${port}` : `${text}:${port}`;
  }

  /** JSON that was kept of an entry. */
  #text(segment: number, id: number): string {
    const texts = this.#segmentTexts.get(`${segment}`, () => this.#readTexts(segment));
    return texts.byEntry.get(id) ?? "{}";
  }

  #readTexts(segment: number): SegmentTexts {
    const first = Number(this.#segmentOf.get(segment)?.first_entry ?? 0);
    const blob = this.#texts.get(segment)!.texts as Uint8Array;
    const text = new TextDecoder().decode(unpackBlob(blob));
    const byEntry = new Map<number, string>();
    let start = 0;
    for (const row of this.#lengths.iterate(first, segment)) {
      const end = start + Number(row.text_length);
      byEntry.set(Number(row.id), text.slice(start, end));
      start = end;
    }
    return { chars: text.length, byEntry };
  }
}

/** What was kept of a segment's entries, by entry. */
interface SegmentTexts {
  readonly chars: number;
  readonly byEntry: ReadonlyMap<number, string>;
}

/** What stands around one text. */
const TEXT_BYTES = 100;

function textsBytes({ chars, byEntry }: SegmentTexts): number {
  return 2 * chars + TEXT_BYTES * byEntry.size;
}

const NO_MESSAGE: Message = {
  nodeId: "",
  startNs: 0n,
  endNs: 0n,
  srcNode: null,
  dstNodes: [],
  virtual: [],
  subnet: [],
  exit: [],
  physical: [],
  extension: {},
};
/** What writeMessage puts before the lists, and the comma. */
const NO_MESSAGE_JSON = `${writeMessage(NO_MESSAGE).slice(0, -1)},`;

const EMPTY = new Uint8Array(0);
const NO_ROWS: RowColumns = {
  count: 0,
  stream: new Uint32Array(0),
  classCode: EMPTY,
  proto: EMPTY,
  flags: EMPTY,
  src: new Uint32Array(0),
  dst: new Uint32Array(0),
  srcPort: new Uint16Array(0),
  dstPort: new Uint16Array(0),
  counters: [new Float64Array(0), new Float64Array(0), new Float64Array(0), new Float64Array(0)],
  beyond: new Map(),
};

function toWindow(row: Row): StoredWindow {
  return {
    id: Number(row.entry),
    stream: Number(row.stream),
    startNs: toNs(Number(row.start_ms), Number(row.start_rest)),
    endNs: toNs(Number(row.end_ms), Number(row.end_rest)),
    lengthMs: Number(row.length_ms),
    part: Number(row.part),
    parts: Number(row.parts),
    rowCount: Number(row.row_count),
    sums: parseSums(row.sums as string),
    procId: Number(row.proc_id),
    procSeq: Number(row.proc_seq),
    receivedMs: Number(row.received_ms),
  };
}

function toGap(row: Row): StoredGap {
  return {
    entry: Number(row.entry),
    stream: Number(row.stream),
    receivedMs: Number(row.received_ms),
    cause: row.cause as GapCause,
    procId: Number(row.proc_id),
    firstSeq: Number(row.first_seq),
    lastSeq: Number(row.last_seq),
    entries: Number(row.entries),
    startNs: toNs(Number(row.start_ms), Number(row.start_rest)),
    endNs: toNs(Number(row.end_ms), Number(row.end_rest)),
    sums: row.sums === null ? null : parseSums(row.sums as string),
    offered: row.offered === 1,
  };
}
