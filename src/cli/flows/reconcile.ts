/** `tunlog flows reconcile`: books of both ends. In: an answer of `/reconcile`. Out: pairs, then flows that need a look. */
import type { ExactJson } from "../../netlog/mod.ts";
import type { Column } from "./columns.ts";
import { Members } from "./members.ts";
import { END } from "./flow_columns.ts";
import { type CsvFields, printAnswer, rangeLine, tableText } from "./print.ts";
import { ask, type FlowsContext, parametersOf } from "./source.ts";
import { endText, percentText, protoText, spanText } from "./values.ts";

const ALARMS = ["loss", "altered", "withheld"];
const BOUNDS = ["sentPackets", "receivedPackets", "lostPackets", "lostBytes"] as const;

/** A direction of a pair, or a flow in it. */
interface Verdict {
  readonly pair: Members;
  readonly row: Members;
  /** Whether it stands for one flow. */
  readonly isFlow: boolean;
}

/** Runs the question. @returns false when nobody reads on. */
export async function reconcile(context: FlowsContext): Promise<boolean> {
  const answer = await ask(context.source, "/reconcile", parametersOf(context));
  const pairs = answer.objects("pairs");
  const directions = pairs.flatMap((pair) =>
    pair.objects("directions").map((row): Verdict => ({ pair, row, isFlow: false }))
  );
  const flows = pairs.flatMap((pair) =>
    pair.objects("flows").map((row): Verdict => ({ pair, row, isFlow: true }))
  );
  const more = pairs.reduce((sum, pair) => sum + pair.number("moreFlows"), 0);
  const isRed = ({ row }: Verdict) => ALARMS.includes(row.text("verdict"));
  return await printAnswer(context, answer, {
    list: "pairs",
    tables: (times) => [
      `${rangeLine(answer, times).trimEnd()}, clocks within ${
        spanText(answer.number("skewMs"))
      }\n` +
      tableText(context, {
        rows: directions,
        columns: directionColumns(context),
        isRed,
        ifEmpty: "No two nodes that both log talked to one another",
      }),
      tableText(context, { rows: flows, columns: flowColumns(context), isRed, ifEmpty: "" }),
      more > 0 ? `${more} more flows: --limit\n` : "",
      pairs.length > 0 ? `${alarmText(answer.number("alarms"))}\n` : "",
    ],
    csv: { rows: [...directions, ...flows], fields: FIELDS },
  });
}

function alarmText(alarms: number): string {
  return alarms === 0 ? "No flow raises an alarm" : `${alarms} flows raise an alarm`;
}

function ends(columnsMin: number): Column<Verdict>[] {
  return [
    { title: "From", cell: ({ row }) => row.text("from"), columnsMin },
    { title: "To", cell: ({ row }) => row.text("to"), columnsMin },
  ];
}

function bounds({ numbers }: FlowsContext, title: string, name: typeof BOUNDS[number]) {
  const write = (value: number) =>
    name.endsWith("Bytes") ? numbers.bytes(value) : numbers.count(value);
  return {
    title,
    cell: ({ row }: Verdict) => {
      if (row.isNull(name)) return "?";
      const [min, max] = row.list(name).map((value) => write(Number(value)));
      return min === max ? min : `${min}..${max}`;
    },
    align: "right" as const,
  };
}

function directionColumns(context: FlowsContext): Column<Verdict>[] {
  return [
    ...ends(6),
    { title: "Verdict", cell: ({ row }) => row.text("verdict") },
    { ...bounds(context, "Sent pkts", "sentPackets"), dropOrder: 3 },
    { ...bounds(context, "Received pkts", "receivedPackets"), dropOrder: 2 },
    bounds(context, "Lost pkts", "lostPackets"),
    { ...bounds(context, "Lost bytes", "lostBytes"), dropOrder: 5 },
    {
      title: "Compared",
      cell: ({ pair }) => percentText(pair.number("share")),
      align: "right",
      dropOrder: 4,
    },
    {
      title: "Flows",
      cell: ({ pair }) => context.numbers.count(pair.integer("flowCount")),
      align: "right",
      dropOrder: 1,
    },
  ];
}

function flowColumns(context: FlowsContext): Column<Verdict>[] {
  const end = (address: string, port: string) => ({ row }: Verdict) =>
    endText(row.text(address), row.integer(port));
  return [
    ...ends(6).map((column) => ({ ...column, dropOrder: 2 })),
    { title: "Verdict", cell: ({ row }) => row.text("verdict") },
    { title: "Proto", cell: ({ row }) => protoText(row.integer("proto")), dropOrder: 4 },
    { title: "Source", cell: end("src", "sport"), ...END },
    { title: "Destination", cell: end("dst", "dport"), ...END },
    bounds(context, "Lost pkts", "lostPackets"),
    { ...bounds(context, "Lost bytes", "lostBytes"), dropOrder: 1 },
  ];
}

function bound(name: typeof BOUNDS[number], index: number) {
  return ({ row }: Verdict): ExactJson | undefined =>
    row.isNull(name) ? null : row.list(name)[index];
}

const FIELDS: CsvFields<Verdict> = [
  ["of", ({ isFlow }) => isFlow ? "flow" : "pair"],
  ...["from", "to", "verdict", "proto", "src", "sport", "dst", "dport"].map((name) =>
    [name, ({ row }: Verdict) => row.value[name]] as const
  ),
  ...BOUNDS.flatMap((name) => [
    [`${name}Min`, bound(name, 0)] as const,
    [`${name}Max`, bound(name, 1)] as const,
  ]),
  ["share", ({ pair }) => pair.number("share")],
];
