/**
 * The flow log's wire form: names, order and omission of members. With logtail/entry.ts the only place that knows them.
 *
 * In: a Message in our own words. Out: JSON as the newer original writes it (SPEC 1.8.9), byte for byte, with one
 * member of our own at the end, `tunlog`, where there is something to say that the original's members cannot; readers of
 * the original ignore it. Reading is in parse.ts, writing many rows fast in row_bytes.ts.
 */
import { type Count, COUNT_MAX, type Counts } from "./counts.ts";
import type { ExitMode } from "./exit_mode.ts";
import { timeText } from "../time_text.ts";

/** Names of members on the wire, by our own words. */
export const WIRE = {
  nodeId: "nodeId",
  start: "start",
  end: "end",
  srcNode: "srcNode",
  dstNodes: "dstNodes",
  virtual: "virtualTraffic",
  subnet: "subnetTraffic",
  exit: "exitTraffic",
  physical: "physicalTraffic",
  proto: "proto",
  src: "src",
  dst: "dst",
  txPackets: "txPkts",
  txBytes: "txBytes",
  rxPackets: "rxPkts",
  rxBytes: "rxBytes",
  name: "name",
  addresses: "addresses",
  os: "os",
  tags: "tags",
  user: "user",
  /** Our own: of a row, whether several connections share it. */
  folded: "folded",
  /** Our own: of a message, an Extension; of an entry without traffic, a Report. */
  extension: "tunlog",
  part: "part",
  parts: "parts",
  lengthMs: "lengthMs",
  exitMode: "exitMode",
  unknown: "unknown",
  other: "other",
} as const;

/** Lists of connections, in their order on the wire. */
export const LISTS = ["virtual", "subnet", "exit", "physical"] as const;

/** Name of a list. */
export type ListName = (typeof LISTS)[number];

/** What a message tells of a node. Members that are absent are not known. */
export interface NodeInfo {
  readonly nodeId: string;
  /** Without a dot at the end. */
  readonly name?: string;
  /** Overlay addresses as text. */
  readonly addresses?: readonly string[];
  readonly os?: string;
  /** Sorted, each once; a node with tags has no user. */
  readonly tags?: readonly string[];
  readonly user?: string;
}

/** One connection and what was counted of it. */
export interface Connection extends Counts {
  /** 0 = none, or not known. */
  readonly proto: number;
  /** `10.0.0.1:80`, `[fd00::1]:80`; "" = no address. */
  readonly src: string;
  readonly dst: string;
  /** Whether it stands for several connections. */
  readonly folded: boolean;
}

/** What the original's members cannot say. Members that are absent: nothing to say. */
export interface Extension {
  /** 1 .. parts; valid iff `parts` is there. */
  readonly part?: number;
  /** Messages that the window was split into. */
  readonly parts?: number;
  /** Length of the window by the monotonic clock, where the wall clock was set and the labels say something else. */
  readonly lengthMs?: number;
  /** How exit rows are written, when not `zero`. */
  readonly exitMode?: ExitMode;
  /** What of the exit list no route explains at all, not even a default route. */
  readonly unknown?: Counts;
  /** What was counted when there was no room for rows: part of an exit or physical row without addresses. */
  readonly other?: Counts;
}

/** What one node saw in one window, or in a part of it. */
export interface Message {
  /** "" = not known yet. */
  readonly nodeId: string;
  /** Nanoseconds since 1970. Both ends belong to the window. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly srcNode: NodeInfo | null;
  /** Other nodes whose addresses stand in the lists. */
  readonly dstNodes: readonly NodeInfo[];
  readonly virtual: readonly Connection[];
  readonly subnet: readonly Connection[];
  readonly exit: readonly Connection[];
  readonly physical: readonly Connection[];
  readonly extension: Extension;
}

/** Writes a message. The same text as the fast way gives for the same rows. */
export function writeMessage(message: Message): string {
  const lists = LISTS.filter((list) => message[list].length > 0).map((list) =>
    `${LIST_OPENINGS[list]}${message[list].map(writeConnection).join(",")}]`
  );
  const { nodeId, startNs, endNs, srcNode, dstNodes } = message;
  return messageHead(nodeId, startNs, endNs, srcNode === null ? null : writeNode(srcNode)) +
    (dstNodes.length === 0 ? "" : `${DST_NODES_OPENING}${dstNodes.map(writeNode).join(",")}]`) +
    lists.join("") + writeExtension(message.extension) + "}";
}

/** What stands before `dstNodes`. @param srcNode As writeNode gives it. */
export function messageHead(
  nodeId: string,
  startNs: bigint,
  endNs: bigint,
  srcNode: string | null,
): string {
  return `{"${WIRE.nodeId}":${quote(nodeId)},"${WIRE.start}":"${timeText(startNs)}",` +
    `"${WIRE.end}":"${timeText(endNs)}"${srcNode === null ? "" : `,"${WIRE.srcNode}":${srcNode}`}`;
}

/** What stands before the other nodes; behind them comes `]`. */
export const DST_NODES_OPENING = `,"${WIRE.dstNodes}":[`;

/** What stands before the rows of each list; behind them comes `]`. */
export const LIST_OPENINGS: Record<ListName, string> = {
  virtual: `,"${WIRE.virtual}":[`,
  subnet: `,"${WIRE.subnet}":[`,
  exit: `,"${WIRE.exit}":[`,
  physical: `,"${WIRE.physical}":[`,
};

/** Writes one connection; members that are zero are left out. */
export function writeConnection(connection: Connection): string {
  const { proto, src, dst, folded } = connection;
  return object([
    proto === 0 ? "" : `"${WIRE.proto}":${proto}`,
    src === "" ? "" : `"${WIRE.src}":"${src}"`,
    dst === "" ? "" : `"${WIRE.dst}":"${dst}"`,
    ...countMembers(connection),
    folded ? `"${WIRE.folded}":true` : "",
  ]);
}

/** Writes a node. */
export function writeNode(node: NodeInfo): string {
  const { nodeId, name = "", addresses = [], os = "", tags = [], user = "" } = node;
  return object([
    `"${WIRE.nodeId}":${quote(nodeId)}`,
    name === "" ? "" : `"${WIRE.name}":${quote(name)}`,
    addresses.length === 0 ? "" : `"${WIRE.addresses}":[${addresses.map(quote).join(",")}]`,
    os === "" ? "" : `"${WIRE.os}":${quote(os)}`,
    tags.length === 0 ? "" : `"${WIRE.tags}":[${tags.map(quote).join(",")}]`,
    user === "" ? "" : `"${WIRE.user}":${quote(user)}`,
  ]);
}

/** Writes the member of our own with its comma in front, or nothing. */
export function writeExtension(extension: Extension): string {
  const { part, parts, lengthMs, exitMode, unknown, other } = extension;
  const text = object([
    part === undefined ? "" : `"${WIRE.part}":${part}`,
    parts === undefined ? "" : `"${WIRE.parts}":${parts}`,
    lengthMs === undefined ? "" : `"${WIRE.lengthMs}":${lengthMs}`,
    exitMode === undefined ? "" : `"${WIRE.exitMode}":"${exitMode}"`,
    unknown === undefined ? "" : `"${WIRE.unknown}":${writeCounts(unknown)}`,
    other === undefined ? "" : `"${WIRE.other}":${writeCounts(other)}`,
  ]);
  return text === "{}" ? "" : `,"${WIRE.extension}":${text}`;
}

/** Writes counts alone. */
export function writeCounts(counts: Counts): string {
  return object(countMembers(counts));
}

function countMembers({ txPackets, txBytes, rxPackets, rxBytes }: Counts): string[] {
  return [
    countMember(WIRE.txPackets, txPackets),
    countMember(WIRE.txBytes, txBytes),
    countMember(WIRE.rxPackets, rxPackets),
    countMember(WIRE.rxBytes, rxBytes),
  ];
}

function countMember(name: string, count: Count): string {
  const isCount = typeof count === "bigint"
    ? count >= 0n && count <= COUNT_MAX
    : Number.isSafeInteger(count) && count >= 0;
  if (!isCount) throw new RangeError(`Cannot write "${name}": ${count} is not 0 .. 2^64 - 1`);
  // 0 == 0n.
  return count == 0 ? "" : `"${name}":${count}`;
}

/** An object of those members that are not "". */
export function object(members: readonly string[]): string {
  return `{${members.filter((member) => member !== "").join(",")}}`;
}

/** Quotes as the original does: the short escapes, other controls as \u00xx, what is not Unicode as U+FFFD. */
export function quote(text: string): string {
  return JSON.stringify(text.toWellFormed());
}
