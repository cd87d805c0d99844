/**
 * A store on this disk as a source: the collector's own questions, answered in this process.
 *
 * In: the path of a store, which a collector may be writing. Out: the replies that its API would give. Guarantees: nothing is
 * written.
 */
import { LIVE_POLL_MS, LIVE_WINDOWS_MAX, QUERY_MS_DEFAULT } from "../../limits.ts";
import {
  Answerer,
  API_ROUTES,
  entryText,
  openSqliteReader,
  ParameterProblem,
  problemAnswer,
  readParameters,
  type StoreReader,
} from "../../collector/mod.ts";
import { Members } from "./members.ts";
import type { EntriesWanted, FlowsSource, LiveItem, SourceReply } from "./source.ts";
import { sleep } from "./source_http.ts";

/** What it goes by. */
export interface StoreSourceOptions {
  readonly path: string;
  readonly name: string;
  readonly wallMs: () => number;
  /** How long ago what is called now is; 0 unless what is read is of the past. */
  readonly lagMs: number;
  readonly monotonicMs: () => number;
}

/** Entries read at once: of 256 KiB each at most. */
const STEP_ENTRIES = 64;

/** See file header. */
export class StoreSource implements FlowsSource {
  readonly name: string;
  readonly range: { from: string; to: string } | null = null;
  readonly reader: StoreReader;
  readonly #answerer: Answerer;
  readonly #options: StoreSourceOptions;
  /** Whether more may come: for who follows. */
  isEnded: () => boolean = () => false;

  /** @throws {StoreError} If there is no store that can be read. */
  constructor(options: StoreSourceOptions) {
    this.name = options.name;
    this.reader = openSqliteReader(options.path);
    this.#answerer = new Answerer(this.reader, options.monotonicMs);
    this.#options = options;
  }

  ask(path: string, parameters: URLSearchParams): Promise<SourceReply> {
    const route = API_ROUTES.find((known) => known.path === path);
    if (route === undefined) return Promise.resolve(problemAnswer(404, "There is no such path"));
    const nowMs = Math.floor(this.#options.wallMs());
    try {
      const values = readParameters(route.parameters, parameters, nowMs - this.#options.lagMs);
      const question = route.question(values as never, nowMs);
      if (question === null) {
        return Promise.resolve(problemAnswer(404, "Nothing can be asked there"));
      }
      const answer = this.#answerer.answer(question);
      if (path !== "/health" || answer.status !== 200) return Promise.resolve(answer);
      return Promise.resolve({ status: 200, text: `{"ok":true,"store":${answer.text}}` });
    } catch (error) {
      if (!(error instanceof ParameterProblem)) throw error;
      const { message, parameter, details } = error;
      return Promise.resolve(problemAnswer(400, message, { parameter, ...details }));
    }
  }

  async *live(after: number, signal: AbortSignal): AsyncGenerator<LiveItem> {
    while (!signal.aborted) {
      // Asked before the store is: what comes in between is found in the next round.
      const isLast = this.isEnded();
      const { windows, next, isCut } = this.#news(after);
      after = next;
      if (windows.length > 0) yield { kind: "windows", windows };
      if (isCut) continue;
      if (isLast) return;
      await sleep(LIVE_POLL_MS, signal);
    }
  }

  async *entries({ collection, from, to }: EntriesWanted): AsyncGenerator<string> {
    const streams = this.reader.streams();
    const names = collection === null
      ? [...new Set(streams.map((stream) => stream.collection))]
      : [collection];
    const publicIds = new Map(streams.map(({ number, publicId }) => [number, publicId]));
    for (const name of names) {
      for (let after = 0;;) {
        const range = { fromMs: Date.parse(from), toMs: Date.parse(to) };
        const found = this.reader.entries({
          collection: name,
          ...range,
          after,
          limit: STEP_ENTRIES,
        });
        if (found.length === 0) break;
        for (const entry of found) yield entryText(entry, publicIds.get(entry.stream) ?? "");
        after = found.at(-1)!.id;
      }
    }
  }

  close(): Promise<void> {
    this.reader.close();
    return Promise.resolve();
  }

  #news(after: number): { windows: Members[]; next: number; isCut: boolean } {
    const answer = this.#answerer.answer({
      kind: "live",
      after,
      nowMs: this.#options.wallMs(),
      timeMs: QUERY_MS_DEFAULT,
    });
    if (answer.status !== 200) throw new Error(`Cannot follow ${this.name}: ${answer.text}`);
    const [head, ...lines] = answer.text.split("\n");
    const { next, found } = JSON.parse(head) as { next: number; found: number };
    return {
      next,
      isCut: found >= LIVE_WINDOWS_MAX,
      windows: lines.map((line) => Members.parse(line)),
    };
  }
}
