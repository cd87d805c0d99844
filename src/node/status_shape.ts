/** NodeStatus as it comes out of JSON: one check per member. */
import {
  CLASS_NAMES,
  type ClassName,
  COUNTER_NAMES,
  type CounterName,
  type CounterValue,
} from "../counters.ts";
import type { FlowTotals as CountedTotals } from "../flow/mod.ts";
import type { LinkStatistics } from "../ports.ts";
import type { CollectorStatus, LossStatus } from "./collector_output.ts";
import type { DeliveryStatus } from "./delivery.ts";
import type { FlowLogStatus } from "./flow_log.ts";
import type { LineStatus } from "./line_output.ts";
import { type Check, count, flag, listOf, mapOf, nullable, objectOf, text } from "./shape.ts";
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

const counted = objectOf<CountedTotals>({
  txPackets: count,
  txBytes: count,
  rxPackets: count,
  rxBytes: count,
});

const lines = objectOf<LineStatus>({
  lines: count,
  linesFailed: count,
  lastError: nullable(text),
});

const counter = objectOf<CounterValue>({ packets: count, bytes: count });

const counters = objectOf<Record<CounterName, CounterValue>>(
  Object.fromEntries(COUNTER_NAMES.map((name) => [name, counter])) as Record<
    CounterName,
    Check<CounterValue>
  >,
);

const classes = objectOf<Record<ClassName, CountedTotals>>(
  Object.fromEntries(CLASS_NAMES.map((name) => [name, counted])) as Record<
    ClassName,
    Check<CountedTotals>
  >,
);

const delivery = objectOf<DeliveryStatus>({
  lastSuccessWallMs: nullable(count),
  lastProblem: nullable(text),
  failuresInRow: count,
  uploads: count,
  uploadsFailed: count,
  entriesDelivered: count,
  bodyBytes: count,
  sentBytes: count,
  nextTryWallMs: nullable(count),
});

const loss = objectOf<LossStatus>({ entries: count, packets: count, bytes: count, complete: flag });

const collector = objectOf<CollectorStatus>({
  url: text,
  collection: text,
  publicId: text,
  compression: text,
  delivery,
  waitingEntries: count,
  waitingBytes: count,
  waitingBytesMax: count,
  where: text,
  diskError: nullable(text),
  lost: mapOf(loss),
});

const flowLog = objectOf<FlowLogStatus>({
  virtual: counted,
  physical: counted,
  classes,
  windows: count,
  messages: count,
  rows: count,
  foldedRows: count,
  windowsFailed: count,
  lines: nullable(lines),
  collector: nullable(collector),
});

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
  workers: listOf(count),
  processId: count,
  startedWallMs: count,
  peers: listOf(peer),
  counters,
  link: nullable(link),
  flowLog,
  waitingPackets: count,
  warnings: listOf(text),
});
