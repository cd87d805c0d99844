/**
 * The words of the filter language in tables: what begins a term, protocols, words that may not be names, what people
 * write instead.
 *
 * Out: the tables, for parser, writer, completion and help alike. Not here: how words make terms (parse.ts).
 */
import { nearest } from "../../nearest.ts";

/** Protocols by name (IANA "Assigned Internet Protocol Numbers"); each is a term by itself. */
export const PROTO_NUMBERS: ReadonlyMap<string, number> = new Map([
  ["icmp", 1],
  ["igmp", 2],
  ["tcp", 6],
  ["udp", 17],
  ["gre", 47],
  ["esp", 50],
  ["ah", 51],
  ["ipv6-icmp", 58],
  ["sctp", 132],
]);

/** Names of PROTO_NUMBERS by number. */
export const PROTO_NAMES: ReadonlyMap<number, string> = new Map(
  Array.from(PROTO_NUMBERS, ([name, number]) => [number, name]),
);

/** Words that begin a term, with what they mean; protocols begin one too. */
export const TERM_WORDS: ReadonlyMap<string, string> = new Map([
  ["class", "class of traffic"],
  ["node", "node that reported the row"],
  ["peer", "node that either end belongs to"],
  ["proto", "IP protocol"],
  ["src", "source"],
  ["dst", "destination"],
  ["host", "address or node of either end"],
  ["net", "prefix around either end"],
  ["port", "port of either end"],
  ["sport", "source port"],
  ["dport", "destination port"],
  ["tx", "sent by the node"],
  ["rx", "received by the node"],
  ["bytes", "bytes of the row"],
  ["pkts", "packets of the row"],
  ["rate", "bits per second over the row's window"],
  ["folded", "rows that stand for several connections"],
]);

/** What joins terms. */
export const JOINING_WORDS: ReadonlyMap<string, string> = new Map([
  ["and", "both match"],
  ["or", "one matches"],
  ["not", "does not match"],
]);

/** All that a term may begin with. */
export const TERM_STARTS: readonly string[] = [
  ...TERM_WORDS.keys(),
  ...PROTO_NUMBERS.keys(),
  "not",
  "(",
];

/** Words that are never taken for a value; a name that is one of them stands in quotes. */
export const RESERVED_WORDS: ReadonlySet<string> = new Set([...JOINING_WORDS.keys(), "in", "none"]);

/** Words of other tools for ours, where the two are not near enough in letters. */
export const FOREIGN_WORDS: ReadonlyMap<string, string> = new Map([
  ["protocol", "proto"],
  ["packets", "pkts"],
  ["source", "src"],
  ["destination", "dst"],
  ["ip", "host"],
  ["addr", "host"],
  ["address", "host"],
  ["prefix", "net"],
  ["network", "net"],
  ["cidr", "net"],
  ["srcport", "sport"],
  ["dstport", "dport"],
  ["portrange", "port"],
  ["icmp6", "ipv6-icmp"],
  ["icmpv6", "ipv6-icmp"],
  ["bps", "rate"],
]);

/** Longest word that is taken for a slip of another: comparing costs the product of both lengths. */
const SLIP_CHARS_MAX = 64;

/** Words up to this length have half their letters changed by two edits. */
const SHORT_WORD_CHARS = 3;

/** Which of the known words was probably meant. Short ones must begin or end alike: `web` is no slip of `net`. */
export function likelyWord(word: string, known: Iterable<string>): string | undefined {
  const likely = word.length > SLIP_CHARS_MAX ? undefined : nearest(word, known);
  if (likely === undefined || word.length > SHORT_WORD_CHARS) return likely;
  return word[0] === likely[0] || word.at(-1) === likely.at(-1) ? likely : undefined;
}

/** Whether a bare word can only be meant as an address or prefix, right or wrong, and not as a name. */
export function looksLikeAddress(word: string): boolean {
  if (word.length === 44 && word.endsWith("=")) return false;
  return /^[\d.]+$/.test(word) || /[:/]/.test(word);
}

/**
 * Whether a name is what a pattern says: case matters, `*` stands for any characters, none included.
 * At most pattern length × name length steps.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  let at = 0;
  let patternAt = 0;
  let starAt = -1;
  let resumeAt = 0;
  while (at < name.length) {
    if (pattern[patternAt] === "*") {
      starAt = patternAt++;
      resumeAt = at;
    } else if (patternAt < pattern.length && pattern[patternAt] === name[at]) {
      patternAt++;
      at++;
    } else if (starAt >= 0) {
      // The last star takes one more character; earlier ones need no second try, for the last can take all they could.
      patternAt = starAt + 1;
      at = ++resumeAt;
    } else return false;
  }
  while (pattern[patternAt] === "*") patternAt++;
  return patternAt === pattern.length;
}
