/**
 * A node's configuration and peers → what the network logger knows of routes and nodes.
 *
 * Routes are the peers' AllowedIPs and the networks of the interface's own addresses, as the kernel has them; advertised
 * ones are `SubnetRoutes`. A peer's own addresses are, of each family, the first single address among its AllowedIPs, as is
 * WireGuard's custom; further ones are hosts behind it.
 */
import {
  NodeDirectory,
  type NodeFacts,
  OVERLAY_DEFAULT,
  OverlayRanges,
  type RouteConfig,
} from "../netlog/mod.ts";
import { OVERLAY_RANGES_MAX } from "../limits.ts";
import type { DeviceSnapshot } from "../wireguard/mod.ts";
import type { NodeConfig } from "./config.ts";
import { keyToBase64 } from "./key_text.ts";
import { addressBits, type Family, maskPrefix, type Prefix, prefixText } from "../packet/mod.ts";

/** One peer as the logger sees it. */
export interface LogPeer {
  /** Base64. */
  readonly publicKey: string;
  readonly friendlyName: string | null;
  readonly allowedIps: readonly Prefix[];
}

/** This node and its peers. */
export interface LogView {
  /** Base64. */
  readonly publicKey: string;
  readonly friendlyName: string | null;
  readonly addresses: readonly Prefix[];
  readonly subnetRoutes: readonly Prefix[];
  readonly peers: readonly LogPeer[];
}

/** What the flow log is to know: the peers that run, named as the file names them. */
export function logView(config: NodeConfig, device: DeviceSnapshot): LogView {
  const names = new Map(
    config.peers.map((peer) => [keyToBase64(peer.publicKey), peer.friendlyName]),
  );
  return {
    publicKey: keyToBase64(device.publicKey),
    friendlyName: config.friendlyName,
    addresses: config.addresses,
    subnetRoutes: config.flowLog.subnetRoutes,
    peers: device.peers.map(({ publicKey, allowedIps }) => {
      const key = keyToBase64(publicKey);
      return { publicKey: key, friendlyName: names.get(key) ?? null, allowedIps };
    }),
  };
}

/** Routes into the tunnel and out of this node. */
export function routesOf({ addresses, subnetRoutes, peers }: LogView): RouteConfig {
  const connected = addresses.filter((address) => !isSingle(address));
  return {
    localAddresses: addresses.map(({ family, addressWords }) => ({
      family,
      addressWords,
      prefixBits: addressBits(family),
    })),
    routes: [
      ...peers.flatMap(({ publicKey, allowedIps }) =>
        allowedIps.map((prefix) => ({ prefix, peer: publicKey }))
      ),
      ...connected.map((prefix) => ({ prefix: maskPrefix(prefix), peer: null })),
    ],
    subnetRoutes,
  };
}

/** Names for overlay addresses. A node's id is its public key. */
export function nodesOf(view: LogView): NodeDirectory {
  const peers = view.peers.map((peer): NodeFacts => ({
    nodeId: peer.publicKey,
    name: peer.friendlyName,
    addresses: ownAddresses(peer.allowedIps),
  }));
  const addresses = view.addresses.map((address) => ({
    ...address,
    prefixBits: addressBits(address.family),
  }));
  return new NodeDirectory({ nodeId: view.publicKey, name: view.friendlyName, addresses }, peers);
}

/** Which addresses are nodes': as configured, or those that the nodes have been known to have since the start. */
export class OverlayView {
  readonly #configured: OverlayRanges | null;
  /** Grows as long as there is room: what a removed peer sent before its removal was overlay traffic. */
  #ranges = new Set<string>(OVERLAY_DEFAULT);
  readonly #rangesMax: number;

  /**
   * @param configured null = by the nodes' addresses.
   * @param rangesMax For tests.
   */
  constructor(configured: readonly string[] | null, rangesMax: number = OVERLAY_RANGES_MAX) {
    this.#configured = configured === null ? null : new OverlayRanges(configured);
    this.#rangesMax = rangesMax;
  }

  /** Ranges with those of `view`. */
  update(view: LogView): OverlayRanges {
    if (this.#configured !== null) return this.#configured;
    this.#add(view);
    if (this.#ranges.size > this.#rangesMax) {
      this.#ranges = new Set(OVERLAY_DEFAULT);
      this.#add(view);
    }
    return new OverlayRanges([...this.#ranges]);
  }

  #add({ addresses, peers }: LogView): void {
    for (const address of addresses) this.#ranges.add(prefixText(maskPrefix(address)));
    for (const { allowedIps } of peers) {
      for (const address of ownAddresses(allowedIps)) this.#ranges.add(prefixText(address));
    }
  }
}

function isSingle({ family, prefixBits }: Prefix): boolean {
  return prefixBits === addressBits(family);
}

function ownAddresses(allowedIps: readonly Prefix[]): Prefix[] {
  return ([4, 6] as const).flatMap((family: Family) => {
    const first = allowedIps.find((prefix) => prefix.family === family && isSingle(prefix));
    return first === undefined ? [] : [first];
  });
}
