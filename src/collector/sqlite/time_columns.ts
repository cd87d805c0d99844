/**
 * Times as the store keeps them: whole milliseconds, rounded up, and the nanoseconds that were added by it. So years 1 to
 * 9999 fit, which 64 bits of nanoseconds do not hold, and "ends within (from, to]" is the same question in both units.
 *
 * The rule of buckets stands here too: a window belongs where it ends, and ends are inclusive.
 */

const NS_PER_MS = 1_000_000n;

/** Lengths of buckets. */
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;

/** Milliseconds of a time, rounded up. */
export function ceilMs(ns: bigint): number {
  const ms = ns / NS_PER_MS;
  return Number(ns > 0n && ms * NS_PER_MS !== ns ? ms + 1n : ms);
}

/**
 * Start of a window as its predecessor's end is counted, for it is open there: labels start 1 ns behind the end before, which
 * rounding up would make 1 ms.
 */
export function openStartMs(startNs: bigint): number {
  return ceilMs(startNs - 1n);
}

/** What rounding up added, 0 .. 999,999 ns. */
export function restNs(ns: bigint): number {
  return Number(BigInt(ceilMs(ns)) * NS_PER_MS - ns);
}

/** The time that ceilMs and restNs were of. */
export function toNs(ms: number, rest: number): bigint {
  return BigInt(ms) * NS_PER_MS - BigInt(rest);
}

/** Inclusive end of the bucket of `lengthMs` in which `endMs` lies: exactly on a boundary is before it. */
export function bucketEnd(endMs: number, lengthMs: number): number {
  return Math.ceil(endMs / lengthMs) * lengthMs + 0;
}
