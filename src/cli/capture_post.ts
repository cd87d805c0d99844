/**
 * Sends the flow log of a capture to a log collection, as a node sends its own.
 *
 * In: options, windows. Out: entries in the collection, each once or an error that says what is missing. What waits is kept
 * in memory and bounded: the reader waits for room, and gives up when nothing is delivered for POST_STALL_MS.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ClockPort, TimerPort } from "../ports.ts";
import { parsePrivateId } from "../logtail/mod.ts";
import type { LoggedWindow } from "../netlog/mod.ts";
import { type CollectorOutput, openCollectorOutput, systemError } from "../node/mod.ts";
import { openClock, openTimers, openZstd, requirePermissions } from "../platform/mod.ts";
import { type OptionValues, UsageError } from "./args.ts";
import type { COMMANDS } from "./commands.ts";

/** Where to. */
export interface PostTarget {
  /** Without a slash at its end. */
  readonly url: string;
  readonly collection: string;
  /** 64 hexadecimal digits; a credential. */
  readonly privateId: string;
}

/** Bytes that may wait before the capture is read on: eight bodies. */
const WAITING_BYTES_CALM = 2 * 1024 * 1024;
/** And ever: one piece of a capture makes far fewer. */
const WAITING_BYTES_MAX = 256 * 1024 * 1024;
/** Nothing delivered for so long: the collection is not there. */
const POST_STALL_MS = 60_000;
const POLL_MS = 20;

/** Reads `--post`, `--collection` and `--id`; null = nothing is to be sent. @throws {UsageError} If one is missing or wrong. */
export function postTargetOf(
  { post, collection, id }: OptionValues<typeof COMMANDS.pcap.options>,
): PostTarget | null {
  if (post === undefined) {
    for (const [name, value] of Object.entries({ collection, id })) {
      if (value !== undefined) throw new UsageError(`Option "--${name}" needs "--post"`);
    }
    return null;
  }
  if (collection === undefined) throw new UsageError('Option "--post" needs "--collection"');
  if (id === undefined) throw new UsageError('Option "--post" needs "--id"');
  if (!/^[a-zA-Z0-9_.-]{1,253}$/.test(collection)) {
    throw new UsageError("--collection must be 1 to 253 characters a-z A-Z 0-9 _ . -");
  }
  if (!URL.canParse(post) || !/^https?:$/.test(new URL(post).protocol)) {
    throw new UsageError(`--post must be a URL such as http://localhost:8080`);
  }
  requirePermissions([{ name: "read", action: "read the private id" }]);
  return { url: post.replace(/\/+$/, ""), collection, privateId: readPrivateId(id) };
}

/** A file of 64 hexadecimal digits, or the original's, JSON with PrivateID. What it holds is never repeated. */
function readPrivateId(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw systemError(`read "${path}"`, error);
  }
  try {
    const digits = text.startsWith("{") ? String(JSON.parse(text).PrivateID) : text;
    parsePrivateId(digits);
    return digits.toLowerCase();
  } catch {
    throw new UsageError(`--id "${path}" must hold 64 hexadecimal digits, or JSON with PrivateID`);
  }
}

/** Opens the way there. */
export async function openCapturePost(
  { url, collection, privateId }: PostTarget,
  warn: (message: string) => void,
): Promise<CapturePost> {
  requirePermissions([{ name: "net", action: `send to ${url}` }]);
  const platform = { clock: openClock(), timers: openTimers(), randomWords, openZstd };
  const collector = { url, collection, privateId, copyId: null, spoolBytesMax: WAITING_BYTES_MAX };
  const output = await openCollectorOutput({ collector, stateDirectory: null }, platform, warn);
  return new CapturePost(output!, platform);
}

function randomWords(count: number): Uint32Array {
  const words = new Uint32Array(count);
  new Uint8Array(words.buffer).set(randomBytes(words.byteLength));
  return words;
}

/** See file header. */
export class CapturePost {
  readonly #output: CollectorOutput;
  readonly #clock: ClockPort;
  readonly #timers: TimerPort;

  constructor(
    output: CollectorOutput,
    { clock, timers }: { readonly clock: ClockPort; readonly timers: TimerPort },
  ) {
    this.#output = output;
    this.#clock = clock;
    this.#timers = timers;
  }

  write(window: LoggedWindow): void {
    this.#output.write(window);
  }

  /** Waits while much waits. @throws {Error} If nothing is delivered any more. */
  async makeRoom(): Promise<void> {
    let delivered = -1;
    let sinceMs = 0;
    for (;;) {
      const { waitingBytes, delivery } = this.#output.status();
      if (waitingBytes <= WAITING_BYTES_CALM) return;
      const nowMs = this.#clock.nowMs();
      if (delivery.entriesDelivered !== delivered) {
        delivered = delivery.entriesDelivered;
        sinceMs = nowMs;
      } else if (nowMs - sinceMs > POST_STALL_MS) {
        await this.#output.close(0);
        throw this.#undelivered();
      }
      await new Promise<void>((resolve) => this.#timers.schedule(POLL_MS, resolve));
    }
  }

  /** Delivers the rest. @throws {Error} If something is left, or was refused. */
  async close(): Promise<void> {
    await this.#output.close(POST_STALL_MS);
    const { waitingEntries, lost } = this.#output.status();
    if (waitingEntries > 0 || Object.keys(lost).length > 0) throw this.#undelivered();
  }

  #undelivered(): Error {
    const { waitingEntries, lost, delivery } = this.#output.status();
    const losses = Object.entries(lost).map(([cause, { entries }]) =>
      `, ${entries} lost: ${cause}`
    );
    const problem = delivery.lastProblem === null ? "" : ` (${delivery.lastProblem})`;
    return new Error(
      `Cannot deliver all: ${waitingEntries} messages wait${losses.join("")}${problem}`,
    );
  }
}
