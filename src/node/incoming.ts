/**
 * The way in: UDP to TUN.
 *
 *   receive -> open -> decode -> AllowedIPs check -> count rx -> coalesce -> write
 *
 * In: datagrams, many of one sender in one entry. Out: packets, neighbours of one flow in one write; flow counts;
 * physical rows; named counters for all that was refused. Datagrams are opened where they were received, and
 * packets are written from there. Guarantees: nothing is allocated per datagram.
 */
import { COUNTER, type Counters } from "../counters.ts";
import { ERRNO } from "../errors.ts";
import {
  COALESCE_PACKETS_MAX,
  HANDSHAKES_PER_BATCH_MAX,
  PACKET_SLOT_BYTES,
  READ_BYTES_MAX,
  RECEIVE_SLOTS,
  RECEIVE_SLOTS_BULK,
} from "../limits.ts";
import {
  ENDPOINT_WORDS,
  type PacketBatch,
  type TunPort,
  UDP_TRUNCATED,
  type UdpPort,
} from "../ports.ts";
import {
  Coalescer,
  createBatch,
  DECODE,
  decode,
  type FragmentCache,
  INFO,
  INFO_WORDS,
  KEY_WORDS,
  VIRTIO_WORDS,
  writeVirtio,
} from "../packet/mod.ts";
import type { FlowWriter } from "../flow/mod.ts";
import {
  type CarriedPeer,
  type Carrying,
  COUNTER_BY_RECEIVE,
  RECEIVE,
  RECEIVE_REJECTED,
  RESULT,
  RESULT_WORDS,
} from "../wireguard/mod.ts";
import { type BatchTime, type DirectionParts, joinFragment } from "./direction.ts";
import type { PhysicalRows } from "./physical.ts";
import type { RelayOut } from "./relay.ts";
import type { RelayRing } from "./relay_ring.ts";

/** Refused super-packets in a row after which the device gets no more: one may be a peer's fault. */
export const REFUSALS_MAX = 16;

/** See file header. */
export class Incoming {
  readonly #tun: TunPort;
  readonly #counters: Counters;
  readonly #virtual: FlowWriter;
  readonly #physicalRows: PhysicalRows;
  readonly #fragments: FragmentCache;
  readonly #time: BatchTime;
  readonly #relay: RelayOut | null;
  readonly #batch: PacketBatch;
  readonly #coalescer: Coalescer;
  /** Whether the device takes super-packets. */
  #joins: boolean;
  /** Super-packets that the device has refused one after another. */
  #refusals = 0;
  /** Handshake messages with a right mac1 in the receive batch under way. */
  #handshakes = 0;
  /** Authentic datagrams of the entry under way that are not in the physical rows yet, all of #rxPeer. */
  #rxPeer: CarriedPeer | null = null;
  #rxDatagrams = 0;
  #rxBytes = 0;
  readonly #key = new Uint32Array(KEY_WORDS);
  readonly #info = new Uint32Array(INFO_WORDS);
  readonly #result = new Uint32Array(RESULT_WORDS);
  #carrying!: Carrying;

  constructor(parts: DirectionParts) {
    this.#tun = parts.tun;
    this.#counters = parts.counters;
    this.#virtual = parts.virtual;
    this.#physicalRows = parts.physicalRows;
    this.#fragments = parts.fragments;
    this.#time = parts.time;
    this.#relay = parts.relay ?? null;
    const buffer = parts.allocate(RECEIVE_SLOTS * PACKET_SLOT_BYTES);
    this.#batch = createBatch(buffer, {
      capacity: RECEIVE_SLOTS,
      slotBytes: PACKET_SLOT_BYTES,
      headroomBytes: 0,
    });
    this.#batch.limit = RECEIVE_SLOTS_BULK;
    const { tcp, udp } = parts.tun.offloads;
    this.#coalescer = new Coalescer(buffer, { capacity: COALESCE_PACKETS_MAX, tcp, udp });
    this.#joins = tcp || udp;
  }

  /** Binds the protocol. Called once, before all else. */
  start(carrying: Carrying): void {
    this.#carrying = carrying;
  }

  /** Whether the device is given super-packets, if it said that it takes them. */
  get joins(): boolean {
    return this.#joins;
  }

  /** Moves what waits at a socket, up to one batch. */
  receive(port: UdpPort | null): void {
    const batch = this.#batch;
    // Errors of a UDP socket are of the moment (an ICMP answer, memory pressure): the next wait shows what lasts.
    const count = port === null ? 0 : port.receive(batch);
    let bytes = 0;
    this.#handshakes = 0;
    this.#coalescer.begin();
    for (let index = 0; index < count; index++) bytes += this.#incomingEntry(index);
    this.#write();
    // Large entries are taken fewer at a time, so that they are still in the cache when they are opened; and more only
    // step by step, so that a flow that swells does not make memory of all slots resident.
    if (bytes > READ_BYTES_MAX / 2) batch.limit = RECEIVE_SLOTS_BULK;
    else if (count === batch.limit) batch.limit = Math.min(RECEIVE_SLOTS, 2 * count);
  }

  /** One entry of the receive batch. @returns Its bytes. */
  #incomingEntry(index: number): number {
    const batch = this.#batch;
    const length = batch.length[index]!;
    if (length === UDP_TRUNCATED) {
      this.#counters.add(COUNTER.udpReceived, 1, batch.slotBytes);
      this.#counters.add(COUNTER.inTooBig, 1, batch.slotBytes);
      return 0;
    }
    const start = batch.offset[index]!;
    const segmentBytes = batch.segmentBytes[index]! || length;
    let at = 0;
    let datagrams = 0;
    // A datagram of no bytes is one, too.
    do {
      this.#incoming(index, start + at, Math.min(segmentBytes, length - at));
      at += segmentBytes;
      datagrams++;
    } while (at < length);
    this.#counters.add(COUNTER.udpReceived, datagrams, length);
    this.#countPhysical(index);
    return length;
  }

  /** One datagram of entry `index`. */
  #incoming(index: number, offset: number, length: number): void {
    const batch = this.#batch;
    const status = this.#carrying.receive(
      batch.buffer,
      offset,
      length,
      batch.endpoint,
      index * ENDPOINT_WORDS,
      this.#result,
    );
    if (isHandshake(status) && ++this.#handshakes === HANDSHAKES_PER_BATCH_MAX) {
      // So much key agreement at once: proof of the source address must come first.
      this.#carrying.setUnderLoad(true, this.#time.nowMs);
    }
    if (status >= RECEIVE_REJECTED) {
      if (status === RECEIVE.ELSEWHERE && this.#handOver(index, offset, length)) return;
      this.#counters.add(COUNTER_BY_RECEIVE[status]!, 1, length);
      return;
    }
    const peer = this.#carrying.peer(this.#result[RESULT.PEER]!);
    if (peer !== this.#rxPeer) {
      this.#countPhysical(index);
      this.#rxPeer = peer;
    }
    this.#rxDatagrams++;
    this.#rxBytes += length;
    if (status === RECEIVE.DATA) this.#deliver(peer, length);
  }

  /** Gives a datagram of entry `index` to another worker. @returns Whether it could take it. */
  #handOver(index: number, offset: number, length: number): boolean {
    const { endpoint, buffer } = this.#batch;
    const word = index * ENDPOINT_WORDS;
    return this.#relay !== null &&
      this.#relay.pushDatagram(endpoint, word, buffer.bytes, offset, length);
  }

  /** Moves the datagrams that another worker received and counted as received. */
  takeRelayed(ring: RelayRing): void {
    const { buffer, endpoint } = this.#batch;
    for (let left = ring.count; left > 0; left -= RECEIVE_SLOTS) {
      this.#handshakes = 0;
      this.#coalescer.begin();
      for (let index = 0; index < Math.min(left, RECEIVE_SLOTS); index++) {
        const offset = index * PACKET_SLOT_BYTES;
        const length = ring.pop(buffer.bytes, offset);
        endpoint.set(ring.beside, index * ENDPOINT_WORDS);
        this.#incoming(index, offset, length);
        this.#countPhysical(index);
      }
      this.#write();
    }
  }

  /** Counts what was received from #rxPeer in entry `index`. */
  #countPhysical(index: number): void {
    const peer = this.#rxPeer;
    if (peer === null) return;
    this.#physicalRows.countRx(
      peer,
      this.#batch.endpoint,
      index * ENDPOINT_WORDS,
      this.#rxDatagrams,
      this.#rxBytes,
    );
    this.#rxPeer = null;
    this.#rxDatagrams = 0;
    this.#rxBytes = 0;
  }

  /** Hands the packet that `receive` left in the result on to the TUN device, if its peer may send it. */
  #deliver(peer: CarriedPeer, datagramBytes: number): void {
    const { view } = this.#batch.buffer;
    const offset = this.#result[RESULT.OFFSET]!;
    const padded = this.#result[RESULT.LENGTH]!;
    const status = decode(view, offset, padded, this.#key, this.#info);
    // Behind the packet's own length stands WireGuard's padding; 0 = the header contradicts itself.
    const length = this.#info[INFO.IP_BYTES]!;
    if (status !== DECODE.OK || length === 0) {
      this.#counters.add(COUNTER.inUndecodable, 1, datagramBytes);
      return;
    }
    if (!this.#carrying.sourceAllowed(peer, view, offset)) {
      this.#counters.add(COUNTER.inBadSource, 1, datagramBytes);
      return;
    }
    joinFragment(this.#fragments, this.#key, this.#info, this.#time);
    this.#virtual.countRx(this.#key, 1, length, this.#info[INFO.DETAIL]!);
    if (!this.#joins) {
      const written = this.#tun.write(this.#batch.buffer, offset, length);
      this.#counters.add(written < 0 ? COUNTER.tunWriteFailed : COUNTER.tunWritten, 1, length);
      return;
    }
    if (this.#coalescer.full) {
      this.#write();
      this.#coalescer.begin();
    }
    this.#coalescer.add(offset, length, this.#key, this.#info);
  }

  /** Writes what was delivered since begin(), neighbours of one flow in one go. */
  #write(): void {
    const groups = this.#coalescer;
    groups.finish();
    for (let group = 0; group < groups.groupCount; group++) {
      const packets = groups.groupParts[group]!;
      const bytes = groups.groupIpBytes[group]!;
      const written = this.#writeParts(group, groups.groupPart[group]!, packets);
      if (written === -ERRNO.EINVAL && packets > 1) {
        this.#writeSplit(group);
        continue;
      }
      this.#counters.add(written < 0 ? COUNTER.tunWriteFailed : COUNTER.tunWritten, packets, bytes);
      if (written >= 0 && packets > 1) {
        this.#refusals = 0;
        this.#counters.add(COUNTER.tunWrittenJoined, packets - 1, bytes - written);
      }
    }
  }

  /** Writes `count` parts from `part` on as one packet, with the group's virtio header. */
  #writeParts(group: number, part: number, count: number): number {
    const { groupVirtio, partOffset, partLength } = this.#coalescer;
    writeVirtio(this.#tun.writeHeader, 0, groupVirtio, group * VIRTIO_WORDS);
    return this.#tun.writeParts(this.#batch.buffer, partOffset, partLength, part, count);
  }

  /** Writes a group's packets one by one, because the device refused it; it gets no more after some of these. */
  #writeSplit(group: number): void {
    const groups = this.#coalescer;
    if (++this.#refusals === REFUSALS_MAX) this.#joins = false;
    groups.split(group);
    const first = groups.groupPart[group]!;
    for (let part = first; part < first + groups.groupParts[group]!; part++) {
      const written = this.#writeParts(group, part, 1);
      const counter = written < 0 ? COUNTER.tunWriteFailed : COUNTER.tunWritten;
      this.#counters.add(counter, 1, groups.partLength[part]!);
    }
  }
}

/** Whether it was a handshake message that strangers cannot make without our public key: one with a right mac1. */
function isHandshake(status: number): boolean {
  return status === RECEIVE.HANDSHAKE ||
    (status > RECEIVE.MAC_INVALID && status < RECEIVE.UNKNOWN_SESSION);
}
