/**
 * Async code under virtual time: promises settle, time moves to the next task, promises settle again.
 * In: a MemoryClock. Out: the same course of events in every run, without waiting for real time.
 */
import { setImmediate } from "node:timers";
import type { MemoryClock } from "../../src/platform/memory_clock.ts";

/** Waits until every promise has settled that needs nothing but other promises. */
export function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/** Moves time on by `byMs`, letting promises settle at every task on the way. */
export async function advance(clock: MemoryClock, byMs: number): Promise<void> {
  const untilMs = clock.nowMs() + byMs;
  await settle();
  while (clock.nextDueMs <= untilMs) {
    clock.advance(clock.nextDueMs - clock.nowMs());
    await settle();
  }
  clock.advance(untilMs - clock.nowMs());
}

/**
 * Moves time on from task to task until none is left.
 * @param limitMs Time after which something is taken to go on for ever.
 * @throws {Error} If tasks are left then.
 */
export async function runUntilIdle(clock: MemoryClock, limitMs: number = 3_600_000): Promise<void> {
  const untilMs = clock.nowMs() + limitMs;
  await settle();
  while (clock.nextDueMs <= untilMs) {
    clock.advance(clock.nextDueMs - clock.nowMs());
    await settle();
  }
  if (clock.nextDueMs < Infinity) {
    throw new Error(`Cannot become idle: the next task is due at ${clock.nextDueMs} ms`);
  }
}
