/**
 * CRC-32C (RFC 3720 §12.1): tells bytes that a disk changed from those that were written. Not for adversaries.
 *
 * In: bytes. Out: 32 bits. Four bytes at a time by four tables: 2.5x the byte-wise loop, tests/bench/spool_bench.ts.
 */

/** Reversed polynomial of Castagnoli. */
const POLYNOMIAL = 0x82f63b78;
/** Four tables of 256: table k advances a byte past k further bytes. */
const TABLES = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(4 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? POLYNOMIAL : 0);
    tables[byte] = crc;
  }
  for (let index = 256; index < tables.length; index++) {
    const before = tables[index - 256];
    tables[index] = (before >>> 8) ^ tables[before & 0xff];
  }
  return tables;
}

/**
 * Returns the checksum of `length` bytes at `offset`.
 * @param crc Result for the bytes before, to go on from.
 */
export function crc32c(
  bytes: Uint8Array,
  offset: number = 0,
  length: number = bytes.length - offset,
  crc: number = 0,
): number {
  const end = offset + length;
  let state = ~crc;
  let at = offset;
  for (; at + 4 <= end; at += 4) {
    state ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    state = TABLES[768 + (state & 0xff)] ^ TABLES[512 + ((state >>> 8) & 0xff)] ^
      TABLES[256 + ((state >>> 16) & 0xff)] ^ TABLES[state >>> 24];
  }
  for (; at < end; at++) state = (state >>> 8) ^ TABLES[(state ^ bytes[at]) & 0xff];
  return ~state >>> 0;
}
