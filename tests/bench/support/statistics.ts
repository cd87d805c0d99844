/**
 * Numbers about samples. In: samples, one a round. Out: quantiles, and ratios of what was measured in the same round.
 * Pure.
 */

/** Middle and edges of some samples. */
export interface Summary {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/**
 * Value below which `part` of the samples lie, between two samples by their distance.
 * @param part 0 .. 1.
 * @throws {RangeError} If there are no samples.
 */
export function quantile(samples: readonly number[], part: number): number {
  if (samples.length === 0) throw new RangeError("Cannot take a quantile of no samples");
  const sorted = samples.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * part;
  const low = Math.floor(position);
  return sorted[low]! + (sorted[Math.ceil(position)]! - sorted[low]!) * (position - low);
}

/** Median, p10 and p90. */
export function summarize(samples: readonly number[]): Summary {
  return {
    median: quantile(samples, 0.5),
    p10: quantile(samples, 0.1),
    p90: quantile(samples, 0.9),
  };
}

/**
 * Ratios of samples of the same round: what disturbed one round disturbs both.
 * @throws {RangeError} If there are not as many of the one as of the other.
 */
export function pairedRatios(samples: readonly number[], base: readonly number[]): number[] {
  if (samples.length !== base.length) {
    throw new RangeError(`Cannot pair ${samples.length} samples with ${base.length}`);
  }
  return samples.map((value, round) => value / base[round]!);
}

/** What one contender did, by measure; one sample a round. */
export class Samples {
  readonly #values = new Map<string, number[]>();

  /** Adds the next round's sample. */
  add(measure: string, contender: string, value: number): void {
    const key = `${measure}|${contender}`;
    const values = this.#values.get(key);
    if (values === undefined) this.#values.set(key, [value]);
    else values.push(value);
  }

  /** Samples in the order of rounds; none = []. */
  of(measure: string, contender: string): readonly number[] {
    return this.#values.get(`${measure}|${contender}`) ?? [];
  }
}

/** Order of the contenders in a round: turned round every other time, so that none is always behind another. */
export function orderOf<Contender>(contenders: readonly Contender[], round: number): Contender[] {
  return round % 2 === 0 ? [...contenders] : contenders.toReversed();
}
