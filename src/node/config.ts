/**
 * Configuration of a node: a wg-quick file as it is, with tunlog's own sections beside it.
 *
 * In: the text of the file and its path, which names the interface. Out: a NodeConfig in which every value has been
 * checked, or one ConfigError with all that is wrong. Guarantees: nothing but ConfigError is thrown, and no message
 * holds a secret.
 * Not here: reading the file (config_file.ts), resolving names, applying anything.
 */
import { ConfigError } from "../errors.ts";
import { ALLOWED_IPS_MAX, CONFIG_BYTES_MAX, PEERS_MAX } from "../limits.ts";
import { prefixText } from "../packet/mod.ts";
import type { AllowedIp } from "../wireguard/mod.ts";
import { DEFAULT_TIMING, lastMinuteRekeyMs, type Timing } from "../wireguard/mod.ts";
import {
  type EmbeddedCollectorConfig,
  embeddedUrl,
  readEmbeddedCollector,
} from "./config_collector.ts";
import { type FlowLogConfig, readFlowLog } from "./config_flow_log.ts";
import {
  DATA_PLANE_KEYS,
  INTERFACE_KEYS,
  OFFLOAD_CHOICES,
  PEER_KEYS,
  SECTIONS,
  TIMER_KEYS,
} from "./config_keys.ts";
import { parseSections, Problems, Section } from "./config_parser.ts";
import type { ConfigEndpoint } from "./config_values.ts";
import { keyToBase64 } from "./key_text.ts";
import type { WorkersChoice } from "./worker_count.ts";

/** When a hook runs; see wg-quick(8). */
export type HookMoment = "preUp" | "postUp" | "preDown" | "postDown";

/** A command that the user wants run. `%i` in it stands for the interface's name. */
export interface Hook {
  readonly moment: HookMoment;
  readonly command: string;
  readonly line: number;
}

/** One `[Peer]`. */
export interface PeerConfig {
  /** Line of its header. */
  readonly line: number;
  readonly friendlyName: string | null;
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array | null;
  readonly endpoint: ConfigEndpoint | null;
  /** Host bits cleared; no prefix belongs to two peers or twice to one. */
  readonly allowedIps: readonly AllowedIp[];
  /** Seconds; 0 = off. */
  readonly persistentKeepaliveS: number;
}

/** One of OFFLOAD_CHOICES. */
export type OffloadChoice = (typeof OFFLOAD_CHOICES)[number];

/** A whole configuration file. */
export interface NodeConfig {
  readonly path: string;
  readonly interfaceName: string;
  /** Own name, by `# friendly_name` in `[Interface]`. */
  readonly friendlyName: string | null;
  readonly privateKey: Uint8Array;
  /** 0 = the kernel's choice. */
  readonly listenPort: number;
  /** 0 = none. */
  readonly fwmark: number;
  /** Host bits kept. */
  readonly addresses: readonly AllowedIp[];
  /** null = by the path. */
  readonly mtu: number | null;
  /** As written; not applied. */
  readonly dns: readonly string[];
  readonly table: "auto" | "off" | number;
  /** In the order of the file. */
  readonly hooks: readonly Hook[];
  readonly peers: readonly PeerConfig[];
  readonly flowLog: FlowLogConfig;
  /** Collector in the node's process; null = none. */
  readonly collector: EmbeddedCollectorConfig | null;
  readonly offloads: OffloadChoice;
  /** Threads that move packets. */
  readonly workers: WorkersChoice;
  /** A time that is absent keeps the protocol's value. */
  readonly timing: Partial<Timing>;
  /** Sentences, with path and line, for what was taken but deserves a look. */
  readonly warnings: readonly string[];
}

/** Interface names that wg-quick takes, of at most IFNAMSIZ - 1 bytes; the kernel refuses the last two. */
const INTERFACE_NAME = /^(?!\.{1,2}$)[a-zA-Z0-9_=+.-]{1,15}$/;

/** Whether the kernel and wg-quick take `name` for an interface. */
export function isInterfaceName(name: string): boolean {
  return INTERFACE_NAME.test(name);
}

/**
 * Takes the interface's name from the file's, as wg-quick does: `/etc/wireguard/wg0.conf` configures `wg0`.
 * @throws {ConfigError} If the file's name is not an interface name and `.conf`.
 */
export function interfaceNameOf(path: string): string {
  const name = /(?:^|\/)([^/]*)\.conf$/.exec(path)?.[1];
  if (name === undefined || !isInterfaceName(name)) {
    throw new ConfigError(
      "The file's name must be an interface name of 1..15 characters a-z A-Z 0-9 _ = + . - followed by .conf, " +
        "because the interface is named after it",
      path,
    );
  }
  return name;
}

/**
 * Reads a configuration file.
 * @param path Names the interface, and stands in messages.
 * @param collects Whether an empty [Collector] is to be taken for given.
 * @throws {ConfigError} If anything is wrong: all errors, one per line of the message, in the order of the file.
 */
export function parseNodeConfig(text: string, path: string, collects = false): NodeConfig {
  if (text.length > CONFIG_BYTES_MAX) {
    throw new ConfigError(`The file is longer than ${CONFIG_BYTES_MAX} bytes`, path);
  }
  const problems = new Problems(path);
  const interfaceName = checkedInterfaceName(path, problems);
  const sections = parseSections(text, problems);
  const empty = (spec: (typeof SECTIONS)[keyof typeof SECTIONS]) => new Section(spec, 0);
  const find = (spec: (typeof SECTIONS)[keyof typeof SECTIONS]) =>
    sections.find((section) => section.spec === spec) ?? empty(spec);
  const own = find(SECTIONS.interface);
  const collecting = find(SECTIONS.collector);
  const collector = collects || collecting.line > 0 ? readEmbeddedCollector(collecting) : null;
  const ownUrl = collector === null ? null : embeddedUrl(collector.listen);
  const config: NodeConfig = {
    path,
    interfaceName,
    friendlyName: own.friendlyName,
    privateKey: own.one(INTERFACE_KEYS.privateKey) ?? missingPrivateKey(own, problems),
    listenPort: own.one(INTERFACE_KEYS.listenPort) ?? 0,
    fwmark: own.one(INTERFACE_KEYS.fwmark) ?? 0,
    addresses: readAddresses(own, problems),
    mtu: own.one(INTERFACE_KEYS.mtu) ?? null,
    dns: own.all(INTERFACE_KEYS.dns).map((entry) => entry.value),
    table: own.one(INTERFACE_KEYS.table) ?? "auto",
    hooks: readHooks(own),
    peers: readPeers(sections.filter((section) => section.spec === SECTIONS.peer), problems),
    flowLog: readFlowLog(find(SECTIONS.flowLog), interfaceName, problems, ownUrl),
    collector,
    offloads: find(SECTIONS.dataPlane).one(DATA_PLANE_KEYS.offloads) ?? "auto",
    workers: find(SECTIONS.dataPlane).one(DATA_PLANE_KEYS.workers) ?? "auto",
    timing: readTiming(find(SECTIONS.timers), problems),
    warnings: problems.warnings,
  };
  problems.throwIfAny();
  return config;
}

function checkedInterfaceName(path: string, problems: Problems): string {
  try {
    return interfaceNameOf(path);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.error(0, error.message.slice(`${path}: `.length));
    return "";
  }
}

/** Reports a key that is not there; one that is there but wrong has been reported. */
function missingPrivateKey(own: Section, problems: Problems): Uint8Array {
  if (own.line === 0) problems.error(0, "There is no [Interface] section");
  else if (own.lineOf(INTERFACE_KEYS.privateKey) === undefined) {
    problems.error(own.line, "[Interface] lacks PrivateKey; `tunlog genkey` makes one");
  }
  return new Uint8Array(0);
}

function readAddresses(own: Section, problems: Problems): AllowedIp[] {
  const lineByAddress = new Map<string, number>();
  return own.all(INTERFACE_KEYS.address).map(({ value, text, line }) => {
    const key = prefixText(value);
    const firstLine = lineByAddress.get(key);
    if (firstLine === undefined) lineByAddress.set(key, line);
    else problems.error(line, `Address "${text}" was already given in line ${firstLine}`);
    return value;
  });
}

function readHooks(own: Section): Hook[] {
  const moments = ["preUp", "postUp", "preDown", "postDown"] as const;
  return moments.flatMap((moment) =>
    own.all(INTERFACE_KEYS[moment]).map(({ value, line }) => ({ moment, command: value, line }))
  ).toSorted((a, b) => a.line - b.line);
}

function readPeers(sections: readonly Section[], problems: Problems): PeerConfig[] {
  if (sections.length > PEERS_MAX) {
    problems.error(sections[PEERS_MAX]!.line, `There are more than ${PEERS_MAX} peers`);
  }
  const lineByKey = new Map<string, number>();
  const ownerByPrefix = new Map<string, { readonly peer: Section; readonly line: number }>();
  const peers = sections.map((section): PeerConfig => ({
    line: section.line,
    friendlyName: section.friendlyName,
    publicKey: readPublicKey(section, lineByKey, problems),
    presharedKey: section.one(PEER_KEYS.presharedKey) ?? null,
    endpoint: section.one(PEER_KEYS.endpoint) ?? null,
    allowedIps: readAllowedIps(section, ownerByPrefix, problems),
    persistentKeepaliveS: section.one(PEER_KEYS.persistentKeepalive) ?? 0,
  }));
  if (ownerByPrefix.size > ALLOWED_IPS_MAX) {
    problems.error(0, `There are more than ${ALLOWED_IPS_MAX} AllowedIPs over all peers`);
  }
  return peers;
}

function readPublicKey(
  section: Section,
  lineByKey: Map<string, number>,
  problems: Problems,
): Uint8Array {
  const line = section.lineOf(PEER_KEYS.publicKey);
  if (line === undefined) problems.error(section.line, "[Peer] lacks PublicKey");
  const key = section.one(PEER_KEYS.publicKey);
  if (key === undefined || line === undefined) return new Uint8Array(0);
  const text = keyToBase64(key);
  const firstLine = lineByKey.get(text);
  if (firstLine === undefined) lineByKey.set(text, line);
  else problems.error(line, `PublicKey is that of the peer in line ${firstLine}`);
  return key;
}

/**
 * Reads a peer's prefixes. wg lets the last peer win a prefix that two peers list; in a file, which is meant to say
 * what is, that is a mistake, and whichever peer loses is cut off without a word.
 */
function readAllowedIps(
  section: Section,
  ownerByPrefix: Map<string, { readonly peer: Section; readonly line: number }>,
  problems: Problems,
): AllowedIp[] {
  const allowedIps: AllowedIp[] = [];
  for (const { value, line } of section.all(PEER_KEYS.allowedIps)) {
    const prefix = prefixText(value);
    const owner = ownerByPrefix.get(prefix);
    if (owner === undefined) {
      ownerByPrefix.set(prefix, { peer: section, line });
      allowedIps.push(value);
    } else if (owner.peer !== section) {
      problems.error(line, `AllowedIPs entry ${prefix} belongs to the peer in line ${owner.line}`);
    }
  }
  return allowedIps;
}

function readTiming(section: Section, problems: Problems): Partial<Timing> {
  const changes = Object.fromEntries(
    Object.entries(TIMER_KEYS).flatMap(([name, key]) => {
      const ms = section.one(key);
      return ms === undefined ? [] : [[name, ms] as const];
    }),
  ) as Partial<Timing>;
  const timing = { ...DEFAULT_TIMING, ...changes };
  // The same relations that completeTiming() asserts, in the words of the file.
  if (timing.rekeyAfterTimeMs > lastMinuteRekeyMs(timing)) {
    const sum = "RejectAfter - KeepaliveTimeout - RekeyTimeout";
    problems.error(
      section.line,
      `RekeyAfter must be at most ${sum}, or sessions end before the next`,
    );
  }
  if (timing.rekeyTimeoutMs > timing.rekeyAttemptTimeMs) {
    problems.error(section.line, "RekeyTimeout must be at most RekeyAttempt");
  }
  return changes;
}
