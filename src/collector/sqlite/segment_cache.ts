/**
 * What a reader has unpacked of segments, kept for the next time: pages ask for the same stretch of time again and again,
 * and by time entries of several segments take turns.
 *
 * Guarantees: bounded in bytes, those used longest ago go first; a name means one thing for ever, for numbers on disk are
 * never given out twice.
 */
/** See file header. */
export class SegmentCache<T> {
  readonly #bytesMax: number;
  readonly #bytesOf: (value: T) => number;
  readonly #kept = new Map<string, T>();
  #bytes = 0;

  /** @param bytesOf Memory that a value takes; the same each time. */
  constructor(bytesMax: number, bytesOf: (value: T) => number) {
    this.#bytesMax = bytesMax;
    this.#bytesOf = bytesOf;
  }

  /** Returns what `name` means, from memory or by `decode`. */
  get(name: string, decode: () => T): T {
    const known = this.#kept.get(name);
    if (known !== undefined) {
      this.#kept.delete(name);
      this.#kept.set(name, known);
      return known;
    }
    const made = decode();
    this.#kept.set(name, made);
    this.#bytes += this.#bytesOf(made);
    for (const [oldest, value] of this.#kept) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#kept.delete(oldest);
      this.#bytes -= this.#bytesOf(value);
    }
    return made;
  }
}
