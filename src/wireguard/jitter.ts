/**
 * Random additions to timers.
 *
 * In: a seed. Out: numbers that two nodes do not share. They hide nothing: xorshift32 (Marsaglia 2003) will do, and
 * costs a packet no call into the operating system.
 */

/** A stream of pseudo-random times. */
export class Jitter {
  /** In an array, for a class field above 2^31 is boxed on each write. */
  readonly #state = new Uint32Array(1);

  /** @param seed Any u32. */
  constructor(seed: number) {
    // Zero is the one state that never changes.
    this.#state[0] = seed === 0 ? 1 : seed;
  }

  /** A time from 0 to below `maxMs`, or 0. */
  nextMs(maxMs: number): number {
    let state = this.#state[0];
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state[0] = state;
    return (state >>> 0) / 2 ** 32 * maxMs;
  }
}
