/**
 * Hooks: the commands of PreUp, PostUp, PreDown and PostDown, run as wg-quick runs them.
 *
 * In: a configuration, a moment. Out: the commands' own output on stderr. Each runs in a bash of its own with `%i`
 * replaced by the interface's name; one that fails ends a start.
 */
import { spawnSync } from "node:child_process";
import { ConfigError } from "../errors.ts";
import { requirePermissions } from "../platform/mod.ts";
import type { Hook, HookMoment, NodeConfig } from "../node/mod.ts";

/** Runs all hooks of a moment. @throws {Error} If one cannot be run or fails. */
export type RunHooks = (moment: HookMoment) => void;

/**
 * Makes the runner of a configuration's hooks.
 * @param allowed Whether the user wants them run.
 * @throws {ConfigError} If there are any and they are not allowed.
 */
export function hookRunner(
  config: NodeConfig,
  allowed: boolean,
  say: (message: string) => void,
): RunHooks {
  const first = config.hooks[0];
  if (first !== undefined && !allowed) {
    throw new ConfigError(
      `${keyOf(first.moment)} runs a command as this user: give --allow-hooks if that is wanted`,
      config.path,
      first.line,
    );
  }
  if (first !== undefined) requirePermissions([{ name: "run", action: "run hooks" }]);
  return (moment) => {
    for (const hook of config.hooks.filter((hook) => hook.moment === moment)) {
      const command = hook.command.replaceAll("%i", config.interfaceName);
      say(`[#] ${command}`);
      runHook(hook, command);
    }
  };
}

function runHook(hook: Hook, command: string): void {
  const result = spawnSync("bash", ["-c", command], { stdio: ["ignore", 2, 2] });
  if (result.status === 0) return;
  const how = result.error?.message ?? (result.signal ?? `exit code ${result.status}`);
  throw new Error(`${keyOf(hook.moment)} "${command}" failed: ${how}`);
}

/** `postUp` → `PostUp`, as it stands in the file. */
function keyOf(moment: HookMoment): string {
  return `${moment[0]!.toUpperCase()}${moment.slice(1)}`;
}
