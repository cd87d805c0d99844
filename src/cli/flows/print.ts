/**
 * An answer → standard output: a table with what stands around it, lines of JSON, or CSV.
 *
 * In: an answer, how its rows are shown. Out: text, with a line about completeness at its end: in a table its last line, in
 * JSON the last object, beside CSV on standard error, for CSV has no place for it.
 */
import { type ExactJson, printable } from "../../netlog/mod.ts";
import { jsonLine } from "./json_line.ts";
import { type Column, FlowTable, red, wrapped } from "./columns.ts";
import { completenessLine } from "./completeness.ts";
import { csvRecord } from "./csv.ts";
import type { Members } from "./members.ts";
import type { FlowsContext } from "./source.ts";
import { TimeWriter } from "./values.ts";

/** One table of an answer. */
export interface TablePart<Row> {
  /** A line above it; absent = none. */
  readonly heading?: string;
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  readonly isRed?: (row: Row) => boolean;
  /** What stands in place of a table without rows. */
  readonly ifEmpty: string;
}

/** Names of CSV columns, and where their values are. */
export type CsvFields<Row> = readonly (readonly [string, (row: Row) => ExactJson | undefined])[];

/** CSV columns that are members of the row. */
export function fieldsOf(...names: string[]): CsvFields<Members> {
  return names.map((name) => [name, (row) => row.value[name]]);
}

/** Writes an answer. @returns false when nobody reads on. */
export async function printAnswer<Row>(
  context: FlowsContext,
  answer: Members,
  { list, tables, csv }: {
    /** Member that holds the rows: lines of JSON. */
    readonly list: string;
    readonly tables: (times: TimeWriter) => readonly string[];
    readonly csv: { readonly rows: readonly Row[]; readonly fields: CsvFields<Row> };
  },
): Promise<boolean> {
  const { io, format, zone } = context;
  switch (format) {
    case "json": {
      const lines = answer.list(list).map((row) => jsonLine(row));
      const rest = Object.fromEntries(
        Object.entries(answer.value).filter(([name]) => name !== list),
      );
      return await io.print(lines.join("") + jsonLine(rest));
    }
    case "csv": {
      const head = csvRecord(csv.fields.map(([name]) => name));
      const records = csv.rows.map((row) =>
        csvRecord(csv.fields.map(([, valueOf]) => valueOf(row)))
      );
      const isRead = await io.print(head + records.join(""));
      if (isRead) io.stderr(`tunlog: ${completenessLine(answer, new TimeWriter(zone)).text}\n`);
      return isRead;
    }
    case "table": {
      const times = new TimeWriter(zone);
      const texts = tables(times).filter((text) => text !== "");
      return await io.print(`${texts.join("\n")}${lastLine(context, answer, times)}`);
    }
  }
}

/** The line about completeness, red when something is lost. */
export function lastLine(
  { style }: FlowsContext,
  answer: Members,
  times: TimeWriter,
): string {
  const { text, isLost } = completenessLine(answer, times);
  const lines = wrapped(text, style.columns).split("\n");
  return lines.map((line) => `${red(line, style.hasColor && isLost)}\n`).join("");
}

/** Lines of one table. */
export function tableText<Row>(
  { style }: FlowsContext,
  { heading, rows, columns, isRed, ifEmpty }: TablePart<Row>,
): string {
  const head = heading === undefined ? "" : `${printable(heading)}\n`;
  if (rows.length === 0) return ifEmpty === "" ? "" : `${head}${ifEmpty}\n`;
  const table = new FlowTable(columns, style);
  const lines = table.lines(rows, isRed);
  const dropped = table.dropped();
  const note = dropped.length === 0 ? "" : `No room for: ${dropped.join(", ")}\n`;
  return `${head}${lines}${note}`;
}

/** Range and tier of an answer. */
export function rangeLine(answer: Members, times: TimeWriter): string {
  const range = answer.object("range");
  // Times below it need no day if it lies on one.
  times.look([range.text("from"), range.text("to")]);
  const tier = answer.has("tier") ? `, ${printable(answer.text("tier"))}` : "";
  const notes = answer.has("notes")
    ? answer.texts("notes").map((note) => `\n${printable(note)}`)
    : [];
  return `${times.whole(range.text("from"))} .. ${times.whole(range.text("to"))}${tier}` +
    `${notes.join("")}\n`;
}
