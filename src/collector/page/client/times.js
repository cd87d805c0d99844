// @ts-check
/**
 * Times and lengths of time as people read them; ranges as the address of the page holds them.
 *
 * In: Unix ms, texts. Out: local texts, UTC texts for who hovers; ranges. `now` is handed in.
 */

/** @typedef {{ from: string, to: string }} RangeText */
/** @typedef {{ fromMs: number, toMs: number }} RangeMs */

/** Last ms of the year 9999: the collector knows no time beyond it. */
const TIME_MS_MAX = 253_402_300_799_999;
const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** @param {number} value @param {number} [digits] */
function pad(value, digits = 2) {
  return String(value).padStart(digits, "0");
}

/** Local date and time: 2026-01-31 12:00:05. @param {number} ms */
export function localText(ms) {
  const date = new Date(ms);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${
    clockText(ms)
  }`;
}

/** Local time of day. @param {number} ms */
export function clockText(ms) {
  const date = new Date(ms);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** @param {number} ms */
export function utcText(ms) {
  return `${
    new Date(ms).toISOString().replace("T", " ").replace(/\.000Z$/, "").replace(/Z$/, "")
  } UTC`;
}

/**
 * The two greatest units: 2 d 3 h, 5 m 10 s, 250 ms.
 * @param {number} ms
 */
export function durationText(ms) {
  const whole = Math.round(Math.abs(ms));
  if (whole < 1_000) return `${whole} ms`;
  const units =
    /** @type {[string, number][]} */ ([["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], [
      "s",
      1_000,
    ]]);
  // Cut, not rounded, so that 59.9 s is not 60 s.
  const index = units.findIndex(([, unitMs]) => whole >= unitMs);
  const [name, unitMs] = units[index];
  const count = Math.floor(whole / unitMs);
  const next = units[index + 1];
  const rest = next === undefined ? 0 : Math.floor((whole - count * unitMs) / next[1]);
  return `${count} ${name}${rest > 0 ? ` ${rest} ${next[0]}` : ""}`;
}

/** How long ago. @param {number} ms @param {number} nowMs */
export function agoText(ms, nowMs) {
  const pastMs = nowMs - ms;
  return pastMs < 1_000 ? "now" : `${durationText(pastMs)} ago`;
}

/**
 * A time of the address: Unix ms, `now`, `-15m`.
 * @param {string} text
 * @param {number} nowMs
 * @returns {number | null} null = not a time that the collector knows.
 */
export function timeOf(text, nowMs) {
  if (text === "now") return nowMs;
  const relative = /^-(\d{1,9})([smhdw])$/.exec(text);
  if (relative !== null) {
    const unit = /** @type {keyof typeof UNITS_MS} */ (relative[2]);
    const ms = nowMs - Number(relative[1]) * UNITS_MS[unit];
    return ms >= 0 ? ms : null;
  }
  return /^\d{1,15}$/.test(text) && Number(text) <= TIME_MS_MAX ? Number(text) : null;
}

/**
 * @param {RangeText} range
 * @param {number} nowMs
 * @returns {RangeMs | null} null = not a range.
 */
export function rangeOf({ from, to }, nowMs) {
  const fromMs = timeOf(from, nowMs);
  const toMs = timeOf(to, nowMs);
  return fromMs === null || toMs === null || fromMs >= toMs ? null : { fromMs, toMs };
}

/** What people call a range. @param {RangeText} range @param {number} nowMs */
export function rangeText(range, nowMs) {
  const relative = /^-(\d+)([smhdw])$/.exec(range.from);
  if (relative !== null && range.to === "now") {
    const names = { s: "seconds", m: "minutes", h: "hours", d: "days", w: "weeks" };
    const name = names[/** @type {keyof typeof names} */ (relative[2])];
    return relative[1] === "1" ? `Last ${name.slice(0, -1)}` : `Last ${relative[1]} ${name}`;
  }
  const found = rangeOf(range, nowMs);
  if (found === null) return `${range.from} – ${range.to}`;
  const sameDay = localText(found.fromMs).slice(0, 10) === localText(found.toMs).slice(0, 10);
  return `${localText(found.fromMs)} – ${sameDay ? clockText(found.toMs) : localText(found.toMs)}`;
}

/**
 * Moves a range by its own length, or makes it longer or shorter around its middle.
 * @param {RangeMs} range
 * @param {{ move?: number, scale?: number }} change
 * @returns {RangeMs}
 */
export function changedRange({ fromMs, toMs }, { move = 0, scale = 1 }) {
  const length = toMs - fromMs;
  const middle = (fromMs + toMs) / 2 + move * length;
  const half = Math.max(500, length * scale / 2);
  return { fromMs: Math.max(0, Math.round(middle - half)), toMs: Math.round(middle + half) };
}

/** Value of `<input type=datetime-local>`, with seconds. @param {number} ms */
export function inputText(ms) {
  return localText(ms).replace(" ", "T");
}

/**
 * Texts of a time axis: seconds only where they tell, the date at the first tick of a day.
 * @param {readonly number[]} ticksS Unix time in seconds.
 * @param {number} stepS
 */
export function axisTexts(ticksS, stepS) {
  let day = "";
  return ticksS.map((tickS) => {
    const text = localText(tickS * 1_000);
    const clock = stepS % 60 === 0 ? text.slice(11, 16) : text.slice(11);
    const isNewDay = text.slice(0, 10) !== day;
    const isFirst = day === "";
    day = text.slice(0, 10);
    if (stepS >= 86_400) return text.slice(5, 10);
    return isNewDay && (!isFirst || clock.startsWith("00:00"))
      ? `${clock}\n${text.slice(5, 10)}`
      : clock;
  });
}
