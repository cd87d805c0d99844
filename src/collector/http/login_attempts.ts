/**
 * Wrong keys, counted by the address that gave them.
 *
 * In: addresses, monotonic time. Out: how long one has to wait. Guarantees: bounded memory; nobody waits for what others
 * did, but who shares an address. It spares the collector a script that hangs on the form. What keeps a key from being found
 * is its length: 256 random bits.
 */
import { LOGIN_ADDRESSES_MAX, LOGIN_FAILURE_MS, LOGIN_FAILURES_MAX } from "../../limits.ts";

interface Failures {
  count: number;
  readonly endMs: number;
}

/** See file header. */
export class LoginAttempts {
  /** The one that began first comes first, and so does the one that ends first. */
  readonly #failures = new Map<string, Failures>();

  /** How long the address must wait; 0 = not at all. */
  waitMs(address: string, nowMs: number): number {
    const found = this.#failures.get(address);
    if (found === undefined) return 0;
    if (nowMs >= found.endMs) {
      this.#failures.delete(address);
      return 0;
    }
    return found.count < LOGIN_FAILURES_MAX ? 0 : found.endMs - nowMs;
  }

  /** Counts a wrong key. */
  fail(address: string, nowMs: number): void {
    const found = this.#failures.get(address);
    if (found !== undefined && nowMs < found.endMs) {
      found.count++;
      return;
    }
    this.#failures.delete(address);
    if (this.#failures.size >= LOGIN_ADDRESSES_MAX) {
      this.#failures.delete(this.#failures.keys().next().value!);
    }
    this.#failures.set(address, { count: 1, endMs: nowMs + LOGIN_FAILURE_MS });
  }

  /** A right key: what was before was a slip. */
  forget(address: string): void {
    this.#failures.delete(address);
  }
}
