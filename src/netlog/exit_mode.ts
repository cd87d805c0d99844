/**
 * Exit modes: how much of an exit row's addresses leaves the node. They hold for unknown rows too.
 *
 * In: an address's number. Out: the number of what stands for it in the log. What is kept, from least to most:
 *
 *   zero    nothing: one row of sums (the original's)
 *   node    addresses of known nodes; no protocol, no ports (the newer original's)
 *   prefix  as node, and of other addresses the /24 or /48
 *   keyed   all but other addresses, in whose place stand pseudonyms that keep common prefixes (but for the few that
 *           would be a node's address, exit_addresses.ts)
 *   full    everything
 *
 * Rows that become equal are merged (message.ts). Physical rows are written as they are.
 */
import { addressBits, type Family } from "../packet/mod.ts";
import { EXIT_PRF_CACHE_MAX } from "../limits.ts";

/** Names of the modes. */
export const EXIT_MODES = ["zero", "node", "prefix", "keyed", "full"] as const;

/** Name of a mode. */
export type ExitMode = (typeof EXIT_MODES)[number];

/**
 * Pseudo-random function under a key that never leaves the node, e.g. BLAKE2s keyed with 32 random bytes.
 * @param input PRF_INPUT_BYTES bytes; read, not kept.
 * @returns 32 bytes, the same for the same input.
 */
export type KeyedPrf = (input: Uint8Array) => Uint8Array;

/** How exit rows are written. */
export type ExitPolicy =
  | { readonly mode: Exclude<ExitMode, "keyed"> }
  | { readonly mode: "keyed"; readonly prf: KeyedPrf };

/** What an exit row keeps besides addresses. */
export function keepsPorts(mode: ExitMode): boolean {
  return mode === "keyed" || mode === "full";
}

/** Zeroes what mode `prefix` does not keep: all behind the /24 or /48. @param words One address; changed in place. */
export function truncateAddress(words: Uint32Array, family: Family): void {
  if (family === 4) {
    words[3] &= 0xffffff00;
    return;
  }
  words[1] &= 0xffff0000;
  words.fill(0, 2, 4);
}

/** Bytes of a PRF input: family, number of bytes that count, and those bytes, zeroes behind them. */
export const PRF_INPUT_BYTES = 18;

/**
 * Pseudonyms of addresses that keep prefixes: two addresses that share exactly n leading bits have pseudonyms that share
 * exactly n (Xu, Fan, Ammar, Moon: "Prefix-preserving IP address anonymization", 2002). Each bit is flipped or not by a
 * function of the bits before it. There, every bit costs one call of a cipher; here, one call yields the 255 flips of
 * the whole binary tree below a byte boundary, so that an IPv4 address costs four calls and an IPv6 address sixteen.
 */
export class Pseudonyms {
  readonly #prf: KeyedPrf;
  readonly #input = new Uint8Array(PRF_INPUT_BYTES);
  /** Flips below byte boundaries met lately. */
  readonly #flips = new Map<string, Uint8Array>();

  constructor(prf: KeyedPrf) {
    this.#prf = prf;
  }

  /** Replaces an address by its pseudonym. @param words One address; changed in place. */
  replace(words: Uint32Array, family: Family): void {
    const firstByte = 16 - addressBits(family) / 8;
    let prefix: string = `${family}`;
    this.#input.fill(0);
    this.#input[0] = family;
    for (let byte = firstByte; byte < 16; byte++) {
      const shift = 24 - (byte & 3) * 8;
      const value = (words[byte >>> 2] >>> shift) & 0xff;
      const replaced = flipByte(value, this.#flipsBelow(prefix, byte - firstByte));
      words[byte >>> 2] = (words[byte >>> 2] & ~(0xff << shift)) | (replaced << shift);
      this.#input[2 + byte - firstByte] = value;
      prefix += String.fromCharCode(value);
    }
  }

  /** @param prefix Says the same as the first `bytes` bytes in #input. */
  #flipsBelow(prefix: string, bytes: number): Uint8Array {
    const known = this.#flips.get(prefix);
    if (known !== undefined) return known;
    this.#input[1] = bytes;
    const flips = this.#prf(this.#input).slice(0, 32);
    if (this.#flips.size >= EXIT_PRF_CACHE_MAX) this.#flips.clear();
    this.#flips.set(prefix, flips);
    return flips;
  }
}

/** Walks the tree of flips down along `value`: node 1 is its root, node n has the children 2n and 2n + 1. */
function flipByte(value: number, flips: Uint8Array): number {
  let node = 1;
  let replaced = 0;
  for (let bit = 7; bit >= 0; bit--) {
    const original = (value >>> bit) & 1;
    const flip = (flips[node >>> 3] >>> (node & 7)) & 1;
    replaced = (replaced << 1) | (original ^ flip);
    node = (node << 1) | original;
  }
  return replaced;
}
