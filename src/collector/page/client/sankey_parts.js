// @ts-check
/**
 * What the UMD file of d3-sankey asks of d3-array: it finds these in the global `d3`, which it adds itself to. Four packages
 * more for three short functions would double what is sent.
 */

/** @typedef {(value: any, index: number, values: Iterable<any>) => any} Accessor */

/** @type {any} */ (globalThis).d3 = {
  min: (/** @type {Iterable<any>} */ values, /** @type {Accessor | undefined} */ of) =>
    extreme(values, of, (a, b) => a < b),
  max: (/** @type {Iterable<any>} */ values, /** @type {Accessor | undefined} */ of) =>
    extreme(values, of, (a, b) => a > b),
  sum: (/** @type {Iterable<any>} */ values, /** @type {Accessor} */ of = (value) => value) => {
    let total = 0;
    let index = 0;
    for (const value of values) total += +of(value, index++, values) || 0;
    return total;
  },
};

/**
 * Values that are null or NaN do not count, as in d3-array.
 * @param {Iterable<any>} values
 * @param {Accessor | undefined} of
 * @param {(a: any, b: any) => boolean} isBetter
 */
function extreme(values, of = (value) => value, isBetter) {
  let best;
  let index = 0;
  for (const each of values) {
    const value = of(each, index++, values);
    if (
      value !== null && value !== undefined && !Number.isNaN(value) &&
      (best === undefined || isBetter(value, best))
    ) best = value;
  }
  return best;
}
