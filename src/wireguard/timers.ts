/**
 * The five timers of one peer (whitepaper §6).
 *
 * In: when each is to run. Out: which are due. Data moves them with every packet, so a change is one write: the
 * peer stands in the heap with a time that is never later than its next timer. If it comes too early, because timers
 * moved on or were called off meanwhile, the peer is put back where it belongs. Under traffic that is one idle look
 * per peer and keepalive timeout; without traffic it ends after one.
 */
import type { DeadlineHeap } from "./deadline_heap.ts";
import type { PresentTime } from "./time.ts";

/** Index of each timer, in the order in which those due at once run. */
export const TIMER = {
  /** Erase all sessions: the last one was derived long ago (§6.3). */
  ERASE: 0,
  /** Repeat the initiation, or give up (§6.4). */
  RETRANSMIT: 1,
  /** Nothing came back for data that we sent: the session may be gone (§6.5). */
  NO_ANSWER: 2,
  /** Nothing was sent since data came in: say that we are there (§6.5). */
  KEEPALIVE: 3,
  /** Nothing was sent or received for as long as the configuration allows. */
  PERSISTENT: 4,
} as const;

/** Number of timers. */
export const TIMER_COUNT = 5;

/** Index behind the timers: the time under which the peer stands in the heap. */
const WAKE = TIMER_COUNT;

/** Deadlines of one peer. Infinity = not running. */
export class PeerTimers {
  readonly #slot: number;
  readonly #heap: DeadlineHeap;
  readonly #time: PresentTime;
  readonly #dueMs = new Float64Array(TIMER_COUNT + 1).fill(Infinity);

  constructor(slot: number, heap: DeadlineHeap, time: PresentTime) {
    this.#slot = slot;
    this.#heap = heap;
    this.#time = time;
  }

  /** Has a timer run in `delayMs`, whether or not it was running. */
  start(timer: number, delayMs: number): void {
    const dueMs = this.#time.nowMs + delayMs;
    this.#dueMs[timer] = dueMs;
    if (dueMs < this.#dueMs[WAKE]) {
      this.#dueMs[WAKE] = dueMs;
      this.#heap.set(this.#slot, dueMs);
    }
  }

  stop(timer: number): void {
    this.#dueMs[timer] = Infinity;
  }

  isRunning(timer: number): boolean {
    return this.#dueMs[timer] !== Infinity;
  }

  /** Stops a timer that is due. @returns Whether it was. */
  take(timer: number): boolean {
    if (this.#dueMs[timer] > this.#time.nowMs) return false;
    this.#dueMs[timer] = Infinity;
    return true;
  }

  /** Puts the peer in the heap where its timers want it. Called once its time there has come. */
  reschedule(): void {
    let earliestMs = Infinity;
    for (let timer = 0; timer < TIMER_COUNT; timer++) {
      earliestMs = Math.min(earliestMs, this.#dueMs[timer]);
    }
    this.#dueMs[WAKE] = earliestMs;
    this.#heap.set(this.#slot, earliestMs);
  }

  /** Stops all timers and leaves the heap. */
  stopAll(): void {
    this.#dueMs.fill(Infinity);
    this.#heap.set(this.#slot, Infinity);
  }
}
