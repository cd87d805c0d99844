/**
 * When the demo is to end: by a signal, after some time, or because something that it needs has failed.
 *
 * In: signals, timers, failures. Out: one promise. From its making until release() signals do not end the process: a second
 * Ctrl-C must not cut short what the first one began.
 */
import process from "node:process";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** See file header. */
export class Ending {
  /** Resolves when the demo is to end; rejects when it cannot go on. */
  readonly asked: Promise<void>;
  #isAsked = false;
  /** Asks for the end. */
  readonly ask: () => void;
  #fail: (error: Error) => void = () => {};
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    let end: () => void = () => {};
    this.asked = new Promise((resolve, reject) => {
      end = resolve;
      this.#fail = reject;
    });
    this.ask = () => {
      this.#isAsked = true;
      end();
    };
    // It may fail before somebody waits for it.
    this.asked.catch(() => {});
    for (const signal of SIGNALS) process.on(signal, this.ask);
  }

  /** Whether somebody wants it to end; a failure is nobody's wish. */
  get isAsked(): boolean {
    return this.#isAsked;
  }

  /** @throws {Error} If somebody wants it to end. */
  check(): void {
    if (this.#isAsked) throw new Error("The demo was asked to end");
  }

  askAfter(milliseconds: number): void {
    this.#timer = setTimeout(this.ask, milliseconds);
  }

  fail(error: Error): void {
    this.#fail(error);
  }

  /** Waits for `work`, but not longer than until the end. @throws {Error} As check(), and what made the demo fail. */
  async orEnd<T>(work: Promise<T>): Promise<T> {
    const end = this.asked.then((): never => {
      throw new Error("The demo was asked to end");
    });
    return await Promise.race([work, end]);
  }

  /** Gives signals back to the runtime. */
  release(): void {
    clearTimeout(this.#timer);
    for (const signal of SIGNALS) process.off(signal, this.ask);
  }
}
