/** The replay window as its definition says it: a set of what was received, and the largest of it. */
export class ReplayTwin {
  readonly #seen = new Set<number>();
  #largest = -1;

  constructor(readonly windowBits: number) {}

  isNew(counter: number): boolean {
    return counter > this.#largest - this.windowBits && !this.#seen.has(counter);
  }

  mark(counter: number): void {
    this.#seen.add(counter);
    this.#largest = Math.max(this.#largest, counter);
  }
}
