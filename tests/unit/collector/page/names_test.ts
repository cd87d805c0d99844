/** Goal: what others chose is shown for what it is, and filters by it are right. Method: the language's own parser. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { DIMENSIONS, formatFilter, parseFilter } from "../../../../src/collector/mod.ts";
import {
  endText,
  narrowed,
  protoName,
  quotedName,
  shownName,
  termOf,
} from "../../../../src/collector/page/client/names.js";
import { arbitraryExpression } from "../filter_support.ts";

test("shownName() shows what cannot be seen, and leaves all else", () => {
  const cases: readonly [string, string][] = [
    ["web-1", "web-1"],
    ["büro 2 😀", "büro 2 😀"],
    ["<img src=x>", "<img src=x>"],
    ["a\nb\tc\u0000", "a\ufffdb\ufffdc\ufffd"],
    ["\u202egnp.exe\u202c", "\ufffdgnp.exe\ufffd"],
    ["\u2066a\u2069\u200b\u200d\ufeff\u00ad", "\ufffda\ufffd\ufffd\ufffd\ufffd\ufffd"],
    ["\u2028\u2029\u0085", "\ufffd\ufffd\ufffd"],
    ["\u3164\u2800\u115f\u1160\uffa0", "\ufffd\ufffd\ufffd\ufffd\ufffd"],
    ["\ud800x", "\ufffdx"],
    ["\u{e0041}", "\ufffd"],
  ];
  for (const [name, shown] of cases) assert.equal(shownName(name), shown, JSON.stringify(name));
});

test("quotedName() is read as the same name", () => {
  const name = fc.oneof(
    fc.string({ unit: "binary", minLength: 1 }),
    fc.constantFrom('"', "\\", '\\"', "or", " "),
  );
  fc.assert(
    fc.property(name, (text) => {
      const result = parseFilter(`node ${quotedName(text)}`);
      assert.ok(result.ok, text);
      assert.deepEqual(result.filter, { kind: "node", patterns: [text] });
    }),
    { seed: 1, numRuns: 500 },
  );
});

/** Values of each dimension as the API answers them. */
const VALUES: Readonly<Record<string, readonly (string | number)[]>> = {
  class: ["virtual", "subnet", "exit", "unknown", "physical"],
  node: ["web-1", 'a "b" \\', "and", "10.0.0.1", "nCNTRL"],
  peer: ["web-1", "none", "*"],
  proto: [0, 1, 6, 255],
  src: ["", "10.0.0.1", "fd00::1", "::ffff:10.0.0.1"],
  dst: ["", "10.0.0.1", "::"],
  host: ["", "10.0.0.1", "fd00::1"],
  sport: [0, 1, 65_535],
  dport: [0, 443],
  srcNet: ["", "10.0.0.0/24", "fd00::/48"],
  dstNet: ["", "10.0.0.0/24", "::/0"],
};

test("termOf() is a term of the language for every value of every dimension", () => {
  let terms = 0;
  for (const dimension of DIMENSIONS) {
    for (const value of VALUES[dimension] ?? []) {
      const term = termOf(dimension, value);
      if (term === "") continue;
      terms++;
      const result = parseFilter(term);
      assert.ok(result.ok, `${dimension} ${value}: ${term}`);
      assert.ok(!["and", "or", "all"].includes(result.filter.kind), term);
    }
  }
  assert.ok(terms >= 25, `${terms} terms of ${DIMENSIONS}`);
  assert.equal(termOf("node", ""), "");
  assert.equal(termOf("nothing", "x"), "");
  assert.equal(termOf("src", ""), "src none");
});

test("narrowed() matches what both match, whatever the filter is made of", () => {
  const cases: readonly [string, string, string][] = [
    ["", "tcp", "tcp"],
    [" tcp ", "", "tcp"],
    ["tcp", "udp", "tcp and udp"],
    ["tcp or udp", "dport 53", "(tcp or udp) and dport 53"],
    ["tcp OR udp", "dport 53", "(tcp OR udp) and dport 53"],
    ["tcp||udp", "dport 53", "(tcp||udp) and dport 53"],
  ];
  for (const [filter, term, text] of cases) assert.equal(narrowed(filter, term), text);
  const upper = (text: string) => text.replace(/ or /g, " OR ");
  fc.assert(
    fc.property(arbitraryExpression, fc.boolean(), (expression, isUpper) => {
      const filter = formatFilter(expression);
      const found = parseFilter(narrowed(isUpper ? upper(filter) : filter, "class exit"));
      const wanted = parseFilter(`(${isUpper ? upper(filter) : filter}) and class exit`);
      if (!wanted.ok) return;
      assert.ok(found.ok, filter);
      assert.equal(formatFilter(found.filter), formatFilter(wanted.filter));
    }),
    { seed: 1, numRuns: 500 },
  );
});

test("endText() and protoName() leave no doubt", () => {
  const cases: readonly [string, number, string][] = [
    ["", 0, "–"],
    ["", 80, ":80"],
    ["10.0.0.1", 0, "10.0.0.1"],
    ["10.0.0.1", 80, "10.0.0.1:80"],
    ["fd00::1", 0, "fd00::1"],
    ["fd00::1", 80, "[fd00::1]:80"],
  ];
  for (const [address, port, text] of cases) assert.equal(endText(address, port), text);
  assert.deepEqual([0, 6, 58, 99].map(protoName), ["–", "TCP", "ICMPv6", "proto 99"]);
});
