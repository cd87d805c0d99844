/**
 * `[Collector]`: a log collection in the node's own process.
 *
 * In: the section. Out: its settings with defaults. Not here: the collector itself; cli starts it beside the node.
 */
import {
  HOURS_KEPT_MS_DEFAULT,
  MINUTES_KEPT_MS_DEFAULT,
  RAW_KEPT_MS_DEFAULT,
  STORE_BYTES_MAX_DEFAULT,
} from "../limits.ts";
import { parseAddress } from "../packet/mod.ts";
import { COLLECTOR_KEYS } from "./config_keys.ts";
import type { Section } from "./config_parser.ts";
import { COLLECTOR_DIRECTORY, COLLECTOR_LISTEN, type ListenAddress } from "./listen_address.ts";

/** See file header. */
export interface EmbeddedCollectorConfig {
  readonly listen: ListenAddress;
  /** Absolute path. */
  readonly directory: string;
  /** How long each tier is kept. */
  readonly rawMs: number;
  readonly minutesMs: number;
  readonly hoursMs: number;
  /** Size of the store above which the oldest goes. */
  readonly bytesMax: number;
}

/** Reads the section; one without keys is all defaults. */
export function readEmbeddedCollector(section: Section): EmbeddedCollectorConfig {
  return {
    listen: section.one(COLLECTOR_KEYS.listen) ?? COLLECTOR_LISTEN,
    directory: section.one(COLLECTOR_KEYS.data) ?? COLLECTOR_DIRECTORY,
    rawMs: section.one(COLLECTOR_KEYS.rawDays) ?? RAW_KEPT_MS_DEFAULT,
    minutesMs: section.one(COLLECTOR_KEYS.minuteDays) ?? MINUTES_KEPT_MS_DEFAULT,
    hoursMs: section.one(COLLECTOR_KEYS.hourDays) ?? HOURS_KEPT_MS_DEFAULT,
    bytesMax: section.one(COLLECTOR_KEYS.sizeMax) ?? STORE_BYTES_MAX_DEFAULT,
  };
}

/** How the node beside it reaches it. */
export function embeddedUrl({ host, port }: ListenAddress): string {
  const isAny = /^[0:.]+$/.test(host);
  const family = parseAddress(host)?.family ?? 4;
  const reached = isAny ? (family === 6 ? "::1" : "127.0.0.1") : host;
  return `http://${family === 6 ? `[${reached}]` : reached}:${port}`;
}
