/**
 * Waiting for conditions with a deadline, so that system tests neither sleep for luck nor hang.
 *
 * In: a condition or a promise and a limit in milliseconds. Out: the value, or an error that says what was waited for.
 */

/** Handed to the body of withDeadline. */
export interface Deadline {
  /** Runs `cleanup` if the time runs out. */
  onExpiry(cleanup: () => void): void;
}

/**
 * Runs `body` with a limit.
 * @param problem Text of the error, made when the time is over.
 * @throws {Error} If `timeoutMs` pass before `body` is done.
 */
export async function withDeadline<T>(
  timeoutMs: number,
  problem: () => string,
  body: (deadline: Deadline) => Promise<T>,
): Promise<T> {
  const cleanups: (() => void)[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      for (const cleanup of cleanups) cleanup();
      reject(new Error(`After ${timeoutMs} ms: ${problem()}`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([body({ onExpiry: (cleanup) => cleanups.push(cleanup) }), expiry]);
  } finally {
    clearTimeout(timer);
  }
}

/** Lets `milliseconds` pass. Only for pacing a loop or for a span that is itself the thing under test. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Asks `condition` again and again until it gives something other than false, null or undefined.
 * @param what Says what is waited for, for the error.
 * @throws {Error} If `timeoutMs` pass first; what `condition` last threw, if anything, is the cause.
 */
export async function waitUntil<T>(
  what: string,
  condition: () => T | Promise<T>,
  { timeoutMs = 15_000, intervalMs = 50 }: { timeoutMs?: number; intervalMs?: number } = {},
): Promise<Exclude<T, false | null | undefined>> {
  const endMs = performance.now() + timeoutMs;
  let failure: unknown;
  for (;;) {
    failure = undefined;
    try {
      const value = await condition();
      if (value !== false && value !== null && value !== undefined) {
        return value as Exclude<T, false | null | undefined>;
      }
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= endMs) {
      throw new Error(`After ${timeoutMs} ms still not so: ${what}`, { cause: failure });
    }
    await pause(intervalMs);
  }
}
