/**
 * Connections as rows: the columns that several questions share.
 *
 * In: rows of answers. Out: columns for tables and for CSV.
 */
import { type Column } from "./columns.ts";
import type { Members } from "./members.ts";
import { type CsvFields, fieldsOf } from "./print.ts";
import { endText, type NumberWriter, protoText, type TimeWriter } from "./values.ts";

/** Columns of counters. @param dropOrder Of the packets; bytes stay. */
export function counterColumns(numbers: NumberWriter, dropOrder: number): Column<Members>[] {
  const packets = (title: string, name: string): Column<Members> => ({
    title,
    cell: (row) => numbers.count(row.integer(name)),
    align: "right",
    dropOrder,
  });
  const bytes = (title: string, name: string): Column<Members> => ({
    title,
    cell: (row) => numbers.bytes(row.integer(name)),
    align: "right",
  });
  return [
    packets("Tx[P]", "txPackets"),
    bytes("Tx[B]", "txBytes"),
    packets("Rx[P]", "rxPackets"),
    bytes("Rx[B]", "rxBytes"),
  ];
}

/** How ends of connections are cut: they keep their ports. */
export const END = { columnsMin: 21, hasTail: true };

/** Columns of connections. */
export function flowColumns(numbers: NumberWriter, times: TimeWriter): Column<Members>[] {
  return [
    { title: "End", cell: (row) => times.short(row.text("end")), dropOrder: 6 },
    { title: "Node", cell: (row) => row.text("node"), columnsMin: 6, dropOrder: 3 },
    { title: "Class", cell: (row) => row.text("class"), dropOrder: 5 },
    { title: "Proto", cell: (row) => protoText(row.integer("proto")), dropOrder: 4 },
    {
      title: "Source",
      cell: (row) => endText(row.text("src"), row.integer("sport")),
      ...END,
    },
    {
      title: "Destination",
      cell: (row) =>
        endText(row.text("dst"), row.integer("dport")) + (row.flag("folded") ? " +" : ""),
      ...END,
    },
    { title: "Peer", cell: (row) => row.text("peer"), columnsMin: 6, dropOrder: 1 },
    ...counterColumns(numbers, 2),
  ];
}

/** CSV of connections. */
export const FLOW_FIELDS: CsvFields<Members> = fieldsOf(
  ...["start", "end", "node", "class", "proto", "src", "sport", "dst", "dport", "peer"],
  ...["txPackets", "txBytes", "rxPackets", "rxBytes", "folded"],
);
