/**
 * Goal: `tunlog pcap` counts what nfdump counts: the same flows, packets and bytes, in each direction and folded.
 * Method: three captures (one of everything, one of thousands of flows, one that tcpdump made of real traffic), read by
 * nfpcapd and nfdump and by us. Where nfpcapd 1.7.1 counts otherwise, found by looking:
 *
 *   IPv4 fragments  are put together: one packet per datagram, and one header's 20 bytes. We count what was on the wire.
 *   IPv6 fragments  are all of proto 44 without ports. We count them under their datagram's ports.
 *   Hop-by-hop headers of IPv6 are not walked: multicast reports are of proto 0.
 *   802.1ad tags    are not read: frames with an outer tag 88a8 are left out.
 *   ICMP            has type and code in place of the destination's port.
 *
 * And: what is posted to a server is what is printed.
 */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { type Message, parseMessage } from "../../src/netlog/mod.ts";
import {
  type Captured,
  concat,
  type Ends,
  enhancedPacketBlock,
  ethernet,
  fragments,
  icmp,
  interfaceBlock,
  pcapFile,
  sectionBlock,
  tcp,
  udp,
  udpDatagram,
} from "../support/capture_writer.ts";
import { mustSync, run, runSync } from "./support/command.ts";
import { type Lab, withLab } from "./support/namespaces.ts";
import {
  cannotRun,
  hasCommand,
  OWN_RUNTIME,
  programCommand,
  ROOT,
  type Runtime,
} from "./support/runtimes.ts";
import { waitUntil } from "./support/wait.ts";
import { Random } from "./support/random.ts";

/** What was sent in one direction of a flow, by `proto src sport dst dport`. */
type Directions = Map<string, { packets: number; bytes: number }>;

const TOOLS = ["nfpcapd", "nfdump", "tcpdump"];
const MISSING = TOOLS.filter((tool) => !hasCommand(tool));
const SKIP = MISSING.length > 0 && `not installed: ${MISSING.join(", ")}`;

const directories: string[] = [];
after(() => directories.forEach((path) => rmSync(path, { recursive: true })));

function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "tunlog-oracle-"));
  directories.push(path);
  return path;
}

// ---- Both readers ---------------------------------------------------------------------------------------------------

function add(directions: Directions, key: string, packets: number, bytes: number): void {
  if (packets === 0) return;
  const counts = directions.get(key) ?? { packets: 0, bytes: 0 };
  directions.set(key, { packets: counts.packets + packets, bytes: counts.bytes + bytes });
}

const ICMP_PROTOS = [1, 58];

/** By nfpcapd and nfdump. Rows of one flow are summed: it is cut by time-outs and by TCP's end. */
function byNfdump(path: string, directory: string): Directions {
  mkdirSync(directory);
  mustSync(["nfpcapd", "-r", path, "-w", directory]);
  const format = "fmt:%pr;%sa;%sp;%da;%dp;%pkt;%byt";
  const text = mustSync(["nfdump", "-R", directory, "-q", "-N", "-6", "-o", format]);
  const directions: Directions = new Map();
  for (const line of text.trim().split("\n")) {
    const [proto, src, srcPort, dst, dstPort, packets, bytes] = line.split(";").map((cell) =>
      cell.trim()
    );
    const hasPorts = !ICMP_PROTOS.includes(Number(proto));
    const ends = hasPorts ? [src, srcPort, dst, dstPort] : [src, 0, dst, 0];
    add(directions, [proto, ...ends].join(" "), Number(packets), Number(bytes));
  }
  return directions;
}

function messagesOf(
  path: string,
  runtime: Runtime = OWN_RUNTIME,
  ...options: readonly string[]
): Message[] {
  const text = mustSync(programCommand(runtime, ["pcap", path, "--json", ...options]), {
    cwd: ROOT,
  });
  return text.trim().split("\n").map(parseMessage);
}

function splitEnd(end: string): [string, string] {
  const colon = end.lastIndexOf(":");
  return [end.slice(0, colon).replace(/[[\]]/g, ""), end.slice(colon + 1)];
}

function directionsOf(messages: readonly Message[]): Directions {
  const directions: Directions = new Map();
  for (const { virtual, subnet, exit } of messages) {
    for (const row of [...virtual, ...subnet, ...exit]) {
      const { proto, src, dst, txPackets, txBytes, rxPackets, rxBytes } = row;
      const there = [proto, ...splitEnd(src), ...splitEnd(dst)].join(" ");
      const back = [proto, ...splitEnd(dst), ...splitEnd(src)].join(" ");
      add(directions, there, Number(txPackets), Number(txBytes));
      add(directions, back, Number(rxPackets), Number(rxBytes));
    }
  }
  return directions;
}

/** Flows, both directions being one. */
function folded(directions: Directions): Directions {
  const flows: Directions = new Map();
  for (const [key, { packets, bytes }] of directions) {
    const [proto, src, srcPort, dst, dstPort] = key.split(" ");
    const ends = [`${src} ${srcPort}`, `${dst} ${dstPort}`].sort();
    add(flows, [proto, ...ends].join(" "), packets, bytes);
  }
  return flows;
}

// ---- Where nfpcapd counts otherwise -----------------------------------------------------------------------------------

/** Addresses of the packets that a filter of tcpdump finds, as `src dst`. */
function addressesOf(path: string, filter: string): string[] {
  const text = mustSync(["tcpdump", "-n", "-t", "-q", "-r", path, filter]);
  return text.trim().split("\n").filter((line) => line !== "").map((line) => {
    const [, src, dst] = /^IP6? (\S+) > (\S+): /.exec(line) ?? assert.fail(line);
    const isV6 = line.startsWith("IP6");
    const address = (end: string) =>
      isV6 ? end.replace(/\.\d+$/, "") : end.split(".").slice(0, 4).join(".");
    return `${address(src)} ${address(dst)}`;
  });
}

/** Makes of our counts what nfpcapd would have counted. @returns IPv4 fragments that it would have joined. */
function asNfpcapd(directions: Directions, path: string): number {
  let fragmentsJoined = 0;
  const datagrams = (addresses: string, isIn: (proto: number) => boolean) =>
    [...directions].filter(([key]) => {
      const [proto, src, , dst] = key.split(" ");
      return `${src} ${dst}` === addresses && isIn(Number(proto));
    });
  // The flow that a later fragment belongs to is the only one between its addresses that has fragments.
  for (const addresses of addressesOf(path, "ip and ip[6:2] & 0x1fff != 0")) {
    const [[, counts], ...others] = datagrams(addresses, (proto) => proto === 17 || proto === 1);
    assert.equal(others.length, 0, `more than one flow between ${addresses}`);
    counts.packets -= 1;
    counts.bytes -= 20;
    fragmentsJoined++;
  }
  for (const proto of [44, 0]) {
    for (const addresses of new Set(addressesOf(path, `ip6 and ip6[6] = ${proto}`))) {
      const [[key, { packets, bytes }], ...others] = datagrams(addresses, (each) => each !== 6);
      assert.equal(others.length, 0, `more than one flow between ${addresses}`);
      directions.delete(key);
      const [src, dst] = addresses.split(" ");
      add(directions, `${proto} ${src} 0 ${dst} 0`, packets, bytes);
    }
  }
  return fragmentsJoined;
}

function sorted(directions: Directions): [string, { packets: number; bytes: number }][] {
  return [...directions].sort(([a], [b]) => a < b ? -1 : 1);
}

function assertSame(ours: Directions, theirs: Directions): void {
  assert.deepEqual(sorted(folded(ours)), sorted(folded(theirs)));
  assert.deepEqual(sorted(ours), sorted(theirs));
}

// ---- Captures -------------------------------------------------------------------------------------------------------

const START_NS = 1_700_000_003_000_000_000n;

function back({ src, dst, srcPort = 0, dstPort = 0 }: Ends): Ends {
  return { src: dst, dst: src, srcPort: dstPort, dstPort: srcPort };
}

/** One flow of each kind. */
function everything(): Captured[] {
  const v4 = { src: "10.0.0.1", dst: "10.0.0.2", srcPort: 40_000, dstPort: 80 };
  const v6 = { src: "fd00::1", dst: "fd00::2", srcPort: 40_000, dstPort: 443 };
  const split4 = { src: "10.0.0.7", dst: "10.0.0.8", srcPort: 7_000, dstPort: 8_000 };
  const split6 = { src: "fd00::7", dst: "fd00::8", srcPort: 7_000, dstPort: 8_000 };
  const parts = (ends: Ends, id: number) =>
    fragments({ ...ends, proto: 17, payload: udpDatagram(ends, 3_000), id }, 1_440);
  const plain = [v4, v6].flatMap((ends) => [
    ...[tcp(ends, 2), tcp(back(ends), 0x12), tcp(ends, 0x18, 500), tcp(back(ends), 0x18, 1_400)],
    ...[tcp(ends, 0x11), tcp(back(ends), 0x11), tcp(ends, 0x10)],
    ...[udp(ends, 30), udp(back(ends), 130), udp(back(ends), 1_200)],
    ...[icmp(ends, false, 56), icmp(back(ends), true, 56)],
    // One byte: the frame is padded.
    udp({ ...ends, dstPort: 9 }, 1),
  ]);
  const frames = [
    ...[...plain, ...parts(split4, 1), ...parts(back(split4), 2), ...parts(split6, 3)].map((
      packet,
    ) => ethernet(packet)),
    ethernet(udp({ ...v4, dstPort: 10 }, 40), [[0x8100, 5]]),
    ethernet(tcp({ ...v6, dstPort: 10 }, 2), [[0x8100, 5]]),
    ethernet(udp({ ...v4, dstPort: 11 }, 40), [[0x88a8, 5], [0x8100, 6]]),
    // ARP.
    new Uint8Array(60).with(12, 8).with(13, 6),
  ];
  return frames.map((bytes, index) => ({ bytes, timeNs: START_NS + BigInt(index) * 400_000_000n }));
}

const FLOWS = 5_000;

/** Thousands of flows, their packets mixed. */
function thousands(): Captured[] {
  const random = new Random(42);
  const ends = Array.from({ length: FLOWS }, (_, flow): Ends => {
    const host = 1 + random.below(250);
    const port = 1_024 + flow % 60_000;
    return flow % 4 === 3
      ? {
        src: `fd00::${host}`,
        dst: `fd00::1:${1 + random.below(250)}`,
        srcPort: port,
        dstPort: 443,
      }
      : {
        src: `10.1.0.${host}`,
        dst: `10.2.0.${1 + random.below(250)}`,
        srcPort: port,
        dstPort: 443,
      };
  });
  const packets = Array.from({ length: FLOWS * 6 }, (_, index) => {
    // Each flow has at least one.
    const flow = index < FLOWS ? index : random.below(FLOWS);
    const both = index < FLOWS || random.below(2) === 0 ? ends[flow] : back(ends[flow]);
    const bytes = flow % 2 === 0
      ? tcp(both, 0x10, random.below(1_400))
      : udp(both, random.below(1_400));
    return ethernet(bytes);
  });
  return packets.map((bytes, index) => ({ bytes, timeNs: START_NS + BigInt(index) * 1_000_000n }));
}

/** Real packets of ping and iperf3 between two namespaces, as tcpdump writes them. */
async function recordTraffic(lab: Lab, path: string): Promise<void> {
  const [a, b] = [lab.namespace("a"), lab.namespace("b")];
  const [, nameB] = lab.link(
    { namespace: a, addresses: ["192.0.2.1/24", "fd01::1/64"] },
    { namespace: b, addresses: ["192.0.2.2/24", "fd01::2/64"] },
  );
  const capture = ["--immediate-mode", "-B", "65536", "-U", "-w", path];
  const tcpdump = b.spawn(["tcpdump", "-n", "-i", nameB, ...capture]);
  await tcpdump.waitForOutput(/listening on/);
  const ping = (...args: string[]) =>
    a.must(["ping", "-n", "-q", "-c", "3", "-i", "0.05", ...args]);
  await ping("192.0.2.2");
  await ping("fd01::2");
  await ping("-s", "4000", "192.0.2.2");
  const server = b.spawn(["iperf3", "-s", "-1", "--forceflush"]);
  await server.waitForOutput(/listening/i);
  await a.must(["iperf3", "-c", "192.0.2.2", "-n", "2M", "-i", "0"]);
  const server6 = b.spawn(["iperf3", "-s", "-1", "--forceflush"]);
  await server6.waitForOutput(/listening/i);
  await a.must(["iperf3", "-u", "-b", "5M", "-l", "900", "-c", "fd01::2", "-n", "200K", "-i", "0"]);
  // What tcpdump has not read when it is told to stop is lost: a last packet says that it has read all.
  await a.must(["ping", "-q", "-c", "1", "-s", "777", "192.0.2.2"]);
  await waitUntil("the last packet is in the file", () => {
    const { stdout } = runSync(["tcpdump", "-n", "-r", path, "icmp[0] = 0 and ip[2:2] = 805"]);
    return stdout !== "";
  });
  await tcpdump.stop("SIGINT");
}

// ---- Tests ----------------------------------------------------------------------------------------------------------

test("pcap counts one of everything as nfdump does", { skip: SKIP }, () => {
  const directory = temporaryDirectory();
  const path = join(directory, "all.pcap");
  writeFileSync(path, pcapFile(everything()));
  const ours = directionsOf(messagesOf(path));
  const theirs = byNfdump(path, join(directory, "nf"));
  const tagged = "17 10.0.0.1 40000 10.0.0.2 11";
  assert.deepEqual(ours.get(tagged), { packets: 1, bytes: 68 });
  assert.ok(!theirs.has(tagged), "nfpcapd reads 802.1ad now: take it off the list above");
  ours.delete(tagged);
  assert.equal(asNfpcapd(ours, path), 4);
  assert.ok(theirs.size >= 18);
  assertSame(ours, theirs);
  // Cut off behind the headers, where nfpcapd would count what was captured of fragments: lengths are the headers'.
  const cutPath = join(directory, "cut.pcap");
  const cut = everything().map((packet) => ({ ...packet, wireBytes: packet.bytes.length }));
  writeFileSync(cutPath, pcapFile(cut, { snapBytes: 80 }));
  assert.deepEqual(messagesOf(cutPath), messagesOf(path));
  // And by pcapng.
  const frames = everything().map(({ bytes, timeNs }) =>
    enhancedPacketBlock(bytes, timeNs / 1_000n, true)
  );
  const ngPath = join(directory, "all.pcapng");
  writeFileSync(ngPath, concat(sectionBlock(true), interfaceBlock(1, true), ...frames));
  assert.deepEqual(messagesOf(ngPath), messagesOf(path));
});

for (const runtime of ["deno", "bun"] as const) {
  const isMissing = runtime !== OWN_RUNTIME && !hasCommand(runtime);
  const skip = isMissing ? `not installed: ${runtime}` : SKIP;
  test(`${runtime}: pcap counts thousands of flows as nfdump does`, { skip }, () => {
    const directory = temporaryDirectory();
    const path = join(directory, "many.pcap");
    writeFileSync(path, pcapFile(thousands()));
    const ours = directionsOf(messagesOf(path, runtime));
    assert.equal(folded(ours).size, FLOWS);
    assertSame(ours, byNfdump(path, join(directory, "nf")));
  });
}

test("pcap counts a capture of real traffic as nfdump does", {
  skip: cannotRun(...TOOLS, "iperf3"),
}, () =>
  withLab(async (lab) => {
    const path = join(lab.directory, "real.pcap");
    await recordTraffic(lab, path);
    const messages = messagesOf(path, OWN_RUNTIME, "--local", "192.0.2.1,fd01::1");
    const ours = directionsOf(messages);
    const icmpKey = "1 192.0.2.1 0 192.0.2.2 0";
    // Three pings, three of 4,008 bytes in three parts each, and the last one.
    assert.deepEqual(ours.get(icmpKey), { packets: 13, bytes: 3 * 84 + 3 * (4_008 + 60) + 805 });
    assert.equal(asNfpcapd(ours, path), 12);
    assertSame(ours, byNfdump(path, join(lab.directory, "nf")));
    // Our side, as --local says, stands on the left of all that iperf3 sent either way.
    const rows = messages.flatMap(({ exit }) => exit).filter(({ proto }) =>
      proto === 6 || proto === 17
    );
    const ends = new Set(rows.map(({ src, dst }) => `${splitEnd(src)[0]} ${splitEnd(dst)[0]}`));
    assert.deepEqual([...ends].sort(), ["192.0.2.1 192.0.2.2", "fd01::1 fd01::2"]);
    assert.ok(rows.some(({ txBytes, rxBytes }) => txBytes > 0 && rxBytes > 0));
  }));

/** Takes uploads; the first is told to come again. */
async function collector(): Promise<{ server: Server; port: number; entries: string[] }> {
  const entries: string[] = [];
  let requests = 0;
  const server = createServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      if (requests++ === 0) {
        response.writeHead(503, { "retry-after": "0" }).end();
        return;
      }
      const body = concat(...chunks);
      const isPacked = request.headers["content-encoding"] === "zstd";
      const text = new TextDecoder().decode(isPacked ? zstdDecompressSync(body) : body);
      assert.match(request.url ?? "", /^\/c\/test\.log\/[0-9a-f]{64}$/);
      entries.push(...JSON.parse(text).map((entry: unknown) => JSON.stringify(entry)));
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: (server.address() as AddressInfo).port, entries };
}

test("pcap posts what it prints", { skip: SKIP }, async () => {
  const directory = temporaryDirectory();
  const path = join(directory, "many.pcap");
  writeFileSync(path, pcapFile(thousands()));
  const id = join(directory, "id");
  writeFileSync(id, "0123456789abcdef".repeat(4), { mode: 0o600 });
  const { server, port, entries } = await collector();
  const options = ["--collection", "test.log", "--id", id];
  const args = ["pcap", path, "--post", `http://127.0.0.1:${port}/`, ...options];
  const result = await run(programCommand(OWN_RUNTIME, args), { cwd: ROOT });
  server.close();
  assert.equal(result.code, 0, result.stderr);
  assert.equal(result.stdout, "");
  assert.deepEqual(entries.map(parseMessage), messagesOf(path));
  const sequence = entries.map((entry) => JSON.parse(entry).logtail.proc_seq);
  assert.deepEqual(sequence, sequence.map((_, index) => index + 1));
});
