/**
 * Internet checksums (RFC 1071).
 *
 * In: bytes in a DataView. Out: sums in ones' complement. A sum is a number below 2^53 whose value modulo 65535
 * counts; fold() makes it 16 bits. Guarantees: reads nothing outside the range that is named.
 */

/**
 * Adds the 16-bit big-endian words of a range to `sum`; an odd last byte counts as the high half of a word.
 * @param sum Sum so far; a range that is summed in pieces must be cut at even offsets.
 */
export function sumBytes(view: DataView, offset: number, length: number, sum: number): number {
  const end = offset + length;
  for (let at = offset; at < end; at++) {
    sum += view.getUint8(at) << (((at - offset) & 1) === 0 ? 8 : 0);
  }
  return sum;
}

/** Makes a sum 16 bits long: 0 iff all that was summed is 0. */
export function fold(sum: number): number {
  return sum === 0 ? 0 : (sum - 1) % 0xffff + 1;
}
