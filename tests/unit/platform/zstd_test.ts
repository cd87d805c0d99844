/**
 * Goal: whatever openZstd() chooses writes one frame that says its length and that other decoders read.
 * Method: frame headers are parsed here anew; bodies are read back by fzstd and by the zstd command.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { Buffer } from "node:buffer";
import process from "node:process";
import * as fzstd from "fzstd";
import { openZstd, type ZstdName } from "../../../src/platform/zstd.ts";

const IMPLEMENTATIONS: readonly ZstdName[] = ["node:zlib", "zstd-wasm"];
const LENGTHS = [0, 1, 255, 256, 257, 300, 65_535, 65_536, 65_792, 131_072, 131_073, 262_400];
const LONG = 1_048_576;

function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0, state = length; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

function json(length: number): Uint8Array {
  const row = (index: number) =>
    `{"proto":6,"src":"100.64.0.1:${index % 65_536}","dst":"100.64.1.${index % 250}:443",` +
    `"txPkts":${index},"txBytes":${index * 1_337}}`;
  let text = "[";
  for (let index = 0; text.length < length; index++) text += `${row(index)},`;
  return new TextEncoder().encode(text.slice(0, length));
}

/** Lengths of the frames' contents as their headers say; null = not said. RFC 8878 §3.1.1. */
function contentLengths(bytes: Uint8Array): (number | null)[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: (number | null)[] = [];
  for (let at = 0; at < bytes.length;) {
    assert.equal(view.getUint32(at, true), 0xfd2fb528, `magic at ${at}`);
    const descriptor = bytes[at + 4];
    const isSingle = ((descriptor >> 5) & 1) === 1;
    at += 5 + (isSingle ? 0 : 1) + [0, 1, 2, 4][descriptor & 3];
    const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6];
    found.push(
      sizeBytes === 0
        ? null
        : sizeBytes === 1
        ? bytes[at]
        : sizeBytes === 2
        ? view.getUint16(at, true) + 256
        : view.getUint32(at, true),
    );
    at += sizeBytes;
    for (let isLast = false; !isLast;) {
      const header = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);
      isLast = (header & 1) === 1;
      at += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3);
    }
    at += (descriptor & 4) === 0 ? 0 : 4;
  }
  return found;
}

const hasCommand = spawnSync("zstd", ["--version"]).status === 0;
if (!hasCommand) {
  console.log(
    "zstd_test: the zstd command is missing (Debian package zstd); only fzstd reads back",
  );
}

for (const name of IMPLEMENTATIONS) {
  test(`openZstd() with ${name} writes one frame with its content's length, read by fzstd and zstd`, async () => {
    const zstd = await openZstd([name]);
    assert.equal(zstd.name, name);
    for (const length of [...LENGTHS, LONG]) {
      for (const body of [noise(length), json(length)]) {
        const before = body.slice();
        const frame = zstd.compress(body);
        assert.deepEqual(contentLengths(frame), [length]);
        assert.ok(Buffer.from(fzstd.decompress(frame)).equals(body), `fzstd, ${length} bytes`);
        assert.ok(Buffer.from(before).equals(body), "the body is left as it is");
        if (!hasCommand) continue;
        const { status, stdout } = spawnSync("zstd", ["-dcq"], {
          input: frame,
          maxBuffer: 2 ** 22,
        });
        assert.equal(status, 0);
        assert.ok(stdout.equals(body), `zstd command, ${length} bytes`);
      }
    }
    assert.ok(zstd.compress(json(LONG)).length < LONG / 4);
  });

  test(`openZstd() with ${name} keeps no memory over 10,000 bodies`, async () => {
    const zstd = await openZstd([name]);
    const body = json(4_096);
    const residentBytes = (count: number) => {
      for (let index = 0; index < count; index++) zstd.compress(body);
      return process.memoryUsage().rss;
    };
    let before = residentBytes(2_000);
    // A leak grows in every round, other tests' garbage only in some. All results of a round together would be 10 MB,
    // all bodies 40 MB, all buffers of zlib 50 MB.
    let leastGrown = Infinity;
    for (let round = 0; round < 6; round++) {
      const after = residentBytes(10_000);
      leastGrown = Math.min(leastGrown, after - before);
      before = after;
    }
    assert.ok(leastGrown < 8 * 2 ** 20, `grew by ${leastGrown} bytes in every round`);
  });
}

test("openZstd() chooses node:zlib on the runtimes that are pinned", async () => {
  assert.equal((await openZstd()).name, "node:zlib");
});

test("openZstd() without an implementation hands bodies back, and says so by name", async () => {
  const zstd = await openZstd(["none"]);
  const body = json(1_000);
  assert.equal(zstd.name, "none");
  assert.equal(zstd.compress(body), body);
  await assert.rejects(openZstd([]), /none of/);
});
