// Goal: every packet of a capture comes out, in both formats and byte orders, however the file is cut into pieces; a file
// that breaks off gives what there is, a broken one a SyntaxError. Method: files made by tests/support/capture_writer.ts,
// cut at every byte; flipped bytes.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CAPTURE_INTERFACES_MAX, CAPTURE_RECORD_BYTES_MAX } from "../../../src/limits.ts";
import { CaptureReader } from "../../../src/packet/mod.ts";
import {
  block,
  concat,
  enhancedPacketBlock,
  interfaceBlock,
  packetBlock,
  pcapFile,
  sectionBlock,
  simplePacketBlock,
} from "../../support/capture_writer.ts";

interface Read {
  readonly bytes: string;
  readonly wireBytes: number;
  readonly wallMs: number;
  readonly linkType: number;
}

interface Outcome {
  readonly packets: Read[];
  /** What end() says. */
  readonly problem: string | null;
  /** What was thrown. */
  readonly error: string | null;
}

/** Reads pieces. Anything thrown but a SyntaxError fails the test. */
function read(...pieces: readonly Uint8Array[]): Outcome {
  const packets: Read[] = [];
  const reader = new CaptureReader((packet) => {
    const { view, offset, capturedBytes, wireBytes, wallMs, linkType } = packet;
    const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, capturedBytes);
    packets.push({ bytes: String(bytes), wireBytes, wallMs, linkType });
  });
  try {
    for (const piece of pieces) reader.push(piece);
    return { packets, problem: reader.end(), error: null };
  } catch (error) {
    assert.ok(error instanceof SyntaxError, String(error));
    return { packets, problem: null, error: error.message };
  }
}

const A = Uint8Array.of(1, 2, 3, 4, 5);
const B = Uint8Array.of(6, 7);
/** 2023-11-14T22:13:20.123456789Z. */
const TIME_NS = 1_700_000_000_123_456_789n;
const PACKETS = [{ bytes: A, timeNs: TIME_NS }, { bytes: B, timeNs: TIME_NS, wireBytes: 900 }];

const BOTH_ORDERS = [true, false];

/** A pcapng file of two sections with all kinds of blocks; the second one's byte order is the other. */
function pcapng(isLittle: boolean): Uint8Array {
  return concat(
    sectionBlock(isLittle),
    interfaceBlock(1, isLittle),
    interfaceBlock(101, isLittle, { resolution: 9, snapBytes: 3 }),
    enhancedPacketBlock(A, TIME_NS / 1000n, isLittle),
    block(0xbad, new Uint8Array(40), isLittle),
    enhancedPacketBlock(B, TIME_NS, isLittle, { interfaceIndex: 1, wireBytes: 77 }),
    packetBlock(A, TIME_NS, isLittle, { interfaceIndex: 1 }),
    sectionBlock(!isLittle),
    interfaceBlock(276, !isLittle, { resolution: 0x80 | 10, offsetSeconds: -5n, snapBytes: 3 }),
    block(5, new Uint8Array(12), !isLittle),
    enhancedPacketBlock(B, 1024n * 1_700_000_000n + 512n, !isLittle),
    simplePacketBlock(A.slice(0, 3), !isLittle, 5),
  );
}

const PCAPNG_PACKETS: Read[] = [
  { bytes: String(A), wireBytes: 5, wallMs: 1_700_000_000_123.456, linkType: 1 },
  { bytes: String(B), wireBytes: 77, wallMs: 1_700_000_000_123.4568, linkType: 101 },
  { bytes: String(A), wireBytes: 5, wallMs: 1_700_000_000_123.4568, linkType: 101 },
  { bytes: String(B), wireBytes: 2, wallMs: 1_699_999_995_500, linkType: 276 },
  { bytes: "1,2,3", wireBytes: 5, wallMs: NaN, linkType: 276 },
];

/** Times to a microsecond: a float of today's milliseconds has no more. */
function rounded(packets: readonly Read[]): Read[] {
  return packets.map((packet) => ({ ...packet, wallMs: Math.round(packet.wallMs * 1e3) / 1e3 }));
}

test("CaptureReader reads pcap in both byte orders, with micro- and nanoseconds", () => {
  for (const isLittle of BOTH_ORDERS) {
    for (const isNano of [true, false]) {
      const { packets, problem } = read(pcapFile(PACKETS, { isLittle, isNano, linkType: 113 }));
      assert.equal(problem, null);
      const wallMs = 1_700_000_000_123 + (isNano ? 0.456789 : 0.456);
      assert.ok(packets.every((packet) => Math.abs(packet.wallMs - wallMs) < 0.0005));
      assert.deepEqual(packets.map(({ wallMs: _, ...rest }) => rest), [
        { bytes: String(A), wireBytes: 5, linkType: 113 },
        { bytes: String(B), wireBytes: 900, linkType: 113 },
      ]);
    }
  }
});

test("CaptureReader takes the link type without the bits above it", () => {
  const file = pcapFile(PACKETS, { linkType: 0x1400_0001, isLittle: false });
  assert.deepEqual(read(file).packets.map(({ linkType }) => linkType), [1, 1]);
});

test("CaptureReader reads all blocks of pcapng that hold packets, sections of either order", () => {
  for (const isLittle of BOTH_ORDERS) {
    const { packets, problem, error } = read(pcapng(isLittle));
    assert.deepEqual([problem, error], [null, null]);
    assert.deepEqual(rounded(packets), rounded(PCAPNG_PACKETS));
  }
});

test("CaptureReader reads the same wherever pieces are cut", () => {
  for (const file of [pcapFile(PACKETS), pcapng(true), pcapng(false)]) {
    const whole = read(file);
    for (let at = 0; at <= file.length; at++) {
      assert.deepEqual(read(file.slice(0, at), file.slice(at)), whole, `cut at ${at}`);
    }
    assert.deepEqual(read(...Array.from(file, (byte) => Uint8Array.of(byte))), whole);
  }
});

test("CaptureReader gives what there is of a file that breaks off anywhere, and says so", () => {
  for (const file of [pcapFile(PACKETS), pcapng(true), pcapng(false)]) {
    const { packets } = read(file);
    let whole = 0;
    for (let length = 0; length < file.length; length++) {
      const cut = read(file.slice(0, length));
      assert.equal(cut.error, null, `${length} bytes`);
      assert.deepEqual(cut.packets, packets.slice(0, cut.packets.length));
      // Between two records a cut cannot be seen.
      if (cut.problem === null) whole++;
      else assert.match(cut.problem, /^The capture (is empty$|breaks off within )/);
    }
    // pcap: behind the header and the first record; pcapng: behind each block but the last.
    assert.equal(whole, file.length < 200 ? 2 : 11);
  }
});

test("CaptureReader skips a block that nobody wants, whatever its length", () => {
  const long = block(0xbad, new Uint8Array(CAPTURE_RECORD_BYTES_MAX + 8), true);
  const head = concat(sectionBlock(true), interfaceBlock(1, true));
  const tail = enhancedPacketBlock(A, 0n, true);
  const file = concat(head, long, tail);
  assert.equal(read(file).packets.length, 1);
  const at = head.length + 100_000;
  assert.equal(read(file.slice(0, at), file.slice(at)).packets.length, 1);
  const cut = read(file.slice(0, at));
  assert.deepEqual([cut.packets.length, cut.error], [0, null]);
  assert.match(cut.problem!, /breaks off within a record/);
});

test("CaptureReader says what is no capture", () => {
  const little = true;
  const begin = concat(sectionBlock(little), interfaceBlock(1, little));
  const lying = (at: number, value: number, file: Uint8Array) => {
    const changed = file.slice();
    new DataView(changed.buffer).setUint32(at, value, true);
    return changed;
  };
  const record = pcapFile(PACKETS);
  const cases: readonly (readonly [name: string, file: Uint8Array, said: RegExp])[] = [
    ["text", new TextEncoder().encode("hello, world"), /neither pcap nor pcapng \(at byte 0\)$/],
    ["gzip", Uint8Array.of(0x1f, 0x8b, 8, 0), /compressed by gzip/],
    ["pcap version", lying(4, 3, record), /version 3 of pcap is not known \(at byte 4\)/],
    [
      "huge record",
      lying(32, CAPTURE_RECORD_BYTES_MAX + 1, record),
      /a record states 1048577 bytes \(at byte 24\)/,
    ],
    ["byte order", lying(8, 1, begin), /does not state its byte order/],
    ["section version", sectionBlock(little, 2), /version 2 of pcapng is not known/],
    ["short block", lying(32, 8, begin), /a block states 8 bytes \(at byte 28\)/],
    ["odd block", lying(32, 21, begin), /a block states 21 bytes/],
    ["tiny interface", lying(32, 16, begin), /a block of type 1 states only 16 bytes/],
    ["huge block", lying(32, CAPTURE_RECORD_BYTES_MAX + 4, begin), /a block states 1048580 bytes/],
    ["other length behind", lying(44, 24, begin), /a block states 20 bytes and then 24/],
    [
      "no such interface",
      concat(begin, enhancedPacketBlock(A, 0n, little, { interfaceIndex: 1 })),
      /a packet names interface 1 of 1 \(at byte 48\)/,
    ],
    [
      "interface of the section before",
      concat(begin, sectionBlock(little), enhancedPacketBlock(A, 0n, little)),
      /a packet names interface 0 of 0/,
    ],
    [
      "packet longer than its block",
      concat(begin, lying(20, 9, enhancedPacketBlock(A, 0n, little))),
      /a packet states 9 bytes, more than its block/,
    ],
    [
      "simple packet longer than its block",
      concat(begin, simplePacketBlock(A, little, 9)),
      /a packet states 9 bytes, more than its block/,
    ],
    [
      "option longer than its block",
      concat(
        sectionBlock(little),
        lying(16, 0x0040_0001, interfaceBlock(1, little, { resolution: 6 })),
      ),
      /an option is longer than its block/,
    ],
  ];
  for (const [name, file, said] of cases) {
    const { error } = read(file);
    assert.match(error ?? "nothing", said, name);
    assert.match(error!, /^Cannot read the capture: /);
  }
});

test("CaptureReader takes records and interfaces up to its limits", () => {
  const bytes = new Uint8Array(CAPTURE_RECORD_BYTES_MAX);
  const file = pcapFile([{ bytes, timeNs: 0n }], { snapBytes: CAPTURE_RECORD_BYTES_MAX });
  assert.equal(read(file).packets.length, 1);
  const one = interfaceBlock(1, true);
  const all = new Uint8Array(one.length * CAPTURE_INTERFACES_MAX);
  for (let at = 0; at < all.length; at += one.length) all.set(one, at);
  assert.equal(read(sectionBlock(true), all).error, null);
  assert.match(read(sectionBlock(true), all, one).error!, /more than 65536 interfaces/);
});

test("property: CaptureReader never throws but SyntaxErrors, and packets stay within their file", () => {
  const files = [pcapFile(PACKETS), pcapng(true), pcapng(false)];
  const seen = { whole: 0, cut: 0, broken: 0 };
  fc.assert(
    fc.property(
      fc.constantFrom(...files),
      fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 255, 128)))),
      fc.nat(),
      (file, changes, cut) => {
        const changed = file.slice();
        for (const [at, byte] of changes) changed[at % changed.length] = byte;
        const at = cut % (changed.length + 1);
        const { packets, problem, error } = read(changed.slice(0, at), changed.slice(at));
        assert.ok(
          packets.every(({ wireBytes, bytes }) => wireBytes >= bytes.split(",").length - 1),
        );
        seen[error !== null ? "broken" : problem === null ? "whole" : "cut"]++;
      },
    ),
    { seed: 75, numRuns: 3_000 },
  );
  assert.ok(Object.values(seen).every((count) => count > 100), JSON.stringify(seen));
});

test("property: CaptureReader never throws but SyntaxErrors on any bytes", () => {
  const magic = fc.constantFrom(
    ...[[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0], [0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4], []],
    [10, 13, 13, 10, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0],
  );
  const bytes = fc.uint8Array({ maxLength: 400, size: "max" });
  fc.assert(
    fc.property(magic, bytes, (start, rest) => {
      read(Uint8Array.from(start), rest);
    }),
    { seed: 76, numRuns: 2_000 },
  );
});
