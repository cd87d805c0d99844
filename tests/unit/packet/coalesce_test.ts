/**
 * Goal: what may become a super-packet does, and nothing else; what comes out is what went in. Method: a twin that
 * joins packets iff segmenting them gives them again; laws over random batches; one case for each condition.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { wasmMemory } from "../../../src/packet/checksum_wasm.ts";
import {
  COALESCED_BYTES_MAX,
  COALESCED_PACKETS_MAX,
  Coalescer,
} from "../../../src/packet/coalesce.ts";
import { DECODE, decode, INFO, INFO_WORDS } from "../../../src/packet/decode.ts";
import { KEY_WORDS } from "../../../src/packet/key.ts";
import { PLAN, PLAN_WORDS, SEGMENT, Segmenter } from "../../../src/packet/segment.ts";
import { VIRTIO, VIRTIO_WORDS } from "../../../src/packet/virtio.ts";
import { coalesceTwin, flowOf, shapeOf, withRisingIds } from "../../reference/coalesce_twin.ts";
import { setIpv4Checksum, setTransportChecksum } from "../../reference/checksum_twin.ts";
import { segmentTwin } from "../../reference/segment_twin.ts";
import { ipv4, udp } from "./packets.ts";
import { timestamps, type TransportFields, transportPacket } from "./transport_packets.ts";

const SEED = 5;
const CAPACITY = 200;
const BUFFER_BYTES = 1 << 20;
const LIMITS = { bytesMax: COALESCED_BYTES_MAX, packetsMax: COALESCED_PACKETS_MAX };

function labOver(memory: ArrayBufferLike, offloads = { tcp: true, udp: true }) {
  const buffer = { bytes: new Uint8Array(memory), view: new DataView(memory) };
  const coalescer = new Coalescer(buffer, { capacity: CAPACITY, ...offloads });
  return { ...buffer, coalescer, segmenter: new Segmenter(buffer) };
}

const LABS = [labOver(wasmMemory(BUFFER_BYTES)), labOver(new ArrayBuffer(BUFFER_BYTES))];
type Lab = typeof LABS[0];

/** One write: packet numbers that are in it are told by `bytes` alone. */
interface Group {
  readonly bytes: Uint8Array;
  readonly count: number;
  readonly ipBytes: number;
  readonly virtio: Uint32Array;
}

const key = new Uint32Array(KEY_WORDS);
const info = new Uint32Array(INFO_WORDS);

/** Puts the packets into slots and returns what would be written. */
function coalesce(lab: Lab, packets: readonly Uint8Array[]): Group[] {
  const { bytes, view, coalescer } = lab;
  coalescer.begin();
  let offset = 5;
  for (const packet of packets) {
    bytes.set(packet, offset);
    assert.equal(decode(view, offset, packet.length, key, info), DECODE.OK);
    coalescer.add(offset, info[INFO.IP_BYTES], key, info);
    offset += packet.length + 3;
  }
  coalescer.finish();
  return Array.from({ length: coalescer.groupCount }, (_, group) => {
    const first = coalescer.groupPart[group];
    const parts = Array.from({ length: coalescer.groupParts[group] }, (_, part) => {
      const at = coalescer.partOffset[first + part];
      return [...bytes.subarray(at, at + coalescer.partLength[first + part])];
    });
    const whole = Uint8Array.from(parts.flat());
    assert.equal(coalescer.groupBytes[group], whole.length);
    return {
      bytes: whole,
      count: parts.length,
      ipBytes: coalescer.groupIpBytes[group],
      virtio: coalescer.groupVirtio.slice(group * VIRTIO_WORDS, (group + 1) * VIRTIO_WORDS),
    };
  });
}

/** Packets that a wire would carry for one write, by Segmenter and by its twin. */
function segmented(lab: Lab, group: Group): Uint8Array[] {
  const plan = new Uint32Array(PLAN_WORDS);
  const target = BUFFER_BYTES - 70_000;
  lab.bytes.set(group.bytes, 1);
  assert.equal(lab.segmenter.plan(1, group.bytes.length, group.virtio, plan), SEGMENT.OK);
  assert.equal(plan[PLAN.COUNT], group.count);
  assert.equal(plan[PLAN.IP_BYTES], group.ipBytes);
  const packets = Array.from({ length: group.count }, (_, index) => {
    const length = lab.segmenter.write(plan, index, target);
    return lab.bytes.slice(target, target + length);
  });
  if (group.count > 1) {
    const shape = shapeOf(group.bytes);
    assert.deepEqual(packets, segmentTwin(group.bytes, shape, group.virtio[VIRTIO.SEGMENT_BYTES]));
  }
  return packets;
}

/** Sizes of the groups that come of the packets, which must be what the twin says, and segmenting must undo it. */
function groupCounts(lab: Lab, packets: readonly Uint8Array[]): number[] {
  const groups = coalesce(lab, packets);
  const twin = coalesceTwin(packets, LIMITS);
  assert.deepEqual(groups.map(({ count }) => count), twin.map((group) => group.length));
  groups.forEach((group, index) => {
    const members = twin[index].map((at) => packets[at]);
    assert.equal(group.ipBytes, members.reduce((sum, one) => sum + one.length, 0));
    assert.deepEqual(segmented(lab, group), withRisingIds(members));
  });
  assertSplit(lab, packets, twin);
  return groups.map(({ count }) => count);
}

/** Whether groups that are taken apart are the packets as they came in; `members` are their numbers by group. */
function assertSplit(
  lab: Lab,
  packets: readonly Uint8Array[],
  members: readonly (readonly number[])[],
): void {
  coalesce(lab, packets);
  const { coalescer, bytes } = lab;
  members.forEach((numbers, group) => {
    if (numbers.length > 1) coalescer.split(group);
    const virtio = coalescer.groupVirtio.subarray(group * VIRTIO_WORDS, (group + 1) * VIRTIO_WORDS);
    assert.ok(virtio.every((word) => word === 0));
    numbers.forEach((number, index) => {
      const part = coalescer.groupPart[group] + index;
      const at = coalescer.partOffset[part];
      assert.deepEqual(bytes.slice(at, at + coalescer.partLength[part]), packets[number]);
    });
  });
}

/** `count` packets of one stream, 100 bytes of payload each; `change` may alter the fields of each. */
function stream(
  count: number,
  base: TransportFields = {},
  change: (fields: TransportFields, index: number) => TransportFields = (fields) => fields,
): Uint8Array[] {
  let sequence = base.sequence ?? 0xffffff00;
  return Array.from({ length: count }, (_, index) => {
    const fields = change({
      id: 0xfffe + index & 0xffff,
      payload: Uint8Array.from({ length: 100 }, (_, at) => at ^ index),
      ...base,
      sequence,
    }, index);
    sequence += fields.payload?.length ?? 0;
    return transportPacket(fields).bytes;
  });
}

test("Coalescer joins a stream of either protocol and family to one super-packet", () => {
  for (const lab of LABS) {
    for (const version of [4, 6] as const) {
      for (const proto of [6, 17] as const) {
        const packets = stream(10, { version, proto, tcpOptions: timestamps(5) });
        const [group, ...rest] = coalesce(lab, packets);
        assert.equal(rest.length, 0);
        const header = shapeOf(packets[0]);
        const gsoType = proto === 17 ? 5 : version === 4 ? 1 : 4;
        assert.deepEqual([...group.virtio], [
          ...[1, gsoType, header.header, 100, header.transport],
          proto === 6 ? 16 : 6,
        ]);
        const whole = group.bytes.slice();
        if (version === 4) setIpv4Checksum(whole);
        setTransportChecksum(whole, header.transport, proto, true);
        assert.deepEqual(group.bytes, whole, "checksums: IP's whole, transport's partial");
        assert.deepEqual(groupCounts(lab, packets), [10]);
      }
    }
  }
});

test("Coalescer leaves single packets as they are, with an empty virtio header", () => {
  const packets = [
    ...stream(1),
    ...stream(1, { proto: 17 }),
    ipv4({ proto: 47, payload: [1, 2, 3] }),
  ];
  for (const lab of LABS) {
    const groups = coalesce(lab, packets);
    assert.deepEqual(groups.map(({ bytes }) => bytes), packets);
    for (const { virtio } of groups) assert.deepEqual([...virtio], [0, 0, 0, 0, 0, 0]);
  }
  assert.deepEqual(coalesce(LABS[0], []), []);
});

/** Makes the second of four packets differ by `change`; all others are in order around it. */
const second = (change: TransportFields) => (fields: TransportFields, index: number) =>
  index === 1 ? { ...fields, ...change } : fields;

/** Sends an IPv4 packet to another host of its destination's network. */
function redirect(packet: Uint8Array, host: number): Uint8Array {
  packet[19] = host;
  setIpv4Checksum(packet);
  setTransportChecksum(packet, 20, 6);
  return packet;
}

/** What differs in the second of four packets, and the groups that must come of it. */
const TCP_CASES: readonly [string, TransportFields, number[]][] = [
  ["nothing", {}, [4]],
  ["SYN", { flags: 0x12 }, [1, 1, 2]],
  ["RST", { flags: 0x14 }, [1, 1, 2]],
  ["URG", { flags: 0x30 }, [1, 1, 2]],
  ["no ACK", { flags: 0 }, [1, 1, 2]],
  ["PSH", { flags: 0x18 }, [2, 2]],
  ["FIN", { flags: 0x11 }, [2, 2]],
  ["ECE", { flags: 0x50 }, [1, 1, 2]],
  ["CWR", { flags: 0x90 }, [1, 3]],
  ["acknowledgement", { acknowledgement: 78 }, [1, 1, 2]],
  ["window", { window: 513 }, [1, 1, 2]],
  ["urgent pointer", { urgent: 1 }, [1, 1, 2]],
  ["options", { tcpOptions: timestamps(1) }, [1, 1, 2]],
  ["TTL", { hopLimit: 63 }, [1, 1, 2]],
  ["traffic class", { trafficClass: 1 }, [1, 1, 2]],
  ["source port", { ports: [1, 80] }, [1, 1, 2]],
  ["destination port", { ports: [1234, 81] }, [1, 1, 2]],
  ["source address", { src: 2 }, [1, 1, 2]],
  ["one byte less", { payload: new Uint8Array(99) }, [2, 2]],
  ["one byte more", { payload: new Uint8Array(101) }, [1, 2, 1]],
  ["no payload", { payload: [] }, [1, 1, 2]],
];

test("Coalescer joins TCP only where nothing but sequence, identification and checksum differs", () => {
  for (const lab of LABS) {
    for (const version of [4, 6] as const) {
      for (const [what, change, expected] of TCP_CASES) {
        const packets = stream(4, { version }, second(change));
        const counts = groupCounts(lab, packets);
        // In another flow the second packet leaves a hole in the first one's.
        assert.deepEqual(counts, expected, `${what}, IPv${version}`);
      }
    }
    assert.deepEqual(groupCounts(lab, stream(4, { version: 6 }, second({ flowLabel: 1 }))), [
      1,
      1,
      2,
    ]);
    assert.deepEqual(groupCounts(lab, stream(4, {}, second({ dontFragment: false }))), [1, 1, 2]);
    assert.deepEqual(groupCounts(lab, stream(4, { flags: 0 })), [1, 1, 1, 1], "never an ACK");
    const otherDestination = stream(4);
    redirect(otherDestination[1], 201);
    assert.deepEqual(groupCounts(lab, otherDestination), [1, 1, 2]);
    assert.deepEqual(groupCounts(lab, stream(4, {}, second({ ipOptions: [1, 1, 1, 0] }))), [
      1,
      1,
      2,
    ]);
  }
});

test("Coalescer joins UDP of equal lengths, the last may be shorter, and only with checksums", () => {
  const packets = (change: TransportFields) => stream(4, { proto: 17 }, second(change));
  const withoutChecksum = packets({}).map((bytes, index) => {
    if (index === 1) bytes.fill(0, 26, 28);
    return bytes;
  });
  const lengthField = packets({}).map((bytes, index) => {
    if (index === 1) bytes[25]--;
    if (index === 1) setTransportChecksum(bytes, 20, 17);
    return bytes;
  });
  for (const lab of LABS) {
    assert.deepEqual(groupCounts(lab, packets({})), [4]);
    assert.deepEqual(groupCounts(lab, packets({ payload: new Uint8Array(99) })), [2, 2]);
    assert.deepEqual(groupCounts(lab, packets({ payload: new Uint8Array(101) })), [1, 2, 1]);
    assert.deepEqual(groupCounts(lab, packets({ payload: [] })), [1, 1, 2]);
    assert.deepEqual(groupCounts(lab, withoutChecksum), [1, 1, 2]);
    assert.deepEqual(groupCounts(lab, lengthField), [1, 1, 2]);
  }
});

test("Coalescer joins IPv4 identifications that rise, or stand still where they mean nothing", () => {
  const ids = (list: number[], dontFragment: boolean) =>
    stream(list.length, { dontFragment }, (fields, index) => ({ ...fields, id: list[index] }));
  for (const lab of LABS) {
    assert.deepEqual(groupCounts(lab, ids([0xffff, 0, 1], false)), [3]);
    assert.deepEqual(groupCounts(lab, ids([5, 5, 5], true)), [3]);
    assert.deepEqual(groupCounts(lab, ids([5, 5, 5], false)), [1, 1, 1]);
    assert.deepEqual(groupCounts(lab, ids([5, 6, 5], true)), [2, 1]);
    assert.deepEqual(groupCounts(lab, ids([5, 5, 6], true)), [2, 1]);
    assert.deepEqual(groupCounts(lab, ids([5, 7, 8], true)), [1, 2]);
    assert.deepEqual(groupCounts(lab, ids([5, 4, 3], true)), [1, 1, 1]);
  }
});

test("Coalescer leaves packets with wrong checksums alone, the first included", () => {
  const damaged = (at: number, index: number, version: 4 | 6 = 4, proto: 6 | 17 = 6) => {
    const packets = stream(4, { version, proto });
    packets[index][at] ^= 1;
    return packets;
  };
  for (const lab of LABS) {
    for (const proto of [6, 17] as const) {
      assert.deepEqual(groupCounts(lab, damaged(120, 1, 4, proto)), [1, 1, 2], "payload");
      assert.deepEqual(groupCounts(lab, damaged(120, 0, 6, proto)), [1, 3], "payload, IPv6");
      assert.deepEqual(groupCounts(lab, damaged(11, 1, 4, proto)), [1, 1, 2], "IPv4 header");
      assert.deepEqual(groupCounts(lab, damaged(11, 0, 4, proto)), [1, 3], "IPv4 header, first");
      assert.deepEqual(groupCounts(lab, damaged(120, 3, 4, proto)), [3, 1], "last");
    }
  }
});

test("Coalescer leaves alone what has the other zero as a checksum: segmenting would change it", () => {
  const packets = stream(3);
  // Payload that makes the sum 0xffff, so that both 0 and 0xffff are right.
  const sum = packets[1][36] * 256 + packets[1][37] + packets[1][138] * 256 + packets[1][139];
  const last = sum > 0xffff ? sum - 0xffff : sum;
  packets[1].set([last >>> 8, last & 255], 138);
  setTransportChecksum(packets[1], 20, 6);
  assert.deepEqual([...packets[1].subarray(36, 38)], [0, 0]);
  assert.deepEqual(groupCounts(LABS[0], packets), [3]);
  packets[1].fill(255, 36, 38);
  assert.deepEqual(groupCounts(LABS[0], packets), [1, 1, 1]);

  let id = 0;
  const isZero = () => {
    const [bytes] = stream(1, { id });
    return bytes[10] === 0 && bytes[11] === 0;
  };
  while (!isZero()) id++;
  const byId = stream(3, {}, (fields, index) => ({ ...fields, id: id - 1 + index }));
  assert.deepEqual(groupCounts(LABS[0], byId), [3]);
  byId[1].fill(255, 10, 12);
  assert.deepEqual(groupCounts(LABS[0], byId), [1, 1, 1]);
});

test("Coalescer bounds super-packets by bytes and by packets", () => {
  for (const lab of LABS) {
    const small = stream(COALESCED_PACKETS_MAX + 1, {}, (fields) => ({ ...fields, payload: [1] }));
    assert.deepEqual(groupCounts(lab, small), [COALESCED_PACKETS_MAX, 1]);
    // Headers of 40 bytes and 5 payloads: exactly the limit, and one byte more.
    const payload = new Uint8Array((COALESCED_BYTES_MAX - 40) / 5);
    assert.equal(payload.length * 5, COALESCED_BYTES_MAX - 40);
    const longest = stream(6, {}, (fields) => ({ ...fields, payload }));
    assert.deepEqual(groupCounts(lab, longest), [5, 1]);
    const oneMore = new Uint8Array((COALESCED_BYTES_MAX - 39) / 24);
    assert.equal(oneMore.length * 24, COALESCED_BYTES_MAX - 39);
    const many = stream(24, {}, (fields) => ({ ...fields, payload: oneMore }));
    assert.deepEqual(groupCounts(lab, many), [23, 1]);
    const longer = stream(6, { tcpOptions: [1, 1, 1, 1] }, (fields) => ({ ...fields, payload }));
    assert.deepEqual(groupCounts(lab, longer), [4, 2]);
  }
});

test("Coalescer is full at its capacity, and begins anew", () => {
  const { coalescer } = LABS[0];
  const packets = stream(CAPACITY);
  coalesce(LABS[0], packets.slice(1));
  assert.deepEqual([coalescer.full, coalescer.packetCount], [false, CAPACITY - 1]);
  coalesce(LABS[0], packets);
  assert.deepEqual([coalescer.full, coalescer.packetCount], [true, CAPACITY]);
  coalescer.begin();
  assert.deepEqual([coalescer.full, coalescer.packetCount, coalescer.groupCount], [false, 0, 0]);
  assert.deepEqual(groupCounts(LABS[0], packets.slice(0, 2)), [2]);
  for (const capacity of [0, 65_536]) {
    const buffer = { bytes: LABS[1].bytes, view: LABS[1].view };
    assert.throws(() => new Coalescer(buffer, { capacity, tcp: true, udp: true }), RangeError);
  }
});

test("Coalescer joins only what the device takes", () => {
  const packets = [...stream(2), ...stream(2, { proto: 17 })];
  const counts = (tcp: boolean, udp: boolean) =>
    coalesce(labOver(new ArrayBuffer(1 << 16), { tcp, udp }), packets).map(({ count }) => count);
  assert.deepEqual(counts(true, true), [2, 2]);
  assert.deepEqual(counts(true, false), [2, 1, 1]);
  assert.deepEqual(counts(false, true), [1, 1, 2]);
  assert.deepEqual(counts(false, false), [1, 1, 1, 1]);
});

test("Coalescer lets nothing overtake a fragment", () => {
  const [first, next] = stream(2, { proto: 17 });
  const later = ipv4({ proto: 17, offsetBlocks: 20, payload: udp() });
  assert.deepEqual(groupCounts(LABS[0], [first, later, next]), [1, 1, 1]);
  const other = transportPacket({ proto: 17, src: 9, payload: [1] }).bytes;
  assert.deepEqual(groupCounts(LABS[0], [first, other, next]), [2, 1]);
});

test("Coalescer survives more batches than a generation counts", () => {
  const [first, next] = stream(2);
  const lab = LABS[0];
  // All but one of the numbers that generations have; the next batch has the first one's.
  assert.deepEqual(groupCounts(lab, [first]), [1]);
  for (let batch = 0; batch < 0xfffe; batch++) lab.coalescer.begin();
  assert.deepEqual(groupCounts(lab, [next]), [1]);
  assert.deepEqual(groupCounts(lab, [first, next]), [2]);
  assert.deepEqual(groupCounts(lab, [next]), [1]);
});

test("Coalescer keeps the order of each flow when it knows too many to find them", () => {
  const flows = CAPACITY / 2;
  const byPort = Array.from({ length: flows }, (_, at) => stream(2, { ports: [at * 256, 80] }));
  const byHost = Array.from({ length: flows }, (_, at) => {
    return stream(2).map((packet) => redirect(packet, at));
  });
  for (const streams of [byPort, byHost]) {
    const packets = [...streams.map(([first]) => first), ...streams.map(([, next]) => next)];
    const groups = coalesce(LABS[0], packets);
    const again = groups.flatMap((group) => segmented(LABS[0], group));
    assertSameFlows(again, packets);
    assert.ok(groups.length < packets.length * 0.6, `${groups.length} groups`);
  }
});

/** Each flow's packets are the same, in the same order. */
function assertSameFlows(actual: readonly Uint8Array[], expected: readonly Uint8Array[]): void {
  const byFlow = (packets: readonly Uint8Array[]) => {
    const flows = new Map<string, string[]>();
    for (const packet of packets) {
      const flow = flowOf(packet);
      if (!flows.has(flow)) flows.set(flow, []);
      flows.get(flow)!.push(packet.join());
    }
    return [...flows].sort(([a], [b]) => a < b ? -1 : 1);
  };
  assert.deepEqual(byFlow(actual), byFlow(expected));
}

/** What may happen to one packet of a random batch. */
const step = fc.record({
  flow: fc.nat(3),
  payloadBytes: fc.constantFrom(50, 50, 50, 50, 50, 49, 51, 0, 1),
  flags: fc.constantFrom(0x10, 0x10, 0x10, 0x10, 0x18, 0x11, 0x90, 0x50, 0x12),
  skip: fc.constantFrom(0, 0, 0, 0, 0, 1),
  window: fc.constantFrom(1, 1, 1, 1, 1, 2),
  idStep: fc.constantFrom(1, 1, 1, 1, 0, 2),
  damage: fc.constantFrom(-1, -1, -1, -1, -1, -1, 25, 40, 60),
});

test("Coalescer equals its twin on random batches, and segmenting gives the packets again", () => {
  for (const lab of LABS) {
    let joined = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60, size: "max" }), (steps) => {
        const sequences = [0, 0xfffffff0, 5, 6];
        const ids = [0, 0xfffe, 0, 0];
        const packets = steps.map(
          ({ flow, payloadBytes, skip, flags, window, idStep, damage }, at) => {
            sequences[flow] += skip;
            ids[flow] += idStep;
            const { bytes } = transportPacket({
              version: flow === 2 ? 6 : 4,
              proto: flow === 3 ? 17 : 6,
              src: 1 + (flow & 1),
              id: ids[flow],
              sequence: sequences[flow],
              payload: Uint8Array.from({ length: payloadBytes }, (_, index) => index * at),
              flags,
              window,
            });
            sequences[flow] += payloadBytes;
            if (damage >= 0 && damage < bytes.length) bytes[damage] ^= 0x10;
            return bytes;
          },
        );
        // Damage to what says where headers end would be another packet's test.
        joined += groupCounts(lab, packets).filter((count) => count > 1).length;
      }),
      { seed: SEED, numRuns: 400 },
    );
    assert.ok(joined > 500, `${joined} super-packets`);
  }
});

test("Coalescer puts together again what Segmenter took apart", () => {
  const whole = fc.record({
    version: fc.constantFrom(4 as const, 6 as const),
    proto: fc.constantFrom(6 as const, 17 as const),
    flags: fc.constantFrom(0x10, 0x18, 0x11, 0x90, 0xd9),
    payload: fc.uint8Array({ minLength: 101, maxLength: 3_000, size: "max" }),
    sequence: fc.nat(0xffffffff),
  });
  for (const lab of LABS) {
    fc.assert(
      fc.property(whole, (fields) => {
        const packet = transportPacket({ ...fields, partial: true });
        const groups = coalesce(lab, segmentTwin(packet.bytes, packet, 100));
        assert.equal(groups.length, 1);
        assert.deepEqual(groups[0].bytes, packet.bytes);
        assert.equal(
          groups[0].virtio[VIRTIO.GSO_TYPE] & 0x80,
          fields.proto === 6 ? fields.flags & 0x80 : 0,
        );
      }),
      { seed: SEED, numRuns: 300 },
    );
  }
});
