/**
 * `tunlog flows query` and `flows export`: connections window by window, page after page; messages as they were received.
 *
 * In: pages of `/flows`, entries. Out: rows as they come, so that what is long needs no memory.
 */
import { FLOWS_PAGE_MAX } from "../../limits.ts";
import { ConfigError } from "../../errors.ts";
import { nsOfWallMs, timeText } from "../../time_text.ts";
import { harmlessJson, jsonLine } from "./json_line.ts";
import { csvRecord } from "./csv.ts";
import { completenessLine } from "./completeness.ts";
import { FLOW_FIELDS, flowColumns } from "./flow_columns.ts";
import { Members } from "./members.ts";
import { printAnswer, rangeLine, tableText } from "./print.ts";
import { ask, type FlowsContext, parametersOf } from "./source.ts";
import { parseTimeOption } from "./time_option.ts";
import { TimeWriter } from "./values.ts";

const ROWS_DEFAULT = 100;

/** Runs the question. @returns false when nobody reads on. */
export async function query(context: FlowsContext): Promise<boolean> {
  const parameters = parametersOf(context, ["limit"]);
  const limit = wholeOption(context, "limit", ROWS_DEFAULT);
  let answer: Members | null = null;
  const flows: Members[] = [];
  for await (const page of flowPages(context, parameters, limit)) {
    flows.push(...page.objects("flows"));
    answer = page;
  }
  const whole = new Members({ ...answer!.value, flows: flows.map(({ value }) => value) });
  return await printAnswer(context, whole, {
    list: "flows",
    tables: (times) => {
      times.look(flows.map((flow) => flow.text("end")));
      return [
        rangeLine(whole, times) +
        tableText(context, {
          rows: flows,
          columns: flowColumns(context.numbers, times),
          ifEmpty: "No connections",
        }),
        whole.isNull("next") ? "" : `There are more: --limit is ${limit}\n`,
      ];
    },
    csv: { rows: flows, fields: FLOW_FIELDS },
  });
}

/** Prints everything, for other programs. @returns false when nobody reads on. */
export async function exportFlows(context: FlowsContext): Promise<boolean> {
  if (context.values.messages === true) return await exportMessages(context);
  if (context.values.collection !== undefined) {
    throw new ConfigError("Option --collection is for --messages");
  }
  const { io, format, zone } = context;
  const parameters = parametersOf(context);
  if (!parameters.has("order")) parameters.set("order", "oldest");
  let answer: Members | null = null;
  let head = format === "csv" ? csvRecord(FLOW_FIELDS.map(([name]) => name)) : "";
  for await (const page of flowPages(context, parameters, Infinity)) {
    answer = page;
    const rows = page.objects("flows");
    const lines = format === "csv"
      ? rows.map((row) => csvRecord(FLOW_FIELDS.map(([, valueOf]) => valueOf(row))))
      : rows.map(({ value }) => jsonLine(value));
    if (!await io.print(head + lines.join(""))) return false;
    head = "";
  }
  io.stderr(`tunlog: ${completenessLine(answer!, new TimeWriter(zone)).text}\n`);
  return true;
}

/** Pages of `/flows`, at least one, with at most `limit` rows in all. */
export async function* flowPages(
  { source, signal }: Pick<FlowsContext, "source" | "signal">,
  parameters: URLSearchParams,
  limit: number,
): AsyncGenerator<Members> {
  const asked = new URLSearchParams(parameters);
  let left = limit;
  // Times that are relative would move from page to page.
  let isFirst = true;
  while (!signal.aborted) {
    asked.set("limit", String(Math.min(left, FLOWS_PAGE_MAX)));
    const page = await ask(source, "/flows", asked);
    yield page;
    left -= page.list("flows").length;
    if (page.isNull("next") || left <= 0) return;
    if (isFirst) {
      const range = page.object("range");
      asked.set("from", range.text("from"));
      asked.set("to", range.text("to"));
      isFirst = false;
    }
    asked.set("cursor", page.text("next"));
  }
}

/** A whole number above 0. @throws {ConfigError} If it is none. */
export function wholeOption<T>({ values }: FlowsContext, name: string, fallback: T): number | T {
  const text = values[name];
  if (typeof text !== "string") return fallback;
  if (/^[1-9]\d{0,11}$/.test(text)) return Number(text);
  throw new ConfigError(`--${name} must be a whole number above 0`);
}

async function exportMessages(context: FlowsContext): Promise<boolean> {
  const { io, source, values, filter, format, signal } = context;
  if (filter !== "") throw new ConfigError("Option --messages excludes a filter");
  if (format === "csv") throw new ConfigError("Option --messages excludes --csv");
  for (const name of ["order", "orphans", "timeout"]) {
    if (values[name] !== undefined && values[name] !== false) {
      throw new ConfigError(`Option --messages excludes --${name}`);
    }
  }
  const parameters = parametersOf({ ...context, source: { ...source, range: null } });
  const isAll = source.range !== null;
  const nowMs = Date.now();
  const from = parseTimeOption(parameters.get("from") ?? (isAll ? "0" : "-1h"), nowMs, "from");
  const to = parseTimeOption(parameters.get("to") ?? "now", nowMs, "to");
  let count = 0;
  let lines = "";
  const wanted = {
    collection: typeof values.collection === "string" ? values.collection : null,
    from: timeText(nsOfWallMs(from)),
    // Receipt is asked for up to, but without, the end.
    to: timeText(nsOfWallMs(to + 1)),
  };
  for await (const line of source.entries(wanted)) {
    if (signal.aborted) break;
    lines += `${harmlessJson(line)}\n`;
    count++;
    if (lines.length < PRINT_CHARS) continue;
    if (!await io.print(lines)) return false;
    lines = "";
  }
  if (lines !== "" && !await io.print(lines)) return false;
  io.stderr(`tunlog: ${count} entries\n`);
  return true;
}

/** Written at once. */
const PRINT_CHARS = 64 * 1024;
