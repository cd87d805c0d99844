/**
 * Where the windows of the flow log begin and end.
 *
 * In: readings of the wall clock, in Unix milliseconds. Out: how long a window still lasts, and its labels. Windows end
 * on the UTC grid of the period; the first and the last are short. Guarantees, whatever the wall clock does: every
 * window is at least 1 ms long, none begins before the one before it ended, and none is planned for longer than a
 * period. Not here: timers.
 */

/** Labels of one window; it holds what was counted behind `startMs` and up to `endMs`. */
export interface WindowLabels {
  readonly startMs: number;
  readonly endMs: number;
}

/** See file header. */
export class WindowGrid {
  readonly #periodMs: number;
  #lastEndMs = 0;
  /** Valid iff #isOpen. */
  #startMs = 0;
  #endMs = 0;
  #isOpen = false;

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  /** Nothing was counted before `wallMs`. */
  begin(wallMs: number): void {
    this.#lastEndMs = Math.floor(wallMs);
  }

  /**
   * Opens the window that `wallMs` lies in; idle ones before it are left out.
   * @returns Milliseconds until it ends: an integer, 1 .. period.
   */
  open(wallMs: number): number {
    this.#startMs = Math.max(this.#lastEndMs, this.#gridBefore(wallMs));
    // Behind the start and not behind the reading: that may be earlier, because the clock was set back.
    this.#endMs = this.#gridBefore(this.#startMs) + this.#periodMs;
    this.#isOpen = true;
    // Rounded up: setTimeout would cut the fraction off, and the timer find itself in front of the grid.
    const leftMs = Math.ceil(this.#endMs - wallMs);
    return Math.min(Math.max(leftMs, 1), this.#periodMs);
  }

  /** Closes the window whose time is over, at the last grid point passed: a timer may be late by several. */
  close(wallMs: number): WindowLabels {
    return this.#close(Math.max(this.#endMs, this.#gridBefore(wallMs)));
  }

  /** Closes the last window before its time. */
  closeLast(wallMs: number): WindowLabels {
    if (!this.#isOpen) this.open(wallMs);
    return this.#close(Math.max(this.#startMs + 1, Math.floor(wallMs)));
  }

  #close(endMs: number): WindowLabels {
    this.#isOpen = false;
    this.#lastEndMs = endMs;
    return { startMs: this.#startMs, endMs };
  }

  #gridBefore(wallMs: number): number {
    return Math.floor(wallMs / this.#periodMs) * this.#periodMs;
  }
}
