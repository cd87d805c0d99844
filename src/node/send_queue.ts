/**
 * Datagrams of one address family on their way to the kernel.
 *
 * In: sealed datagrams that lie in one buffer, with peer and endpoint. Out: batches to the UDP socket; physical rows
 * and peers' counters for what the kernel took; a named counter for what it did not.
 */
import { COUNTER, type Counters } from "../counters.ts";
import { ERRNO } from "../errors.ts";
import { PACKET_SLOT_BYTES, SEND_WAIT_MS } from "../limits.ts";
import {
  ENDPOINT_WORDS,
  type NativeBuffer,
  type PacketBatch,
  type PollPort,
  type UdpPort,
} from "../ports.ts";
import { createBatch } from "../packet/mod.ts";
import type { Peer } from "../wireguard/mod.ts";
import type { PhysicalRows } from "./physical.ts";

/** What a send queue works with. */
export interface SendQueueOptions {
  /** Buffer that all datagrams lie in, one a slot of PACKET_SLOT_BYTES. */
  readonly buffer: NativeBuffer;
  /** Slots of the buffer, and so the most datagrams between two flushes. */
  readonly slots: number;
  readonly poll: PollPort;
  readonly counters: Counters;
  readonly physical: PhysicalRows;
}

/** See file header. `port` may be null: the machine lacks the family; what is sent then is counted as failed. */
export class SendQueue {
  port: UdpPort | null = null;
  readonly #batch: PacketBatch;
  readonly #peers: (Peer | null)[];
  readonly #poll: PollPort;
  readonly #counters: Counters;
  readonly #physical: PhysicalRows;

  constructor({ buffer, slots, poll, counters, physical }: SendQueueOptions) {
    this.#batch = createBatch(buffer, {
      capacity: slots,
      slotBytes: PACKET_SLOT_BYTES,
      headroomBytes: 0,
    });
    this.#peers = new Array<Peer | null>(slots).fill(null);
    this.#poll = poll;
    this.#counters = counters;
    this.#physical = physical;
  }

  /** Whether the next append needs a flush first. */
  get full(): boolean {
    return this.#batch.count >= this.#batch.capacity;
  }

  /** Adds a datagram. The bytes must stay as they are until flush. @param endpointWord First word in `endpoints`. */
  append(
    peer: Peer | null,
    offset: number,
    length: number,
    endpoints: Uint32Array,
    endpointWord: number,
  ): void {
    const batch = this.#batch;
    const index = batch.count++;
    batch.offset[index] = offset;
    batch.length[index] = length;
    const first = index * ENDPOINT_WORDS;
    for (let word = 0; word < ENDPOINT_WORDS; word++) {
      batch.endpoint[first + word] = endpoints[endpointWord + word]!;
    }
    this.#peers[index] = peer;
  }

  /** Hands all datagrams to the kernel, in order. A datagram that it refuses does not hold up the next. */
  flush(): void {
    const batch = this.#batch;
    let first = 0;
    while (first < batch.count) {
      const port = this.port;
      let sent = port === null ? -ERRNO.EAFNOSUPPORT : port.send(batch, first);
      if (sent === -ERRNO.EAGAIN || sent === -ERRNO.ENOBUFS) {
        // Waiting here makes the TUN queue fill, which is the signal that TCP needs to slow down.
        this.#poll.waitWritable(port!, SEND_WAIT_MS);
        sent = port!.send(batch, first);
      }
      if (sent > 0) {
        this.#account(first, first + sent);
        first += sent;
      } else if (sent !== -ERRNO.EINTR) {
        this.#counters.add(dropCounter(-sent), 1, batch.length[first]!);
        first++;
      }
    }
    batch.count = 0;
  }

  /** Counts datagrams `from` .. `to - 1` as sent. A run to one peer and endpoint is counted at once. */
  #account(from: number, to: number): void {
    const { length, endpoint } = this.#batch;
    let total = 0;
    let index = from;
    while (index < to) {
      const peer = this.#peers[index]!;
      const runStart = index;
      let bytes = 0;
      do {
        bytes += length[index]!;
        index++;
      } while (
        index < to && this.#peers[index] === peer &&
        sameEndpoint(endpoint, runStart * ENDPOINT_WORDS, index * ENDPOINT_WORDS)
      );
      total += bytes;
      this.#physical.countTx(peer, endpoint, runStart * ENDPOINT_WORDS, index - runStart, bytes);
    }
    this.#counters.add(COUNTER.udpSent, to - from, total);
  }
}

function sameEndpoint(endpoints: Uint32Array, first: number, second: number): boolean {
  for (let word = 0; word < ENDPOINT_WORDS; word++) {
    if (endpoints[first + word] !== endpoints[second + word]) return false;
  }
  return true;
}

function dropCounter(errno: number): number {
  if (errno === ERRNO.EMSGSIZE) return COUNTER.sendTooBig;
  if (errno === ERRNO.EAGAIN || errno === ERRNO.ENOBUFS) return COUNTER.sendQueueFull;
  return COUNTER.sendFailed;
}
