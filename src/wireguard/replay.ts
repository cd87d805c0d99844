/**
 * Replay window of one session: which counters have been received (whitepaper §5.4.6, RFC 6479's ring of bits).
 *
 * In: counters of messages, integers 0 .. 2^53 - 1. Out: whether one is new. A counter is marked only after its
 * message has proved authentic, else a forger could push the window past everything that is under way.
 */

/** Counters that the window spans: the newest and the 8191 below it, as in Linux and wireguard-go. */
export const REPLAY_WINDOW_BITS = 8192;

const BIT_MASK = REPLAY_WINDOW_BITS - 1;
const WORD_BITS = 32;

/** Remembers received counters exactly within the window; whatever lies below it counts as received. */
export class ReplayWindow {
  /** One bit per counter modulo REPLAY_WINDOW_BITS. */
  readonly #bits: Int32Array;
  /** The largest counter received, -1 = none. In an array, for a class field would box it. */
  readonly #largest: Float64Array;

  /** Makes an empty window in memory of its own; or one in memory that others may use too, left as it is. */
  constructor(
    bits: Int32Array = new Int32Array(REPLAY_WINDOW_BITS / WORD_BITS),
    largest: Float64Array = new Float64Array(1).fill(-1),
  ) {
    this.#bits = bits;
    this.#largest = largest;
  }

  /** Forgets all counters. */
  reset(): void {
    this.#bits.fill(0);
    this.#largest[0] = -1;
  }

  /** Tells whether `counter` is neither received nor too old to tell. */
  isNew(counter: number): boolean {
    const largest = this.#largest[0];
    if (counter > largest) return true;
    if (counter <= largest - REPLAY_WINDOW_BITS) return false;
    const bit = counter & BIT_MASK;
    return (this.#bits[bit >>> 5] & (1 << (bit & 31))) === 0;
  }

  /** Remembers `counter`, if it is new. @returns Whether it was. */
  accept(counter: number): boolean {
    if (!this.isNew(counter)) return false;
    this.mark(counter);
    return true;
  }

  /** Remembers `counter`, for which isNew was true. */
  mark(counter: number): void {
    const ahead = counter - this.#largest[0];
    if (ahead > 0) {
      if (ahead >= REPLAY_WINDOW_BITS) this.#bits.fill(0);
      else if (ahead > 1) this.#clear(counter - ahead + 1, ahead - 1);
      this.#largest[0] = counter;
    }
    const bit = counter & BIT_MASK;
    const word = bit >>> 5;
    this.#bits[word] |= 1 << (bit & 31);
  }

  /** Takes the marks off `count` counters from `first` on: they were those of the round before. */
  #clear(first: number, count: number): void {
    let bit = first & BIT_MASK;
    for (let left = count; left > 0;) {
      const inWord = bit & 31;
      const taken = Math.min(WORD_BITS - inWord, left);
      const mask = taken === WORD_BITS ? -1 : ((1 << taken) - 1) << inWord;
      this.#bits[bit >>> 5] &= ~mask;
      bit = (bit + taken) & BIT_MASK;
      left -= taken;
    }
  }
}
