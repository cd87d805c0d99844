/**
 * Goal: each exit mode keeps what it says and nothing else. Method: pseudonyms against their definition bit by bit and
 * over whole small domains; random windows in whose messages no address of a stranger may be found.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { EXIT_PRF_CACHE_MAX } from "../../../src/limits.ts";
import { addressText, type Family, parseAddress } from "../../../src/packet/mod.ts";
import {
  EXIT_MODES,
  type ExitMode,
  NO_NODES,
  NodeDirectory,
  parseMessage,
  PRF_INPUT_BYTES,
} from "../../../src/netlog/mod.ts";
import { keepsPorts, Pseudonyms, truncateAddress } from "../../../src/netlog/exit_mode.ts";
import { addressNumber, addressWordsOf } from "../../reference/prefix_twin.ts";
import { commonBits, pseudonymTwin } from "../../reference/pseudonym_twin.ts";
import { encode, textOf } from "./encode_support.ts";
import { endText, prefix, routeConfig, row, standInPrf } from "./support.ts";

const SEED = 35;

function pseudonymOf(pseudonyms: Pseudonyms, family: Family, address: bigint): bigint {
  const words = addressWordsOf(family, address);
  pseudonyms.replace(words, family);
  if (family === 4) assert.deepEqual([...words.subarray(0, 3)], [0, 0, 0xffff]);
  return addressNumber(family, words);
}

const anyWord = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n });

test("Pseudonyms equal their definition, bit by bit", () => {
  fc.assert(
    fc.property(fc.nat(), anyWord, (secret, number) => {
      const prf = standInPrf(secret);
      const pseudonyms = new Pseudonyms(prf);
      for (const family of [4, 6] as const) {
        const address = family === 4 ? number & 0xffffffffn : number;
        const expected = pseudonymTwin(prf, family, address);
        assert.equal(pseudonymOf(pseudonyms, family, address), expected);
        assert.equal(pseudonymOf(pseudonyms, family, address), expected, "from memory");
      }
    }),
    { seed: SEED, numRuns: 100 },
  );
});

test("Pseudonyms share exactly as many leading bits as the addresses do", () => {
  const pseudonyms = new Pseudonyms(standInPrf(1));
  for (const family of [4, 6] as const) {
    const bits = family === 4 ? 32 : 128;
    const address = family === 4 ? 0x0a010203n : 0x20010db8000000000000000000000001n;
    const own = pseudonymOf(pseudonyms, family, address);
    for (let bit = 0; bit < bits; bit++) {
      const other = pseudonymOf(pseudonyms, family, address ^ 1n << BigInt(bits - 1 - bit));
      assert.equal(commonBits(family, own, other), bit);
    }
  }
  fc.assert(
    fc.property(anyWord, anyWord, fc.nat(128), (a, noise, shift) => {
      const b = a ^ noise >> BigInt(shift);
      const [x, y] = [a, b].map((number) => pseudonymOf(pseudonyms, 6, number));
      assert.equal(commonBits(6, x, y), commonBits(6, a, b));
    }),
    { seed: SEED, numRuns: 300 },
  );
});

test("Pseudonyms are a bijection: a /16 of either family goes to a /16, each address once", () => {
  const pseudonyms = new Pseudonyms(standInPrf(2));
  for (const family of [4, 6] as const) {
    const base = family === 4 ? 0x0a010000n : 0x20010db8_00000000_00000000_00010000n;
    const seen = new Set<bigint>();
    for (let host = 0n; host < 65_536n; host++) {
      seen.add(pseudonymOf(pseudonyms, family, base | host));
    }
    assert.equal(seen.size, 65_536);
    assert.equal(new Set([...seen].map((number) => number >> 16n)).size, 1);
  }
});

test("Pseudonyms depend on the key and the family", () => {
  const [a, b] = [1, 2].map((secret) => new Pseudonyms(standInPrf(secret)));
  const address = 0x08080808n;
  assert.notEqual(pseudonymOf(a, 4, address), pseudonymOf(b, 4, address));
  assert.notEqual(pseudonymOf(a, 4, address), pseudonymOf(a, 6, address << 96n) >> 96n);
});

test("Pseudonyms ask the function once for what they remember, and forget when there is too much of it", () => {
  let calls = 0;
  const prf = standInPrf(3);
  const pseudonyms = new Pseudonyms((input) => {
    assert.equal(input.length, PRF_INPUT_BYTES);
    calls++;
    return prf(input);
  });
  pseudonymOf(pseudonyms, 4, 0x01020304n);
  assert.equal(calls, 4);
  pseudonymOf(pseudonyms, 4, 0x01020305n);
  assert.equal(calls, 4, "the same /24");
  pseudonymOf(pseudonyms, 4, 0x01020405n);
  assert.equal(calls, 5, "the same /16");
  for (let net = 0n; calls <= EXIT_PRF_CACHE_MAX; net++) pseudonymOf(pseudonyms, 4, net << 8n);
  const before = calls;
  assert.equal(pseudonymOf(pseudonyms, 4, 0x01020304n), pseudonymTwin(prf, 4, 0x01020304n));
  assert.ok(calls > before, "forgotten and asked again");
});

test("Pseudonyms keep a copy of what the function gives", () => {
  const shared = new Uint8Array(64);
  const prf = standInPrf(4);
  const pseudonyms = new Pseudonyms((input) => {
    shared.set(prf(input));
    return shared;
  });
  for (const address of [0x01020304n, 0x7f000001n, 0x01020304n]) {
    assert.equal(pseudonymOf(pseudonyms, 4, address), pseudonymTwin(prf, 4, address));
  }
});

test("truncateAddress() keeps a /24 or a /48", () => {
  const cases = {
    "255.255.255.255": "255.255.255.0",
    "10.1.2.0": "10.1.2.0",
    "10.1.3.1": "10.1.3.0",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "ffff:ffff:ffff::",
    "::ffff:1.2.3.4": "::",
  };
  for (const [text, expected] of Object.entries(cases)) {
    const { family, addressWords } = parseAddress(text)!;
    truncateAddress(addressWords, family);
    assert.equal(addressText(addressWords, 0, family), expected);
  }
});

test("keepsPorts() is so for keyed and full", () => {
  assert.deepEqual(EXIT_MODES.filter(keepsPorts), ["keyed", "full"]);
});

// ---- What leaves the node -----------------------------------------------------------------------------------------

const NODES = new NodeDirectory(
  { nodeId: "self", addresses: [prefix("100.64.0.1"), prefix("fd7a:115c:a1e0::1")] },
  [{ nodeId: "peer", addresses: [prefix("100.64.0.2"), prefix("fd7a:115c:a1e0::2")] }],
);
const NODE_ADDRESSES = ["100.64.0.1", "100.64.0.2", "fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2"];
const DEFAULT_ROUTES = routeConfig([], ["0.0.0.0/0"]);

/** Addresses of strangers whose bits are all over the place, none of them a network's first. */
const stranger = fc.oneof(
  fc.tuple(fc.integer({ min: 1, max: 0xdf }), fc.nat(0xffff), fc.integer({ min: 1, max: 255 })).map(
    ([a, bc, d]) => `${a}.${bc >> 8}.${bc & 255}.${d}`,
  ),
  fc.tuple(fc.nat(0xffffffff), fc.integer({ min: 1, max: 0xffffffff })).map(([a, b]) =>
    addressText(Uint32Array.of(0x20010db8, a, 0, b), 0, 6)
  ),
).filter((text) => !NODE_ADDRESSES.includes(text) && !text.startsWith("100."));

const end = fc.tuple(
  fc.oneof({ weight: 3, arbitrary: stranger }, {
    weight: 1,
    arbitrary: fc.constantFrom(...NODE_ADDRESSES),
  }),
  fc.nat(65_535),
);

for (const mode of ["zero", "node", "prefix", "keyed"] satisfies ExitMode[]) {
  test(`mode ${mode}: no address of a stranger leaves the node`, () => {
    let strangers = 0;
    fc.assert(
      fc.property(fc.array(fc.tuple(end, end), { minLength: 1, maxLength: 20 }), (pairs) => {
        const rows = pairs.map(([[src, srcPort], [dst, dstPort]]) =>
          row({
            proto: 6,
            src: endText(src, srcPort),
            dst: endText(dst, dstPort),
            counts: [1, 2, 3, 4],
          })
        );
        const [message] = encode(mode, rows, { nodes: NODES, config: DEFAULT_ROUTES });
        const text = textOf(message);
        const { exit } = parseMessage(text);
        const left = new Set(
          exit.flatMap(({ src, dst }) => [src, dst]).map((each) =>
            each.replace(/:\d+$|[[\]]/g, "")
          ),
        );
        for (const address of pairs.flat().map(([address]) => address)) {
          if (NODE_ADDRESSES.includes(address)) continue;
          strangers++;
          assert.ok(!left.has(address), `${address} in ${text}`);
          assert.ok(!text.includes(`"${address}:`) && !text.includes(`[${address}]`));
        }
        if (mode !== "keyed") {
          assert.ok(
            exit.every(({ proto, src, dst }) =>
              proto === 0 && /^$|:0$/.test(src) && /^$|:0$/.test(dst)
            ),
          );
        }
        if (mode === "zero") assert.deepEqual([...left], [""]);
        if (mode === "node") {
          for (const each of left) assert.ok(["", ...NODE_ADDRESSES].includes(each));
        }
      }),
      { seed: SEED, numRuns: 300 },
    );
    assert.ok(strangers > 1_000);
  });
}

test("exit modes leave virtual, subnet and physical rows as they are", () => {
  const rows = [
    row({ proto: 6, src: "100.64.0.1:1", dst: "100.64.0.2:2", counts: [1, 1, 1, 1] }),
    row({ proto: 6, src: "100.64.0.1:1", dst: "10.1.2.3:2", counts: [1, 1, 1, 1] }),
    row({
      proto: 0,
      src: "100.64.0.2:0",
      dst: "192.0.2.1:41641",
      counts: [1, 1, 1, 1],
      isPhysical: true,
    }),
  ];
  const config = routeConfig(["100.64.0.1"], ["100.64.0.2", "10.0.0.0/8"]);
  for (const mode of EXIT_MODES) {
    const { virtual, subnet, exit, physical } = parseMessage(
      textOf(encode(mode, rows, { nodes: NODES, config })[0]),
    );
    assert.deepEqual([virtual[0].dst, subnet[0].dst, physical[0].dst], [
      "100.64.0.2:2",
      "10.1.2.3:2",
      "192.0.2.1:41641",
    ]);
    assert.deepEqual(exit, []);
  }
});

test("mode keyed keeps protocol, ports and known nodes, and merges nothing that was apart", () => {
  const rows = [1, 2, 3].map((host) =>
    row({ proto: 17, src: "100.64.0.1:7", dst: `8.8.8.${host}:53`, counts: [1, 1, 1, 1] })
  );
  const { exit } = parseMessage(textOf(encode("keyed", rows, { nodes: NODES })[0]));
  assert.deepEqual(exit.map(({ proto, src }) => [proto, src]), [
    [17, "100.64.0.1:7"],
    [17, "100.64.0.1:7"],
    [17, "100.64.0.1:7"],
  ]);
  assert.ok(exit.every(({ dst }) => dst.endsWith(":53")));
  assert.equal(new Set(exit.map(({ dst }) => dst.replace(/\.\d+:53$/, ""))).size, 1, "one /24");
});

test("what stands for a stranger is never a node's address", () => {
  // A function that flips nothing but the last bit: 10.0.0.5 would become 10.0.0.4, which is a node.
  const flipLast = (input: Uint8Array) => new Uint8Array(32).fill(input[1] === 3 ? 0xff : 0, 16);
  const at = (last: number) => parseAddress(`10.0.0.${last}`)!.addressWords;
  const words = at(5);
  new Pseudonyms(flipLast).replace(words, 4);
  assert.deepEqual(words, at(4), "as the test wants it");
  const nodes = new NodeDirectory(null, [{
    nodeId: "four",
    addresses: [prefix("10.0.0.4"), prefix("10.0.1.0")],
  }]);
  const rows = [row({ src: "10.0.0.5:1", dst: "10.0.1.9:0", counts: [1, 1, 0, 0] })];
  const policies = [{ mode: "keyed", prf: flipLast }, { mode: "prefix" }] as const;
  const [keyed, truncated] = policies.map((policy) =>
    parseMessage(textOf(encode(policy.mode, rows, { nodes }, policy)[0]))
  );
  assert.deepEqual([keyed.exit[0].src, keyed.exit[0].dst], ["10.0.0.5:1", "10.0.1.8:0"]);
  assert.deepEqual([truncated.exit[0].src, truncated.exit[0].dst], ["10.0.0.0:0", ""]);
  assert.deepEqual([...keyed.dstNodes, ...truncated.dstNodes], []);
});

test("an exit row without a node source keeps no address in mode node", () => {
  const rows = [row({ proto: 6, src: "100.64.0.1:1", dst: "8.8.8.8:2", counts: [1, 0, 0, 0] })];
  const { exit } = parseMessage(textOf(encode("node", rows, { nodes: NO_NODES })[0]));
  assert.deepEqual([exit[0].src, exit[0].dst], ["", ""]);
});
