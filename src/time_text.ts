/**
 * Times as text: RFC 3339 in UTC with nanoseconds, as the original writes them (SPEC 1.3).
 *
 * In and out: nanoseconds since 1970 as a bigint. Labels of windows are exact: the next one starts 1 ns after.
 */

/** Nanoseconds in a millisecond. */
export const NS_PER_MS = 1_000_000n;

/** First and last millisecond that four digits of a year can name. */
const MS_MIN = Date.parse("0001-01-01T00:00:00.000Z");
const MS_MAX = Date.parse("9999-12-31T23:59:59.999Z");

/** Wall time in milliseconds as nanoseconds; fractions are cut off, and years beyond 1 .. 9999 are not reached. */
export function nsOfWallMs(wallMs: number): bigint {
  return BigInt(Math.min(MS_MAX, Math.max(MS_MIN, Math.floor(wallMs)))) * NS_PER_MS;
}

/** Whole milliseconds of a time, rounded down. */
export function msOfNs(ns: bigint): number {
  const ms = ns / NS_PER_MS;
  return Number(ns < 0n && ms * NS_PER_MS !== ns ? ms - 1n : ms);
}

/**
 * Writes a time: `2022-10-13T20:23:09.644Z`, with up to 9 fractional digits and no zeros behind.
 * @throws {RangeError} If its year is not 1 .. 9999.
 */
export function timeText(ns: bigint): string {
  const ms = msOfNs(ns);
  if (!isWritable(ms)) {
    throw new RangeError(`Cannot write the time ${ns}: its year is not 1 .. 9999`);
  }
  const text = new Date(ms).toISOString();
  const rest = Number(ns - BigInt(ms) * NS_PER_MS);
  const fraction = (text.slice(20, 23) + String(rest).padStart(6, "0")).replace(/0+$/, "");
  return `${text.slice(0, 19)}${fraction === "" ? "" : `.${fraction}`}Z`;
}

/** Hours end at 23: Date.parse takes 24:00:00 as well. */
const TIME =
  /^(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d{1,9}))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/**
 * Reads a time in any zone.
 * @returns null if the text is not RFC 3339 with at most 9 fractional digits, or its year in UTC is not 1 .. 9999.
 */
export function parseTime(text: string): bigint | null {
  const parts = TIME.exec(text);
  if (parts === null) return null;
  const [, seconds, fraction = "", zone] = parts;
  const ms = Date.parse(`${seconds}.000${zone}`);
  // Date.parse turns 30 February into 2 March on some engines; then the day is not what was read.
  if (!isWritable(ms) || !isDay(seconds.slice(0, 10))) return null;
  return BigInt(ms) * NS_PER_MS + BigInt(fraction.padEnd(9, "0"));
}

/** Whether four digits can name the year. Not so for NaN. */
function isWritable(ms: number): boolean {
  return ms >= MS_MIN && ms <= MS_MAX;
}

function isDay(day: string): boolean {
  const ms = Date.parse(`${day}T00:00:00.000Z`);
  return Number.isFinite(ms) && new Date(ms).toISOString().startsWith(day);
}
