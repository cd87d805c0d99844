/**
 * Routes in rtnetlink: RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE.
 *
 * In: NetworkRoute. Out: whole messages; and from RTM_NEWROUTE answers, routes and the answer of a look-up.
 * Sources: linux/rtnetlink.h; the bytes of iproute2 6.1 in tests/unit/platform/netlink.
 */

import type { NetworkRoute, NetworkRouteAnswer, NetworkRouteInfo } from "../../ports.ts";
import {
  ADDRESS_FAMILY,
  type Attributes,
  attributeU32,
  familyNumber,
  MessageWriter,
  NETLINK_FLAG,
  type NetlinkMessage,
  parseAttributes,
  viewBytes,
} from "./message.ts";
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from "./text.ts";

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
/** Bytes of rtmsg. */
const ROUTE_BODY_BYTES = 12;

/** Who made a route (RTPROT_*): BOOT is what iproute2 says by default. */
const PROTOCOL_BOOT = 3;
/** How far a destination is (RT_SCOPE_*): an IPv4 route without gateway is LINK; IPv6 has no scopes. */
const SCOPE = { UNIVERSE: 0, LINK: 253, NOWHERE: 255 } as const;
const TYPE_UNICAST = 1;
/** Route in a cache, not in a table (RTM_F_CLONED). */
const FLAG_CLONED = 0x200;
/** Tables above it do not fit the header and stand in an attribute alone. */
const HEADER_TABLE_MAX = 255;

/** Attributes (RTA_*). */
const ROUTE = {
  DESTINATION: 1,
  OUTPUT_INTERFACE: 4,
  GATEWAY: 5,
  METRIC: 6,
  PREFERRED_SOURCE: 7,
  METRICS: 8,
  TABLE: 15,
  MARK: 16,
} as const;
/** Inside METRICS (RTAX_MTU). */
const METRICS_MTU = 2;

/** What a list of routes is to be limited to. */
export interface RouteFilter {
  readonly family: 4 | 6;
  readonly table?: number;
  readonly interfaceIndex?: number;
}

/** Adds one route; EEXIST when one with its destination, table and metric is there. */
export function addRouteRequest(sequence: number, route: NetworkRoute): Uint8Array {
  const { family } = parsePrefix(route.destination);
  const flags = NETLINK_FLAG.REQUEST | NETLINK_FLAG.ACK | NETLINK_FLAG.CREATE |
    NETLINK_FLAG.EXCLUSIVE;
  return routeRequest(
    new MessageWriter().begin(RTM_NEWROUTE, flags, sequence),
    route,
    [PROTOCOL_BOOT, family === 4 ? SCOPE.LINK : SCOPE.UNIVERSE, TYPE_UNICAST],
  );
}

/** Deletes one route; ESRCH when it is not there. */
export function deleteRouteRequest(sequence: number, route: NetworkRoute): Uint8Array {
  const flags = NETLINK_FLAG.REQUEST | NETLINK_FLAG.ACK;
  return routeRequest(
    new MessageWriter().begin(RTM_DELROUTE, flags, sequence),
    route,
    // Protocol and type 0, scope "nowhere": whatever the route has.
    [0, SCOPE.NOWHERE, 0],
  );
}

/** Asks for the routes of one family. A kernel before 4.20 does not filter: see matchesFilter. */
export function routesRequest(sequence: number, filter: RouteFilter): Uint8Array {
  const writer = new MessageWriter()
    .begin(RTM_GETROUTE, NETLINK_FLAG.REQUEST | NETLINK_FLAG.DUMP, sequence)
    .u8(familyNumber(filter.family), 0, 0, 0, 0, 0, 0, 0).u32(0);
  if (filter.table !== undefined) writer.attributeU32(ROUTE.TABLE, filter.table);
  if (filter.interfaceIndex !== undefined) {
    writer.attributeU32(ROUTE.OUTPUT_INTERFACE, filter.interfaceIndex);
  }
  return writer.finish();
}

/**
 * Asks how a packet to `destination` with `mark` would be sent. Unlike `ip route get`, without RTM_F_LOOKUP_TABLE:
 * IPv6 refuses it on sockets with NETLINK_GET_STRICT_CHK (inet6_rtm_valid_getroute_req), and the table is not asked for.
 */
export function routeGetRequest(sequence: number, destination: string, mark: number): Uint8Array {
  const address = parseAddress(destination);
  const writer = new MessageWriter()
    .begin(RTM_GETROUTE, NETLINK_FLAG.REQUEST, sequence)
    .u8(familyNumber(address.length === 4 ? 4 : 6), address.length * 8, 0, 0, 0, 0, 0, 0)
    .u32(0)
    .attribute(ROUTE.DESTINATION, address);
  if (mark !== 0) writer.attributeU32(ROUTE.MARK, mark);
  return writer.finish();
}

/** Reads one listed route; null when it stands in a cache only, or is of another family. */
export function parseRoute(message: NetlinkMessage): NetworkRouteInfo | null {
  const { body } = message;
  if (message.type !== RTM_NEWROUTE || body.byteLength < ROUTE_BODY_BYTES) return null;
  const familyValue = body.getUint8(0);
  if (familyValue !== ADDRESS_FAMILY.INET && familyValue !== ADDRESS_FAMILY.INET6) return null;
  if ((body.getUint32(8, true) & FLAG_CLONED) !== 0) return null;
  const attributes = parseAttributes(body, ROUTE_BODY_BYTES);
  const destination = attributes.get(ROUTE.DESTINATION);
  return {
    destination: formatPrefix(
      familyValue === ADDRESS_FAMILY.INET ? 4 : 6,
      destination === undefined ? undefined : viewBytes(destination),
      body.getUint8(1),
    ),
    interfaceIndex: attributeU32(attributes, ROUTE.OUTPUT_INTERFACE, 0),
    table: attributeU32(attributes, ROUTE.TABLE, body.getUint8(4)),
    metric: attributeU32(attributes, ROUTE.METRIC, 0),
    gateway: addressText(attributes, ROUTE.GATEWAY),
    mtuBytes: routeMtu(attributes),
    unicast: body.getUint8(7) === TYPE_UNICAST,
  };
}

/** Reads the answer of a look-up; null when it is none. */
export function parseRouteAnswer(message: NetlinkMessage): NetworkRouteAnswer | null {
  const { body } = message;
  if (message.type !== RTM_NEWROUTE || body.byteLength < ROUTE_BODY_BYTES) return null;
  const attributes = parseAttributes(body, ROUTE_BODY_BYTES);
  return {
    interfaceIndex: attributeU32(attributes, ROUTE.OUTPUT_INTERFACE, 0),
    source: addressText(attributes, ROUTE.PREFERRED_SOURCE),
    gateway: addressText(attributes, ROUTE.GATEWAY),
    mtuBytes: routeMtu(attributes),
  };
}

/** Tells whether the kernel's list, which may hold more than was asked for, means this route. */
export function matchesFilter(route: NetworkRouteInfo, filter: RouteFilter): boolean {
  return (filter.table === undefined || route.table === filter.table) &&
    (filter.interfaceIndex === undefined || route.interfaceIndex === filter.interfaceIndex);
}

/** Completes a request to add or delete. @param facts Protocol, scope and type. */
function routeRequest(
  writer: MessageWriter,
  route: NetworkRoute,
  facts: readonly [number, number, number],
): Uint8Array {
  const { family, address, prefixBits } = parsePrefix(route.destination);
  const tableFits = route.table <= HEADER_TABLE_MAX;
  writer
    .u8(familyNumber(family), prefixBits, 0, 0)
    .u8(tableFits ? route.table : 0, ...facts)
    .u32(0)
    .attribute(ROUTE.DESTINATION, address);
  if (!tableFits) writer.attributeU32(ROUTE.TABLE, route.table);
  writer.attributeU32(ROUTE.OUTPUT_INTERFACE, route.interfaceIndex);
  if (route.metric !== undefined) writer.attributeU32(ROUTE.METRIC, route.metric);
  return writer.finish();
}

function addressText(attributes: Attributes, type: number): string | null {
  const payload = attributes.get(type);
  return payload === undefined ? null : formatAddress(viewBytes(payload));
}

function routeMtu(attributes: Attributes): number | null {
  const metrics = attributes.get(ROUTE.METRICS);
  return metrics === undefined
    ? null
    : attributeU32(parseAttributes(metrics, 0), METRICS_MTU, null);
}
