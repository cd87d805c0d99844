/**
 * Traffic of ordinary programs through a tunnel: ping, curl, iperf3, and floods of small packets.
 *
 * In: namespaces and addresses. Out: what the programs measured, as numbers. Needs ping, curl and iperf3.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Child } from "./command.ts";
import type { Namespace } from "./namespaces.ts";
import { helperCommand } from "./runtimes.ts";
import { pause, waitUntil } from "./wait.ts";

// ---- ping -------------------------------------------------------------------------------------------------------

/** What ping counted. */
export interface PingResult {
  readonly sent: number;
  readonly received: number;
  readonly duplicates: number;
}

/** How ping is called. */
export interface PingOptions {
  readonly count?: number;
  readonly intervalS?: number;
  /** Bytes behind the ICMP header. */
  readonly payloadBytes?: number;
  /** How long the last answers are waited for. */
  readonly waitS?: number;
  readonly extra?: readonly string[];
}

const WAIT_S_DEFAULT = 5;

/** Pings `address` (either family) and returns the counts; losses are the caller's to judge. */
export async function ping(
  namespace: Namespace,
  address: string,
  options: PingOptions = {},
): Promise<PingResult> {
  const before = echoCounts(namespace, address);
  const { stdout, stderr } = await namespace.run(pingCommand(address, options));
  const result = parsePing(stdout, stderr);
  if (result.received === 0 || result.received >= result.sent) return result;
  // ping stops waiting after two round trips, which on a busy machine are less than one may take. The kernel goes on
  // counting.
  const allAnswered = () => {
    const now = echoCounts(namespace, address);
    return now.answers - before.answers === now.requests - before.requests;
  };
  const deadlineMs = performance.now() + (options.waitS ?? WAIT_S_DEFAULT) * 1000;
  while (!allAnswered() && performance.now() < deadlineMs) await pause(20);
  return allAnswered() ? { ...result, received: result.sent } : result;
}

/** What the kernel of a namespace has counted of echo requests sent and answers received, of the address's family. */
function echoCounts(
  namespace: Namespace,
  address: string,
): { requests: number; answers: number } {
  const [file, out, into] = address.includes(":")
    ? ["snmp6", "Icmp6OutEchos", "Icmp6InEchoReplies"] as const
    : ["snmp", "OutEchos", "InEchoReps"] as const;
  const text = namespace.mustSync(["cat", `/proc/net/${file}`]);
  const lines = text.trim().split("\n").map((line) => line.split(/\s+/));
  if (file === "snmp6") {
    const value = (name: string) => Number(lines.find(([key]) => key === name)![1]);
    return { requests: value(out), answers: value(into) };
  }
  const [names, values] = lines.filter(([protocol]) => protocol === "Icmp:");
  const value = (name: string) => Number(values![names!.indexOf(name)]);
  return { requests: value(out), answers: value(into) };
}

function pingCommand(address: string, options: PingOptions): string[] {
  return [
    ...["ping", "-n", "-q", "-c", `${options.count ?? 5}`, "-i", `${options.intervalS ?? 0.02}`],
    ...["-W", `${options.waitS ?? WAIT_S_DEFAULT}`, "-s", `${options.payloadBytes ?? 56}`],
    ...options.extra ?? [],
    address,
  ];
}

function parsePing(stdout: string, stderr: string): PingResult {
  const counts = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
  if (counts === null) throw new Error(`ping said nothing of use\n${stdout}${stderr}`);
  const duplicates = /\+(\d+) duplicates/.exec(stdout);
  return {
    sent: Number(counts[1]),
    received: Number(counts[2]),
    duplicates: Number(duplicates?.[1] ?? 0),
  };
}

/** Starts a ping that goes on until it is stopped with stopPing. */
export function startPing(namespace: Namespace, address: string, intervalS = 0.02): Child {
  return namespace.spawn(["ping", "-n", "-q", "-i", `${intervalS}`, address]);
}

/** Ends a ping of startPing and returns its counts. */
export async function stopPing(child: Child): Promise<PingResult> {
  const { stdout, stderr } = await child.stop("SIGINT");
  return parsePing(stdout, stderr);
}

/** Pings until one answer comes: the tunnel is up, handshake included. */
export async function waitForPing(
  namespace: Namespace,
  address: string,
  timeoutMs = 15_000,
): Promise<void> {
  await waitUntil(
    `${address} answers`,
    async () => (await ping(namespace, address, { count: 1, waitS: 1 })).received === 1,
    { timeoutMs },
  );
}

// ---- HTTP -------------------------------------------------------------------------------------------------------

/** Our HTTP server in a namespace. */
export interface HttpServer {
  readonly url: string;
  /** Of the body that it serves, hex. */
  readonly sha256: string;
}

/** Serves `bytes` pseudo-random bytes at `address`. */
export async function startHttpServer(
  namespace: Namespace,
  address: string,
  bytes: number,
): Promise<HttpServer> {
  const child = namespace.spawn(helperCommand("http_server_main.ts", address, `${bytes}`));
  const match = await child.waitForOutput(/listening (\d+) ([0-9a-f]{64})/);
  const host = address.includes(":") ? `[${address}]` : address;
  return { url: `http://${host}:${match[1]}/`, sha256: match[2]! };
}

/** Fetches a URL by curl and returns the SHA-256 of what came, hex. */
export async function curlSha256(namespace: Namespace, url: string): Promise<string> {
  const path = join(namespace.lab.directory, "download");
  await namespace.must(["curl", "-sS", "--max-time", "60", "-o", path, url], {
    timeoutMs: 65_000,
  });
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

// ---- iperf3 -----------------------------------------------------------------------------------------------------

/** How iperf3 is called. */
export interface IperfOptions {
  readonly seconds?: number;
  /** Server sends instead of the client. */
  readonly reverse?: boolean;
  readonly streams?: number;
  /** UDP instead of TCP. */
  readonly udp?: {
    readonly payloadBytes: number;
    /** Bits per second over all streams, 0 = as fast as it goes. */
    readonly bitsPerSecond: number;
  };
}

/** What the receiving side saw. */
export interface IperfResult {
  /** TCP or UDP payload received. */
  readonly bitsPerSecond: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Datagrams sent, and missing at the receiver. 0 for TCP. */
  readonly datagramsSent: number;
  readonly datagramsLost: number;
}

/** Starts an iperf3 server that serves one client after another. */
export async function startIperfServer(namespace: Namespace, address: string): Promise<Child> {
  const child = namespace.spawn(["iperf3", "-s", "-B", address, "--forceflush"]);
  await child.waitForOutput(/Server listening/);
  return child;
}

/** Runs an iperf3 client against a server of startIperfServer. */
export async function iperf(
  namespace: Namespace,
  address: string,
  options: IperfOptions = {},
): Promise<IperfResult> {
  const seconds = options.seconds ?? 2;
  const argv = [
    ...["iperf3", "-c", address, "-J", "-t", `${seconds}`, "-P", `${options.streams ?? 1}`],
    ...["--connect-timeout", "10000"],
  ];
  if (options.reverse) argv.push("-R");
  if (options.udp !== undefined) {
    const { payloadBytes, bitsPerSecond } = options.udp;
    const perStream = bitsPerSecond / (options.streams ?? 1);
    argv.push("-u", "-l", `${payloadBytes}`, "-b", `${Math.round(perStream)}`);
  }
  const { stdout, stderr } = await namespace.run(argv, { timeoutMs: (seconds + 40) * 1000 });
  return parseIperf(stdout, stderr, options);
}

function parseIperf(stdout: string, stderr: string, options: IperfOptions): IperfResult {
  const report = JSON.parse(stdout === "" ? "{}" : stdout);
  if (report.end === undefined || report.error !== undefined) {
    throw new Error(`iperf3 failed: ${report.error ?? `${stdout}${stderr}`}`);
  }
  if (options.udp === undefined) {
    const sum = report.end.sum_received;
    return {
      bitsPerSecond: sum.bits_per_second,
      bytes: sum.bytes,
      seconds: sum.seconds,
      datagramsSent: 0,
      datagramsLost: 0,
    };
  }
  const sum = report.end.sum;
  const received = sum.packets - sum.lost_packets;
  return {
    bitsPerSecond: received * options.udp.payloadBytes * 8 / sum.seconds,
    bytes: received * options.udp.payloadBytes,
    seconds: sum.seconds,
    datagramsSent: sum.packets,
    datagramsLost: sum.lost_packets,
  };
}
