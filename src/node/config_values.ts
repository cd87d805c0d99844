/**
 * Values of configuration keys: one strict parser for each form.
 *
 * In: the text right of `=`, without comment and outer spaces. Out: the value; undefined when the text is not of the
 * form; a ValueError when more can be said. No parser puts a secret into a message.
 */
import {
  MTU_BYTES_MAX,
  MTU_BYTES_MIN,
  TIMER_S_MAX,
  TIMER_S_MIN,
  WINDOW_S_MAX,
  WINDOW_S_MIN,
} from "../limits.ts";
import { maskPrefix, parseAddress, parsePrefix, prefixText } from "../packet/mod.ts";
import { ENDPOINT, ENDPOINT_WORDS } from "../ports.ts";
import type { AllowedIp } from "../wireguard/mod.ts";

/** A value that is wrong in a way worth its own words; `message` continues the sentence after the quoted value. */
export class ValueError extends Error {
  override readonly name = "ValueError";
}

/** Takes a sentence that the user should see although the value is taken. */
export type Warn = (sentence: string) => void;

/** Where a peer is to be reached. */
export interface ConfigEndpoint {
  /** Address or DNS name as written, without brackets. */
  readonly host: string;
  readonly port: number;
  /** ENDPOINT_WORDS words; null = `host` is a DNS name, or has a zone by name, and is to be resolved. */
  readonly words: Uint32Array | null;
}

/** Reads decimal digits without sign or leading zero. */
export function parseDecimal(text: string, min: number, max: number): number | undefined {
  if (!/^(0|[1-9][0-9]{0,15})$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}

/** Reads decimal digits, or hexadecimal ones behind `0x`. */
export function parseDecimalOrHex(text: string, min: number, max: number): number | undefined {
  if (!/^0[xX][0-9a-fA-F]{1,8}$/.test(text)) return parseDecimal(text, min, max);
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}

/** Reads a UDP port; 0 = the kernel's choice. */
export const parseListenPort = (text: string) => parseDecimal(text, 0, 65_535);

/** Reads an MTU in bytes. */
export const parseMtu = (text: string) => parseDecimal(text, MTU_BYTES_MIN, MTU_BYTES_MAX);

/** Reads a socket mark; `off` = 0 = none. */
export function parseFwmark(text: string): number | undefined {
  return text.toLowerCase() === "off" ? 0 : parseDecimalOrHex(text, 0, 0xffff_ffff);
}

/** Tables that iproute2 knows by name. Source: linux/rtnetlink.h RT_TABLE_DEFAULT, _MAIN, _LOCAL. */
const TABLE_BY_NAME: Readonly<Record<string, number>> = { default: 253, main: 254, local: 255 };

/** Reads wg-quick's `Table`. 0 (RT_TABLE_UNSPEC) is no table. */
export function parseTable(text: string): "auto" | "off" | number | undefined {
  const word = text.toLowerCase();
  if (word === "auto" || word === "off") return word;
  return TABLE_BY_NAME[word] ?? parseDecimalOrHex(text, 1, 0xffff_ffff);
}

/** Reads `SaveConfig`, of which only `false` can be kept. */
export function parseSaveConfig(text: string): false | undefined {
  const word = text.toLowerCase();
  if (word === "true") {
    throw new ValueError(
      'cannot be kept: tunlog never rewrites the file; remove the line, and save with "wg showconf" when wanted',
    );
  }
  return word === "false" ? false : undefined;
}

/** Reads seconds between two keepalives; `off` = 0 = none. */
export function parseKeepalive(text: string): number | undefined {
  return text.toLowerCase() === "off" ? 0 : parseDecimal(text, 0, 65_535);
}

/** Reads the length of a flow-log window. @returns Milliseconds. */
export function parsePeriodMs(text: string): number | undefined {
  const seconds = parseDecimal(text, WINDOW_S_MIN, WINDOW_S_MAX);
  return seconds === undefined ? undefined : seconds * 1000;
}

/** Reads a timer in seconds with up to three decimals. @returns Milliseconds. */
export function parseTimerMs(text: string): number | undefined {
  if (!/^[0-9]{1,6}(\.[0-9]{1,3})?$/.test(text)) return undefined;
  const ms = Math.round(Number(text) * 1000);
  return ms >= TIMER_S_MIN * 1000 && ms <= TIMER_S_MAX * 1000 ? ms : undefined;
}

/** Where flow-log rows go. */
export type FlowLogOutput =
  | { readonly kind: "stdout" }
  | { readonly kind: "none" }
  | { readonly kind: "file"; readonly path: string };

/** Reads `Output`. A path must hold a slash, so that a misspelt `stdout` does not become a file. */
export function parseOutput(text: string): FlowLogOutput | undefined {
  if (text === "stdout" || text === "none") return { kind: text };
  return text.includes("/") && !text.endsWith("/") && !text.includes("\0")
    ? { kind: "file", path: text }
    : undefined;
}

/** Reads an address with an optional prefix length, which is the whole address when absent; host bits are kept. */
export function parseInterfaceAddress(text: string): AllowedIp | undefined {
  return parsePrefix(text) ?? undefined;
}

/** Reads one AllowedIPs entry and clears its host bits, with a warning, as wg does. */
export function parseAllowedIp(text: string, warn: Warn): AllowedIp | undefined {
  if (text.startsWith("-")) {
    throw new ValueError(
      "cannot be removed by a file, which lists all that is allowed: leave it out",
    );
  }
  // wg(8) since 2025: `+` adds to what the peer has. A file starts from nothing, so it changes nothing.
  const entry = parseInterfaceAddress(text.startsWith("+") ? text.slice(1) : text);
  if (entry === undefined) return undefined;
  const masked = maskPrefix(entry);
  const exact = masked.addressWords.every((word, index) => word === entry.addressWords[index]);
  if (!exact) warn(`has bits set behind its prefix: ${prefixText(masked)} is used`);
  return masked;
}

/**
 * Reads `host:port`, `address:port` or `[IPv6 address]:port`. As in wg, an IPv6 address may lack its brackets; then
 * the last group is the port, and a warning says so.
 */
export function parseEndpoint(text: string, warn: Warn): ConfigEndpoint | undefined {
  const bracketed = /^\[([^\]]*)\]:([0-9]+)$/.exec(text);
  const parts = bracketed ?? /^([^[\]]+):([0-9]+)$/.exec(text);
  if (parts === null) return undefined;
  const host = parts[1]!;
  const port = parseDecimal(parts[2]!, 1, 65_535);
  if (port === undefined) return undefined;
  if (host.includes(":")) {
    const words = ipv6Endpoint(host, port);
    if (words === undefined) return undefined;
    if (bracketed === null) warn(`is read as [${host}]:${port}; write the brackets`);
    return { host, port, words };
  }
  if (bracketed !== null) return undefined;
  if (/^[0-9.]+$/.test(host)) {
    const address = parseAddress(host);
    if (address === null) return undefined;
    return { host, port, words: endpointWords(address.family, address.addressWords, port, 0) };
  }
  return isHostName(host) ? { host, port, words: null } : undefined;
}

/** Words of an IPv6 endpoint; null when its zone is a name; undefined when it is no such address. */
function ipv6Endpoint(host: string, port: number): Uint32Array | null | undefined {
  const percent = host.indexOf("%");
  const address = parseAddress(percent < 0 ? host : host.slice(0, percent));
  if (address === null || address.family !== 6) return undefined;
  if (percent < 0) return endpointWords(6, address.addressWords, port, 0);
  const zone = host.slice(percent + 1);
  if (!/^[a-zA-Z0-9_=+.-]{1,15}$/.test(zone)) return undefined;
  const scope = parseDecimal(zone, 1, 0x7fff_ffff);
  return scope === undefined ? null : endpointWords(6, address.addressWords, port, scope);
}

/**
 * Lays out the words of an endpoint. An IPv4-mapped IPv6 address becomes the IPv4 address it stands for, because
 * the IPv6 socket is IPv6 only.
 * @param addressWords 4 words, read, not kept.
 * @param scope Interface index of a link-local address, else 0.
 */
export function endpointWords(
  family: 4 | 6,
  addressWords: Uint32Array,
  port: number,
  scope: number,
): Uint32Array {
  const words = new Uint32Array(ENDPOINT_WORDS);
  const isMapped = addressWords[0] === 0 && addressWords[1] === 0 && addressWords[2] === 0xffff;
  words[ENDPOINT.FAMILY] = isMapped ? 4 : family;
  words.set(addressWords.subarray(0, 4), ENDPOINT.ADDRESS);
  words[ENDPOINT.PORT] = port;
  words[ENDPOINT.SCOPE] = isMapped ? 0 : scope;
  return words;
}

/** Host name as resolvers take it (RFC 1123 §2.1, and `_`, which names in use have). */
function isHostName(host: string): boolean {
  return host.length <= 253 &&
    /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$/.test(host);
}

/** Characters of a quoted value, so that an error stays one line. */
const QUOTE_CHARS_MAX = 60;

/**
 * Quotes a value for a message: clipped, control characters as `?`, and anything long enough to be a key left out,
 * because a private key may have slipped into any line.
 */
export function quote(text: string): string {
  if (/[A-Za-z0-9+/]{40,}/.test(text)) return "(a text that looks like a key)";
  // deno-lint-ignore no-control-regex -- to keep them off the terminal is the point.
  const printable = text.replace(/[\x00-\x1f\x7f-\x9f]/g, "?");
  const clipped = printable.length > QUOTE_CHARS_MAX
    ? `${printable.slice(0, QUOTE_CHARS_MAX)}…`
    : printable;
  return `"${clipped}"`;
}

// ---- The flow log's delivery ------------------------------------------------------------------------------------

/** Reads a collector's base URL. @returns It without a slash at its end, because paths are put behind it. */
export function parseCollectorUrl(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isHttp = url.protocol === "http:" || url.protocol === "https:";
  if (!isHttp || url.hostname === "" || url.search !== "" || url.hash !== "") return undefined;
  if (url.username !== "" || url.password !== "" || /[?#]$/.test(text)) return undefined;
  return url.href.replace(/\/+$/, "");
}

/** Reads the name of a collection (SPEC section 3). */
export function parseCollection(text: string): string | undefined {
  return /^[a-zA-Z0-9_.-]{1,253}$/.test(text) ? text : undefined;
}

/** Where what outlives a run is kept; null = nowhere, in memory only. */
export type StateDirectory = string | null;

/** Reads a directory: an absolute path, or `none`. */
export function parseStateDirectory(text: string): StateDirectory | undefined {
  if (text === "none") return null;
  return text.startsWith("/") && !text.includes("\0") ? text : undefined;
}

const BYTE_UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** Reads an amount of bytes such as `256M`. */
export function parseByteCount(text: string, min: number, max: number): number | undefined {
  const match = /^([1-9][0-9]{0,12})([KMG]?)$/.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * BYTE_UNITS[match[2]!]!;
  return bytes >= min && bytes <= max ? bytes : undefined;
}

/** Reads a log id: 64 hexadecimal digits, not all zero. */
export function parseLogId(text: string): string | undefined {
  return /^[0-9a-fA-F]{64}$/.test(text) && !/^0+$/.test(text) ? text.toLowerCase() : undefined;
}

/** Reads a word out of a list. */
export function parseWord<T extends string>(words: readonly T[]): (text: string) => T | undefined {
  return (text) => words.find((word) => word === text.toLowerCase());
}

/** Reads an overlay range, an exception with `!` in front; the form is checked, the text is kept. */
export function parseOverlayRange(text: string): string | undefined {
  return parsePrefix(text.replace(/^!/, "")) === null ? undefined : text;
}
