/**
 * Main's side of all data-plane workers: one to the rest of the node, however many there are.
 *
 * In: commands. Out: their outcome, once every worker has it. The first worker runs the protocol, the others carry its
 * sessions (docs/design/0009-workers.md). Guarantees: a configuration is in force everywhere when it is answered;
 * carriers stop before the worker that they leave things to; one that fails is a failure of all.
 */
import {
  type CounterName,
  Counters,
  COUNTERS_BYTES,
  type CounterValue,
  sumCounters,
} from "../counters.ts";
import { PEERS_MAX, PHYSICAL_FLOWS_MAX, SHARED_SESSIONS_MAX } from "../limits.ts";
import type { TunPort, UdpPort, WakePort } from "../ports.ts";
import { createBanks, FlowReader } from "../flow/mod.ts";
import { createBoard, type DeviceUpdate, type Timing } from "../wireguard/mod.ts";
import { mergeOffloads } from "./offload_state.ts";
import { BELL_BYTES, createRelay } from "./relay.ts";
import { WorkerClient, type WorkerListeners, type WorkerThread } from "./worker_client.ts";
import {
  CONTROL_BYTES,
  type SocketHandle,
  type TeamStart,
  type WorkerSnapshot,
  type WorkerStart,
} from "./worker_protocol.ts";

/** What the workers work with. */
export interface WorkerGroupParts {
  /** One queue of the device per worker. */
  readonly queues: readonly TunPort[];
  /** HASH_SECRET_WORDS random words. */
  readonly hashSecret: Uint32Array;
  /** Flows that each worker tells apart in a window. */
  readonly flowsMax: number;
  readonly openWake: () => WakePort;
  readonly startThread: () => WorkerThread;
}

/** The same for all workers. */
export interface WorkerGroupStart {
  readonly mtuBytes: number;
  readonly timing: Partial<Timing>;
  /** Absent = the best that is there. */
  readonly cryptoName?: "libcrypto" | "noble";
  readonly listeners: WorkerListeners;
}

/** Sockets of one worker. */
export interface WorkerSockets {
  readonly udp4: UdpPort | null;
  readonly udp6: UdpPort | null;
}

/** Shared memory of one worker. */
interface Memory {
  readonly control: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly virtual: SharedArrayBuffer;
  readonly physical: SharedArrayBuffer;
}

/** See file header. */
export class WorkerGroup {
  readonly #parts: WorkerGroupParts;
  readonly #memories: readonly Memory[];
  readonly #counters: readonly Counters[];
  readonly #wakes: WakePort[] = [];
  readonly #clients: WorkerClient[] = [];
  /** One reader per worker. */
  readonly virtual: readonly FlowReader[];
  readonly physical: readonly FlowReader[];

  /** @throws {RangeError} If there is not so much memory. */
  constructor(parts: WorkerGroupParts) {
    const { hashSecret, flowsMax } = parts;
    this.#parts = parts;
    this.#memories = parts.queues.map(() => ({
      control: new SharedArrayBuffer(CONTROL_BYTES),
      counters: new SharedArrayBuffer(COUNTERS_BYTES),
      virtual: createBanks(flowsMax, hashSecret),
      physical: createBanks(PHYSICAL_FLOWS_MAX, hashSecret),
    }));
    this.#counters = this.#memories.map(({ counters }) => new Counters(counters));
    this.virtual = this.#memories.map(({ virtual }) => new FlowReader(virtual));
    this.physical = this.#memories.map(({ physical }) => new FlowReader(physical));
  }

  /** Number of workers. */
  get count(): number {
    return this.#memories.length;
  }

  /** Counters of all workers together. */
  counters(): Record<CounterName, CounterValue> {
    return sumCounters(this.#counters);
  }

  /** Packets and datagrams that each worker has read. */
  readPackets(): number[] {
    return this.#counters.map((counters) =>
      counters.value("tunRead").packets + counters.value("udpReceived").packets
    );
  }

  /** Makes all workers look at what was asked of them in shared memory. */
  wake(): void {
    for (const wake of this.#wakes) wake.wake();
  }

  /** Opens what wakes the workers, before any thread can need it. close() closes it. */
  open(): void {
    while (this.#wakes.length < this.count) this.#wakes.push(this.#parts.openWake());
  }

  /** Starts the threads. @throws {Error} If one of them cannot begin. */
  async start(start: WorkerGroupStart): Promise<void> {
    const { queues, hashSecret, startThread } = this.#parts;
    const { mtuBytes, timing, cryptoName, listeners } = start;
    const teams = this.#teams();
    for (const [index, memory] of this.#memories.entries()) {
      const { fd, name, offloads } = queues[index]!;
      const wake = this.#wakes[index]!;
      const client = new WorkerClient(startThread(), wake, memory.control, listeners);
      this.#clients.push(client);
      const own: WorkerStart = {
        tun: { fd, name, offloads },
        wakeFd: wake.fd,
        ...{ mtuBytes, timing, hashSecret, ...memory },
        ...(cryptoName && { cryptoName }),
        team: teams[index]!,
      };
      await client.run({ type: "start", start: own });
    }
  }

  /** What the workers have in common; null = there is only one. */
  #teams(): (TeamStart | null)[] {
    const carriers = this.count - 1;
    if (carriers === 0) return [null];
    const common = {
      board: createBoard({ peersMax: PEERS_MAX, sessionsMax: SHARED_SESSIONS_MAX, carriers }),
      bell: new SharedArrayBuffer(BELL_BYTES),
      relays: Array.from({ length: carriers }, () => createRelay()),
      wakeFds: this.#wakes.map((wake) => wake.fd),
    };
    return this.#memories.map((_, worker) => ({ ...common, worker }));
  }

  /** Has each worker use its sockets from now on. */
  async giveSockets(sockets: readonly WorkerSockets[]): Promise<void> {
    await Promise.all(this.#clients.map((client, index) => {
      const { udp4, udp6 } = sockets[index]!;
      return client.run({ type: "sockets", udp4: handleOf(udp4), udp6: handleOf(udp6) });
    }));
  }

  /** @throws {Error} If the first worker refuses; then nothing has changed. The message is for people. */
  async configure(update: DeviceUpdate): Promise<void> {
    const [first, ...carriers] = this.#clients;
    const changes = await first!.configure(update);
    if (changes.length === 0) return;
    await Promise.all(carriers.map((carrier) => carrier.run({ type: "routes", changes })));
  }

  /** @throws {Error} If a worker has failed. */
  async snapshot(): Promise<WorkerSnapshot> {
    const [first, ...carriers] = this.#clients;
    // Carriers first: what they have left is then part of the first one's answer.
    const offloads = await Promise.all(carriers.map((carrier) => carrier.offloads()));
    const snapshot = await first!.snapshot();
    return { ...snapshot, offloads: mergeOffloads([snapshot.offloads, ...offloads]) };
  }

  /** Stops all workers, carriers first, and ends their threads whatever they answer. */
  async stop(): Promise<void> {
    const [first, ...carriers] = this.#clients;
    try {
      await Promise.all(carriers.map((carrier) => carrier.run({ type: "stop" })));
      await first?.run({ type: "stop" });
    } finally {
      for (const client of this.#clients) client.terminate();
    }
  }

  close(): void {
    for (const wake of this.#wakes.splice(0)) wake.close();
  }
}

function handleOf(udp: UdpPort | null): SocketHandle | null {
  return udp === null ? null : { fd: udp.fd, port: udp.port, offloads: udp.offloads };
}
