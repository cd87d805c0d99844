/**
 * Two data planes over a network in memory, for tests: everything around them is in memory too, and the equations of
 * counters.ts are checked from the rows themselves.
 */
import assert from "node:assert/strict";
import { COUNTER_INFO, COUNTER_NAMES, Counters } from "../../../src/counters.ts";
import { createBanks, FlowReader, FlowWriter } from "../../../src/flow/mod.ts";
import { DataPlane } from "../../../src/node/data_plane.ts";
import { endpointWords } from "../../../src/node/config_values.ts";
import {
  HASH_SECRET_WORDS,
  parseAddress,
  parsePrefix,
  wasmMemory,
} from "../../../src/packet/mod.ts";
import {
  memoryBuffer,
  MemoryClock,
  MemoryNetwork,
  MemoryPoll,
  MemoryTun,
  type MemoryUdp,
  MemoryWake,
  type NetworkFaults,
  SeededRandom,
} from "../../../src/platform/memory.ts";
import {
  type CryptoPort,
  type NativeBuffer,
  NO_TUN_OFFLOADS,
  NO_UDP_OFFLOADS,
  type TunOffloads,
  type UdpOffloads,
} from "../../../src/ports.ts";
import { WireGuard } from "../../../src/wireguard/mod.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";

/** The fastest there is: these tests move many packets. */
const crypto: CryptoPort = CRYPTO_PORTS.at(-1)!;
export const PORT = 51820;

/** What an end's devices do for it. */
export interface Offloads {
  readonly tun: TunOffloads;
  readonly udp: UdpOffloads;
}

/** Devices that move plain packets only. */
export const NO_OFFLOADS: Offloads = { tun: NO_TUN_OFFLOADS, udp: NO_UDP_OFFLOADS };

/** One end: a data plane with everything around it in memory. */
export class End {
  readonly tun: MemoryTun;
  readonly wake = new MemoryWake();
  readonly counters = new Counters();
  readonly privateKey = crypto32();
  readonly publicKey = new Uint8Array(32);
  readonly virtual: FlowReader;
  readonly physical: FlowReader;
  readonly dataPlane: DataPlane;
  readonly wireguard: WireGuard;
  readonly udp: MemoryUdp;
  readonly injected = { packets: 0, bytes: 0 };

  constructor(
    readonly clock: MemoryClock,
    network: MemoryNetwork,
    readonly address: string,
    flowsMax: number,
    offloads = NO_OFFLOADS,
  ) {
    this.tun = new MemoryTun("tun0", offloads.tun);
    crypto.x25519Public(this.publicKey, this.privateKey);
    const secret = new Uint32Array(HASH_SECRET_WORDS).fill(7);
    const virtual = createBanks(flowsMax, secret);
    const physical = createBanks(flowsMax, secret);
    this.virtual = new FlowReader(virtual);
    this.physical = new FlowReader(physical);
    this.dataPlane = new DataPlane({
      tun: this.tun,
      poll: new MemoryPoll(this.tun, this.wake),
      wake: this.wake,
      clock,
      // As the node does it where the kernel has offloads.
      allocate: offloads.tun.header ? wasmBuffer : memoryBuffer,
      counters: this.counters,
      virtual: new FlowWriter(virtual),
      physical: new FlowWriter(physical),
      hashSecret: secret,
      stagedBytesMax: 1500,
    });
    this.wireguard = new WireGuard({ crypto, events: this.dataPlane, mtuBytes: 1420 });
    this.dataPlane.start(this.wireguard);
    const { addressWords } = parseAddress(address)!;
    this.udp = network.socket({ family: 4, addressWords, port: PORT });
    this.udp.offloads = offloads.udp;
    this.dataPlane.setSockets(this.udp, null);
  }

  /** Makes `other` a peer that owns `allowed`. */
  meet(other: End, allowed: readonly string[], withEndpoint: boolean): void {
    const address = parseAddress(other.address)!;
    this.wireguard.configure(
      {
        privateKey: this.privateKey,
        peers: [{
          publicKey: other.publicKey,
          allowedIps: allowed.map((text) => parsePrefix(text)!),
          ...(withEndpoint && {
            endpoint: endpointWords(address.family, address.addressWords, PORT, 0),
          }),
        }],
      },
      this.clock.nowMs(),
      this.clock.wallMs(),
    );
  }

  /** Puts a packet at the TUN device. @param wire Packets that it stands for, iff it is a super-packet. */
  inject(packet: Uint8Array, header?: Uint8Array, wire: readonly Uint8Array[] = [packet]): void {
    for (const one of wire) {
      this.injected.packets++;
      this.injected.bytes += one.length;
    }
    this.tun.inject(packet, header);
  }

  /** Sums over the rows of the bank that is taken now. */
  rowSums(reader: FlowReader) {
    const sums = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0, folded: 0 };
    const rows: string[] = [];
    reader.flip();
    this.dataPlane.step(0);
    assert.ok(reader.acknowledged());
    reader.forEachRow((row) => {
      sums.txPackets += row.txPackets;
      sums.txBytes += row.txBytes;
      sums.rxPackets += row.rxPackets;
      sums.rxBytes += row.rxBytes;
      if (row.folded) sums.folded++;
      rows.push(JSON.stringify(row, (_, value) => ArrayBuffer.isView(value) ? `${value}` : value));
    });
    reader.clear();
    return { ...sums, rows: rows.sort() };
  }
}

function wasmBuffer(bytes: number): NativeBuffer {
  const memory = wasmMemory(bytes);
  return { bytes: new Uint8Array(memory, 0, bytes), view: new DataView(memory, 0, bytes) };
}

function crypto32(): Uint8Array {
  const bytes = new Uint8Array(32);
  crypto.random(bytes);
  return bytes;
}

/** Two ends that know each other; `b` has no endpoint of `a` until it hears from it. */
export function lab(options: {
  seed: number;
  faults?: Partial<NetworkFaults>;
  flowsMax?: number;
  /** Of both ends. */
  offloads?: readonly [Offloads, Offloads];
}) {
  const clock = new MemoryClock();
  const random = new SeededRandom(options.seed);
  const network = new MemoryNetwork(clock, options.seed, options.faults);
  const flowsMax = options.flowsMax ?? 1024;
  const a = new End(clock, network, "192.0.2.1", flowsMax, options.offloads?.[0]);
  const b = new End(clock, network, "192.0.2.2", flowsMax, options.offloads?.[1]);
  a.meet(b, ["10.0.0.2/32", "fd00::2/128", "10.9.0.0/16"], true);
  b.meet(a, ["10.0.0.1/32", "fd00::1/128"], false);
  const run = (ms: number): void => {
    for (let elapsed = 0; elapsed < ms; elapsed += 5) {
      clock.advance(5);
      a.dataPlane.step(0);
      b.dataPlane.step(0);
    }
  };
  return { clock, random, network, a, b, run };
}

let serial = 0;

/** A UDP packet with a payload that no other packet has. */
export function packet(src: string, dst: string, bytes: number, ports = [1000, 53]): Uint8Array {
  const from = parseAddress(src)!;
  const to = parseAddress(dst)!;
  const headerBytes = from.family === 4 ? 20 : 40;
  const output = new Uint8Array(Math.max(bytes, headerBytes + 16));
  const view = new DataView(output.buffer);
  if (from.family === 4) {
    output[0] = 0x45;
    view.setUint16(2, output.length);
    output[9] = 17;
    view.setUint32(12, from.addressWords[3]!);
    view.setUint32(16, to.addressWords[3]!);
  } else {
    output[0] = 0x60;
    view.setUint16(4, output.length - 40);
    output[6] = 17;
    for (let word = 0; word < 4; word++) {
      view.setUint32(8 + word * 4, from.addressWords[word]!);
      view.setUint32(24 + word * 4, to.addressWords[word]!);
    }
  }
  view.setUint16(headerBytes, ports[0]!);
  view.setUint16(headerBytes + 2, ports[1]!);
  view.setUint16(headerBytes + 4, output.length - headerBytes);
  view.setUint32(headerBytes + 8, ++serial);
  return output;
}

/** The equations of counters.ts, in packets and bytes. @returns The flow rows as text, and how many were folded. */
export function assertConserved(end: End): { rows: readonly string[]; folded: number } {
  const counts = end.counters.values();
  const drops = (direction: "out" | "in", unit: "packets" | "bytes") =>
    COUNTER_NAMES.filter((name) => COUNTER_INFO[name].kind === "drop" && name.startsWith(direction))
      .reduce((sum, name) => sum + counts[name][unit], 0);
  const flows = end.rowSums(end.virtual);
  const physical = end.rowSums(end.physical);
  assert.deepEqual(counts.tunRead, end.injected, "all that was injected was read");
  assert.equal(
    flows.txPackets + drops("out", "packets") + end.dataPlane.waitingPackets,
    counts.tunRead.packets,
  );
  if (end.dataPlane.waitingPackets === 0) {
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
  return { rows: flows.rows, folded: flows.folded };
}
