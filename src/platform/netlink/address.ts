/**
 * Addresses of interfaces in rtnetlink: RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR.
 *
 * In: NetworkAddress. Out: whole messages; and from RTM_NEWADDR answers, NetworkAddress.
 * Sources: linux/if_addr.h; the bytes of iproute2 6.1 in tests/unit/platform/netlink.
 */

import type { NetworkAddress } from "../../ports.ts";
import {
  ADDRESS_FAMILY,
  familyNumber,
  MessageWriter,
  NETLINK_FLAG,
  type NetlinkMessage,
  parseAttributes,
  viewBytes,
} from "./message.ts";
import { formatPrefix, parsePrefix } from "./text.ts";

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
/** Bytes of ifaddrmsg. */
const ADDRESS_BODY_BYTES = 8;
/** No duplicate address detection: the address would stay tentative for a second (RFC 4862 §5.4). */
const IFA_F_NODAD = 0x02;

/** Attributes (IFA_*). On links without a peer address both hold the same. */
const ADDRESS = { ADDRESS: 1, LOCAL: 2 } as const;

/** Adds one address; EEXIST when it is there. */
export function addAddressRequest(sequence: number, address: NetworkAddress): Uint8Array {
  const flags = NETLINK_FLAG.REQUEST | NETLINK_FLAG.ACK | NETLINK_FLAG.CREATE |
    NETLINK_FLAG.EXCLUSIVE;
  return addressRequest(RTM_NEWADDR, flags, sequence, address);
}

/** Deletes one address; EADDRNOTAVAIL when it is not there. */
export function deleteAddressRequest(sequence: number, address: NetworkAddress): Uint8Array {
  return addressRequest(RTM_DELADDR, NETLINK_FLAG.REQUEST | NETLINK_FLAG.ACK, sequence, address);
}

/** Asks for the addresses of one interface. A kernel before 4.20 answers with those of all. */
export function addressesRequest(sequence: number, interfaceIndex: number): Uint8Array {
  return new MessageWriter()
    .begin(RTM_GETADDR, NETLINK_FLAG.REQUEST | NETLINK_FLAG.DUMP, sequence)
    .u8(ADDRESS_FAMILY.UNSPECIFIED, 0, 0, 0).u32(interfaceIndex)
    .finish();
}

/** Reads one answer; null when it is no IPv4 or IPv6 address. */
export function parseAddressMessage(message: NetlinkMessage): NetworkAddress | null {
  const { body } = message;
  if (message.type !== RTM_NEWADDR || body.byteLength < ADDRESS_BODY_BYTES) return null;
  const family = body.getUint8(0);
  if (family !== ADDRESS_FAMILY.INET && family !== ADDRESS_FAMILY.INET6) return null;
  const attributes = parseAttributes(body, ADDRESS_BODY_BYTES);
  // IPv6 without a peer address has no LOCAL; IPv4 with one has the peer's in ADDRESS.
  const payload = attributes.get(ADDRESS.LOCAL) ?? attributes.get(ADDRESS.ADDRESS);
  if (payload === undefined) return null;
  return {
    interfaceIndex: body.getUint32(4, true),
    prefix: formatPrefix(
      family === ADDRESS_FAMILY.INET ? 4 : 6,
      viewBytes(payload),
      body.getUint8(1),
    ),
  };
}

function addressRequest(
  type: number,
  flags: number,
  sequence: number,
  address: NetworkAddress,
): Uint8Array {
  const prefix = parsePrefix(address.prefix);
  const addressFlags = prefix.family === 6 && type === RTM_NEWADDR ? IFA_F_NODAD : 0;
  return new MessageWriter()
    .begin(type, flags, sequence)
    .u8(familyNumber(prefix.family), prefix.prefixBits, addressFlags, 0)
    .u32(address.interfaceIndex)
    .attribute(ADDRESS.LOCAL, prefix.address)
    .attribute(ADDRESS.ADDRESS, prefix.address)
    .finish();
}
