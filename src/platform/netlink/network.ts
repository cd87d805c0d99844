/**
 * NetworkPort over netlink and /proc/sys: what tunlog does instead of calling `ip`, `nft` and `sysctl`.
 *
 * In: calls of NetworkPort. Out: changes of the network namespace that the process was in when it opened the
 * port, or a SystemCallError that names interface and value.
 */

import { ERRNO, SystemCallError } from "../../errors.ts";
import type {
  NetworkAddress,
  NetworkFirewall,
  NetworkLink,
  NetworkLinkChange,
  NetworkPort,
  NetworkRoute,
  NetworkRouteAnswer,
  NetworkRouteInfo,
  NetworkRule,
  NetworkRuleInfo,
} from "../../ports.ts";
import {
  type Advice,
  ADVICE_NET_ADMIN,
  closeFile,
  OPEN,
  openFile,
  readFile,
  writeFile,
} from "../libc.ts";
import {
  addAddressRequest,
  addressesRequest,
  deleteAddressRequest,
  parseAddressMessage,
} from "./address.ts";
import { linkChangeRequest, linkRequest, linksRequest, parseLink } from "./link.ts";
import { addFirewallBatch, deleteFirewallBatch } from "./nftables.ts";
import {
  addRouteRequest,
  deleteRouteRequest,
  matchesFilter,
  parseRoute,
  parseRouteAnswer,
  type RouteFilter,
  routeGetRequest,
  routesRequest,
} from "./route.ts";
import { addRuleRequest, deleteRuleRequest, parseRule, rulesRequest } from "./rule.ts";
import { NETLINK_PROTOCOL, NetlinkSocket } from "./socket.ts";

const ADVICE_ADDRESS: Advice = {
  [ERRNO.EPERM]: ADVICE_NET_ADMIN[ERRNO.EPERM]!,
  [ERRNO.EEXIST]: "the interface has it already",
  [ERRNO.EACCES]: "IPv6 is off on the interface: see net.ipv6.conf.*.disable_ipv6",
  [ERRNO.EINVAL]: "is the MTU below 1280, or the address of no host?",
  [ERRNO.EOPNOTSUPP]: "the kernel has no IPv6",
  [ERRNO.EAFNOSUPPORT]: "the kernel has no IPv6",
};
const ADVICE_ROUTE: Advice = {
  [ERRNO.EPERM]: ADVICE_NET_ADMIN[ERRNO.EPERM]!,
  [ERRNO.EEXIST]: "there is a route to it already",
  [ERRNO.EACCES]: "IPv6 is off on the interface: see net.ipv6.conf.*.disable_ipv6",
  [ERRNO.ENODEV]: "the interface has no IPv6, or is gone",
  [ERRNO.ENETDOWN]: "the interface is down",
  [ERRNO.ESRCH]: "there is no such route",
};
const ADVICE_RULE: Advice = {
  [ERRNO.EPERM]: ADVICE_NET_ADMIN[ERRNO.EPERM]!,
  [ERRNO.EEXIST]: "there is such a rule already",
  [ERRNO.ENOENT]: "there is no such rule",
  [ERRNO.EAFNOSUPPORT]: "the kernel has no rules for routing of this family",
  [ERRNO.EOPNOTSUPP]: "the kernel has no rules for routing of this family",
};
const ADVICE_FIREWALL: Advice = {
  [ERRNO.EPERM]: ADVICE_NET_ADMIN[ERRNO.EPERM]!,
  [ERRNO.ENOENT]: "the kernel lacks a part of nftables",
  [ERRNO.EPROTONOSUPPORT]: "the kernel lacks nftables",
  [ERRNO.EOPNOTSUPP]: "the kernel lacks nftables",
  [ERRNO.EAFNOSUPPORT]: "the kernel lacks nftables of this family",
};
const ADVICE_SYSCTL: Advice = {
  [ERRNO.EPERM]: ADVICE_NET_ADMIN[ERRNO.EPERM]!,
  [ERRNO.EACCES]: "run as root, in a container with the parameter set from outside",
  [ERRNO.EROFS]: "/proc/sys is read-only here: set it from outside, as by docker run --sysctl",
  [ERRNO.ENOENT]: "the kernel has no such parameter",
};
/** What a look-up answers when there is no way: none, unreachable, prohibited or blackholed (fib_props). */
const NO_ROUTE_ERRNOS: readonly number[] = [
  ERRNO.ENETUNREACH,
  ERRNO.EHOSTUNREACH,
  ERRNO.EACCES,
  ERRNO.EINVAL,
];
/** Value of a kernel parameter, one page at most (proc_sysctl.c). */
const SYSCTL_BYTES_MAX = 4096;

/** Opens the port on the network namespace of this process. @throws {SystemCallError} If the kernel refuses. */
export function openNetwork(): NetworkPort {
  return new NetlinkNetwork(NetlinkSocket.open(NETLINK_PROTOCOL.ROUTE));
}

class NetlinkNetwork implements NetworkPort {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  links(): NetworkLink[] {
    return this.#socket.dump(linksRequest, { action: () => "list the network interfaces" })
      .map(parseLink).filter(isPresent);
  }

  linkByName(name: string): NetworkLink | null {
    return this.#link(name);
  }

  linkByIndex(interfaceIndex: number): NetworkLink | null {
    return this.#link(interfaceIndex);
  }

  setLink(interfaceIndex: number, change: NetworkLinkChange): void {
    this.#socket.command(
      (sequence) => linkChangeRequest(sequence, interfaceIndex, change),
      {
        action: () => `set ${describeChange(change)} of ${this.#nameOf(interfaceIndex)}`,
        advice: ADVICE_NET_ADMIN,
      },
    );
  }

  addresses(interfaceIndex: number): NetworkAddress[] {
    return this.#socket.dump(
      (sequence) => addressesRequest(sequence, interfaceIndex),
      { action: () => `list the addresses of ${this.#nameOf(interfaceIndex)}` },
    )
      .map(parseAddressMessage).filter(isPresent)
      .filter((address) => address.interfaceIndex === interfaceIndex);
  }

  addAddress(address: NetworkAddress): void {
    this.#socket.command((sequence) => addAddressRequest(sequence, address), {
      action: () => `add address "${address.prefix}" to ${this.#nameOf(address.interfaceIndex)}`,
      advice: ADVICE_ADDRESS,
    });
  }

  deleteAddress(address: NetworkAddress): void {
    this.#socket.command((sequence) => deleteAddressRequest(sequence, address), {
      action: () =>
        `delete address "${address.prefix}" from ${this.#nameOf(address.interfaceIndex)}`,
      advice: ADVICE_NET_ADMIN,
    });
  }

  routes(filter: RouteFilter): NetworkRouteInfo[] {
    try {
      return this.#socket.dump(
        (sequence) => routesRequest(sequence, filter),
        { action: () => `list the IPv${filter.family} routes` },
      )
        .map(parseRoute).filter(isPresent)
        .filter((route) => matchesFilter(route, filter));
    } catch (error) {
      // The kernel makes a table with its first route.
      if (isErrno(error, [ERRNO.ENOENT, ERRNO.EOPNOTSUPP, ERRNO.EAFNOSUPPORT])) return [];
      throw error;
    }
  }

  addRoute(route: NetworkRoute): void {
    this.#socket.command((sequence) => addRouteRequest(sequence, route), {
      action: () => `add route ${this.#describeRoute(route)}`,
      advice: ADVICE_ROUTE,
    });
  }

  deleteRoute(route: NetworkRoute): void {
    this.#socket.command((sequence) => deleteRouteRequest(sequence, route), {
      action: () => `delete route ${this.#describeRoute(route)}`,
      advice: ADVICE_ROUTE,
    });
  }

  routeGet(destination: string, mark = 0): NetworkRouteAnswer | null {
    try {
      const answer = this.#socket.query(
        (sequence) => routeGetRequest(sequence, destination, mark),
        { action: () => `look up the route to "${destination}"` },
      );
      return parseRouteAnswer(answer);
    } catch (error) {
      if (isErrno(error, NO_ROUTE_ERRNOS)) return null;
      throw error;
    }
  }

  rules(family: 4 | 6): NetworkRuleInfo[] {
    try {
      return this.#socket.dump(
        (sequence) => rulesRequest(sequence, family),
        { action: () => `list the IPv${family} rules` },
      ).map(parseRule).filter(isPresent).filter((rule) => rule.family === family);
    } catch (error) {
      if (isErrno(error, [ERRNO.EOPNOTSUPP, ERRNO.EAFNOSUPPORT])) return [];
      throw error;
    }
  }

  addRule(rule: NetworkRule): void {
    this.#socket.command((sequence) => addRuleRequest(sequence, rule), {
      action: () => `add rule ${describeRule(rule)}`,
      advice: ADVICE_RULE,
    });
  }

  deleteRule(rule: NetworkRule): void {
    this.#socket.command((sequence) => deleteRuleRequest(sequence, rule), {
      action: () => `delete rule ${describeRule(rule)}`,
      advice: ADVICE_RULE,
    });
  }

  addFirewall(firewall: NetworkFirewall): void {
    const { family, tableName } = firewall;
    withFirewallSocket("make", family, tableName, (socket, action) => {
      socket.batch((sequence) => addFirewallBatch(sequence, firewall), {
        action,
        advice: ADVICE_FIREWALL,
      });
    });
  }

  deleteFirewall(family: 4 | 6, tableName: string): void {
    withFirewallSocket("delete", family, tableName, (socket, action) => {
      socket.batch((sequence) => deleteFirewallBatch(sequence, family, tableName), {
        action,
        advice: ADVICE_FIREWALL,
      });
    });
  }

  sysctl(name: string): string {
    const fd = openFile(sysctlPath(name), OPEN.READ, { advice: ADVICE_SYSCTL });
    try {
      const bytes = new Uint8Array(SYSCTL_BYTES_MAX);
      const length = readFile(fd, bytes, `read kernel parameter "${name}"`);
      return new TextDecoder().decode(bytes.subarray(0, length)).trimEnd();
    } finally {
      closeFile(fd);
    }
  }

  setSysctl(name: string, value: string): void {
    const fd = openFile(sysctlPath(name), OPEN.WRITE, { advice: ADVICE_SYSCTL });
    try {
      const action = `set kernel parameter "${name}" to "${value}"`;
      writeFile(fd, new TextEncoder().encode(`${value}\n`), action, ADVICE_SYSCTL);
    } finally {
      closeFile(fd);
    }
  }

  close(): void {
    this.#socket.close();
  }

  #link(which: string | number): NetworkLink | null {
    try {
      const answer = this.#socket.query((sequence) => linkRequest(sequence, which), {
        action: () => `look up interface "${which}"`,
      });
      return parseLink(answer);
    } catch (error) {
      if (isErrno(error, [ERRNO.ENODEV])) return null;
      throw error;
    }
  }

  /** Name for an error's text; looked up only then. */
  #nameOf(interfaceIndex: number): string {
    const name = this.#link(interfaceIndex)?.name;
    return name === undefined ? `interface ${interfaceIndex}` : `interface "${name}"`;
  }

  #describeRoute(route: NetworkRoute): string {
    const { destination, table, interfaceIndex } = route;
    return `"${destination}" over ${this.#nameOf(interfaceIndex)} in table ${table}`;
  }
}

function describeChange(change: NetworkLinkChange): string {
  const parts: string[] = [];
  if (change.mtuBytes !== undefined) parts.push(`MTU ${change.mtuBytes}`);
  if (change.txQueuePackets !== undefined) parts.push(`queue length ${change.txQueuePackets}`);
  if (change.addressGeneration !== undefined) {
    parts.push(`address generation "${change.addressGeneration}"`);
  }
  if (change.up !== undefined) parts.push(`state ${change.up ? "up" : "down"}`);
  return parts.join(", ");
}

/** The rule as `ip rule` writes it. */
function describeRule(rule: NetworkRule): string {
  const mark = rule.mark === null
    ? ""
    : `${rule.invert ? "not " : ""}fwmark 0x${rule.mark.toString(16)} `;
  const suppress = rule.suppressPrefixBits === null
    ? ""
    : ` suppress_prefixlength ${rule.suppressPrefixBits}`;
  return `"${mark}table ${rule.table}${suppress}" of IPv${rule.family} at priority ${rule.priority}`;
}

/** A transaction leaves nothing behind, so each has a socket of its own; a failed one has answers unread. */
function withFirewallSocket(
  verb: string,
  family: 4 | 6,
  tableName: string,
  body: (socket: NetlinkSocket, action: () => string) => void,
): void {
  const action = () => `${verb} nftables table "${family === 4 ? "ip" : "ip6"} ${tableName}"`;
  let socket: NetlinkSocket;
  try {
    socket = NetlinkSocket.open(NETLINK_PROTOCOL.NETFILTER);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    throw new SystemCallError(action(), error.errno, ADVICE_FIREWALL[error.errno]);
  }
  try {
    body(socket, action);
  } finally {
    socket.close();
  }
}

function sysctlPath(name: string): string {
  if (!/^[\w+=:-][\w.+=:-]*(\/[\w+=:-][\w.+=:-]*)+$/.test(name)) {
    throw new TypeError(`Expected the name of a kernel parameter with slashes, got "${name}"`);
  }
  return `/proc/sys/${name}`;
}

function isErrno(error: unknown, errnos: readonly number[]): boolean {
  return error instanceof SystemCallError && errnos.includes(error.errno);
}

function isPresent<T>(value: T | null): value is T {
  return value !== null;
}
