// Goal: IP is found behind each kind of frame, and never where there is none; packets cut off by a capture are read as far
// as they go. Method: frames by hand, cut at every byte with poison behind; packets cut at every byte against the whole.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  CutPacketDecoder,
  DECODE,
  decode,
  INFO,
  INFO_WORDS,
  ipOffset,
  KEY,
  KEY_WORDS,
  LINK_TYPE,
  NO_IP,
} from "../../../src/packet/mod.ts";
import { ethernet, fragments, icmp, tcp, udp, udpDatagram } from "../../support/capture_writer.ts";

const ENDS4 = { src: "10.0.0.1", dst: "10.0.0.2", srcPort: 4660, dstPort: 443 };
const ENDS6 = { src: "fd00::1", dst: "fd00::2", srcPort: 4660, dstPort: 443 };

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.replace(/\s/g, "").match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

/** Offset in `bytes`, which lie among poison that says IPv4. */
function offsetIn(bytes: Uint8Array, linkType: number): number {
  const around = Uint8Array.from({ length: bytes.length + 80 }, (_, at) => at % 2 === 0 ? 8 : 0);
  around.set(bytes, 40);
  return ipOffset(new DataView(around.buffer), 40, bytes.length, linkType);
}

const MACS = "020000000001 020000000002";
const FRAMES: readonly (readonly [name: string, linkType: number, frame: string, at: number])[] = [
  ["Ethernet, IPv4", LINK_TYPE.ETHERNET, `${MACS} 0800 45`, 14],
  ["Ethernet, IPv6", LINK_TYPE.ETHERNET, `${MACS} 86dd 60`, 14],
  ["802.1Q", LINK_TYPE.ETHERNET, `${MACS} 8100 0005 0800 45`, 18],
  ["802.1ad over 802.1Q", LINK_TYPE.ETHERNET, `${MACS} 88a8 0005 8100 0006 86dd 60`, 22],
  ["older QinQ", LINK_TYPE.ETHERNET, `${MACS} 9100 0005 9200 0005 9300 0006 0800 45`, 26],
  ["raw", LINK_TYPE.RAW, "45", 0],
  ["raw, BSD", LINK_TYPE.RAW_BSD, "45", 0],
  ["raw, OpenBSD", LINK_TYPE.RAW_OPENBSD, "60", 0],
  ["raw IPv4", LINK_TYPE.IPV4, "45", 0],
  ["raw IPv6", LINK_TYPE.IPV6, "60", 0],
  ["null, little", LINK_TYPE.NULL, "02000000 45", 4],
  ["null, big", LINK_TYPE.NULL, "0000001e 60", 4],
  ["null, IPv6 of FreeBSD", LINK_TYPE.NULL, "1c000000 60", 4],
  ["null, IPv6 of Linux", LINK_TYPE.NULL, "0a000000 60", 4],
  ["loop", LINK_TYPE.LOOP, "00000018 60", 4],
  ["cooked", LINK_TYPE.LINUX_SLL, "0000 0001 0006 0200000000010000 0800 45", 16],
  ["cooked, tagged", LINK_TYPE.LINUX_SLL, "0000 0001 0006 0200000000010000 8100 0005 86dd 60", 20],
  ["cooked 2", LINK_TYPE.LINUX_SLL2, "0800 0000 00000002 0001 00 06 0200000000010000 45", 20],
  [
    "cooked 2, tagged",
    LINK_TYPE.LINUX_SLL2,
    "8100 0000 00000002 0001 00 06 0200000000010000 0005 0800 45",
    24,
  ],
];

test("ipOffset() finds the packet behind each kind of frame, and not in one that is cut", () => {
  for (const [name, linkType, text, wanted] of FRAMES) {
    const frame = hex(text);
    assert.equal(offsetIn(frame, linkType), wanted, name);
    for (let length = 0; length < wanted; length++) {
      assert.equal(offsetIn(frame.slice(0, length), linkType), NO_IP.OTHER, `${name}: ${length}`);
    }
    assert.equal(offsetIn(frame.slice(0, wanted), linkType), wanted, `${name}: nothing behind`);
  }
});

test("ipOffset() tells other payloads and other link types", () => {
  const others: readonly (readonly [linkType: number, frame: string])[] = [
    [LINK_TYPE.ETHERNET, `${MACS} 0806 0001`],
    [LINK_TYPE.ETHERNET, `${MACS} 0026 42420300`],
    [LINK_TYPE.ETHERNET, `${MACS} 8864 1100 0001 0021 0021 45`],
    [LINK_TYPE.ETHERNET, `${MACS} 8100 0005 0806 0001`],
    [LINK_TYPE.LINUX_SLL, "0000 0001 0006 0200000000010000 0004 45"],
    [LINK_TYPE.LINUX_SLL2, "0806 0000 00000002 0001 00 06 0200000000010000 45"],
    [LINK_TYPE.NULL, "07000000 45"],
  ];
  for (const [linkType, frame] of others) {
    assert.equal(offsetIn(hex(frame), linkType), NO_IP.OTHER, frame);
  }
  for (const linkType of [2, 9, 105, 147, 0xffff]) {
    assert.equal(offsetIn(hex(`${MACS} 0800 45`), linkType), NO_IP.LINK_TYPE, String(linkType));
  }
});

test("property: ipOffset() never throws, and stays within the frame", () => {
  const types = fc.oneof(fc.constantFrom(...Object.values(LINK_TYPE)), fc.nat(300));
  const frames = FRAMES.map(([, , frame]) => hex(frame));
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60, size: "max" }),
    fc.tuple(fc.constantFrom(...frames), fc.nat(30), fc.nat(255)).map(([frame, at, byte]) =>
      frame.with(at % frame.length, byte).slice(0, at + 8)
    ),
  );
  let found = 0;
  fc.assert(
    fc.property(types, bytes, (linkType, frame) => {
      const at = ipOffset(new DataView(frame.buffer), 0, frame.length, linkType);
      assert.ok(at >= NO_IP.LINK_TYPE && at <= frame.length);
      if (at > 0) found++;
    }),
    { seed: 77, numRuns: 3_000 },
  );
  assert.ok(found > 40, `${found} found`);
});

interface Decoded {
  readonly status: number;
  readonly key: number[];
  readonly ipBytes: number;
}

const cut = new CutPacketDecoder();

function decodeCut(packet: Uint8Array, capturedBytes: number): Decoded {
  const key = new Uint32Array(KEY_WORDS);
  const info = new Uint32Array(INFO_WORDS);
  // What was not captured is not there.
  const view = new DataView(packet.slice(0, capturedBytes).buffer);
  const status = cut.decode(view, 0, capturedBytes, packet.length, key, info);
  return { status, key: [...key], ipBytes: info[INFO.IP_BYTES] };
}

function decodeWhole(packet: Uint8Array): Decoded {
  const key = new Uint32Array(KEY_WORDS);
  const info = new Uint32Array(INFO_WORDS);
  const status = decode(new DataView(packet.buffer), 0, packet.length, key, info);
  return { status, key: [...key], ipBytes: info[INFO.IP_BYTES] };
}

test("CutPacketDecoder says of a cut packet what the whole one says, as far as its headers are there", () => {
  const packets: readonly (readonly [name: string, packet: Uint8Array, ipHeader: number])[] = [
    ["TCP over IPv4", tcp(ENDS4, 0x18, 1000), 20],
    ["UDP over IPv4", udp(ENDS4, 1000), 20],
    ["TCP over IPv6", tcp(ENDS6, 0x18, 1000), 40],
    ["UDP over IPv6", udp(ENDS6, 1000), 40],
    ["ICMP", icmp(ENDS4, false, 56), 20],
    ["ICMPv6", icmp(ENDS6, true, 56), 40],
  ];
  for (const [name, packet, ipHeader] of packets) {
    const whole = decodeWhole(packet);
    const withoutPorts = { ...whole, key: whole.key.with(KEY.PORTS, 0) };
    // Long ones between short ones: what one leaves behind must not be read by the next.
    for (let length = packet.length - 1; length >= 0; length--) {
      decodeCut(packet, packet.length - 1);
      const decoded = decodeCut(packet, length);
      if (length < ipHeader) assert.notEqual(decoded.status, DECODE.OK, `${name}: ${length}`);
      else {
        const wanted = length < ipHeader + 4 ? withoutPorts : whole;
        assert.deepEqual(decoded, wanted, `${name}: ${length}`);
      }
    }
  }
});

test("CutPacketDecoder does not guess at extension headers that are cut, nor at lengths that lie", () => {
  const [first, second] = fragments(
    { ...ENDS6, proto: 17, payload: udpDatagram(ENDS6, 2000) },
    1440,
  );
  assert.deepEqual(decodeCut(first, 52), decodeWhole(first));
  assert.deepEqual(decodeCut(second, 48), decodeWhole(second));
  // The next protocol is there, and nothing behind it.
  const unread = decodeCut(first, 41);
  assert.deepEqual([unread.status, unread.key[KEY.HEAD] & 0xff, unread.ipBytes], [
    ...[DECODE.OK, 17, first.length],
  ]);
  assert.equal(unread.key[KEY.PORTS], 0);
  // States more than there was on the wire.
  const lying = udp(ENDS4, 100).slice(0, 100);
  assert.equal(decodeCut(lying, 60).status, DECODE.TRUNCATED_PACKET);
  assert.equal(decodeCut(new Uint8Array(100).fill(0x70), 60).status, DECODE.NOT_IP);
  assert.equal(decodeCut(new Uint8Array(0), 0).status, DECODE.EMPTY);
});

test("CutPacketDecoder takes the longest packets", () => {
  const bytes = new Uint8Array(70_000);
  bytes.set(ethernet(udp(ENDS4, 10)).subarray(14));
  assert.equal(decodeCut(bytes, 69_999).status, DECODE.OK);
});
