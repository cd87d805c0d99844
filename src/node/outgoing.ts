/**
 * The way out: TUN to UDP.
 *
 *   read -> plan -> decode -> route (AllowedIPs) -> segment -> seal -> count tx -> send
 *
 * In: packets and super-packets. Out: sealed datagrams, runs of one length in one entry; flow counts; named counters
 * for all that was refused. Packets are read to where their datagram will be and sealed in place, one behind the
 * other, so that a run of equal length needs no copy. Guarantees: nothing is allocated per packet.
 */
import { COUNTER, type Counters } from "../counters.ts";
import { ERRNO, SystemCallError } from "../errors.ts";
import {
  CONTROL_SLOT_BYTES,
  CONTROL_SLOTS,
  OUTGOING_BYTES,
  PACKET_SLOT_BYTES,
  PADDING_BYTES,
  READ_BYTES_MAX,
  READ_PACKETS_MAX,
  STAGED_PACKETS_MAX,
  STAGED_PACKETS_TOTAL_MAX,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
} from "../limits.ts";
import {
  ENDPOINT,
  type NativeBuffer,
  type PollPort,
  type TunPort,
  UDP_SEND_BYTES_MAX,
  type UdpPort,
} from "../ports.ts";
import {
  DECODE,
  decode,
  type FragmentCache,
  INFO,
  INFO_WORDS,
  KEY_WORDS,
  PLAN,
  PLAN_WORDS,
  readVirtio,
  SEGMENT,
  Segmenter,
  VIRTIO_WORDS,
} from "../packet/mod.ts";
import type { FlowWriter } from "../flow/mod.ts";
import { type CarriedPeer, type Carrying, SEAL } from "../wireguard/mod.ts";
import { type BatchTime, type DirectionParts, joinFragment } from "./direction.ts";
import { SendQueue } from "./send_queue.ts";
import type { RelayRing } from "./relay_ring.ts";
import { StagedPackets, type WaitingPackets } from "./staging.ts";

/** What the way out works with. */
export interface OutgoingParts extends DirectionParts {
  readonly poll: PollPort;
  /** Longest packet that may wait for a session. */
  readonly stagedBytesMax: number;
}

/** Room in front of a packet for the transport header, so that sealing is in place. */
const HEADROOM_BYTES = TRANSPORT_HEADER_BYTES;
/** Most bytes that sealing adds behind a packet: padding and tag. */
const TAIL_BYTES = PADDING_BYTES - 1 + TAG_BYTES;
/** Longest packet whose datagram there can be. */
const PACKET_BYTES_MAX = UDP_SEND_BYTES_MAX - TRANSPORT_HEADER_BYTES - TAG_BYTES;
/** Where a packet may begin at most: behind it a super-packet and what is made of it must fit. */
const CURSOR_MAX = OUTGOING_BYTES - 3 * PACKET_SLOT_BYTES;

/** See file header. */
export class Outgoing {
  readonly #tun: TunPort;
  readonly #counters: Counters;
  readonly #virtual: FlowWriter;
  readonly #fragments: FragmentCache;
  readonly #time: BatchTime;
  readonly #staged: WaitingPackets;
  readonly #dropFailed = (bytes: number): void =>
    this.#counters.add(COUNTER.outHandshakeFailed, 1, bytes);

  /** Packets, one behind the other, and behind them the control slots. */
  readonly #buffer: NativeBuffer;
  /** Where the next packet's datagram may begin. Everything before belongs to datagrams that are queued. */
  #cursor = 0;
  readonly #segmenter: Segmenter;
  readonly #virtio = new Uint32Array(VIRTIO_WORDS);
  readonly #plan = new Uint32Array(PLAN_WORDS);
  readonly #send4: SendQueue;
  readonly #send6: SendQueue;
  #controlSlotsUsed = 0;
  readonly #key = new Uint32Array(KEY_WORDS);
  readonly #info = new Uint32Array(INFO_WORDS);
  #carrying!: Carrying;

  constructor(parts: OutgoingParts) {
    this.#tun = parts.tun;
    this.#counters = parts.counters;
    this.#virtual = parts.virtual;
    this.#fragments = parts.fragments;
    this.#time = parts.time;
    this.#staged = parts.relay ?? new StagedPackets(
      {
        perPeerMax: STAGED_PACKETS_MAX,
        totalMax: STAGED_PACKETS_TOTAL_MAX,
        slotBytes: parts.stagedBytesMax,
      },
      (bytes) => this.#counters.add(COUNTER.outQueueFull, 1, bytes),
    );
    this.#buffer = parts.allocate(OUTGOING_BYTES + CONTROL_SLOTS * CONTROL_SLOT_BYTES);
    this.#segmenter = new Segmenter(this.#buffer);
    const queue = {
      buffer: this.#buffer,
      poll: parts.poll,
      counters: parts.counters,
      physical: parts.physicalRows,
    };
    this.#send4 = new SendQueue(queue);
    this.#send6 = new SendQueue(queue);
  }

  /** Binds the protocol. Called once, before all else. */
  start(carrying: Carrying): void {
    this.#carrying = carrying;
  }

  /** Takes the sockets in use from now on; null = that family is not there. */
  setSockets(udp4: UdpPort | null, udp6: UdpPort | null): void {
    this.#send4.port = udp4;
    this.#send6.port = udp6;
  }

  /** Packets that wait for a session. */
  get waitingPackets(): number {
    return this.#staged.total;
  }

  /** Endpoints that get datagrams one by one though their socket could do more; Infinity = all. */
  get plainPaths(): number {
    return this.#send4.plainPaths + this.#send6.plainPaths;
  }

  /** Sends all that is queued. */
  flush(): void {
    this.#send4.flush();
    this.#send6.flush();
    this.#controlSlotsUsed = 0;
  }

  /**
   * Moves what waits at the TUN device, up to one turn's measure.
   * @throws {SystemCallError} If the device is gone.
   */
  read(): void {
    let bytes = 0;
    for (let count = 0; count < READ_PACKETS_MAX && bytes < READ_BYTES_MAX; count++) {
      if (this.#cursor > CURSOR_MAX) this.#rewind();
      const offset = this.#cursor + HEADROOM_BYTES;
      const length = this.#tun.read(this.#buffer, offset);
      if (length === -ERRNO.EAGAIN || length === -ERRNO.EINTR) break;
      if (length < 0) {
        this.#rewind();
        throw new SystemCallError(`read TUN device "${this.#tun.name}"`, -length);
      }
      bytes += length;
      if (this.#tun.readHeader.getUint16(0) === 0) this.#readPlain(offset, length);
      else this.#readOffloaded(offset, length);
    }
    this.#rewind();
  }

  /** Sends all that is queued, so that the buffer can be used from its beginning again. */
  #rewind(): void {
    this.flush();
    this.#cursor = 0;
  }

  /** A packet that is complete as it was read. */
  #readPlain(offset: number, length: number): void {
    this.#counters.add(COUNTER.tunRead, 1, length);
    if (length > PACKET_BYTES_MAX) {
      this.#counters.add(COUNTER.outTooBig, 1, length);
      return;
    }
    this.#carry(offset, length);
  }

  /** Finds whom a packet is for, seals it and counts it. */
  #carry(offset: number, length: number): void {
    const peer = this.#peerOf(offset, length, 1, length);
    if (peer === null || !this.#seal(peer, offset, length)) return;
    this.#joinFragment();
    this.#virtual.countTx(this.#key, 1, length, this.#info[INFO.DETAIL]!);
  }

  /** Moves the packets that another worker read and counted as read. */
  takeRelayed(ring: RelayRing): void {
    for (let left = ring.count; left > 0; left--) {
      if (this.#cursor > CURSOR_MAX) this.#rewind();
      const offset = this.#cursor + HEADROOM_BYTES;
      this.#carry(offset, ring.pop(this.#buffer.bytes, offset));
    }
    this.#rewind();
  }

  /** A super-packet, or one whose checksum is to be completed. */
  #readOffloaded(offset: number, length: number): void {
    const plan = this.#plan;
    readVirtio(this.#tun.readHeader, 0, this.#virtio, 0);
    if (this.#segmenter.plan(offset, length, this.#virtio, plan) !== SEGMENT.OK) {
      this.#counters.add(COUNTER.tunRead, 1, length);
      this.#counters.add(COUNTER.outUndecodable, 1, length);
      return;
    }
    const packets = plan[PLAN.COUNT]!;
    if (packets === 1) {
      this.#readPlain(offset, length);
      return;
    }
    const bytes = plan[PLAN.IP_BYTES]!;
    this.#counters.add(COUNTER.tunRead, packets, bytes);
    this.#counters.add(COUNTER.tunReadSplit, packets - 1, bytes - length);
    const peer = this.#peerOf(offset, length, packets, bytes);
    if (peer !== null) this.#sealSegments(peer, offset + length);
  }

  /**
   * Finds whom a packet is for, which stands for `packets` of `bytes` together, and leaves its key.
   * @returns null when it is for nobody; then it is counted.
   */
  #peerOf(offset: number, length: number, packets: number, bytes: number): CarriedPeer | null {
    const { view } = this.#buffer;
    if (decode(view, offset, length, this.#key, this.#info) !== DECODE.OK) {
      this.#counters.add(COUNTER.outUndecodable, packets, bytes);
      return null;
    }
    const peer = this.#carrying.peerByDestination(view, offset);
    if (peer === null) this.#counters.add(COUNTER.outNoRoute, packets, bytes);
    return peer;
  }

  /** Makes and seals the packets of the plan behind the super-packet, which ends at `end`, and counts them. */
  #sealSegments(peer: CarriedPeer, end: number): void {
    const plan = this.#plan;
    const packets = plan[PLAN.COUNT]!;
    const room = HEADROOM_BYTES + plan[PLAN.PACKET_BYTES]! + TAIL_BYTES;
    // C addresses multiples of 4 without a new pointer object.
    const first = (end + 3) & ~3;
    let sealedPackets = 0;
    let sealedBytes = 0;
    this.#cursor = first;
    for (let index = 0; index < packets; index++) {
      if (this.#cursor + room > OUTGOING_BYTES) {
        this.flush();
        this.#cursor = first;
      }
      const offset = this.#cursor + HEADROOM_BYTES;
      const length = this.#segmenter.write(plan, index, offset);
      if (this.#seal(peer, offset, length)) {
        sealedPackets++;
        sealedBytes += length;
      }
    }
    if (sealedPackets === 0) return;
    this.#virtual.countTx(this.#key, sealedPackets, sealedBytes, this.#info[INFO.DETAIL]!);
  }

  /**
   * Seals a packet of the buffer that lies HEADROOM_BYTES behind the cursor, queues it and moves the cursor
   * behind it; or keeps a copy until there is a session, or counts it as refused.
   * @returns Whether it was sealed.
   */
  #seal(peer: CarriedPeer, offset: number, length: number): boolean {
    const buffer = this.#buffer;
    const sealed = this.#carrying.seal(peer, buffer, offset, length);
    if (sealed > 0) {
      this.#queue(peer, offset - HEADROOM_BYTES, sealed, peer.endpoint, 0);
      this.#cursor = offset - HEADROOM_BYTES + sealed;
      return true;
    }
    if (sealed === SEAL.NO_SESSION) this.#staged.push(peer.slot, buffer.bytes, offset, length);
    else if (sealed === SEAL.NO_ENDPOINT) this.#counters.add(COUNTER.outNoEndpoint, 1, length);
    else this.#counters.add(COUNTER.outHandshakeFailed, 1, length);
    return false;
  }

  #joinFragment(): void {
    joinFragment(this.#fragments, this.#key, this.#info, this.#time);
  }

  #queue(
    peer: CarriedPeer | null,
    offset: number,
    length: number,
    endpoints: Uint32Array,
    word: number,
  ): void {
    const queue = endpoints[word + ENDPOINT.FAMILY] === 6 ? this.#send6 : this.#send4;
    if (queue.full) this.flush();
    queue.append(peer, offset, length, endpoints, word);
  }

  /** Queues a handshake message, cookie reply or keepalive. */
  send(peer: CarriedPeer | null, bytes: Uint8Array, endpoint: Uint32Array): void {
    if (this.#controlSlotsUsed === CONTROL_SLOTS) this.flush();
    const offset = OUTGOING_BYTES + this.#controlSlotsUsed++ * CONTROL_SLOT_BYTES;
    this.#buffer.bytes.set(bytes, offset);
    this.#queue(peer, offset, bytes.length, endpoint, 0);
  }

  /** Seals and queues what waited for this peer, in order. Never called while a packet is being sealed. */
  sessionReady(peer: CarriedPeer): number {
    const { bytes, view } = this.#buffer;
    let sealed = 0;
    while (this.#staged.count(peer.slot) > 0) {
      if (this.#cursor > CURSOR_MAX) this.#rewind();
      const offset = this.#cursor + HEADROOM_BYTES;
      const length = this.#staged.pop(peer.slot, bytes, offset);
      // It was decodable when it was kept; decoding again is cheaper than keeping keys beside packets.
      decode(view, offset, length, this.#key, this.#info);
      if (!this.#seal(peer, offset, length)) break;
      this.#joinFragment();
      this.#virtual.countTx(this.#key, 1, length, this.#info[INFO.DETAIL]!);
      sealed++;
    }
    return sealed;
  }

  /** Drops what waited for a session that will not come. */
  sessionFailed(peer: CarriedPeer): void {
    this.#staged.clear(peer.slot, this.#dropFailed);
  }
}
