// @ts-check
/**
 * Buckets of a series as lines that a chart can draw: rates, stacked.
 *
 * In: answers of /series. Out: columns of numbers; null where nothing is known. Exact counts stay in the answer: what is drawn
 * are doubles, a pixel is coarser.
 */

/** @typedef {import("./numbers.js").Count} Count */
/** @typedef {{ txBytes: (Count | null)[], rxBytes: (Count | null)[] }} Line */

/** Nodes write a window as often unless they are told otherwise. */
const WINDOW_MS = 5_000;

/**
 * Bits per second, both directions together. A bucket that is still filling is told by the part of it that has been heard of:
 * by its whole length every chart that ends now would end with a fall. The part is a window at least: a window counts where
 * it ends, and one that ends at the bucket's first ms would be told as if it had all happened in that ms.
 * @param {Line} line
 * @param {number} stepMs
 * @param {{ fromMs: number, newestMs: number }} [heard] Start of the first bucket, end of the newest window.
 * @returns {(number | null)[]}
 */
export function ratesOf({ txBytes, rxBytes }, stepMs, heard) {
  return txBytes.map((tx, bucket) => {
    const rx = rxBytes[bucket];
    if (tx === null || rx === null) return null;
    const bits = (Number(tx) + Number(rx)) * 8;
    const partMs = heard === undefined ? stepMs : heard.newestMs - heard.fromMs - bucket * stepMs;
    if (partMs <= 0) return bits === 0 ? null : bits * 1_000 / stepMs;
    return bits * 1_000 / Math.min(stepMs, Math.max(WINDOW_MS, partMs));
  });
}

/**
 * Adds each line to those below it. Where a line knows nothing it adds nothing; where none does, all are null.
 * @param {readonly (readonly (number | null)[])[]} lines The lowest first.
 * @returns {(number | null)[][]} In the same order.
 */
export function stacked(lines) {
  const length = lines[0]?.length ?? 0;
  const below = new Float64Array(length);
  const isKnown = Array.from({ length }, (_value, at) => lines.some((line) => line[at] !== null));
  return lines.map((line) =>
    line.map((value, at) => {
      below[at] += value ?? 0;
      return isKnown[at] ? below[at] : null;
    })
  );
}

/**
 * A column as steps: each value at its bucket's start and again at its end, so that what comes before or behind time of which
 * nothing is known is as wide as it is.
 * @template T
 * @param {readonly T[]} values
 * @returns {T[]}
 */
export function steps(values) {
  return values.flatMap((value) => [value, value]);
}

/**
 * Stretches of time that are lost or missing, out of an answer of /gaps.
 * @param {{ gaps: { from: string, to: string }[] }} answer
 */
export function lostOf({ gaps }) {
  return gaps.map(({ from, to }) => ({ fromMs: Date.parse(from), toMs: Date.parse(to) }));
}

/**
 * Start and end of each bucket in seconds, as `steps` has them.
 * @param {number} fromMs @param {number} stepMs @param {number} buckets
 */
export function edgesS(fromMs, stepMs, buckets) {
  return Array.from(
    { length: 2 * buckets },
    (_value, at) => (fromMs + ((at + 1) >> 1) * stepMs) / 1_000,
  );
}
