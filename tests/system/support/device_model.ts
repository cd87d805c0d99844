/** A UAPI backend that keeps what it is told in memory: a device without packets. */
import type { UapiBackend } from "../../../src/node/uapi_server.ts";
import type { UapiChange, UapiState } from "../../../src/node/uapi.ts";
import { prefixText } from "../../../src/packet/mod.ts";
import type { AllowedIp, PeerSnapshot, PeerUpdate } from "../../../src/wireguard/mod.ts";
import { keyToHex } from "../../../src/node/key_text.ts";

/** See file header. */
export class DeviceModel implements UapiBackend {
  /** Requests that were applied. */
  readonly changes: UapiChange[] = [];
  /** What the next set() answers with instead of applying. */
  refusal = 0;
  privateKey = new Uint8Array(32);
  listenPort = 0;
  fwmark = 0;
  readonly peers = new Map<string, PeerSnapshot>();

  get(): Promise<UapiState> {
    return Promise.resolve({
      listenPort: this.listenPort,
      fwmark: this.fwmark,
      device: {
        privateKey: this.privateKey,
        publicKey: new Uint8Array(32),
        peers: [...this.peers.values()],
      },
    });
  }

  set(change: UapiChange): Promise<number> {
    if (this.refusal !== 0) return Promise.resolve(this.refusal);
    this.changes.push(change);
    this.listenPort = change.listenPort ?? this.listenPort;
    this.fwmark = change.fwmark ?? this.fwmark;
    if (change.device.privateKey !== undefined) this.privateKey.set(change.device.privateKey);
    if (change.device.replacePeers === true) this.peers.clear();
    for (const peer of change.device.peers ?? []) this.#setPeer(peer);
    return Promise.resolve(0);
  }

  #setPeer(update: PeerUpdate): void {
    const key = keyToHex(update.publicKey);
    const old = this.peers.get(key);
    if (update.remove === true) {
      this.peers.delete(key);
      return;
    }
    if (old === undefined && update.updateOnly === true) return;
    const kept = update.replaceAllowedIps === true ? [] : old?.allowedIps ?? [];
    const allowedIps = new Map<string, AllowedIp>(kept.map((each) => [prefixText(each), each]));
    for (const each of update.removeAllowedIps ?? []) allowedIps.delete(prefixText(each));
    for (const each of update.allowedIps ?? []) allowedIps.set(prefixText(each), each);
    this.peers.set(key, {
      publicKey: update.publicKey,
      presharedKey: update.presharedKey ?? old?.presharedKey ?? new Uint8Array(32),
      endpoint: update.endpoint ?? old?.endpoint ?? null,
      lastHandshakeWallMs: 1_700_000_000_123,
      txDatagrams: 1,
      txBytes: 148,
      rxDatagrams: 1,
      rxBytes: 92,
      roams: 0,
      persistentKeepaliveS: update.persistentKeepaliveS ?? old?.persistentKeepaliveS ?? 0,
      allowedIps: [...allowedIps.values()],
    });
  }
}
