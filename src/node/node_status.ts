/** The parts of a running node → the NodeStatus that people and programs read. */
import type { CounterName, CounterValue } from "../counters.ts";
import { prefixText } from "../packet/mod.ts";
import type { LinkStatistics } from "../ports.ts";
import type { PeerSnapshot } from "../wireguard/mod.ts";
import type { NodeConfig } from "./config.ts";
import type { FlowLogStatus } from "./flow_log.ts";
import { isZeroKey, keyToBase64 } from "./key_text.ts";
import { offloadTexts } from "./offload_state.ts";
import type { NodeStatus, PeerStatus } from "./status.ts";
import { endpointText } from "./uapi.ts";
import type { WorkerSnapshot } from "./worker_protocol.ts";

/** What a status is made of. */
export interface StatusParts {
  readonly config: NodeConfig;
  readonly snapshot: WorkerSnapshot;
  readonly listenPort: number;
  readonly workers: readonly number[];
  readonly fwmark: number;
  readonly mtuBytes: number;
  readonly runtime: string;
  readonly processId: number;
  readonly startedWallMs: number;
  readonly counters: Readonly<Record<CounterName, CounterValue>>;
  readonly link: LinkStatistics | null;
  readonly flowLog: FlowLogStatus;
  readonly warnings: readonly string[];
}

/** Makes the status; peers are those that run, named as the file names them. */
export function nodeStatus(parts: StatusParts): NodeStatus {
  const { config, snapshot, counters, link, flowLog, warnings } = parts;
  const { listenPort, workers, fwmark, mtuBytes, runtime, processId, startedWallMs } = parts;
  const names = new Map(
    config.peers.map((peer) => [keyToBase64(peer.publicKey), peer.friendlyName]),
  );
  return {
    interfaceName: config.interfaceName,
    friendlyName: config.friendlyName,
    publicKey: keyToBase64(snapshot.device.publicKey),
    listenPort,
    fwmark,
    mtuBytes,
    addresses: config.addresses.map(prefixText),
    runtime,
    cryptoName: snapshot.cryptoName,
    offloads: offloadTexts(snapshot.offloads),
    workers,
    processId,
    startedWallMs,
    peers: snapshot.device.peers.map((peer) => peerStatus(peer, names)),
    counters,
    link,
    flowLog,
    waitingPackets: snapshot.waitingPackets,
    warnings: [
      ...warnings,
      ...(config.dns.length === 0 ? [] : [`DNS is not applied: ${config.dns.join(", ")}`]),
    ],
  };
}

function peerStatus(peer: PeerSnapshot, names: ReadonlyMap<string, string | null>): PeerStatus {
  const publicKey = keyToBase64(peer.publicKey);
  return {
    publicKey,
    friendlyName: names.get(publicKey) ?? null,
    hasPresharedKey: !isZeroKey(peer.presharedKey),
    endpoint: peer.endpoint === null ? null : endpointText(peer.endpoint),
    allowedIps: peer.allowedIps.map(prefixText),
    lastHandshakeWallMs: peer.lastHandshakeWallMs,
    txBytes: peer.txBytes,
    rxBytes: peer.rxBytes,
    persistentKeepaliveS: peer.persistentKeepaliveS,
    roams: peer.roams,
    physicalTx: { packets: peer.txDatagrams, bytes: peer.txBytes },
    physicalRx: { packets: peer.rxDatagrams, bytes: peer.rxBytes },
  };
}
