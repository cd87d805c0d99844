/**
 * The grammar as a table, for `tunlog help filter` and for the page.
 *
 * Out: FILTER_HELP, from the general to the particular; every example is a filter of its own.
 */

/** One form of the language. */
export interface FilterHelpRow {
  readonly name: string;
  /** How it is written: words in small letters, values in capitals. */
  readonly form: string;
  readonly meaning: string;
  /** A whole filter. */
  readonly example: string;
}

/** Every form. */
export const FILTER_HELP: readonly FilterHelpRow[] = [
  {
    name: "all",
    form: "FILTER and FILTER",
    meaning: "rows that match both; && is the same, and binds closer than or",
    example: "class subnet and dst net 10.0.0.0/8 and dport 443",
  },
  {
    name: "any",
    form: "FILTER or FILTER",
    meaning: "rows that match one at least; || is the same",
    example: "tcp and (port 80 or port 443)",
  },
  {
    name: "none",
    form: "not FILTER",
    meaning: "rows that do not match; ! is the same, and binds closest",
    example: "not udp and not (class exit or class unknown)",
  },
  {
    name: "list",
    form: "WORD in (VALUE, VALUE)",
    meaning: "any of the values; also: not in, =, !=",
    example: "class in (virtual, subnet) and dport not in (80, 443, 8000-8100)",
  },
  {
    name: "class",
    form: "class virtual|subnet|exit|unknown|physical",
    meaning: "class of traffic",
    example: "class virtual",
  },
  {
    name: "node",
    form: "node NAME",
    meaning: "the node that reported the row, by name or id; * stands for any characters",
    example: 'node web-* or node "büro 2"',
  },
  {
    name: "peer",
    form: "peer NAME",
    meaning: "one end is an address of the node, whoever reported the row",
    example: "peer db1 and not node db1",
  },
  {
    name: "proto",
    form: "proto tcp|udp|icmp|ipv6-icmp|sctp|gre|esp|ah|igmp|NUMBER",
    meaning: "IP protocol; its name alone is the same",
    example: "icmp or ipv6-icmp or proto 99",
  },
  {
    name: "host",
    form: "[src|dst] host ADDRESS|NAME",
    meaning: "an end, by its address or by the name of the node that has it",
    example: "src host 10.0.0.7 or host web-1",
  },
  {
    name: "net",
    form: "[src|dst] net PREFIX",
    meaning: "an end within the prefix",
    example: "net 10.0.0.0/8 and not dst net fd00::/8",
  },
  {
    name: "src, dst",
    form: "src|dst ADDRESS|PREFIX",
    meaning: "short for src host and src net",
    example: "src 10.0.0.7 and dst 192.168.0.0/16",
  },
  {
    name: "no address",
    form: "src|dst|host none",
    meaning: "the row has no address there: it stands for many, or keeps it to itself",
    example: "class exit and dst none",
  },
  {
    name: "port",
    form: "[src|dst] port PORT|FIRST-LAST",
    meaning: "port of an end, or a range; 0 means that the row has none",
    example: "port 53 or dst port 8000-8100",
  },
  {
    name: "sport, dport",
    form: "sport|dport [=|!=|<|<=|>|>=] PORT",
    meaning: "source port, destination port",
    example: "dport < 1024 and sport >= 1024",
  },
  {
    name: "bytes, pkts",
    form: "[tx|rx] bytes|pkts =|!=|<|<=|>|>= NUMBER",
    meaning: "counts of a row, of one direction or of both; 10k, 1.5M, 1MiB, 8kbit",
    example: "rx bytes >= 10MiB or tx pkts > 10k",
  },
  {
    name: "rate",
    form: "[tx|rx] rate =|!=|<|<=|>|>= NUMBER",
    meaning: "bits per second over the row's window; with B bytes per second",
    example: "rate > 2Gbit or tx rate > 100MB/s",
  },
  {
    name: "folded",
    form: "folded",
    meaning: "rows that stand for several connections which found no room of their own",
    example: "not folded",
  },
];
