/**
 * A clock that stands still until it is told to move, and runs what falls due on the way.
 * In: advance(). Out: ClockPort, and scheduled tasks called in order of their time, then of their scheduling.
 */
import type { ClockPort, TimerPort } from "../ports.ts";

/** 2026-01-01T00:00:00Z: on the grid of any window length in use. */
const WALL_MS_START = 1_767_225_600_000;
/** Tasks run by one advance() before it is taken for a loop that cannot end. */
const TASKS_PER_ADVANCE_MAX = 10_000_000;

/** Cancels a scheduled task; harmless when it has run. */
export type Cancel = () => void;

interface Task {
  readonly dueMs: number;
  readonly run: () => void;
}

/** Virtual time. */
export class MemoryClock implements ClockPort, TimerPort {
  #nowMs: number;
  #wallOffsetMs: number;
  /** Sorted by dueMs; equal ones in order of scheduling. */
  readonly #tasks: Task[] = [];

  /** @param start.nowMs Monotonic start, not 0 so that "never" and "at the start" differ. */
  constructor(start: { nowMs?: number; wallMs?: number } = {}) {
    this.#nowMs = start.nowMs ?? 1_000;
    this.#wallOffsetMs = (start.wallMs ?? WALL_MS_START) - this.#nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + this.#wallOffsetMs;
  }

  /** Steps the wall clock alone, forwards or backwards. */
  stepWall(stepMs: number): void {
    this.#wallOffsetMs += stepMs;
  }

  /** Time of the next task, or Infinity; those that were cancelled do not count. */
  get nextDueMs(): number {
    while (this.#tasks.length > 0 && this.#tasks[0].run === null) this.#tasks.shift();
    return this.#tasks.length === 0 ? Infinity : this.#tasks[0].dueMs;
  }

  /** Has `run` called by the advance() that reaches `delayMs` from now, with the clock at that time. */
  schedule(delayMs: number, run: () => void): Cancel {
    const task: Task = { dueMs: this.#nowMs + Math.max(0, delayMs), run };
    let low = 0;
    let high = this.#tasks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#tasks[middle].dueMs <= task.dueMs) low = middle + 1;
      else high = middle;
    }
    this.#tasks.splice(low, 0, task);
    return () => {
      const index = this.#tasks.indexOf(task);
      if (index >= 0) this.#tasks.splice(index, 1);
    };
  }

  /**
   * Moves time on and runs all that falls due, tasks scheduled meanwhile included.
   * @throws {RangeError} If time would go backwards.
   */
  advance(byMs: number): void {
    if (!(byMs >= 0)) throw new RangeError(`Cannot advance time by ${byMs} ms`);
    const untilMs = this.#nowMs + byMs;
    for (let count = 0; this.nextDueMs <= untilMs; count++) {
      if (count === TASKS_PER_ADVANCE_MAX) {
        throw new Error(`Cannot reach ${untilMs} ms: tasks loop`);
      }
      const task = this.#tasks.shift()!;
      this.#nowMs = task.dueMs;
      task.run();
    }
    this.#nowMs = untilMs;
  }
}
