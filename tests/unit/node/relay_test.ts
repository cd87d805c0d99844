// Goal: what one worker hands to another arrives once, whole and in order, or is refused; the other is woken once.
// Method: random records against a list, at every offset of the ring; both sides of each limit.
import { test } from "node:test";
import assert from "node:assert/strict";
import { Bell, BELL_BYTES, createRelay, RelayIn, RelayOut } from "../../../src/node/relay.ts";
import { createRelayMemory, RelayRing } from "../../../src/node/relay_ring.ts";
import { ENDPOINT_WORDS } from "../../../src/ports.ts";
import { MemoryWake, SeededRandom } from "../../../src/platform/memory.ts";

const RING_BYTES = 1_024;
const NO_WORDS = new Uint32Array(0);

test("RelayRing equals a list of records, wherever they lie", () => {
  const random = new SeededRandom(1);
  const memory = createRelayMemory(RING_BYTES);
  const [writer, reader] = [new RelayRing(memory, 2), new RelayRing(memory, 2)];
  const expected: { words: number[]; bytes: number[] }[] = [];
  const output = new Uint8Array(RING_BYTES);
  let refused = 0;
  for (let turn = 0; turn < 20_000; turn++) {
    if (random.happens(0.55)) {
      const bytes = Uint8Array.from({ length: random.below(200) }, () => random.below(256));
      const words = [random.below(2 ** 32), random.below(2 ** 32)];
      if (writer.push(Uint32Array.of(9, ...words), 1, bytes, 0, bytes.length)) {
        expected.push({ words, bytes: [...bytes] });
      } else {
        refused++;
      }
    } else {
      const length = reader.pop(output, 0);
      const record = expected.shift();
      assert.equal(length, record?.bytes.length ?? -1);
      if (record === undefined) continue;
      assert.deepEqual([...output.subarray(0, length)], record.bytes);
      assert.deepEqual([...reader.beside], record.words);
    }
    assert.equal(reader.count, expected.length);
  }
  assert.ok(refused > 100, `${refused} were refused`);
});

test("RelayRing takes a record that fills it to the last byte, and none that is longer", () => {
  const memory = createRelayMemory(64);
  const ring = new RelayRing(memory, 0);
  const bytes = new Uint8Array(64).fill(7);
  assert.equal(ring.push(NO_WORDS, 0, bytes, 0, 61), false);
  assert.ok(ring.push(NO_WORDS, 0, bytes, 0, 60));
  assert.equal(ring.push(NO_WORDS, 0, bytes, 0, 0), false);
  const output = new Uint8Array(64);
  assert.equal(ring.pop(output, 2), 60);
  assert.deepEqual([output[1], output[2], output[61], output[62]], [0, 7, 7, 0]);
});

test("RelayRing goes on when its positions pass 2^32", () => {
  const memory = createRelayMemory(64);
  const control = new Int32Array(memory, 0, 32);
  control[0] = control[16] = -32;
  const ring = new RelayRing(memory, 0);
  const output = new Uint8Array(64);
  for (let turn = 0; turn < 8; turn++) {
    assert.ok(ring.push(NO_WORDS, 0, Uint8Array.of(turn, turn, turn, turn, turn), 0, 5));
    assert.equal(ring.pop(output, 0), 5);
    assert.equal(output[4], turn);
  }
});

test("RelayOut rings once until the other worker looks, and tells what found no room", () => {
  const wake = new MemoryWake();
  const bell = new Bell(new SharedArrayBuffer(BELL_BYTES), wake);
  const memory = createRelay(256);
  const dropped: number[] = [];
  const out = new RelayOut(memory, bell, (bytes) => dropped.push(bytes));
  const relays = new RelayIn([memory], bell);
  assert.equal(relays.isRung(), false);
  const bytes = new Uint8Array(100);
  for (let count = 0; count < 4; count++) out.push(0, bytes, 0, bytes.length);
  assert.deepEqual(dropped, [100, 100]);
  assert.equal(relays.waitingPackets, 2);
  assert.ok(wake.pending);
  wake.drain();
  out.push(0, bytes, 0, 8);
  assert.equal(wake.pending, false, "it is on its way already");
  assert.ok(relays.isRung());
  assert.equal(relays.isRung(), false);
  out.push(0, bytes, 0, 8);
  assert.ok(wake.pending);
  const endpoint = new Uint32Array(ENDPOINT_WORDS).fill(5);
  assert.ok(out.pushDatagram(endpoint, 0, bytes, 0, 100));
  assert.equal(out.pushDatagram(endpoint, 0, bytes, 0, 100), false);
});
