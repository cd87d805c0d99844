/**
 * Finds objects in a stream of JSON values of any nesting, without holding the stream.
 *
 * In: text in pieces, cut anywhere; the names of members that matter. Out: for every object that has one of them, at its
 * closing brace, those members as raw JSON. Wanted members are not searched for objects; all others are, so that inner
 * objects come before the outer one (SPEC 7.2). Of members of one name the last counts, as with JSON.parse.
 * Guarantees: what is not JSON is a SyntaxError that says where, and nothing else is thrown; what is held is at most
 * the wanted members of the objects that are open (STREAM_HELD_CHARS_MAX) and their nesting (STREAM_DEPTH_MAX).
 */
import { STREAM_DEPTH_MAX, STREAM_HELD_CHARS_MAX } from "../limits.ts";

/** Raw JSON by member name. */
export type RawMembers = ReadonlyMap<string, string>;

/** What may come next between tokens. */
const EXPECT = {
  VALUE: 0,
  VALUE_OR_END: 1,
  NAME: 2,
  NAME_OR_END: 3,
  COLON: 4,
  COMMA_OR_END: 5,
} as const;

/** An object or array whose end has not come yet. */
interface OpenValue {
  readonly isObject: boolean;
  /** Name of the member under way. */
  name: string;
  /** Wanted members so far; null = none. */
  members: Map<string, string> | null;
}

const [QUOTE, BACKSLASH, LETTER_U] = [...'"\\u'].map((character) => character.charCodeAt(0));
const FIRST_PRINTABLE = 0x20;
const SPACE = /[ \t\n\r]/;
const ESCAPED = /["\\/bfnrt]/;
const HEX = /[0-9a-fA-F]/;
/** Characters of numbers and words; which ones make sense is judged when they end. */
const SCALAR_CHARACTER = /[-+.\w]/;
const SCALAR = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;

/** See file header. */
export class JsonStream {
  readonly #wanted: ReadonlyMap<string, RegExp>;
  readonly #visit: (members: RawMembers) => void;
  readonly #heldMax: number;
  readonly #open: OpenValue[] = [];
  #expect: number = EXPECT.VALUE;
  /** Token under way. */
  #inside: "string" | "scalar" | null = null;
  #isName = false;
  /** Of the string under way: whether a backslash came last, and hexadecimal digits still to come. */
  #isEscaped = false;
  #hexLeft = 0;
  /** Name or scalar under way. */
  readonly #token = new Recording();
  /** Wanted member under way, and how many values were open when it began. */
  readonly #member = new Recording();
  #memberDepth = 0;
  /** Characters of wanted members of open objects. */
  #heldChars = 0;
  /** Characters of the pieces before the present one. */
  #offset = 0;

  /**
   * @param wanted Names, and what the first character of a value must be to be wanted.
   * @param visit Called at the end of each object with at least one wanted member. What it throws, push() throws.
   * @param heldMax For tests.
   */
  constructor(
    wanted: ReadonlyMap<string, RegExp>,
    visit: (members: RawMembers) => void,
    heldMax: number = STREAM_HELD_CHARS_MAX,
  ) {
    this.#wanted = wanted;
    this.#visit = visit;
    this.#heldMax = heldMax;
  }

  /** Reads the next piece. After an error the stream is of no more use. @throws {SyntaxError} If it is not JSON. */
  push(text: string): void {
    let at = 0;
    while (at < text.length) {
      if (this.#inside === "string") at = this.#readString(text, at);
      else if (this.#inside === "scalar") at = this.#readScalar(text, at);
      else at = this.#readBetween(text, at);
    }
    this.#token.endPiece(text);
    this.#member.endPiece(text);
    this.#offset += text.length;
    if (this.#heldChars + this.#token.heldChars + this.#member.heldChars > this.#heldMax) {
      throw new SyntaxError(
        `Cannot read JSON with members of more than ${this.#heldMax} characters`,
      );
    }
  }

  /** Says that nothing follows. @throws {SyntaxError} If something is missing. */
  end(): void {
    if (this.#inside === "scalar") this.#endScalar("", 0);
    if (this.#inside !== null || this.#open.length > 0) {
      throw new SyntaxError("Unexpected end of JSON");
    }
  }

  /** Reads one character outside of strings and scalars. @returns Where to go on. */
  #readBetween(text: string, at: number): number {
    const character = text[at];
    if (SPACE.test(character)) return at + 1;
    switch (this.#expect) {
      case EXPECT.COLON:
        if (character !== ":") throw this.#unexpected(text, at);
        this.#expect = EXPECT.VALUE;
        return at + 1;
      case EXPECT.NAME:
      case EXPECT.NAME_OR_END:
        if (character === '"') return this.#beginName(at);
        if (character === "}" && this.#expect === EXPECT.NAME_OR_END) return this.#close(text, at);
        throw this.#unexpected(text, at);
      case EXPECT.COMMA_OR_END:
        return this.#readCommaOrEnd(text, at);
      default:
        if (character === "]" && this.#expect === EXPECT.VALUE_OR_END) return this.#close(text, at);
        return this.#beginValue(text, at);
    }
  }

  #readCommaOrEnd(text: string, at: number): number {
    const { isObject } = this.#open[this.#open.length - 1];
    const character = text[at];
    if (character === ",") {
      this.#expect = isObject ? EXPECT.NAME : EXPECT.VALUE;
      return at + 1;
    }
    if (character !== (isObject ? "}" : "]")) throw this.#unexpected(text, at);
    return this.#close(text, at);
  }

  #beginName(at: number): number {
    this.#inside = "string";
    this.#isName = true;
    // Inside a wanted member names are of no interest.
    if (!this.#member.isActive) this.#token.begin(at);
    return at + 1;
  }

  #beginValue(text: string, at: number): number {
    const character = text[at];
    const parent = this.#open.at(-1);
    const wanted = parent?.isObject === true && !this.#member.isActive
      ? this.#wanted.get(parent.name)
      : undefined;
    if (wanted?.test(character)) {
      this.#member.begin(at);
      this.#memberDepth = this.#open.length;
    }
    if (character === "{" || character === "[") {
      if (this.#open.length >= STREAM_DEPTH_MAX) {
        throw new SyntaxError(`Cannot read JSON that nests deeper than ${STREAM_DEPTH_MAX}`);
      }
      const isObject = character === "{";
      this.#open.push({ isObject, name: "", members: null });
      this.#expect = isObject ? EXPECT.NAME_OR_END : EXPECT.VALUE_OR_END;
      return at + 1;
    }
    if (character === '"') {
      this.#inside = "string";
      this.#isName = false;
      return at + 1;
    }
    if (!SCALAR_CHARACTER.test(character)) throw this.#unexpected(text, at);
    this.#inside = "scalar";
    this.#token.begin(at);
    return at;
  }

  #readString(text: string, at: number): number {
    while (at < text.length) {
      if (this.#isEscaped || this.#hexLeft > 0) {
        this.#readEscape(text, at++);
        continue;
      }
      const code = text.charCodeAt(at);
      if (code === QUOTE) return this.#endString(text, at + 1);
      if (code < FIRST_PRINTABLE) throw this.#unexpected(text, at);
      this.#isEscaped = code === BACKSLASH;
      at++;
    }
    return at;
  }

  #readEscape(text: string, at: number): void {
    const character = text[at];
    if (this.#hexLeft > 0) {
      if (!HEX.test(character)) throw this.#unexpected(text, at);
      this.#hexLeft--;
      return;
    }
    this.#isEscaped = false;
    if (text.charCodeAt(at) === LETTER_U) this.#hexLeft = 4;
    else if (!ESCAPED.test(character)) throw this.#unexpected(text, at);
  }

  #endString(text: string, at: number): number {
    this.#inside = null;
    if (!this.#isName) return this.#endValue(text, at);
    this.#isName = false;
    if (this.#token.isActive) {
      this.#open[this.#open.length - 1].name = JSON.parse(this.#token.end(text, at));
    }
    this.#expect = EXPECT.COLON;
    return at;
  }

  #readScalar(text: string, at: number): number {
    while (at < text.length && SCALAR_CHARACTER.test(text[at])) at++;
    return at < text.length ? this.#endScalar(text, at) : at;
  }

  #endScalar(text: string, at: number): number {
    const token = this.#token.end(text, at);
    if (!SCALAR.test(token)) {
      throw new SyntaxError(
        `Unexpected ${quoted(token)} in JSON before character ${this.#offset + at + 1}`,
      );
    }
    this.#inside = null;
    return this.#endValue(text, at);
  }

  #close(text: string, at: number): number {
    const closed = this.#open.pop()!;
    const next = this.#endValue(text, at + 1);
    if (closed.members === null) return next;
    for (const raw of closed.members.values()) this.#heldChars -= raw.length;
    this.#visit(closed.members);
    return next;
  }

  /** A value ends before `at`. */
  #endValue(text: string, at: number): number {
    if (this.#member.isActive && this.#open.length === this.#memberDepth) {
      const parent = this.#open[this.#open.length - 1];
      const raw = this.#member.end(text, at);
      parent.members ??= new Map();
      this.#heldChars += raw.length - (parent.members.get(parent.name)?.length ?? 0);
      parent.members.set(parent.name, raw);
    }
    this.#expect = this.#open.length === 0 ? EXPECT.VALUE : EXPECT.COMMA_OR_END;
    return at;
  }

  #unexpected(text: string, at: number): SyntaxError {
    const found = String.fromCodePoint(text.codePointAt(at)!);
    return new SyntaxError(
      `Unexpected ${JSON.stringify(found)} in JSON at character ${this.#offset + at + 1}`,
    );
  }
}

function quoted(token: string): string {
  return JSON.stringify(token.length > 40 ? `${token.slice(0, 40)}…` : token);
}

/** A stretch of the text that may run over several pieces. */
class Recording {
  #pieces: string[] = [];
  /** Where it goes on in the present piece; -1 = nothing is recorded. */
  #from = -1;
  /** Characters of former pieces. */
  heldChars = 0;

  get isActive(): boolean {
    return this.#from >= 0;
  }

  begin(at: number): void {
    this.#from = at;
  }

  endPiece(text: string): void {
    if (!this.isActive) return;
    this.#pieces.push(text.slice(this.#from));
    this.heldChars += text.length - this.#from;
    this.#from = 0;
  }

  end(text: string, at: number): string {
    const last = text.slice(this.#from, at);
    const whole = this.#pieces.length === 0 ? last : this.#pieces.join("") + last;
    this.#pieces = [];
    this.#from = -1;
    this.heldChars = 0;
    return whole;
  }
}
