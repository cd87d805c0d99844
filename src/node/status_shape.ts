/** NodeStatus as it comes out of JSON: one check per member. */
import { COUNTER_NAMES, type CounterName, type CounterValue } from "../counters.ts";
import type { LinkStatistics } from "../ports.ts";
import type { FlowLogStatus, FlowTotals } from "./flow_log.ts";
import { type Check, count, flag, listOf, nullable, objectOf, text } from "./shape.ts";
import type { NodeStatus, PeerStatus, Traffic } from "./status.ts";

const traffic = objectOf<Traffic>({ packets: count, bytes: count });

const peer = objectOf<PeerStatus>({
  publicKey: text,
  friendlyName: nullable(text),
  hasPresharedKey: flag,
  endpoint: nullable(text),
  allowedIps: listOf(text),
  lastHandshakeWallMs: count,
  txBytes: count,
  rxBytes: count,
  persistentKeepaliveS: count,
  roams: count,
  physicalTx: traffic,
  physicalRx: traffic,
});

const link = objectOf<LinkStatistics>({
  rxPackets: count,
  rxBytes: count,
  rxDropped: count,
  txPackets: count,
  txBytes: count,
  txDropped: count,
});

const flowTotals = objectOf<FlowTotals>({
  txPackets: count,
  txBytes: count,
  rxPackets: count,
  rxBytes: count,
  rows: count,
  foldedRows: count,
});

const flowLog = objectOf<FlowLogStatus>({
  virtual: flowTotals,
  physical: flowTotals,
  windows: count,
  windowsFailed: count,
  lastError: nullable(text),
});

const counter = objectOf<CounterValue>({ packets: count, bytes: count });

const counters = objectOf<Record<CounterName, CounterValue>>(
  Object.fromEntries(COUNTER_NAMES.map((name) => [name, counter])) as Record<
    CounterName,
    Check<CounterValue>
  >,
);

/** Reads a status that another process sent. @throws {TypeError} If a member is missing or of another kind. */
export const parseNodeStatus: Check<NodeStatus> = objectOf<NodeStatus>({
  interfaceName: text,
  friendlyName: nullable(text),
  publicKey: text,
  listenPort: count,
  fwmark: count,
  mtuBytes: count,
  addresses: listOf(text),
  runtime: text,
  cryptoName: text,
  offloads: listOf(text),
  processId: count,
  startedWallMs: count,
  peers: listOf(peer),
  counters,
  link: nullable(link),
  flowLog,
  waitingPackets: count,
  warnings: listOf(text),
});
