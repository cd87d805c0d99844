/** Times as the API takes them, where no API is asked. In: text. Out: Unix ms; a ConfigError that names the option. */
import { ConfigError } from "../../errors.ts";
import { ParameterProblem, timeParameter } from "../../collector/mod.ts";

/** Reads a time. @throws {ConfigError} If it is none. */
export function parseTimeOption(text: string, nowMs: number, name: string): number {
  try {
    return timeParameter("", null).read(text, nowMs);
  } catch (error) {
    if (!(error instanceof ParameterProblem)) throw error;
    throw new ConfigError(`--${name}: ${error.message}`);
  }
}
