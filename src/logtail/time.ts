/**
 * Times as entries carry them: UTC, RFC 3339, up to nine fractional digits (SPEC 1.3).
 *
 * In: Unix time in ns. Out: text such as `2026-01-01T00:00:05.000000001Z`, and back.
 */

const NS_PER_S = 1_000_000_000n;
const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/;

/**
 * Writes a time, trailing zeros and a bare dot left out.
 * @param ns Unix time in ns, year 1 to 9999.
 */
export function timeText(ns: bigint): string {
  // BigInt division rounds towards zero; times before 1970 need the floor.
  const fraction = ((ns % NS_PER_S) + NS_PER_S) % NS_PER_S;
  const seconds = new Date(Number((ns - fraction) / 1_000_000n)).toISOString().slice(0, 19);
  if (fraction === 0n) return `${seconds}Z`;
  return `${seconds}.${fraction.toString().padStart(9, "0").replace(/0+$/, "")}Z`;
}

/**
 * Reads a time written by timeText.
 * @throws {SyntaxError} If it is none.
 */
export function parseTime(text: unknown): bigint {
  const match = typeof text === "string" ? TIME.exec(text) : null;
  const ms = match === null ? NaN : Date.parse(`${match[1]}Z`);
  if (match === null || Number.isNaN(ms)) {
    throw new SyntaxError(`Cannot read time ${JSON.stringify(text)}: must be RFC 3339 in UTC`);
  }
  return BigInt(ms) * 1_000_000n + BigInt((match[2] ?? "").padEnd(9, "0"));
}
