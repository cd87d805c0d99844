/**
 * Segmentation and coalescing against the kernel's own, on Deno and on Bun.
 *
 * Each case of support/offload_main.ts runs in a child, in a network namespace of its own. Run alone:
 * `deno test -A tests/system/offload_kernel_test.ts` (root).
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import process from "node:process";
import { mustSync } from "./support/command.ts";
import { withLab } from "./support/namespaces.ts";
import { cannotRun, hasCommand, OWN_RUNTIME, ROOT, type Runtime } from "./support/runtimes.ts";

const SCRIPT = "tests/system/support/offload_main.ts";
const RUNTIMES: readonly Runtime[] = ["deno", "bun"];

function command(runtime: Runtime, ...args: string[]): string[] {
  const executable = runtime === OWN_RUNTIME ? process.execPath : runtime;
  return runtime === "deno"
    ? [executable, "run", "-A", "--quiet", SCRIPT, ...args]
    : [executable, "run", "--no-install", SCRIPT, ...args];
}

function skipReason(runtime: Runtime): string | false {
  if (runtime !== OWN_RUNTIME && !hasCommand(runtime)) return `not installed: ${runtime}`;
  return cannotRun("sysctl");
}

const NAMES = JSON.parse(mustSync(command(OWN_RUNTIME), { cwd: ROOT })) as string[];
assert.ok(NAMES.length >= 2, "cases are missing");

for (const name of NAMES) {
  for (const runtime of RUNTIMES) {
    test(`${runtime}: ${name}`, { skip: skipReason(runtime) }, () =>
      withLab(async (lab) => {
        const result = await lab.namespace("o").run(command(runtime, name), { cwd: ROOT });
        assert.equal(result.code, 0, result.stderr);
        assert.match(result.stdout, /^holds: /m);
      }));
  }
}
