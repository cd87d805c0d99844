/**
 * Who owes whom an answer (whitepaper §6.5): when silence means that a session is to be doubted, and when an empty
 * message has to say that we are there.
 *
 * In: what is sent and received. Out: which of the two is due. Two forms: timers, where one worker does all; words on
 * the board, where carriers send and receive, too.
 */
import { type BoardViews, PEER } from "./board_layout.ts";
import type { Jitter } from "./jitter.ts";
import type { PresentTime } from "./time.ts";
import { type PeerTimers, TIMER } from "./timers.ts";
import type { Timing } from "./timing.ts";

/** See file header. Calls within one moment of PresentTime. */
export interface Answers {
  /** Anything was sent. */
  sent(): void;
  /** What was sent is data: the peer is to answer. */
  dataSent(): void;
  /** Anything authentic was received. */
  received(): void;
  /** What was received is data: we are to answer. */
  dataReceived(): void;
  /** Whether the peer has been silent for too long. Asks once for each silence. */
  takeSilence(): boolean;
  /** Whether an empty message is to be sent. Asks once; repay() follows when it has been sent. */
  takeDebt(): boolean;
  /** After takeDebt and sending: data that came in meanwhile is owed another message (linux timers.c). */
  repay(): void;
  /** Nothing is awaited any more. */
  stopAwaiting(): void;
  /** Nothing is owed any more. */
  stopOwing(): void;
  /** Sees to it that what is due later is looked at then. */
  rearm(): void;
}

/** What answers go by. */
export interface AnswersContext {
  readonly timing: Timing;
  readonly time: PresentTime;
  readonly jitter: Jitter;
}

/** How long silence may last. */
function silenceMs({ timing, jitter }: AnswersContext): number {
  return timing.keepaliveTimeoutMs + timing.rekeyTimeoutMs +
    jitter.nextMs(timing.rekeyTimeoutJitterMs);
}

/** Answers of a peer whose packets all pass through one worker. */
export class TimedAnswers implements Answers {
  readonly #context: AnswersContext;
  readonly #timers: PeerTimers;
  /** Data came in while the keepalive timer ran: one more keepalive after it (linux timers.c). */
  #owesAnother = false;

  constructor(context: AnswersContext, timers: PeerTimers) {
    this.#context = context;
    this.#timers = timers;
  }

  sent(): void {
    this.#timers.stop(TIMER.KEEPALIVE);
  }

  dataSent(): void {
    if (this.#timers.isRunning(TIMER.NO_ANSWER)) return;
    this.#timers.start(TIMER.NO_ANSWER, silenceMs(this.#context));
  }

  received(): void {
    this.#timers.stop(TIMER.NO_ANSWER);
  }

  dataReceived(): void {
    if (this.#timers.isRunning(TIMER.KEEPALIVE)) {
      this.#owesAnother = true;
    } else {
      this.#owesAnother = false;
      this.#timers.start(TIMER.KEEPALIVE, this.#context.timing.keepaliveTimeoutMs);
    }
  }

  takeSilence(): boolean {
    return this.#timers.take(TIMER.NO_ANSWER);
  }

  takeDebt(): boolean {
    return this.#timers.take(TIMER.KEEPALIVE);
  }

  repay(): void {
    if (!this.#owesAnother) return;
    this.#owesAnother = false;
    this.#timers.start(TIMER.KEEPALIVE, this.#context.timing.keepaliveTimeoutMs);
  }

  stopAwaiting(): void {
    this.#timers.stop(TIMER.NO_ANSWER);
  }

  stopOwing(): void {
    this.#timers.stop(TIMER.KEEPALIVE);
  }

  rearm(): void {}
}

/** The words of one peer, which any worker sets and clears. Time is handed in unread: see time.ts. */
export class AnswerWords {
  readonly #words: Int32Array;
  readonly #floats: Float64Array;
  readonly #base: number;

  constructor({ words, floats }: BoardViews, base: number) {
    this.#words = words;
    this.#floats = floats;
    this.#base = base;
  }

  sent(): void {
    this.#clear(PEER.OWING);
  }

  received(): void {
    this.#clear(PEER.AWAITING);
  }

  /** @returns Whether nobody will look when an answer is due. */
  dataSent(time: PresentTime): boolean {
    // Not atomically: what was cleared this very moment was cleared after this packet.
    if (this.#words[this.#base + PEER.AWAITING] !== 0) return false;
    return this.#set(PEER.AWAITING, PEER.AWAITING_SINCE, time);
  }

  /** @returns As dataSent. */
  dataReceived(time: PresentTime): boolean {
    const owing = this.#words[this.#base + PEER.OWING];
    if (owing === 0) return this.#set(PEER.OWING, PEER.OWING_SINCE, time);
    if (owing === 1) Atomics.compareExchange(this.#words, this.#base + PEER.OWING, 1, 2);
    return false;
  }

  /** Since when one of the two holds; Infinity = it does not. */
  since(word: number, sinceFloat: number): number {
    if (Atomics.load(this.#words, this.#base + word) === 0) return Infinity;
    return this.#floats[(this.#base + sinceFloat) / 2];
  }

  /** Ends what holds. @returns What the word was. */
  take(word: number): number {
    return Atomics.exchange(this.#words, this.#base + word, 0);
  }

  /** Says whether somebody will look. */
  arm(armed: boolean): void {
    Atomics.store(this.#words, this.#base + PEER.ARMED, armed ? 1 : 0);
  }

  /** The order matters: who disarms looks at the words once more afterwards. */
  #set(word: number, sinceFloat: number, time: PresentTime): boolean {
    this.#floats[(this.#base + sinceFloat) / 2] = time.nowMs;
    Atomics.store(this.#words, this.#base + word, 1);
    return Atomics.load(this.#words, this.#base + PEER.ARMED) === 0;
  }

  #clear(word: number): void {
    // Read first: a line that nobody writes stays in every worker's cache.
    if (this.#words[this.#base + word] !== 0) {
      Atomics.store(this.#words, this.#base + word, 0);
    }
  }
}

/** Answers of a peer whose packets carriers move, too, as the protocol's worker has them. */
export class SharedAnswers implements Answers {
  readonly #context: AnswersContext;
  readonly #timers: PeerTimers;
  readonly #words: AnswerWords;
  #silenceMs: number;
  #owesAnother = false;

  constructor(context: AnswersContext, timers: PeerTimers, words: AnswerWords) {
    this.#context = context;
    this.#timers = timers;
    this.#words = words;
    this.#silenceMs = silenceMs(context);
  }

  sent(): void {
    this.#words.sent();
  }

  dataSent(): void {
    if (this.#words.dataSent(this.#context.time)) this.rearm();
  }

  received(): void {
    this.#words.received();
  }

  dataReceived(): void {
    if (this.#words.dataReceived(this.#context.time)) this.rearm();
  }

  takeSilence(): boolean {
    const sinceMs = this.#words.since(PEER.AWAITING, PEER.AWAITING_SINCE);
    if (this.#context.time.nowMs < sinceMs + this.#silenceMs) return false;
    this.#silenceMs = silenceMs(this.#context);
    return this.#words.take(PEER.AWAITING) !== 0;
  }

  takeDebt(): boolean {
    const sinceMs = this.#words.since(PEER.OWING, PEER.OWING_SINCE);
    if (this.#context.time.nowMs < sinceMs + this.#context.timing.keepaliveTimeoutMs) return false;
    const owed = this.#words.take(PEER.OWING);
    this.#owesAnother = owed === 2;
    return owed !== 0;
  }

  repay(): void {
    if (this.#owesAnother) this.#words.dataReceived(this.#context.time);
    this.#owesAnother = false;
  }

  stopAwaiting(): void {
    this.#words.take(PEER.AWAITING);
  }

  stopOwing(): void {
    this.#words.take(PEER.OWING);
  }

  /**
   * Looks again when the first is due, but no later than after KEEPALIVE_TIMEOUT: what a carrier begins to owe or to
   * await meanwhile is due later than that. The timer of keepalives is used for it.
   */
  rearm(): void {
    const { nowMs } = this.#context.time;
    this.#words.arm(true);
    let dueMs = this.#dueMs();
    if (dueMs === Infinity) {
      this.#words.arm(false);
      dueMs = this.#dueMs();
      if (dueMs === Infinity) {
        this.#timers.stop(TIMER.KEEPALIVE);
        return;
      }
      this.#words.arm(true);
    }
    const { keepaliveTimeoutMs } = this.#context.timing;
    const waitMs = Math.max(0, Math.min(dueMs - nowMs, keepaliveTimeoutMs));
    this.#timers.start(TIMER.KEEPALIVE, waitMs);
  }

  #dueMs(): number {
    const { keepaliveTimeoutMs } = this.#context.timing;
    return Math.min(
      this.#words.since(PEER.AWAITING, PEER.AWAITING_SINCE) + this.#silenceMs,
      this.#words.since(PEER.OWING, PEER.OWING_SINCE) + keepaliveTimeoutMs,
    );
  }
}
