/**
 * CSV (RFC 4180): commas, CRLF, quotes where they are needed.
 *
 * In: cells. Out: one record. Guarantees: what a name of a stranger begins with makes no formula of a cell in a spreadsheet:
 * an apostrophe stands in front. Nor does it steer the terminal of who looks at it. Numbers of ours stay numbers.
 */
import { type ExactJson, printable } from "../../netlog/mod.ts";

/** What spreadsheets take for the beginning of a formula; tab and carriage return are skipped by some. */
const FORMULA = /^[=+\-@\t\r]/;
const SPECIAL = /[",\r\n]/;

/** Writes one record with its line end. */
export function csvRecord(values: readonly (ExactJson | undefined)[]): string {
  return `${values.map(csvCell).join(",")}\r\n`;
}

function csvCell(value: ExactJson | undefined): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value !== "string") return csvCell(JSON.stringify(value, plain));
  const text = printable(FORMULA.test(value) ? `'${value}` : value);
  return SPECIAL.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** JSON has no place for them; cells that hold lists and objects are for people. */
function plain(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
