/**
 * Parameters of requests: one table says how each is read, checked and described, so that the OpenAPI document, which is
 * made of it, cannot say anything else.
 *
 * In: texts of a query. Out: typed values, or the first problem with the parameter's name. Guarantees: names that are not
 * known, given twice or left out where they are needed are problems too; nothing is guessed.
 */
import { FILTER_CHARS_MAX } from "../../limits.ts";
import { nearest } from "../../nearest.ts";
import { parseAddress } from "../../packet/mod.ts";
import { msOfNs, parseTime } from "../../time_text.ts";
import { type Filter, parseFilter } from "../filter/mod.ts";
import type { FlowCursor, Json } from "../query/question.ts";

/** A JSON Schema (2020-12) as a value. */
export type Schema = { readonly [name: string]: Json };

/** How one parameter is read. */
export interface Parameter<T> {
  readonly description: string;
  readonly schema: Schema;
  /** What stands for it when it is left out; null = it must be given. */
  readonly fallback: string | null;
  /** @throws {ParameterProblem} */
  read(text: string, nowMs: number): T;
}

/** Parameters by name. */
export type Parameters = Readonly<Record<string, Parameter<unknown>>>;

/** Their values. */
export type Values<P extends Parameters> = {
  readonly [Name in keyof P]: P[Name] extends Parameter<infer T> ? T : never;
};

/** What is wrong with a request. */
export class ParameterProblem extends Error {
  override readonly name = "ParameterProblem";

  /**
   * @param parameter "" = none in particular.
   * @param details Of a filter: start, end, what was expected.
   */
  constructor(
    message: string,
    readonly parameter = "",
    readonly details: Readonly<Record<string, Json>> = {},
  ) {
    super(message);
  }
}

/** Reads a query. @throws {ParameterProblem} */
export function readParameters<P extends Parameters>(
  parameters: P,
  query: URLSearchParams,
  nowMs: number,
): Values<P> {
  const names = Object.keys(parameters);
  for (const name of query.keys()) {
    if (!Object.hasOwn(parameters, name)) {
      const likely = nearest(name, names);
      const hint = likely === undefined ? names.join(", ") : `"${likely}" is probably meant`;
      throw new ParameterProblem(`Parameter ${shown(name)} is not known: ${hint}`, name);
    }
    if (query.getAll(name).length > 1) {
      throw new ParameterProblem(`Parameter "${name}" is given more than once`, name);
    }
  }
  const values: Record<string, unknown> = {};
  for (const [name, parameter] of Object.entries(parameters)) {
    const text = query.get(name) ?? parameter.fallback;
    if (text === null) throw new ParameterProblem(`Parameter "${name}" is missing`, name);
    try {
      values[name] = parameter.read(text, nowMs);
    } catch (error) {
      if (!(error instanceof ParameterProblem)) throw error;
      throw new ParameterProblem(error.message, name, error.details);
    }
  }
  return values as Values<P>;
}

/** Quotes what a client sent, shortened. */
function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

// ---- Kinds ----------------------------------------------------------------------------------------------------------

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const DURATION = "[0-9]{1,9}(ms|s|m|h|d|w)";
/** Last ms of the year 9999, which is what RFC 3339 can name. */
const TIME_MS_MAX = 253_402_300_799_999;

/** A time: RFC 3339, Unix ms, `now`, or relative to it: `-1h`, `now-15m`. */
export function time(description: string, fallback: string | null): Parameter<number> {
  return {
    description: `${description} RFC 3339 with at most 9 fractional digits, Unix time in ms, ` +
      "`now`, or a distance from now such as `-1h` (ms, s, m, h, d, w)",
    schema: { type: "string", examples: ["-1h", "now", "2026-01-31T12:00:00Z", "1769860800000"] },
    fallback,
    read: (text, nowMs) => {
      const relative = new RegExp(`^(?:now)?([-+ ])(${DURATION})$`).exec(text);
      const ms = text === "now" ? nowMs : relative !== null
        // A plus sign that was not encoded arrives as a space.
        ? nowMs + (relative[1] === "-" ? -1 : 1) * durationMs(relative[2])
        : /^\d{1,15}$/.test(text)
        ? Number(text)
        : timeMs(text.replace(" ", "+"));
      if (ms === null) {
        throw new ParameterProblem(
          `${shown(text)} is not a time: 2026-01-31T12:00:00Z, 1769860800000, now, -1h`,
        );
      }
      if (!(ms >= 0 && ms <= TIME_MS_MAX)) {
        throw new ParameterProblem(`Time ${shown(text)} is not in 1970 .. 9999`);
      }
      return Math.floor(ms);
    },
  };
}

/** Parts of a ms are cut off: ranges are in ms. */
function timeMs(text: string): number | null {
  const ns = parseTime(text);
  return ns === null ? null : msOfNs(ns);
}

function durationMs(text: string): number {
  const [, digits, unit] = /^(\d+)([a-z]+)$/.exec(text)!;
  return Number(digits) * UNITS_MS[unit];
}

/** A length of time in ms. `auto`, if allowed, is 0. */
export function duration(
  description: string,
  { min, max, fallback, allowsAuto = false }: {
    min: number;
    max: number;
    fallback: string;
    allowsAuto?: boolean;
  },
): Parameter<number> {
  const auto = allowsAuto ? "|auto" : "";
  return {
    description: `${description} A number with its unit: ms, s, m, h, d, w` +
      `${allowsAuto ? "; or `auto`" : ""}. From ${min} ms to ${max} ms`,
    schema: { type: "string", pattern: `^(${DURATION}${auto})$`, default: fallback },
    fallback,
    read: (text) => {
      if (allowsAuto && text === "auto") return 0;
      if (!new RegExp(`^${DURATION}$`).test(text)) {
        throw new ParameterProblem(`${shown(text)} is not a length of time: 10s, 5m, 1h`);
      }
      const ms = durationMs(text);
      if (ms < min || ms > max) {
        throw new ParameterProblem(`${shown(text)} is not within ${min} ms .. ${max} ms`);
      }
      return ms;
    },
  };
}

/** A whole number. */
export function integer(
  description: string,
  { min, max, fallback }: { min: number; max: number; fallback: number | null },
): Parameter<number> {
  return {
    description,
    schema: {
      type: "integer",
      minimum: min,
      maximum: max,
      ...(fallback !== null && { default: fallback }),
    },
    fallback: fallback === null ? null : String(fallback),
    read: (text) => {
      const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
      if (!(value >= min && value <= max)) {
        throw new ParameterProblem(`${shown(text)} is not a whole number from ${min} to ${max}`);
      }
      return value;
    },
  };
}

/** One word of some. */
export function choice<T extends string>(
  description: string,
  words: readonly T[],
  fallback: T,
): Parameter<T> {
  return {
    description,
    schema: { type: "string", enum: words, default: fallback },
    fallback,
    read: (text) => oneOf(text, words),
  };
}

/** Some words of some, each once, with commas between. */
export function choices<T extends string>(
  description: string,
  words: readonly T[],
  { max, fallback }: { max: number; fallback: string },
): Parameter<readonly T[]> {
  const word = `(${words.join("|")})`;
  return {
    description: `${description} Up to ${max} of: ${words.join(", ")}`,
    schema: {
      type: "string",
      pattern: `^${word}(,${word}){0,${max - 1}}$`,
      default: fallback,
    },
    fallback,
    read: (text) => {
      const found = text.split(",").map((each) => oneOf(each, words));
      if (found.length > max) {
        throw new ParameterProblem(`More than ${max} words in ${shown(text)}`);
      }
      if (new Set(found).size < found.length) {
        throw new ParameterProblem(`A word stands twice in ${shown(text)}`);
      }
      return found;
    },
  };
}

function oneOf<T extends string>(text: string, words: readonly T[]): T {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  const likely = nearest(text, words);
  const hint = likely === undefined ? words.join(", ") : `"${likely}" is probably meant`;
  throw new ParameterProblem(`${shown(text)} is not known: ${hint}`);
}

/** `true` or `false`. */
export function flag(description: string): Parameter<boolean> {
  return {
    description,
    schema: { type: "boolean", default: false },
    fallback: "false",
    read: (text) => oneOf(text, ["true", "false"]) === "true",
  };
}

/** A filter in the language of all of tunlog. */
export function filter(description: string): Parameter<Filter> {
  return {
    description,
    schema: { type: "string", maxLength: FILTER_CHARS_MAX, default: "" },
    fallback: "",
    read: (text) => {
      const result = parseFilter(text);
      if (result.ok) return result.filter;
      const { message, start, end, expected } = result.problem;
      throw new ParameterProblem(message, "", { position: { start, end }, expected });
    },
  };
}

/** A filter that is still being written, as text. */
export function filterText(description: string): Parameter<string> {
  return {
    description,
    schema: { type: "string", maxLength: FILTER_CHARS_MAX, default: "" },
    fallback: "",
    read: (value) => {
      if (value.length > FILTER_CHARS_MAX) {
        throw new ParameterProblem(`Text must have at most ${FILTER_CHARS_MAX} characters`);
      }
      return value;
    },
  };
}

/** Any text but none. */
export function text(description: string, charsMax: number): Parameter<string> {
  return {
    description,
    schema: { type: "string", minLength: 1, maxLength: charsMax },
    fallback: null,
    read: (value) => {
      if (value === "" || value.length > charsMax) {
        throw new ParameterProblem(`Text must have 1 to ${charsMax} characters`);
      }
      return value;
    },
  };
}

/** An address without port; "" = the row has none. */
export function address(description: string): Parameter<string> {
  return {
    description,
    schema: { type: "string", maxLength: 45 },
    fallback: null,
    read: (value) => {
      if (value !== "" && parseAddress(value) === null) {
        throw new ParameterProblem(`${shown(value)} is not an address: 10.0.0.1, fd00::1`);
      }
      return value;
    },
  };
}

/** Where a page goes on; "" = from the start. */
export function cursor(description: string): Parameter<FlowCursor | null> {
  return {
    description,
    schema: {
      type: "string",
      pattern: "^([0-9]{1,16}\\.[0-9]{1,16}\\.[0-9]{1,16})?$",
      default: "",
    },
    fallback: "",
    read: (value) => {
      if (value === "") return null;
      const numbers = /^(\d{1,16})\.(\d{1,16})\.(\d{1,16})$/.exec(value)?.slice(1).map(Number);
      if (numbers === undefined || !numbers.every(Number.isSafeInteger)) {
        throw new ParameterProblem(`${shown(value)} is not what "next" of a page said`);
      }
      return { endMs: numbers[0], entry: numbers[1], row: numbers[2] };
    },
  };
}
