/**
 * Goal: a report says all that it was made of, to 2^64 - 1, and is read by versions that know less or more. Method: one
 * literal report byte for byte; parse(write(x)) = x over random ones; each member wrong in turn.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CLASS_NAMES, COUNTER_NAMES } from "../../../src/counters.ts";
import {
  type Count,
  NO_COUNTS,
  parseExactJson,
  parseReport,
  type Report,
  toCount,
  writeReport,
} from "../../../src/netlog/mod.ts";
import { timeText } from "../../../src/time_text.ts";

const START_NS = 1_665_692_584_000_000_001n;
const END_NS = 1_665_692_589_000_000_000n;
const U64_MAX = 2n ** 64n - 1n;

const EMPTY: Report = {
  nodeId: "",
  startNs: START_NS,
  endNs: END_NS,
  windows: 0,
  messages: 0,
  rows: 0,
  foldedRows: 0,
  traffic: {},
  tun: null,
  sock: null,
  stale: NO_COUNTS,
  drops: {},
  lost: {},
  waitingEntries: 0,
};

function parse(text: string): Report | null {
  return parseReport(parseExactJson(text));
}

test("writeReport() writes every member in its order, on one line", () => {
  const text = writeReport({
    nodeId: "self\n",
    startNs: START_NS,
    endNs: END_NS,
    windows: 2,
    messages: 3,
    rows: 5,
    foldedRows: 1,
    traffic: {
      virtual: { txPackets: 1, txBytes: 2, rxPackets: 3, rxBytes: U64_MAX },
      exit: { ...NO_COUNTS, rxBytes: 9 },
    },
    tun: { txPackets: 1, txBytes: 2, rxPackets: 3, rxBytes: 2n ** 53n },
    sock: NO_COUNTS,
    stale: { ...NO_COUNTS, txPackets: 7 },
    drops: { outNoRoute: { packets: 4, bytes: 400 } },
    lost: { full: { entries: 2, ...NO_COUNTS, txBytes: 8 } },
    waitingEntries: 6,
  });
  assert.equal(
    text,
    '{"nodeId":"self\\n","start":"2022-10-13T20:23:04.000000001Z","end":"2022-10-13T20:23:09Z",' +
      '"tunlog":{"report":{"windows":2,"messages":3,"rows":5,"foldedRows":1,"traffic":{' +
      '"virtual":{"txPkts":1,"txBytes":2,"rxPkts":3,"rxBytes":18446744073709551615},' +
      '"exit":{"rxBytes":9}},"tun":{"txPkts":1,"txBytes":2,"rxPkts":3,"rxBytes":9007199254740992},' +
      '"sock":{},"stale":{"txPkts":7},"drops":{"outNoRoute":{"pkts":4,"bytes":400}},' +
      '"lost":{"full":{"entries":2,"txBytes":8}},"waitingEntries":6}}}',
  );
});

test("writeReport() leaves out what is nothing, and parseReport() fills it in", () => {
  const text = writeReport({ ...EMPTY, traffic: { exit: NO_COUNTS } });
  assert.equal(
    text,
    `{"nodeId":"","start":"${timeText(START_NS)}","end":"${
      timeText(END_NS)
    }","tunlog":{"report":{}}}`,
  );
  assert.deepEqual(parse(text), EMPTY);
});

test("writeReport() tells devices that counted nothing from those that do not say", () => {
  const report: Report = { ...EMPTY, tun: NO_COUNTS, sock: NO_COUNTS };
  assert.deepEqual(parse(writeReport(report)), report);
  assert.deepEqual(parse(writeReport(EMPTY))?.tun, null);
});

test("writeReport() leaves out a zero in either form", () => {
  assert.equal(writeReport({ ...EMPTY, windows: 0n, rows: 0n }), writeReport(EMPTY));
});

const anyCount: fc.Arbitrary<Count> = fc.oneof(
  fc.constantFrom(0n, 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, U64_MAX),
  fc.bigInt({ min: 0n, max: U64_MAX }),
).map(toCount);
/** Objects as a parser makes them. */
const PLAIN = { noNullPrototype: true } as const;
const COUNTS = { txPackets: anyCount, txBytes: anyCount, rxPackets: anyCount, rxBytes: anyCount };
const anyCounts = fc.record(COUNTS, PLAIN);
const isSome = (counts: object) => Object.values(counts).some((count) => BigInt(count) > 0n);
const anyText = fc.string({ unit: "grapheme", maxLength: 12 }).map((text) => text.toWellFormed());
const anyNs = fc.bigInt({ min: -62_135_596_800_000_000_000n, max: 253_402_300_799_999_999_999n });
const subset = <T, N extends string>(names: readonly N[], value: fc.Arbitrary<T>) =>
  fc.dictionary(fc.constantFrom(...names), value, PLAIN);

const anyReport: fc.Arbitrary<Report> = fc.record({
  nodeId: anyText,
  startNs: anyNs,
  endNs: anyNs,
  windows: anyCount,
  messages: anyCount,
  rows: anyCount,
  foldedRows: anyCount,
  traffic: subset(CLASS_NAMES, anyCounts.filter(isSome)),
  tun: fc.option(anyCounts),
  sock: fc.option(anyCounts),
  stale: anyCounts,
  drops: subset(
    COUNTER_NAMES,
    fc.record({ packets: anyCount, bytes: anyCount }, PLAIN).filter(isSome),
  ),
  lost: fc.dictionary(
    anyText,
    fc.record({ entries: anyCount, ...COUNTS }, PLAIN).filter(isSome),
    PLAIN,
  ),
  waitingEntries: anyCount,
}, PLAIN);

test("parseReport() reads what writeReport() wrote", () => {
  fc.assert(
    fc.property(anyReport, (report) => {
      assert.deepEqual(parse(writeReport(report)), report);
    }),
    { seed: 5, numRuns: 1_000 },
  );
});

test("parseReport() passes over what a newer version may have added", () => {
  const text = writeReport({
    ...EMPTY,
    windows: 1,
    traffic: { exit: { ...NO_COUNTS, txBytes: 1 } },
    drops: { outNoRoute: { packets: 1, bytes: 1 } },
  });
  const newer = text
    .replace('"traffic":{', '"future":[1],"traffic":{"relay":{"txPkts":"x"},')
    .replace('"drops":{', '"drops":{"outFuture":7,')
    .replace('"tunlog":{', '"logtail":{"proc_seq":3},"tunlog":{"parts":2,');
  assert.notEqual(newer, text);
  assert.deepEqual(parse(newer), parse(text));
});

test("parseReport() takes null for absent, as it takes it in messages", () => {
  const text = writeReport(EMPTY).replace(
    '"report":{}',
    '"report":{"windows":null,"traffic":null,"tun":null,"stale":null,"drops":null,"lost":null}',
  );
  assert.deepEqual(parse(text), EMPTY);
});

test("parseReport() says null of what is no report", () => {
  const none = [
    "null",
    "1",
    '"report"',
    "[]",
    "{}",
    '{"report":{}}',
    '{"tunlog":null}',
    '{"tunlog":[]}',
    '{"tunlog":"report"}',
    '{"tunlog":{}}',
    '{"tunlog":{"report":null}}',
    '{"nodeId":"a","start":"x","virtualTraffic":[],"tunlog":{"part":1,"parts":2}}',
  ];
  for (const text of none) assert.equal(parse(text), null, text);
});

test("parseReport() refuses a report that is wrong, and says what is wrong where", () => {
  const whole = writeReport({
    ...EMPTY,
    windows: 1,
    traffic: { exit: { ...NO_COUNTS, txBytes: 1 } },
    tun: { ...NO_COUNTS, txBytes: 2 },
    stale: { ...NO_COUNTS, txBytes: 3 },
    drops: { outNoRoute: { packets: 4, bytes: 5 } },
    lost: { full: { ...NO_COUNTS, entries: 6 } },
    waitingEntries: 7,
  });
  const wrong: readonly (readonly [from: string, to: string, said: string])[] = [
    ['"windows":1', '"windows":-1', '"windows" is -1, not an integer of 0 .. 2^64 - 1'],
    ['"windows":1', '"windows":1.5', '"windows" is 1.5, not an integer of 0 .. 2^64 - 1'],
    ['"windows":1', '"windows":"1"', '"windows" is "1", not an integer of 0 .. 2^64 - 1'],
    ['"txBytes":1', '"txBytes":[]', '"txBytes" is an array, not an integer of 0 .. 2^64 - 1'],
    ['{"txBytes":2}', "2", '"tun" is 2, not an object'],
    ['{"txBytes":3}', "true", '"stale" is true, not an object'],
    ['"pkts":4', '"pkts":{}', '"pkts" is an object, not an integer of 0 .. 2^64 - 1'],
    ['"bytes":5', '"bytes":false', '"bytes" is false, not an integer of 0 .. 2^64 - 1'],
    ['{"pkts":4,"bytes":5}', "null", '"outNoRoute" is null, not an object'],
    ['{"entries":6}', "6", '"full" is 6, not an object'],
    ['{"full":{"entries":6}}', "[]", '"lost" is an array, not an object'],
    ['{"exit":{"txBytes":1}}', '""', '"traffic" is "", not an object'],
    ['"waitingEntries":7', '"waitingEntries":1e30', '"waitingEntries" is 1e+30, not an integer of'],
    ['"nodeId":""', '"nodeId":5', '"nodeId" is 5, not a string'],
    ['"2022-10-13T20:23:09Z"', '"2022"', '"end" is "2022", not a time'],
    ['"start":', '"begin":', '"start" is absent, not a time'],
  ];
  for (const [from, to, said] of wrong) {
    const text = whole.replace(from, to);
    assert.notEqual(text, whole, from);
    assert.throws(
      () => parse(text),
      (error) =>
        error instanceof SyntaxError &&
        error.message.startsWith(`Cannot read a flow message: ${said}`),
      said,
    );
  }
  assert.throws(() => parse('{"tunlog":{"report":7}}'), SyntaxError);
});

test("parseReport() throws nothing but SyntaxError, whatever JSON it is given", () => {
  let reports = 0;
  const json = fc.oneof(
    fc.json(),
    fc.json().map((value) => `{"start":"${timeText(START_NS)}","tunlog":{"report":${value}}}`),
    fc.tuple(anyReport, fc.nat(), fc.json()).map(([report, at, value]) => {
      const colons = [...writeReport(report).matchAll(/:(\d+)/g)];
      const chosen = colons[at % Math.max(1, colons.length)];
      const text = writeReport(report);
      return chosen === undefined
        ? text
        : `${text.slice(0, chosen.index)}:${value}${text.slice(chosen.index + chosen[0].length)}`;
    }),
  );
  fc.assert(
    fc.property(json, (text) => {
      try {
        if (parse(text) !== null) reports++;
      } catch (error) {
        assert.ok(error instanceof SyntaxError, String(error));
      }
    }),
    { seed: 6, numRuns: 2_000 },
  );
  assert.ok(reports > 20, `only ${reports} reports were read`);
});
