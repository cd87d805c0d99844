/**
 * The questions of `tunlog flows` in one table: name, arguments, options, one line of help.
 *
 * Options that the API knows have its names, values and defaults, so that one documentation serves both.
 */
import type { CommandSpec, OptionTable } from "../commands.ts";

const help = { type: "boolean", short: "h", help: "Prints this" } as const;

function value(placeholder: string, text: string) {
  return { type: "string", placeholder, help: text } as const;
}

/** Where answers come from, and how they are shown. */
export const SOURCE_OPTIONS = {
  collector: value("URL", "Collector to ask; default $TUNLOG_COLLECTOR, http://127.0.0.1:8080"),
  key: value("KEY", "Its API key; better --key-file or $TUNLOG_KEY, for others see command lines"),
  "key-file": value("FILE", "File that holds the API key"),
  data: value("DIR", "Reads the store in a collector's directory, whether it runs or not"),
  file: value(
    "FILE",
    "Reads lines of JSON, as a node writes them, all by default; - is the standard input",
  ),
  json: { type: "boolean", help: "Prints lines of JSON, the last one about the whole" },
  csv: { type: "boolean", help: "Prints CSV (RFC 4180)" },
  exact: { type: "boolean", help: "Prints all digits of numbers" },
  utc: { type: "boolean", help: "Prints times in UTC; default is the local zone" },
  help,
} as const satisfies OptionTable;

const RANGED_OPTIONS = {
  from: value("TIME", "Start of the range: 2026-01-31T12:00:00Z, -1h, now-15m; default -1h"),
  to: value("TIME", "End of the range; default now"),
  last: value("SPAN", "The same as --from=-SPAN: 90s, 15m, 1h, 7d"),
  orphans: { type: "boolean", help: "Reads streams that nobody adopted too" },
  timeout: value("SPAN", "How long the question may take; default 10s"),
  ...SOURCE_OPTIONS,
} as const satisfies OptionTable;

const NET_OPTIONS = {
  tier: value("TIER", "Where rows are read: auto, raw, minute, hour or sum; default auto"),
  net4: value("BITS", "IPv4 prefixes of srcNet and dstNet; default 24"),
  net6: value("BITS", "IPv6 prefixes; default 48"),
} as const satisfies OptionTable;

const DIMENSIONS_NOTE =
  "Dimensions: class, node, peer, proto, src, dst, host, sport, dport, srcNet, dstNet.";
const ORDER = value("ORDER", "bytes, packets, txBytes, rxBytes, txPackets, rxPackets or rows");
const FILTER = ["[FILTER...]"] as const;
const FILTER_NOTE =
  "FILTER is one or more words: class subnet and dport 443 (`tunlog help filter`).";

/** All questions, in the order of the help. */
export const FLOWS_COMMANDS = {
  tail: {
    name: "flows tail",
    summary: "Shows connections as they arrive, until it is ended",
    positionals: FILTER,
    options: {
      last: value("SPAN", "Begins with what ended since then"),
      windows: { type: "boolean", help: "Shows sums of each window by class, not connections" },
      limit: value("ROWS", "Most connections shown of what arrives at once; default all"),
      ...SOURCE_OPTIONS,
    },
    notes: [
      FILTER_NOTE,
      "With --file: goes on with what is written to the file. When the collector is lost, it is asked",
      "again, from where it was left.",
    ],
  },
  top: {
    name: "flows top",
    summary: "Sums traffic by group, the greatest first",
    positionals: FILTER,
    options: {
      by: value("DIMENSIONS", "One to three, with commas; default src,dst"),
      order: ORDER,
      limit: value("GROUPS", "Most groups shown; default 20"),
      flows: { type: "boolean", help: "Counts distinct connections" },
      rates: { type: "boolean", help: "Shows peak and 95th percentile of rates" },
      ...NET_OPTIONS,
      ...RANGED_OPTIONS,
    },
    notes: [FILTER_NOTE, DIMENSIONS_NOTE],
  },
  query: {
    name: "flows query",
    summary: "Lists connections, window by window",
    positionals: FILTER,
    options: {
      limit: value("ROWS", "Most rows shown; default 100"),
      order: value("ORDER", "newest or oldest first; default newest"),
      ...RANGED_OPTIONS,
    },
    notes: [FILTER_NOTE],
  },
  series: {
    name: "flows series",
    summary: "Sums traffic over time",
    positionals: FILTER,
    options: {
      by: value("DIMENSION", "What makes the lines; default class"),
      step: value("SPAN", "Length of a bucket; default by the range"),
      show: value("COUNTER", "bytes, packets, txBytes, rxBytes, txPackets or rxPackets in tables"),
      order: ORDER,
      limit: value("LINES", "Most lines; others are summed as the rest; default 10"),
      ...NET_OPTIONS,
      ...RANGED_OPTIONS,
    },
    notes: [
      FILTER_NOTE,
      DIMENSIONS_NOTE,
      "A dot stands for time of which nothing is known, which is not the same as no traffic.",
    ],
  },
  nodes: {
    name: "flows nodes",
    summary: "Shows who logs, how completely, and what waits",
    positionals: FILTER,
    options: {
      check: { type: "boolean", help: "Compares each node's own report with what was read" },
      ...RANGED_OPTIONS,
    },
    notes: ["FILTER: its `node` counts; all else may match."],
  },
  gaps: {
    name: "flows gaps",
    summary: "Lists what was lost, declared by its node or missing",
    positionals: FILTER,
    options: { limit: value("GAPS", "Most gaps shown; default 100"), ...RANGED_OPTIONS },
    notes: ["FILTER: its `node` counts; all else may match."],
  },
  reconcile: {
    name: "flows reconcile",
    summary: "Compares both ends' books: loss, altered, withheld",
    positionals: FILTER,
    options: {
      skew: value("SPAN", "What a node's clock may be wrong by; default 2s"),
      transit: value("SPAN", "What a packet may take on its way; default 1s"),
      limit: value("FLOWS", "Most flows shown of each pair; default 100"),
      all: { type: "boolean", help: "Lists flows in good order too" },
      ...RANGED_OPTIONS,
    },
    notes: [
      FILTER_NOTE,
      "Losses are bounds that hold the true one whatever windows and clocks did.",
    ],
  },
  explain: {
    name: "flows explain",
    summary: "Says why a connection is in its class; both ends' rows",
    positionals: ["SRC", "DST"],
    options: {
      node: value("NAME", "Node that reported it; default whichever did last"),
      proto: value("PROTO", "tcp, udp, icmp or a number; default any"),
      limit: value("ROWS", "Most rows shown of each end; default 5"),
      ...RANGED_OPTIONS,
    },
    notes: [
      "SRC and DST are addresses or names of nodes, with a port or without: 100.64.0.1:40000,",
      "[fd7a::1]:443, db1. Where several connections match, the newest is explained.",
    ],
  },
  export: {
    name: "flows export",
    summary: "Prints all connections, or messages as received",
    positionals: FILTER,
    options: {
      messages: {
        type: "boolean",
        help: "Prints messages, reports and gap records as they were received",
      },
      collection: value("NAME", "Collection of the messages; default all"),
      order: value("ORDER", "oldest or newest first; default oldest"),
      ...RANGED_OPTIONS,
    },
    notes: [
      FILTER_NOTE,
      "Prints lines of JSON, or CSV with --csv. With --messages the range is of the time of receipt,",
      "and there is no FILTER; what is printed can be read by `flows --file` and `fmt`.",
    ],
  },
} as const satisfies Record<string, CommandSpec>;

/** Name of a question. */
export type FlowsCommandName = keyof typeof FLOWS_COMMANDS;

/** Whether `name` is a question. */
export function isFlowsCommand(name: string): name is FlowsCommandName {
  return Object.hasOwn(FLOWS_COMMANDS, name);
}

/** Lines of `tunlog help flows`. */
export function flowsCommandRows(): (readonly [string, string])[] {
  return Object.entries<CommandSpec>(FLOWS_COMMANDS).map(([name, { positionals, summary }]) => [
    [name, ...positionals].join(" "),
    summary,
  ]);
}
