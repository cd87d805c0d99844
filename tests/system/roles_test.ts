/**
 * Our node as a subnet router, as an exit node, and as the client that sends everything through one (wg-quick's
 * default-route case).
 *
 * Run alone: `deno test -A tests/system/roles_test.ts` (root; needs wireguard-go, wg, ip, nft, ping, curl).
 * Method: a chain of namespaces; forwarding and masquerade are the kernel's, set up by the test.
 *
 *     client 192.0.2.1 ── .254 router .254 ── 198.51.100.2 gateway 203.0.113.254 ── 203.0.113.1 world
 *
 * The router knows no way to the world: what reaches it went through the tunnel between client and gateway.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Lab, type Namespace, withLab } from "./support/namespaces.ts";
import { INNER, pairConfig, PORT } from "./support/pairs.ts";
import { cannotRun } from "./support/runtimes.ts";
import { networkState } from "./support/state.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import { curlSha256, ping, startHttpServer, waitForPing } from "./support/traffic.ts";
import { tunnelFiles } from "./support/tunnel_files.ts";
import {
  type Implementation,
  makeKeyPair,
  startTunnel,
  type Tunnel,
  type TunnelConfig,
} from "./support/tunnels.ts";

const skip = cannotRun("wireguard-go", "nft", "curl");

const GATEWAY = { 4: "198.51.100.2", 6: "2001:db8:2::2" } as const;
const WORLD = { 4: "203.0.113.1", 6: "2001:db8:3::1" } as const;
const WORLD_PREFIXES = ["203.0.113.0/24", "2001:db8:3::/64"] as const;

interface Chain {
  readonly client: Namespace;
  readonly gateway: Namespace;
  readonly world: Namespace;
}

/** Makes the four namespaces. The client's default route leads to the router, the world has none. */
function makeChain(lab: Lab): Chain {
  const client = lab.namespace("client");
  const router = lab.namespace("router");
  const gateway = lab.namespace("gateway");
  const world = lab.namespace("world");
  lab.link(
    { namespace: client, addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
    { namespace: router, addresses: ["192.0.2.254/24", "2001:db8:1::254/64"] },
  );
  lab.link(
    { namespace: router, addresses: ["198.51.100.254/24", "2001:db8:2::254/64"] },
    { namespace: gateway, addresses: [`${GATEWAY[4]}/24`, `${GATEWAY[6]}/64`] },
  );
  lab.link(
    { namespace: gateway, addresses: ["203.0.113.254/24", "2001:db8:3::254/64"] },
    { namespace: world, addresses: [`${WORLD[4]}/24`, `${WORLD[6]}/64`] },
  );
  client.ip("route add default via 192.0.2.254", "route add ::/0 via 2001:db8:1::254");
  gateway.ip("route add default via 198.51.100.254", "route add ::/0 via 2001:db8:2::254");
  for (const namespace of [router, gateway]) {
    namespace.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  }
  return { client, gateway, world };
}

/** Lets what leaves the gateway towards the world carry the gateway's address, as an administrator would. */
function masquerade(gateway: Namespace): void {
  gateway.mustSync(["nft", "-f", "-"], {
    input: `table inet nat {
      chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "link1" masquerade
      }
    }`,
  });
}

/** Starts both ends; the client sends `allowedIps` through the tunnel. */
async function startChain(
  chain: Chain,
  client: Implementation,
  gateway: Implementation,
  allowedIps: readonly string[],
  outer: 4 | 6,
): Promise<{ client: Tunnel; gateway: Tunnel }> {
  const keys = { left: makeKeyPair(), right: makeKeyPair() };
  const address = outer === 4 ? GATEWAY[4] : `[${GATEWAY[6]}]`;
  const config = pairConfig("left", keys, {
    left: client,
    right: gateway,
    endpoints: { left: `${address}:${PORT}` },
  });
  const clientConfig: TunnelConfig = {
    ...config,
    peers: config.peers.map((peer) => ({ ...peer, allowedIps })),
  };
  const gatewayConfig = pairConfig("right", keys, {
    left: client,
    right: gateway,
    initiator: "left",
  });
  // The gateway first: a client with a default route begins at once, and would repeat itself only after 5 s.
  const gatewayTunnel = await startTunnel(gateway, chain.gateway, gatewayConfig);
  const clientTunnel = await startTunnel(client, chain.client, clientConfig);
  return { client: clientTunnel, gateway: gatewayTunnel };
}

/** Both families reach the world, a download is whole, and all of it went through the tunnel. */
async function proveWorldIsReached(chain: Chain, client: Tunnel): Promise<void> {
  await waitForPing(chain.client, WORLD[4]);
  for (const family of [4, 6] as const) {
    const { received } = await ping(chain.client, WORLD[family], { count: 10 });
    assert.equal(received, 10, `IPv${family} reaches the world`);
    const http = await startHttpServer(chain.world, WORLD[family], 2_000_000);
    const before = client.peerDump().rxBytes;
    assert.equal(await curlSha256(chain.client, http.url), http.sha256);
    assert.ok(
      client.peerDump().rxBytes - before > 2_000_000,
      "the download went through the tunnel",
    );
  }
}

for (const role of ["router", "client"] as const) {
  const [client, gateway] = role === "router" ? [REFERENCE, SUBJECT] : [SUBJECT, REFERENCE];
  test(`subnet behind ${role === "router" ? "our node" : REFERENCE} is reached and answers`, {
    skip,
  }, async () => {
    await withLab(async (lab) => {
      const chain = makeChain(lab);
      // No masquerade: the subnet knows the way back, and sees the client's own address.
      chain.world.ip(
        `route add ${INNER.left[4]}/32 via 203.0.113.254`,
        `route add ${INNER.left[6]}/128 via 2001:db8:3::254`,
      );
      const allowedIps = [`${INNER.right[4]}/32`, `${INNER.right[6]}/128`, ...WORLD_PREFIXES];
      const tunnels = await startChain(chain, client, gateway, allowedIps, 4);
      await proveWorldIsReached(chain, tunnels.client);
      for (const family of [4, 6] as const) {
        const { received } = await ping(chain.world, INNER.left[family], { count: 5 });
        assert.equal(received, 5, `the subnet reaches the client over IPv${family}`);
      }
    });
  });
}

test("subnet router with masquerade needs no route back", { skip }, async () => {
  await withLab(async (lab) => {
    const chain = makeChain(lab);
    masquerade(chain.gateway);
    const allowedIps = [`${INNER.right[4]}/32`, `${INNER.right[6]}/128`, ...WORLD_PREFIXES];
    const tunnels = await startChain(chain, REFERENCE, SUBJECT, allowedIps, 4);
    await proveWorldIsReached(chain, tunnels.client);
  });
});

for (const [gateway, outer] of [[REFERENCE, 4], [SUBJECT, 4], [REFERENCE, 6]] as const) {
  const whose = gateway === REFERENCE ? REFERENCE : "ours";
  test(`client with a default route over IPv${outer} sends all through the exit node (${whose})`, {
    skip: skip || notOurs(),
  }, async () => {
    await withLab(async (lab) => {
      const chain = makeChain(lab);
      masquerade(chain.gateway);
      const before = networkState(chain.client);
      const tunnels = await startChain(chain, SUBJECT, gateway, ["0.0.0.0/0", "::/0"], outer);
      await proveWorldIsReached(chain, tunnels.client);

      const outside = await ping(chain.client, "192.0.2.254", { count: 3 });
      assert.equal(outside.received, 3, "the local network stays reachable");
      const { stdout } = await chain.client.run(["ip", "rule", "show"]);
      assert.match(stdout, /not from all fwmark 0x[0-9a-f]+ lookup \d+/);
      assert.match(stdout, /lookup main suppress_prefixlength 0/);

      const { code } = await tunnels.client.stop();
      assert.equal(code, 0);
      assert.equal(networkState(chain.client), before);
      assert.deepEqual(tunnelFiles(tunnels.client.name), []);
    });
  });
}

test("exit node of ours serves a client of wireguard-go", { skip }, async () => {
  await withLab(async (lab) => {
    const chain = makeChain(lab);
    masquerade(chain.gateway);
    // wireguard-go sets no routes; two halves do what wg-quick's default route does, past the endpoint's own route.
    chain.client.ip(`route add ${GATEWAY[4]} via 192.0.2.254`);
    const halves = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"];
    const tunnels = await startChain(chain, REFERENCE, SUBJECT, halves, 4);
    await proveWorldIsReached(chain, tunnels.client);
  });
});
