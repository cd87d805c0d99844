/**
 * WireGuards that talk over a network in memory under a virtual clock.
 *
 * In: nodes, links between them, packets to send, faults. Out: what each node got, and a judgement of each packet:
 * one that is delivered twice, or that nobody sent, ends the test at once.
 */
import assert from "node:assert/strict";
import {
  type AllowedIp,
  type Peer,
  RECEIVE,
  RECEIVE_REJECTED,
  RESULT,
  RESULT_WORDS,
  SEAL,
  type Timing,
  WireGuard,
  type WireGuardEvents,
} from "../../src/wireguard/mod.ts";
import { createBatch } from "../../src/packet/mod.ts";
import {
  type CryptoPort,
  ENDPOINT,
  ENDPOINT_WORDS,
  type NativeBuffer,
  type PacketBatch,
} from "../../src/ports.ts";
import {
  MemoryClock,
  MemoryNetwork,
  type MemoryUdp,
  type NetworkFaults,
} from "../../src/platform/memory.ts";
import { openCrypto } from "../../src/platform/crypto.ts";
import { type ScriptedCrypto, seededCrypto } from "./scripted_crypto.ts";

const SLOT_BYTES = 2048;
const HEADROOM_BYTES = 16;
const PORT = 51_820;
/** Packets that a node keeps per peer, as the real one does. */
const STAGED_MAX = 128;
const IP_HEADER_BYTES = 20;
const PACKET_BYTES_MIN = 28;

/** Memory that C may address too: made from an ArrayBuffer, so it never moves. */
export function labBuffer(bytes: number): NativeBuffer {
  const memory = new ArrayBuffer(bytes);
  return { bytes: new Uint8Array(memory), view: new DataView(memory) };
}

/** Endpoint words of an IPv4 address. */
export function endpoint4(address: number, port: number = PORT): Uint32Array {
  const words = new Uint32Array(ENDPOINT_WORDS);
  words[ENDPOINT.FAMILY] = 4;
  words[ENDPOINT.ADDRESS + 2] = 0xffff;
  words[ENDPOINT.ADDRESS + 3] = address;
  words[ENDPOINT.PORT] = port;
  return words;
}

/** AllowedIPs entry of an IPv4 prefix. */
export function allowed4(address: number, prefixBits: number): AllowedIp {
  return { family: 4, addressWords: Uint32Array.of(0, 0, 0xffff, address), prefixBits };
}

/** One datagram that a node sent, as the tap of the lab sees it. */
export interface Tapped {
  readonly atMs: number;
  readonly from: LabNode;
  readonly bytes: Uint8Array;
}

/** A WireGuard with its socket, its overlay address 10.0.0.(index + 1) and its queue of waiting packets. */
export class LabNode implements WireGuardEvents {
  readonly wireguard: WireGuard;
  readonly socket: MemoryUdp;
  readonly publicKey: Uint8Array;
  readonly overlay: number;
  readonly crypto: ScriptedCrypto;
  /** Ids of delivered packets. */
  readonly delivered = new Set<number>();
  readonly statusCounts = new Map<number, number>();
  readonly ready: Peer[] = [];
  readonly failed: Peer[] = [];
  droppedPackets = 0;

  readonly #lab: WireGuardLab;
  readonly #out: PacketBatch;
  readonly #in: PacketBatch;
  readonly #result = new Uint32Array(RESULT_WORDS);
  readonly #staged = new Map<Peer, { id: number; bytes: number; to: LabNode }[]>();

  constructor(
    lab: WireGuardLab,
    readonly index: number,
    crypto: ScriptedCrypto,
    timing: Partial<Timing>,
  ) {
    this.#lab = lab;
    this.crypto = crypto;
    this.overlay = 0x0a000001 + index;
    const shape = { slotBytes: SLOT_BYTES, headroomBytes: HEADROOM_BYTES };
    this.#out = createBatch(labBuffer(SLOT_BYTES), { capacity: 1, ...shape });
    this.#in = createBatch(labBuffer(16 * SLOT_BYTES), { capacity: 16, ...shape });
    this.socket = lab.network.socket({
      family: 4,
      addressWords: endpoint4(0xc0000201 + index).slice(ENDPOINT.ADDRESS, ENDPOINT.PORT),
      port: PORT,
    });
    this.wireguard = new WireGuard({ crypto, events: this, timing });
    const privateKey = new Uint8Array(32);
    crypto.random(privateKey);
    this.wireguard.configure({ privateKey }, lab.nowMs, lab.wallMs);
    this.publicKey = this.wireguard.snapshot().publicKey;
  }

  get nowMs(): number {
    return this.#lab.nowMs;
  }

  get wallMs(): number {
    return this.#lab.wallMs;
  }

  /** Where it can be reached now. */
  endpoint: Uint32Array = new Uint32Array();

  /** Takes another address and port, as a roaming host does. */
  move(endpoint: Uint32Array): void {
    this.endpoint = endpoint;
    const address = endpoint.slice(ENDPOINT.ADDRESS, ENDPOINT.PORT);
    this.socket.move(address, endpoint[ENDPOINT.PORT]);
  }

  /** Its peer object for another node. */
  peerOf(other: LabNode): Peer {
    const peer = this.wireguard.peerByKey(other.publicKey);
    assert.ok(peer !== null, `node ${this.index} has no peer ${other.index}`);
    return peer;
  }

  /** Number of datagrams that `receive` answered with `status`. */
  count(status: number): number {
    return this.statusCounts.get(status) ?? 0;
  }

  /** Sends one packet that the lab has numbered; it waits when there is no session. */
  sendPacket(to: LabNode, id: number, bytes: number): number {
    const { buffer } = this.#out;
    writePacket(buffer, HEADROOM_BYTES, this.overlay, to.overlay, id, bytes);
    const peer = this.wireguard.peerByDestination(buffer.view, HEADROOM_BYTES);
    if (peer === null) return SEAL.NO_ENDPOINT;
    this.wireguard.setTime(this.nowMs, this.wallMs);
    const sealed = this.wireguard.seal(peer, buffer, HEADROOM_BYTES, bytes);
    if (sealed > 0) {
      peer.addTx(1, sealed);
      this.#transmit(0, sealed, peer.endpoint);
    } else if (sealed === SEAL.NO_SESSION) {
      const queue = this.#staged.get(peer) ?? [];
      this.#staged.set(peer, queue);
      queue.push({ id, bytes, to });
      if (queue.length > STAGED_MAX) {
        queue.shift();
        this.droppedPackets++;
      }
    } else {
      this.droppedPackets++;
    }
    return sealed;
  }

  send(peer: Peer | null, bytes: Uint8Array, endpoint: Uint32Array): void {
    peer?.addTx(1, bytes.length);
    // A buffer of its own: the packet that is being sealed lies in the other.
    const batch = createBatch(labBuffer(bytes.length + 1), {
      capacity: 1,
      slotBytes: bytes.length + 1,
      headroomBytes: 0,
    });
    batch.buffer.bytes.set(bytes);
    batch.length[0] = bytes.length;
    batch.endpoint.set(endpoint);
    batch.count = 1;
    this.#tapAndSend(batch, bytes);
  }

  sessionReady(peer: Peer): number {
    this.ready.push(peer);
    const queue = this.#staged.get(peer) ?? [];
    this.#staged.delete(peer);
    let sent = 0;
    for (const { id, bytes, to } of queue) if (this.sendPacket(to, id, bytes) > 0) sent++;
    return sent;
  }

  sessionFailed(peer: Peer): void {
    this.failed.push(peer);
    this.droppedPackets += this.#staged.get(peer)?.length ?? 0;
    this.#staged.delete(peer);
  }

  /** Packets that wait for a session. */
  get waitingPackets(): number {
    return [...this.#staged.values()].reduce((sum, queue) => sum + queue.length, 0);
  }

  /** Takes what has arrived at the socket. */
  drain(): void {
    while (this.socket.receive(this.#in) > 0) {
      for (let index = 0; index < this.#in.count; index++) {
        this.take(
          this.#in.buffer,
          this.#in.offset[index],
          this.#in.length[index],
          this.#in.endpoint,
          index * ENDPOINT_WORDS,
        );
      }
    }
  }

  /** Receives one datagram from anywhere. @returns Its status. */
  take(
    buffer: NativeBuffer,
    offset: number,
    length: number,
    endpoints: Uint32Array,
    endpointOffset: number,
  ): number {
    const result = this.#result;
    this.wireguard.setTime(this.nowMs, this.wallMs);
    const status = this.wireguard.receive(
      buffer,
      offset,
      length,
      endpoints,
      endpointOffset,
      result,
    );
    this.statusCounts.set(status, this.count(status) + 1);
    if (status >= RECEIVE_REJECTED) return status;
    const peer = this.wireguard.peer(result[RESULT.PEER]);
    peer.addRx(1, length);
    if (status === RECEIVE.DATA) {
      assert.ok(this.wireguard.sourceAllowed(peer, buffer.view, result[RESULT.OFFSET]));
      this.#judge(buffer, result[RESULT.OFFSET], result[RESULT.LENGTH]);
    }
    return status;
  }

  #judge(buffer: NativeBuffer, offset: number, length: number): void {
    const id = buffer.view.getUint32(offset + IP_HEADER_BYTES);
    const sent = this.#lab.sentPackets.get(id);
    assert.ok(sent !== undefined, `packet ${id} was delivered but never sent`);
    assert.ok(!this.delivered.has(id), `packet ${id} was delivered twice`);
    assert.equal(sent.to, this, "packet was delivered to another node");
    const expected = labBuffer(SLOT_BYTES);
    writePacket(expected, 0, sent.from.overlay, this.overlay, id, sent.bytes);
    const packet = buffer.bytes.subarray(offset, offset + sent.bytes);
    assert.deepEqual(packet, expected.bytes.subarray(0, sent.bytes), `packet ${id} was altered`);
    const padding = buffer.bytes.subarray(offset + sent.bytes, offset + length);
    assert.ok(padding.every((byte) => byte === 0), `packet ${id} is padded with other than zero`);
    this.delivered.add(id);
  }

  #transmit(offset: number, length: number, endpoint: Uint32Array): void {
    const batch = this.#out;
    batch.offset[0] = offset;
    batch.length[0] = length;
    batch.endpoint.set(endpoint);
    batch.count = 1;
    this.#tapAndSend(batch, batch.buffer.bytes.subarray(offset, offset + length));
  }

  #tapAndSend(batch: PacketBatch, bytes: Uint8Array): void {
    const { tap, nowMs } = this.#lab;
    tap?.({ atMs: nowMs, from: this, bytes: bytes.slice() });
    this.socket.send(batch, 0);
  }
}

/** Choices of a lab. */
export interface LabOptions {
  readonly seed?: number;
  readonly faults?: Partial<NetworkFaults>;
  readonly timing?: Partial<Timing>;
  /** Default: libcrypto where it can be had, for it is ten times faster. */
  readonly crypto?: CryptoPort;
}

const DEFAULT_CRYPTO = openCrypto();

/** Nodes, network and clock. */
export class WireGuardLab {
  readonly clock = new MemoryClock();
  readonly network: MemoryNetwork;
  readonly nodes: LabNode[] = [];
  /** Every packet sent, by id. */
  readonly sentPackets = new Map<number, { from: LabNode; to: LabNode; bytes: number }>();
  /** Sees every datagram that a node sends, before the network's faults. */
  tap: ((datagram: Tapped) => void) | null = null;
  readonly #options: LabOptions;

  constructor(options: LabOptions = {}) {
    this.#options = options;
    this.network = new MemoryNetwork(this.clock, options.seed ?? 1, options.faults);
  }

  get nowMs(): number {
    return this.clock.nowMs();
  }

  get wallMs(): number {
    return this.clock.wallMs();
  }

  addNode(timing: Partial<Timing> = this.#options.timing ?? {}): LabNode {
    const index = this.nodes.length;
    const seed = (this.#options.seed ?? 1) * 64 + index;
    const crypto = seededCrypto(this.#options.crypto ?? DEFAULT_CRYPTO, seed);
    const node = new LabNode(this, index, crypto, timing);
    node.endpoint = endpoint4(0xc0000201 + index);
    this.nodes.push(node);
    return node;
  }

  /** Makes two nodes peers. @param options.oneSided Only `a` knows the other's endpoint. */
  join(
    a: LabNode,
    b: LabNode,
    options: { oneSided?: boolean; presharedKey?: Uint8Array; persistentKeepaliveS?: number } = {},
  ): void {
    const { oneSided, ...common } = options;
    for (const [own, other] of [[a, b], [b, a]] as const) {
      own.wireguard.configure(
        {
          peers: [{
            publicKey: other.publicKey,
            allowedIps: [allowed4(other.overlay, 32)],
            ...(oneSided === true && own === b ? {} : { endpoint: other.endpoint }),
            ...common,
          }],
        },
        this.nowMs,
        this.wallMs,
      );
    }
  }

  /** Sends a numbered packet. @returns Its id. */
  send(from: LabNode, to: LabNode, bytes = 100): number {
    const id = this.sentPackets.size + 1;
    assert.ok(bytes >= PACKET_BYTES_MIN);
    this.sentPackets.set(id, { from, to, bytes });
    from.sendPacket(to, id, bytes);
    return id;
  }

  /** When something happens next by itself; Infinity = never. */
  get nextMs(): number {
    return this.nodes.reduce(
      (next, node) => Math.min(next, node.wireguard.nextDeadlineMs),
      this.clock.nextDueMs,
    );
  }

  /** Lets time pass and everything happen that falls due. */
  run(forMs: number): void {
    const untilMs = this.nowMs + forMs;
    this.settle();
    for (let next = this.nextMs; next <= untilMs; next = this.nextMs) {
      this.clock.advance(Math.max(0, next - this.nowMs));
      for (const node of this.nodes) {
        if (node.wireguard.nextDeadlineMs <= this.nowMs) {
          node.wireguard.tick(this.nowMs, this.wallMs);
        }
      }
      this.settle();
    }
    this.clock.advance(untilMs - this.nowMs);
  }

  /** Takes all datagrams that have arrived, until none is left. */
  settle(): void {
    while (this.nodes.some((node) => node.socket.waiting > 0)) {
      for (const node of this.nodes) node.drain();
    }
  }

  /** A lab of two nodes that are peers. */
  static pair(options: LabOptions & Parameters<WireGuardLab["join"]>[2] = {}): {
    lab: WireGuardLab;
    a: LabNode;
    b: LabNode;
  } {
    const { seed, faults, timing, crypto, ...join } = options;
    const lab = new WireGuardLab({
      ...(seed === undefined ? {} : { seed }),
      ...(faults === undefined ? {} : { faults }),
      ...(timing === undefined ? {} : { timing }),
      ...(crypto === undefined ? {} : { crypto }),
    });
    const a = lab.addNode();
    const b = lab.addNode();
    lab.join(a, b, join);
    return { lab, a, b };
  }
}

/** Writes an IPv4 packet whose content is known by its id. */
function writePacket(
  buffer: NativeBuffer,
  offset: number,
  source: number,
  destination: number,
  id: number,
  bytes: number,
): void {
  const { view } = buffer;
  buffer.bytes.fill(id & 0xff, offset, offset + bytes);
  view.setUint32(offset, 0x45000000 | bytes);
  view.setUint32(offset + 4, 0);
  view.setUint32(offset + 8, 0x40110000);
  view.setUint32(offset + 12, source);
  view.setUint32(offset + 16, destination);
  view.setUint32(offset + IP_HEADER_BYTES, id);
}
