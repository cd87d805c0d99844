/** Goal: virtio headers are read and written as linux/virtio_net.h lays them out. Method: literals, inverses, poison. */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  readVirtio,
  VIRTIO,
  VIRTIO_HEADER_BYTES,
  VIRTIO_WORDS,
  writeVirtio,
} from "../../../src/packet/virtio.ts";

/** TCP over IPv4 with ECN, 1380 bytes a segment, checksum at 20 + 16. */
const BYTES = [
  ...[1, 0x81], // Flags, type.
  ...[54, 0, 0x64, 5], // Header's and segments' length, little-endian.
  ...[20, 0, 16, 0], // Checksum's start and offset.
];
const WORDS = [1, 0x81, 54, 1380, 20, 16];

test("readVirtio() and writeVirtio() follow the layout and touch nothing beside it", () => {
  assert.equal(BYTES.length, VIRTIO_HEADER_BYTES);
  const bytes = new Uint8Array(VIRTIO_HEADER_BYTES + 5).fill(0xee);
  bytes.set(BYTES, 3);
  const words = new Uint32Array(VIRTIO_WORDS + 3).fill(0xeeeeeeee);
  readVirtio(new DataView(bytes.buffer), 3, words, 2);
  assert.deepEqual([...words], [0xeeeeeeee, 0xeeeeeeee, ...WORDS, 0xeeeeeeee]);
  assert.equal(words[2 + VIRTIO.SEGMENT_BYTES], 1380);

  const written = new Uint8Array(bytes.length).fill(0xee);
  writeVirtio(new DataView(written.buffer), 3, words, 2);
  assert.deepEqual(written, bytes);
});

test("readVirtio() gives the largest values that fields hold", () => {
  const words = new Uint32Array(VIRTIO_WORDS);
  readVirtio(new DataView(new Uint8Array(VIRTIO_HEADER_BYTES).fill(255).buffer), 0, words, 0);
  assert.deepEqual([...words], [255, 255, 0xffff, 0xffff, 0xffff, 0xffff]);
});
