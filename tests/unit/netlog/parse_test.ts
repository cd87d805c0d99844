/**
 * Goal: messages of the original's two shapes and our own are read exactly; what is wrong is named. Method: the shapes of
 * SPEC 1.2 and 1.8.9; each member with wrong values; anything at all.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Connection,
  COUNT_MAX,
  type ExactJson,
  EXIT_MODES,
  hasTraffic,
  type Message,
  parseMessage,
  toCount,
  toMessage,
  writeMessage,
} from "../../../src/netlog/mod.ts";
import { anyEnd } from "./support.ts";

const SEED = 37;

const EMPTY: Message = {
  nodeId: "",
  startNs: 1_665_692_589_644_000_000n,
  endNs: 1_665_692_594_000_000_000n,
  srcNode: null,
  dstNodes: [],
  virtual: [],
  subnet: [],
  exit: [],
  physical: [],
  extension: {},
};
const TIMES = '"start":"2022-10-13T20:23:09.644Z","end":"2022-10-13T20:23:14Z"';
const NO_ROW: Connection = {
  proto: 0,
  src: "",
  dst: "",
  txPackets: 0,
  txBytes: 0,
  rxPackets: 0,
  rxBytes: 0,
  folded: false,
};

/** Reads one row of the exit list. */
function readRow(members: string): Connection {
  return parseMessage(`{${TIMES},"exitTraffic":[{${members}}]}`).exit[0];
}

test("parseMessage() reads the seed's shape: nothing omitted but zero counters", () => {
  assert.deepEqual(
    parseMessage(
      '{"start":"2022-10-13T20:23:09.644Z","end":"2022-10-13T20:23:14Z","virtualTraffic":[{"proto":6,"src":"100.64.0.1:22","dst":"[fd7a:115c:a1e0::53]:80","txPkts":1,"txBytes":2,"rxBytes":18446744073709551615}],"exitTraffic":[{"proto":0,"src":"","dst":"","txPkts":3}]}',
    ),
    {
      ...EMPTY,
      virtual: [{
        ...NO_ROW,
        proto: 6,
        src: "100.64.0.1:22",
        dst: "[fd7a:115c:a1e0::53]:80",
        txPackets: 1,
        txBytes: 2,
        rxBytes: COUNT_MAX,
      }],
      exit: [{ ...NO_ROW, txPackets: 3 }],
    },
  );
});

test("parseMessage() reads what the seed's client made of it: sorted members, floats, logtail", () => {
  assert.deepEqual(
    parseMessage(
      '{"end":"2022-10-13T20:23:14Z","exitTraffic":[{"dst":"","proto":0,"src":"","txPkts":3}],' +
        '"logtail":{"client_time":"2022-10-13T20:23:15Z","proc_id":7,"proc_seq":1},"start":"2022-10-13T20:23:09.644Z",' +
        '"virtualTraffic":[{"dst":"[fd7a:115c:a1e0::53]:80","proto":6,"rxBytes":18446744073709552000,"src":"100.64.0.1:22"}]}',
    ),
    {
      ...EMPTY,
      virtual: [{
        ...NO_ROW,
        proto: 6,
        src: "100.64.0.1:22",
        dst: "[fd7a:115c:a1e0::53]:80",
        rxBytes: COUNT_MAX,
      }],
      exit: [{ ...NO_ROW, txPackets: 3 }],
    },
  );
});

test("parseMessage() reads the newer shape: zero members omitted, nodes", () => {
  const text =
    `{"nodeId":"n1",${TIMES},"srcNode":{"nodeId":"n1","name":"a.example","addresses":["100.64.0.1"],` +
    `"os":"linux","tags":["tag:a"]},"dstNodes":[{"nodeId":"n2","user":"u@example"}],"exitTraffic":[{"txPkts":3}]}`;
  const message = parseMessage(text);
  assert.deepEqual(message, {
    ...EMPTY,
    nodeId: "n1",
    srcNode: {
      nodeId: "n1",
      name: "a.example",
      addresses: ["100.64.0.1"],
      os: "linux",
      tags: ["tag:a"],
    },
    dstNodes: [{ nodeId: "n2", user: "u@example" }],
    exit: [{ ...NO_ROW, txPackets: 3 }],
  });
  assert.equal(writeMessage(message), text);
});

test("parseMessage() takes null and empty for absent", () => {
  const nothing = parseMessage(
    `{${TIMES},"nodeId":null,"srcNode":null,"dstNodes":null,"virtualTraffic":null,"subnetTraffic":[],"tunlog":null,"more":{}}`,
  );
  assert.deepEqual(nothing, EMPTY);
  assert.deepEqual(
    readRow(
      '"proto":null,"src":null,"dst":null,"txPkts":null,"txBytes":null,"rxPkts":null,"rxBytes":null,"folded":null',
    ),
    NO_ROW,
  );
  assert.deepEqual(parseMessage(`{${TIMES},"tunlog":{"part":null,"unknown":null}}`), EMPTY);
  const { srcNode } = parseMessage(
    `{${TIMES},"srcNode":{"name":"","addresses":[],"os":"","tags":[],"user":""}}`,
  );
  assert.deepEqual(srcNode, { nodeId: "" });
});

test("parseMessage() reads protocols by number, decimal text or any name that the original takes", () => {
  const cases: [string, number][] = [
    ["0", 0],
    ["255", 255],
    ['"0"', 0],
    ['"17"', 17],
    ['"255"', 255],
    ['""', 0],
    ['"ah"', 51],
    ['"dccp"', 33],
    ['"egp"', 8],
    ['"esp"', 50],
    ['"gre"', 47],
    ['"icmp"', 1],
    ['"icmpv4"', 1],
    ['"icmpv6"', 58],
    ['"igmp"', 2],
    ['"igp"', 9],
    ['"ip-in-ip"', 4],
    ['"ipv4"', 4],
    ['"ipv6-icmp"', 58],
    ['"sctp"', 132],
    ['"tcp"', 6],
    ['"tsmp"', 99],
    ['"udp"', 17],
    ['"IPv6-ICMP"', 58],
    ['"TCP"', 6],
  ];
  for (const [text, expected] of cases) {
    assert.equal(readRow(`"proto":${text}`).proto, expected, text);
  }
  for (
    const text of [
      "-1",
      "256",
      "6.5",
      '"256"',
      '"-1"',
      '"6 "',
      '"tcpp"',
      '"constructor"',
      '"__proto__"',
      "true",
      "[6]",
      "{}",
    ]
  ) {
    assert.throws(() => readRow(`"proto":${text}`), {
      name: "SyntaxError",
      message: /"proto" is .*0 \.\. 255/,
    }, text);
  }
});

test("parseMessage() reads counters in any way that writes an integer", () => {
  const cases: [string, number | bigint][] = [
    ["0", 0],
    ["-0", 0],
    ["1", 1],
    ["1e3", 1_000],
    ["1.5e1", 15],
    ["12.0", 12],
    ["9007199254740991", 9007199254740991],
    ["9007199254740992", 9007199254740992n],
    ["9007199254740993", 9007199254740993n],
    ["1e19", 10_000_000_000_000_000_000n],
    ["18446744073709551615", COUNT_MAX],
    // As writers in floats say 2^64 - 1.
    ["18446744073709551616", COUNT_MAX],
    ["18446744073709552000", COUNT_MAX],
    ["1.8446744073709552e+19", COUNT_MAX],
  ];
  for (const [text, expected] of cases) {
    assert.ok(Object.is(readRow(`"txPkts":${text}`).txPackets, expected), text);
  }
  for (
    const text of [
      "-1",
      "0.5",
      "18446744073709552001",
      "2e19",
      "1e400",
      "-9007199254740993",
      '"1"',
      "true",
      "[1]",
    ]
  ) {
    assert.throws(() => readRow(`"txPkts":${text}`), {
      name: "SyntaxError",
      message: /"txPkts" is .*2\^64 - 1/,
    }, text);
  }
});

test("parseMessage() brings addresses to their one form", () => {
  const cases: [string, string][] = [
    ["10.0.0.1:0", "10.0.0.1:0"],
    ["[2001:DB8:0:0:0:0:0:1]:443", "[2001:db8::1]:443"],
    ["[::ffff:a00:1]:1", "[::ffff:10.0.0.1]:1"],
    ["[fe80::1%eth0]:65535", "[fe80::1%eth0]:65535"],
    ["[2001:db8:0:1:1:1:1:1]:5", "[2001:db8:0:1:1:1:1:1]:5"],
    ["0.0.0.0:0", "0.0.0.0:0"],
  ];
  for (const [text, expected] of cases) {
    assert.equal(readRow(`"src":"${text}"`).src, expected);
    assert.equal(readRow(`"dst":"${text}"`).dst, expected);
  }
  for (
    const text of [
      "10.0.0.1",
      ":80",
      "10.0.0.1:65536",
      "10.0.0.1:080",
      "::1:80",
      "[10.0.0.1]:80",
      "host:80",
      " ",
    ]
  ) {
    assert.throws(
      () => readRow(`"src":"${text}"`),
      { name: "SyntaxError", message: /"src" is/ },
      text,
    );
    assert.throws(
      () => readRow(`"dst":"${text}"`),
      { name: "SyntaxError", message: /"dst" is/ },
      text,
    );
  }
});

test("parseMessage() takes a row for folded only where it says so", () => {
  assert.ok(readRow('"folded":true').folded);
  assert.ok(!readRow('"folded":"true"').folded);
});

test("parseMessage() reads our own member, and no exit mode that it does not know", () => {
  const members =
    '"part":1,"parts":2,"lengthMs":0,"exitMode":"keyed","unknown":{"txPkts":1},"other":{"rxBytes":9007199254740993}';
  assert.deepEqual(parseMessage(`{${TIMES},"tunlog":{${members}}}`).extension, {
    part: 1,
    parts: 2,
    lengthMs: 0,
    exitMode: "keyed",
    unknown: { txPackets: 1, txBytes: 0, rxPackets: 0, rxBytes: 0 },
    other: { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 9007199254740993n },
  });
  assert.deepEqual(parseMessage(`{${TIMES},"tunlog":{"exitMode":"novel"}}`).extension, {});
});

test("parseMessage() says what is wrong where", () => {
  const cases: [string, RegExp][] = [
    ["[]", /"message" is an array, not an object/],
    ["null", /"message" is null, not an object/],
    ['"x"', /"message" is "x", not an object/],
    ['{"end":"2022-10-13T20:23:14Z"}', /"start" is absent, not a time/],
    ['{"start":"2022-10-13T20:23:14Z","end":5}', /"end" is 5, not a time/],
    ['{"start":"2022-10-13T20:23:14Z","end":"x"}', /"end" is "x", not a time/],
    [`{${TIMES},"nodeId":9007199254740993}`, /"nodeId" is 9007199254740993, not a string/],
    [`{${TIMES},"dstNodes":{}}`, /"dstNodes" is an object, not an array/],
    [`{${TIMES},"dstNodes":[1]}`, /"dstNodes" is 1, not an object/],
    [`{${TIMES},"dstNodes":[null]}`, /"dstNodes" is null, not an object/],
    [`{${TIMES},"srcNode":[]}`, /"srcNode" is an array, not an object/],
    [`{${TIMES},"srcNode":{"tags":"x"}}`, /"tags" is "x", not an array/],
    [`{${TIMES},"srcNode":{"tags":[1]}}`, /"tags" is 1, not a string/],
    [`{${TIMES},"srcNode":{"name":1}}`, /"name" is 1, not a string/],
    [`{${TIMES},"virtualTraffic":1}`, /"virtualTraffic" is 1, not an array/],
    [`{${TIMES},"subnetTraffic":[[]]}`, /"subnetTraffic" is an array, not an object/],
    [
      `{${TIMES},"physicalTraffic":[{"src":[9007199254740993]}]}`,
      /"src" is an array, not an address/,
    ],
    [`{${TIMES},"tunlog":3}`, /"tunlog" is 3, not an object/],
    [`{${TIMES},"tunlog":{"part":-1}}`, /"part" is -1, not an integer/],
    [`{${TIMES},"tunlog":{"parts":1.5}}`, /"parts" is 1.5, not an integer/],
    [
      `{${TIMES},"tunlog":{"lengthMs":9007199254740993}}`,
      /"lengthMs" is 9007199254740993, not an integer/,
    ],
    [`{${TIMES},"tunlog":{"other":[]}}`, /"other" is an array, not an object/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseMessage(text), { name: "SyntaxError", message }, text);
  }
  assert.throws(() => parseMessage(`{${TIMES},"nodeId":["${"x".repeat(500)}"]}`), {
    message: /an array/,
  });
  assert.throws(
    () => readRow(`"src":"${"x".repeat(500)}"`),
    (error: Error) => error.message.length < 200,
  );
});

test("hasTraffic() is so for an object with a list, even an empty one", () => {
  for (const list of ["virtualTraffic", "subnetTraffic", "exitTraffic", "physicalTraffic"]) {
    assert.ok(hasTraffic({ [list]: [] }));
  }
  for (
    const value of [null, 1, "virtualTraffic", [], ["virtualTraffic"], {}, {
      start: "",
    }] as ExactJson[]
  ) {
    assert.ok(!hasTraffic(value));
  }
  assert.ok(!hasTraffic(Object.create({ exitTraffic: [] })), "not its own");
});

// ---- Laws ---------------------------------------------------------------------------------------------------------

/** Objects as parseMessage() makes them. */
const PLAIN = { noNullPrototype: true } as const;

const anyCount = fc.oneof(
  fc.constantFrom(0n, 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, COUNT_MAX - 1n, COUNT_MAX),
  fc.bigInt({ min: 0n, max: COUNT_MAX }),
).map(toCount);
const anyCounts = fc.record({
  txPackets: anyCount,
  txBytes: anyCount,
  rxPackets: anyCount,
  rxBytes: anyCount,
}, PLAIN);
const anyText = fc.string({ unit: "binary", minLength: 1, maxLength: 12 });
const anyNode = fc.record(
  {
    nodeId: fc.string({ unit: "binary" }),
    name: anyText,
    addresses: fc.array(anyText, { minLength: 1, maxLength: 2 }),
    os: anyText,
    tags: fc.array(anyText, { minLength: 1, maxLength: 3 }),
    user: anyText,
  },
  { requiredKeys: ["nodeId"], noNullPrototype: true },
);
const anyList = fc.array(
  fc.tuple(
    fc.record({ proto: fc.nat(255), src: anyEnd, dst: anyEnd, folded: fc.boolean() }, PLAIN),
    anyCounts,
  )
    .map(([row, counts]): Connection => ({ ...row, ...counts })),
  { maxLength: 4 },
);
const anyNs = fc.bigInt({ min: -62_135_596_800_000_000_000n, max: 253_402_300_799_999_999_999n });
const anyMessage: fc.Arbitrary<Message> = fc.record({
  nodeId: fc.string({ unit: "binary" }),
  startNs: anyNs,
  endNs: anyNs,
  srcNode: fc.option(anyNode),
  dstNodes: fc.array(anyNode, { maxLength: 3 }),
  virtual: anyList,
  subnet: anyList,
  exit: anyList,
  physical: anyList,
  extension: fc.record({
    part: fc.nat(),
    parts: fc.nat(),
    lengthMs: fc.nat(),
    exitMode: fc.constantFrom(...EXIT_MODES),
    unknown: anyCounts,
    other: anyCounts,
  }, { requiredKeys: [], noNullPrototype: true }),
}, PLAIN);

test("parseMessage(writeMessage(x)) is x, to the last digit, and the text is JSON", () => {
  fc.assert(
    fc.property(anyMessage, (message) => {
      const text = writeMessage(message);
      JSON.parse(text);
      assert.deepEqual(parseMessage(text), message);
    }),
    { seed: SEED, numRuns: 1_000 },
  );
});

/** Values at the places where messages are read, most of them wrong. */
const anyValue = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<ExactJson>(2n ** 64n, -1n, 2n ** 60n, 1e300, null, "", "10.0.0.1:1", [], {}),
);
const nearMessage = fc.dictionary(
  fc.constantFrom(
    "nodeId",
    "start",
    "end",
    "srcNode",
    "dstNodes",
    "virtualTraffic",
    "exitTraffic",
    "tunlog",
    "logtail",
  ),
  fc.oneof(
    anyValue,
    fc.constant("2022-10-13T20:23:14Z"),
    fc.array(
      fc.dictionary(
        fc.constantFrom("proto", "src", "dst", "txPkts", "folded", "nodeId", "tags"),
        anyValue,
      ),
      { maxLength: 3 },
    ),
  ),
).map((members) => ({ start: "2022-10-13T20:23:14Z", end: "2022-10-13T20:23:14Z", ...members }));

test("toMessage() throws nothing but a SyntaxError, and gives what can be written", () => {
  let read = 0;
  let refused = 0;
  fc.assert(
    fc.property(fc.oneof(nearMessage, anyValue), (value) => {
      try {
        const message = toMessage(value as ExactJson);
        read++;
        assert.deepEqual(parseMessage(writeMessage(message)), wellFormed(message));
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        refused++;
      }
    }),
    { seed: SEED, numRuns: 5_000 },
  );
  assert.ok(read > 200 && refused > 200, `${read} read, ${refused} refused`);
});

/** Half of a surrogate pair is written as U+FFFD. */
function wellFormed<Value>(value: Value): Value {
  if (typeof value === "string") return value.toWellFormed() as Value;
  if (Array.isArray(value)) return value.map(wellFormed) as Value;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, wellFormed(each)]),
  ) as Value;
}
