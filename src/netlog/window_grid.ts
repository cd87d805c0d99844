/**
 * Where the windows of the flow log begin and end.
 *
 * In: readings of both clocks. Out: how long a window still lasts, and its labels. Windows end on the UTC grid of the
 * period; the first and the last are short, and idle ones are left out. Guarantees, whatever the wall clock does: labels
 * are contiguous, `next.start = previous.end + 1 ns` unless windows between were idle; start < end; none begins before the
 * one before it ended. Length is the monotonic clock's. Not here: timers.
 *
 * When the wall clock is set forward, the window under way ends at the last grid point passed, and its length says how long
 * it really was; likewise when the machine slept. When it is set back by less than a period, one window is longer. When it is set
 * back by more, labels stand still, each window taking 1 ms of them, until the wall clock has caught up: nothing else keeps
 * both their order and the time of what comes later.
 */
import { nsOfWallMs } from "../time_text.ts";

/** Both clocks at one moment. */
export interface ClockReading {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** Labels of one window; it holds what was counted from `startNs` to `endNs`, both included. */
export interface WindowLabels {
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** When it began by the monotonic clock, and how long it was, in ms. */
  readonly startNowMs: number;
  readonly lengthMs: number;
}

/** Periods that a window may last so that its labels end on the grid again after the clock was set back a little. */
const PERIODS_MAX = 2;

/** See file header. Inside, labels are Unix milliseconds. */
export class WindowGrid {
  readonly #periodMs: number;
  #lastEndMs = 0;
  #lastEndNowMs = 0;
  /** Valid iff #isOpen. */
  #startMs = 0;
  #startNowMs = 0;
  #endMs = 0;
  #isOpen = false;

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  /** Nothing was counted before now, or since the last window was closed. Labels never go back behind that one's. */
  begin({ nowMs, wallMs }: ClockReading): void {
    this.#lastEndMs = Math.max(this.#lastEndMs, Math.floor(wallMs));
    this.#lastEndNowMs = nowMs;
    this.#isOpen = false;
  }

  /**
   * Opens the window that now lies in; idle ones before it are left out.
   * @returns Milliseconds until it ends: an integer, 1 .. PERIODS_MAX periods.
   */
  open({ nowMs, wallMs }: ClockReading): number {
    this.#isOpen = true;
    this.#startMs = Math.max(this.#lastEndMs, this.#gridBefore(wallMs));
    // Idle time before the window is none of its length.
    const ageMs = Math.max(0, wallMs - this.#startMs);
    this.#startNowMs = this.#startMs === this.#lastEndMs
      ? this.#lastEndNowMs
      : Math.max(this.#lastEndNowMs, nowMs - ageMs);
    this.#endMs = this.#gridBefore(this.#startMs) + this.#periodMs;
    // Rounded up: a timer that cuts the fraction off would find itself in front of the grid.
    const leftMs = Math.max(1, Math.ceil(this.#endMs - wallMs));
    if (leftMs <= PERIODS_MAX * this.#periodMs) return leftMs;
    this.#endMs = this.#startMs + 1;
    return this.#periodMs;
  }

  /** Closes the window whose time is over, at the last grid point passed: a timer may be late by several. */
  close(now: ClockReading): WindowLabels {
    return this.#close(Math.max(this.#endMs, this.#gridBefore(now.wallMs)), now);
  }

  /** Closes the last window before its time. */
  closeLast(now: ClockReading): WindowLabels {
    if (!this.#isOpen) this.open(now);
    return this.#close(Math.max(this.#startMs + 1, Math.floor(now.wallMs)), now);
  }

  #close(endMs: number, { nowMs }: ClockReading): WindowLabels {
    this.#isOpen = false;
    this.#lastEndMs = endMs;
    this.#lastEndNowMs = nowMs;
    return {
      startNs: nsOfWallMs(this.#startMs) + 1n,
      endNs: nsOfWallMs(endMs),
      startNowMs: this.#startNowMs,
      lengthMs: nowMs - this.#startNowMs,
    };
  }

  #gridBefore(wallMs: number): number {
    return Math.floor(wallMs / this.#periodMs) * this.#periodMs;
  }
}
