/** What tests of netlog share: rows and routes from text, random ones with hostile mixes, a stand-in for a PRF. */
import fc from "fast-check";
import {
  addressText,
  type Family,
  HASH_SECRET_WORDS,
  KEY,
  KEY_DST_V6,
  KEY_SRC_V6,
  KEY_WORDS,
  parseAddress,
  parseAddressPort,
  parsePrefix,
  type Prefix,
} from "../../../src/packet/mod.ts";
import type { KeyedPrf, RouteConfig, StatisticsRow } from "../../../src/netlog/mod.ts";

/** The same in every run. */
export const SECRET = Uint32Array.from(
  { length: HASH_SECRET_WORDS },
  (_, word) => Math.imul(word + 1, 0x9e3779b9),
);

/** A row and the device that counted it. */
export interface Counted extends StatisticsRow {
  readonly isPhysical: boolean;
}

/** What a row is made of; what is left out is zero or false. */
export interface RowParts {
  readonly proto?: number;
  /** `10.0.0.1:80`, `[fd00::1]:80`, or "". */
  readonly src?: string;
  readonly dst?: string;
  /** txPackets, txBytes, rxPackets, rxBytes. */
  readonly counts?: readonly [number, number, number, number];
  readonly folded?: boolean;
  readonly other?: boolean;
  readonly isPhysical?: boolean;
}

/** A flow key. */
export function keyOf(proto: number, src: string, dst: string): Uint32Array {
  const key = new Uint32Array(KEY_WORDS);
  const ends = [src, dst].map((end) => end === "" ? null : parseAddressPort(end));
  key[KEY.HEAD] = proto | (ends[0]?.family === 6 ? KEY_SRC_V6 : 0) |
    (ends[1]?.family === 6 ? KEY_DST_V6 : 0);
  key[KEY.PORTS] = ((ends[0]?.port ?? 0) << 16) | (ends[1]?.port ?? 0);
  if (ends[0] !== null) key.set(ends[0].addressWords, KEY.SRC);
  if (ends[1] !== null) key.set(ends[1].addressWords, KEY.DST);
  return key;
}

/** A row as a device gives it. */
export function row(parts: RowParts): Counted {
  const { proto = 0, src = "", dst = "", counts = [0, 0, 0, 0], folded = false } = parts;
  const [txPackets, txBytes, rxPackets, rxBytes] = counts;
  const { other = false, isPhysical = false } = parts;
  const key = keyOf(proto, src, dst);
  return { key, txPackets, txBytes, rxPackets, rxBytes, folded, other, isPhysical };
}

/** A prefix that must be one. */
export function prefix(text: string): Prefix {
  const found = parsePrefix(text);
  if (found === null) throw new Error(`Not a prefix: ${text}`);
  return found;
}

/** Words of an address that must be one. */
export function wordsOf(text: string): Uint32Array {
  const found = parseAddress(text);
  if (found === null) throw new Error(`Not an address: ${text}`);
  return found.addressWords;
}

/** Route configuration from text; a route may name its peer behind a space. */
export function routeConfig(
  localAddresses: readonly string[],
  routes: readonly string[],
  subnetRoutes: readonly string[] = [],
): RouteConfig {
  return {
    localAddresses: localAddresses.map(prefix),
    routes: routes.map((text) => {
      const [route, peer = null] = text.split(" ");
      return { prefix: prefix(route), peer };
    }),
    subnetRoutes: subnetRoutes.map(prefix),
  };
}

/** Address with port as text. */
export function endText(address: string, port: number): string {
  if (address === "") return "";
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function textOf(family: Family, words: readonly number[]): string {
  return addressText(Uint32Array.from(words), 0, family);
}

const word = fc.nat(0xffffffff);

/**
 * Addresses with everything that is odd: none, few overlay addresses that meet again, ChromeOS's range, subnets,
 * unspecified and multicast ones, IPv4-mapped ones, and any.
 */
export const anyAddress: fc.Arbitrary<string> = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom("", "0.0.0.0", "::", "224.0.0.251", "255.255.255.255") },
  { weight: 4, arbitrary: fc.nat(7).map((host) => `100.64.0.${host}`) },
  { weight: 2, arbitrary: fc.nat(7).map((host) => textOf(6, [0xfd7a115c, 0xa1e00000, 0, host])) },
  {
    weight: 2,
    arbitrary: fc.nat(0x1ffff).map((host) => textOf(4, [0, 0, 0xffff, 0x0a010000 + host])),
  },
  { weight: 1, arbitrary: fc.nat(7).map((host) => `100.115.92.${host}`) },
  { weight: 1, arbitrary: fc.nat(7).map((host) => `::ffff:100.64.0.${host}`) },
  { weight: 2, arbitrary: word.map((last) => textOf(4, [0, 0, 0xffff, last])) },
  { weight: 2, arbitrary: fc.tuple(word, word, word, word).map((words) => textOf(6, words)) },
);

const anyPort = fc.oneof(fc.constantFrom(0, 53, 443, 65_535), fc.nat(65_535));

/** Ends of connections, ports on nothing among them. */
export const anyEnd: fc.Arbitrary<string> = fc.tuple(anyAddress, anyPort).map(([address, port]) =>
  endText(address, port)
);

const anyCount = fc.oneof(
  fc.constantFrom(0, 1, 999_999_999, 1_000_000_000, 2 ** 32, 2 ** 53 - 1),
  fc.nat(1_000_000),
);

/** Rows of both devices. */
export const anyRow: fc.Arbitrary<Counted> = fc.record({
  proto: fc.constantFrom(0, 1, 6, 17, 255),
  src: anyEnd,
  dst: anyEnd,
  counts: fc.tuple(anyCount, anyCount, anyCount, anyCount),
  folded: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true)),
  other: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.constant(true)),
  isPhysical: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, fc.constant(true)),
}).map(row);

/** Prefixes that lie about the addresses above, host bits set. */
export const anyPrefix: fc.Arbitrary<Prefix> = fc.oneof(
  fc.constantFrom("0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1").map(prefix),
  fc.tuple(anyAddress, fc.oneof(fc.constant(128), fc.nat(128))).map(([address, bits]) => {
    const text = address === "" ? "10.1.2.3" : address;
    return prefix(`${text}/${text.includes(":") ? bits : Math.min(bits, 32)}`);
  }),
);

/** Route maps over such prefixes. */
export const anyRouteConfig: fc.Arbitrary<RouteConfig> = fc.record({
  localAddresses: fc.array(anyPrefix, { maxLength: 3 }),
  routes: fc.array(
    fc.record({ prefix: anyPrefix, peer: fc.constantFrom(null, "alpha", "beta") }),
    { maxLength: 6 },
  ),
  subnetRoutes: fc.array(anyPrefix, { maxLength: 3 }),
});

/** Mixes its input well enough for tests; no secret is safe with it. */
export function standInPrf(secret: number): KeyedPrf {
  return (input) => {
    let state = secret | 0;
    for (const byte of input) {
      state = Math.imul(state ^ byte, 0x01000193);
      state ^= state >>> 15;
    }
    return Uint8Array.from({ length: 32 }, () => {
      state = Math.imul(state ^ (state >>> 13), 0x5bd1e995) + 0x6b79d38b | 0;
      return (state ^ (state >>> 16)) & 0xff;
    });
  };
}
