/**
 * Configuration → what to tell the WireGuard core, at start and at reload.
 *
 * In: a NodeConfig, its peers' resolved endpoints, at reload what runs now. Out: one DeviceUpdate.
 * Guarantee: a reload touches no session of a peer that stays (`wg syncconf` has the same rules).
 */
import {
  type DeviceSnapshot,
  type DeviceUpdate,
  KEY_BYTES,
  type PeerUpdate,
} from "../wireguard/mod.ts";
import type { NodeConfig, PeerConfig } from "./config.ts";
import { keyToBase64 } from "./key_text.ts";

/** Endpoint words by peer, for the peers whose endpoint is known. */
export type ResolvedEndpoints = ReadonlyMap<PeerConfig, Uint32Array>;

/** Everything the file says, for a core that may hold something else. */
export function startUpdate(config: NodeConfig, endpoints: ResolvedEndpoints): DeviceUpdate {
  return {
    privateKey: config.privateKey,
    replacePeers: true,
    peers: config.peers.map((peer) => peerUpdate(peer, endpoints)),
  };
}

/**
 * What turns the running state into what the file says: peers that the file lacks go, others are changed in place.
 * The private key is given only when it changed, because giving it ends all sessions.
 */
export function reloadUpdate(
  config: NodeConfig,
  endpoints: ResolvedEndpoints,
  running: DeviceSnapshot,
): DeviceUpdate {
  const wanted = new Set(config.peers.map((peer) => keyToBase64(peer.publicKey)));
  const gone = running.peers.filter((peer) => !wanted.has(keyToBase64(peer.publicKey)));
  const sameKey = running.privateKey.every((byte, index) => byte === config.privateKey[index]);
  return {
    ...(!sameKey && { privateKey: config.privateKey }),
    peers: [
      ...gone.map((peer) => ({ publicKey: peer.publicKey, remove: true })),
      ...config.peers.map((peer) => peerUpdate(peer, endpoints)),
    ],
  };
}

/** A peer whose endpoint is not given keeps the one it was last heard from. */
function peerUpdate(peer: PeerConfig, endpoints: ResolvedEndpoints): PeerUpdate {
  const endpoint = peer.endpoint?.words ?? endpoints.get(peer);
  return {
    publicKey: peer.publicKey,
    presharedKey: peer.presharedKey ?? new Uint8Array(KEY_BYTES),
    ...(endpoint !== undefined && { endpoint }),
    persistentKeepaliveS: peer.persistentKeepaliveS,
    replaceAllowedIps: true,
    allowedIps: peer.allowedIps,
  };
}
