/** Goal: route maps are the original's, with history. Method: each list by itself; time as a number. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { ROUTE_VERSIONS_MAX } from "../../../src/limits.ts";
import { parseAddress, prefixText } from "../../../src/packet/mod.ts";
import { NO_ROUTES, RouteHistory, RouteTable } from "../../../src/netlog/mod.ts";
import { NO_ROUTE } from "../../../src/netlog/routes.ts";
import { routeConfig } from "./support.ts";

function within(table: RouteTable, text: string, isOverlay = false): string | null {
  const { family, addressWords } = parseAddress(text)!;
  const number = table.within(addressWords, 0, family, isOverlay);
  return number === NO_ROUTE ? null : prefixText(table.entries[number].prefix);
}

test("RouteTable takes single addresses of all lists, and prefixes of routes and advertised routes", () => {
  const table = new RouteTable(
    routeConfig(
      ["100.64.0.1/32", "10.0.0.1/8", "fd00::1/128", "fd01::1/64"],
      ["192.168.7.9/32", "10.1.2.3/16"],
      ["172.16.1.1/16", "172.31.0.1/32"],
    ),
  );
  assert.equal(within(table, "100.64.0.1"), "100.64.0.1/32");
  assert.equal(within(table, "10.0.0.1"), null, "an own address with a network counts for nothing");
  assert.equal(within(table, "fd00::1"), "fd00::1/128");
  assert.equal(within(table, "fd01::1"), null);
  assert.equal(within(table, "192.168.7.9"), "192.168.7.9/32");
  assert.equal(within(table, "192.168.7.8"), null);
  assert.equal(within(table, "10.1.255.255"), "10.1.0.0/16");
  assert.equal(within(table, "172.16.200.1"), "172.16.0.0/16", "by its first bits");
  assert.equal(within(table, "172.31.0.1"), "172.31.0.1/32");
  assert.equal(
    within(table, "::ffff:10.1.2.3"),
    null,
    "an IPv4-mapped address is in no IPv4 prefix",
  );
});

test("RouteTable: a default route explains nothing, halves of one explain overlay addresses", () => {
  const whole = new RouteTable(routeConfig([], ["1.1.1.1/0", "::/0"]));
  for (const text of ["8.8.8.8", "2001:db8::1"]) {
    assert.equal(within(whole, text, false), null);
    assert.equal(within(whole, text, true), null);
  }
  const halves = new RouteTable(routeConfig([], ["1.1.1.1/1", "200.1.1.1/1"]));
  assert.equal(within(halves, "8.8.8.8", false), null);
  assert.equal(within(halves, "8.8.8.8", true), "0.0.0.0/1");
  assert.equal(within(halves, "200.8.8.8", true), "128.0.0.0/1");
  const half = new RouteTable(routeConfig([], ["1.1.1.1/1"]));
  assert.equal(within(half, "8.8.8.8", false), "0.0.0.0/1");
  assert.equal(half.defaultOf(4), NO_ROUTE);
});

test("RouteTable marks what is a default route: 0.0.0.0/0 and ::/0, not 1.1.1.1/1, not 192.168.0.0/24", () => {
  const config = routeConfig([], ["0.0.0.0/0", "::/0", "1.1.1.1/0", "1.1.1.1/1", "192.168.0.0/24"]);
  const { entries } = new RouteTable(config);
  assert.deepEqual(entries.map(({ isDefault }) => isDefault), [true, true, true, false, false]);
});

test("RouteTable.defaultOf() is the first default route of the family", () => {
  const table = new RouteTable(routeConfig([], ["10.0.0.0/8", "::/0", "0.0.0.0/0"], ["0.0.0.0/0"]));
  assert.equal(table.defaultOf(4), 2);
  assert.equal(table.defaultOf(6), 1);
});

test("RouteTable keeps the first of equal routes, own addresses before routes before advertised ones", () => {
  const table = new RouteTable(
    routeConfig(["10.0.0.1/32"], ["10.0.0.1/32 alpha"], ["10.0.0.1/32"]),
  );
  const { addressWords } = parseAddress("10.0.0.1")!;
  assert.equal(table.entries[table.find(addressWords, 0, 4)].origin, "local");
});

test("RouteTable.signature is equal exactly for equal maps", () => {
  const base = routeConfig(["100.64.0.1/32"], ["10.0.0.0/8 alpha"], ["172.16.0.0/12"]);
  const signature = new RouteTable(base).signature;
  const same = routeConfig(["100.64.0.1/32", "1.2.3.4/5"], ["10.9.9.9/8 alpha"], ["172.16.3.4/12"]);
  assert.equal(new RouteTable(same).signature, signature);
  const different = [
    routeConfig(["100.64.0.2/32"], ["10.0.0.0/8 alpha"], ["172.16.0.0/12"]),
    routeConfig(["100.64.0.1/32"], ["10.0.0.0/8 beta"], ["172.16.0.0/12"]),
    routeConfig(["100.64.0.1/32"], ["10.0.0.0/8"], ["172.16.0.0/12"]),
    routeConfig(["100.64.0.1/32"], ["10.0.0.0/9 alpha"], ["172.16.0.0/12"]),
    routeConfig(["100.64.0.1/32"], ["10.0.0.0/8 alpha", "172.16.0.0/12"]),
    // A peer's name cannot pass for another route.
    {
      ...routeConfig(["100.64.0.1/32"], []),
      routes: [{ ...base.routes[0], peer: "alpha\nsubnetRoute 172.16.0.0/12 " }],
    },
  ];
  for (const config of different) assert.notEqual(new RouteTable(config).signature, signature);
});

// ---- RouteHistory -----------------------------------------------------------------------------------------------

/** Table that can be told from others. */
function table(n: number): RouteTable {
  return new RouteTable(routeConfig([], [`10.0.0.${n}/32`]));
}

test("RouteHistory begins without routes", () => {
  const history = new RouteHistory();
  assert.deepEqual(history.current.entries, []);
  assert.deepEqual(history.versionsSince(0), [history.current]);
});

test("RouteHistory keeps a removed route for the window of its removal and the next, and not longer", () => {
  const history = new RouteHistory();
  const [before, after] = [table(1), table(2)];
  // Windows of 5 s; a window is classified by the versions since the start of the one before it.
  const versions = (windowStartMs: number) => history.versionsSince(windowStartMs - 5_000);
  history.replace(before, 1_000);
  assert.deepEqual(versions(20_000), [before]);
  history.replace(after, 22_000);
  assert.deepEqual(versions(20_000), [after, before], "its own window");
  assert.deepEqual(versions(25_000), [after, before], "the next");
  assert.deepEqual(versions(30_000), [after], "no more");
  assert.deepEqual(versions(20_000), [after], "forgotten for good");
});

test("RouteHistory counts a version that ended at the very moment, not one that ended a moment before", () => {
  const history = new RouteHistory();
  history.replace(table(1), 100);
  history.replace(table(2), 200);
  assert.equal(history.versionsSince(200).length, 2);
  assert.equal(history.versionsSince(200.001).length, 1);
});

test("RouteHistory lists versions newest first", () => {
  const history = new RouteHistory();
  const tables = [1, 2, 3].map(table);
  for (const [index, each] of tables.entries()) history.replace(each, index);
  assert.deepEqual(history.versionsSince(1), tables.toReversed());
});

test("RouteHistory makes no version of an identical configuration", () => {
  const history = new RouteHistory();
  const first = table(1);
  history.replace(new RouteTable(NO_ROUTES), 1);
  history.replace(first, 2);
  history.replace(table(1), 3);
  assert.equal(history.current, first);
  assert.equal(history.versionsSince(0).length, 2);
});

test("RouteHistory remembers ROUTE_VERSIONS_MAX versions, and counts those that it forgot too early", () => {
  const history = new RouteHistory();
  // The empty map that it begins with is the first version.
  for (let n = 2; n <= ROUTE_VERSIONS_MAX; n++) history.replace(table(n), n);
  assert.equal(history.versionsSince(0).length, ROUTE_VERSIONS_MAX);
  assert.equal(history.forgotten, 0);
  history.replace(table(100), 100);
  const versions = history.versionsSince(0);
  assert.equal(versions.length, ROUTE_VERSIONS_MAX);
  assert.equal(history.forgotten, 1);
  assert.equal(versions[0], history.current);
  assert.ok(versions.every(({ entries }) => entries.length === 1), "the oldest is gone");
});
