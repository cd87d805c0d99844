/**
 * Text of a filter → tokens.
 *
 * In: text. Out: words, quoted strings and symbols with their places; an `end` token last. Reading stops at the first
 * character that begins none of them, with a `bad` token in place of the rest, so that the parser reports it only if
 * nothing before it is wrong.
 * Guarantees: linear in the text's length; the tokens' places grow.
 */

/** What a token is; nothing but `end` stands behind `bad`. */
export type TokenKind = "word" | "string" | "symbol" | "bad" | "end";

/** One token. */
export interface Token {
  readonly kind: TokenKind;
  /** As written; "" at the end. */
  readonly text: string;
  /** A string without quotes and escapes; a word or symbol as written; of a bad token, what is wrong with it. */
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

/** Characters of bare words. Others stand in quotes. */
const WORD = /[\w.:/*+@%-]+/y;
/** A WireGuard key in base64: the one word with a `=`, for keys are ids of nodes. */
const KEY = /[A-Za-z0-9+/]{43}=/y;
const SPACE = /\s+/y;
const SYMBOL = /&&|\|\||[=!<>]=|[()!,=<>]/y;
const STRING = /"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'/y;

/** Splits a filter's text. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let position = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = position;
    return pattern.exec(text)?.[0];
  };
  const add = (kind: TokenKind, length: number, value: string): void => {
    const end = position + length;
    tokens.push({ kind, text: text.slice(position, end), value, start: position, end });
    position = end;
  };
  while (position < text.length) {
    const space = take(SPACE);
    const word = take(KEY) ?? take(WORD);
    const symbol = take(SYMBOL);
    if (space !== undefined) position += space.length;
    else if (word !== undefined) add("word", word.length, word);
    else if (symbol !== undefined) add("symbol", symbol.length, symbol);
    else if (text[position] === '"' || text[position] === "'") {
      const quoted = take(STRING);
      if (quoted === undefined) {
        add("bad", text.length - position, `Quote ${text[position]} is not closed`);
        break;
      }
      add("string", quoted.length, quoted.slice(1, -1).replace(/\\([^])/g, "$1"));
    } else {
      const character = String.fromCodePoint(text.codePointAt(position)!);
      add("bad", character.length, badCharacter(character));
      break;
    }
  }
  position = text.length;
  add("end", 0, "");
  return tokens;
}

function badCharacter(character: string): string {
  if (character === "&") return 'Symbol "&" is not known: "and" is probably meant';
  if (character === "|") return 'Symbol "|" is not known: "or" is probably meant';
  return `Character ${JSON.stringify(character)} cannot stand here: names with it stand in quotes`;
}

/** Whether `text` can stand without quotes, as one word. */
export function isBareWord(text: string): boolean {
  return /^(?:[\w.:/*+@%-]+|[A-Za-z0-9+/]{43}=)$/.test(text);
}

/** Writes a string in quotes. */
export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
