/**
 * Debian's `wg`, unmodified, against our node: show, set, setconf, syncconf, showconf.
 *
 * Run alone: `deno test -A tests/system/wg_tool_test.ts` (root; needs wireguard-go, wg, ip, ping).
 * Method: `wg` changes the node and is asked what it sees; pings prove that the change is real.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Lab, withLab } from "./support/namespaces.ts";
import { INNER, makeWire, OUTER, PORT, startPair } from "./support/pairs.ts";
import { cannotRun } from "./support/runtimes.ts";
import { REFERENCE, SUBJECT } from "./support/subjects.ts";
import { ping, waitForPing } from "./support/traffic.ts";
import {
  makeKeyPair,
  makePresharedKey,
  startTunnel,
  type Tunnel,
  writeConfig,
} from "./support/tunnels.ts";
import { waitUntil } from "./support/wait.ts";

const skip = cannotRun("wireguard-go");

/** Starts one tunnel without peers. */
async function startAlone(lab: Lab): Promise<Tunnel> {
  const { left } = makeWire(lab);
  return await startTunnel(SUBJECT, left, {
    keys: makeKeyPair(),
    listenPort: PORT,
    addresses: [`${INNER.left[4]}/24`],
    peers: [],
  });
}

function wg(tunnel: Tunnel, ...args: string[]): string {
  return tunnel.namespace.mustSync(["wg", ...args]);
}

test("wg show names the interface and its values", { skip }, async () => {
  await withLab(async (lab) => {
    const tunnel = await startAlone(lab);
    assert.ok(wg(tunnel, "show", "interfaces").split(/\s+/).includes(tunnel.name));
    assert.equal(wg(tunnel, "show", tunnel.name, "public-key").trim(), tunnel.publicKey);
    assert.equal(wg(tunnel, "show", tunnel.name, "listen-port").trim(), `${PORT}`);
    assert.equal(wg(tunnel, "show", tunnel.name, "fwmark").trim(), "off");
    assert.equal(wg(tunnel, "show", tunnel.name, "peers"), "");
    assert.match(wg(tunnel, "show", tunnel.name), /^interface: /);
  });
});

test("wg set builds a tunnel from nothing and changes every value", { skip }, async () => {
  await withLab(async (lab) => {
    const wire = makeWire(lab);
    const keys = { left: makeKeyPair(), right: makeKeyPair() };
    const left = await startTunnel(SUBJECT, wire.left, {
      keys: makeKeyPair(),
      addresses: [`${INNER.left[4]}/24`],
      peers: [],
    });
    const presharedKey = makePresharedKey();
    await startTunnel(REFERENCE, wire.right, {
      keys: keys.right,
      listenPort: PORT,
      addresses: [`${INNER.right[4]}/24`],
      peers: [{
        publicKey: keys.left.publicKey,
        presharedKey,
        allowedIps: [`${INNER.left[4]}/32`],
      }],
    });
    const keyPath = writeConfig(wire.left, "private-key", keys.left.privateKey);
    const pskPath = writeConfig(wire.left, "preshared-key", presharedKey);
    const peer = keys.right.publicKey;
    wg(left, "set", left.name, "private-key", keyPath, "listen-port", "40404", "fwmark", "0x2a");
    wg(left, "set", left.name, "peer", peer, "preshared-key", pskPath);
    wg(left, "set", left.name, "peer", peer, "endpoint", `${OUTER.right[4]}:${PORT}`);
    wg(left, "set", left.name, "peer", peer, "allowed-ips", `${INNER.right[4]}/32,10.5.0.0/16`);
    wg(left, "set", left.name, "peer", peer, "persistent-keepalive", "25");
    await waitForPing(wire.left, INNER.right[4]);

    const [device, fields] = left.dumpLines();
    assert.deepEqual(device, [keys.left.privateKey, keys.left.publicKey, "40404", "0x2a"]);
    assert.equal(fields![1], presharedKey);
    assert.equal(fields![3], `${INNER.right[4]}/32,10.5.0.0/16`);
    assert.equal(fields![7], "25");

    wg(left, "set", left.name, "peer", peer, "allowed-ips", "");
    assert.equal((await ping(wire.left, INNER.right[4], { count: 2, waitS: 1 })).received, 0);
    wg(left, "set", left.name, "peer", peer, "remove");
    assert.deepEqual(left.peerDumps(), []);
  });
});

test("wg set moves an allowed IP from one peer to another", { skip }, async () => {
  await withLab(async (lab) => {
    const tunnel = await startAlone(lab);
    const [a, b] = [makeKeyPair().publicKey, makeKeyPair().publicKey];
    wg(tunnel, "set", tunnel.name, "peer", a, "allowed-ips", "10.1.0.0/16,10.2.0.0/16");
    wg(tunnel, "set", tunnel.name, "peer", b, "allowed-ips", "10.2.0.0/16");
    assert.deepEqual(tunnel.peerDump(a).allowedIps, ["10.1.0.0/16"]);
    assert.deepEqual(tunnel.peerDump(b).allowedIps, ["10.2.0.0/16"]);
  });
});

test("wg showconf gives what wg setconf takes", { skip }, async () => {
  await withLab(async (lab) => {
    const tunnel = await startAlone(lab);
    const lines = [];
    for (let index = 0; index < 50; index++) {
      lines.push("[Peer]", `PublicKey = ${makeKeyPair().publicKey}`);
      lines.push(`PresharedKey = ${makePresharedKey()}`);
      lines.push(`AllowedIPs = 10.3.${index}.0/24, fd33:${index}::/64`);
      lines.push(
        `Endpoint = ${index % 2 ? `192.0.2.9:${1000 + index}` : `[2001:db8::9]:${index + 1}`}`,
      );
    }
    const path = writeConfig(tunnel.namespace, "many", `${lines.join("\n")}\n`);
    wg(tunnel, "addconf", tunnel.name, path);
    const before = tunnel.dumpLines().toSorted();
    assert.equal(before.length, 51);
    const shown = writeConfig(tunnel.namespace, "shown", wg(tunnel, "showconf", tunnel.name));
    wg(tunnel, "setconf", tunnel.name, shown);
    assert.deepEqual(tunnel.dumpLines().toSorted(), before);
  });
});

test("wg syncconf keeps the session of a peer that stays", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, right } = await startPair(lab, { left: SUBJECT, right: REFERENCE });
    await waitForPing(left.namespace, INNER.right[4]);
    const handshakeS = left.peerDump().latestHandshakeS;
    const extra = makeKeyPair().publicKey;
    const shown = wg(left, "showconf", left.name);
    const more = `${shown}\n[Peer]\nPublicKey = ${extra}\nAllowedIPs = 10.4.0.0/16\n`;
    wg(left, "syncconf", left.name, writeConfig(left.namespace, "more", more));
    assert.equal(left.peerDumps().length, 2);
    wg(left, "syncconf", left.name, writeConfig(left.namespace, "less", shown));
    assert.equal(left.peerDumps().length, 1);
    assert.equal(left.peerDump(right.publicKey).latestHandshakeS, handshakeS);
    assert.equal((await ping(left.namespace, INNER.right[4], { count: 5 })).received, 5);
  });
});

test("wg set of a new private key ends the sessions", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, right } = await startPair(lab, { left: SUBJECT, right: REFERENCE });
    await waitForPing(left.namespace, INNER.right[4]);
    const keys = makeKeyPair();
    const path = writeConfig(left.namespace, "new-key", keys.privateKey);
    wg(left, "set", left.name, "private-key", path);
    assert.equal((await ping(left.namespace, INNER.right[4], { count: 3, waitS: 1 })).received, 0);
    wg(right, "set", right.name, "peer", left.publicKey, "remove");
    const allowedIps = `${INNER.left[4]}/32`;
    wg(right, "set", right.name, "peer", keys.publicKey, "allowed-ips", allowedIps);
    await waitForPing(left.namespace, INNER.right[4]);
  });
});

test("wg set of a port in use is refused and changes nothing", { skip }, async () => {
  await withLab(async (lab) => {
    const tunnel = await startAlone(lab);
    const other = await startTunnel(REFERENCE, tunnel.namespace, {
      keys: makeKeyPair(),
      listenPort: 45_000,
      addresses: [],
      peers: [],
    });
    const before = tunnel.stateDump();
    const result = tunnel.namespace.runSync(["wg", "set", tunnel.name, "listen-port", "45000"]);
    assert.notEqual(result.code, 0);
    assert.ok(other.process.running);
    if (tunnel.implementation !== "wireguard-go") {
      await waitUntil("nothing has changed", () => tunnel.stateDump() === before);
    }
  });
});
