// Goal: keys are wg's keys. Method: RFC 7748 §6.1's pair, a pair made by wg, wg itself where it is installed.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { runGenkey, runGenpsk, runPubkey } from "../../../src/cli/keys.ts";
import { keyFromBase64, keyFromHex, keyToBase64 } from "../../../src/node/key_text.ts";
import { FakeIo } from "./support.ts";

/** Alice's pair of RFC 7748 §6.1. */
const ALICE = {
  privateKey: keyFromHex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")!,
  publicKey: keyFromHex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")!,
};

const hasWg = spawnSync("wg", ["--version"]).status === 0;

async function pubkey(stdin: string): Promise<FakeIo & { code: number }> {
  const io = new FakeIo({ stdin });
  return Object.assign(io, { code: await runPubkey([], io) });
}

async function genkey(): Promise<string> {
  const io = new FakeIo();
  assert.equal(await runGenkey([], io), 0);
  assert.equal(io.err, "");
  return io.out;
}

test("runGenkey() prints a clamped key on one line, another each time", async () => {
  const texts = await Promise.all(Array.from({ length: 20 }, genkey));
  assert.equal(new Set(texts).size, 20);
  for (const text of texts) {
    assert.match(text, /^[A-Za-z0-9+/]{43}=\n$/);
    const key = keyFromBase64(text.trimEnd())!;
    assert.equal(key[0]! & 7, 0);
    assert.equal(key[31]! & 0xc0, 0x40);
  }
});

test("runGenpsk() prints all bits at random", async () => {
  const ones = new Uint8Array(32);
  const zeros = new Uint8Array(32).fill(0xff);
  for (let round = 0; round < 40; round++) {
    const io = new FakeIo();
    assert.equal(await runGenpsk([], io), 0);
    keyFromBase64(io.out.trimEnd())!.forEach((byte, index) => {
      ones[index]! |= byte;
      zeros[index]! &= byte;
    });
  }
  // Each bit was one at least once and zero at least once; by chance this fails once in 2^31 runs.
  assert.deepEqual(ones, new Uint8Array(32).fill(0xff));
  assert.deepEqual(zeros, new Uint8Array(32));
});

test("runPubkey() computes what RFC 7748 and wg compute", async () => {
  assert.equal(
    (await pubkey("mDAyVsP3wBK+hAvdF0kO0+bnxx5BJDLLPxGLsFcnWGs=\n")).out,
    "1QZ34G8tmftDIt0As+6qM0JgVBCdVUwbmxo2lLToe1w=\n",
  );
  assert.equal(
    (await pubkey(keyToBase64(ALICE.privateKey))).out,
    `${keyToBase64(ALICE.publicKey)}\n`,
  );
});

test("runPubkey() agrees with wg on random keys", {
  skip: hasWg ? false : "wg is not installed",
}, async () => {
  for (let round = 0; round < 10; round++) {
    const key = await genkey();
    const wg = spawnSync("wg", ["pubkey"], { input: key, encoding: "utf8" });
    assert.equal((await pubkey(key)).out, wg.stdout);
  }
  const psk = new FakeIo();
  await runGenpsk([], psk);
  // An unclamped key: wg clamps it on the way.
  const wg = spawnSync("wg", ["pubkey"], { input: psk.out, encoding: "utf8" });
  assert.equal((await pubkey(psk.out)).out, wg.stdout);
});

test("runPubkey() takes space behind the key, and nothing else", async () => {
  const key = "mDAyVsP3wBK+hAvdF0kO0+bnxx5BJDLLPxGLsFcnWGs=";
  for (const fine of [key, `${key}\n`, `${key} \r\n\n`]) assert.equal((await pubkey(fine)).code, 0);
  for (const bad of ["", "\n", key.slice(1), `${key}x`, ` ${key}`, `${key}\n${key}`]) {
    const io = await pubkey(bad);
    assert.equal(io.code, 1, bad);
    assert.equal(io.out, "");
    assert.match(io.err, /^tunlog: The standard input must be one private key/);
    assert.ok(!io.err.includes(key.slice(1, 30)), "the key is repeated");
  }
});

test("runGenkey() and runGenpsk() warn when the file is accessible to everyone", async () => {
  for (const run of [runGenkey, runGenpsk]) {
    for (
      const [mode, warns] of [[0o600, false], [0o640, false], [0o644, true], [0o601, true]] as const
    ) {
      const io = new FakeIo({ stdoutFileMode: mode });
      await run([], io);
      assert.equal(io.err !== "", warns, mode.toString(8));
      assert.equal(io.out.length, 45);
    }
  }
});
