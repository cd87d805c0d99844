/**
 * A collector out of plain settings, in this thread: for `tunlog collect` and for the worker beside a node.
 *
 * In: settings that can be sent to a thread. Out: a Collector. It needs no FFI.
 */
import { Collector, type CollectorOptions } from "../collector/mod.ts";
import type { ClockPort } from "../ports.ts";
import { openTimers, openZstd } from "../platform/mod.ts";
import { mountQueries } from "./query_thread.ts";

/** What of a collector's options people choose. */
export type CollectorSettings = Omit<
  CollectorOptions,
  "clock" | "timers" | "zstd" | "mount" | "warn"
>;

/** Makes it; the caller starts it. */
export async function makeCollector(
  settings: CollectorSettings,
  warn: (message: string) => void,
): Promise<Collector> {
  return new Collector({
    ...settings,
    clock: CLOCK,
    timers: openTimers(),
    zstd: await openZstd(),
    mount: (parts) => mountQueries(parts, warn),
    warn,
  });
}

/** Not the platform's, which counts a laptop's sleep but needs FFI; here nothing depends on that. */
const CLOCK: ClockPort = { nowMs: () => performance.now(), wallMs: () => Date.now() };
