/**
 * Which runtimes and tools the system tests have, and how to start a script on them.
 *
 * In: the environment. Out: argument vectors, and true reasons to skip.
 */
import { accessSync, constants } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runSync } from "./command.ts";

/** The project's top folder. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");

/** Runtime that a script of ours runs on. */
export type Runtime = "deno" | "bun";

/** Runtime of the test itself. */
export const OWN_RUNTIME: Runtime = "Deno" in globalThis ? "deno" : "bun";

function executable(runtime: Runtime): string {
  return runtime === OWN_RUNTIME ? process.execPath : runtime;
}

/**
 * Returns the command that runs `mod.ts` as a user would: with the project's permission set, no more.
 * To be started with ROOT as working directory.
 * @param permissions Flags for Deno beyond the set, e.g. `--allow-run`.
 */
export function programCommand(
  runtime: Runtime,
  args: readonly string[],
  permissions: readonly string[] = [],
): string[] {
  return runtime === "deno"
    ? [executable("deno"), "run", "-P", ...permissions, "mod.ts", ...args]
    : [executable("bun"), "run", "--no-install", "mod.ts", ...args];
}

/** Returns the command that runs one of the tests' own helper scripts on the test's runtime. */
export function helperCommand(script: string, ...args: string[]): string[] {
  const path = join(ROOT, "tests", "system", "support", script);
  return OWN_RUNTIME === "deno"
    ? [process.execPath, "run", "-A", "--quiet", path, ...args]
    : [process.execPath, "run", "--no-install", path, ...args];
}

/** Whether a command is on PATH. */
export function hasCommand(name: string): boolean {
  return (process.env.PATH ?? "").split(":").some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

let namespaceProblem: string | false | null = null;

/**
 * Returns why tests in namespaces cannot run here, or false if they can: the value for `skip` of node:test.
 * @param tools Commands needed besides `ip` and `wg`.
 */
export function cannotRun(...tools: string[]): string | false {
  const missing = ["ip", "wg", "ping", ...tools].filter((tool) => !hasCommand(tool));
  if (missing.length > 0) return `not installed: ${missing.join(", ")}`;
  namespaceProblem ??= probeNamespaces();
  return namespaceProblem;
}

function probeNamespaces(): string | false {
  if (process.getuid?.() !== 0) return "not root: network namespaces cannot be made";
  try {
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
  } catch {
    return "no /dev/net/tun on this machine";
  }
  const name = `tl-${process.pid.toString(36)}-probe`;
  const made = runSync(["ip", "netns", "add", name]);
  if (made.code !== 0) return `network namespaces cannot be made: ${made.stderr.trim()}`;
  runSync(["ip", "netns", "delete", name]);
  return false;
}
