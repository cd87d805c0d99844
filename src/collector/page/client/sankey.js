// @ts-check
/// <reference lib="dom" />
/** Where traffic goes: source → destination → port. In: groups by src, dst, dport. Out: a drawing whose parts are links. */
import { h, s } from "./dom.js";
import { shownName } from "./names.js";
import { bytesText, exactText, sum } from "./numbers.js";

/**
 * @typedef {{ src: string, dst: string, dport: number, txBytes: import("./numbers.js").Count, rxBytes: import("./numbers.js").Count }} Group
 * @typedef {{ id: string, label: string, column: number, term: string }} SankeyNode
 */

const ROW_PX = 26;
const NARROW_PX = 640;

/**
 * @param {readonly Group[]} groups
 * @returns {{ nodes: SankeyNode[], links: { source: string, target: string, value: number, bytes: import("./numbers.js").Count }[] }}
 */
export function sankeyGraph(groups) {
  /** @type {Map<string, SankeyNode>} */
  const nodes = new Map();
  /** @type {Map<string, { source: string, target: string, bytes: import("./numbers.js").Count }>} */
  const links = new Map();
  const node = (
    /** @type {number} */ column,
    /** @type {string} */ label,
    /** @type {string} */ term,
  ) => {
    const id = `${column} ${label}`;
    if (!nodes.has(id)) nodes.set(id, { id, label, column, term });
    return id;
  };
  const link = (
    /** @type {string} */ source,
    /** @type {string} */ target,
    /** @type {import("./numbers.js").Count} */ bytes,
  ) => {
    const id = `${source} → ${target}`;
    const known = links.get(id);
    links.set(id, { source, target, bytes: known === undefined ? bytes : sum(known.bytes, bytes) });
  };
  for (const { src, dst, dport, txBytes, rxBytes } of groups) {
    const bytes = sum(txBytes, rxBytes);
    if (Number(bytes) === 0) continue;
    const from = node(0, src || "no address", src === "" ? "src none" : `src host ${src}`);
    const to = node(1, dst || "no address", dst === "" ? "dst none" : `dst host ${dst}`);
    const port = node(2, dport === 0 ? "no port" : String(dport), `dport ${dport}`);
    link(from, to, bytes);
    link(to, port, bytes);
  }
  return {
    nodes: [...nodes.values()],
    links: [...links.values()].map((each) => ({ ...each, value: Number(each.bytes) })),
  };
}

/**
 * @param {readonly Group[]} groups
 * @param {number} widthPx
 * @param {{ units: import("./numbers.js").UnitSystem, hrefOf: (term: string) => string }} options
 */
export function sankey(groups, widthPx, { units, hrefOf }) {
  const graph = sankeyGraph(groups);
  const width = Math.max(NARROW_PX, widthPx);
  const most = Math.max(
    ...[0, 1, 2].map((column) => graph.nodes.filter((node) => node.column === column).length),
  );
  const height = Math.max(260, most * ROW_PX + 40);
  /** @type {any} */
  const d3 = /** @type {any} */ (globalThis).d3;
  const label = Math.min(210, width / 4);
  const layout = d3.sankey().nodeId((/** @type {SankeyNode} */ node) => node.id).nodeWidth(10)
    .nodePadding(12)
    .nodeAlign((/** @type {SankeyNode} */ node) => node.column).extent([[label, 24], [
      width - 130,
      height - 8,
    ]]);
  const { nodes, links } = layout({
    nodes: graph.nodes.map((node) => ({ ...node })),
    links: graph.links.map((link) => ({ ...link })),
  });
  const titles = ["Source", "Destination", "Port"].map((title, column) => {
    const x = nodes.find((/** @type {any} */ node) => node.column === column)?.x0 ?? 0;
    return s("text", {
      class: "sankey-title",
      x: column === 0 ? x + 10 : x,
      y: 12,
      "text-anchor": column === 0 ? "end" : "start",
    }, title);
  });
  const drawing = s(
    "svg",
    {
      class: "sankey",
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "group",
      "aria-label": "Traffic from source to destination to port",
    },
    titles,
    s(
      "g",
      { class: "sankey-links" },
      links.map((/** @type {any} */ link) => linkPath(link, units)),
    ),
    s(
      "g",
      { class: "sankey-nodes" },
      nodes.map((/** @type {any} */ node) => nodeBox(node, units, hrefOf)),
    ),
  );
  return h("div", {
    class: "table-scroll",
    tabindex: 0,
    role: "region",
    "aria-label": "Flow of traffic",
  }, drawing);
}

/** @param {any} link @param {import("./numbers.js").UnitSystem} units */
function linkPath({ source, target, y0, y1, width, bytes }, units) {
  const middle = (source.x1 + target.x0) / 2;
  const d = `M${source.x1},${y0}C${middle},${y0} ${middle},${y1} ${target.x0},${y1}`;
  const text = `${shownName(source.label)} → ${shownName(target.label)}: ${
    bytesText(bytes, units)
  } (${exactText(bytes, "bytes")})`;
  return s(
    "path",
    { d, "stroke-width": Math.max(1, width), class: "sankey-link" },
    s("title", {}, text),
  );
}

/** @param {any} node @param {import("./numbers.js").UnitSystem} units @param {(term: string) => string} hrefOf */
function nodeBox({ x0, x1, y0, y1, label, column, term, sourceLinks, targetLinks }, units, hrefOf) {
  const links = sourceLinks.length > 0 ? sourceLinks : targetLinks;
  const bytes = sum(...links.map((/** @type {any} */ link) => link.bytes));
  const isLeft = column === 0;
  return s(
    "a",
    { href: hrefOf(term), class: "sankey-node" },
    s("title", {}, `${shownName(label)}: ${exactText(bytes, "bytes")}; click to narrow the filter`),
    s("rect", { x: x0, y: y0, width: x1 - x0, height: Math.max(1, y1 - y0), rx: 2 }),
    s(
      "text",
      {
        x: isLeft ? x0 - 8 : x1 + 8,
        y: (y0 + y1) / 2,
        dy: "0.35em",
        "text-anchor": isLeft ? "end" : "start",
      },
      shownName(label),
      s("tspan", { class: "sankey-value", dx: 6 }, bytesText(bytes, units)),
    ),
  );
}
