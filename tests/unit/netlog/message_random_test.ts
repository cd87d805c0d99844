/**
 * Goal: the fast way says what the slow one says, and nothing counted is lost. Method: random windows with hostile mixes
 * against a slow twin, the slow writer and sums taken row by row.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { CLASS_NAMES, type ClassName, type ClassSums } from "../../../src/counters.ts";
import { MESSAGE_BYTES_MAX } from "../../../src/limits.ts";
import {
  ClassTotals,
  EXIT_MODES,
  LISTS,
  NO_NODES,
  NodeDirectory,
  type NodeSource,
  parseMessage,
  WindowEncoder,
  writeMessage,
} from "../../../src/netlog/mod.ts";
import { classUnder } from "../../reference/classify_twin.ts";
import { endsOf, windowTwin } from "../../reference/window_twin.ts";
import { encode, encodeWith, policyOf, PRF, textOf, type View, WINDOW } from "./encode_support.ts";
import { anyRouteConfig, anyRow, type Counted, prefix, SECRET } from "./support.ts";

const SEED = 34;

const NODES = new NodeDirectory(
  {
    nodeId: "self",
    name: "self.example.",
    addresses: [prefix("100.64.0.1"), prefix("fd7a:115c:a1e0::1")],
  },
  [2, 3, 4].map((host) => ({
    nodeId: `peer "${host}" \u2028 é`,
    addresses: [
      prefix(`100.64.0.${host}`),
      prefix(`fd7a:115c:a1e0::${host}`),
      prefix("10.1.0.0/24"),
    ],
    user: "someone",
  })).concat([{
    nodeId: "outside",
    addresses: [prefix("10.1.0.7"), prefix("10.1.1.0")],
    user: "",
  }]),
);

const anyWindow = fc.record({
  rows: fc.array(anyRow, { minLength: 1, maxLength: 40 }),
  config: anyRouteConfig,
  mode: fc.constantFrom(...EXIT_MODES),
  nodes: fc.constantFrom<NodeSource>(NODES, NODES, NO_NODES),
  lengthMs: fc.constantFrom(undefined, 4_999),
});

/** Sums of rows by class, taken one by one. */
function sumsOf(rows: readonly Counted[], classOf: (each: Counted) => ClassName): ClassSums {
  const sum = (part: readonly Counted[]) => ({
    txPackets: part.reduce((total, each) => total + BigInt(each.txPackets), 0n),
    txBytes: part.reduce((total, each) => total + BigInt(each.txBytes), 0n),
    rxPackets: part.reduce((total, each) => total + BigInt(each.rxPackets), 0n),
    rxBytes: part.reduce((total, each) => total + BigInt(each.rxBytes), 0n),
  });
  const entries = CLASS_NAMES.map((
    name,
  ) => [name, sum(rows.filter((each) => classOf(each) === name))]);
  return Object.fromEntries(entries);
}

test("encode() equals the slow twin and the slow writer byte for byte; parse gives it back", () => {
  const met = new Set<string>();
  fc.assert(
    fc.property(anyWindow, ({ rows, config, mode, nodes, lengthMs }) => {
      const view: View = { config, nodes, ...(lengthMs !== undefined && { lengthMs }) };
      const messages = encode(mode, rows, view);
      const twin = windowTwin(rows, {
        classOf: (src, dst) => classUnder(config, src, dst),
        nodes,
        exitMode: mode,
        prf: PRF,
        ...WINDOW,
        ...(lengthMs !== undefined && { lengthMs }),
      });
      const hasRows = LISTS.some((list) => twin[list].length > 0);
      assert.equal(messages.length, hasRows ? 1 : 0);
      if (!hasRows) return;
      const text = textOf(messages[0]);
      assert.equal(text, writeMessage(twin));
      assert.deepEqual(parseMessage(text), twin);
      assert.equal(writeMessage(parseMessage(text)), text);
      for (const list of LISTS) if (twin[list].length > 1) met.add(`${mode} ${list}`);
    }),
    { seed: SEED, numRuns: 1_500 },
  );
  for (const mode of EXIT_MODES) {
    for (const list of LISTS) {
      // Mode zero has one exit row.
      if (mode !== "zero" || list !== "exit") {
        assert.ok(met.has(`${mode} ${list}`), `${mode} ${list} not met`);
      }
    }
  }
});

test("encode(): sums over messages equal sums over rows, by class, with and without room", () => {
  fc.assert(
    fc.property(anyWindow, fc.nat(50), ({ rows, config, mode, nodes }, rowsMax) => {
      const encoder = new WindowEncoder(SECRET, policyOf(mode), rowsMax);
      const totals = new ClassTotals();
      for (const message of encodeWith(encoder, rows, { config, nodes })) {
        totals.addTotals(message.totals);
      }
      const kept = rows.filter((each) =>
        each.txPackets + each.txBytes + each.rxPackets + each.rxBytes > 0
      );
      const beyond = new Set(kept.slice(rowsMax));
      const expected = sumsOf(rows, (each) => {
        if (each.isPhysical) return "physical";
        return beyond.has(each) ? "unknown" : classUnder(config, ...endsOf(each));
      });
      assert.deepEqual(totals.sums(), expected);
    }),
    { seed: SEED, numRuns: 1_000 },
  );
});

test("encode(): what the lists say adds up to the totals, and nothing is longer than a message may be", () => {
  fc.assert(
    fc.property(anyWindow, ({ rows, config, mode, nodes }) => {
      for (const message of encode(mode, rows, { config, nodes })) {
        assert.ok(message.bytes.length <= MESSAGE_BYTES_MAX);
        const parsed = parseMessage(textOf(message));
        const sums = message.totals.sums();
        const total = (list: (typeof LISTS)[number]) =>
          parsed[list].reduce((sum, c) => sum + BigInt(c.txBytes), 0n);
        assert.equal(total("virtual"), sums.virtual.txBytes);
        assert.equal(total("subnet"), sums.subnet.txBytes);
        assert.equal(total("exit"), sums.exit.txBytes + sums.unknown.txBytes);
        assert.equal(total("physical"), sums.physical.txBytes);
      }
    }),
    { seed: SEED + 1, numRuns: 300 },
  );
});
