/**
 * Lengths that both implementations of CryptoPort keep, and their checks. A wrong length or place is a bug of the
 * caller, never of a packet, so these throw; in C the same mistake would write over other memory.
 */
import { TAG_BYTES } from "../limits.ts";
import type { NativeBuffer } from "../ports.ts";

/** Keys of ChaCha20-Poly1305 and X25519. */
export const KEY_BYTES = 32;
/** BLAKE2s-256. */
export const HASH_BYTES = 32;
/** Block of BLAKE2s, which HMAC pads its key to (RFC 7693 §2.1). */
export const HASH_BLOCK_BYTES = 64;
/** Nonce of ChaCha20-Poly1305 (RFC 8439 §2.8). */
export const NONCE_BYTES = 12;
/** Nonce of XChaCha20-Poly1305. */
export const LONG_NONCE_BYTES = 24;

/** Asserts that `bytes` is `length` long. @throws {RangeError} If not. */
export function assertLength(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) {
    throw new RangeError(`Cannot use ${what} of ${bytes.length} bytes: wanted ${length}`);
  }
}

/** Asserts that `length` bytes at `offset` lie in `buffer`. @throws {RangeError} If not. */
export function assertInside(buffer: NativeBuffer, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= buffer.bytes.length)) {
    throw new RangeError(
      `Cannot use ${length} bytes at ${offset} of a buffer of ${buffer.bytes.length}`,
    );
  }
}

/** Asserts the lengths of an AEAD with associated data. @throws {RangeError} If one is wrong. */
export function assertAead(output: Uint8Array, key: Uint8Array, plaintextBytes: number): void {
  assertLength("key", key, KEY_BYTES);
  if (plaintextBytes < 0) throw new RangeError("Cannot open less than a tag");
  assertLength("output", output, plaintextBytes);
}

/** Bytes of plaintext in a sealed message; negative when it is shorter than a tag. */
export function plaintextLength(sealed: Uint8Array): number {
  return sealed.length - TAG_BYTES;
}

/** Writes WireGuard's nonce at `offset`: 4 zero bytes, then the counter as LE64 (whitepaper §5.4.6). */
export function writeCounter(view: DataView, offset: number, counter: number): void {
  view.setUint32(offset + 4, counter >>> 0, true);
  // `>>> 0` would take the low half: the counter is an integer below 2^53, so the division is exact.
  view.setUint32(offset + 8, Math.floor(counter / 0x1_0000_0000), true);
}
