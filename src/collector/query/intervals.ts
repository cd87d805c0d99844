/**
 * Stretches of time on the real line, Unix ms with fractions.
 *
 * In and out: sorted lists of disjoint intervals. Windows that follow one another by 1 ns touch here: 1 ns is less than a
 * Float64 tells apart at such times.
 */

import { msOfNs } from "../../time_text.ts";

/** From `fromMs` to `toMs`, fromMs <= toMs. */
export interface Interval {
  readonly fromMs: number;
  readonly toMs: number;
}

/** A time of the log in ms, with fractions as far as a Float64 has them. */
export function msOfTime(ns: bigint): number {
  const ms = ns / 1_000_000n;
  return Number(ms) + Number(ns - ms * 1_000_000n) / 1_000_000;
}

/** Milliseconds of a time, rounded up, exactly: where the store says that a window ends. */
export function ceilMsOfTime(ns: bigint): number {
  return -msOfNs(-ns);
}

/** Milliseconds of a window's start as the store counts it: where the window before ends. */
export function openStartMs(startNs: bigint): number {
  return ceilMsOfTime(startNs - 1n);
}

/** Sorts intervals and joins those that touch. */
export function joined(intervals: readonly Interval[]): Interval[] {
  const sorted = [...intervals].sort((a, b) => a.fromMs - b.fromMs || a.toMs - b.toMs);
  const found: Interval[] = [];
  for (const { fromMs, toMs } of sorted) {
    const last = found.at(-1);
    if (last !== undefined && fromMs <= last.toMs) {
      found[found.length - 1] = { fromMs: last.fromMs, toMs: Math.max(last.toMs, toMs) };
    } else found.push({ fromMs, toMs });
  }
  return found;
}

/** What lies in both. Both lists are joined. */
export function intersection(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  const found: Interval[] = [];
  for (let indexA = 0, indexB = 0; indexA < a.length && indexB < b.length;) {
    const fromMs = Math.max(a[indexA].fromMs, b[indexB].fromMs);
    const toMs = Math.min(a[indexA].toMs, b[indexB].toMs);
    if (fromMs < toMs) found.push({ fromMs, toMs });
    if (a[indexA].toMs < b[indexB].toMs) indexA++;
    else indexB++;
  }
  return found;
}

/** What of `a` does not lie in `b`. Both lists are joined. */
export function difference(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  const found: Interval[] = [];
  for (const { fromMs, toMs } of a) {
    let start = fromMs;
    for (const hole of b) {
      if (hole.toMs <= start || hole.fromMs >= toMs) continue;
      if (hole.fromMs > start) found.push({ fromMs: start, toMs: hole.fromMs });
      start = Math.max(start, hole.toMs);
    }
    if (start < toMs) found.push({ fromMs: start, toMs });
  }
  return found;
}

/** How long they are together. */
export function lengthMs(intervals: readonly Interval[]): number {
  return intervals.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
}

/** What of joined intervals lies in a range; only what has a length. */
export function within(intervals: readonly Interval[], range: Interval): Interval[] {
  return intersection(intervals, [range]);
}
