/**
 * The worker's side of the node: it owns a DataPlane and obeys main's commands.
 *
 * In: commands (worker_protocol.ts). Out: answers and notices. Guarantees: commands are carried out in order, each
 * between two batches; after `stop` nothing is sent or counted any more. Not here: the thread itself, which
 * cli/data_plane_worker.ts is.
 */
import { messageOf } from "../errors.ts";
import { Counters } from "../counters.ts";
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
import { WireGuard } from "../wireguard/mod.ts";
import { DataPlane } from "./data_plane.ts";
import {
  type Answer,
  type Command,
  CONTROL,
  type SocketHandle,
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
  #wireguard!: WireGuard;
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
          this.#dataPlane.readClock();
          this.#wireguard.configure(
            command.update,
            this.#dataPlane.nowMs,
            this.#dataPlane.wallMs,
          );
          this.#dataPlane.flush();
          return { type: "done" };
        case "snapshot":
          return { type: "snapshot", snapshot: this.#snapshot() };
        case "stop":
          this.#dataPlane.flush();
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
    this.#dataPlane = new DataPlane({
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
    });
    this.#wireguard = new WireGuard({
      crypto,
      events: this.#dataPlane,
      timing: start.timing,
      mtuBytes: start.mtuBytes,
    });
    this.#dataPlane.start(this.#wireguard);
  }

  #setSockets(udp4: SocketHandle | null, udp6: SocketHandle | null): void {
    const adopt = (handle: SocketHandle | null, family: 4 | 6): UdpPort | null =>
      handle === null ? null : this.#platform.adoptUdp(handle.fd, family, handle.offloads);
    this.#dataPlane.flush();
    this.#dataPlane.setSockets(adopt(udp4, 4), adopt(udp6, 6));
  }

  #snapshot(): WorkerSnapshot {
    return {
      device: this.#wireguard.snapshot(),
      waitingPackets: this.#dataPlane.waitingPackets,
      cryptoName: this.#cryptoName,
      offloads: this.#dataPlane.offloads,
    };
  }
}
