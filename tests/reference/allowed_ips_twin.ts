/** AllowedIPs as their definition says it: a list of prefixes, searched from one end to the other. */
import type { AllowedIp } from "../../src/wireguard/mod.ts";

interface Owned {
  readonly family: 4 | 6;
  /** Address as a number of 32 or 128 bits, masked. */
  readonly base: bigint;
  readonly prefixBits: number;
  readonly owner: number;
}

/** Address of an entry or of ENDPOINT words as a number of the family's own length. */
export function addressNumber(family: 4 | 6, words: Uint32Array): bigint {
  if (family === 4) return BigInt(words[3]);
  return words.reduce((number, word) => number << 32n | BigInt(word), 0n);
}

function masked(family: 4 | 6, address: bigint, prefixBits: number): bigint {
  const hostBits = BigInt((family === 4 ? 32 : 128) - prefixBits);
  return address >> hostBits << hostBits;
}

/** The slow table. */
export class AllowedIpsTwin {
  entries: Owned[] = [];

  find(family: 4 | 6, address: bigint): number {
    let best: Owned | null = null;
    for (const entry of this.entries) {
      const isMatch = entry.family === family &&
        masked(family, address, entry.prefixBits) === entry.base;
      if (isMatch && (best === null || entry.prefixBits > best.prefixBits)) best = entry;
    }
    return best === null ? -1 : best.owner;
  }

  ownerOf(entry: AllowedIp): number {
    return this.entries.find((other) => this.#isSame(other, entry))?.owner ?? -1;
  }

  add(entry: AllowedIp, owner: number): void {
    this.entries = this.entries.filter((other) => !this.#isSame(other, entry));
    const { family, prefixBits } = entry;
    const base = masked(family, addressNumber(family, entry.addressWords), prefixBits);
    this.entries.push({ family, base, prefixBits, owner });
  }

  remove(entry: AllowedIp, owner: number): void {
    this.entries = this.entries.filter((other) =>
      other.owner !== owner || !this.#isSame(other, entry)
    );
  }

  removeAll(owner: number): void {
    this.entries = this.entries.filter((other) => other.owner !== owner);
  }

  #isSame(other: Owned, entry: AllowedIp): boolean {
    const { family, prefixBits } = entry;
    return other.family === family && other.prefixBits === prefixBits &&
      other.base === masked(family, addressNumber(family, entry.addressWords), prefixBits);
  }
}
