/**
 * Goal: whatever the network does and whatever comes in, each packet is counted in exactly one place, none is
 * delivered that was not sent, and none twice. Method: two data planes over a network in memory with seeded faults,
 * under a virtual clock; the equations of counters.ts at the end, from the rows themselves.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { ERRNO } from "../../../src/errors.ts";
import { endpointWords } from "../../../src/node/config_values.ts";
import { FlowWriter } from "../../../src/flow/mod.ts";
import { createBatch, parseAddress } from "../../../src/packet/mod.ts";
import { memoryBuffer, type MemoryUdp } from "../../../src/platform/memory.ts";
import { assertConserved, End, lab, packet, PORT } from "./data_plane_lab.ts";

test("DataPlane delivers what was sent, once, and counts it on both sides", () => {
  const { a, b, run } = lab({ seed: 1 });
  const sent = [packet("10.0.0.1", "10.0.0.2", 100), packet("fd00::1", "fd00::2", 1420)];
  for (const bytes of sent) a.inject(bytes);
  run(50);
  assert.deepEqual(b.tun.written, sent);
  const answer = packet("10.0.0.2", "10.0.0.1", 40);
  b.inject(answer);
  run(50);
  assert.deepEqual(a.tun.written, [answer]);
  const rows: string[] = [];
  b.virtual.flip();
  b.dataPlane.step(0);
  b.virtual.forEachRow((row) => rows.push(`${row.proto} ${row.txPackets}/${row.rxPackets}`));
  assert.deepEqual(rows, ["17 0/1", "17 0/1", "17 1/0"]);
});

test("DataPlane keeps packets until there is a session, and the rest waits with a name", () => {
  const { a, b, network, run } = lab({ seed: 2 });
  network.filter = () => false;
  const sent = Array.from({ length: 130 }, () => packet("10.0.0.1", "10.0.0.2", 60));
  for (const bytes of sent) a.inject(bytes);
  run(100);
  assert.equal(a.dataPlane.waitingPackets, 128);
  assert.equal(a.counters.value("outQueueFull").packets, 2, "the oldest two were pushed out");
  network.filter = null;
  run(6_000);
  assert.equal(a.dataPlane.waitingPackets, 0);
  assert.deepEqual(b.tun.written, sent.slice(2));
  assertConserved(a);
  assertConserved(b);
});

test("DataPlane receives a few datagrams at first, then twice as many as a full batch had, to the limit", () => {
  const { a, b, run } = lab({ seed: 30 });
  a.inject(packet("10.0.0.1", "10.0.0.2", 60));
  run(50);
  // Nothing else is under way: what comes now is received in these batches alone.
  const takenBy = (steps: number): number[] =>
    Array.from({ length: steps }, () => {
      const before = b.udp.waiting;
      b.dataPlane.step(0);
      return before - b.udp.waiting;
    });
  const fill = (count: number, bytes: number): void => {
    for (let each = 0; each < count; each++) a.inject(packet("10.0.0.1", "10.0.0.2", bytes));
    while (a.tun.waiting > 0) a.dataPlane.step(0);
  };
  fill(250, 60);
  assert.deepEqual(takenBy(6), [6, 12, 24, 48, 64, 64]);
  takenBy(1);
  assert.equal(b.udp.waiting, 0);
  // Batches of many bytes are small again from the next one on.
  fill(200, 9_000);
  assert.deepEqual(takenBy(3), [64, 6, 12]);
  takenBy(9);
  assert.equal(b.udp.waiting, 0);
  assertConserved(b);
});

test("DataPlane drops what waited when the handshake is given up", () => {
  const { a, network, run } = lab({ seed: 3 });
  network.filter = () => false;
  a.inject(packet("10.0.0.1", "10.0.0.2", 60));
  run(100_000);
  assert.equal(a.counters.value("outHandshakeFailed").packets, 1);
  assertConserved(a);
});

test("DataPlane refuses by name: no route, no endpoint, undecodable, wrong source", () => {
  const { a, b, run } = lab({ seed: 4 });
  a.inject(packet("10.0.0.1", "10.0.0.99", 60));
  a.inject(packet("fe80::1", "ff02::2", 56));
  a.inject(new Uint8Array(30));
  a.inject(new Uint8Array(0));
  b.inject(packet("10.0.0.2", "10.0.0.1", 60));
  run(20);
  assert.equal(a.counters.value("outNoRoute").packets, 2);
  assert.equal(a.counters.value("outUndecodable").packets, 2);
  assert.equal(b.counters.value("outNoEndpoint").packets, 1);
  // B's AllowedIPs of A do not hold 10.0.0.77, so what A sends from there must not reach B's TUN.
  a.inject(packet("10.0.0.77", "10.0.0.2", 60));
  run(20);
  assert.equal(b.counters.value("inBadSource").packets, 1);
  assert.deepEqual(b.tun.written, []);
  assertConserved(a);
  assertConserved(b);
});

test("DataPlane counts a packet that the TUN device refuses as received and as failed", () => {
  const { a, b, run } = lab({ seed: 5 });
  b.tun.failWrites(1, ERRNO.EIO);
  a.inject(packet("10.0.0.1", "10.0.0.2", 60));
  run(20);
  assert.deepEqual(b.counters.value("tunWriteFailed"), { packets: 1, bytes: 60 });
  assertConserved(b);
});

test("DataPlane counts packets that are too big for the path, and goes on", () => {
  const { a, b, run } = lab({ seed: 6, faults: { datagramBytesMax: 1000 } });
  a.inject(packet("10.0.0.1", "10.0.0.2", 1200));
  a.inject(packet("10.0.0.1", "10.0.0.2", 200));
  run(50);
  assert.equal(a.counters.value("sendTooBig").packets, 1);
  assert.equal(b.tun.written.length, 1);
  assertConserved(a);
});

test("DataPlane drops datagrams of strangers without a trace but the counter", () => {
  const { a, b, clock, network, random, run } = lab({ seed: 7 });
  a.inject(packet("10.0.0.1", "10.0.0.2", 60));
  run(20);
  const before = JSON.stringify(b.wireguard.snapshot());
  const stranger = new End(clock, network, "192.0.2.66", 64);
  stranger.meet(b, ["10.0.0.2/32"], true);
  stranger.inject(packet("10.0.0.1", "10.0.0.2", 60));
  stranger.dataPlane.step(0);
  run(10);
  assert.equal(b.counters.value("inUnknownPeer").packets, 1);
  for (let count = 0; count < 200; count++) {
    const bytes = Uint8Array.from({ length: random.below(200) }, () => random.below(256));
    if (count % 2 === 0) bytes.set([1 + (count % 8) / 2, 0, 0, 0].slice(0, bytes.length));
    sendRaw(stranger.udp, bytes);
  }
  run(20);
  assert.ok(b.counters.value("inMalformed").packets > 50);
  assert.equal(JSON.stringify(b.wireguard.snapshot()), before);
  assertConserved(b);
});

/** Sends `bytes` from a socket to the end that lab() calls `b`. */
function sendRaw(from: MemoryUdp, bytes: Uint8Array): void {
  const buffer = memoryBuffer(Math.max(1, bytes.length));
  buffer.bytes.set(bytes);
  const batch = createBatch(buffer, {
    capacity: 1,
    slotBytes: buffer.bytes.length,
    headroomBytes: 0,
  });
  batch.count = 1;
  batch.length[0] = bytes.length;
  batch.endpoint.set(endpointWords(4, parseAddress("192.0.2.2")!.addressWords, PORT, 0));
  from.send(batch, 0);
}

test("DataPlane asks nobody for a cookie because of initiations with a wrong mac1", () => {
  const { b, clock, network, random, run } = lab({ seed: 9 });
  const stranger = new End(clock, network, "192.0.2.66", 64);
  stranger.meet(b, ["10.0.0.2/32"], true);
  for (let count = 0; count < 256; count++) {
    const bytes = Uint8Array.from({ length: 148 }, () => random.below(256));
    bytes.set([1, 0, 0, 0]);
    sendRaw(stranger.udp, bytes);
  }
  stranger.inject(packet("10.0.0.1", "10.0.0.2", 60));
  stranger.dataPlane.step(0);
  run(50);
  assert.equal(b.counters.value("inMacInvalid").packets, 256);
  assert.equal(b.counters.value("inCookieRequired").packets, 0);
  assert.equal(b.counters.value("inUnknownPeer").packets, 1);
});

test("DataPlane joins later fragments to the flow of the first", () => {
  const { a, b, run } = lab({ seed: 8 });
  const first = packet("10.0.0.1", "10.0.0.2", 200, [4000, 53]);
  const view = new DataView(first.buffer);
  view.setUint16(4, 77);
  view.setUint16(6, 0x2000);
  const later = packet("10.0.0.1", "10.0.0.2", 120);
  new DataView(later.buffer).setUint16(4, 77);
  new DataView(later.buffer).setUint16(6, 23);
  a.inject(first);
  a.inject(later);
  run(20);
  for (const end of [a, b]) {
    const rows: string[] = [];
    end.virtual.flip();
    end.dataPlane.step(0);
    end.virtual.forEachRow((row) => rows.push(`${row.proto} ${row.srcPort} ${row.dstPort}`));
    assert.deepEqual(rows, [end === a ? "17 4000 53" : "17 53 4000"]);
  }
});

test("DataPlane conserves every packet over faulty networks", () => {
  const seeds = 60;
  let delivered = 0;
  let folded = 0;
  for (let seed = 100; seed < 100 + seeds; seed++) {
    const lossy = seed % 3 === 0 ? 0 : 0.1;
    const { a, b, random, run } = lab({
      seed,
      flowsMax: 64,
      faults: {
        lossRate: lossy,
        duplicateRate: 0.05,
        reorderRate: 0.1,
        reorderMs: 30,
        bitFlipRate: lossy / 2,
        truncateRate: lossy / 4,
        delayMs: 3,
        jitterMs: 8,
      },
    });
    const sent = { toB: new Set<string>(), toA: new Set<string>() };
    for (let step = 0; step < 60; step++) {
      for (let count = random.below(12); count > 0; count--) {
        const v6 = random.below(2) === 0;
        const size = 40 + random.below(1380);
        const ports = [1024 + random.below(300), 80];
        const dst = v6 ? "fd00::2" : random.below(8) === 0 ? "10.9.1.1" : "10.0.0.2";
        const forward = packet(v6 ? "fd00::1" : "10.0.0.1", dst, size, ports);
        sent.toB.add(forward.join());
        a.inject(forward);
        const back = packet(v6 ? "fd00::2" : "10.0.0.2", v6 ? "fd00::1" : "10.0.0.1", size, ports);
        sent.toA.add(back.join());
        b.inject(back);
      }
      if (random.below(10) === 0) a.inject(new Uint8Array(random.below(60)));
      run(40);
    }
    run(12_000);
    for (const [end, wanted] of [[b, sent.toB], [a, sent.toA]] as const) {
      const got = end.tun.written.map((bytes) => bytes.join());
      assert.equal(new Set(got).size, got.length, `seed ${seed}: delivered twice`);
      for (const bytes of got) {
        assert.ok(wanted.has(bytes), `seed ${seed}: delivered what was not sent`);
      }
      delivered += got.length;
    }
    folded += assertConserved(a).folded + assertConserved(b).folded;
  }
  assert.ok(delivered > seeds * 300, `only ${delivered} packets got through`);
  assert.ok(folded > 0, "the table never overflowed: the test is too small");
});

test("DataPlane.step() takes back a wake-up before it looks, so that one which comes meanwhile is not lost", () => {
  const { a } = lab({ seed: 20 });
  a.wake.wake();
  // Somebody asks for the bank while the step that was woken is past the hand-over, and wakes again.
  const { handOver } = FlowWriter.prototype;
  let calls = 0;
  FlowWriter.prototype.handOver = function (this: FlowWriter): void {
    handOver.call(this);
    if (++calls === 2) {
      a.virtual.flip();
      a.wake.wake();
    }
  };
  try {
    assert.ok(a.dataPlane.step(0));
  } finally {
    FlowWriter.prototype.handOver = handOver;
  }
  assert.equal(a.virtual.acknowledged(), false);
  assert.ok(a.wake.pending, "the next wait ends at once");
  assert.ok(a.dataPlane.step(0));
  assert.ok(a.virtual.acknowledged());
});
