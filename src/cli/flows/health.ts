/** `tunlog flows nodes` and `flows gaps`: who logs and how completely; what was lost. In: answers. Out: tables. */
import type { Column } from "./columns.ts";
import { Members } from "./members.ts";
import { type CsvFields, printAnswer, rangeLine, tableText } from "./print.ts";
import { ask, type FlowsContext, parametersOf } from "./source.ts";
import { percentText, spanText, type TimeWriter } from "./values.ts";

const COUNTERS = ["txPackets", "txBytes", "rxPackets", "rxBytes"] as const;

/** A stream of a node; null = the node does not log. */
interface NodeRow {
  readonly node: Members;
  readonly stream: Members | null;
}

/** Runs the question. @returns false when nobody reads on. */
export async function nodes(context: FlowsContext): Promise<boolean> {
  const answer = await ask(context.source, "/nodes", parametersOf(context));
  const rows = answer.objects("nodes").flatMap((node): NodeRow[] => {
    const streams = node.objects("streams");
    return streams.length === 0
      ? [{ node, stream: null }]
      : streams.map((stream) => ({ node, stream }));
  });
  return await printAnswer(context, answer, {
    list: "nodes",
    tables: (times) => {
      times.look(rows.flatMap(({ stream }) => lastOf(stream)));
      return [
        rangeLine(answer, times) +
        tableText(context, {
          rows,
          columns: nodeColumns(context, times),
          isRed: ({ stream }) => stream !== null && (shareOf(stream) ?? 1) < 1,
          ifEmpty: "No nodes",
        }),
      ];
    },
    csv: { rows, fields: NODE_FIELDS },
  });
}

function nodeColumns({ numbers, values }: FlowsContext, times: TimeWriter): Column<NodeRow>[] {
  const ofStream = (title: string, cell: (stream: Members) => string, dropOrder?: number) => ({
    title,
    cell: ({ stream }: NodeRow) => stream === null ? "" : cell(stream),
    align: "right" as const,
    ...(dropOrder !== undefined && { dropOrder }),
  });
  const span = (name: string) => (stream: Members) => {
    const ms = stream.number(name);
    return ms === 0 ? "" : spanText(ms);
  };
  return [
    {
      title: "Node",
      cell: ({ node }) => node.text("name") || node.text("nodeId") || "-",
      columnsMin: 8,
    },
    { title: "Id", cell: ({ node }) => node.text("nodeId"), columnsMin: 8, dropOrder: 2 },
    {
      title: "Addresses",
      cell: ({ node }) => node.texts("addresses").join(", "),
      columnsMin: 12,
      dropOrder: 3,
    },
    ofStream("Last word", (stream) => lastOf(stream).map((text) => times.short(text)).join("")),
    {
      title: "Complete",
      cell: ({ stream }) => {
        const share = stream === null ? null : shareOf(stream);
        return stream === null ? "no log" : share === null ? "?" : percentText(share);
      },
      align: "right",
    },
    ofStream("Gaps", span("gapMs"), 7),
    ofStream("Missing", span("missingMs"), 8),
    ofStream("Silent", span("silentMs"), 6),
    ofStream("Waiting", (stream) => {
      const waiting = waitingOf(stream);
      return waiting === null ? "" : numbers.count(waiting);
    }, 5),
    ofStream("Received", (stream) => numbers.bytes(stream.integer("bodyBytes")), 1),
    ofStream("Stream", (stream) => stream.isNull("adopted") ? "orphan" : "", 4),
    ...(values.check === true ? [ofStream("Report", (stream) => lawsOf(stream).join(" "))] : []),
  ];
}

function lastOf(stream: Members | null): string[] {
  return stream === null || stream.isNull("lastWord") ? [] : [stream.text("lastWord")];
}

function shareOf(stream: Members): number | null {
  return stream.isNull("share") ? null : stream.number("share");
}

/** Entries that wait at the node, as its newest process said; null = it did not say. */
function waitingOf(stream: Members): number | null {
  const reports = stream.objects("processes").filter((process) => !process.isNull("report"))
    .map((process) => process.object("report"));
  const newest = reports.reduce<Members | null>(
    (a, b) => a === null || b.text("end") > a.text("end") ? b : a,
    null,
  );
  return newest === null ? null : newest.number("waitingEntries");
}

/** What became of the comparisons, each once. */
function lawsOf(stream: Members): string[] {
  const states = stream.objects("processes").filter((process) => process.has("law"))
    .map((process) => process.object("law").text("state"));
  return [...new Set(states)];
}

const NODE_FIELDS: CsvFields<NodeRow> = [
  ["node", ({ node }) => node.text("name")],
  ["nodeId", ({ node }) => node.text("nodeId")],
  ["addresses", ({ node }) => node.texts("addresses").join(" ")],
  ["logs", ({ node }) => String(node.flag("logs"))],
  ...["publicId", "collection", "firstSeen", "lastSeen", "lastWord", "adopted", "share"].map((
    name,
  ) => [name, ({ stream }: NodeRow) => stream?.value[name]] as const),
  ...["completeMs", "gapMs", "missingMs", "silentMs", "bodyBytes"].map((name) =>
    [name, ({ stream }: NodeRow) => stream?.value[name]] as const
  ),
  ["waitingEntries", ({ stream }) => stream === null ? null : waitingOf(stream)],
  ["reports", ({ stream }) => stream === null ? null : lawsOf(stream).join(" ")],
];

// ---- Gaps -----------------------------------------------------------------------------------------------------------

/** Runs the question. @returns false when nobody reads on. */
export async function gaps(context: FlowsContext): Promise<boolean> {
  const answer = await ask(context.source, "/gaps", parametersOf(context));
  const rows = answer.objects("gaps");
  return await printAnswer(context, answer, {
    list: "gaps",
    tables: (times) => {
      times.look(rows.flatMap((row) => [row.text("from"), row.text("to")]));
      return [
        rangeLine(answer, times) +
        tableText(context, { rows, columns: gapColumns(context, times), ifEmpty: "No gaps" }),
      ];
    },
    csv: { rows, fields: GAP_FIELDS },
  });
}

/** Of all classes together; null = not known. */
function lossOf(gap: Members, name: typeof COUNTERS[number]): bigint | null {
  if (gap.isNull("sums")) return null;
  const classes = Object.values(gap.object("sums").value);
  return classes.reduce<bigint>(
    (sum, counters) => sum + BigInt(new Members(counters).integer(name)),
    0n,
  );
}

function gapColumns({ numbers }: FlowsContext, times: TimeWriter): Column<Members>[] {
  const loss = (title: string, name: typeof COUNTERS[number], dropOrder: number) => ({
    title,
    cell: (gap: Members) => {
      const value = lossOf(gap, name);
      if (value === null) return "?";
      return name.endsWith("Bytes") ? numbers.bytes(value) : numbers.count(value);
    },
    align: "right" as const,
    dropOrder,
  });
  return [
    { title: "Kind", cell: (gap) => gap.text("kind") },
    { title: "Node", cell: (gap) => gap.text("node"), columnsMin: 8 },
    { title: "From", cell: (gap) => times.short(gap.text("from")) },
    { title: "To", cell: (gap) => times.short(gap.text("to")) },
    {
      title: "Cause",
      cell: (gap) =>
        (gap.has("cause") ? gap.text("cause") : "") + (gap.flag("offered") ? ", offered" : ""),
      dropOrder: 4,
    },
    { title: "Entries", cell: (gap) => numbers.count(gap.integer("entries")), align: "right" },
    loss("Tx[P]", "txPackets", 1),
    loss("Tx[B]", "txBytes", 3),
    loss("Rx[P]", "rxPackets", 1),
    loss("Rx[B]", "rxBytes", 2),
  ];
}

const GAP_FIELDS: CsvFields<Members> = [
  ...["kind", "node", "from", "to", "cause", "procId", "firstSeq", "lastSeq", "entries", "offered"]
    .map((name) => [name, (gap: Members) => gap.value[name]] as const),
  ...COUNTERS.map((name) => [name, (gap: Members) => lossOf(gap, name)] as const),
];
