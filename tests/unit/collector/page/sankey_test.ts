/**
 * Goal: the drawing's widths are the traffic. Method: the page's graph and the package's own file with our three functions in
 * place of its dependency, as the browser runs them; sums in and out of every box.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { ASSETS } from "../../../../src/collector/page/assets.ts";
import { sankeyGraph } from "../../../../src/collector/page/client/sankey.js";
import { sum } from "../../../../src/collector/page/client/numbers.js";

// deno-lint-ignore no-explicit-any -- d3's layout adds what it finds to what it is given.
type Any = any;

const browser: Any = {};
browser.globalThis = browser;
browser.self = browser;
for (const name of ["sankey_parts.js", "d3-sankey.js"]) runInNewContext(ASSETS[name].text, browser);
const { d3 } = browser;

const count = fc.oneof(fc.nat(1_000), fc.bigInt(0n, 2n ** 40n), fc.constant(0));
const group = fc.record({
  src: fc.constantFrom("", "10.0.0.1", "10.0.0.2", "fd00::1"),
  // The same address may be either end.
  dst: fc.constantFrom("", "10.0.0.1", "10.0.0.9", "no address"),
  dport: fc.constantFrom(0, 80, 443, 8_080),
  txBytes: count,
  rxBytes: count,
});
const groups = fc.array(group, { minLength: 1, maxLength: 25 });

test("sankeyGraph(): what goes in comes out, exactly, and nothing is drawn for nothing", () => {
  fc.assert(
    fc.property(groups, (rows) => {
      const { nodes, links } = sankeyGraph(rows);
      const total = BigInt(sum(...rows.flatMap(({ txBytes, rxBytes }) => [txBytes, rxBytes])));
      const column = (id: string) => nodes.find((node) => node.id === id)!.column;
      for (const from of [0, 1]) {
        const part = links.filter(({ source }) => column(source) === from);
        assert.equal(BigInt(sum(...part.map(({ bytes }) => bytes))), total);
        for (const { source, target } of part) assert.equal(column(target), column(source) + 1);
      }
      for (const { id, column: place } of nodes) {
        const incoming = sum(
          ...links.filter(({ target }) => target === id).map((link) => link.bytes),
        );
        const outgoing = sum(
          ...links.filter(({ source }) => source === id).map((link) => link.bytes),
        );
        if (place === 1) assert.equal(incoming, outgoing, id);
        assert.ok(BigInt(incoming) + BigInt(outgoing) > 0n, id);
      }
      assert.equal(new Set(nodes.map(({ id }) => id)).size, nodes.length);
      assert.ok(links.every(({ value, bytes }) => value === Number(bytes) && value > 0));
    }),
    { seed: 1, numRuns: 500 },
  );
});

test("d3-sankey over our parts: boxes are as high as their sums, within the drawing, and do not overlap", () => {
  let drawn = 0;
  fc.assert(
    fc.property(groups, (rows) => {
      const graph = sankeyGraph(rows);
      if (graph.nodes.length === 0) return;
      const layout = d3.sankey().nodeId((node: Any) => node.id).nodeWidth(10).nodePadding(12)
        .nodeAlign((node: Any) => node.column).extent([[100, 24], [700, 600]]);
      const { nodes, links } = layout({
        nodes: graph.nodes.map((node) => ({ ...node })),
        links: graph.links.map((link) => ({ ...link })),
      });
      drawn++;
      for (const node of nodes) {
        const sumOf = (each: Any[]) => each.reduce((all, link) => all + link.value, 0);
        const value = Math.max(sumOf(node.sourceLinks), sumOf(node.targetLinks));
        assert.ok(Math.abs(node.value - value) <= value * 1e-9);
        assert.ok(node.y0 >= 24 - 1e-6 && node.y1 <= 600 + 1e-6, `${node.y0}..${node.y1}`);
        assert.ok(Number.isFinite(node.x0) && node.layer === node.column);
      }
      // Of the greatest: the others' heights may be too small to divide by.
      const greatest = nodes.reduce((a: Any, b: Any) => a.value >= b.value ? a : b);
      const scale = (greatest.y1 - greatest.y0) / greatest.value;
      for (const node of nodes) {
        assert.ok(Math.abs(node.y1 - node.y0 - node.value * scale) < 1e-6);
        for (const other of nodes) {
          if (other === node || other.column !== node.column) continue;
          assert.ok(other.y1 <= node.y0 + 1e-6 || other.y0 >= node.y1 - 1e-6, "boxes overlap");
        }
      }
      for (const link of links) assert.ok(Math.abs(link.width - link.value * scale) < 1e-6);
    }),
    { seed: 1, numRuns: 200 },
  );
  assert.ok(drawn > 150, `${drawn} drawings`);
});

test("min, max and sum are d3-array's where d3-sankey asks them", () => {
  const value = (each: Any) => each?.value;
  const list = [{ value: 3 }, { value: null }, { value: NaN }, { value: 1 }, { value: undefined }];
  assert.deepEqual([d3.min(list, value), d3.max(list, value), d3.sum(list, value)], [1, 3, 4]);
  assert.deepEqual([d3.min([]), d3.max([]), d3.sum([])], [undefined, undefined, 0]);
  assert.deepEqual([d3.min([2, 1]), d3.max([2, 1]), d3.sum([2, 1])], [1, 2, 3]);
  const places: number[] = [];
  d3.sum([5, 6], (_each: number, index: number) => places.push(index));
  assert.deepEqual(places, [0, 1]);
});
