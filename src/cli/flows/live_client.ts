/**
 * Server-sent events of a collector, across lost connections.
 *
 * In: a way to connect. Out: windows, each once, and notices for people. Guarantees: a connection that is lost or silent is
 * made again from the last id; what the collector refuses for good is thrown.
 */
import { LIVE_HEARTBEAT_MS } from "../../limits.ts";
import { Members } from "./members.ts";
import type { LiveItem } from "./source.ts";

/** What it works with. */
export interface LiveConnector {
  /** @throws {LostConnection} If it may work later; any other error is final. */
  connect(after: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** Ends early when the signal is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  schedule(delayMs: number, run: () => void): () => void;
}

/** The collector cannot be reached now. */
export class LostConnection extends Error {
  override readonly name = "LostConnection";
}

const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 30_000;
/** A collector that lives says so more often. */
const SILENT_MS_MAX = 3 * LIVE_HEARTBEAT_MS;
/** More than any event of ours has. */
const EVENT_CHARS_MAX = 1024 * 1024;

/** See file header. */
export async function* followLive(
  connector: LiveConnector,
  start: number,
  signal: AbortSignal,
): AsyncGenerator<LiveItem> {
  let after = start;
  let isLost = false;
  let retryMs = RETRY_MS_MIN;
  while (!signal.aborted) {
    const link = new AbortController();
    const unlink = () => link.abort();
    signal.addEventListener("abort", unlink, { once: true });
    let problem = "the collector ended it";
    try {
      const pieces = await connector.connect(after, link.signal);
      if (isLost) yield { kind: "notice", text: "Connected again, from where it was left" };
      isLost = false;
      retryMs = RETRY_MS_MIN;
      for await (const events of readEvents(watched(pieces, connector, link))) {
        const isDropped = events.some(({ event }) => event === "dropped");
        const windows = events.filter(({ event }) => event === "window")
          .map(({ data }) => Members.parse(data))
          .filter((window) => window.number("id") > after);
        if (windows.length > 0) {
          yield { kind: "windows", windows };
          after = windows.at(-1)!.number("id");
        }
        if (isDropped) problem = "this end was too slow";
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof LostConnection)) throw error;
      problem = error.message;
    } finally {
      signal.removeEventListener("abort", unlink);
      link.abort();
    }
    if (signal.aborted) return;
    if (!isLost) {
      yield {
        kind: "notice",
        text: `Connection to the collector was lost (${problem}): trying again`,
      };
    }
    isLost = true;
    await connector.sleep(retryMs, signal);
    retryMs = Math.min(RETRY_MS_MAX, retryMs * 2);
  }
}

/** Ends with LostConnection when nothing comes for too long, or the connection breaks. */
async function* watched(
  pieces: AsyncIterable<Uint8Array>,
  { schedule }: LiveConnector,
  link: AbortController,
): AsyncGenerator<Uint8Array> {
  let isSilent = false;
  const watch = () =>
    schedule(SILENT_MS_MAX, () => {
      isSilent = true;
      link.abort();
    });
  let cancel = watch();
  try {
    for await (const piece of pieces) {
      cancel();
      yield piece;
      cancel = watch();
    }
  } catch (error) {
    throw new LostConnection(isSilent ? "it was silent" : "it broke off", { cause: error });
  } finally {
    cancel();
  }
}

interface ServerEvent {
  readonly event: string;
  readonly data: string;
}

/** Splits a stream into events (HTML standard, server-sent events): those that came together, together. */
export async function* readEvents(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<ServerEvent[]> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of pieces) {
    const blocks = (rest + decoder.decode(piece, { stream: true })).split(/\r?\n\r?\n/);
    rest = blocks.pop()!;
    if (rest.length > EVENT_CHARS_MAX) {
      throw new Error("Cannot follow the log: an event has no end");
    }
    const events = blocks.map(eventOf).filter(({ data }) => data !== "");
    if (events.length > 0) yield events;
  }
}

function eventOf(block: string): ServerEvent {
  let event = "message";
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^(event|data): ?(.*)$/.exec(line) ?? [];
    if (name === "event") event = value;
    if (name === "data") data.push(value);
  }
  return { event, data: data.join("\n") };
}
