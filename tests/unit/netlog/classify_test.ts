/**
 * Goal: a connection's class is the seed's, over versions of the routes. Method: the golden cases of the original, each
 * with its expected column; random routes against the rule as text.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { CLASS_NAMES, type ClassName } from "../../../src/counters.ts";
import { ROUTE_VERSIONS_MAX } from "../../../src/limits.ts";
import { parseAddress, parseAddressPort } from "../../../src/packet/mod.ts";
import { classOf } from "../../../src/netlog/classify.ts";
import {
  Classifier,
  OverlayRanges,
  type RouteConfig,
  RouteTable,
} from "../../../src/netlog/mod.ts";
import { classUnderAny, type End } from "../../reference/classify_twin.ts";
import { anyAddress, anyRouteConfig, routeConfig } from "./support.ts";

const SEED = 32;

interface GoldenCase {
  readonly name: string;
  readonly config: Record<"localAddrs" | "routes" | "subnetRoutes", string[]>;
  readonly src: string | null;
  readonly dst: string | null;
  readonly seed: string;
}

const GOLDEN: readonly GoldenCase[] = JSON.parse(
  readFileSync(new URL("../../vectors/classify.json", import.meta.url), "utf8"),
).cases;

/** Cases in which we differ on purpose: what we say, and why. */
const MENDED: Readonly<Record<string, { list: string; reason: string }>> = {
  "default split in two /1": {
    list: "exitTraffic",
    reason:
      "0.0.0.0/1 and 128.0.0.0/1 are a default route written in two: no subnet is as big as the internet",
  },
};

/** `unknown` is told apart inside; on the wire it is exit, as the original has it. */
const LIST_BY_CLASS: Readonly<Record<string, string>> = {
  virtual: "virtualTraffic",
  subnet: "subnetTraffic",
  exit: "exitTraffic",
  unknown: "exitTraffic",
};

function classifierOf(configs: readonly RouteConfig[]): Classifier {
  return new Classifier(configs.map((config) => new RouteTable(config)), new OverlayRanges());
}

function classified(classifier: Classifier, src: End, dst: End): ClassName {
  const facts = [src, dst].map((end) =>
    end === null ? 0 : classifier.factsOf(end.addressWords, 0, end.family)
  );
  return CLASS_NAMES[classOf(facts[0], facts[1])];
}

/** Class between two addresses, as classOf() and explain() agree. */
function classBetween(classifier: Classifier, src: string, dst: string): ClassName {
  const [a, b] = [parseAddress(src), parseAddress(dst)];
  const name = classified(classifier, a, b);
  assert.equal(classifier.explain(a, b).className, name);
  return name;
}

test("the golden data is all there", () => {
  assert.equal(GOLDEN.length, 27);
  assert.deepEqual(
    Object.keys(MENDED).filter((name) => !GOLDEN.some((golden) => golden.name === name)),
    [],
  );
});

for (const { name, config, src, dst, seed } of GOLDEN) {
  test(`classOf() golden: ${name}`, () => {
    const classifier = classifierOf([
      routeConfig(config.localAddrs, config.routes, config.subnetRoutes),
    ]);
    const [a, b] = [src, dst].map((end) => end === null ? null : parseAddressPort(end));
    const list = LIST_BY_CLASS[classified(classifier, a, b)];
    const mended = MENDED[name];
    if (mended !== undefined) assert.notEqual(mended.list, seed, "listed, but no different");
    assert.equal(list, mended?.list ?? seed);
    assert.equal(LIST_BY_CLASS[classifier.explain(a, b).className], list);
  });
}

test("classOf() tells exit from unknown by a default route for the address that is not explained", () => {
  const local = ["100.64.0.1/32", "fd7a:115c:a1e0::1/128"];
  const none = classifierOf([routeConfig(local, ["10.0.0.0/8"])]);
  const v4 = classifierOf([routeConfig(local, ["0.0.0.0/0"])]);
  const served = classifierOf([routeConfig(local, ["100.64.0.2/32"], ["0.0.0.0/0"])]);
  assert.equal(classBetween(none, "100.64.0.1", "8.8.8.8"), "unknown");
  assert.equal(classBetween(v4, "100.64.0.1", "8.8.8.8"), "exit");
  assert.equal(
    classBetween(v4, "fd7a:115c:a1e0::1", "2001:db8::1"),
    "unknown",
    "no default of IPv6",
  );
  assert.equal(classBetween(served, "8.8.8.8", "100.64.0.2"), "exit");
  assert.equal(classBetween(v4, "100.64.0.1", "100.64.0.1"), "virtual");
});

test("classOf() takes halves of a default route for one only where a list holds both", () => {
  const local = ["100.64.0.1/32"];
  const cases: [string[], string[], ClassName][] = [
    [["0.0.0.0/1"], [], "subnet"],
    [["0.0.0.0/1", "128.0.0.0/1"], [], "exit"],
    [[], ["0.0.0.0/1", "128.0.0.0/1"], "exit"],
    [["0.0.0.0/1"], ["128.0.0.0/1"], "subnet"],
    [["0.0.0.0/1", "128.0.0.0/1"], ["0.0.0.0/1"], "exit"],
    [["0.0.0.0/1", "0.0.0.0/1"], [], "subnet"],
    [["0.0.0.0/1", "8000::/1"], [], "subnet"],
    [["0.0.0.0/1", "128.0.0.0/1", "8.0.0.0/8"], [], "subnet"],
    [["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"], [], "subnet"],
  ];
  for (const [routes, subnetRoutes, expected] of cases) {
    const classifier = classifierOf([routeConfig(local, routes, subnetRoutes)]);
    assert.equal(classBetween(classifier, "100.64.0.1", "8.8.8.8"), expected, routes.join());
  }
  const v6 = classifierOf([routeConfig(["fd7a:115c:a1e0::1/128"], ["::/1", "8000::/1"])]);
  assert.equal(classBetween(v6, "fd7a:115c:a1e0::1", "2001:db8::1"), "exit");
  assert.equal(classBetween(v6, "fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2"), "virtual");
});

test("classOf() wants both ends of a virtual connection explained by one version", () => {
  const onlySrc = routeConfig(["100.64.0.1/32"], []);
  const onlyDst = routeConfig([], ["100.64.0.2/32"]);
  assert.equal(
    classBetween(classifierOf([onlySrc, onlyDst]), "100.64.0.1", "100.64.0.2"),
    "unknown",
  );
  const both = routeConfig(["100.64.0.1/32"], ["100.64.0.2/32"]);
  assert.equal(
    classBetween(classifierOf([onlySrc, onlyDst, both]), "100.64.0.1", "100.64.0.2"),
    "virtual",
  );
});

test("classOf() remembers as many versions as there may be, the last as well as the first", () => {
  const empty = routeConfig([], []);
  const full = routeConfig(["100.64.0.1/32"], ["10.0.0.0/8", "0.0.0.0/0"]);
  for (let at = 0; at < ROUTE_VERSIONS_MAX; at++) {
    const configs = Array.from(
      { length: ROUTE_VERSIONS_MAX },
      (_, version) => version === at ? full : empty,
    );
    const classifier = classifierOf(configs);
    assert.equal(classBetween(classifier, "100.64.0.1", "10.1.1.1"), "subnet");
    assert.equal(classBetween(classifier, "100.64.0.1", "100.64.0.1"), "virtual");
    assert.equal(classBetween(classifier, "100.64.0.1", "8.8.8.8"), "exit");
    const { versionsAgo } = classifier.explain(parseAddress("100.64.0.1"), parseAddress("8.8.8.8"));
    assert.equal(versionsAgo, at);
  }
});

test("classOf() equals the rule as SPEC says it, over any versions", () => {
  const met = new Map<ClassName, number>();
  fc.assert(
    fc.property(
      fc.array(anyRouteConfig, { minLength: 1, maxLength: 3 }),
      fc.array(fc.tuple(anyAddress, anyAddress), { minLength: 8, maxLength: 8 }),
      (configs, pairs) => {
        const classifier = classifierOf(configs);
        for (const [src, dst] of pairs) {
          const expected = classUnderAny(configs, parseAddress(src), parseAddress(dst));
          assert.equal(classBetween(classifier, src, dst), expected, `${src} -> ${dst}`);
          met.set(expected, (met.get(expected) ?? 0) + 1);
        }
      },
    ),
    { seed: SEED, numRuns: 1_000 },
  );
  for (const name of ["virtual", "subnet", "exit", "unknown"] as const) {
    assert.ok((met.get(name) ?? 0) > 100, `${name} met ${met.get(name)} times`);
  }
});

test("explain() names class, version, longest route, its list and its peer", () => {
  const now = routeConfig(["100.64.0.1/32"], [
    "10.0.0.0/8 alpha",
    "0.0.0.0/1 beta",
    "128.0.0.0/1 gamma",
  ]);
  const before = routeConfig(["100.64.0.1/32"], ["192.168.0.0/16 delta"], ["172.16.0.0/12"]);
  const classifier = classifierOf([now, before]);
  const explain = (src: string, dst: string) =>
    classifier.explain(parseAddress(src), parseAddress(dst));
  const self = {
    address: "100.64.0.1",
    isOverlay: true,
    route: "100.64.0.1/32",
    origin: "local",
    peer: null,
  };
  assert.deepEqual(explain("100.64.0.1", "10.1.2.3"), {
    className: "subnet",
    versionsAgo: 0,
    src: self,
    dst: {
      address: "10.1.2.3",
      isOverlay: false,
      route: "10.0.0.0/8",
      origin: "route",
      peer: "alpha",
    },
  });
  assert.deepEqual(explain("100.64.0.1", "200.1.2.3"), {
    className: "exit",
    versionsAgo: 0,
    src: self,
    dst: {
      address: "200.1.2.3",
      isOverlay: false,
      route: "128.0.0.0/1",
      origin: "route",
      peer: "gamma",
    },
  });
  assert.deepEqual(explain("100.64.0.1", "192.168.3.4"), {
    className: "subnet",
    versionsAgo: 1,
    src: self,
    dst: {
      address: "192.168.3.4",
      isOverlay: false,
      route: "192.168.0.0/16",
      origin: "route",
      peer: "delta",
    },
  });
  assert.equal(explain("100.64.0.1", "100.64.0.1").versionsAgo, 0, "the newest of both");
  assert.deepEqual(explain("172.16.1.1", "").src, {
    address: "172.16.1.1",
    isOverlay: false,
    route: "172.16.0.0/12",
    origin: "subnetRoute",
    peer: null,
  });
  assert.deepEqual(explain("", "2001:db8::1"), {
    className: "unknown",
    versionsAgo: 0,
    src: { address: "", isOverlay: false, route: null, origin: null, peer: null },
    dst: { address: "2001:db8::1", isOverlay: false, route: null, origin: null, peer: null },
  });
});

test("explain() names a whole default route where no other holds the address", () => {
  const classifier = classifierOf([routeConfig([], ["0.0.0.0/0 alpha", "::/0 beta"])]);
  const { className, src, dst } = classifier.explain(
    parseAddress("8.8.8.8"),
    parseAddress("2001:db8::1"),
  );
  assert.deepEqual([className, src.route, src.peer, dst.route, dst.peer], [
    "exit",
    "0.0.0.0/0",
    "alpha",
    "::/0",
    "beta",
  ]);
});
