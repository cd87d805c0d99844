/**
 * Child of offload_kernel_test.ts: super-packets of ours through the kernel, in a network namespace of its own.
 *
 * A super-packet is written to a TUN device that takes them; the kernel forwards it to one that does not, so it has
 * to segment in software, checksums included; what comes out there is compared with what segment.ts makes.
 * In: the name of a case. Out: exit code 0 when it holds, else the failure on stderr. Needs root.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { ERRNO } from "../../../src/errors.ts";
import {
  Coalescer,
  decode,
  INFO,
  INFO_WORDS,
  KEY_WORDS,
  PLAN,
  PLAN_WORDS,
  SEGMENT,
  Segmenter,
  VIRTIO_WORDS,
  wasmMemory,
  writeVirtio,
} from "../../../src/packet/mod.ts";
import { SeededRandom } from "../../../src/platform/memory.ts";
import { NativeMemory, openTun } from "../../../src/platform/mod.ts";
import { TUN_READ_BYTES, type TunPort } from "../../../src/ports.ts";
import {
  destinationOptions,
  timestamps,
  type TransportFields,
  type TransportPacket,
  transportPacket,
} from "../../unit/packet/transport_packets.ts";

const MTU_BYTES = 1420;
const HOP_LIMIT = 64;
const BUFFER_BYTES = 1 << 18;
const TARGET = BUFFER_BYTES - TUN_READ_BYTES;

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${stderr}`);
}

/** Two devices with the kernel's router between them, and a buffer that all packets lie in. */
function world() {
  const large = up(openTun({ name: "large", offloads: true }), "100.64.0.126/25", "fd00::7e/121");
  const plain = up(openTun({ name: "plain" }), "100.64.0.129/25", "fd00::81/121");
  for (const name of ["ipv4.ip_forward", "ipv6.conf.all.forwarding"]) {
    run("sysctl", "-q", "-w", `net.${name}=1`);
  }
  const buffer = new NativeMemory(wasmMemory(BUFFER_BYTES));
  return { large, plain, buffer, segmenter: new Segmenter(buffer) };
}
type World = ReturnType<typeof world>;

function up(tun: TunPort, ...addresses: string[]): TunPort {
  run("ip", "link", "set", tun.name, "addrgenmode", "none", "mtu", `${MTU_BYTES}`, "up");
  for (const address of addresses) {
    run(
      "ip",
      "address",
      "add",
      address,
      "dev",
      tun.name,
      ...(address.includes(":") ? ["nodad"] : []),
    );
  }
  return tun;
}

/** Packets that the kernel sends by the plain device, its own (MLD) left out. */
function received({ plain, buffer }: World): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (;;) {
    const length = plain.read(buffer, TARGET);
    if (length < 0) {
      assert.equal(length, -ERRNO.EAGAIN);
      return packets;
    }
    const bytes = buffer.bytes.slice(TARGET, TARGET + length);
    const isOurs = bytes[0] >>> 4 === 4 || bytes[39] === 200;
    if (isOurs) packets.push(bytes);
  }
}

/** Writes one packet in parts of the buffer. */
function write(
  { large, buffer }: World,
  virtio: Uint32Array,
  offsets: number[],
  lengths: number[],
) {
  writeVirtio(large.writeHeader, 0, virtio, 0);
  const written = large.writeParts(
    buffer,
    Uint32Array.from(offsets),
    Uint32Array.from(lengths),
    0,
    offsets.length,
  );
  assert.equal(written, lengths.reduce((sum, length) => sum + length, 0));
}

/** What segment.ts makes of a packet. */
function segmented({ buffer, segmenter }: World, packet: Uint8Array, virtio: Uint32Array) {
  const plan = new Uint32Array(PLAN_WORDS);
  buffer.bytes.set(packet);
  assert.equal(segmenter.plan(0, packet.length, virtio, plan), SEGMENT.OK);
  return Array.from({ length: plan[PLAN.COUNT] }, (_, index) => {
    const length = segmenter.write(plan, index, TARGET);
    return buffer.bytes.slice(TARGET, TARGET + length);
  });
}

function virtioOf(packet: TransportPacket, segmentBytes: number): Uint32Array {
  const isV4 = packet.bytes[0] >>> 4 === 4;
  const gsoType = segmentBytes === 0 ? 0 : packet.proto === 17 ? 5 : isV4 ? 1 : 4;
  const checksumOffset = packet.proto === 17 ? 6 : 16;
  return Uint32Array.of(1, gsoType, packet.header, segmentBytes, packet.transport, checksumOffset);
}

function randomFields(random: SeededRandom): TransportFields {
  const version = random.below(2) === 0 ? 4 : 6;
  const proto = random.below(3) === 0 ? 17 : 6;
  const extended = random.below(4) === 0;
  const bytes = [200, 1500, 9000, 60_000][random.below(4)];
  return {
    version,
    proto,
    ipOptions: !extended ? [] : version === 4 ? [1, 1, 1, 0] : destinationOptions(proto),
    id: [0, 0xfffe, random.below(0x10000)][random.below(3)],
    dontFragment: random.below(2) === 0,
    trafficClass: random.below(256),
    flowLabel: random.below(0x100000),
    ports: [1 + random.below(0xffff), 1 + random.below(0xffff)],
    sequence: [0xffffff00, random.word()][random.below(2)],
    acknowledgement: random.word(),
    flags: random.below(256),
    window: random.below(0x10000),
    urgent: random.below(0x10000),
    tcpOptions: random.below(2) === 0 ? [] : timestamps(random.word()),
    payload: Uint8Array.from({ length: 1 + random.below(bytes) }, () => random.below(256)),
  };
}

/** Counts what each family and protocol contributed: none may be left out by chance. */
function tally(counts: Map<string, number>, { version, proto }: TransportFields): void {
  const name = `${proto === 17 ? "UDP" : "TCP"}v${version}`;
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

const CASES: Record<string, () => void> = {
  "Segmenter makes the packets that Linux makes"() {
    const lab = world();
    assert.deepEqual(lab.large.offloads, { header: true, tcp: true, udp: true });
    const random = new SeededRandom(5);
    const counts = new Map<string, number>();
    let packets = 0;
    for (let round = 0; round < 300; round++) {
      const fields = randomFields(random);
      const payloadBytes = fields.payload!.length;
      // At most as many segments as UDP_MAX_SEGMENTS, at most as long as the path takes.
      const segmentBytes = Math.min(1300, Math.ceil(payloadBytes / 60) + random.below(700));
      const sent = transportPacket({ ...fields, hopLimit: HOP_LIMIT, partial: true });
      const virtio = virtioOf(sent, payloadBytes <= segmentBytes ? 0 : segmentBytes);
      // The router takes one off the hop limit, and makes IPv4's checksum anew.
      const routed = transportPacket({ ...fields, hopLimit: HOP_LIMIT - 1, partial: true });
      const expected = segmented(lab, routed.bytes, virtio);
      lab.buffer.bytes.set(sent.bytes);
      write(lab, virtio, [0], [sent.bytes.length]);
      assert.deepEqual(received(lab), expected, `round ${round}: ${JSON.stringify(virtio)}`);
      if (expected.length > 1) tally(counts, fields);
      packets += expected.length;
    }
    assert.equal(counts.size, 4);
    for (const [name, count] of counts) assert.ok(count > 20, `${count} super-packets of ${name}`);
    console.log(`${packets} packets of ${JSON.stringify([...counts])}`);
  },

  "Linux makes of a group of Coalescer the packets that went in"() {
    const lab = world();
    const { buffer } = lab;
    const coalescer = new Coalescer(buffer, { capacity: 128, tcp: true, udp: true });
    const random = new SeededRandom(6);
    const counts = new Map<string, number>();
    const key = new Uint32Array(KEY_WORDS);
    const info = new Uint32Array(INFO_WORDS);
    for (let round = 0; round < 200; round++) {
      const fields = { ...randomFields(random), ipOptions: [], urgent: 0 };
      fields.flags = [0x10, 0x10, 0x50, 0x90][random.below(4)];
      const payload = fields.payload!.length;
      const segmentBytes = Math.min(1300, Math.ceil(payload / 50) + random.below(700));
      const expected: Uint8Array[] = [];
      coalescer.begin();
      let offset = 0;
      for (let at = 0, index = 0; at < payload; at += segmentBytes, index++) {
        const isLast = at + segmentBytes >= payload;
        const one: TransportFields = {
          ...fields,
          id: (fields.id! + index) & 0xffff,
          sequence: (fields.sequence! + at) >>> 0,
          flags: (index === 0 ? fields.flags : fields.flags & ~0x80) | (isLast ? 0x08 : 0),
          payload: (fields.payload as Uint8Array).subarray(at, at + segmentBytes),
        };
        expected.push(transportPacket({ ...one, hopLimit: HOP_LIMIT - 1 }).bytes);
        const { bytes } = transportPacket({ ...one, hopLimit: HOP_LIMIT });
        buffer.bytes.set(bytes, offset);
        assert.equal(decode(buffer.view, offset, bytes.length, key, info), 0);
        coalescer.add(offset, info[INFO.IP_BYTES], key, info);
        offset += bytes.length;
      }
      coalescer.finish();
      assert.equal(coalescer.groupCount, 1);
      const parts = coalescer.groupParts[0];
      write(
        lab,
        coalescer.groupVirtio.subarray(0, VIRTIO_WORDS),
        [...coalescer.partOffset.subarray(0, parts)],
        [...coalescer.partLength.subarray(0, parts)],
      );
      assert.deepEqual(received(lab), expected, `round ${round}`);
      if (parts > 1) tally(counts, fields);
    }
    assert.equal(counts.size, 4);
    for (const [name, count] of counts) assert.ok(count > 15, `${count} super-packets of ${name}`);
  },
};

const name = process.argv[2] ?? "";
const body = CASES[name];
if (body === undefined) {
  console.log(JSON.stringify(Object.keys(CASES)));
} else {
  body();
  console.log(`holds: ${name}`);
}
