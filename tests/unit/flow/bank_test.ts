/**
 * Goal: a bank counts each packet on its flow's row, keeps TCP flags and ICMP types beside it, and when it is full
 * folds flows together without losing a count. Method: direct counts through a writer and a reader in one thread.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  banksByteLength,
  createBanks,
  FlowReader,
  FlowRow,
  FlowWriter,
} from "../../../src/flow/mod.ts";
import {
  FLOW_PROBES_MAX,
  FLOWS_MAX_DEFAULT,
  FLOWS_MAX_MAX,
  FLOWS_MAX_MIN,
  FLOWS_PER_FOLDED_ROW,
} from "../../../src/limits.ts";
import { HASH_SECRET_WORDS, KEY } from "../../../src/packet/mod.ts";
import { keyOf, nameOf, SECRET, sumRows, swapped, takeRows } from "./support.ts";

const U32_MAX = 0xffffffff;
/** Gives all keys the same hash, so that only the comparison of keys tells them apart. */
const ZERO_SECRET = new Uint32Array(HASH_SECRET_WORDS);

function setUp(flowsMax = FLOWS_MAX_MIN, secret = SECRET) {
  const memory = createBanks(flowsMax, secret);
  let firsts = 0;
  const writer = new FlowWriter(memory, () => firsts++);
  const reader = new FlowReader(memory);
  return { writer, reader, firsts: () => firsts };
}

test("FlowWriter counts both directions of a flow on one row, the local side as source", () => {
  const { writer, reader } = setUp();
  const key = keyOf({});
  writer.countTx(key, 2, 100, 0);
  writer.countRx(swapped(key), 3, 4_000, 0);
  writer.countTx(key, 1, 60, 0);
  const rows = takeRows(reader, writer);
  assert.deepEqual(rows, [{
    ...{ name: "6 10.0.0.1:1000 10.1.0.2:80", folded: false, other: false },
    ...{ txPackets: 3, txBytes: 160, rxPackets: 3, rxBytes: 4_000 },
    ...{ txTcpFlags: 0, rxTcpFlags: 0, icmpTypeCode: 0 },
  }]);
});

test("FlowWriter tells flows apart by every part of the key", () => {
  const v6 = { srcV6: true, dstV6: true };
  const keys = [
    ...[{}, { proto: 17 }, { src: 9 }, { dst: 9 }, { srcPort: 9 }, { dstPort: 9 }].map(keyOf),
    ...[v6, { ...v6, src: 9 }, { ...v6, dst: 9 }, { srcV6: true }, { dstV6: true }].map(keyOf),
  ];
  for (let word = KEY.SRC; word < KEY.SRC + 8; word++) {
    const key = keyOf(v6);
    key[word] ^= 0x80000000;
    keys.push(key);
  }
  for (const secret of [SECRET, ZERO_SECRET]) {
    const { writer, reader } = setUp(FLOWS_MAX_MIN, secret);
    keys.forEach((key, index) => writer.countTx(key, index + 1, 0, 0));
    const rows = takeRows(reader, writer);
    assert.deepEqual(
      rows.map(({ name, txPackets }) => [name, txPackets]),
      keys.map((key, index) => [nameOf(key), index + 1]),
    );
    assert.equal(new Set(rows.map(({ name }) => name)).size, keys.length);
  }
});

test("FlowWriter swaps the families of a received packet's sides", () => {
  const { writer, reader } = setUp();
  // A physical row: overlay IPv4, endpoint IPv6.
  const key = keyOf({ proto: 0, dstV6: true, srcPort: 0 });
  writer.countTx(key, 1, 10, 0);
  writer.countRx(swapped(key), 1, 20, 0);
  const rows = takeRows(reader, writer);
  assert.deepEqual(rows.map(({ name, txBytes, rxBytes }) => [name, txBytes, rxBytes]), [
    ["0 10.0.0.1:0 [fd01::2]:80", 10, 20],
  ]);
});

test("FlowWriter gathers TCP flags by direction", () => {
  const { writer, reader } = setUp();
  const key = keyOf({});
  writer.countTx(key, 1, 40, 0x02);
  writer.countRx(swapped(key), 1, 40, 0x12);
  writer.countTx(key, 1, 40, 0x10);
  writer.countRx(swapped(key), 1, 40, 0x81);
  const [row] = takeRows(reader, writer);
  assert.deepEqual([row.txTcpFlags, row.rxTcpFlags, row.icmpTypeCode], [0x12, 0x93, 0]);
});

test("FlowWriter keeps the first packet's ICMP type and code", () => {
  const { writer, reader } = setUp();
  const key = keyOf({ proto: 1, srcPort: 0, dstPort: 0 });
  writer.countRx(swapped(key), 1, 40, 0xff01);
  writer.countTx(key, 1, 40, 0x0000);
  const [row] = takeRows(reader, writer);
  assert.deepEqual([row.icmpTypeCode, row.txTcpFlags, row.rxTcpFlags], [0xff01, 0, 0]);
});

test("FlowRow names proto and ports", () => {
  const row = new FlowRow();
  row.key.set(keyOf({ proto: 17, srcPort: 0xffff, dstPort: 1, srcV6: true }));
  assert.deepEqual([row.proto, row.srcPort, row.dstPort], [17, 0xffff, 1]);
});

test("FlowWriter holds flowsMax flows, then folds the next ones by their addresses", () => {
  const { writer, reader } = setUp(FLOWS_MAX_MIN);
  const counted = FLOWS_MAX_MIN + 6;
  for (let port = 0; port < counted; port++) {
    writer.countTx(keyOf({ dstPort: port, dst: port % 2 }), 1, 100, 0x02);
    writer.countRx(swapped(keyOf({ dstPort: port, dst: port % 2 })), 2, 10, 0x10);
  }
  const rows = takeRows(reader, writer);
  const flows = rows.filter(({ folded }) => !folded);
  assert.equal(flows.length, FLOWS_MAX_MIN);
  assert.ok(flows.every((row) => row.txPackets === 1 && row.rxPackets === 2));
  const folded = rows.filter((row) => row.folded);
  assert.deepEqual(
    folded.map(({ name, txPackets, rxBytes, other }) => [name, txPackets, rxBytes, other]),
    [["6 10.0.0.1:0 10.1.0.0:0", 3, 30, false], ["6 10.0.0.1:0 10.1.0.1:0", 3, 30, false]],
  );
});

test("FlowWriter keeps counting known flows exactly after the bank is full", () => {
  const { writer, reader } = setUp(FLOWS_MAX_MIN);
  for (let port = 0; port < 1_000; port++) writer.countTx(keyOf({ dstPort: port }), 1, 1, 0);
  writer.countTx(keyOf({ dstPort: 5 }), 1, 1, 0);
  const rows = takeRows(reader, writer);
  assert.equal(rows.find(({ name }) => name.endsWith(":5"))!.txPackets, 2);
  assert.equal(sumRows(rows).txPackets, 1_001);
});

test("FlowWriter folds ports-0 flows apart from the folded row of the same addresses", () => {
  for (const secret of [SECRET, ZERO_SECRET]) {
    const { writer, reader } = setUp(FLOWS_MAX_MIN, secret);
    writer.countTx(keyOf({ srcPort: 0, dstPort: 0 }), 1, 1, 0);
    for (let port = 1; port < 100; port++) writer.countTx(keyOf({ dstPort: port }), 1, 1, 0);
    const named = takeRows(reader, writer).filter(({ name }) => name.endsWith("10.1.0.2:0"));
    assert.deepEqual(named.map(({ folded, txPackets }) => [folded, txPackets]), [[false, 1], [
      true,
      100 - FLOWS_MAX_MIN,
    ]]);
  }
});

test("FlowWriter counts on one last row when there is no room for folded ones either", () => {
  const { writer, reader } = setUp(FLOWS_MAX_MIN);
  const counted = 5_000;
  for (let dst = 0; dst < counted; dst++) {
    writer.countTx(keyOf({ dst }), 1, 100, 0x02);
    writer.countRx(swapped(keyOf({ dst, srcV6: true })), 1, 7, 0x02);
  }
  const rows = takeRows(reader, writer);
  const other = rows.filter((row) => row.other);
  assert.equal(other.length, 1);
  assert.equal(other[0], rows.at(-1));
  assert.equal(other[0].folded, true);
  assert.deepEqual([other[0].txTcpFlags, other[0].rxTcpFlags], [0, 0]);
  assert.equal(rows.length, FLOWS_MAX_MIN + FLOWS_MAX_MIN / FLOWS_PER_FOLDED_ROW + 1);
  assert.deepEqual(sumRows(rows), {
    ...{ txPackets: counted, txBytes: counted * 100, rxPackets: counted, rxBytes: counted * 7 },
  });
  assert.equal(takeRows(reader, writer).length, 0, "the other bank is empty");
  writer.countTx(keyOf({}), 1, 1, 0);
  assert.equal(takeRows(reader, writer).length, 1, "cleared, the last row included");
});

test("FlowWriter loses nothing when a record's 32 bits of packets are full", () => {
  const { writer, reader } = setUp();
  const key = keyOf({});
  writer.countTx(key, U32_MAX, 10, 0);
  writer.countTx(key, 1, 10, 0);
  writer.countTx(key, U32_MAX, 10, 0);
  writer.countTx(key, U32_MAX - 1, 10, 0);
  writer.countRx(swapped(key), U32_MAX - 1, 10, 0);
  writer.countRx(swapped(key), 1, 10, 0);
  const rows = takeRows(reader, writer);
  assert.deepEqual(
    rows.map(({ folded, other, txPackets, rxPackets }) => [folded, other, txPackets, rxPackets]),
    [[false, false, U32_MAX, U32_MAX], [true, false, U32_MAX, 0], [true, true, U32_MAX, 0]],
  );
  assert.equal(sumRows(rows).txPackets, 3 * U32_MAX);
  assert.equal(sumRows(rows).txBytes, 40);
  assert.equal(sumRows(rows).rxPackets, U32_MAX);
});

test("FlowWriter degrades to folding, not to long searches, when the secret is known", () => {
  const { writer, reader } = setUp(4_096, ZERO_SECRET);
  for (let port = 0; port < 4_000; port++) writer.countTx(keyOf({ dstPort: port }), 1, 100, 0);
  const rows = takeRows(reader, writer);
  assert.equal(rows.filter(({ folded }) => !folded).length, FLOW_PROBES_MAX);
  assert.equal(sumRows(rows).txPackets, 4_000);
  assert.equal(sumRows(rows).txBytes, 400_000);
  assert.equal(takeRows(reader, writer).length, 0);
  writer.countTx(keyOf({}), 1, 1, 0);
  assert.equal(takeRows(reader, writer).length, 1);
});

test("FlowReader.clear leaves nothing behind, after few flows and after many", () => {
  const { writer, reader } = setUp(1_024);
  for (const flows of [1, 3, 127, 128, 129, 1_024, 1_500, 2]) {
    for (let round = 0; round < 2; round++) {
      for (let port = 0; port < flows; port++) writer.countTx(keyOf({ dstPort: port }), 1, 1, 0);
      const rows = takeRows(reader, writer);
      assert.equal(sumRows(rows).txPackets, flows);
      assert.equal(rows.length, Math.min(flows, 1_025));
    }
  }
});

test("FlowWriter tells of the first count into each empty bank, once", () => {
  const { writer, reader, firsts } = setUp();
  assert.equal(reader.activeIsEmpty, true);
  assert.equal(firsts(), 0);
  writer.countTx(keyOf({}), 1, 1, 0);
  writer.countTx(keyOf({ dstPort: 2 }), 1, 1, 0);
  assert.equal(firsts(), 1);
  assert.equal(reader.activeIsEmpty, false);
  takeRows(reader, writer);
  assert.equal(reader.activeIsEmpty, true);
  assert.equal(firsts(), 1);
  writer.countRx(keyOf({}), 1, 1, 0);
  assert.equal(firsts(), 2);
});

test("createBanks() takes the memory that banksByteLength() states, and limits flowsMax", () => {
  for (const flowsMax of [FLOWS_MAX_MIN, 1_000, FLOWS_MAX_DEFAULT]) {
    assert.equal(createBanks(flowsMax, SECRET).byteLength, banksByteLength(flowsMax));
  }
  assert.ok(banksByteLength(FLOWS_MAX_DEFAULT) < 11e6, `${banksByteLength(FLOWS_MAX_DEFAULT)}`);
  assert.ok(banksByteLength(1_000_000) < 170e6, `${banksByteLength(1_000_000)}`);
  assert.ok(banksByteLength(FLOWS_MAX_MAX) < 2 ** 31, "offsets fit 31 bits");
  for (const wrong of [FLOWS_MAX_MIN - 1, FLOWS_MAX_MAX + 1, 100.5, NaN]) {
    assert.throws(() => banksByteLength(wrong), RangeError);
  }
  assert.throws(() => new FlowWriter(new SharedArrayBuffer(4_096)), TypeError);
});

test("FlowWriter holds a million flows apart", () => {
  const flows = 1_000_000;
  const { writer, reader } = setUp(flows);
  const key = keyOf({});
  for (let round = 1; round <= 2; round++) {
    for (let flow = 0; flow < flows; flow++) {
      key[KEY.DST + 3] = flow;
      writer.countTx(key, 1, round * 100, 0);
    }
  }
  reader.flip();
  writer.handOver();
  let rows = 0;
  reader.forEachRow((row) => {
    assert.ok(row.txPackets === 2 && row.txBytes === 300 && !row.folded);
    rows++;
  });
  assert.equal(rows, flows);
  reader.clear();
});
