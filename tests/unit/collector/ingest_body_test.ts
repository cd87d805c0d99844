/** Unpacking of uploads: what is whole is handed out, all else says why not, and nothing takes more memory than allowed. */
import { test } from "node:test";
import assert from "node:assert/strict";
import * as zlib from "node:zlib";
import fc from "fast-check";
import { readBody } from "../../../src/collector/ingest/body.ts";
import { findDataFrame } from "../../../src/collector/ingest/zstd_frames.ts";
import { openZstd } from "../../../src/platform/mod.ts";

const LIMIT = 1_048_576;
const TEXT = new TextEncoder().encode(`[${'{"text":"hello"}\n,'.repeat(200)}{}]`);
const zstd = await openZstd();
// Not the runtime's own class, whose slice() shares memory.
const FRAME = new Uint8Array(zstd.compress(TEXT));

/** A frame of one raw block without content: what one runtime's encoder appends. */
const EMPTY_FRAME = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00);
const SKIPPABLE = Uint8Array.of(0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** A frame of raw or run-length blocks whose header says `contentBytes`, or nothing. */
function frameOf(contentBytes: number | null, ...blocks: (Uint8Array | number)[]): Uint8Array {
  const head = contentBytes === null
    // Window of 1 KiB.
    ? Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x00)
    : Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xa0, ...u32(contentBytes));
  const body = blocks.map((block, index) => {
    const isLast = index === blocks.length - 1 ? 1 : 0;
    const [type, size] = typeof block === "number" ? [1, block] : [0, block.length];
    const header = isLast | (type << 1) | (size << 3);
    const content = typeof block === "number" ? Uint8Array.of(0x20) : block;
    return joined(Uint8Array.of(header & 255, (header >> 8) & 255, header >> 16), content);
  });
  return joined(head, ...body);
}

function u32(value: number): number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];
}

function problemOf(bytes: Uint8Array, encoding = "zstd"): string {
  const content = readBody(bytes, encoding, LIMIT);
  assert.equal(content.kind, "wrong");
  return content.kind === "wrong" ? content.problem : "";
}

function contentOf(bytes: Uint8Array, encoding = "zstd", limit = LIMIT): Uint8Array {
  const content = readBody(bytes, encoding, limit);
  if (content.kind !== "content") throw new Error(JSON.stringify(content));
  // A plain array, for the runtime's own is another class.
  return new Uint8Array(content.bytes);
}

test("readBody() takes raw bodies up to the limit, under either name of no encoding", () => {
  assert.deepEqual(contentOf(TEXT, ""), TEXT);
  assert.deepEqual(contentOf(TEXT, " Identity "), TEXT);
  assert.equal(contentOf(new Uint8Array(LIMIT), "").length, LIMIT);
  assert.equal(readBody(new Uint8Array(LIMIT + 1), "", LIMIT).kind, "tooLarge");
});

test("readBody() unpacks what our own encoder, the runtime's and the zstd tool's streams write", () => {
  assert.deepEqual(contentOf(FRAME), TEXT);
  assert.deepEqual(contentOf(FRAME, "ZSTD"), TEXT);
  assert.deepEqual(contentOf(zlib.zstdCompressSync(TEXT)), TEXT);
  const level19 = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 19 } };
  assert.deepEqual(contentOf(zlib.zstdCompressSync(TEXT, level19)), TEXT);
});

test("readBody() passes over skippable frames and empty ones, in front and behind", () => {
  assert.deepEqual(contentOf(joined(FRAME, EMPTY_FRAME)), TEXT);
  assert.deepEqual(contentOf(joined(EMPTY_FRAME, SKIPPABLE, FRAME, SKIPPABLE)), TEXT);
  assert.deepEqual(contentOf(EMPTY_FRAME).length, 0);
});

test("readBody() refuses a second frame with content, which the runtimes would drop without a word", () => {
  assert.match(problemOf(joined(FRAME, FRAME)), /more than one/);
  assert.match(problemOf(joined(FRAME, frameOf(null, 3))), /more than one/);
});

test("readBody() finds every cut of a frame, wherever it is", () => {
  for (let length = 0; length < FRAME.length; length++) {
    assert.notEqual(
      readBody(FRAME.subarray(0, length), "zstd", LIMIT).kind,
      "content",
      `${length}`,
    );
  }
  assert.match(problemOf(FRAME.subarray(0, FRAME.length - 1)), /cut off/);
  assert.match(problemOf(joined(FRAME, SKIPPABLE.subarray(0, 10))), /cut off/);
  assert.match(problemOf(joined(FRAME, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))), /behind the zstd/);
});

test("readBody() stops bombs, whether or not their header says what they are", () => {
  const bomb = zlib.zstdCompressSync(new Uint8Array(64 * LIMIT));
  assert.ok(bomb.length < LIMIT / 8, `${bomb.length}`);
  assert.equal(readBody(bomb, "zstd", LIMIT).kind, "tooLarge");
  const untold = frameOf(null, ...Array.from({ length: 40 }, () => 131_071));
  assert.notEqual(readBody(untold, "zstd", LIMIT).kind, "content");
});

test("readBody() holds both sides of the limit", () => {
  const pack = (length: number) => zstd.compress(new Uint8Array(length).fill(0x20));
  assert.equal(contentOf(pack(LIMIT - 1)).length, LIMIT - 1);
  assert.equal(contentOf(pack(LIMIT)).length, LIMIT);
  assert.equal(readBody(pack(LIMIT + 1), "zstd", LIMIT).kind, "tooLarge");
});

test("readBody() believes no header that says another length than there is", () => {
  assert.equal(contentOf(frameOf(300, new Uint8Array(300))).length, 300);
  assert.equal(readBody(frameOf(299, new Uint8Array(300)), "zstd", LIMIT).kind, "wrong");
  assert.equal(readBody(frameOf(301, new Uint8Array(300)), "zstd", LIMIT).kind, "wrong");
  assert.equal(readBody(frameOf(2 ** 31 - 1, new Uint8Array(3)), "zstd", LIMIT).kind, "tooLarge");
});

test("readBody() refuses dictionaries, large windows, reserved bits and block types", () => {
  const damaged = (offset: number, value: number, source = frameOf(null, new Uint8Array(9))) => {
    const bytes = source.slice();
    bytes[offset] = value;
    return problemOf(bytes);
  };
  assert.match(damaged(4, 0x08), /reserved bit/);
  assert.match(damaged(4, 0x01), /dictionary/);
  // 8 MiB is the largest window; the next step is an eighth more.
  assert.match(damaged(5, 0x69), /window/);
  assert.match(damaged(6, 0x06), /reserved type/);
});

test("readBody() tells a damaged checksum and an encoding that it does not know", () => {
  const damaged = FRAME.slice();
  damaged[damaged.length - 1] ^= 1;
  assert.match(problemOf(damaged), /damaged/);
  assert.match(problemOf(TEXT, "gzip"), /unknown content encoding "gzip"/);
  assert.match(problemOf(TEXT, "zstd, zstd"), /unknown content encoding/);
});

test("readBody() throws for no bytes at all, and hands out only what the encoder was given", () => {
  let whole = 0;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(FRAME.length * 8 - 1), fc.boolean()), { maxLength: 4 }),
      fc.oneof(fc.nat(FRAME.length), fc.constant(FRAME.length)),
      fc.uint8Array({ maxLength: 64, size: "max" }),
      (flips, cutAt, noise) => {
        const bytes = flips.length === 0 ? FRAME.slice(0, cutAt) : FRAME.slice();
        for (const [bit] of flips) bytes[bit >> 3] ^= 1 << (bit & 7);
        const content = readBody(bytes, "zstd", LIMIT);
        // The checksum leaves one wrong content in 2^32.
        if (content.kind === "content") {
          whole++;
          assert.deepEqual(new Uint8Array(content.bytes), TEXT);
        }
        readBody(noise, "zstd", LIMIT);
        readBody(joined(FRAME.subarray(0, 4), noise), "zstd", LIMIT);
        findDataFrame(noise);
      },
    ),
    { seed: 1, numRuns: 600 },
  );
  assert.ok(whole > 0, "no run kept the frame whole");
});
