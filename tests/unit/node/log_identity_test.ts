/**
 * Goal: a node writes to the same stream after a restart, its credential is in one file of mode 0600 and in no message, and a
 * disk that cannot be used does not keep it from running. Method: real files in a directory of the test's own.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { ConfigError, SystemCallError } from "../../../src/errors.ts";
import { PRF_INPUT_BYTES } from "../../../src/netlog/mod.ts";
import type { CollectorConfig, FlowLogConfig } from "../../../src/node/config_flow_log.ts";
import { openExitPolicy, openIdentity } from "../../../src/node/log_identity.ts";

const CONFIGURED = "a0".repeat(32);
const COLLECTOR: CollectorConfig = {
  url: "http://192.0.2.1",
  collection: "here",
  privateId: null,
  copyId: null,
  spoolBytesMax: 1,
};

let root = "";
let directory = "";
let warnings: string[] = [];
const warn = (message: string) => void warnings.push(message);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tunlog-identity-"));
  directory = join(root, "state", "wg0");
  warnings = [];
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const open = (where: string | null = directory) => openIdentity(COLLECTOR, where, warn);
const modeOf = (path: string) => statSync(path).mode & 0o777;
const idsPath = () => join(directory, "log.conf");
const keyPath = () => join(directory, "exit.key");

function publicIdOf(privateId: string): string {
  const bytes = Uint8Array.from(privateId.match(/../g)!, (digits) => parseInt(digits, 16));
  return createHash("sha256").update(bytes).digest("hex");
}

/** Holds that no part of a credential is in a text. */
function mustHide(text: string, secret: string): void {
  for (let at = 0; at + 8 <= secret.length; at++) {
    assert.ok(!text.toLowerCase().includes(secret.slice(at, at + 8)), text);
  }
}

function thrownBy(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    assert.ok(error instanceof Error);
    return error;
  }
  assert.fail("nothing was thrown");
}

// ---- Ids ------------------------------------------------------------------------------------------------------------

test("openIdentity() makes ids once, in a file that only its owner can read, and finds them again", () => {
  const made = open();
  assert.match(made.privateId, /^[0-9a-f]{64}$/);
  assert.equal(made.publicId, publicIdOf(made.privateId));
  assert.equal(modeOf(idsPath()), 0o600);
  assert.equal(modeOf(directory), 0o700);
  assert.equal(modeOf(join(root, "state")), 0o700);
  assert.deepEqual(JSON.parse(readFileSync(idsPath(), "utf8")), {
    Collection: "here",
    PrivateID: made.privateId,
    PublicID: made.publicId,
  });
  assert.deepEqual(open(), made);
  assert.deepEqual(readdirSync(directory), ["log.conf"]);
  assert.deepEqual(warnings, []);
});

test("openIdentity() makes another identity for each node", () => {
  const made = open();
  const other = openIdentity(COLLECTOR, join(root, "other"), warn);
  assert.notEqual(made.privateId, other.privateId);
  assert.notEqual(open(null).privateId, open(null).privateId);
});

test("openIdentity() takes a configured id and makes no file", () => {
  const collector = { ...COLLECTOR, privateId: CONFIGURED };
  const found = openIdentity(collector, directory, warn);
  assert.deepEqual(found, { privateId: CONFIGURED, publicId: publicIdOf(CONFIGURED) });
  assert.equal(existsSync(directory), false);
  // Nor does it look at one.
  open();
  assert.deepEqual(openIdentity(collector, directory, warn), found);
});

test("openIdentity() without a directory writes nothing", () => {
  assert.equal(open(null).publicId.length, 64);
  assert.deepEqual(readdirSync(root), []);
});

test("openIdentity() reads the original's file, in either case", () => {
  mkdirSync(directory, { recursive: true });
  const ids = {
    PrivateID: CONFIGURED.toUpperCase(),
    PublicID: publicIdOf(CONFIGURED).toUpperCase(),
  };
  writeFileSync(idsPath(), JSON.stringify({ Collection: "other", More: [1], ...ids }), {
    mode: 0o600,
  });
  assert.equal(open().privateId, CONFIGURED);
});

test("openIdentity() refuses a file that is none, names it, keeps it and shows no digit of it", () => {
  mkdirSync(directory, { recursive: true });
  const publicId = publicIdOf(CONFIGURED);
  const broken = [
    "",
    "null",
    "[]",
    "{}",
    `{"PrivateID":"${CONFIGURED}"`,
    CONFIGURED,
    JSON.stringify({ PrivateID: CONFIGURED }),
    JSON.stringify({ PublicID: publicId }),
    JSON.stringify({ PrivateID: CONFIGURED.slice(1), PublicID: publicId }),
    JSON.stringify({ PrivateID: `g${CONFIGURED.slice(1)}`, PublicID: publicId }),
    JSON.stringify({ PrivateID: CONFIGURED, PublicID: publicId.replace(/^./, "g") }),
    JSON.stringify({ PrivateID: CONFIGURED, PublicID: publicIdOf("b0".repeat(32)) }),
    JSON.stringify({ PrivateID: publicId, PublicID: CONFIGURED }),
    JSON.stringify({ PrivateID: "00".repeat(32), PublicID: publicIdOf("00".repeat(32)) }),
  ];
  for (const text of broken) {
    writeFileSync(idsPath(), text, { mode: 0o600 });
    const error = thrownBy(() => open());
    assert.ok(error instanceof ConfigError, text);
    assert.ok(
      error.message.startsWith(`${idsPath()}: The file must hold PrivateID`),
      error.message,
    );
    mustHide(`${error.message}${error.stack}${String(error.cause)}`, CONFIGURED);
    assert.equal(readFileSync(idsPath(), "utf8"), text);
  }
});

test("openIdentity() warns of a file that others can read, and takes it", () => {
  const made = open();
  for (const mode of [0o640, 0o604, 0o620]) {
    chmodSync(idsPath(), mode);
    warnings = [];
    assert.deepEqual(open(), made);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /^".*log\.conf" can be read by others/);
    mustHide(warnings[0], made.privateId);
  }
  chmodSync(idsPath(), 0o400);
  warnings = [];
  open();
  assert.deepEqual(warnings, []);
});

test("openIdentity() goes on with new ids each time where it cannot write, and says so", () => {
  // A file stands where a directory is to be; nothing can be made in /proc.
  writeFileSync(join(root, "file"), "");
  for (const where of [join(root, "file"), join(root, "file", "wg0"), "/proc/tunlog"]) {
    warnings = [];
    const first = open(where);
    assert.notEqual(open(where).privateId, first.privateId);
    assert.equal(warnings.length, 2);
    for (const warning of warnings) {
      assert.match(
        warning,
        /^Cannot write ".*\/log\.conf": errno is \d+ \(E[A-Z]+\): the next start will make a new one$/,
      );
      mustHide(warning, first.privateId);
    }
  }
  assert.deepEqual(readdirSync(root), ["file"]);
});

test("openIdentity() throws where there is a file that it cannot read, rather than make a new one", () => {
  mkdirSync(idsPath(), { recursive: true });
  const error = thrownBy(() => open());
  assert.ok(error instanceof SystemCallError || error.message.includes("EISDIR"), String(error));
  assert.equal(statSync(idsPath()).isDirectory(), true);
  // A file that is there, and whose first byte cannot be read: no memory of a process lies at 0.
  rmSync(idsPath(), { recursive: true });
  symlinkSync("/proc/self/mem", idsPath());
  const unreadable = thrownBy(() => open());
  assert.ok(unreadable instanceof SystemCallError, String(unreadable));
  assert.match(unreadable.message, /^Cannot read ".*log\.conf": errno is \d+ \(E/);
  assert.deepEqual(warnings, []);
});

test("openIdentity() leaves no other file behind, not even where the last step fails", () => {
  mkdirSync(directory, { recursive: true });
  const left = `${idsPath()}.new`;
  writeFileSync(left, "left by a start that was killed", { mode: 0o666 });
  open();
  assert.deepEqual(readdirSync(directory), ["log.conf"]);
  assert.equal(modeOf(idsPath()), 0o600);
  assert.deepEqual(warnings, []);

  // A link into nowhere: there is nothing to read, and what is written replaces it.
  rmSync(idsPath());
  symlinkSync(join(root, "nowhere", "file"), idsPath());
  const made = open();
  assert.deepEqual(open(), made);
  assert.deepEqual(readdirSync(directory), ["log.conf"]);
});

// ---- The key of pseudonyms ------------------------------------------------------------------------------------------

const KEYED = { exitMode: "keyed" } as const;

function policyOf(where: string | null = directory) {
  return openExitPolicy({ ...KEYED, stateDirectory: where } as FlowLogConfig, warn);
}

/** What the policy's function makes of one input. */
function pseudonym(where: string | null = directory): string {
  const policy = policyOf(where);
  assert.ok(policy.mode === "keyed");
  const output = policy.prf(new Uint8Array(PRF_INPUT_BYTES).fill(5));
  assert.equal(output.length, 32);
  return Array.from(output).join();
}

test("openExitPolicy() makes a key once, in a file that only its owner can read, and finds it again", () => {
  const made = pseudonym();
  assert.equal(pseudonym(), made);
  assert.equal(modeOf(keyPath()), 0o600);
  assert.match(readFileSync(keyPath(), "utf8"), /^[0-9a-f]{64}\n$/);
  assert.deepEqual(readdirSync(directory), ["exit.key"]);
  assert.notEqual(pseudonym(join(root, "other")), made);
  assert.notEqual(pseudonym(null), pseudonym(null));
  assert.deepEqual(warnings, []);
});

test("openExitPolicy() needs no key and makes no file in the other modes", () => {
  for (const exitMode of ["zero", "node", "prefix", "full"] as const) {
    const policy = openExitPolicy({ exitMode, stateDirectory: directory } as FlowLogConfig, warn);
    assert.deepEqual(policy, { mode: exitMode });
  }
  assert.equal(existsSync(directory), false);
});

test("openExitPolicy() refuses a broken key without showing it, warns of an open one, goes on without a disk", () => {
  mkdirSync(directory, { recursive: true });
  const key = "0123456789abcdef".repeat(4);
  for (
    const text of [
      "",
      key.slice(1),
      `${key}0`,
      key.toUpperCase(),
      `x${key.slice(1)}`,
      `${key}\n${key}`,
    ]
  ) {
    writeFileSync(keyPath(), text, { mode: 0o600 });
    const error = thrownBy(() => policyOf());
    assert.ok(error instanceof ConfigError, text);
    assert.ok(error.message.startsWith(`${keyPath()}: The file must hold 64 hexadecimal`));
    mustHide(error.message, key);
    assert.equal(readFileSync(keyPath(), "utf8"), text);
  }
  writeFileSync(keyPath(), key);
  assert.deepEqual(warnings, []);
  chmodSync(keyPath(), 0o644);
  const known = pseudonym();
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /^".*exit\.key" can be read by others/);
  chmodSync(keyPath(), 0o600);
  assert.equal(pseudonym(), known);
  assert.equal(warnings.length, 1);

  assert.notEqual(pseudonym("/proc/tunlog"), pseudonym("/proc/tunlog"));
  assert.equal(warnings.length, 3);
  assert.match(warnings[2], /^Cannot write "\/proc\/tunlog\/exit\.key": errno is /);
});
