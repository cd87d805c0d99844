/**
 * A worker's side of the node: it owns a DataPlane and obeys main's commands.
 *
 * In: commands (worker_protocol.ts). Out: answers and notices. Guarantees: commands are carried out in order, each
 * between two batches; after `stop` nothing is sent or counted any more. Not here: the thread itself, which
 * cli/data_plane_worker.ts is.
 */
import { messageOf } from "../errors.ts";
import { COUNTER, Counters } from "../counters.ts";
import type {
  ClockPort,
  CryptoPort,
  NativeBuffer,
  PollPort,
  TunOffloads,
  TunPort,
  UdpOffloads,
  UdpPort,
  WakePort,
} from "../ports.ts";
import { FlowWriter } from "../flow/mod.ts";
import {
  Board,
  Carrier,
  CarrierBoard,
  type DeviceUpdate,
  type RouteChange,
  WireGuard,
} from "../wireguard/mod.ts";
import { DataPlane, type DataPlaneParts } from "./data_plane.ts";
import { Bell, RelayIn, RelayOut } from "./relay.ts";
import {
  type Answer,
  type Command,
  CONTROL,
  type SocketHandle,
  type TeamStart,
  type WorkerSnapshot,
  type WorkerStart,
} from "./worker_protocol.ts";

/** What the worker needs of the platform. Descriptors are already open: it adopts them. */
export interface WorkerPlatform {
  readonly clock: ClockPort;
  allocate(bytes: number): NativeBuffer;
  adoptTun(fd: number, name: string, offloads: TunOffloads): TunPort;
  adoptUdp(fd: number, family: 4 | 6, offloads: UdpOffloads): UdpPort;
  adoptWake(fd: number): WakePort;
  openPoll(tun: TunPort, wake: WakePort): PollPort;
  openCrypto(name?: "libcrypto" | "noble"): CryptoPort;
}

/** See file header. */
export class DataPlaneHost {
  readonly #platform: WorkerPlatform;
  readonly #post: (answer: Answer) => void;
  readonly #commands: Command[] = [];
  #handled = 0;
  #wakeMain: (() => void) | null = null;

  #control: Int32Array | null = null;
  #dataPlane!: DataPlane;
  /** What this worker runs: the protocol, or sessions of another worker's; the other is null. */
  #protocol: WireGuard | null = null;
  #carrier: Carrier | null = null;
  #cryptoName = "";
  #stopped = false;

  constructor(platform: WorkerPlatform, post: (answer: Answer) => void) {
    this.#platform = platform;
    this.#post = post;
  }

  /** Takes a command that main posted. The first must be `start`. */
  accept(command: Command): void {
    this.#commands.push(command);
    this.#wakeMain?.();
    if (command.type === "start") void this.#serve();
  }

  /** Alternates between the packet loop, which blocks, and the event loop, which brings commands. */
  async #serve(): Promise<void> {
    try {
      for (;;) {
        this.#obeyAll();
        if (this.#stopped) return;
        if (this.#handled < Atomics.load(this.#control!, CONTROL.POSTED)) {
          await new Promise<void>((resolve) => this.#wakeMain = resolve);
          this.#wakeMain = null;
        } else {
          this.#dataPlane.run();
        }
      }
    } catch (error) {
      this.#post({ type: "failed", message: messageOf(error) });
    }
  }

  #obeyAll(): void {
    for (let command = this.#commands.shift(); command; command = this.#commands.shift()) {
      this.#handled++;
      this.#post(this.#obey(command));
    }
  }

  #obey(command: Command): Answer {
    try {
      switch (command.type) {
        case "start":
          this.#start(command.start);
          return { type: "done" };
        case "sockets":
          this.#setSockets(command.udp4, command.udp6);
          return { type: "done" };
        case "configure":
          return { type: "configured", changes: this.#configure(command.update) };
        case "routes":
          this.#carrier!.change(command.changes);
          return { type: "done" };
        case "snapshot":
          return { type: "snapshot", snapshot: this.#snapshot() };
        case "offloads":
          return { type: "offloads", offloads: this.#dataPlane.offloads };
        case "stop":
          this.#takeRelayed();
          this.#carrier?.close();
          this.#stopped = true;
          return { type: "done" };
      }
    } catch (error) {
      return { type: "refused", message: messageOf(error) };
    }
  }

  #start(start: WorkerStart): void {
    const platform = this.#platform;
    const tun = platform.adoptTun(start.tun.fd, start.tun.name, start.tun.offloads);
    const wake = platform.adoptWake(start.wakeFd);
    const crypto = platform.openCrypto(start.cryptoName);
    const counting = (): void => this.#post({ type: "counting" });
    this.#cryptoName = crypto.name;
    this.#control = new Int32Array(start.control);
    const parts: DataPlaneParts = {
      tun,
      wake,
      poll: platform.openPoll(tun, wake),
      clock: platform.clock,
      allocate: (bytes) => platform.allocate(bytes),
      counters: new Counters(start.counters),
      virtual: new FlowWriter(start.virtual, counting),
      physical: new FlowWriter(start.physical, counting),
      hashSecret: start.hashSecret,
      stagedBytesMax: start.mtuBytes,
    };
    if (start.team !== null && start.team.worker > 0) {
      this.#startCarrier(start, start.team, parts, crypto);
    } else {
      this.#startProtocol(start, parts, crypto);
    }
  }

  #startProtocol(start: WorkerStart, parts: DataPlaneParts, crypto: CryptoPort): void {
    const { team, timing, mtuBytes } = start;
    let carriers = null;
    let board = null;
    if (team !== null) {
      const wakes = team.wakeFds.slice(1).map((fd) => this.#platform.adoptWake(fd));
      board = new Board(team.board, () => wakes.forEach((wake) => wake.wake()));
      const relays = new RelayIn(team.relays, new Bell(team.bell, parts.wake));
      carriers = { relays, hear: () => this.#protocol!.hearCarriers() };
    }
    this.#dataPlane = new DataPlane({ ...parts, carriers });
    this.#protocol = new WireGuard({ crypto, events: this.#dataPlane, timing, mtuBytes, board });
    this.#dataPlane.start(this.#protocol);
  }

  #startCarrier(
    start: WorkerStart,
    team: TeamStart,
    parts: DataPlaneParts,
    crypto: CryptoPort,
  ): void {
    const { timing, mtuBytes } = start;
    const number = team.worker - 1;
    const bell = new Bell(team.bell, this.#platform.adoptWake(team.wakeFds[0]!));
    const relay = new RelayOut(
      team.relays[number]!,
      bell,
      (bytes) => parts.counters.add(COUNTER.outRelayFull, 1, bytes),
    );
    const board = new CarrierBoard(team.board, number, () => bell.ring());
    this.#dataPlane = new DataPlane({ ...parts, relay });
    this.#carrier = new Carrier({ crypto, board, timing, mtuBytes });
    this.#dataPlane.start(this.#carrier);
  }

  #configure(update: DeviceUpdate): readonly RouteChange[] {
    this.#dataPlane.readClock();
    this.#protocol!.configure(update, this.#dataPlane.nowMs, this.#dataPlane.wallMs);
    this.#dataPlane.flush();
    return this.#protocol!.takeRouteChanges();
  }

  /** Moves what carriers have left, so that it is not under way between two answers. */
  #takeRelayed(): void {
    this.#dataPlane.readClock();
    this.#dataPlane.takeRelayed();
    this.#dataPlane.flush();
  }

  #setSockets(udp4: SocketHandle | null, udp6: SocketHandle | null): void {
    const adopt = (handle: SocketHandle | null, family: 4 | 6): UdpPort | null =>
      handle === null ? null : this.#platform.adoptUdp(handle.fd, family, handle.offloads);
    this.#dataPlane.flush();
    this.#dataPlane.setSockets(adopt(udp4, 4), adopt(udp6, 6));
  }

  #snapshot(): WorkerSnapshot {
    this.#takeRelayed();
    return {
      device: this.#protocol!.snapshot(),
      waitingPackets: this.#dataPlane.waitingPackets,
      cryptoName: this.#cryptoName,
      offloads: this.#dataPlane.offloads,
    };
  }
}
