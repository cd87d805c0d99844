/**
 * One element of an upload, taken apart into its members.
 *
 * In: bytes from outside. Out: its name (`logtail`), its members as values and as text, its rows in columns where the fast
 * way takes them. Throws SyntaxError for what is not one JSON object, or has a member twice: readers disagree about those,
 * and stock clients never write them.
 */
import { type ExactJson, parseExactJson } from "../../netlog/mod.ts";
import type { ListName } from "../../netlog/mod.ts";
import { skipSpace, skipString, skipValue } from "./json_bytes.ts";
import { CLASS_CODES } from "./message_rows.ts";
import type { RowList } from "./row_list.ts";
import type { RowScanner } from "./row_scanner.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BRACKET_OPEN = 0x5b;
const BRACE_CLOSE = 0x7d;

/** Names of lists of connections on the wire. */
const LIST_BY_NAME: Readonly<Record<string, ListName>> = Object.assign(Object.create(null), {
  virtualTraffic: "virtual",
  subnetTraffic: "subnet",
  exitTraffic: "exit",
  physicalTraffic: "physical",
});
const LOGTAIL = "logtail";
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });
const NO_LISTS: Readonly<Record<string, ExactJson>> = {};

/** See file header. */
export interface Element {
  /** Position behind its brace. */
  readonly end: number;
  /** Value of `logtail`; undefined = there is none. */
  readonly logtail: ExactJson | undefined;
  /** The same as text. */
  readonly logtailText: string;
  /** Other members that are no lists of connections. */
  readonly members: Readonly<Record<string, ExactJson>>;
  /** The same as text, separated by commas. */
  readonly membersText: string;
  /** Whether there is a list of connections. */
  readonly hasTraffic: boolean;
  /** Lists that the fast way did not take. */
  readonly slowLists: Readonly<Record<string, ExactJson>>;
  /** All members but `logtail` as text. */
  allText(): string;
}

/**
 * Takes apart the object at `at`. Its end is found on the way: to look for it first would take a third of the time.
 * @param rows Gets the rows; what is added when an error is thrown is the caller's to take back.
 * @throws {SyntaxError} See file header.
 */
export function readElement(
  bytes: Uint8Array,
  at: number,
  rows: RowList,
  scanner: RowScanner,
  stream: number,
): Element {
  const texts: string[] = [];
  const places: number[] = [];
  let logtail: ExactJson | undefined;
  let logtailText = "";
  let hasTraffic = false;
  let slowLists = NO_LISTS;
  const names = new Set<string>();
  at = skipSpace(bytes, at + 1);
  let isFirst = true;
  while (bytes[at] !== BRACE_CLOSE || !isFirst) {
    isFirst = false;
    const start = at;
    const nameEnd = bytes[at] === QUOTE ? skipString(bytes, at) : -1;
    if (nameEnd < 0) throw broken("a member's name", at);
    const name = nameOf(bytes, at, nameEnd);
    if (names.has(name)) throw new SyntaxError(`Cannot read entry: a member stands twice`);
    names.add(name);
    at = skipSpace(bytes, nameEnd);
    if (bytes[at] !== COLON) throw broken("a colon", at);
    at = skipSpace(bytes, at + 1);
    const list = LIST_BY_NAME[name];
    let valueEnd = -1;
    if (list !== undefined) {
      hasTraffic = true;
      const count = rows.count;
      if (bytes[at] === BRACKET_OPEN) {
        valueEnd = scanner.scanList(bytes, at + 1, CLASS_CODES[list], stream);
      }
      if (valueEnd < 0) {
        rows.truncate(count);
        valueEnd = endOf(bytes, at);
        const value = parseExactJson(DECODER.decode(bytes.subarray(at, valueEnd)));
        slowLists = { ...slowLists, [name]: value };
      }
      places.push(start, valueEnd);
    } else {
      valueEnd = endOf(bytes, at);
      if (name === LOGTAIL) {
        logtailText = DECODER.decode(bytes.subarray(at, valueEnd));
        logtail = parseExactJson(logtailText);
      } else {
        texts.push(DECODER.decode(bytes.subarray(start, valueEnd)));
        places.push(start, valueEnd);
      }
    }
    at = skipSpace(bytes, valueEnd);
    if (bytes[at] === BRACE_CLOSE) break;
    if (bytes[at] !== COMMA) throw broken("a comma", at);
    at = skipSpace(bytes, at + 1);
  }
  const membersText = texts.join(",");
  return {
    end: at + 1,
    logtail,
    logtailText,
    members: parseExactJson(`{${membersText}}`) as Readonly<Record<string, ExactJson>>,
    membersText,
    hasTraffic,
    slowLists,
    allText: () => {
      const all: string[] = [];
      for (let index = 0; index < places.length; index += 2) {
        all.push(DECODER.decode(bytes.subarray(places[index], places[index + 1])));
      }
      return all.join(",");
    },
  };
}

function endOf(bytes: Uint8Array, at: number): number {
  const end = skipValue(bytes, at);
  if (end < 0) throw broken("a value", at);
  return end;
}

function nameOf(bytes: Uint8Array, at: number, end: number): string {
  const text = DECODER.decode(bytes.subarray(at, end));
  return text.includes("\\") ? JSON.parse(text) : text.slice(1, -1);
}

function broken(wanted: string, at: number): SyntaxError {
  return new SyntaxError(`Cannot read entry: ${wanted} is missing at byte ${at}`);
}
