/**
 * `tunlog flows series`: sums over time.
 *
 * In: an answer of `/series`. Out: a table with one row for each bucket and a bar, then one line for each line of the series
 * with a curve. What is not known is a dot there, and never a zero.
 */
import { ConfigError } from "../../errors.ts";
import type { ExactJson } from "../../netlog/mod.ts";
import { type Column, cutTo, FlowTable } from "./columns.ts";
import { completenessLine } from "./completeness.ts";
import { csvRecord } from "./csv.ts";
import { Members } from "./members.ts";
import { lastLine, rangeLine, tableText } from "./print.ts";
import { ask, type FlowsContext, likely, parametersOf } from "./source.ts";
import { jsonLine } from "./json_line.ts";
import { dimensionText } from "./top.ts";
import { spanText, TimeWriter } from "./values.ts";

const COUNTERS = ["txPackets", "txBytes", "rxPackets", "rxBytes"] as const;
const SHOWN: Readonly<Record<string, readonly (typeof COUNTERS[number])[]>> = {
  bytes: ["txBytes", "rxBytes"],
  packets: ["txPackets", "rxPackets"],
  txBytes: ["txBytes"],
  rxBytes: ["rxBytes"],
  txPackets: ["txPackets"],
  rxPackets: ["rxPackets"],
};
const CURVE = "▁▂▃▄▅▆▇█";
const UNKNOWN = "·";
const BAR_COLUMNS_MIN = 8;
const BAR_COLUMNS_MAX = 40;
const CURVE_COLUMNS_MAX = 120;

/** One line of the series: its name, and its counters in each bucket; null = not known. */
interface Line {
  readonly label: string;
  /** Members that name it, for other programs. */
  readonly key: Readonly<Record<string, ExactJson>>;
  readonly lists: Members;
}

/** Runs the question. @returns false when nobody reads on. */
export async function series(context: FlowsContext): Promise<boolean> {
  const show = typeof context.values.show === "string" ? context.values.show : "bytes";
  if (!Object.hasOwn(SHOWN, show)) {
    throw new ConfigError(`--show: "${show}" is not known: ${likely(show, Object.keys(SHOWN))}`);
  }
  const parameters = parametersOf(context);
  const by = parameters.get("by") ?? "class";
  const answer = await ask(context.source, "/series", parameters);
  const lines = linesOf(answer, by);
  const { io, format, zone } = context;
  if (format === "table") {
    const times = new TimeWriter(zone);
    return await io.print(tableOf(context, answer, lines, show, times));
  }
  const records = recordsOf(answer, lines);
  if (format === "json") {
    const { series: _lines, rest: _rest, starts: _starts, shares: _shares, ...about } =
      answer.value;
    const texts = records.map((record) => jsonLine(record)).join("");
    return await io.print(texts + jsonLine(about));
  }
  const fields = ["start", "share", by, "rest", ...COUNTERS];
  const texts = records.map((record) =>
    csvRecord(fields.map((name) => name === "rest" ? record.rest ?? null : record[name]))
  );
  const isRead = await io.print(csvRecord(fields) + texts.join(""));
  if (isRead) io.stderr(`tunlog: ${completenessLine(answer, new TimeWriter(zone)).text}\n`);
  return isRead;
}

/** Lines with any traffic, the rest last. */
function linesOf(answer: Members, by: string): Line[] {
  const lines = answer.objects("series").map((line) => ({
    label: dimensionText(line, by),
    key: { [by]: line.value[by] },
    lists: line,
  }));
  const rest = answer.isNull("rest") ? [] : [answer.object("rest")];
  return [...lines, ...rest.map((lists) => ({ label: "rest", key: { rest: true }, lists }))]
    .filter(({ lists }) =>
      COUNTERS.some((name) =>
        lists.list(name).some((value) => value !== null && Number(value) !== 0)
      )
    );
}

/** One record for each bucket and line. */
function recordsOf(answer: Members, lines: readonly Line[]): Record<string, ExactJson>[] {
  const shares = answer.list("shares");
  return answer.texts("starts").flatMap((start, bucket) =>
    lines.map(({ key, lists }) => ({
      start,
      share: shares[bucket] ?? null,
      ...key,
      ...Object.fromEntries(COUNTERS.map((name) => [name, lists.list(name)[bucket] ?? null])),
    }))
  );
}

// ---- Tables ---------------------------------------------------------------------------------------------------------

function tableOf(
  context: FlowsContext,
  answer: Members,
  lines: readonly Line[],
  show: string,
  times: TimeWriter,
): string {
  const starts = answer.texts("starts");
  times.look(starts);
  const values = lines.map(({ lists }) =>
    starts.map((_start, bucket) => valueAt(lists, bucket, show))
  );
  const head = rangeLine(answer, times).trimEnd();
  const step = `step ${spanText(answer.number("stepMs"))}, ${show}`;
  if (lines.length === 0) {
    return `${head}, ${step}\nNo traffic\n${lastLine(context, answer, times)}`;
  }
  return [
    `${head}, ${step}\n${bucketTable(context, starts, lines, values, show, times)}`,
    curveTable(context, lines, values, show, answer.number("stepMs")),
  ].join("\n") + lastLine(context, answer, times);
}

function valueAt(lists: Members, bucket: number, show: string): number | null {
  let sum = 0;
  for (const name of SHOWN[show]) {
    const value = lists.list(name)[bucket] ?? null;
    if (value === null) return null;
    sum += Number(value);
  }
  return sum;
}

function bucketTable(
  context: FlowsContext,
  starts: readonly string[],
  lines: readonly Line[],
  values: readonly (readonly (number | null)[])[],
  show: string,
  times: TimeWriter,
): string {
  const { style } = context;
  const write = writerOf(context, show);
  const sums = starts.map((_start, bucket) => sumOf(values.map((line) => line[bucket])));
  const most = sums.reduce<number>((a, b) => Math.max(a, b ?? 0), 0);
  const number = (
    title: string,
    valueOf: (bucket: number) => number | null,
    dropOrder?: number,
  ) => ({
    title,
    cell: (bucket: number) => {
      const value = valueOf(bucket);
      return value === null ? UNKNOWN : value === 0 ? "0" : write(value);
    },
    align: "right" as const,
    ...(dropOrder !== undefined && { dropOrder }),
  });
  const columns: Column<number>[] = [
    { title: "Start", cell: (bucket) => times.short(starts[bucket]) },
    // The greatest stand first, so the last go first.
    ...lines.map(({ label }, line) =>
      number(cutTo(label, 21), (bucket) => values[line][bucket], lines.length - line)
    ),
    ...(lines.length > 1 ? [number("All", (bucket) => sums[bucket])] : []),
  ];
  const rows = starts.map((_start, bucket) => bucket);
  const width = new FlowTable(columns, { columns: style.columns, hasColor: false }).lines(rows)
    .split("\n").reduce((most, line) => Math.max(most, [...line].length), 0);
  const room = Math.min(BAR_COLUMNS_MAX, style.columns - width - 2);
  if (room >= BAR_COLUMNS_MIN && most > 0) {
    columns.push({ title: "", cell: (bucket) => bar(sums[bucket], most, room) });
  }
  return tableText(context, { rows, columns, ifEmpty: "No traffic" });
}

function curveTable(
  context: FlowsContext,
  lines: readonly Line[],
  values: readonly (readonly (number | null)[])[],
  show: string,
  stepMs: number,
): string {
  const write = writerOf(context, show);
  const room = Math.max(8, Math.min(CURVE_COLUMNS_MAX, context.style.columns - 48));
  const unit = show.toLowerCase().endsWith("bytes") ? "B/s" : "P/s";
  const rate = (value: number) => write(Math.round(value * 1_000 / stepMs));
  const columns: Column<number>[] = [
    { title: "Line", cell: (line) => lines[line].label, columnsMin: 8 },
    { title: "Sum", cell: (line) => write(sumOf(values[line]) ?? 0), align: "right" },
    {
      title: `Peak ${unit}`,
      cell: (line) => rate(greatest(values[line])),
      align: "right",
      dropOrder: 1,
    },
    { title: "", cell: (line) => curve(values[line], room), dropOrder: 2 },
  ];
  return tableText(context, { rows: lines.map((_line, index) => index), columns, ifEmpty: "" });
}

function writerOf({ numbers }: FlowsContext, show: string): (value: number) => string {
  return show.toLowerCase().endsWith("bytes")
    ? (value) => numbers.bytes(value)
    : (value) => numbers.count(value);
}

/** null where nothing is known of any. */
function sumOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}

function greatest(values: readonly (number | null)[]): number {
  return values.reduce<number>((a, b) => Math.max(a, b ?? 0), 0);
}

/** A bar of eighths. */
export function bar(value: number | null, most: number, columns: number): string {
  if (value === null) return UNKNOWN;
  const eighths = Math.round(value / most * columns * 8);
  const rest = " ▏▎▍▌▋▊▉"[eighths % 8];
  // What is little is still something.
  if (value > 0 && eighths === 0) return "▏";
  return ("█".repeat(Math.floor(eighths / 8)) + rest).trimEnd();
}

/** A curve of at most so many columns; where buckets share one, their greatest stands. */
export function curve(values: readonly (number | null)[], columns: number): string {
  const most = greatest(values);
  const count = Math.min(columns, values.length);
  let text = "";
  for (let column = 0; column < count; column++) {
    const from = Math.floor(column * values.length / count);
    const to = Math.max(from + 1, Math.floor((column + 1) * values.length / count));
    const known = values.slice(from, to).filter((value) => value !== null);
    if (known.length === 0) text += UNKNOWN;
    else {
      const value = Math.max(...known);
      // The lowest step is nothing at all.
      text += CURVE[value === 0 ? 0 : Math.max(1, Math.ceil(value / most * CURVE.length) - 1)];
    }
  }
  return text;
}
