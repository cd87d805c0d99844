/**
 * Datagrams of one address family on their way to the kernel.
 *
 * In: sealed datagrams that lie in one buffer, with peer and endpoint. Out: batches to the UDP socket, in which
 * datagrams of one length that lie behind one another go as one entry; physical rows and peers' counters for what the
 * kernel took; a named counter for what it did not. An endpoint to which the kernel cannot send entries of many
 * datagrams gets them one by one from then on, without a loss.
 */
import { COUNTER, type Counters } from "../counters.ts";
import { ERRNO, refusesSegments } from "../errors.ts";
import { SEND_ENTRIES, SEND_WAIT_MS } from "../limits.ts";
import {
  ENDPOINT_WORDS,
  type NativeBuffer,
  type PacketBatch,
  type PollPort,
  UDP_SEGMENTS_MAX,
  UDP_SEND_BYTES_MAX,
  type UdpPort,
} from "../ports.ts";
import { createBatch } from "../packet/mod.ts";
import type { CarriedPeer } from "../wireguard/mod.ts";
import type { PhysicalRows } from "./physical.ts";
import { PlainPaths } from "./plain_paths.ts";

/** What a send queue works with. */
export interface SendQueueOptions {
  /** Buffer that all datagrams lie in. */
  readonly buffer: NativeBuffer;
  readonly poll: PollPort;
  readonly counters: Counters;
  readonly physical: PhysicalRows;
}

/** See file header. `port` may be null: the machine lacks the family; what is sent then is counted as failed. */
export class SendQueue {
  readonly #batch: PacketBatch;
  /** One entry's datagrams, when they have to go one by one. */
  readonly #single: PacketBatch;
  readonly #peers: (CarriedPeer | null)[] = new Array<CarriedPeer | null>(SEND_ENTRIES).fill(null);
  /** Per entry: its datagrams. */
  readonly #datagrams = new Uint32Array(SEND_ENTRIES);
  readonly #plainPaths = new PlainPaths();
  readonly #poll: PollPort;
  readonly #counters: Counters;
  readonly #physical: PhysicalRows;
  #port: UdpPort | null = null;
  #joins = false;

  constructor({ buffer, poll, counters, physical }: SendQueueOptions) {
    // Datagrams lie anywhere in the buffer: there are no slots.
    const shape = { slotBytes: 1, headroomBytes: 0 };
    this.#batch = createBatch(buffer, { capacity: SEND_ENTRIES, ...shape });
    this.#single = createBatch(buffer, { capacity: UDP_SEGMENTS_MAX, ...shape });
    this.#poll = poll;
    this.#counters = counters;
    this.#physical = physical;
  }

  get port(): UdpPort | null {
    return this.#port;
  }

  set port(port: UdpPort | null) {
    this.#port = port;
    this.#joins = port !== null && port.offloads.segmentation;
    this.#plainPaths.clear();
  }

  /** Endpoints that get their datagrams one by one though the socket could do more; Infinity = all. */
  get plainPaths(): number {
    return this.#plainPaths.count;
  }

  /** Whether the next append needs a flush first. */
  get full(): boolean {
    return this.#batch.count >= SEND_ENTRIES;
  }

  /** Adds a datagram. The bytes must stay as they are until flush. @param endpointWord First word in `endpoints`. */
  append(
    peer: CarriedPeer | null,
    offset: number,
    length: number,
    endpoints: Uint32Array,
    endpointWord: number,
  ): void {
    const batch = this.#batch;
    if (this.#joins && this.#join(peer, offset, length, endpoints, endpointWord)) return;
    const index = batch.count++;
    batch.offset[index] = offset;
    batch.length[index] = length;
    batch.segmentBytes[index] = 0;
    this.#datagrams[index] = 1;
    copyEndpoint(batch.endpoint, index * ENDPOINT_WORDS, endpoints, endpointWord);
    this.#peers[index] = peer;
  }

  /** Adds the datagram to the last entry, if it lies behind it, is no longer and goes to the same place. */
  #join(
    peer: CarriedPeer | null,
    offset: number,
    length: number,
    endpoints: Uint32Array,
    endpointWord: number,
  ): boolean {
    const batch = this.#batch;
    const last = batch.count - 1;
    if (last < 0 || this.#peers[last] !== peer) return false;
    const datagrams = this.#datagrams[last]!;
    const lengthSoFar = batch.length[last]!;
    const segmentBytes = datagrams === 1 ? lengthSoFar : batch.segmentBytes[last]!;
    // A shorter one before says that the entry has its end: the kernel cuts at multiples of segmentBytes.
    const isOpen = lengthSoFar === segmentBytes * datagrams && datagrams < UDP_SEGMENTS_MAX;
    const fits = length <= segmentBytes && lengthSoFar + length <= UDP_SEND_BYTES_MAX;
    if (!isOpen || !fits || batch.offset[last]! + lengthSoFar !== offset) return false;
    if (!sameEndpoint(batch.endpoint, last * ENDPOINT_WORDS, endpoints, endpointWord)) return false;
    if (datagrams === 1 && this.#plainPaths.has(endpoints, endpointWord)) return false;
    batch.segmentBytes[last] = segmentBytes;
    batch.length[last] = lengthSoFar + length;
    this.#datagrams[last] = datagrams + 1;
    return true;
  }

  /** Hands all datagrams to the kernel, in order. A datagram that it refuses does not hold up the next. */
  flush(): void {
    const batch = this.#batch;
    let first = 0;
    while (first < batch.count) {
      const sent = this.#send(batch, first);
      if (sent > 0) {
        this.#account(first, first + sent);
        first += sent;
      } else if (sent !== -ERRNO.EINTR) {
        if (batch.segmentBytes[first] !== 0 && refusesSegments(-sent)) this.#sendSingly(first);
        else this.#drop(-sent, this.#datagrams[first]!, batch.length[first]!);
        first++;
      }
    }
    batch.count = 0;
  }

  #send(batch: PacketBatch, first: number): number {
    const port = this.#port;
    if (port === null) return -ERRNO.EAFNOSUPPORT;
    const sent = port.send(batch, first);
    if (sent !== -ERRNO.EAGAIN && sent !== -ERRNO.ENOBUFS) return sent;
    // Waiting here makes the TUN queue fill, which is the signal that TCP needs to slow down.
    this.#poll.waitWritable(port, SEND_WAIT_MS);
    return port.send(batch, first);
  }

  /** Sends the datagrams of one entry one by one, and so all later ones to that endpoint. */
  #sendSingly(index: number): void {
    const batch = this.#batch;
    const single = this.#single;
    const words = index * ENDPOINT_WORDS;
    const peer = this.#peers[index]!;
    const segmentBytes = batch.segmentBytes[index]!;
    const total = batch.length[index]!;
    this.#plainPaths.add(batch.endpoint, words);
    let count = 0;
    for (let at = 0; at < total; at += segmentBytes) {
      single.offset[count] = batch.offset[index]! + at;
      single.length[count] = Math.min(segmentBytes, total - at);
      copyEndpoint(single.endpoint, count * ENDPOINT_WORDS, batch.endpoint, words);
      count++;
    }
    single.count = count;
    let first = 0;
    while (first < count) {
      const sent = this.#send(single, first);
      if (sent > 0) {
        let bytes = 0;
        for (let at = first; at < first + sent; at++) bytes += single.length[at]!;
        this.#physical.countTx(peer, batch.endpoint, words, sent, bytes);
        this.#counters.add(COUNTER.udpSent, sent, bytes);
        first += sent;
      } else if (sent !== -ERRNO.EINTR) {
        this.#drop(-sent, 1, single.length[first]!);
        first++;
      }
    }
  }

  #drop(errno: number, datagrams: number, bytes: number): void {
    this.#counters.add(dropCounter(errno), datagrams, bytes);
  }

  /** Counts entries `from` .. `to - 1` as sent. A run to one peer and endpoint is counted at once. */
  #account(from: number, to: number): void {
    const { length, endpoint } = this.#batch;
    let totalDatagrams = 0;
    let totalBytes = 0;
    let index = from;
    while (index < to) {
      const peer = this.#peers[index]!;
      const words = index * ENDPOINT_WORDS;
      let datagrams = 0;
      let bytes = 0;
      do {
        datagrams += this.#datagrams[index]!;
        bytes += length[index]!;
        index++;
      } while (
        index < to && this.#peers[index] === peer &&
        sameEndpoint(endpoint, words, endpoint, index * ENDPOINT_WORDS)
      );
      totalDatagrams += datagrams;
      totalBytes += bytes;
      this.#physical.countTx(peer, endpoint, words, datagrams, bytes);
    }
    this.#counters.add(COUNTER.udpSent, totalDatagrams, totalBytes);
  }
}

function copyEndpoint(
  target: Uint32Array,
  targetWord: number,
  source: Uint32Array,
  sourceWord: number,
): void {
  for (let word = 0; word < ENDPOINT_WORDS; word++) {
    target[targetWord + word] = source[sourceWord + word]!;
  }
}

function sameEndpoint(
  endpoints: Uint32Array,
  first: number,
  others: Uint32Array,
  second: number,
): boolean {
  for (let word = 0; word < ENDPOINT_WORDS; word++) {
    if (endpoints[first + word] !== others[second + word]) return false;
  }
  return true;
}

function dropCounter(errno: number): number {
  if (errno === ERRNO.EMSGSIZE) return COUNTER.sendTooBig;
  if (errno === ERRNO.EAGAIN || errno === ERRNO.ENOBUFS) return COUNTER.sendQueueFull;
  return COUNTER.sendFailed;
}
