/**
 * Goal: whatever the network does and whatever comes in, each packet is counted in exactly one place, none is
 * delivered that was not sent, and none twice. Method: two data planes over a network in memory with seeded faults,
 * under a virtual clock; the equations of counters.ts at the end, from the rows themselves.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { COUNTER_INFO, COUNTER_NAMES, Counters } from "../../../src/counters.ts";
import { ERRNO } from "../../../src/errors.ts";
import { createBanks, FlowReader, FlowWriter } from "../../../src/flow/mod.ts";
import { DataPlane } from "../../../src/node/data_plane.ts";
import { endpointWords } from "../../../src/node/config_values.ts";
import {
  createBatch,
  HASH_SECRET_WORDS,
  parseAddress,
  parsePrefix,
} from "../../../src/packet/mod.ts";
import {
  memoryBuffer,
  MemoryClock,
  MemoryNetwork,
  MemoryPoll,
  MemoryTun,
  type MemoryUdp,
  MemoryWake,
  type NetworkFaults,
  SeededRandom,
} from "../../../src/platform/memory.ts";
import type { CryptoPort } from "../../../src/ports.ts";
import { WireGuard } from "../../../src/wireguard/mod.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";

/** The fastest there is: these tests move many packets. */
const crypto: CryptoPort = CRYPTO_PORTS.at(-1)!;
const PORT = 51820;

/** One end: a data plane with everything around it in memory. */
class End {
  readonly tun = new MemoryTun();
  readonly wake = new MemoryWake();
  readonly counters = new Counters();
  readonly privateKey = crypto32();
  readonly publicKey = new Uint8Array(32);
  readonly virtual: FlowReader;
  readonly physical: FlowReader;
  readonly dataPlane: DataPlane;
  readonly wireguard: WireGuard;
  readonly udp: MemoryUdp;
  readonly injected = { packets: 0, bytes: 0 };

  constructor(
    readonly clock: MemoryClock,
    network: MemoryNetwork,
    readonly address: string,
    flowsMax: number,
  ) {
    crypto.x25519Public(this.publicKey, this.privateKey);
    const secret = new Uint32Array(HASH_SECRET_WORDS).fill(7);
    const virtual = createBanks(flowsMax, secret);
    const physical = createBanks(flowsMax, secret);
    this.virtual = new FlowReader(virtual);
    this.physical = new FlowReader(physical);
    this.dataPlane = new DataPlane({
      tun: this.tun,
      poll: new MemoryPoll(this.tun, this.wake),
      wake: this.wake,
      clock,
      allocate: memoryBuffer,
      counters: this.counters,
      virtual: new FlowWriter(virtual),
      physical: new FlowWriter(physical),
      hashSecret: secret,
      stagedBytesMax: 1500,
    });
    this.wireguard = new WireGuard({ crypto, events: this.dataPlane, mtuBytes: 1420 });
    this.dataPlane.start(this.wireguard);
    const { addressWords } = parseAddress(address)!;
    this.udp = network.socket({ family: 4, addressWords, port: PORT });
    this.dataPlane.setSockets(this.udp, null);
  }

  /** Makes `other` a peer that owns `allowed`. */
  meet(other: End, allowed: readonly string[], withEndpoint: boolean): void {
    const address = parseAddress(other.address)!;
    this.wireguard.configure(
      {
        privateKey: this.privateKey,
        peers: [{
          publicKey: other.publicKey,
          allowedIps: allowed.map((text) => parsePrefix(text)!),
          ...(withEndpoint && {
            endpoint: endpointWords(address.family, address.addressWords, PORT, 0),
          }),
        }],
      },
      this.clock.nowMs(),
      this.clock.wallMs(),
    );
  }

  inject(packet: Uint8Array): void {
    this.injected.packets++;
    this.injected.bytes += packet.length;
    this.tun.inject(packet);
  }

  /** Sums over the rows of the bank that is taken now. */
  rowSums(reader: FlowReader) {
    const sums = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0, folded: 0 };
    reader.flip();
    this.dataPlane.step(0);
    assert.ok(reader.acknowledged());
    reader.forEachRow((row) => {
      sums.txPackets += row.txPackets;
      sums.txBytes += row.txBytes;
      sums.rxPackets += row.rxPackets;
      sums.rxBytes += row.rxBytes;
      if (row.folded) sums.folded++;
    });
    reader.clear();
    return sums;
  }
}

function crypto32(): Uint8Array {
  const bytes = new Uint8Array(32);
  crypto.random(bytes);
  return bytes;
}

/** Two ends that know each other; `b` has no endpoint of `a` until it hears from it. */
function lab(options: { seed: number; faults?: Partial<NetworkFaults>; flowsMax?: number }) {
  const clock = new MemoryClock();
  const random = new SeededRandom(options.seed);
  const network = new MemoryNetwork(clock, options.seed, options.faults);
  const flowsMax = options.flowsMax ?? 1024;
  const a = new End(clock, network, "192.0.2.1", flowsMax);
  const b = new End(clock, network, "192.0.2.2", flowsMax);
  a.meet(b, ["10.0.0.2/32", "fd00::2/128", "10.9.0.0/16"], true);
  b.meet(a, ["10.0.0.1/32", "fd00::1/128"], false);
  const run = (ms: number): void => {
    for (let elapsed = 0; elapsed < ms; elapsed += 5) {
      clock.advance(5);
      a.dataPlane.step(0);
      b.dataPlane.step(0);
    }
  };
  return { clock, random, network, a, b, run };
}

let serial = 0;

/** A UDP packet with a payload that no other packet has. */
function packet(src: string, dst: string, bytes: number, ports = [1000, 53]): Uint8Array {
  const from = parseAddress(src)!;
  const to = parseAddress(dst)!;
  const headerBytes = from.family === 4 ? 20 : 40;
  const output = new Uint8Array(Math.max(bytes, headerBytes + 16));
  const view = new DataView(output.buffer);
  if (from.family === 4) {
    output[0] = 0x45;
    view.setUint16(2, output.length);
    output[9] = 17;
    view.setUint32(12, from.addressWords[3]!);
    view.setUint32(16, to.addressWords[3]!);
  } else {
    output[0] = 0x60;
    view.setUint16(4, output.length - 40);
    output[6] = 17;
    for (let word = 0; word < 4; word++) {
      view.setUint32(8 + word * 4, from.addressWords[word]!);
      view.setUint32(24 + word * 4, to.addressWords[word]!);
    }
  }
  view.setUint16(headerBytes, ports[0]!);
  view.setUint16(headerBytes + 2, ports[1]!);
  view.setUint16(headerBytes + 4, output.length - headerBytes);
  view.setUint32(headerBytes + 8, ++serial);
  return output;
}

/** The equations of counters.ts, in packets and bytes. @returns Rows that stood for several flows. */
function assertConserved(end: End): number {
  const counts = end.counters.values();
  const drops = (direction: "out" | "in", unit: "packets" | "bytes") =>
    COUNTER_NAMES.filter((name) => COUNTER_INFO[name].kind === "drop" && name.startsWith(direction))
      .reduce((sum, name) => sum + counts[name][unit], 0);
  const flows = end.rowSums(end.virtual);
  const physical = end.rowSums(end.physical);
  assert.deepEqual(counts.tunRead, end.injected, "all that was injected was read");
  assert.equal(
    flows.txPackets + drops("out", "packets") + end.dataPlane.waitingPackets,
    counts.tunRead.packets,
  );
  if (end.dataPlane.waitingPackets === 0) {
    assert.equal(flows.txBytes + drops("out", "bytes"), counts.tunRead.bytes);
  }
  for (const unit of ["packets", "bytes"] as const) {
    const suffix = unit === "packets" ? "Packets" : "Bytes";
    assert.equal(flows[`rx${suffix}`], counts.tunWritten[unit] + counts.tunWriteFailed[unit]);
    assert.equal(physical[`tx${suffix}`], counts.udpSent[unit]);
    const afterOpening = counts.inUndecodable[unit] + counts.inBadSource[unit];
    assert.equal(
      physical[`rx${suffix}`] + drops("in", unit) - afterOpening,
      counts.udpReceived[unit],
    );
  }
  return flows.folded;
}

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
    folded += assertConserved(a) + assertConserved(b);
  }
  assert.ok(delivered > seeds * 300, `only ${delivered} packets got through`);
  assert.ok(folded > 0, "the table never overflowed: the test is too small");
});
