/**
 * Sections and keys of a node's configuration file, one line a key: name, wanted form, parser, help.
 *
 * The parser (config_parser.ts), its error messages and the help text all come from these tables.
 */
import {
  FLOWS_MAX_MAX,
  FLOWS_MAX_MIN,
  MTU_BYTES_MAX,
  MTU_BYTES_MIN,
  SPOOL_BYTES_MAX,
  SPOOL_BYTES_MIN,
  WORKERS_MAX,
} from "../limits.ts";
import { EXIT_MODES } from "../netlog/mod.ts";
import {
  parseAllowedIp,
  parseByteCount,
  parseCollection,
  parseCollectorUrl,
  parseDecimal,
  parseEndpoint,
  parseFwmark,
  parseInterfaceAddress,
  parseKeepalive,
  parseListenPort,
  parseLogId,
  parseMtu,
  parseOutput,
  parseOverlayRange,
  parsePeriodMs,
  parseSaveConfig,
  parseStateDirectory,
  parseTable,
  parseTimerMs,
  parseWord,
  type Warn,
} from "./config_values.ts";
import { isZeroKey, keyFromBase64 } from "./key_text.ts";
import type { WorkersChoice } from "./worker_count.ts";
import {
  DAYS_FORM,
  DIRECTORY_FORM,
  LISTEN_FORM,
  parseDays,
  parseDirectory,
  parseListen,
  parseStoreSize,
  STORE_SIZE_FORM,
} from "./listen_address.ts";

/** One key of a section. */
export interface KeySpec<T> {
  readonly name: string;
  /** Completes "must be …". */
  readonly form: string;
  /** One line for people. */
  readonly help: string;
  /**
   * `single`: at most once. `repeated`: each line is one value. `list`: each line holds values apart by commas (and
   * by spaces, where wg-quick takes them too), and lines add up.
   */
  readonly kind: "single" | "repeated" | "list" | "spaced list";
  /** @returns undefined when `text` is not of the form. @throws {ValueError} When more can be said. */
  readonly parse: (text: string, warn: Warn) => T | undefined;
  /** An empty value counts as none, as wg-quick has it for its own keys. */
  readonly mayBeEmpty?: true;
  /** Spaces inside the value belong to it. */
  readonly keepsSpaces?: true;
  /** The value never appears in a message. */
  readonly isSecret?: true;
}

/** Keys of one section by name. */
export type KeyTable = Readonly<Record<string, KeySpec<unknown>>>;

const text = (value: string) => value;
const nonZeroKey = (value: string) => {
  const key = keyFromBase64(value);
  return key === undefined || isZeroKey(key) ? undefined : key;
};

const KEY_FORM = "a key of 44 base64 characters, as `tunlog genkey` and `wg genkey` print it";
const PUBLIC_KEY_FORM =
  "a key of 44 base64 characters, as `tunlog pubkey` and `wg pubkey` print it";
const PSK_FORM = "a key of 44 base64 characters, as `tunlog genpsk` and `wg genpsk` print it";
const ADDRESS_FORM = "an IPv4 or IPv6 address with an optional prefix length, e.g. 10.0.0.1/24";
const ENDPOINT_FORM = "host:port or [IPv6 address]:port with a port 1..65535";
const FWMARK_FORM = "a number 0..4294967295, decimal or 0x…, or off";
const TABLE_FORM = "auto, off, main, or a routing table 1..4294967295, decimal or 0x…";
const FLOWS_FORM = `a whole number ${FLOWS_MAX_MIN}..${FLOWS_MAX_MAX}`;
const parseFlowsMax = (value: string) => parseDecimal(value, FLOWS_MAX_MIN, FLOWS_MAX_MAX);
const SPOOL_FORM = `bytes with an optional K, M or G, ${SPOOL_BYTES_MIN / 2 ** 20}M..${
  SPOOL_BYTES_MAX / 2 ** 30
}G`;
const parseSpoolSize = (value: string) => parseByteCount(value, SPOOL_BYTES_MIN, SPOOL_BYTES_MAX);
const ID_FORM = "64 hexadecimal digits, not all zero";
const URL_FORM = "an http or https URL without user, query or fragment, e.g. http://10.0.0.1:8080";
const OVERLAY_FORM = "a prefix such as 100.64.0.0/10, or an exception such as !100.115.92.0/23";
const TIMER_FORM = "seconds 0.05..86400, with up to three decimals";

/** Infers the value's type from the parser. */
function key<T>(spec: KeySpec<T>): KeySpec<T> {
  return spec;
}

/** A command that wg-quick runs; `%i` in it stands for the interface's name. */
function hook(name: string, when: string): KeySpec<string> {
  const help = `Command run ${when}; needs --allow-hooks`;
  const kind = "repeated";
  return { name, form: "a command", help, kind, parse: text, mayBeEmpty: true, keepsSpaces: true };
}

function timer(name: string, meaning: string): KeySpec<number> {
  return { name, form: TIMER_FORM, help: meaning, kind: "single", parse: parseTimerMs };
}

// One key is one line below, so that the tables can be read as such.
// deno-fmt-ignore
/** Keys of `[Interface]`: wg's and wg-quick's, unchanged. */
export const INTERFACE_KEYS = {
  privateKey: key({ name: "PrivateKey", kind: "single", form: KEY_FORM, parse: nonZeroKey, isSecret: true, help: "This node's private key" }),
  listenPort: key({ name: "ListenPort", kind: "single", form: "a port 0..65535", parse: parseListenPort, help: "UDP port; absent or 0: the kernel's choice" }),
  fwmark: key({ name: "FwMark", kind: "single", form: FWMARK_FORM, parse: parseFwmark, help: "Mark of outgoing datagrams, for policy routing" }),
  address: key({ name: "Address", kind: "spaced list", form: ADDRESS_FORM, parse: parseInterfaceAddress, mayBeEmpty: true, help: "Own addresses inside the tunnel" }),
  mtu: key({ name: "MTU", kind: "single", form: `a whole number ${MTU_BYTES_MIN}..${MTU_BYTES_MAX}`, parse: parseMtu, mayBeEmpty: true, help: "Bytes of a packet inside the tunnel; absent: the path's, less 80" }),
  dns: key({ name: "DNS", kind: "spaced list", form: "an address or a domain", parse: text, mayBeEmpty: true, help: "Accepted, but not applied" }),
  table: key({ name: "Table", kind: "single", form: TABLE_FORM, parse: parseTable, mayBeEmpty: true, help: "Routing table for the peers' AllowedIPs" }),
  preUp: hook("PreUp", "before the interface is set up"),
  postUp: hook("PostUp", "after the interface is set up"),
  preDown: hook("PreDown", "before the interface is taken down"),
  postDown: hook("PostDown", "after the interface is taken down"),
  saveConfig: key({ name: "SaveConfig", kind: "single", form: "false", parse: parseSaveConfig, help: "Only `false`: tunlog never rewrites the file" }),
};

// deno-fmt-ignore
/** Keys of `[Peer]`: wg's, unchanged. */
export const PEER_KEYS = {
  publicKey: key({ name: "PublicKey", kind: "single", form: PUBLIC_KEY_FORM, parse: keyFromBase64, help: "The peer's public key" }),
  presharedKey: key({ name: "PresharedKey", kind: "single", form: PSK_FORM, parse: keyFromBase64, isSecret: true, help: "Symmetric key mixed into the handshake" }),
  endpoint: key({ name: "Endpoint", kind: "single", form: ENDPOINT_FORM, parse: parseEndpoint, help: "Where the peer is reached; absent: the peer begins" }),
  allowedIps: key({ name: "AllowedIPs", kind: "list", form: ADDRESS_FORM, parse: parseAllowedIp, mayBeEmpty: true, help: "Addresses that the peer may send from and is sent to" }),
  persistentKeepalive: key({ name: "PersistentKeepalive", kind: "single", form: "seconds 0..65535, or off", parse: parseKeepalive, help: "Sends something at least this often, to keep NAT open" }),
};

// deno-fmt-ignore
/** Keys of `[FlowLog]`, tunlog's own. */
export const FLOW_LOG_KEYS = {
  period: key({ name: "Period", kind: "single", form: "seconds 1..60, whole", parse: parsePeriodMs, help: "Length of a window; default 5" }),
  flowsMax: key({ name: "FlowsMax", kind: "single", form: FLOWS_FORM, parse: parseFlowsMax, help: "Connections kept apart in one window by each worker; default 65536" }),
  output: key({ name: "Output", kind: "single", form: "stdout, none, or a path that holds a slash", parse: parseOutput, keepsSpaces: true, help: "Where messages are written as JSON lines; default stdout, or none beside a Collector" }),
  exitMode: key({ name: "ExitMode", kind: "single", form: EXIT_MODES.join(", "), parse: parseWord(EXIT_MODES), help: "What is written of traffic to the internet: zero sums only, node overlay addresses, prefix /24 and /48, keyed pseudonyms, full; default zero" }),
  overlayRanges: key({ name: "OverlayRanges", kind: "spaced list", form: OVERLAY_FORM, parse: parseOverlayRange, help: "Addresses of nodes rather than of networks behind them; default: the networks of Address and Tailscale's ranges" }),
  subnetRoutes: key({ name: "SubnetRoutes", kind: "spaced list", form: ADDRESS_FORM, parse: parseAllowedIp, help: "Networks behind this node that it offers to peers" }),
  collector: key({ name: "Collector", kind: "single", form: URL_FORM, parse: parseCollectorUrl, help: "Log collection that messages are sent to" }),
  collection: key({ name: "Collection", kind: "single", form: "1..253 characters a-z A-Z 0-9 _ . -", parse: parseCollection, help: "Name of the collection; default tunlog" }),
  privateId: key({ name: "PrivateId", kind: "single", form: ID_FORM, parse: parseLogId, isSecret: true, help: "Credential of this node's stream; absent: made once and kept in StateDirectory" }),
  copyId: key({ name: "CopyId", kind: "single", form: ID_FORM, parse: parseLogId, isSecret: true, help: "Credential of a stream that entries are copied to" }),
  stateDirectory: key({ name: "StateDirectory", kind: "single", form: "an absolute path, or none", parse: parseStateDirectory, keepsSpaces: true, help: "Where ids, keys and what waits for upload are kept; default /var/lib/tunlog/INTERFACE; none: in memory" }),
  spoolSize: key({ name: "SpoolSize", kind: "single", form: SPOOL_FORM, parse: parseSpoolSize, help: "Most that waits for upload; beyond, the oldest goes and is declared lost; default 256M" }),
};

// deno-fmt-ignore
/** Keys of `[Collector]`, tunlog's own. */
export const COLLECTOR_KEYS = {
  listen: key({ name: "Listen", kind: "single", form: LISTEN_FORM, parse: (value) => parseListen(value), help: "Where it is reached; default 127.0.0.1:8080" }),
  data: key({ name: "Data", kind: "single", form: DIRECTORY_FORM, parse: parseDirectory, keepsSpaces: true, help: "Directory of its store; default /var/lib/tunlog/collector" }),
  rawDays: key({ name: "RawDays", kind: "single", form: DAYS_FORM, parse: parseDays, help: "How long rows are kept; default 7" }),
  minuteDays: key({ name: "MinuteDays", kind: "single", form: DAYS_FORM, parse: parseDays, help: "How long sums by minute are kept; default 30" }),
  hourDays: key({ name: "HourDays", kind: "single", form: DAYS_FORM, parse: parseDays, help: "How long sums by hour are kept; default 400" }),
  sizeMax: key({ name: "SizeMax", kind: "single", form: STORE_SIZE_FORM, parse: parseStoreSize, help: "Size of the store above which the oldest goes; default 16G" }),
};

/**
 * Keys of `[Timers]` by their names in Timing: for tests and laboratories. The other end keeps its own times, so what
 * differs from the protocol's must still fit them.
 */
export const TIMER_KEYS = {
  rekeyAfterTimeMs: timer("RekeyAfter", "Age at which the initiator renews a session; default 120"),
  rejectAfterTimeMs: timer("RejectAfter", "Age at which a session ends; default 180"),
  rekeyAttemptTimeMs: timer("RekeyAttempt", "How long a handshake is tried; default 90"),
  rekeyTimeoutMs: timer("RekeyTimeout", "Between two tries of a handshake; default 5"),
  keepaliveTimeoutMs: timer("KeepaliveTimeout", "Silence before a passive keepalive; default 10"),
};

/** Which offloads a node may use: all that work, none, or those of one side alone. */
export const OFFLOAD_CHOICES = ["auto", "none", "tun", "udp"] as const;

/** Form of a number of workers. */
export const WORKERS_FORM = `auto or a whole number 1..${WORKERS_MAX}`;

/** Reads a number of data-plane workers. */
export function parseWorkers(value: string): WorkersChoice | undefined {
  return value.toLowerCase() === "auto" ? "auto" : parseDecimal(value, 1, WORKERS_MAX);
}

// deno-fmt-ignore
/** Keys of `[DataPlane]`, tunlog's own. */
export const DATA_PLANE_KEYS = {
  offloads: key({ name: "Offloads", kind: "single", form: OFFLOAD_CHOICES.join(", "), parse: parseWord(OFFLOAD_CHOICES), help: "Whether many packets are moved as one: auto wherever the kernel can, none, tun or udp on that side alone; default auto" }),
  workers: key({ name: "Workers", kind: "single", form: WORKERS_FORM, parse: parseWorkers, help: "Threads that move packets; auto: one, or two from four cores on; default auto" }),
};

/** One kind of section. */
export interface SectionSpec {
  readonly name: string;
  readonly keys: KeyTable;
  readonly help: string;
  /** Whether each header begins another one; otherwise headers of the same name add up, as in wg. */
  readonly isRepeated: boolean;
}

// deno-fmt-ignore
/** All sections, by what the parser calls them. */
export const SECTIONS = {
  interface: { name: "Interface", keys: INTERFACE_KEYS, isRepeated: false, help: "This node" },
  peer: { name: "Peer", keys: PEER_KEYS, isRepeated: true, help: "One other end; as many as there are" },
  flowLog: { name: "FlowLog", keys: FLOW_LOG_KEYS, isRepeated: false, help: "What is written down of each connection" },
  collector: { name: "Collector", keys: COLLECTOR_KEYS, isRepeated: false, help: "Log collection in this process, which the flow log is sent to unless [FlowLog] names another; `tunlog up --collect` stands for an empty one" },
  dataPlane: { name: "DataPlane", keys: DATA_PLANE_KEYS, isRepeated: false, help: "How packets are moved" },
  timers: { name: "Timers", keys: TIMER_KEYS, isRepeated: false, help: "WireGuard's timers, for tests and laboratories" },
} as const satisfies Record<string, SectionSpec>;
