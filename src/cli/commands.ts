/**
 * Every command in one table: name, arguments, options, one line of help.
 *
 * Parsing (args.ts), help (help.ts) and dispatch (main.ts) all go by it.
 */
import { OFFLOAD_CHOICES, WORKERS_FORM } from "../node/mod.ts";

/** One option. */
export interface OptionSpec {
  readonly type: "boolean" | "string";
  readonly short?: string;
  /** What stands for a string's value in help. */
  readonly placeholder?: string;
  /** Whether `--name=` means something. */
  readonly allowsEmpty?: boolean;
  /** Whether it may be given several times: the values are joined by commas. */
  readonly isList?: boolean;
  readonly help: string;
}

/** Options by long name. */
export type OptionTable = Readonly<Record<string, OptionSpec>>;

/** One command. */
export interface CommandSpec {
  readonly name: string;
  /** One line, in the third person. */
  readonly summary: string;
  /** Arguments in order; those in brackets may be left out, and stand last. */
  readonly positionals: readonly string[];
  readonly options: OptionTable;
  /** Further lines of its help. */
  readonly notes: readonly string[];
}

const help = { type: "boolean", short: "h", help: "Prints this" } as const;
const json = { type: "boolean", help: "Prints JSON" } as const;

/** All commands, in the order of the help. */
export const COMMANDS = {
  up: {
    name: "up",
    summary: "Brings a tunnel up and serves it until SIGINT, SIGTERM or `tunlog down`",
    positionals: ["CONF"],
    options: {
      "allow-hooks": { type: "boolean", help: "Runs PreUp, PostUp, PreDown and PostDown" },
      collect: { type: "boolean", help: "Runs a log collection in the same process" },
      offloads: {
        type: "string",
        placeholder: "LEVEL",
        help: `Moves many packets as one: ${OFFLOAD_CHOICES.join(", ")}; default: as CONF says`,
      },
      workers: {
        type: "string",
        placeholder: "N",
        help: `Threads that move packets: ${WORKERS_FORM}; default: as CONF says`,
      },
      help,
    },
    notes: [
      "CONF is a wg-quick file, which names the interface: wg0.conf makes wg0.",
      "A bare name stands for /etc/wireguard/NAME.conf. `tunlog help config` lists its keys.",
      "SIGHUP reads the file again and changes peers without ending their sessions.",
    ],
  },
  down: {
    name: "down",
    summary: "Ends a node and takes its interface down",
    positionals: ["INTERFACE"],
    options: { help },
    notes: ["INTERFACE is a name, or the file that it was brought up by."],
  },
  reload: {
    name: "reload",
    summary: "Makes a node read its file again, as SIGHUP does",
    positionals: ["INTERFACE"],
    options: { help },
    notes: ["INTERFACE is a name, or the file that it was brought up by."],
  },
  status: {
    name: "status",
    summary: "Shows peers, flow log and drops of running nodes",
    positionals: ["[INTERFACE]"],
    options: { json, help },
    notes: ["Without INTERFACE: all nodes; as JSON then a list."],
  },
  genkey: {
    name: "genkey",
    summary: "Prints a new private key",
    positionals: [],
    options: { help },
    notes: [],
  },
  pubkey: {
    name: "pubkey",
    summary: "Reads a private key and prints its public key",
    positionals: [],
    options: { help },
    notes: ["The private key is read from the standard input: tunlog genkey | tunlog pubkey"],
  },
  genpsk: {
    name: "genpsk",
    summary: "Prints a new preshared key",
    positionals: [],
    options: { help },
    notes: [],
  },
  doctor: {
    name: "doctor",
    summary: "Says whether a node can run here, and what to do if not",
    positionals: [],
    options: { json, help },
    notes: ["Exit code 0: it can; 1: it cannot."],
  },
  collect: {
    name: "collect",
    summary: "Runs the log collection, which keeps flow logs and answers questions about them",
    positionals: ["[ACTION]", "[WHAT]", "[NAME]"],
    options: {
      data: {
        type: "string",
        placeholder: "DIR",
        help: "Directory of its store and keys; default /var/lib/tunlog/collector",
      },
      listen: {
        type: "string",
        placeholder: "ADDRESS:PORT",
        help: "Where it is reached; default 127.0.0.1:8080",
      },
      "retention-raw": { type: "string", placeholder: "DAYS", help: "Keeps rows; default 7d" },
      "retention-minutes": {
        type: "string",
        placeholder: "DAYS",
        help: "Keeps sums by minute; default 30d",
      },
      "retention-hours": {
        type: "string",
        placeholder: "DAYS",
        help: "Keeps sums by hour; default 400d",
      },
      "size-max": {
        type: "string",
        placeholder: "BYTES",
        help: "Size of the store above which the oldest goes; default 16G",
      },
      "body-max": {
        type: "string",
        placeholder: "BYTES",
        help: "Most that one upload may hold; default 1M",
      },
      "tls-cert": { type: "string", placeholder: "FILE", help: "Certificate chain (PEM): HTTPS" },
      "tls-key": { type: "string", placeholder: "FILE", help: "Its private key (PEM)" },
      "adopt-all": { type: "boolean", help: "Keeps streams of everybody who writes" },
      closed: { type: "boolean", help: "Takes uploads to registered collections only" },
      collection: { type: "string", placeholder: "NAME", help: "Collection of an adopted stream" },
      help,
    },
    notes: [
      "Actions, on the directory of a collector that may run meanwhile:",
      "  collect key add NAME       prints a new API key, this once",
      "  collect key list           names of keys",
      "  collect key remove NAME    takes one back",
      "  collect adopt PUBLIC_ID    keeps a stream; others are forgotten after 12 hours",
      "Without any key only this machine may ask; with one, whoever has it, as user name of HTTP Basic.",
      "The first upload to a collection registers its name, unless --closed.",
    ],
  },
  fmt: {
    name: "fmt",
    summary: "Prints flow logs as tables, like netlogfmt",
    positionals: ["[FILE]"],
    options: {
      "resolve-names": { type: "boolean", help: "The same as --resolve-addrs=name" },
      "resolve-addrs": {
        type: "string",
        placeholder: "WHAT",
        allowsEmpty: true,
        help: "Prints nodeId, name or user of a node in place of its address",
      },
      utc: { type: "boolean", help: "Prints times in UTC; default is the local zone" },
      all: { type: "boolean", help: "Prints entries that are text as well" },
      help,
    },
    notes: [
      "Reads JSON from FILE or the standard input: flow logs by line, uploads, answers of an API,",
      "nested in anything, of any length. Tables appear as messages are complete.",
      "Gap records and self-reports of tunlog are printed as short blocks.",
      "Unlike netlogfmt it knows nodes only by what messages say of them, and has neither --api-key",
      "nor --tailnet-name; an IPv6 address with a port stands in brackets.",
      "Exit code 1: the input is not JSON, or a message is wrong; tables before it are printed.",
    ],
  },
  pcap: {
    name: "pcap",
    summary: "Prints or posts the flow log of a capture file",
    positionals: ["FILE"],
    options: {
      config: {
        type: "string",
        placeholder: "CONF",
        help: "Takes addresses, routes, names and period from a node's file",
      },
      local: {
        type: "string",
        placeholder: "PREFIXES",
        isList: true,
        help:
          "Prefixes of our side: what they send is tx; overlay addresses among them are the node's",
      },
      routes: {
        type: "string",
        placeholder: "PREFIXES",
        isList: true,
        help: "What is routed into the tunnel",
      },
      "subnet-routes": {
        type: "string",
        placeholder: "PREFIXES",
        isList: true,
        help: "Networks behind this node",
      },
      overlay: {
        type: "string",
        placeholder: "PREFIXES",
        isList: true,
        help: "Addresses of nodes, exceptions with ! in front; default is Tailscale's",
      },
      "exit-mode": {
        type: "string",
        placeholder: "MODE",
        help: "zero, node, prefix or full; default is full",
      },
      node: { type: "string", placeholder: "NAME", help: "Id of the node in messages" },
      period: { type: "string", placeholder: "SECONDS", help: "Window, 1 to 60; default is 5" },
      json: { type: "boolean", help: "Prints lines of JSON; default when not on a terminal" },
      utc: { type: "boolean", help: "Prints times of tables in UTC; default is the local zone" },
      post: { type: "string", placeholder: "URL", help: "Sends to a log collector instead" },
      collection: { type: "string", placeholder: "NAME", help: "Collection there" },
      id: { type: "string", placeholder: "FILE", help: "File that holds the private id there" },
      help,
    },
    notes: [
      "FILE is pcap or pcapng, of Ethernet with VLAN tags, raw IP, loopback or Linux cooked frames;",
      "- is the standard input. Lists of prefixes have commas; lists may be given several times.",
      "Without --local and --config, or where they do not say: the side that sent a connection's first",
      "packet is ours. Nothing is anonymised unless --exit-mode says so, for the capture holds all;",
      "each message tells its mode. Packets count by their IP length, cut off or not, in windows on",
      "the UTC grid by their own times.",
      "--post needs --collection and --id and prints no messages.",
      "Exit code 1: the file breaks off or is broken, or messages could not be delivered.",
    ],
  },
  flows: {
    name: "flows",
    summary: "Answers questions about the flow log: tail, top, query, series, nodes, gaps and more",
    positionals: ["QUESTION", "[ARGUMENTS...]"],
    options: { help },
    notes: [
      "Asks a collector (--collector URL), its store (--data DIR) or a file of messages (--file FILE).",
      'Each question has options of its own: "tunlog help flows top".',
    ],
  },
  demo: {
    name: "demo",
    summary: "Shows the flow log of three nodes that it starts in network namespaces",
    positionals: [],
    options: {
      pcap: { type: "boolean", help: "Shows that of a capture that it makes up; needs no root" },
      seconds: {
        type: "string",
        placeholder: "SECONDS",
        help: "Ends after so long; default is when SIGINT or SIGTERM comes",
      },
      port: {
        type: "string",
        placeholder: "PORT",
        help: "Port of the collector on 127.0.0.1; default is the kernel's choice",
      },
      help,
    },
    notes: [
      "Needs root and the command ip; on Deno also --allow-run. Nothing is touched outside of namespaces",
      "of its own, and nothing is left behind; what a demo that was killed left, the next one removes.",
      "alpha is a client, beta a subnet router, gamma an exit node. On a terminal the table is redrawn;",
      "elsewhere lines are appended, and the table stands below them.",
    ],
  },
  help: {
    name: "help",
    summary: "Explains a command, or the configuration file (`help config`)",
    positionals: ["[COMMAND]"],
    options: { help },
    notes: [],
  },
} as const satisfies Record<string, CommandSpec>;

/** Name of a command. */
export type CommandName = keyof typeof COMMANDS;

/** Usage of one command: `tunlog status [OPTIONS] [INTERFACE]`. */
export function usageLine(spec: CommandSpec): string {
  return ["tunlog", spec.name, "[OPTIONS]", ...spec.positionals].join(" ");
}
