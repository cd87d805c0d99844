/**
 * Strict JSON, looked at without being built: is this text one object, and where is a given member of it?
 *
 * In: text. Out: places in it. Strict means RFC 8259 and, beyond it, no member name twice in one object (RFC 7493 §2.3)
 * and no half of a surrogate pair, for readers disagree about what those mean.
 * Guarantees: linear time, bounded depth, no exception for any text. Not here: building values.
 */

/** Nesting beyond which a text is not taken for JSON; flow messages nest four deep. */
const DEPTH_MAX = 512;
/** Members of one object up to which names are compared one by one: faster than a Set for rows of seven. */
const LINEAR_NAMES_MAX = 8;

/** Where the object and one of its members stand, in UTF-16 positions. */
export interface JsonObjectPlaces {
  /** Position of the closing brace. */
  readonly close: number;
  /** The member asked for; null = the object has none. */
  readonly member: JsonMemberPlace | null;
}

/** One member of an object. */
export interface JsonMemberPlace {
  /** End of what stands before it: the opening brace or the value of the member before. */
  readonly start: number;
  readonly valueStart: number;
  readonly valueEnd: number;
}

/**
 * Finds the member `name` of the object that `text` is.
 * @param text Must begin with `{`; white space may follow the object, nothing else.
 * @returns null when `text` is not exactly one JSON object.
 */
export function findMember(text: string, name: string): JsonObjectPlaces | null {
  const scanner = new Scanner(text, name);
  return scanner.scan();
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;
const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LITERAL = /true|false|null/y;

/** One pass over a text. Every reader returns the position behind what it read, or -1. */
class Scanner {
  readonly #text: string;
  readonly #name: string;
  #member: JsonMemberPlace | null = null;

  constructor(text: string, name: string) {
    this.#text = text;
    this.#name = name;
  }

  scan(): JsonObjectPlaces | null {
    if (!this.#text.isWellFormed()) return null;
    if (this.#text.charCodeAt(0) !== BRACE_OPEN) return null;
    const end = this.#object(0, 0);
    if (end < 0 || this.#space(end) !== this.#text.length) return null;
    return { close: end - 1, member: this.#member };
  }

  #object(open: number, depth: number): number {
    if (depth === DEPTH_MAX) return -1;
    const text = this.#text;
    const names: string[] = [];
    let seen: Set<string> | null = null;
    let before = open + 1;
    let at = this.#space(before);
    if (text.charCodeAt(at) === BRACE_CLOSE) return at + 1;
    for (;;) {
      const nameEnd = this.#string(at);
      if (nameEnd < 0) return -1;
      const name = nameOf(text, at, nameEnd);
      if (seen === null ? names.includes(name) : seen.has(name)) return -1;
      if (seen !== null) seen.add(name);
      else if (names.push(name) > LINEAR_NAMES_MAX) seen = new Set(names);
      const colon = this.#space(nameEnd);
      if (text.charCodeAt(colon) !== COLON) return -1;
      const valueStart = this.#space(colon + 1);
      const valueEnd = this.#value(valueStart, depth + 1);
      if (valueEnd < 0) return -1;
      if (depth === 0 && name === this.#name) {
        this.#member = { start: before, valueStart, valueEnd };
      }
      before = valueEnd;
      at = this.#space(valueEnd);
      if (text.charCodeAt(at) === BRACE_CLOSE) return at + 1;
      if (text.charCodeAt(at) !== COMMA) return -1;
      at = this.#space(at + 1);
    }
  }

  #array(open: number, depth: number): number {
    if (depth === DEPTH_MAX) return -1;
    let at = this.#space(open + 1);
    if (this.#text.charCodeAt(at) === BRACKET_CLOSE) return at + 1;
    for (;;) {
      at = this.#value(at, depth + 1);
      if (at < 0) return -1;
      at = this.#space(at);
      if (this.#text.charCodeAt(at) === BRACKET_CLOSE) return at + 1;
      if (this.#text.charCodeAt(at) !== COMMA) return -1;
      at = this.#space(at + 1);
    }
  }

  #value(at: number, depth: number): number {
    switch (this.#text.charCodeAt(at)) {
      case BRACE_OPEN:
        return this.#object(at, depth);
      case BRACKET_OPEN:
        return this.#array(at, depth);
      case QUOTE:
        return this.#string(at);
      default:
        return this.#match(NUMBER, at) || this.#match(LITERAL, at) || -1;
    }
  }

  /** @returns The position behind the match, or 0. */
  #match(pattern: RegExp, at: number): number {
    pattern.lastIndex = at;
    return pattern.test(this.#text) ? pattern.lastIndex : 0;
  }

  #string(at: number): number {
    const text = this.#text;
    if (text.charCodeAt(at) !== QUOTE) return -1;
    for (let index = at + 1; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code === QUOTE) return index + 1;
      if (code < 0x20) return -1;
      if (code !== BACKSLASH) continue;
      index = this.#escape(index);
      if (index < 0) return -1;
    }
    return -1;
  }

  /** @returns The position of the escape's last character, or -1. */
  #escape(at: number): number {
    if (`"\\/bfnrt`.includes(this.#text.charAt(at + 1) || " ")) return at + 1;
    const unit = this.#unit(at);
    if (unit < 0 || (unit & 0xfc00) === 0xdc00) return -1;
    if ((unit & 0xfc00) !== 0xd800) return at + 5;
    return (this.#unit(at + 6) & 0xfc00) === 0xdc00 ? at + 11 : -1;
  }

  /** Value of a `\uXXXX`, or -1, which no mask above takes for a low surrogate's. */
  #unit(at: number): number {
    const match = /^\\u([0-9a-fA-F]{4})$/.exec(this.#text.slice(at, at + 6));
    return match === null ? -1 : parseInt(match[1], 16);
  }

  #space(at: number): number {
    for (;; at++) {
      const code = this.#text.charCodeAt(at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
    }
  }
}

/** Name of a member without quotes and escapes. `"\u0061"` and `"a"` are one name. */
function nameOf(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1);
  return raw.includes("\\") ? JSON.parse(text.slice(start, end)) : raw;
}
