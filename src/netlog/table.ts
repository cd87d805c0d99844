/**
 * Messages as tables: what the original's formatter prints for them (SPEC 7.3), with its defects mended.
 *
 * In: a message with what stands beside it, how addresses are to be named, the zone of times. Out: lines of text.
 * Mended against the original: a window without length shows counts, and says so, where rates would be infinite; a heading
 * wider than the columns below it widens them and never covers a number; sums are exact beyond 2^64; rows that carried the
 * same stand in the order of their ends and protocol, so that equal rows give an equal text; columns are aligned by what a
 * terminal shows; a window whose clock was set has the rates of its real length.
 * One form differs: an IPv6 address with a port is written in brackets. Without them, as in the original,
 * fd7a:115c:a1e0::1:80 is both port 80 of one address and no port of another.
 */
import { addressText, parseAddressPort, parsePrefix } from "../packet/mod.ts";
import { type Count, type Counts, CountsSum } from "./counts.ts";
import {
  alignLeft,
  alignRight,
  columnsOf,
  iecText,
  localTimeText,
  printable,
  protoName,
  siText,
  type ZoneOffset,
} from "./display.ts";
import type { FoundMessage, Provenance } from "./found_message.ts";
import { type Connection, type ListName, LISTS, type Message, type NodeInfo } from "./schema.ts";

/** What addresses of known nodes are replaced by. */
export type AddressName = "nodeid" | "name" | "user";

/** How tables are written. */
export interface TableOptions {
  /** null = addresses stay. */
  readonly names: AddressName | null;
  readonly zone: ZoneOffset;
}

/** Cells of one line: protocol or heading, source, destination, four numbers. */
interface Line {
  /** null = no heading. */
  readonly heading: string | null;
  readonly proto: string;
  readonly src: string;
  readonly dst: string;
  readonly numbers: readonly string[];
}

const TITLES: Readonly<Record<ListName, string>> = {
  virtual: "VirtualTraffic:",
  subnet: "SubnetTraffic:",
  exit: "ExitTraffic:",
  physical: "PhysicalTraffic:",
};
const COUNT_NAMES = ["txPackets", "txBytes", "rxPackets", "rxBytes"] as const;
const RATE_TITLES = ["Tx[P/s]", "Tx[B/s]", "Rx[P/s]", "Rx[B/s]"] as const;
const COUNT_TITLES = ["Tx[P]", "Tx[B]", "Rx[P]", "Rx[B]"] as const;
const INDENT = "    ";
const ARROW = " -> ";
const GAP = "  ";

/** Writes the table of one message, a line end behind each line. */
export function messageTable(found: FoundMessage, { names, zone }: TableOptions): string {
  const { message } = found;
  const seconds = lengthSeconds(message);
  const numbersOf = (counts: Counts) => countTexts(counts, seconds);
  const endText = endWriter(message, names);
  const lines = LISTS.filter((list) => message[list].length > 0).flatMap((list) => [
    headingLine(TITLES[list], numbersOf(sumOf(message[list]))),
    ...tableRows(message[list]).map((row) => connectionLine(row, endText, numbersOf(row))),
  ]);
  const titles = seconds > 0 ? RATE_TITLES : COUNT_TITLES;
  const columns = measure(lines, titles);
  const numbersColumns = columns.numbers.reduce((sum, width) => sum + GAP.length + width, 0);
  return [
    "=".repeat(columns.left + numbersColumns),
    ...provenanceLines(found, message.nodeId, zone),
    `Window: ${localTimeText(message.startNs, zone)} (${seconds.toFixed(3)}s)`,
    "-".repeat(columns.left) + numberCells(titles, columns),
    ...lines.map((line) => leftCells(line, columns) + numberCells(line.numbers, columns)),
    "",
  ].join("\n");
}

/** Lines that say where an entry comes from. */
export function provenanceLines(
  { logId, loggedNs }: Provenance,
  nodeId: string,
  zone: ZoneOffset,
): string[] {
  return [
    ...(logId === "" ? [] : [`LogID:  ${printable(logId)}`]),
    ...(nodeId === "" ? [] : [`NodeID: ${printable(nodeId)}`]),
    ...(loggedNs === null ? [] : [`Logged: ${localTimeText(loggedNs, zone)}`]),
  ];
}

/** Length of a window in seconds; not above 0 where its labels make no sense. */
function lengthSeconds({ startNs, endNs, extension }: Message): number {
  return extension.lengthMs === undefined
    ? Number(endNs - startNs) / 1e9
    : extension.lengthMs / 1e3;
}

function countTexts(counts: Counts, seconds: number): string[] {
  const divisor = seconds > 0 ? seconds : 1;
  return COUNT_NAMES.map((name) => {
    const value = Number(counts[name]) / divisor;
    return name.endsWith("Packets") ? siText(value) : iecText(value);
  });
}

function sumOf(connections: readonly Connection[]): Counts {
  const sum = new CountsSum();
  for (const connection of connections) sum.addCounts(connection);
  return sum;
}

// ---- Rows -----------------------------------------------------------------------------------------------------------

/** Connections in the order of the table. A list of nothing but a total is told by its heading. */
function tableRows(connections: readonly Connection[]): Connection[] {
  const [first] = connections;
  if (connections.length === 1 && first.proto === 0 && first.src === "" && first.dst === "") {
    return [];
  }
  return connections
    .map((connection) => ({ connection, weight: weightOf(connection) }))
    .sort((a, b) => compare(b.weight, a.weight) || compareEnds(a.connection, b.connection))
    .map(({ connection }) => connection);
}

/** Packets and bytes of both directions together, as the original weighs connections. */
function weightOf({ txPackets, txBytes, rxPackets, rxBytes }: Counts): Count {
  const near = Number(txPackets) + Number(txBytes) + Number(rxPackets) + Number(rxBytes);
  return Number.isSafeInteger(near)
    ? near
    : BigInt(txPackets) + BigInt(txBytes) + BigInt(rxPackets) + BigInt(rxBytes);
}

function compareEnds(a: Connection, b: Connection): number {
  return compare(a.src, b.src) || compare(a.dst, b.dst) || compare(a.proto, b.proto);
}

/** Numbers and bigints compare by value. */
function compare<T extends string | Count>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function headingLine(heading: string, numbers: readonly string[]): Line {
  return { heading, proto: "", src: "", dst: "", numbers };
}

function connectionLine(
  { proto, src, dst }: Connection,
  endText: (end: string) => string,
  numbers: readonly string[],
): Line {
  return {
    heading: null,
    proto: proto === 0 ? INDENT : `${INDENT}${protoName(proto)}:`,
    src: endText(src),
    dst: endText(dst),
    numbers,
  };
}

// ---- Columns --------------------------------------------------------------------------------------------------------

interface Columns {
  readonly proto: number;
  readonly src: number;
  readonly dst: number;
  readonly numbers: readonly number[];
  /** All before the numbers. */
  readonly left: number;
}

function measure(lines: readonly Line[], titles: readonly string[]): Columns {
  const widest = (cellOf: (line: Line) => string, least: number) =>
    lines.reduce((columns, line) => Math.max(columns, columnsOf(cellOf(line))), least);
  const proto = widest((line) => line.proto, 0);
  const src = widest((line) => line.src, 0);
  const dst = widest((line) => line.dst, 0);
  return {
    ...{ proto, src, dst },
    numbers: titles.map((title, index) => widest((line) => line.numbers[index], title.length)),
    left: widest((line) => line.heading ?? "", proto + 1 + src + ARROW.length + dst),
  };
}

function leftCells({ heading, proto, src, dst }: Line, columns: Columns): string {
  if (heading !== null) return alignLeft(heading, columns.left);
  const arrow = src === "" && dst === "" ? " ".repeat(ARROW.length) : ARROW;
  const ends = `${alignRight(src, columns.src)}${arrow}${dst}`;
  return alignLeft(`${alignLeft(proto, columns.proto)} ${ends}`, columns.left);
}

function numberCells(cells: readonly string[], { numbers }: Columns): string {
  return cells.map((cell, index) => GAP + alignRight(cell, numbers[index])).join("");
}

// ---- Ends -----------------------------------------------------------------------------------------------------------

/** Makes the function that writes an end of a connection: address or name, port where there is one. */
function endWriter(message: Message, names: AddressName | null): (end: string) => string {
  const nameByAddress = names === null ? new Map<string, string>() : namesIn(message, names);
  return (end) => {
    const parsed = end === "" ? null : parseAddressPort(end);
    if (parsed === null) return end;
    const { family, port, zone } = parsed;
    const address = addressText(parsed.addressWords, 0, family) + (zone === "" ? "" : `%${zone}`);
    const name = nameByAddress.get(address) ?? "";
    if (port === 0) return name || address;
    return `${name || (family === 6 ? `[${address}]` : address)}:${port}`;
  };
}

function namesIn(message: Message, names: AddressName): Map<string, string> {
  const suffix = tailnetSuffix(message.srcNode?.name ?? "");
  const nameByAddress = new Map<string, string>();
  const nodes = [...message.dstNodes, ...(message.srcNode === null ? [] : [message.srcNode])];
  for (const node of nodes) {
    const name = printable(nameOf(node, names, suffix));
    for (const text of node.addresses ?? []) {
      const address = parsePrefix(text);
      if (address === null) continue;
      nameByAddress.set(addressText(address.addressWords, 0, address.family), name);
    }
  }
  return nameByAddress;
}

function nameOf(node: NodeInfo, names: AddressName, suffix: string): string {
  switch (names) {
    case "nodeid":
      return node.nodeId;
    case "name": {
      const name = node.name ?? "";
      return suffix !== "" && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
    }
    case "user":
      return node.tags !== undefined && node.tags.length > 0
        ? `[${node.tags.join(" ")}]`
        : node.user ?? "";
  }
}

/** What the names of all nodes of the author's network end in: `.tail123456.ts.net`; "" = nothing known. */
function tailnetSuffix(authorName: string): string {
  const name = authorName.replace(/\.$/, "");
  const domain = ".ts.net";
  if (!name.endsWith(domain)) return "";
  const dot = name.slice(0, -domain.length).lastIndexOf(".");
  return dot < 0 ? "" : name.slice(dot);
}
