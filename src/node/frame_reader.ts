/**
 * Bytes of a stream socket → requests that end with a line's end or with a blank line.
 *
 * In: chunks as they come. Out: whole requests, in order. The owner looks at `length` after each chunk and gives up
 * on a sender that has gone beyond its limit; the reader itself only holds what it is given.
 */

const NEWLINE = 0x0a;
/** Room to begin with, and to go back to after a large request. */
const ROOM_BYTES = 4096;

/** See file header. */
export class FrameReader {
  #bytes = new Uint8Array(ROOM_BYTES);
  #length = 0;
  /** No end begins before it. */
  #searched = 0;
  readonly #decoder = new TextDecoder();
  readonly #newlines: number;

  /** @param end What ends a request. */
  constructor(end: "line" | "blank line") {
    this.#newlines = end === "line" ? 1 : 2;
  }

  /** Bytes that are held. */
  get length(): number {
    return this.#length;
  }

  /** Appends a chunk, which is copied. */
  push(chunk: Uint8Array): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(chunk, this.#length);
    this.#length = needed;
  }

  /** Takes the next whole request, without its end. @returns null if there is none yet. */
  take(): string | null {
    const held = this.#bytes.subarray(0, this.#length);
    let at = held.indexOf(NEWLINE, this.#searched);
    // The end begins at the first newline that has another behind it, where two are wanted.
    while (at >= 0 && this.#newlines === 2 && held[at + 1] !== NEWLINE) {
      if (at + 1 === held.length) break;
      at = held.indexOf(NEWLINE, at + 1);
    }
    if (at < 0 || at + this.#newlines > held.length) {
      this.#searched = at < 0 ? held.length : at;
      return null;
    }
    const text = this.#decoder.decode(held.subarray(0, at));
    this.#drop(at + this.#newlines);
    return text;
  }

  /** The first line that is held, without its end. @returns null if it is not whole yet. */
  firstLine(): string | null {
    const held = this.#bytes.subarray(0, this.#length);
    const end = held.indexOf(NEWLINE);
    return end < 0 ? null : this.#decoder.decode(held.subarray(0, end));
  }

  #drop(count: number): void {
    const rest = this.#bytes.subarray(count, this.#length);
    this.#bytes = new Uint8Array(Math.max(ROOM_BYTES, rest.length));
    this.#bytes.set(rest);
    this.#length = rest.length;
    this.#searched = 0;
  }
}
