/**
 * Child of platform_test.ts: one case in a network namespace of its own, on the runtime that started it.
 *
 * In: the name of a case. Out: exit code 0 when it holds, else the failure on stderr. Needs root unless a case says
 * otherwise; the namespace has nothing but loopback.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { ERRNO, SystemCallError } from "../../../src/errors.ts";
import { SOCKET_BUFFER_BYTES } from "../../../src/limits.ts";
import { createBatch } from "../../../src/packet/batch.ts";
import {
  allocateNative,
  openClock,
  openPoll,
  openTun,
  openUdp,
  openUdpPair,
  openWake,
  probeMachine,
  readTextNative,
  wakeOf,
  writeTextNative,
} from "../../../src/platform/mod.ts";
import { getSocketOption } from "../../../src/platform/libc.ts";
import {
  ENDPOINT,
  ENDPOINT_WORDS,
  type PacketBatch,
  POLL,
  TUN_READ_BYTES,
  TUN_WRITE_PARTS_MAX,
  type TunPort,
  UDP_TRUNCATED,
  type UdpPort,
} from "../../../src/ports.ts";

const LOOPBACK = 0x7f000001;
/** Address that `lo` gets besides 127.0.0.1. */
const SECOND = 0x0a080001;
const HEADROOM_BYTES = 16;

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  assert.equal(status, 0, `ip ${args.join(" ")}: ${stderr}`);
}

function interfaces(): string[] {
  const { stdout } = spawnSync("ip", ["-j", "link"], { encoding: "utf8" });
  return (JSON.parse(stdout) as { ifname: string }[]).map((link) => link.ifname);
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Behind the slots is room for what TunPort.read wants free. */
function batchOf(capacity: number, slotBytes = 2048): PacketBatch {
  const buffer = allocateNative(capacity * slotBytes + TUN_READ_BYTES);
  return createBatch(buffer, { capacity, slotBytes, headroomBytes: HEADROOM_BYTES });
}

/** IPv4 endpoint in place `index` of the batch. */
function toV4(batch: PacketBatch, index: number, address: number, port: number): void {
  const words = index * ENDPOINT_WORDS;
  batch.endpoint.fill(0, words, words + ENDPOINT_WORDS);
  batch.endpoint[words + ENDPOINT.FAMILY] = 4;
  batch.endpoint[words + ENDPOINT.ADDRESS + 2] = 0xffff;
  batch.endpoint[words + ENDPOINT.ADDRESS + 3] = address;
  batch.endpoint[words + ENDPOINT.PORT] = port;
}

/** ::1 in place `index` of the batch. */
function toV6Loopback(batch: PacketBatch, index: number, port: number): void {
  const words = index * ENDPOINT_WORDS;
  batch.endpoint.fill(0, words, words + ENDPOINT_WORDS);
  batch.endpoint[words + ENDPOINT.FAMILY] = 6;
  batch.endpoint[words + ENDPOINT.ADDRESS + 3] = 1;
  batch.endpoint[words + ENDPOINT.PORT] = port;
}

/** Puts a datagram of `length` bytes, each `index & 255`, into place `index`. */
function fill(batch: PacketBatch, index: number, length: number): void {
  batch.offset[index] = index * batch.slotBytes + HEADROOM_BYTES;
  batch.length[index] = length;
  batch.buffer.bytes.fill(index & 255, batch.offset[index], batch.offset[index]! + length);
}

function sendAll(udp: UdpPort, batch: PacketBatch): void {
  for (let first = 0; first < batch.count;) {
    const sent = udp.send(batch, first);
    assert.ok(sent > 0, `send gave ${sent}`);
    first += sent;
  }
}

function endpointOf(batch: PacketBatch, index: number): number[] {
  return [...batch.endpoint.subarray(index * ENDPOINT_WORDS, (index + 1) * ENDPOINT_WORDS)];
}

/** A TUN that is up at 10.9.0.1/24 and sees no IPv6. */
function tunUp(name: string): TunPort {
  const tun = openTun({ name });
  ip("link", "set", tun.name, "addrgenmode", "none");
  ip("address", "add", "10.9.0.1/24", "dev", tun.name);
  ip("link", "set", tun.name, "up");
  return tun;
}

/** Reads what waits into the batch, a slot a packet. @returns How many, or a negated errno when the first read failed. */
function readBatch(tun: TunPort, batch: PacketBatch): number {
  batch.count = 0;
  while (batch.count < batch.capacity) {
    const offset = batch.count * batch.slotBytes + HEADROOM_BYTES;
    const length = tun.read(batch.buffer, offset);
    if (length < 0) return batch.count > 0 || length === -ERRNO.EAGAIN ? batch.count : length;
    batch.offset[batch.count] = offset;
    batch.length[batch.count] = length;
    batch.count++;
  }
  return batch.count;
}

function failure(action: () => unknown): Error {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof Error);
    return error;
  }
  throw new assert.AssertionError({ message: "nothing was thrown" });
}

/** Whether even the polite way gives all the buffer asked for: net.core.rmem_max was raised on this machine. */
function mayForceBuffers(): boolean {
  return Number(readTextNative("/proc/sys/net/core/rmem_max")) >= SOCKET_BUFFER_BYTES;
}

const CASES: Record<string, () => void> = {
  "openTun() carries packets both ways"() {
    const tun = tunUp("p0");
    const udp = openUdp({ family: 4, port: 0 });
    const batch = batchOf(4);
    const packets = batchOf(4);
    fill(batch, 0, 5);
    toV4(batch, 0, 0x0a090002, 7777);
    batch.count = 1;
    sendAll(udp, batch);
    assert.equal(readBatch(tun, packets), 1);
    const { view, bytes } = packets.buffer;
    const at = packets.offset[0]!;
    assert.equal(at, HEADROOM_BYTES);
    assert.equal(packets.length[0], 20 + 8 + 5);
    assert.equal(view.getUint32(at + 16), 0x0a090002, "destination");
    assert.equal(readBatch(tun, packets), 0, "nothing waits");
    assert.equal(packets.count, 0);
    // The answer: addresses and ports swapped, which leaves both checksums right.
    view.setUint32(at + 16, view.getUint32(at + 12));
    view.setUint32(at + 12, 0x0a090002);
    view.setUint16(at + 22, view.getUint16(at + 20));
    view.setUint16(at + 20, 7777);
    bytes.fill(9, at + 28, at + 33);
    view.setUint16(at + 26, 0); // No UDP checksum: allowed in IPv4.
    assert.equal(tun.write(packets.buffer, at, 33), 33);
    assert.equal(udp.receive(batch), 1);
    assert.equal(batch.length[0], 5);
    assert.equal(batch.buffer.bytes[batch.offset[0]!], 9);
    bytes[at] = 0;
    assert.equal(tun.write(packets.buffer, at, 33), -ERRNO.EINVAL, "neither IPv4 nor IPv6");
    assert.equal(tun.write(packets.buffer, packets.buffer.bytes.length - 3, 4), -ERRNO.EFAULT);
    tun.close();
    tun.close();
    udp.close();
    assert.deepEqual(interfaces(), ["lo"]);
  },

  "read() gives what waits, in order, at most the batch's capacity at once"() {
    const tun = tunUp("p1");
    const udp = openUdp({ family: 4, port: 0 });
    const batch = batchOf(200);
    for (let index = 0; index < 200; index++) {
      fill(batch, index, 10 + index);
      toV4(batch, index, 0x0a090002, 7777);
    }
    batch.count = 200;
    sendAll(udp, batch);
    const packets = batchOf(128);
    assert.equal(readBatch(tun, packets), 128);
    assert.deepEqual([...packets.length], Array.from({ length: 128 }, (_, at) => 38 + at));
    assert.equal(readBatch(tun, packets), 72);
    assert.deepEqual(
      [...packets.length.subarray(0, 72)],
      Array.from({ length: 72 }, (_, at) => 166 + at),
    );
    assert.equal(readBatch(tun, packets), 0);
    tun.close();
    udp.close();
  },

  "read() refuses memory that is too short for the longest packet"() {
    const tun = tunUp("p2");
    const udp = openUdp({ family: 4, port: 0 });
    const batch = batchOf(1);
    fill(batch, 0, 100);
    toV4(batch, 0, 0x0a090002, 7777);
    batch.count = 1;
    sendAll(udp, batch);
    const buffer = allocateNative(TUN_READ_BYTES + 8);
    buffer.bytes.fill(0xee);
    assert.equal(tun.read(buffer, 9), -ERRNO.EFAULT);
    assert.ok(buffer.bytes.every((byte) => byte === 0xee), "nothing was written");
    assert.equal(tun.read(buffer, 8), 128);
    assert.equal(buffer.bytes[8], 0x45);
    assert.ok(buffer.bytes.subarray(0, 8).every((byte) => byte === 0xee));
    assert.ok(buffer.bytes.subarray(136).every((byte) => byte === 0xee));
    tun.close();
    udp.close();
  },

  "openTun() names the device, and says what is wrong with a name"() {
    const descriptors = openDescriptors();
    const numbered = openTun({ name: "pn%d" });
    assert.equal(numbered.name, "pn0");
    assert.equal(
      failure(() => openTun({ name: "pn0" })).message,
      'Cannot open TUN device "pn0": errno is 16 (EBUSY): an interface of that name exists and is in ' +
        "use: stop its owner or choose another name",
    );
    assert.equal(
      failure(() => openTun({ name: "lo" })).message,
      'Cannot open TUN device "lo": errno is 22 (EINVAL): an interface of that name exists and is no ' +
        "TUN device: choose another name",
    );
    for (
      const name of ["", "a/b", "a b", "a:b", ".", "..", "sixteen-bytes-xx", "fünfzehn-bytes-x"]
    ) {
      assert.ok(failure(() => openTun({ name })) instanceof RangeError, name);
    }
    const longest = openTun({ name: "fifteen-bytes-x" });
    const first = openTun({ name: "pmq", multiQueue: true });
    const second = openTun({ name: "pmq", multiQueue: true });
    for (const tun of [numbered, longest, first, second]) tun.close();
    assert.equal(openDescriptors(), descriptors);
    assert.deepEqual(interfaces(), ["lo"]);
  },

  "a TUN deleted by others: wait() says ERROR, read() a negated errno"() {
    const tun = tunUp("p3");
    const wake = openWake();
    const poll = openPoll(tun, wake);
    assert.equal(poll.wait(0), 0);
    ip("link", "delete", "p3");
    assert.equal(poll.wait(Infinity) & POLL.ERROR, POLL.ERROR);
    assert.equal(readBatch(tun, batchOf(2)), -ERRNO.EBADFD);
    tun.close();
    wake.close();
  },

  "openTun() says that a right is missing"() {
    // Started without capabilities.
    const error = failure(() => openTun({ name: "p4" }));
    assert.ok(error instanceof SystemCallError);
    assert.equal(
      error.message,
      'Cannot open TUN device "p4": errno is 1 (EPERM): run as root or grant CAP_NET_ADMIN',
    );
    const udp = openUdp({ family: 4, port: 0 });
    assert.equal(
      failure(() => udp.setMark(51820)).message,
      "Cannot set the firewall mark 51820 of a UDP socket: errno is 1 (EPERM): run as root or grant " +
        "CAP_NET_ADMIN",
    );
    assert.match(failure(() => openUdp({ family: 4, port: 80 })).message, /EACCES.*CAP_NET_BIND/);
    udp.close();
  },

  "openTun() says that the device node is missing"() {
    // Started where /dev/net is empty.
    assert.match(
      failure(() => openTun({ name: "p5" })).message,
      /^Cannot open TUN device "p5": errno is 2 \(ENOENT\): load the tun module .*mknod/,
    );
  },

  "openUdpPair() binds both families to one port, and says that it is taken"() {
    const descriptors = openDescriptors();
    const pair = openUdpPair(0);
    assert.equal(pair.udp4!.port, pair.port);
    assert.equal(pair.udp6!.port, pair.port);
    assert.equal(pair.udp4!.family, 4);
    assert.equal(pair.udp6!.family, 6);
    const advice = "another program uses this port: stop it or choose another ListenPort";
    assert.equal(
      failure(() => openUdpPair(pair.port)).message,
      `Cannot bind UDP port ${pair.port} of IPv4: errno is 98 (EADDRINUSE): ${advice}`,
    );
    // Only IPv6's port is taken: IPv4's must not stay open.
    pair.udp4!.close();
    assert.match(failure(() => openUdpPair(pair.port)).message, /of IPv6: errno is 98/);
    pair.udp6!.close();
    assert.equal(openDescriptors(), descriptors);
    const again = openUdpPair(pair.port, 51820);
    assert.equal(again.port, pair.port);
    assert.equal(getSocketOption(again.udp4!.fd, 1, 36), 51820);
    assert.equal(getSocketOption(again.udp6!.fd, 1, 36), 51820);
    again.udp4!.setMark(0);
    assert.equal(getSocketOption(again.udp4!.fd, 1, 36), 0);
    // The kernel counts its own overhead and so reports twice what was asked for (socket(7)).
    assert.equal(getSocketOption(again.udp4!.fd, 1, 8), 2 * 7 * 1024 * 1024);
    again.udp4!.close();
    again.udp6!.close();
    again.udp6!.close();
  },

  "send() and receive() move 128 datagrams of each family, in order, with both addresses"() {
    for (const family of [4, 6] as const) {
      const a = openUdp({ family, port: 0 });
      const b = openUdp({ family, port: 0 });
      const out = batchOf(128);
      for (let index = 0; index < 128; index++) {
        fill(out, index, 1300 + index);
        if (family === 4) toV4(out, index, LOOPBACK, b.port);
        else toV6Loopback(out, index, b.port);
      }
      out.count = 128;
      const received = batchOf(128);
      for (let round = 0; round < 3; round++) {
        assert.equal(a.send(out, 0), 128);
        assert.equal(b.receive(received), 128);
        assert.equal(received.count, 128);
        for (let index = 0; index < 128; index++) {
          assert.equal(received.length[index], 1300 + index);
          const at = received.offset[index]!;
          assert.equal(at, index * 2048 + HEADROOM_BYTES);
          const bytes = received.buffer.bytes.subarray(at, at + 1300 + index);
          assert.ok(bytes.every((byte) => byte === index));
          const address = family === 4 ? [0, 0, 0xffff, LOOPBACK] : [0, 0, 0, 1];
          const expected = [family, ...address, a.port, 0, ...address, 1];
          assert.deepEqual(endpointOf(received, index), expected);
        }
        assert.equal(b.receive(received), 0);
        assert.equal(received.count, 0);
      }
      // Sending may begin anywhere, and from where another socket received.
      assert.equal(b.send(received, 0), 0);
      a.send(out, 125);
      assert.equal(b.receive(received), 3);
      assert.equal(b.send(received, 1), 2);
      assert.equal(a.receive(out), 2);
      assert.deepEqual([...out.length.subarray(0, 2)], [1300 + 126, 1300 + 127]);
      a.close();
      b.close();
    }
  },

  "send() answers from the address that the peer talks to, until it is ours no more"() {
    ip("address", "add", "10.8.0.1/32", "dev", "lo");
    ip("address", "add", "fd08::1/128", "dev", "lo", "nodad");
    for (const family of [4, 6] as const) {
      const local = family === 4 ? [0, 0, 0xffff, SECOND] : [0xfd080000, 0, 0, 1];
      const a = openUdp({ family, port: 0 });
      const b = openUdp({ family, port: 0 });
      const out = batchOf(2);
      const back = batchOf(2);
      fill(out, 0, 1);
      if (family === 4) toV4(out, 0, SECOND, b.port);
      else toV6Loopback(out, 0, b.port);
      out.endpoint.set(local, ENDPOINT.ADDRESS);
      // Loopback picks the destination as source by itself: say that we come from elsewhere.
      const other = family === 4 ? [0, 0, 0xffff, LOOPBACK] : [0, 0, 0, 1];
      out.endpoint.set(other, ENDPOINT.LOCAL_ADDRESS);
      out.count = 1;
      assert.equal(a.send(out, 0), 1);
      assert.equal(b.receive(back), 1);
      assert.deepEqual(endpointOf(back, 0), [family, ...other, a.port, 0, ...local, 1]);
      assert.equal(b.send(back, 0), 1);
      assert.equal(a.receive(out), 1);
      assert.deepEqual(endpointOf(out, 0).slice(1, 5), local, "answer comes from there");
      ip("address", "delete", family === 4 ? "10.8.0.1/32" : "fd08::1/128", "dev", "lo");
      assert.equal(b.send(back, 0), 1, "sent all the same");
      assert.deepEqual(endpointOf(back, 0).slice(ENDPOINT.LOCAL_ADDRESS), [0, 0, 0, 0, 0]);
      assert.equal(a.receive(out), 1);
      assert.deepEqual(endpointOf(out, 0).slice(1, 5), other);
      a.close();
      b.close();
    }
  },

  "receive() marks a datagram that does not fit and goes on"() {
    const a = openUdp({ family: 4, port: 0 });
    const b = openUdp({ family: 4, port: 0 });
    const out = batchOf(4);
    const received = batchOf(4, 256);
    for (const [index, length] of [240, 241, 2000, 0].entries()) {
      fill(out, index, length);
      toV4(out, index, LOOPBACK, b.port);
    }
    out.count = 4;
    received.buffer.bytes.fill(0xee);
    sendAll(a, out);
    assert.equal(b.receive(received), 4);
    assert.deepEqual([...received.length], [240, UDP_TRUNCATED, UDP_TRUNCATED, 0]);
    const { bytes } = received.buffer;
    for (let slot = 0; slot < 4; slot++) {
      const headroom = bytes.subarray(slot * 256, slot * 256 + HEADROOM_BYTES);
      assert.ok(headroom.every((byte) => byte === 0xee), `headroom of slot ${slot}`);
    }
    sendAll(a, out);
    assert.equal(b.receive(received), 4);
    assert.deepEqual([...received.length], [240, UDP_TRUNCATED, UDP_TRUNCATED, 0]);
    a.close();
    b.close();
  },

  "offloads of a socket: entries are cut, joined, and refused when they are too many"() {
    for (const family of [4, 6] as const) {
      const a = openUdp({ family, port: 0, offloads: true });
      const b = openUdp({ family, port: 0, offloads: true });
      const plain = openUdp({ family, port: 0 });
      assert.deepEqual(a.offloads, { segmentation: true, coalescing: true });
      assert.deepEqual(plain.offloads, { segmentation: false, coalescing: false });
      const out = batchOf(1, 65_728);
      const received = batchOf(8, 65_728);
      const send = (length: number, segmentBytes: number, port: number): number => {
        if (family === 4) toV4(out, 0, LOOPBACK, port);
        else toV6Loopback(out, 0, port);
        fill(out, 0, length);
        out.segmentBytes[0] = segmentBytes;
        out.count = 1;
        return a.send(out, 0);
      };
      assert.equal(send(64 * 1000, 1000, plain.port), 1);
      const few = batchOf(64);
      assert.equal(plain.receive(few), 64);
      assert.ok(few.length.every((length) => length === 1000));
      assert.equal(send(2500, 1000, b.port), 1);
      assert.equal(send(700, 0, b.port), 1);
      received.limit = 1;
      assert.equal(b.receive(received), 1);
      assert.deepEqual([received.length[0], received.segmentBytes[0]], [2500, 1000]);
      received.limit = 8;
      assert.equal(b.receive(received), 1);
      assert.deepEqual([received.length[0], received.segmentBytes[0]], [700, 0]);
      assert.ok(send(65_507, 100, b.port) < 0, "more datagrams than an entry may have");
      assert.equal(b.receive(received), 0, "all or none");
      for (const port of [a, b, plain]) port.close();
    }
    ip("link", "set", "lo", "mtu", "1280");
    const a = openUdp({ family: 4, port: 0, offloads: true });
    const out = batchOf(1, 65_728);
    fill(out, 0, 4000);
    toV4(out, 0, LOOPBACK, a.port);
    out.segmentBytes[0] = 2000;
    out.count = 1;
    const refused = a.send(out, 0);
    assert.ok(
      refused === -ERRNO.EINVAL || refused === -ERRNO.EMSGSIZE,
      `${refused}: what is cut cannot be fragmented`,
    );
    a.close();
  },

  "offloads of a device: what the kernel takes, and headers"() {
    const plain = openTun({ name: "po0" });
    assert.deepEqual(plain.offloads, { header: false, tcp: false, udp: false });
    plain.close();
    const tun = openTun({ name: "po1", offloads: true });
    // Every kernel since 2.6.27 has TCP's; UDP's came with 6.2.
    assert.ok(tun.offloads.header && tun.offloads.tcp);
    assert.equal(tun.offloads.udp, probeMachine().tun.offloads.uso);
    ip("link", "set", "po1", "addrgenmode", "none");
    ip("address", "add", "10.9.0.1/24", "dev", "po1");
    ip("link", "set", "po1", "up");
    const udp = openUdp({ family: 4, port: 0, offloads: true });
    const out = batchOf(1, 65_728);
    fill(out, 0, 3000);
    toV4(out, 0, 0x0a090002, 7777);
    out.segmentBytes[0] = 1000;
    out.count = 1;
    sendAll(udp, out);
    const packets = batchOf(4, 4096);
    assert.equal(readBatch(tun, packets), tun.offloads.udp ? 1 : 3);
    if (tun.offloads.udp) {
      assert.equal(packets.length[0], 20 + 8 + 3000);
      // VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_UDP_L4, gso_size.
      assert.equal(tun.readHeader.getUint8(0), 1);
      assert.equal(tun.readHeader.getUint8(1), 5);
      assert.equal(tun.readHeader.getUint16(4, true), 1000);
    }
    // An answer in two parts. The address behind 10.9.0.2:7777 is turned round; no UDP checksum.
    const { view } = packets.buffer;
    const at = packets.offset[0]!;
    view.setUint32(at + 16, view.getUint32(at + 12));
    view.setUint32(at + 12, 0x0a090002);
    view.setUint16(at + 22, view.getUint16(at + 20));
    view.setUint16(at + 20, 7777);
    view.setUint16(at + 2, 33);
    view.setUint16(at + 24, 13);
    view.setUint16(at + 26, 0);
    view.setUint16(at + 10, 0);
    let sum = 0;
    for (let word = 0; word < 20; word += 2) sum += view.getUint16(at + word);
    view.setUint16(at + 10, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
    const offsets = Uint32Array.of(0, at, at + 30);
    const lengths = Uint32Array.of(0, 30, 3);
    assert.equal(tun.writeParts(packets.buffer, offsets, lengths, 1, 2), 33);
    const received = batchOf(1);
    assert.equal(udp.receive(received), 1);
    assert.equal(received.length[0], 5);
    lengths[2] = packets.buffer.bytes.length;
    assert.equal(tun.writeParts(packets.buffer, offsets, lengths, 1, 2), -ERRNO.EFAULT);
    assert.equal(
      tun.writeParts(packets.buffer, offsets, lengths, 0, TUN_WRITE_PARTS_MAX + 1),
      -ERRNO.EINVAL,
    );
    tun.close();
    udp.close();
  },

  "send() stops before a datagram that cannot be sent and says why when it is first"() {
    const a = openUdp({ family: 4, port: 0 });
    const b = openUdp({ family: 4, port: 0 });
    const out = createBatch(allocateNative(1 << 18), {
      capacity: 4,
      slotBytes: 65_536,
      headroomBytes: HEADROOM_BYTES,
    });
    for (let index = 0; index < 4; index++) {
      fill(out, index, 20);
      toV4(out, index, LOOPBACK, b.port);
    }
    out.count = 4;
    toV6Loopback(out, 1, b.port);
    assert.equal(a.send(out, 0), 1);
    assert.equal(a.send(out, 1), -ERRNO.EAFNOSUPPORT);
    out.endpoint.fill(0, ENDPOINT_WORDS, 2 * ENDPOINT_WORDS);
    assert.equal(a.send(out, 1), -ERRNO.EDESTADDRREQ);
    toV4(out, 1, LOOPBACK, b.port);
    out.length[2] = 65_508;
    assert.equal(a.send(out, 1), 1);
    assert.equal(a.send(out, 2), -ERRNO.EMSGSIZE);
    out.length[2] = 20;
    out.offset[3] = (1 << 18) - 19;
    assert.equal(a.send(out, 2), 1);
    assert.equal(a.send(out, 3), -ERRNO.EFAULT);
    assert.equal(a.send(out, 4), 0);
    assert.equal(b.receive(batchOf(8)), 3);
    // 192.0.2.1 has no route here.
    out.offset[3] = 0;
    toV4(out, 3, 0xc0000201, 9);
    assert.equal(a.send(out, 3), -ERRNO.ENETUNREACH);
    a.close();
    b.close();
  },

  "packets allocate nothing on their way through TUN and UDP"() {
    // Counts V8's heap; JSC has no figure as fine.
    if ("Bun" in globalThis) return;
    const tun = tunUp("p7");
    const poll = openPoll(tun, openWake());
    const clock = openClock();
    const packets = batchOf(64);
    for (const family of [4, 6] as const) {
      const a = openUdp({ family, port: 0 });
      const b = openUdp({ family, port: 0 });
      const intoTun = batchOf(64);
      const out = batchOf(64);
      const received = batchOf(64);
      for (let index = 0; index < 64; index++) {
        fill(out, index, 200);
        if (family === 4) toV4(out, index, LOOPBACK, b.port);
        else toV6Loopback(out, index, b.port);
        fill(intoTun, index, 100);
        toV4(intoTun, index, 0x0a090002, 9);
      }
      out.count = intoTun.count = 64;
      const feeder = openUdp({ family: 4, port: 0 });
      let moved = 0;
      let nowMs = 0;
      const round = (): void => {
        moved += a.send(out, 0);
        moved += b.receive(received);
        moved += b.send(received, 0);
        moved += a.receive(received);
        moved += feeder.send(intoTun, 0);
        poll.wait(0);
        moved += readBatch(tun, packets);
        for (let index = 0; index < packets.count; index++) {
          tun.write(packets.buffer, packets.offset[index]!, packets.length[index]!);
        }
        nowMs = clock.nowMs();
      };
      for (let warm = 0; warm < 300; warm++) round();
      let least = Infinity;
      for (let attempt = 0; attempt < 20; attempt++) {
        const before = process.memoryUsage().heapUsed;
        for (let times = 0; times < 20; times++) round();
        const grown = process.memoryUsage().heapUsed - before;
        if (grown >= 0) least = Math.min(least, grown);
      }
      assert.equal(moved, 700 * 64 * 6);
      assert.ok(nowMs > 0);
      // 20 rounds of 64 packets, six times each: what a batch takes (a few numbers) is less than a byte a packet.
      const perPacket = least / (20 * 64 * 6);
      assert.ok(perPacket < 1, `IPv${family}: ${perPacket} bytes per packet`);
      for (const port of [a, b, feeder]) port.close();
    }
    tun.close();
  },

  "a closed port on the other side leaves no error behind"() {
    for (const family of [4, 6] as const) {
      const a = openUdp({ family, port: 0 });
      const closed = openUdp({ family, port: 0 });
      closed.close();
      const out = batchOf(2);
      for (let index = 0; index < 2; index++) {
        fill(out, index, 1);
        if (family === 4) toV4(out, index, LOOPBACK, closed.port);
        else toV6Loopback(out, index, closed.port);
      }
      out.count = 2;
      for (let round = 0; round < 10; round++) {
        assert.equal(a.send(out, 0), 2);
        assert.equal(a.receive(batchOf(1)), 0);
      }
      a.close();
    }
  },

  "datagrams longer than the path are fragmented, not refused"() {
    const tun = tunUp("p8");
    const toTun = openUdp({ family: 4, port: 0 });
    const small = batchOf(1);
    const packets = batchOf(1);
    fill(small, 0, 100);
    toV4(small, 0, 0x0a090002, 9);
    small.count = 1;
    sendAll(toTun, small);
    assert.equal(readBatch(tun, packets), 1);
    // Flags of the IPv4 header: routers on the way may fragment.
    assert.equal(packets.buffer.view.getUint16(packets.offset[0]! + 6) & 0x4000, 0, "DF");
    tun.close();
    toTun.close();
    ip("link", "set", "lo", "mtu", "1280");
    for (const family of [4, 6] as const) {
      const a = openUdp({ family, port: 0 });
      const b = openUdp({ family, port: 0 });
      const out = batchOf(1, 4096);
      fill(out, 0, 4000);
      if (family === 4) toV4(out, 0, LOOPBACK, b.port);
      else toV6Loopback(out, 0, b.port);
      out.count = 1;
      assert.equal(a.send(out, 0), 1);
      const received = batchOf(1, 4096);
      assert.equal(b.receive(received), 1);
      assert.equal(received.length[0], 4000);
      a.close();
      b.close();
    }
  },

  "wait() tells descriptors apart, and what was taken is ready no more"() {
    const tun = tunUp("p6");
    const { udp4, udp6, port } = openUdpPair(0);
    const wake = openWake();
    const poll = openPoll(tun, wake);
    const out = batchOf(1);
    const received = batchOf(4);
    fill(out, 0, 10);
    out.count = 1;
    toV4(out, 0, LOOPBACK, port);
    sendAll(udp4!, out);
    assert.equal(poll.wait(0), 0, "not watched yet");
    poll.watch(udp4, udp6);
    assert.equal(poll.wait(Infinity), POLL.UDP4);
    toV6Loopback(out, 0, port);
    sendAll(udp6!, out);
    assert.equal(poll.wait(1000), POLL.UDP4 | POLL.UDP6);
    toV4(out, 0, 0x0a090002, 9);
    sendAll(udp4!, out);
    wakeOf(wake.fd).wake();
    wake.wake();
    assert.equal(poll.wait(0.5), POLL.UDP4 | POLL.UDP6 | POLL.TUN | POLL.WAKE);
    wake.drain();
    assert.equal(readBatch(tun, received), 1);
    assert.equal(poll.wait(0), POLL.UDP4 | POLL.UDP6);
    assert.equal(udp4!.receive(received), 1);
    poll.watch(udp4, null);
    assert.equal(poll.wait(0), 0);
    const clock = openClock();
    const beforeMs = clock.nowMs();
    assert.equal(poll.wait(0.1), 0);
    assert.ok(clock.nowMs() - beforeMs >= 0.1, "rounded up, not down to no wait at all");
    wake.drain();
    assert.equal(poll.waitWritable(udp4!, 100), true);
    for (const port of [tun, udp4!, udp6!, wake]) port.close();
    wake.wake();
    wake.close();
    assert.equal(
      poll.wait(0) & POLL.ERROR,
      POLL.ERROR,
      "closed descriptors are not silently passed over",
    );
  },

  "probeMachine() finds what there is and leaves nothing behind"() {
    const descriptors = openDescriptors();
    const facts = probeMachine();
    assert.match(facts.runtime, /^(deno|bun) \d+\.\d+\.\d+$/);
    assert.equal(facts.kernel, readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
    assert.equal(facts.userId, 0);
    assert.equal(facts.hasNetAdmin, true);
    assert.equal(facts.tun.obstacle, null);
    // Every kernel since 2.6.27 has virtio headers, since 3.8 several queues.
    assert.ok(facts.tun.virtioHeader && facts.tun.multiQueue);
    assert.ok(facts.tun.offloads.tso4 && facts.tun.offloads.tso6);
    for (const udp of [facts.udp4, facts.udp6]) {
      assert.equal(udp.obstacle, null);
      assert.equal(udp.receiveBufferBytes, SOCKET_BUFFER_BYTES);
      assert.equal(udp.sendBufferBytes, SOCKET_BUFFER_BYTES);
    }
    assert.equal(openDescriptors(), descriptors);
    assert.deepEqual(interfaces(), ["lo"]);
  },

  "probeMachine() says what is missing without rights"() {
    // Started without capabilities.
    const facts = probeMachine();
    assert.equal(facts.hasNetAdmin, false);
    assert.equal(facts.capabilities, "0000000000000000");
    assert.equal(
      facts.tun.obstacle,
      "Cannot make a TUN device: errno is 1 (EPERM): run as root or grant CAP_NET_ADMIN",
    );
    assert.ok(facts.tun.features !== null, "the node opens all the same");
    assert.ok(facts.udp4.receiveBufferBytes < SOCKET_BUFFER_BYTES || mayForceBuffers());
  },

  "writeTextNative() and readTextNative() reach kernel parameters"() {
    const path = "/proc/sys/net/ipv4/ip_forward";
    writeTextNative(path, "1\n");
    assert.equal(readTextNative(path), "1\n");
    writeTextNative(path, "0\n");
    assert.equal(readFileSync(path, "utf8"), "0\n");
    assert.match(
      failure(() => writeTextNative(path, "no number\n")).message,
      /^Cannot write "\/proc\/sys\/net\/ipv4\/ip_forward": errno is 22 \(EINVAL\)$/,
    );
    assert.match(failure(() => readTextNative("/proc/none")).message, /ENOENT/);
  },

  "openClock() gives the time since boot and the wall clock"() {
    const clock = openClock();
    const uptimeMs = (): number =>
      Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
    const before = uptimeMs();
    const now = clock.nowMs();
    const after = uptimeMs();
    // /proc/uptime has hundredths of a second, cut off.
    assert.ok(before <= now + 10 && now <= after + 10, `${before} <= ${now} <= ${after}`);
    const wallBefore = Date.now();
    const wall = clock.wallMs();
    assert.ok(wallBefore <= wall + 1 && wall <= Date.now() + 1);
    let last = clock.nowMs();
    let fractions = 0;
    for (let round = 0; round < 1000; round++) {
      const next = clock.nowMs();
      assert.ok(next >= last);
      if (!Number.isInteger(next)) fractions++;
      last = next;
    }
    assert.ok(fractions > 900, "finer than a millisecond");
  },
};

const name = process.argv[2] ?? "";
const body = CASES[name];
if (body === undefined) {
  console.log(JSON.stringify(Object.keys(CASES)));
} else {
  body();
  console.log(`holds: ${name}`);
}
