/**
 * The fast way to read rows: from bytes into columns, without a string or an object per row.
 *
 * In: a list of connections in the form in which the original and we write it: no white space, no escapes, counters in
 * digits, members in any order. Out: rows. Anything else is left to the slow way (message_entry.ts): the scanner then says
 * so and has to be undone by the caller. It never takes what the slow way would refuse, nor reads it differently.
 * How much faster: tests/bench/ingest_bench.ts.
 */
import { parseAddressPort } from "../../packet/mod.ts";
import { ROW_FOLDED } from "../rows.ts";
import { addressNumber, type AddressNumbers, setCounter } from "./row_values.ts";
import type { RowList } from "./row_list.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const DOT = 0x2e;
const DIGIT_0 = 0x30;
const COLON = 0x3a;
const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;

const bytesOf = (text: string) => new TextEncoder().encode(text);
const PROTO = bytesOf(`"proto":`);
const SRC = bytesOf(`"src":`);
const DST = bytesOf(`"dst":`);
const FOLDED_TRUE = bytesOf(`"folded":true`);
/** By index in COUNTERS (rows.ts). */
const COUNTS = ["txPkts", "txBytes", "rxPkts", "rxBytes"].map((name) => bytesOf(`"${name}":`));
/** Digits that a safe integer has at least room for. */
const DIGITS_MAX = 15;
const LONGEST_ADDRESS = 80;
const ASCII = new TextDecoder("latin1");

/** See file header. */
export class RowScanner {
  readonly #rows: RowList;
  readonly #numbers: AddressNumbers;
  /** Of the end that was read last. */
  readonly #words = new Uint32Array(4);
  #address = 0;
  #port = 0;
  /** The number that was read last. */
  #value = 0;

  constructor(rows: RowList, numbers: AddressNumbers) {
    this.#rows = rows;
    this.#numbers = numbers;
  }

  /**
   * Reads a list.
   * @param at Behind its opening bracket.
   * @returns Position behind its closing one, or -1 if it is not of the form.
   */
  scanList(bytes: Uint8Array, at: number, classCode: number, stream: number): number {
    if (bytes[at] === BRACKET_CLOSE) return at + 1;
    for (;;) {
      if (bytes[at] !== BRACE_OPEN) return -1;
      at = this.#row(bytes, at + 1, classCode, stream);
      if (at < 0) return -1;
      const byte = bytes[at++];
      if (byte === BRACKET_CLOSE) return at;
      if (byte !== COMMA) return -1;
    }
  }

  /** Reads a row. @returns Position behind its brace, or -1. */
  #row(bytes: Uint8Array, at: number, classCode: number, stream: number): number {
    const row = this.#rows.add();
    const columns = this.#rows.columns;
    const { counters } = columns;
    columns.stream[row] = stream;
    columns.classCode[row] = classCode;
    columns.proto[row] = 0;
    columns.flags[row] = 0;
    columns.src[row] = 0;
    columns.dst[row] = 0;
    columns.srcPort[row] = 0;
    columns.dstPort[row] = 0;
    counters[0][row] = 0;
    counters[1][row] = 0;
    counters[2][row] = 0;
    counters[3][row] = 0;
    if (bytes[at] === BRACE_CLOSE) return at + 1;
    for (;;) {
      switch (bytes[at + 1]) {
        case 0x70: // p
          if (!matches(bytes, at, PROTO)) return -1;
          at = this.#integer(bytes, at + PROTO.length);
          if (at < 0 || this.#value > 255) return -1;
          columns.proto[row] = this.#value;
          break;
        case 0x73: // s
          if (!matches(bytes, at, SRC)) return -1;
          at = this.#end(bytes, at + SRC.length);
          if (at < 0) return -1;
          columns.src[row] = this.#address;
          columns.srcPort[row] = this.#port;
          break;
        case 0x64: // d
          if (!matches(bytes, at, DST)) return -1;
          at = this.#end(bytes, at + DST.length);
          if (at < 0) return -1;
          columns.dst[row] = this.#address;
          columns.dstPort[row] = this.#port;
          break;
        case 0x74: // t
        case 0x72: { // r
          const index = (bytes[at + 1] === 0x72 ? 2 : 0) + (bytes[at + 3] === 0x42 ? 1 : 0);
          const name = COUNTS[index];
          if (!matches(bytes, at, name)) return -1;
          at = this.#counter(bytes, at + name.length, row, index);
          if (at < 0) return -1;
          break;
        }
        case 0x66: // f
          if (!matches(bytes, at, FOLDED_TRUE)) return -1;
          at += FOLDED_TRUE.length;
          columns.flags[row] = ROW_FOLDED;
          break;
        default:
          return -1;
      }
      const byte = bytes[at++];
      if (byte === BRACE_CLOSE) return at;
      if (byte !== COMMA) return -1;
    }
  }

  /** Reads a non-negative integer of at most DIGITS_MAX digits into #value. */
  #integer(bytes: Uint8Array, at: number): number {
    const start = at;
    let value = 0;
    for (;; at++) {
      const digit = bytes[at] - DIGIT_0;
      // Not so for NaN either.
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
    }
    const digits = at - start;
    if (digits === 0 || digits > DIGITS_MAX) return -1;
    if (digits > 1 && bytes[start] === DIGIT_0) return -1;
    this.#value = value;
    return at;
  }

  #counter(bytes: Uint8Array, at: number, row: number, index: number): number {
    const columns = this.#rows.columns;
    const end = this.#integer(bytes, at);
    if (end >= 0) {
      columns.counters[index][row] = this.#value;
      // The same member twice: the last one holds.
      if (columns.beyond.size > 0) columns.beyond.delete(row * 4 + index);
      return end;
    }
    let last = at;
    while (bytes[last] >= DIGIT_0 && bytes[last] <= 0x39) last++;
    const digits = last - at;
    if (digits <= DIGITS_MAX || digits > 20 || bytes[at] === DIGIT_0) return -1;
    const text = ASCII.decode(bytes.subarray(at, last));
    return setCounter(columns, row, index, BigInt(text)) ? last : -1;
  }

  /** Reads a quoted address with a port into #address and #port. */
  #end(bytes: Uint8Array, at: number): number {
    if (bytes[at] !== QUOTE) return -1;
    const first = bytes[at + 1];
    if (first === QUOTE) {
      this.#address = 0;
      this.#port = 0;
      return at + 2;
    }
    if (first === BRACKET_OPEN) return this.#ipv6(bytes, at);
    let word = 0;
    at++;
    for (let part = 0; part < 4; part++) {
      const start = at;
      let value = 0;
      for (let digit = bytes[at] - DIGIT_0; digit >= 0 && digit <= 9; digit = bytes[at] - DIGIT_0) {
        value = value * 10 + digit;
        at++;
      }
      const digits = at - start;
      if (digits === 0 || digits > 3 || value > 255) return -1;
      if (digits > 1 && bytes[start] === DIGIT_0) return -1;
      if (bytes[at++] !== (part === 3 ? COLON : DOT)) return -1;
      word = (word << 8) | value;
    }
    const words = this.#words;
    words[0] = 0;
    words[1] = 0;
    words[2] = 0xffff;
    words[3] = word;
    return this.#portAfter(bytes, at, 4);
  }

  /** Reads the port behind the colon and the closing quote, and numbers the address in #words. */
  #portAfter(bytes: Uint8Array, at: number, family: 4 | 6): number {
    at = this.#integer(bytes, at);
    if (at < 0 || this.#value > 65_535 || bytes[at] !== QUOTE) return -1;
    this.#port = this.#value;
    this.#address = this.#numbers.addressOfWords(this.#words, 0, family);
    return at + 1;
  }

  /** @param at The opening quote of `"[…]:80"`. */
  #ipv6(bytes: Uint8Array, at: number): number {
    const words = this.#words;
    words.fill(0);
    let index = at + 2;
    let groups = 0;
    /** Groups in front of `::`; -1 = none seen. */
    let gap = -1;
    if (bytes[index] === COLON) {
      if (bytes[index + 1] !== COLON) return -1;
      gap = 0;
      index += 2;
    }
    while (bytes[index] !== BRACKET_CLOSE) {
      const start = index;
      let value = 0;
      for (let digit = hexDigit(bytes[index]); digit >= 0; digit = hexDigit(bytes[index])) {
        value = (value << 4) | digit;
        index++;
        if (index - start > 4) return -1;
      }
      // A dot or a zone: seldom, so the general reader does it.
      if (index === start || groups === 8) return this.#text(bytes, at);
      words[groups >> 1] |= (groups & 1) === 0 ? value << 16 : value;
      groups++;
      if (bytes[index] === BRACKET_CLOSE) break;
      if (bytes[index] !== COLON) return this.#text(bytes, at);
      index++;
      if (bytes[index] === COLON) {
        if (gap >= 0) return -1;
        gap = groups;
        index++;
      } else if (bytes[index] === BRACKET_CLOSE) return -1;
    }
    if (gap >= 0 ? groups === 8 : groups < 8) return -1;
    if (gap >= 0) moveGroups(words, gap, groups);
    if (bytes[index + 1] !== COLON) return -1;
    return this.#portAfter(bytes, index + 2, 6);
  }

  /** Reads an address in any form that has no escapes. */
  #text(bytes: Uint8Array, at: number): number {
    const end = bytes.indexOf(QUOTE, at + 1);
    if (end < 0 || end - at > LONGEST_ADDRESS) return -1;
    const address = parseAddressPort(ASCII.decode(bytes.subarray(at + 1, end)));
    if (address === null) return -1;
    this.#address = addressNumber(this.#numbers, address);
    this.#port = address.port;
    return end + 1;
  }
}

function matches(bytes: Uint8Array, at: number, name: Uint8Array): boolean {
  for (let index = 0; index < name.length; index++) {
    if (bytes[at + index] !== name[index]) return false;
  }
  return true;
}

/** Value of a hexadecimal digit, or -1. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Moves the groups behind the gap to the end. */
function moveGroups(words: Uint32Array, gap: number, groups: number): void {
  const by = 8 - groups;
  for (let from = groups - 1; from >= gap; from--) {
    setGroup(words, from + by, (words[from >> 1] >>> ((from & 1) === 0 ? 16 : 0)) & 0xffff);
  }
  for (let index = gap; index < gap + by; index++) setGroup(words, index, 0);
}

function setGroup(words: Uint32Array, index: number, value: number): void {
  const word = words[index >> 1];
  words[index >> 1] = (index & 1) === 0
    ? ((word & 0xffff) | (value << 16)) >>> 0
    : ((word & 0xffff0000) | value) >>> 0;
}
