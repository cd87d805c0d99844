/**
 * Checks a change of configuration before any of it is carried out, so that a bad one changes nothing.
 *
 * In: a DeviceUpdate and what there is. Out: nothing, or an error that says what is wrong with it.
 */
import { ALLOWED_IPS_MAX, PEERS_MAX } from "../limits.ts";
import { ENDPOINT, ENDPOINT_WORDS } from "../ports.ts";
import { type AllowedIps, NO_OWNER } from "./allowed_ips.ts";
import { KEY_BYTES, mapKey } from "./bytes.ts";
import type { AllowedIp, DeviceUpdate, PeerUpdate } from "./config.ts";

/** Longest interval that the UAPI can say, in seconds. */
const PERSISTENT_KEEPALIVE_S_MAX = 65_535;
const PORT_MAX = 65_535;

/** What is there before the change. */
export interface UpdateBase {
  /** Keys of the peers, as mapKey makes them. */
  readonly peerKeys: Iterable<string>;
  readonly allowedIps: AllowedIps;
}

/**
 * Checks the form of every member and that the limits will hold. A prefix that is listed twice in one change counts
 * twice, unless it is in the table already.
 * @throws {RangeError} If a member is malformed or a limit would be passed.
 */
export function checkUpdate(update: DeviceUpdate, base: UpdateBase): void {
  if (update.privateKey !== undefined) checkKey("private key", update.privateKey);
  const peerKeys = new Set(update.replacePeers === true ? [] : base.peerKeys);
  let allowedIpCount = update.replacePeers === true ? 0 : base.allowedIps.count;
  for (const peer of update.peers ?? []) {
    checkPeer(peer);
    const key = mapKey(peer.publicKey);
    if (peer.remove === true) peerKeys.delete(key);
    else if (peer.updateOnly !== true) peerKeys.add(key);
    for (const entry of peer.remove === true ? [] : peer.allowedIps ?? []) {
      const isNew = update.replacePeers === true || peer.replaceAllowedIps === true ||
        base.allowedIps.ownerOf(entry) === NO_OWNER;
      if (isNew) allowedIpCount++;
    }
    if (peerKeys.size > PEERS_MAX) {
      throw new RangeError(`Cannot have more than ${PEERS_MAX} peers`);
    }
  }
  if (allowedIpCount > ALLOWED_IPS_MAX) {
    throw new RangeError(
      `Cannot have more than ${ALLOWED_IPS_MAX} AllowedIPs, would have ${allowedIpCount}`,
    );
  }
}

function checkPeer(peer: PeerUpdate): void {
  checkKey("public key", peer.publicKey);
  if (peer.presharedKey !== undefined) checkKey("preshared key", peer.presharedKey);
  if (peer.endpoint !== undefined) checkEndpoint(peer.endpoint);
  if (peer.persistentKeepaliveS !== undefined) {
    const seconds = peer.persistentKeepaliveS;
    if (!Number.isInteger(seconds) || seconds < 0 || seconds > PERSISTENT_KEEPALIVE_S_MAX) {
      throw new RangeError(
        `Persistent keepalive must be 0..${PERSISTENT_KEEPALIVE_S_MAX} seconds, is ${seconds}`,
      );
    }
  }
  for (const entry of peer.allowedIps ?? []) checkAllowedIp(entry);
  for (const entry of peer.removeAllowedIps ?? []) checkAllowedIp(entry);
}

/** Says the length only: a key must not end up in a log. */
function checkKey(name: string, key: Uint8Array): void {
  if (key.length !== KEY_BYTES) {
    throw new RangeError(`A ${name} must have ${KEY_BYTES} bytes, has ${key.length}`);
  }
}

function checkEndpoint(endpoint: Uint32Array): void {
  const family = endpoint[ENDPOINT.FAMILY];
  const port = endpoint[ENDPOINT.PORT];
  if (endpoint.length !== ENDPOINT_WORDS || (family !== 4 && family !== 6)) {
    throw new RangeError(
      `An endpoint must have ${ENDPOINT_WORDS} words and family 4 or 6, ` +
        `has ${endpoint.length} and ${family}`,
    );
  }
  if (port === 0 || port > PORT_MAX) {
    throw new RangeError(`The port of an endpoint must be 1..${PORT_MAX}, is ${port}`);
  }
}

function checkAllowedIp(entry: AllowedIp): void {
  const bitsMax = entry.family === 4 ? 32 : 128;
  const bits = entry.prefixBits;
  const isSound = (entry.family === 4 || entry.family === 6) && entry.addressWords.length === 4 &&
    Number.isInteger(bits) && bits >= 0 && bits <= bitsMax;
  if (!isSound) {
    throw new RangeError(
      `An AllowedIPs entry must have 4 address words and a prefix of 0..${bitsMax} bits, ` +
        `has ${entry.addressWords.length} and ${bits}`,
    );
  }
}
