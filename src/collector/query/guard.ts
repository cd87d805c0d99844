/**
 * What a query may cost: rows and time; and how it is called off.
 *
 * In: a clock, limits, a word of shared memory that says which query is to end. Out: an exception where it must end now, a
 * mark where it may answer with less. The guard is asked once per part of rows, not per row.
 */

/** Why a query ended without an answer. */
export class QueryStopped extends Error {
  override readonly name = "QueryStopped";

  constructor(readonly reason: "time" | "cancelled", message: string) {
    super(message);
  }
}

/** See file header. */
export class QueryGuard {
  readonly #nowMs: () => number;
  readonly #startedMs: number;
  readonly #timeMs: number;
  readonly #rowsMax: number;
  readonly #isCancelled: () => boolean;
  #rows = 0;
  #isFull = false;

  /** @param nowMs Monotonic. */
  constructor(
    { nowMs, timeMs, rowsMax, isCancelled = () => false }: {
      nowMs: () => number;
      timeMs: number;
      rowsMax: number;
      isCancelled?: () => boolean;
    },
  ) {
    this.#nowMs = nowMs;
    this.#timeMs = timeMs;
    this.#rowsMax = rowsMax;
    this.#isCancelled = isCancelled;
    this.#startedMs = nowMs();
  }

  /** Rows gone through. */
  get rows(): number {
    return this.#rows;
  }

  /** Whether rows were left out for there were too many. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get elapsedMs(): number {
    return this.#nowMs() - this.#startedMs;
  }

  /** Asks for leave to go through so many rows. @returns false: there were too many. @throws {QueryStopped} */
  take(rows: number): boolean {
    this.check();
    if (this.#rows + rows > this.#rowsMax) {
      this.#isFull = true;
      return false;
    }
    this.#rows += rows;
    return true;
  }

  /** @throws {QueryStopped} If time is up, or nobody waits for the answer any more. */
  check(): void {
    if (this.#isCancelled()) throw new QueryStopped("cancelled", "The query was called off");
    if (this.#nowMs() - this.#startedMs > this.#timeMs) {
      throw new QueryStopped("time", `The query took longer than ${this.#timeMs} ms`);
    }
  }
}

/** Runs `run`; what a guard threw through a store, which wraps whatever passes it, comes out as it was. */
export function unwrapStopped<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
      if (cause instanceof QueryStopped) throw cause;
    }
    throw error;
  }
}
