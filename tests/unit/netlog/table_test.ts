// Goal: tables are netlogfmt's, byte for byte, and its defects are mended. Method: the golden sample of SPEC 7.3, a case
// for each defect and each form of a cell, and random messages, whose lines must all be equally wide.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import {
  foundMessage,
  type Message,
  messageTable,
  parseMessage,
  type RawMembers,
  type TableOptions,
  UTC,
} from "../../../src/netlog/mod.ts";
import {
  alignLeft,
  alignRight,
  columnsOf,
  iecText,
  localTimeText,
  printable,
  protoName,
  siText,
} from "../../../src/netlog/display.ts";
import { parseTime } from "../../../src/time_text.ts";

const VECTORS = new URL("../../vectors/", import.meta.url);
const PLAIN: TableOptions = { names: null, zone: UTC };

function membersOf(text: string): RawMembers {
  return new Map(
    Object.entries(JSON.parse(text)).map(([name, value]) => [name, JSON.stringify(value)]),
  );
}

function table(message: Message, options: TableOptions = PLAIN): string[] {
  const lines = messageTable({ message, logId: "", loggedNs: null }, options).split("\n");
  assert.equal(lines.pop(), "");
  return lines;
}

/** A message of one window of 5 s. */
function message(members: Record<string, unknown>): Message {
  return parseMessage(JSON.stringify({
    start: "2022-10-13T20:23:09.644Z",
    end: "2022-10-13T20:23:14.644Z",
    ...members,
  }));
}

test("messageTable() prints the golden sample byte for byte", () => {
  const input = readFileSync(new URL("fmt.json", VECTORS), "utf8");
  const wanted = readFileSync(new URL("fmt.txt", VECTORS), "utf8");
  assert.equal(messageTable(foundMessage(membersOf(input))!, PLAIN), wanted);
});

test("messageTable() prints the same whatever the order and the form of rows", () => {
  const parsed = JSON.parse(readFileSync(new URL("fmt.json", VECTORS), "utf8"));
  parsed.virtualTraffic.reverse();
  parsed.physicalTraffic.reverse();
  for (const row of parsed.virtualTraffic) row.proto = "tcp";
  // The older original writes members sorted, and both of an address that there is not.
  parsed.exitTraffic = [{ dst: "", proto: 0, src: "", ...parsed.exitTraffic[0] }];
  const wanted = readFileSync(new URL("fmt.txt", VECTORS), "utf8");
  assert.equal(messageTable(foundMessage(membersOf(JSON.stringify(parsed)))!, PLAIN), wanted);
});

test("messageTable() sorts rows that carried the same by source, destination and protocol", () => {
  const row = (proto: number, src: string, dst: string) => ({ proto, src, dst, txPkts: 1 });
  const rows = [
    row(17, "10.0.0.1:1", "10.0.0.2:2"),
    row(6, "10.0.0.1:1", "10.0.0.2:2"),
    row(6, "10.0.0.1:1", "10.0.0.1:2"),
    row(6, "10.0.0.0:1", "10.0.0.9:2"),
  ];
  const wanted = table(message({ virtualTraffic: rows }));
  assert.deepEqual(table(message({ virtualTraffic: rows.toReversed() })), wanted);
  assert.deepEqual(wanted.slice(4).map((line) => line.trim().replace(/ {2}.*/, "")), [
    "TCP: 10.0.0.0:1 -> 10.0.0.9:2",
    "TCP: 10.0.0.1:1 -> 10.0.0.1:2",
    "TCP: 10.0.0.1:1 -> 10.0.0.2:2",
    "UDP: 10.0.0.1:1 -> 10.0.0.2:2",
  ]);
});

test("messageTable() widens the left part for a heading that is wider, numbers stay whole", () => {
  // The original prints "ExitTraffic:7k   7.63Mi" here.
  assert.deepEqual(table(message({ exitTraffic: [{ txPkts: 5_000_000, txBytes: 40_000_000 }] })), [
    "================================================",
    "Window: 2022-10-13 20:23:09.644Z (5.000s)",
    "------------  Tx[P/s]  Tx[B/s]  Rx[P/s]  Rx[B/s]",
    "ExitTraffic:    1.00M   7.63Mi    0.00    0.00  ",
  ]);
});

test("messageTable() shows counts where a window has no length", () => {
  for (const end of ["2022-10-13T20:23:09.644Z", "2022-10-13T20:23:08.644Z"]) {
    const lines = table(message({ end, exitTraffic: [{ txPkts: 1500, rxBytes: 2048 }] }));
    assert.match(lines[1], /^Window: 2022-10-13 20:23:09\.644Z \((0\.000|-1\.000)s\)$/);
    assert.deepEqual(lines.slice(2).map((line) => line.split(/ +/).filter(Boolean)), [
      ["------------", "Tx[P]", "Tx[B]", "Rx[P]", "Rx[B]"],
      ["ExitTraffic:", "1.50k", "0.00", "0.00", "2.00Ki"],
    ]);
  }
  // A moment is a length.
  const lines = table(message({ end: "2022-10-13T20:23:09.645Z", exitTraffic: [{ txPkts: 1 }] }));
  assert.match(lines[2], /Tx\[P\/s\]/);
  assert.match(lines[3], / 1\.00k /);
});

test("messageTable() divides by the real length of a window whose clock was set", () => {
  const lines = table(message({ exitTraffic: [{ txPkts: 10 }], tunlog: { lengthMs: 10_000 } }));
  assert.match(lines[1], /\(10\.000s\)$/);
  assert.match(lines[3], /^ExitTraffic: +1\.00 /);
});

test("messageTable() sums beyond 2^64 and sorts beyond 2^53", () => {
  const most = "18446744073709551615";
  const lines = table(parseMessage(
    `{"start":"2022-10-13T20:23:09Z","end":"2022-10-13T20:23:10Z","virtualTraffic":[` +
      `{"src":"10.0.0.1:1","txBytes":9007199254740992},` +
      `{"src":"10.0.0.2:1","txBytes":9007199254740993},` +
      `{"src":"10.0.0.3:1","txBytes":${most}},{"src":"10.0.0.4:1","txBytes":${most}}]}`,
  ));
  // 2 * 2^64 / 2^30, and 2^54 of the others: a sum of 64 bits would have wrapped.
  assert.match(lines[3], / 34376515584\.00Gi /);
  assert.deepEqual(lines.slice(4).map((line) => /10\.0\.0\.\d/.exec(line)?.[0]), [
    "10.0.0.3",
    "10.0.0.4",
    "10.0.0.2",
    "10.0.0.1",
  ]);
});

test("messageTable() writes ends with their ports, names of protocols, and what is missing", () => {
  const row = (proto: number, src: string, dst: string) => ({ proto, src, dst, txPkts: 1 });
  const lines = table(message({
    virtualTraffic: [
      row(0, "10.0.0.1:0", ""),
      row(0, "", "10.0.0.2:7"),
      row(1, "10.0.0.3:0", "10.0.0.4:0"),
      row(58, "[fd00::1]:0", "[fd00::2]:443"),
      row(123, "[fe80::1%eth0]:9", "[::ffff:1.2.3.4]:1"),
      row(17, "", ""),
    ],
  }));
  // Sorted as text, where "[" is behind all digits.
  assert.deepEqual(
    lines.slice(4).map((line) => line.slice(0, 58).trimEnd()),
    [
      "    UDP:",
      "                                  -> 10.0.0.2:7",
      "                         10.0.0.1 ->",
      "    ICMPv4:              10.0.0.3 -> 10.0.0.4",
      "    ICMPv6:               fd00::1 -> [fd00::2]:443",
      "    IPProto-123: [fe80::1%eth0]:9 -> [::ffff:1.2.3.4]:1",
    ].map((line) => line),
  );
});

const NODES = {
  srcNode: {
    nodeId: "nSelf",
    name: "self.tail123456.ts.net",
    addresses: ["100.64.0.1"],
    user: "a@b",
  },
  dstNodes: [
    {
      nodeId: "nPeer",
      name: "peer.tail123456.ts.net.",
      addresses: ["100.64.0.2", "fd7a:115c:a1e0:0::2/128", "nonsense"],
      tags: ["tag:x", "tag:y"],
    },
    { nodeId: "nForeign", name: "host.other.ts.net", addresses: ["100.64.0.3"] },
    { nodeId: "", name: "", addresses: ["100.64.0.4"] },
  ],
  virtualTraffic: [
    { src: "100.64.0.1:22", dst: "100.64.0.2:0", txPkts: 4 },
    { src: "100.64.0.1:0", dst: "[fd7a:115c:a1e0::2]:80", txPkts: 3 },
    { src: "100.64.0.1:0", dst: "100.64.0.3:80", txPkts: 2 },
    { src: "100.64.0.1:0", dst: "100.64.0.4:80", txPkts: 1 },
  ],
};

test("messageTable() puts ids, names or users in place of addresses", () => {
  const ends = (names: TableOptions["names"], nodes: object = NODES) =>
    table(message({ ...nodes }), { names, zone: UTC }).slice(4).map((line) =>
      line.trim().replace(/ {2}.*/, "")
    );
  assert.deepEqual(ends("nodeid"), [
    "nSelf:22 -> nPeer",
    "nSelf -> nPeer:80",
    "nSelf -> nForeign:80",
    "nSelf -> 100.64.0.4:80",
  ]);
  assert.deepEqual(ends("user"), [
    "a@b:22 -> [tag:x tag:y]",
    "a@b -> [tag:x tag:y]:80",
    "a@b -> 100.64.0.3:80",
    "a@b -> 100.64.0.4:80",
  ]);
  const named = ends("name");
  assert.deepEqual([named[0], ...named.slice(2)], [
    "self:22 -> peer.tail123456.ts.net.",
    "self -> host.other.ts.net:80",
    "self -> 100.64.0.4:80",
  ]);
  const own = { ...NODES, srcNode: { ...NODES.srcNode, name: "gateway" }, dstNodes: [] };
  assert.equal(ends("name", own)[0], "gateway:22 -> 100.64.0.2");
  const bare = { ...NODES, srcNode: { ...NODES.srcNode, name: ".ts.net" }, dstNodes: [] };
  assert.equal(ends("name", bare)[0], ".ts.net:22 -> 100.64.0.2");
});

test("messageTable() aligns names by what a terminal shows, and lets none move its cursor", () => {
  const name = "節点\u0301\u001b[2J\u202e";
  const lines = table(
    message({
      dstNodes: [{ nodeId: "n", name, addresses: ["10.0.0.2"] }],
      virtualTraffic: [
        { src: "10.0.0.1:1", dst: "10.0.0.2:1", txPkts: 2 },
        { src: "10.0.0.1:1", dst: "10.0.0.3:1", txPkts: 1 },
      ],
    }),
    { names: "name", zone: UTC },
  );
  assert.equal(new Set(lines.map(columnsOf)).size, 2, "all but the window's line");
  // deno-lint-ignore no-control-regex
  assert.ok(!/[\x00-\x1f\u202e]/.test(lines.join("")));
  assert.match(lines[4], /節点\u0301\ufffd\[2J\ufffd:1/);
});

test("foundMessage() takes what stands beside a message, and refuses what is wrong", () => {
  const head = (text: string) =>
    messageTable(foundMessage(membersOf(text))!, PLAIN).split("\n").slice(1, -2);
  const traffic = `"exitTraffic":[]`;
  assert.deepEqual(
    head(
      `{"logtail":{"id":"6c60","server_time":"2022-10-13T20:23:10Z"},"nodeId":"n1",${traffic}}`,
    ),
    [
      "LogID:  6c60",
      "NodeID: n1",
      "Logged: 2022-10-13 20:23:10Z",
      "Window: 0001-01-01 00:00:00Z (0.000s)",
    ],
  );
  const logged = `"logged":"2023-10-13T20:23:10.5Z"`;
  assert.deepEqual(
    head(`{"logtail":{"server_time":"2022-10-13T20:23:10Z"},${logged},${traffic}}`)[0],
    "Logged: 2023-10-13 20:23:10.5Z",
  );
  assert.deepEqual(head(`{"logtail":null,"logged":"0001-01-01T00:00:00Z",${traffic}}`).length, 1);
  assert.equal(foundMessage(membersOf(`{"start":"2022-10-13T20:23:10Z","nodeId":"n1"}`)), null);
  for (
    const wrong of [
      `{"logtail":[],${traffic}}`,
      `{"logtail":{"id":1},${traffic}}`,
      `{"logtail":{"server_time":"now"},${traffic}}`,
      `{"logged":1,${traffic}}`,
      `{"start":"x",${traffic}}`,
      `{"exitTraffic":{}}`,
      `{"exitTraffic":[{"txPkts":-1}]}`,
      `{"exitTraffic":[{"txPkts":1.5}]}`,
      `{"exitTraffic":[{"src":"host:1"}]}`,
      `{"exitTraffic":[{"proto":"quic"}]}`,
    ]
  ) {
    assert.throws(() => foundMessage(membersOf(wrong)), SyntaxError, wrong);
  }
});

test("siText() and iecText() change units where the original does, and round like C", () => {
  const si = [0, 0.005, 0.125, 0.375, 999.99, 999.996, 1e3, 999_994, 1e6, 1e9, 1.8e19].map(siText);
  assert.deepEqual(si, [
    ...["0.00 ", "0.01 ", "0.12 ", "0.38 ", "999.99 ", "1000.00 ", "1.00k", "999.99k", "1.00M"],
    ...["1.00G", "18000000000.00G"],
  ]);
  const iec = [0, 1023.99, 1024, 1023.99 * 1024, 2 ** 20, 2 ** 30 - 1, 2 ** 30, 2 ** 70].map(
    iecText,
  );
  assert.deepEqual(iec, [
    ...["0.00  ", "1023.99  ", "1.00Ki", "1023.99Ki", "1.00Mi", "1024.00Mi", "1.00Gi"],
    "1099511627776.00Gi",
  ]);
});

test("localTimeText() writes a time in its zone, three digits of the fraction at most", () => {
  const at = (text: string, minutes = 0) => localTimeText(parseTime(text)!, () => minutes);
  assert.equal(at("2022-10-13T20:23:09Z"), "2022-10-13 20:23:09Z");
  assert.equal(at("2022-10-13T20:23:09.644999999Z"), "2022-10-13 20:23:09.644Z");
  assert.equal(at("2022-10-13T20:23:09.600Z"), "2022-10-13 20:23:09.6Z");
  assert.equal(at("2022-12-31T23:30:00Z", 330), "2023-01-01 05:00:00+05:30");
  assert.equal(at("2023-01-01T00:00:00.01Z", -210), "2022-12-31 20:30:00.01-03:30");
  // The first and the last time that a message can name, in zones that leave its years.
  assert.equal(at("0001-01-01T00:00:00Z", -60), "0000-12-31 23:00:00-01:00");
  assert.equal(at("9999-12-31T23:59:59Z", 60), "+010000-01-01 00:59:59+01:00");
});

test("protoName() knows the original's names", () => {
  assert.deepEqual([0, 1, 2, 6, 17, 33, 47, 58, 99, 132, 255, 97].map(protoName), [
    ...["Unknown", "ICMPv4", "IGMP", "TCP", "UDP", "DCCP", "GRE", "ICMPv6", "TSMP", "SCTP", "Frag"],
    "IPProto-97",
  ]);
});

test("columnsOf() counts what a terminal shows", () => {
  const cases: readonly (readonly [text: string, columns: number])[] = [
    ["", 0],
    ["plain ASCII ~", 13],
    ["é", 1],
    ["e\u0301", 1],
    ["Grüße", 5],
    ["節点", 4],
    ["한글", 4],
    ["ｆｕｌｌ", 8],
    ["ﾊﾝ", 2],
    ["😀", 2],
    ["👩‍👩‍👧", 2],
    ["🇩🇪", 2],
    ["❤\ufe0f", 2],
    ["a\u200bb", 2],
    ["\u0301", 0],
    ["Ω≈ж", 3],
  ];
  for (const [text, columns] of cases) assert.equal(columnsOf(text), columns, text);
  assert.equal(alignRight("節", 4), "  節");
  assert.equal(alignLeft("節", 4), "節  ");
  assert.equal(alignLeft("節点", 3), "節点");
  assert.equal(printable("a\tb\u0000\u007f\u009b\ud800"), "a\ufffdb\ufffd\ufffd\ufffd\ufffd");
});

test("property: all lines but the head are equally wide, and every row is there", () => {
  const end = fc.constantFrom(
    "",
    "10.0.0.1:0",
    "10.0.0.1:65535",
    "[fd7a:115c:a1e0::1]:443",
    "[::]:0",
  );
  const count = fc.oneof(fc.constantFrom(0, 1, 2 ** 40, 2 ** 53 - 1), fc.nat(5_000));
  const row = fc.record({
    ...{ proto: fc.nat(255), src: end, dst: end, txPkts: count, txBytes: count, rxPkts: count },
  });
  const rows = fc.array(row, { maxLength: 6 });
  const name = fc.string({ unit: "grapheme", maxLength: 12 });
  fc.assert(
    fc.property(rows, rows, rows, name, fc.nat(10_000), (virtual, exit, physical, node, ms) => {
      const parsed = message({
        end: new Date(Date.parse("2022-10-13T20:23:09.644Z") + ms).toISOString(),
        ...{ virtualTraffic: virtual, exitTraffic: exit, physicalTraffic: physical },
        dstNodes: [{ nodeId: "n", name: node, addresses: ["10.0.0.1"] }],
      });
      const [rule, , ...lines] = table(parsed, { names: "name", zone: UTC });
      for (const line of lines) assert.equal(columnsOf(line), rule.length, line);
      const lists = [virtual, exit, physical].filter((list) => list.length > 0);
      const hidden = lists.filter((list) =>
        list.length === 1 && list[0].proto === 0 && list[0].src === "" && list[0].dst === ""
      );
      const shown = lists.flat().length - hidden.length;
      assert.equal(lines.length, 1 + lists.length + shown);
    }),
    { seed: 73, numRuns: 500 },
  );
});
