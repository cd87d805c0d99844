/**
 * The flow log of a capture: windows on the UTC grid by the packets' own times.
 *
 * In: captured packets (packet/capture.ts), routes, nodes, what is local. Out: windows with their messages, as the network
 * logger would have made them, and counts of what was read. Guarantees: each packet with readable addresses is in exactly
 * one window; windows keep the laws of window_grid.ts; a packet that is older than the window under way is counted into
 * it; packets are counted by the length that their IP header states, cut off or not, fragments under their first one's ports;
 * memory is bounded, and flows beyond CAPTURE_FLOWS_MAX per window share rows.
 * A super-packet that the capturing machine had not cut into segments yet is one packet, as in the capture.
 */
import { CAPTURE_FLOWS_MAX, WINDOW_MS_DEFAULT } from "../limits.ts";
import { createBanks, FlowReader, FlowWriter } from "../flow/mod.ts";
import {
  type CapturedPacket,
  CutPacketDecoder,
  DECODE,
  decode,
  FRAGMENT,
  FragmentCache,
  INFO,
  INFO_WORDS,
  ipOffset,
  KEY_WORDS,
  NO_IP,
  type Prefix,
} from "../packet/mod.ts";
import { Classifier } from "./classify.ts";
import type { ExitPolicy } from "./exit_mode.ts";
import { LocalSide } from "./local_side.ts";
import type { LoggedWindow } from "./logger.ts";
import { WindowEncoder } from "./message.ts";
import type { NodeSource } from "./nodes.ts";
import type { OverlayRanges } from "./overlay.ts";
import { type RouteConfig, RouteTable } from "./routes.ts";
import { type ClockReading, WindowGrid, type WindowLabels } from "./window_grid.ts";

/** How a capture is to be read. */
export interface CaptureLogOptions {
  readonly periodMs?: number;
  /** Prefixes of our side; see LocalSide. */
  readonly local: readonly Prefix[];
  readonly routes: RouteConfig;
  readonly overlay: OverlayRanges;
  readonly nodes: NodeSource;
  readonly exitPolicy: ExitPolicy;
  /** HASH_SECRET_WORDS random words. */
  readonly hashSecret: Uint32Array;
  /** Takes the windows, one after another. */
  readonly write: (window: LoggedWindow) => void;
  /** For tests. */
  readonly flowsMax?: number;
}

/** What was read. packets = counted + notIp + undecodable + linkTypeUnknown. */
export interface CaptureTotals {
  packets: number;
  counted: number;
  /** IP bytes of those that were counted. */
  bytes: number;
  /** ARP and the like. */
  notIp: number;
  /** IP by what stands before them, but without readable addresses. */
  undecodable: number;
  /** Frames whose kind is not read. */
  linkTypeUnknown: number;
  /** Older than the window under way, and counted into it. */
  late: number;
  windows: number;
  messages: number;
  rows: number;
  /** Rows that stand for several flows. */
  foldedRows: number;
}

/** Times are kept within what labels can name, years 1970 to 9998: the first window begins behind 1970's first moment. */
const WALL_MS_MIN = 1;
const WALL_MS_MAX = Date.UTC(9998, 0);

/** See file header. */
export class CaptureLog {
  readonly totals: CaptureTotals = {
    ...{ packets: 0, counted: 0, bytes: 0, notIp: 0, undecodable: 0, linkTypeUnknown: 0, late: 0 },
    ...{ windows: 0, messages: 0, rows: 0, foldedRows: 0 },
  };
  readonly #options: CaptureLogOptions;
  readonly #writer: FlowWriter;
  readonly #reader: FlowReader;
  readonly #encoder: WindowEncoder;
  readonly #classifier: Classifier;
  readonly #fragments: FragmentCache;
  readonly #side: LocalSide;
  readonly #grid: WindowGrid;
  readonly #cutPackets = new CutPacketDecoder();
  readonly #key = new Uint32Array(KEY_WORDS);
  readonly #info = new Uint32Array(INFO_WORDS);
  #isOpen = false;
  /** Of the window under way; packets at its end belong to it, at its start to the one before. Valid iff #isOpen. */
  #startMs = 0;
  #endMs = 0;
  /** Latest time so far. */
  #nowMs = WALL_MS_MIN;

  constructor(options: CaptureLogOptions) {
    const { flowsMax = CAPTURE_FLOWS_MAX, hashSecret, exitPolicy, routes, overlay } = options;
    this.#options = options;
    const banks = createBanks(flowsMax, hashSecret);
    this.#writer = new FlowWriter(banks);
    this.#reader = new FlowReader(banks);
    this.#encoder = new WindowEncoder(hashSecret, exitPolicy);
    this.#classifier = new Classifier([new RouteTable(routes)], overlay);
    this.#fragments = new FragmentCache(hashSecret);
    this.#side = new LocalSide(options.local);
    this.#grid = new WindowGrid(options.periodMs ?? WINDOW_MS_DEFAULT);
  }

  /** Counts one packet, and writes the windows that are over by its time. */
  add(packet: CapturedPacket): void {
    const { view, offset, capturedBytes, wireBytes, linkType } = packet;
    this.totals.packets++;
    const skipped = ipOffset(view, offset, capturedBytes, linkType);
    if (skipped === NO_IP.LINK_TYPE) this.totals.linkTypeUnknown++;
    else if (skipped < 0) this.totals.notIp++;
    else {
      const at = offset + skipped;
      if (this.#decode(view, at, capturedBytes - skipped, wireBytes - skipped)) {
        this.#moveTo(packet.wallMs);
        this.#count(wireBytes - skipped);
      } else this.totals.undecodable++;
    }
  }

  /** Writes the last window. */
  end(): void {
    if (!this.#isOpen) return;
    const wallMs = Math.ceil(this.#nowMs);
    this.#write(this.#grid.closeLast({ nowMs: wallMs, wallMs }));
    this.#isOpen = false;
  }

  #decode(view: DataView, at: number, capturedBytes: number, wireBytes: number): boolean {
    const status = capturedBytes < wireBytes
      ? this.#cutPackets.decode(view, at, capturedBytes, wireBytes, this.#key, this.#info)
      : decode(view, at, capturedBytes, this.#key, this.#info);
    return status === DECODE.OK;
  }

  #count(wireBytes: number): void {
    const key = this.#key;
    const info = this.#info;
    if (info[INFO.FRAGMENT] !== FRAGMENT.NONE) this.#fragments.resolve(key, info, this.#nowMs);
    // Super-packets state no length.
    const bytes = info[INFO.IP_BYTES] || wireBytes;
    this.totals.counted++;
    this.totals.bytes += bytes;
    if (this.#side.isSource(key)) this.#writer.countTx(key, 1, bytes, info[INFO.DETAIL]);
    else this.#writer.countRx(key, 1, bytes, info[INFO.DETAIL]);
  }

  /** Goes on to a packet's time. */
  #moveTo(packetMs: number): void {
    // A packet without a time comes now.
    const wallMs = Number.isNaN(packetMs)
      ? this.#nowMs
      : Math.min(WALL_MS_MAX, Math.max(WALL_MS_MIN, packetMs));
    if (!this.#isOpen) {
      this.#nowMs = wallMs;
      const now = before(wallMs);
      this.#grid.begin(now);
      this.#open(now.wallMs);
      return;
    }
    if (wallMs < this.#nowMs) {
      if (wallMs <= this.#startMs) this.totals.late++;
      return;
    }
    this.#nowMs = wallMs;
    if (wallMs <= this.#endMs) return;
    this.#write(this.#grid.close({ nowMs: this.#endMs, wallMs: this.#endMs }));
    this.#open(this.#endMs);
  }

  /** @param leastMs The window begins at its point of the grid, but not before this. */
  #open(leastMs: number): void {
    this.#isOpen = true;
    const now = before(this.#nowMs);
    const periodMs = this.#options.periodMs ?? WINDOW_MS_DEFAULT;
    this.#startMs = Math.max(leastMs, Math.floor(now.wallMs / periodMs) * periodMs);
    this.#endMs = now.wallMs + this.#grid.open(now);
  }

  #write({ startNs, endNs }: WindowLabels): void {
    this.#reader.flip();
    this.#writer.handOver();
    this.#reader.forEachRow((row) => this.#encoder.add(row, false));
    this.#reader.clear();
    const { nodes, write } = this.#options;
    const messages = this.#encoder.encode({
      classifier: this.#classifier,
      nodes,
      window: { startNs, endNs },
    });
    this.#encoder.clear();
    if (messages.length === 0) return;
    this.totals.windows++;
    this.totals.messages += messages.length;
    for (const { totals } of messages) {
      this.totals.rows += totals.rows;
      this.totals.foldedRows += totals.foldedRows;
    }
    write({ startNs, endNs, messages });
  }
}

/** The last whole millisecond before a time: windows begin 1 ns behind it, and the time is within. */
function before(wallMs: number): ClockReading {
  const ms = Math.ceil(wallMs) - 1;
  return { nowMs: ms, wallMs: ms };
}
