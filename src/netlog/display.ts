/**
 * Values of the flow log as people read them: names of protocols, rates, times, texts in columns.
 *
 * In: values. Out: text, in the forms of the original's formatter (SPEC 7.3), but for columns, which are measured in what a
 * terminal shows and not in bytes, and for control characters, which no name may send to a terminal.
 */
import { msOfNs } from "../time_text.ts";

/** SPEC 1.3; numbers without a name here are IPProto-N. */
const PROTO_NAMES: Readonly<Record<number, string>> = {
  0: "Unknown",
  1: "ICMPv4",
  2: "IGMP",
  6: "TCP",
  17: "UDP",
  33: "DCCP",
  47: "GRE",
  58: "ICMPv6",
  99: "TSMP",
  132: "SCTP",
  255: "Frag",
};

/** Name of an IP protocol: `TCP`, `IPProto-123`. */
export function protoName(proto: number): string {
  return PROTO_NAMES[proto] ?? `IPProto-${proto}`;
}

// ---- Numbers ------------------------------------------------------------------------------------------------------

/** A number with two decimals and a unit of 1000: `16.80 `, `1.20k`. The blank stands for a unit. */
export function siText(value: number): string {
  if (value < 1e3) return `${fixed2(value)} `;
  if (value < 1e6) return `${fixed2(value / 1e3)}k`;
  if (value < 1e9) return `${fixed2(value / 1e6)}M`;
  return `${fixed2(value / 1e9)}G`;
}

/** A number with two decimals and a unit of 1024: `23.40  `, `1.64Ki`. */
export function iecText(value: number): string {
  if (value < 2 ** 10) return `${fixed2(value)}  `;
  if (value < 2 ** 20) return `${fixed2(value / 2 ** 10)}Ki`;
  if (value < 2 ** 30) return `${fixed2(value / 2 ** 20)}Mi`;
  return `${fixed2(value / 2 ** 30)}Gi`;
}

/** As C's %.2f: a number exactly between two goes to the even one, where toFixed() takes the larger. */
function fixed2(value: number): string {
  // Such numbers are odd multiples of an eighth, and no others.
  const eighths = value * 8;
  if (!Number.isSafeInteger(eighths) || eighths % 2 === 0) return value.toFixed(2);
  const below = Math.floor(value * 100);
  return ((below % 2 === 0 ? below : below + 1) / 100).toFixed(2);
}

// ---- Times --------------------------------------------------------------------------------------------------------

/** Minutes that local time is ahead of UTC at a moment. */
export type ZoneOffset = (wallMs: number) => number;

/** Zone of UTC. */
export const UTC: ZoneOffset = () => 0;

/** A time in a zone: `2022-10-13 20:23:09.644Z`, `2022-10-13 22:23:09+02:00`. */
export function localTimeText(ns: bigint, zone: ZoneOffset): string {
  const ms = msOfNs(ns);
  const minutes = Math.trunc(zone(ms));
  // Years before 1 and after 9999, as zones can make them, have a sign and six digits.
  const [day, time] = new Date(ms + minutes * 60_000).toISOString().split("T");
  const [seconds, fraction] = time.slice(0, -1).split(".");
  const digits = fraction.replace(/0+$/, "");
  return `${day} ${seconds}${digits === "" ? "" : `.${digits}`}${zoneText(minutes)}`;
}

function zoneText(minutes: number): string {
  if (minutes === 0) return "Z";
  const ahead = Math.abs(minutes);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(ahead / 60))}:${two(ahead % 60)}`;
}

// ---- Texts in columns -----------------------------------------------------------------------------------------------

/** Controls, and marks that turn the direction of what follows. */
const UNPRINTABLE = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** The text with a replacement character for all that could move a terminal's cursor or reverse a line. */
export function printable(text: string): string {
  return text.toWellFormed().replace(UNPRINTABLE, "\ufffd");
}

const ASCII = /^[\x20-\x7e]*$/;
const INVISIBLE = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
/**
 * What fills two columns: East Asian wide and full-width characters (UAX #11), emoji, and whatever is shown as one by
 * U+FE0F behind it.
 */
const WIDE = new RegExp(
  "[\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\u33ff\\u3400-\\u4dbf\\u4e00-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7a3" +
    "\\uf900-\\ufaff\\ufe30-\\ufe6f\\uff01-\\uff60\\uffe0-\\uffe6\\u{20000}-\\u{3fffd}\\ufe0f]" +
    "|\\p{Emoji_Presentation}|\\p{Regional_Indicator}\\p{Regional_Indicator}",
  "u",
);

let segmenter: Intl.Segmenter | undefined;

/** Columns that a terminal needs to show the text, which is printable. */
export function columnsOf(text: string): number {
  if (ASCII.test(text)) return text.length;
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  let columns = 0;
  for (const { segment } of segmenter.segment(text)) {
    if (WIDE.test(segment)) columns += 2;
    else if (![...segment].every((character) => INVISIBLE.test(character))) columns += 1;
  }
  return columns;
}

/** Blanks in front, up to so many columns. */
export function alignRight(text: string, columns: number): string {
  return " ".repeat(Math.max(0, columns - columnsOf(text))) + text;
}

/** Blanks behind, up to so many columns. */
export function alignLeft(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - columnsOf(text)));
}
