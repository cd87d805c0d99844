/**
 * A collector over HTTP as a source.
 *
 * In: its URL, an API key. Out: replies; errors in one line for everything that keeps them away.
 */
import { Buffer } from "node:buffer";
import { QUERY_GRACE_MS, QUERY_MS_MAX } from "../../limits.ts";
import { printable } from "../../netlog/mod.ts";
import { API_PREFIX, writeJson } from "../../collector/mod.ts";
import { openTimers } from "../../platform/mod.ts";
import { followLive, LostConnection } from "./live_client.ts";
import { Members } from "./members.ts";
import {
  type EntriesWanted,
  type FlowsSource,
  type LiveItem,
  refusal,
  type SourceReply,
} from "./source.ts";

/** Beyond what any question may take: then the collector is gone, or something between us and it is. */
const ANSWER_MS_MAX = QUERY_MS_MAX + 2 * QUERY_GRACE_MS;

/** See file header. */
export class HttpSource implements FlowsSource {
  readonly name: string;
  readonly range = null;
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #answerMsMax: number;
  readonly #timers = openTimers();

  /** @param url Without a slash at its end. @param key null = none. */
  constructor(url: string, key: string | null, answerMsMax: number = ANSWER_MS_MAX) {
    this.#url = url;
    this.name = `Collector ${url}`;
    // As user name of HTTP Basic (SPEC 3).
    this.#headers = key === null
      ? {}
      : { authorization: `Basic ${Buffer.from(`${key}:`).toString("base64")}` };
    this.#answerMsMax = answerMsMax;
  }

  ask(path: string, parameters: URLSearchParams): Promise<SourceReply> {
    return this.#get(`${API_PREFIX}${path}`, parameters);
  }

  live(after: number, signal: AbortSignal): AsyncGenerator<LiveItem> {
    const connect = async (position: number, link: AbortSignal) => {
      const parameters = new URLSearchParams(position > 0 ? { after: String(position) } : {});
      let response: Response;
      try {
        response = await this.#fetch(`${API_PREFIX}/live`, parameters, link);
      } catch (error) {
        throw new LostConnection(error instanceof Error ? error.message : String(error));
      }
      if (response.status === 200 && response.body !== null) return response.body;
      const reply = { status: response.status, text: await response.text() };
      const error = refusal(this, reply);
      throw reply.status >= 500 ? new LostConnection(error.message) : error;
    };
    const schedule = this.#timers.schedule;
    return followLive({ connect, schedule, sleep: (ms, end) => sleep(ms, end) }, after, signal);
  }

  async *entries({ collection, from, to }: EntriesWanted): AsyncGenerator<string> {
    for (const name of collection === null ? await this.#collections() : [collection]) {
      let after: number | null = 0;
      while (after !== null) {
        const parameters: URLSearchParams = new URLSearchParams({
          "time-start": from,
          "time-end": to,
          after: String(after),
        });
        const page: Members = await this.#read(`/c/${encodeURIComponent(name)}`, parameters);
        for (const entry of page.objects("logs")) yield writeJson(entry.value);
        after = page.isNull("next") ? null : page.number("next");
      }
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #collections(): Promise<string[]> {
    const answer = await this.#read("/collections", new URLSearchParams());
    return Object.keys(answer.object("collections").value);
  }

  async #read(path: string, parameters: URLSearchParams): Promise<Members> {
    const reply = await this.#get(path, parameters);
    if (reply.status !== 200) throw refusal(this, reply, parameters);
    return Members.parse(reply.text);
  }

  async #get(path: string, parameters: URLSearchParams): Promise<SourceReply> {
    const late = new AbortController();
    const cancel = this.#timers.schedule(this.#answerMsMax, () => late.abort());
    try {
      const response = await this.#fetch(path, parameters, late.signal);
      const retryAfter = response.headers.get("retry-after") ?? "";
      return {
        status: response.status,
        text: await response.text(),
        retryAfterS: /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : null,
      };
    } catch (error) {
      if (late.signal.aborted) {
        throw new Error(`${this.name} did not answer within ${this.#answerMsMax / 1_000} s`);
      }
      throw error;
    } finally {
      cancel();
    }
  }

  async #fetch(path: string, parameters: URLSearchParams, signal: AbortSignal): Promise<Response> {
    const query = parameters.toString();
    try {
      return await fetch(`${this.#url}${path}${query === "" ? "" : `?${query}`}`, {
        headers: this.#headers,
        // A key must not follow to wherever another server points.
        redirect: "manual",
        signal,
      });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new Error(`Cannot reach ${this.name.toLowerCase()}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }
}

/** Why a connection failed; the runtimes' words differ. */
export function reasonOf(error: unknown): string {
  const words = wordsOf(error);
  if (/refused/i.test(words)) return "connection refused: is it running there?";
  if (/dns|resolve|ENOTFOUND|EAI_AGAIN|name or service|lookup/i.test(words)) {
    return "its name is not known";
  }
  if (/certificate|UnknownIssuer|SELF_SIGNED|CERT_/i.test(words)) {
    return `its certificate is not trusted (${printable(words.split("\n")[0])})`;
  }
  if (/unreachable/i.test(words)) return "there is no route to it";
  if (/time[d]?.?out/i.test(words)) return "it did not answer";
  return printable(words.split("\n")[0]);
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? ` (${error.code})` : "";
  const cause = error.cause === undefined ? "" : ` ${wordsOf(error.cause)}`;
  return `${error.message}${code}${cause}`;
}

/** Waits, or until the signal. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const cancel = openTimers().schedule(ms, done);
    signal.addEventListener("abort", done, { once: true });
  });
}
