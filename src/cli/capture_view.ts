/**
 * What a capture is seen by: local side, routes, names, exit mode, period.
 *
 * In: options of `tunlog pcap`, among them a node's file. Out: checked values; UsageError where they do not fit.
 */
import { WINDOW_MS_DEFAULT, WINDOW_S_MAX, WINDOW_S_MIN } from "../limits.ts";
import {
  EXIT_MODES,
  type ExitMode,
  type ExitPolicy,
  NO_NODES,
  NodeDirectory,
  type NodeSource,
  OverlayRanges,
  type RouteConfig,
} from "../netlog/mod.ts";
import {
  keyToBase64,
  type LogView,
  type NodeConfig,
  nodesOf,
  openExitPolicy,
  OverlayView,
  parseNodeConfig,
  readConfigFile,
  routesOf,
} from "../node/mod.ts";
import { addressBits, parsePrefix, type Prefix } from "../packet/mod.ts";
import { openCrypto, requirePermissions } from "../platform/mod.ts";
import { KEY_BYTES } from "../wireguard/mod.ts";
import { type OptionValues, UsageError } from "./args.ts";
import type { COMMANDS } from "./commands.ts";

/** See file header. */
export interface CaptureView {
  readonly local: readonly Prefix[];
  readonly routes: RouteConfig;
  readonly overlay: OverlayRanges;
  readonly nodes: NodeSource;
  readonly exitPolicy: ExitPolicy;
  readonly periodMs: number;
}

type Values = OptionValues<typeof COMMANDS.pcap.options>;

/** Options whose answer a node's file has. */
const IN_CONFIG = ["routes", "subnet-routes", "overlay", "node"] as const;

/** Reads the options. @throws {UsageError} @throws {ConfigError} If the node's file is wrong. */
export function captureViewOf(values: Values, say: (message: string) => void): CaptureView {
  if (values.config === undefined) return viewOfOptions(values);
  for (const name of IN_CONFIG) {
    if (values[name] === undefined) continue;
    throw new UsageError(`Option "--${name}" does not go with "--config", which says it`);
  }
  requirePermissions([{ name: "read", action: "read the configuration" }]);
  const file = readConfigFile(values.config);
  return viewOfConfig(parseNodeConfig(file.text, file.path), values, say);
}

function viewOfOptions(values: Values): CaptureView {
  const local = prefixesOf(values, "local");
  const nodeId = values.node;
  const overlay = overlayOf(values.overlay);
  return {
    local,
    routes: {
      // A node's own addresses are overlay addresses: another would make all of its traffic subnet traffic.
      localAddresses: local.filter(({ addressWords, family }) =>
        overlay.contains(addressWords, 0, family)
      ),
      routes: prefixesOf(values, "routes").map((prefix) => ({ prefix, peer: null })),
      subnetRoutes: prefixesOf(values, "subnet-routes"),
    },
    overlay,
    nodes: nodeId === undefined ? NO_NODES : new NodeDirectory(
      { nodeId, addresses: local.filter(isSingle) },
      [],
    ),
    exitPolicy: { mode: exitModeOf(values["exit-mode"]) ?? "full" },
    periodMs: periodOf(values.period) ?? WINDOW_MS_DEFAULT,
  };
}

/** What the node itself would have logged; its addresses and the networks behind it are the local side. */
export function viewOfConfig(
  config: NodeConfig,
  values: Pick<Values, "local" | "exit-mode" | "period">,
  say: (message: string) => void,
): CaptureView {
  const { flowLog, friendlyName, addresses } = config;
  const publicKey = new Uint8Array(KEY_BYTES);
  // noble: one key is not worth the permission that libcrypto needs.
  openCrypto("noble").x25519Public(publicKey, config.privateKey);
  const view: LogView = {
    publicKey: keyToBase64(publicKey),
    friendlyName,
    addresses,
    subnetRoutes: flowLog.subnetRoutes,
    peers: config.peers.map(({ publicKey, friendlyName, allowedIps }) => ({
      publicKey: keyToBase64(publicKey),
      friendlyName,
      allowedIps,
    })),
  };
  const own = addresses.map((address) => ({ ...address, prefixBits: addressBits(address.family) }));
  const mode = exitModeOf(values["exit-mode"]);
  return {
    local: values.local === undefined
      ? [...own, ...flowLog.subnetRoutes]
      : prefixesOf(values, "local"),
    routes: routesOf(view),
    overlay: new OverlayView(flowLog.overlayRanges).update(view),
    nodes: nodesOf(view),
    exitPolicy: mode === null ? openExitPolicy(flowLog, say) : { mode },
    periodMs: periodOf(values.period) ?? flowLog.periodMs,
  };
}

function isSingle({ family, prefixBits }: Prefix): boolean {
  return prefixBits === addressBits(family);
}

function prefixesOf(
  values: Partial<Pick<Values, "local" | "routes" | "subnet-routes">>,
  name: "local" | "routes" | "subnet-routes",
): Prefix[] {
  return listOf(values[name]).map((text) => {
    const prefix = parsePrefix(text);
    if (prefix !== null) return prefix;
    throw new UsageError(`--${name} has "${text}", which is no prefix such as 10.0.0.0/8`);
  });
}

function overlayOf(text: string | undefined): OverlayRanges {
  return text === undefined ? new OverlayRanges() : new OverlayRanges(listOf(text));
}

function listOf(text: string | undefined): string[] {
  return text === undefined ? [] : text.split(",").map((item) => item.trim());
}

/** Modes that need no key of a node. */
const MODES = EXIT_MODES.filter((mode) => mode !== "keyed");

function exitModeOf(text: string | undefined): Exclude<ExitMode, "keyed"> | null {
  if (text === undefined) return null;
  const mode = MODES.find((known) => known === text);
  if (mode !== undefined) return mode;
  throw new UsageError(`--exit-mode must be ${MODES.slice(0, -1).join(", ")} or ${MODES.at(-1)}`);
}

function periodOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const seconds = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  if (seconds >= WINDOW_S_MIN && seconds <= WINDOW_S_MAX) return seconds * 1_000;
  throw new UsageError(`--period must be ${WINDOW_S_MIN} to ${WINDOW_S_MAX} seconds, whole`);
}
