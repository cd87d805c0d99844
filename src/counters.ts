/**
 * Named counters of all that moves or is dropped on the data plane.
 *
 * Each has packets and bytes, Float64 (exact to 2^53), in shared memory: the data-plane worker is the only
 * writer, main reads at any time. Bytes are IP lengths for what stands on the TUN side, UDP payload lengths for
 * what stands on the UDP side (see `side`).
 */

/** What a counter's bytes measure. */
export type CounterSide = "tun" | "udp";

/** How one counter is shown to people. */
export interface CounterInfo {
  readonly side: CounterSide;
  /** `total` counts all that passed a place; `drop` counts what was refused there. */
  readonly kind: "total" | "drop";
  /** One line for status and help. */
  readonly meaning: string;
}

/**
 * Every counter by name, in the order of their indices. The order is the layout in shared memory.
 *
 * Conservation: tunRead = flow rows' tx + all `drop` counters of direction out + packets waiting for a session;
 * flow rows' rx = tunWritten + tunWriteFailed. With several workers both hold for the sums over all of them.
 *
 * Packets are what a wire would carry. The kernel counts a super-packet as one packet, with one header, so its own
 * counters of the interface read: tx = tunRead - tunReadSplit, rx = tunWritten - tunWrittenJoined.
 */
export const COUNTER_INFO = {
  tunRead: { side: "tun", kind: "total", meaning: "packets read from the TUN device" },
  tunWritten: { side: "tun", kind: "total", meaning: "packets written to the TUN device" },
  tunReadSplit: {
    side: "tun",
    kind: "total",
    meaning: "packets more, and bytes of their headers, than the super-packets that were read",
  },
  tunWrittenJoined: {
    side: "tun",
    kind: "total",
    meaning: "packets more, and bytes of their headers, than the super-packets that were written",
  },
  udpSent: { side: "udp", kind: "total", meaning: "datagrams handed to the kernel" },
  udpReceived: { side: "udp", kind: "total", meaning: "datagrams received" },

  outUndecodable: { side: "tun", kind: "drop", meaning: "not a whole IPv4 or IPv6 packet" },
  outNoRoute: { side: "tun", kind: "drop", meaning: "no peer's AllowedIPs hold the destination" },
  outNoEndpoint: { side: "tun", kind: "drop", meaning: "the peer has no endpoint yet" },
  outQueueFull: {
    side: "tun",
    kind: "drop",
    meaning: "oldest waiting packet pushed out before a session was ready",
  },
  outHandshakeFailed: {
    side: "tun",
    kind: "drop",
    meaning: "waited for a session that never came, or the peer was removed",
  },
  outRelayFull: {
    side: "tun",
    kind: "drop",
    meaning: "further workers had more packets without a session than the first could take",
  },
  outTooBig: { side: "tun", kind: "drop", meaning: "longer than the packet buffer" },

  sendTooBig: { side: "udp", kind: "drop", meaning: "datagram too big for the path (EMSGSIZE)" },
  sendQueueFull: { side: "udp", kind: "drop", meaning: "socket buffer stayed full" },
  sendFailed: { side: "udp", kind: "drop", meaning: "the kernel refused the datagram" },

  inTooBig: { side: "udp", kind: "drop", meaning: "datagram longer than the packet buffer" },
  inMalformed: { side: "udp", kind: "drop", meaning: "not a WireGuard message" },
  inMacInvalid: { side: "udp", kind: "drop", meaning: "handshake message with a wrong mac1" },
  inCookieRequired: {
    side: "udp",
    kind: "drop",
    meaning: "under load: handshake without a valid mac2, cookie sent",
  },
  inRateLimited: { side: "udp", kind: "drop", meaning: "too many handshakes from one source" },
  inHandshakeInvalid: {
    side: "udp",
    kind: "drop",
    meaning: "handshake message that does not authenticate, or no handshake is under way",
  },
  inUnknownPeer: { side: "udp", kind: "drop", meaning: "handshake by a key that is no peer's" },
  inHandshakeReplay: {
    side: "udp",
    kind: "drop",
    meaning: "handshake initiation replayed or too soon",
  },
  inUnknownSession: { side: "udp", kind: "drop", meaning: "data for a session we do not have" },
  inExpiredSession: { side: "udp", kind: "drop", meaning: "data for a session past its end" },
  inAuthentication: { side: "udp", kind: "drop", meaning: "data that does not decrypt" },
  inReplay: { side: "udp", kind: "drop", meaning: "data received before, or too old to tell" },
  inRelayFull: {
    side: "udp",
    kind: "drop",
    meaning: "further workers had more handshakes and unknown data than the first could take",
  },
  inUndecodable: {
    side: "udp",
    kind: "drop",
    meaning: "decrypted, but not a whole IPv4 or IPv6 packet",
  },
  inBadSource: {
    side: "udp",
    kind: "drop",
    meaning: "decrypted, but its source is not in the peer's AllowedIPs",
  },

  tunWriteFailed: { side: "tun", kind: "drop", meaning: "the TUN device refused the packet" },
} as const satisfies Record<string, CounterInfo>;

/** Name of one counter. */
export type CounterName = keyof typeof COUNTER_INFO;

/** All names, in index order. */
export const COUNTER_NAMES = Object.keys(COUNTER_INFO) as readonly CounterName[];

/** Index of each counter by name. */
export const COUNTER = Object.fromEntries(
  COUNTER_NAMES.map((name, index) => [name, index]),
) as Readonly<Record<CounterName, number>>;

/** Bytes of shared memory that all counters take: two Float64 each. */
export const COUNTERS_BYTES = COUNTER_NAMES.length * 16;

/** One counter's value. */
export interface CounterValue {
  readonly packets: number;
  readonly bytes: number;
}

/** The counters over shared memory: one writer, any reader. */
export class Counters {
  readonly #values: Float64Array;

  /** @param memory At least COUNTERS_BYTES; zeroed by the one who makes it. */
  constructor(readonly memory: SharedArrayBuffer = new SharedArrayBuffer(COUNTERS_BYTES)) {
    if (memory.byteLength < COUNTERS_BYTES) {
      throw new RangeError(
        `Cannot hold ${COUNTERS_BYTES} bytes of counters in ${memory.byteLength}`,
      );
    }
    this.#values = new Float64Array(memory, 0, COUNTER_NAMES.length * 2);
  }

  /** Adds to the counter at `index` (see COUNTER). Writer only. */
  add(index: number, packets: number, bytes: number): void {
    this.#values[index * 2]! += packets;
    this.#values[index * 2 + 1]! += bytes;
  }

  /** Reads one counter. */
  value(name: CounterName): CounterValue {
    const index = COUNTER[name] * 2;
    return { packets: this.#values[index]!, bytes: this.#values[index + 1]! };
  }

  /** Reads all, by name. */
  values(): Record<CounterName, CounterValue> {
    return Object.fromEntries(COUNTER_NAMES.map((name) => [name, this.value(name)])) as Record<
      CounterName,
      CounterValue
    >;
  }
}

/** Adds up the counters of several workers, by name. */
export function sumCounters(all: readonly Counters[]): Record<CounterName, CounterValue> {
  return Object.fromEntries(COUNTER_NAMES.map((name) => {
    const values = all.map((counters) => counters.value(name));
    const packets = values.reduce((sum, value) => sum + value.packets, 0);
    const bytes = values.reduce((sum, value) => sum + value.bytes, 0);
    return [name, { packets, bytes }];
  })) as Record<CounterName, CounterValue>;
}

// ---- What the flow log reports ------------------------------------------------------------------------------------

/**
 * Classes of traffic, by number (netlog's CLASS). The last is what the UDP side counted; the others together are what
 * the TUN side counted.
 */
export const CLASS_NAMES = ["virtual", "subnet", "exit", "unknown", "physical"] as const;

/** Name of a class. */
export type ClassName = (typeof CLASS_NAMES)[number];

/** Packets and bytes by direction: tx was sent into the tunnel or to a peer, rx came out of it or from a peer. */
export interface TrafficSums {
  readonly txPackets: bigint;
  readonly txBytes: bigint;
  readonly rxPackets: bigint;
  readonly rxBytes: bigint;
}

/** Traffic of each class. */
export type ClassSums = Readonly<Record<ClassName, TrafficSums>>;
