/**
 * Traffic in which every datagram is a connection of its own, and a witness of each one: so the flow log can be held against
 * what an interface carried packet by packet.
 *
 * In: namespaces. Out: what tcpdump saw on the tunnel's interface, with the kernel's time of each. It listens on all interfaces,
 * so that it outlives those that come and go.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Child } from "./command.ts";
import type { Namespace } from "./namespaces.ts";
import { helperCommand } from "./runtimes.ts";

/** Destination ports, one a datagram; below the tunnels' own port. */
export const NUMBERED_PORT_FIRST = 5_000;
export const NUMBERED_PORT_LAST = 50_000;
/** IPv4 and UDP headers. */
const HEADER_BYTES = 28;

/** One datagram on the interface. */
export interface SeenDatagram {
  readonly direction: "rx" | "tx";
  /** `SOURCE_PORT>PORT`. */
  readonly name: string;
  /** IP length. */
  readonly bytes: number;
  readonly wallNs: bigint;
}

/** How they are sent. */
export interface NumberedOptions {
  readonly sourcePort: number;
  /** Default: as many as there are ports. */
  readonly count?: number;
  readonly intervalMs: number;
  /** Sent at each interval. */
  readonly burst?: number;
}

/** Starts sending; see numbered_datagrams_main.ts. */
export async function startNumberedDatagrams(
  namespace: Namespace,
  address: string,
  { sourcePort, count = NUMBERED_PORT_LAST, intervalMs, burst = 1 }: NumberedOptions,
): Promise<Child> {
  const numbers = [sourcePort, count, intervalMs, burst].map(String);
  const child = namespace.spawn(helperCommand("numbered_datagrams_main.ts", address, ...numbers));
  await child.waitForOutput(/sending/);
  return child;
}

/** Sends so many and waits until they are sent; 100 in a burst, which the queue of a device holds. */
export async function sendNumberedDatagrams(
  namespace: Namespace,
  address: string,
  sourcePort: number,
  count: number,
): Promise<void> {
  const options = { sourcePort, count, intervalMs: 10, burst: 100 };
  const child = await startNumberedDatagrams(namespace, address, options);
  await child.waitForEnd(60_000);
}

/** Has nobody answer such datagrams, so that they are all there is. */
export function silencePorts(namespace: Namespace): void {
  namespace.mustSync(["nft", "-f", "-"], {
    input: `table inet silence {
      chain input {
        type filter hook input priority filter
        udp dport ${NUMBERED_PORT_FIRST}-${NUMBERED_PORT_LAST} drop
      }
    }`,
  });
}

/** See file header. */
export class DatagramWitness {
  readonly #path: string;
  readonly #child: Child;

  /** @param address The namespace's own inside the tunnel. */
  constructor(namespace: Namespace, address: string) {
    this.#path = join(namespace.lab.directory, `seen-${namespace.name}`);
    const filter = `udp and host ${address}`;
    const tcpdump =
      `tcpdump -i any -q -n -l --immediate-mode -s 256 --time-stamp-precision=nano -tt`;
    this.#child = namespace.spawn(["sh", "-c", `exec ${tcpdump} '${filter}' > ${this.#path}`]);
  }

  async ready(): Promise<void> {
    await this.#child.waitForOutput(/listening on/);
  }

  /** Ends it. @returns All that it saw, in order. */
  async end(): Promise<SeenDatagram[]> {
    const { stderr } = await this.#child.stop("SIGINT");
    assert.match(stderr, /^0 packets dropped by kernel/m, `the witness saw not all: ${stderr}`);
    return readFileSync(this.#path, "utf8").trimEnd().split("\n").map(seenIn);
  }
}

/** `1764166391.123456789 tq In  IP 10.77.0.2.400 > 10.77.0.1.5000: UDP, length 8`, which -q makes of every port. */
const LINE = /^(\d+)\.(\d{9}) \S+ +(In|Out) +IP [\d.]+\.(\d+) > [\d.]+\.(\d+): UDP, length (\d+)/;

function seenIn(line: string): SeenDatagram {
  const match = LINE.exec(line);
  assert.ok(match !== null, `tcpdump said: ${line}`);
  const [, seconds, fraction, direction, source, port, length] = match as unknown as string[];
  return {
    direction: direction === "In" ? "rx" : "tx",
    name: `${source}>${port}`,
    bytes: HEADER_BYTES + Number(length),
    wallNs: BigInt(seconds!) * 1_000_000_000n + BigInt(fraction!),
  };
}
