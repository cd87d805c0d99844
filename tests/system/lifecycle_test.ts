/**
 * Starting, stopping, reloading and dying: what a node leaves behind (nothing), and what survives (sessions of a reload,
 * a machine after kill -9).
 *
 * Run alone: `deno test -A tests/system/lifecycle_test.ts` (root; needs wireguard-go, wg, ip, ping, nft).
 * Method: the namespace's addresses, routes, rules, firewall and sockets are compared as text before and after.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { must } from "./support/command.ts";
import { withLab } from "./support/namespaces.ts";
import { INNER, makeWire, OUTER, pairConfig, PORT, startPair } from "./support/pairs.ts";
import { cannotRun, programCommand, ROOT, type Runtime } from "./support/runtimes.ts";
import { networkState } from "./support/state.ts";
import { nodeStatus } from "./support/status.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import { ping, startPing, stopPing, waitForPing } from "./support/traffic.ts";
import { tunnelFiles } from "./support/tunnel_files.ts";
import {
  makeKeyPair,
  renderConfig,
  spawnProgram,
  startTunnel,
  type TunnelConfig,
  writeConfig,
} from "./support/tunnels.ts";
import { waitUntil } from "./support/wait.ts";

const skip = cannotRun("wireguard-go", "nft") || notOurs();
const RUNTIME = SUBJECT as Runtime;

/** A configuration that sets all that a node can set: addresses, routes, rules, nftables. */
function fullConfig(): TunnelConfig {
  return {
    keys: makeKeyPair(),
    listenPort: PORT,
    addresses: [`${INNER.left[4]}/24`, `${INNER.left[6]}/64`],
    peers: [{
      publicKey: makeKeyPair().publicKey,
      allowedIps: ["0.0.0.0/0", "::/0", "10.99.0.0/16"],
      endpoint: `${OUTER.right[4]}:${PORT}`,
    }],
  };
}

for (const how of ["SIGTERM", "SIGINT", "down"] as const) {
  test(`${how} ends the node with exit code 0 and leaves nothing behind`, { skip }, async () => {
    await withLab(async (lab) => {
      const { left } = makeWire(lab);
      const before = networkState(left);
      const tunnel = await startTunnel(SUBJECT, left, fullConfig());
      assert.notEqual(networkState(left), before);
      const sockets = tunnelFiles(tunnel.name).filter((path) => path.endsWith(".sock"));
      assert.equal(sockets.length, 2, "one for wg, one for our own commands");

      if (how === "down") {
        await must(programCommand(RUNTIME, ["down", tunnel.name]), { cwd: ROOT });
        assert.equal(left.hasInterface(tunnel.name), false, "down returns when it is done");
      }
      const { code } = how === "down" ? await tunnel.process.waitForEnd() : await tunnel.stop(how);
      assert.equal(code, 0);
      assert.equal(networkState(left), before);
      assert.deepEqual(tunnelFiles(tunnel.name), []);
    });
  });
}

test("node whose interface is deleted ends with one sentence, exit code 1 and nothing left", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const before = networkState(left);
    const tunnel = await startTunnel(SUBJECT, left, fullConfig());
    left.ip(`link delete ${tunnel.name}`);
    const { code, stderr } = await tunnel.process.waitForEnd();
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`"${tunnel.name}"`));
    assert.doesNotMatch(stderr, /^\s+at /m, "no stack trace");
    assert.equal(networkState(left), before);
    assert.deepEqual(tunnelFiles(tunnel.name), []);
  });
});

test("two signals at once end the node as cleanly as one", { skip }, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const before = networkState(left);
    const tunnel = await startTunnel(SUBJECT, left, fullConfig());
    tunnel.process.signal("SIGINT");
    const { code } = await tunnel.stop("SIGTERM");
    assert.equal(code, 0);
    assert.equal(networkState(left), before);
    assert.deepEqual(tunnelFiles(tunnel.name), []);
  });
});

test("allowed hooks run in order, each at its moment, with the interface's name", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const log = join(lab.directory, "hooks.log");
    const has = "if ip link show %i >/dev/null 2>&1; then echo there; else echo absent; fi";
    const hook = (name: string) => `${name} = echo ${name} %i $(${has}) >> ${log}`;
    const tunnel = await startTunnel(SUBJECT, left, {
      ...fullConfig(),
      interfaceLines: ["PreUp", "PostUp", "PostUp", "PreDown", "PostDown"].map(hook),
    }, { args: ["--allow-hooks"], permissions: ["--allow-run"] });
    const { code } = await tunnel.stop();
    assert.equal(code, 0);
    const { name } = tunnel;
    const lines = readFileSync(log, "utf8").trimEnd().split("\n");
    // wg-quick runs PreUp when the interface is there but not yet configured; what it sees of it is not promised.
    assert.deepEqual(lines.map((line) => line.replace(/^(PreUp \S+) .*/, "$1")), [
      `PreUp ${name}`,
      ...[`PostUp ${name} there`, `PostUp ${name} there`],
      `PreDown ${name} there`,
      `PostDown ${name} absent`,
    ]);
  });
});

test("hook that fails ends the start and leaves nothing behind", { skip }, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const before = networkState(left);
    const name = lab.interfaceName();
    const config = { ...fullConfig(), interfaceLines: ["PostUp = exit 3"] };
    const path = writeConfig(left, name, renderConfig(config));
    const child = spawnProgram(RUNTIME, left, path, {
      args: ["--allow-hooks"],
      permissions: ["--allow-run"],
    });
    const { code, stderr } = await child.waitForEnd();
    assert.equal(code, 1);
    assert.match(stderr, /PostUp "exit 3" failed: exit code 3/);
    assert.equal(networkState(left), before);
    assert.deepEqual(tunnelFiles(name), []);
  });
});

test("start after kill -9 recovers and the next stop leaves nothing behind", { skip }, async () => {
  await withLab(async (lab) => {
    const wire = makeWire(lab);
    const before = networkState(wire.left);
    const keys = { left: makeKeyPair(), right: makeKeyPair() };
    const options = { left: SUBJECT, right: REFERENCE } as const;
    const base = pairConfig("left", keys, options);
    const config = {
      ...base,
      peers: base.peers.map((peer) => ({ ...peer, allowedIps: ["0.0.0.0/0", "::/0"] })),
    };
    await startTunnel(REFERENCE, wire.right, pairConfig("right", keys, options));
    const first = await startTunnel(SUBJECT, wire.left, config);
    await waitForPing(wire.left, INNER.right[4]);
    await first.kill();

    const second = await startTunnel(SUBJECT, wire.left, config, { name: first.name });
    await waitForPing(wire.left, INNER.right[4]);
    assert.equal((await nodeStatus(second)).processId, second.process.pid);
    const { code } = await second.stop();
    assert.equal(code, 0);
    assert.equal(networkState(wire.left), before);
    assert.deepEqual(tunnelFiles(first.name), []);
  });
});

test("start replaces the socket that a dead process left", { skip }, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const name = lab.interfaceName();
    const dead = await startTunnel(REFERENCE, left, fullConfigWithoutDefault(), { name });
    await dead.kill();
    assert.deepEqual(tunnelFiles(name).length, 1, "the socket is stale");
    const tunnel = await startTunnel(SUBJECT, left, fullConfigWithoutDefault(), { name });
    assert.equal(tunnel.dumpLines()[0]![1], tunnel.publicKey);
  });
});

function fullConfigWithoutDefault(): TunnelConfig {
  const config = fullConfig();
  return {
    ...config,
    peers: config.peers.map((peer) => ({ ...peer, allowedIps: ["10.99.0.0/16"] })),
  };
}

test("SIGHUP adds and removes peers and routes without touching the other's session", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const { left, right } = await startPair(lab, {
      left: SUBJECT,
      right: REFERENCE,
      initiator: "left",
    });
    await waitForPing(left.namespace, INNER.right[4]);
    const handshakeS = left.peerDump(right.publicKey).latestHandshakeS;
    const stream = startPing(left.namespace, INNER.right[4], 0.01);

    const added = { publicKey: makeKeyPair().publicKey, allowedIps: ["10.88.0.0/16"] };
    const more = { ...left.config, peers: [...left.config.peers, added] };
    writeFileSync(left.configPath, renderConfig(more));
    left.process.signal("SIGHUP");
    await waitUntil("the peer is added", () => left.peerDumps().length === 2);
    assert.deepEqual(left.peerDump(added.publicKey).allowedIps, added.allowedIps);
    const hasRoute = () => left.namespace.ipJson("route", "show", "10.88.0.0/16").length === 1;
    await waitUntil("its route is there", hasRoute);

    writeFileSync(left.configPath, renderConfig(left.config));
    left.process.signal("SIGHUP");
    await waitUntil("the peer is removed", () => left.peerDumps().length === 1);
    await waitUntil("its route is gone", () => !hasRoute());

    writeFileSync(left.configPath, "[Interface]\nPrivateKey = nonsense\n");
    left.process.signal("SIGHUP");
    await left.process.waitForOutput(/PrivateKey/);
    assert.equal(left.peerDumps().length, 1, "a file with errors changes nothing");

    assert.equal(left.peerDump(right.publicKey).latestHandshakeS, handshakeS);
    const { sent, received } = await stopPing(stream);
    assert.ok(sent - received <= 1, `${sent - received} of ${sent} pings were lost`);
  });
});

test("peer that restarts is talked to again", { skip }, async () => {
  await withLab(async (lab) => {
    const wire = makeWire(lab);
    const keys = { left: makeKeyPair(), right: makeKeyPair() };
    const options = { left: SUBJECT, right: REFERENCE, persistentKeepaliveS: 1 } as const;
    await startTunnel(SUBJECT, wire.left, pairConfig("left", keys, options));
    const first = await startTunnel(REFERENCE, wire.right, pairConfig("right", keys, options));
    await waitForPing(wire.left, INNER.right[4]);
    await first.kill();
    await startTunnel(REFERENCE, wire.right, pairConfig("right", keys, options));
    await waitForPing(wire.right, INNER.left[4], 30_000);
    const { received } = await ping(wire.left, INNER.right[4], { count: 10 });
    assert.equal(received, 10);
  });
});
