/**
 * Command line → typed values, and the one place where a command's errors become words and exit codes.
 *
 * In: arguments behind the command's name, its line of the table. Out: values; UsageError for anything unknown,
 * missing, doubled or too much. node:util does the splitting; the messages are ours, because the runtimes' differ.
 */
import { parseArgs } from "node:util";
import { ConfigError } from "../errors.ts";
import { nearest } from "../node/mod.ts";
import { type CommandSpec, type OptionSpec, type OptionTable, usageLine } from "./commands.ts";
import { commandHelp } from "./help.ts";
import { type CommandIo, EXIT } from "./io.ts";

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Values of options by their long names. */
export type OptionValues<O extends OptionTable> = {
  readonly [K in keyof O]: O[K]["type"] extends "boolean" ? boolean : string | undefined;
};

/** A command line that was understood. */
export interface ParsedArgs<O extends OptionTable> {
  readonly values: OptionValues<O>;
  readonly positionals: readonly string[];
}

/** Reads the arguments of one command. @throws {UsageError} If they do not fit its line of the table. */
export function parseCommandArgs<S extends CommandSpec>(
  spec: S,
  args: readonly string[],
): ParsedArgs<S["options"]> {
  const options = Object.entries<OptionSpec>(spec.options);
  const { tokens, positionals } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      options.map((
        [name, { type, short }],
      ) => [name, short === undefined ? { type } : { type, short }]),
    ),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const values: Record<string, boolean | string | undefined> = Object.fromEntries(
    options.map(([name, { type }]) => [name, type === "boolean" ? false : undefined]),
  );
  const seen = new Set<string>();
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const value = optionValue(token, spec);
    if (!seen.has(token.name)) values[token.name] = value;
    else if (spec.options[token.name].isList) values[token.name] += `,${value}`;
    else throw new UsageError(`Option "${token.rawName}" is given twice`);
    seen.add(token.name);
  }
  if (values.help !== true) checkPositionals(spec, positionals);
  // Filled above from the same table that the type is made of.
  return { values: values as OptionValues<S["options"]>, positionals };
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

function optionValue(token: OptionToken, spec: CommandSpec): boolean | string {
  const { name, rawName, value, inlineValue } = token;
  const option = Object.hasOwn(spec.options, name) ? spec.options[name] : undefined;
  if (option === undefined) {
    const likely = nearest(name, Object.keys(spec.options));
    const advice = likely === undefined ? "" : `: "--${likely}" is probably meant`;
    throw new UsageError(`Option "${rawName}" is not known${advice}`);
  }
  if (option.type === "boolean") {
    if (value !== undefined) throw new UsageError(`Option "${rawName}" takes no value`);
    return true;
  }
  if (value === "" && option.allowsEmpty === true) return value;
  // `--name --json`: the value was forgotten; who means it writes `--name=--json`. No option begins with a digit or is bare.
  const isOption = value !== undefined && /^-[^\d]/.test(value);
  if (value === undefined || value === "" || (inlineValue !== true && isOption)) {
    throw new UsageError(`Option "${rawName}" needs a value`);
  }
  return value;
}

function checkPositionals(spec: CommandSpec, positionals: readonly string[]): void {
  const missing = spec.positionals[positionals.length];
  if (missing !== undefined && !missing.startsWith("[")) {
    throw new UsageError(`Argument ${missing} is missing`);
  }
  const isOpen = spec.positionals.at(-1)?.endsWith("...]") === true;
  if (positionals.length > spec.positionals.length && !isOpen) {
    throw new UsageError(`Argument "${positionals[spec.positionals.length]}" is one too many`);
  }
}

/**
 * Runs the body of a command: parses, answers `--help`, and turns what is thrown into one message and an exit code.
 */
export async function runCommand<S extends CommandSpec>(
  spec: S,
  args: readonly string[],
  io: CommandIo,
  body: (parsed: ParsedArgs<S["options"]>) => Promise<number> | number,
): Promise<number> {
  try {
    const parsed = parseCommandArgs(spec, args);
    if ("help" in parsed.values && parsed.values.help === true) {
      io.stdout(commandHelp(spec));
      return EXIT.DONE;
    }
    return await body(parsed);
  } catch (error) {
    return reportError(error, spec, io);
  }
}

function reportError(error: unknown, spec: CommandSpec, io: CommandIo): number {
  if (error instanceof UsageError) {
    io.stderr(
      `tunlog: ${error.message}\nUsage: ${usageLine(spec)}\n"tunlog help ${spec.name}" says more\n`,
    );
    return EXIT.USAGE;
  }
  if (error instanceof ConfigError) {
    io.stderr(`${error.message.split("\n").map((line) => `tunlog: ${line}`).join("\n")}\n`);
    return EXIT.USAGE;
  }
  if (!(error instanceof Error)) throw error;
  io.stderr(`tunlog: ${error.message}\n`);
  return EXIT.FAILED;
}
