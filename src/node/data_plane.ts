/**
 * The data plane: everything that happens per packet, in one thread.
 *
 *   TUN -> outgoing.ts -> UDP
 *   UDP -> incoming.ts -> TUN
 *
 * In: readable descriptors. Out: packets on the other side, flow counts in the banks, named counters for all that
 * was refused. Guarantees: nothing is allocated per packet; whatever is read is counted in exactly one place
 * (counters.ts states the equations); each direction has its turn, of bounded work, whatever the other does.
 * Not here: opening descriptors, configuration, reading counters.
 */
import type { Counters } from "../counters.ts";
import { ERRNO, SystemCallError } from "../errors.ts";
import {
  type ClockPort,
  type NativeBuffer,
  POLL,
  type PollPort,
  type TunPort,
  type UdpPort,
  type WakePort,
} from "../ports.ts";
import { FragmentCache } from "../packet/mod.ts";
import type { FlowWriter } from "../flow/mod.ts";
import type { Carrying, Peer, WireGuardEvents } from "../wireguard/mod.ts";
import { BatchTime, type DirectionParts } from "./direction.ts";
import { Incoming } from "./incoming.ts";
import type { OffloadState } from "./offload_state.ts";
import { Outgoing } from "./outgoing.ts";
import { PhysicalRows } from "./physical.ts";
import type { RelayIn, RelayOut } from "./relay.ts";

/** What the data plane is made of; see cli/data_plane_worker.ts for the real thing. */
export interface DataPlaneParts {
  readonly tun: TunPort;
  readonly poll: PollPort;
  readonly wake: WakePort;
  readonly clock: ClockPort;
  /** Gives zeroed memory that C can address; WebAssembly too, if it is to be fast. */
  readonly allocate: (bytes: number) => NativeBuffer;
  readonly counters: Counters;
  readonly virtual: FlowWriter;
  readonly physical: FlowWriter;
  /** HASH_SECRET_WORDS random words, for the fragment cache. */
  readonly hashSecret: Uint32Array;
  /** Longest packet that may wait for a session. */
  readonly stagedBytesMax: number;
  /** Takes what is another worker's; absent or null: nothing is. */
  readonly relay?: RelayOut | null;
  /** What further workers leave to this one; absent or null: there are none. */
  readonly carriers?: CarrierNews | null;
}

/** How the protocol's worker hears of what carriers do. */
export interface CarrierNews {
  readonly relays: RelayIn;
  /** Has the protocol hear what they say of peers. */
  readonly hear: () => void;
}

/** See file header. `start` binds it to a WireGuard, `run` works until woken for control. */
export class DataPlane implements WireGuardEvents {
  readonly #tun: TunPort;
  readonly #poll: PollPort;
  readonly #wake: WakePort;
  readonly #clock: ClockPort;
  readonly #virtual: FlowWriter;
  readonly #physical: FlowWriter;
  readonly #time = new BatchTime();
  readonly #outgoing: Outgoing;
  readonly #incoming: Incoming;
  #carrying!: Carrying;
  readonly #carriers: CarrierNews | null;
  #udp4: UdpPort | null = null;
  #udp6: UdpPort | null = null;

  constructor(parts: DataPlaneParts) {
    const { tun, poll, allocate, counters, virtual, stagedBytesMax } = parts;
    this.#tun = tun;
    this.#poll = poll;
    this.#wake = parts.wake;
    this.#clock = parts.clock;
    this.#virtual = virtual;
    this.#physical = parts.physical;
    this.#carriers = parts.carriers ?? null;
    const shared: DirectionParts = {
      ...{ tun, allocate, counters, virtual, time: this.#time },
      physicalRows: new PhysicalRows(parts.physical),
      fragments: new FragmentCache(parts.hashSecret),
      relay: parts.relay ?? null,
    };
    this.#outgoing = new Outgoing({ ...shared, poll, stagedBytesMax });
    this.#incoming = new Incoming(shared);
  }

  /** Binds the protocol, whose events this object receives. Called once, before all else. */
  start(carrying: Carrying): void {
    this.#carrying = carrying;
    this.#outgoing.start(carrying);
    this.#incoming.start(carrying);
    this.readClock();
  }

  /** Takes the sockets in use from now on; null = that family is not there. */
  setSockets(udp4: UdpPort | null, udp6: UdpPort | null): void {
    this.#udp4 = udp4;
    this.#udp6 = udp6;
    this.#outgoing.setSockets(udp4, udp6);
    this.#poll.watch(udp4, udp6);
  }

  /** Packets that wait for a session, or for this worker to look at them. */
  get waitingPackets(): number {
    return this.#outgoing.waitingPackets + (this.#carriers?.relays.waitingPackets ?? 0);
  }

  /** Offloads in use. */
  get offloads(): OffloadState {
    const { tcp, udp } = this.#tun.offloads;
    const ports = [this.#udp4, this.#udp6].filter((port) => port !== null);
    return {
      tcp,
      udp,
      writes: this.#incoming.joins,
      sends: ports.some((port) => port.offloads.segmentation),
      receives: ports.some((port) => port.offloads.coalescing),
      plainPaths: this.#outgoing.plainPaths,
    };
  }

  /** Monotonic and wall time of the batch under way; `readClock` brings them up to date. */
  get nowMs(): number {
    return this.#time.nowMs;
  }

  get wallMs(): number {
    return this.#time.wallMs;
  }

  readClock(): void {
    this.#time.set(this.#clock.nowMs(), this.#clock.wallMs());
    this.#carrying.setTime(this.#time.nowMs, this.#time.wallMs);
  }

  /**
   * Moves packets until the wake port is written to. Between packets it sleeps in poll(2) until the next timer.
   * @throws {SystemCallError} If the TUN device is gone.
   */
  run(): void {
    while (!this.step(this.#carrying.nextDeadlineMs - this.#clock.nowMs())) {
      // All work is in step.
    }
  }

  /**
   * Waits for work, at most `timeoutMs`, and does one batch of each kind.
   * @returns Whether it was woken for control.
   */
  step(timeoutMs: number): boolean {
    const ready = this.#poll.wait(Math.max(0, timeoutMs));
    // Before anything is looked at that one is woken for: a wake-up that comes later is for the next step.
    const isWoken = (ready & POLL.WAKE) !== 0;
    if (isWoken) this.#wake.drain();
    this.readClock();
    this.#virtual.handOver();
    this.#physical.handOver();
    this.takeRelayed();
    if (ready & POLL.UDP4) this.#incoming.receive(this.#udp4);
    if (ready & POLL.UDP6) this.#incoming.receive(this.#udp6);
    if (ready & POLL.TUN) this.#outgoing.read();
    if (this.nowMs >= this.#carrying.nextDeadlineMs) {
      this.#carrying.tick(this.nowMs, this.wallMs);
    }
    this.flush();
    if (ready & POLL.ERROR) {
      throw new SystemCallError(`use TUN device "${this.#tun.name}"`, ERRNO.ENODEV);
    }
    return isWoken;
  }

  /** Moves what further workers have left to this one, if they have. */
  takeRelayed(): void {
    const carriers = this.#carriers;
    if (carriers === null || !carriers.relays.isRung()) return;
    carriers.hear();
    for (const ring of carriers.relays.datagrams) this.#incoming.takeRelayed(ring);
    for (const ring of carriers.relays.packets) this.#outgoing.takeRelayed(ring);
  }

  /** Sends all that is queued. Needed after anything outside `step` that may send: configure, tick. */
  flush(): void {
    this.#outgoing.flush();
  }

  // ---- WireGuardEvents ------------------------------------------------------------------------------------------

  send(peer: Peer | null, bytes: Uint8Array, endpoint: Uint32Array): void {
    this.#outgoing.send(peer, bytes, endpoint);
  }

  sessionReady(peer: Peer): number {
    return this.#outgoing.sessionReady(peer);
  }

  sessionFailed(peer: Peer): void {
    this.#outgoing.sessionFailed(peer);
  }
}
