/**
 * Opens the way to a log collection: identity, spool, stream, upload.
 *
 * In: configuration and the platform's effects. Out: an output of the flow log, ready to be written to; what a former
 * process left is on its way. Guarantees: if it fails, nothing is left open.
 */
import { makeProcId } from "../logtail/mod.ts";
import type { ClockPort, TimerPort, ZstdPort } from "../ports.ts";
import { CollectorOutput } from "./collector_output.ts";
import type { FlowLogConfig } from "./config_flow_log.ts";
import { Delivery } from "./delivery.ts";
import { openIdentity } from "./log_identity.ts";
import { LogStream } from "./log_stream.ts";
import { Spool } from "./spool.ts";
import { spoolFilesIn } from "./spool_files.ts";
import { Uploader } from "./upload.ts";

/** Folder of the spool below the state directory. */
const SPOOL_FOLDER = "spool";

/**
 * How long an upload waits for more. The parts of one window come within that; the next window is seconds away, so that a
 * longer wait saves no request, and only makes the collector's picture older.
 */
const WINDOW_FLUSH_DELAY_MS = 250;

/** What it needs of the platform. */
export interface CollectorPlatform {
  readonly clock: ClockPort;
  readonly timers: TimerPort;
  /** Unpredictable words. */
  randomWords(count: number): Uint32Array;
  openZstd(): Promise<ZstdPort>;
}

/**
 * Opens it; null when no collector is configured.
 * @throws {ConfigError} If the ids in the state directory cannot be used; {Error} if the spool cannot.
 */
export async function openCollectorOutput(
  { collector, stateDirectory }: Pick<FlowLogConfig, "collector" | "stateDirectory">,
  { clock, timers, randomWords, openZstd }: CollectorPlatform,
  warn: (message: string) => void,
): Promise<CollectorOutput | null> {
  if (collector === null) return null;
  const { url, collection, copyId, spoolBytesMax } = collector;
  const identity = openIdentity(collector, stateDirectory, warn);
  const zstd = await openZstd();
  const procId = makeProcId(new Uint8Array(randomWords(1).buffer));
  const stream: LogStream = new LogStream({
    procId,
    clock,
    append: (procSeq, meta, entry) => spool.append(procSeq, meta, entry),
  });
  const spool = new Spool({
    files: stateDirectory === null ? null : spoolFilesIn(`${stateDirectory}/${SPOOL_FOLDER}`),
    bytesMax: spoolBytesMax,
    procId,
    nextSeq: () => stream.nextSeq(),
    clock,
    warn,
  });
  spool.open();
  const { privateId, publicId } = identity;
  const delivery = new Delivery({
    spool,
    uploader: new Uploader({ baseUrl: new URL(url), collection, privateId, copyId, zstd }),
    clock,
    timers,
    random: () => randomWords(1)[0] / 2 ** 32,
    warn,
    flushDelayMs: WINDOW_FLUSH_DELAY_MS,
  });
  const about = {
    ...{ url, collection, publicId },
    compression: zstd.name,
    waitingBytesMax: spoolBytesMax,
  };
  // What a former process left does not wait for the first window.
  delivery.wake();
  return new CollectorOutput({ stream, spool, delivery, about });
}
