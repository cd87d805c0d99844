/**
 * The cross-platform WireGuard interface as text (wireguard.com/xplatform "Configuration Protocol"): what `wg` speaks.
 *
 * In: one request, its state for an answer. Out: typed requests, answer text. A request is read whole before anything
 * of it is used, so that a bad line at its end changes nothing.
 * Behaviour follows wireguard-go device/uapi.go where the document is silent.
 * Not here: the socket (uapi_server.ts), what a change does.
 */
import { ERRNO } from "../errors.ts";
import { ALLOWED_IPS_MAX, PEERS_MAX } from "../limits.ts";
import {
  addressPortText,
  maskPrefix,
  parseAddressPort,
  parsePrefix,
  prefixText,
} from "../packet/mod.ts";
import { ENDPOINT } from "../ports.ts";
import type {
  AllowedIp,
  DeviceSnapshot,
  DeviceUpdate,
  PeerSnapshot,
  PeerUpdate,
} from "../wireguard/mod.ts";
import { endpointWords, parseDecimal } from "./config_values.ts";
import { isZeroKey, keyFromHex, keyToHex } from "./key_text.ts";

/** A change that was asked for. Members that are absent stay as they are. */
export interface UapiChange {
  readonly device: DeviceUpdate;
  /** 0 = the kernel's choice. */
  readonly listenPort?: number;
  /** 0 = none. */
  readonly fwmark?: number;
}

/** What `get` answers. */
export interface UapiState {
  readonly device: DeviceSnapshot;
  readonly listenPort: number;
  readonly fwmark: number;
}

/** One request, or why it is none. */
export type UapiRequest =
  | { readonly op: "get" }
  | { readonly op: "set"; readonly change: UapiChange }
  | { readonly op: "bad"; readonly errno: number };

/** Index of the interface that a zone names; 0 = no such interface. */
export type ScopeOf = (zone: string) => number;

/** Why a request is refused; `errno` is positive. */
class UapiError extends Error {
  override readonly name = "UapiError";
  constructor(readonly errno: number) {
    super(`errno is ${errno}`);
  }
}

/**
 * Reads one request.
 * @param text All lines, with or without the blank one that ends them.
 * @param scopeOf Resolves the zone of a link-local endpoint that is not a number.
 */
export function parseUapiRequest(text: string, scopeOf: ScopeOf): UapiRequest {
  const lines = text.replace(/\n+$/, "").split("\n");
  try {
    if (lines[0] === "get=1") {
      if (lines.length > 1) throw new UapiError(ERRNO.EINVAL);
      return { op: "get" };
    }
    if (lines[0] !== "set=1") throw new UapiError(ERRNO.EPROTO);
    return { op: "set", change: parseChange(lines, scopeOf) };
  } catch (error) {
    if (!(error instanceof UapiError)) throw error;
    return { op: "bad", errno: error.errno };
  }
}

/** Whether `line` begins a request. */
export function beginsUapiRequest(line: string): boolean {
  return line === "get=1" || line === "set=1";
}

/** A type whose members can still be written. */
type Draft<T> = { -readonly [K in keyof T]: T[K] };

interface PeerDraft extends Draft<PeerUpdate> {
  /** By prefix text, so that of `+` and `-` for one prefix the later counts. */
  readonly allowedByText: Map<string, { readonly allowedIp: AllowedIp; readonly add: boolean }>;
}

interface ChangeDraft extends Draft<Omit<UapiChange, "device">> {
  readonly device: Draft<DeviceUpdate>;
  readonly peers: PeerDraft[];
}

function parseChange(lines: readonly string[], scopeOf: ScopeOf): UapiChange {
  const draft: ChangeDraft = { device: {}, peers: [] };
  let allowedIps = 0;
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index]!;
    const equals = line.indexOf("=");
    if (equals < 0) throw new UapiError(ERRNO.EPROTO);
    const key = line.slice(0, equals);
    const value = line.slice(equals + 1);
    const peer = draft.peers.at(-1);
    if (key === "public_key") {
      if (draft.peers.length === PEERS_MAX) throw new UapiError(ERRNO.ENOSPC);
      draft.peers.push({ publicKey: wanted(keyFromHex(value)), allowedByText: new Map() });
    } else if (peer === undefined) readDeviceLine(key, value, draft);
    else readPeerLine(key, value, peer, scopeOf);
    if (key === "allowed_ip" && ++allowedIps > ALLOWED_IPS_MAX) throw new UapiError(ERRNO.ENOSPC);
  }
  const { device, peers, ...rest } = draft;
  return { ...rest, device: { ...device, ...(peers.length > 0 && { peers: peers.map(finish) }) } };
}

/** Takes a parsed value, or refuses the request. */
function wanted<T>(value: T | undefined | null): T {
  if (value === undefined || value === null) throw new UapiError(ERRNO.EINVAL);
  return value;
}

function wantTrue(value: string): true {
  if (value !== "true") throw new UapiError(ERRNO.EINVAL);
  return true;
}

function readDeviceLine(key: string, value: string, draft: ChangeDraft): void {
  switch (key) {
    case "private_key":
      draft.device.privateKey = wanted(keyFromHex(value));
      return;
    case "listen_port":
      draft.listenPort = wanted(parseDecimal(value, 0, 65_535));
      return;
    case "fwmark":
      // The document lets an empty value stand for none; wg writes 0.
      draft.fwmark = value === "" ? 0 : wanted(parseDecimal(value, 0, 0xffff_ffff));
      return;
    case "replace_peers":
      draft.device.replacePeers = wantTrue(value);
      return;
    default:
      throw new UapiError(ERRNO.EINVAL);
  }
}

function readPeerLine(key: string, value: string, peer: PeerDraft, scopeOf: ScopeOf): void {
  switch (key) {
    case "remove":
      peer.remove = wantTrue(value);
      return;
    case "update_only":
      peer.updateOnly = wantTrue(value);
      return;
    case "preshared_key":
      peer.presharedKey = wanted(keyFromHex(value));
      return;
    case "endpoint":
      peer.endpoint = parseEndpointWords(value, scopeOf);
      return;
    case "persistent_keepalive_interval":
      peer.persistentKeepaliveS = wanted(parseDecimal(value, 0, 65_535));
      return;
    case "replace_allowed_ips":
      // What came before it in this block goes too, as when each line is applied at once.
      peer.replaceAllowedIps = wantTrue(value);
      peer.allowedByText.clear();
      return;
    case "allowed_ip":
      readAllowedIp(value, peer);
      return;
    case "protocol_version":
      if (value !== "1") throw new UapiError(ERRNO.EINVAL);
      return;
    default:
      throw new UapiError(ERRNO.EINVAL);
  }
}

/** `-` in front takes the prefix from the peer (wireguard-go since 2025); `+` is wg's word for adding. */
function readAllowedIp(value: string, peer: PeerDraft): void {
  const sign = /^[+-]/.exec(value)?.[0] ?? "";
  const text = value.slice(sign.length);
  if (!text.includes("/")) throw new UapiError(ERRNO.EINVAL);
  const allowedIp = maskPrefix(wanted(parsePrefix(text)));
  peer.allowedByText.delete(prefixText(allowedIp));
  peer.allowedByText.set(prefixText(allowedIp), { allowedIp, add: sign !== "-" });
}

function parseEndpointWords(value: string, scopeOf: ScopeOf): Uint32Array {
  const { family, addressWords, port, zone } = wanted(parseAddressPort(value));
  if (port === 0) throw new UapiError(ERRNO.EINVAL);
  let scope = 0;
  if (zone !== "") {
    scope = parseDecimal(zone, 1, 0x7fff_ffff) ?? scopeOf(zone);
    if (scope === 0) throw new UapiError(ERRNO.EINVAL);
  }
  return endpointWords(family, addressWords, port, scope);
}

function finish({ allowedByText, ...peer }: PeerDraft): PeerUpdate {
  const entries = [...allowedByText.values()];
  const added = entries.filter((entry) => entry.add).map((entry) => entry.allowedIp);
  const removed = entries.filter((entry) => !entry.add).map((entry) => entry.allowedIp);
  return {
    ...peer,
    ...(added.length > 0 && { allowedIps: added }),
    ...(removed.length > 0 && { removeAllowedIps: removed }),
  };
}

/** Writes the answer to `get`, errno and closing blank line included. */
export function formatUapiState(state: UapiState): string {
  const lines: string[] = [];
  if (!isZeroKey(state.device.privateKey)) {
    lines.push(`private_key=${keyToHex(state.device.privateKey)}`);
  }
  if (state.listenPort !== 0) lines.push(`listen_port=${state.listenPort}`);
  if (state.fwmark !== 0) lines.push(`fwmark=${state.fwmark}`);
  for (const peer of state.device.peers) formatPeer(peer, lines);
  lines.push("errno=0", "", "");
  return lines.join("\n");
}

function formatPeer(peer: PeerSnapshot, lines: string[]): void {
  const handshakeS = Math.floor(peer.lastHandshakeWallMs / 1000);
  const handshakeNs = Math.floor((peer.lastHandshakeWallMs - handshakeS * 1000) * 1_000_000);
  lines.push(
    `public_key=${keyToHex(peer.publicKey)}`,
    `preshared_key=${keyToHex(peer.presharedKey)}`,
    "protocol_version=1",
  );
  if (peer.endpoint !== null) lines.push(`endpoint=${endpointText(peer.endpoint)}`);
  lines.push(
    `last_handshake_time_sec=${handshakeS}`,
    `last_handshake_time_nsec=${handshakeNs}`,
    `tx_bytes=${peer.txBytes}`,
    `rx_bytes=${peer.rxBytes}`,
    `persistent_keepalive_interval=${peer.persistentKeepaliveS}`,
  );
  for (const allowedIp of peer.allowedIps) lines.push(`allowed_ip=${prefixText(allowedIp)}`);
}

/** Writes an endpoint, with the zone of a link-local one as a number: `[fe80::1%3]:51820`. */
export function endpointText(words: Uint32Array): string {
  const family = words[ENDPOINT.FAMILY] === 6 ? 6 : 4;
  const text = addressPortText(words, ENDPOINT.ADDRESS, family, words[ENDPOINT.PORT]!);
  const scope = words[ENDPOINT.SCOPE]!;
  return scope === 0 ? text : text.replace("]", `%${scope}]`);
}

/**
 * Writes the answer to a `set`, and to what failed.
 *
 * The document leaves the sign of an errno open. For `set`, wg negates the number before it words it, so that only a
 * negative one comes out right, and wireguard-go sends negative ones (ipc/uapi_unix.go); for `get`, wg reads digits
 * only (wireguard-tools ipc-uapi.h). So the sign depends on what is answered.
 * @param errno Positive, or 0 for success.
 */
export function formatUapiErrno(op: "get" | "set", errno: number): string {
  return `errno=${op === "get" || errno === 0 ? errno : -errno}\n\n`;
}
