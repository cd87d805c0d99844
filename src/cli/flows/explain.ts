/**
 * `tunlog flows explain SRC DST`: why a connection is in its class, and what both ends logged of it.
 *
 * In: two ends, by address or by name of a node. Out: the newest connection between them, explained.
 */
import { ConfigError } from "../../errors.ts";
import { addressText, parseAddress, parseAddressPort } from "../../packet/mod.ts";
import { parseFilter } from "../../collector/mod.ts";
import { printable } from "../../netlog/mod.ts";
import { wrapped } from "./columns.ts";
import { FLOW_FIELDS, flowColumns } from "./flow_columns.ts";
import { Members } from "./members.ts";
import { printAnswer, rangeLine, tableText } from "./print.ts";
import { ask, type FlowsContext, parametersOf } from "./source.ts";
import { endText, protoText } from "./values.ts";

/** How many rows are looked through for other connections between the same ends. */
const CANDIDATES_MAX = 1_000;
const ROWS_DEFAULT = "5";
const NOT_FOUND = "No connection between these ends is in the log of that time";

/** Runs the question. @returns false when nobody reads on. @throws {Error} If there is no such connection. */
export async function explain(
  context: FlowsContext,
  [src, dst]: readonly string[],
): Promise<boolean> {
  const parameters = parametersOf(context, ["limit"]);
  const { flow, others } = await findFlow(context, parameters, src, dst);
  for (const name of ["node", "proto", "src", "sport", "dst", "dport"]) {
    parameters.set(name, String(flow.value[name]));
  }
  parameters.delete("filter");
  const { limit } = context.values;
  parameters.set("limit", typeof limit === "string" ? limit : ROWS_DEFAULT);
  const found = await ask(context.source, "/explain", parameters);
  // That there are more rows than were wanted is no loss.
  const cut = found.isNull("truncated") ? [] : found.texts("truncated");
  const isMore = cut.includes("flows");
  const answer = new Members({ ...found.value, truncated: cut.filter((what) => what !== "flows") });
  const flows = answer.objects("flows");
  const otherEnd = answer.isNull("otherEnd") ? null : answer.objects("otherEnd");
  const physical = answer.objects("physical");
  return await printAnswer(context, answer, {
    list: "flows",
    tables: (times) => {
      times.look([...flows, ...otherEnd ?? [], ...physical].map((row) => row.text("end")));
      const columns = flowColumns(context.numbers, times);
      return [
        rangeLine(answer, times) + reasonText(context, answer, flow),
        tableText(context, {
          heading: "As its node logged it",
          rows: flows,
          columns,
          ifEmpty: "-",
        }),
        tableText(context, {
          ...{ heading: "As the other end logged it", rows: otherEnd ?? [], columns },
          ifEmpty: otherEnd === null ? "Its node is not known" : "It logged nothing of it",
        }),
        tableText(context, {
          ...{ heading: "The tunnel that carried it", rows: physical, columns },
          ifEmpty: "Nothing of the tunnel is logged in the same windows",
        }),
        isMore ? "There are more windows: --limit\n" : "",
        others === 0 ? "" : `${others} more connections between them: give ports, or --proto\n`,
      ];
    },
    csv: { rows: flows, fields: FLOW_FIELDS },
  });
}

function reasonText({ style }: FlowsContext, answer: Members, flow: Members): string {
  const src = endText(flow.text("src"), flow.integer("sport"));
  const dst = endText(flow.text("dst"), flow.integer("dport"));
  const proto = protoText(flow.integer("proto"));
  const classes = answer.objects("classes").map((row) => {
    const mode = row.has("exitMode") ? `; addresses of exit traffic: ${row.text("exitMode")}` : "";
    return `Class ${row.text("class")}: ${row.text("reason")}${mode}`;
  });
  const lines = [
    `${proto === "" ? "" : `${proto} `}${src || "-"} -> ${dst || "-"}`,
    `Logged by: ${nodeText(answer, "node")}`,
    `Peer: ${nodeText(answer, "peer")}`,
    ...classes,
  ];
  return lines.map((line) => `${wrapped(printable(line), style.columns)}\n`).join("");
}

function nodeText(answer: Members, member: string): string {
  if (answer.isNull(member)) return "not known";
  const node = answer.object(member);
  const name = node.text("name") || node.text("nodeId");
  const addresses = node.texts("addresses").join(", ");
  return `${name}${addresses === "" ? "" : ` (${addresses})`}`;
}

/** Finds the newest row between two ends, and how many other connections there are. */
async function findFlow(
  { source, values }: FlowsContext,
  parameters: URLSearchParams,
  src: string,
  dst: string,
): Promise<{ flow: Members; others: number }> {
  const asked = new URLSearchParams(parameters);
  asked.set("limit", String(CANDIDATES_MAX));
  const more = [
    ...(typeof values.node === "string" ? [`node ${quoted(values.node)}`] : []),
    ...(typeof values.proto === "string" ? [`proto ${values.proto}`] : []),
  ];
  // As it was named; or as the other end logged it, if only that one logs.
  for (const [near, far] of [[src, dst], [dst, src]]) {
    const filter = [...endFilter("src", near), ...endFilter("dst", far), ...more].join(" and ");
    if (!parseFilter(filter).ok) {
      throw new ConfigError(
        `Cannot look for a connection from "${src}" to "${dst}": ` +
          "wanted are addresses or names of nodes, with a port or without, and a protocol's name",
      );
    }
    asked.set("filter", filter);
    const flows = (await ask(source, "/flows", asked)).objects("flows");
    if (flows.length === 0) continue;
    const keys = new Set(flows.map(keyOf));
    return { flow: flows[0], others: keys.size - 1 };
  }
  throw new Error(NOT_FOUND);
}

function keyOf({ value }: Members): string {
  return ["node", "proto", "src", "sport", "dst", "dport"].map((name) => value[name]).join(" ");
}

/** Terms of a filter for one end. */
export function endFilter(side: "src" | "dst", text: string): string[] {
  if (parseAddress(text) !== null) return [`${side} host ${text}`];
  const end = parseAddressPort(text);
  if (end !== null) {
    const address = addressText(end.addressWords, 0, end.family);
    return [`${side} host ${address}`, `${side} port ${end.port}`];
  }
  const [, name, port] = /^(.+):(\d{1,5})$/.exec(text) ?? [null, text, null];
  return [`${side} host ${quoted(name)}`, ...(port === null ? [] : [`${side} port ${port}`])];
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
