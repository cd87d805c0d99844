/**
 * The demo's table: flows by class, in as many columns as the terminal has room for.
 *
 * In: flows, a width. Out: lines that fit it. Colours only where asked for. Not here: the numbers (flow_book.ts).
 */
import { type ListName, LISTS } from "../../netlog/mod.ts";
import { type Flow, HISTORY_WINDOWS_MAX, type ShownFlow } from "./flow_book.ts";

/** How a table is to look. */
export interface TableLook {
  readonly columns: number;
  readonly hasColor: boolean;
  /** Whether there are rates to show: a log that grows, not a capture. */
  readonly isLive: boolean;
}

/** What each class is, for people; colour by SGR number. */
const CLASSES: Readonly<Record<ListName, { readonly meaning: string; readonly color: number }>> = {
  virtual: { meaning: "between nodes", color: 32 },
  subnet: { meaning: "networks behind nodes", color: 36 },
  exit: { meaning: "internet behind exit nodes", color: 33 },
  physical: { meaning: "datagrams on the wire", color: 35 },
};

const BOLD = 1;
const DIM = 2;

/** Colours a text, or leaves it as it is. */
export type Paint = (text: string, ...codes: number[]) => string;

/** Makes a Paint. */
export function paintOf(hasColor: boolean): Paint {
  return (text, ...codes) =>
    hasColor && text !== "" ? `\x1b[${codes.join(";")}m${text}\x1b[0m` : text;
}

/** One column. Texts have no colours, for these have no width. */
interface Column {
  readonly title: string;
  readonly isLeft?: boolean;
  /** Columns of a terminal from which on it is shown. */
  readonly from: number;
  /** At least, so that the table keeps still while numbers change. */
  readonly least: number;
  readonly text: (flow: ShownFlow) => string;
  /** Of a class's line; absent = blank. */
  readonly sum?: (flows: readonly ShownFlow[]) => string;
}

const PROTO_COLUMNS = 6;
const FLOW_COLUMNS_MIN = 24;
/** Fewer bars show nothing. */
const BARS_MIN = 8;

const COLUMNS: readonly Column[] = [
  byteColumn("TX/s", 0, (flow) => flow.txRate),
  byteColumn("RX/s", 0, (flow) => flow.rxRate),
  byteColumn("TX", 100, (flow) => flow.txBytes),
  byteColumn("RX", 100, (flow) => flow.rxBytes),
  byteColumn("TOTAL", 66, (flow) => flow.txBytes + flow.rxBytes),
  {
    title: "PACKETS",
    from: 112,
    least: 7,
    text: (flow) => siText(flow.txPackets + flow.rxPackets),
    sum: (flows) => siText(sumOf(flows, (flow) => flow.txPackets + flow.rxPackets)),
  },
  {
    title: "CONNS",
    from: 120,
    least: 5,
    text: (flow) => flow.proto === "" ? "" : `${flow.connections}`,
  },
  { title: "SEEN BY", isLeft: true, from: 78, least: 7, text: (flow) => flow.reporters.join(" ") },
];

/** Columns that say nothing of a capture as a whole. */
const LIVE_TITLES = ["TX/s", "RX/s", "CONNS"];
/** And those that a capture shows however narrow the terminal is. */
const CAPTURE_TITLES = ["TX", "RX", "TOTAL", "PACKETS"];

function byteColumn(title: string, from: number, value: (flow: ShownFlow) => number): Column {
  return {
    title,
    from,
    // `1.23 MB`.
    least: 7,
    text: (flow) => bytesText(value(flow)),
    sum: (flows) => bytesText(sumOf(flows, value)),
  };
}

function sumOf(flows: readonly ShownFlow[], value: (flow: ShownFlow) => number): number {
  return flows.reduce((sum, flow) => sum + value(flow), 0);
}

/** Which columns there are, and how wide. */
interface Layout {
  readonly columns: readonly Column[];
  readonly widths: readonly number[];
  readonly flowColumns: number;
  /** Windows whose rate is drawn as a bar; 0 = there is no room. */
  readonly barCount: number;
  readonly lineColumns: number;
}

/** Draws all flows. */
export function flowTable(flows: readonly ShownFlow[], look: TableLook): string[] {
  const paint = paintOf(look.hasColor);
  const layout = layoutOf(flows, look);
  const { columns, flowColumns, barCount } = layout;
  const title = line(
    `  ${"PROTO".padEnd(PROTO_COLUMNS)}${"FLOW".padEnd(flowColumns)}`,
    columns.map((column) => column.title),
    layout,
  );
  const barTitle = barCount === 0 ? "" : `  ${"RATE".padStart(barCount)}`;
  return [
    paint(`${title}${barTitle}`.trimEnd(), DIM),
    ...LISTS.flatMap((list) => {
      const own = flows.filter(({ className }) => className === list);
      if (own.length === 0) return [];
      const { meaning, color } = CLASSES[list];
      const lead = fit(`${list}  ${meaning}`, 2 + PROTO_COLUMNS + flowColumns);
      const sums = columns.map((column) => column.sum?.(own) ?? "");
      const head = line(lead, sums, layout).trimEnd();
      return [
        paint(head.slice(0, list.length), BOLD, color) + paint(head.slice(list.length), color),
        ...own.map((flow) => flowRow(flow, layout, (bars) => paint(bars, color))),
      ];
    }),
  ];
}

function layoutOf(flows: readonly ShownFlow[], look: TableLook): Layout {
  const columns = COLUMNS.filter(({ title, from }) =>
    look.isLive
      ? look.columns >= from
      : !LIVE_TITLES.includes(title) && (look.columns >= from || CAPTURE_TITLES.includes(title))
  );
  const widths = columns.map((column) =>
    Math.max(
      column.least,
      ...flows.map((flow) => column.text(flow).length),
      ...LISTS.map((list) =>
        (column.sum?.(flows.filter(({ className }) => className === list)) ?? "").length
      ),
    )
  );
  const taken = 2 + PROTO_COLUMNS + widths.reduce((sum, width) => sum + 2 + width, 0);
  const wanted = Math.max(...flows.map((flow) => nameOf(flow).length), FLOW_COLUMNS_MIN);
  const flowColumns = Math.max(FLOW_COLUMNS_MIN, Math.min(wanted, look.columns - taken));
  const room = look.columns - taken - flowColumns - 2;
  const barCount = look.isLive && room >= BARS_MIN ? Math.min(room, HISTORY_WINDOWS_MAX) : 0;
  return { columns, widths, flowColumns, barCount, lineColumns: look.columns };
}

function flowRow(flow: ShownFlow, layout: Layout, paintBars: (bars: string) => string): string {
  const lead = `  ${flow.proto.padEnd(PROTO_COLUMNS)}${fit(nameOf(flow), layout.flowColumns)}`;
  const text = line(lead, layout.columns.map((column) => column.text(flow)), layout);
  if (layout.barCount === 0) return text.trimEnd();
  const bars = sparkline(flow.history.slice(-layout.barCount));
  return `${text}  ${paintBars(bars.padStart(layout.barCount))}`;
}

function line(
  lead: string,
  texts: readonly string[],
  { columns, widths, lineColumns }: Layout,
): string {
  const cells = columns.map(({ isLeft }, index) =>
    `  ${isLeft ? texts[index].padEnd(widths[index]) : texts[index].padStart(widths[index])}`
  );
  return `${lead}${cells.join("")}`.slice(0, lineColumns);
}

/** One flow of one message in one line, for output that is read later. */
export function flowLine(time: string, reporter: string, flow: Flow): string {
  const counts = `tx ${bytesText(flow.txBytes).padStart(7)}  rx ${
    bytesText(flow.rxBytes).padStart(7)
  }`;
  return `${time}  ${reporter.padEnd(5)}  ${flow.className.padEnd(8)}  ${flow.proto.padEnd(5)} ` +
    `${nameOf(flow).padEnd(32)}  ${counts}`;
}

function nameOf({ from, to, endpoint }: Flow): string {
  return `${from} → ${to}${endpoint === "" ? "" : ` (${endpoint})`}`;
}

/** Exactly so many columns. */
function fit(text: string, columns: number): string {
  return text.length <= columns ? text.padEnd(columns) : `${text.slice(0, columns - 1)}…`;
}

// ---- Numbers --------------------------------------------------------------------------------------------------------

const UNITS = ["", "k", "M", "G", "T", "P"];

/** Three digits and a unit of 1000: `0`, `12.3k`, `1.20M`. */
export function siText(value: number): string {
  const [digits, unit] = scaled(value);
  return `${digits}${unit}`;
}

/** The same of bytes: `840 B`, `12.3 kB`. */
export function bytesText(value: number): string {
  const [digits, unit] = scaled(value);
  return value === 0 ? "-" : `${digits} ${unit}B`;
}

function scaled(value: number): [digits: string, unit: string] {
  let unit = 0;
  // 999.5 would be written as 1000.
  for (; value >= 999.5 && unit < UNITS.length - 1; unit++) value /= 1000;
  if (unit === 0) return [value.toFixed(0), ""];
  return [value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0), UNITS[unit]];
}

const BARS = "▁▂▃▄▅▆▇█";

/** A row of bars, the highest for the largest value; blank where nothing was. */
function sparkline(values: readonly number[]): string {
  const most = Math.max(...values, 1);
  return values.map((value) =>
    value === 0 ? " " : BARS[Math.min(BARS.length - 1, Math.floor(value / most * BARS.length))]
  ).join("");
}
