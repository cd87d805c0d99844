// Goal: rows of several threads become one per key and kind, and no count is lost. Method: random rows against a Map.
import { test } from "node:test";
import assert from "node:assert/strict";
import { FlowRow } from "../../../src/flow/mod.ts";
import { KEY } from "../../../src/packet/mod.ts";
import { RowMerge } from "../../../src/node/row_merge.ts";
import { SeededRandom } from "../../../src/platform/memory.ts";
import { SECRET } from "../flow/support.ts";

const COUNTS = ["txPackets", "txBytes", "rxPackets", "rxBytes"] as const;

function textOf(row: FlowRow): string {
  return `${row.key} ${row.folded} ${row.other}`;
}

/** A row of one of `keys` keys, sometimes folded. */
function randomRow(random: SeededRandom, keys: number): FlowRow {
  const row = new FlowRow();
  const number = random.below(keys);
  row.folded = random.happens(0.1);
  row.other = row.folded && random.happens(0.2);
  if (!row.other) {
    row.key[KEY.HEAD] = 6;
    row.key[KEY.SRC + 3] = number;
    row.key[KEY.PORTS] = row.folded ? 0 : number * 7;
  }
  for (const name of COUNTS) row[name] = random.below(2 ** 31);
  row.txTcpFlags = random.below(256);
  row.rxTcpFlags = random.below(256);
  return row;
}

test("RowMerge equals a Map, window after window, also when it has grown", () => {
  const random = new SeededRandom(1);
  const merge = new RowMerge(SECRET);
  for (const keys of [3, 5_000, 1, 40_000, 100]) {
    const twin = new Map<string, number[]>();
    const flags = new Map<string, number>();
    for (let count = 0; count < keys * 3; count++) {
      const row = randomRow(random, keys);
      const name = textOf(row);
      const sums = twin.get(name) ?? [0, 0, 0, 0];
      twin.set(name, sums.map((sum, index) => sum + row[COUNTS[index]!]));
      flags.set(name, (flags.get(name) ?? 0) | row.txTcpFlags | row.rxTcpFlags << 8);
      merge.add(row);
    }
    const order = [...twin.keys()];
    let taken = 0;
    merge.take((row) => {
      const name = textOf(row);
      assert.equal(name, order[taken++], "rows stand in the order of their first");
      assert.deepEqual(COUNTS.map((count) => row[count]), twin.get(name));
      assert.equal(row.txTcpFlags | row.rxTcpFlags << 8, flags.get(name));
    });
    assert.equal(taken, twin.size);
  }
  merge.take(() => assert.fail("all was taken"));
});

test("RowMerge keeps the type and code of the first packet of an ICMP flow", () => {
  const merge = new RowMerge(SECRET);
  const row = new FlowRow();
  row.key[KEY.HEAD] = 1;
  for (const code of [0x0800, 0x0000, 0x0301]) {
    row.icmpTypeCode = code;
    row.txPackets = 1;
    merge.add(row);
  }
  merge.take((merged) => assert.deepEqual([merged.icmpTypeCode, merged.txPackets], [0x0800, 3]));
});
