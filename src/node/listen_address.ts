/** Where a collector listens, how long it keeps things, as people write them: in a file and on the command line. */
import { STORE_BYTES_MAX_DEFAULT } from "../limits.ts";
import { parseAddressPort } from "../packet/mod.ts";
import { parseByteCount, parseDecimal } from "./config_values.ts";

/** An address of this machine and a port. */
export interface ListenAddress {
  readonly host: string;
  /** 1 .. 65535; 0 = the kernel's choice, where that may be asked for. */
  readonly port: number;
}

/** Unless configured. */
export const COLLECTOR_LISTEN: ListenAddress = { host: "127.0.0.1", port: 8080 };
/** Unless configured. */
export const COLLECTOR_DIRECTORY = "/var/lib/tunlog/collector";
/** Years that make no difference any more; a roll-up of hours is small. */
const DAYS_MAX = 36_500;
const MS_PER_DAY = 86_400_000;
const STORE_BYTES_MIN = 64 * 1024 * 1024;
const STORE_BYTES_MAX = 1_024 * STORE_BYTES_MAX_DEFAULT;

/** Completes "must be …". */
export const LISTEN_FORM = "an address with a port 1..65535, e.g. 127.0.0.1:8080 or [::1]:8080";
export const DAYS_FORM = `whole days 1..${DAYS_MAX}`;
export const STORE_SIZE_FORM = "bytes with an optional K, M or G, from 64M on";
export const DIRECTORY_FORM = "an absolute path";

/** Reads one. @param portMin 0 where the kernel may choose. */
export function parseListen(text: string, portMin = 1): ListenAddress | undefined {
  const end = parseAddressPort(text);
  if (end === null || end.zone !== "" || end.port < portMin) return undefined;
  return { host: text.slice(0, text.lastIndexOf(":")).replace(/[[\]]/g, ""), port: end.port };
}

/** Reads days. @returns Milliseconds. */
export function parseDays(text: string): number | undefined {
  const days = parseDecimal(text, 1, DAYS_MAX);
  return days === undefined ? undefined : days * MS_PER_DAY;
}

/** Reads the size of a store. */
export function parseStoreSize(text: string): number | undefined {
  return parseByteCount(text, STORE_BYTES_MIN, STORE_BYTES_MAX);
}

/** Reads the path of a directory. */
export function parseDirectory(text: string): string | undefined {
  return text.startsWith("/") && !text.includes("\0") ? text.replace(/(?<=.)\/+$/, "") : undefined;
}
