/**
 * Options that all benchmarks of tunnels share.
 *
 *     [--quick] [--rounds N] [--seconds N] [--only CONTENDER]… [--measure NAME]… [--json FILE]
 *
 * In: arguments and what a benchmark has to offer. Out: what to do, checked.
 */
import { parseArgs } from "node:util";

/** What a benchmark can do, and how much of it unless told. */
export interface BenchDefaults<Contender extends string, Measure extends string> {
  /** Names the file of results, `tests/out/bench-NAME.json`. */
  readonly name: string;
  readonly contenders: readonly Contender[];
  /** Those that take part unless named; default: all. */
  readonly contendersByDefault?: readonly Contender[];
  readonly measures: readonly Measure[];
  readonly rounds: number;
  /** Of one run. */
  readonly seconds: number;
}

/** What is to be done. */
export interface BenchOptions<Contender extends string, Measure extends string> {
  readonly quick: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly contenders: readonly Contender[];
  readonly measures: readonly Measure[];
  readonly jsonPath: string;
}

/** @throws {TypeError} If an argument is wrong. */
export function parseBenchOptions<Contender extends string, Measure extends string>(
  args: readonly string[],
  defaults: BenchDefaults<Contender, Measure>,
): BenchOptions<Contender, Measure> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      seconds: { type: "string" },
      only: { type: "string", multiple: true },
      measure: { type: "string", multiple: true },
      json: { type: "string" },
    },
  });
  const quick = values.quick;
  return {
    quick,
    rounds: count("--rounds", values.rounds, quick ? 1 : defaults.rounds),
    seconds: count("--seconds", values.seconds, quick ? 1 : defaults.seconds),
    contenders: values.only === undefined
      ? defaults.contendersByDefault ?? defaults.contenders
      : chosen("--only", values.only, defaults.contenders),
    measures: values.measure === undefined
      ? defaults.measures
      : chosen("--measure", values.measure, defaults.measures),
    jsonPath: values.json ?? `tests/out/bench-${defaults.name}.json`,
  };
}

function count(option: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new TypeError(`Cannot use ${option} "${text}": want a whole number from 1`);
  }
  return value;
}

/** Those of `all` that were named, in the order of `all`. */
function chosen<Name extends string>(
  option: string,
  names: readonly string[],
  all: readonly Name[],
): readonly Name[] {
  const known: readonly string[] = all;
  for (const name of names) {
    if (!known.includes(name)) {
      throw new TypeError(`Cannot use ${option} "${name}": there are ${all.join(", ")}`);
    }
  }
  return all.filter((name) => names.includes(name));
}
