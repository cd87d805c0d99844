// Goal: a start sets everything, a reload touches only what must change. Method: literal files and running states.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNodeConfig } from "../../../src/node/config.ts";
import { reloadUpdate, startUpdate } from "../../../src/node/config_update.ts";
import { keyFromBase64, keyToBase64 } from "../../../src/node/key_text.ts";
import type { DeviceSnapshot, PeerSnapshot } from "../../../src/wireguard/mod.ts";

const PRIVATE = "mDAyVsP3wBK+hAvdF0kO0+bnxx5BJDLLPxGLsFcnWGs=";
const PUBLIC = "1QZ34G8tmftDIt0As+6qM0JgVBCdVUwbmxo2lLToe1w=";
const GONE = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

const config = parseNodeConfig(
  `[Interface]\nPrivateKey=${PRIVATE}\n[Peer]\nPublicKey=${PUBLIC}\nEndpoint=a.example:1\nAllowedIPs=::/0\n`,
  "wg0.conf",
);
const resolved = new Map([[config.peers[0]!, new Uint32Array(12).fill(4)]]);

function running(privateKey: string): DeviceSnapshot {
  const peer = (publicKey: string): PeerSnapshot => ({
    publicKey: keyFromBase64(publicKey)!,
    presharedKey: new Uint8Array(32).fill(1),
    endpoint: null,
    lastHandshakeWallMs: 0,
    txBytes: 0,
    txDatagrams: 0,
    rxDatagrams: 0,
    roams: 0,
    rxBytes: 0,
    persistentKeepaliveS: 9,
    allowedIps: [],
  });
  return {
    privateKey: keyFromBase64(privateKey)!,
    publicKey: new Uint8Array(32),
    peers: [peer(GONE), peer(PUBLIC)],
  };
}

test("startUpdate() replaces everything", () => {
  const update = startUpdate(config, resolved);
  assert.equal(update.replacePeers, true);
  assert.equal(keyToBase64(update.privateKey!), PRIVATE);
  assert.equal(update.peers![0]!.endpoint, resolved.get(config.peers[0]!));
  assert.equal(startUpdate(config, new Map()).peers![0]!.endpoint, undefined);
});

test("reloadUpdate() removes peers that the file lacks, and changes the rest in place", () => {
  const update = reloadUpdate(config, new Map(), running(PRIVATE));
  assert.equal(update.replacePeers, undefined);
  assert.equal(update.privateKey, undefined);
  assert.deepEqual(update.peers![0], { publicKey: keyFromBase64(GONE)!, remove: true });
  const kept = update.peers![1]!;
  assert.equal(update.peers!.length, 2);
  assert.equal(keyToBase64(kept.publicKey), PUBLIC);
  // What the file no longer says is taken back: preshared key, keepalive, prefixes.
  assert.deepEqual(kept.presharedKey, new Uint8Array(32));
  assert.equal(kept.persistentKeepaliveS, 0);
  assert.equal(kept.replaceAllowedIps, true);
  assert.ok(!("endpoint" in kept));
});

test("reloadUpdate() gives the private key only when it changed", () => {
  assert.equal(keyToBase64(reloadUpdate(config, new Map(), running(GONE)).privateKey!), PRIVATE);
});
