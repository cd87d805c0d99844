// @ts-check
/**
 * Numbers as people read them, and exactly.
 *
 * In: counts of any size (number or bigint). Out: short texts, decimal (SI: kB = 1000) or binary (IEC: KiB = 1024), and
 * texts with every digit for who wants to know.
 */

/** @typedef {number | bigint} Count */
/** @typedef {"si" | "iec"} UnitSystem */

const SI = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];
const IEC = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
/** Thin, and lines do not break at it. */
const SPACE = "\u202f";

/**
 * Three digits at least, four at most: 0, 999, 1.00 k, 12.3 k, 123 k.
 * @param {Count} value
 * @param {string} unit
 * @param {UnitSystem} [system]
 */
export function shortText(value, unit, system = "si") {
  const number = Number(value);
  if (!Number.isFinite(number)) return "–";
  const base = system === "iec" ? 1024 : 1000;
  const prefixes = system === "iec" ? IEC : SI;
  const sign = number < 0 ? "−" : "";
  let rest = Math.abs(number);
  let step = 0;
  // What would be rounded up to the base is written with the next prefix.
  while (rest >= base - 0.5 && step < prefixes.length - 1) {
    rest /= base;
    step++;
  }
  const fraction = step === 0
    ? (Number.isInteger(rest) ? 0 : 1)
    : rest < 9.995
    ? 2
    : rest < 99.95
    ? 1
    : 0;
  const name = `${prefixes[step]}${unit}`;
  // What is there is never shown as nothing.
  const digits = number > 0 && rest < 0.05 ? "< 0.1" : rest.toFixed(fraction);
  return `${sign}${digits}${name === "" ? "" : SPACE + name}`;
}

/** @param {Count} bytes @param {UnitSystem} [system] */
export function bytesText(bytes, system) {
  return shortText(bytes, "B", system);
}

/** Rates are bits per second, which are counted in thousands everywhere. @param {Count} bits */
export function rateText(bits) {
  return shortText(bits, "bit/s");
}

/** @param {Count} count */
export function countText(count) {
  return shortText(count, "");
}

/**
 * Every digit, in groups of three.
 * @param {Count} value
 * @param {string} [unit]
 */
export function exactText(value, unit = "") {
  const isWhole = typeof value === "bigint" || Number.isInteger(value);
  // String() of a double beyond 10^21 has an exponent.
  const digits = isWhole ? String(BigInt(value)) : Number(value).toFixed(3);
  const [whole, fraction] = digits.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, SPACE);
  return `${grouped}${fraction === undefined ? "" : `.${fraction}`}${
    unit === "" ? "" : ` ${unit}`
  }`;
}

/**
 * @param {...Count} counts
 * @returns {Count} A number while that is exact, else a bigint.
 */
export function sum(...counts) {
  let total = 0;
  for (const count of counts) {
    total += Number(count);
    if (typeof count === "bigint" || !Number.isSafeInteger(total)) return exactSum(counts);
  }
  return total;
}

/** @param {Count[]} counts @returns {Count} */
function exactSum(counts) {
  const total = counts.reduce((/** @type {bigint} */ all, count) => all + BigInt(count), 0n);
  return total <= BigInt(Number.MAX_SAFE_INTEGER) && total >= BigInt(Number.MIN_SAFE_INTEGER)
    ? Number(total)
    : total;
}

/** A share as percentage that never claims what is not so: 100 % and 0 % are exact. @param {number} share */
export function percentText(share) {
  if (share >= 1) return "100 %";
  if (share <= 0) return "0 %";
  const percent = share * 100;
  if (percent > 99.99) return "> 99.99 %";
  if (percent < 0.01) return "< 0.01 %";
  return `${percent >= 99 ? percent.toFixed(2) : percent.toPrecision(percent < 1 ? 2 : 3)} %`;
}
