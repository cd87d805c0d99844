/**
 * Live totals as server-sent events.
 *
 * In: clients, and what the query thread says is new. Out: `window` events with the entry's id, comments as heartbeats.
 * How: one look for more in a period serves all clients; a client that resumes is first brought up to where all are.
 * Guarantees: no window is sent twice to a client nor left out between its Last-Event-ID and now; a client for which more
 * than LIVE_WAITING_BYTES_MAX wait is sent `dropped` and let go, and counted; without clients the store is not asked.
 */
import {
  LIVE_CLIENTS_MAX,
  LIVE_DROPPED_MS,
  LIVE_HEARTBEAT_MS,
  LIVE_POLL_MS,
  LIVE_WAITING_BYTES_MAX,
  LIVE_WINDOWS_MAX,
  QUERY_MS_DEFAULT,
} from "../../limits.ts";
import type { TimerPort } from "../../ports.ts";
import type { Answer } from "../query/answer.ts";
import type { Question } from "../query/question.ts";

/** What it works with. */
export interface LiveOptions {
  readonly ask: (question: Question, signal?: AbortSignal) => Promise<Answer>;
  readonly timers: TimerPort;
  readonly wallMs: () => number;
}

/** What has been sent. */
export interface LiveStats {
  clients: number;
  events: number;
  /** Too slow. */
  dropped: number;
  /** There were too many. */
  refused: number;
}

/** One event, and the id of its entry. */
interface LiveEvent {
  readonly id: number;
  readonly text: string;
}

/** What the query thread says is new. */
interface News {
  readonly next: number;
  readonly events: readonly LiveEvent[];
  /** Whether there was more than one look takes. */
  readonly isCut: boolean;
}

interface Client {
  /** Newest id that it was sent, or that was passed over for it. */
  position: number;
  queue: string[];
  queuedBytes: number;
  isDropped: boolean;
  /** Aborted when it does not even read that it is dropped. */
  readonly dropped: AbortController;
  cancelDrop: () => void;
  wake: () => void;
}

/** A client's stream. */
export interface LiveStream {
  readonly body: AsyncIterable<string>;
  readonly dropped: AbortSignal;
}

/** See file header. */
export class Live {
  readonly stats: LiveStats = { clients: 0, events: 0, dropped: 0, refused: 0 };
  readonly #options: LiveOptions;
  readonly #clients = new Set<Client>();
  #after: number | null = null;
  #isPolling = false;
  /** Counts rests: a look for more that was under way then belongs to nobody. */
  #rests = 0;
  #cancelPoll: () => void = () => {};

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  /** Whether one more client is taken. */
  get hasRoom(): boolean {
    if (this.stats.clients < LIVE_CLIENTS_MAX) return true;
    this.stats.refused++;
    return false;
  }

  /**
   * Pieces of one client's stream; it ends when the client goes or is dropped.
   * @param after Id that the client has seen; null = from now on.
   */
  stream(after: number | null, signal: AbortSignal): LiveStream {
    const client: Client = {
      position: after ?? -1,
      queue: [],
      queuedBytes: 0,
      isDropped: false,
      dropped: new AbortController(),
      cancelDrop: () => {},
      wake: () => {},
    };
    return { body: this.#pieces(client, signal), dropped: client.dropped.signal };
  }

  async *#pieces(client: Client, signal: AbortSignal): AsyncGenerator<string> {
    this.stats.clients++;
    const onAbort = () => client.wake();
    signal.addEventListener("abort", onAbort);
    try {
      yield `retry: ${LIVE_POLL_MS * 2}\n: live\n\n`;
      yield* this.#catchUp(client, signal);
      this.#clients.add(client);
      this.#schedule();
      while (!signal.aborted) {
        const pieces = client.queue.join("");
        client.queue = [];
        client.queuedBytes = 0;
        if (pieces !== "") yield pieces;
        if (client.isDropped) {
          yield "event: dropped\ndata: {}\n\n";
          return;
        }
        if (client.queue.length === 0 && !signal.aborted) {
          const isQuiet = await this.#wait(client);
          if (isQuiet) yield ": alive\n\n";
        }
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      client.cancelDrop();
      this.#clients.delete(client);
      this.stats.clients--;
      if (this.#clients.size === 0) this.#rest();
    }
  }

  /** Sends what came since the client's position, until it is where all clients are. */
  async *#catchUp(client: Client, signal: AbortSignal): AsyncGenerator<string> {
    while (!signal.aborted) {
      const news = await this.#news(client.position < 0 ? null : client.position, signal);
      if (news === null) {
        await this.#sleep(LIVE_POLL_MS, signal);
        continue;
      }
      const { events, next, isCut } = news;
      if (events.length > 0) yield this.#fresh(client, events);
      client.position = next;
      // Nothing is waited for between here and the place among the clients: so nothing is missed in between.
      this.#after ??= next;
      if (!isCut && client.position >= this.#after) return;
    }
  }

  #fresh(client: Client, events: readonly LiveEvent[]): string {
    const fresh = events.filter(({ id }) => id > client.position);
    this.stats.events += fresh.length;
    return fresh.map(({ text }) => text).join("");
  }

  /** @returns true if nothing came for a while. */
  #wait(client: Client): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (isQuiet: boolean) => {
        cancel();
        client.wake = () => {};
        resolve(isQuiet);
      };
      const cancel = this.#options.timers.schedule(LIVE_HEARTBEAT_MS, () => done(true));
      client.wake = () => done(false);
    });
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const cancel = this.#options.timers.schedule(ms, done);
      signal.addEventListener("abort", done);
    });
  }

  #schedule(): void {
    if (this.#isPolling) return;
    this.#isPolling = true;
    this.#cancelPoll = this.#options.timers.schedule(LIVE_POLL_MS, () => void this.#poll());
  }

  #rest(): void {
    this.#cancelPoll();
    this.#isPolling = false;
    this.#rests++;
    // The next client begins where the log then is, or where it says.
    this.#after = null;
  }

  async #poll(): Promise<void> {
    const rests = this.#rests;
    const news = this.#after === null ? null : await this.#news(this.#after);
    if (this.#rests !== rests) return;
    if (news !== null) {
      this.#after = news.next;
      for (const client of this.#clients) this.#push(client, news);
    }
    this.#isPolling = false;
    this.#schedule();
  }

  #push(client: Client, { events, next }: News): void {
    const text = this.#fresh(client, events);
    client.position = Math.max(client.position, next);
    if (text === "" || client.isDropped) return;
    if (client.queuedBytes + text.length > LIVE_WAITING_BYTES_MAX) {
      client.isDropped = true;
      client.queue = [];
      this.stats.dropped++;
      client.cancelDrop = this.#options.timers.schedule(
        LIVE_DROPPED_MS,
        () => client.dropped.abort(),
      );
    } else {
      client.queue.push(text);
      client.queuedBytes += text.length;
    }
    client.wake();
  }

  /** null = the thread could not answer this time. */
  async #news(after: number | null, signal?: AbortSignal): Promise<News | null> {
    const { ask, wallMs } = this.#options;
    const answer = await ask(
      { kind: "live", after, nowMs: wallMs(), timeMs: QUERY_MS_DEFAULT },
      signal,
    );
    if (answer.status !== 200) return null;
    const { next, windows, isCut } = splitNews(answer.text);
    return { next, events: windows, isCut };
  }
}

/**
 * Takes an answer apart without losing digits: the text of each window is passed on as it is. The query thread writes one
 * window a line (answer.ts).
 */
function splitNews(text: string): { next: number; windows: LiveEvent[]; isCut: boolean } {
  const [head, ...lines] = text.split("\n");
  const windows = lines.map((line) => {
    const id = Number(/^\{"id":(\d+)/.exec(line)![1]);
    return { id, text: `id: ${id}\nevent: window\ndata: ${line}\n\n` };
  });
  const { next, found } = JSON.parse(head) as { next: number; found: number };
  return { next, windows, isCut: found >= LIVE_WINDOWS_MAX };
}
