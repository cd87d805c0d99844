/**
 * Tunnels of any implementation behind one interface: ours on Deno, ours on Bun, Debian's wireguard-go.
 *
 * In: one TunnelConfig. Out: a running tunnel with interface, addresses and routes in place. Ours is configured as a
 * user does it, by a file; wireguard-go by `wg setconf` and `ip`.
 */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { OffloadChoice } from "../../../src/node/config.ts";
import { type Child, type CommandResult, mustSync, type SignalName } from "./command.ts";
import type { Namespace } from "./namespaces.ts";
import { programCommand, ROOT, type Runtime } from "./runtimes.ts";
import { waitUntil } from "./wait.ts";

/** What carries the tunnel. */
export type Implementation = Runtime | "wireguard-go";

/** Key pair in WireGuard's text form. */
export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** Makes a key pair with `wg`, so that our own key commands are not on trial here. */
export function makeKeyPair(): KeyPair {
  const privateKey = mustSync(["wg", "genkey"]).trim();
  return { privateKey, publicKey: mustSync(["wg", "pubkey"], { input: privateKey }).trim() };
}

export function makePresharedKey(): string {
  return mustSync(["wg", "genpsk"]).trim();
}

/** One `[Peer]` section. */
export interface PeerConfig {
  readonly publicKey: string;
  readonly presharedKey?: string;
  readonly allowedIps: readonly string[];
  /** `192.0.2.1:51820` or `[2001:db8::1]:51820`. */
  readonly endpoint?: string;
  readonly persistentKeepaliveS?: number;
}

/** Session times in seconds; only ours can be told. */
export interface TimersConfig {
  readonly RekeyAfter?: number;
  readonly RejectAfter?: number;
  readonly RekeyAttempt?: number;
  readonly RekeyTimeout?: number;
  readonly KeepaliveTimeout?: number;
}

/** One tunnel. */
export interface TunnelConfig {
  readonly keys: KeyPair;
  readonly listenPort?: number;
  /** With prefix, e.g. `10.77.0.1/24`. */
  readonly addresses: readonly string[];
  readonly mtu?: number;
  /** wg-quick's `Table`. */
  readonly table?: string;
  readonly timers?: TimersConfig;
  /** Which offloads ours may use; default: what TUNLOG_SYSTEM_OFFLOADS says, or all that work. */
  readonly offloads?: OffloadChoice;
  /** Data-plane threads of ours; default: what TUNLOG_SYSTEM_WORKERS says, or the node's own choice. */
  readonly workers?: number;
  /** Lines of [FlowLog], e.g. `Output = /path`. Default: `Output = none`. */
  readonly flowLog?: readonly string[];
  /** Further lines of [Interface]. */
  readonly interfaceLines?: readonly string[];
  readonly peers: readonly PeerConfig[];
}

/** Returns the wg-quick file of a tunnel. */
export function renderConfig(config: TunnelConfig): string {
  const lines = ["[Interface]", `PrivateKey = ${config.keys.privateKey}`];
  if (config.listenPort !== undefined) lines.push(`ListenPort = ${config.listenPort}`);
  if (config.addresses.length > 0) lines.push(`Address = ${config.addresses.join(", ")}`);
  if (config.mtu !== undefined) lines.push(`MTU = ${config.mtu}`);
  if (config.table !== undefined) lines.push(`Table = ${config.table}`);
  lines.push(...config.interfaceLines ?? []);
  for (const peer of config.peers) lines.push("", ...renderPeer(peer));
  if (config.timers !== undefined) {
    lines.push("", "[Timers]");
    for (const [key, seconds] of Object.entries(config.timers)) lines.push(`${key} = ${seconds}`);
  }
  const offloads = config.offloads ?? process.env.TUNLOG_SYSTEM_OFFLOADS;
  const workers = config.workers ?? process.env.TUNLOG_SYSTEM_WORKERS;
  if (offloads !== undefined) lines.push("", "[DataPlane]", `Offloads = ${offloads}`);
  if (workers !== undefined) lines.push("", "[DataPlane]", `Workers = ${workers}`);
  lines.push("", "[FlowLog]", ...config.flowLog ?? ["Output = none"]);
  return `${lines.join("\n")}\n`;
}

function renderPeer(peer: PeerConfig): string[] {
  const lines = ["[Peer]", `PublicKey = ${peer.publicKey}`];
  if (peer.presharedKey !== undefined) lines.push(`PresharedKey = ${peer.presharedKey}`);
  lines.push(`AllowedIPs = ${peer.allowedIps.join(", ")}`);
  if (peer.endpoint !== undefined) lines.push(`Endpoint = ${peer.endpoint}`);
  if (peer.persistentKeepaliveS !== undefined) {
    lines.push(`PersistentKeepalive = ${peer.persistentKeepaliveS}`);
  }
  return lines;
}

/** One peer line of `wg show NAME dump`. */
export interface PeerDump {
  readonly publicKey: string;
  /** null = none. */
  readonly endpoint: string | null;
  readonly allowedIps: readonly string[];
  /** Unix seconds; 0 = never. */
  readonly latestHandshakeS: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}

/** A running tunnel. */
export class Tunnel {
  constructor(
    readonly implementation: Implementation,
    readonly namespace: Namespace,
    readonly name: string,
    readonly config: TunnelConfig,
    readonly process: Child,
    /** The configuration file. Valid iff the implementation is ours. */
    readonly configPath: string,
  ) {}

  get publicKey(): string {
    return this.config.keys.publicKey;
  }

  /** Lines of `wg show NAME dump`, asked of Debian's `wg`. */
  dumpLines(): string[][] {
    const text = this.namespace.mustSync(["wg", "show", this.name, "dump"]);
    return text.trimEnd().split("\n").map((line) => line.split("\t"));
  }

  /** All peers as `wg` sees them. */
  peerDumps(): PeerDump[] {
    return this.dumpLines().slice(1).map((fields) => ({
      publicKey: fields[0]!,
      endpoint: fields[2] === "(none)" ? null : fields[2]!,
      allowedIps: fields[3] === "(none)" ? [] : fields[3]!.split(","),
      latestHandshakeS: Number(fields[4]),
      rxBytes: Number(fields[5]),
      txBytes: Number(fields[6]),
    }));
  }

  /** The peer with that public key; by default the only one. */
  peerDump(publicKey?: string): PeerDump {
    const peers = this.peerDumps();
    const peer = publicKey === undefined
      ? peers[0]
      : peers.find((each) => each.publicKey === publicKey);
    if (peer === undefined) throw new Error(`wg show ${this.name}: peer is missing`);
    return peer;
  }

  /** What of `wg show NAME dump` hostile datagrams must not change: all but the byte counters. */
  stateDump(): string {
    return this.dumpLines()
      .map((fields, index) => index === 0 ? fields : [...fields.slice(0, 5), fields[7]])
      .map((fields) => fields.join(" "))
      .join("\n");
  }

  /** Ends it as a user does; see Child.stop. */
  stop(signal: SignalName = "SIGTERM"): Promise<CommandResult> {
    return this.process.stop(signal);
  }

  /** Ends it without giving it a chance to clean up, and waits until the kernel has removed the interface. */
  async kill(): Promise<void> {
    this.process.signal("SIGKILL");
    await this.process.ended;
    await waitUntil(
      `interface ${this.name} is gone`,
      () => !this.namespace.hasInterface(this.name),
    );
  }
}

/** How a tunnel is started besides its configuration. */
export interface StartOptions {
  /** Default: a new unique name. */
  readonly name?: string;
  /** Arguments behind `up CONF`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Command to put in front of ours. */
  readonly prefix?: readonly string[];
  /** Flags for Deno beyond the project's permission set. */
  readonly permissions?: readonly string[];
}

/** Writes the configuration file of ours and returns its path; the interface is named after it. */
export function writeConfig(namespace: Namespace, name: string, text: string): string {
  const path = join(namespace.lab.directory, `${name}.conf`);
  writeFileSync(path, text);
  chmodSync(path, 0o600);
  return path;
}

/** Starts ours on `runtime` with the file at `path`, without waiting for it. */
export function spawnProgram(
  runtime: Runtime,
  namespace: Namespace,
  path: string,
  options: StartOptions = {},
): Child {
  const argv = programCommand(runtime, ["up", path, ...options.args ?? []], options.permissions);
  return namespace.spawn([...options.prefix ?? [], ...argv], {
    cwd: ROOT,
    ...(options.env === undefined ? {} : { env: options.env }),
  });
}

/** Starts a tunnel and waits until interface, addresses and routes stand. */
export async function startTunnel(
  implementation: Implementation,
  namespace: Namespace,
  config: TunnelConfig,
  options: StartOptions = {},
): Promise<Tunnel> {
  const name = options.name ?? namespace.lab.interfaceName();
  if (implementation === "wireguard-go") return await startReference(namespace, name, config);
  const path = writeConfig(namespace, name, renderConfig(config));
  const child = spawnProgram(implementation, namespace, path, options);
  await child.waitForOutput(new RegExp(`tunlog: ${name} is up`));
  return new Tunnel(implementation, namespace, name, config, child, path);
}

/** Times that wireguard-go is started before a test gives up. */
const STARTS_MAX = 3;

/** Starts wireguard-go and waits until `wg` finds it. */
async function startServing(namespace: Namespace, name: string): Promise<Child> {
  for (let start = 1;; start++) {
    // The variable is what its background mode sets for itself; here it only keeps a banner out of the output.
    const child = namespace.spawn(["wireguard-go", "-f", name], {
      env: { WG_PROCESS_FOREGROUND: "1" },
    });
    const isServing = await waitUntil(
      `wireguard-go serves ${name}`,
      () =>
        !child.running ? "ended" : namespace.runSync(["wg", "show", name]).code === 0 && "serving",
    );
    if (isServing === "serving") return child;
    // A `wg` that comes between its bind and listen takes the socket for a dead one and removes it (wg's ipc-uapi-unix.h).
    if (start === STARTS_MAX || !child.stderr.includes("Failed to listen on uapi socket")) {
      throw new Error(`wireguard-go has ended\n${child.stdout}${child.stderr}`);
    }
  }
}

async function startReference(
  namespace: Namespace,
  name: string,
  config: TunnelConfig,
): Promise<Tunnel> {
  const child = await startServing(namespace, name);
  const path = writeConfig(namespace, `${name}.setconf`, renderReferenceConfig(config));
  namespace.mustSync(["wg", "setconf", name, path]);
  namespace.ip(
    ...config.addresses.map((address) =>
      `address add ${address} dev ${name}${address.includes(":") ? " nodad" : ""}`
    ),
    `link set ${name} mtu ${config.mtu ?? 1420} up`,
    ...config.peers.flatMap((peer) => peer.allowedIps)
      // Connected prefixes have their route already.
      .map((prefix) => `route replace ${prefix} dev ${name}`),
  );
  return new Tunnel("wireguard-go", namespace, name, config, child, path);
}

/** What `wg setconf` takes: the file without what is wg-quick's or ours. */
function renderReferenceConfig(config: TunnelConfig): string {
  const lines = ["[Interface]", `PrivateKey = ${config.keys.privateKey}`];
  if (config.listenPort !== undefined) lines.push(`ListenPort = ${config.listenPort}`);
  for (const peer of config.peers) lines.push("", ...renderPeer(peer));
  return `${lines.join("\n")}\n`;
}
