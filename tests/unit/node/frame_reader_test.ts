// Goal: requests come out whole and in order however the stream is cut. Method: split() of the whole text is the twin.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FrameReader } from "../../../src/node/frame_reader.ts";

const encoder = new TextEncoder();

/** Pushes the text in pieces of the given sizes, repeated, and takes what is whole after each. */
function readInPieces(reader: FrameReader, text: string, sizes: readonly number[]): string[] {
  const bytes = encoder.encode(text);
  const found: string[] = [];
  let offset = 0;
  for (let index = 0; offset < bytes.length; index++) {
    const end = offset + sizes[index % sizes.length]!;
    reader.push(bytes.subarray(offset, end));
    offset = end;
    for (let frame = reader.take(); frame !== null; frame = reader.take()) found.push(frame);
  }
  return found;
}

test("FrameReader.take() cuts at blank lines, or at every line", () => {
  assert.deepEqual(readInPieces(new FrameReader("blank line"), "a\nb\n\nc\n\n\n\nd", [100]), [
    "a\nb",
    "c",
    "",
  ]);
  assert.deepEqual(readInPieces(new FrameReader("line"), "a\nb\n\nc", [1]), ["a", "b", ""]);
});

test("FrameReader.firstLine() shows a line before the request is whole", () => {
  const reader = new FrameReader("blank line");
  reader.push(encoder.encode("set=1"));
  assert.equal(reader.firstLine(), null);
  reader.push(encoder.encode("\nfwmark"));
  assert.equal(reader.firstLine(), "set=1");
  assert.equal(reader.take(), null);
  assert.equal(reader.length, 12);
});

test("FrameReader copies what it is given and gives back its room", () => {
  const reader = new FrameReader("line");
  const chunk = encoder.encode("abc");
  reader.push(chunk);
  chunk.fill(0);
  reader.push(encoder.encode("\n"));
  assert.equal(reader.take(), "abc");
  reader.push(encoder.encode(`${"x".repeat(1_000_000)}\ny`));
  assert.equal(reader.take()?.length, 1_000_000);
  assert.equal(reader.length, 1);
});

test("FrameReader.take() is the same for every way of cutting the stream", () => {
  const text = fc.array(fc.constantFrom("\n", "\n", "a", "é", "="), { maxLength: 60, size: "max" });
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(text, sizes, fc.boolean(), (parts, cut, blank) => {
      const whole = parts.join("");
      // The twin: greedy from the left, as a blank line ends the first request that it can.
      const separator = blank ? "\n\n" : "\n";
      const wanted = whole.split(separator).slice(0, -1);
      const reader = new FrameReader(blank ? "blank line" : "line");
      assert.deepEqual(readInPieces(reader, whole, cut), wanted);
      assert.equal(reader.length, encoder.encode(whole.split(separator).at(-1)).length);
    }),
    { seed: 5, numRuns: 1000 },
  );
});
