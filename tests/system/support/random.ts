/** Seeded pseudo-random numbers for tests: the same seed gives the same run. Not for secrets. */

/** Marsaglia's xorshift32 ("Xorshift RNGs", 2003, the 13-17-5 triple). */
export class Random {
  #state: number;

  /** @param seed Any integer; 0 is replaced, because xorshift would stay at 0. */
  constructor(seed: number) {
    this.#state = seed >>> 0 || 0x9e3779b9;
  }

  /** Returns the next 32 bits. */
  next(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state;
  }

  /** Returns an integer 0 .. limit - 1. */
  below(limit: number): number {
    return Math.floor(this.next() / 0x1_0000_0000 * limit);
  }

  /** Returns true in `percent` of 100 cases. */
  chance(percent: number): boolean {
    return this.next() / 0x1_0000_0000 * 100 < percent;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}
