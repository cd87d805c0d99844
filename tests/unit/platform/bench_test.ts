// Goal: the benchmark of the platform cannot rot. Method: it runs tiny, without sockets, and its sums are checked.
import { test } from "node:test";
import assert from "node:assert/strict";
import { aeadSubjects } from "../../bench/aead_bench.ts";
import { cryptoSubjects, measure } from "../../bench/platform_bench.ts";
import { chooseCrypto } from "../../../src/platform/mod.ts";

test("measure() runs every subject of cryptography the same number of times in each round", () => {
  const subjects = cryptoSubjects();
  const results = measure(subjects, 2, 0.001);
  assert.deepEqual(results.map(({ name }) => name), subjects.map(({ name }) => name));
  for (const [index, { name, ns, checksum }] of results.entries()) {
    assert.equal(ns.length, 2);
    const operations = Math.max(1, Math.round(subjects[index]!.operations * 0.001));
    assert.equal(checksum, 2 * operations, name);
  }
});

test("aead_bench seals and opens in every way that it measures", {
  skip: !chooseCrypto().crypto.name.startsWith("libcrypto"),
}, () => {
  const subjects = aeadSubjects();
  for (const { name, checksum } of measure(subjects, 1, 0.001)) assert.equal(checksum, 50, name);
});
