/**
 * `tunlog flows tail`: what arrives, as it arrives.
 *
 * In: windows as the source tells of them. Out: their connections that match, or their sums by class; at the end, when a signal
 * or the end of the input comes, how complete that time was.
 */
import { msOfNs, parseTime } from "../../time_text.ts";
import { printable } from "../../netlog/mod.ts";
import { jsonLine } from "./json_line.ts";
import { FlowTable } from "./columns.ts";
import { csvRecord } from "./csv.ts";
import { counterColumns, FLOW_FIELDS, flowColumns } from "./flow_columns.ts";
import { Members } from "./members.ts";
import { type CsvFields, fieldsOf, lastLine } from "./print.ts";
import { flowPages, wholeOption } from "./query.ts";
import { ask, type FlowsContext } from "./source.ts";
import { endMsOf, TimeWriter } from "./values.ts";

/** Follows the log. @returns false when nobody reads on. */
export async function tail(context: FlowsContext): Promise<boolean> {
  const { io, source, signal, values } = context;
  const printer = values.windows === true
    ? new RowPrinter(context, windowColumns, WINDOW_FIELDS)
    : new RowPrinter(context, (times) => flowColumns(context.numbers, times), FLOW_FIELDS);
  const limit = wholeOption(context, "limit", Infinity);
  const isStream = values.file === "-";
  const health = await ask(source, "/health", new URLSearchParams());
  const newest = isStream ? 0 : health.object("store").number("lastEntry");
  if (
    typeof values.last === "string" && !await printer.print(await earlier(context, newest, limit))
  ) {
    return false;
  }
  if (!isStream && values.file === undefined) {
    io.stderr(`tunlog: Following ${source.name.replace(/^C/, "c")}\n`);
  }
  const span = { fromMs: Infinity, toMs: -Infinity };
  for await (const item of source.live(newest, signal)) {
    if (item.kind === "notice") {
      io.stderr(`tunlog: ${printable(item.text)}\n`);
      continue;
    }
    for (const window of item.windows) {
      span.fromMs = Math.min(span.fromMs, msOfNs(parseTime(window.text("start")) ?? 0n));
      span.toMs = Math.max(span.toMs, endOf(window));
    }
    const rows = values.windows === true
      ? item.windows.flatMap(windowRows)
      : await arrived(context, item.windows, limit);
    if (!await printer.print(rows)) return false;
  }
  return await printEnd(context, printer, span);
}

function endOf(window: Members): number {
  return endMsOf(parseTime(window.text("end")) ?? 0n);
}

/** What ended lately and is stored already. */
async function earlier(context: FlowsContext, newest: number, limit: number): Promise<Members[]> {
  const { values, filter, source } = context;
  const to = source.range?.to ?? "now";
  const parameters = new URLSearchParams({ from: `-${values.last}`, to, order: "oldest", filter });
  const rows: Members[] = [];
  for await (const page of flowPages(context, parameters, limit)) {
    rows.push(...page.objects("flows").filter((row) => row.number("entry") <= newest));
  }
  return rows;
}

/** Connections of windows that arrived together. */
async function arrived(
  context: FlowsContext,
  windows: readonly Members[],
  limit: number,
): Promise<Members[]> {
  const { filter } = context;
  const rows: Members[] = [];
  // Windows of all nodes end at the same moments: one question for each of these.
  const byEnd = Map.groupBy(windows, endOf);
  for (const [endMs, together] of [...byEnd].sort(([a], [b]) => a - b)) {
    const entries = new Set(together.map((window) => window.number("id")));
    const parameters = new URLSearchParams({
      from: String(endMs - 1),
      to: String(endMs),
      order: "oldest",
      orphans: "true",
      ...(filter !== "" && { filter }),
    });
    for await (const page of flowPages(context, parameters, Infinity)) {
      rows.push(...page.objects("flows").filter((row) => entries.has(row.number("entry"))));
      if (rows.length >= limit) return rows.slice(0, limit);
    }
  }
  return rows;
}

// ---- Windows --------------------------------------------------------------------------------------------------------

/** One row for each class of a window. */
function windowRows(window: Members): Members[] {
  const { sums: _sums, ...about } = window.value;
  return Object.entries(window.object("sums").value).map(([name, counters]) =>
    new Members({ ...about, class: name, ...new Members(counters).value })
  );
}

const WINDOW_FIELDS = fieldsOf(
  ...["start", "end", "node", "class", "txPackets", "txBytes", "rxPackets", "rxBytes", "rows"],
);

function windowColumns(times: TimeWriter, { numbers }: FlowsContext) {
  return [
    { title: "End", cell: (row: Members) => times.short(row.text("end")) },
    { title: "Node", cell: (row: Members) => row.text("node"), columnsMin: 8 },
    { title: "Class", cell: (row: Members) => row.text("class") },
    ...counterColumns(numbers, 1),
  ];
}

// ---- Output ---------------------------------------------------------------------------------------------------------

/** Prints rows as they come, in whichever form. */
class RowPrinter {
  readonly times: TimeWriter;
  readonly #context: FlowsContext;
  readonly #table: FlowTable<Members>;
  readonly #fields: CsvFields<Members>;
  #isFirst = true;

  constructor(
    context: FlowsContext,
    columns: (times: TimeWriter, context: FlowsContext) => ReturnType<typeof windowColumns>,
    fields: CsvFields<Members>,
  ) {
    this.times = new TimeWriter(context.zone);
    this.#context = context;
    this.#table = new FlowTable(columns(this.times, context), context.style);
    this.#fields = fields;
  }

  async print(rows: readonly Members[]): Promise<boolean> {
    const { io, format } = this.#context;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    if (format === "table") {
      if (rows.length === 0) return true;
      this.times.look(rows.map((row) => row.text("end")));
      return await io.print(this.#table.lines(rows));
    }
    if (format === "json") {
      const lines = rows.map(({ value }) => jsonLine(value)).join("");
      return lines === "" || await io.print(lines);
    }
    const head = isFirst ? csvRecord(this.#fields.map(([name]) => name)) : "";
    const records = rows.map((row) => csvRecord(this.#fields.map(([, valueOf]) => valueOf(row))));
    return await io.print(head + records.join(""));
  }
}

/** How complete the time was that was shown. */
async function printEnd(
  context: FlowsContext,
  { times }: RowPrinter,
  { fromMs, toMs }: { fromMs: number; toMs: number },
): Promise<boolean> {
  const { io, source, format } = context;
  if (!(fromMs < toMs)) return true;
  const parameters = new URLSearchParams({ from: String(fromMs), to: String(toMs), limit: "1" });
  let answer: Members;
  try {
    answer = await ask(source, "/gaps", parameters);
  } catch {
    // The collector may be what ended it: what was shown stands.
    return true;
  }
  const { gaps: _gaps, truncated: _truncated, ...about } = answer.value;
  if (format === "json") return await io.print(jsonLine(about));
  const text = lastLine(context, new Members(about), times);
  if (format === "table") return await io.print(text);
  io.stderr(`tunlog: ${text}`);
  return true;
}
