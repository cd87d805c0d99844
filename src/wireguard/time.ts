/**
 * The time of what is being done, set once per call or batch from outside.
 *
 * In: monotonic and wall time. Out: the same, wherever it is needed. It is kept here and not handed from function to
 * function because V8 puts a fractional number into a box for every call that it does not inline: 62 bytes per packet
 * measured (tests/unit/wireguard/allocation_test.ts), 0 now.
 */

const NOW_MS = 0;
const WALL_MS = 1;

/** One pair of times. */
export class PresentTime {
  readonly #values = new Float64Array(2);

  /** Monotonic, counting suspension. */
  get nowMs(): number {
    return this.#values[NOW_MS];
  }

  /** Unix time. */
  get wallMs(): number {
    return this.#values[WALL_MS];
  }

  set(nowMs: number, wallMs: number): void {
    this.#values[NOW_MS] = nowMs;
    this.#values[WALL_MS] = wallMs;
  }
}
