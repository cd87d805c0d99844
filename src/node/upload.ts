/**
 * Sends bodies to the collector (SPEC 2.2).
 *
 * In: bodies. Out: one POST each, compressed where that pays, and how it ended. Guarantees: never rejects; one request
 * takes a bounded time and its answer a bounded length; no redirect is followed, for the private id in the URL is the right to
 * write and must not travel to another host; no text that comes out holds that id. Not here: what to do about a failure.
 */
import { COMPRESS_BODY_BYTES_MIN, COMPRESS_SAVED_BYTES_MIN } from "../logtail/mod.ts";
import type { ZstdPort } from "../ports.ts";

/** Time for one request and its answer (SPEC 2.2). */
export const UPLOAD_TIMEOUT_MS = 45_000;
/** Bytes of an answer that are read (SPEC 2.8). */
const ANSWER_BYTES_MAX = 1_024;
/** Characters of a problem. */
const PROBLEM_CHARS_MAX = 200;

/** Where and how to send. */
export interface UploaderOptions {
  /** Collector, without a slash at its end or with one. */
  readonly baseUrl: URL;
  readonly collection: string;
  /** 64 hexadecimal digits; a credential. */
  readonly privateId: string;
  /** Stream that is to get a copy; as secret as the private id. */
  readonly copyId: string | null;
  readonly zstd: ZstdPort;
  readonly timeoutMs?: number;
}

/** How one upload ended. */
export interface UploadResult {
  /** HTTP status; null = no answer. */
  readonly status: number | null;
  /** The header's text. */
  readonly retryAfter: string | null;
  /** What went wrong, for people; null = nothing. */
  readonly problem: string | null;
  /** Length of the body that was sent. */
  readonly sentBytes: number;
}

/** See file header. */
export class Uploader {
  readonly #options: UploaderOptions;
  readonly #url: string;
  /** Aborts each request that is under way. */
  readonly #aborts = new Set<AbortController>();
  #isClosed = false;

  constructor(options: UploaderOptions) {
    this.#options = options;
    const { baseUrl, collection, privateId, copyId } = options;
    const query = copyId === null ? "" : `?copyId=${copyId}`;
    this.#url = `${baseUrl.href.replace(/\/+$/, "")}/c/${collection}/${privateId}${query}`;
  }

  /** Sends one body. @param body Read until the promise settles. */
  async post(body: Uint8Array): Promise<UploadResult> {
    const packed = this.#pack(body);
    const sentBytes = packed.body.length;
    const failed = (problem: string): UploadResult => {
      return { status: null, retryAfter: null, problem, sentBytes };
    };
    if (this.#isClosed) return failed("the uploader is closed");
    const { timeoutMs = UPLOAD_TIMEOUT_MS } = this.#options;
    const abort = new AbortController();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      abort.abort();
    }, timeoutMs);
    this.#aborts.add(abort);
    try {
      return { ...await this.#exchange(packed, abort.signal), sentBytes };
    } catch (error) {
      if (isLate) return failed(`no answer within ${timeoutMs} ms`);
      return failed(this.#isClosed ? "the uploader was closed" : this.#describe(error));
    } finally {
      clearTimeout(timer);
      this.#aborts.delete(abort);
    }
  }

  /** Ends requests that are under way; later ones fail. Safe to call twice. */
  close(): void {
    this.#isClosed = true;
    for (const abort of this.#aborts) abort.abort();
  }

  #pack(body: Uint8Array): PackedBody {
    if (body.length < COMPRESS_BODY_BYTES_MIN) return { body, headers: {} };
    const compressed = this.#compress(body);
    if (body.length - compressed.length < COMPRESS_SAVED_BYTES_MIN) return { body, headers: {} };
    const headers = { "content-encoding": "zstd", "orig-content-length": String(body.length) };
    return { body: compressed, headers };
  }

  /** A compressor that fails, for want of memory say, must not keep the body from going. */
  #compress(body: Uint8Array): Uint8Array {
    try {
      return this.#options.zstd.compress(body);
    } catch {
      return body;
    }
  }

  async #exchange(
    packed: PackedBody,
    signal: AbortSignal,
  ): Promise<Omit<UploadResult, "sentBytes">> {
    const response = await fetch(this.#url, {
      method: "POST",
      // What is read of an answer is bounded, so it must not unpack to more.
      headers: { ...packed.headers, "accept-encoding": "identity" },
      body: packed.body as Uint8Array<ArrayBuffer>,
      redirect: "manual",
      signal,
    });
    const { status } = response;
    const text = await readStart(response);
    return {
      status,
      retryAfter: response.headers.get("retry-after"),
      problem: response.ok
        ? null
        : this.#clean(`status ${status}${text === "" ? "" : `: ${text}`}`),
    };
  }

  /** The runtimes' messages hold the URL; some say more in the cause. */
  #describe(error: unknown): string {
    const parts: string[] = [];
    for (let part = error; part instanceof Error && parts.length < 3; part = part.cause) {
      if (part.message !== "") parts.push(part.message);
    }
    return this.#clean(parts.length === 0 ? String(error) : parts.join(": "));
  }

  /** One line without secrets: a collector may answer with the URL, too. */
  #clean(text: string): string {
    const { privateId, copyId } = this.#options;
    let clean = text;
    for (const secret of [privateId, copyId]) {
      if (secret !== null && secret !== "") {
        clean = clean.replace(new RegExp(secret, "gi"), "<private id>");
      }
    }
    // deno-lint-ignore no-control-regex -- Control characters would reach a terminal.
    clean = clean.replace(/[\u0000-\u0020\u007f-\u009f]+/g, " ").trim();
    return clean.length <= PROBLEM_CHARS_MAX ? clean : `${clean.slice(0, PROBLEM_CHARS_MAX)}…`;
  }
}

interface PackedBody {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Reads the start of an answer; a short one to its end, so that the connection can be used again. What breaks off does not
 * matter any more: the status is known.
 */
async function readStart(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return "";
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (let bytes = 0; bytes <= ANSWER_BYTES_MAX;) {
      const { done, value } = await reader.read();
      if (done) return text;
      text += decoder.decode(value.subarray(0, ANSWER_BYTES_MAX - bytes), { stream: true });
      bytes += value.length;
    }
    await reader.cancel();
  } catch {
    // See above.
  }
  return text;
}
