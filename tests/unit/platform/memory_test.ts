/**
 * Goal: virtual time runs tasks in order, seeded randomness repeats and is even, and the TUN, wake and poll ports in
 * memory keep the contract of ports.ts. Method: direct calls; no real clock.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { ERRNO } from "../../../src/errors.ts";
import { createBatch } from "../../../src/packet/mod.ts";
import { POLL, TUN_READ_BYTES, type UdpPort } from "../../../src/ports.ts";
import {
  memoryBuffer,
  MemoryClock,
  MemoryNetwork,
  MemoryPoll,
  MemoryTun,
  MemoryWake,
  SeededRandom,
} from "../../../src/platform/memory.ts";

test("MemoryClock.advance runs what falls due, in order of time, then of scheduling", () => {
  const clock = new MemoryClock({ nowMs: 100 });
  const ran: string[] = [];
  const note = (name: string) => () => ran.push(`${name}@${clock.nowMs()}`);
  clock.schedule(10, note("late"));
  clock.schedule(5, note("first of two"));
  clock.schedule(5, note("second of two"));
  clock.schedule(5.5, () => clock.schedule(1, note("made meanwhile")));
  clock.schedule(10.5, note("beyond"));
  assert.equal(clock.nextDueMs, 105);
  clock.advance(10);
  assert.deepEqual(ran, [
    "first of two@105",
    "second of two@105",
    "made meanwhile@106.5",
    "late@110",
  ]);
  assert.equal(clock.nowMs(), 110);
  assert.equal(clock.nextDueMs, 110.5);
});

test("MemoryClock.schedule returns a canceller that can be called at any time", () => {
  const clock = new MemoryClock();
  let runs = 0;
  const cancel = clock.schedule(1, () => runs++);
  cancel();
  const late = clock.schedule(1, () => runs++);
  clock.advance(1);
  late();
  assert.equal(runs, 1);
  assert.equal(clock.nextDueMs, Infinity);
});

test("MemoryClock steps its wall clock without touching monotonic time, and never goes back", () => {
  const clock = new MemoryClock({ nowMs: 5, wallMs: 1_000 });
  clock.stepWall(-300);
  clock.advance(7);
  assert.equal(clock.nowMs(), 12);
  assert.equal(clock.wallMs(), 707);
  assert.throws(() => clock.advance(-1), RangeError);
  assert.throws(() => clock.advance(NaN), RangeError);
});

test("SeededRandom repeats for a seed, differs between seeds and is even", () => {
  const words = (seed: number) => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 8 }, () => random.word());
  };
  assert.deepEqual(words(1), words(1));
  assert.notDeepEqual(words(1), words(2));
  assert.notDeepEqual(words(1), words(1 + 2 ** 32), "high bits of the seed count");
  const random = new SeededRandom(11);
  const bins = new Uint32Array(16);
  for (let draw = 0; draw < 64_000; draw++) bins[random.below(16)]++;
  for (const count of bins) assert.ok(Math.abs(count - 4_000) < 300, `${bins}`);
  const bytes = new Uint8Array(64_000);
  random.fill(bytes);
  const mean = bytes.reduce((sum, byte) => sum + byte, 0) / bytes.length;
  assert.ok(Math.abs(mean - 127.5) < 1.5, `${mean}`);
});

test("MemoryTun.read takes what was injected, with its header", () => {
  const tun = new MemoryTun("wg7");
  const buffer = memoryBuffer(TUN_READ_BYTES + 4);
  assert.equal(tun.name, "wg7");
  assert.equal(tun.read(buffer, 4), -ERRNO.EAGAIN);
  const packet = Uint8Array.of(1, 2, 3);
  const header = Uint8Array.from({ length: 10 }, (_, index) => index);
  tun.inject(packet, header);
  packet[0] = 9;
  header[0] = 9;
  tun.inject(Uint8Array.of(4));
  assert.throws(() => tun.inject(new Uint8Array(TUN_READ_BYTES + 1)), RangeError);
  assert.equal(tun.read(buffer, 5), -ERRNO.EFAULT);
  assert.equal(tun.read(buffer, 4), 3);
  assert.deepEqual(Array.from(buffer.bytes.subarray(3, 8)), [0, 1, 2, 3, 0]);
  assert.equal(tun.readHeader.getUint8(0), 0);
  assert.equal(tun.readHeader.getUint8(9), 9);
  assert.equal(tun.read(buffer, 4), 1);
  assert.equal(tun.readHeader.getUint8(9), 0);
});

test("MemoryTun.writeParts joins parts behind their header", () => {
  const tun = new MemoryTun();
  const buffer = memoryBuffer(16);
  buffer.bytes.set([1, 2, 3, 4, 5, 6, 7, 8]);
  tun.writeHeader.setUint8(1, 5);
  const offsets = Uint32Array.of(0, 4, 1);
  const lengths = Uint32Array.of(9, 2, 3);
  assert.equal(tun.writeParts(buffer, offsets, lengths, 1, 2), 5);
  assert.deepEqual(tun.written, [Uint8Array.of(5, 6, 2, 3, 4)]);
  assert.equal(tun.writtenHeaders[0]![1], 5);
  assert.equal(tun.write(buffer, 0, 1), 1);
  assert.equal(tun.writtenHeaders[1]![1], 0, "a plain packet has a header of zeroes");
});

test("MemoryTun.write keeps a copy, or refuses with the errno it was given", () => {
  const tun = new MemoryTun();
  const buffer = memoryBuffer(8);
  buffer.bytes.set([5, 6, 7], 2);
  tun.failWrites(1, ERRNO.EIO);
  assert.equal(tun.write(buffer, 2, 3), -ERRNO.EIO);
  assert.equal(tun.write(buffer, 2, 3), 3);
  buffer.bytes.fill(0);
  assert.deepEqual(tun.written, [Uint8Array.of(5, 6, 7)]);
  tun.close();
  assert.equal(tun.closed, true);
});

test("MemoryPoll.wait says what is ready among what it watches", () => {
  const network = new MemoryNetwork(new MemoryClock(), 1);
  const words = new Uint32Array(4);
  const udp4 = network.socket({ family: 4, addressWords: words, port: 1 });
  const udp6 = network.socket({ family: 6, addressWords: words, port: 1 });
  const tun = new MemoryTun();
  const wake = new MemoryWake();
  const poll = new MemoryPoll(tun, wake);
  const datagram = { source: "", payload: new Uint8Array(1), sourceWords: new Uint32Array(12) };
  network.transmit({ ...datagram, family: 4, destination: udp4.boundTo });
  assert.equal(poll.wait(1e9), 0, "sockets are not watched yet");
  poll.watch(udp4, null);
  assert.equal(poll.wait(0), POLL.UDP4);
  network.transmit({ ...datagram, family: 6, destination: udp6.boundTo });
  poll.watch(udp4, udp6);
  tun.inject(Uint8Array.of(1));
  wake.wake();
  assert.equal(poll.wait(0), POLL.UDP4 | POLL.UDP6 | POLL.TUN | POLL.WAKE);
  wake.drain();
  assert.equal(poll.wait(0), POLL.UDP4 | POLL.UDP6 | POLL.TUN);
  assert.equal(poll.waitWritable(udp4, 5), true);
  udp4.failSends(1, ERRNO.EAGAIN);
  assert.equal(poll.waitWritable(udp4, 5), false);
  assert.throws(() => poll.watch({} as UdpPort, null), TypeError);
});

test("createBatch() refuses a buffer that is too small and a slot without room", () => {
  const shape = { capacity: 3, slotBytes: 32, headroomBytes: 16 };
  assert.equal(createBatch(memoryBuffer(96), shape).capacity, 3);
  assert.throws(() => createBatch(memoryBuffer(95), shape), RangeError);
  assert.throws(() => createBatch(memoryBuffer(96), { ...shape, headroomBytes: 32 }), RangeError);
});
