/**
 * The fast way to write rows: as bytes, without a string or an object per row.
 *
 * In: numbers, and addresses as bytes that are written once per address. Out: the bytes that schema.ts gives for the same
 * row. Every function writes at `at` and returns where it stopped; the caller has made room (ROW_BYTES_MAX).
 */
import { addressText, type Family } from "../packet/mod.ts";
import type { Count } from "./counts.ts";
import { LIST_OPENINGS, type ListName, LISTS, WIRE } from "./schema.ts";

const encoder = new TextEncoder();

/** Bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

/** What stands before each list, in the order of LISTS. */
export const LIST_OPENING_BYTES: readonly Uint8Array[] = LISTS.map((list: ListName) =>
  bytesOf(LIST_OPENINGS[list])
);

const PROTO = bytesOf(`"${WIRE.proto}":`);
const SRC = bytesOf(`"${WIRE.src}":`);
const DST = bytesOf(`"${WIRE.dst}":`);
const TX_PACKETS = bytesOf(`"${WIRE.txPackets}":`);
const TX_BYTES = bytesOf(`"${WIRE.txBytes}":`);
const RX_PACKETS = bytesOf(`"${WIRE.rxPackets}":`);
const RX_BYTES = bytesOf(`"${WIRE.rxBytes}":`);
const FOLDED = bytesOf(`"${WIRE.folded}":true,`);

const [OPEN, CLOSE, COMMA, QUOTE, COLON, DOT, DIGIT_0] = bytesOf('{},":.0');
const BRACKETS = bytesOf("[]");

/** Longest row: the original's 247 bytes (SPEC 1.8.6) and our member. */
export const ROW_BYTES_MAX = 247 + FOLDED.length;

/** Longest address with its quote, brackets and colon. */
const ADDRESS_BYTES_MAX = 48;

/** What is written of addresses: from the opening quote to the colon before the port. */
export class AddressBytes {
  #bytes = new Uint8Array(1 << 16);
  #used = 0;
  /** Per address: where its bytes start, + 1; 0 = not yet written. */
  #starts = new Uint32Array(1 << 12);
  #lengths = new Uint8Array(1 << 12);

  /** Forgets all, and makes room for addresses numbered below `count`. */
  begin(count: number): void {
    this.#used = 0;
    const room = this.#starts.length;
    if (count > room || room > Math.max(count * 4, 1 << 16)) {
      this.#starts = new Uint32Array(Math.ceil(count * 1.25));
      this.#lengths = new Uint8Array(Math.ceil(count * 1.25));
      this.#bytes = new Uint8Array(1 << 16);
    } else this.#starts.fill(0, 0, count);
  }

  /** Writes a member's value: address number `number`, which is that of `words` at `wordOffset`, and a port. */
  write(
    output: Uint8Array,
    at: number,
    number: number,
    words: Uint32Array,
    wordOffset: number,
    family: Family,
    port: number,
  ): number {
    let start = this.#starts[number];
    if (start === 0) start = this.#add(number, words, wordOffset, family);
    const bytes = this.#bytes;
    const end = start - 1 + this.#lengths[number];
    for (let from = start - 1; from < end; from++) output[at++] = bytes[from];
    at = writeInteger(output, at, port);
    output[at++] = QUOTE;
    return at;
  }

  #add(number: number, words: Uint32Array, wordOffset: number, family: Family): number {
    if (this.#used + ADDRESS_BYTES_MAX > this.#bytes.length) {
      const bytes = new Uint8Array(this.#bytes.length * 2);
      bytes.set(this.#bytes);
      this.#bytes = bytes;
    }
    const bytes = this.#bytes;
    const start = this.#used;
    let at = start;
    bytes[at++] = QUOTE;
    if (family === 4) at = writeIpv4(bytes, at, words[wordOffset + 3]);
    else {
      bytes[at++] = BRACKETS[0];
      const text = addressText(words, wordOffset, 6);
      for (let index = 0; index < text.length; index++) bytes[at++] = text.charCodeAt(index);
      bytes[at++] = BRACKETS[1];
    }
    bytes[at++] = COLON;
    this.#used = at;
    this.#lengths[number] = at - start;
    return this.#starts[number] = start + 1;
  }
}

function writeIpv4(output: Uint8Array, at: number, word: number): number {
  at = writeInteger(output, at, word >>> 24);
  output[at++] = DOT;
  at = writeInteger(output, at, (word >>> 16) & 0xff);
  output[at++] = DOT;
  at = writeInteger(output, at, (word >>> 8) & 0xff);
  output[at++] = DOT;
  return writeInteger(output, at, word & 0xff);
}

/** Opens a row and writes its protocol. The members that follow each end with a comma, see closeRow(). */
export function openRow(output: Uint8Array, at: number, proto: number): number {
  output[at++] = OPEN;
  if (proto === 0) return at;
  at = writeBytes(output, at, PROTO);
  at = writeInteger(output, at, proto);
  output[at++] = COMMA;
  return at;
}

/** Writes the name of the source or destination member. */
export function writeEndName(output: Uint8Array, at: number, isSrc: boolean): number {
  return writeBytes(output, at, isSrc ? SRC : DST);
}

/** Writes a comma. */
export function writeComma(output: Uint8Array, at: number): number {
  output[at++] = COMMA;
  return at;
}

/** Writes the counters that are not zero. */
export function writeCountMembers(
  output: Uint8Array,
  at: number,
  txPackets: Count,
  txBytes: Count,
  rxPackets: Count,
  rxBytes: Count,
): number {
  if (txPackets != 0) at = writeCountMember(output, at, TX_PACKETS, txPackets);
  if (txBytes != 0) at = writeCountMember(output, at, TX_BYTES, txBytes);
  if (rxPackets != 0) at = writeCountMember(output, at, RX_PACKETS, rxPackets);
  if (rxBytes != 0) at = writeCountMember(output, at, RX_BYTES, rxBytes);
  return at;
}

/** Closes a row that was opened at `start`: its last comma becomes the brace. */
export function closeRow(output: Uint8Array, start: number, at: number, folded: boolean): number {
  if (folded) at = writeBytes(output, at, FOLDED);
  if (at === start + 1) output[at++] = CLOSE;
  else output[at - 1] = CLOSE;
  return at;
}

function writeCountMember(
  output: Uint8Array,
  at: number,
  name: Uint8Array,
  count: Count,
): number {
  at = writeBytes(output, at, name);
  at = typeof count === "number"
    ? writeNumber(output, at, count)
    : writeBytes(output, at, bytesOf(String(count)));
  output[at++] = COMMA;
  return at;
}

/** A loop: `set` costs more than it saves below about 100 bytes. */
function writeBytes(output: Uint8Array, at: number, bytes: Uint8Array): number {
  for (let from = 0; from < bytes.length; from++) output[at++] = bytes[from];
  return at;
}

const BILLION = 1e9;

/** Writes a safe integer. */
export function writeNumber(output: Uint8Array, at: number, value: number): number {
  if (value < BILLION) return writeInteger(output, at, value);
  // Not by division and rounding down, which is wrong for some numbers just below a multiple.
  const low = value % BILLION;
  at = writeNumber(output, at, (value - low) / BILLION);
  let rest = low;
  for (let digit = at + 8; digit >= at; digit--) {
    const tens = (rest / 10) | 0;
    output[digit] = DIGIT_0 + rest - tens * 10;
    rest = tens;
  }
  return at + 9;
}

/** Writes an integer of 0 .. 10^9 - 1. */
function writeInteger(output: Uint8Array, at: number, value: number): number {
  let rest = value | 0;
  const digits = rest < 100
    ? (rest < 10 ? 1 : 2)
    : rest < 10_000
    ? (rest < 1_000 ? 3 : 4)
    : rest < 1_000_000
    ? (rest < 100_000 ? 5 : 6)
    : rest < 10_000_000
    ? 7
    : rest < 100_000_000
    ? 8
    : 9;
  for (let digit = at + digits - 1; digit >= at; digit--) {
    const tens = (rest / 10) | 0;
    output[digit] = DIGIT_0 + rest - tens * 10;
    rest = tens;
  }
  return at + digits;
}
