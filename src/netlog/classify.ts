/**
 * Classification of connections: the original's rule over versions of the route maps.
 *
 * In: two addresses. Out: a class, and for who asks the reason. With T(a) = some route explains a, and O(a) = a is an
 * overlay address (SPEC 5.2):
 *
 *   T(src), T(dst), O(src) and O(dst)  virtual
 *   T(a) and not O(a), for either a    subnet
 *   else                               exit, if a default route holds an address that no other route explains;
 *                                      unknown, if none does. The original calls both exit, and so does the wire.
 *
 * Over several versions: the newest under which the row is virtual or subnet; else exit if it is under any.
 *
 * What an address is under each version is computed once for the address and kept as bits, one per version, so that
 * a row costs a few operations on two numbers, whatever the number of routes and versions.
 */
import { CLASS_NAMES, type ClassName } from "../counters.ts";
import { type Address, addressText, type Family, prefixText } from "../packet/mod.ts";
import type { OverlayRanges } from "./overlay.ts";
import { NO_ROUTE, type RouteOrigin, type RouteTable } from "./routes.ts";

/** Classes of rows, in the order of CLASS_NAMES. PHYSICAL is not found by rule: it says which device counted. */
export const CLASS = { VIRTUAL: 0, SUBNET: 1, EXIT: 2, UNKNOWN: 3, PHYSICAL: 4 } as const;

/**
 * Facts about one address in one number. From bit 0 on: version n explains the address. FACT_OVERLAY: it is an overlay
 * address. From FACT_DEFAULT_SHIFT on: version n does not explain it, but has a default route of its family.
 * ROUTE_VERSIONS_MAX is the room there is. No address at all: 0.
 */
const FACT_WITHIN_MASK = 0x7fff;
const FACT_OVERLAY = 1 << 15;
const FACT_DEFAULT_SHIFT = 16;

/** One side of an explanation. */
export interface SideReason {
  readonly address: string;
  readonly isOverlay: boolean;
  /** Longest route around the address under the version that decided, a default route included; null = none. */
  readonly route: string | null;
  readonly origin: RouteOrigin | null;
  /** Node that the route leads to. */
  readonly peer: string | null;
}

/** Why a connection is of its class. */
export interface Explanation {
  readonly className: ClassName;
  /** 0 = the routes of now; n = those of n changes ago. */
  readonly versionsAgo: number;
  readonly src: SideReason;
  readonly dst: SideReason;
}

/** Classifies by a fixed list of versions. */
export class Classifier {
  readonly #versions: readonly RouteTable[];
  readonly #overlay: OverlayRanges;

  /** @param versions Newest first; at most ROUTE_VERSIONS_MAX. */
  constructor(versions: readonly RouteTable[], overlay: OverlayRanges) {
    this.#versions = versions;
    this.#overlay = overlay;
  }

  /** Computes what the address at `wordOffset` is, for classOf(). */
  factsOf(words: Uint32Array, wordOffset: number, family: Family): number {
    const isOverlay = this.#overlay.contains(words, wordOffset, family);
    let facts = isOverlay ? FACT_OVERLAY : 0;
    for (let version = 0; version < this.#versions.length; version++) {
      const table = this.#versions[version];
      if (table.within(words, wordOffset, family, isOverlay) !== NO_ROUTE) facts |= 1 << version;
      else if (table.defaultOf(family) !== NO_ROUTE) facts |= 1 << (FACT_DEFAULT_SHIFT + version);
    }
    return facts;
  }

  /** Says why a connection between two addresses is of its class. `null` = no address. */
  explain(src: Address | null, dst: Address | null): Explanation {
    const srcFacts = src === null ? 0 : this.factsOf(src.addressWords, 0, src.family);
    const dstFacts = dst === null ? 0 : this.factsOf(dst.addressWords, 0, dst.family);
    const bits = explainedBits(srcFacts, dstFacts) ||
      ((srcFacts | dstFacts) >>> FACT_DEFAULT_SHIFT);
    // The lowest bit is the newest version.
    const version = bits === 0 ? 0 : 31 - Math.clz32(bits & -bits);
    return {
      className: CLASS_NAMES[classOf(srcFacts, dstFacts)],
      versionsAgo: version,
      src: this.#reason(src, srcFacts, version),
      dst: this.#reason(dst, dstFacts, version),
    };
  }

  #reason(address: Address | null, facts: number, version: number): SideReason {
    if (address === null) {
      return { address: "", isOverlay: false, route: null, origin: null, peer: null };
    }
    const { family, addressWords } = address;
    const isOverlay = (facts & FACT_OVERLAY) !== 0;
    const table = this.#versions[version];
    const number = table.find(addressWords, 0, family);
    const entry = number === NO_ROUTE ? null : table.entries[number];
    return {
      address: addressText(addressWords, 0, family),
      isOverlay,
      route: entry === null ? null : prefixText(entry.prefix),
      origin: entry?.origin ?? null,
      peer: entry?.peer ?? null,
    };
  }
}

/** Versions under which two addresses make a virtual or a subnet connection. */
function explainedBits(srcFacts: number, dstFacts: number): number {
  if ((srcFacts & dstFacts & FACT_OVERLAY) !== 0) return srcFacts & dstFacts & FACT_WITHIN_MASK;
  const src = (srcFacts & FACT_OVERLAY) === 0 ? srcFacts : 0;
  const dst = (dstFacts & FACT_OVERLAY) === 0 ? dstFacts : 0;
  return (src | dst) & FACT_WITHIN_MASK;
}

/** Class of a connection between two addresses, by the facts about them. */
export function classOf(srcFacts: number, dstFacts: number): number {
  if (explainedBits(srcFacts, dstFacts) !== 0) {
    return (srcFacts & dstFacts & FACT_OVERLAY) !== 0 ? CLASS.VIRTUAL : CLASS.SUBNET;
  }
  return ((srcFacts | dstFacts) >>> FACT_DEFAULT_SHIFT) !== 0 ? CLASS.EXIT : CLASS.UNKNOWN;
}
