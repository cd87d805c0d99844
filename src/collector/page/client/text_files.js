// @ts-check
/**
 * Rows as files for spreadsheets and scripts.
 *
 * In: rows of counts and texts. Out: CSV (RFC 4180), NDJSON. Counts keep every digit. Texts that a spreadsheet would take for
 * a formula get a quote before them: names of nodes are what anybody may have chosen.
 * @see https://owasp.org/www-community/attacks/CSV_Injection
 */

/** @typedef {Readonly<Record<string, unknown>>} Row */

/** @param {readonly string[]} columns @param {readonly Row[]} rows */
export function csvText(columns, rows) {
  const lines = [columns, ...rows.map((row) => columns.map((name) => row[name]))];
  return lines.map((cells) => cells.map(csvCell).join(",") + "\r\n").join("");
}

/** What begins a formula, in the widths in which it is typed; spaces before it do not keep it from being one. */
const FORMULA = /^[\s\0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n\0]/;

/** @param {unknown} value */
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  const whole = typeof value === "string" ? value : jsonText(value);
  const text = FORMULA.test(whole) ? `'${whole}` : whole;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {readonly Row[]} rows */
export function ndjsonText(rows) {
  return rows.map((row) => `${jsonText(row)}\n`).join("");
}

/** JSON in which bigints are digits. @param {unknown} value @returns {string} */
export function jsonText(value) {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const members = Object.entries(value).filter(([, member]) => member !== undefined)
      .map(([name, member]) => `${JSON.stringify(name)}:${jsonText(member)}`);
    return `{${members.join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
