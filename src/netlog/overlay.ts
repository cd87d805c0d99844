/**
 * Overlay ranges: which addresses belong to nodes rather than to networks behind them.
 *
 * In: ranges as text, with exceptions. Out: whether an address is an overlay address. The longest range around an
 * address decides. An IPv4-mapped IPv6 address is judged as the IPv4 address in it, as the newer original does
 * (SPEC 1.6); for routes it stays an IPv6 address, so that it is within none of IPv4's.
 */
import { ConfigError } from "../errors.ts";
import { OVERLAY_RANGES_MAX } from "../limits.ts";
import { type Family, parsePrefix } from "../packet/mod.ts";
import { PrefixTrie } from "./trie.ts";

/**
 * Tailscale's: CGNAT without the part that ChromeOS gives to its virtual machines, and its ULA
 * (tailscale net/tsaddr IsTailscaleIP).
 */
export const OVERLAY_DEFAULT: readonly string[] = [
  "100.64.0.0/10",
  "!100.115.92.0/23",
  "fd7a:115c:a1e0::/48",
];

const OUTSIDE = 0;
const INSIDE = 1;

/** See file header. */
export class OverlayRanges {
  readonly #ranges = new PrefixTrie();

  /**
   * @param ranges Prefixes; one with a leading `!` is an exception.
   * @throws {ConfigError} If one is not a prefix, or there are more than OVERLAY_RANGES_MAX.
   */
  constructor(ranges: readonly string[] = OVERLAY_DEFAULT) {
    if (ranges.length > OVERLAY_RANGES_MAX) {
      throw new ConfigError(`There are more than ${OVERLAY_RANGES_MAX} overlay ranges`);
    }
    for (const text of ranges) {
      const isException = text.startsWith("!");
      const prefix = parsePrefix(isException ? text.slice(1) : text);
      if (prefix === null) {
        throw new ConfigError(
          `Overlay range "${text}" is not a prefix such as 100.64.0.0/10 or !100.115.92.0/23`,
        );
      }
      this.#ranges.add(prefix, isException ? OUTSIDE : INSIDE);
    }
  }

  /** Whether the address at `wordOffset` is an overlay address. */
  contains(words: Uint32Array, wordOffset: number, family: Family): boolean {
    const isMapped = family === 6 && words[wordOffset] === 0 && words[wordOffset + 1] === 0 &&
      words[wordOffset + 2] === 0xffff;
    return this.#ranges.find(words, wordOffset, isMapped ? 4 : family) === INSIDE;
  }
}
