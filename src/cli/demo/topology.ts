/**
 * The demo's network on paper: three nodes, what stands behind them, and the nodes' configuration files.
 *
 *     alpha 100.64.0.1     client                       192.0.2.2  ──┐
 *     beta  100.64.0.2     subnet router of 10.20.0.0/24 192.0.2.6 ──┼── internet 198.51.100.10
 *     gamma 100.64.0.3     exit node                    192.0.2.10 ──┘
 *     lan   10.20.0.10     a host behind beta
 *
 * In: keys. Out: texts and plain values. All addresses are private, shared or for documentation (RFC 1918, 6598, 5737);
 * they live in namespaces of the demo's own.
 */

/** The nodes. */
export const NODES = ["alpha", "beta", "gamma"] as const;
export type NodeName = (typeof NODES)[number];

/** All namespaces: the nodes', and what the nodes lead to. */
export const PLACES = [...NODES, "lan", "internet"] as const;
export type Place = (typeof PLACES)[number];

/** What each node is there for, for people. */
export const ROLES: Readonly<Record<NodeName, string>> = {
  alpha: "client",
  beta: "subnet router",
  gamma: "exit node",
};

/** Addresses in the overlay. */
export const OVERLAY: Readonly<Record<NodeName, string>> = {
  alpha: "100.64.0.1",
  beta: "100.64.0.2",
  gamma: "100.64.0.3",
};

/** Addresses of the underlay, with that of the router at the other end of the link; both in a /30. */
export const UNDERLAY: Readonly<
  Record<NodeName, { readonly address: string; readonly router: string }>
> = {
  alpha: { address: "192.0.2.2", router: "192.0.2.1" },
  beta: { address: "192.0.2.6", router: "192.0.2.5" },
  gamma: { address: "192.0.2.10", router: "192.0.2.9" },
};
/** All of the underlay's links. */
export const UNDERLAY_PREFIX = "192.0.2.0/24";

/** The network behind beta. */
export const LAN = { prefix: "10.20.0.0/24", router: "10.20.0.1", host: "10.20.0.10" } as const;

/** A host that alpha reaches through gamma. */
export const INTERNET_HOST = "198.51.100.10";

/** UDP port of all nodes. */
export const LISTEN_PORT = 51_820;

/** Where the demo's servers are, and from where: `alpha` talks to all of them. */
export const SERVERS: readonly { readonly place: Place; readonly address: string }[] = [
  { place: "beta", address: OVERLAY.beta },
  { place: "lan", address: LAN.host },
  { place: "internet", address: INTERNET_HOST },
];

/** Ports of the servers, by what they serve. */
export const SERVICE_PORTS = { http: 80, dns: 53, bulk: 5_201 } as const;

/** Key pair in base64. */
export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** Whom each node knows, and what it reaches through them. */
const PEERS: Readonly<Record<NodeName, Partial<Record<NodeName, readonly string[]>>>> = {
  alpha: { beta: [LAN.prefix], gamma: ["0.0.0.0/0"] },
  beta: { alpha: [] },
  gamma: { alpha: [] },
};

/** Networks that nodes offer. */
const SUBNET_ROUTES: Readonly<Partial<Record<NodeName, string>>> = {
  beta: LAN.prefix,
  gamma: "0.0.0.0/0",
};

/**
 * Writes the configuration file of a node.
 * @param flowLog Further lines of [FlowLog].
 */
export function nodeConfig(
  name: NodeName,
  keys: Readonly<Record<NodeName, KeyPair>>,
  flowLog: readonly string[],
): string {
  const peers = Object.entries(PEERS[name]) as [NodeName, readonly string[]][];
  const subnetRoutes = SUBNET_ROUTES[name];
  return [
    "[Interface]",
    `# friendly_name = ${name}`,
    `PrivateKey = ${keys[name].privateKey}`,
    `ListenPort = ${LISTEN_PORT}`,
    `Address = ${OVERLAY[name]}/32`,
    ...peers.flatMap(([peer, networks]) => [
      "",
      "[Peer]",
      `# friendly_name = ${peer}`,
      `PublicKey = ${keys[peer].publicKey}`,
      `AllowedIPs = ${[`${OVERLAY[peer]}/32`, ...networks].join(", ")}`,
      `Endpoint = ${UNDERLAY[peer].address}:${LISTEN_PORT}`,
    ]),
    "",
    "[FlowLog]",
    // The internet here is a documentation address: it may be shown. A real log leaves it out unless asked.
    "ExitMode = full",
    ...(subnetRoutes === undefined ? [] : [`SubnetRoutes = ${subnetRoutes}`]),
    ...flowLog,
    "",
  ].join("\n");
}

/** What `ip` is told: links between the namespaces, then lines for each namespace on its own. */
export interface WirePlan {
  /** Veth pairs, each `[place, interface, place, interface]`. */
  readonly links: readonly (readonly [Place, string, Place, string])[];
  readonly lines: Readonly<Record<Place, readonly string[]>>;
  /** Places that hand packets on. */
  readonly routers: readonly Place[];
}

/** See WirePlan. */
export const WIRE_PLAN: WirePlan = {
  links: [
    ...NODES.map((name) => [name, "wire", "internet", name] as const),
    ["beta", "lan", "lan", "wire"],
  ],
  lines: {
    // Not by a default route: the tunnel takes what has no route of its own, and gamma is not to carry the underlay.
    alpha: [...wireLines("alpha"), `route add ${UNDERLAY_PREFIX} via ${UNDERLAY.alpha.router}`],
    beta: [
      ...wireLines("beta"),
      `route add ${UNDERLAY_PREFIX} via ${UNDERLAY.beta.router}`,
      `address add ${LAN.router}/24 dev lan`,
      "link set lan up",
    ],
    gamma: [...wireLines("gamma"), `route add default via ${UNDERLAY.gamma.router}`],
    lan: [
      "link set lo up",
      `address add ${LAN.host}/24 dev wire`,
      "link set wire up",
      `route add default via ${LAN.router}`,
    ],
    internet: [
      "link set lo up",
      `address add ${INTERNET_HOST}/32 dev lo`,
      ...NODES.flatMap((name) => [
        `address add ${UNDERLAY[name].router}/30 dev ${name}`,
        `link set ${name} up`,
      ]),
      // In place of gamma's NAT: the way back to who asked.
      `route add ${OVERLAY.alpha}/32 via ${UNDERLAY.gamma.address}`,
    ],
  },
  routers: ["beta", "gamma", "internet"],
};

function wireLines(name: NodeName): string[] {
  return [
    "link set lo up",
    `address add ${UNDERLAY[name].address}/30 dev wire`,
    "link set wire up",
  ];
}
