/**
 * JSON as bytes: where a value ends, without reading it; and values as text again.
 *
 * In: UTF-8 from outside. Out: places. Guarantees: linear time, no recursion, no exception. Whether what was passed over
 * is valid JSON, its reader says.
 */
import { ENTRY_DEPTH_MAX } from "../../limits.ts";
import type { ExactJson } from "../../netlog/mod.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;

/** Position behind white space. */
export function skipSpace(bytes: Uint8Array, at: number): number {
  for (;; at++) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
  }
}

/** Position behind the string that opens at `at`, or -1 if it does not end. */
export function skipString(bytes: Uint8Array, at: number): number {
  const { length } = bytes;
  for (let index = at + 1; index < length; index++) {
    const byte = bytes[index];
    if (byte === QUOTE) return index + 1;
    if (byte === BACKSLASH) index++;
  }
  return -1;
}

/** Position behind the value that begins at `at`, or -1 if it does not end, or nests too deep, or is none. */
export function skipValue(bytes: Uint8Array, at: number): number {
  const { length } = bytes;
  const first = bytes[at];
  if (first === QUOTE) return skipString(bytes, at);
  if (first !== BRACE_OPEN && first !== BRACKET_OPEN) return skipWord(bytes, at);
  let depth = 0;
  for (let index = at; index < length; index++) {
    const byte = bytes[index];
    if (byte === QUOTE) {
      index = skipString(bytes, index) - 1;
      if (index < 0) return -1;
    } else if (byte === BRACE_OPEN || byte === BRACKET_OPEN) {
      if (++depth > ENTRY_DEPTH_MAX) return -1;
    } else if (byte === BRACE_CLOSE || byte === BRACKET_CLOSE) {
      if (--depth === 0) return index + 1;
    }
  }
  return -1;
}

/** Position behind a number, true, false, null, or whatever stands there instead. */
function skipWord(bytes: Uint8Array, at: number): number {
  let end = at;
  for (; end < bytes.length; end++) {
    const byte = bytes[end];
    if (byte === COMMA || byte === BRACE_CLOSE || byte === BRACKET_CLOSE || byte <= 0x20) break;
  }
  return end === at ? -1 : end;
}

/** Writes a value as JSON. @param value Nests at most as deep as skipValue() lets pass. */
export function exactText(value: ExactJson): string {
  if (typeof value === "bigint") return String(value);
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(exactText).join(",")}]`;
  return membersText(Object.entries(value));
}

/** Writes an object of the members. */
export function membersText(members: readonly (readonly [string, ExactJson])[]): string {
  return `{${
    members.map(([name, value]) => `${JSON.stringify(name)}:${exactText(value)}`).join(",")
  }}`;
}
