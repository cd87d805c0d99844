/**
 * Ends with several data-plane workers, all in one thread and in memory: a test steps them in any order. The workers
 * of an end share one device and one socket, so that whichever is stepped next takes what waits.
 */
import assert from "node:assert/strict";
import { COUNTER_INFO, COUNTER_NAMES, Counters, sumCounters } from "../../../src/counters.ts";
import { createBanks, FlowReader, FlowWriter } from "../../../src/flow/mod.ts";
import { DataPlane } from "../../../src/node/data_plane.ts";
import { endpointWords } from "../../../src/node/config_values.ts";
import { Bell, BELL_BYTES, createRelay, RelayIn, RelayOut } from "../../../src/node/relay.ts";
import { HASH_SECRET_WORDS, parseAddress, parsePrefix } from "../../../src/packet/mod.ts";
import {
  memoryBuffer,
  type MemoryClock,
  type MemoryNetwork,
  MemoryPoll,
  MemoryTun,
  type MemoryUdp,
  MemoryWake,
} from "../../../src/platform/memory.ts";
import { COUNTER } from "../../../src/counters.ts";
import {
  Board,
  Carrier,
  CarrierBoard,
  createBoard,
  type DeviceUpdate,
  type PeerUpdate,
  type Timing,
  WireGuard,
} from "../../../src/wireguard/mod.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";
import { PORT } from "./data_plane_lab.ts";

const crypto = CRYPTO_PORTS.at(-1)!;
const MTU_BYTES = 1_420;

/** What an end is made of. */
export interface WorkersEndOptions {
  readonly clock: MemoryClock;
  readonly network: MemoryNetwork;
  readonly address: string;
  /** Workers, the protocol's included. */
  readonly workers: number;
  readonly timing?: Partial<Timing>;
  readonly relayBytes?: number;
  readonly sessionsMax?: number;
}

/** One worker of an end. */
interface Lane {
  readonly dataPlane: DataPlane;
  readonly counters: Counters;
  readonly virtual: FlowReader;
  readonly physical: FlowReader;
  readonly wake: MemoryWake;
  /** null = the protocol's. */
  readonly carrier: Carrier | null;
}

/** See file header. Lane 0 is the protocol's. */
export class WorkersEnd {
  readonly clock: MemoryClock;
  readonly address: string;
  readonly tun = new MemoryTun("tun0");
  readonly udp: MemoryUdp;
  readonly privateKey = new Uint8Array(32);
  readonly publicKey = new Uint8Array(32);
  readonly wireguard: WireGuard;
  readonly lanes: Lane[] = [];
  readonly board: SharedArrayBuffer;
  readonly injected = { packets: 0, bytes: 0 };
  /** Whether carriers are told of changes; a test may hold them back. */
  tells = true;
  readonly #untold: Parameters<Carrier["change"]>[0][] = [];

  constructor(options: WorkersEndOptions) {
    const { clock, network, workers, timing = {} } = options;
    this.clock = clock;
    this.address = options.address;
    crypto.random(this.privateKey);
    crypto.x25519Public(this.publicKey, this.privateKey);
    this.udp = network.socket({
      family: 4,
      addressWords: parseAddress(options.address)!.addressWords,
      port: PORT,
    });
    this.board = createBoard({
      peersMax: 16,
      sessionsMax: options.sessionsMax ?? 64,
      carriers: workers - 1,
    });
    const wakes = Array.from({ length: workers }, () => new MemoryWake());
    const bell = new Bell(new SharedArrayBuffer(BELL_BYTES), wakes[0]!);
    const memories = wakes.slice(1).map(() => createRelay(options.relayBytes ?? 4_096));
    const board = new Board(this.board, () => wakes.slice(1).forEach((wake) => wake.wake()));
    const hear = (): void => this.wireguard.hearCarriers();
    const relays = new RelayIn(memories, bell);
    const protocol = this.#addLane(wakes[0]!, null, { carriers: { relays, hear } });
    this.wireguard = new WireGuard({
      ...{ crypto, events: protocol, timing, mtuBytes: MTU_BYTES, board },
    });
    protocol.start(this.wireguard);
    for (const [index, memory] of memories.entries()) {
      const carrier = new Carrier({
        ...{ crypto, timing, mtuBytes: MTU_BYTES },
        board: new CarrierBoard(this.board, index, () => bell.ring()),
      });
      this.#addLane(wakes[index + 1]!, carrier, { memory, bell }).start(carrier);
    }
    for (const lane of this.lanes) lane.dataPlane.setSockets(this.udp, null);
  }

  #addLane(
    wake: MemoryWake,
    carrier: Carrier | null,
    link: {
      carriers?: { relays: RelayIn; hear: () => void };
      memory?: ReturnType<typeof createRelay>;
      bell?: Bell;
    },
  ): DataPlane {
    const secret = new Uint32Array(HASH_SECRET_WORDS).fill(7);
    const virtual = createBanks(1_024, secret);
    const physical = createBanks(1_024, secret);
    const counters = new Counters();
    const onDropped = (bytes: number): void => counters.add(COUNTER.outRelayFull, 1, bytes);
    const dataPlane = new DataPlane({
      tun: this.tun,
      poll: new MemoryPoll(this.tun, wake),
      ...{ wake, clock: this.clock, allocate: memoryBuffer, counters },
      virtual: new FlowWriter(virtual),
      physical: new FlowWriter(physical),
      hashSecret: secret,
      stagedBytesMax: 1_500,
      relay: link.memory === undefined ? null : new RelayOut(link.memory, link.bell!, onDropped),
      carriers: link.carriers ?? null,
    });
    const readers = { virtual: new FlowReader(virtual), physical: new FlowReader(physical) };
    this.lanes.push({ dataPlane, counters, ...readers, wake, carrier });
    return dataPlane;
  }

  /** Changes the interface as the node does: the protocol's worker first, then the carriers. */
  configure(update: DeviceUpdate): void {
    this.wireguard.configure(update, this.clock.nowMs(), this.clock.wallMs());
    this.lanes[0]!.dataPlane.flush();
    this.#untold.push(this.wireguard.takeRouteChanges());
    if (this.tells) this.tell();
  }

  /** Tells carriers what they have not been told. */
  tell(): void {
    for (const changes of this.#untold.splice(0)) {
      for (const { carrier } of this.lanes) carrier?.change(changes);
    }
  }

  /** Makes `other` a peer that owns `allowed`. */
  meet(other: WorkersEnd, allowed: readonly string[], change: Partial<PeerUpdate> = {}): void {
    const { family, addressWords } = parseAddress(other.address)!;
    this.configure({
      privateKey: this.privateKey,
      peers: [{
        publicKey: other.publicKey,
        allowedIps: allowed.map((text) => parsePrefix(text)!),
        endpoint: endpointWords(family, addressWords, PORT, 0),
        ...change,
      }],
    });
  }

  inject(packet: Uint8Array): void {
    this.injected.packets++;
    this.injected.bytes += packet.length;
    this.tun.inject(packet);
  }

  /** Steps one worker. */
  step(lane: number): void {
    this.lanes[lane]!.dataPlane.step(0);
  }

  /** Steps all, the protocol's last, so that it gets what the others leave to it. */
  stepAll(): void {
    for (let lane = this.lanes.length - 1; lane >= 0; lane--) this.step(lane);
  }

  get counters() {
    return sumCounters(this.lanes.map((lane) => lane.counters));
  }

  get waitingPackets(): number {
    return this.lanes[0]!.dataPlane.waitingPackets;
  }

  /** Sums over the rows of all workers. */
  #rowSums(kind: "virtual" | "physical") {
    const sums = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };
    for (const lane of this.lanes) {
      const reader = lane[kind];
      reader.flip();
      lane.dataPlane.step(0);
      reader.forEachRow((row) => {
        for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += row[name];
      });
      reader.clear();
    }
    return sums;
  }

  /** The equations of counters.ts over all workers, in packets and bytes. Once, when nothing moves. */
  assertConserved(): void {
    const flows = this.#rowSums("virtual");
    const physical = this.#rowSums("physical");
    const counts = this.counters;
    const drops = (direction: "out" | "in", unit: "packets" | "bytes") =>
      COUNTER_NAMES.filter((name) =>
        COUNTER_INFO[name].kind === "drop" && name.startsWith(direction)
      ).reduce((sum, name) => sum + counts[name][unit], 0);
    assert.deepEqual(counts.tunRead, this.injected, "all that was injected was read");
    assert.equal(
      flows.txPackets + drops("out", "packets") + this.waitingPackets,
      counts.tunRead.packets,
    );
    if (this.waitingPackets === 0) {
      assert.equal(flows.txBytes + drops("out", "bytes"), counts.tunRead.bytes);
    }
    for (const unit of ["packets", "bytes"] as const) {
      const suffix = unit === "packets" ? "Packets" : "Bytes";
      assert.equal(flows[`rx${suffix}`], counts.tunWritten[unit] + counts.tunWriteFailed[unit]);
      assert.equal(physical[`tx${suffix}`], counts.udpSent[unit]);
      const afterOpening = counts.inUndecodable[unit] + counts.inBadSource[unit];
      assert.equal(
        physical[`rx${suffix}`] + drops("in", unit) - afterOpening,
        counts.udpReceived[unit],
      );
    }
  }
}
