/**
 * Goal: super-packets become the packets that a wire would carry; what contradicts itself is refused. Method: twin on
 * random packets, every header form; poisoned surroundings; random damage to packets and virtio headers.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { wasmMemory } from "../../../src/packet/checksum_wasm.ts";
import { PLAN, PLAN_WORDS, SEGMENT, Segmenter } from "../../../src/packet/segment.ts";
import { VIRTIO_WORDS } from "../../../src/packet/virtio.ts";
import { segmentTwin } from "../../reference/segment_twin.ts";
import { authentication, ipv4, tcp } from "./packets.ts";
import {
  destinationOptions,
  timestamps,
  type TransportFields,
  type TransportPacket,
  transportPacket,
} from "./transport_packets.ts";

const SEED = 5;
const BUFFER_BYTES = 1 << 18;
const OFFSET = 1003;
const TARGET = 100_001;
const POISON = 0xa5;

function labOver(memory: ArrayBufferLike) {
  const buffer = { bytes: new Uint8Array(memory), view: new DataView(memory) };
  return { bytes: buffer.bytes, segmenter: new Segmenter(buffer) };
}

const LABS = [labOver(wasmMemory(BUFFER_BYTES)), labOver(new ArrayBuffer(BUFFER_BYTES))];
type Lab = typeof LABS[0];

/** Virtio words of a super-packet as Linux gives them. */
function virtioOf(packet: TransportPacket, segmentBytes: number): Uint32Array {
  const isV4 = packet.bytes[0] >>> 4 === 4;
  const gsoType = packet.proto === 17 ? 5 : isV4 ? 1 : 4;
  const checksumOffset = packet.proto === 17 ? 6 : 16;
  return Uint32Array.of(1, gsoType, packet.header, segmentBytes, packet.transport, checksumOffset);
}

/** Writes all packets of a super-packet, the last first. Nothing else in the buffer may change. */
function segments(lab: Lab, packet: Uint8Array, virtio: Uint32Array) {
  const { bytes, segmenter } = lab;
  const plan = new Uint32Array(PLAN_WORDS);
  bytes.fill(POISON);
  bytes.set(packet, OFFSET);
  const status = segmenter.plan(OFFSET, packet.length, virtio, plan);
  if (status !== SEGMENT.OK) {
    assert.ok(unchangedAround(bytes, packet.length), "a refused packet stays as it is");
    return { status, plan, packets: [] };
  }
  const inPlace = bytes.slice(OFFSET, OFFSET + packet.length);
  const packets: Uint8Array[] = [];
  for (let index = plan[PLAN.COUNT] - 1; index >= 0; index--) {
    const length = segmenter.write(plan, index, TARGET);
    packets.unshift(bytes.slice(TARGET, TARGET + length));
    bytes.fill(POISON, TARGET, TARGET + length);
  }
  assert.ok(unchangedAround(bytes, packet.length), "nothing beside packet and target changes");
  assert.deepEqual(bytes.slice(OFFSET, OFFSET + packet.length), inPlace);
  return { status, plan, packets };
}

/** Whether the poison before and behind the packet and around the target is still there. */
function unchangedAround(bytes: Uint8Array, length: number): boolean {
  return bytes.subarray(0, OFFSET).every((byte) => byte === POISON) &&
    bytes.subarray(OFFSET + length, OFFSET + length + 4096).every((byte) => byte === POISON) &&
    bytes.subarray(TARGET - 4096, TARGET + 8192).every((byte) => byte === POISON);
}

/** Random fields; payloads are short so that a run is: lengths matter modulo few numbers only. */
const fields: fc.Arbitrary<TransportFields> = fc.record({
  version: fc.constantFrom(4 as const, 6 as const),
  proto: fc.constantFrom(6 as const, 17 as const),
  extended: fc.boolean(),
  id: fc.constantFrom(0, 7, 0xfffe, 0xffff),
  dontFragment: fc.boolean(),
  trafficClass: fc.nat(255),
  flowLabel: fc.nat(0xfffff),
  hopLimit: fc.nat(255),
  sequence: fc.constantFrom(0, 1, 0x7fffffff, 0xfffffff0, 0xffffffff),
  acknowledgement: fc.nat(0xffffffff),
  flags: fc.nat(255),
  window: fc.nat(0xffff),
  urgent: fc.nat(0xffff),
  tcpOptions: fc.constantFrom([], timestamps(9), new Array<number>(40).fill(1)),
  payload: fc.uint8Array({ maxLength: 700, size: "max" }),
}).map(({ extended, ...rest }) => ({
  ...rest,
  partial: true,
  ipOptions: !extended ? [] : rest.version === 4 ? [1, 1, 1, 0] : destinationOptions(rest.proto),
}));

test("Segmenter equals its twin, byte for byte, on random super-packets", () => {
  for (const lab of LABS) {
    let many = 0;
    fc.assert(
      fc.property(fields, fc.integer({ min: 1, max: 300 }), (some, segmentBytes) => {
        const packet = transportPacket(some);
        const { status, plan, packets } = segments(
          lab,
          packet.bytes,
          virtioOf(packet, segmentBytes),
        );
        assert.equal(status, SEGMENT.OK);
        const expected = segmentTwin(packet.bytes, packet, segmentBytes);
        // Packets that the kernel does not take apart keep their IPv4 header.
        if (expected.length > 1) {
          many++;
          assert.deepEqual(packets, expected);
        } else {
          assert.equal(packets.length, 1);
          assert.deepEqual(packets[0], transportPacket({ ...some, partial: false }).bytes);
        }
        assert.equal(plan[PLAN.COUNT], packets.length);
        assert.equal(plan[PLAN.IP_BYTES], packets.reduce((sum, one) => sum + one.length, 0));
        assert.equal(plan[PLAN.LAST_BYTES], packets.at(-1)!.length);
        assert.equal(plan[PLAN.PACKET_BYTES], packets[0].length);
      }),
      { seed: SEED, numRuns: 400 },
    );
    assert.ok(many > 200, `${many} of 400 were super-packets`);
  }
});

test("Segmenter takes the longest super-packets there are", () => {
  for (const lab of LABS) {
    for (const version of [4, 6] as const) {
      for (const proto of [6, 17] as const) {
        const headerBytes = (version === 4 ? 20 : 40) + (proto === 6 ? 20 : 8);
        const payload = Uint8Array.from({ length: 65_535 - headerBytes }, (_, at) => at * 31 >>> 3);
        const packet = transportPacket({ version, proto, payload, partial: true, flags: 0x99 });
        for (const segmentBytes of [1380, payload.length - 1]) {
          const { packets } = segments(lab, packet.bytes, virtioOf(packet, segmentBytes));
          assert.deepEqual(packets, segmentTwin(packet.bytes, packet, segmentBytes));
        }
      }
    }
  }
});

test("Segmenter cuts at the segment size: one byte less, equal, one more", () => {
  for (const [payloadBytes, count] of [[99, 1], [100, 1], [101, 2], [199, 2], [200, 2], [201, 3]]) {
    const packet = transportPacket({ payload: new Uint8Array(payloadBytes), partial: true });
    const { plan } = segments(LABS[0], packet.bytes, virtioOf(packet, 100));
    assert.equal(plan[PLAN.COUNT], count, `${payloadBytes} bytes`);
  }
});

test("Segmenter gives FIN and PSH to the last packet and CWR to the first", () => {
  const packet = transportPacket({ payload: new Uint8Array(30), flags: 0xd9, partial: true });
  const virtio = virtioOf(packet, 10);
  virtio[1] |= 0x80;
  const { packets } = segments(LABS[0], packet.bytes, virtio);
  assert.deepEqual(packets.map((one) => one[packet.transport + 13]), [0xd0, 0x50, 0x59]);
});

test("Segmenter completes a partial checksum in place and leaves complete packets alone", () => {
  for (const lab of LABS) {
    for (const version of [4, 6] as const) {
      for (const proto of [6, 17] as const) {
        const some = { version, proto, payload: [1, 2, 3, 4, 5] };
        const partial = transportPacket({ ...some, partial: true });
        const whole = transportPacket(some);
        const virtio = virtioOf(partial, 0);
        virtio[1] = 0;
        assert.deepEqual(segments(lab, partial.bytes, virtio).packets, [whole.bytes]);
        assert.deepEqual(segments(lab, whole.bytes, new Uint32Array(VIRTIO_WORDS)).packets, [
          whole.bytes,
        ]);
        const valid = Uint32Array.of(2, 0, 0, 0, 0, 0);
        assert.deepEqual(segments(lab, whole.bytes, valid).packets, [whole.bytes]);
      }
    }
  }
});

test("Segmenter writes 0xffff where a UDP checksum would be 0", () => {
  for (let value = 0; value <= 0xffff; value++) {
    const packet = transportPacket({
      proto: 17,
      payload: [value >>> 8, value & 255],
      partial: true,
    });
    const whole = transportPacket({ proto: 17, payload: [value >>> 8, value & 255] });
    if (whole.bytes[26] !== 255 || whole.bytes[27] !== 255) continue;
    // The value that makes the sum 0xffff, once as a packet and once as both segments.
    const virtio = virtioOf(packet, 2);
    assert.deepEqual(segments(LABS[0], packet.bytes, virtio).packets, [whole.bytes]);
    const twice = transportPacket({
      proto: 17,
      payload: [value >>> 8, value & 255, value >>> 8, value & 255],
      partial: true,
    });
    const { packets } = segments(LABS[0], twice.bytes, virtioOf(twice, 2));
    assert.deepEqual(packets.map((one) => [...one.subarray(26, 28)]), [[255, 255], [255, 255]]);
    return;
  }
  assert.fail("no payload has the checksum 0");
});

const good = () => transportPacket({ payload: new Uint8Array(300), partial: true });
const good6 = () => transportPacket({ version: 6, payload: new Uint8Array(300), partial: true });
const goodUdp = () => transportPacket({ proto: 17, payload: new Uint8Array(300), partial: true });

/** What is wrong, the packet, what its virtio header says, and the answer. */
const CONTRADICTIONS: readonly [
  string,
  () => TransportPacket,
  (virtio: Uint32Array, bytes: Uint8Array) => void,
  number,
][] = [
  ["no type of segmentation that there is", good, (v) => v[1] = 2, SEGMENT.TYPE],
  ["UDP fragmentation", goodUdp, (v) => v[1] = 3, SEGMENT.TYPE],
  ["ECN alone", good, (v) => v[1] = 0x80, SEGMENT.TYPE],
  ["ECN in UDP", goodUdp, (v) => v[1] = 0x85, SEGMENT.TYPE],
  ["TCPv6 with an IPv4 packet", good, (v) => v[1] = 4, SEGMENT.TYPE],
  ["TCPv4 with an IPv6 packet", good6, (v) => v[1] = 1, SEGMENT.TYPE],
  ["UDP with a TCP packet", good, (v) => v[1] = 5, SEGMENT.TYPE],
  ["TCP with a UDP packet", goodUdp, (v) => v[1] = 1, SEGMENT.TYPE],
  ["segments of 0 bytes", good, (v) => v[3] = 0, SEGMENT.SEGMENT_BYTES],
  ["no checksum to be made", good, (v) => v[0] = 0, SEGMENT.CHECKSUM],
  ["checksum of something else", good, (v) => v[5] = 6, SEGMENT.CHECKSUM],
  ["checksum from the IP header on", good, (v) => v[4] = 0, SEGMENT.CHECKSUM],
  ["checksum behind the packet", good, (v) => v[4] = 339 - 16, SEGMENT.CHECKSUM],
  ["checksum far behind the packet", good, (v) => v[5] = 0xffff, SEGMENT.CHECKSUM],
  ["IP version 5", good, (_, b) => b[0] = 0x55, SEGMENT.HEADER],
  ["IPv4 length 0", good, (_, b) => b.fill(0, 2, 4), SEGMENT.HEADER],
  ["IPv4 length one too small", good, (_, b) => b[3]--, SEGMENT.HEADER],
  ["IPv4 length one too large", good, (_, b) => b[3]++, SEGMENT.HEADER],
  ["IPv6 length one too small", good6, (_, b) => b[5]--, SEGMENT.HEADER],
  ["fragment", good, (_, b) => b[6] = 0x20, SEGMENT.HEADER],
  ["TCP header of 16 bytes", good, (_, b) => b[32] = 0x40, SEGMENT.HEADER],
  ["UDP length one too small", goodUdp, (_, b) => b[25]--, SEGMENT.HEADER],
  ["ICMP", good, (_, b) => b[9] = 1, SEGMENT.TYPE],
  [
    "TCP options longer than the packet",
    () => transportPacket({ payload: [1], partial: true }),
    (_, b) => b[32] = 0xf0,
    SEGMENT.HEADER,
  ],
];

test("Segmenter refuses super-packets that contradict themselves, by reason", () => {
  for (const lab of LABS) {
    for (const [what, make, damage, status] of CONTRADICTIONS) {
      const packet = make();
      const virtio = virtioOf(packet, 100);
      assert.equal(segments(lab, packet.bytes, virtio).status, SEGMENT.OK);
      damage(virtio, packet.bytes);
      assert.equal(segments(lab, packet.bytes, virtio).status, status, what);
    }
  }
});

test("Segmenter refuses a packet whose checksum would be written behind it; the last place is fine", () => {
  const bytes = transportPacket({ payload: [1, 2, 3, 4] }).bytes;
  const field = bytes.length - 2;
  const at = (offset: number) => Uint32Array.of(1, 0, 0, 0, 20, offset - 20);
  assert.equal(segments(LABS[0], bytes, at(field)).status, SEGMENT.OK);
  assert.equal(segments(LABS[0], bytes, at(field + 1)).status, SEGMENT.CHECKSUM);
  const empty = segments(LABS[0], new Uint8Array(0), new Uint32Array(VIRTIO_WORDS));
  assert.deepEqual([empty.status, empty.plan[PLAN.COUNT]], [SEGMENT.OK, 1]);
});

test("Segmenter refuses to segment what an Authentication Header protects", () => {
  const header = ipv4({
    proto: 51,
    payload: [6, ...authentication(3).body, ...tcp(0x10), ...new Array<number>(300).fill(7)],
  });
  const virtio = Uint32Array.of(1, 1, 64, 100, 20 + 24, 16);
  assert.equal(segments(LABS[0], header, virtio).status, SEGMENT.HEADER);
  virtio[1] = 0;
  assert.equal(segments(LABS[0], header, virtio).status, SEGMENT.OK);
});

test("Segmenter never throws nor touches its surroundings, whatever is damaged", () => {
  let accepted = 0;
  const damage = fc.record({
    some: fields,
    segmentBytes: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.nat(0xffff)),
    words: fc.array(fc.tuple(fc.nat(VIRTIO_WORDS - 1), fc.nat(0xffff)), { maxLength: 2 }),
    at: fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 3 }),
    cut: fc.constantFrom(0, 0, 1, 5, 30),
  });
  for (const lab of LABS) {
    fc.assert(
      fc.property(damage, ({ some, segmentBytes, words, at, cut }) => {
        const packet = transportPacket(some);
        const virtio = virtioOf(packet, segmentBytes);
        for (const [word, value] of words) virtio[word] = word < 2 ? value & 255 : value;
        for (const [index, value] of at) {
          if (index < packet.bytes.length) packet.bytes[index] = value;
        }
        const bytes = packet.bytes.subarray(0, Math.max(0, packet.bytes.length - cut));
        const { status, plan, packets } = segments(lab, bytes, virtio);
        if (status !== SEGMENT.OK) return;
        accepted++;
        const total = packets.reduce((sum, one) => sum + one.length, 0);
        assert.equal(total, plan[PLAN.IP_BYTES]);
      }),
      { seed: SEED, numRuns: 500 },
    );
  }
  assert.ok(accepted > 100, `${accepted} of 1000 were accepted`);
});
