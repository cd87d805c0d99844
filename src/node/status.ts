/**
 * What a running node says about itself, as data and as text.
 *
 * In: a NodeStatus, made by the node, carried as JSON over the control socket. Out: text in the style of `wg show`,
 * followed by the flow log's health and by every drop that happened, with its meaning.
 */
import {
  CLASS_NAMES,
  COUNTER_INFO,
  COUNTER_NAMES,
  type CounterName,
  type CounterValue,
} from "../counters.ts";
import type { LinkStatistics } from "../ports.ts";
import type { DeliveryStatus } from "./delivery.ts";
import type { FlowLogStatus } from "./flow_log.ts";

/** Packets and bytes of one direction; bytes are UDP payload. */
export interface Traffic {
  readonly packets: number;
  readonly bytes: number;
}

/** One peer. Keys are base64, addresses are text. */
export interface PeerStatus {
  readonly publicKey: string;
  readonly friendlyName: string | null;
  /** Whether there is one; the key itself never leaves the node this way. */
  readonly hasPresharedKey: boolean;
  /** null = none yet. */
  readonly endpoint: string | null;
  readonly allowedIps: readonly string[];
  /** Unix time in ms of the last completed handshake; 0 = never. */
  readonly lastHandshakeWallMs: number;
  /** Bytes as `wg show` counts them. */
  readonly txBytes: number;
  readonly rxBytes: number;
  /** Seconds; 0 = off. */
  readonly persistentKeepaliveS: number;
  /** Times that the peer was heard from another endpoint than before. */
  readonly roams: number;
  /** Datagrams exchanged with the peer, handshakes and keepalives included. */
  readonly physicalTx: Traffic;
  readonly physicalRx: Traffic;
}

/** State of one node. */
export interface NodeStatus {
  readonly interfaceName: string;
  readonly friendlyName: string | null;
  readonly publicKey: string;
  readonly listenPort: number;
  /** 0 = none. */
  readonly fwmark: number;
  readonly mtuBytes: number;
  /** With prefix lengths. */
  readonly addresses: readonly string[];
  /** e.g. `deno 2.9.6`. */
  readonly runtime: string;
  /** What does the cryptography, e.g. `libcrypto 3.0.17`. */
  readonly cryptoName: string;
  /** Offloads in use; none = every packet is read and sent by itself. */
  readonly offloads: readonly string[];
  /** Packets and datagrams that each of the threads which move them has read. */
  readonly workers: readonly number[];
  readonly processId: number;
  readonly startedWallMs: number;
  readonly peers: readonly PeerStatus[];
  readonly counters: Readonly<Record<CounterName, CounterValue>>;
  /** The kernel's own counts of the interface; null = it cannot be asked. */
  readonly link: LinkStatistics | null;
  readonly flowLog: FlowLogStatus;
  /** Packets that wait for a session. */
  readonly waitingPackets: number;
  /** Sentences, e.g. that DNS is not applied. */
  readonly warnings: readonly string[];
}

/** How formatStatus writes. */
export interface StatusFormat {
  /** Whether terminal colours are wanted. */
  readonly color: boolean;
  /** Unix time in ms, for "… ago". */
  readonly wallMs: number;
}

/** Terminal attributes, as `wg show` uses them. Source: ECMA-48 §8.3.117 (SGR). */
type Paint = (text: string) => string;
interface Paints {
  readonly head: Paint;
  readonly peer: Paint;
  readonly label: Paint;
  readonly alarm: Paint;
}

function paints(color: boolean): Paints {
  const sgr = (parameters: string): Paint => (text) =>
    color ? `\x1b[${parameters}m${text}\x1b[0m` : text;
  return { head: sgr("32;1"), peer: sgr("33;1"), label: sgr("1"), alarm: sgr("31;1") };
}

/** Writes a status for people; ends with a newline. */
export function formatStatus(status: NodeStatus, format: StatusFormat): string {
  const paint = paints(format.color);
  const blocks = [
    formatInterface(status, paint, format.wallMs),
    ...sortedPeers(status.peers).map((peer) => formatPeer(peer, paint, format.wallMs)),
    formatFlowLog(status, paint),
    formatCollector(status, paint, format.wallMs),
    formatDrops(status, paint),
    status.warnings.map((warning) => `${paint.alarm("warning")}: ${warning}`),
  ];
  return blocks.filter((lines) => lines.length > 0).map((lines) => `${lines.join("\n")}\n`).join(
    "\n",
  );
}

/** `wg show` puts the peer with the latest handshake first. */
function sortedPeers(peers: readonly PeerStatus[]): PeerStatus[] {
  return peers.toSorted((a, b) => b.lastHandshakeWallMs - a.lastHandshakeWallMs);
}

function line(paint: Paints, label: string, value: string): string {
  return `  ${paint.label(label)}: ${value}`;
}

function formatInterface(status: NodeStatus, paint: Paints, wallMs: number): string[] {
  const uptimeMs = Math.max(0, wallMs - status.startedWallMs);
  const lines = [
    `${paint.head("interface")}: ${paint.head(named(status.interfaceName, status.friendlyName))}`,
    line(paint, "public key", status.publicKey),
    line(paint, "listening port", String(status.listenPort)),
  ];
  if (status.fwmark !== 0) lines.push(line(paint, "fwmark", `0x${status.fwmark.toString(16)}`));
  lines.push(
    line(paint, "addresses", status.addresses.join(", ") || "(none)"),
    line(paint, "mtu", String(status.mtuBytes)),
    line(paint, "runtime", `${status.runtime}, ${status.cryptoName}, process ${status.processId}`),
    line(paint, "offloads", status.offloads.join(", ") || "none"),
    line(paint, "workers", workersText(status.workers)),
    line(paint, "up for", durationText(uptimeMs / 1000)),
  );
  return lines;
}

function named(name: string, friendlyName: string | null): string {
  return friendlyName === null ? name : `${name} (${friendlyName})`;
}

function formatPeer(peer: PeerStatus, paint: Paints, wallMs: number): string[] {
  const lines = [`${paint.peer("peer")}: ${paint.peer(named(peer.publicKey, peer.friendlyName))}`];
  if (peer.hasPresharedKey) lines.push(line(paint, "preshared key", "(hidden)"));
  if (peer.endpoint !== null) {
    const moved = peer.roams === 0 ? "" : ` (moved ${countText(peer.roams, "time")})`;
    lines.push(line(paint, "endpoint", peer.endpoint + moved));
  }
  lines.push(line(paint, "allowed ips", peer.allowedIps.join(", ") || "(none)"));
  if (peer.lastHandshakeWallMs > 0) {
    lines.push(line(paint, "latest handshake", agoText(wallMs - peer.lastHandshakeWallMs)));
  }
  if (peer.txBytes > 0 || peer.rxBytes > 0) {
    const text = `${bytesText(peer.rxBytes)} received, ${bytesText(peer.txBytes)} sent`;
    lines.push(line(paint, "transfer", text));
  }
  if (peer.physicalTx.packets > 0 || peer.physicalRx.packets > 0) {
    const text = `${countText(peer.physicalRx.packets, "datagram")} received, ` +
      `${peer.physicalTx.packets} sent`;
    lines.push(line(paint, "datagrams", text));
  }
  if (peer.persistentKeepaliveS > 0) {
    const text = `every ${durationText(peer.persistentKeepaliveS)}`;
    lines.push(line(paint, "persistent keepalive", text));
  }
  return lines;
}

function formatFlowLog({ flowLog, waitingPackets }: NodeStatus, paint: Paints): string[] {
  const { virtual, classes, foldedRows, windowsFailed } = flowLog;
  const folded = foldedRows === 0 ? "" : ` (${foldedRows} folded)`;
  const happened = CLASS_NAMES.filter((name) =>
    classes[name].txPackets + classes[name].rxPackets > 0
  );
  const lines = [
    paint.head("flow log"),
    line(paint, "windows", String(flowLog.windows)),
    line(paint, "rows", `${flowLog.rows}${folded}`),
    line(
      paint,
      "counted",
      `${trafficText(virtual.rxPackets, virtual.rxBytes)} received, ` +
        `${trafficText(virtual.txPackets, virtual.txBytes)} sent`,
    ),
    ...happened.map((name) => {
      const { rxBytes, txBytes } = classes[name];
      return line(paint, name, `${bytesText(rxBytes)} received, ${bytesText(txBytes)} sent`);
    }),
  ];
  if (windowsFailed > 0) {
    lines.push(line(paint, "windows not made", paint.alarm(String(windowsFailed))));
  }
  if (flowLog.lines !== null && flowLog.lines.linesFailed > 0) {
    const { linesFailed, lastError } = flowLog.lines;
    const why = lastError === null ? "" : `: ${lastError}`;
    lines.push(line(paint, "lines not written", paint.alarm(`${linesFailed}${why}`)));
  }
  if (waitingPackets > 0) {
    lines.push(line(paint, "waiting", `${countText(waitingPackets, "packet")} for a session`));
  }
  return lines;
}

/** Upload, queue and losses. */
function formatCollector({ flowLog }: NodeStatus, paint: Paints, wallMs: number): string[] {
  const { collector } = flowLog;
  if (collector === null) return [];
  const { delivery } = collector;
  const { lastSuccessWallMs, entriesDelivered, bodyBytes, sentBytes } = delivery;
  const lastUpload = lastSuccessWallMs === null ? "never" : agoText(wallMs - lastSuccessWallMs);
  const delivered = `${entriesText(entriesDelivered)}, ${bytesText(bodyBytes)} sent as ` +
    `${bytesText(sentBytes)} (${collector.compression})`;
  const queue = `${entriesText(collector.waitingEntries)}, ${
    bytesText(collector.waitingBytes)
  } of ${bytesText(collector.waitingBytesMax)} ${
    collector.where === "disk" ? "on disk" : "in memory"
  }`;
  const lines = [
    `${paint.head("collector")}: ${collector.url} (${collector.collection})`,
    line(paint, "stream", collector.publicId),
    line(paint, "last upload", lastUpload),
    line(paint, "delivered", delivered),
    line(paint, "queue", queue),
  ];
  if (delivery.failuresInRow > 0) {
    lines.push(line(paint, "failing", paint.alarm(failingText(delivery, wallMs))));
  }
  if (collector.diskError !== null) {
    lines.push(line(paint, "spool", paint.alarm(collector.diskError)));
  }
  for (const [cause, { entries, packets, bytes, complete }] of Object.entries(collector.lost)) {
    const known = `${entriesText(entries)} with ${trafficText(packets, bytes)}`;
    // A process that was killed took what it had counted since its last window with it: nobody knows how much.
    const what = complete ? known : entries === 0 ? "an unknown amount" : `${known} and more`;
    lines.push(line(paint, "lost", paint.alarm(`${what}: ${cause}`)));
  }
  return lines;
}

function failingText(delivery: DeliveryStatus, wallMs: number): string {
  const { failuresInRow, lastProblem, nextTryWallMs } = delivery;
  const waitMs = nextTryWallMs === null ? 0 : Math.max(0, nextTryWallMs - wallMs);
  const next = nextTryWallMs === null ? "" : `, next try in ${durationText(waitMs / 1000)}`;
  const why = lastProblem === null ? "" : `: ${lastProblem}`;
  return `${countText(failuresInRow, "time")} in a row${next}${why}`;
}

function entriesText(count: number): string {
  return `${count} ${count === 1 ? "entry" : "entries"}`;
}

function formatDrops({ counters }: NodeStatus, paint: Paints): string[] {
  const dropped = COUNTER_NAMES.filter((name) =>
    COUNTER_INFO[name].kind === "drop" && counters[name].packets > 0
  );
  if (dropped.length === 0) return [];
  return [
    paint.head("dropped"),
    ...dropped.map((name) => {
      const { packets, bytes } = counters[name];
      return line(paint, name, `${trafficText(packets, bytes)}: ${COUNTER_INFO[name].meaning}`);
    }),
  ];
}

/** `2 (75 %, 25 % of packets)`; a single one has all. */
function workersText(packets: readonly number[]): string {
  const total = packets.reduce((sum, count) => sum + count, 0);
  if (packets.length === 1 || total === 0) return String(packets.length);
  const shares = packets.map((count) => `${Math.round(100 * count / total)} %`);
  return `${packets.length} (${shares.join(", ")} of packets)`;
}

function trafficText(packets: number, bytes: number): string {
  return `${countText(packets, "packet")} (${bytesText(bytes)})`;
}

function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** Writes bytes as `wg show` does: whole bytes, or two decimals of the largest binary unit below. */
export function bytesText(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(2)} ${BYTE_UNITS[unit]}`;
}

const DURATION_UNITS = [
  ["year", 365 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
] as const;

/** Writes seconds as `wg show` does: `1 day, 2 minutes, 3 seconds`. */
export function durationText(seconds: number): string {
  let left = Math.floor(seconds);
  const parts: string[] = [];
  for (const [unit, unitSeconds] of DURATION_UNITS) {
    const count = Math.floor(left / unitSeconds);
    left -= count * unitSeconds;
    if (count > 0) parts.push(countText(count, unit));
  }
  return parts.join(", ") || "0 seconds";
}

/** A handshake in the future means that the clock was set back; `wg show` says so too. */
function agoText(ms: number): string {
  if (ms < 0) return "in the future (the clock was set back)";
  return ms < 1000 ? "now" : `${durationText(ms / 1000)} ago`;
}
