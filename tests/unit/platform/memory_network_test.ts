/**
 * Goal: the simulated network does to datagrams what it is told, at the rates it is told, and the same each time.
 * Method: floods between two sockets under a virtual clock with fixed seeds; the counts are a conservation law.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { ERRNO } from "../../../src/errors.ts";
import { createBatch } from "../../../src/packet/mod.ts";
import { ENDPOINT, ENDPOINT_WORDS, type PacketBatch, UDP_TRUNCATED } from "../../../src/ports.ts";
import {
  memoryBuffer,
  MemoryClock,
  MemoryNetwork,
  type MemoryUdp,
  type NetworkFaults,
} from "../../../src/platform/memory.ts";

const ADDRESS_A = new Uint32Array([0, 0, 0xffff, 0x0a000001]);
const ADDRESS_B = new Uint32Array([0, 0, 0xffff, 0x0a000002]);
const DATAGRAM_BYTES = 64;

function newBatch(capacity = 64, slotBytes = 128): PacketBatch {
  return createBatch(memoryBuffer(capacity * slotBytes), {
    capacity,
    slotBytes,
    headroomBytes: 16,
  });
}

function setUp(faults: Partial<NetworkFaults>, seed = 1) {
  const clock = new MemoryClock();
  const network = new MemoryNetwork(clock, seed, { queueDatagramsMax: 1_000_000, ...faults });
  const a = network.socket({ family: 4, addressWords: ADDRESS_A, port: 1 });
  const b = network.socket({ family: 4, addressWords: ADDRESS_B, port: 2 });
  return { clock, network, a, b };
}

/** Puts one datagram to B into the batch, its first two bytes numbering it. */
function push(batch: PacketBatch, number: number, length = DATAGRAM_BYTES): void {
  const index = batch.count++;
  const offset = index * batch.slotBytes + batch.headroomBytes;
  batch.offset[index] = offset;
  batch.length[index] = length;
  batch.segmentBytes[index] = 0;
  batch.buffer.bytes.fill(0, offset, offset + length);
  if (length >= 2) batch.buffer.view.setUint16(offset, number);
  const endpoint = index * ENDPOINT_WORDS;
  batch.endpoint.fill(0, endpoint, endpoint + ENDPOINT_WORDS);
  batch.endpoint[endpoint + ENDPOINT.FAMILY] = 4;
  batch.endpoint.set(ADDRESS_B, endpoint + ENDPOINT.ADDRESS);
  batch.endpoint[endpoint + ENDPOINT.PORT] = 2;
}

/** Sends `count` numbered datagrams from A, `gapMs` apart. */
function flood(clock: MemoryClock, a: MemoryUdp, count: number, gapMs = 0): void {
  const batch = newBatch();
  for (let number = 0; number < count; number++) {
    batch.count = 0;
    push(batch, number);
    assert.equal(a.send(batch, 0), 1);
    clock.advance(gapMs);
  }
}

/** Numbers and payloads of all that waits at a socket. */
function drain(socket: MemoryUdp): { number: number; payload: Uint8Array }[] {
  const batch = newBatch();
  const result: { number: number; payload: Uint8Array }[] = [];
  while (socket.receive(batch) > 0) {
    for (let index = 0; index < batch.count; index++) {
      const offset = batch.offset[index];
      const payload = batch.buffer.bytes.slice(offset, offset + batch.length[index]);
      result.push({ number: payload.length < 2 ? -1 : payload[0] * 256 + payload[1], payload });
    }
  }
  return result;
}

function assertConserved(network: MemoryNetwork): void {
  const c = network.counts;
  assert.equal(
    c.sent + c.duplicated,
    c.delivered + c.lost + c.filtered + c.unreachable + c.overflowed + network.inFlight,
  );
}

test("MemoryNetwork without faults delivers at once, in order, with both ends' endpoints", () => {
  const { clock, network, a, b } = setUp({});
  flood(clock, a, 200);
  const batch = newBatch(1);
  assert.equal(b.receive(batch), 1);
  assert.deepEqual(
    Array.from(batch.endpoint.subarray(0, ENDPOINT_WORDS)),
    [4, ...ADDRESS_A, 1, 0, ...ADDRESS_B, 0],
  );
  assert.deepEqual(
    drain(b).map(({ number }) => number),
    Array.from({ length: 199 }, (_, i) => i + 1),
  );
  assert.equal(b.receive(batch), 0);
  assert.equal(batch.count, 0);
  assertConserved(network);
});

test("MemoryNetwork loses, doubles, flips, cuts and reorders at the given rates", () => {
  const count = 10_000;
  const near = (actual: number, rate: number, of: number) =>
    assert.ok(Math.abs(actual / of - rate) < 0.015, `${actual} of ${of}, wanted ${rate}`);
  const { clock, network, a, b } = setUp({
    lossRate: 0.1,
    duplicateRate: 0.05,
    reorderRate: 0.2,
    bitFlipRate: 0.08,
    truncateRate: 0.04,
    delayMs: 20,
    reorderMs: 3,
  }, 7);
  flood(clock, a, count, 1);
  assertConserved(network);
  assert.ok(network.inFlight > 0);
  clock.advance(100);
  assertConserved(network);
  assert.equal(network.inFlight, 0);
  const { counts } = network;
  const copies = counts.delivered;
  near(counts.lost, 0.1, count);
  near(counts.duplicated, 0.05, count - counts.lost);
  near(counts.reordered, 0.2, copies);
  near(counts.flipped, 0.08, copies);
  near(counts.truncated, 0.04, copies);
  const received = drain(b);
  assert.equal(received.length, copies);
  assert.equal(
    received.filter(({ payload }) => payload.length < DATAGRAM_BYTES).length,
    counts.truncated,
  );
  const numbers = received.map(({ number }) => number);
  assert.ok(numbers.some((number, index) => index > 0 && number < numbers[index - 1]));
});

test("MemoryNetwork turns exactly one bit of a flipped datagram, in a copy of its own", () => {
  const { clock, a, b } = setUp({ bitFlipRate: 1, duplicateRate: 1 }, 3);
  flood(clock, a, 50);
  const received = drain(b);
  assert.equal(received.length, 100);
  received.forEach(({ payload }, index) => {
    const sent = new Uint8Array(DATAGRAM_BYTES);
    new DataView(sent.buffer).setUint16(0, index >>> 1);
    const turned = payload.reduce((bits, byte, at) => {
      let difference = byte ^ sent[at];
      for (; difference !== 0; difference &= difference - 1) bits++;
      return bits;
    }, 0);
    assert.equal(turned, 1);
  });
});

test("MemoryNetwork runs the same for the same seed and differently for another", () => {
  const run = (seed: number) => {
    const { clock, a, b } = setUp({
      lossRate: 0.3,
      duplicateRate: 0.1,
      bitFlipRate: 0.2,
      truncateRate: 0.1,
      delayMs: 1,
      jitterMs: 10,
    }, seed);
    flood(clock, a, 500, 1);
    clock.advance(100);
    return drain(b).map(({ payload }) => payload.join()).join(";");
  };
  assert.equal(run(5), run(5));
  assert.notEqual(run(5), run(6));
});

test("MemoryNetwork bounds a socket's queue and counts what overflows", () => {
  const { clock, network, a, b } = setUp({ queueDatagramsMax: 10 });
  flood(clock, a, 11);
  assert.equal(b.waiting, 10);
  assert.equal(network.counts.overflowed, 1);
  assertConserved(network);
});

test("MemoryNetwork.filter decides what goes on", () => {
  const { clock, network, a, b } = setUp({});
  network.filter = ({ payload }) => payload[1] % 2 === 0;
  flood(clock, a, 10);
  assert.deepEqual(drain(b).map(({ number }) => number), [0, 2, 4, 6, 8]);
  assert.equal(network.counts.filtered, 5);
});

test("MemoryUdp.move makes the old address unreachable and sends from the new one", () => {
  const { clock, network, a, b } = setUp({ delayMs: 5 });
  flood(clock, a, 1);
  b.move(ADDRESS_B, 3);
  clock.advance(5);
  assert.equal(network.counts.unreachable, 1);
  a.move(ADDRESS_A, 99);
  b.move(ADDRESS_B, 2);
  flood(clock, a, 1);
  clock.advance(5);
  const batch = newBatch();
  assert.equal(b.receive(batch), 1);
  assert.equal(batch.endpoint[ENDPOINT.PORT], 99);
  assert.throws(() => network.socket({ family: 4, addressWords: ADDRESS_B, port: 2 }), /taken/);
  assertConserved(network);
});

test("MemoryUdp.send stops at the datagram it cannot send and reports it when it comes first", () => {
  const { network, a, b } = setUp({ datagramBytesMax: 80 });
  const batch = newBatch();
  push(batch, 0, 80);
  push(batch, 1, 70);
  push(batch, 2, 81);
  push(batch, 3, 0);
  assert.equal(a.send(batch, 0), 2);
  assert.equal(a.send(batch, 1), 1);
  assert.equal(a.send(batch, 2), -ERRNO.EMSGSIZE);
  assert.equal(a.send(batch, 3), 1);
  assert.deepEqual(drain(b).map(({ payload }) => payload.length), [80, 70, 70, 0]);
  a.failSends(2, ERRNO.EAGAIN);
  assert.equal(a.writable, false);
  assert.equal(a.send(batch, 3), -ERRNO.EAGAIN);
  assert.equal(a.send(batch, 3), -ERRNO.EAGAIN);
  assert.equal(a.writable, true);
  assert.equal(a.send(batch, 3), 1);
  batch.endpoint[3 * ENDPOINT_WORDS + ENDPOINT.FAMILY] = 6;
  assert.equal(a.send(batch, 3), -ERRNO.EAFNOSUPPORT);
  batch.endpoint[3 * ENDPOINT_WORDS + ENDPOINT.FAMILY] = 0;
  assert.equal(a.send(batch, 3), -ERRNO.EDESTADDRREQ);
  assert.equal(network.counts.sent, 5);
});

test("MemoryUdp.send clears a LOCAL address that is not the socket's and keeps its own", () => {
  const { a } = setUp({});
  const batch = newBatch();
  push(batch, 0);
  push(batch, 1);
  batch.endpoint.set(ADDRESS_A, ENDPOINT.LOCAL_ADDRESS);
  batch.endpoint.set(ADDRESS_B, ENDPOINT_WORDS + ENDPOINT.LOCAL_ADDRESS);
  assert.equal(a.send(batch, 0), 2);
  assert.equal(batch.endpoint[ENDPOINT.LOCAL_ADDRESS + 3], ADDRESS_A[3]);
  assert.equal(batch.endpoint[ENDPOINT_WORDS + ENDPOINT.LOCAL_ADDRESS + 3], 0);
});

test("MemoryUdp.send splits an entry into its datagrams, if it is told that it can", () => {
  const { a, b } = setUp({ datagramBytesMax: 40 });
  const batch = newBatch();
  push(batch, 0, 100);
  batch.segmentBytes[0] = 40;
  assert.equal(a.send(batch, 0), -ERRNO.EIO);
  a.offloads = { segmentation: true, coalescing: false };
  assert.equal(a.send(batch, 0), 1);
  assert.deepEqual(drain(b).map(({ payload }) => payload.length), [40, 40, 20]);
  batch.segmentBytes[0] = 1;
  push(batch, 0, 65);
  batch.segmentBytes[0] = 1;
  assert.equal(a.send(batch, 0), -ERRNO.EMSGSIZE, "one more than an entry may have");
});

test("MemoryUdp.receive joins datagrams of one length and a shorter last one, if it is told to", () => {
  const { a, b } = setUp({});
  b.offloads = { segmentation: false, coalescing: true };
  const batch = newBatch();
  for (const [index, length] of [30, 30, 10, 10, 20].entries()) push(batch, index, length);
  assert.equal(a.send(batch, 0), 5);
  const received = newBatch();
  received.limit = 2;
  assert.equal(b.receive(received), 2);
  assert.deepEqual([...received.length.subarray(0, 2)], [70, 10]);
  assert.deepEqual([...received.segmentBytes.subarray(0, 2)], [30, 0]);
  received.limit = 64;
  assert.equal(b.receive(received), 1);
  assert.deepEqual([received.length[0], received.segmentBytes[0]], [20, 0]);
});

test("MemoryUdp.receive marks a datagram that does not fit its slot", () => {
  const { a, b } = setUp({});
  const big = newBatch(4, 256);
  push(big, 1, 112);
  push(big, 2, 113);
  push(big, 3, 1);
  a.send(big, 0);
  const small = newBatch();
  small.buffer.bytes.fill(0xee);
  assert.equal(b.receive(small), 3);
  assert.deepEqual(Array.from(small.length.subarray(0, 3)), [112, UDP_TRUNCATED, 1]);
  assert.equal(small.buffer.bytes[2 * small.slotBytes], 0xee, "headroom of the next slot is kept");
});

test("MemoryUdp.close is safe to call twice, and a closed socket neither sends nor receives", () => {
  const { network, a, b } = setUp({});
  const batch = newBatch();
  push(batch, 0);
  b.close();
  b.close();
  a.send(batch, 0);
  assert.equal(network.counts.unreachable, 1);
  a.close();
  assert.equal(a.send(batch, 0), -ERRNO.EBADF);
});
