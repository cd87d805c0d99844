/**
 * Goal: whatever the devices do for the data plane, the same packets arrive and the same is counted, as a wire would
 * carry it. Method: the same traffic at every level of offloads of both ends, against the one without any; then the
 * equations of counters.ts over faulty networks, refusing devices and random levels.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { ERRNO } from "../../../src/errors.ts";
import { REFUSALS_MAX } from "../../../src/node/incoming.ts";
import { type NetworkFaults, SeededRandom } from "../../../src/platform/memory.ts";
import { flowOf, shapeOf } from "../../reference/coalesce_twin.ts";
import { segmentTwin } from "../../reference/segment_twin.ts";
import {
  timestamps,
  type TransportFields,
  type TransportPacket,
  transportPacket,
} from "../packet/transport_packets.ts";
import { assertConserved, End, lab, NO_OFFLOADS, type Offloads } from "./data_plane_lab.ts";

const TUN_LEVELS: readonly Offloads["tun"][] = [
  NO_OFFLOADS.tun,
  { header: true, tcp: false, udp: false },
  { header: true, tcp: true, udp: false },
  { header: true, tcp: true, udp: true },
];
const UDP_LEVELS: readonly Offloads["udp"][] = [
  NO_OFFLOADS.udp,
  { segmentation: true, coalescing: false },
  { segmentation: false, coalescing: true },
  { segmentation: true, coalescing: true },
];
const LEVELS = TUN_LEVELS.flatMap((tun) => UDP_LEVELS.map((udp) => ({ tun, udp })));
const ALL = LEVELS.at(-1)!;

/** What one system call moves: a super-packet, or a packet. */
interface Sending {
  readonly packet: TransportPacket;
  readonly segmentBytes: number;
  /** The packets that it stands for. */
  readonly wire: readonly Uint8Array[];
}

/** Ends whose inner addresses are those of transportPacket(). */
function transportLab(options: Parameters<typeof lab>[0]) {
  const world = lab(options);
  world.a.meet(world.b, ["100.64.0.200/32", "fd00::c8/128"], true);
  world.b.meet(world.a, ["100.64.0.0/26", "fd00::/122"], false);
  return world;
}

function sending(fields: TransportFields, segmentBytes: number): Sending {
  const packet = transportPacket({ ...fields, partial: true });
  const wire = fields.payload!.length <= segmentBytes
    ? [transportPacket(fields).bytes]
    : segmentTwin(packet.bytes, packet, segmentBytes);
  return { packet, segmentBytes, wire };
}

/** Streams of both protocols and families, in turns, of sizes from one packet to 64 KB. */
function traffic(random: SeededRandom, count: number): Sending[] {
  const sequences = [0xffff_0000, 5, 0, 0];
  const ids = [0xfff0, 0, 0, 0];
  return Array.from({ length: count }, () => {
    const flow = random.below(4);
    const segmentBytes = [1300, 1300, 500, 1 + random.below(1300)][random.below(4)];
    const payloadBytes = 1 + random.below([500, 3_000, 30_000][random.below(3)]);
    const fields: TransportFields = {
      version: flow % 2 === 0 ? 4 : 6,
      proto: flow < 2 ? 6 : 17,
      src: 1 + flow,
      ports: [1000 + flow, 80],
      id: ids[flow] & 0xffff,
      sequence: sequences[flow] >>> 0,
      flags: [0x10, 0x10, 0x10, 0x18, 0x90, 0x11, 0x12][random.below(7)],
      tcpOptions: flow === 1 ? timestamps(random.below(2)) : [],
      payload: randomBytes(random, payloadBytes),
    };
    sequences[flow] += payloadBytes;
    const result = sending(fields, segmentBytes);
    ids[flow] += result.wire.length;
    return result;
  });
}

function randomBytes(random: SeededRandom, count: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(count / 4));
  for (let word = 0; word < words.length; word++) words[word] = random.word();
  return new Uint8Array(words.buffer, 0, count);
}

/** Swaps the addresses, which leaves all checksums as they are. */
function turnedAround(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  const [at, length] = bytes[0] >>> 4 === 4 ? [12, 4] : [8, 16];
  copy.set(bytes.subarray(at, at + length), at + length);
  copy.set(bytes.subarray(at + length, at + 2 * length), at);
  return copy;
}

/** Gives a sending to an end's applications in the form that its TUN device has. */
function inject(end: End, { packet, segmentBytes, wire }: Sending, back: boolean): void {
  const { tcp, udp } = end.tun.offloads;
  const turn = back ? turnedAround : (bytes: Uint8Array) => bytes;
  const isWanted = packet.proto === 6 ? tcp : udp;
  if (!tcp || (!isWanted && wire.length > 1)) {
    for (const one of wire) end.inject(turn(one));
    return;
  }
  const isV4 = packet.bytes[0] >>> 4 === 4;
  const gsoType = wire.length === 1 ? 0 : packet.proto === 17 ? 5 : isV4 ? 1 : 4;
  const header = virtioHeader(gsoType, packet, wire.length === 1 ? 0 : segmentBytes);
  end.inject(turn(packet.bytes), header, wire);
}

function virtioHeader(gsoType: number, packet: TransportPacket, segmentBytes: number): Uint8Array {
  const header = new Uint8Array(10);
  const view = new DataView(header.buffer);
  header.set([1, gsoType]);
  view.setUint16(2, packet.header, true);
  view.setUint16(4, segmentBytes, true);
  view.setUint16(6, packet.transport, true);
  view.setUint16(8, packet.proto === 6 ? 16 : 6, true);
  return header;
}

/** What applications behind an end's TUN device get, as a wire would have carried it. */
function arrived({ tun }: End): Uint8Array[] {
  return tun.written.flatMap((bytes, index) => {
    const header = tun.writtenHeaders[index];
    if (header[1] === 0) {
      assert.equal(header[0], 0, "a packet that is written alone is complete");
      return [bytes];
    }
    const segmentBytes = new DataView(header.buffer).getUint16(4, true);
    return segmentTwin(bytes, shapeOf(bytes), segmentBytes);
  });
}

const latin1 = new TextDecoder("latin1");

/** A packet as text of one character a byte, for sets and comparisons. */
function textOf(packet: Uint8Array): string {
  return latin1.decode(packet);
}

/** Packets of each flow, in order, as text. */
function byFlow(packets: readonly Uint8Array[]): Map<string, string[]> {
  const flows = new Map<string, string[]>();
  for (const packet of packets) {
    const flow = flowOf(packet);
    if (!flows.has(flow)) flows.set(flow, []);
    flows.get(flow)!.push(textOf(packet));
  }
  return flows;
}

/** The kernel's own counters of a TUN device must be ours less what was split and joined. */
function assertKernelsView(end: End, reads: { count: number; bytes: number }): void {
  const counts = end.counters.values();
  assert.equal(counts.tunRead.packets - counts.tunReadSplit.packets, reads.count);
  assert.equal(counts.tunRead.bytes - counts.tunReadSplit.bytes, reads.bytes);
  const { written } = end.tun;
  assert.equal(counts.tunWritten.packets - counts.tunWrittenJoined.packets, written.length);
  assert.equal(
    counts.tunWritten.bytes - counts.tunWrittenJoined.bytes,
    written.reduce((sum, bytes) => sum + bytes.length, 0),
  );
}

function bothWays(seed: number): [Sending[], Sending[]] {
  const random = new SeededRandom(seed);
  return [traffic(random, 25), traffic(random, 16)];
}

/** Sends the same traffic both ways between ends of two levels. @returns Rows, and how much went together. */
function exchange(
  levels: readonly [Offloads, Offloads],
  seed: number,
  stepMs: number,
  [forward, back] = bothWays(seed),
) {
  const { a, b, run } = transportLab({ seed, offloads: levels });
  // The first packet makes the session; without one, more than wait would be dropped.
  inject(a, forward[0], false);
  run(50);
  const reads = new Map([a, b].map((end) => [end, { count: 0, bytes: 0 }]));
  for (const [end, sendings] of [[a, forward.slice(1)], [b, back]] as const) {
    for (const one of sendings) {
      inject(end, one, end === b);
      if (stepMs > 0) run(stepMs);
    }
  }
  for (let count = 0; count < 20; count++) run(20);
  for (const [end, wire, from] of [[b, forward, a], [a, back, b]] as const) {
    const expected = wire.flatMap((one) => end === a ? one.wire.map(turnedAround) : one.wire);
    assert.deepEqual(byFlow(arrived(end)), byFlow(expected));
    const sent = reads.get(from)!;
    const { tcp, udp } = from.tun.offloads;
    for (const { packet, wire: packets } of wire) {
      const isWhole = tcp && (packets.length === 1 || (packet.proto === 6 ? tcp : udp));
      sent.count += isWhole ? 1 : packets.length;
      sent.bytes += isWhole
        ? packet.bytes.length
        : packets.reduce((sum, bytes) => sum + bytes.length, 0);
    }
    assertKernelsView(from, sent);
  }
  const joined = b.counters.value("tunWrittenJoined").packets;
  return { rows: [assertConserved(a).rows, assertConserved(b).rows], joined };
}

test("DataPlane delivers and counts the same at every level of offloads of both ends", () => {
  const sendings = bothWays(1);
  const reference = exchange([NO_OFFLOADS, NO_OFFLOADS], 1, 0, sendings);
  assert.equal(reference.rows[0].length, 8);
  let joined = 0;
  for (const level of LEVELS) {
    for (const pair of [[level, level], [level, ALL], [ALL, level]] as const) {
      const result = exchange(pair, 1, 0, sendings);
      assert.deepEqual(result.rows, reference.rows, JSON.stringify(pair));
      assert.equal(result.joined > 0, pair[1].tun.tcp, JSON.stringify(pair));
      joined += result.joined;
    }
  }
  assert.ok(joined > 2_000, `${joined} packets were joined`);
});

test("DataPlane delivers and counts the same whether packets come one by one or all at once", () => {
  for (let seed = 2; seed < 5; seed++) {
    const atOnce = exchange([ALL, ALL], seed, 0);
    const oneByOne = exchange([ALL, ALL], seed, 5);
    assert.deepEqual(oneByOne.rows, atOnce.rows);
    assert.deepEqual(exchange([NO_OFFLOADS, NO_OFFLOADS], seed, 5).rows, atOnce.rows);
  }
});

/** One super-packet of 5 packets. */
const five = (version: 4 | 6 = 4, proto: 6 | 17 = 6) =>
  sending({ version, proto, payload: new Uint8Array(4_500) }, 1_000);

test("DataPlane keeps the packets of a super-packet until there is a session", () => {
  const { a, b, network, run } = transportLab({ seed: 10, offloads: [ALL, ALL] });
  network.filter = () => false;
  const sent = Array.from({ length: 27 }, (_, index) =>
    sending({
      sequence: index * 4_500,
      id: index * 5,
      payload: new Uint8Array(4_500).fill(index),
    }, 1_000));
  for (const one of sent) inject(a, one, false);
  run(100);
  // 135 packets, of which 128 may wait: the oldest were pushed out.
  assert.equal(a.dataPlane.waitingPackets, 128);
  assert.deepEqual(a.counters.value("outQueueFull").packets, 7);
  network.filter = null;
  run(6_000);
  assert.equal(a.dataPlane.waitingPackets, 0);
  assert.deepEqual(arrived(b), sent.flatMap(({ wire }) => wire).slice(7));
  assertConserved(a);
  assertConserved(b);
});

test("DataPlane counts super-packets that it refuses as the packets that they stand for", () => {
  const { a, b, run } = transportLab({ seed: 11, offloads: [ALL, ALL] });
  const noRoute = five();
  noRoute.packet.bytes[19] = 99;
  inject(a, noRoute, false);
  inject(b, five(), true);
  run(20);
  const bytes = noRoute.wire.reduce((sum, one) => sum + one.length, 0);
  assert.deepEqual(a.counters.value("outNoRoute"), { packets: 5, bytes });
  assert.deepEqual(b.counters.value("outNoEndpoint"), { packets: 5, bytes });
  assertConserved(a);
  assertConserved(b);
});

test("DataPlane counts a super-packet that contradicts itself as one undecodable packet", () => {
  const { a, run } = transportLab({ seed: 12, offloads: [ALL, ALL] });
  const { packet } = five();
  const wrong = [virtioHeader(4, packet, 1_000), virtioHeader(1, packet, 0)];
  for (const header of wrong) a.inject(packet.bytes, header);
  run(20);
  const bytes = packet.bytes.length;
  assert.deepEqual(a.counters.value("outUndecodable"), { packets: 2, bytes: 2 * bytes });
  assertConserved(a);
});

test("DataPlane counts a super-packet that the TUN device refuses as its packets", () => {
  const { a, b, run } = transportLab({ seed: 13, offloads: [ALL, ALL] });
  inject(a, five(), false);
  run(50);
  b.tun.failWrites(1, ERRNO.EIO);
  const next = five();
  inject(a, next, false);
  run(20);
  assert.equal(b.counters.value("tunWriteFailed").packets, 5);
  assertConserved(b);
});

test("DataPlane writes packets one by one where the device takes no super-packets, and loses none", () => {
  const { a, b, run } = transportLab({ seed: 14, offloads: [ALL, ALL] });
  inject(a, five(), false);
  run(50);
  const before = arrived(b).length;
  b.tun.refusesJoined = true;
  const sent: string[] = [];
  for (let round = 1; round <= REFUSALS_MAX; round++) {
    assert.ok(b.dataPlane.offloads.writes, `round ${round}`);
    const next = five();
    inject(a, next, false);
    sent.push(...next.wire.map(textOf));
    run(20);
  }
  assert.deepEqual(arrived(b).slice(before).map(textOf), sent);
  assert.ok(!b.dataPlane.offloads.writes);
  assert.equal(b.counters.value("tunWriteFailed").packets, 0);
  // From now on it does not even try.
  b.tun.refusesJoined = false;
  const joined = b.counters.value("tunWrittenJoined").packets;
  inject(a, five(), false);
  run(20);
  assert.equal(b.counters.value("tunWrittenJoined").packets, joined);
  assertConserved(b);
});

test("DataPlane goes on with super-packets after a device has refused one", () => {
  const { a, b, run } = transportLab({ seed: 15, offloads: [ALL, ALL] });
  inject(a, five(), false);
  run(50);
  for (let round = 0; round < 2 * REFUSALS_MAX; round++) {
    b.tun.refusesJoined = round % REFUSALS_MAX !== 0;
    inject(a, five(), false);
    run(20);
  }
  assert.ok(b.dataPlane.offloads.writes);
  assertConserved(b);
});

test("DataPlane loses nothing where the kernel cannot send many datagrams at once", () => {
  for (const errno of [ERRNO.EIO, ERRNO.EINVAL, ERRNO.EMSGSIZE]) {
    const { a, b, run } = transportLab({ seed: 14, offloads: [ALL, ALL] });
    inject(a, five(), false);
    run(50);
    assert.ok(a.dataPlane.offloads.sends && a.dataPlane.offloads.plainPaths === 0);
    a.udp.failSends(1, errno);
    const sent = five(6, 17);
    inject(a, sent, false);
    run(20);
    assert.deepEqual(arrived(b).slice(-5), sent.wire);
    assert.equal(a.dataPlane.offloads.plainPaths, 1, "the path is known as plain");
    assertConserved(a);
    assertConserved(b);
  }
});

const FAULTS: Partial<NetworkFaults> = {
  lossRate: 0.05,
  duplicateRate: 0.05,
  reorderRate: 0.05,
  reorderMs: 30,
  bitFlipRate: 0.02,
  truncateRate: 0.02,
  delayMs: 3,
  jitterMs: 2,
};

test("DataPlane conserves every packet over faulty networks at random levels of offloads", () => {
  let delivered = 0;
  let failed = 0;
  let joined = 0;
  for (let seed = 200; seed < 216; seed++) {
    const levels = [LEVELS[seed % 16], LEVELS[(seed * 7 + 3) % 16]] as const;
    const faults = seed % 3 === 0 ? {} : FAULTS;
    const { a, b, random, run } = transportLab({ seed, faults, flowsMax: 64, offloads: levels });
    const sent = { toB: new Set<string>(), toA: new Set<string>() };
    const forward = traffic(random, 60);
    const back = traffic(random, 60);
    for (let step = 0; step < forward.length; step++) {
      for (
        const [end, sending, set] of [
          [a, forward[step], sent.toB],
          [b, back[step], sent.toA],
        ] as const
      ) {
        for (const one of sending.wire) {
          set.add(textOf(end === b ? turnedAround(one) : one));
        }
        inject(end, sending, end === b);
      }
      if (random.below(10) === 0) a.tun.failWrites(1, [ERRNO.EIO, ERRNO.EINVAL][random.below(2)]);
      if (random.below(20) === 0) {
        b.udp.failSends(1, [ERRNO.EIO, ERRNO.ENOBUFS, ERRNO.ENETUNREACH][random.below(3)]);
      }
      if (random.below(2) === 0) run(5 * random.below(8));
    }
    run(12_000);
    for (const [end, wanted] of [[b, sent.toB], [a, sent.toA]] as const) {
      const got = arrived(end).map(textOf);
      assert.equal(new Set(got).size, got.length, `seed ${seed}: delivered twice`);
      for (const bytes of got) {
        assert.ok(wanted.has(bytes), `seed ${seed}: delivered what was not sent`);
      }
      delivered += got.length;
      failed += end.counters.value("tunWriteFailed").packets;
      joined += end.counters.value("tunWrittenJoined").packets;
      assertConserved(end);
    }
  }
  assert.ok(delivered > 10_000, `only ${delivered} packets got through`);
  assert.ok(failed > 50, `only ${failed} packets were refused`);
  assert.ok(joined > 1_000, `only ${joined} packets were joined`);
});
