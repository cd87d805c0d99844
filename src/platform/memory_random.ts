/**
 * Random numbers that repeat: same seed, same run. For simulations and tests; never for keys.
 * In: a seed. Out: integers, fractions, bytes.
 */

/** Generator sfc32 (Chris Doty-Humphrey, PractRand), 128 bits of state. */
export class SeededRandom {
  #a: number;
  #b: number;
  #c = 0x9e3779b9 | 0;
  #counter = 1;

  /** @param seed Any integer; 53 bits of it count. */
  constructor(readonly seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    // The first outputs still show the seed.
    for (let round = 0; round < 15; round++) this.word();
  }

  /** Next integer, 0 .. 2^32 - 1. */
  word(): number {
    const result = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + result | 0;
    return result >>> 0;
  }

  /** Fraction, 0 <= x < 1, in steps of 2^-32. */
  fraction(): number {
    return this.word() / 2 ** 32;
  }

  /** Integer, 0 .. limit - 1; even to 2^-20 for limits below 4,096. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  /** Whether an event of probability `rate` happens. */
  happens(rate: number): boolean {
    return this.fraction() < rate;
  }

  /** Fills `output`. */
  fill(output: Uint8Array): void {
    for (let index = 0; index < output.length; index++) output[index] = this.word() >>> 24;
  }
}
