/**
 * Forwards between two TUN devices and counts flows, with the data plane's own parts and without a tunnel: what of a
 * machine's speed is left when TypeScript does the work. tun_forward.c is the same in C; tun_forward_bench.ts
 * compares.
 *
 *     deno run -A tests/bench/tun_forward.ts NAME_A NAME_B [uncounted]
 *     bun run --no-install tests/bench/tun_forward.ts NAME_A NAME_B [uncounted]
 *
 * In: packets and super-packets of both devices. Out: each on the other device, with the virtio header it came with;
 * "ready" on standard output when both devices stand; when standard input can be read or is closed, one line of JSON
 * (ForwardReport), and the end. Packets from A count as sent, those from B as received. `uncounted` leaves out
 * decoding and counting: what those cost is the difference.
 */
import process from "node:process";
import { ERRNO, SystemCallError } from "../../src/errors.ts";
import { createBanks, FlowReader, FlowWriter } from "../../src/flow/mod.ts";
import { FLOWS_MAX_DEFAULT, READ_BYTES_MAX, READ_PACKETS_MAX } from "../../src/limits.ts";
import {
  DECODE,
  decode,
  HASH_SECRET_WORDS,
  INFO,
  INFO_WORDS,
  KEY,
  KEY_WORDS,
  PROTO,
} from "../../src/packet/mod.ts";
import { allocateNative, openPoll, openTun } from "../../src/platform/mod.ts";
import {
  type NativeBuffer,
  POLL,
  TUN_READ_BYTES,
  type TunPort,
  type UdpPort,
} from "../../src/ports.ts";

/** What was read from one device. */
export interface ForwardCounts {
  /** Packets and super-packets, as the device gave them. */
  readonly reads: number;
  readonly readBytes: number;
  /** Packets as a wire would carry them. */
  readonly packets: number;
  readonly bytes: number;
  readonly undecodable: number;
  readonly writeFailed: number;
}

/** What a forwarder, of either language, prints at its end. */
export interface ForwardReport {
  readonly a: ForwardCounts;
  readonly b: ForwardCounts;
  readonly flows: number;
  /** Sums over the flows: what `a` and `b` say together, unless a count was lost. */
  readonly flowPackets: number;
  readonly flowBytes: number;
}

/** Where standard input is. */
const STDIN = { fd: 0 };
const UDP_HEADER_BYTES = 8;
const TCP_HEADER_BYTES = 20;

/** One direction. */
class Forward {
  readonly #from: TunPort;
  readonly #to: TunPort;
  readonly #buffer: NativeBuffer;
  readonly #count: FlowWriter["countTx"] | null;
  readonly #key = new Uint32Array(KEY_WORDS);
  readonly #info = new Uint32Array(INFO_WORDS);
  readonly #partOffset = new Uint32Array(1);
  readonly #partLength = new Uint32Array(1);
  #reads = 0;
  #readBytes = 0;
  #packets = 0;
  #bytes = 0;
  #undecodable = 0;
  #writeFailed = 0;

  /** @param count One of FlowWriter's two, bound; null = nothing is decoded or counted. */
  constructor(
    from: TunPort,
    to: TunPort,
    buffer: NativeBuffer,
    count: FlowWriter["countTx"] | null,
  ) {
    this.#from = from;
    this.#to = to;
    this.#buffer = buffer;
    this.#count = count;
  }

  /** Moves what waits, up to one turn's measure. */
  turn(): void {
    let bytes = 0;
    for (let turn = 0; turn < READ_PACKETS_MAX && bytes < READ_BYTES_MAX; turn++) {
      const length = this.#from.read(this.#buffer, 0);
      if (length === -ERRNO.EAGAIN || length === -ERRNO.EINTR) return;
      if (length < 0) throw new SystemCallError(`read TUN device "${this.#from.name}"`, -length);
      bytes += length;
      this.#reads++;
      this.#readBytes += length;
      if (this.#count !== null) this.#countPacket(this.#count, length);
      this.#write(length);
    }
  }

  #countPacket(count: FlowWriter["countTx"], length: number): void {
    const key = this.#key;
    const info = this.#info;
    if (decode(this.#buffer.view, 0, length, key, info) !== DECODE.OK) {
      this.#undecodable++;
      return;
    }
    let packets = 1;
    let bytes = length;
    const segmentBytes = this.#from.readHeader.getUint16(4, true);
    const headerBytes = this.#headerBytes(length);
    const payloadBytes = length - headerBytes;
    if (segmentBytes !== 0 && headerBytes !== 0 && payloadBytes > segmentBytes) {
      packets = Math.ceil(payloadBytes / segmentBytes);
      bytes = packets * headerBytes + payloadBytes;
    }
    this.#packets += packets;
    this.#bytes += bytes;
    count(key, packets, bytes, info[INFO.DETAIL]);
  }

  /** IP and transport header of the packet just decoded; 0 iff it is no super-packet or they cannot be read. */
  #headerBytes(length: number): number {
    if (this.#from.readHeader.getUint8(1) === 0) return 0;
    const transport = this.#info[INFO.TRANSPORT_OFFSET];
    if (transport === 0) return 0;
    if ((this.#key[KEY.HEAD] & 0xff) !== PROTO.TCP) return transport + UDP_HEADER_BYTES;
    if (transport + TCP_HEADER_BYTES > length) return 0;
    return transport + (this.#buffer.view.getUint8(transport + 12) >>> 4) * 4;
  }

  #write(length: number): void {
    const { readHeader } = this.#from;
    const { writeHeader } = this.#to;
    writeHeader.setUint32(0, readHeader.getUint32(0));
    writeHeader.setUint32(4, readHeader.getUint32(4));
    writeHeader.setUint16(8, readHeader.getUint16(8));
    this.#partLength[0] = length;
    const written = this.#to.writeParts(this.#buffer, this.#partOffset, this.#partLength, 0, 1);
    if (written < 0) this.#writeFailed++;
  }

  counts(): ForwardCounts {
    return {
      reads: this.#reads,
      readBytes: this.#readBytes,
      packets: this.#packets,
      bytes: this.#bytes,
      undecodable: this.#undecodable,
      writeFailed: this.#writeFailed,
    };
  }
}

function flowSums(memory: SharedArrayBuffer): Omit<ForwardReport, "a" | "b"> {
  const reader = new FlowReader(memory);
  let flows = 0;
  let flowPackets = 0;
  let flowBytes = 0;
  reader.flipForEndedWriter();
  reader.forEachRow(({ txPackets, rxPackets, txBytes, rxBytes }) => {
    flows++;
    flowPackets += txPackets + rxPackets;
    flowBytes += txBytes + rxBytes;
  });
  return { flows, flowPackets, flowBytes };
}

function forward(nameA: string, nameB: string, counted: boolean): ForwardReport {
  const a = openTun({ name: nameA, offloads: true });
  const b = openTun({ name: nameB, offloads: true });
  const secret = crypto.getRandomValues(new Uint32Array(HASH_SECRET_WORDS));
  const memory = createBanks(FLOWS_MAX_DEFAULT, secret);
  const writer = new FlowWriter(memory);
  const buffer = allocateNative(TUN_READ_BYTES + 1);
  const countTx: FlowWriter["countTx"] = (key, packets, bytes, detail) =>
    writer.countTx(key, packets, bytes, detail);
  const countRx: FlowWriter["countRx"] = (key, packets, bytes, detail) =>
    writer.countRx(key, packets, bytes, detail);
  const sent = new Forward(a, b, buffer, counted ? countTx : null);
  const received = new Forward(b, a, buffer, counted ? countRx : null);
  const poll = openPoll(a, STDIN);
  // The place of a UDP socket is as good for any descriptor.
  poll.watch(b as unknown as UdpPort, null);
  console.log("ready");
  for (;;) {
    const ready = poll.wait(Infinity);
    writer.handOver();
    if (ready & POLL.TUN) sent.turn();
    if (ready & POLL.UDP4) received.turn();
    // A closed standard input counts as broken.
    if (ready & (POLL.WAKE | POLL.ERROR)) break;
  }
  return { a: sent.counts(), b: received.counts(), ...flowSums(memory) };
}

const [nameA, nameB, way] = process.argv.slice(2);
if (nameA === undefined || nameB === undefined) {
  console.error("Usage: tun_forward.ts NAME_A NAME_B [uncounted]");
  process.exitCode = 2;
} else {
  console.log(JSON.stringify(forward(nameA, nameB, way !== "uncounted")));
}
