/**
 * A bad network between two tunnels: a UDP proxy in a namespace of its own that loses, doubles, reorders and damages
 * datagrams by a seed, in both directions, and that can change its own address as a NAT does.
 *
 *     left 192.0.2.1 ──── 192.0.2.254 proxy 198.51.100.254 ──── 198.51.100.2 right
 *                                           198.51.100.253
 *
 * In: what shall go wrong. Out: what did. The proxy itself is proxy_main.ts.
 */
import type { Child } from "./command.ts";
import type { Lab, Namespace } from "./namespaces.ts";
import { PORT, type Side } from "./pairs.ts";
import { helperCommand } from "./runtimes.ts";
import { waitUntil } from "./wait.ts";

/** What goes wrong, each in percent of datagrams. Members that are absent stay as they are. */
export interface Faults {
  readonly lossPercent?: number;
  readonly duplicatePercent?: number;
  readonly reorderPercent?: number;
  /** One bit of the datagram is turned. */
  readonly flipPercent?: number;
}

/** What one direction carried. */
export interface ProxyCounts {
  received: number;
  sent: number;
  lost: number;
  duplicated: number;
  reordered: number;
  flipped: number;
}

/** Request to the proxy, one JSON line each. */
export type ProxyRequest =
  | { readonly op: "faults"; readonly faults: Faults }
  | { readonly op: "rebind"; readonly address: string; readonly port: number }
  | { readonly op: "counts" };

/** Answer to each. */
export interface ProxyAnswer {
  readonly counts: Record<"toLeft" | "toRight", ProxyCounts>;
  /** Endpoint that the right tunnel sees the left one at. */
  readonly outside: string;
}

/** The three namespaces and the running proxy. */
export class Proxy {
  #child: Child;
  #answers = 0;

  constructor(
    readonly namespaces: Record<Side | "middle", Namespace>,
    child: Child,
    /** Endpoints that each side is to be told. */
    readonly endpoints: Record<Side, string>,
  ) {
    this.#child = child;
  }

  /** Changes the faults from now on. */
  async setFaults(faults: Faults): Promise<void> {
    await this.#ask({ op: "faults", faults });
  }

  /** Gives the left tunnel a new outside address and port, as a NAT does that lost its state. */
  async rebind(address: string, port: number): Promise<string> {
    return (await this.#ask({ op: "rebind", address, port })).outside;
  }

  async counts(): Promise<Record<"toLeft" | "toRight", ProxyCounts>> {
    return (await this.#ask({ op: "counts" })).counts;
  }

  async #ask(request: ProxyRequest): Promise<ProxyAnswer> {
    const wanted = ++this.#answers;
    this.#child.writeLine(JSON.stringify(request));
    return await waitUntil(`the proxy answers ${request.op}`, () => {
      const lines = this.#child.stdout.split("\n").filter((line) => line.startsWith("{"));
      return lines.length >= wanted && JSON.parse(lines[wanted - 1]!) as ProxyAnswer;
    }, { intervalMs: 5 });
  }
}

/** Addresses of the proxied topology; the middle has two on the right side, to move between. */
export const PROXY_ADDRESS = {
  left: "192.0.2.1",
  middleLeft: "192.0.2.254",
  middleRight: "198.51.100.254",
  middleRightOther: "198.51.100.253",
  right: "198.51.100.2",
} as const;

/** Makes the namespaces and starts the proxy, at first without faults. */
export async function startProxy(lab: Lab, seed: number): Promise<Proxy> {
  const left = lab.namespace("left");
  const middle = lab.namespace("middle");
  const right = lab.namespace("right");
  const at = PROXY_ADDRESS;
  lab.link(
    { namespace: left, addresses: [`${at.left}/24`] },
    { namespace: middle, addresses: [`${at.middleLeft}/24`] },
  );
  lab.link(
    { namespace: middle, addresses: [`${at.middleRight}/24`, `${at.middleRightOther}/24`] },
    { namespace: right, addresses: [`${at.right}/24`] },
  );
  const child = middle.spawn(
    helperCommand(
      "proxy_main.ts",
      `${seed}`,
      ...[at.middleLeft, `${PORT}`, at.left, `${PORT}`],
      ...[at.middleRight, `${PORT}`, at.right, `${PORT}`],
    ),
  );
  await child.waitForOutput(/^ready$/m);
  return new Proxy({ left, middle, right }, child, {
    left: `${at.middleLeft}:${PORT}`,
    right: `${at.middleRight}:${PORT}`,
  });
}
