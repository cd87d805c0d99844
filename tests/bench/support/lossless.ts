/**
 * The highest rate at which (almost) nothing is lost, by bisection.
 *
 * In: bounds, and a function that offers a rate and says what came of it. Out: what was delivered in the best run that
 * lost no more than allowed. Pure but for the function.
 */

/** Part of the datagrams that may be lost in a run that counts as one without loss. */
export const LOSS_MAX = 0.001;

/** What came of one offered rate. */
export interface Offer {
  /** Delivered, bits per second. */
  readonly delivered: number;
  /** Part of what was sent, 0 .. 1. */
  readonly loss: number;
}

/** How a search is done. */
export interface LosslessSearch {
  /** Lowest rate that is offered, above 0. */
  readonly low: number;
  /** Highest. */
  readonly high: number;
  /** Bisections, of the logarithm. */
  readonly steps: number;
}

/**
 * Searches. A rate is offered once more before it counts as too high: one slice of CPU time that others took away
 * is enough to lose datagrams.
 * @returns 0 iff even the lowest rate lost too much.
 */
export async function searchLossless(
  { low, high, steps }: LosslessSearch,
  offer: (bitsPerSecond: number) => Promise<Offer>,
): Promise<number> {
  let best = 0;
  const passes = async (rate: number): Promise<boolean> => {
    for (let attempt = 0; attempt < 2; attempt++) {
      const { delivered, loss } = await offer(rate);
      if (loss > LOSS_MAX) continue;
      best = Math.max(best, delivered);
      return true;
    }
    return false;
  };
  let passed = low;
  let failed = high;
  for (let step = 0; step < steps; step++) {
    const middle = Math.sqrt(passed * failed);
    if (await passes(middle)) passed = middle;
    else failed = middle;
  }
  if (best === 0) await passes(low);
  return best;
}
