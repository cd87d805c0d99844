/**
 * Takes entries from the spool to the collector, one request at a time.
 *
 * In: wake() when something was appended, drain() at the end. Out: entries marked delivered or set aside in the spool; warnings
 * when a kind of problem begins and when all is well again. Guarantees: an entry leaves the spool only when the collector has
 * said that it has it, or refuses it for good; a bad entry stops nothing behind it; nothing rejects; drain() ends in time.
 * Not here: what follows from an answer (logtail/retry.ts), the request (upload.ts), the entries (spool.ts).
 */
import { messageOf } from "../errors.ts";
import {
  backOffMs,
  BATCH_BYTES_MAX,
  BATCH_ENTRIES_MAX,
  decideUpload,
  frameBatch,
  isTransient,
  type UploadDecision,
} from "../logtail/mod.ts";
import type { ClockPort, TimerPort } from "../ports.ts";
import type { Spool, SpoolBatch } from "./spool.ts";
import type { Uploader, UploadResult } from "./upload.ts";

/** Entries that follow soon travel in the same request (SPEC 2.7). */
export const FLUSH_DELAY_MS = 2_000;

/** What a delivery is made of. */
export interface DeliveryOptions {
  readonly spool: Pick<Spool, "offer" | "delivered" | "setAside" | "status">;
  readonly uploader: Pick<Uploader, "post">;
  readonly clock: ClockPort;
  readonly timers: TimerPort;
  /** In [0, 1). */
  readonly random: () => number;
  readonly warn: (message: string) => void;
  readonly flushDelayMs?: number;
}

/** How it goes. */
export interface DeliveryStatus {
  /** Unix time of the last upload that succeeded; null = none yet. */
  readonly lastSuccessWallMs: number | null;
  /** What went wrong last; null = nothing since the last upload that succeeded. */
  readonly lastProblem: string | null;
  /** Failures since the last upload that succeeded. */
  readonly failuresInRow: number;
  readonly uploads: number;
  readonly uploadsFailed: number;
  readonly entriesDelivered: number;
  /** Bytes of delivered bodies before and after compression. */
  readonly bodyBytes: number;
  readonly sentBytes: number;
  /** Unix time at which a failed upload is tried again; null = none waits for that. */
  readonly nextTryWallMs: number | null;
}

/** Failures from the first one until something is delivered that no split hides. */
interface Outage {
  readonly sinceMs: number;
  failures: number;
  /** Kinds of problems that were warned of. */
  readonly kinds: Set<string>;
}

/** See file header. */
export class Delivery {
  readonly #options: DeliveryOptions;
  /** Whether #run is under way. */
  #isRunning = false;
  /** Ends #run's pause early. */
  #endPause: (() => void) | null = null;
  #cancelFlush: (() => void) | null = null;
  /** When the flush is due, on the monotonic clock. */
  #flushAtMs = Infinity;
  /** Time at which drain() gives up; Infinity until then. */
  #deadlineMs = Infinity;
  #drained: Promise<number> | null = null;
  #isOver = false;
  /** Tells drain() that #run has ended. */
  #onIdle: (() => void) | null = null;

  /** Entries of the next batch. */
  #entriesMax = BATCH_ENTRIES_MAX;
  /** Entries at the front of the spool that are offered in parts, because together they were refused or too large. */
  #partsLeft = 0;
  /** Whether it was their content that was refused. */
  #isSuspect = false;
  /** Whether the spool's record of what was set aside comes next: it is no part, and counted as one would cost the last. */
  #isGapNext = false;
  /** What the spool has not been told yet, because it failed. */
  #unsettled: (() => void) | null = null;

  /** See UploadOutcome. */
  #failures = 0;
  #refusals = 0;
  #setAsides = 0;
  #spoolFailures = 0;
  #outage: Outage | null = null;
  #lastSuccessWallMs: number | null = null;
  #lastProblem: string | null = null;
  #failuresInRow = 0;
  #nextTryWallMs: number | null = null;
  #counts = { uploads: 0, uploadsFailed: 0, entriesDelivered: 0, bodyBytes: 0, sentBytes: 0 };

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Says that something was appended: it is uploaded after the flush delay, or at once if it fills a batch. */
  wake(): void {
    if (this.#drained !== null || this.#isRunning) return;
    const { flushDelayMs = FLUSH_DELAY_MS, clock, timers } = this.#options;
    const delayMs = this.#hasFullBatch() ? 0 : flushDelayMs;
    const atMs = clock.nowMs() + delayMs;
    if (this.#cancelFlush !== null && this.#flushAtMs <= atMs) return;
    this.#cancelFlush?.();
    this.#flushAtMs = atMs;
    this.#cancelFlush = timers.schedule(delayMs, () => this.#start());
  }

  /**
   * Uploads everything now and tries again while there is time. Later wakes do nothing; a second call returns the first
   * one's promise.
   * @param timeoutMs When it gives up, a request that is under way included.
   * @returns Entries left in the spool. Never rejects.
   */
  drain(timeoutMs: number): Promise<number> {
    this.#drained ??= this.#drain(timeoutMs);
    return this.#drained;
  }

  /** Tells how it goes. */
  status(): DeliveryStatus {
    return {
      lastSuccessWallMs: this.#lastSuccessWallMs,
      lastProblem: this.#lastProblem,
      failuresInRow: this.#failuresInRow,
      ...this.#counts,
      nextTryWallMs: this.#nextTryWallMs,
    };
  }

  async #drain(timeoutMs: number): Promise<number> {
    const { clock, timers } = this.#options;
    this.#deadlineMs = clock.nowMs() + timeoutMs;
    // A collector that has been away for hours is tried again soon, for there is no later.
    this.#failures = 0;
    await new Promise<void>((resolve) => {
      const cancel = timers.schedule(timeoutMs, resolve);
      this.#onIdle = () => {
        cancel();
        resolve();
      };
      if (this.#isRunning) this.#endPause?.();
      else this.#start();
    });
    this.#isOver = true;
    this.#endPause?.();
    return this.#options.spool.status().entries;
  }

  #start(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = null;
    void this.#run();
  }

  /**
   * Uploads until the spool is empty, or time is up. Between the look that finds it empty and the end lies no await, so that
   * no wake is lost.
   */
  async #run(): Promise<void> {
    this.#isRunning = true;
    for (;;) {
      let waitMs: number;
      try {
        const batch = this.#next();
        if (batch === null) break;
        const body = frameBatch(batch.entries.map(({ bytes }) => bytes));
        const result = await this.#post(body);
        // The owner may have closed the spool by now; the collector knows an entry that comes twice.
        if (this.#isOver) break;
        waitMs = this.#act(batch, body.length, result);
        this.#spoolFailures = 0;
      } catch (error) {
        waitMs = this.#spoolFailed(error);
      }
      if (waitMs > 0 && !await this.#pause(waitMs)) break;
    }
    this.#isRunning = false;
    this.#onIdle?.();
  }

  #next(): SpoolBatch | null {
    const { spool } = this.#options;
    this.#unsettled?.();
    this.#unsettled = null;
    const entriesMax = this.#partsLeft === 0
      ? BATCH_ENTRIES_MAX
      : Math.min(this.#entriesMax, this.#partsLeft);
    return spool.offer(entriesMax, BATCH_BYTES_MAX);
  }

  async #post(body: Uint8Array): Promise<UploadResult> {
    try {
      return await this.#options.uploader.post(body);
    } catch (error) {
      return { status: null, retryAfter: null, problem: messageOf(error), sentBytes: 0 };
    }
  }

  /** Does what follows from an answer. @returns Time to wait before the next request, in ms. */
  #act(batch: SpoolBatch, bodyBytes: number, result: UploadResult): number {
    const { spool, clock, random } = this.#options;
    const { status, retryAfter } = result;
    const entries = batch.entries.length;
    const refusals = this.#refusals + (isTransient(status) ? 0 : 1);
    const decision = decideUpload(
      {
        ...{ status, retryAfter, entries, refusals },
        failures: this.#failures + 1,
        suspect: this.#isSuspect,
        setAsides: this.#setAsides,
      },
      random(),
      clock.wallMs(),
    );
    this.#counts.uploads++;
    if (decision.action !== "done") this.#failed(decision, entries, result);
    switch (decision.action) {
      case "done":
        this.#succeeded(entries, bodyBytes, result.sentBytes);
        this.#settle(() => spool.delivered(batch));
        return 0;
      case "retry":
        this.#failures++;
        this.#refusals = refusals;
        return decision.waitMs;
      case "split":
        this.#refusals = 0;
        if (this.#partsLeft === 0) this.#partsLeft = entries;
        this.#isSuspect ||= decision.suspect;
        this.#entriesMax = entries >> 1;
        return 0;
      case "setAside":
        this.#refusals = 0;
        this.#setAsides++;
        this.#partGone(entries);
        this.#isGapNext = true;
        // The bad one is out: the others go together, and are halved again if there is one more.
        this.#entriesMax = this.#partsLeft;
        this.#settle(() => spool.setAside(batch, decision.cause));
        return decision.waitMs;
    }
  }

  /** Tells the spool; again before the next batch if that fails, so that nothing is uploaded twice for it. */
  #settle(tell: () => void): void {
    this.#unsettled = tell;
    tell();
    this.#unsettled = null;
  }

  #partGone(entries: number): void {
    const isGap = this.#isGapNext && entries === 1;
    this.#isGapNext = false;
    this.#partsLeft = Math.max(0, this.#partsLeft - (isGap ? 0 : entries));
    if (this.#partsLeft === 0) this.#isSuspect = false;
  }

  #succeeded(entries: number, bodyBytes: number, sentBytes: number): void {
    const { clock, warn } = this.#options;
    this.#counts.entriesDelivered += entries;
    this.#counts.bodyBytes += bodyBytes;
    this.#counts.sentBytes += sentBytes;
    this.#lastSuccessWallMs = clock.wallMs();
    this.#failures = 0;
    this.#refusals = 0;
    this.#setAsides = 0;
    this.#failuresInRow = 0;
    this.#partGone(entries);
    // That one half of a refused batch arrived does not say that all is well.
    if (this.#partsLeft > 0) return;
    this.#lastProblem = null;
    if (this.#outage === null) return;
    const { failures, sinceMs } = this.#outage;
    this.#outage = null;
    const seconds = Math.round((clock.nowMs() - sinceMs) / 100) / 10;
    const counted = failures === 1 ? "1 failure" : `${failures} failures`;
    warn(`Upload of the flow log succeeded after ${counted} and ${seconds} s`);
  }

  #failed(
    { action }: UploadDecision,
    entries: number,
    { status, problem }: UploadResult,
  ): void {
    this.#counts.uploadsFailed++;
    this.#failuresInRow++;
    this.#lastProblem = problem ?? `status ${status}`;
    // A batch in parts is no trouble; what made it necessary was told before, or is the collector's limit.
    if (action === "split") return;
    this.#outage ??= { sinceMs: this.#options.clock.nowMs(), failures: 0, kinds: new Set() };
    this.#outage.failures++;
    const kind = `${action} ${status}`;
    if (this.#outage.kinds.has(kind)) return;
    this.#outage.kinds.add(kind);
    const what = action === "setAside" ? `${entries} entries of the flow log` : "the flow log";
    const next = action === "setAside" ? "they are set aside" : "it is tried again";
    this.#options.warn(`Cannot upload ${what}: ${this.#lastProblem}; ${next}`);
  }

  /** Tells of the first failure in a row. @returns Time to wait. */
  #spoolFailed(error: unknown): number {
    const message = `Cannot use the flow log's spool: ${messageOf(error)}; it is tried again`;
    if (this.#spoolFailures === 0) this.#options.warn(message);
    this.#spoolFailures++;
    return backOffMs(this.#spoolFailures, this.#options.random());
  }

  /** Waits, unless time is up before. @returns Whether to go on. */
  async #pause(waitMs: number): Promise<boolean> {
    const { clock, timers } = this.#options;
    // To wait for the deadline only to give up then helps nobody.
    if (clock.nowMs() + waitMs >= this.#deadlineMs) return false;
    this.#nextTryWallMs = clock.wallMs() + waitMs;
    await new Promise<void>((resolve) => {
      const cancel = timers.schedule(waitMs, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
    this.#endPause = null;
    this.#nextTryWallMs = null;
    return !this.#isOver;
  }

  #hasFullBatch(): boolean {
    const { entries, bytes } = this.#options.spool.status();
    return entries >= BATCH_ENTRIES_MAX || bytes >= BATCH_BYTES_MAX;
  }
}
