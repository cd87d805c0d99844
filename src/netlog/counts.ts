/**
 * Counters that stay exact beyond 2^53.
 *
 * In: packets and bytes as integers, each at most 2^53 - 1 where it is a number. Out: sums as Count. A number adds in a
 * nanosecond and a bigint in fifty, so sums are numbers until they would lose a bit.
 */

/** Non-negative integer up to 2^64 - 1: a number where it is a safe integer, else a bigint. */
export type Count = number | bigint;

/** Largest counter that a message carries: the original's are unsigned 64-bit. */
export const COUNT_MAX = 2n ** 64n - 1n;

/** Packets and bytes of both directions: tx was sent into the tunnel, rx came out of it. */
export interface Counts {
  readonly txPackets: Count;
  readonly txBytes: Count;
  readonly rxPackets: Count;
  readonly rxBytes: Count;
}

/** Nothing counted. */
export const NO_COUNTS: Counts = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };

/** Below this, one more safe integer never makes a float sum that is rounded before it is noticed. */
const NEAR_MAX = 2 ** 52;

/** Gives an integer the form that Count wants. */
export function toCount(value: bigint): Count {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/** Sum of Counts. */
export class CountsSum implements Counts {
  readonly #near = new Float64Array(4);
  /** What #near had no room for; null = nothing yet, as is usual. */
  #far: bigint[] | null = null;

  get txPackets(): Count {
    return this.#count(0);
  }

  get txBytes(): Count {
    return this.#count(1);
  }

  get rxPackets(): Count {
    return this.#count(2);
  }

  get rxBytes(): Count {
    return this.#count(3);
  }

  /** Whether nothing was added. */
  get isZero(): boolean {
    const near = this.#near;
    return this.#far === null && near[0] + near[1] + near[2] + near[3] === 0;
  }

  /** Adds four safe integers. */
  add(txPackets: number, txBytes: number, rxPackets: number, rxBytes: number): void {
    const near = this.#near;
    const sum0 = near[0] + txPackets;
    const sum1 = near[1] + txBytes;
    const sum2 = near[2] + rxPackets;
    const sum3 = near[3] + rxBytes;
    if (sum0 > NEAR_MAX || sum1 > NEAR_MAX || sum2 > NEAR_MAX || sum3 > NEAR_MAX) {
      const far = this.#moveFar();
      far[0] += BigInt(txPackets);
      far[1] += BigInt(txBytes);
      far[2] += BigInt(rxPackets);
      far[3] += BigInt(rxBytes);
      return;
    }
    near[0] = sum0;
    near[1] = sum1;
    near[2] = sum2;
    near[3] = sum3;
  }

  /** Adds another's counts, whatever their form. */
  addCounts(counts: Counts): void {
    const { txPackets, txBytes, rxPackets, rxBytes } = counts;
    if (
      typeof txPackets === "number" && typeof txBytes === "number" &&
      typeof rxPackets === "number" && typeof rxBytes === "number"
    ) {
      this.add(txPackets, txBytes, rxPackets, rxBytes);
      return;
    }
    const far = this.#moveFar();
    far[0] += BigInt(txPackets);
    far[1] += BigInt(txBytes);
    far[2] += BigInt(rxPackets);
    far[3] += BigInt(rxBytes);
  }

  /** Forgets all. */
  clear(): void {
    this.#near.fill(0);
    this.#far = null;
  }

  /** The sums as they are now. */
  value(): Counts {
    const { txPackets, txBytes, rxPackets, rxBytes } = this;
    return { txPackets, txBytes, rxPackets, rxBytes };
  }

  #moveFar(): bigint[] {
    const near = this.#near;
    this.#far ??= [0n, 0n, 0n, 0n];
    for (let at = 0; at < 4; at++) this.#far[at] += BigInt(near[at]);
    near.fill(0);
    return this.#far;
  }

  #count(at: number): Count {
    const near = this.#near[at];
    return this.#far === null ? near : toCount(this.#far[at] + BigInt(near));
  }
}
