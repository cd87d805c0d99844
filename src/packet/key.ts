/**
 * Layout of a flow key: what tells one connection from another, as words of a Uint32Array.
 *
 * Source is the packet's source; whoever counts a received packet swaps the two sides (DESIGN "Accounting rules").
 */

/** Word indices of a flow key. Addresses are network order; IPv4 is 0, 0, 0xffff, a.b.c.d. */
export const KEY = {
  /** proto in bits 0..7, KEY_SRC_V6 and KEY_DST_V6 above. */
  HEAD: 0,
  /** Source port in the high half, destination port in the low half. Zero for protocols without ports. */
  PORTS: 1,
  SRC: 2,
  DST: 6,
} as const;

/** Words of a flow key. */
export const KEY_WORDS = 10;

/** Set in KEY.HEAD iff the source address is IPv6. Apart, because a physical row's sides may differ in family. */
export const KEY_SRC_V6 = 1 << 8;
/** Set in KEY.HEAD iff the destination address is IPv6. */
export const KEY_DST_V6 = 1 << 9;

/** Bits of KEY.HEAD that belong to the key. */
export const KEY_HEAD_MASK = 0xff | KEY_SRC_V6 | KEY_DST_V6;

/** IP protocol numbers that tunlog treats by name. Source: IANA "Protocol Numbers". */
export const PROTO = {
  /** Hop-by-hop as a header; as a decoded proto: not known. */
  UNKNOWN: 0,
  ICMP: 1,
  IGMP: 2,
  TCP: 6,
  UDP: 17,
  IPV6_ROUTE: 43,
  IPV6_FRAGMENT: 44,
  GRE: 47,
  ESP: 50,
  AH: 51,
  ICMPV6: 58,
  IPV6_NO_NEXT: 59,
  IPV6_OPTIONS: 60,
  /** Tailscale's in-tunnel messages. */
  TSMP: 99,
  SCTP: 132,
  MOBILITY: 135,
  HIP: 139,
  SHIM6: 140,
  /** Reserved by IANA; here: a later fragment whose first fragment was not seen. */
  FRAGMENT: 255,
} as const;
