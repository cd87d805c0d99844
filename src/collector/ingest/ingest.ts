/**
 * Ingest: uploads → the store, several in one transaction.
 *
 * In: bodies with the stream that they are for. Out: an answer for each, given only after what it held is durable. What
 * arrives while a commit runs is committed together. Guarantees: a body whose entries cannot be stored for a reason of its
 * own is kept as an error entry, so that no client sends it for ever; when the store itself fails, clients are asked to
 * come again, and nothing of theirs is acknowledged.
 * Not here: HTTP, and who may write where (http/upload.ts).
 */
import { messageOf } from "../../errors.ts";
import {
  COMMIT_BODY_BYTES_MAX,
  COMMIT_ROWS_MAX,
  INGEST_BUSY_S,
  INGEST_FAILED_S,
  INGEST_WAITING_BYTES_MAX,
  REFUSED_STREAMS_MAX,
  TOO_LARGE_REFUSALS_MAX,
} from "../../limits.ts";
import { cut } from "../../logtail/mod.ts";
import type { ClockPort } from "../../ports.ts";
import { StoreError, type StoreWriter, type Stream } from "../store.ts";
import { readBody } from "./body.ts";
import { EntryReader, errorEntry, type IngestEntry } from "./entries.ts";
import { exactText } from "./json_bytes.ts";
import { RowList } from "./row_list.ts";
import { count, type IngestStats, makeIngestStats } from "./stats.ts";

/** One upload. */
export interface Upload {
  readonly collection: string;
  /** Stream that it is for, 64 hexadecimal digits, lower case. */
  readonly publicId: string;
  /** Stream that gets a copy; null = none. */
  readonly copyPublicId: string | null;
  /** Header Content-Encoding; "" = none. */
  readonly encoding: string;
  /** Header Orig-Content-Length; null = none. */
  readonly lengthHint: number | null;
  /** As it came; read until the answer. */
  readonly body: Uint8Array;
}

/** What an upload is answered. */
export interface UploadAnswer {
  readonly status: 200 | 413 | 503;
  /** Valid iff status is 503: seconds. */
  readonly retryAfterS?: number;
}

/** What ingest works with. */
export interface IngestOptions {
  readonly store: StoreWriter;
  readonly clock: ClockPort;
  /** Limit of a body after decompression. */
  readonly bodyBytesMax: number;
  /** Whether streams are adopted when they are first seen. */
  readonly adoptAll: boolean;
  readonly warn: (message: string) => void;
  /** Calls back soon, after what has arrived meanwhile: setImmediate(). */
  readonly defer: (run: () => void) => void;
}

interface Waiting {
  readonly upload: Upload;
  readonly answer: (answer: UploadAnswer) => void;
}

const DONE: UploadAnswer = { status: 200 };
const TOO_LARGE: UploadAnswer = { status: 413 };
const FAILED: UploadAnswer = { status: 503, retryAfterS: INGEST_FAILED_S };
/** Bytes of a body that nothing could be made of, as its error entry shows them. */
const SHOWN_BYTES_MAX = 1_024;
const DECODER = new TextDecoder();

/** See file header. */
export class Ingest {
  readonly stats: IngestStats = makeIngestStats();
  readonly #options: IngestOptions;
  readonly #rows = new RowList();
  readonly #reader: EntryReader;
  #waiting: Waiting[] = [];
  #isDue = false;
  /** Streams whose last body was too large: its length, and how often it came. */
  readonly #refused = new Map<string, { bytes: number; times: number }>();
  #lastFailure = "";

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#reader = new EntryReader(this.#rows, options.store);
  }

  /**
   * Reserves room for a body of at most `bytes`.
   * @returns false when too much waits already: the client is to come again after INGEST_BUSY_S.
   */
  reserve(bytes: number): boolean {
    if (this.stats.waitingBytes + bytes > INGEST_WAITING_BYTES_MAX) {
      this.countAnswer({ status: 503, retryAfterS: INGEST_BUSY_S });
      return false;
    }
    this.stats.waitingBytes += bytes;
    return true;
  }

  /** Gives room back, after the answer. */
  release(bytes: number): void {
    this.stats.waitingBytes -= bytes;
  }

  /** Stores an upload. Its room must have been reserved. */
  async store(upload: Upload): Promise<UploadAnswer> {
    this.stats.wireBytes += upload.body.length;
    return await new Promise<UploadAnswer>((resolve) => {
      this.#waiting.push({ upload, answer: (answer) => resolve(this.countAnswer(answer)) });
      this.#schedule();
    });
  }

  /**
   * What a body is answered that is over the limit before it is read. A stock client sends the same body for ever; ours
   * sends a smaller one. So who sends the same length again and again gets an error entry and a 200.
   */
  async refuse(
    upload: Omit<Upload, "body" | "encoding" | "lengthHint">,
    bytes: number,
  ): Promise<UploadAnswer> {
    if (!this.#isStuck(upload.publicId, bytes)) return this.countAnswer(TOO_LARGE);
    const body = new TextEncoder().encode(tooLargeEntry(bytes, this.#options.bodyBytesMax));
    return await this.store({ ...upload, encoding: "", lengthHint: null, body });
  }

  /** Counts an answer that was given elsewhere. */
  countAnswer(answer: UploadAnswer): UploadAnswer {
    count(this.stats.answers, answer.status);
    return answer;
  }

  /** Commits what waits, all of it. */
  flush(): void {
    while (this.#waiting.length > 0) this.#commitNext();
  }

  #schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#options.defer(() => {
      this.#isDue = false;
      if (this.#waiting.length > 0) this.#commitNext();
      if (this.#waiting.length > 0) this.#schedule();
    });
  }

  /** Commits as many as one transaction takes, and answers them. */
  #commitNext(): void {
    const taken: Waiting[] = [];
    const batch = this.#newBatch();
    while (taken.length < this.#waiting.length) {
      const next = this.#waiting[taken.length];
      const mark = batch.entries.length;
      const rowCount = this.#rows.count;
      try {
        this.#add(next, batch);
      } catch (error) {
        batch.entries.length = mark;
        this.#rows.truncate(rowCount);
        // There may be no room for more new addresses before a commit; alone it will have.
        if (taken.length > 0) break;
        this.#waiting.shift();
        this.#giveUp(next, error);
        return;
      }
      taken.push(next);
      if (this.#rows.count >= COMMIT_ROWS_MAX || batch.bytes >= COMMIT_BODY_BYTES_MAX) break;
    }
    this.#waiting.splice(0, taken.length);
    try {
      this.#commit(batch);
      for (const { answer } of taken) answer(batch.tooLarge.has(answer) ? TOO_LARGE : DONE);
    } catch (error) {
      if (error instanceof StoreError && error.code !== "other") this.#putOff(taken, error);
      else this.#commitEach(taken, error);
    }
  }

  /** One of them is at fault, and the others must not suffer. */
  #commitEach(taken: readonly Waiting[], cause: unknown): void {
    for (const waiting of taken) {
      if (taken.length === 1) return this.#giveUp(waiting, cause);
      const batch = this.#newBatch();
      try {
        this.#add(waiting, batch);
        this.#commit(batch);
        waiting.answer(batch.tooLarge.has(waiting.answer) ? TOO_LARGE : DONE);
      } catch (error) {
        this.#giveUp(waiting, error);
      }
    }
  }

  /** A body that the store does not take, though it takes others: kept as an error entry. */
  #giveUp(waiting: Waiting, cause: unknown): void {
    if (cause instanceof StoreError && cause.code !== "other") {
      return this.#putOff([waiting], cause);
    }
    const { upload } = waiting;
    const batch = this.#newBatch();
    try {
      const { stream } = this.#streamsOf(upload);
      batch.entries.push(
        bodyError(stream.number, `Cannot store body: ${messageOf(cause)}`, upload.body),
      );
      this.#commit(batch);
      count(this.stats.problems, "not stored");
      this.#options.warn(`Body of stream ${upload.publicId} kept as an error: ${messageOf(cause)}`);
      waiting.answer(DONE);
    } catch (error) {
      this.#putOff([waiting], error);
    }
  }

  #putOff(taken: readonly Waiting[], error: unknown): void {
    const problem = messageOf(error);
    // Not once per upload: a full disk would fill what is left of it with warnings.
    if (problem !== this.#lastFailure) this.#options.warn(`Uploads are put off: ${problem}`);
    this.#lastFailure = problem;
    for (const { answer } of taken) answer(FAILED);
  }

  #newBatch(): Batch {
    this.#rows.clear();
    return { entries: [], bodyBytes: new Map(), bytes: 0, tooLarge: new Set() };
  }

  /** Reads one body into the batch. */
  #add({ upload, answer }: Waiting, batch: Batch): void {
    const { stats } = this;
    const content = readBody(upload.body, upload.encoding, this.#options.bodyBytesMax);
    if (content.kind === "tooLarge" && !this.#isStuck(upload.publicId, upload.body.length)) {
      batch.tooLarge.add(answer);
      return;
    }
    const { stream, copy } = this.#streamsOf(upload);
    const first = batch.entries.length;
    let bytes = upload.body.length;
    if (content.kind === "content") {
      bytes = content.bytes.length;
      if (upload.lengthHint !== null && upload.lengthHint !== bytes) stats.lengthHintsWrong++;
      this.#refused.delete(upload.publicId);
      this.#reader.read(content.bytes, stream.number, batch.entries);
    } else {
      const problem = content.kind === "wrong" ? content.problem : "content is too large";
      count(stats.problems, content.kind === "wrong" ? "encoding" : "too large");
      batch.entries.push(bodyError(stream.number, `Cannot read body: ${problem}`, upload.body));
    }
    batch.bytes += bytes;
    addTo(batch.bodyBytes, stream.number, bytes);
    if (copy !== null) {
      this.#copyEntries(batch.entries, first, copy.number);
      addTo(batch.bodyBytes, copy.number, bytes);
    }
  }

  #copyEntries(entries: IngestEntry[], first: number, stream: number): void {
    for (const entry of entries.slice(first)) {
      if (entry.kind !== "message") entries.push({ ...entry, stream });
      else {
        const firstRow = this.#rows.copy(entry.firstRow, entry.rowCount, stream);
        entries.push({ ...entry, stream, firstRow });
      }
    }
  }

  #streamsOf({ collection, publicId, copyPublicId }: Upload): {
    stream: Stream;
    copy: Stream | null;
  } {
    const find = (id: string): Stream => {
      const { store, adoptAll } = this.#options;
      const nowMs = this.#wallMs();
      const stream = store.stream(collection, id, nowMs);
      return adoptAll && stream.adoptedMs === null ? store.adopt(collection, id, nowMs) : stream;
    };
    const stream = find(publicId);
    const isCopied = copyPublicId !== null && copyPublicId !== publicId;
    return { stream, copy: isCopied ? find(copyPublicId) : null };
  }

  #commit({ entries, bodyBytes, bytes }: Batch): void {
    const { stats } = this;
    if (entries.length === 0 && bytes === 0) return;
    const { store, clock } = this.#options;
    const startMs = clock.nowMs();
    try {
      const columns = this.#rows.columns;
      const result = store.commit({ receivedMs: this.#wallMs(), entries, columns, bodyBytes });
      stats.commits++;
      stats.rows += result.rows;
      stats.repeated += result.repeated;
      stats.bodyBytes += bytes;
      for (const entry of entries) {
        count(stats.entries, entry.kind);
        if (entry.kind === "drops") stats.dropsDeclared += entry.dropped;
        if (entry.kind === "error") count(stats.problems, "entries");
      }
      this.#lastFailure = "";
    } catch (error) {
      stats.commitsFailed++;
      throw error;
    } finally {
      stats.commitMs += clock.nowMs() - startMs;
    }
  }

  /** Whether the stream sends a body of this length again and again. */
  #isStuck(publicId: string, bytes: number): boolean {
    const refused = this.#refused.get(publicId);
    if (refused === undefined || refused.bytes !== bytes) {
      if (this.#refused.size >= REFUSED_STREAMS_MAX) this.#refused.clear();
      this.#refused.set(publicId, { bytes, times: 1 });
      return false;
    }
    if (++refused.times < TOO_LARGE_REFUSALS_MAX) return false;
    this.#refused.delete(publicId);
    return true;
  }

  #wallMs(): number {
    return Math.floor(this.#options.clock.wallMs());
  }
}

interface Batch {
  readonly entries: IngestEntry[];
  readonly bodyBytes: Map<number, number>;
  bytes: number;
  /** Answers of the bodies that were too large. */
  readonly tooLarge: Set<Waiting["answer"]>;
}

function bodyError(stream: number, detail: string, body: Uint8Array): IngestEntry {
  const shown = body.subarray(0, SHOWN_BYTES_MAX * 2);
  const text = isText(shown)
    ? DECODER.decode(shown)
    : Array.from(shown, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return errorEntry(stream, detail, exactText(cut(text, SHOWN_BYTES_MAX)));
}

/** Whether most of it can be read; compressed bytes cannot. */
function isText(bytes: Uint8Array): boolean {
  let odd = 0;
  for (const byte of bytes) if (byte < 0x09 || byte > 0x7e) odd++;
  return odd * 8 < bytes.length;
}

function tooLargeEntry(bytes: number, bytesMax: number): string {
  const detail = `Cannot read body: it has ${bytes} bytes, the limit is ${bytesMax}`;
  return `{"logtail":{"error":{"detail":"${detail}"}}}`;
}

function addTo(sums: Map<number, number>, key: number, value: number): void {
  sums.set(key, (sums.get(key) ?? 0) + value);
}
