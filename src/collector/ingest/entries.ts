/**
 * An upload's content → entries and rows of a batch.
 *
 * In: bytes from outside, up to the body's limit. Out: entries of every kind. Guarantees: every byte that is not white
 * space or framing ends up in an entry: as what it is, or, cut, in one error entry per body; one broken element costs no
 * other; what comes twice is the store's business. Throws what the store throws when it numbers addresses, nothing else.
 */
import { BAD_DATA_BYTES_MAX, BAD_PIECES_MAX } from "../../limits.ts";
import { cut, parseGap } from "../../logtail/mod.ts";
import { type ExactJson, LISTS, parseReport, toMessage } from "../../netlog/mod.ts";
import type { DeclaredGap, EntryName, MessageEntry, OtherEntry } from "../store.ts";
import { type Element, readElement } from "./element.ts";
import { errorText, isKeptTime, type NamedLogtail, readLogtail, withError } from "./entry_name.ts";
import { exactText, skipSpace, skipValue } from "./json_bytes.ts";
import { addConnection, CLASS_CODES, splitUnknown, sumRows } from "./message_rows.ts";
import type { RowList } from "./row_list.ts";
import { RowScanner } from "./row_scanner.ts";
import type { AddressNumbers } from "./row_values.ts";

const COMMA = 0x2c;
const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;
const BRACE_OPEN = 0x7b;
/** How clients separate entries (SPEC 2.4); no entry of theirs has it inside. */
const SEPARATOR = new TextEncoder().encode("\n,{");
const DROPS = /^-{3,} ?(\d{1,15}) logs dropped ?-{3,}$/;
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });

/** Anything that a batch holds. */
export type IngestEntry = MessageEntry | OtherEntry;

/** What of a body could not be read. */
interface Bad {
  detail: string;
  readonly pieces: string[];
  pieceBytes: number;
}

/** See file header. */
export class EntryReader {
  readonly #rows: RowList;
  readonly #numbers: AddressNumbers;
  readonly #scanner: RowScanner;
  #entries: IngestEntry[] = [];
  #stream = 0;
  #bad: Bad = { detail: "", pieces: [], pieceBytes: 0 };

  constructor(rows: RowList, numbers: AddressNumbers) {
    this.#rows = rows;
    this.#numbers = numbers;
    this.#scanner = new RowScanner(rows, numbers);
  }

  /** Reads one body. @param entries Gets its entries. */
  read(bytes: Uint8Array, stream: number, entries: IngestEntry[]): void {
    this.#entries = entries;
    this.#stream = stream;
    this.#bad = { detail: "", pieces: [], pieceBytes: 0 };
    const start = skipSpace(bytes, 0);
    if (bytes[start] === BRACKET_OPEN) this.#array(bytes, start + 1);
    else if (bytes[start] === BRACE_OPEN) {
      const end = skipSpace(bytes, this.#object(bytes, start));
      if (bytes[end] === COMMA) {
        this.#note("elements without an array", bytes, end, end);
        this.#array(bytes, end + 1);
      } else this.#rest(bytes, end, "bytes behind the object");
    } else if (start === bytes.length) this.#note("empty body", bytes, start, start);
    else {
      // An array whose opening was damaged still has its separators.
      const next = resume(bytes, start);
      this.#note("neither an array nor an object", bytes, start, next);
      if (next < bytes.length) this.#array(bytes, next + SEPARATOR.length - 1);
    }
    if (this.#bad.detail !== "") {
      const { detail, pieces } = this.#bad;
      const data = pieces.length === 0
        ? undefined
        : exactText(pieces.length === 1 ? pieces[0] : pieces);
      entries.push(errorEntry(stream, detail, data));
    }
  }

  #array(bytes: Uint8Array, at: number): void {
    at = skipSpace(bytes, at);
    if (bytes[at] === BRACKET_CLOSE) return this.#rest(bytes, at + 1, "bytes behind the array");
    for (;;) {
      at = bytes[at] === BRACE_OPEN ? this.#object(bytes, at) : this.#other(bytes, at);
      at = skipSpace(bytes, at);
      if (bytes[at] !== COMMA && bytes[at] !== BRACKET_CLOSE && at < bytes.length) {
        const next = resume(bytes, at);
        this.#note("elements are not separated", bytes, at, next);
        at = skipSpace(bytes, next);
      }
      if (bytes[at] === BRACKET_CLOSE) return this.#rest(bytes, at + 1, "bytes behind the array");
      if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1);
      if (at >= bytes.length) return this.#note("the array does not end", bytes, at, at);
    }
  }

  /** Reads the object at `at`. @returns Where to go on. */
  #object(bytes: Uint8Array, at: number): number {
    const count = this.#rows.count;
    let element: Element | null = null;
    try {
      element = readElement(bytes, at, this.#rows, this.#scanner, this.#stream);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.#rows.truncate(count);
    }
    if (element !== null) {
      this.#entries.push(this.#entryOf(element, count));
      return element.end;
    }
    const end = skipValue(bytes, at);
    // A broken element may have swallowed the next ones, or seem to end too early.
    const next = end < 0 ? resume(bytes, at) : Math.min(end, resume(bytes, at));
    this.#note("an element is not a JSON object", bytes, at, next);
    return next;
  }

  #other(bytes: Uint8Array, at: number): number {
    const end = skipValue(bytes, at);
    const next = end < 0 ? resume(bytes, at) : Math.min(end, resume(bytes, at));
    this.#note("an element is not an object", bytes, at, next);
    return next;
  }

  #rest(bytes: Uint8Array, at: number, detail: string): void {
    const start = skipSpace(bytes, at);
    if (start < bytes.length) this.#note(detail, bytes, start, bytes.length);
  }

  #note(detail: string, bytes: Uint8Array, start: number, end: number): void {
    const bad = this.#bad;
    if (bad.detail === "") bad.detail = `Cannot read body: ${detail} at byte ${start}`;
    const room = BAD_DATA_BYTES_MAX - bad.pieceBytes;
    if (end === start || bad.pieces.length === BAD_PIECES_MAX || room <= 0) return;
    bad.pieces.push(cut(DECODER.decode(bytes.subarray(start, end)), room));
    bad.pieceBytes += Math.min(room, end - start);
  }

  #entryOf(element: Element, firstRow: number): IngestEntry {
    const logtail = readLogtail(element.logtail, element.logtailText);
    const { procId, procSeq, clientTimeNs } = logtail;
    const name: EntryName = { stream: this.#stream, procId, procSeq, clientTimeNs };
    try {
      if (element.hasTraffic) return this.#message(element, logtail, name, firstRow);
      return otherEntry(element, logtail, name);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.#rows.truncate(firstRow);
      const json = entryText(withError(logtail, error.message), element.allText());
      return { ...name, kind: "error", json, gaps: [], dropped: 0 };
    }
  }

  /** @throws {SyntaxError} If it is not as it should be. */
  #message(
    element: Element,
    logtail: NamedLogtail,
    name: EntryName,
    firstRow: number,
  ): MessageEntry {
    const rows = this.#rows;
    const message = toMessage({ ...element.members, ...element.slowLists });
    const { startNs, endNs, extension, nodeId, srcNode } = message;
    if (!isKeptTime(startNs) || !isKeptTime(endNs) || startNs > endNs) {
      throw new SyntaxError("Cannot read a flow message: its window is no time that can be kept");
    }
    for (const list of LISTS) {
      for (const connection of message[list]) {
        addConnection(rows, this.#numbers, connection, CLASS_CODES[list], this.#stream);
      }
    }
    splitUnknown(rows, firstRow, extension);
    const { part = 0, parts = 0 } = extension;
    return {
      ...name,
      kind: "message",
      startNs,
      endNs,
      lengthMs: extension.lengthMs ?? Number((endNs - startNs + 500_000n) / 1_000_000n),
      firstRow,
      rowCount: rows.count - firstRow,
      ...(parts > 1 && part >= 1 && part <= parts && { part, parts }),
      sums: sumRows(rows, firstRow),
      nodeId,
      nodeName: srcNode?.name ?? "",
      restJson: entryText(logtail.text, element.membersText),
    };
  }
}

/** An error entry of our own, without a name. @param dataJson What was wrong, as JSON. */
export function errorEntry(stream: number, detail: string, dataJson?: string): OtherEntry {
  return {
    ...{ stream, procId: 0, procSeq: 0, clientTimeNs: null, kind: "error" },
    json: `{"logtail":{"error":${errorText(detail, dataJson)}}}`,
    ...{ gaps: [], dropped: 0 },
  };
}

/** Position behind the next separator's comma, or the end: where reading goes on behind something broken. */
function resume(bytes: Uint8Array, at: number): number {
  for (let from = bytes.indexOf(SEPARATOR[0], at + 1); from >= 0;) {
    if (bytes[from + 1] === SEPARATOR[1] && bytes[from + 2] === SEPARATOR[2]) return from;
    from = bytes.indexOf(SEPARATOR[0], from + 1);
  }
  return bytes.length;
}

/**
 * `logtail` always stands first: who hands the entry out again puts more into it (http/entry_text.ts). On one line, for
 * entries are handed out as lines too; in JSON a newline stands only where white space may.
 */
function entryText(logtailText: string, membersText: string): string {
  const text = `{"logtail":${logtailText}${membersText === "" ? "" : `,${membersText}`}}`;
  return text.includes("\n") || text.includes("\r") ? text.replace(/[\r\n]+/g, " ") : text;
}

/** @throws {SyntaxError} If it is a gap record or a report, but a wrong one. */
function otherEntry(element: Element, logtail: NamedLogtail, name: EntryName): OtherEntry {
  const { members, membersText } = element;
  const entry = (kind: OtherEntry["kind"], gaps: readonly DeclaredGap[] = [], dropped = 0) => ({
    ...{ ...name, kind, gaps, dropped },
    json: entryText(logtail.text, membersText),
  });
  if (isObject(members.gap)) return entry("gap", readGaps(`{${membersText}}`));
  if (parseReport(members) !== null) return entry("report");
  const { text } = members;
  const marker = typeof text === "string" ? DROPS.exec(text.trim()) : null;
  if (marker !== null) return entry("drops", [], Number(marker[1]));
  if (logtail.hasError) return entry("error");
  return entry(typeof text === "string" ? "text" : "object");
}

function isObject(value: ExactJson | undefined): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Largest sum that a gap may declare, per class and direction: what 2^63 bytes of nobody's counters ever reach. */
const GAP_SUM_MAX = 2n ** 96n;

function readGaps(text: string): DeclaredGap[] {
  const gaps = parseGap(text);
  for (const { procId, firstSeq, lastSeq, entries, startNs, endNs, sums } of gaps) {
    const isFine = procId < 2 ** 32 && firstSeq <= lastSeq &&
      [firstSeq, lastSeq, entries].every(Number.isSafeInteger) &&
      isKeptTime(startNs) && isKeptTime(endNs) && startNs <= endNs &&
      Object.values(sums ?? {}).every((sum) =>
        Object.values(sum).every((value) => value < GAP_SUM_MAX)
      );
    if (!isFine) throw new SyntaxError("Cannot read gap record: a number is out of range");
  }
  return gaps;
}
