/**
 * Question: what do the calls of the packet path cost, on this runtime? Budget: 1 Mpps = 1000 ns a packet for
 * everything; at 100 kpps, what plain TUN and UDP can do, the kernel takes 5 µs and sealing should stay below 1 µs.
 *
 * Traffic: batches of 128 packets of 64 and 1420 bytes in one buffer of 256 KiB, which stays in the second-level
 * cache, as a batch just read does. UDP goes over loopback, both ends in this thread, so one figure is send plus
 * receive. libcrypto and noble take turns, round by round.
 *
 *   deno run -A tests/bench/platform_bench.ts [rounds]        bun --no-install tests/bench/platform_bench.ts
 */
import process from "node:process";
import { createBatch } from "../../src/packet/mod.ts";
import {
  allocateNative,
  chooseCrypto,
  openClock,
  openNoble,
  openPoll,
  openUdp,
  openWake,
  runtimeName,
} from "../../src/platform/mod.ts";
import { libc } from "../../src/platform/libc.ts";
import { type CryptoPort, ENDPOINT, ENDPOINT_WORDS, type PacketBatch } from "../../src/ports.ts";

const SLOTS = 128;
const SLOT_BYTES = 2048;
const HEADROOM_BYTES = 16;
const TAG_BYTES = 16;
const LOOPBACK = 0x7f000001;

/** One thing to measure. */
export interface Subject {
  readonly name: string;
  /** Repetitions in a full round; slow things get fewer. */
  readonly operations: number;
  /** Does it `operations` times. @returns A sum of results, the same on every machine. */
  run(operations: number): number;
}

/** One line of the result. */
export interface Measurement {
  readonly name: string;
  /** ns per operation, one for each round, sorted. */
  readonly ns: readonly number[];
  readonly checksum: number;
}

/** Subjects that touch neither sockets nor clocks. */
export function cryptoSubjects(): Subject[] {
  const { crypto } = chooseCrypto();
  const ports = crypto.name.startsWith("noble") ? [crypto] : [crypto, openNoble()];
  return ports.flatMap(subjectsOf);
}

function subjectsOf(port: CryptoPort): Subject[] {
  const kind = port.name;
  const speed = kind.startsWith("noble") ? 20 : 1;
  const buffer = allocateNative(SLOTS * SLOT_BYTES);
  const key = new Uint8Array(32).fill(7);
  const output = new Uint8Array(32);
  const message = new Uint8Array(148).fill(9);
  const publicKey = message.slice(0, 32);
  const aead = port.aeadKey(key);
  const aeadSubjects = [64, 1420].flatMap((bytes): Subject[] => [
    {
      name: `${kind}: seal ${bytes} B`,
      operations: 100_000 / speed,
      run: (operations) => {
        for (let packet = 0; packet < operations; packet++) {
          aead.seal(buffer, (packet & (SLOTS - 1)) * SLOT_BYTES + HEADROOM_BYTES, bytes, packet);
        }
        return operations;
      },
    },
    {
      name: `${kind}: seal and open ${bytes} B`,
      operations: 50_000 / speed,
      run: (operations) => {
        let opened = 0;
        for (let packet = 0; packet < operations; packet++) {
          const offset = (packet & (SLOTS - 1)) * SLOT_BYTES + HEADROOM_BYTES;
          aead.seal(buffer, offset, bytes, packet);
          if (aead.open(buffer, offset, bytes + TAG_BYTES, packet)) opened++;
        }
        return opened;
      },
    },
  ]);
  return [
    ...aeadSubjects,
    repeated(`${kind}: x25519`, 400, () => port.x25519(output, key, publicKey)),
    repeated(`${kind}: x25519Public`, 400, () => port.x25519Public(output, key)),
    repeated(`${kind}: hash 148 B`, 20_000, () => port.hash(output, message)),
    repeated(`${kind}: mac 148 B`, 20_000, () => port.mac(output, key, message)),
    repeated(`${kind}: hmac 148 B`, 10_000, () => port.hmac(output, key, message)),
  ];
}

function repeated(name: string, operations: number, action: () => unknown): Subject {
  return {
    name,
    operations,
    run: (times) => {
      for (let time = 0; time < times; time++) action();
      return times;
    },
  };
}

/** Subjects that call the kernel: loopback sockets, clocks, poll. */
export function kernelSubjects(): Subject[] {
  const clock = openClock();
  const poll = openPoll(null, openWake());
  const memory = allocateNative(SLOTS * SLOT_BYTES);
  const functions = libc();
  return [
    repeated("call into C (getpid)", 200_000, () => functions.getpid()),
    repeated("pointerAt()", 1_000_000, () => memory.pointerAt(4096)),
    repeated("nowMs()", 200_000, () => clock.nowMs()),
    repeated("poll, nothing ready", 50_000, () => poll.wait(0)),
    ...[64, 1452].flatMap((bytes) => [udpSubject(bytes, SLOTS), udpSubject(bytes, 1)]),
  ];
}

/** Sends and receives datagrams of `bytes` bytes, `batchPackets` a call. */
function udpSubject(bytes: number, batchPackets: number): Subject {
  const sender = openUdp({ family: 4, port: 0 });
  const receiver = openUdp({ family: 4, port: 0 });
  const out = batchOf(batchPackets);
  const received = batchOf(batchPackets);
  for (let index = 0; index < batchPackets; index++) {
    const words = index * ENDPOINT_WORDS;
    out.offset[index] = index * SLOT_BYTES + HEADROOM_BYTES;
    out.length[index] = bytes;
    out.endpoint[words + ENDPOINT.FAMILY] = 4;
    out.endpoint[words + ENDPOINT.ADDRESS + 2] = 0xffff;
    out.endpoint[words + ENDPOINT.ADDRESS + 3] = LOOPBACK;
    out.endpoint[words + ENDPOINT.PORT] = receiver.port;
  }
  out.count = batchPackets;
  return {
    name: `UDP send and receive ${bytes} B, ${batchPackets} a call`,
    operations: 20 * SLOTS,
    run: (operations) => {
      let moved = 0;
      for (let done = 0; done < operations; done += batchPackets) {
        sender.send(out, 0);
        moved += receiver.receive(received);
      }
      return moved;
    },
  };
}

function batchOf(capacity: number): PacketBatch {
  const shape = { capacity, slotBytes: SLOT_BYTES, headroomBytes: HEADROOM_BYTES };
  return createBatch(allocateNative(capacity * SLOT_BYTES), shape);
}

/**
 * Measures all subjects, in turn, the order flipped each round.
 * @param scale Part of each subject's operations to do; 1 = all.
 */
export function measure(subjects: readonly Subject[], rounds: number, scale = 1): Measurement[] {
  const results = subjects.map(({ name }) => ({ name, ns: [] as number[], checksum: 0 }));
  // Round -1 warms up and is not counted.
  for (let round = -1; round < rounds; round++) {
    const order = [...subjects.keys()];
    if (round % 2 === 0) order.reverse();
    for (const index of order) {
      const operations = Math.max(1, Math.round(subjects[index]!.operations * scale));
      const start = performance.now();
      const checksum = subjects[index]!.run(operations);
      const elapsedMs = performance.now() - start;
      if (round < 0) continue;
      results[index]!.ns.push(elapsedMs * 1e6 / operations);
      results[index]!.checksum += checksum;
    }
  }
  for (const { ns } of results) ns.sort((a, b) => a - b);
  return results;
}

/** Value at a share of a sorted list. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

/** Prints medians with their spread. */
export function print(results: readonly Measurement[]): void {
  console.log(`${runtimeName()}, ns per operation\n`);
  console.log(`${"".padEnd(42)}${"median".padStart(9)}${"p10".padStart(9)}${"p90".padStart(9)}`);
  for (const { name, ns } of results) {
    const columns = [0.5, 0.1, 0.9].map((share) => quantile(ns, share).toFixed(0).padStart(9));
    console.log(`${name.padEnd(42)}${columns.join("")}`);
  }
}

if (import.meta.main) {
  const rounds = Number(process.argv[2] ?? 9);
  print(measure([...cryptoSubjects(), ...kernelSubjects()], rounds));
}
