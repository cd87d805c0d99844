/**
 * Question → answer, whatever its kind.
 *
 * In: questions as values. Out: JSON text with a status. Guarantees: never throws; what a question got wrong, a store that
 * fails and time that ran out are told apart by status. Not here: threads (worker.ts), requests (api).
 */
import { LIVE_WINDOWS_MAX, QUERY_ROWS_MAX } from "../../limits.ts";
import { StoreError, type StoreReader } from "../store.ts";
import { answerComplete } from "./complete.ts";
import { ContextBook, type QueryContext } from "./context.ts";
import { answerTop } from "./engine.ts";
import { answerExplain } from "./explain.ts";
import { answerConnection, answerFlows } from "./flows.ts";
import { QueryGuard, QueryStopped } from "./guard.ts";
import { writeJson } from "./json.ts";
import { answerGaps, answerNodes, sumsJson } from "./nodes.ts";
import { type Json, type LiveQuestion, type Question, QuestionError } from "./question.ts";
import { answerReconcile } from "./reconcile.ts";
import { answerSeries } from "./series.ts";
import { timeJson, timeJsonNs } from "./times.ts";

/** Status of HTTP and JSON. */
export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Answers questions from one reader. */
export class Answerer {
  readonly #reader: StoreReader;
  readonly #monotonicMs: () => number;
  readonly #rowsMax: number;
  readonly #book: ContextBook;

  constructor(reader: StoreReader, monotonicMs: () => number, rowsMax: number = QUERY_ROWS_MAX) {
    this.#reader = reader;
    this.#monotonicMs = monotonicMs;
    this.#rowsMax = rowsMax;
    this.#book = new ContextBook(reader, monotonicMs);
  }

  /** @param isCancelled Asked now and then while the answer is being made. */
  answer(question: Question, isCancelled: () => boolean = () => false): Answer {
    const guard = new QueryGuard({
      nowMs: this.#monotonicMs,
      timeMs: question.timeMs,
      rowsMax: this.#rowsMax,
      isCancelled,
    });
    try {
      // One state for all of an answer: what its plan takes for kept is there when it is read.
      return this.#reader.atOnce(() => ({ status: 200, text: this.#text(question, guard) }));
    } catch (error) {
      return failure(error);
    }
  }

  #text(question: Question, guard: QueryGuard): string {
    if (question.kind === "live") return liveText(this.#book.context(guard), question);
    return writeJson(this.#value(question, guard));
  }

  #value(question: Exclude<Question, LiveQuestion>, guard: QueryGuard): Json {
    const context = () => this.#book.context(guard);
    switch (question.kind) {
      case "top":
        return answerTop(context(), question);
      case "series":
        return answerSeries(context(), question);
      case "flows":
        return answerFlows(context(), question);
      case "connection":
        return answerConnection(context(), question);
      case "explain":
        return answerExplain(context(), question);
      case "nodes":
        return answerNodes(context(), question);
      case "gaps":
        return answerGaps(context(), question);
      case "reconcile":
        return answerReconcile(context(), question);
      case "complete":
        return answerComplete(context(), question);
      case "health":
        return {
          lastEntry: this.#reader.lastEntry(),
          streams: this.#reader.streams().length,
          orphans: this.#reader.streams().filter(({ adoptedMs }) => adoptedMs === null).length,
        };
    }
  }
}

/**
 * Windows that came since an entry: a line with the id to ask from next time and how many were found, then a line for each
 * window of an adopted stream, so that who passes them on need not take numbers apart.
 */
function liveText({ reader, nodes, streams }: QueryContext, { after }: LiveQuestion): string {
  const newest = reader.lastEntry();
  if (after === null) return writeJson({ next: newest, found: 0 });
  const windows = newest > after ? reader.windowsAfter(after, LIVE_WINDOWS_MAX) : [];
  const isCut = windows.length === LIVE_WINDOWS_MAX;
  const next = isCut ? windows[windows.length - 1].id : Math.max(after, newest);
  // Entries that are no windows are passed over; those that came between the two looks are found next time.
  const adopted = new Set(
    streams.filter(({ adoptedMs }) => adoptedMs !== null).map(({ number }) => number),
  );
  const shown = windows.filter(({ stream, id }) => id <= next && adopted.has(stream));
  const lines = shown.map((window) => ({
    id: window.id,
    node: nodes.streamLabel(window.stream),
    stream: window.stream,
    start: timeJsonNs(window.startNs),
    end: timeJsonNs(window.endNs),
    received: timeJson(window.receivedMs),
    rows: window.rowCount,
    sums: sumsJson(window.sums),
  }));
  return [{ next, found: windows.length }, ...lines].map((line) => writeJson(line)).join("\n");
}

function failure(error: unknown): Answer {
  if (error instanceof QuestionError) {
    return problem(
      400,
      error.message,
      error.parameter === "" ? {} : { parameter: error.parameter },
    );
  }
  if (error instanceof QueryStopped) {
    return error.reason === "time"
      ? problem(504, `${error.message}: ask for less time, or for a longer time-out`)
      : problem(499, error.message);
  }
  if (error instanceof StoreError) {
    // Somebody else's lock passes; damage does not.
    return problem(error.code === "busy" ? 503 : 500, error.message);
  }
  return problem(500, error instanceof Error ? `${error.name}: ${error.message}` : String(error));
}

/** The one form of everything that is refused. */
export function problem(
  status: number,
  message: string,
  more: Readonly<Record<string, Json | undefined>> = {},
): Answer {
  return { status, text: writeJson({ error: { message, ...more } }) };
}
