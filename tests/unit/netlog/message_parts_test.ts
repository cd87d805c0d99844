/**
 * Goal: no message is longer than servers take, none is cut too soon, and each stands by itself. Method: both sides of
 * the limit to the byte; windows of several messages against the twin's single one.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  EXTENSION_BYTES_MAX,
  MESSAGE_BYTES_MAX,
  NODE_BYTES_MAX,
  NODE_ID_CHARS_MAX,
} from "../../../src/limits.ts";
import {
  COUNT_MAX,
  type Counts,
  EXIT_MODES,
  LISTS,
  type Message,
  NodeDirectory,
  type NodeInfo,
  nodeInfo,
  parseMessage,
} from "../../../src/netlog/mod.ts";
import { type MessageFrame, MessageParts } from "../../../src/netlog/message_parts.ts";
import { ROW_BYTES_MAX } from "../../../src/netlog/row_bytes.ts";
import {
  LIST_OPENINGS,
  messageHead,
  writeExtension,
  writeNode,
} from "../../../src/netlog/schema.ts";
import { classUnder } from "../../reference/classify_twin.ts";
import { windowTwin } from "../../reference/window_twin.ts";
import { encode, PRF, textOf, WINDOW } from "./encode_support.ts";
import { type Counted, prefix, routeConfig, row } from "./support.ts";

const FRAME: MessageFrame = { ...WINDOW, self: null, exitMode: "zero" };
const NODE: NodeInfo = { nodeId: "peer", name: "peer.example" };

/** Rows of given lengths, commas included, in one array. */
function makeRows(lengths: readonly number[]): { bytes: Uint8Array; ends: number[] } {
  const texts = lengths.map((length) => `{"pad":"${"x".repeat(length - 11)}"},`);
  const ends = texts.map((_, index) => lengths.slice(0, index + 1).reduce((sum, n) => sum + n, 0));
  return { bytes: new TextEncoder().encode(texts.join("")), ends };
}

/** Plans rows of `list`, each naming `nodes`, and writes them. */
function split(
  lengths: readonly number[],
  nodes: readonly (NodeInfo | null)[] = [null, null],
  list = 2,
) {
  const { bytes, ends } = makeRows(lengths);
  const parts = new MessageParts(FRAME);
  let start = 0;
  for (const end of ends) {
    parts.addRow(list, start, end, nodes[0], nodes[1]);
    start = end;
  }
  return parts.write(bytes);
}

/** Bytes of a message but for its rows, our own member counted as long as it may be. */
function bytesAround(nodes: readonly NodeInfo[], list: (typeof LISTS)[number] = "exit"): number {
  const nodeBytes = nodes.length === 0
    ? 0
    : `,"dstNodes":[${nodes.map(writeNode).join(",")}]`.length;
  // The comma behind the last row is the list's bracket.
  return messageHead("", WINDOW.startNs, WINDOW.endNs, null).length + nodeBytes +
    LIST_OPENINGS[list].length + EXTENSION_BYTES_MAX + "}".length;
}

for (const [index, list] of LISTS.entries()) {
  test(`MessageParts cuts ${list} rows at MESSAGE_BYTES_MAX and not a byte before`, () => {
    for (const nodes of [[], [NODE]]) {
      const room = MESSAGE_BYTES_MAX - bytesAround(nodes, list);
      for (const [bytes, parts] of [[room - 1, 1], [room, 1], [room + 1, 2]]) {
        const named = [nodes[0] ?? null, nodes[0] ?? null];
        const messages = split([100_000, bytes - 100_000 - 50, 50], named, index);
        assert.equal(messages.length, parts, `${bytes - room} more than there is room for`);
        for (const message of messages) JSON.parse(textOf(message));
      }
    }
  });
}

test("MessageParts makes no part without rows, even for a row that is too long for any", () => {
  assert.deepEqual(split([300_000]).map(({ parts }) => parts), [1]);
  assert.deepEqual(split([50, 300_000, 50]).map(({ parts }) => parts), [3, 3, 3]);
});

test("MessageParts counts both nodes of a row, the first and further ones", () => {
  const [a, b, c] = ["a", "bb", "ccc"].map((nodeId): NodeInfo => ({ nodeId }));
  const room = MESSAGE_BYTES_MAX - bytesAround([a, b, c]);
  for (const [bytes, expected] of [[room, 1], [room + 1, 2]]) {
    const { bytes: rows, ends } = makeRows([1_000, bytes - 2_000, 1_000]);
    const parts = new MessageParts(FRAME);
    parts.addRow(2, 0, ends[0], a, b);
    parts.addRow(2, ends[0], ends[1], b, b);
    parts.addRow(2, ends[1], ends[2], c, a);
    const messages = parts.write(rows);
    assert.equal(messages.length, expected);
    assert.deepEqual(
      messages.map(nodeIds),
      expected === 1 ? [["a", "bb", "ccc"]] : [["a", "bb"], ["a", "ccc"]],
    );
  }
});

function nodeIds(message: Parameters<typeof textOf>[0]): string[] {
  return (JSON.parse(textOf(message)).dstNodes ?? []).map(({ nodeId }: NodeInfo) => nodeId);
}

test("MessageParts names nodes again in each part that needs them, sorted by id", () => {
  const nodes = ["b", "c", "a"].map((nodeId): NodeInfo => ({ nodeId }));
  const { bytes, ends } = makeRows([130_000, 130_000, 130_000]);
  const parts = new MessageParts(FRAME);
  parts.addRow(0, 0, ends[0], nodes[0], nodes[1]);
  parts.addRow(1, ends[0], ends[1], nodes[2], nodes[2]);
  parts.addRow(3, ends[1], ends[2], nodes[1], null);
  const messages = parts.write(bytes);
  assert.deepEqual(messages.map(nodeIds), [["a", "b", "c"], ["c"]]);
  assert.deepEqual(messages.map(({ part, parts }) => [part, parts]), [[1, 2], [2, 2]]);
  assert.deepEqual(messages.map((message) => JSON.parse(textOf(message)).tunlog), [
    { part: 1, parts: 2 },
    { part: 2, parts: 2 },
  ]);
});

test("MessageParts adds to the part's totals what the caller adds", () => {
  const { bytes, ends } = makeRows([200_000, 200_000]);
  const parts = new MessageParts(FRAME);
  parts.addRow(2, 0, ends[0], null, null).of("unknown").add(1, 2, 3, 4);
  parts.addRow(2, ends[0], ends[1], null, null).other.add(5, 6, 7, 8);
  const messages = parts.write(bytes);
  assert.deepEqual(messages.map((message) => JSON.parse(textOf(message)).tunlog), [
    { part: 1, parts: 2, unknown: { txPkts: 1, txBytes: 2, rxPkts: 3, rxBytes: 4 } },
    { part: 2, parts: 2, other: { txPkts: 5, txBytes: 6, rxPkts: 7, rxBytes: 8 } },
  ]);
});

test("MessageParts writes a node that is too long by its id alone, its own too", () => {
  // {"nodeId":"n","name":"…"} around the name.
  const around = '{"nodeId":"n","name":""}'.length;
  for (const [length, isKept] of [[NODE_BYTES_MAX, true], [NODE_BYTES_MAX + 1, false]] as const) {
    const node: NodeInfo = { nodeId: "n", name: "x".repeat(length - around) };
    const { bytes, ends } = makeRows([50]);
    const parts = new MessageParts({ ...FRAME, self: { ...node } });
    parts.addRow(2, 0, ends[0], node, null);
    const { srcNode, dstNodes } = JSON.parse(textOf(parts.write(bytes)[0]));
    assert.equal("name" in srcNode, isKept);
    assert.equal("name" in dstNodes[0], isKept);
    assert.equal(srcNode.nodeId, "n");
  }
});

test("limits: head, node objects, our own member and one row fit a message with room to spare", () => {
  const worst = {
    txPackets: COUNT_MAX,
    txBytes: COUNT_MAX,
    rxPackets: COUNT_MAX,
    rxBytes: COUNT_MAX,
  };
  const most = Math.max(...EXIT_MODES.map((exitMode) =>
    writeExtension({
      part: 2 ** 31,
      parts: 2 ** 31,
      lengthMs: Number.MAX_SAFE_INTEGER,
      exitMode,
      unknown: worst,
      other: worst,
    }).length
  ));
  assert.ok(most <= EXTENSION_BYTES_MAX, `${most} of ${EXTENSION_BYTES_MAX}`);
  assert.ok(EXTENSION_BYTES_MAX - most < 128, "and not much more is kept free than is needed");
  // Every character of an id may become an escape of six.
  const idBytes = NODE_ID_CHARS_MAX * 6 + 64;
  assert.ok(
    idBytes + 3 * NODE_BYTES_MAX + EXTENSION_BYTES_MAX + ROW_BYTES_MAX < MESSAGE_BYTES_MAX / 2,
  );
  assert.ok(idBytes <= NODE_BYTES_MAX, "an id alone is never too long");
});

test("MessageParts takes a node's longest id, escapes and all", () => {
  const nodeId = "\u0001".repeat(NODE_ID_CHARS_MAX);
  const self = nodeInfo({ nodeId, addresses: [] });
  const { bytes, ends } = makeRows([50]);
  const parts = new MessageParts({ ...FRAME, self });
  parts.addRow(2, 0, ends[0], nodeInfo({ nodeId: nodeId.slice(1), addresses: [] }), null);
  const message = JSON.parse(textOf(parts.write(bytes)[0]));
  assert.equal(message.nodeId, nodeId);
  assert.equal(message.dstNodes[0].nodeId, nodeId.slice(1));
});

// ---- Whole windows ------------------------------------------------------------------------------------------------

const PEERS = Array.from({ length: 60 }, (_, peer) => ({
  nodeId: `peer${peer}`,
  name: `peer${peer}.${"long".repeat(100)}.example`,
  addresses: [prefix(`100.64.0.${peer + 2}`)],
}));

/** Rows of all lists, mostly new keys, some that are merged. */
function manyRows(count: number): Counted[] {
  return Array.from({ length: count }, (_, index) => {
    const peer = 2 + index % 60;
    const counts = [index, index * 3, 7, 2 ** 40] as const;
    const src = `100.64.0.1:${index % 50_000}`;
    switch (index % 4) {
      case 0:
        return row({ proto: 6, src, dst: `100.64.0.${peer}:443`, counts });
      case 1:
        return row({
          proto: 17,
          src: `100.64.0.${peer}:${index % 1_000}`,
          dst: "10.0.0.1:53",
          counts,
        });
      case 2:
        return row({ proto: 6, src, dst: `[2001:db8::${peer.toString(16)}]:443`, counts });
      default:
        return row({
          src: `100.64.0.${peer}:0`,
          dst: `192.0.2.7:${index % 50_000}`,
          counts,
          isPhysical: true,
        });
    }
  });
}

test("encode() of a big window: parts are numbered, full, within the limit, complete by themselves, and lose nothing", () => {
  const rows = manyRows(12_000);
  const nodes = new NodeDirectory({ nodeId: "self", addresses: [prefix("100.64.0.1")] }, PEERS);
  const config = routeConfig(["100.64.0.1"], ["100.64.0.0/24", "10.0.0.0/8"]);
  const messages = encode("full", rows, { config, nodes, lengthMs: 4_000 });
  const twin = windowTwin(rows, {
    classOf: (src, dst) => classUnder(config, src, dst),
    nodes,
    exitMode: "full",
    prf: PRF,
    ...WINDOW,
    lengthMs: 4_000,
  });
  const parsed = messages.map((message) => parseMessage(textOf(message)));
  assert.ok(messages.length >= 5, `${messages.length} parts`);
  for (const [index, { bytes, part, parts }] of messages.entries()) {
    assert.ok(bytes.length <= MESSAGE_BYTES_MAX);
    // What is left free is what our own member might need, and less than one row with two nodes.
    const free = EXTENSION_BYTES_MAX + ROW_BYTES_MAX + 2 * 600;
    if (index < messages.length - 1) assert.ok(bytes.length > MESSAGE_BYTES_MAX - free);
    assert.deepEqual([part, parts], [index + 1, messages.length]);
    const { nodeId, startNs, endNs, srcNode, extension } = parsed[index];
    assert.deepEqual([nodeId, startNs, endNs, srcNode], [
      twin.nodeId,
      twin.startNs,
      twin.endNs,
      twin.srcNode,
    ]);
    assert.deepEqual([extension.part, extension.parts], [index + 1, messages.length]);
    assert.deepEqual([extension.exitMode, extension.lengthMs], ["full", 4_000]);
    assert.deepEqual(parsed[index].dstNodes, nodesNamedBy(parsed[index], twin.dstNodes));
  }
  for (const list of LISTS) {
    assert.ok(twin[list].length > 100);
    assert.deepEqual(parsed.flatMap((message) => message[list]), twin[list]);
  }
  const unknowns = parsed.map(({ extension }) => extension.unknown).filter((sum) =>
    sum !== undefined
  );
  assert.equal(sumBytes(unknowns), sumBytes([twin.extension.unknown!]));
  assert.equal(messages.reduce((sum, { totals }) => sum + totals.rows, 0), rows.length);
});

/** Nodes whose addresses stand in a message's rows, in the order of `known`. */
function nodesNamedBy(message: Message, known: readonly NodeInfo[]): NodeInfo[] {
  const addresses = new Set(
    LISTS.flatMap((list) =>
      message[list].flatMap(({ src, dst }) => list === "physical" ? [src] : [src, dst])
    ).map((end) => end.replace(/:\d+$/, "")),
  );
  return known.filter((node) => node.addresses!.some((address) => addresses.has(address)));
}

function sumBytes(sums: readonly Counts[]): bigint {
  return sums.reduce((sum, { txBytes }) => sum + BigInt(txBytes), 0n);
}
