// Goal: structures of C lie where Linux reads them, and two sockets find one port.
// Method: entries are written and read back byte by byte against sys/socket.h; sockets are played.
import { test } from "node:test";
import assert from "node:assert/strict";
import { ERRNO, SystemCallError } from "../../../src/errors.ts";
import { createBatch } from "../../../src/packet/batch.ts";
import {
  anyAddress,
  DatagramVectors,
  MMSGHDR,
  portOf,
} from "../../../src/platform/datagram_vectors.ts";
import { allocateNative } from "../../../src/platform/native_buffer.ts";
import { interfaceRequest } from "../../../src/platform/tun.ts";
import { pairUp, type UdpOptions } from "../../../src/platform/udp.ts";
import {
  ENDPOINT,
  ENDPOINT_WORDS,
  type PacketBatch,
  UDP_TRUNCATED,
  type UdpPort,
} from "../../../src/ports.ts";

const CAPACITY = 3;
const SHAPE = { capacity: CAPACITY, slotBytes: 128, headroomBytes: 16 };

function newBatch(): PacketBatch & { readonly address: number } {
  const buffer = allocateNative(CAPACITY * SHAPE.slotBytes);
  return Object.assign(createBatch(buffer, SHAPE), { address: buffer.address });
}

function address64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

/** Bytes of C's memory at an address inside the vectors' own. */
function at(vectors: DatagramVectors, address: number, length: number): number[] {
  const offset = address - vectors.memory.address;
  return [...vectors.memory.bytes.subarray(offset, offset + length)];
}

const ENDPOINT_V4 = [4, 0, 0, 0xffff, 0xc0000201, 51820, 0, 0, 0, 0, 0, 0];
const ENDPOINT_V6 = [6, 0xfe800000, 1, 2, 3, 0x1234, 7, 0, 0, 0, 0, 0];

test("prepareSend() writes name, iovec and no control message for an endpoint without LOCAL", () => {
  const batch = newBatch();
  batch.endpoint.set(ENDPOINT_V4, ENDPOINT_WORDS);
  batch.offset[1] = 20;
  batch.length[1] = 77;
  batch.count = 2;
  const vectors = new DatagramVectors(batch, 4);
  assert.equal(vectors.prepareSend(batch, 1), 1);
  const { view } = vectors.memory;
  // sin_family, sin_port, sin_addr.
  const name = at(vectors, address64(view, MMSGHDR.NAME), 8);
  assert.deepEqual(name, [2, 0, 51820 >> 8, 51820 & 255, 192, 0, 2, 1]);
  assert.equal(view.getUint32(MMSGHDR.NAME_LENGTH, true), 16);
  const vector = address64(view, MMSGHDR.VECTORS) - vectors.memory.address;
  assert.equal(address64(view, vector), batch.address + 20);
  assert.equal(address64(view, vector + 8), 77);
  assert.equal(address64(view, MMSGHDR.VECTOR_COUNT), 1);
  assert.equal(address64(view, MMSGHDR.CONTROL_LENGTH), 0);
});

test("prepareSend() asks for the LOCAL address by packet information, leaving the interface open", () => {
  const batch = newBatch();
  batch.endpoint.set(ENDPOINT_V4);
  batch.endpoint.set([0, 0, 0xffff, 0x0a000001, 5], ENDPOINT.LOCAL_ADDRESS);
  batch.length[0] = 1;
  batch.count = 1;
  const vectors = new DatagramVectors(batch, 4);
  assert.equal(vectors.prepareSend(batch, 0), 1);
  const { view } = vectors.memory;
  const control = address64(view, MMSGHDR.CONTROL);
  assert.equal(control % 8, 0);
  assert.deepEqual(at(vectors, control, 28), [
    ...[28, 0, 0, 0, 0, 0, 0, 0], // cmsg_len
    ...[0, 0, 0, 0, 8, 0, 0, 0], // IPPROTO_IP, IP_PKTINFO
    ...[0, 0, 0, 0], // ipi_ifindex
    ...[10, 0, 0, 1], // ipi_spec_dst
    ...[0, 0, 0, 0], // ipi_addr
  ]);
  assert.equal(address64(view, MMSGHDR.CONTROL_LENGTH), 32);
  batch.endpoint.fill(0, ENDPOINT.LOCAL_ADDRESS, ENDPOINT_WORDS);
  vectors.prepareSend(batch, 0);
  assert.equal(address64(view, MMSGHDR.CONTROL_LENGTH), 0, "nothing left of the last one");
});

test("prepareSend() writes IPv6 names with their scope and in6_pktinfo", () => {
  const batch = newBatch();
  batch.endpoint.set(ENDPOINT_V6);
  batch.endpoint.set([0xfd000000, 0, 0, 9, 5], ENDPOINT.LOCAL_ADDRESS);
  batch.length[0] = 1;
  batch.count = 1;
  const vectors = new DatagramVectors(batch, 6);
  assert.equal(vectors.prepareSend(batch, 0), 1);
  const { view } = vectors.memory;
  assert.deepEqual(at(vectors, address64(view, MMSGHDR.NAME), 28), [
    ...[10, 0, 0x12, 0x34], // sin6_family, sin6_port
    ...[0, 0, 0, 0], // sin6_flowinfo
    ...[0xfe, 0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3], // sin6_addr
    ...[7, 0, 0, 0], // sin6_scope_id
  ]);
  assert.equal(view.getUint32(MMSGHDR.NAME_LENGTH, true), 28);
  assert.deepEqual(at(vectors, address64(view, MMSGHDR.CONTROL), 36), [
    ...[36, 0, 0, 0, 0, 0, 0, 0], // cmsg_len
    ...[41, 0, 0, 0, 50, 0, 0, 0], // IPPROTO_IPV6, IPV6_PKTINFO
    ...[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], // ipi6_addr
    ...[0, 0, 0, 0], // ipi6_ifindex
  ]);
  assert.equal(address64(view, MMSGHDR.CONTROL_LENGTH), 40);
});

test("prepareSend() asks for an entry to be cut, behind the packet information and without it", () => {
  for (const family of [4, 6] as const) {
    for (const local of [0, 0x0a000001]) {
      const batch = newBatch();
      batch.endpoint.set(family === 4 ? ENDPOINT_V4 : ENDPOINT_V6);
      batch.endpoint[ENDPOINT.LOCAL_ADDRESS + 3] = local;
      batch.length[0] = 77;
      batch.segmentBytes[0] = 0x1234;
      batch.count = 1;
      const vectors = new DatagramVectors(batch, family);
      assert.equal(vectors.prepareSend(batch, 0), 1);
      const { view } = vectors.memory;
      const before = local === 0 ? 0 : family === 4 ? 32 : 40;
      assert.equal(address64(view, MMSGHDR.CONTROL_LENGTH), before + 24);
      // cmsg_len 18, SOL_UDP, UDP_SEGMENT, u16.
      const control = at(vectors, address64(view, MMSGHDR.CONTROL) + before, 18);
      assert.deepEqual(control, [18, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 103, 0, 0, 0, 0x34, 0x12]);
      batch.segmentBytes[0] = 0;
      assert.equal(vectors.prepareSend(batch, 0), 1);
      assert.equal(address64(view, MMSGHDR.CONTROL_LENGTH), before);
    }
  }
});

test("prepareSend() refuses what C would follow out of the buffer, and other families", () => {
  const batch = newBatch();
  const vectors = new DatagramVectors(batch, 4);
  const bytes = batch.buffer.bytes.length;
  const prepare = (offset: number, length: number, family: number): number => {
    batch.endpoint.set(ENDPOINT_V4);
    batch.endpoint[ENDPOINT.FAMILY] = family;
    batch.offset[0] = offset;
    batch.length[0] = length;
    batch.count = 1;
    return vectors.prepareSend(batch, 0);
  };
  assert.equal(prepare(bytes - 5, 5, 4), 1);
  assert.equal(prepare(bytes - 5, 6, 4), -ERRNO.EFAULT);
  assert.equal(prepare(0, UDP_TRUNCATED, 4), -ERRNO.EFAULT);
  assert.equal(prepare(0, 1, 6), -ERRNO.EAFNOSUPPORT);
  assert.equal(prepare(0, 1, 0), -ERRNO.EDESTADDRREQ);
  batch.count = 0;
  assert.equal(vectors.prepareSend(batch, 0), 0);
});

test("prepareSend() stops before a datagram that cannot be sent, and tells why only at the next call", () => {
  const batch = newBatch();
  const vectors = new DatagramVectors(batch, 4);
  for (let index = 0; index < CAPACITY; index++) {
    batch.endpoint.set(ENDPOINT_V4, index * ENDPOINT_WORDS);
    batch.length[index] = 1;
  }
  batch.endpoint[ENDPOINT_WORDS + ENDPOINT.FAMILY] = 6;
  batch.count = CAPACITY;
  assert.equal(vectors.prepareSend(batch, 0), 1);
  assert.equal(vectors.prepareSend(batch, 1), -ERRNO.EAFNOSUPPORT);
  assert.equal(vectors.prepareSend(batch, 2), 1);
});

test("prepareReceive() offers each slot behind its headroom, and refuses slots outside the buffer", () => {
  const batch = newBatch();
  const vectors = new DatagramVectors(batch, 6);
  vectors.prepareReceive(batch);
  const { view } = vectors.memory;
  for (let index = 0; index < CAPACITY; index++) {
    const header = index * MMSGHDR.BYTES;
    const vector = address64(view, header + MMSGHDR.VECTORS) - vectors.memory.address;
    assert.equal(address64(view, vector), batch.address + index * 128 + 16);
    assert.equal(address64(view, vector + 8), 112);
    assert.ok(view.getUint32(header + MMSGHDR.NAME_LENGTH, true) >= 28);
    assert.ok(address64(view, header + MMSGHDR.CONTROL_LENGTH) >= 64);
  }
  const small = { ...batch, slotBytes: 129 };
  assert.throws(() => new DatagramVectors(small, 6).prepareReceive(small), RangeError);
});

/** Plays the kernel: fills entry 1 with a datagram and the given control messages. */
function received(family: 4 | 6, name: number[], control: number[], flags = 0): PacketBatch {
  const batch = newBatch();
  const vectors = new DatagramVectors(batch, family);
  vectors.prepareReceive(batch);
  batch.endpoint.fill(0xdead);
  const { view, bytes, address } = vectors.memory;
  const header = MMSGHDR.BYTES;
  bytes.set(name, address64(view, header + MMSGHDR.NAME) - address);
  bytes.set(control, address64(view, header + MMSGHDR.CONTROL) - address);
  view.setUint32(header + MMSGHDR.CONTROL_LENGTH, control.length, true);
  view.setUint32(header + MMSGHDR.FLAGS, flags, true);
  view.setUint32(header + MMSGHDR.MESSAGE_LENGTH, 42, true);
  vectors.takeReceived(batch, 2);
  assert.equal(batch.count, 2);
  assert.equal(view.getUint32(header + MMSGHDR.FLAGS, true), 0, "ready for the next");
  assert.ok(address64(view, header + MMSGHDR.CONTROL_LENGTH) >= 64);
  return batch;
}

const NAME_V4 = [2, 0, 0x12, 0x34, 192, 0, 2, 1];
/** A timestamp, which somebody might switch on: 8 + 8 header bytes, 16 of data. */
const OTHER_CONTROL = [32, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 29, 0, 0, 0, ...new Array(16).fill(1)];
const PKTINFO_V4 = [
  ...[28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0],
  ...[3, 0, 0, 0, 10, 0, 0, 1, 224, 0, 0, 1, 0, 0, 0, 0],
];

test("takeReceived() gives source, length and the local address, whatever stands before it", () => {
  // IP_TOS has one byte of data, so the next message begins at a rounded place.
  const oneByte = [17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0];
  for (const before of [[], OTHER_CONTROL, oneByte, [...oneByte, ...OTHER_CONTROL]]) {
    const control = [...before, ...PKTINFO_V4];
    const batch = received(4, NAME_V4, control);
    assert.deepEqual([...batch.endpoint.subarray(ENDPOINT_WORDS, 2 * ENDPOINT_WORDS)], [
      ...[4, 0, 0, 0xffff, 0xc0000201, 0x1234, 0],
      ...[0, 0, 0xffff, 0x0a000001, 3],
    ]);
    assert.equal(batch.offset[1], 128 + 16);
    assert.equal(batch.length[1], 42);
    assert.equal(batch.segmentBytes[1], 0);
  }
});

test("takeReceived() gives the length of the datagrams that UDP_GRO joined", () => {
  const joined = (segmentBytes: number) => [
    ...[20, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 104, 0, 0, 0, segmentBytes, 0, 0, 0, 0, 0, 0, 0],
  ];
  for (
    const control of [joined(20), [...joined(20), ...PKTINFO_V4], [...PKTINFO_V4, ...joined(20)]]
  ) {
    const batch = received(4, NAME_V4, control);
    assert.equal(batch.length[1], 42);
    assert.equal(batch.segmentBytes[1], 20);
    const words = ENDPOINT_WORDS + ENDPOINT.LOCAL_ADDRESS;
    assert.equal(batch.endpoint[words + 3], control.length > 24 ? 0x0a000001 : 0);
  }
  assert.equal(received(4, NAME_V4, joined(41)).segmentBytes[1], 41);
  assert.equal(received(4, NAME_V4, joined(42)).segmentBytes[1], 0, "one datagram is no batch");
  assert.equal(received(4, NAME_V4, PKTINFO_V4).segmentBytes[1], 0);
});

test("takeReceived() gives IPv6 endpoints with their scope", () => {
  const name = [
    ...[10, 0, 0x12, 0x34, 0, 0, 0, 0],
    ...[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 7, 0, 0, 0],
  ];
  const control = [
    ...[36, 0, 0, 0, 0, 0, 0, 0, 41, 0, 0, 0, 50, 0, 0, 0],
    ...[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 7, 0, 0, 0, 0, 0, 0, 0],
  ];
  const batch = received(6, name, control);
  assert.deepEqual([...batch.endpoint.subarray(ENDPOINT_WORDS, 2 * ENDPOINT_WORDS)], [
    ...[6, 0xfe800000, 0, 0, 9, 0x1234, 7],
    ...[0xfe800000, 0, 0, 5, 7],
  ]);
});

test("takeReceived() leaves LOCAL zero without packet information or with a broken one", () => {
  const broken = [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4];
  for (const control of [[], OTHER_CONTROL, broken, PKTINFO_V4.slice(0, 15)]) {
    const batch = received(4, NAME_V4, control);
    const local = batch.endpoint.subarray(
      ENDPOINT_WORDS + ENDPOINT.LOCAL_ADDRESS,
      2 * ENDPOINT_WORDS,
    );
    assert.deepEqual([...local], [0, 0, 0, 0, 0]);
  }
});

test("takeReceived() marks what MSG_TRUNC cut off", () => {
  assert.equal(received(4, NAME_V4, [], 0x20).length[1], UDP_TRUNCATED);
});

test("anyAddress() and portOf() are sockaddr_in and sockaddr_in6", () => {
  assert.deepEqual([...anyAddress(4, 51820)], [2, 0, 202, 108, ...new Array(12).fill(0)]);
  assert.deepEqual([...anyAddress(6, 1)], [10, 0, 0, 1, ...new Array(24).fill(0)]);
  assert.equal(portOf(anyAddress(6, 51820)), 51820);
});

test("interfaceRequest() is a struct ifreq, and refuses names that no interface can have", () => {
  const request = interfaceRequest("wg0", 0x1001);
  assert.equal(request.length, 40);
  assert.deepEqual([...request.subarray(0, 4)], [0x77, 0x67, 0x30, 0]);
  assert.deepEqual([...request.subarray(16, 18)], [0x01, 0x10]);
  assert.equal(interfaceRequest("a".repeat(15), 1)[15], 0);
  for (const name of ["", "a".repeat(16), "é".repeat(8), "a/b", "a b", "a:b", "a\0b", ".", ".."]) {
    assert.throws(() => interfaceRequest(name, 1), RangeError, name);
  }
});

/** Sockets as pairUp() wants to open them; keeps what is open. */
class PlayedSockets {
  readonly open = new Set<string>();
  readonly asked: string[] = [];
  nextPort = 40_000;

  constructor(readonly refusals: Readonly<Record<string, number>>) {}

  opener = ({ family, port }: UdpOptions): UdpPort => {
    this.asked.push(`${family}:${port}`);
    const refuse = (errno: number | undefined): void => {
      if (errno !== undefined) throw new SystemCallError("bind", errno);
    };
    refuse(this.refusals[`${family}`]);
    const bound = port === 0 ? this.nextPort++ : port;
    refuse(this.refusals[`${family}:${bound}`]);
    const name = `${family}:${bound}`;
    this.open.add(name);
    const port_ = { family, port: bound, close: () => this.open.delete(name) };
    return port_ as unknown as UdpPort;
  };
}

test("pairUp() tries another port when IPv6's is taken and the kernel may choose", () => {
  const sockets = new PlayedSockets({ "6:40000": ERRNO.EADDRINUSE, "6:40001": ERRNO.EADDRINUSE });
  assert.equal(pairUp(sockets.opener, 0, 0).port, 40_002);
  assert.deepEqual([...sockets.open], ["4:40002", "6:40002"]);
});

test("pairUp() gives up on a port that was asked for, and after enough random ones", () => {
  const one = new PlayedSockets({ "6:5000": ERRNO.EADDRINUSE });
  assert.throws(() => pairUp(one.opener, 5000, 0), SystemCallError);
  assert.deepEqual(one.asked, ["4:5000", "6:5000"]);
  const never = new PlayedSockets({ "6": ERRNO.EADDRINUSE });
  assert.throws(() => pairUp(never.opener, 0, 0), SystemCallError);
  assert.equal(never.asked.length, 32);
  assert.deepEqual([...one.open, ...never.open], [], "nothing stays open");
});

test("pairUp() does with the family that the machine has", () => {
  const only4 = pairUp(new PlayedSockets({ "6": ERRNO.EAFNOSUPPORT }).opener, 0, 0);
  assert.equal(only4.udp6, null);
  assert.equal(only4.port, 40_000);
  const only6 = pairUp(new PlayedSockets({ "4": ERRNO.EAFNOSUPPORT }).opener, 0, 0);
  assert.equal(only6.udp4, null);
  assert.equal(only6.port, 40_000);
  const none = new PlayedSockets({ "4": ERRNO.EAFNOSUPPORT, "6": ERRNO.EAFNOSUPPORT });
  assert.throws(() => pairUp(none.opener, 0, 0), /EAFNOSUPPORT/);
  const broken = new PlayedSockets({ "6": ERRNO.EMFILE });
  assert.throws(() => pairUp(broken.opener, 0, 0), /EMFILE/);
  assert.deepEqual([...broken.open], []);
});
