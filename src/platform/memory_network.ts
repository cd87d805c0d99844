/**
 * A network in memory: UDP sockets by address and port, and a path between them that loses, doubles, delays,
 * reorders, flips and cuts datagrams at given rates.
 *
 * In: batches sent by sockets, a virtual clock, a seed. Out: batches received, and counts of each fate.
 * Guarantees: the same seed and calls give the same run; sent + duplicated = delivered + lost + filtered +
 * unreachable + overflowed + in flight.
 */
import { ERRNO } from "../errors.ts";
import {
  ENDPOINT,
  ENDPOINT_WORDS,
  NO_UDP_OFFLOADS,
  type PacketBatch,
  UDP_SEGMENTS_MAX,
  UDP_SEND_BYTES_MAX,
  UDP_TRUNCATED,
  type UdpOffloads,
  type UdpPort,
} from "../ports.ts";
import type { MemoryClock } from "./memory_clock.ts";
import { SeededRandom } from "./memory_random.ts";

/** Rates are probabilities, 0..1, drawn for each datagram (flips and cuts: for each copy that is delivered). */
export interface NetworkFaults {
  lossRate: number;
  /** One more copy. */
  duplicateRate: number;
  /** Held back by reorderMs, so that later ones overtake it. */
  reorderRate: number;
  reorderMs: number;
  /** One way. */
  delayMs: number;
  /** Added evenly, 0 .. jitterMs. Reorders by itself where it exceeds the gap between datagrams. */
  jitterMs: number;
  /** One bit turned. */
  bitFlipRate: number;
  /** Cut to a random shorter length. */
  truncateRate: number;
  /** Longest payload; a longer one is refused with EMSGSIZE. */
  datagramBytesMax: number;
  /** Datagrams that wait at one socket; more are dropped. */
  queueDatagramsMax: number;
}

/** A network without faults. */
export const NO_FAULTS: Readonly<NetworkFaults> = {
  lossRate: 0,
  duplicateRate: 0,
  reorderRate: 0,
  reorderMs: 10,
  delayMs: 0,
  jitterMs: 0,
  bitFlipRate: 0,
  truncateRate: 0,
  datagramBytesMax: 65_507,
  queueDatagramsMax: 4_096,
};

/** A datagram on its way. */
export interface MemoryDatagram {
  readonly family: 4 | 6;
  /** `address:port` of either end, as socketName writes it. */
  readonly source: string;
  readonly destination: string;
  readonly payload: Uint8Array;
  /** Words of the sender, FAMILY, ADDRESS, PORT and SCOPE set. */
  readonly sourceWords: Uint32Array;
}

/** What became of all datagrams so far. `flipped` and `truncated` are delivered ones too. */
export interface NetworkCounts {
  sent: number;
  duplicated: number;
  delivered: number;
  lost: number;
  filtered: number;
  unreachable: number;
  overflowed: number;
  reordered: number;
  flipped: number;
  truncated: number;
}

/** Where a socket is bound. */
export interface MemoryBinding {
  readonly family: 4 | 6;
  /** 4 words as in ENDPOINT. */
  readonly addressWords: Uint32Array;
  readonly port: number;
}

/** Name of a binding in a network's tables. */
function socketName(family: number, words: Uint32Array, wordOffset: number, port: number): string {
  const address = words.subarray(wordOffset, wordOffset + 4);
  return `${family}/${Array.from(address, (word) => word.toString(16)).join(".")}:${port}`;
}

/** The path between all sockets made by socket(). */
export class MemoryNetwork {
  /** Faults in force; may be changed at any time. */
  readonly faults: NetworkFaults;
  readonly counts: NetworkCounts = {
    sent: 0,
    duplicated: 0,
    delivered: 0,
    lost: 0,
    filtered: 0,
    unreachable: 0,
    overflowed: 0,
    reordered: 0,
    flipped: 0,
    truncated: 0,
  };
  /** When set, says which datagrams go on at all: for cut links, firewalls and recordings. */
  filter: ((datagram: MemoryDatagram) => boolean) | null = null;
  readonly #clock: MemoryClock;
  readonly #random: SeededRandom;
  readonly #sockets = new Map<string, MemoryUdp>();
  #inFlight = 0;

  constructor(clock: MemoryClock, seed: number, faults: Partial<NetworkFaults> = {}) {
    this.#clock = clock;
    this.#random = new SeededRandom(seed);
    this.faults = { ...NO_FAULTS, ...faults };
  }

  /** Datagrams sent and not yet at a socket. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * Binds a socket.
   * @throws {Error} If the address and port are taken.
   */
  socket(binding: MemoryBinding): MemoryUdp {
    const socket = new MemoryUdp(this, binding);
    this.bind(socket);
    return socket;
  }

  /** For MemoryUdp only: enters a socket under its binding. */
  bind(socket: MemoryUdp): void {
    if (this.#sockets.has(socket.boundTo)) throw new Error(`Cannot bind ${socket.boundTo}: taken`);
    this.#sockets.set(socket.boundTo, socket);
  }

  /** For MemoryUdp only: forgets a socket; what is in flight to it becomes unreachable. */
  unbind(socket: MemoryUdp): void {
    this.#sockets.delete(socket.boundTo);
  }

  /** Puts one datagram on its way, as a socket does; also for datagrams that no socket of ours would send. */
  transmit(datagram: MemoryDatagram): void {
    const { faults, counts } = this;
    counts.sent++;
    if (this.filter !== null && !this.filter(datagram)) {
      counts.filtered++;
      return;
    }
    if (this.#random.happens(faults.lossRate)) {
      counts.lost++;
      return;
    }
    this.#forward(datagram);
    if (this.#random.happens(faults.duplicateRate)) {
      counts.duplicated++;
      this.#forward(datagram);
    }
  }

  /** Sends one copy through delay and damage. */
  #forward(datagram: MemoryDatagram): void {
    const { faults, counts } = this;
    const random = this.#random;
    let payload = datagram.payload;
    if (payload.length > 0 && random.happens(faults.bitFlipRate)) {
      counts.flipped++;
      payload = payload.slice();
      payload[random.below(payload.length)] ^= 1 << random.below(8);
    }
    if (payload.length > 0 && random.happens(faults.truncateRate)) {
      counts.truncated++;
      payload = payload.slice(0, random.below(payload.length));
    }
    let delayMs = faults.delayMs + faults.jitterMs * random.fraction();
    if (random.happens(faults.reorderRate)) {
      counts.reordered++;
      delayMs += faults.reorderMs;
    }
    const copy = { ...datagram, payload };
    if (delayMs === 0) {
      this.#arrive(copy);
      return;
    }
    this.#inFlight++;
    this.#clock.schedule(delayMs, () => {
      this.#inFlight--;
      this.#arrive(copy);
    });
  }

  #arrive(datagram: MemoryDatagram): void {
    const socket = this.#sockets.get(datagram.destination);
    if (socket === undefined) this.counts.unreachable++;
    else if (socket.waiting >= this.faults.queueDatagramsMax) this.counts.overflowed++;
    else {
      this.counts.delivered++;
      socket.enqueue(datagram);
    }
  }
}

/** UDP socket on a MemoryNetwork. */
export class MemoryUdp implements UdpPort {
  readonly fd = -1;
  readonly family: 4 | 6;
  /** The test may set it before the socket is used. */
  offloads: UdpOffloads = NO_UDP_OFFLOADS;
  /** As last set by setMark. */
  mark = 0;
  closed = false;
  readonly #network: MemoryNetwork;
  #addressWords: Uint32Array;
  #port: number;
  #boundTo: string;
  readonly #queue: MemoryDatagram[] = [];
  #failures = 0;
  #failureErrno = 0;

  /** Use MemoryNetwork.socket(). */
  constructor(network: MemoryNetwork, binding: MemoryBinding) {
    this.#network = network;
    this.family = binding.family;
    this.#addressWords = binding.addressWords.slice();
    this.#port = binding.port;
    this.#boundTo = socketName(this.family, this.#addressWords, 0, this.#port);
  }

  get port(): number {
    return this.#port;
  }

  /** Its name in the network's tables. */
  get boundTo(): string {
    return this.#boundTo;
  }

  /** Datagrams to be received. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Whether the next send is taken. */
  get writable(): boolean {
    return this.#failures === 0;
  }

  /** Moves the socket to another address and port, as a roaming host's socket moves. */
  move(addressWords: Uint32Array, port: number): void {
    this.#network.unbind(this);
    this.#addressWords = addressWords.slice();
    this.#port = port;
    this.#boundTo = socketName(this.family, this.#addressWords, 0, port);
    this.#network.bind(this);
  }

  /** Refuses the next `count` datagrams with `errno`. */
  failSends(count: number, errno: number): void {
    this.#failures = count;
    this.#failureErrno = errno;
  }

  /** For MemoryNetwork only. */
  enqueue(datagram: MemoryDatagram): void {
    this.#queue.push(datagram);
  }

  receive(batch: PacketBatch): number {
    const room = batch.slotBytes - batch.headroomBytes;
    let count = 0;
    while (count < batch.limit && this.#queue.length > 0) {
      const { payload, sourceWords } = this.#queue.shift()!;
      const offset = count * batch.slotBytes + batch.headroomBytes;
      batch.offset[count] = offset;
      batch.length[count] = payload.length <= room ? payload.length : UDP_TRUNCATED;
      batch.segmentBytes[count] = 0;
      batch.buffer.bytes.set(payload.subarray(0, room), offset);
      const endpoint = count * ENDPOINT_WORDS;
      batch.endpoint.set(sourceWords, endpoint);
      batch.endpoint.set(this.#addressWords, endpoint + ENDPOINT.LOCAL_ADDRESS);
      batch.endpoint[endpoint + ENDPOINT.LOCAL_INTERFACE] = 0;
      if (this.offloads.coalescing) this.#coalesce(batch, count, room);
      count++;
    }
    batch.count = count;
    return count;
  }

  /** Joins what follows entry `index` to it, as UDP_GRO does: datagrams of one sender and length, the last may be shorter. */
  #coalesce(batch: PacketBatch, index: number, room: number): void {
    const segmentBytes = batch.length[index]!;
    if (segmentBytes === 0 || segmentBytes === UDP_TRUNCATED) return;
    const source = batch.endpoint.subarray(index * ENDPOINT_WORDS);
    for (let segments = 1; segments < UDP_SEGMENTS_MAX && this.#queue.length > 0; segments++) {
      const { payload, sourceWords } = this.#queue[0]!;
      const total = batch.length[index]! + payload.length;
      const isSame = sourceWords.every((word, at) =>
        at >= ENDPOINT.LOCAL_ADDRESS || word === source[at]
      );
      const fits = payload.length > 0 && payload.length <= segmentBytes && total <= room;
      if (!isSame || !fits) return;
      this.#queue.shift();
      batch.buffer.bytes.set(payload, batch.offset[index]! + batch.length[index]!);
      batch.length[index] = total;
      batch.segmentBytes[index] = segmentBytes;
      if (payload.length < segmentBytes) return;
    }
  }

  send(batch: PacketBatch, first: number): number {
    for (let index = first; index < batch.count; index++) {
      const errno = this.#sendOne(batch, index);
      if (errno !== 0) return index > first ? index - first : -errno;
    }
    return batch.count - first;
  }

  setMark(mark: number): void {
    this.mark = mark;
  }

  close(): void {
    if (!this.closed) this.#network.unbind(this);
    this.closed = true;
  }

  /** Sends one datagram, or each segment of a super-datagram. @returns 0 or an errno. */
  #sendOne(batch: PacketBatch, index: number): number {
    const endpoint = index * ENDPOINT_WORDS;
    const family = batch.endpoint[endpoint + ENDPOINT.FAMILY];
    if (this.closed) return ERRNO.EBADF;
    if (family === 0) return ERRNO.EDESTADDRREQ;
    if (family !== this.family) return ERRNO.EAFNOSUPPORT;
    const local = batch.endpoint.subarray(
      endpoint + ENDPOINT.LOCAL_ADDRESS,
      endpoint + ENDPOINT_WORDS,
    );
    // The socket may have moved since the peer talked to it: see UdpPort.send.
    if (!this.#addressWords.every((word, at) => word === local[at])) local.fill(0);
    const offset = batch.offset[index];
    const length = batch.length[index];
    const segmentBytes = batch.segmentBytes[index] || Math.max(1, length);
    if (Math.min(segmentBytes, length) > this.#network.faults.datagramBytesMax) {
      return ERRNO.EMSGSIZE;
    }
    if (length > segmentBytes) {
      if (!this.offloads.segmentation) return ERRNO.EIO;
      if (length > UDP_SEND_BYTES_MAX || length > segmentBytes * UDP_SEGMENTS_MAX) {
        return ERRNO.EMSGSIZE;
      }
    }
    if (this.#failures > 0) {
      this.#failures--;
      return this.#failureErrno;
    }
    const destination = socketName(
      family,
      batch.endpoint,
      endpoint + ENDPOINT.ADDRESS,
      batch.endpoint[endpoint + ENDPOINT.PORT],
    );
    const sourceWords = new Uint32Array(ENDPOINT_WORDS);
    sourceWords[ENDPOINT.FAMILY] = family;
    sourceWords.set(this.#addressWords, ENDPOINT.ADDRESS);
    sourceWords[ENDPOINT.PORT] = this.#port;
    let sent = 0;
    do {
      const end = Math.min(sent + segmentBytes, length);
      this.#network.transmit({
        family: this.family,
        source: this.#boundTo,
        destination,
        payload: batch.buffer.bytes.slice(offset + sent, offset + end),
        sourceWords,
      });
      sent = end;
    } while (sent < length);
    return 0;
  }
}
