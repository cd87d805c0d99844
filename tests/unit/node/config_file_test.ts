// Goal: a file is found and looked at as wg-quick does. Method: pure parts with literal modes; one real file.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigError, ERRNO, SystemCallError } from "../../../src/errors.ts";
import { configPathOf, readConfigFile, worldAccessWarning } from "../../../src/node/config_file.ts";
import { interfaceOfArgument } from "../../../src/node/control_client.ts";

test("configPathOf() takes a bare name for a file of /etc/wireguard", () => {
  assert.equal(configPathOf("wg0"), "/etc/wireguard/wg0.conf");
  assert.equal(configPathOf("./wg0"), "./wg0");
  assert.equal(configPathOf("wg0.conf"), "wg0.conf");
  assert.equal(configPathOf("a-name-that-is-too-long"), "a-name-that-is-too-long");
});

test("interfaceOfArgument() takes a name or a file's path", () => {
  assert.equal(interfaceOfArgument("wg0"), "wg0");
  assert.equal(interfaceOfArgument("/x/wg1.conf"), "wg1");
  for (const bad of ["", "..", "a/b", "../wg0", "a b", "x".repeat(16), "/x/a b.conf"]) {
    assert.throws(() => interfaceOfArgument(bad), ConfigError, bad);
  }
});

test("worldAccessWarning() warns iff both file and directory let others in", () => {
  assert.equal(worldAccessWarning("f", 0o600, 0o777), null);
  assert.equal(worldAccessWarning("f", 0o644, 0o700), null);
  assert.equal(worldAccessWarning("f", 0o641, 0o754), null);
  assert.match(worldAccessWarning("f", 0o644, 0o755)!, /^"f" holds private keys/);
  assert.match(worldAccessWarning("f", 0o601, 0o711)!, /accessible to everyone/);
});

test("readConfigFile() reads a file with its warning, and says why it cannot", () => {
  const directory = mkdtempSync(join(tmpdir(), "tunlog-config-"));
  try {
    const path = join(directory, "wg0.conf");
    writeFileSync(path, "[Interface]\n");
    chmodSync(path, 0o644);
    chmodSync(directory, 0o700);
    assert.deepEqual(readConfigFile(path), { path, text: "[Interface]\n", warning: null });
    chmodSync(directory, 0o755);
    assert.match(readConfigFile(path).warning!, /accessible to everyone/);
    assert.throws(() => readConfigFile(directory), ConfigError);
    assert.throws(
      () => readConfigFile(join(directory, "no.conf")),
      (error) =>
        error instanceof SystemCallError && error.errno === ERRNO.ENOENT &&
        /^Cannot read configuration ".*no\.conf": errno is 2 \(ENOENT\): give the path/.test(
          error.message,
        ),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
