/**
 * A message's rows: those that the fast way left, what they sum up to, and the exit row's unknown part.
 *
 * In: rows of one message in a RowList. Out: the same rows, more of them, their sums by class. Guarantees: exact to 2^64.
 */
import { CLASS_NAMES, type ClassName, type ClassSums } from "../../counters.ts";
import { type Connection, type Counts, CountsSum, type Extension } from "../../netlog/mod.ts";
import { parseAddressPort } from "../../packet/mod.ts";
import { COUNTERS, ROW_FOLDED } from "../rows.ts";
import type { RowList } from "./row_list.ts";
import { addressNumber, type AddressNumbers, exactCounter, setCounter } from "./row_values.ts";

/** Number of each class. */
export const CLASS_CODES = Object.fromEntries(
  CLASS_NAMES.map((name, index) => [name, index]),
) as Readonly<Record<ClassName, number>>;

/** Adds a row that was read the slow way. */
export function addConnection(
  rows: RowList,
  numbers: AddressNumbers,
  connection: Connection,
  classCode: number,
  stream: number,
): void {
  const row = rows.add();
  const { columns } = rows;
  const src = parseAddressPort(connection.src);
  const dst = parseAddressPort(connection.dst);
  columns.stream[row] = stream;
  columns.classCode[row] = classCode;
  columns.proto[row] = connection.proto;
  columns.flags[row] = connection.folded ? ROW_FOLDED : 0;
  columns.src[row] = src === null ? 0 : addressNumber(numbers, src);
  columns.dst[row] = dst === null ? 0 : addressNumber(numbers, dst);
  columns.srcPort[row] = src?.port ?? 0;
  columns.dstPort[row] = dst?.port ?? 0;
  for (const [index, name] of COUNTERS.entries()) {
    const count = connection[name];
    if (typeof count === "number") columns.counters[index][row] = count;
    else setCounter(columns, row, index, count);
  }
}

/**
 * Takes what no route explains out of the one exit row of mode `zero` into a row of its own. Where the exit list has other
 * rows, nobody can tell which of them are meant: then all stay exit.
 */
export function splitUnknown(rows: RowList, first: number, extension: Extension): void {
  const { unknown, exitMode = "zero" } = extension;
  if (unknown === undefined || exitMode !== "zero") return;
  const row = onlyExitRow(rows, first);
  if (row < 0) return;
  const parts = COUNTERS.map((name) => BigInt(unknown[name]));
  const wholes = COUNTERS.map((_, index) => exactCounter(rows.columns, row, index));
  if (parts.some((part, index) => part > wholes[index])) return;
  const isAll = parts.every((part, index) => part === wholes[index]);
  if (isAll) {
    rows.columns.classCode[row] = CLASS_CODES.unknown;
    return;
  }
  const added = rows.copy(row, 1, rows.columns.stream[row]);
  const { columns } = rows;
  columns.classCode[added] = CLASS_CODES.unknown;
  for (const [index, part] of parts.entries()) {
    setCounter(columns, added, index, part);
    setCounter(columns, row, index, wholes[index] - part);
  }
}

/** The only exit row, if it has no address; or -1. */
function onlyExitRow(rows: RowList, first: number): number {
  const { columns } = rows;
  let found = -1;
  for (let row = first; row < columns.count; row++) {
    if (columns.classCode[row] !== CLASS_CODES.exit) continue;
    if (found >= 0 || columns.src[row] !== 0 || columns.dst[row] !== 0) return -1;
    found = row;
  }
  return found;
}

const sums = CLASS_NAMES.map(() => new CountsSum());

/** Sums up the rows from `first` on. */
export function sumRows(rows: RowList, first: number): ClassSums {
  const { columns } = rows;
  const { classCode, counters: [txPackets, txBytes, rxPackets, rxBytes], beyond } = columns;
  for (const sum of sums) sum.clear();
  const isExact = beyond.size === 0;
  for (let row = first; row < columns.count; row++) {
    const sum = sums[classCode[row]];
    if (isExact) sum.add(txPackets[row], txBytes[row], rxPackets[row], rxBytes[row]);
    else {
      const exact = COUNTERS.map((_, index) => exactCounter(columns, row, index));
      sum.addCounts({
        txPackets: exact[0],
        txBytes: exact[1],
        rxPackets: exact[2],
        rxBytes: exact[3],
      });
    }
  }
  return Object.fromEntries(
    CLASS_NAMES.map((name, index) => [name, bigCounts(sums[index])]),
  ) as ClassSums;
}

function bigCounts({ txPackets, txBytes, rxPackets, rxBytes }: Counts): ClassSums[ClassName] {
  return {
    txPackets: BigInt(txPackets),
    txBytes: BigInt(txBytes),
    rxPackets: BigInt(rxPackets),
    rxBytes: BigInt(rxBytes),
  };
}
