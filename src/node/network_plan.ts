/**
 * What bringing a tunnel's interface up means for the kernel, as wg-quick does it: a list of steps.
 *
 * In: the wg-quick keys of a configuration and two facts of the machine. Out: NetworkPlan, plain JSON.
 * Pure: network.ts reads the facts and takes the steps.
 * Source of the behaviour: wg-quick(8) of wireguard-tools 1.0.20210914, functions add_addr, set_mtu_up,
 * add_route, add_default.
 */

import { ConfigError } from "../errors.ts";
import {
  IPV6_MTU_BYTES_MIN,
  MTU_BYTES_DEFAULT,
  MTU_BYTES_MAX,
  MTU_BYTES_MIN,
  TUNNEL_OVERHEAD_BYTES,
} from "../limits.ts";
import {
  addressText,
  type Family,
  maskPrefix,
  type Prefix,
  prefixContains,
  prefixText,
} from "../packet/mod.ts";
import { ROUTE_TABLE } from "../ports.ts";

/** Makes Linux look at a packet's mark when it checks from where its source may come. */
export const SOURCE_MARK_PARAMETER = "net/ipv4/conf/all/src_valid_mark";

/** What a configuration says about the interface. */
export interface NetworkSettings {
  readonly interfaceName: string;
  /** `Address`, with their host bits. */
  readonly addresses: readonly Prefix[];
  /** `MTU`; null = by the path to the peers. */
  readonly mtuBytes: number | null;
  /** `Table`. */
  readonly table: "auto" | "off" | number;
  /** `AllowedIPs` of all peers. */
  readonly allowedIps: readonly Prefix[];
  /** `FwMark`; 0 = none. On a reload the mark in use, so that a default route keeps its table. */
  readonly mark: number;
}

/** What the plan must know of the machine; read by readNetworkFacts. */
export interface NetworkFacts {
  /** Largest MTU on the ways to the peers, else of the default route; null = not known. */
  readonly pathMtuBytes: number | null;
  /** Routing table without routes, for a default route. Valid iff needsFreeTable. */
  readonly freeTable: number;
}

/** One change to the kernel. Order matters: each may need those before it. */
export type NetworkStep =
  | { readonly kind: "noLinkLocal" }
  | { readonly kind: "mtu"; readonly mtuBytes: number }
  | { readonly kind: "address"; readonly prefix: string }
  | { readonly kind: "up" }
  | RouteStep
  | FirewallStep
  | RuleStep
  | { readonly kind: "sysctl"; readonly name: string; readonly value: string };

/** Sends what goes to `destination` into the tunnel. */
export interface RouteStep {
  readonly kind: "route";
  readonly destination: string;
  readonly table: number;
}

/** Drops what reaches for the tunnel's addresses past it, and marks answers like questions. */
export interface FirewallStep {
  readonly kind: "firewall";
  readonly family: Family;
  readonly tableName: string;
  readonly ownAddresses: readonly string[];
  readonly mark: number;
}

/** Asks another routing table; its priority is found when the step is taken. */
export interface RuleStep {
  readonly kind: "rule";
  readonly family: Family;
  readonly table: number;
  /** All packets but those with this mark; null = all packets. */
  readonly notMark: number | null;
  readonly suppressPrefixBits: number | null;
}

/** All steps, and what the node itself must know. */
export interface NetworkPlan {
  readonly interfaceName: string;
  readonly mtuBytes: number;
  /** Mark that the UDP sockets must have before the steps are taken, else datagrams loop; 0 = none. */
  readonly mark: number;
  readonly steps: readonly NetworkStep[];
}

/** What a change of AllowedIPs adds and removes; see diffRoutes. */
export interface RouteChange {
  readonly add: readonly NetworkStep[];
  /** In the order to remove them. */
  readonly remove: readonly NetworkStep[];
}

/**
 * Plans the steps that bring the interface up.
 * @throws {ConfigError} If the MTU is too small for IPv6, which the addresses or AllowedIPs need.
 */
export function planNetwork(settings: NetworkSettings, facts: NetworkFacts): NetworkPlan {
  const { interfaceName, addresses } = settings;
  const mtuBytes = settings.mtuBytes ?? pathTunnelMtu(facts.pathMtuBytes);
  const routes = settings.table === "off" ? [] : planRoutes(settings);
  const defaults = settings.table === "auto" ? routes.filter(isDefault) : [];
  checkIpv6Mtu(mtuBytes, [...addresses, ...routes]);
  const table = settings.mark === 0 ? facts.freeTable : settings.mark;
  if (defaults.length > 0) checkDefaultTable(table);
  const steps: NetworkStep[] = [
    // Before the interface is up, or the kernel makes its link-local address and asks for routers.
    { kind: "noLinkLocal" },
    { kind: "mtu", mtuBytes },
    ...addresses.map((prefix) => ({ kind: "address", prefix: prefixText(prefix) } as const)),
    { kind: "up" },
  ];
  for (const route of routes) {
    if (defaults.includes(route)) {
      steps.push(...planDefault(route.family, table, settings));
    } else {
      const routeTable = typeof settings.table === "number" ? settings.table : ROUTE_TABLE.MAIN;
      steps.push({ kind: "route", destination: prefixText(route), table: routeTable });
    }
  }
  return { interfaceName, mtuBytes, mark: defaults.length > 0 ? table : settings.mark, steps };
}

/** Tells whether planNetwork will want a free table: a default route, `Table = auto`, and no mark given. */
export function needsFreeTable(settings: NetworkSettings): boolean {
  return settings.table === "auto" && settings.mark === 0 && settings.allowedIps.some(isDefault);
}

/**
 * Compares the steps of two plans that AllowedIPs make: routes, rules, packet filters, kernel parameters.
 * Addresses and MTU are not compared: they need a restart. Rules of a family are replaced together, because each new
 * one is asked before all older ones and so their order is that of their making.
 */
export function diffRoutes(
  current: readonly NetworkStep[],
  next: readonly NetworkStep[],
): RouteChange {
  const currentKeys = new Set(current.map(stepKey));
  const nextKeys = new Set(next.map(stepKey));
  const changedRules = new Set(
    [4, 6].filter((family) => rulesKey(current, family) !== rulesKey(next, family)),
  );
  const isChanged = (step: NetworkStep, otherKeys: ReadonlySet<string>) =>
    isOfAllowedIps(step) &&
    (!otherKeys.has(stepKey(step)) || step.kind === "rule" && changedRules.has(step.family));
  return {
    add: next.filter((step) => isChanged(step, currentKeys)),
    remove: current.filter((step) => isChanged(step, nextKeys)).reverse(),
  };
}

/** Text that two lists of steps share iff they have the same rules of a family. */
function rulesKey(steps: readonly NetworkStep[], family: number): string {
  return steps.filter((step) => step.kind === "rule" && step.family === family).map(stepKey).join();
}

/** Text that two steps share iff they are the same. */
export function stepKey(step: NetworkStep): string {
  // Sorted, because a step read back from a file need not have its members in our order.
  return JSON.stringify(Object.entries(step).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isOfAllowedIps(step: NetworkStep): boolean {
  return step.kind === "route" || step.kind === "rule" || step.kind === "firewall" ||
    step.kind === "sysctl";
}

/** The tunnel's MTU where the configuration gives none (wg-quick set_mtu_up), within what a TUN can carry. */
function pathTunnelMtu(pathMtuBytes: number | null): number {
  if (pathMtuBytes === null) return MTU_BYTES_DEFAULT;
  const mtuBytes = pathMtuBytes - TUNNEL_OVERHEAD_BYTES;
  return Math.min(Math.max(mtuBytes, MTU_BYTES_MIN), MTU_BYTES_MAX);
}

function checkIpv6Mtu(mtuBytes: number, prefixes: readonly Prefix[]): void {
  if (mtuBytes >= IPV6_MTU_BYTES_MIN) return;
  const first = prefixes.find((prefix) => prefix.family === 6);
  if (first === undefined) return;
  throw new ConfigError(
    `MTU is ${mtuBytes}, but IPv6 needs at least ${IPV6_MTU_BYTES_MIN} (RFC 8200 §5): ` +
      `set "MTU" or leave out "${prefixText(first)}"`,
  );
}

/** The mark names the table of the default route, so a mark may not be the number of one that is in use by design. */
function checkDefaultTable(table: number): void {
  const reserved: readonly number[] = Object.values(ROUTE_TABLE);
  if (!reserved.includes(table)) return;
  throw new ConfigError(
    `FwMark is ${table}, which with a default route in AllowedIPs means the routing table of that number; ` +
      `it is one of the kernel's own: choose a number above ${ROUTE_TABLE.LOCAL}`,
  );
}

/** Prefixes to be routed, longest first; without those that the kernel's routes to the addresses cover. */
function planRoutes(settings: NetworkSettings): Prefix[] {
  const byText = new Map<string, Prefix>();
  for (const allowed of settings.allowedIps) {
    const masked = maskPrefix(allowed);
    // wg-quick looks for covering routes only in the main table, and never for a default route.
    const covered = settings.table === "auto" && !isDefault(masked) &&
      settings.addresses.some((address) => coversByItself(address, masked));
    if (!covered) byText.set(prefixText(masked), masked);
  }
  return [...byText.values()].sort((a, b) => b.prefixBits - a.prefixBits);
}

/** Tells whether the route that the kernel makes for an interface's address leads to all of `prefix`. */
function coversByItself(address: Prefix, prefix: Prefix): boolean {
  if (address.family !== prefix.family || address.prefixBits > prefix.prefixBits) return false;
  // IPv4 /32 has no such route, nor has 0.0.0.0/8 (fib_add_ifaddr, net/ipv4/fib_frontend.c); IPv6 always has.
  const network = maskPrefix(address).addressWords[3];
  if (address.family === 4 && (address.prefixBits === 32 || network >>> 24 === 0)) return false;
  return prefixContains(address, prefix.addressWords, 0, prefix.family);
}

/**
 * Sends all but the tunnel's own datagrams, told by their mark, to a table with the default route; routes of the
 * main table other than its default come first. What only helps is there before what diverts packets.
 */
function planDefault(
  family: Family,
  table: number,
  settings: NetworkSettings,
): NetworkStep[] {
  const steps: NetworkStep[] = [];
  if (family === 4) steps.push({ kind: "sysctl", name: SOURCE_MARK_PARAMETER, value: "1" });
  steps.push(
    {
      kind: "firewall",
      family,
      tableName: `wg-quick-${settings.interfaceName}`,
      ownAddresses: settings.addresses.filter((address) => address.family === family)
        .map((address) => addressText(address.addressWords, 0, family)),
      mark: table,
    },
    { kind: "route", destination: family === 4 ? "0.0.0.0/0" : "::/0", table },
    { kind: "rule", family, table, notMark: table, suppressPrefixBits: null },
    { kind: "rule", family, table: ROUTE_TABLE.MAIN, notMark: null, suppressPrefixBits: 0 },
  );
  return steps;
}

function isDefault(prefix: Prefix): boolean {
  return prefix.prefixBits === 0;
}
