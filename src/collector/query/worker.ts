/**
 * The thread's side of queries: it owns a reader and answers one question after the other.
 *
 * In: a path, then questions (QueryCommand). Out: answers (QueryReport). Guarantees: each question is answered exactly once;
 * a question is called off within one part of rows after its word in shared memory says so. Not here: the thread itself,
 * which cli/query_worker.ts is.
 */
import { openSqliteReader } from "../sqlite/mod.ts";
import type { StoreReader } from "../store.ts";
import { type Answer, Answerer, problem } from "./answer.ts";
import type { Question } from "./question.ts";

/** What a query thread is told. */
export type QueryCommand =
  /** @param cancelled One Int32: number of the question that is called off. */
  | { readonly type: "open"; readonly path: string; readonly cancelled: SharedArrayBuffer }
  | { readonly type: "ask"; readonly number: number; readonly question: Question };

/** What it says. */
export type QueryReport =
  | { readonly type: "opened"; readonly problem: string | null }
  | { readonly type: "answer"; readonly number: number; readonly answer: Answer };

/** See file header. */
export class QueryHost {
  readonly #post: (report: QueryReport) => void;
  readonly #monotonicMs: () => number;
  readonly #open: (path: string) => StoreReader;
  #answerer: Answerer | null = null;
  #cancelled: Int32Array | null = null;

  constructor(
    post: (report: QueryReport) => void,
    monotonicMs: () => number,
    open: (path: string) => StoreReader = openSqliteReader,
  ) {
    this.#post = post;
    this.#monotonicMs = monotonicMs;
    this.#open = open;
  }

  /** Takes a command; the first must be `open`. */
  accept(command: QueryCommand): void {
    if (command.type === "open") {
      this.#cancelled = new Int32Array(command.cancelled);
      try {
        this.#answerer = new Answerer(this.#open(command.path), this.#monotonicMs);
        this.#post({ type: "opened", problem: null });
      } catch (error) {
        const words = error instanceof Error ? error.message : String(error);
        this.#post({ type: "opened", problem: words });
      }
      return;
    }
    const { number, question } = command;
    const cancelled = this.#cancelled;
    const isCancelled = () => cancelled !== null && Atomics.load(cancelled, 0) === number;
    const answer = this.#answerer?.answer(question, isCancelled) ??
      problem(503, "The store is not open");
    this.#post({ type: "answer", number, answer });
  }
}
