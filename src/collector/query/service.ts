/**
 * Main's side of queries: a bounded queue before one query thread, which is replaced when it dies or hangs.
 *
 * In: questions. Out: answers. Guarantees: every question is answered, and no later than its own time, the grace and the
 * questions before it take: 503 if the queue is full, the thread died or cannot open the store; 504 if it hung. A question
 * whose client went is taken out of the queue, or called off if it is under way. Nothing here waits for the thread.
 */
import {
  QUERIES_WAITING_MAX,
  QUERY_GRACE_MS,
  QUERY_OPEN_MS,
  QUERY_WORKER_FAILURES_MAX,
} from "../../limits.ts";
import type { ClockPort, TimerPort } from "../../ports.ts";
import { type Answer, problem } from "./answer.ts";
import type { Question } from "./question.ts";
import type { QueryCommand, QueryReport } from "./worker.ts";

/** A thread that runs QueryHost; cli makes it. */
export interface QueryThread {
  post(command: QueryCommand): void;
  onReport(listener: (report: QueryReport) => void): void;
  /** Called when the thread dies by itself. */
  onError(listener: (message: string) => void): void;
  terminate(): void;
}

/** What the service works with. */
export interface QueryServiceOptions {
  readonly path: string;
  readonly startThread: () => QueryThread;
  readonly timers: TimerPort;
  readonly clock: Pick<ClockPort, "nowMs">;
  readonly warn: (message: string) => void;
}

/** What has been asked. */
export interface QueryStats {
  asked: number;
  answered: number;
  /** Put off, for the queue was full. */
  refused: number;
  /** Called off, for the client went. */
  cancelled: number;
  /** Out of time, by the query's own watch or by ours. */
  timedOut: number;
  /** Threads that died or hung. */
  threadsLost: number;
}

interface Waiting {
  readonly number: number;
  readonly question: Question;
  readonly resolve: (answer: Answer) => void;
  readonly forget: () => void;
}

/** How long failures of the thread are remembered. */
const FAILURES_MS = 60_000;

/** See file header. */
export class QueryService {
  readonly stats: QueryStats = {
    asked: 0,
    answered: 0,
    refused: 0,
    cancelled: 0,
    timedOut: 0,
    threadsLost: 0,
  };
  readonly #options: QueryServiceOptions;
  readonly #queue: Waiting[] = [];
  readonly #cancelled = new SharedArrayBuffer(4);
  readonly #cancelledWord = new Int32Array(this.#cancelled);
  #thread: QueryThread | null = null;
  #isOpen = false;
  #underWay: Waiting | null = null;
  #stopWatch: () => void = () => {};
  #number = 0;
  #failures: number[] = [];
  #isStopped = false;

  constructor(options: QueryServiceOptions) {
    this.#options = options;
  }

  /** How many wait or are under way. */
  get waiting(): number {
    return this.#queue.length + (this.#underWay === null ? 0 : 1);
  }

  /** Asks. Never rejects. @param signal Aborted when nobody waits for the answer any more. */
  ask(question: Question, signal?: AbortSignal): Promise<Answer> {
    this.stats.asked++;
    if (this.#isStopped) return Promise.resolve(problem(503, "The collector is ending"));
    if (this.#queue.length >= QUERIES_WAITING_MAX) {
      this.stats.refused++;
      return Promise.resolve(problem(503, "Too many queries wait: try again later"));
    }
    if (signal?.aborted) {
      this.stats.cancelled++;
      return Promise.resolve(CALLED_OFF);
    }
    return new Promise((resolve) => {
      this.#number = (this.#number % 0x3fffffff) + 1;
      const number = this.#number;
      const cancel = () => this.#cancel(number);
      signal?.addEventListener("abort", cancel, { once: true });
      const forget = () => signal?.removeEventListener("abort", cancel);
      this.#queue.push({ number, question, resolve, forget });
      this.#next();
    });
  }

  /** Ends the thread; all that waits is answered 503. Safe to call twice. */
  stop(): void {
    this.#isStopped = true;
    this.#end("The collector is ending");
    for (const waiting of this.#queue.splice(0)) {
      this.#settle(waiting, problem(503, "The collector is ending"));
    }
  }

  #next(): void {
    if (this.#underWay !== null || this.#queue.length === 0 || this.#isStopped) return;
    if (this.#thread === null && !this.#start()) {
      for (const waiting of this.#queue.splice(0)) {
        this.#settle(waiting, problem(503, "Queries fail again and again: try again later"));
      }
      return;
    }
    if (!this.#isOpen) return;
    const waiting = this.#queue.shift()!;
    this.#underWay = waiting;
    const { number, question } = waiting;
    this.#watch(question.timeMs + QUERY_GRACE_MS);
    this.#thread!.post({ type: "ask", number, question });
  }

  /** @returns false if it failed too often lately. */
  #start(): boolean {
    const nowMs = this.#options.clock.nowMs();
    this.#failures = this.#failures.filter((failedMs) => nowMs - failedMs < FAILURES_MS);
    if (this.#failures.length >= QUERY_WORKER_FAILURES_MAX) return false;
    const thread = this.#startThread();
    if (thread === null) return false;
    this.#thread = thread;
    this.#isOpen = false;
    // Reports of a thread that was given up may still be on their way.
    thread.onReport((report) => thread === this.#thread && this.#hear(report));
    thread.onError((message) => thread === this.#thread && this.#lose(message, 503));
    this.#watch(QUERY_OPEN_MS);
    thread.post({ type: "open", path: this.#options.path, cancelled: this.#cancelled });
    return true;
  }

  /** null = there can be none: said once for each time it was tried. */
  #startThread(): QueryThread | null {
    try {
      return this.#options.startThread();
    } catch (error) {
      this.#failures.push(this.#options.clock.nowMs());
      const words = error instanceof Error ? error.message : String(error);
      this.#options.warn(`Cannot start the query thread: ${words}`);
      return null;
    }
  }

  #watch(ms: number): void {
    this.#stopWatch();
    this.#stopWatch = this.#options.timers.schedule(
      ms,
      () => this.#lose("it did not answer in time", 504),
    );
  }

  #hear(report: QueryReport): void {
    this.#stopWatch();
    if (report.type === "opened") {
      if (report.problem !== null) {
        this.#lose(report.problem, 503);
        return;
      }
      this.#isOpen = true;
    } else if (this.#underWay?.number === report.number) {
      const waiting = this.#underWay;
      this.#underWay = null;
      if (report.answer.status === 504) this.stats.timedOut++;
      this.#settle(waiting, report.answer);
    }
    this.#next();
  }

  /** Gives the thread up. Whoever it worked for is answered, or, if it never opened, the first that waits. */
  #lose(reason: string, status: number): void {
    this.stats.threadsLost++;
    this.#failures.push(this.#options.clock.nowMs());
    this.#options.warn(`Query thread is replaced: ${reason}`);
    if (status === 504) this.stats.timedOut++;
    if (this.#underWay === null) this.#underWay = this.#queue.shift() ?? null;
    this.#end(`The query thread was lost: ${reason}`, status);
    this.#next();
  }

  #end(reason: string, status = 503): void {
    this.#stopWatch();
    this.#thread?.terminate();
    this.#thread = null;
    this.#isOpen = false;
    const waiting = this.#underWay;
    this.#underWay = null;
    if (waiting !== null) this.#settle(waiting, problem(status, reason));
  }

  #cancel(number: number): void {
    const index = this.#queue.findIndex((waiting) => waiting.number === number);
    if (index >= 0) {
      const [waiting] = this.#queue.splice(index, 1);
      this.stats.cancelled++;
      this.#settle(waiting, CALLED_OFF);
    } else if (this.#underWay?.number === number) {
      this.stats.cancelled++;
      Atomics.store(this.#cancelledWord, 0, number);
    }
  }

  #settle({ resolve, forget }: Waiting, answer: Answer): void {
    forget();
    this.stats.answered++;
    resolve(answer);
  }
}

/** Nobody reads it: the client has gone. */
const CALLED_OFF = problem(499, "The query was called off");
