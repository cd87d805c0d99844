/**
 * One log entry as it goes over the wire: one JSON object and a newline (SPEC 2.3, HEAD column).
 *
 * In: a text or a JSON object, and the metadata that names it: time, (proc_id, proc_seq), level, error. Out: bytes.
 * Guarantees: the output is always one JSON object in valid UTF-8 on one line; an input that is strictly one JSON object
 * is copied byte for byte (member order, number text), all else becomes text; nothing is refused. Beside schema.ts of
 * netlog and gap.ts the only place that knows names on the wire.
 */
import { findMember, type JsonMemberPlace } from "./json.ts";
import { timeText } from "../time_text.ts";

/** Longest JSON object; a longer one is replaced by an error. The service itself takes twice as much (SPEC 2.5). */
export const ENTRY_BYTES_MAX = 262_144;
/** Longest text; more is cut. */
export const TEXT_BYTES_MAX = 16_384;
/** Text of HEAD's small-memory build. */
export const TEXT_BYTES_MAX_SMALL = 4_096;
/** Bytes of a refused object that an entry shows: every one of them may take six, as `\u00xx`. */
const BAD_DATA_BYTES_MAX = Math.floor(ENTRY_BYTES_MAX / 6);

/** What is said about an entry beside its payload. Absent members are left out of it. */
export interface EntryMetadata {
  /** Unix time in ns. */
  readonly clientTimeNs?: bigint;
  /** Random number of the process that wrote it, 1 .. 2^32 - 1. */
  readonly procId?: number;
  /** Number of the entry within the process, from 1. */
  readonly procSeq?: number;
  /** What was wrong with the payload. */
  readonly errorDetail?: string;
  /** JSON text of the part that was wrong. */
  readonly errorDataJson?: string;
  /** Goes into text entries only. */
  readonly metrics?: string;
  /** 1..9; 0 is left out. */
  readonly level?: number;
}

/** What a level marker says, and the input without it. */
export interface LevelMark {
  readonly level: number;
  readonly text: string;
}

/** White space and separators of RFC 8259 §2. */
const SEPARATORS = " \n\r\t,:";
const NEWLINE = 0x0a;
const ENCODER = new TextEncoder();
const STRICT_DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LOOSE_DECODER = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Encodes one entry, level markers of a text taken off first.
 * @param input Text or JSON object; bytes are UTF-8, and ones that are not become U+FFFD within a text.
 * @param textBytesMax Where a text is cut.
 * @returns One line with its newline; null for empty input, of which nothing is to be written.
 */
export function encodeEntry(
  input: string | Uint8Array,
  metadata: EntryMetadata,
  textBytesMax: number = TEXT_BYTES_MAX,
): Uint8Array<ArrayBuffer> | null {
  if (input.length === 0) return null;
  const { text: whole, isUtf8 } = decoded(input);
  const { level, text } = takeLevelMark(whole);
  const about = { ...metadata, level: metadata.level ?? level };
  // Bytes that are not UTF-8 are no JSON, whatever they look like once they are replaced.
  const encoded = isUtf8
    ? entryLine(text, about, textBytesMax)
    : textLine(text, about, textBytesMax);
  return ENCODER.encode(encoded);
}

/**
 * Encodes one entry of an object or text without looking for level markers.
 * @returns One line with its newline, for empty text too.
 */
export function entryLine(
  payload: string,
  metadata: EntryMetadata,
  textBytesMax: number = TEXT_BYTES_MAX,
): string {
  const places = payload.startsWith("{") ? findMember(payload, "logtail") : null;
  if (places === null) return textLine(payload, metadata, textBytesMax);
  // A UTF-16 unit takes at most three bytes.
  const bytes = payload.length * 3 <= ENTRY_BYTES_MAX ? 0 : utf8Length(payload);
  if (bytes > ENTRY_BYTES_MAX) {
    return line(metadataMembers({
      ...withoutMetrics(metadata),
      errorDetail: `entry too large: ${bytes} bytes`,
      errorDataJson: quote(cut(payload, BAD_DATA_BYTES_MAX)),
    }));
  }
  return objectLine(payload, places.close, places.member, withoutMetrics(metadata));
}

/**
 * Encodes one entry of an object that we wrote ourselves: as entryLine, but neither decoded nor looked through. A message
 * of 256 KiB costs a copy this way; looking through it costs milliseconds.
 * @param object UTF-8 of exactly one JSON object, from its opening to its closing brace, without white space in front of
 * the latter, without newlines and without a member `logtail`; copied.
 * @returns One line with its newline.
 */
export function encodeObjectEntry(
  object: Uint8Array,
  metadata: EntryMetadata,
): Uint8Array<ArrayBuffer> {
  // Too long by far too seldom to be worth a way of its own.
  if (object.length > ENTRY_BYTES_MAX) {
    return ENCODER.encode(entryLine(STRICT_DECODER.decode(object), metadata));
  }
  const members = metadataMembers(withoutMetrics(metadata));
  const isEmpty = object.length === 2;
  const head = ENCODER.encode(`{${members}${members === "" || isEmpty ? "" : ","}`);
  const encoded = new Uint8Array(head.length + object.length);
  encoded.set(head);
  // The opening brace makes way: it stands in the head.
  encoded.set(object.subarray(1), head.length);
  encoded[encoded.length - 1] = NEWLINE;
  return encoded;
}

/**
 * Writes the members that go in front of the payload, joined by commas: `logtail`, `metrics`, `v`.
 * @returns "" when there is none.
 */
export function metadataMembers(metadata: EntryMetadata): string {
  const error = joined([
    metadata.errorDetail !== undefined && `"detail":${quote(metadata.errorDetail)}`,
    metadata.errorDataJson !== undefined && `"bad_data":${metadata.errorDataJson}`,
  ]);
  const about = joined([
    metadata.clientTimeNs !== undefined && `"client_time":"${timeText(metadata.clientTimeNs)}"`,
    metadata.procId !== undefined && `"proc_id":${metadata.procId}`,
    metadata.procSeq !== undefined && `"proc_seq":${metadata.procSeq}`,
    error !== "" && `"error":{${error}}`,
  ]);
  return joined([
    about !== "" && `"logtail":{${about}}`,
    metadata.metrics !== undefined && `"metrics":${quote(metadata.metrics)}`,
    (metadata.level ?? 0) > 0 && `"v":${metadata.level}`,
  ]);
}

/**
 * Finds a level marker: `[v1] `, `[v2] ` anywhere, or `[v\0JSON]` and a digit in front of the payload.
 * An object has none.
 */
export function takeLevelMark(text: string): LevelMark {
  if (text.startsWith("{") || !text.includes("[v")) return { level: 0, text };
  for (const level of [1, 2]) {
    const marker = `[v${level}] `;
    if (text.includes(marker)) return { level, text: text.replaceAll(marker, "") };
  }
  // deno-lint-ignore no-control-regex -- The marker holds a NUL so that no ordinary text has it.
  const json = /\[v\u0000JSON\]([0-9])/.exec(text);
  const rest = json === null ? "" : text.slice(json.index + json[0].length);
  return rest === "" ? { level: 0, text } : { level: Number(json![1]), text: rest };
}

/**
 * Cuts a text to at most `bytesMax` bytes of UTF-8 and says how many went: `…+N`.
 *
 * The cut falls in front of the character that holds the last byte allowed if that character has several bytes, even when
 * it would have fitted: so does the original, and readers compare.
 */
export function cut(text: string, bytesMax: number): string {
  // A UTF-16 unit takes at most three bytes.
  if (text.length * 3 <= bytesMax) return text;
  const bytes = ENCODER.encode(text);
  if (bytes.length <= bytesMax) return text;
  let kept = bytesMax;
  while (kept > 0 && (bytes[kept - 1] & 0xc0) === 0x80) kept--;
  if (kept > 0 && bytes[kept - 1] >= 0xc0) kept--;
  return `${LOOSE_DECODER.decode(bytes.subarray(0, kept))}…+${bytes.length - kept}`;
}

/** Bytes that `text` takes as UTF-8. */
function utf8Length(text: string): number {
  return ENCODER.encode(text).length;
}

function decoded(input: string | Uint8Array): { text: string; isUtf8: boolean } {
  if (typeof input === "string") return { text: input, isUtf8: true };
  try {
    return { text: STRICT_DECODER.decode(input), isUtf8: true };
  } catch {
    return { text: LOOSE_DECODER.decode(input), isUtf8: false };
  }
}

function textLine(payload: string, metadata: EntryMetadata, textBytesMax: number): string {
  const members = metadataMembers(metadata);
  if (payload === "") return line(members);
  return line(joined([members, `"text":${quote(cut(payload.toWellFormed(), textBytesMax))}`]));
}

/** The object's own members behind the metadata; a `logtail` of its own moves into the error, for it would be a second. */
function objectLine(
  payload: string,
  close: number,
  own: JsonMemberPlace | null,
  metadata: EntryMetadata,
): string {
  if (own === null) {
    return line(joined([metadataMembers(metadata), body(payload.slice(1, close))]));
  }
  const members = metadataMembers({
    ...metadata,
    errorDetail: "duplicate logtail member",
    errorDataJson: payload.slice(own.valueStart, own.valueEnd).replaceAll("\n", ""),
  });
  const before = body(payload.slice(1, own.start));
  return line(`${joined([members, before])}${body(payload.slice(own.valueEnd, close))}`);
}

/** Members as they are, but on one line and without separators behind them. "" when there are none. */
function body(members: string): string {
  let end = members.length;
  // Not a regular expression: those look anew from every blank within a long text, which takes quadratic time.
  while (end > 0 && SEPARATORS.includes(members[end - 1])) end--;
  return members.slice(0, end).replaceAll("\n", "");
}

function line(members: string): string {
  return `{${members}}\n`;
}

function joined(parts: readonly (string | false)[]): string {
  return parts.filter((part) => part !== false && part !== "").join(",");
}

function withoutMetrics(metadata: EntryMetadata): EntryMetadata {
  const { metrics: _, ...rest } = metadata;
  return rest;
}

/** A JSON string: what must be escaped is, and nothing else. JSON.stringify does the same for well-formed text. */
function quote(text: string): string {
  return JSON.stringify(text.toWellFormed());
}
