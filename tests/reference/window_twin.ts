/**
 * What a window's rows become, said plainly: objects, texts, bigints, one comparison of two rows. One message, never cut.
 */
import type { ClassName } from "../../src/counters.ts";
import { addressText, type Family, KEY, KEY_DST_V6, KEY_SRC_V6 } from "../../src/packet/mod.ts";
import {
  type Connection,
  type Counts,
  type ExitMode,
  type KeyedPrf,
  type ListName,
  type Message,
  type NodeInfo,
  type NodeSource,
  type StatisticsRow,
  toCount,
} from "../../src/netlog/mod.ts";
import type { End } from "./classify_twin.ts";
import { addressNumber, addressWordsOf } from "./prefix_twin.ts";
import { pseudonymTwin } from "./pseudonym_twin.ts";

/** What the rows are seen by. */
export interface TwinView {
  readonly classOf: (src: End, dst: End) => ClassName;
  readonly nodes: NodeSource;
  readonly exitMode: ExitMode;
  readonly prf: KeyedPrf;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly lengthMs?: number;
}

interface Place {
  readonly family: Family;
  readonly addressWords: Uint32Array;
  readonly port: number;
}

interface TwinRow {
  readonly list: ListName;
  readonly className: ClassName;
  readonly proto: number;
  readonly src: Place | null;
  readonly dst: Place | null;
  readonly counts: readonly [bigint, bigint, bigint, bigint];
  readonly folded: boolean;
  readonly other: boolean;
  readonly named: readonly NodeInfo[];
}

/** The rows' message, and their sums. */
export function windowTwin(
  rows: readonly (StatisticsRow & { isPhysical: boolean })[],
  view: TwinView,
): Message {
  const self = view.nodes.self();
  const seen = rows.map((row) => see(row, view)).filter(({ counts }) => counts.some((n) => n > 0n));
  const list = (name: ListName) => merged(seen.filter((row) => row.list === name));
  const named = new Set(seen.flatMap((row) => row.named).filter((node) => node !== self));
  const sumOf = (part: readonly TwinRow[]) =>
    part.reduce((sum, { counts }) => add(sum, counts), [0n, 0n, 0n, 0n] as TwinRow["counts"]);
  const unknown = seen.filter(({ className }) => className === "unknown");
  const other = seen.filter((row) => row.other);
  return {
    nodeId: self?.nodeId ?? "",
    startNs: view.startNs,
    endNs: view.endNs,
    srcNode: self,
    dstNodes: [...named].toSorted((a, b) => a.nodeId < b.nodeId ? -1 : 1),
    virtual: list("virtual"),
    subnet: list("subnet"),
    exit: list("exit"),
    physical: list("physical"),
    extension: {
      ...(view.lengthMs !== undefined && { lengthMs: view.lengthMs }),
      ...(view.exitMode !== "zero" && { exitMode: view.exitMode }),
      ...(unknown.length > 0 && { unknown: countsOf(sumOf(unknown)) }),
      ...(other.length > 0 && { other: countsOf(sumOf(other)) }),
    },
  };
}

function see(row: StatisticsRow & { isPhysical: boolean }, view: TwinView): TwinRow {
  const { key, isPhysical, other } = row;
  const head = key[KEY.HEAD];
  const [src, dst] = endsOf(row);
  const className = isPhysical ? "physical" : view.classOf(src, dst);
  const isExit = className === "exit" || className === "unknown";
  const nodeOf = (place: Place | null) =>
    place === null ? null : view.nodes.byAddress(place.addressWords, 0, place.family);
  const [a, b] = isExit ? [exitPlace(src, view), exitPlace(dst, view)] : [src, dst];
  const keepsProto = !isExit || view.exitMode === "keyed" || view.exitMode === "full";
  return {
    list: isExit ? "exit" : className,
    className,
    proto: keepsProto && !other ? head & 0xff : 0,
    src: a,
    dst: b,
    counts: [row.txPackets, row.txBytes, row.rxPackets, row.rxBytes].map(BigInt) as never,
    folded: row.folded || other,
    other,
    named: [nodeOf(a), isPhysical ? null : nodeOf(b)].filter((node) => node !== null),
  };
}

/** Source and destination of a row. */
export function endsOf({ key, other }: StatisticsRow): [Place | null, Place | null] {
  if (other) return [null, null];
  const [head, ports] = [key[KEY.HEAD], key[KEY.PORTS]];
  return [
    placeOf(key, KEY.SRC, (head & KEY_SRC_V6) !== 0, ports >>> 16),
    placeOf(key, KEY.DST, (head & KEY_DST_V6) !== 0, ports & 0xffff),
  ];
}

function placeOf(key: Uint32Array, at: number, isV6: boolean, port: number): Place | null {
  const addressWords = key.slice(at, at + 4);
  if (!isV6 && addressWords[2] === 0) return null;
  return { family: isV6 ? 6 : 4, addressWords, port };
}

/** What stands in an exit row. */
function exitPlace(place: Place | null, { exitMode, nodes, prf }: TwinView): Place | null {
  if (place === null || exitMode === "zero") return null;
  if (exitMode === "full") return place;
  const { family, addressWords, port } = place;
  const keptPort = exitMode === "keyed" ? port : 0;
  if (nodes.byAddress(addressWords, 0, family) !== null) return { ...place, port: keptPort };
  if (exitMode === "node") return null;
  let number = addressNumber(family, addressWords);
  if (exitMode === "prefix") {
    const hostBits = family === 4 ? 8n : 80n;
    const words = addressWordsOf(family, number >> hostBits << hostBits);
    if (nodes.byAddress(words, 0, family) !== null) return null;
    return { family, addressWords: words, port: 0 };
  }
  do number = pseudonymTwin(prf, family, number); while (
    nodes.byAddress(addressWordsOf(family, number), 0, family) !== null
  );
  return { family, addressWords: addressWordsOf(family, number), port };
}

function endText(place: Place | null): string {
  if (place === null) return "";
  const text = addressText(place.addressWords, 0, place.family);
  return place.family === 4 ? `${text}:${place.port}` : `[${text}]:${place.port}`;
}

function add(a: TwinRow["counts"], b: TwinRow["counts"]): TwinRow["counts"] {
  return a.map((n, index) => n + b[index]) as never;
}

function countsOf(counts: TwinRow["counts"]): Counts {
  const [txPackets, txBytes, rxPackets, rxBytes] = counts.map(toCount);
  return { txPackets, txBytes, rxPackets, rxBytes };
}

/** Rows with equal keys as one, in the order of SPEC 1.8.7. */
function merged(rows: readonly TwinRow[]): Connection[] {
  const byKey = new Map<string, TwinRow>();
  for (const row of rows) {
    const key = `${endText(row.src)} ${endText(row.dst)} ${row.proto}`;
    const before = byKey.get(key);
    byKey.set(
      key,
      before === undefined
        ? row
        : { ...row, counts: add(before.counts, row.counts), folded: before.folded || row.folded },
    );
  }
  return [...byKey.values()]
    .toSorted((a, b) =>
      comparePlaces(a.src, b.src) || comparePlaces(a.dst, b.dst) || a.proto - b.proto
    )
    .map(({ proto, src, dst, counts, folded }) => ({
      proto,
      src: endText(src),
      dst: endText(dst),
      ...countsOf(counts),
      folded,
    }));
}

/** None before IPv4 before IPv6, then by address, then by port. */
function comparePlaces(a: Place | null, b: Place | null): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  if (a.family !== b.family) return a.family - b.family;
  const [left, right] = [a, b].map(({ family, addressWords }) =>
    addressNumber(family, addressWords)
  );
  return left < right ? -1 : left > right ? 1 : a.port - b.port;
}
