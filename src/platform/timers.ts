/** The event loop's timers as a port. In: delays of any length. Out: calls, never early. */
import type { TimerPort } from "../ports.ts";

/** Longest delay of setTimeout; a longer one would run at once. */
const DELAY_MS_MAX = 2 ** 31 - 1;

/** Makes the timers of this thread's event loop. */
export function openTimers(): TimerPort {
  return { schedule };
}

function schedule(delayMs: number, run: () => void): () => void {
  const stepMs = Math.min(delayMs, DELAY_MS_MAX);
  // Rounded up below: a fraction that setTimeout cuts off would run it early.
  let cancel = (): void => clearTimeout(timer);
  const timer = setTimeout(() => {
    if (delayMs > stepMs) cancel = schedule(delayMs - stepMs, run);
    else run();
  }, Math.ceil(stepMs));
  return () => cancel();
}
