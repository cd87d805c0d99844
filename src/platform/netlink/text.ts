/**
 * Addresses between text, as NetworkPort has them, and bytes in network order, as netlink has them.
 *
 * In: text from our own callers, bytes from the kernel. Not here: text from users (see packet/address.ts).
 */

import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** Address and prefix length, as bytes. */
export interface PrefixBytes {
  readonly family: 4 | 6;
  /** 4 or 16, network order. */
  readonly address: Uint8Array;
  readonly prefixBits: number;
}

/**
 * Reads an address.
 * @returns 4 or 16 bytes.
 * @throws {TypeError} If `text` is no IPv4 or IPv6 address.
 */
export function parseAddress(text: string): Uint8Array {
  // isIP first: ipaddr.js alone takes "1", octal numbers and zone names for addresses.
  if (isIP(text) === 0 || text.includes("%")) {
    throw new TypeError(`Expected an IPv4 or IPv6 address, got "${text}"`);
  }
  return Uint8Array.from(ipaddr.parse(text).toByteArray());
}

/**
 * Reads an address with a prefix length.
 * @throws {TypeError} If `text` is not of the form `10.0.0.0/8` or `fd00::/64`.
 */
export function parsePrefix(text: string): PrefixBytes {
  const slash = text.indexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  const bitsText = text.slice(slash + 1);
  const prefixBits = Number(bitsText);
  if (slash < 0 || !/^\d{1,3}$/.test(bitsText) || prefixBits > address.length * 8) {
    throw new TypeError(`Expected an address and a prefix length, got "${text}"`);
  }
  return { family: address.length === 4 ? 4 : 6, address, prefixBits };
}

/** Writes an address of 4 or 16 bytes by RFC 5952; an IPv4-mapped one ends in dotted form. */
export function formatAddress(address: Uint8Array): string {
  const parsed = ipaddr.fromByteArray(Array.from(address));
  return parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress()
    ? `::ffff:${parsed.toIPv4Address()}`
    : parsed.toString();
}

/** Writes address and prefix length. An absent address is the family's zero: the kernel omits it in default routes. */
export function formatPrefix(
  family: 4 | 6,
  address: Uint8Array | undefined,
  prefixBits: number,
): string {
  return `${formatAddress(address ?? new Uint8Array(family === 4 ? 4 : 16))}/${prefixBits}`;
}
