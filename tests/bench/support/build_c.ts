/**
 * Programs in C that benchmarks measure against, or with. In: a source of this folder. Out: the program, built by gcc
 * at its ordinary level of optimization, without a warning.
 */
import { join } from "node:path";
import { mustSync } from "../../system/support/command.ts";
import { ROOT } from "../../system/support/runtimes.ts";

/** Builds `tests/bench/NAME.c`. @returns Path of the program, in `directory`. */
export function buildC(
  directory: string,
  name: string,
  defines: Readonly<Record<string, number>> = {},
): string {
  const path = join(directory, name);
  mustSync([
    ...["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", path],
    ...Object.entries(defines).map(([define, value]) => `-D${define}=${value}`),
    join(ROOT, "tests/bench", `${name}.c`),
  ]);
  return path;
}
