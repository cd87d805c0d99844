/**
 * The log service's own endpoints for reading and configuring (SPEC 3): collections, instances, entries.
 *
 * In: requests. Out: JSON as its document says. Beyond it: `next` in an answer, which `after` of the next request takes,
 * for times alone cannot page through entries of one instant. Guarantees: an answer is bounded in entries and bytes; the
 * store is asked for few entries at a time, for uploads go through the same thread.
 */
import { setImmediate } from "node:timers";
import {
  RETRIEVAL_BYTES_MAX,
  RETRIEVAL_ENTRIES_MAX,
  RETRIEVAL_FOLLOWERS_MAX,
  RETRIEVAL_POLL_MS,
} from "../../limits.ts";
import { idText, parsePublicId } from "../../logtail/mod.ts";
import type { ClockPort, TimerPort } from "../../ports.ts";
import { msOfNs, nsOfWallMs, parseTime, timeText } from "../../time_text.ts";
import type { StoredEntry, StoreReader, StoreWriter, Stream } from "../store.ts";
import type { Collections } from "./collections.ts";
import { entryText } from "./entry_text.ts";
import { parseForm } from "./form.ts";
import { HttpError, type HttpReply, type HttpRequest, jsonReply, type Router } from "./router.ts";

/** What the endpoints work with. */
export interface RetrievalOptions {
  readonly writer: Pick<StoreWriter, "streams" | "adopt">;
  readonly reader: Pick<StoreReader, "entries" | "lastEntry">;
  readonly collections: Collections;
  readonly clock: ClockPort;
  readonly timers: TimerPort;
}

/** Entries that the store is asked for at once: of 256 KiB each at most. */
const STEP_ENTRIES = 8;
const NO_LATER = Number.MAX_SAFE_INTEGER;

/** Which entries a request wants. */
interface Wanted {
  readonly collection: string;
  /** Absent: all. */
  readonly streams?: readonly number[];
  readonly fromMs: number;
  readonly toMs: number;
}

/** Adds the endpoints to a router. */
export function addRetrieval(router: Router, options: RetrievalOptions): void {
  const retrieval = new Retrieval(options);
  router.add("GET", "/collections", (request) => retrieval.listCollections(request));
  router.add("POST", "/collections", (request) => retrieval.changeCollection(request));
  router.add("POST", "/instances", (request) => retrieval.adopt(request));
  router.add("GET", "/c/:collection", (request) => retrieval.entries(request));
}

class Retrieval {
  readonly #options: RetrievalOptions;
  #followers = 0;

  constructor(options: RetrievalOptions) {
    this.#options = options;
  }

  listCollections({ query }: HttpRequest): HttpReply {
    const only = query.get("collection-name") ?? "";
    const { collections, writer } = this.#options;
    const names = only === ""
      ? collections.names()
      : [only].filter((name) => collections.has(name));
    const instances = new Map(names.map((name) => [name, {} as Record<string, unknown>]));
    for (const stream of writer.streams()) {
      const instance = instances.get(stream.collection);
      if (instance === undefined) continue;
      instance[stream.publicId] = {
        "first-seen": timeText(nsOfWallMs(stream.firstSeenMs)),
        size: stream.bodyBytes,
        ...(stream.adoptedMs === null && { orphan: true }),
      };
    }
    const members = [...instances].map(([name, byId]) => [name, { instances: byId }] as const);
    return jsonReply(200, { collections: Object.fromEntries(members) });
  }

  async changeCollection(request: HttpRequest): Promise<HttpReply> {
    const form = await parseForm(request);
    const name = form.one("collection");
    const { collections, writer } = this.#options;
    switch (form.one("action")) {
      case "create":
        if (!collections.create(name)) throw new HttpError(400, "invalid collection name");
        return jsonReply(200, {});
      case "delete":
        if (!collections.delete(name)) throw new HttpError(404, "no such collection");
        // Its entries go as those of any stream that nobody wants.
        for (const { collection, publicId } of writer.streams()) {
          if (collection === name) writer.adopt(collection, publicId, null);
        }
        return jsonReply(200, {});
      default:
        throw new HttpError(400, 'action must be "create" or "delete"');
    }
  }

  async adopt(request: HttpRequest): Promise<HttpReply> {
    const form = await parseForm(request);
    const collection = form.one("collection");
    const { collections, writer, clock } = this.#options;
    const ids = form.all("instances").flatMap((text) => text.split(",")).map(publicId);
    if (ids.length === 0) throw new HttpError(400, "instances are missing");
    const adopt = form.all("adopt")[0] ?? "true";
    if (adopt !== "true" && adopt !== "false") {
      throw new HttpError(400, 'adopt must be "true" or "false"');
    }
    if (!collections.use(collection)) throw new HttpError(404, "no such collection");
    const adoptedMs = adopt === "true" ? Math.floor(clock.wallMs()) : null;
    for (const id of ids) writer.adopt(collection, id, adoptedMs);
    return jsonReply(200, {});
  }

  entries(request: HttpRequest): HttpReply {
    const { query, params } = request;
    const { collections } = this.#options;
    if (!collections.has(params.collection)) throw new HttpError(404, "no such collection");
    const isFollowed = query.get("stream") === "true";
    const hasEnd = query.has("time-end");
    if (isFollowed && (hasEnd || query.has("max-count"))) {
      throw new HttpError(400, "stream excludes time-end and max-count");
    }
    const wanted: Wanted = {
      collection: params.collection,
      ...this.#streamsIn(query, params.collection),
      fromMs: timeIn(query, "time-start") ?? 0,
      toMs: timeIn(query, "time-end") ?? NO_LATER,
    };
    const after = wholeIn(query, "after", 0, NO_LATER) ?? 0;
    const headers = { "content-type": "application/json", "cache-control": "no-store" };
    if (isFollowed) {
      if (this.#followers >= RETRIEVAL_FOLLOWERS_MAX) {
        throw new HttpError(503, "too many streams are followed", { "retry-after": "30" });
      }
      return { status: 200, headers, body: this.#follow(wanted, after, request.signal) };
    }
    const entriesMax = wholeIn(query, "max-count", 1, NO_LATER) ?? RETRIEVAL_ENTRIES_MAX;
    const limit = Math.min(entriesMax, RETRIEVAL_ENTRIES_MAX);
    return { status: 200, headers, body: this.#page(wanted, after, limit) };
  }

  /** `{"logs":[…],"next":…}`, written as it is read. */
  async *#page(wanted: Wanted, after: number, limit: number): AsyncGenerator<string> {
    const ids = this.#publicIds();
    yield '{"logs":[';
    let entries = 0;
    let bytes = 0;
    let hasMore = true;
    while (entries < limit && bytes < RETRIEVAL_BYTES_MAX) {
      const found = this.#read(wanted, after, Math.min(STEP_ENTRIES, limit - entries));
      hasMore = found.length > 0;
      if (!hasMore) break;
      const text = found.map((entry) => entryText(entry, ids(entry.stream))).join(",\n");
      yield entries === 0 ? text : `,\n${text}`;
      entries += found.length;
      bytes += text.length;
      after = found[found.length - 1].id;
      await turn();
    }
    hasMore &&= this.#read(wanted, after, 1).length > 0;
    yield hasMore ? `],"next":${after}}\n` : "]}\n";
  }

  /** One header object, then one entry per line, until the client goes. */
  async *#follow(wanted: Wanted, after: number, signal: AbortSignal): AsyncGenerator<string> {
    const ids = this.#publicIds();
    const { reader } = this.#options;
    this.#followers++;
    try {
      yield `{"logs":"stream"}\n`;
      while (!signal.aborted) {
        const found = after < reader.lastEntry() ? this.#read(wanted, after, STEP_ENTRIES) : [];
        if (found.length === 0) {
          await this.#sleep(RETRIEVAL_POLL_MS, signal);
          continue;
        }
        yield found.map((entry) => `${entryText(entry, ids(entry.stream))}\n`).join("");
        after = found[found.length - 1].id;
        await turn();
      }
    } finally {
      this.#followers--;
    }
  }

  #read(wanted: Wanted, after: number, limit: number): StoredEntry[] {
    if (wanted.streams?.length === 0) return [];
    const { toMs, ...query } = wanted;
    return this.#options.reader.entries({
      ...query,
      ...(toMs !== NO_LATER && { toMs }),
      after,
      limit,
    });
  }

  /** Public id by a stream's number; streams may come while a client follows. */
  #publicIds(): (stream: number) => string {
    let known = new Map<number, string>();
    return (number) => {
      if (!known.has(number)) {
        const streams = this.#options.writer.streams();
        known = new Map(streams.map((stream: Stream) => [stream.number, stream.publicId]));
      }
      return known.get(number) ?? "";
    };
  }

  #streamsIn(query: URLSearchParams, collection: string): { streams?: readonly number[] } {
    const texts = query.getAll("instances").flatMap((text) => text.split(","));
    const wanted = new Set(texts.filter((text) => text !== "").map(publicId));
    if (wanted.size === 0) return {};
    const streams = this.#options.writer.streams().filter((stream) =>
      stream.collection === collection && wanted.has(stream.publicId)
    );
    return { streams: streams.map((stream) => stream.number) };
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.timers.schedule(ms, () => {
        signal.removeEventListener("abort", wake);
        resolve();
      });
      const wake = () => {
        cancel();
        resolve();
      };
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}

/** Lets uploads have their turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

function publicId(text: string): string {
  try {
    return idText(parsePublicId(text));
  } catch {
    throw new HttpError(400, "an instance is a public id of 64 hexadecimal digits");
  }
}

function timeIn(query: URLSearchParams, name: string): number | null {
  const text = query.get(name) ?? "";
  if (text === "") return null;
  // A plus sign of a zone arrives as a space when it was not encoded.
  const ns = parseTime(text.replace(" ", "+"));
  if (ns === null) throw new HttpError(400, `${name} must be a time such as 2022-10-13T20:23:09Z`);
  const ms = msOfNs(ns);
  // Receipt is known to the millisecond; what is asked for starts at or ends before it.
  return nsOfWallMs(ms) === ns ? ms : ms + 1;
}

function wholeIn(query: URLSearchParams, name: string, min: number, max: number): number | null {
  const text = query.get(name) ?? "";
  if (text === "") return null;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) throw new HttpError(400, `${name} must be a whole number`);
  return value;
}
