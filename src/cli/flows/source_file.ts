/**
 * Lines of JSON as a source: a node's output, a collector's export.
 *
 * In: a file that may grow, or the standard input. Out: answers of the same engine as a collector's, over a store of its own in
 * a directory for temporary files, which is removed at the end. Lines without numbers of entries say nothing of what is
 * missing: then completeness is not known. `now` is the end of the last window, for a file is seldom of today.
 */
import { createHash } from "node:crypto";
import { createReadStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { setImmediate } from "node:timers";
import { COMPLETE_LAG_MS } from "../../limits.ts";
import { Ingest, openSqliteWriter, type StoreWriter } from "../../collector/mod.ts";
import { systemError } from "../../node/mod.ts";
import { openZstd, requirePermissions } from "../../platform/mod.ts";
import { msOfNs, nsOfWallMs, parseTime, timeText } from "../../time_text.ts";
import { readInput } from "../input.ts";
import type { CommandIo } from "../io.ts";
import type { EntriesWanted, FlowsSource, LiveItem, SourceReply } from "./source.ts";
import { sleep } from "./source_http.ts";
import { StoreSource } from "./source_store.ts";
import { endMsOf } from "./values.ts";

const COLLECTION = "file";
/** Bytes of lines that are stored at once; a line may be longer. */
const BODY_BYTES = 1024 * 1024;
/** Longest line: twice what an entry may have. */
const LINE_CHARS_MAX = 8 * 1024 * 1024;
const GROWTH_POLL_MS = 500;

/** Opens one. @param isFollowed Whether what is there already is only the beginning. */
export async function openFileSource(
  path: string,
  io: CommandIo,
  isFollowed: boolean,
): Promise<FlowsSource> {
  requirePermissions([
    { name: "read", action: `read "${path}"` },
    { name: "write", action: "make a store for what is read" },
  ]);
  const directory = mkdtempSync(`${tmpdir()}/tunlog-flows-`);
  try {
    const loader = new LineLoader(directory, await openZstd());
    const source = new FileSource(path, io, directory, loader);
    if (isFollowed && path === "-") source.pump();
    else await source.load();
    return source;
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Lines → entries of a store, one stream for each node. */
class LineLoader {
  readonly storePath: string;
  /** Lines that are no JSON objects. */
  refused = 0;
  /** Start of the first window and end of the last; null = none yet. */
  firstNs: bigint | null = null;
  lastNs: bigint | null = null;
  readonly #writer: StoreWriter;
  readonly #ingest: Ingest;
  readonly #decoder = new TextDecoder();
  readonly #bodies = new Map<string, string[]>();
  #bodyChars = 0;
  #rest = "";
  #lastId = idOf("");

  constructor(directory: string, zstd: Awaited<ReturnType<typeof openZstd>>) {
    this.storePath = `${directory}/store.db`;
    this.#writer = openSqliteWriter(this.storePath, { zstd });
    this.#ingest = new Ingest({
      store: this.#writer,
      clock: { nowMs: () => performance.now(), wallMs: () => Date.now() },
      bodyBytesMax: 64 * 1024 * 1024,
      adoptAll: true,
      warn: () => {},
      defer: (run) => void setImmediate(run),
    });
  }

  /** Takes a piece of the file. */
  async push(piece: Uint8Array): Promise<void> {
    const lines = (this.#rest + this.#decoder.decode(piece, { stream: true })).split("\n");
    this.#rest = lines.pop()!;
    if (this.#rest.length > LINE_CHARS_MAX) {
      throw new Error(`Cannot read lines: one is longer than ${LINE_CHARS_MAX} characters`);
    }
    for (const line of lines) this.#take(line);
    if (this.#bodyChars >= BODY_BYTES) await this.flush();
  }

  /** Takes the last line, though no line end follows it. */
  end(): void {
    this.#take(this.#rest + this.#decoder.decode());
    this.#rest = "";
  }

  /** Stores what waits. */
  async flush(): Promise<void> {
    const bodies = [...this.#bodies];
    this.#bodies.clear();
    this.#bodyChars = 0;
    for (const [publicId, lines] of bodies) {
      const body = new TextEncoder().encode(`[${lines.join(",\n")}]`);
      const answer = await this.#ingest.store({
        ...{ collection: COLLECTION, publicId, copyPublicId: null },
        ...{ encoding: "", lengthHint: null, body },
      });
      if (answer.status !== 200) throw new Error("Cannot store what is read: is the disk full?");
    }
  }

  close(): void {
    this.#writer.close();
  }

  #take(line: string): void {
    const text = line.trim();
    if (text === "") return;
    const entry = objectOf(text);
    if (entry === null) {
      this.refused++;
      return;
    }
    // Reports and gap records name no node: they follow the messages of theirs.
    const { nodeId, logtail, start, end } = entry as Record<string, unknown>;
    const startNs = typeof start === "string" ? parseTime(start) : null;
    const endNs = typeof end === "string" ? parseTime(end) : null;
    if (startNs !== null && endNs !== null) {
      if (this.firstNs === null || startNs < this.firstNs) this.firstNs = startNs;
      if (this.lastNs === null || endNs > this.lastNs) this.lastNs = endNs;
    }
    const id = (logtail as { id?: unknown } | null | undefined)?.id;
    if (typeof id === "string" && /^[0-9a-f]{64}$/.test(id)) this.#lastId = id;
    else if (typeof nodeId === "string") this.#lastId = idOf(nodeId);
    const lines = this.#bodies.get(this.#lastId);
    if (lines === undefined) this.#bodies.set(this.#lastId, [text]);
    else lines.push(text);
    this.#bodyChars += text.length;
  }
}

function objectOf(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function idOf(nodeId: string): string {
  return createHash("sha256").update(nodeId).digest("hex");
}

class FileSource implements FlowsSource {
  readonly name: string;
  readonly #path: string;
  readonly #io: CommandIo;
  readonly #directory: string;
  readonly #loader: LineLoader;
  #store: StoreSource;
  #offset = 0;
  /** null = not looked at yet. */
  #inode: number | null = null;
  #isEnded = false;
  #failure: Error | null = null;

  constructor(path: string, io: CommandIo, directory: string, loader: LineLoader) {
    this.name = path === "-" ? "standard input" : `"${path}"`;
    this.#path = path;
    this.#io = io;
    this.#directory = directory;
    this.#loader = loader;
    this.#store = new StoreSource({
      path: loader.storePath,
      name: this.name,
      wallMs: () => this.#nowMs(),
      // All of a file has arrived: its last window is as complete as it will ever be.
      lagMs: COMPLETE_LAG_MS,
      monotonicMs: () => performance.now(),
    });
    this.#store.isEnded = () => this.#isEnded;
  }

  /** First to last window; null = there is none. */
  get range(): { from: string; to: string } | null {
    const { firstNs } = this.#loader;
    if (firstNs === null) return null;
    return { from: timeText(nsOfWallMs(msOfNs(firstNs))), to: "now" };
  }

  /** Reads all that is there. */
  async load(): Promise<void> {
    for await (const piece of readInput(this.#path, this.#io)) {
      this.#offset += piece.length;
      await this.#loader.push(piece);
    }
    this.#loader.end();
    await this.#loader.flush();
    this.#tellRefused();
  }

  /** Reads on as it comes. */
  pump(): void {
    const run = async () => {
      for await (const piece of this.#io.stdinChunks()) {
        await this.#loader.push(piece);
        await this.#loader.flush();
      }
      this.#loader.end();
      await this.#loader.flush();
    };
    run().catch((error) => this.#failure = error).finally(() => {
      this.#tellRefused();
      this.#isEnded = true;
    });
  }

  ask(path: string, parameters: URLSearchParams): Promise<SourceReply> {
    return this.#store.ask(path, parameters);
  }

  async *live(after: number, signal: AbortSignal): AsyncGenerator<LiveItem> {
    const end = new AbortController();
    const stop = () => end.abort();
    signal.addEventListener("abort", stop, { once: true });
    const growth = this.#path === "-" ? Promise.resolve() : this.#followGrowth(end.signal);
    growth.catch((error) => {
      this.#failure = error;
      this.#isEnded = true;
    });
    try {
      yield* this.#store.live(after, end.signal);
    } finally {
      end.abort();
      signal.removeEventListener("abort", stop);
    }
    if (this.#failure !== null) throw this.#failure;
  }

  entries(wanted: EntriesWanted): AsyncGenerator<string> {
    return this.#store.entries(wanted);
  }

  async close(): Promise<void> {
    await this.#store.close();
    this.#loader.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #followGrowth(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let size: number;
      let inode: number;
      try {
        ({ size, ino: inode } = statSync(this.#path));
      } catch (error) {
        throw systemError(`read "${this.#path}"`, error);
      }
      // Rotated, in place or by another file of the name: it begins anew.
      if (size < this.#offset || inode !== (this.#inode ?? inode)) this.#offset = 0;
      this.#inode = inode;
      if (size > this.#offset) {
        const start = this.#offset;
        const pieces = createReadStream(this.#path, { start, end: size - 1 });
        for await (const piece of pieces as AsyncIterable<Uint8Array>) {
          this.#offset += piece.length;
          await this.#loader.push(piece);
        }
        await this.#loader.flush();
      }
      await sleep(GROWTH_POLL_MS, signal);
    }
  }

  #nowMs(): number {
    const { lastNs } = this.#loader;
    return lastNs === null ? Date.now() : endMsOf(lastNs) + COMPLETE_LAG_MS;
  }

  #tellRefused(): void {
    const { refused } = this.#loader;
    if (refused === 0) return;
    this.#io.stderr(
      `tunlog: ${refused} lines of ${this.name} are no JSON objects and are left out\n`,
    );
  }
}
