/**
 * The data plane: everything that happens per packet, in one thread.
 *
 *   TUN -> decode -> route (AllowedIPs) -> seal -> count tx -> UDP
 *   UDP -> open -> decode -> AllowedIPs check -> count rx -> TUN
 *
 * In: readable descriptors. Out: packets on the other side, flow counts in the banks, named counters for all that
 * was refused. Guarantees: nothing is allocated per packet; whatever is read is counted in exactly one place
 * (counters.ts states the equations). Not here: opening descriptors, configuration, reading counters.
 */
import { COUNTER, type Counters } from "../counters.ts";
import { ERRNO, SystemCallError } from "../errors.ts";
import {
  BATCH_PACKETS,
  CONTROL_SLOTS,
  HANDSHAKES_PER_BATCH_MAX,
  PACKET_SLOT_BYTES,
  STAGED_PACKETS_MAX,
  STAGED_PACKETS_TOTAL_MAX,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
} from "../limits.ts";
import {
  type ClockPort,
  ENDPOINT,
  ENDPOINT_WORDS,
  type NativeBuffer,
  type PacketBatch,
  POLL,
  type PollPort,
  type TunPort,
  UDP_TRUNCATED,
  type UdpPort,
  type WakePort,
} from "../ports.ts";
import {
  createBatch,
  DECODE,
  decode,
  FRAGMENT,
  FragmentCache,
  INFO,
  INFO_WORDS,
  KEY_WORDS,
} from "../packet/mod.ts";
import type { FlowWriter } from "../flow/mod.ts";
import {
  COUNTER_BY_RECEIVE,
  type Peer,
  RECEIVE,
  RECEIVE_REJECTED,
  RESULT,
  RESULT_WORDS,
  SEAL,
  type WireGuard,
  type WireGuardEvents,
} from "../wireguard/mod.ts";
import { PhysicalRows } from "./physical.ts";
import { SendQueue } from "./send_queue.ts";
import { StagedPackets } from "./staging.ts";

/** What the data plane is made of; see cli/data_plane_worker.ts for the real thing. */
export interface DataPlaneParts {
  readonly tun: TunPort;
  readonly poll: PollPort;
  readonly wake: WakePort;
  readonly clock: ClockPort;
  /** Gives zeroed memory that C can address. */
  readonly allocate: (bytes: number) => NativeBuffer;
  readonly counters: Counters;
  readonly virtual: FlowWriter;
  readonly physical: FlowWriter;
  /** HASH_SECRET_WORDS random words, for the fragment cache. */
  readonly hashSecret: Uint32Array;
  /** Longest packet that may wait for a session. */
  readonly stagedBytesMax: number;
}

/** A packet lies this far into its slot: room for the transport header, so that sealing is in place. */
const HEADROOM_BYTES = TRANSPORT_HEADER_BYTES;
/** Longest packet a slot takes: behind it padding and tag must fit. */
const PACKET_BYTES_MAX = PACKET_SLOT_BYTES - HEADROOM_BYTES - 2 * TAG_BYTES;

/** See file header. `start` binds it to a WireGuard, `run` works until woken for control. */
export class DataPlane implements WireGuardEvents {
  readonly #tun: TunPort;
  readonly #poll: PollPort;
  readonly #wake: WakePort;
  readonly #clock: ClockPort;
  readonly #counters: Counters;
  readonly #virtual: FlowWriter;
  readonly #physical: FlowWriter;
  readonly #physicalRows: PhysicalRows;
  readonly #staged: StagedPackets;
  readonly #fragments: FragmentCache;
  readonly #dropFailed = (bytes: number): void =>
    this.#counters.add(COUNTER.outHandshakeFailed, 1, bytes);

  /** Slots of packets read from TUN, and behind them slots for datagrams that come from elsewhere. */
  readonly #tunBatch: PacketBatch;
  readonly #udpBatch: PacketBatch;
  readonly #send4: SendQueue;
  readonly #send6: SendQueue;
  #controlSlotsUsed = 0;
  /** Handshake messages with a right mac1 in the receive batch under way. */
  #handshakes = 0;

  readonly #key = new Uint32Array(KEY_WORDS);
  readonly #info = new Uint32Array(INFO_WORDS);
  readonly #result = new Uint32Array(RESULT_WORDS);
  #wireguard!: WireGuard;
  #udp4: UdpPort | null = null;
  #udp6: UdpPort | null = null;
  #nowMs = 0;
  #wallMs = 0;

  constructor(parts: DataPlaneParts) {
    this.#tun = parts.tun;
    this.#poll = parts.poll;
    this.#wake = parts.wake;
    this.#clock = parts.clock;
    this.#counters = parts.counters;
    this.#virtual = parts.virtual;
    this.#physical = parts.physical;
    this.#physicalRows = new PhysicalRows(parts.physical);
    this.#fragments = new FragmentCache(parts.hashSecret);
    this.#staged = new StagedPackets(
      {
        perPeerMax: STAGED_PACKETS_MAX,
        totalMax: STAGED_PACKETS_TOTAL_MAX,
        slotBytes: parts.stagedBytesMax,
      },
      (bytes) => this.#counters.add(COUNTER.outQueueFull, 1, bytes),
    );
    const slot = { slotBytes: PACKET_SLOT_BYTES, headroomBytes: HEADROOM_BYTES };
    const outgoing = parts.allocate((BATCH_PACKETS + CONTROL_SLOTS) * PACKET_SLOT_BYTES);
    const incoming = parts.allocate(BATCH_PACKETS * PACKET_SLOT_BYTES);
    this.#tunBatch = createBatch(outgoing, { capacity: BATCH_PACKETS, ...slot });
    this.#udpBatch = createBatch(incoming, { capacity: BATCH_PACKETS, ...slot });
    const queue = {
      buffer: outgoing,
      slots: BATCH_PACKETS + CONTROL_SLOTS,
      poll: parts.poll,
      counters: parts.counters,
      physical: this.#physicalRows,
    };
    this.#send4 = new SendQueue(queue);
    this.#send6 = new SendQueue(queue);
  }

  /** Binds the protocol, whose events this object receives. Called once, before all else. */
  start(wireguard: WireGuard): void {
    this.#wireguard = wireguard;
    this.readClock();
  }

  /** Takes the sockets in use from now on; null = that family is not there. */
  setSockets(udp4: UdpPort | null, udp6: UdpPort | null): void {
    this.#udp4 = udp4;
    this.#udp6 = udp6;
    this.#send4.port = udp4;
    this.#send6.port = udp6;
    this.#poll.watch(udp4, udp6);
  }

  /** Packets that wait for a session. */
  get waitingPackets(): number {
    return this.#staged.total;
  }

  /** Monotonic and wall time of the batch under way; `readClock` brings them up to date. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get wallMs(): number {
    return this.#wallMs;
  }

  readClock(): void {
    this.#nowMs = this.#clock.nowMs();
    this.#wallMs = this.#clock.wallMs();
    this.#wireguard.setTime(this.#nowMs, this.#wallMs);
  }

  /**
   * Moves packets until the wake port is written to. Between packets it sleeps in poll(2) until the next timer.
   * @throws {SystemCallError} If the TUN device is gone.
   */
  run(): void {
    while (!this.step(this.#wireguard.nextDeadlineMs - this.#clock.nowMs())) {
      // All work is in step.
    }
  }

  /**
   * Waits for work, at most `timeoutMs`, and does one batch of each kind.
   * @returns Whether it was woken for control.
   */
  step(timeoutMs: number): boolean {
    const ready = this.#poll.wait(Math.max(0, timeoutMs));
    this.readClock();
    this.#virtual.handOver();
    this.#physical.handOver();
    if (ready & POLL.UDP4) this.#receive(this.#udp4);
    if (ready & POLL.UDP6) this.#receive(this.#udp6);
    if (ready & POLL.TUN) this.#readTun();
    if (this.#nowMs >= this.#wireguard.nextDeadlineMs) {
      this.#wireguard.tick(this.#nowMs, this.#wallMs);
    }
    this.flush();
    if (ready & POLL.ERROR) {
      throw new SystemCallError(`use TUN device "${this.#tun.name}"`, ERRNO.ENODEV);
    }
    if ((ready & POLL.WAKE) === 0) return false;
    this.#wake.drain();
    return true;
  }

  /** Sends all that is queued. Needed after anything outside `step` that may send: configure, tick. */
  flush(): void {
    this.#send4.flush();
    this.#send6.flush();
    this.#controlSlotsUsed = 0;
  }

  // ---- TUN to UDP -----------------------------------------------------------------------------------------------

  #readTun(): void {
    const batch = this.#tunBatch;
    const count = this.#tun.read(batch);
    if (count < 0 && count !== -ERRNO.EINTR) {
      throw new SystemCallError(`read TUN device "${this.#tun.name}"`, -count);
    }
    for (let index = 0; index < count; index++) {
      const offset = batch.offset[index]!;
      const length = batch.length[index]!;
      this.#counters.add(COUNTER.tunRead, 1, length);
      this.#outgoing(offset, length);
    }
    // The slots are read into again next time: nothing may still lie in them.
    this.flush();
  }

  /** One packet from the TUN device, at `offset` of the outgoing buffer. */
  #outgoing(offset: number, length: number): void {
    if (length > PACKET_BYTES_MAX) {
      this.#counters.add(COUNTER.outTooBig, 1, length);
      return;
    }
    const view = this.#tunBatch.buffer.view;
    if (decode(view, offset, length, this.#key, this.#info) !== DECODE.OK) {
      this.#counters.add(COUNTER.outUndecodable, 1, length);
      return;
    }
    const peer = this.#wireguard.peerByDestination(view, offset);
    if (peer === null) this.#counters.add(COUNTER.outNoRoute, 1, length);
    else this.#sealTo(peer, offset, length);
  }

  /**
   * Seals the packet whose key was just decoded, counts it and queues it; or keeps it until there is a session.
   * @returns Whether it was sealed.
   */
  #sealTo(peer: Peer, offset: number, length: number): boolean {
    const { buffer } = this.#tunBatch;
    const sealed = this.#wireguard.seal(peer, buffer, offset, length);
    if (sealed > 0) {
      this.#joinFragment();
      this.#virtual.countTx(this.#key, 1, length, this.#info[INFO.DETAIL]!);
      this.#queue(peer, offset - HEADROOM_BYTES, sealed, peer.endpoint, 0);
      return true;
    }
    if (sealed === SEAL.NO_SESSION) this.#staged.push(peer.slot, buffer.bytes, offset, length);
    else if (sealed === SEAL.NO_ENDPOINT) this.#counters.add(COUNTER.outNoEndpoint, 1, length);
    else this.#counters.add(COUNTER.outHandshakeFailed, 1, length);
    return false;
  }

  /** Gives the key of a later fragment the ports of its first. */
  #joinFragment(): void {
    if (this.#info[INFO.FRAGMENT] === FRAGMENT.NONE) return;
    this.#fragments.resolve(this.#key, this.#info, this.#nowMs);
  }

  #queue(
    peer: Peer | null,
    offset: number,
    length: number,
    endpoints: Uint32Array,
    word: number,
  ): void {
    const queue = endpoints[word + ENDPOINT.FAMILY] === 6 ? this.#send6 : this.#send4;
    if (queue.full) this.flush();
    queue.append(peer, offset, length, endpoints, word);
  }

  /** Offset of a free slot for a datagram that does not come from the TUN device. */
  #controlSlot(): number {
    if (this.#controlSlotsUsed === CONTROL_SLOTS) this.flush();
    return (BATCH_PACKETS + this.#controlSlotsUsed++) * PACKET_SLOT_BYTES;
  }

  // ---- UDP to TUN -----------------------------------------------------------------------------------------------

  #receive(port: UdpPort | null): void {
    const batch = this.#udpBatch;
    // Errors of a UDP socket are of the moment (an ICMP answer, memory pressure): the next wait shows what lasts.
    const count = port === null ? 0 : port.receive(batch);
    this.#handshakes = 0;
    for (let index = 0; index < count; index++) this.#incoming(index);
    // A full batch says that more waits. If much of it was key agreement, proof of the source address must come first.
    if (count === batch.capacity && this.#handshakes >= HANDSHAKES_PER_BATCH_MAX) {
      this.#wireguard.setUnderLoad(true, this.#nowMs);
    }
  }

  /** One datagram of the receive batch. */
  #incoming(index: number): void {
    const batch = this.#udpBatch;
    const length = batch.length[index]!;
    if (length === UDP_TRUNCATED) {
      this.#counters.add(COUNTER.udpReceived, 1, batch.slotBytes);
      this.#counters.add(COUNTER.inTooBig, 1, batch.slotBytes);
      return;
    }
    this.#counters.add(COUNTER.udpReceived, 1, length);
    const endpointWord = index * ENDPOINT_WORDS;
    const status = this.#wireguard.receive(
      batch.buffer,
      batch.offset[index]!,
      length,
      batch.endpoint,
      endpointWord,
      this.#result,
    );
    if (isHandshake(status)) this.#handshakes++;
    if (status >= RECEIVE_REJECTED) {
      this.#counters.add(COUNTER_BY_RECEIVE[status]!, 1, length);
      return;
    }
    const peer = this.#wireguard.peer(this.#result[RESULT.PEER]!);
    this.#physicalRows.countRx(peer, batch.endpoint, endpointWord, length);
    if (status === RECEIVE.DATA) this.#deliver(peer, length);
  }

  /** Writes the packet that `receive` left in the result to the TUN device, if its peer may send it. */
  #deliver(peer: Peer, datagramBytes: number): void {
    const { buffer } = this.#udpBatch;
    const offset = this.#result[RESULT.OFFSET]!;
    const padded = this.#result[RESULT.LENGTH]!;
    const status = decode(buffer.view, offset, padded, this.#key, this.#info);
    // Behind the packet's own length stands WireGuard's padding; 0 = the header contradicts itself.
    const length = this.#info[INFO.IP_BYTES]!;
    if (status !== DECODE.OK || length === 0) {
      this.#counters.add(COUNTER.inUndecodable, 1, datagramBytes);
      return;
    }
    if (!this.#wireguard.sourceAllowed(peer, buffer.view, offset)) {
      this.#counters.add(COUNTER.inBadSource, 1, datagramBytes);
      return;
    }
    this.#joinFragment();
    this.#virtual.countRx(this.#key, 1, length, this.#info[INFO.DETAIL]!);
    const written = this.#tun.write(buffer, offset, length);
    this.#counters.add(written < 0 ? COUNTER.tunWriteFailed : COUNTER.tunWritten, 1, length);
  }

  // ---- WireGuardEvents ------------------------------------------------------------------------------------------

  /** Queues a handshake message, cookie reply or keepalive. */
  send(peer: Peer | null, bytes: Uint8Array, endpoint: Uint32Array): void {
    const offset = this.#controlSlot();
    this.#tunBatch.buffer.bytes.set(bytes, offset);
    this.#queue(peer, offset, bytes.length, endpoint, 0);
  }

  /** Seals and queues what waited for this peer, in order. */
  sessionReady(peer: Peer): number {
    const { buffer } = this.#tunBatch;
    let sealed = 0;
    while (this.#staged.count(peer.slot) > 0) {
      const offset = this.#controlSlot() + HEADROOM_BYTES;
      const length = this.#staged.pop(peer.slot, buffer.bytes, offset);
      // It was decodable when it was kept; decoding again is cheaper than keeping keys beside packets.
      decode(buffer.view, offset, length, this.#key, this.#info);
      if (!this.#sealTo(peer, offset, length)) break;
      sealed++;
    }
    return sealed;
  }

  /** Drops what waited for a session that will not come. */
  sessionFailed(peer: Peer): void {
    this.#staged.clear(peer.slot, this.#dropFailed);
  }
}

/** Whether it was a handshake message that strangers cannot make without our public key: one with a right mac1. */
function isHandshake(status: number): boolean {
  return status === RECEIVE.HANDSHAKE ||
    (status > RECEIVE.MAC_INVALID && status < RECEIVE.UNKNOWN_SESSION);
}
