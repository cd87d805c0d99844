/**
 * Goal: a window's messages are the original's, byte for byte, and hold all that was counted. Method: the original's
 * expectations and examples; random windows are in message_random_test.ts.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  type ExitMode,
  LISTS,
  NodeDirectory,
  OverlayRanges,
  parseMessage,
  WindowEncoder,
} from "../../../src/netlog/mod.ts";
import { encode, encodeWith, textOf, type View } from "./encode_support.ts";
import { prefix, routeConfig, row, type RowParts, SECRET } from "./support.ts";

/** The one message of rows that fit. */
function only(mode: ExitMode, rows: readonly RowParts[], view: View = {}): string {
  const messages = encode(mode, rows.map(row), view);
  assert.equal(messages.length, 1);
  return textOf(messages[0]);
}

/** Lists of a message as `src -> dst proto tx/tx rx/rx`. */
function listed(text: string, list: (typeof LISTS)[number]): string[] {
  return parseMessage(text)[list].map((c) =>
    `${c.src || "-"} > ${
      c.dst || "-"
    } ${c.proto} ${c.txPackets}/${c.txBytes} ${c.rxPackets}/${c.rxBytes}`
  );
}

// ---- The form -----------------------------------------------------------------------------------------------------

test("encode() gives no message for no rows, and none for rows that counted nothing", () => {
  assert.deepEqual(encode("zero", []), []);
  assert.deepEqual(encode("full", [row({ proto: 6, src: "10.0.0.1:1", dst: "10.0.0.2:2" })]), []);
});

test("encode() writes members in the original's order and leaves out those that are zero", () => {
  const nodes = new NodeDirectory(
    { nodeId: "n1", name: "one.example.", addresses: [prefix("100.64.0.1")] },
    [
      { nodeId: "n3", addresses: [prefix("fd7a:115c:a1e0::3")], user: "user@example" },
      { nodeId: "n2", addresses: [prefix("100.64.0.2")], os: "linux", tags: ["tag:b", "tag:a"] },
    ],
  );
  const config = routeConfig(
    ["100.64.0.1/32", "fd7a:115c:a1e0::1"],
    ["100.64.0.2/32", "fd7a:115c:a1e0::/48", "10.0.0.0/8"],
  );
  const text = only("zero", [
    {
      proto: 17,
      src: "100.64.0.3:0",
      dst: "192.0.2.1:41641",
      counts: [1, 148, 1, 92],
      isPhysical: true,
    },
    { proto: 6, src: "100.64.0.1:22", dst: "8.8.8.8:53", counts: [3, 0, 0, 0] },
    { proto: 6, src: "100.64.0.1:22", dst: "10.0.0.9:80", counts: [0, 0, 5, 600] },
    {
      proto: 6,
      src: "[fd7a:115c:a1e0::1]:5",
      dst: "[fd7a:115c:a1e0::3]:80",
      counts: [1, 2, 0, 2 ** 53 - 1],
    },
    { proto: 0, src: "100.64.0.1:0", dst: "100.64.0.2:0", counts: [1, 0, 0, 0], folded: true },
  ], { config, nodes, lengthMs: 4_321 });
  assert.equal(
    text,
    '{"nodeId":"n1","start":"2022-10-13T20:23:09.644Z","end":"2022-10-13T20:23:14Z",' +
      '"srcNode":{"nodeId":"n1","name":"one.example","addresses":["100.64.0.1"]},' +
      '"dstNodes":[{"nodeId":"n2","addresses":["100.64.0.2"],"os":"linux","tags":["tag:a","tag:b"]},' +
      '{"nodeId":"n3","addresses":["fd7a:115c:a1e0::3"],"user":"user@example"}],' +
      '"virtualTraffic":[{"src":"100.64.0.1:0","dst":"100.64.0.2:0","txPkts":1,"folded":true},' +
      '{"proto":6,"src":"[fd7a:115c:a1e0::1]:5","dst":"[fd7a:115c:a1e0::3]:80","txPkts":1,"txBytes":2,"rxBytes":9007199254740991}],' +
      '"subnetTraffic":[{"proto":6,"src":"100.64.0.1:22","dst":"10.0.0.9:80","rxPkts":5,"rxBytes":600}],' +
      '"exitTraffic":[{"txPkts":3}],' +
      '"physicalTraffic":[{"proto":17,"src":"100.64.0.3:0","dst":"192.0.2.1:41641","txPkts":1,"txBytes":148,"rxPkts":1,"rxBytes":92}],' +
      '"tunlog":{"lengthMs":4321,"unknown":{"txPkts":3}}}',
  );
});

test("encode() writes a window whose node is not known without node objects, and loses nothing", () => {
  const text = only("zero", [{
    proto: 1,
    src: "10.0.0.1:0",
    dst: "10.0.0.2:0",
    counts: [1, 2, 3, 4],
    isPhysical: true,
  }]);
  assert.equal(
    text,
    '{"nodeId":"","start":"2022-10-13T20:23:09.644Z","end":"2022-10-13T20:23:14Z",' +
      '"physicalTraffic":[{"proto":1,"src":"10.0.0.1:0","dst":"10.0.0.2:0","txPkts":1,"txBytes":2,"rxPkts":3,"rxBytes":4}]}',
  );
});

test("encode() names nodes of the rows of a message alone: not itself, not an endpoint, not what an exit row hides", () => {
  const at = (host: number) => ({ nodeId: `n${host}`, addresses: [prefix(`100.64.0.${host}`)] });
  const nodes = new NodeDirectory(at(1), [2, 3, 4, 5, 6].map(at));
  const config = routeConfig(["100.64.0.1/32"], ["100.64.0.2/32"]);
  const named = (mode: ExitMode) =>
    parseMessage(only(mode, [
      { src: "100.64.0.1:0", dst: "100.64.0.2:0", counts: [1, 1, 0, 0] },
      { src: "100.64.0.3:0", dst: "8.8.8.8:0", counts: [1, 1, 0, 0] },
      { src: "100.64.0.4:0", dst: "100.64.0.5:0", counts: [1, 1, 0, 0], isPhysical: true },
    ], { config, nodes })).dstNodes.map(({ nodeId }) => nodeId);
  assert.deepEqual(named("zero"), ["n2", "n4"]);
  assert.deepEqual(named("node"), ["n2", "n3", "n4"]);
});

test("encode() puts one node under two addresses into the message once", () => {
  const nodes = new NodeDirectory(null, [{
    nodeId: "n2",
    addresses: [prefix("100.64.0.2"), prefix("fd7a:115c:a1e0::2")],
  }]);
  const text = only("full", [
    { src: "100.64.0.2:0", dst: "100.64.0.2:0", counts: [1, 1, 0, 0] },
    { src: "[fd7a:115c:a1e0::2]:0", dst: "100.64.0.2:0", counts: [1, 1, 0, 0] },
  ], { nodes });
  assert.equal(text.split('{"nodeId":"n2"').length, 2);
});

// ---- The original's expectations ----------------------------------------------------------------------------------

/** H-1: 100.1.2.x take the place of overlay addresses. */
const H1_NODES = new NodeDirectory(
  {
    nodeId: "n123456CNTL",
    name: "test.tail123456.ts.net",
    addresses: [prefix("100.1.2.3")],
    tags: ["tag:foo", "tag:bar"],
  },
  [
    {
      nodeId: "n123457CNTL",
      name: "peer1.tail123456.ts.net",
      addresses: [prefix("100.1.2.4")],
      tags: ["tag:peer"],
    },
    {
      nodeId: "n123458CNTL",
      name: "peer2.tail123456.ts.net",
      addresses: [prefix("100.1.2.5")],
      user: "peer@example.com",
    },
  ],
);
const H1_VIEW: View = {
  nodes: H1_NODES,
  overlay: new OverlayRanges(["100.1.2.0/24"]),
  config: routeConfig(["100.1.2.3/32"], ["100.1.2.4/32", "100.1.2.5/32"], [
    "172.16.1.1/16",
    "192.168.1.1/24",
  ]),
};
const H1_ROWS: readonly (readonly [string, string, number, number, number, number])[] = [
  ["100.1.2.3:80", "100.1.2.4:1812", 88, 278, 34, 887],
  ["100.1.2.3:443", "100.1.2.5:1742", 96, 635, 23, 790],
  ["100.1.2.3:443", "100.1.2.6:1175", 48, 94, 86, 618],
  ["100.1.2.3:80", "192.168.1.241:713", 43, 154, 66, 883],
  ["100.1.2.3:80", "192.168.2.241:713", 43, 154, 66, 883],
  ["100.1.2.3:80", "172.16.5.18:713", 7, 243, 40, 59],
  ["100.1.2.3:80", "172.20.5.18:713", 61, 753, 42, 492],
  ["192.168.1.241:713", "100.1.2.3:80", 43, 154, 66, 883],
  ["192.168.2.241:713", "100.1.2.3:80", 43, 154, 66, 883],
  ["172.16.5.18:713", "100.1.2.3:80", 7, 243, 40, 59],
  ["172.20.5.18:713", "100.1.2.3:80", 61, 753, 42, 492],
  ["14.255.192.128:39230", "243.42.106.193:48206", 81, 791, 79, 316],
];
const H1_PHYSICAL: typeof H1_ROWS = [
  ["100.1.2.4:0", "35.92.180.165:9743", 63, 136, 61, 409],
  ["100.1.2.5:0", "131.19.35.17:9743", 88, 452, 2, 716],
];

test("encode() H-1: classes, order, sums of ten equal updates, nodes with tags or users", () => {
  const times = (rows: typeof H1_ROWS, isPhysical: boolean): RowParts[] =>
    Array.from({ length: 10 }, () =>
      rows.map(([src, dst, ...counts]): RowParts => ({
        proto: isPhysical ? 0 : 6,
        src,
        dst,
        counts: counts as never,
        isPhysical,
      }))).flat();
  const text = only("full", [...times(H1_ROWS, false), ...times(H1_PHYSICAL, true)], H1_VIEW);
  assert.deepEqual(listed(text, "virtual"), [
    "100.1.2.3:80 > 100.1.2.4:1812 6 880/2780 340/8870",
    "100.1.2.3:443 > 100.1.2.5:1742 6 960/6350 230/7900",
  ]);
  assert.deepEqual(listed(text, "subnet"), [
    "100.1.2.3:80 > 172.16.5.18:713 6 70/2430 400/590",
    "100.1.2.3:80 > 192.168.1.241:713 6 430/1540 660/8830",
    "172.16.5.18:713 > 100.1.2.3:80 6 70/2430 400/590",
    "192.168.1.241:713 > 100.1.2.3:80 6 430/1540 660/8830",
  ]);
  assert.deepEqual(listed(text, "exit"), [
    "14.255.192.128:39230 > 243.42.106.193:48206 6 810/7910 790/3160",
    "100.1.2.3:80 > 172.20.5.18:713 6 610/7530 420/4920",
    "100.1.2.3:80 > 192.168.2.241:713 6 430/1540 660/8830",
    "100.1.2.3:443 > 100.1.2.6:1175 6 480/940 860/6180",
    "172.20.5.18:713 > 100.1.2.3:80 6 610/7530 420/4920",
    "192.168.2.241:713 > 100.1.2.3:80 6 430/1540 660/8830",
  ]);
  assert.deepEqual(listed(text, "physical"), [
    "100.1.2.4:0 > 35.92.180.165:9743 0 630/1360 610/4090",
    "100.1.2.5:0 > 131.19.35.17:9743 0 880/4520 20/7160",
  ]);
  const { srcNode, dstNodes, nodeId } = parseMessage(text);
  assert.equal(nodeId, "n123456CNTL");
  assert.deepEqual(srcNode?.tags, ["tag:bar", "tag:foo"]);
  assert.deepEqual(dstNodes.map((node) => [node.nodeId, node.tags, node.user]), [
    ["n123457CNTL", ["tag:peer"], undefined],
    ["n123458CNTL", undefined, "peer@example.com"],
  ]);
});

/** H-5: exit rows, and one that no route explains. */
const H5_ROWS: readonly RowParts[] = [
  { proto: 6, src: "100.1.2.3:1234", dst: "12.34.56.78:80", counts: [11, 110, 10, 100] },
  { proto: 6, src: "100.1.2.4:1234", dst: "23.34.56.78:80", counts: [423, 1, 6, 123] },
  { proto: 6, src: "100.1.2.4:1234", dst: "23.34.56.78:443", counts: [22, 220, 20, 200] },
  { proto: 6, src: "100.1.2.5:1234", dst: "45.34.56.78:80", counts: [33, 330, 30, 300] },
  { proto: 6, src: "100.1.2.6:1234", dst: "67.34.56.78:80", counts: [44, 440, 40, 400] },
  { proto: 6, src: "42.54.72.42:555", dst: "18.42.7.1:777", counts: [44, 440, 40, 400] },
];

test("encode() H-5.1: mode full keeps exit rows as they are", () => {
  assert.deepEqual(listed(only("full", H5_ROWS, H1_VIEW), "exit"), [
    "42.54.72.42:555 > 18.42.7.1:777 6 44/440 40/400",
    "100.1.2.3:1234 > 12.34.56.78:80 6 11/110 10/100",
    "100.1.2.4:1234 > 23.34.56.78:80 6 423/1 6/123",
    "100.1.2.4:1234 > 23.34.56.78:443 6 22/220 20/200",
    "100.1.2.5:1234 > 45.34.56.78:80 6 33/330 30/300",
    "100.1.2.6:1234 > 67.34.56.78:80 6 44/440 40/400",
  ]);
});

test("encode() H-5.3: mode node keeps addresses of known nodes, no protocol, no ports", () => {
  const text = only("node", H5_ROWS, H1_VIEW);
  assert.deepEqual(listed(text, "exit"), [
    "- > - 0 88/880 80/800",
    "100.1.2.3:0 > - 0 11/110 10/100",
    "100.1.2.4:0 > - 0 445/221 26/323",
    "100.1.2.5:0 > - 0 33/330 30/300",
  ]);
  assert.match(
    text,
    /"exitTraffic":\[\{"txPkts":88,"txBytes":880,"rxPkts":80,"rxBytes":800\},\{"src":"100\.1\.2\.3:0","txPkts"/,
  );
});

test("encode() mode zero makes one row of sums, as the seed does", () => {
  assert.deepEqual(listed(only("zero", H5_ROWS, H1_VIEW), "exit"), ["- > - 0 577/1541 146/1523"]);
});

test("encode() mode prefix keeps nodes, and /24 or /48 of others", () => {
  const rows = [
    ...H5_ROWS,
    {
      proto: 17,
      src: "100.1.2.3:9",
      dst: "[2001:db8:1:2:3:4:5:6]:53",
      counts: [1, 2, 0, 0] as const,
    },
    {
      proto: 17,
      src: "100.1.2.3:8",
      dst: "[2001:db8:1:ffff::9]:53",
      counts: [1, 2, 0, 0] as const,
    },
  ];
  assert.deepEqual(listed(only("prefix", rows, H1_VIEW), "exit"), [
    "42.54.72.0:0 > 18.42.7.0:0 0 44/440 40/400",
    "100.1.2.0:0 > 67.34.56.0:0 0 44/440 40/400",
    "100.1.2.3:0 > 12.34.56.0:0 0 11/110 10/100",
    "100.1.2.3:0 > [2001:db8:1::]:0 0 2/4 0/0",
    "100.1.2.4:0 > 23.34.56.0:0 0 445/221 26/323",
    "100.1.2.5:0 > 45.34.56.0:0 0 33/330 30/300",
  ]);
});

// ---- Merging and sums ---------------------------------------------------------------------------------------------

test("encode() merges equal rows, sums beyond 2^53 exactly, and flags the row if one was folded", () => {
  const most = 2 ** 53 - 1;
  const same = { proto: 6, src: "100.64.0.1:1", dst: "100.64.0.2:2" };
  const config = routeConfig(["100.64.0.1"], ["100.64.0.2"]);
  const text = only("zero", [
    { ...same, counts: [most, 1, 0, 0] },
    { ...same, counts: [most, 1, 0, 0], folded: true },
    { ...same, counts: [most, 1, 0, 5] },
  ], { config });
  assert.match(
    text,
    /"virtualTraffic":\[\{"proto":6,"src":"100.64.0.1:1","dst":"100.64.0.2:2","txPkts":27021597764222973,"txBytes":3,"rxBytes":5,"folded":true\}\]/,
  );
});

test("encode() keeps apart what differs in one part of the key alone", () => {
  const base = { proto: 6, src: "10.0.0.1:1", dst: "10.0.0.2:2", counts: [1, 1, 1, 1] as const };
  const rows = [
    base,
    { ...base, proto: 17 },
    { ...base, src: "10.0.0.1:2" },
    { ...base, src: "10.0.0.3:1" },
    {
      ...base,
      dst: "10.0.0.2:3",
    },
    { ...base, dst: "10.0.0.9:2" },
    { ...base, dst: "[::ffff:10.0.0.2]:2" },
  ];
  assert.equal(listed(only("full", rows), "exit").length, rows.length);
  const physical = [{ ...base, isPhysical: true }, base];
  const text = only("full", physical);
  assert.equal(listed(text, "exit").length, 1);
  assert.equal(listed(text, "physical").length, 1);
});

test("encode() gives what has no address no port: equal keys stand once in a list", () => {
  const key = row({ proto: 6, src: "0.0.0.0:5", dst: "0.0.0.0:6" }).key.slice();
  // IPv4 as four zero words is no address.
  key.fill(0, 2);
  const none = { ...row({ counts: [1, 1, 0, 0] }), key };
  const zero = { ...row({ counts: [1, 1, 0, 0] }), key: row({ proto: 6 }).key };
  const messages = encode("full", [
    none,
    zero,
    row({ proto: 6, src: "0.0.0.0:0", counts: [1, 0, 0, 0] }),
  ]);
  assert.deepEqual(listed(textOf(messages[0]), "exit"), [
    "- > - 6 2/2 0/0",
    "0.0.0.0:0 > - 6 1/0 0/0",
  ]);
});

test("encode() reads nothing from the key of a row that stands for all others", () => {
  for (const isPhysical of [false, true]) {
    const other = row({
      proto: 6,
      src: "100.64.0.1:1",
      dst: "100.64.0.1:2",
      counts: [1, 2, 3, 4],
      other: true,
      isPhysical,
    });
    const [message] = encode("full", [other], { config: routeConfig(["100.64.0.1"], []) });
    const list = isPhysical ? "physicalTraffic" : "exitTraffic";
    const sums = '{"txPkts":1,"txBytes":2,"rxPkts":3,"rxBytes":4';
    assert.ok(textOf(message).includes(`"${list}":[${sums},"folded":true}]`), textOf(message));
    assert.ok(textOf(message).includes(`"other":${sums}}`), textOf(message));
    assert.deepEqual([message.totals.rows, message.totals.foldedRows], [1, 1]);
  }
});

test("encode() folds what finds no room into one row per device", () => {
  const at = (host: number, isPhysical: boolean) =>
    row({
      proto: 6,
      src: "100.64.0.1:1",
      dst: `100.64.0.${host}:2`,
      counts: [1, 10, 100, 1000],
      isPhysical,
    });
  const config = routeConfig(["100.64.0.1"], ["100.64.0.0/24"]);
  const [one, two, three, four] = [at(2, false), at(3, true), at(4, false), at(5, true)];
  // Beyond the third is a physical row alone, or one of the tunnel.
  const cases = [0, 1, 2, 3, 4, 5].flatMap((rowsMax) => [
    { rowsMax, rows: [one, two, three, four] },
    { rowsMax, rows: [four, three, two, one] },
  ]);
  for (const { rowsMax, rows } of cases) {
    const encoder = new WindowEncoder(SECRET, { mode: "full" }, rowsMax);
    const [message, ...more] = encodeWith(encoder, rows, { config });
    assert.deepEqual(more, []);
    const beyond = Math.max(0, rows.length - rowsMax);
    const tunnelBeyond = rows.slice(rowsMax).filter(({ isPhysical }) => !isPhysical).length;
    const parsed = parseMessage(textOf(message));
    assert.deepEqual(
      parsed.exit.map((c) => [c.txPackets, c.folded]),
      tunnelBeyond > 0 ? [[tunnelBeyond, true]] : [],
    );
    assert.deepEqual(
      parsed.physical.filter(({ src }) => src === "").map((c) => [c.rxBytes, c.folded]),
      beyond > tunnelBeyond ? [[(beyond - tunnelBeyond) * 1000, true]] : [],
    );
    assert.equal(parsed.extension.other?.txBytes ?? 0, beyond * 10);
    assert.equal(message.totals.of("unknown").txPackets, tunnelBeyond);
    const foldedRows = Number(tunnelBeyond > 0) + Number(beyond > tunnelBeyond);
    assert.equal(message.totals.rows, Math.min(rowsMax, rows.length) + foldedRows);
    assert.equal(message.totals.foldedRows, foldedRows);
  }
});

test("encode() begins anew after clear(), and is the same for the same rows", () => {
  const encoder = new WindowEncoder(SECRET, { mode: "prefix" });
  const rows = H5_ROWS.map(row);
  const [first] = encodeWith(encoder, rows, H1_VIEW);
  encoder.clear();
  assert.ok(encoder.isEmpty);
  assert.deepEqual(encodeWith(encoder, [], H1_VIEW), []);
  encodeWith(encoder, [row({ src: "[2001:db8::1]:0", counts: [1, 1, 1, 1] })], H1_VIEW);
  encoder.clear();
  const [again] = encodeWith(encoder, rows, H1_VIEW);
  assert.equal(textOf(again), textOf(first));
});

test("encode() asks for nodes of its own window's addresses alone, each once", () => {
  let asked = 0;
  const nodes = { self: () => null, byAddress: () => (asked++, null) };
  const encoder = new WindowEncoder(SECRET, { mode: "full" });
  for (const host of [1, 2, 3]) {
    const rows = [1, 2].map((port) => row({ src: `10.0.0.${host}:${port}`, counts: [1, 1, 1, 1] }));
    encodeWith(encoder, rows, { nodes });
    encoder.clear();
    assert.equal(asked, host);
  }
});

test("add() refuses what cannot be written, and keeps what it had", () => {
  const encoder = new WindowEncoder(SECRET, { mode: "zero" });
  const base = { proto: 6, src: "10.0.0.1:1", dst: "10.0.0.2:2" };
  for (const bad of [-1, 0.5, 2 ** 53, NaN, Infinity]) {
    for (let at = 0; at < 4; at++) {
      const counts = [1, 1, 1, 1].with(at, bad) as unknown as RowParts["counts"];
      assert.throws(() => encoder.add(row({ ...base, counts: counts! }), false), RangeError);
    }
  }
  assert.ok(encoder.isEmpty);
  encoder.add(row({ ...base, counts: [2 ** 53 - 1, 0, 0, 0] }), false);
  assert.ok(!encoder.isEmpty);
});

test("add() takes sums of a window up to 2^63, so that no counter passes 2^64 - 1", () => {
  const encoder = new WindowEncoder(SECRET, { mode: "zero" });
  const most = 2 ** 53 - 1;
  const full = row({ src: "10.0.0.1:1", counts: [0, most, 0, 0] });
  // 1,024 of them are 2^63 less 1,024, which a float takes for 2^63.
  for (let times = 0; times < 1_024; times++) encoder.add(full, false);
  assert.throws(() => encoder.add(full, false), { name: "RangeError", message: /2\^63/ });
  const [message] = encodeWith(encoder, [], {});
  assert.equal(parseMessage(textOf(message)).exit[0].txBytes, 1_024n * BigInt(most));
  encoder.clear();
  encoder.add(full, false);
});
