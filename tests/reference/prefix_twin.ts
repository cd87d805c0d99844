/** Prefixes as their definition says it: a list, searched from one end to the other, over addresses as numbers. */
import { addressBits, type Family, type Prefix } from "../../src/packet/mod.ts";

/** Address as a number of its family's own length. */
export function addressNumber(family: Family, words: Uint32Array): bigint {
  if (family === 4) return BigInt(words[3]);
  return words.reduce((number, word) => number << 32n | BigInt(word), 0n);
}

/** Words of such a number. */
export function addressWordsOf(family: Family, number: bigint): Uint32Array {
  const whole = family === 4 ? 0xffff00000000n | number : number;
  return Uint32Array.from([96n, 64n, 32n, 0n], (shift) => Number(whole >> shift & 0xffffffffn));
}

/** Whether a prefix holds an address. */
export function holds(prefix: Prefix, family: Family, address: bigint): boolean {
  const hostBits = BigInt(addressBits(prefix.family) - prefix.prefixBits);
  const base = addressNumber(prefix.family, prefix.addressWords);
  return prefix.family === family && address >> hostBits === base >> hostBits;
}

/** Index of the longest prefix around the address, the first of equal ones; -1 = none. */
export function longest(prefixes: readonly Prefix[], family: Family, address: bigint): number {
  let best = -1;
  for (const [index, prefix] of prefixes.entries()) {
    if (!holds(prefix, family, address)) continue;
    if (best < 0 || prefix.prefixBits > prefixes[best].prefixBits) best = index;
  }
  return best;
}
