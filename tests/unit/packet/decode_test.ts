/**
 * Goal: decode() reads what it should, rejects what it must, and touches nothing outside the packet.
 * Method: packets named by what is wrong with them; then properties against the slow twin on raw and near-valid
 * bytes, with poison around them.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  DECODE,
  decode,
  FRAGMENT,
  INFO,
  INFO_WORDS,
  KEY,
  KEY_DST_V6,
  KEY_SRC_V6,
  KEY_WORDS,
} from "../../../src/packet/mod.ts";
import { EXTENSION_HEADERS_MAX } from "../../../src/limits.ts";
import { type DecodedTwin, decodeTwin } from "../../reference/decode_twin.ts";
import { authentication, fragment, ipv4, ipv6, options, tcp, udp } from "./packets.ts";

const SEED = 20260101;

interface Result {
  readonly status: number;
  readonly key: Uint32Array;
  readonly info: Uint32Array;
}

/** Decodes with `around` in front of and behind the packet. */
function run(packet: Uint8Array, around = 0): Result {
  const margin = 64;
  const bytes = new Uint8Array(packet.length + 2 * margin).fill(around);
  bytes.set(packet, margin);
  const key = new Uint32Array(KEY_WORDS).fill(0xeeeeeeee);
  const info = new Uint32Array(INFO_WORDS).fill(0xeeeeeeee);
  const status = decode(new DataView(bytes.buffer), margin, packet.length, key, info);
  return { status, key, info };
}

/** Result in the twin's form. */
function described({ status, key, info }: Result): DecodedTwin | null {
  if (status !== DECODE.OK) return null;
  const isV6 = (key[KEY.HEAD] & KEY_SRC_V6) !== 0;
  assert.equal((key[KEY.HEAD] & KEY_DST_V6) !== 0, isV6);
  assert.equal(key[KEY.HEAD] & ~(KEY_SRC_V6 | KEY_DST_V6 | 0xff), 0);
  const address = (word: number): string => {
    const digits = Array.from(key.subarray(word, word + 4), (w) => w.toString(16).padStart(8, "0"));
    if (!isV6) assert.deepEqual(digits.slice(0, 3), ["00000000", "00000000", "0000ffff"]);
    return isV6 ? digits.join("") : digits[3];
  };
  const kind = info[INFO.FRAGMENT];
  return {
    version: info[INFO.VERSION] as 4 | 6,
    ipBytes: info[INFO.IP_BYTES],
    proto: key[KEY.HEAD] & 0xff,
    src: address(KEY.SRC),
    dst: address(KEY.DST),
    srcPort: key[KEY.PORTS] >>> 16,
    dstPort: key[KEY.PORTS] & 0xffff,
    fragment: (["none", "first", "later", "overlap"] as const)[kind],
    fragmentId: kind === FRAGMENT.NONE ? 0 : info[INFO.FRAGMENT_ID],
    fragmentProto: kind === FRAGMENT.NONE ? 0 : info[INFO.FRAGMENT_PROTO],
    detail: info[INFO.DETAIL],
    transportOffset: info[INFO.TRANSPORT_OFFSET],
  };
}

function protoOf(packet: Uint8Array): number {
  const result = run(packet);
  assert.equal(result.status, DECODE.OK);
  return result.key[KEY.HEAD] & 0xff;
}

test("decode() rejects what has no usable addresses, and says why", () => {
  const cases: readonly [string, Uint8Array, number][] = [
    ["empty", Uint8Array.of(), DECODE.EMPTY],
    ["version 5", ipv4({ payload: tcp() }).map((b, i) => i === 0 ? 0x55 : b), DECODE.NOT_IP],
    ["version 0 alone", Uint8Array.of(0), DECODE.NOT_IP],
    ["one byte 0x45", Uint8Array.of(0x45), DECODE.TRUNCATED_HEADER],
    ["IPv4 of 19 bytes", ipv4({}).subarray(0, 19), DECODE.TRUNCATED_HEADER],
    ["IPv6 of 39 bytes", ipv6({}).subarray(0, 39), DECODE.TRUNCATED_HEADER],
    ["IHL 4", ipv4({ headerWords: 4, payload: tcp() }), DECODE.HEADER_LENGTH],
    ["IHL 0", ipv4({ headerWords: 0, payload: tcp() }), DECODE.HEADER_LENGTH],
    ["IPv4 a byte short", ipv4({ payload: tcp(), totalBytes: 41 }), DECODE.TRUNCATED_PACKET],
    ["IPv6 a byte short", ipv6({ payload: tcp(), payloadBytes: 21 }), DECODE.TRUNCATED_PACKET],
  ];
  for (const [name, packet, status] of cases) {
    const result = run(packet);
    assert.equal(result.status, status, name);
    assert.ok(result.key.every((word) => word === 0xeeeeeeee), `${name}: key is not written`);
  }
});

test("decode() reads key and facts of an IPv4 TCP packet behind 60 bytes of header", () => {
  const packet = ipv4({ headerWords: 15, payload: [...tcp(0x12), 1, 2, 3] });
  assert.deepEqual(described(run(packet)), {
    version: 4,
    ipBytes: 83,
    proto: 6,
    src: "64400001",
    dst: "64400002",
    srcPort: 1234,
    dstPort: 80,
    fragment: "none",
    fragmentId: 0,
    fragmentProto: 0,
    detail: 0x12,
    transportOffset: 60,
  });
});

test("decode() states the IP length without the padding behind it", () => {
  const v4 = Uint8Array.of(...ipv4({ proto: 17, payload: udp() }), 9, 9, 9);
  assert.equal(run(v4).info[INFO.IP_BYTES], 28);
  const v6 = Uint8Array.of(...ipv6({ proto: 17, payload: udp() }), 9, 9, 9);
  assert.equal(run(v6).info[INFO.IP_BYTES], 48);
});

test("decode() keeps the addresses of an IPv4 packet that states less than its header", () => {
  for (const totalBytes of [0, 19]) {
    const { status, key, info } = run(ipv4({ payload: tcp(), totalBytes }));
    assert.equal(status, DECODE.OK);
    assert.deepEqual([key[KEY.HEAD], key[KEY.SRC + 3]], [0, 0x64400001]);
    assert.equal(info[INFO.IP_BYTES], 0, "a receiver must refuse it");
  }
  assert.equal(run(ipv4({ payload: tcp(), totalBytes: 20 })).info[INFO.IP_BYTES], 20);
});

test("decode() demands each transport's shortest header, to the byte", () => {
  // Version, proto, bytes; the last row are numbers like any other: ICMPv6 in IPv4, ICMP and IGMP in IPv6, GRE, ESP.
  const shortest = [
    [[4, 1, 4], [4, 2, 8], [4, 6, 20], [4, 17, 8], [4, 99, 7], [4, 132, 12]],
    [[6, 58, 4], [6, 6, 20], [6, 17, 8], [6, 99, 7], [6, 132, 12]],
    [[4, 58, 0], [6, 1, 0], [6, 2, 0], [4, 47, 0], [6, 50, 0]],
  ].flat();
  for (const [version, proto, bytes] of shortest) {
    const make = (length: number) => {
      const fields = { proto, payload: new Array<number>(length).fill(1) };
      return version === 4 ? ipv4(fields) : ipv6(fields);
    };
    assert.equal(protoOf(make(bytes)), proto, `IPv${version} proto ${proto}`);
    if (bytes > 0) assert.equal(protoOf(make(bytes - 1)), 0, `IPv${version} proto ${proto}, short`);
  }
});

test("decode() takes ports from TCP, UDP and SCTP alone", () => {
  for (let proto = 1; proto < 255; proto++) {
    const { key } = run(ipv4({ proto, payload: new Array<number>(24).fill(7) }));
    assert.equal(key[KEY.PORTS], [6, 17, 132].includes(proto) ? 0x07070707 : 0, `proto ${proto}`);
  }
});

test("decode() tells ICMP type and code, in each family's own ICMP", () => {
  const payload = [8, 1, 0, 0];
  assert.equal(run(ipv4({ proto: 1, payload })).info[INFO.DETAIL], 0x801);
  assert.equal(run(ipv6({ proto: 58, payload })).info[INFO.DETAIL], 0x801);
  assert.equal(run(ipv4({ proto: 58, payload })).info[INFO.DETAIL], 0);
  assert.equal(run(ipv6({ proto: 1, payload })).info[INFO.DETAIL], 0);
});

test("decode() tells first, later and overlapping IPv4 fragments apart", () => {
  const kind = (offsetBlocks: number, moreFragments: boolean) => {
    const payload = tcp();
    const { key, info } = run(ipv4({ id: 0xbeef, offsetBlocks, moreFragments, payload }));
    if (info[INFO.FRAGMENT] !== FRAGMENT.NONE) {
      assert.equal(info[INFO.FRAGMENT_ID], 0xbeef);
      assert.equal(info[INFO.FRAGMENT_PROTO], 6);
    }
    return [info[INFO.FRAGMENT], key[KEY.HEAD], key[KEY.PORTS]];
  };
  const ports = 0x04d20050;
  assert.deepEqual(kind(0, false), [FRAGMENT.NONE, 6, ports]);
  assert.deepEqual(kind(0, true), [FRAGMENT.FIRST, 6, ports]);
  assert.deepEqual(kind(1, true), [FRAGMENT.OVERLAP, 0, 0]);
  assert.deepEqual(kind(9, false), [FRAGMENT.OVERLAP, 0, 0]);
  assert.deepEqual(kind(10, true), [FRAGMENT.LATER, 255, 0]);
  assert.deepEqual(kind(8191, false), [FRAGMENT.LATER, 255, 0]);
});

test("decode() ignores don't-fragment and the reserved bit", () => {
  const packet = ipv4({ payload: tcp() });
  packet[6] |= 0xc0;
  assert.equal(run(packet).info[INFO.FRAGMENT], FRAGMENT.NONE);
});

test("decode() finds an IPv6 fragment header anywhere in the chain", () => {
  const chains = [
    [fragment(0, true, 0xdeadbeef)],
    [options(0), fragment(0, true, 0xdeadbeef)],
    [options(0), options(43), fragment(0, true, 0xdeadbeef), options(60)],
  ];
  for (const extensions of chains) {
    const { key, info } = run(ipv6({ extensions, proto: 17, payload: udp() }));
    assert.deepEqual([key[KEY.HEAD] & 0xff, key[KEY.PORTS]], [17, 0x14e90035]);
    assert.equal(info[INFO.FRAGMENT], FRAGMENT.FIRST);
    assert.equal(info[INFO.FRAGMENT_ID], 0xdeadbeef);
    assert.equal(info[INFO.FRAGMENT_PROTO], 0, "next headers of fragments may differ");
  }
  const later = run(ipv6({ extensions: [options(0), fragment(10, false, 7)], payload: tcp() }));
  assert.deepEqual([later.info[INFO.FRAGMENT], later.key[KEY.HEAD] & 0xff], [FRAGMENT.LATER, 255]);
  const overlap = run(ipv6({ extensions: [fragment(1, false, 7)], payload: tcp() }));
  assert.deepEqual([overlap.info[INFO.FRAGMENT], overlap.key[KEY.HEAD] & 0xff], [
    FRAGMENT.OVERLAP,
    0,
  ]);
});

test("decode() takes an atomic fragment for a whole datagram, reserved bits or not", () => {
  const packet = ipv6({ extensions: [fragment(0, false, 7)], payload: tcp() });
  packet[43] |= 0b110;
  const { key, info } = run(packet);
  assert.deepEqual([info[INFO.FRAGMENT], key[KEY.PORTS]], [FRAGMENT.NONE, 0x04d20050]);
});

test("decode() calls a chain that two readers would read differently unknown", () => {
  const payload = tcp();
  const chains = {
    "a fragment within a fragment": [fragment(0, true, 1), fragment(0, true, 2)],
    "an atomic fragment within a fragment": [fragment(0, true, 1), fragment(0, false, 2)],
    "hop-by-hop options in second place": [options(60), options(0)],
  };
  for (const [name, extensions] of Object.entries(chains)) {
    assert.equal(protoOf(ipv6({ extensions, payload })), 0, name);
  }
});

test("decode() walks at most EXTENSION_HEADERS_MAX extension headers", () => {
  const make = (count: number) =>
    ipv6({ extensions: new Array(count).fill(options(60)), payload: tcp() });
  assert.equal(protoOf(make(EXTENSION_HEADERS_MAX)), 6);
  assert.equal(protoOf(make(EXTENSION_HEADERS_MAX + 1)), 0);
  const makeV4 = (count: number) => {
    const headers = new Array(count).fill(authentication(3));
    const bytes = headers.flatMap(({ body }, index) => [index + 1 < count ? 51 : 6, ...body]);
    return ipv4({ proto: 51, payload: [...bytes, ...tcp()] });
  };
  assert.equal(protoOf(makeV4(EXTENSION_HEADERS_MAX)), 6);
  assert.equal(protoOf(makeV4(EXTENSION_HEADERS_MAX + 1)), 0);
});

test("decode() reads through Authentication Headers in both families, if they are long enough", () => {
  const payload = tcp();
  const v6 = run(ipv6({ extensions: [authentication(3)], payload }));
  assert.deepEqual([v6.key[KEY.PORTS], v6.info[INFO.TRANSPORT_OFFSET]], [0x04d20050, 64]);
  const v4 = run(ipv4({ proto: 51, payload: [6, ...authentication(3).body, ...payload] }));
  assert.deepEqual([v4.key[KEY.PORTS], v4.info[INFO.TRANSPORT_OFFSET]], [0x04d20050, 44]);
  assert.equal(
    protoOf(ipv4({ proto: 51, payload: [6, ...authentication(0).body, ...payload] })),
    6,
  );
  assert.equal(protoOf(ipv4({ proto: 51, payload: [6, 0, 0, 0, 0, 0, 0, 0, ...payload] })), 0);
});

test("decode() cuts an extension header that reaches beyond the packet off as unknown", () => {
  for (const proto of [0, 43, 44, 51, 60, 135, 139, 140]) {
    assert.equal(protoOf(ipv6({ proto, payload: [6, 0, 0, 0, 0, 0, 0] })), 0, `${proto}, 7 bytes`);
  }
  for (const proto of [0, 43, 60, 135, 139, 140]) {
    const payload = [6, 1, ...new Array<number>(13).fill(0)];
    assert.equal(protoOf(ipv6({ proto, payload })), 0, `${proto}, 15 of 16 bytes`);
  }
});

test("decode() keeps the number of a Mobility, HIP or Shim6 message, and walks it when more follows", () => {
  for (const proto of [135, 139, 140]) {
    assert.equal(protoOf(ipv6({ extensions: [options(proto)], proto: 59 })), proto);
    assert.equal(protoOf(ipv6({ extensions: [options(proto)], payload: tcp() })), 6);
    assert.equal(protoOf(ipv4({ proto, payload: tcp() })), proto, "no extension header in IPv4");
  }
  assert.equal(protoOf(ipv6({ extensions: [options(60)], proto: 59 })), 59);
});

test("decode() reads a jumbogram as its payload length says", () => {
  const jumbo = { proto: 0, body: [0, 0xc2, 4, 0, 1, 0, 0] };
  const packet = ipv6({ extensions: [jumbo], payload: tcp(), payloadBytes: 0 });
  assert.equal(protoOf(packet), 0);
  assert.equal(run(packet).info[INFO.IP_BYTES], 40);
});

/** Near-valid packets: built from fields, then cut or with some bytes changed. */
const nearValid: fc.Arbitrary<Uint8Array> = fc.record({
  isV6: fc.boolean(),
  proto: fc.oneof(
    fc.constantFrom(6, 17, 132),
    fc.constantFrom(0, 1, 2, 6, 17, 43, 44, 50, 51, 58, 59, 60, 99, 132, 135, 139, 140, 255),
    fc.integer({ min: 0, max: 255 }),
  ),
  extensions: fc.array(
    fc.oneof(
      fc.constantFrom(0, 43, 60, 135, 139, 140).map((proto) => options(proto)),
      fc.tuple(fc.constantFrom(0, 1, 9, 10, 11, 8191), fc.boolean(), fc.nat()).map((f) =>
        fragment(...f)
      ),
      fc.nat({ max: 4 }).map(authentication),
    ),
    { maxLength: 10 },
  ),
  payload: fc.oneof(
    fc.array(fc.nat({ max: 255 }), { minLength: 20, maxLength: 24 }),
    fc.array(fc.nat({ max: 255 }), { maxLength: 24, size: "max" }),
  ),
  headerWords: fc.oneof({ arbitrary: fc.constant(5), weight: 3 }, fc.integer({ min: 0, max: 15 })),
  offsetBlocks: fc.constantFrom(0, 0, 0, 1, 9, 10, 8191),
  moreFragments: fc.boolean(),
  cut: fc.oneof({ arbitrary: fc.constant(0), weight: 4 }, fc.nat({ max: 60 })),
  padding: fc.oneof({ arbitrary: fc.constant(0), weight: 2 }, fc.nat({ max: 20 })),
  flips: fc.array(fc.tuple(fc.nat({ max: 100 }), fc.nat({ max: 255 })), { maxLength: 2 }),
}).map((fields) => {
  const packet = fields.isV6 ? ipv6(fields) : ipv4(fields);
  for (const [at, value] of fields.flips) if (at < packet.length) packet[at] = value;
  const cut = packet.subarray(0, Math.max(0, packet.length - fields.cut));
  return Uint8Array.of(...cut, ...new Array<number>(fields.padding).fill(0x45));
});

test("decode() equals its slow twin on near-valid packets, whatever lies around them", () => {
  const reached = new Map<string, number>();
  const note = (what: string) => void reached.set(what, (reached.get(what) ?? 0) + 1);
  fc.assert(
    fc.property(nearValid, (packet) => {
      const wanted = decodeTwin(packet);
      assert.deepEqual(described(run(packet, 0x00)), wanted);
      assert.deepEqual(described(run(packet, 0x66)), wanted);
      if (wanted === null) return note("rejected");
      note(`v${wanted.version}`);
      note(`fragment ${wanted.fragment}`);
      note(wanted.srcPort > 0 ? "ports" : wanted.proto === 0 ? "unknown" : "other");
    }),
    { seed: SEED, numRuns: 20_000 },
  );
  const branches = ["rejected", "v4", "v6", "fragment none", "fragment first", "fragment later"];
  for (const branch of [...branches, "fragment overlap", "ports", "unknown", "other"]) {
    assert.ok((reached.get(branch) ?? 0) > 300, `${branch}: ${reached.get(branch)}`);
  }
});

test("decode() equals its slow twin on raw bytes", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 120, size: "max" }),
      fc.constantFrom(0x45, 0x46, 0x60, 0),
      (bytes, first) => {
        if (first !== 0 && bytes.length > 0) bytes[0] = first;
        // A small total length, so that the packet is long enough more often than not.
        if (bytes.length > 5) bytes[first === 0x60 ? 4 : 2] = 0;
        assert.deepEqual(described(run(bytes, 0xff)), decodeTwin(bytes));
      },
    ),
    { seed: SEED, numRuns: 10_000 },
  );
});
