// Goal: offloads of UDP that do not do what the kernel says are not used, and those that do are.
// Method: two sockets on a network in memory, of which one is made to refuse, drop or mangle.
import { test } from "node:test";
import assert from "node:assert/strict";
import { ERRNO } from "../../../src/errors.ts";
import { MemoryClock, MemoryNetwork, type MemoryUdp } from "../../../src/platform/memory.ts";
import { verifyOffloads } from "../../../src/platform/udp_self_test.ts";
import type { PacketBatch, UdpOffloads } from "../../../src/ports.ts";

const ALL: UdpOffloads = { segmentation: true, coalescing: true };
const NONE: UdpOffloads = { segmentation: false, coalescing: false };

/** Sender, receiver and what is between them. */
function ends(family: 4 | 6, offloads: readonly [UdpOffloads, UdpOffloads] = [ALL, ALL]) {
  const network = new MemoryNetwork(new MemoryClock(), 1);
  const loopback = family === 4 ? [0, 0, 0xffff, 0x7f00_0001] : [0, 0, 0, 1];
  const socket = (port: number): MemoryUdp =>
    network.socket({ family, addressWords: Uint32Array.from(loopback), port });
  const [sender, receiver] = [socket(7), socket(8)];
  [sender.offloads, receiver.offloads] = offloads;
  return { network, sender, receiver };
}

/** Changes what a socket receives. */
function mangle(socket: MemoryUdp, change: (batch: PacketBatch) => void): void {
  const receive = socket.receive.bind(socket);
  socket.receive = (batch) => {
    const count = receive(batch);
    change(batch);
    return count;
  };
}

test("verifyOffloads() trusts what works, joined on arrival or not", () => {
  for (const family of [4, 6] as const) {
    for (const coalescing of [true, false]) {
      const { sender, receiver } = ends(family, [ALL, { segmentation: false, coalescing }]);
      assert.deepEqual(verifyOffloads(sender, receiver), { segmentation: true, coalescing });
    }
  }
});

test("verifyOffloads() sends nothing where there is nothing to try", () => {
  const { network, sender, receiver } = ends(4, [NONE, ALL]);
  assert.deepEqual(verifyOffloads(sender, receiver), { segmentation: false, coalescing: true });
  assert.equal(network.counts.sent, 0);
});

test("verifyOffloads() gives sending up where an entry is refused for being of many datagrams", () => {
  for (const errno of [ERRNO.EIO, ERRNO.EINVAL, ERRNO.EMSGSIZE, ERRNO.ENOPROTOOPT]) {
    const { sender, receiver } = ends(4);
    sender.failSends(1, errno);
    assert.deepEqual(verifyOffloads(sender, receiver), { segmentation: false, coalescing: true });
  }
});

test("verifyOffloads() knows nothing where nothing passes, and trusts", () => {
  for (const errno of [ERRNO.ENETUNREACH, ERRNO.EPERM]) {
    const { sender, receiver } = ends(4);
    sender.failSends(1, errno);
    assert.deepEqual(verifyOffloads(sender, receiver), ALL);
  }
  const { network, sender, receiver } = ends(6);
  network.filter = () => false;
  assert.deepEqual(verifyOffloads(sender, receiver), ALL);
});

test("verifyOffloads() gives both up where what arrives joined is not what was sent", () => {
  const changes: ((batch: PacketBatch) => void)[] = [
    (batch) => batch.buffer.bytes[batch.offset[0]! + 1_999]! ^= 1,
    (batch) => batch.segmentBytes[0] = 999,
    (batch) => batch.length[0]! -= 1,
    (batch) => batch.length[0]! += 1,
  ];
  for (const change of changes) {
    const { sender, receiver } = ends(4);
    mangle(receiver, change);
    assert.deepEqual(verifyOffloads(sender, receiver), NONE, String(change));
  }
});

test("verifyOffloads() gives sending alone up where what arrives singly is wrong", () => {
  const plain: UdpOffloads = { segmentation: true, coalescing: false };
  for (const dropped of [0, 1, 2]) {
    const { network, sender, receiver } = ends(4, [ALL, plain]);
    let index = 0;
    network.filter = () => index++ !== dropped;
    assert.deepEqual(verifyOffloads(sender, receiver), NONE, `datagram ${dropped} lost`);
  }
  const { sender, receiver } = ends(6, [ALL, ALL]);
  // Kept apart by lengths that cannot be joined: the first is the shortest.
  mangle(receiver, (batch) => batch.segmentBytes.fill(0));
  assert.deepEqual(verifyOffloads(sender, receiver), { segmentation: false, coalescing: true });
});
