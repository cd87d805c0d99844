/**
 * Goal: for each kind of Table and AllowedIPs, the plan has wg-quick's steps and no others.
 * Method: settings as text, steps as one line each.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { ConfigError } from "../../../src/errors.ts";
import { MTU_BYTES_MAX, MTU_BYTES_MIN } from "../../../src/limits.ts";
import { parsePrefix, type Prefix } from "../../../src/packet/mod.ts";
import {
  diffRoutes,
  needsFreeTable,
  type NetworkFacts,
  type NetworkPlan,
  type NetworkSettings,
  type NetworkStep,
  planNetwork,
  stepKey,
} from "../../../src/node/network_plan.ts";

const FACTS: NetworkFacts = { pathMtuBytes: 1500, freeTable: 51820 };

function prefixes(...texts: string[]): Prefix[] {
  return texts.map((text) => parsePrefix(text)!);
}

function settings(
  changes: Partial<Omit<NetworkSettings, "addresses" | "allowedIps">> & {
    addresses?: string[];
    allowedIps?: string[];
  },
): NetworkSettings {
  const { addresses = ["10.7.0.1/24"], allowedIps = [], ...others } = changes;
  return {
    interfaceName: "wg0",
    mtuBytes: null,
    table: "auto",
    mark: 0,
    addresses: prefixes(...addresses),
    allowedIps: prefixes(...allowedIps),
    ...others,
  };
}

/** One line a step, in the words of `ip` and `nft`. */
function line(step: NetworkStep): string {
  switch (step.kind) {
    case "noLinkLocal":
    case "up":
      return step.kind;
    case "mtu":
      return `mtu ${step.mtuBytes}`;
    case "address":
      return `address ${step.prefix}`;
    case "route":
      return `route ${step.destination} table ${step.table}`;
    case "sysctl":
      return `sysctl ${step.name}=${step.value}`;
    case "rule": {
      const mark = step.notMark === null ? "" : ` not fwmark ${step.notMark}`;
      const suppress = step.suppressPrefixBits === null
        ? ""
        : ` suppress ${step.suppressPrefixBits}`;
      return `rule -${step.family}${mark} table ${step.table}${suppress}`;
    }
    case "firewall":
      return `nft ${step.family} ${step.tableName} ${step.ownAddresses.join(",")} ${step.mark}`;
  }
}

function lines(plan: NetworkPlan): string[] {
  return plan.steps.map(line);
}

/** Steps after the interface is up. */
function routing(plan: NetworkPlan): string[] {
  const all = lines(plan);
  return all.slice(all.indexOf("up") + 1);
}

const DEFAULT_4 = (table: number, own = "10.7.0.1") => [
  "sysctl net/ipv4/conf/all/src_valid_mark=1",
  `nft 4 wg-quick-wg0 ${own} ${table}`,
  `route 0.0.0.0/0 table ${table}`,
  `rule -4 not fwmark ${table} table ${table}`,
  "rule -4 table 254 suppress 0",
];
const DEFAULT_6 = (table: number, own = "") => [
  `nft 6 wg-quick-wg0 ${own} ${table}`,
  `route ::/0 table ${table}`,
  `rule -6 not fwmark ${table} table ${table}`,
  "rule -6 table 254 suppress 0",
];

test("planNetwork() keeps link-local away, sets MTU and addresses, then brings the interface up", () => {
  const plan = planNetwork(settings({ addresses: ["10.7.0.1/24", "fd00::1/64"] }), FACTS);
  assert.deepEqual(lines(plan), [
    "noLinkLocal",
    "mtu 1420",
    "address 10.7.0.1/24",
    "address fd00::1/64",
    "up",
  ]);
  assert.equal(plan.interfaceName, "wg0");
  assert.equal(plan.mark, 0);
});

test("planNetwork() takes the configured MTU, else the path's less 80, else 1420, within a TUN's limits", () => {
  const mtu = (mtuBytes: number | null, pathMtuBytes: number | null) =>
    planNetwork(settings({ mtuBytes }), { ...FACTS, pathMtuBytes }).mtuBytes;
  assert.equal(mtu(1300, 9000), 1300);
  assert.equal(mtu(null, 9000), 8920);
  assert.equal(mtu(null, 1492), 1412);
  assert.equal(mtu(null, null), 1420);
  assert.equal(mtu(null, 65_536), MTU_BYTES_MAX);
  assert.equal(mtu(null, 500), MTU_BYTES_MIN);
});

test("planNetwork() refuses IPv6 below an MTU of 1280, in addresses and in routes", () => {
  const plan = (mtuBytes: number, addresses: string[], allowedIps: string[]) => () =>
    planNetwork(settings({ mtuBytes, addresses, allowedIps }), FACTS);
  plan(1280, ["fd00::1/64"], ["::/0"])();
  plan(1279, ["10.0.0.1/24"], ["10.0.0.0/8"])();
  for (const wrong of [plan(1279, ["fd00::1/64"], []), plan(1279, [], ["fd01::/64"])]) {
    assert.throws(wrong, (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /^MTU is 1279, but IPv6 needs at least 1280 .*"fd0[01]::/);
      return true;
    });
  }
});

test("planNetwork() routes AllowedIPs into the main table, longest prefix first, masked and once each", () => {
  const allowedIps = ["10.0.0.0/8", "192.168.1.77/24", "fd09::/32", "192.168.1.0/24", "8.8.8.8/32"];
  const plan = planNetwork(settings({ allowedIps }), FACTS);
  assert.deepEqual(routing(plan), [
    "route fd09::/32 table 254",
    "route 8.8.8.8/32 table 254",
    "route 192.168.1.0/24 table 254",
    "route 10.0.0.0/8 table 254",
  ]);
});

test("planNetwork() leaves out what the kernel's own routes to the addresses cover", () => {
  const routed = (addresses: string[], allowedIps: string[]) =>
    routing(planNetwork(settings({ addresses, allowedIps }), FACTS));
  assert.deepEqual(routed(["10.7.0.1/24"], ["10.7.0.2/32", "10.7.0.0/24", "10.7.0.128/25"]), []);
  assert.deepEqual(routed(["10.7.0.1/24"], ["10.7.0.0/23"]), ["route 10.7.0.0/23 table 254"]);
  assert.deepEqual(routed(["10.7.0.1/24"], ["10.7.1.0/32"]), ["route 10.7.1.0/32 table 254"]);
  // IPv4 /32 has no route to itself in the main table, /31 and IPv6 /128 have.
  assert.deepEqual(routed(["10.7.0.1/32"], ["10.7.0.1/32"]), ["route 10.7.0.1/32 table 254"]);
  assert.deepEqual(routed(["10.7.0.0/31"], ["10.7.0.1/32"]), []);
  assert.deepEqual(routed(["fd00::1/128"], ["fd00::1/128"]), []);
  assert.deepEqual(routed(["fd00::1/64"], ["fd00::2/128", "fd00:0:0:1::/64"]), [
    "route fd00:0:0:1::/64 table 254",
  ]);
  // 0.0.0.0/8 has none either; and families never cover one another.
  assert.deepEqual(routed(["0.0.0.1/8"], ["0.0.0.2/32"]), ["route 0.0.0.2/32 table 254"]);
  assert.deepEqual(routed(["fd00::1/0"], ["fd00::/8", "::/0"]), DEFAULT_6(51820, "fd00::1"));
  assert.deepEqual(routed(["::1/0"], ["10.0.0.0/8"]), ["route 10.0.0.0/8 table 254"]);
});

test("planNetwork() with Table = off adds no route at all", () => {
  const allowedIps = ["10.0.0.0/8", "0.0.0.0/0", "::/0"];
  const plan = planNetwork(settings({ table: "off", allowedIps, mark: 7 }), FACTS);
  assert.deepEqual(routing(plan), []);
  assert.equal(plan.mark, 7);
});

test("planNetwork() with a numbered Table adds every route there, default and covered ones too, without rules", () => {
  const allowedIps = ["10.7.0.2/32", "0.0.0.0/0", "::/0"];
  const plan = planNetwork(settings({ table: 1000, allowedIps }), FACTS);
  assert.deepEqual(routing(plan), [
    "route 10.7.0.2/32 table 1000",
    "route 0.0.0.0/0 table 1000",
    "route ::/0 table 1000",
  ]);
  assert.equal(plan.mark, 0);
});

test("planNetwork() sends an IPv4 default route through a table of its own, with rules and a packet filter", () => {
  const plan = planNetwork(settings({ allowedIps: ["0.0.0.0/0"] }), { ...FACTS, freeTable: 51822 });
  assert.deepEqual(routing(plan), DEFAULT_4(51822));
  assert.equal(plan.mark, 51822);
});

test("planNetwork() sends an IPv6 default route likewise, without the IPv4 parameter", () => {
  const own = settings({ addresses: ["fd00::1/64", "10.7.0.1/24"], allowedIps: ["::/0"] });
  assert.deepEqual(routing(planNetwork(own, FACTS)), DEFAULT_6(51820, "fd00::1"));
});

test("planNetwork() shares one table between both default routes, behind the longer routes", () => {
  const allowedIps = ["0.0.0.0/0", "10.99.0.0/16", "::/0"];
  const plan = planNetwork(
    settings({ allowedIps, addresses: ["10.7.0.1/24", "10.8.0.1/24"] }),
    FACTS,
  );
  assert.deepEqual(routing(plan), [
    "route 10.99.0.0/16 table 254",
    ...DEFAULT_4(51820, "10.7.0.1,10.8.0.1"),
    ...DEFAULT_6(51820),
  ]);
});

test("planNetwork() takes a configured mark for the default route's table, and refuses the kernel's tables", () => {
  const plan = (mark: number, allowedIps = ["0.0.0.0/0"]) =>
    planNetwork(settings({ allowedIps, mark }), { ...FACTS, freeTable: 0 });
  assert.deepEqual(routing(plan(0xca6d)), DEFAULT_4(0xca6d));
  assert.equal(plan(252).mark, 252);
  for (const mark of [253, 254, 255]) assert.throws(() => plan(mark), ConfigError);
  assert.equal(plan(254, ["10.0.0.0/8"]).mark, 254);
});

test("planNetwork() treats two halves as ordinary routes, as wg-quick does", () => {
  const plan = planNetwork(settings({ allowedIps: ["0.0.0.0/1", "128.0.0.0/1"] }), FACTS);
  assert.deepEqual(routing(plan), ["route 0.0.0.0/1 table 254", "route 128.0.0.0/1 table 254"]);
});

test("needsFreeTable() asks for one only where planNetwork would take it", () => {
  const all = { allowedIps: ["10.0.0.0/8", "::/0"] };
  assert.equal(needsFreeTable(settings(all)), true);
  assert.equal(needsFreeTable(settings({ ...all, mark: 5 })), false);
  assert.equal(needsFreeTable(settings({ ...all, table: "off" })), false);
  assert.equal(needsFreeTable(settings({ ...all, table: 51820 })), false);
  assert.equal(needsFreeTable(settings({ allowedIps: ["10.0.0.0/8"] })), false);
});

test("planNetwork() makes plain JSON", () => {
  const plan = planNetwork(settings({ allowedIps: ["0.0.0.0/0", "::/0", "10.0.0.0/8"] }), FACTS);
  assert.deepEqual(JSON.parse(JSON.stringify(plan)), plan);
});

test("diffRoutes() adds and removes what AllowedIPs changed, and never addresses or MTU", () => {
  const before = planNetwork(settings({ allowedIps: ["10.0.0.0/8", "10.1.0.0/16"] }), FACTS);
  const after = planNetwork(
    settings({
      allowedIps: ["10.1.0.0/16", "0.0.0.0/0"],
      addresses: ["10.8.0.1/24"],
      mtuBytes: 1300,
    }),
    FACTS,
  );
  const change = diffRoutes(before.steps, after.steps);
  assert.deepEqual(change.add.map(line), DEFAULT_4(51820, "10.8.0.1"));
  assert.deepEqual(change.remove.map(line), ["route 10.0.0.0/8 table 254"]);
  const back = diffRoutes(after.steps, before.steps);
  assert.deepEqual(back.add.map(line), ["route 10.0.0.0/8 table 254"]);
  assert.deepEqual(back.remove.map(line), [...DEFAULT_4(51820, "10.8.0.1")].reverse());
  assert.deepEqual(diffRoutes(after.steps, after.steps), { add: [], remove: [] });
});

test("diffRoutes() leads from any plan to any other", () => {
  const allowed = fc.array(
    fc.constantFrom("0.0.0.0/0", "::/0", "10.0.0.0/8", "10.7.0.0/16", "fd00::/8", "10.7.0.9/32"),
    { maxLength: 6 },
  );
  const table = fc.constantFrom<NetworkSettings["table"]>("auto", "off", 100);
  const anyPlan = fc.tuple(allowed, table).map(([allowedIps, table]) =>
    planNetwork(settings({ allowedIps, table }), FACTS)
  );
  let changed = 0;
  fc.assert(
    fc.property(anyPlan, anyPlan, (current, next) => {
      const { add, remove } = diffRoutes(current.steps, next.steps);
      changed += add.length + remove.length > 0 ? 1 : 0;
      const removed = new Set(remove.map(stepKey));
      const keys = [
        ...current.steps.map(stepKey).filter((key) => !removed.has(key)),
        ...add.map(stepKey),
      ];
      assert.deepEqual(keys.sort(), next.steps.map(stepKey).sort());
    }),
    { seed: 3, numRuns: 300 },
  );
  assert.ok(changed > 100, `only ${changed} pairs differ`);
});
