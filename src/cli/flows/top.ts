/** `tunlog flows top`: sums by group. In: an answer of `/top`. Out: groups, the rest, the total. */
import { type Column } from "./columns.ts";
import { counterColumns } from "./flow_columns.ts";
import { Members } from "./members.ts";
import { fieldsOf, printAnswer, rangeLine, tableText } from "./print.ts";
import { ask, type FlowsContext, parametersOf } from "./source.ts";
import { protoText } from "./values.ts";

const TITLES: Readonly<Record<string, string>> = {
  class: "Class",
  node: "Node",
  peer: "Peer",
  proto: "Proto",
  src: "Source",
  dst: "Destination",
  host: "Host",
  sport: "Src port",
  dport: "Dst port",
  srcNet: "Source net",
  dstNet: "Destination net",
};
const NUMBERS = ["sport", "dport"];

/** Runs the question. @returns false when nobody reads on. */
export async function top(context: FlowsContext): Promise<boolean> {
  const parameters = parametersOf(context);
  const answer = await ask(context.source, "/top", parameters);
  const by = (parameters.get("by") ?? "src,dst").split(",");
  const groups = answer.objects("groups");
  const rows = [...groups, ...sumRows(answer)];
  return await printAnswer(context, answer, {
    list: "groups",
    tables: (times) => [
      rangeLine(answer, times) +
      tableText(context, { rows, columns: columnsOf(context, by, groups), ifEmpty: "No traffic" }),
    ],
    csv: {
      rows: groups,
      fields: fieldsOf(
        ...[...by, "txPackets", "txBytes", "rxPackets", "rxBytes", "rows", "flows"],
        ...["averageBitsPerSecond", "peakBitsPerSecond", "peakAt", "percentile95BitsPerSecond"],
      ),
    },
  });
}

/** Title of a dimension. */
export function dimensionTitle(name: string): string {
  return TITLES[name] ?? name;
}

/** Value of a dimension. */
export function dimensionText(row: Members, name: string): string {
  if (!row.has(name)) return "";
  if (name === "proto") return protoText(row.integer(name));
  return NUMBERS.includes(name) ? String(row.integer(name)) : row.text(name) || "-";
}

/** The sum of the groups that are not shown, and of all. */
function sumRows(answer: Members): Members[] {
  const sum = (label: string, counters: Members) => new Members({ ...counters.value, label });
  const rest = answer.isNull("rest") ? null : answer.object("rest");
  const others = rest?.number("groups") ?? 0;
  return [
    ...(rest === null || others === 0
      ? []
      : [sum(`${others} more ${others === 1 ? "group" : "groups"}`, rest)]),
    ...(answer.list("groups").length === 0 ? [] : [sum("All", answer.object("total"))]),
  ];
}

function columnsOf(
  { numbers }: FlowsContext,
  by: readonly string[],
  groups: readonly Members[],
): Column<Members>[] {
  const dimensions = by.map((name, index): Column<Members> => ({
    title: dimensionTitle(name),
    cell: (row) =>
      row.has("label") ? (index === 0 ? row.text("label") : "") : dimensionText(row, name),
    columnsMin: 15,
    ...(NUMBERS.includes(name) && index > 0 && { align: "right" }),
  }));
  const optional = (
    title: string,
    name: string,
    write: (row: Members) => string,
    dropOrder: number,
  ) =>
    groups.some((group) => group.has(name))
      ? [{
        title,
        cell: (row: Members) => row.isNull(name) ? "" : write(row),
        align: "right" as const,
        dropOrder,
      }]
      : [];
  const rate = (name: string) => (row: Members) => numbers.rate(row.number(name));
  return [
    ...dimensions,
    ...counterColumns(numbers, 3),
    ...optional("Flows", "flows", (row) => numbers.count(row.integer("flows")), 5),
    ...optional("Rows", "rows", (row) => numbers.count(row.integer("rows")), 1),
    ...optional("Avg b/s", "averageBitsPerSecond", rate("averageBitsPerSecond"), 2),
    ...optional("Peak b/s", "peakBitsPerSecond", rate("peakBitsPerSecond"), 6),
    ...optional("95% b/s", "percentile95BitsPerSecond", rate("percentile95BitsPerSecond"), 4),
  ];
}
