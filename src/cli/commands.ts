/**
 * Every command in one table: name, arguments, options, one line of help.
 *
 * Parsing (args.ts), help (help.ts) and dispatch (main.ts) all go by it.
 */

/** One option. */
export interface OptionSpec {
  readonly type: "boolean" | "string";
  readonly short?: string;
  /** What stands for a string's value in help. */
  readonly placeholder?: string;
  /** Whether `--name=` means something. */
  readonly allowsEmpty?: boolean;
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
