/**
 * Numbers with suffixes: `1500`, `10k`, `1.5M`, `1MiB`, `2Gbit`.
 *
 * In: text and what it measures. Out: a whole number of bytes, packets or bits per second, and back. SI prefixes are
 * powers of 1000, those with `i` of 1024. Exact: no step is done in floating point.
 */
import { shown } from "./problem.ts";
import type { Quantity } from "./syntax.ts";

const NUMBER = /^(\d+)(?:\.(\d{1,9}))?(?:([kmgtp])(i)?)?(bit|b)?(\/s)?$/i;
/** 2^53 has so many; more would only cost time. */
const DIGITS_MAX = 16;
const PREFIXES = ["k", "M", "G", "T", "P"] as const;

/** What a quantity counts, by the noun of messages; its own unit; the size of `bit` and `B` in it, as a fraction. */
const UNITS = {
  bytes: { noun: "bytes", unit: "B", sizes: { bit: [1n, 8n], b: [1n, 1n] } },
  pkts: { noun: "packets", unit: "", sizes: null },
  rate: { noun: "bits per second", unit: "bit", sizes: { bit: [1n, 1n], b: [8n, 1n] } },
} as const;

/** Reads a number. @returns The value, or a sentence that says what is wrong. */
export function readQuantity(text: string, quantity: Quantity): number | string {
  const match = NUMBER.exec(text);
  if (match === null) return `${shown(text)} is not a number: 1500, 10k, 1.5M, 1MiB, 2Gbit`;
  const [, whole, fraction = "", prefix, binary, unit, perSecond] = match;
  const { noun, sizes } = UNITS[quantity];
  if (unit === "b") return `Unit "b" may be bits or bytes: "bit" or "B" says which`;
  if (unit !== undefined && sizes === null) {
    return `Number ${shown(text)} has a unit, but packets have none`;
  }
  if (perSecond !== undefined && quantity !== "rate") {
    return `Number ${shown(text)} is a rate: "rate" compares it`;
  }
  if (whole.length > DIGITS_MAX) return `Number ${shown(text)} has more than ${DIGITS_MAX} digits`;
  const size = unit === undefined || sizes === null
    ? [1n, 1n]
    : sizes[unit.toLowerCase() as "bit" | "b"];
  const numerator = BigInt(whole + fraction) * scaleOf(prefix, binary !== undefined) * size[0];
  const denominator = 10n ** BigInt(fraction.length) * size[1];
  if (numerator % denominator !== 0n) {
    return `Number ${shown(text)} is not a whole number of ${noun}`;
  }
  const value = numerator / denominator;
  return value > BigInt(Number.MAX_SAFE_INTEGER)
    ? `Number ${shown(text)} is too large`
    : Number(value);
}

function scaleOf(prefix: string | undefined, isBinary: boolean): bigint {
  if (prefix === undefined) return 1n;
  const power = PREFIXES.findIndex((name) => name.toLowerCase() === prefix.toLowerCase()) + 1;
  return (isBinary ? 1024n : 1000n) ** BigInt(power);
}

/** Writes a number with the largest prefix that keeps it whole: SI where one does, else IEC. */
export function quantityText(value: number, quantity: Quantity): string {
  for (const [base, mark] of [[1000, ""], [1024, "i"]] as const) {
    let rest = value;
    let power = 0;
    while (power < PREFIXES.length && rest > 0 && rest % base === 0) {
      rest /= base;
      power++;
    }
    if (power === 0) continue;
    // IEC writes Ki with a capital, SI k without (IEC 80000-13, SI brochure §3).
    const prefix = mark === "" ? PREFIXES[power - 1] : PREFIXES[power - 1].toUpperCase();
    return `${rest}${prefix}${mark}${UNITS[quantity].unit}`;
  }
  return String(value);
}

/** Whether a word is what could stand behind a number: `MiB`, `Gbit`. */
export function isUnit(word: string): boolean {
  return /^(?:[kmgtp]i?(?:bit|b)?|bit|b)(?:\/s)?$/i.test(word);
}
