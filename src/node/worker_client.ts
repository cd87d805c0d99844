/**
 * Main's side of the data-plane worker: commands as promises.
 *
 * In: commands. Out: their answers, in order; notices to the listeners. Guarantees: a worker that fails rejects all
 * that waits and all that follows, so that nobody waits for ever.
 */
import type { WakePort } from "../ports.ts";
import type { DeviceUpdate, RouteChange } from "../wireguard/mod.ts";
import type { OffloadState } from "./offload_state.ts";
import { type Answer, type Command, CONTROL, type WorkerSnapshot } from "./worker_protocol.ts";

/** A thread that runs data_plane_host.ts; cli/ makes it. */
export interface WorkerThread {
  post(command: Command): void;
  onAnswer(listener: (answer: Answer) => void): void;
  /** Called when the thread dies by itself. */
  onError(listener: (message: string) => void): void;
  terminate(): void;
}

/** Who hears the notices. */
export interface WorkerListeners {
  readonly counting: () => void;
  readonly failed: (message: string) => void;
}

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** See file header. */
export class WorkerClient {
  readonly #thread: WorkerThread;
  readonly #wake: WakePort;
  readonly #control: Int32Array;
  readonly #listeners: WorkerListeners;
  readonly #waiting: Waiting[] = [];
  #failure: Error | null = null;

  constructor(
    thread: WorkerThread,
    wake: WakePort,
    control: SharedArrayBuffer,
    listeners: WorkerListeners,
  ) {
    this.#thread = thread;
    this.#wake = wake;
    this.#control = new Int32Array(control);
    this.#listeners = listeners;
    thread.onAnswer((answer) => this.#hear(answer));
    thread.onError((message) => this.#hear({ type: "failed", message }));
  }

  /** @throws {Error} If the worker refuses; the message is for people. */
  async run(
    command: Exclude<Command, { type: "snapshot" | "offloads" | "configure" }>,
  ): Promise<void> {
    await this.#ask(command);
  }

  /** @returns What carriers must be told. @throws {Error} If the worker refuses; the message is for people. */
  async configure(update: DeviceUpdate): Promise<readonly RouteChange[]> {
    const answer = await this.#ask({ type: "configure", update });
    if (answer.type !== "configured") throw unexpected(answer, "configured");
    return answer.changes;
  }

  /** @throws {Error} If the worker has failed. */
  async snapshot(): Promise<WorkerSnapshot> {
    const answer = await this.#ask({ type: "snapshot" });
    if (answer.type !== "snapshot") throw unexpected(answer, "snapshot");
    return answer.snapshot;
  }

  /** @throws {Error} If the worker has failed. */
  async offloads(): Promise<OffloadState> {
    const answer = await this.#ask({ type: "offloads" });
    if (answer.type !== "offloads") throw unexpected(answer, "offloads");
    return answer.offloads;
  }

  /** Ends the thread, whatever it does. */
  terminate(): void {
    this.#thread.terminate();
    this.#fail("The data plane has stopped");
  }

  async #ask(command: Command): Promise<Answer> {
    if (this.#failure !== null) throw this.#failure;
    const answered = new Promise<Answer>((resolve, reject) =>
      this.#waiting.push({ resolve, reject })
    );
    this.#thread.post(command);
    Atomics.add(this.#control, CONTROL.POSTED, 1);
    this.#wake.wake();
    const answer = await answered;
    if (answer.type === "refused") throw new Error(answer.message);
    return answer;
  }

  #hear(answer: Answer): void {
    if (answer.type === "counting") {
      this.#listeners.counting();
    } else if (answer.type === "failed") {
      this.#fail(answer.message);
      this.#listeners.failed(answer.message);
    } else {
      this.#waiting.shift()?.resolve(answer);
    }
  }

  #fail(message: string): void {
    this.#failure ??= new Error(message);
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}

function unexpected(answer: Answer, wanted: string): Error {
  return new Error(`Worker answered ${answer.type}, not ${wanted}`);
}
