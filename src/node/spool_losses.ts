/**
 * What a spool lost: ranges not yet declared, the gap record under way, and totals by cause.
 *
 * In: ranges. Out: one gap record at a time, frozen when it is first offered, and the same until it is delivered, for a
 * reader that has it twice must see that it is one.
 */
import {
  addLost,
  addSums,
  GAP_CAUSES,
  type GapCause,
  type LostRange,
  NO_SUMS,
} from "../logtail/mod.ts";
import type { ClassSums } from "../counters.ts";
import type { FrozenGap } from "./spool_state.ts";

/** What was lost for one cause since the spool was opened. */
export interface SpoolLoss {
  /** At least; of some losses nobody knows how many they were. */
  readonly entries: number;
  /** What is known of their traffic. */
  readonly sums: ClassSums;
  /** Whether all of it is known. */
  readonly complete: boolean;
}

/** See file header. */
export class SpoolLosses {
  #pending: readonly LostRange[] = [];
  #frozen: FrozenGap | null = null;
  #heldUntilMs = -Infinity;
  readonly #totals = Object.fromEntries(
    GAP_CAUSES.map((cause) => [cause, { entries: 0, sums: NO_SUMS, complete: true }]),
  ) as Record<GapCause, SpoolLoss>;

  /** Losses that are in no gap record yet. */
  get pending(): readonly LostRange[] {
    return this.#pending;
  }

  /** Gap record that is under way. */
  get frozen(): FrozenGap | null {
    return this.#frozen;
  }

  /** Gap records that wait. */
  get records(): number {
    return (this.#frozen === null ? 0 : 1) + (this.#pending.length === 0 ? 0 : 1);
  }

  /** By cause; a copy. */
  totals(): Record<GapCause, SpoolLoss> {
    return { ...this.#totals };
  }

  /** Adds a loss. */
  add(range: LostRange): void {
    this.#pending = addLost(this.#pending, range);
    const { entries, sums, complete } = this.#totals[range.cause];
    this.#totals[range.cause] = {
      entries: entries + range.entries,
      sums: range.sums === null ? sums : addSums(sums, range.sums),
      complete: complete && range.sums !== null,
    };
  }

  /** Takes over what a former process left; only while no gap record is under way. */
  takeOver(lost: readonly LostRange[], frozen: FrozenGap | null): void {
    const own = this.#pending;
    this.#pending = [];
    for (const range of lost) this.add(range);
    for (const range of own) this.#pending = addLost(this.#pending, range);
    this.#frozen = frozen;
  }

  /** Makes a gap record of all that is pending. */
  freeze(make: (lost: readonly LostRange[]) => FrozenGap): void {
    this.#frozen = make(this.#pending);
    this.#pending = [];
  }

  /** Forgets the gap record that is under way: it is delivered. */
  settle(): void {
    this.#frozen = null;
    this.#heldUntilMs = -Infinity;
  }

  /** Holds the gap record back. @param untilMs Monotonic. */
  hold(untilMs: number): void {
    this.#heldUntilMs = untilMs;
  }

  /** Whether a gap record is held back. */
  isHeld(nowMs: number): boolean {
    return this.#frozen !== null && nowMs < this.#heldUntilMs;
  }
}
