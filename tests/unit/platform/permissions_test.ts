// Goal: a missing permission is one sentence that says what for and how to grant it.
// Method: the query is played; on Deno the real one is asked in a child without permissions.
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { PermissionError } from "../../../src/errors.ts";
import { hasCapability } from "../../../src/platform/files.ts";
import {
  missingPermissions,
  type PermissionNeed,
  requirePermissions,
} from "../../../src/platform/permissions.ts";

const NEEDS: readonly PermissionNeed[] = [
  { name: "ffi", action: "call the kernel" },
  { name: "read", action: "read the configuration", target: "/etc/wg0.conf" },
  { name: "net", action: "listen" },
];

test("missingPermissions() names action, permission, flag and the other way", () => {
  const missing = missingPermissions(NEEDS, ({ name }) => name === "net");
  assert.deepEqual(missing.map((error) => error.message), [
    'Cannot call the kernel: permission "ffi" is missing: add --allow-ffi (or run with -P)',
    'Cannot read the configuration (/etc/wg0.conf): permission "read" is missing: add --allow-read ' +
    "(or run with -P)",
  ]);
  assert.deepEqual(missing.map((error) => error.permission), ["ffi", "read"]);
});

test("requirePermissions() throws for the first that is missing, else passes", () => {
  assert.throws(
    () => requirePermissions(NEEDS, () => false),
    (error: unknown) => error instanceof PermissionError && error.permission === "ffi",
  );
  requirePermissions(NEEDS, () => true);
  requirePermissions([], () => false);
});

test(
  "missingPermissions() asks the runtime, without a prompt",
  { skip: !("Deno" in globalThis) && "only Deno has permissions" },
  () => {
    const url = new URL("../../../src/platform/permissions.ts", import.meta.url);
    const root = fileURLToPath(new URL("../../../", import.meta.url));
    const code = `
      import { missingPermissions } from ${JSON.stringify(url.href)};
      const needs = [
        { name: "ffi", action: "a" }, { name: "read", action: "b", target: "/a/b" },
        { name: "read", action: "c", target: "/c" }, { name: "env", action: "d", target: "X" },
        { name: "net", action: "e", target: "h:1" }, { name: "run", action: "f", target: "ls" },
        { name: "write", action: "g" }, { name: "sys", action: "h" }];
      console.log(missingPermissions(needs).map((error) => error.message.slice(7, 8)).join(""));`;
    const lacking = (...flags: string[]): string => {
      // Where Deno sees its own path in a child's arguments it adds -A: so the path travels by the environment.
      const args = ["-c", 'exec "$RUNTIME" "$@"', "sh", "run", "--quiet", ...flags, "-"];
      const env = { ...process.env, RUNTIME: process.execPath };
      const child = spawnSync("sh", args, { cwd: root, env, input: code, encoding: "utf8" });
      assert.equal(child.status, 0, child.stderr);
      return child.stdout.trim();
    };
    assert.equal(lacking(), "abcdefgh");
    assert.equal(lacking("--allow-read=/a", "--allow-ffi"), "cdefgh");
    assert.equal(lacking("--allow-env=X", "--allow-net=h", "--allow-run=ls"), "abcgh");
    assert.equal(lacking("-A"), "");
  },
);

test("hasCapability() reads the bits of CapEff", () => {
  assert.equal(hasCapability("0000000000001000", 12), true);
  assert.equal(hasCapability("0000000000001000", 13), false);
  assert.equal(hasCapability("000001ffffffffff", 31), true);
  assert.equal(hasCapability("000001ff00000000", 12), false);
});
