/** Pseudonyms that keep prefixes as their definition says it: each bit is flipped by a function of those before it. */
import { addressBits, type Family } from "../../src/packet/mod.ts";
import type { KeyedPrf } from "../../src/netlog/mod.ts";

/**
 * The pseudonym of an address given as a number. Bit `index` is flipped by one bit of the function's answer for the whole
 * bytes before it, which is found by the bits between them and it.
 */
export function pseudonymTwin(prf: KeyedPrf, family: Family, address: bigint): bigint {
  const bits = addressBits(family);
  let pseudonym = 0n;
  for (let index = 0; index < bits; index++) {
    const bytesBefore = index >>> 3;
    const input = new Uint8Array(18);
    input[0] = family;
    input[1] = bytesBefore;
    for (let byte = 0; byte < bytesBefore; byte++) {
      input[2 + byte] = Number(address >> BigInt(bits - 8 - byte * 8) & 0xffn);
    }
    // The bits of this byte before the one at hand, with a 1 in front, so that 0 and 00 are two different paths.
    const inByte = index & 7;
    const before = Number(address >> BigInt(bits - index) & ((1n << BigInt(inByte)) - 1n));
    const node = (1 << inByte) | before;
    const flip = (prf(input)[node >>> 3] >>> (node & 7)) & 1;
    const bit = address >> BigInt(bits - 1 - index) & 1n;
    pseudonym = pseudonym << 1n | (bit ^ BigInt(flip));
  }
  return pseudonym;
}

/** Leading bits that two addresses share. */
export function commonBits(family: Family, a: bigint, b: bigint): number {
  const bits = addressBits(family);
  let common = 0;
  while (common < bits && a >> BigInt(bits - 1 - common) === b >> BigInt(bits - 1 - common)) {
    common++;
  }
  return common;
}
