/**
 * IP addresses and prefixes between text and words.
 *
 * Words: 4 u32 in network order, IPv4 as 0, 0, 0xffff, a.b.c.d; the family stands beside them, because IPv6 has an
 * IPv4-mapped form of its own. Text out: RFC 5952. Text in: strict; what two readers could take for two addresses
 * (leading zeros, fewer than four parts) is refused.
 */

/** Words of an address. */
export const ADDRESS_WORDS = 4;

/** IP version of an address. */
export type Family = 4 | 6;

/** One address. */
export interface Address {
  readonly family: Family;
  /** ADDRESS_WORDS words. */
  readonly addressWords: Uint32Array;
}

/** An address and how many of its leading bits count; bits behind them may be set. */
export interface Prefix extends Address {
  /** In the family's own length: 0..32 or 0..128. */
  readonly prefixBits: number;
}

/** An address with a port. */
export interface AddressPort extends Address {
  readonly port: number;
  /** Zone of a link-local address as it stood in the text, e.g. `eth0` or `3`; "" = none. */
  readonly zone: string;
}

/** Bits of an address of `family`. */
export function addressBits(family: Family): number {
  return family === 4 ? 32 : 128;
}

// ---- Words to text ----------------------------------------------------------------------------------------------

/**
 * Writes an address as text: `10.0.0.1`, `2001:db8::1`, `::ffff:1.2.3.4`.
 * @param words Holds the address from `wordOffset` on.
 */
export function addressText(words: Uint32Array, wordOffset: number, family: Family): string {
  const last = words[wordOffset + 3];
  if (family === 4) return ipv4Text(last);
  if (words[wordOffset] === 0 && words[wordOffset + 1] === 0 && words[wordOffset + 2] === 0xffff) {
    return `::ffff:${ipv4Text(last)}`;
  }
  return ipv6Text(words, wordOffset);
}

/** Writes address and port: `10.0.0.1:80`, `[2001:db8::1]:80`. */
export function addressPortText(
  words: Uint32Array,
  wordOffset: number,
  family: Family,
  port: number,
): string {
  const text = addressText(words, wordOffset, family);
  return family === 4 ? `${text}:${port}` : `[${text}]:${port}`;
}

/** Writes a prefix as it stands, host bits included: `10.0.0.0/8`. */
export function prefixText(prefix: Prefix): string {
  return `${addressText(prefix.addressWords, 0, prefix.family)}/${prefix.prefixBits}`;
}

function ipv4Text(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

function group(words: Uint32Array, wordOffset: number, index: number): number {
  const word = words[wordOffset + (index >>> 1)];
  return (index & 1) === 0 ? word >>> 16 : word & 0xffff;
}

/** RFC 5952 §4: lower case, no leading zeros, the first of the longest runs of two or more zero groups as `::`. */
function ipv6Text(words: Uint32Array, wordOffset: number): string {
  let runStart = -1;
  let runGroups = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && group(words, wordOffset, end) === 0) end++;
    if (end - start > runGroups) {
      runStart = start;
      runGroups = end - start;
    }
    start = end;
  }
  let text = "";
  for (let index = 0; index < 8; index++) {
    if (index === runStart) {
      text += "::";
      index += runGroups - 1;
      continue;
    }
    if (text !== "" && !text.endsWith("::")) text += ":";
    text += group(words, wordOffset, index).toString(16);
  }
  return text;
}

// ---- Text to words ----------------------------------------------------------------------------------------------

/** Reads an IPv4 or IPv6 address without zone. @returns null if the text is not exactly one. */
export function parseAddress(text: string): Address | null {
  if (text.includes(":")) return parseIpv6(text);
  const word = parseIpv4Word(text);
  return word === null ? null : { family: 4, addressWords: new Uint32Array([0, 0, 0xffff, word]) };
}

/**
 * Reads `address/bits`, or an address alone as all its bits. Host bits are kept as they are.
 * @returns null if the text is neither.
 */
export function parsePrefix(text: string): Prefix | null {
  const slash = text.indexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === null) return null;
  const bitsMax = addressBits(address.family);
  const prefixBits = slash < 0 ? bitsMax : parseDecimal(text.slice(slash + 1), bitsMax);
  return prefixBits === null ? null : { ...address, prefixBits };
}

/**
 * Reads `a.b.c.d:port` or `[ipv6]:port`, the latter with an optional `%zone`.
 * @returns null if the text is neither, e.g. when a host name stands there.
 */
export function parseAddressPort(text: string): AddressPort | null {
  const colon = text.lastIndexOf(":");
  if (colon < 0) return null;
  const port = parseDecimal(text.slice(colon + 1), 65_535);
  if (port === null) return null;
  let host = text.slice(0, colon);
  let zone = "";
  const bracketed = host.startsWith("[") && host.endsWith("]");
  if (bracketed) {
    host = host.slice(1, -1);
    const percent = host.indexOf("%");
    if (percent >= 0) {
      zone = host.slice(percent + 1);
      host = host.slice(0, percent);
      if (!/^[\w.-]+$/.test(zone)) return null;
    }
  }
  const address = parseAddress(host);
  if (address === null || (address.family === 6) !== bracketed) return null;
  return { ...address, port, zone };
}

/** Reads a decimal number 0..max without sign, space or leading zero. */
function parseDecimal(text: string, max: number): number | null {
  if (!/^(0|[1-9]\d{0,8})$/.test(text)) return null;
  const value = Number(text);
  return value <= max ? value : null;
}

function parseIpv4Word(text: string): number | null {
  const parts = text.split(".", 5);
  if (parts.length !== 4) return null;
  let word = 0;
  for (const part of parts) {
    const byte = parseDecimal(part, 255);
    if (byte === null) return null;
    word = word * 256 + byte;
  }
  return word;
}

/** RFC 4291 §2.2, all three forms. */
function parseIpv6(text: string): Address | null {
  const halves = text.split("::", 3);
  if (halves.length > 2) return null;
  const front = parseGroups(halves[0], halves.length === 1);
  const back = halves.length === 2 ? parseGroups(halves[1], true) : [];
  if (front === null || back === null) return null;
  const missing = 8 - front.length - back.length;
  // "::" stands for one group or more (RFC 4291 §2.2); without it all eight must be there.
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...front, ...new Array<number>(missing).fill(0), ...back];
  const addressWords = new Uint32Array(ADDRESS_WORDS);
  for (let index = 0; index < ADDRESS_WORDS; index++) {
    addressWords[index] = groups[index * 2] * 0x10000 + groups[index * 2 + 1];
  }
  return { family: 6, addressWords };
}

/** Groups of one side of `::`; the last may be an IPv4 address where `ipv4Last`. */
function parseGroups(text: string, ipv4Last: boolean): number[] | null {
  if (text === "") return [];
  const parts = text.split(":", 9);
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (ipv4Last && index === parts.length - 1 && part.includes(".")) {
      const word = parseIpv4Word(part);
      if (word === null) return null;
      groups.push(word >>> 16, word & 0xffff);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(parseInt(part, 16));
    } else {
      return null;
    }
  }
  return groups;
}

// ---- Prefixes ---------------------------------------------------------------------------------------------------

/** Bits of an address that lie in word `index`, as a mask, when `bits` of all 128 count. */
function wordMask(bits: number, index: number): number {
  const inWord = bits - index * 32;
  if (inWord <= 0) return 0;
  return inWord >= 32 ? 0xffffffff : (0xffffffff << (32 - inWord)) >>> 0;
}

/** Prefix length counted over the four words: IPv4's 32 bits are the last ones. */
function bitsOfWords(family: Family, prefixBits: number): number {
  return family === 4 ? 96 + prefixBits : prefixBits;
}

/** Sets all bits behind the prefix to zero, in a new prefix. */
export function maskPrefix(prefix: Prefix): Prefix {
  const bits = bitsOfWords(prefix.family, prefix.prefixBits);
  const addressWords = prefix.addressWords.map((word, index) =>
    (word & wordMask(bits, index)) >>> 0
  );
  return { family: prefix.family, addressWords, prefixBits: prefix.prefixBits };
}

/**
 * Whether the address at `wordOffset` lies in the prefix. Families never mix: an IPv4-mapped IPv6 address is not in
 * an IPv4 prefix.
 */
export function prefixContains(
  prefix: Prefix,
  words: Uint32Array,
  wordOffset: number,
  family: Family,
): boolean {
  if (prefix.family !== family) return false;
  const bits = bitsOfWords(family, prefix.prefixBits);
  for (let index = 0; index < ADDRESS_WORDS; index++) {
    const difference = prefix.addressWords[index] ^ words[wordOffset + index];
    if ((difference & wordMask(bits, index)) !== 0) return false;
  }
  return true;
}
