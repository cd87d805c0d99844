/**
 * The platform on the real kernel: TUN, UDP, poll, eventfd and clocks, on Deno and on Bun.
 *
 * Each case of support/platform_main.ts runs in a child, in a network namespace of its own. Run alone:
 * `deno test -A tests/system/platform_test.ts` (root).
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import process from "node:process";
import { type CommandResult, mustSync } from "./support/command.ts";
import { type Namespace, withLab } from "./support/namespaces.ts";
import { cannotRun, hasCommand, OWN_RUNTIME, ROOT, type Runtime } from "./support/runtimes.ts";

const SCRIPT = "tests/system/support/platform_main.ts";
const RUNTIMES: readonly Runtime[] = ["deno", "bun"];

/** Root by number, but without any capability. */
const NO_RIGHTS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"];

/** What stands in front of a case's command, for those that need a poorer world than root's. */
const WORLDS: Readonly<Record<string, readonly string[]>> = {
  "openTun() says that a right is missing": NO_RIGHTS,
  "probeMachine() says what is missing without rights": NO_RIGHTS,
  // A mount namespace whose /dev/net is empty.
  "openTun() says that the device node is missing": [
    ...["unshare", "--mount", "sh", "-c"],
    'mount -t tmpfs none /dev/net && exec "$@"',
    "sh",
  ],
};

function command(runtime: Runtime, ...args: string[]): string[] {
  const executable = runtime === OWN_RUNTIME ? process.execPath : runtime;
  return runtime === "deno"
    ? [executable, "run", "-A", "--quiet", SCRIPT, ...args]
    : [executable, "run", "--no-install", SCRIPT, ...args];
}

function runCase(namespace: Namespace, runtime: Runtime, name: string): Promise<CommandResult> {
  return namespace.run([...(WORLDS[name] ?? []), ...command(runtime, name)], { cwd: ROOT });
}

function skipReason(runtime: Runtime): string | false {
  if (runtime !== OWN_RUNTIME && !hasCommand(runtime)) return `not installed: ${runtime}`;
  return cannotRun("setpriv", "unshare");
}

/** Names of all cases; without them there would be nothing to run, silently. */
function caseNames(): string[] {
  const names = JSON.parse(mustSync(command(OWN_RUNTIME), { cwd: ROOT })) as string[];
  assert.ok(names.length >= 15, "cases are missing");
  for (const name of Object.keys(WORLDS)) assert.ok(names.includes(name), name);
  return names;
}

for (const name of caseNames()) {
  for (const runtime of RUNTIMES) {
    test(`${runtime}: ${name}`, { skip: skipReason(runtime) }, () =>
      withLab(async (lab) => {
        const result = await runCase(lab.namespace("p"), runtime, name);
        assert.equal(result.code, 0, result.stderr);
        assert.match(result.stdout, /^holds: /m);
      }));
  }
}
