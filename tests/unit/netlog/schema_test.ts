/** Goal: the wire form is the original's. Method: its expectations on rows and quoting; each member alone. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { type Connection, COUNT_MAX, writeMessage } from "../../../src/netlog/mod.ts";
import { quote, writeConnection, writeExtension, writeNode } from "../../../src/netlog/schema.ts";

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
const ALL_ONES = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";

test("writeConnection() H-8: the longest row of the original has 247 bytes", () => {
  const text = writeConnection({
    ...NO_ROW,
    proto: 255,
    src: ALL_ONES,
    dst: ALL_ONES,
    txPackets: COUNT_MAX,
    txBytes: COUNT_MAX,
    rxPackets: COUNT_MAX,
    rxBytes: COUNT_MAX,
  });
  assert.equal(
    text,
    `{"proto":255,"src":"${ALL_ONES}","dst":"${ALL_ONES}","txPkts":18446744073709551615,` +
      '"txBytes":18446744073709551615,"rxPkts":18446744073709551615,"rxBytes":18446744073709551615}',
  );
  assert.equal(text.length, 247);
});

test("writeConnection() leaves out whatever is zero", () => {
  assert.equal(writeConnection(NO_ROW), "{}");
  assert.equal(writeConnection({ ...NO_ROW, txPackets: 3 }), '{"txPkts":3}');
  assert.equal(writeConnection({ ...NO_ROW, txBytes: 0n, rxBytes: 5n }), '{"rxBytes":5}');
  assert.equal(writeConnection({ ...NO_ROW, proto: 6 }), '{"proto":6}');
  assert.equal(writeConnection({ ...NO_ROW, dst: "0.0.0.0:0" }), '{"dst":"0.0.0.0:0"}');
  assert.equal(writeConnection({ ...NO_ROW, folded: true }), '{"folded":true}');
});

test("writeConnection() refuses counters that no reader could take", () => {
  for (const bad of [-1, 0.5, NaN, 2 ** 53, -1n, COUNT_MAX + 1n]) {
    for (const name of ["txPackets", "txBytes", "rxPackets", "rxBytes"]) {
      assert.throws(
        () => writeConnection({ ...NO_ROW, [name]: bad }),
        RangeError,
        `${name} ${bad}`,
      );
    }
  }
});

test("quote() H-7: as the original quotes", () => {
  const ascii = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
  const short: Record<string, string> = {
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
    '"': '\\"',
    "\\": "\\\\",
  };
  for (const [code, character] of ascii.entries()) {
    const other = code < 0x20 ? `\\u00${code.toString(16).padStart(2, "0")}` : character;
    assert.equal(quote(character), `"${short[character] ?? other}"`);
  }
  assert.equal(quote(""), '""');
  assert.equal(quote("\ufffd"), '"\ufffd"');
  assert.equal(quote("\ud800x"), '"\ufffdx"', "not Unicode");
  assert.equal(quote("\u2028<>&Ψ😀"), '"\u2028<>&Ψ😀"');
});

test("writeNode() H-6: order of members, absent ones left out", () => {
  assert.equal(writeNode({ nodeId: "" }), '{"nodeId":""}');
  assert.equal(
    writeNode({
      nodeId: "n1",
      name: "a",
      addresses: ["1.2.3.4", "::1"],
      os: "linux",
      tags: ["tag:a", "tag:b"],
      user: "u",
    }),
    '{"nodeId":"n1","name":"a","addresses":["1.2.3.4","::1"],"os":"linux","tags":["tag:a","tag:b"],"user":"u"}',
  );
  assert.equal(
    writeNode({ nodeId: "n1", os: "", tags: [], user: 'a"b' }),
    '{"nodeId":"n1","user":"a\\"b"}',
  );
});

test("writeExtension() writes what there is to say, or nothing", () => {
  assert.equal(writeExtension({}), "");
  assert.equal(
    writeExtension({
      part: 1,
      parts: 2,
      lengthMs: 0,
      exitMode: "full",
      unknown: NO_ROW,
      other: { ...NO_ROW, rxBytes: 1 },
    }),
    ',"tunlog":{"part":1,"parts":2,"lengthMs":0,"exitMode":"full","unknown":{},"other":{"rxBytes":1}}',
  );
});

test("writeMessage() leaves out lists, nodes and our own member where there is nothing in them", () => {
  const lists = { dstNodes: [], virtual: [], subnet: [], exit: [], physical: [] };
  const empty = { nodeId: "", startNs: 0n, endNs: 0n, srcNode: null, ...lists, extension: {} };
  const times = '"start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:00:00Z"';
  assert.equal(writeMessage(empty), `{"nodeId":"",${times}}`);
  assert.equal(
    writeMessage({ ...empty, srcNode: { nodeId: "" } }),
    `{"nodeId":"",${times},"srcNode":{"nodeId":""}}`,
  );
});

test("writeMessage() writes lists in their order, with commas between what there is", () => {
  const message = {
    nodeId: "n",
    startNs: 0n,
    endNs: 1n,
    srcNode: null,
    dstNodes: [{ nodeId: "a" }, { nodeId: "b" }],
    virtual: [NO_ROW, NO_ROW],
    subnet: [NO_ROW],
    exit: [],
    physical: [NO_ROW],
    extension: { lengthMs: 1 },
  };
  assert.equal(
    writeMessage(message),
    '{"nodeId":"n","start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:00:00.000000001Z",' +
      '"dstNodes":[{"nodeId":"a"},{"nodeId":"b"}],"virtualTraffic":[{},{}],"subnetTraffic":[{}],' +
      '"physicalTraffic":[{}],"tunlog":{"lengthMs":1}}',
  );
});
