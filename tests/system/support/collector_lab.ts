/**
 * Three nodes of ours in namespaces with a LAN, an internet and a collector: the whole of tunlog.
 *
 *     alpha 192.0.2.2  ── .1 ┐
 *     beta  192.0.2.6  ── .5 ├ hub: router of the underlay, internet 198.51.100.10, collector 0.0.0.0:8080
 *     gamma 192.0.2.10 ── .9 ┘
 *     beta 10.20.0.1 ── lan 10.20.0.10            alpha reaches the LAN through beta, the internet through gamma
 *
 * In: lines of [FlowLog]. Out: nodes, the kernel's own counters of their interfaces by class. All traffic is the test's own.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { CollectorProcess } from "./collector_process.ts";
import { type LinkWitness, startLinkWitness } from "./link_witness.ts";
import { NO_TRAFFIC, type Sums } from "./log_books.ts";
import { END_MS_MAX } from "./logged_pairs.ts";
import type { Lab, Namespace } from "./namespaces.ts";
import { PORT } from "./pairs.ts";
import type { Runtime } from "./runtimes.ts";
import { SUBJECT } from "./subjects.ts";
import {
  type KeyPair,
  makeKeyPair,
  startTunnel,
  type Tunnel,
  type TunnelConfig,
} from "./tunnels.ts";

/** The nodes. */
export const NODES = ["alpha", "beta", "gamma"] as const;
export type NodeName = (typeof NODES)[number];

/** Addresses in the overlay by family. */
export const OVERLAY: Readonly<Record<NodeName, { readonly 4: string; readonly 6: string }>> = {
  alpha: { 4: "100.64.0.1", 6: "fd7a:115c:a1e0::1" },
  beta: { 4: "100.64.0.2", 6: "fd7a:115c:a1e0::2" },
  gamma: { 4: "100.64.0.3", 6: "fd7a:115c:a1e0::3" },
};

/** Addresses of the underlay and of the router there. */
export const UNDERLAY: Readonly<Record<NodeName, { readonly own: string; readonly hub: string }>> =
  {
    alpha: { own: "192.0.2.2", hub: "192.0.2.1" },
    beta: { own: "192.0.2.6", hub: "192.0.2.5" },
    gamma: { own: "192.0.2.10", hub: "192.0.2.9" },
  };

/** What stands behind beta and gamma. */
export const LAN_HOST = "10.20.0.10";
export const INTERNET_HOST = "198.51.100.10";
export const LAN = "10.20.0.0/24";

/** Port of the collector, and of what may stand in front of it. */
export const COLLECTOR_PORT = 8_080;
export const FRONT_PORT = 8_081;

/** Classes of what a tunnel carries; `refused` is what no route leads to, such as a kernel's multicast. */
export const WITNESSED = ["virtual", "subnet", "exit", "refused"] as const;

const PEERS: Readonly<Record<NodeName, Partial<Record<NodeName, readonly string[]>>>> = {
  alpha: { beta: [LAN], gamma: ["0.0.0.0/0"] },
  beta: { alpha: [] },
  gamma: { alpha: [] },
};
const SUBNET_ROUTES: Partial<Record<NodeName, string>> = { beta: LAN, gamma: "0.0.0.0/0" };

/** One node's place: it outlives the node. */
export interface Place {
  readonly namespace: Namespace;
  /** Of the tunnel's interface. */
  readonly tunnelName: string;
  readonly config: TunnelConfig;
  readonly links: LinkWitness;
}

/** See file header. */
export class CollectorLab {
  readonly nodes = new Map<NodeName, Tunnel>();
  readonly #ends = new Map<NodeName, number>();

  private constructor(
    readonly places: Readonly<Record<NodeName, Place>>,
    readonly hub: Namespace,
    readonly lan: Namespace,
    readonly collector: CollectorProcess,
  ) {}

  /** Makes all but the nodes; the collector is not started. @param port Where nodes send their log to, on the hub. */
  static async open(
    lab: Lab,
    { flowLog = ["Period = 1"], port = COLLECTOR_PORT }: {
      readonly flowLog?: readonly string[];
      readonly port?: number;
    } = {},
  ): Promise<CollectorLab> {
    const hub = lab.namespace("hub");
    const lan = lab.namespace("lan");
    const keys = { alpha: makeKeyPair(), beta: makeKeyPair(), gamma: makeKeyPair() };
    hub.ip(`address add ${INTERNET_HOST}/32 dev lo`);
    const places: Partial<Record<NodeName, Place>> = {};
    for (const name of NODES) {
      const namespace = lab.namespace(name);
      const { own, hub: router } = UNDERLAY[name];
      lab.link(
        { namespace, addresses: [`${own}/30`] },
        { namespace: hub, addresses: [`${router}/30`] },
      );
      // Alpha's default route is the tunnel's.
      namespace.ip(`route add ${name === "gamma" ? "default" : "192.0.2.0/24"} via ${router}`);
      const tunnelName = lab.interfaceName();
      const lines = [
        ...flowLog,
        `Collector = http://${router}:${port}`,
        `StateDirectory = ${join(lab.directory, `state-${name}`)}`,
      ];
      const config = nodeConfig(name, keys, lines);
      witnessClasses(namespace, tunnelName);
      const links = await startLinkWitness(namespace);
      places[name] = { namespace, tunnelName, config, links };
    }
    const all = places as Record<NodeName, Place>;
    lab.link(
      { namespace: all.beta.namespace, addresses: ["10.20.0.1/24"] },
      { namespace: lan, addresses: [`${LAN_HOST}/24`] },
    );
    lan.ip("route add default via 10.20.0.1");
    // In place of gamma's NAT: the way back to who asked.
    hub.ip(`route add ${OVERLAY.alpha[4]}/32 via ${UNDERLAY.gamma.own}`);
    for (const router of [hub, all.beta.namespace, all.gamma.namespace]) {
      router.sysctl("net.ipv4.ip_forward=1");
    }
    for (const source of [hub, lan]) cutSegments(source);
    const directory = join(lab.directory, "collector");
    const listen = `0.0.0.0:${COLLECTOR_PORT}`;
    const collector = new CollectorProcess(SUBJECT as Runtime, directory, hub, listen);
    return new CollectorLab(all, hub, lan, collector);
  }

  /** Starts nodes, one after the other: alpha, which begins, had better be the last. */
  async start(...names: NodeName[]): Promise<void> {
    for (const name of names) {
      const { namespace, tunnelName, config } = this.places[name];
      this.nodes.set(name, await startTunnel(SUBJECT, namespace, config, { name: tunnelName }));
      cutSegments(namespace);
    }
  }

  /** Ends a node in order. @returns The kernel's last counters of its interface. */
  async end(name: NodeName): Promise<Sums> {
    const { code, stderr } = await this.nodes.get(name)!.process.stop("SIGTERM", END_MS_MAX);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /bug|not delivered/);
    return await this.#lastCounters(name);
  }

  /** Kills a node. @returns The kernel's last counters of its interface. */
  async kill(name: NodeName): Promise<Sums> {
    await this.nodes.get(name)!.kill();
    return await this.#lastCounters(name);
  }

  async #lastCounters(name: NodeName): Promise<Sums> {
    const { links, tunnelName } = this.places[name];
    const count = (this.#ends.get(name) ?? 0) + 1;
    this.#ends.set(name, count);
    return await links.end(tunnelName, count);
  }

  /** What the kernel let pass on a node's interface, by class, of all its lives. */
  witnessed(name: NodeName): Record<(typeof WITNESSED)[number], Sums> {
    const argv = ["nft", "-j", "list", "counters", "table", "inet", "witness"];
    const { nftables } = JSON.parse(this.places[name].namespace.mustSync(argv));
    const sums = Object.fromEntries(WITNESSED.map((each) => [each, { ...NO_TRAFFIC }]));
    for (const { counter } of nftables) {
      if (counter === undefined) continue;
      const [className, direction] = counter.name.split("_");
      Object.assign(sums[className]!, {
        [`${direction}Packets`]: counter.packets,
        [`${direction}Bytes`]: counter.bytes,
      });
    }
    return sums as Record<(typeof WITNESSED)[number], Sums>;
  }
}

function nodeConfig(
  name: NodeName,
  keys: Readonly<Record<NodeName, KeyPair>>,
  flowLog: readonly string[],
): TunnelConfig {
  const peers = Object.entries(PEERS[name]) as [NodeName, readonly string[]][];
  const subnetRoutes = SUBNET_ROUTES[name];
  return {
    keys: keys[name],
    listenPort: PORT,
    addresses: [`${OVERLAY[name][4]}/32`, `${OVERLAY[name][6]}/128`],
    interfaceLines: [`# friendly_name = ${name}`],
    // What is still owed to a session when traffic ends is sent soon.
    timers: { KeepaliveTimeout: 1 },
    // The kernel's counters are the witness, and they see packets one by one only without super-packets.
    offloads: "udp",
    flowLog: [
      ...flowLog,
      ...(subnetRoutes === undefined ? [] : [`SubnetRoutes = ${subnetRoutes}`]),
    ],
    peers: peers.map(([peer, networks]) => ({
      publicKey: keys[peer].publicKey,
      allowedIps: [`${OVERLAY[peer][4]}/32`, `${OVERLAY[peer][6]}/128`, ...networks],
      endpoint: `${UNDERLAY[peer].own}:${PORT}`,
    })),
  };
}

/** Has the kernel's TCP send single segments: nftables sees what it has not cut yet as one packet. */
function cutSegments(namespace: Namespace): void {
  const names = namespace.ipJson("link", "show").map(({ ifname }) => ifname);
  namespace.ip(...names.map((name) => `link set dev ${name} gso_max_segs 1`));
}

/** Has the kernel count by class what leaves by and comes from the tunnel; it knows addresses, and nothing of our classes. */
function witnessClasses(namespace: Namespace, tunnelName: string): void {
  const overlay4 = "100.64.0.0/10";
  const overlay6 = "fd7a:115c:a1e0::/48";
  const counters = WITNESSED.flatMap((name) => [`${name}_tx`, `${name}_rx`]);
  const rules = (direction: string) => `
        ip saddr ${overlay4} ip daddr ${overlay4} counter name virtual_${direction} accept
        ip6 saddr ${overlay6} ip6 daddr ${overlay6} counter name virtual_${direction} accept
        meta nfproto ipv6 counter name refused_${direction} accept
        ip saddr ${LAN} counter name subnet_${direction} accept
        ip daddr ${LAN} counter name subnet_${direction} accept
        counter name exit_${direction}`;
  namespace.mustSync(["nft", "-f", "-"], {
    input: `table inet witness {
      ${counters.map((name) => `counter ${name} {}`).join("\n")}
      chain out {
        type filter hook postrouting priority 300
        oifname != "${tunnelName}" accept
        ${rules("tx")}
      }
      chain in {
        type filter hook prerouting priority -310
        iifname != "${tunnelName}" accept
        ${rules("rx")}
      }
    }`,
  });
}
