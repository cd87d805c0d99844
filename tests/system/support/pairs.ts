/**
 * The standard topology of the system tests: two namespaces joined by a veth pair, a tunnel in each.
 *
 *     left 192.0.2.1, 2001:db8::1 ──── right 192.0.2.2, 2001:db8::2      (outside)
 *     left 10.77.0.1, fd77::1     ~~~~ right 10.77.0.2, fd77::2          (inside the tunnel)
 */
import type { Lab, Namespace } from "./namespaces.ts";
import {
  type Implementation,
  type KeyPair,
  makeKeyPair,
  type PeerConfig,
  startTunnel,
  type TimersConfig,
  type Tunnel,
  type TunnelConfig,
} from "./tunnels.ts";

/** Outside addresses by family. */
export const OUTER = {
  left: { 4: "192.0.2.1", 6: "2001:db8::1" },
  right: { 4: "192.0.2.2", 6: "2001:db8::2" },
} as const;

/** Addresses inside the tunnel by family. */
export const INNER = {
  left: { 4: "10.77.0.1", 6: "fd77::1" },
  right: { 4: "10.77.0.2", 6: "fd77::2" },
} as const;

/** UDP port of every tunnel in the tests; namespaces keep them apart. */
export const PORT = 51_820;

/** Which end. */
export type Side = "left" | "right";

/** Returns `address:port` or `[address]:port`. */
export function endpointText(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** How two tunnels are set up. */
export interface PairOptions {
  readonly left: Implementation;
  readonly right: Implementation;
  /** Address family outside; default 4. */
  readonly outer?: 4 | 6;
  /** The side that knows the other's endpoint, or both (default). The other one cannot begin. */
  readonly initiator?: Side | "both";
  readonly presharedKey?: string;
  readonly timers?: TimersConfig;
  readonly persistentKeepaliveS?: number;
  readonly mtu?: number;
  /** Endpoints to use instead of the other side's own, e.g. of a proxy: by side that is told. */
  readonly endpoints?: Partial<Record<Side, string>>;
  /** Command to put in front of one side's program, e.g. one that hides a library. Ours only. */
  readonly prefix?: Partial<Record<Side, readonly string[]>>;
  /** Overrides for one side's configuration. */
  readonly config?: Partial<Record<Side, Partial<TunnelConfig>>>;
}

/** Both ends of a running pair. */
export interface Pair {
  readonly left: Tunnel;
  readonly right: Tunnel;
}

/** Makes the two namespaces, wired. */
export function makeWire(lab: Lab): Record<Side, Namespace> {
  const left = lab.namespace("left");
  const right = lab.namespace("right");
  lab.link(
    { namespace: left, addresses: [`${OUTER.left[4]}/24`, `${OUTER.left[6]}/64`] },
    { namespace: right, addresses: [`${OUTER.right[4]}/24`, `${OUTER.right[6]}/64`] },
  );
  return { left, right };
}

const OTHER = { left: "right", right: "left" } as const;

/** Returns the configuration of one side of a pair. */
export function pairConfig(
  side: Side,
  keys: Record<Side, KeyPair>,
  options: PairOptions,
): TunnelConfig {
  const other = OTHER[side];
  const knows = (options.initiator ?? "both") === "both" || options.initiator === side;
  const endpoint = options.endpoints?.[side] ??
    endpointText(OUTER[other][options.outer ?? 4], PORT);
  const peer: PeerConfig = {
    publicKey: keys[other].publicKey,
    allowedIps: [`${INNER[other][4]}/32`, `${INNER[other][6]}/128`],
    ...(knows ? { endpoint } : {}),
    ...(options.presharedKey === undefined ? {} : { presharedKey: options.presharedKey }),
    ...(options.persistentKeepaliveS === undefined
      ? {}
      : { persistentKeepaliveS: options.persistentKeepaliveS }),
  };
  return {
    keys: keys[side],
    listenPort: PORT,
    addresses: [`${INNER[side][4]}/24`, `${INNER[side][6]}/64`],
    peers: [peer],
    ...(options.mtu === undefined ? {} : { mtu: options.mtu }),
    ...(options.timers === undefined ? {} : { timers: options.timers }),
    ...options.config?.[side],
  };
}

/** Starts both tunnels of a pair in the given namespaces, or in two new ones. */
export async function startPair(
  lab: Lab,
  options: PairOptions,
  namespaces: Record<Side, Namespace> = makeWire(lab),
): Promise<Pair> {
  const keys = { left: makeKeyPair(), right: makeKeyPair() };
  const start = (side: Side) => ({ prefix: options.prefix?.[side] ?? [] });
  const [left, right] = await Promise.all([
    startTunnel(options.left, namespaces.left, pairConfig("left", keys, options), start("left")),
    startTunnel(
      options.right,
      namespaces.right,
      pairConfig("right", keys, options),
      start("right"),
    ),
  ]);
  return { left, right };
}
