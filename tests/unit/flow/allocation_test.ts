/**
 * Goal: decoding, joining fragments and counting allocate nothing per packet, IPv4 and IPv6 in turn. Method: growth
 * of V8's heap per call, minimum over rounds (a round may see somebody else's allocation, none sees less than ours).
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import process from "node:process";
import { createBanks, FlowWriter } from "../../../src/flow/mod.ts";
import {
  decode,
  FragmentCache,
  HASH_SECRET_WORDS,
  INFO,
  INFO_WORDS,
  KEY_WORDS,
} from "../../../src/packet/mod.ts";
import { fragment, ipv4, ipv6, tcp, udp } from "../packet/packets.ts";
import { SECRET } from "./support.ts";

const PACKETS = 20_000;
const ROUNDS = 12;
/** Less than the smallest object there is, so that one object in every second call would show. */
const BYTES_PER_PACKET_MAX = 4;

test("decode(), FragmentCache and FlowWriter allocate nothing per packet", {
  skip: process.versions.bun === undefined
    ? false
    : "JavaScriptCore does not tell its heap exactly",
}, () => {
  const packets = [
    ipv4({ payload: tcp() }),
    ipv6({ payload: tcp() }),
    ipv4({ id: 1, proto: 17, moreFragments: true, payload: udp() }),
    ipv4({ id: 1, proto: 17, offsetBlocks: 20, payload: udp() }),
    ipv6({ extensions: [fragment(0, true, 0xffffffff)], proto: 17, payload: udp() }),
    ipv6({ extensions: [fragment(20, true, 0xffffffff)], proto: 17, payload: udp() }),
    ipv4({ src: [255, 255, 255, 255], dst: [255, 255, 255, 254], proto: 47, payload: [] }),
    Uint8Array.of(0x45),
  ].map((bytes) => new DataView(bytes.buffer));
  const key = new Uint32Array(KEY_WORDS);
  const info = new Uint32Array(INFO_WORDS);
  const fragments = new FragmentCache(new Uint32Array(HASH_SECRET_WORDS).fill(0x9e3779b9));
  const writer = new FlowWriter(createBanks(64, SECRET));
  const pass = () => {
    for (let count = 0; count < PACKETS; count++) {
      const view = packets[count & 7];
      // New source ports and addresses: flows are entered, folded and counted on the last row.
      if (view.byteLength > 24) view.setUint16(view.byteLength - 20, count & 0xffff);
      if (decode(view, 0, view.byteLength, key, info) !== 0) continue;
      if (info[INFO.FRAGMENT] !== 0) fragments.resolve(key, info, count + 0.5);
      if ((count & 16) === 0) writer.countTx(key, 1, view.byteLength, info[INFO.DETAIL]);
      else writer.countRx(key, 1, view.byteLength, info[INFO.DETAIL]);
      if ((count & 127) === 0) writer.handOver();
    }
  };
  for (let warm = 0; warm < 20; warm++) pass();
  let least = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.memoryUsage().heapUsed;
    pass();
    const grown = process.memoryUsage().heapUsed - before;
    // A collection in between makes the growth negative: it says nothing.
    if (grown >= 0) least = Math.min(least, grown / PACKETS);
  }
  assert.ok(least < BYTES_PER_PACKET_MAX, `${least} bytes per packet`);
});
