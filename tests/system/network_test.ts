/**
 * Goal: the interface, routes, rules and packet filter that we make are those that wg-quick makes, seen through `ip`
 * and `nft`; and undoing them leaves the namespace as it was, after failures and SIGKILL too.
 * Method: Debian's wg-quick with wireguard-go in one namespace, ours on a bare TUN in a second of the same layout.
 *
 * Run alone: `deno test -A tests/system/network_test.ts` (root; needs wg-quick, wireguard-go, nft, setpriv).
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NetworkLink, NetworkRouteAnswer } from "../../src/ports.ts";
import { type Lab, type Namespace, withLab } from "./support/namespaces.ts";
import {
  configuredState,
  NetworkChild,
  type SettingsText,
  tunnelState,
} from "./support/network.ts";
import { cannotRun } from "./support/runtimes.ts";
import { makeKeyPair } from "./support/tunnels.ts";

const skip = cannotRun("wg-quick", "wireguard-go", "nft", "setpriv");

/** A host that is reached over the uplink. */
const ENDPOINT = "192.0.2.2";

/** One configuration and what is there before it. */
interface Case {
  readonly name: string;
  readonly addresses?: readonly string[];
  readonly allowedIps: readonly string[];
  readonly table?: "auto" | "off" | number;
  readonly mtuBytes?: number;
  readonly mark?: number;
  readonly endpoint?: string;
  /** Lines of `ip -batch` beforehand. */
  readonly before?: readonly string[];
  /** Whether those lines are another tunnel's with an IPv4 default route. */
  readonly otherTunnel?: true;
}

const CASES: readonly Case[] = [
  {
    name: "ordinary and covered AllowedIPs",
    allowedIps: ["10.99.0.0/16", "10.7.0.2/32", "fd99::/32", "fd00::2/128", "10.7.0.0/16"],
  },
  { name: "an IPv4 default route", allowedIps: ["0.0.0.0/0"] },
  { name: "an IPv6 default route", allowedIps: ["::/0"] },
  {
    name: "both default routes, other routes and several addresses",
    addresses: ["10.7.0.1/24", "10.8.0.1/32", "fd00::1/64", "fd01::1/128"],
    allowedIps: ["0.0.0.0/0", "::/0", "10.99.0.0/16", "10.8.0.1/32", "fd01::1/128"],
  },
  { name: "halves of the address space", allowedIps: ["0.0.0.0/1", "128.0.0.0/1"] },
  { name: "Table = off", allowedIps: ["0.0.0.0/0", "10.99.0.0/16"], table: "off" },
  { name: "Table = 1234", allowedIps: ["0.0.0.0/0", "::/0", "10.7.0.2/32"], table: 1234 },
  { name: "FwMark", allowedIps: ["0.0.0.0/0", "::/0"], mark: 0xca77 },
  { name: "MTU", allowedIps: ["10.99.0.0/16"], mtuBytes: 1312 },
  {
    name: "the MTU of the route to the peer",
    allowedIps: ["10.99.0.0/16"],
    before: ["route add 192.0.2.2/32 dev up0 mtu 1440"],
  },
  {
    name: "the MTU of the default route when no peer is reached",
    allowedIps: ["10.99.0.0/16"],
    endpoint: "203.0.113.7",
    before: ["route add unreachable 203.0.113.0/24"],
  },
  {
    name: "a first table that is in use, by another tunnel with its rules",
    allowedIps: ["0.0.0.0/0"],
    before: [
      "route add 198.51.100.0/24 dev up0 table 51820",
      "rule add not fwmark 51820 table 51820",
      "rule add table main suppress_prefixlength 0",
    ],
    otherTunnel: true,
  },
];

/** A namespace with an uplink of MTU 1480, the same each time but for nothing. */
function hostNamespace(lab: Lab, label: string, before: readonly string[] = []): Namespace {
  const namespace = lab.namespace(label);
  // Link-local addresses are random; without them two namespaces are the same.
  namespace.sysctl("net.ipv6.conf.default.addr_gen_mode=1");
  namespace.ip(
    "link add up0 mtu 1480 type veth peer name up1 mtu 1480",
    "link set up1 up",
    "link set up0 up",
    "address add 192.0.2.1/24 dev up0",
    "route add default via 192.0.2.254",
    ...before,
  );
  return namespace;
}

function settingsOf(item: Case, interfaceName: string): SettingsText {
  return {
    interfaceName,
    addresses: item.addresses ?? ["10.7.0.1/24", "fd00::1/64"],
    mtuBytes: item.mtuBytes ?? null,
    table: item.table ?? "auto",
    allowedIps: item.allowedIps,
    mark: item.mark ?? 0,
  };
}

/** The same as a file for wg-quick. */
function configText(settings: SettingsText, endpoint: string): string {
  const { mtuBytes, mark, table } = settings;
  return [
    "[Interface]",
    `PrivateKey = ${makeKeyPair().privateKey}`,
    `Address = ${settings.addresses.join(", ")}`,
    ...mtuBytes === null ? [] : [`MTU = ${mtuBytes}`],
    ...mark === 0 ? [] : [`FwMark = ${mark}`],
    ...table === "auto" ? [] : [`Table = ${table}`],
    "[Peer]",
    `PublicKey = ${makeKeyPair().publicKey}`,
    `AllowedIPs = ${settings.allowedIps.join(", ")}`,
    `Endpoint = ${endpoint}:51820`,
    "",
  ].join("\n");
}

for (const item of CASES) {
  test(`network of a tunnel is as wg-quick makes it: ${item.name}`, { skip }, async () => {
    await withLab(async (lab) => {
      const name = lab.interfaceName();
      const settings = settingsOf(item, name);
      const endpoint = item.endpoint ?? ENDPOINT;
      const theirs = hostNamespace(lab, "quick", item.before);
      const config = join(lab.directory, `${name}.conf`);
      writeFileSync(config, configText(settings, endpoint), { mode: 0o600 });
      theirs.mustSync(["wg-quick", "up", config]);

      const ours = hostNamespace(lab, "ours", item.before);
      // wireguard-go leaves link-local addresses to the default, which hostNamespace turned off; we turn them off.
      ours.sysctl("net.ipv6.conf.default.addr_gen_mode=0");
      const child = await NetworkChild.start(ours, name);
      const before = configuredState(ours);
      const statePath = join(lab.directory, "state.json");
      const applied = await child.ask({
        op: "apply",
        settings,
        endpoints: [endpoint],
        statePath,
      });
      assert.deepEqual(applied.error, undefined);
      assert.deepEqual(applied.warnings, []);
      assert.deepEqual(tunnelState(ours, name), tunnelState(theirs, name));
      const wgMark = theirs.mustSync(["wg", "show", name, "fwmark"]).trim();
      assert.equal(applied.mark, wgMark === "off" ? 0 : Number(wgMark));

      assert.deepEqual((await child.ask({ op: "undo" })).warnings, []);
      assert.equal(configuredState(ours), item.otherTunnel ? withSourceMark(before) : before);
    });
  });
}

/** The state once somebody else's tunnel needs the parameter that we set, so that it stays. */
function withSourceMark(state: string): string {
  return state.replace("src_valid_mark = 0", "src_valid_mark = 1");
}

test("NetworkPort.linkByName counts as the kernel does, routeGet answers as `ip route get`", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const name = lab.interfaceName();
    const namespace = hostNamespace(lab, "ours");
    const child = await NetworkChild.start(namespace, name);
    const settings = settingsOf({ name: "", allowedIps: ["0.0.0.0/0", "::/0"] }, name);
    const statePath = join(lab.directory, "state.json");
    const { mark = 0 } = await child.ask({ op: "apply", settings, endpoints: [], statePath });
    const tunnel = (await child.ask({ op: "link", name })).value as NetworkLink;
    const [shown] = namespace.ipJson("link", "show", "dev", name);
    assert.deepEqual(
      [tunnel.index, tunnel.name, tunnel.kind, tunnel.mtuBytes, tunnel.up],
      [shown.ifindex, name, "tun", 1400, true],
    );
    // Loopback, because on a TUN only what is read from it counts as sent.
    namespace.mustSync(["ping", "-q", "-c", "3", "-i", "0.01", "127.0.0.1"]);
    const { statistics } = (await child.ask({ op: "link", name: "lo" })).value as NetworkLink;
    const [{ stats64 }] = namespace.ipJson("-s", "link", "show", "dev", "lo");
    assert.ok(statistics.txPackets >= 6, `${statistics.txPackets} packets`);
    assert.deepEqual(statistics, {
      rxPackets: stats64.rx.packets,
      rxBytes: stats64.rx.bytes,
      rxDropped: stats64.rx.dropped,
      txPackets: stats64.tx.packets,
      txBytes: stats64.tx.bytes,
      txDropped: stats64.tx.dropped,
    });
    assert.equal((await child.ask({ op: "link", name: "nosuch" })).value, null);

    for (const destination of ["8.8.8.8", "192.0.2.77", "2001:db8::1", "127.0.0.1"]) {
      for (const asked of [0, mark]) {
        const { value } = await child.ask({ op: "routeGet", destination, mark: asked });
        const answer = value as NetworkRouteAnswer | null;
        const got = namespace.runSync([
          ...["ip", "-j", "route", "get", destination, "mark", `${asked}`],
        ]);
        const expected = got.code === 0 ? JSON.parse(got.stdout)[0] : null;
        const what = `${destination} mark ${asked}`;
        assert.equal(answer === null, expected === null, what);
        if (answer === null) continue;
        const [outgoing] = namespace.ipJson("link", "show", "dev", expected.dev);
        assert.deepEqual(
          [answer.interfaceIndex, answer.source, answer.gateway],
          [outgoing.ifindex, expected.prefsrc ?? null, expected.gateway ?? null],
          what,
        );
      }
    }
  });
});

test(
  "changeRoutes() reaches what a fresh start makes, and undoing it leaves nothing",
  { skip },
  async () => {
    await withLab(async (lab) => {
      const name = lab.interfaceName();
      const statePath = join(lab.directory, "state.json");
      const namespace = hostNamespace(lab, "changed");
      const child = await NetworkChild.start(namespace, name);
      const before = configuredState(namespace);
      const start = settingsOf({ name: "", allowedIps: ["10.99.0.0/16", "fd99::/32"] }, name);
      await child.ask({ op: "apply", settings: start, endpoints: [], statePath });
      for (
        const allowedIps of [["0.0.0.0/0", "::/0", "10.99.0.0/16"], ["10.98.0.0/16"], ["::/0"]]
      ) {
        assert.deepEqual((await child.ask({ op: "change", allowedIps })).error, undefined);
        const fresh = hostNamespace(lab, "fresh");
        const other = await NetworkChild.start(fresh, name);
        const settings = settingsOf({ name: "", allowedIps }, name);
        await other.ask({ op: "apply", settings, endpoints: [], statePath });
        assert.deepEqual(tunnelState(namespace, name), tunnelState(fresh, name), `${allowedIps}`);
        await other.child.stop("SIGKILL");
      }
      assert.deepEqual((await child.ask({ op: "undo" })).warnings, []);
      assert.equal(configuredState(namespace), before);
    });
  },
);

test("applyNetworkPlan() that fails half-way says where and leaves nothing", { skip }, async () => {
  await withLab(async (lab) => {
    const name = lab.interfaceName();
    const statePath = join(lab.directory, "state.json");
    // The mark's table has a default route already: parameter, filter, other routes and addresses are made by then.
    const namespace = hostNamespace(lab, "ours", ["route add default dev up0 table 777"]);
    const child = await NetworkChild.start(namespace, name);
    const before = configuredState(namespace);
    const settings = settingsOf(
      { name: "", allowedIps: ["10.99.0.0/16", "0.0.0.0/0"], mark: 777 },
      name,
    );
    const answer = await child.ask({ op: "apply", settings, endpoints: [], statePath });
    assert.equal(
      answer.error,
      `SystemCallError: Cannot add route "0.0.0.0/0" over interface "${name}" in table 777: ` +
        "errno is 17 (EEXIST): there is a route to it already",
    );
    assert.equal(configuredState(namespace), before);

    namespace.sysctl(`net.ipv6.conf.${name}.disable_ipv6=1`);
    const without = configuredState(namespace);
    const six = await child.ask({
      op: "apply",
      settings: settingsOf({ name: "", allowedIps: [] }, name),
      endpoints: [],
      statePath,
    });
    assert.match(
      six.error!,
      /^SystemCallError: Cannot add address "fd00::1\/64" to .*13 \(EACCES\): IPv6 is off/,
    );
    assert.equal(configuredState(namespace), without);
  });
});

test("applyNetworkPlan() without the right to says so", { skip }, async () => {
  await withLab(async (lab) => {
    const name = lab.interfaceName();
    const namespace = hostNamespace(lab, "ours");
    namespace.ip(`tuntap add ${name} mode tun`);
    const child = await NetworkChild.start(namespace, null, [
      ...["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin"],
    ]);
    const answer = await child.ask({
      op: "apply",
      settings: settingsOf({ name: "", allowedIps: [] }, name),
      endpoints: [],
      statePath: join(lab.directory, "state.json"),
    });
    assert.match(answer.error!, /1 \(EPERM\): run as root or grant CAP_NET_ADMIN$/);
  });
});

test(
  "a record saved before SIGKILL takes back what is left, and nothing of others",
  { skip },
  async () => {
    await withLab(async (lab) => {
      const name = lab.interfaceName();
      const statePath = join(lab.directory, "state.json");
      const namespace = hostNamespace(lab, "ours", [
        "rule add table main suppress_prefixlength 0",
        "rule add not fwmark 99 table 99",
      ]);
      namespace.mustSync(["nft", "add table ip wg-quick-other"]);
      const before = configuredState(namespace);
      const child = await NetworkChild.start(namespace, name);
      const settings = settingsOf({ name: "", allowedIps: ["0.0.0.0/0", "::/0"] }, name);
      await child.ask({ op: "apply", settings, endpoints: [], statePath });
      await child.child.stop("SIGKILL");
      assert.notEqual(configuredState(namespace), before);
      assert.ok(existsSync(statePath));

      const next = await NetworkChild.start(namespace, null);
      // The parameter stays: somebody else's rule asks for a mark, so another tunnel lives by it.
      assert.deepEqual((await next.ask({ op: "recover", statePath })).warnings, []);
      assert.equal(
        configuredState(namespace),
        withSourceMark(before),
      );
      namespace.ip("rule del not fwmark 99 table 99");
      assert.deepEqual((await next.ask({ op: "recover", statePath })).warnings, []);
      assert.match(configuredState(namespace), /src_valid_mark = 0/);
    });
  },
);
