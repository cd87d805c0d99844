/**
 * A collector in a thread of its own.
 *
 * In: settings. Out: commands as promises. Guarantees: a thread that dies rejects what waits and all that follows.
 */
import type { StreamName } from "../collector/mod.ts";
import type { CollectorSettings } from "./collector_run.ts";
import type { CollectorCommand, CollectorReport } from "./collector_worker.ts";

interface Waiting {
  readonly resolve: (url: string) => void;
  readonly reject: (error: Error) => void;
}

/** See file header. */
export class CollectorThread {
  readonly #worker: Worker;
  readonly #waiting: Waiting[] = [];
  #failure: Error | null = null;

  constructor(warn: (message: string) => void) {
    this.#worker = new Worker(new URL("./collector_worker.ts", import.meta.url), {
      type: "module",
    });
    this.#worker.onmessage = ({ data }: MessageEvent) => {
      const report = data as CollectorReport;
      if (report.type === "warning") warn(`Collector: ${report.message}`);
      else if (report.type === "done") this.#waiting.shift()?.resolve(report.url);
      else this.#waiting.shift()?.reject(new Error(report.message));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      warn(`Collector has died: ${event.message}`);
      this.#fail(`The collector has died: ${event.message}`);
    };
  }

  /** @returns Its URL. @throws {Error} If it cannot start. */
  start(settings: CollectorSettings): Promise<string> {
    return this.#ask({ type: "start", settings });
  }

  /** Adopts a stream, seen or not. */
  async adopt(stream: StreamName): Promise<void> {
    await this.#ask({ type: "adopt", stream });
  }

  /** Ends it, and the thread. Safe to call twice. */
  async stop(): Promise<void> {
    try {
      if (this.#failure === null) await this.#ask({ type: "stop" });
    } finally {
      this.#worker.terminate();
      this.#fail("The collector has stopped");
    }
  }

  #ask(command: CollectorCommand): Promise<string> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(command);
    });
  }

  #fail(message: string): void {
    this.#failure ??= new Error(message);
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}
