/**
 * Goal: a plain wg-quick file gives the classes that people expect. Method: files as they are written, through the parser and
 * the network logger's own classifier; one test for each kind of tunnel.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OVERLAY_RANGES_MAX } from "../../../src/limits.ts";
import {
  Classifier,
  OVERLAY_DEFAULT,
  type OverlayRanges,
  RouteTable,
} from "../../../src/netlog/mod.ts";
import { type NodeConfig, parseNodeConfig } from "../../../src/node/config.ts";
import { keyFromBase64 } from "../../../src/node/key_text.ts";
import {
  type LogPeer,
  type LogView,
  logView,
  nodesOf,
  OverlayView,
  routesOf,
} from "../../../src/node/log_routes.ts";
import { parseAddress, parsePrefix } from "../../../src/packet/mod.ts";
import type { DeviceSnapshot } from "../../../src/wireguard/mod.ts";

const PRIVATE = "mDAyVsP3wBK+hAvdF0kO0+bnxx5BJDLLPxGLsFcnWGs=";
const SELF = "mQufmDFeQQuU/fIaB2hHgluhjjm1ypK4hJr1cW3WqAw=";
const ALPHA = "1QZ34G8tmftDIt0As+6qM0JgVBCdVUwbmxo2lLToe1w=";
const BETA = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

/** A node with the addresses, and peers by their AllowedIPs. */
function fileOf(address: string, alpha: string, beta = "", flowLog = ""): string {
  return `[Interface]
# friendly_name = hub
PrivateKey = ${PRIVATE}
Address = ${address}
[Peer]
# friendly_name = alpha
PublicKey = ${ALPHA}
AllowedIPs = ${alpha}
[Peer]
PublicKey = ${BETA}
AllowedIPs = ${beta}
[FlowLog]
${flowLog}
`;
}

/** The view of a node that runs just what its file says. */
function viewOf(text: string): LogView {
  const config = parseNodeConfig(text, "wg0.conf");
  return logView(config, snapshotOf(config));
}

function snapshotOf(config: NodeConfig): DeviceSnapshot {
  const peers = config.peers.map(({ publicKey, allowedIps }) => ({ publicKey, allowedIps }));
  return { publicKey: keyFromBase64(SELF)!, peers } as unknown as DeviceSnapshot;
}

function classesOf(view: LogView, overlay: OverlayRanges, pairs: Record<string, string>): void {
  const classifier = new Classifier([new RouteTable(routesOf(view))], overlay);
  for (const [pair, wanted] of Object.entries(pairs)) {
    const [src, dst] = pair.split(" ").map(parseAddress);
    assert.equal(classifier.explain(src, dst).className, wanted, pair);
  }
}

/** Holds the classes against a file's. */
function expectClasses(text: string, pairs: Record<string, string>): void {
  const view = viewOf(text);
  classesOf(view, new OverlayView(null).update(view), pairs);
}

test("a plain file: nodes are virtual, networks behind them subnet, the rest unknown", () => {
  expectClasses(fileOf("10.77.0.1/24", "10.77.0.2/32, 192.168.7.0/24", "10.77.0.3/32"), {
    "10.77.0.1 10.77.0.2": "virtual",
    "10.77.0.2 10.77.0.3": "virtual",
    "10.77.0.1 192.168.7.9": "subnet",
    "192.168.7.9 10.77.0.3": "subnet",
    "10.77.0.1 192.168.8.9": "unknown",
    "10.77.0.1 8.8.8.8": "unknown",
    // Both are in the connected network, though nobody has the address.
    "10.77.0.1 10.77.0.99": "virtual",
  });
});

test("IPv6 is as IPv4", () => {
  expectClasses(
    fileOf("10.77.0.1/24, fd77::1/64", "fd77::2/128, 2001:db8:7::/48", "::/0"),
    {
      "fd77::1 fd77::2": "virtual",
      "fd77::1 2001:db8:7::9": "subnet",
      "fd77::1 2001:db8:8::9": "exit",
      "10.77.0.1 8.8.8.8": "unknown",
    },
  );
});

test("what a default route carries is exit, whole or in two halves", () => {
  for (const routes of ["0.0.0.0/0", "0.0.0.0/1, 128.0.0.0/1"]) {
    expectClasses(fileOf("10.77.0.1/24", `10.77.0.2/32, ${routes}`, "192.168.7.0/24"), {
      "10.77.0.1 10.77.0.2": "virtual",
      "10.77.0.1 8.8.8.8": "exit",
      "10.77.0.1 200.1.1.1": "exit",
      "10.77.0.1 192.168.7.9": "subnet",
    });
  }
});

test("the connected network behind a hub with only 0.0.0.0/0 is virtual", () => {
  expectClasses(fileOf("10.77.0.5/24", "0.0.0.0/0"), {
    "10.77.0.5 10.77.0.1": "virtual",
    "10.77.0.5 10.77.1.1": "exit",
    "10.77.0.5 8.8.8.8": "exit",
  });
});

test("single addresses: each peer's first is its own, further ones are hosts behind it", () => {
  expectClasses(fileOf("10.77.0.1/32", "10.77.0.2/32, 10.9.9.9/32", "10.77.0.3/32"), {
    "10.77.0.1 10.77.0.2": "virtual",
    "10.77.0.3 10.77.0.2": "virtual",
    "10.77.0.1 10.9.9.9": "subnet",
    "10.77.0.1 10.77.0.4": "unknown",
  });
});

test("Tailscale's ranges are overlay beside the interface's own", () => {
  expectClasses(fileOf("10.77.0.1/24", "100.64.0.2/32, 100.64.0.3/32"), {
    "10.77.0.1 100.64.0.3": "virtual",
    // A hole in the range: ChromeOS's virtual machines.
    "10.77.0.1 100.115.92.5": "unknown",
  });
});

test("SubnetRoutes are subnets that this node offers", () => {
  const file = fileOf("10.77.0.1/24", "10.77.0.2/32", "", "SubnetRoutes = 172.16.0.0/12");
  expectClasses(file, {
    "172.16.5.5 10.77.0.2": "subnet",
    "172.32.5.5 10.77.0.2": "unknown",
  });
});

test("OverlayRanges replace all that is assumed", () => {
  const view = viewOf(fileOf("10.77.0.1/24", "10.77.0.2/32"));
  const overlay = new OverlayView(["10.78.0.0/16", "!10.78.1.0/24"]).update(view);
  classesOf(view, overlay, { "10.77.0.1 10.77.0.2": "subnet" });
  const moved = viewOf(fileOf("10.78.0.1/24", "10.78.0.2/32, 10.78.1.2/32"));
  classesOf(moved, overlay, {
    "10.78.0.1 10.78.0.2": "virtual",
    "10.78.0.2 10.78.1.2": "subnet",
  });
});

test("OverlayView remembers a removed peer's address: what it sent before was overlay traffic", () => {
  const overlays = new OverlayView(null);
  const before = viewOf(fileOf("10.77.0.1/32", "10.77.0.2/32", "10.77.0.3/32"));
  overlays.update(before);
  const after: LogView = { ...before, peers: before.peers.slice(1) };
  const overlay = overlays.update(after);
  const pair = { "10.77.0.1 10.77.0.2": "virtual" };
  // Under the routes of then; those of now do not lead there.
  classesOf(before, overlay, pair);
  classesOf(after, overlay, { "10.77.0.1 10.77.0.2": "unknown", "10.77.0.1 10.77.0.3": "virtual" });
  assert.throws(() => classesOf(before, new OverlayView(null).update(after), pair));
});

test("OverlayView forgets removed peers when there would be more ranges than allowed", () => {
  const view = (host: number): LogView => ({
    ...viewOf(fileOf("10.77.0.1/32", "10.77.0.2/32")),
    peers: [{
      publicKey: ALPHA,
      friendlyName: null,
      allowedIps: [parsePrefix(`10.78.0.${host}/32`)!],
    }],
  });
  const rangesMax = OVERLAY_DEFAULT.length + 3;
  const overlays = new OverlayView(null, rangesMax);
  const contains = (overlay: OverlayRanges, host: number) =>
    overlay.contains(parseAddress(`10.78.0.${host}`)!.addressWords, 0, 4);
  overlays.update(view(1));
  const full = overlays.update(view(2));
  assert.deepEqual([1, 2].map((host) => contains(full, host)), [true, true]);
  const over = overlays.update(view(3));
  assert.deepEqual([1, 2, 3].map((host) => contains(over, host)), [false, false, true]);
  assert.ok(rangesMax < OVERLAY_RANGES_MAX);
});

test("routesOf() names the peer of each route, and none for the node's own", () => {
  const view = viewOf(fileOf("10.77.0.1/24", "10.77.0.2/32, 10.77.0.0/24", "0.0.0.0/0"));
  const classifier = new Classifier(
    [new RouteTable(routesOf(view))],
    new OverlayView(null).update(view),
  );
  const { src, dst } = classifier.explain(parseAddress("10.77.0.1"), parseAddress("10.77.0.9"));
  assert.deepEqual([src.route, src.peer, src.origin], ["10.77.0.1/32", null, "local"]);
  // A peer that is given the connected network has it.
  assert.deepEqual([dst.route, dst.peer, dst.origin], ["10.77.0.0/24", ALPHA, "route"]);
  const exit = classifier.explain(parseAddress("10.77.0.1"), parseAddress("8.8.8.8"));
  assert.deepEqual([exit.dst.route, exit.dst.peer], ["0.0.0.0/0", BETA]);
});

test("routesOf() clears host bits of connected networks, and leaves single addresses to the local list", () => {
  const { routes, localAddresses } = routesOf(viewOf(fileOf("10.77.0.1/24, 10.9.0.1/32", "")));
  assert.equal(routes.length, 1);
  assert.deepEqual(routes[0].prefix, parsePrefix("10.77.0.0/24"));
  assert.deepEqual(localAddresses, [parsePrefix("10.77.0.1/32"), parsePrefix("10.9.0.1/32")]);
});

test("nodesOf() names nodes by key, name and own addresses", () => {
  const view = viewOf(
    fileOf(
      "10.77.0.1/24, fd77::1/64",
      "10.77.0.2/32, 10.9.9.9/32, fd77::2/128, 10.10.0.0/16",
      "10.77.0.3",
    ),
  );
  const nodes = nodesOf(view);
  const at = (text: string) => {
    const { addressWords, family } = parseAddress(text)!;
    return nodes.byAddress(addressWords, 0, family);
  };
  assert.deepEqual(nodes.self(), {
    nodeId: SELF,
    name: "hub",
    addresses: ["10.77.0.1", "fd77::1"],
  });
  const alpha = { nodeId: ALPHA, name: "alpha", addresses: ["10.77.0.2", "fd77::2"] };
  assert.deepEqual(at("10.77.0.2"), alpha);
  assert.deepEqual(at("fd77::2"), alpha);
  assert.deepEqual(at("10.77.0.3"), { nodeId: BETA, addresses: ["10.77.0.3"] });
  assert.deepEqual([at("10.9.9.9"), at("10.10.0.1"), at("10.77.0.4")], [null, null, null]);
});

test("logView() lists the peers that run, by the names in the file", () => {
  const config = parseNodeConfig(fileOf("10.77.0.1/24", "10.77.0.2/32"), "wg0.conf");
  const extra = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=";
  const device = {
    publicKey: keyFromBase64(SELF)!,
    peers: [
      { publicKey: keyFromBase64(extra)!, allowedIps: [] },
      { publicKey: keyFromBase64(ALPHA)!, allowedIps: [parsePrefix("10.77.0.8/32")!] },
    ],
  } as unknown as DeviceSnapshot;
  const view = logView(config, device);
  const peers: LogPeer[] = [
    { publicKey: extra, friendlyName: null, allowedIps: [] },
    { publicKey: ALPHA, friendlyName: "alpha", allowedIps: [parsePrefix("10.77.0.8/32")!] },
  ];
  assert.deepEqual(view.peers, peers);
  assert.deepEqual([view.publicKey, view.friendlyName], [SELF, "hub"]);
});
