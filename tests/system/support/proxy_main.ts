/**
 * The UDP proxy of proxy.ts; a program of its own, because it runs inside a namespace.
 *
 * In: `SEED`, then for the left and the right side `OWN_ADDRESS OWN_PORT PEER_ADDRESS PEER_PORT`; ProxyRequest lines on
 * standard input. Out: the line `ready`, then one ProxyAnswer line for each request.
 */
import { createSocket, type Socket } from "node:dgram";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Faults, ProxyAnswer, ProxyCounts, ProxyRequest } from "./proxy.ts";
import { Random } from "./random.ts";

/** A reordered datagram goes out behind the next one, or after this time if none comes. */
const REORDER_HOLD_MS = 20;

interface Address {
  readonly address: string;
  readonly port: number;
}

interface Held {
  readonly bytes: Uint8Array;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** One direction: takes datagrams from one side and passes them to the other. */
class Direction {
  readonly counts: ProxyCounts = {
    received: 0,
    sent: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    flipped: 0,
  };
  #held: Held | null = null;

  constructor(readonly random: Random, readonly send: (bytes: Uint8Array) => void) {}

  pass(bytes: Uint8Array): void {
    const { counts, random } = this;
    counts.received++;
    if (random.chance(faults.lossPercent)) {
      counts.lost++;
      return;
    }
    if (random.chance(faults.flipPercent) && bytes.length > 0) {
      counts.flipped++;
      bytes = bytes.slice();
      const bit = random.below(bytes.length * 8);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    }
    if (this.#held === null && random.chance(faults.reorderPercent)) {
      counts.reordered++;
      this.#held = { bytes, timer: setTimeout(() => this.#release(), REORDER_HOLD_MS) };
      return;
    }
    this.#emit(bytes);
    if (random.chance(faults.duplicatePercent)) {
      counts.duplicated++;
      this.#emit(bytes);
    }
    this.#release();
  }

  #release(): void {
    if (this.#held === null) return;
    const { bytes, timer } = this.#held;
    clearTimeout(timer);
    this.#held = null;
    this.#emit(bytes);
  }

  #emit(bytes: Uint8Array): void {
    this.counts.sent++;
    this.send(bytes);
  }
}

const words = process.argv.slice(2);
const faults: Required<Faults> = {
  lossPercent: 0,
  duplicatePercent: 0,
  reorderPercent: 0,
  flipPercent: 0,
};
const random = new Random(Number(words[0]));
const leftOwn: Address = { address: words[1]!, port: Number(words[2]) };
let leftPeer: Address = { address: words[3]!, port: Number(words[4]) };
let rightOwn: Address = { address: words[5]!, port: Number(words[6]) };
let rightPeer: Address = { address: words[7]!, port: Number(words[8]) };

const toRight = new Direction(
  random,
  (bytes) => rightSocket.send(bytes, rightPeer.port, rightPeer.address),
);
const toLeft = new Direction(
  random,
  (bytes) => leftSocket.send(bytes, leftPeer.port, leftPeer.address),
);

function listen(own: Address, take: (bytes: Uint8Array, from: Address) => void): Promise<Socket> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 4 * 1024 * 1024 });
  socket.on("message", (bytes, from) => take(bytes, { address: from.address, port: from.port }));
  // ICMP errors while a tunnel restarts are part of the network's life.
  socket.on("error", () => {});
  return new Promise((resolve) => socket.bind(own.port, own.address, () => resolve(socket)));
}

/** A side that moves is followed, as a NAT would. */
function fromLeft(bytes: Uint8Array, from: Address): void {
  leftPeer = from;
  toRight.pass(bytes);
}

function fromRight(bytes: Uint8Array, from: Address): void {
  rightPeer = from;
  toLeft.pass(bytes);
}

const leftSocket = await listen(leftOwn, fromLeft);
let rightSocket = await listen(rightOwn, fromRight);

async function answer(request: ProxyRequest): Promise<ProxyAnswer> {
  if (request.op === "faults") Object.assign(faults, request.faults);
  if (request.op === "rebind") {
    const next = { address: request.address, port: request.port };
    const old = rightSocket;
    rightSocket = await listen(next, fromRight);
    rightOwn = next;
    old.close();
  }
  return {
    counts: { toLeft: toLeft.counts, toRight: toRight.counts },
    outside: `${rightOwn.address}:${rightOwn.port}`,
  };
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line))));
}
