/** Goal: nodes are named as the original names them. Method: its cases (H-6); look-ups of both families. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { NODE_ID_CHARS_MAX } from "../../../src/limits.ts";
import { parseAddress } from "../../../src/packet/mod.ts";
import { NO_NODES, NodeDirectory, nodeInfo } from "../../../src/netlog/mod.ts";
import { prefix } from "./support.ts";

function nodeAt(nodes: NodeDirectory, text: string): string | null {
  const { family, addressWords } = parseAddress(text)!;
  const words = new Uint32Array(8);
  words.set(addressWords, 3);
  return nodes.byAddress(words, 3, family)?.nodeId ?? null;
}

test("nodeInfo() H-6: name without the dot at its end, tags sorted and once, no user beside tags", () => {
  assert.deepEqual(
    nodeInfo({
      nodeId: "n123456CNTL",
      name: "test.tail123456.ts.net.",
      addresses: [prefix("100.1.2.3")],
      tags: ["tag:dupe", "tag:test", "tag:dupe"],
      user: "user@domain",
    }),
    {
      nodeId: "n123456CNTL",
      name: "test.tail123456.ts.net",
      addresses: ["100.1.2.3"],
      tags: ["tag:dupe", "tag:test"],
    },
  );
  assert.deepEqual(nodeInfo({ nodeId: "n", addresses: [prefix("100.1.2.3")], user: null }), {
    nodeId: "n",
    addresses: ["100.1.2.3"],
  });
  assert.deepEqual(
    nodeInfo({
      nodeId: "n",
      name: "a..",
      addresses: [],
      os: "linux",
      tags: [],
      user: "user@domain",
    }),
    { nodeId: "n", name: "a.", os: "linux", user: "user@domain" },
  );
  for (const none of ["", null, "."]) {
    assert.deepEqual(
      nodeInfo({ nodeId: "n", name: none, addresses: [], os: none === "." ? "" : none }),
      { nodeId: "n" },
    );
  }
});

test("nodeInfo() names the last single address of each family, IPv4 first", () => {
  const addresses = ["fd00::1", "10.0.0.1", "10.0.0.2", "10.9.0.0/16", "fd00::2", "fd01::/64"].map(
    prefix,
  );
  assert.deepEqual(nodeInfo({ nodeId: "n", addresses }).addresses, ["10.0.0.2", "fd00::2"]);
});

test("nodeInfo() takes an id of NODE_ID_CHARS_MAX characters and no more", () => {
  assert.equal(
    nodeInfo({ nodeId: "x".repeat(NODE_ID_CHARS_MAX), addresses: [] }).nodeId.length,
    NODE_ID_CHARS_MAX,
  );
  assert.throws(
    () => nodeInfo({ nodeId: "x".repeat(NODE_ID_CHARS_MAX + 1), addresses: [] }),
    RangeError,
  );
});

test("NodeDirectory finds nodes by all their single addresses, and by no network", () => {
  const nodes = new NodeDirectory(
    { nodeId: "self", addresses: [prefix("100.64.0.1"), prefix("fd7a::1")] },
    [
      {
        nodeId: "one",
        addresses: [
          prefix("100.64.0.2"),
          prefix("100.64.0.3"),
          prefix("10.0.0.0/8"),
          prefix("fd7a::2"),
        ],
      },
      { nodeId: "two", addresses: [prefix("255.255.255.255"), prefix("0.0.0.0"), prefix("::")] },
    ],
  );
  const cases = {
    "100.64.0.1": "self",
    "fd7a::1": "self",
    "100.64.0.2": "one",
    "100.64.0.3": "one",
    "fd7a::2": "one",
    "255.255.255.255": "two",
    "0.0.0.0": "two",
    "::": "two",
    "10.0.0.0": null,
    "10.1.2.3": null,
    "fd7a::3": null,
    "fd7a:0:0:1::2": null,
    "0:1::": null,
    "::1:0:0": null,
    "::ffff:100.64.0.2": null,
  };
  for (const [text, expected] of Object.entries(cases)) {
    assert.equal(nodeAt(nodes, text), expected, text);
  }
  assert.equal(nodes.self()?.nodeId, "self");
});

test("NodeDirectory tells IPv6 addresses apart by each group", () => {
  const text = (changed: number) =>
    Array.from({ length: 8 }, (_, group) => group === changed ? "9" : String(group + 1)).join(":");
  const addresses = Array.from({ length: 9 }, (_, group) => text(group));
  const nodes = new NodeDirectory(
    null,
    addresses.map((address) => ({ nodeId: address, addresses: [prefix(address)] })),
  );
  assert.deepEqual(addresses.map((address) => nodeAt(nodes, address)), addresses);
});

test("NodeDirectory gives the same object for the same node", () => {
  const nodes = new NodeDirectory(null, [{
    nodeId: "n",
    addresses: [prefix("10.0.0.1"), prefix("fd00::1")],
  }]);
  const v4 = nodes.byAddress(parseAddress("10.0.0.1")!.addressWords, 0, 4);
  assert.notEqual(v4, null);
  assert.equal(nodes.byAddress(parseAddress("fd00::1")!.addressWords, 0, 6), v4);
  assert.equal(nodes.self(), null);
});

test("NodeDirectory gives an address that several list to the node itself, else to the first", () => {
  const shared = [prefix("10.0.0.1"), prefix("fd00::1")];
  const nodes = new NodeDirectory({ nodeId: "self", addresses: shared }, [
    { nodeId: "a", addresses: [...shared, prefix("10.0.0.2"), prefix("fd00::2")] },
    { nodeId: "b", addresses: [prefix("10.0.0.2"), prefix("fd00::2")] },
  ]);
  assert.deepEqual(
    ["10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2"].map((text) => nodeAt(nodes, text)),
    [
      "self",
      "self",
      "a",
      "a",
    ],
  );
});

test("NO_NODES knows nobody", () => {
  assert.equal(NO_NODES.self(), null);
  assert.equal(NO_NODES.byAddress(new Uint32Array(4), 0, 4), null);
});
