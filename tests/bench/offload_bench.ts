/**
 * Question: what do checksums, segmentation and coalescing cost per packet, with and without machine code? Budget:
 * 200 ns a packet each way, a fifth of what sealing 1420 bytes takes.
 *
 * Traffic: super-packets of 64 KB, cut for an MTU of 1420, which stay in the second-level cache, as a read just done
 * does; packets to be coalesced are those segments, decoded anew, the first one's header put back. Variants take turns,
 * in an order that flips each round.
 *
 *   deno run -A tests/bench/offload_bench.ts [rounds] [megabytes a round]
 *   bun --no-install tests/bench/offload_bench.ts
 */
import process from "node:process";
import {
  type BufferSums,
  Coalescer,
  createSums,
  decode,
  INFO,
  INFO_WORDS,
  KEY_WORDS,
  PLAN,
  PLAN_WORDS,
  Segmenter,
  wasmMemory,
} from "../../src/packet/mod.ts";
import type { NativeBuffer } from "../../src/ports.ts";
import { timestamps, transportPacket } from "../unit/packet/transport_packets.ts";

const BUFFER_BYTES = 1 << 18;
const MTU_BYTES = 1420;
/** Segments lie here, a slot apart. */
const TARGET = 1 << 17;
const SLOT_BYTES = 1_536;

/** One way of doing something; `run` returns what keeps an optimizer from dropping the work. */
export interface Variant {
  readonly name: string;
  /** Bytes and packets of one run. */
  readonly bytes: number;
  readonly packets: number;
  readonly run: () => number;
}

/** One line of the result. */
export interface Measurement {
  readonly name: string;
  /** ns per packet, one for each round, sorted. */
  readonly nsPerPacket: readonly number[];
  /** Bytes of a packet. */
  readonly packetBytes: number;
  readonly checksum: number;
}

function bufferOver(memory: ArrayBufferLike): NativeBuffer {
  return { bytes: new Uint8Array(memory), view: new DataView(memory) };
}

/** Buffers of both kinds of memory, by the name of what sums in them. */
export function buffers(): ReadonlyMap<string, NativeBuffer> {
  const both = [wasmMemory(BUFFER_BYTES), new ArrayBuffer(BUFFER_BYTES)].map(bufferOver);
  return new Map(both.map((buffer) => [createSums(buffer).name, buffer]));
}

/** The obvious loop. */
function sum16({ view }: NativeBuffer, offset: number, length: number): number {
  let sum = 0;
  const end = offset + (length & ~1);
  for (; offset < end; offset += 2) sum += view.getUint16(offset);
  if ((length & 1) !== 0) sum += view.getUint8(offset) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** Ways to sum and to copy `bytes` bytes. */
export function checksumVariants(bytes: number): Variant[] {
  const variants: Variant[] = [];
  const add = (name: string, run: () => number) => variants.push({ name, bytes, packets: 1, run });
  for (const [name, buffer] of buffers()) {
    buffer.bytes.forEach((_, at) => buffer.bytes[at] = Math.imul(at, 0x9e3779b1) >>> 24);
    const sums: BufferSums = createSums(buffer);
    add(`sum ${bytes}: ${name}`, () => sums.sum(54, bytes));
    add(`copy and sum ${bytes}: ${name}`, () => sums.copy(54, bytes, TARGET));
    if (name === "script") {
      add(`sum ${bytes}: 16-bit words`, () => sum16(buffer, 54, bytes));
    } else {
      add(`copy and sum ${bytes}: copyWithin, ${name}`, () => {
        buffer.bytes.copyWithin(TARGET, 54, 54 + bytes);
        return sums.sum(TARGET, bytes);
      });
    }
  }
  return variants;
}

const KINDS = [
  { name: "TCPv4", version: 4, proto: 6 },
  { name: "TCPv6", version: 6, proto: 6 },
  { name: "UDPv4", version: 4, proto: 17 },
] as const;

/** Segmentation and coalescing of one kind of traffic, over both kinds of memory. */
export function offloadVariants(kind: typeof KINDS[number]): Variant[] {
  const variants: Variant[] = [];
  for (const [name, buffer] of buffers()) {
    const headerBytes = (kind.version === 4 ? 20 : 40) + (kind.proto === 6 ? 32 : 8);
    const packet = transportPacket({
      ...kind,
      tcpOptions: timestamps(1),
      payload: Uint8Array.from({ length: 65_000 - headerBytes }, (_, at) => at * 7),
      partial: true,
    });
    const gsoType = kind.proto === 17 ? 5 : kind.version === 4 ? 1 : 4;
    const virtio = Uint32Array.of(
      ...[1, gsoType, headerBytes, MTU_BYTES - headerBytes],
      ...[packet.transport, kind.proto === 6 ? 16 : 6],
    );
    buffer.bytes.set(packet.bytes);
    const segmenter = new Segmenter(buffer);
    const plan = new Uint32Array(PLAN_WORDS);
    segmenter.plan(0, packet.bytes.length, virtio, plan);
    const counts = { bytes: plan[PLAN.IP_BYTES], packets: plan[PLAN.COUNT] };
    const segment = () => {
      segmenter.plan(0, packet.bytes.length, virtio, plan);
      let length = 0;
      for (let index = 0; index < plan[PLAN.COUNT]; index++) {
        length += segmenter.write(plan, index, TARGET + index * SLOT_BYTES);
      }
      return length;
    };
    segment();
    variants.push({ name: `segment ${kind.name}: ${name}`, ...counts, run: segment });
    variants.push({
      name: `coalesce ${kind.name}: ${name}`,
      ...counts,
      run: coalesceRun(buffer, counts.packets, headerBytes),
    });
  }
  return variants;
}

/** Decodes and coalesces the segments that lie in the buffer; the first one's header is put back before. */
function coalesceRun(buffer: NativeBuffer, packets: number, headerBytes: number): () => number {
  const coalescer = new Coalescer(buffer, { capacity: 128, tcp: true, udp: true });
  const header = buffer.bytes.slice(TARGET, TARGET + headerBytes);
  const key = new Uint32Array(KEY_WORDS);
  const info = new Uint32Array(INFO_WORDS);
  return () => {
    buffer.bytes.set(header, TARGET);
    coalescer.begin();
    for (let index = 0; index < packets; index++) {
      const offset = TARGET + index * SLOT_BYTES;
      decode(buffer.view, offset, MTU_BYTES, key, info);
      coalescer.add(offset, info[INFO.IP_BYTES], key, info);
    }
    coalescer.finish();
    return coalescer.groupCount;
  };
}

/** Measures variants in turns. */
export function measure(
  variants: readonly Variant[],
  { rounds, bytes }: { rounds: number; bytes: number },
): Measurement[] {
  const times = variants.map(() => [] as number[]);
  const checksums = variants.map(() => 0);
  // The first round warms the code; it is not counted.
  for (let round = 0; round <= rounds; round++) {
    for (let turn = 0; turn < variants.length; turn++) {
      const index = round % 2 === 0 ? turn : variants.length - 1 - turn;
      const variant = variants[index];
      const runs = Math.max(1, Math.round(bytes / variant.bytes));
      const startMs = performance.now();
      let checksum = 0;
      for (let count = 0; count < runs; count++) checksum += variant.run();
      const ms = performance.now() - startMs;
      checksums[index] = checksum / runs;
      if (round > 0) times[index].push(ms * 1e6 / runs / variant.packets);
    }
  }
  return variants.map(({ name, bytes, packets }, index) => ({
    name,
    nsPerPacket: times[index].sort((a, b) => a - b),
    packetBytes: bytes / packets,
    checksum: checksums[index],
  }));
}

function main(): void {
  const [rounds = "15", megabytes = "30"] = process.argv.slice(2);
  const options = { rounds: Number(rounds), bytes: Number(megabytes) * 1e6 };
  const runtime = process.versions.bun === undefined ? "Deno" : "Bun";
  console.log(`offloads, ns per packet, median (p10 - p90) and GB/s (${runtime})`);
  const groups = [...[64, 1_380, 65_000].map(checksumVariants), ...KINDS.map(offloadVariants)];
  for (const variants of groups) {
    for (const { name, nsPerPacket, packetBytes } of measure(variants, options)) {
      const at = (part: number) => nsPerPacket[Math.round((nsPerPacket.length - 1) * part)];
      const range = `(${at(0.1).toFixed(0)} - ${at(0.9).toFixed(0)})`;
      console.log(
        `${name.padEnd(46)} ${at(0.5).toFixed(0).padStart(6)} ${range.padEnd(16)}` +
          ` ${(packetBytes / at(0.5)).toFixed(1).padStart(5)} GB/s`,
      );
    }
  }
}

if (import.meta.main) main();
