/**
 * Goal: plans are carried out and taken back exactly: whatever fails and wherever the process dies, only what was
 * made here goes, and all of it. Method: a host in memory, errors at every single change.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { ERRNO, SystemCallError } from "../../../src/errors.ts";
import {
  applyNetworkPlan,
  changeRoutes,
  readNetworkFacts,
  undoNetworkPlan,
} from "../../../src/node/network.ts";
import {
  type NetworkPlan,
  type NetworkSettings,
  planNetwork,
  SOURCE_MARK_PARAMETER,
} from "../../../src/node/network_plan.ts";
import { lastingUndo, type NetworkUndo, parseNetworkUndo } from "../../../src/node/network_undo.ts";
import { parsePrefix } from "../../../src/packet/mod.ts";
import { MemoryHost } from "../../../src/platform/memory_host.ts";

const FACTS = { pathMtuBytes: 1500, freeTable: 51820 };
const ALL = ["10.99.0.0/16", "0.0.0.0/0", "::/0"];

function settingsFor(
  allowedIps: string[],
  changes: Partial<NetworkSettings> = {},
): NetworkSettings {
  return {
    interfaceName: "wg0",
    addresses: ["10.7.0.1/24", "fd00::1/64"].map((text) => parsePrefix(text)!),
    mtuBytes: null,
    table: "auto",
    allowedIps: allowedIps.map((text) => parsePrefix(text)!),
    mark: 0,
    ...changes,
  };
}

function planFor(allowedIps: string[], changes: Partial<NetworkSettings> = {}): NetworkPlan {
  return planNetwork(settingsFor(allowedIps, changes), FACTS);
}

/** A host with an interface of ours and one of somebody else's, who has a default route. */
function newHost(): MemoryHost {
  const host = new MemoryHost();
  const other = host.addLink("eth0");
  host.addLink("wg0");
  host.setLink(other, { up: true });
  host.addRoute({ destination: "0.0.0.0/0", table: 254, interfaceIndex: other });
  host.changes = 0;
  return host;
}

// ---- Applying ---------------------------------------------------------------------------------------------------

test("applyNetworkPlan() makes all of the plan, with the priorities that `ip rule add` gives", () => {
  const host = newHost();
  const { warnings } = applyNetworkPlan(host, planFor(ALL));
  assert.deepEqual(warnings, []);
  const state = host.state();
  assert.deepEqual(state.links[1], { name: "wg0", mtuBytes: 1420, up: true });
  assert.deepEqual(state.addresses.map((address) => address.prefix), ["10.7.0.1/24", "fd00::1/64"]);
  assert.deepEqual(
    state.routes.filter((route) => route.interfaceIndex === 2)
      .map((route) => `${route.destination} ${route.table}`),
    ["10.99.0.0/16 254", "0.0.0.0/0 51820", "::/0 51820"],
  );
  const priorities = (family: 4 | 6) => host.rules(family).map((rule) => rule.priority);
  assert.deepEqual(priorities(4), [0, 32_764, 32_765, 32_766, 32_767]);
  assert.deepEqual(priorities(6), [0, 32_764, 32_765, 32_766]);
  const [, suppress, mark] = host.rules(4);
  assert.deepEqual([suppress!.table, suppress!.suppressPrefixBits, suppress!.mark], [254, 0, null]);
  assert.deepEqual([mark!.table, mark!.mark, mark!.invert], [51820, 51820, true]);
  assert.deepEqual(state.firewalls.map((firewall) => [firewall.family, firewall.ownAddresses]), [
    [4, ["10.7.0.1"]],
    [6, ["fd00::1"]],
  ]);
  assert.equal(host.sysctl(SOURCE_MARK_PARAMETER), "1");
});

test("applyNetworkPlan() puts rules at 0 when the kernel would", () => {
  const host = newHost();
  const rule = { family: 4, table: 99, mark: 5, markMask: 0xffffffff, invert: false } as const;
  host.addRule({ ...rule, priority: 0, suppressPrefixBits: null });
  applyNetworkPlan(host, planFor(["0.0.0.0/0"]));
  assert.deepEqual(host.rules(4).map((rule) => rule.priority), [0, 0, 0, 0, 32_766, 32_767]);
});

test("applyNetworkPlan() throws when there is no such interface", () => {
  const host = newHost();
  host.removeLink("wg0");
  assert.throws(
    () => applyNetworkPlan(host, planFor([])),
    { message: 'Cannot find interface "wg0": errno is 19 (ENODEV)' },
  );
});

test("applyNetworkPlan() goes on with a warning where the kernel has no nftables, and records nothing of it", () => {
  for (const errno of [ERRNO.ENOENT, ERRNO.EPROTONOSUPPORT, ERRNO.EOPNOTSUPP, ERRNO.EAFNOSUPPORT]) {
    const host = newHost();
    host.failChange("addFirewall", errno);
    const { undo, warnings } = applyNetworkPlan(host, planFor(["0.0.0.0/0"]));
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0]!,
      /addFirewall.*; the tunnel's addresses can be reached past the tunnel$/,
    );
    assert.equal(undo.entries.some((entry) => entry.scope === "firewall"), false);
    assert.equal(host.rules(4).length, 5);
  }
});

test("applyNetworkPlan() does without IPv6 on the interface, but not without an IPv6 address it was told of", () => {
  const host = newHost();
  host.failChange("setLink", ERRNO.EAFNOSUPPORT);
  applyNetworkPlan(host, planFor([], { addresses: [parsePrefix("10.0.0.1/24")!] }));
  const strict = newHost();
  const before = strict.state();
  strict.failChange("addAddress", ERRNO.EACCES, 1);
  assert.throws(() => applyNetworkPlan(strict, planFor([])), SystemCallError);
  assert.deepEqual(strict.state(), before);
});

test("applyNetworkPlan() takes a route that the interface has already for done, another's for an error", () => {
  const host = newHost();
  const own = host.linkByName("wg0")!.index;
  host.setLink(own, { up: true });
  host.addRoute({ destination: "10.99.0.0/16", table: 254, interfaceIndex: own });
  const { undo } = applyNetworkPlan(host, planFor(["10.99.0.0/16"]));
  assert.equal(undo.entries.some((entry) => entry.step.kind === "route"), false);

  const taken = newHost();
  taken.addRoute({ destination: "10.99.0.0/16", table: 254, interfaceIndex: 1 });
  const before = taken.state();
  assert.throws(() => applyNetworkPlan(taken, planFor(["10.99.0.0/16"])), { errno: ERRNO.EEXIST });
  assert.deepEqual(taken.state(), before);
});

// ---- Undoing ----------------------------------------------------------------------------------------------------

test("undoNetworkPlan() leaves the host exactly as it was, and may be called again", () => {
  const host = newHost();
  const before = host.state();
  const { undo } = applyNetworkPlan(host, planFor(ALL));
  for (let round = 0; round < 2; round++) {
    const { problems, remaining } = undoNetworkPlan(host, undo);
    assert.deepEqual(problems, []);
    assert.deepEqual(remaining.entries, []);
    assert.deepEqual(host.state(), before);
  }
});

test("applyNetworkPlan() leaves nothing behind, whichever change fails", () => {
  const whole = newHost();
  applyNetworkPlan(whole, planFor(ALL));
  assert.equal(whole.changes, 15);
  for (let after = 0; after < whole.changes; after++) {
    const host = newHost();
    const before = host.state();
    host.failChange(null, ERRNO.EPERM, after);
    const saved: NetworkUndo[] = [];
    assert.throws(
      () => applyNetworkPlan(host, planFor(ALL), (undo) => saved.push(undo)),
      { errno: ERRNO.EPERM },
      `change ${after}`,
    );
    assert.deepEqual(host.state(), before, `change ${after}`);
    assert.deepEqual(saved.at(-1)?.entries, [], `change ${after}`);
  }
});

test("applyNetworkPlan() says what it could not take back, and keeps that in the record", () => {
  const host = newHost();
  host.failChange("addRule", ERRNO.EPERM, 1);
  host.failChange("deleteFirewall", ERRNO.EBUSY);
  let saved: NetworkUndo | null = null;
  assert.throws(
    () => applyNetworkPlan(host, planFor(["0.0.0.0/0"]), (undo) => saved = undo),
    { message: /^Cannot addRule: .*; left behind; Cannot deleteFirewall: errno is 16 \(EBUSY\)$/ },
  );
  assert.deepEqual(saved!.entries.map((entry) => entry.scope), ["firewall"]);
  assert.deepEqual(undoNetworkPlan(host, saved!).problems, []);
  assert.deepEqual(host.state().firewalls, []);
});

test("undoNetworkPlan() goes on after a failure and keeps what is left", () => {
  const host = newHost();
  const { undo } = applyNetworkPlan(host, planFor(ALL));
  host.failChange("deleteRule", ERRNO.EPERM);
  const { problems, remaining } = undoNetworkPlan(host, undo);
  assert.equal(problems.length, 1);
  assert.deepEqual(remaining.entries.map((entry) => entry.scope), ["rule"]);
  assert.deepEqual(undoNetworkPlan(host, remaining).problems, []);
  assert.deepEqual(host.state(), newHost().state());
});

// ---- After SIGKILL ----------------------------------------------------------------------------------------------

test("a saved record undoes what outlives a process killed at any moment", () => {
  const plan = planFor(ALL);
  const changes = 15;
  for (let after = 0; after <= changes; after++) {
    const host = newHost();
    const before = host.state();
    let file = "";
    // The process is gone between two changes: its memory too, and the interface with what hangs on it.
    const killed = new Error("killed");
    const dying = new Proxy(host, {
      get(target, name) {
        const member = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return (...args: unknown[]) => {
          if (host.changes >= after && /^(add|set|delete)/.test(String(name))) throw killed;
          return Reflect.apply(member, target, args);
        };
      },
    });
    try {
      applyNetworkPlan(dying, plan, (undo) => file = JSON.stringify(undo));
    } catch (error) {
      assert.equal(error, killed);
    }
    host.removeLink("wg0");
    if (file !== "") {
      const { problems } = undoNetworkPlan(host, parseNetworkUndo(JSON.parse(file)));
      assert.deepEqual(problems, []);
    }
    const left = host.state();
    assert.deepEqual(left.rules, before.rules, `killed after ${after}`);
    assert.deepEqual(left.firewalls, [], `killed after ${after}`);
    assert.deepEqual(left.sysctls, before.sysctls, `killed after ${after}`);
  }
});

test("undoNetworkPlan() leaves alone a later interface of the same name, and rules like ours that are not", () => {
  const host = newHost();
  const { undo } = applyNetworkPlan(host, planFor(ALL));
  host.removeLink("wg0");
  const other = host.addLink("wg0");
  host.setLink(other, { up: true });
  host.addAddress({ interfaceIndex: other, prefix: "10.7.0.1/24" });
  host.addRoute({ destination: "10.99.0.0/16", table: 254, interfaceIndex: other });
  // Somebody put the opposite rule where ours was: the kernel would take it for ours.
  const ours = host.rules(4).find((rule) => rule.invert)!;
  host.deleteRule(ours);
  host.addRule({ ...ours, invert: false });
  assert.deepEqual(undoNetworkPlan(host, undo).problems, []);
  assert.equal(host.addresses(other).length, 1);
  assert.equal(host.routes({ family: 4, interfaceIndex: other }).length, 1);
  assert.deepEqual(host.rules(4).filter((rule) => rule.mark !== null).map((rule) => rule.invert), [
    false,
  ]);
});

test("undoNetworkPlan() leaves alone another interface of the same index, as after a reboot", () => {
  const { undo } = applyNetworkPlan(newHost(), planFor(["10.99.0.0/16"]));
  const host = new MemoryHost();
  host.addLink("eth0");
  const other = host.addLink("eth1");
  applyNetworkPlan(host, planFor(["10.99.0.0/16"], { interfaceName: "eth1" }));
  assert.equal(other, undo.interfaceIndex);
  const before = host.state();
  assert.deepEqual(undoNetworkPlan(host, undo).problems, []);
  assert.deepEqual(host.state(), before);
});

test("applyNetworkPlan() does not write the parameter where it is right, e.g. in a container that may not", () => {
  const host = newHost();
  host.setSysctl(SOURCE_MARK_PARAMETER, "1");
  host.failChange("setSysctl", ERRNO.EROFS);
  const { undo } = applyNetworkPlan(host, planFor(["0.0.0.0/0"]));
  assert.equal(undo.entries.some((entry) => entry.scope === "sysctl"), false);
});

test("undoNetworkPlan() leaves the parameter to another tunnel, or as somebody changed it", () => {
  const host = newHost();
  const first = applyNetworkPlan(host, planFor(["0.0.0.0/0"]));
  host.addLink("wg1");
  const second = applyNetworkPlan(
    host,
    planFor(["0.0.0.0/0"], { interfaceName: "wg1", mark: 51821 }),
  );
  undoNetworkPlan(host, first.undo);
  assert.equal(host.sysctl(SOURCE_MARK_PARAMETER), "1");
  undoNetworkPlan(host, second.undo);
  // The second found it at 1 and so has nothing to set back: as with wg-quick, it stays.
  assert.equal(host.sysctl(SOURCE_MARK_PARAMETER), "1");
  assert.equal(host.rules(4).length, 3);

  const changed = newHost();
  const { undo } = applyNetworkPlan(changed, planFor(["0.0.0.0/0"]));
  changed.setSysctl(SOURCE_MARK_PARAMETER, "2");
  undoNetworkPlan(changed, undo);
  assert.equal(changed.sysctl(SOURCE_MARK_PARAMETER), "2");
});

test("parseNetworkUndo() reads back what was saved, and refuses anything else", () => {
  const host = newHost();
  const { undo } = applyNetworkPlan(host, planFor(ALL));
  const lasting = lastingUndo(undo);
  assert.equal(lasting.entries.length, 7);
  assert.deepEqual(parseNetworkUndo(JSON.parse(JSON.stringify(undo))), lasting);
  const entry = JSON.parse(JSON.stringify(lasting.entries.find((entry) => entry.scope === "rule")));
  const wrong: unknown[] = [
    null,
    [],
    "x",
    { ...lasting, version: 2 },
    { ...lasting, interfaceName: 5 },
    { ...lasting, interfaceIndex: -1 },
    { ...lasting, entries: {} },
    { ...lasting, entries: [null] },
    { ...lasting, entries: [{ ...entry, scope: "other" }] },
    { ...lasting, entries: [{ ...entry, priority: 1.5 }] },
    { ...lasting, entries: [{ ...entry, step: { ...entry.step, family: 5 } }] },
    { ...lasting, entries: [{ ...entry, step: { ...entry.step, table: "254" } }] },
    { ...lasting, entries: [{ ...entry, step: { ...entry.step, notMark: undefined } }] },
  ];
  for (const value of wrong) {
    assert.throws(() => parseNetworkUndo(value), SyntaxError, JSON.stringify(value));
  }
});

// ---- Reload -----------------------------------------------------------------------------------------------------

test("changeRoutes() leads to the state that a start with the new AllowedIPs would have made", () => {
  const sets = [[], ["10.99.0.0/16"], ["10.98.0.0/16", "0.0.0.0/0"], ALL, ["::/0", "10.98.0.0/16"]];
  for (const from of sets) {
    for (const to of sets) {
      const host = newHost();
      const before = host.state();
      const { undo } = applyNetworkPlan(host, planFor(from));
      const changed = changeRoutes(host, undo, planFor(to));
      assert.deepEqual(changed.warnings, []);
      const fresh = newHost();
      applyNetworkPlan(fresh, planFor(to));
      assert.deepEqual(sorted(host), sorted(fresh), `${from} → ${to}`);
      undoNetworkPlan(host, changed.undo);
      assert.deepEqual(host.state(), before, `${from} → ${to} → undone`);
    }
  }
});

test("changeRoutes() changes nothing when a change fails, and saves the record that holds", () => {
  const from = planFor(["10.98.0.0/16"]);
  for (let after = 0; after <= 10; after++) {
    const host = newHost();
    const { undo } = applyNetworkPlan(host, from);
    const before = host.state();
    host.failChange(null, ERRNO.ENOMEM, after);
    const saved: NetworkUndo[] = [];
    const change = () => changeRoutes(host, undo, planFor(ALL), (record) => saved.push(record));
    if (after === 10) {
      // All additions went well; a removal that fails is no reason to go back, but stays in the record.
      const { undo: now, warnings } = change();
      assert.equal(warnings.length, 1);
      assert.equal(now.entries.filter((entry) => entry.step.kind === "route").length, 4);
      continue;
    }
    assert.throws(change, { errno: ERRNO.ENOMEM }, `change ${after}`);
    assert.deepEqual(host.state(), before, `change ${after}`);
    assert.deepEqual(saved.at(-1), lastingUndo(undo), `change ${after}`);
  }
});

test("changeRoutes() to another mark asks the main table's routes before the tunnel's, as at a start", () => {
  const host = newHost();
  const { undo } = applyNetworkPlan(host, planFor(ALL));
  const next = planFor(ALL, { mark: 777 });
  const changed = changeRoutes(host, undo, next);
  for (const family of [4, 6] as const) {
    const own = host.rules(family).filter((rule) => rule.priority > 0 && rule.priority < 32_766);
    assert.deepEqual(own.map((rule) => [rule.table, rule.mark]), [[254, null], [777, 777]]);
  }
  assert.deepEqual(host.state().firewalls.map((firewall) => firewall.mark), [777, 777]);
  assert.deepEqual(host.routes({ family: 4, table: 51820 }), []);
  undoNetworkPlan(host, changed.undo);
  assert.deepEqual(host.state(), newHost().state());
});

test("applyNetworkPlan() makes nothing lasting that it could not save, and says why", () => {
  const host = newHost();
  const before = host.state();
  const failure = new SystemCallError("write state file", ERRNO.ENOSPC);
  const save = () => {
    throw failure;
  };
  assert.throws(
    () => applyNetworkPlan(host, planFor(ALL), save),
    (error) => error === failure,
  );
  assert.deepEqual(host.state(), before);
  // Of an ordinary route nothing is saved, so there is nothing to fail.
  const { undo } = applyNetworkPlan(host, planFor(["10.99.0.0/16"]), save);
  const changed = changeRoutes(host, undo, planFor(["10.98.0.0/16"]), save);
  assert.deepEqual(changed.warnings, [failure.message]);
  assert.deepEqual(
    host.routes({ family: 4, interfaceIndex: 2 }).map((route) => route.destination),
    [
      "10.98.0.0/16",
    ],
  );
});

test("changeRoutes() keeps a packet filter that took the place of the old one", () => {
  const host = newHost();
  const { undo } = applyNetworkPlan(host, planFor(["0.0.0.0/0"]));
  const next = planFor(["0.0.0.0/0"], { addresses: [parsePrefix("10.7.0.9/24")!] });
  const changed = changeRoutes(host, undo, next);
  assert.deepEqual(host.state().firewalls.map((firewall) => firewall.ownAddresses), [["10.7.0.9"]]);
  undoNetworkPlan(host, changed.undo);
  assert.deepEqual(host.state(), newHost().state());
});

// ---- Facts ------------------------------------------------------------------------------------------------------

test("readNetworkFacts() takes the largest MTU on the ways to the peers, a route's own before its interface's", () => {
  const host = newHost();
  host.addLink("ppp0", 1492);
  const way = { source: null, gateway: null };
  host.setRouteAnswer("192.0.2.1", { ...way, interfaceIndex: 3, mtuBytes: null });
  host.setRouteAnswer("192.0.2.2", { ...way, interfaceIndex: 1, mtuBytes: 1400 });
  const mtu = (...endpoints: string[]) =>
    readNetworkFacts(host, settingsFor([]), endpoints).pathMtuBytes;
  assert.equal(mtu("192.0.2.1"), 1492);
  assert.equal(mtu("192.0.2.2"), 1400);
  assert.equal(mtu("192.0.2.2", "192.0.2.1", "192.0.2.3"), 1492);
  // None can be reached: the default route's, over eth0.
  assert.equal(mtu("192.0.2.3"), 1500);
  assert.equal(mtu(), 1500);
  assert.equal(readNetworkFacts(host, settingsFor([], { mtuBytes: 1300 }), []).pathMtuBytes, null);
  const bare = new MemoryHost();
  assert.equal(readNetworkFacts(bare, settingsFor([]), []).pathMtuBytes, null);
  const blackhole = {
    destination: "0.0.0.0/0",
    table: 254,
    metric: 0,
    gateway: null,
    mtuBytes: 900,
  };
  bare.putRoute({ ...blackhole, interfaceIndex: 0, unicast: false });
  assert.equal(readNetworkFacts(bare, settingsFor([]), []).pathMtuBytes, null);
});

test("readNetworkFacts() finds the first table from 51820 on without routes of either family", () => {
  const host = newHost();
  const free = (allowedIps: string[]) =>
    readNetworkFacts(host, settingsFor(allowedIps), []).freeTable;
  assert.equal(free(["0.0.0.0/0"]), 51820);
  const route = { metric: 0, gateway: null, mtuBytes: null, unicast: true, interfaceIndex: 1 };
  host.putRoute({ ...route, destination: "0.0.0.0/0", table: 51820 });
  host.putRoute({ ...route, destination: "fd00::/64", table: 51821, unicast: false });
  assert.equal(free(["::/0"]), 51822);
  assert.equal(free(["10.0.0.0/8"]), 0);
});

/** State in which order of making does not show. */
function sorted(host: MemoryHost): unknown {
  const { routes, firewalls, rules, ...others } = host.state();
  const byText = (list: readonly unknown[]) => list.map((item) => JSON.stringify(item)).sort();
  return { ...others, routes: byText(routes), firewalls: byText(firewalls), rules: byText(rules) };
}
