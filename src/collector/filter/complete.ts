/**
 * What could be typed next, for the page and the shell.
 *
 * In: a filter's text as far as it is written, the place of the cursor, what names there are. Out: the piece of the text
 * that would be replaced, and words for it, in the order of the grammar. The parser says what could stand there: it is
 * given the text up to the word under the cursor, and asked what it misses.
 */
import { CLASS_NAMES } from "../../counters.ts";
import { FILTER_CHARS_MAX } from "../../limits.ts";
import { nameText } from "./format.ts";
import { parseFilter } from "./parse.ts";
import { tokenize } from "./tokens.ts";
import { JOINING_WORDS, PROTO_NUMBERS, TERM_STARTS, TERM_WORDS } from "./words.ts";

/** What a store knows of, for values. */
export interface FilterVocabulary {
  /** Names of nodes. */
  readonly nodes: Iterable<string>;
  /** Classes that occur; all, if left out. */
  readonly classes?: Iterable<string>;
  /** Protocols that occur, by name or number; all that have a name, if left out. */
  readonly protos?: Iterable<string>;
  /** Addresses worth offering. */
  readonly addresses?: Iterable<string>;
  /** Prefixes worth offering. */
  readonly prefixes?: Iterable<string>;
  /** Ports worth offering. */
  readonly ports?: Iterable<string>;
}

/** One word that could stand there. */
export interface CompletionItem {
  /** As it is to be written. */
  readonly text: string;
  /** What it is, in few words; "" where that is plain. */
  readonly detail: string;
}

/** Words for the piece of the text from `from` to `to`. */
export interface Completion {
  readonly from: number;
  readonly to: number;
  readonly items: readonly CompletionItem[];
}

/** Most items of one completion: no list on a screen is longer. */
export const COMPLETIONS_MAX = 50;

interface Offer extends CompletionItem {
  readonly isValue: boolean;
}

/** Finds what could be typed at `position` (UTF-16). */
export function completeFilter(
  text: string,
  position: number,
  vocabulary: FilterVocabulary,
): Completion {
  const at = Math.max(0, Math.min(position, text.length));
  const { from, to } = pieceAt(text, at);
  const typed = unquote(text.slice(from, at)).toLowerCase();
  const found: Offer[] = [];
  let values = 0;
  for (const offer of offered(text.slice(0, from), vocabulary)) {
    if (!unquote(offer.text).toLowerCase().startsWith(typed)) continue;
    // Nodes may call themselves anything; what no filter has room for leads nowhere.
    if (from + offer.text.length > FILTER_CHARS_MAX) continue;
    if (offer.isValue && ++values > COMPLETIONS_MAX) continue;
    found.push(offer);
  }
  // The language's own words are few, and must not be hidden by as many values as a store has.
  let room = COMPLETIONS_MAX - found.filter(({ isValue }) => !isValue).length;
  const items = found.filter(({ isValue }) => !isValue || room-- > 0);
  return { from, to, items: items.map(({ text, detail }) => ({ text, detail })) };
}

/** Finds what is being typed at `at`: a word, a comparison, a name in quotes; parentheses and commas are whole. */
function pieceAt(text: string, at: number): { from: number; to: number } {
  const token = tokenize(text).find(({ start, end }) => start < at && at <= end);
  if (token?.kind === "word" || token?.kind === "string") {
    return { from: token.start, to: token.end };
  }
  const isComparison = token?.kind === "symbol" && /^([!=<>]=|[=<>])$/.test(token.text);
  if (isComparison) return { from: token.start, to: token.end };
  // An open quote takes all the rest for its name, which it is not.
  if (token?.kind === "bad" && /^["']/.test(token.text)) return { from: token.start, to: at };
  // Names with characters that stand in quotes only are typed without, too.
  let from = at;
  while (from > 0 && /[^\s()!,=<>&|"']/.test(text[from - 1])) from--;
  let to = at;
  while (to < text.length && from < at && /[^\s()!,=<>&|"']/.test(text[to])) to++;
  return { from, to };
}

function unquote(text: string): string {
  return text.replace(/^["']/, "").replace(/\\([^])/g, "$1").replace(/["']$/, "");
}

/** All that could follow `before`. */
function* offered(before: string, vocabulary: FilterVocabulary): Generator<Offer> {
  for (const expected of expectedAfter(before)) {
    const values = valuesOf(expected, vocabulary);
    if (values === null) {
      const detail = TERM_WORDS.get(expected) ?? JOINING_WORDS.get(expected) ??
        (PROTO_NUMBERS.has(expected) ? "protocol" : "");
      yield { text: expected, detail, isValue: false };
    } else {
      for (const text of values.values) yield { text, detail: values.detail, isValue: true };
    }
  }
}

/** What the parser misses at the end of `before`; nothing, if it is wrong already. */
function expectedAfter(before: string): readonly string[] {
  const result = parseFilter(before);
  if (!result.ok) return result.problem.start === before.length ? result.problem.expected : [];
  return result.filter.kind === "all" ? TERM_STARTS : [...JOINING_WORDS.keys()].slice(0, 2);
}

/** Values for a kind in capitals; null = the text is to be written as it stands. */
function valuesOf(
  kind: string,
  vocabulary: FilterVocabulary,
): { values: Iterable<string>; detail: string } | null {
  switch (kind) {
    case "CLASS":
      return { values: vocabulary.classes ?? CLASS_NAMES, detail: "class" };
    case "PROTOCOL":
      return { values: vocabulary.protos ?? PROTO_NUMBERS.keys(), detail: "protocol" };
    case "NAME":
      return { values: namesOf(vocabulary.nodes), detail: "node" };
    case "ADDRESS":
      return { values: vocabulary.addresses ?? [], detail: "address" };
    case "PREFIX":
      return { values: vocabulary.prefixes ?? [], detail: "prefix" };
    case "PORT":
      return { values: vocabulary.ports ?? [], detail: "port" };
    case "NUMBER":
      return { values: [], detail: "" };
    default:
      return null;
  }
}

function* namesOf(nodes: Iterable<string>): Generator<string> {
  for (const name of nodes) yield nameText(name);
}
