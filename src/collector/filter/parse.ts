/**
 * Text of a filter → filter, or the first problem with its place.
 *
 *     filter     = [ or ]
 *     or         = and { ("or" | "||") and }
 *     and        = not { ("and" | "&&") not }
 *     not        = ("not" | "!") not | "(" or ")" | term
 *     term       = "class" values | "node" values | "peer" values | "proto" values | PROTOCOL | "folded"
 *                | [ "src" | "dst" ] ( "host" values | "net" values | "host" "none" | "port" ports )
 *                | ( "src" | "dst" ) ( values | "none" ) | ( "sport" | "dport" ) ports
 *                | [ "tx" | "rx" ] ( "bytes" | "pkts" | "rate" ) COMPARISON NUMBER
 *     values     = [ "=" | "!=" ] VALUE | [ "not" ] "in" "(" VALUE { "," VALUE } ")"
 *     ports      = values | ( "<" | "<=" | ">" | ">=" ) PORT
 *
 * Keywords ignore case, names do not. Guarantees: never throws; linear time; bounded by limits.ts.
 * Not here: what values are (values.ts).
 */
import { CLASS_NAMES } from "../../counters.ts";
import {
  FILTER_CHARS_MAX,
  FILTER_DEPTH_MAX,
  FILTER_LIST_MAX,
  FILTER_TERMS_MAX,
} from "../../limits.ts";
import { Failure, type FilterProblem, shown } from "./problem.ts";
import { isUnit, readQuantity } from "./quantity.ts";
import type {
  Comparison,
  Direction,
  Expression,
  Filter,
  PortRange,
  Quantity,
  Side,
  Term,
} from "./syntax.ts";
import { type Token, tokenize } from "./tokens.ts";
import {
  type HostValue,
  PORT_MAX,
  readAddressOrPrefix,
  readClass,
  readHost,
  readName,
  readPort,
  readPrefix,
  readProto,
  readSinglePort,
  type ValueReader,
} from "./values.ts";
import {
  FOREIGN_WORDS,
  likelyWord,
  looksLikeAddress,
  PROTO_NUMBERS,
  RESERVED_WORDS,
  TERM_STARTS,
  TERM_WORDS,
} from "./words.ts";

/** What the parser may know besides the language. */
export interface FilterOptions {
  /** All names and ids of nodes: any other is a problem. Left out, every name will do. */
  readonly nodes?: ReadonlySet<string>;
}

/** A filter, or why the text is none. */
export type ParseResult =
  | { readonly ok: true; readonly filter: Filter }
  | { readonly ok: false; readonly problem: FilterProblem };

const COMPARISONS: readonly string[] = ["=", "!=", "<", "<=", ">", ">="];
const BETWEEN_TERMS = ["and", "or"];
const QUANTITIES = ["bytes", "pkts", "rate"];

/** Reads a filter. Text without a word is the filter that every row matches. */
export function parseFilter(text: string, options: FilterOptions = {}): ParseResult {
  if (text.length > FILTER_CHARS_MAX) {
    const message = `Filter has ${text.length} characters: at most ${FILTER_CHARS_MAX} are read`;
    const problem = { message, start: FILTER_CHARS_MAX, end: text.length, expected: [] };
    return { ok: false, problem };
  }
  try {
    return { ok: true, filter: new Parser(tokenize(text), options).filter() };
  } catch (error) {
    if (error instanceof Failure) return { ok: false, problem: error.problem };
    throw error;
  }
}

/** Reads tokens from left to right, one look ahead. */
class Parser {
  #index = 0;
  #terms = 0;

  constructor(readonly tokens: readonly Token[], readonly options: FilterOptions) {}

  filter(): Filter {
    if (this.tokens.length === 1) return { kind: "all" };
    const filter = this.#or(0);
    if (this.#token.kind !== "end") this.#failBetweenTerms(null);
    return filter;
  }

  // ---- Tokens -----------------------------------------------------------------------------------------------------

  get #token(): Token {
    return this.tokens[this.#index];
  }

  /** The token before, for messages; there is one wherever this is asked. */
  get #before(): Token {
    return this.tokens[this.#index - 1];
  }

  /** The token's word in lower case; "" for all that is no bare word. */
  get #word(): string {
    return this.#token.kind === "word" ? this.#token.value.toLowerCase() : "";
  }

  #isSymbol(symbol: string): boolean {
    return this.#token.kind === "symbol" && this.#token.value === symbol;
  }

  /** Goes past a word or symbol, if it is there. */
  #accept(...texts: readonly string[]): boolean {
    const isThere = texts.some((text) => this.#word === text || this.#isSymbol(text));
    if (isThere) this.#index++;
    return isThere;
  }

  #fail(message: string, expected: readonly string[], token = this.#token): never {
    // What could not even be read is what is wrong, whatever was awaited in its place.
    const sentence = token.kind === "bad" ? token.value : message;
    throw new Failure({ message: sentence, start: token.start, end: token.end, expected });
  }

  // ---- Joined terms -----------------------------------------------------------------------------------------------

  #or(depth: number): Expression {
    const operands = [this.#and(depth)];
    while (this.#accept("or", "||")) operands.push(this.#and(depth));
    return joined("or", operands);
  }

  #and(depth: number): Expression {
    const operands = [this.#not(depth)];
    while (this.#accept("and", "&&")) operands.push(this.#not(depth));
    return joined("and", operands);
  }

  #not(depth: number): Expression {
    const token = this.#token;
    if (this.#accept("not", "!")) {
      this.#checkDepth(depth + 1, token);
      return { kind: "not", operand: this.#not(depth + 1) };
    }
    if (!this.#accept("(")) return this.#term(depth);
    this.#checkDepth(depth + 1, token);
    if (this.#isSymbol(")")) this.#fail("Parentheses hold nothing", TERM_STARTS);
    const inner = this.#or(depth + 1);
    if (!this.#accept(")")) this.#failBetweenTerms(token);
    return inner;
  }

  #checkDepth(depth: number, token: Token): void {
    if (depth <= FILTER_DEPTH_MAX) return;
    this.#fail(`Filter is nested too deep: at most ${FILTER_DEPTH_MAX} levels are read`, [], token);
  }

  /** Something stands where only `and`, `or`, or the end of what `open` began can. */
  #failBetweenTerms(open: Token | null): never {
    const token = this.#token;
    const expected = open === null ? BETWEEN_TERMS : [...BETWEEN_TERMS, ")"];
    if (token.kind === "end") {
      this.#fail(`Parenthesis at position ${open!.start} is not closed`, expected);
    }
    if (this.#isSymbol(")")) this.#fail('")" closes nothing', expected);
    if (this.#isSymbol(",")) {
      this.#fail('"," stands only in lists: port in (80, 443)', expected);
    }
    const text = shown(token.text);
    if (token.kind === "symbol" && token.value !== "(" && token.value !== "!") {
      this.#fail(`${text} cannot stand after ${shown(this.#before.text)}`, expected);
    }
    if (this.#before.kind === "word" && /^\d/.test(this.#before.value) && isUnit(this.#word)) {
      const number = shown(this.#before.text + token.text);
      this.#fail(`Number and unit stand without a space: ${number}`, expected);
    }
    const likely = TERM_STARTS.includes(this.#word)
      ? undefined
      : likelyWord(this.#word, BETWEEN_TERMS);
    this.#fail(
      likely === undefined
        ? `"and" or "or" is missing before ${text}`
        : `Word ${text} is not known: "${likely}" is probably meant`,
      expected,
    );
  }

  // ---- Terms ------------------------------------------------------------------------------------------------------

  #term(depth: number): Expression {
    const token = this.#token;
    const word = this.#word;
    const proto = PROTO_NUMBERS.get(word);
    if (!TERM_WORDS.has(word) && proto === undefined) this.#failNoTerm();
    this.#countTerm(token);
    this.#index++;
    if (proto !== undefined) return { kind: "proto", protos: [proto] };
    switch (word) {
      case "folded":
        return { kind: "folded" };
      case "class":
        return this.#tested(token, readClass, depth, (classes) => ({ kind: "class", classes }));
      case "proto":
        return this.#tested(token, readProto, depth, (protos) => ({ kind: "proto", protos }));
      case "node":
      case "peer":
        return this.#tested(
          token,
          readName,
          depth,
          (patterns) => ({ kind: word, patterns }),
        );
      case "src":
      case "dst":
        return this.#sided(word, depth);
      case "host":
        return this.#host("any", token, depth);
      case "net":
        return this.#net("any", token, depth);
      case "port":
        return this.#port("any", token, depth);
      case "sport":
        return this.#port("src", token, depth);
      case "dport":
        return this.#port("dst", token, depth);
      case "tx":
      case "rx":
        if (!QUANTITIES.includes(this.#word)) {
          this.#fail(`"bytes", "pkts" or "rate" is missing after "${token.text}"`, QUANTITIES);
        }
        this.#index++;
        return this.#volume(word, this.#before);
      default:
        return this.#volume("both", token);
    }
  }

  #countTerm(token: Token): void {
    if (++this.#terms <= FILTER_TERMS_MAX) return;
    this.#fail(`Filter has too many terms: at most ${FILTER_TERMS_MAX} are read`, [], token);
  }

  /** Says what the word, or whatever stands where a term begins, may have been meant for. */
  #failNoTerm(): never {
    const token = this.#token;
    const isFirst = this.#index === 0;
    if (token.kind === "end") {
      this.#fail(`A term is missing after ${shown(this.#before.text)}`, TERM_STARTS);
    }
    if (token.kind === "symbol" || RESERVED_WORDS.has(this.#word)) {
      const place = isFirst ? "begin a filter" : `stand after ${shown(this.#before.text)}`;
      this.#fail(`${shown(token.text)} cannot ${place}`, TERM_STARTS);
    }
    this.#fail(`Word ${shown(token.value)} is not known: ${adviceFor(token)}`, TERM_STARTS);
  }

  /**
   * Reads values and makes a term of them; a refused value costs a level of nesting, as `not` does, so that canonical
   * text is never deeper than what it was read from.
   */
  #tested<T>(
    field: Token,
    reader: ValueReader<T>,
    depth: number,
    make: (values: T[], depth: number) => Expression,
  ): Expression {
    const token = this.#token;
    const isUnequal = this.#accept("!=");
    const isNegated = isUnequal || this.#acceptNotIn();
    if (isNegated) this.#checkDepth(depth + 1, token);
    const hasOperator = isUnequal || (!isNegated && this.#accept("=", "=="));
    const isList = !hasOperator && this.#accept("in");
    const values = isList ? this.#list(reader) : [this.#value(field, reader, hasOperator)];
    const term = make(values, isNegated ? depth + 1 : depth);
    return isNegated ? { kind: "not", operand: term } : term;
  }

  /** Goes past the `not` of `not in`. */
  #acceptNotIn(): boolean {
    const isThere = this.#word === "not" &&
      this.tokens[this.#index + 1].text.toLowerCase() === "in";
    return isThere && this.#accept("not");
  }

  /** @param hasOperator Whether nothing but a value can stand here. */
  #value<T>(field: Token, reader: ValueReader<T>, hasOperator: boolean): T {
    const token = this.#token;
    const expected = [...reader.expected, ...(hasOperator ? [] : [...reader.instead, "in"])];
    if (!hasOperator && this.#isSymbol("(")) {
      this.#fail(`"in" is missing before the list: ${field.value} in (…)`, expected);
    }
    if (this.#word === "none") {
      this.#fail('"none" stands only behind "src", "dst" or "host", without an operator', expected);
    }
    if ((token.kind !== "word" && token.kind !== "string") || RESERVED_WORDS.has(this.#word)) {
      this.#fail(`${reader.noun} is missing after ${shown(this.#before.text)}`, expected);
    }
    if (token.kind === "string" && !reader.takesStrings) {
      this.#fail(`${reader.noun} stands without quotes`, expected);
    }
    this.#index++;
    const fail = (message: string) => this.#fail(message, expected, token);
    return reader.read(token, { nodes: this.options.nodes, fail });
  }

  #list<T>(reader: ValueReader<T>): T[] {
    if (!this.#accept("(")) this.#fail('"(" is missing after "in"', ["("]);
    const values: T[] = [];
    do {
      if (values.length === FILTER_LIST_MAX) {
        this.#fail(`List is too long: at most ${FILTER_LIST_MAX} values are read`, []);
      }
      values.push(this.#value(this.#before, reader, true));
    } while (this.#accept(","));
    if (this.#accept(")")) return values;
    const expected = [",", ")"];
    if (this.#token.kind === "end") this.#fail("List is not closed", expected);
    this.#fail(`"," or ")" is missing before ${shown(this.#token.text)}`, expected);
  }

  // ---- Ends of a connection ---------------------------------------------------------------------------------------

  #sided(side: "src" | "dst", depth: number): Expression {
    const field = this.#before;
    const token = this.#token;
    if (this.#accept("host")) return this.#host(side, token, depth);
    if (this.#accept("net")) return this.#net(side, token, depth);
    if (this.#accept("port")) return this.#port(side, token, depth);
    if (this.#accept("none")) return { kind: "none", side };
    return this.#tested(
      field,
      readAddressOrPrefix,
      depth,
      (prefixes) => ({ kind: "address", side, prefixes }),
    );
  }

  #host(side: Side, field: Token, depth: number): Expression {
    if (this.#accept("none")) return { kind: "none", side };
    const token = this.#token;
    return this.#tested(field, readHost, depth, (values, depthOfList) => {
      const hosts = hostTerms(side, values);
      if (hosts.length === 1) return hosts[0];
      // Written out as two terms with `or`, and so counted.
      this.#countTerm(token);
      this.#checkDepth(depthOfList + 1, token);
      return { kind: "or", operands: hosts };
    });
  }

  #net(side: Side, field: Token, depth: number): Expression {
    return this.#tested(
      field,
      readPrefix,
      depth,
      (prefixes) => ({ kind: "address", side, prefixes }),
    );
  }

  #port(side: Side, field: Token, depth: number): Expression {
    const token = this.#token;
    if (this.#accept("<", "<=", ">", ">=")) {
      const { first: port } = this.#value(field, readSinglePort, true);
      const range = rangeOf(token.value, port);
      if (range === null) {
        this.#fail(
          `No port is ${token.value} ${port}; 0 means that there is none`,
          [],
          this.#before,
        );
      }
      return { kind: "port", side, ranges: [range] };
    }
    return this.#tested(field, readPort, depth, (ranges) => ({ kind: "port", side, ranges }));
  }

  // ---- Volumes ----------------------------------------------------------------------------------------------------

  #volume(direction: Direction, field: Token): Expression {
    const quantity = field.value.toLowerCase() as Quantity;
    const symbol = this.#token;
    if (!this.#accept("==", ...COMPARISONS)) {
      this.#fail(`A comparison is missing after "${field.text}": ${quantity} > 10k`, COMPARISONS);
    }
    const comparison = (symbol.value === "==" ? "=" : symbol.value) as Comparison;
    const token = this.#token;
    if (token.kind !== "word" || RESERVED_WORDS.has(this.#word)) {
      this.#fail(`A number is missing after "${symbol.value}"`, ["NUMBER"]);
    }
    this.#index++;
    const value = readQuantity(token.value, quantity);
    if (typeof value === "string") this.#fail(value, ["NUMBER"], token);
    return { kind: "volume", quantity, direction, comparison, value };
  }
}

/** One expression of several: those of the same kind are taken apart, for `(a and b) and c` is `a and b and c`. */
function joined(kind: "and" | "or", operands: readonly Expression[]): Expression {
  if (operands.length === 1) return operands[0];
  const flat = operands.flatMap((operand) => operand.kind === kind ? operand.operands : [operand]);
  return { kind, operands: flat };
}

/** Addresses and names of one list as a term each. */
function hostTerms(side: Side, values: readonly HostValue[]): Term[] {
  const prefixes = values.filter((value) => typeof value !== "string");
  const patterns = values.filter((value) => typeof value === "string");
  const terms: Term[] = [];
  if (prefixes.length > 0) terms.push({ kind: "address", side, prefixes });
  if (patterns.length > 0) terms.push({ kind: "name", side, patterns });
  return terms;
}

/** Ports that a comparison lets through; never 0 unless it is named, for it means that a row has no port. */
function rangeOf(symbol: string, port: number): PortRange | null {
  const [first, last] = symbol === "<"
    ? [1, port - 1]
    : symbol === "<="
    ? [1, port]
    : symbol === ">"
    ? [port + 1, PORT_MAX]
    : [port, PORT_MAX];
  return first > last ? null : { first, last };
}

/** What to say to a word that begins no term. */
function adviceFor({ kind, value }: Token): string {
  if (kind === "string") return 'a name stands behind "node", "peer" or "host"';
  const lower = value.toLowerCase();
  const word = shown(value).slice(1, -1);
  if (CLASS_NAMES.some((name) => name === lower)) return `"class ${lower}" is probably meant`;
  if (/^\d+(-\d+)?$/.test(value)) {
    return `"port ${word}" is probably meant, or a list: port in (80, 443)`;
  }
  if (looksLikeAddress(value)) {
    return `"${value.includes("/") ? "net" : "host"} ${word}" is probably meant`;
  }
  const likely = FOREIGN_WORDS.get(lower) ?? likelyWord(lower, TERM_STARTS);
  return likely === undefined
    ? `"node ${word}" or "host ${word}" names a node`
    : `"${likely}" is probably meant`;
}
