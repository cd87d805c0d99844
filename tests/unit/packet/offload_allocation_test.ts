/**
 * Goal: segmenting and coalescing allocate nothing per packet, with and without machine code. Method: growth of V8's
 * heap per packet, minimum over rounds (a round may see somebody else's allocation, none sees less than ours).
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import process from "node:process";
import { wasmMemory } from "../../../src/packet/checksum_wasm.ts";
import { Coalescer } from "../../../src/packet/coalesce.ts";
import { decode, INFO, INFO_WORDS } from "../../../src/packet/decode.ts";
import { KEY_WORDS } from "../../../src/packet/key.ts";
import { PLAN, PLAN_WORDS, Segmenter } from "../../../src/packet/segment.ts";
import {
  readVirtio,
  VIRTIO_HEADER_BYTES,
  VIRTIO_WORDS,
  writeVirtio,
} from "../../../src/packet/virtio.ts";
import { timestamps, transportPacket } from "./transport_packets.ts";

const ROUNDS = 12;
const PASSES = 100;
/** Less than the smallest object there is, so that one object in every second call would show. */
const BYTES_PER_PACKET_MAX = 4;
const SLOT_BYTES = 1_600;
/** A virtio header and a super-packet lie in front of the segments. */
const FIRST_SLOT = 70_000;

/** Super-packets of every kind: sequence numbers and sums above 2^31 are numbers that V8 likes to box. */
const SUPER_PACKETS = ([4, 6] as const).flatMap((version) =>
  ([6, 17] as const).map((proto) =>
    transportPacket({
      version,
      proto,
      sequence: 0xffff0000,
      acknowledgement: 0xfffffff0,
      tcpOptions: timestamps(0xffffffff),
      payload: new Uint8Array(20_000).fill(0xfe),
      partial: true,
    })
  )
);

test("Segmenter and Coalescer allocate nothing per packet", {
  skip: process.versions.bun === undefined
    ? false
    : "JavaScriptCore does not tell its heap exactly",
}, () => {
  for (const memory of [wasmMemory(1 << 18), new ArrayBuffer(1 << 18)]) {
    const buffer = { bytes: new Uint8Array(memory), view: new DataView(memory) };
    const segmenter = new Segmenter(buffer);
    const coalescer = new Coalescer(buffer, { capacity: 64, tcp: true, udp: true });
    const plan = new Uint32Array(PLAN_WORDS);
    const virtio = new Uint32Array(VIRTIO_WORDS);
    const key = new Uint32Array(KEY_WORDS);
    const info = new Uint32Array(INFO_WORDS);
    let packets = 0;
    let groups = 0;
    const pass = () => {
      coalescer.begin();
      for (let index = 0; index < plan[PLAN.COUNT]; index++) {
        const slot = FIRST_SLOT + index * SLOT_BYTES;
        const length = segmenter.write(plan, index, slot);
        decode(buffer.view, slot, length, key, info);
        coalescer.add(slot, info[INFO.IP_BYTES], key, info);
        packets++;
      }
      coalescer.finish();
      groups += coalescer.groupCount;
      writeVirtio(buffer.view, 0, coalescer.groupVirtio, 0);
      readVirtio(buffer.view, 0, virtio, 0);
      segmenter.plan(VIRTIO_HEADER_BYTES, coalescer.groupBytes[0], virtio, plan);
    };
    const runAll = () => {
      for (const { bytes, header, transport, proto } of SUPER_PACKETS) {
        buffer.bytes.set(bytes, VIRTIO_HEADER_BYTES);
        const gsoType = proto === 17 ? 5 : bytes[0] === 0x45 ? 1 : 4;
        virtio.set([1, gsoType, header, 1_380, transport, proto === 17 ? 6 : 16]);
        segmenter.plan(VIRTIO_HEADER_BYTES, bytes.length, virtio, plan);
        for (let count = 0; count < PASSES; count++) pass();
      }
    };
    for (let warm = 0; warm < 10; warm++) runAll();
    let least = Infinity;
    for (let round = 0; round < ROUNDS; round++) {
      packets = 0;
      groups = 0;
      const before = process.memoryUsage().heapUsed;
      runAll();
      const grown = process.memoryUsage().heapUsed - before;
      // A collection in between makes the growth negative: it says nothing.
      if (grown >= 0) least = Math.min(least, grown / packets);
    }
    assert.equal(groups, SUPER_PACKETS.length * PASSES);
    assert.ok(packets > groups * 10);
    assert.ok(least < BYTES_PER_PACKET_MAX, `${least} bytes per packet`);
  }
});
