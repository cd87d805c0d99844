// @ts-check
/**
 * Buckets of a series as lines that a chart can draw: rates, stacked.
 *
 * In: answers of /series. Out: columns of numbers; null where nothing is known. Exact counts stay in the answer: what is drawn
 * are doubles, a pixel is coarser.
 */

/** @typedef {import("./numbers.js").Count} Count */
/** @typedef {{ txBytes: (Count | null)[], rxBytes: (Count | null)[] }} Line */

/**
 * Bits per second, both directions together.
 * @param {Line} line
 * @param {number} stepMs
 * @returns {(number | null)[]}
 */
export function ratesOf({ txBytes, rxBytes }, stepMs) {
  return txBytes.map((tx, bucket) => {
    const rx = rxBytes[bucket];
    return tx === null || rx === null ? null : (Number(tx) + Number(rx)) * 8_000 / stepMs;
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
 * Closes a column for steps: each value holds to the end of its bucket, and so does the last one.
 * @template T
 * @param {readonly T[]} values
 * @returns {T[]}
 */
export function closed(values) {
  return values.length === 0 ? [] : [...values, values[values.length - 1]];
}

/**
 * Stretches of time that are lost or missing, out of an answer of /gaps.
 * @param {{ gaps: { from: string, to: string }[] }} answer
 */
export function lostOf({ gaps }) {
  return gaps.map(({ from, to }) => ({ fromMs: Date.parse(from), toMs: Date.parse(to) }));
}

/**
 * Starts of buckets in seconds, with the end of the last.
 * @param {number} fromMs @param {number} stepMs @param {number} buckets
 */
export function edgesS(fromMs, stepMs, buckets) {
  return Array.from(
    { length: buckets === 0 ? 0 : buckets + 1 },
    (_value, at) => (fromMs + at * stepMs) / 1_000,
  );
}
