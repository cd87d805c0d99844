/**
 * Interfaces in rtnetlink: RTM_NEWLINK, RTM_GETLINK.
 *
 * In: what is to be asked or changed. Out: whole messages; and from RTM_NEWLINK answers, NetworkLink.
 * Sources: linux/if_link.h, linux/rtnetlink.h; the bytes of iproute2 6.1 in tests/unit/platform/netlink.
 */

import type { LinkStatistics, NetworkLink, NetworkLinkChange } from "../../ports.ts";
import {
  ADDRESS_FAMILY,
  attributeText,
  attributeU32,
  MessageWriter,
  NETLINK_FLAG,
  type NetlinkMessage,
  parseAttributes,
} from "./message.ts";

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
/** Bytes of ifinfomsg. */
const LINK_BODY_BYTES = 16;
const IFF_UP = 0x1;

/** Attributes of a link (IFLA_*). */
const LINK = {
  NAME: 3,
  MTU: 4,
  TX_QUEUE: 13,
  LINK_INFO: 18,
  STATISTICS_64: 23,
  FAMILY_SPECIFIC: 26,
} as const;
/** Inside LINK_INFO (IFLA_INFO_KIND). */
const LINK_INFO_KIND = 1;
/** Inside FAMILY_SPECIFIC, inside AF_INET6 (IFLA_INET6_ADDR_GEN_MODE). */
const INET6_ADDRESS_GENERATION = 8;
const ADDRESS_GENERATION_NONE = 1;

/** Offsets in rtnl_link_stats64. */
const STATISTICS = {
  RX_PACKETS: 0,
  TX_PACKETS: 8,
  RX_BYTES: 16,
  TX_BYTES: 24,
  RX_DROPPED: 48,
  TX_DROPPED: 56,
  LENGTH: 64,
} as const;

/** Asks for all interfaces. */
export function linksRequest(sequence: number): Uint8Array {
  return beginLink(RTM_GETLINK, NETLINK_FLAG.REQUEST | NETLINK_FLAG.DUMP, sequence, 0).finish();
}

/** Asks for one interface, by index or by name. */
export function linkRequest(sequence: number, which: number | string): Uint8Array {
  const index = typeof which === "number" ? which : 0;
  const writer = beginLink(RTM_GETLINK, NETLINK_FLAG.REQUEST, sequence, index);
  if (typeof which === "string") writer.attributeText(LINK.NAME, which);
  return writer.finish();
}

/** Changes one interface. */
export function linkChangeRequest(
  sequence: number,
  interfaceIndex: number,
  change: NetworkLinkChange,
): Uint8Array {
  const writer = new MessageWriter()
    .begin(RTM_NEWLINK, NETLINK_FLAG.REQUEST | NETLINK_FLAG.ACK, sequence)
    .u8(ADDRESS_FAMILY.UNSPECIFIED, 0).u16(0)
    .u32(interfaceIndex, change.up === true ? IFF_UP : 0, change.up === undefined ? 0 : IFF_UP);
  if (change.mtuBytes !== undefined) writer.attributeU32(LINK.MTU, change.mtuBytes);
  if (change.txQueuePackets !== undefined) {
    writer.attributeU32(LINK.TX_QUEUE, change.txQueuePackets);
  }
  if (change.addressGeneration === "none") {
    writer.nested(LINK.FAMILY_SPECIFIC, () => {
      writer.nested(ADDRESS_FAMILY.INET6, () => {
        writer.attributeU8(INET6_ADDRESS_GENERATION, ADDRESS_GENERATION_NONE);
      });
    });
  }
  return writer.finish();
}

/** Reads one answer; null when it is none of a link. */
export function parseLink(message: NetlinkMessage): NetworkLink | null {
  const { body } = message;
  if (message.type !== RTM_NEWLINK || body.byteLength < LINK_BODY_BYTES) return null;
  const attributes = parseAttributes(body, LINK_BODY_BYTES);
  const info = attributes.get(LINK.LINK_INFO);
  return {
    index: body.getInt32(4, true),
    name: attributeText(attributes, LINK.NAME) ?? "",
    kind: info === undefined ? null : attributeText(parseAttributes(info, 0), LINK_INFO_KIND),
    mtuBytes: attributeU32(attributes, LINK.MTU, 0),
    up: (body.getUint32(8, true) & IFF_UP) !== 0,
    statistics: parseStatistics(attributes.get(LINK.STATISTICS_64)),
  };
}

function beginLink(type: number, flags: number, sequence: number, index: number): MessageWriter {
  return new MessageWriter()
    .begin(type, flags, sequence)
    .u8(ADDRESS_FAMILY.UNSPECIFIED, 0).u16(0).u32(index, 0, 0);
}

function parseStatistics(payload: DataView | undefined): LinkStatistics {
  const u64 = (offset: number) =>
    payload === undefined || payload.byteLength < STATISTICS.LENGTH
      ? 0
      : payload.getUint32(offset, true) + payload.getUint32(offset + 4, true) * 2 ** 32;
  return {
    rxPackets: u64(STATISTICS.RX_PACKETS),
    rxBytes: u64(STATISTICS.RX_BYTES),
    rxDropped: u64(STATISTICS.RX_DROPPED),
    txPackets: u64(STATISTICS.TX_PACKETS),
    txBytes: u64(STATISTICS.TX_BYTES),
    txDropped: u64(STATISTICS.TX_DROPPED),
  };
}
