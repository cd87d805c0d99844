/**
 * What stands in front of IP packets in captures.
 *
 * In: captured bytes and the LINKTYPE_ number of how they begin. Out: where the IP packet starts. Never throws, never reads
 * outside. Not here: frames whose payload is not IP by their type field, such as LLC, PPPoE and MPLS; they are told as
 * no IP.
 */

/** LINKTYPE_ numbers that are read. Source: the tcpdump group's list of link-layer header types. */
export const LINK_TYPE = {
  /** Address family in the byte order of the machine that captured. */
  NULL: 0,
  ETHERNET: 1,
  /** As some systems number RAW. */
  RAW_BSD: 12,
  RAW_OPENBSD: 14,
  RAW: 101,
  /** Address family in network order. */
  LOOP: 108,
  LINUX_SLL: 113,
  IPV4: 228,
  IPV6: 229,
  LINUX_SLL2: 276,
} as const;

/** What ipOffset() returns where there is no IP packet. */
export const NO_IP = {
  /** Something else, or cut off before it can be told. */
  OTHER: -1,
  /** The link type is not read. */
  LINK_TYPE: -2,
} as const;

const ETHER_TYPE = { IPV4: 0x0800, IPV6: 0x86dd } as const;
/** 802.1Q, 802.1ad, and what was used for outer tags before it. */
const VLAN_TYPES: readonly number[] = [0x8100, 0x88a8, 0x9100, 0x9200, 0x9300];
const VLAN_TAG_BYTES = 4;

/** AF_INET everywhere, and AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS. */
const IP_FAMILIES: readonly number[] = [2, 10, 24, 28, 30];

/**
 * Finds the IP packet in a frame.
 * @param length Captured bytes from `offset` on.
 * @returns Bytes from `offset` to it, at most `length`, or one of NO_IP.
 */
export function ipOffset(
  view: DataView,
  offset: number,
  length: number,
  linkType: number,
): number {
  switch (linkType) {
    case LINK_TYPE.RAW:
    case LINK_TYPE.RAW_BSD:
    case LINK_TYPE.RAW_OPENBSD:
    case LINK_TYPE.IPV4:
    case LINK_TYPE.IPV6:
      return 0;
    case LINK_TYPE.ETHERNET:
      return behindEtherType(view, offset, length, 12, 14);
    case LINK_TYPE.LINUX_SLL:
      return behindEtherType(view, offset, length, 14, 16);
    case LINK_TYPE.LINUX_SLL2:
      return behindEtherType(view, offset, length, 0, 20);
    case LINK_TYPE.NULL:
    case LINK_TYPE.LOOP:
      return behindFamily(view, offset, length);
    default:
      return NO_IP.LINK_TYPE;
  }
}

/** @param typeAt Where the type of the payload stands. @param payloadAt Where the payload begins. */
function behindEtherType(
  view: DataView,
  offset: number,
  length: number,
  typeAt: number,
  payloadAt: number,
): number {
  if (length < payloadAt) return NO_IP.OTHER;
  let type = view.getUint16(offset + typeAt);
  let at = payloadAt;
  // A tag's last two bytes are the type of what follows it.
  while (VLAN_TYPES.includes(type)) {
    at += VLAN_TAG_BYTES;
    if (length < at) return NO_IP.OTHER;
    type = view.getUint16(offset + at - 2);
  }
  return type === ETHER_TYPE.IPV4 || type === ETHER_TYPE.IPV6 ? at : NO_IP.OTHER;
}

function behindFamily(view: DataView, offset: number, length: number): number {
  if (length < 4) return NO_IP.OTHER;
  const isIp = IP_FAMILIES.includes(view.getUint32(offset)) ||
    IP_FAMILIES.includes(view.getUint32(offset, true));
  return isIp ? 4 : NO_IP.OTHER;
}
