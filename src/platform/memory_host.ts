/**
 * NetworkPort in memory: the network configuration of a host without a host, for tests.
 *
 * In: links made by the test, calls of NetworkPort, errors to be injected. Out: a state that can be looked at.
 * Models what callers rely on: what exists already, what vanishes with its interface, what the kernel overlooks
 * when it compares rules. Not here: packets.
 */
import { ERRNO, SystemCallError } from "../errors.ts";
import { IPV6_MTU_BYTES_MIN } from "../limits.ts";
import {
  type NetworkAddress,
  type NetworkFirewall,
  type NetworkLink,
  type NetworkLinkChange,
  type NetworkPort,
  type NetworkRoute,
  type NetworkRouteAnswer,
  type NetworkRouteInfo,
  type NetworkRule,
  type NetworkRuleInfo,
  ROUTE_TABLE,
} from "../ports.ts";

/** Calls of NetworkPort that change something and so can be made to fail. */
export type HostChange =
  | "setLink"
  | "addAddress"
  | "deleteAddress"
  | "addRoute"
  | "deleteRoute"
  | "addRule"
  | "deleteRule"
  | "addFirewall"
  | "deleteFirewall"
  | "setSysctl";

/** All that the host is configured with; plain JSON. */
export interface HostState {
  readonly links: readonly { readonly name: string; readonly mtuBytes: number; up: boolean }[];
  readonly addresses: readonly NetworkAddress[];
  readonly routes: readonly NetworkRouteInfo[];
  readonly rules: readonly NetworkRuleInfo[];
  readonly firewalls: readonly NetworkFirewall[];
  readonly sysctls: Readonly<Record<string, string>>;
}

/** A host of one namespace, with the rules of a Linux that has just started. */
export class MemoryHost implements NetworkPort {
  closed = false;
  /** Changes asked for so far, the failed ones too. */
  changes = 0;
  #links: NetworkLink[] = [];
  #addresses: NetworkAddress[] = [];
  #routes: NetworkRouteInfo[] = [];
  #rules: NetworkRuleInfo[] = [
    standardRule(4, 0, ROUTE_TABLE.LOCAL),
    standardRule(4, 32_766, ROUTE_TABLE.MAIN),
    standardRule(4, 32_767, ROUTE_TABLE.DEFAULT),
    standardRule(6, 0, ROUTE_TABLE.LOCAL),
    standardRule(6, 32_766, ROUTE_TABLE.MAIN),
  ];
  #firewalls: NetworkFirewall[] = [];
  readonly #sysctls = new Map([["net/ipv4/conf/all/src_valid_mark", "0"]]);
  readonly #answers = new Map<string, NetworkRouteAnswer>();
  readonly #failures: { change: HostChange | null; after: number; errno: number }[] = [];
  #nextIndex = 1;

  /** Makes an interface, down. @returns Its index. */
  addLink(name: string, mtuBytes = 1500): number {
    const index = this.#nextIndex++;
    const statistics = {
      rxPackets: 0,
      rxBytes: 0,
      rxDropped: 0,
      txPackets: 0,
      txBytes: 0,
      txDropped: 0,
    };
    this.#links.push({ index, name, kind: "tun", mtuBytes, up: false, statistics });
    return index;
  }

  /** Removes an interface with its addresses and routes, as closing a TUN does. */
  removeLink(name: string): void {
    const index = this.linkByName(name)?.index;
    this.#links = this.#links.filter((link) => link.index !== index);
    this.#addresses = this.#addresses.filter((address) => address.interfaceIndex !== index);
    this.#routes = this.#routes.filter((route) => route.interfaceIndex !== index);
  }

  /** Says what routeGet answers for `destination`. */
  setRouteAnswer(destination: string, answer: NetworkRouteAnswer): void {
    this.#answers.set(destination, answer);
  }

  /** Puts a route that is no one's, e.g. a default route. */
  putRoute(route: NetworkRouteInfo): void {
    this.#routes.push(route);
  }

  /**
   * Makes one change fail, once.
   * @param change Which call; null = any.
   * @param after How many such calls go well before.
   */
  failChange(change: HostChange | null, errno: number, after = 0): void {
    this.#failures.push({ change, after, errno });
  }

  /** Returns a copy of all configuration. */
  state(): HostState {
    return structuredClone({
      links: this.#links.map(({ name, mtuBytes, up }) => ({ name, mtuBytes, up })),
      addresses: this.#addresses,
      routes: this.#routes,
      rules: this.#rules,
      firewalls: this.#firewalls,
      sysctls: Object.fromEntries(this.#sysctls),
    });
  }

  links(): NetworkLink[] {
    return [...this.#links];
  }

  linkByName(name: string): NetworkLink | null {
    return this.#links.find((link) => link.name === name) ?? null;
  }

  linkByIndex(interfaceIndex: number): NetworkLink | null {
    return this.#links.find((link) => link.index === interfaceIndex) ?? null;
  }

  setLink(interfaceIndex: number, change: NetworkLinkChange): void {
    this.#begin("setLink");
    const link = this.#needLink("setLink", interfaceIndex);
    const next = {
      ...link,
      mtuBytes: change.mtuBytes ?? link.mtuBytes,
      up: change.up ?? link.up,
    };
    this.#links[this.#links.indexOf(link)] = next;
    if (!next.up) {
      this.#routes = this.#routes.filter((route) => route.interfaceIndex !== interfaceIndex);
    }
    if (next.mtuBytes < IPV6_MTU_BYTES_MIN) {
      this.#addresses = this.#addresses.filter((address) =>
        address.interfaceIndex !== interfaceIndex || familyOf(address.prefix) === 4
      );
    }
  }

  addresses(interfaceIndex: number): NetworkAddress[] {
    return this.#addresses.filter((address) => address.interfaceIndex === interfaceIndex);
  }

  addAddress(address: NetworkAddress): void {
    this.#begin("addAddress");
    const link = this.#needLink("addAddress", address.interfaceIndex);
    if (familyOf(address.prefix) === 6 && link.mtuBytes < IPV6_MTU_BYTES_MIN) {
      throw refused("addAddress", ERRNO.EINVAL);
    }
    if (this.#addresses.some((other) => isSame(other, address))) {
      throw refused("addAddress", ERRNO.EEXIST);
    }
    this.#addresses.push(address);
  }

  deleteAddress(address: NetworkAddress): void {
    this.#begin("deleteAddress");
    const left = this.#addresses.filter((other) => !isSame(other, address));
    if (left.length === this.#addresses.length) {
      throw refused("deleteAddress", ERRNO.EADDRNOTAVAIL);
    }
    this.#addresses = left;
  }

  routes(
    filter: { family: 4 | 6; table?: number; interfaceIndex?: number },
  ): NetworkRouteInfo[] {
    return this.#routes.filter((route) =>
      familyOf(route.destination) === filter.family &&
      (filter.table === undefined || route.table === filter.table) &&
      (filter.interfaceIndex === undefined || route.interfaceIndex === filter.interfaceIndex)
    );
  }

  addRoute(route: NetworkRoute): void {
    this.#begin("addRoute");
    const link = this.#needLink("addRoute", route.interfaceIndex);
    if (!link.up) throw refused("addRoute", ERRNO.ENETDOWN);
    const metric = route.metric ?? (familyOf(route.destination) === 4 ? 0 : 1024);
    const exists = this.#routes.some((other) =>
      other.destination === route.destination && other.table === route.table &&
      other.metric === metric
    );
    if (exists) throw refused("addRoute", ERRNO.EEXIST);
    this.#routes.push({ ...route, metric, gateway: null, mtuBytes: null, unicast: true });
  }

  deleteRoute(route: NetworkRoute): void {
    this.#begin("deleteRoute");
    const index = this.#routes.findIndex((other) =>
      other.destination === route.destination && other.table === route.table &&
      other.interfaceIndex === route.interfaceIndex
    );
    if (index < 0) throw refused("deleteRoute", ERRNO.ESRCH);
    this.#routes.splice(index, 1);
  }

  routeGet(destination: string): NetworkRouteAnswer | null {
    return this.#answers.get(destination) ?? null;
  }

  rules(family: 4 | 6): NetworkRuleInfo[] {
    return this.#rules.filter((rule) => rule.family === family);
  }

  addRule(rule: NetworkRule): void {
    this.#begin("addRule");
    if (this.#rules.some((other) => looksSame(other, rule))) throw refused("addRule", ERRNO.EEXIST);
    this.#rules.push({ ...rule, foreign: false });
    this.#rules.sort((a, b) => a.family - b.family || a.priority - b.priority);
  }

  deleteRule(rule: NetworkRule): void {
    this.#begin("deleteRule");
    const index = this.#rules.findIndex((other) => looksSame(other, rule));
    if (index < 0) throw refused("deleteRule", ERRNO.ENOENT);
    this.#rules.splice(index, 1);
  }

  addFirewall(firewall: NetworkFirewall): void {
    this.#begin("addFirewall");
    this.#dropFirewall(firewall.family, firewall.tableName);
    this.#firewalls.push(firewall);
  }

  deleteFirewall(family: 4 | 6, tableName: string): void {
    this.#begin("deleteFirewall");
    this.#dropFirewall(family, tableName);
  }

  sysctl(name: string): string {
    const value = this.#sysctls.get(name);
    if (value === undefined) throw refused(`sysctl "${name}"`, ERRNO.ENOENT);
    return value;
  }

  setSysctl(name: string, value: string): void {
    this.#begin("setSysctl");
    this.#sysctls.set(name, value);
  }

  close(): void {
    this.closed = true;
  }

  /** Counts a change, and throws when it is to fail. */
  #begin(change: HostChange): void {
    this.changes++;
    for (const [index, failure] of this.#failures.entries()) {
      if (failure.change !== null && failure.change !== change) continue;
      if (failure.after-- > 0) continue;
      this.#failures.splice(index, 1);
      throw refused(change, failure.errno);
    }
  }

  #needLink(change: HostChange, interfaceIndex: number): NetworkLink {
    const link = this.linkByIndex(interfaceIndex);
    if (link === null) throw refused(change, ERRNO.ENODEV);
    return link;
  }

  #dropFirewall(family: 4 | 6, tableName: string): void {
    this.#firewalls = this.#firewalls.filter((other) =>
      other.family !== family || other.tableName !== tableName
    );
  }
}

function standardRule(family: 4 | 6, priority: number, table: number): NetworkRuleInfo {
  return {
    family,
    priority,
    table,
    mark: null,
    markMask: 0xffffffff,
    invert: false,
    suppressPrefixBits: null,
    foreign: false,
  };
}

/** What Linux compares of two rules; `invert` is not among it (rule_find, net/core/fib_rules.c). */
function looksSame(a: NetworkRule, b: NetworkRule): boolean {
  return a.family === b.family && a.priority === b.priority && a.table === b.table &&
    a.mark === b.mark && a.suppressPrefixBits === b.suppressPrefixBits;
}

function isSame(a: NetworkAddress, b: NetworkAddress): boolean {
  return a.interfaceIndex === b.interfaceIndex && a.prefix === b.prefix;
}

function familyOf(text: string): 4 | 6 {
  return text.includes(":") ? 6 : 4;
}

function refused(call: string, errno: number): SystemCallError {
  return new SystemCallError(call, errno);
}
