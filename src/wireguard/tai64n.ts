/**
 * TAI64N timestamps of handshake initiations (whitepaper §5.1, cr.yp.to/libtai/tai64.html).
 *
 * In: Unix time in milliseconds. Out: 12 bytes, big endian: 2^62 + 10 + seconds, then nanoseconds. A responder takes
 * only a timestamp above the last one, so a clock that is set back must not bring old ones forth: see TimestampSource.
 */
import { TIMESTAMP_BYTES } from "./messages.ts";

/**
 * Timestamps are rounded down to this, so that they do not tell our clock's fine state: the largest power of two
 * below the 20 ms that lie between two initiations at the least (tai64n_now, linux/drivers/net/wireguard/noise.c).
 */
export const TIMESTAMP_GRAIN_NS = 2 ** 24;

const NS_PER_S = 1e9;
/** High word of 2^62. */
const LABEL_HI = 0x40000000;
/** TAI was 10 s ahead of UTC in 1970; leap seconds since are left out, as Linux does. */
const LABEL_OFFSET_S = 10;

/** Orders two timestamps. @returns Below, at or above 0. They are big endian, so bytes compare like numbers. */
export function compareTimestamps(a: Uint8Array, b: Uint8Array): number {
  for (let index = 0; index < TIMESTAMP_BYTES; index++) {
    if (a[index] !== b[index]) return a[index] - b[index];
  }
  return 0;
}

/** Writes the timestamp of `seconds` and `nanoseconds` of Unix time. @param output TIMESTAMP_BYTES. */
export function writeTimestamp(output: Uint8Array, seconds: number, nanoseconds: number): void {
  const label = seconds + LABEL_OFFSET_S;
  const view = new DataView(output.buffer, output.byteOffset, TIMESTAMP_BYTES);
  view.setUint32(0, LABEL_HI + Math.floor(label / 2 ** 32));
  view.setUint32(4, label % 2 ** 32);
  view.setUint32(8, nanoseconds);
}

/** Strictly rising timestamps for one peer. */
export class TimestampSource {
  #seconds = 0;
  #nanoseconds = -1;

  /**
   * Writes a timestamp above every earlier one: the present, or one grain above the last where the clock stood
   * still or was set back.
   * @param output TIMESTAMP_BYTES.
   * @param wallMs Unix time, 0 or later.
   */
  next(output: Uint8Array, wallMs: number): void {
    const seconds = Math.floor(wallMs / 1000);
    const exact = Math.floor((wallMs - seconds * 1000) * 1e6);
    const nanoseconds = exact - exact % TIMESTAMP_GRAIN_NS;
    const isLater = seconds > this.#seconds ||
      (seconds === this.#seconds && nanoseconds > this.#nanoseconds);
    if (isLater) {
      this.#seconds = seconds;
      this.#nanoseconds = nanoseconds;
    } else {
      this.#nanoseconds += TIMESTAMP_GRAIN_NS;
      if (this.#nanoseconds >= NS_PER_S) {
        this.#seconds++;
        this.#nanoseconds = 0;
      }
    }
    writeTimestamp(output, this.#seconds, this.#nanoseconds);
  }
}
