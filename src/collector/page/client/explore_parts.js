// @ts-check
/** Explore's words and values: dimensions, labels, columns, and where one flow is shown. */
import { protoName, shownName } from "./names.js";
import { sum } from "./numbers.js";

/** @typedef {import("./app.js").App} App */

/** What may be grouped by, and what it is called. */
export const DIMENSIONS = [
  ["class", "class"],
  ["node", "node"],
  ["peer", "peer"],
  ["proto", "protocol"],
  ["src", "source"],
  ["dst", "destination"],
  ["host", "either end"],
  ["sport", "source port"],
  ["dport", "destination port"],
  ["srcNet", "source network"],
  ["dstNet", "destination network"],
];

/** What a dimension is called. @param {string} name */
export function dimensionText(name) {
  return DIMENSIONS.find(([each]) => each === name)?.[1] ?? name;
}

/** With a capital first letter. @param {string} text */
export function capitalized(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** Both directions. @param {any} group */
export function bytesOf({ txBytes, rxBytes }) {
  return Number(sum(txBytes, rxBytes));
}

/** What one value of a dimension is called. @param {string} dimension @param {string | number} value */
export function labelOf(dimension, value) {
  if (dimension === "proto") return protoName(Number(value));
  if (value === "" || value === 0) {
    return dimension.includes("port") ? "no port" : dimension === "peer" ? "no node" : "no address";
  }
  return shownName(String(value));
}

/** What a column of the table is sorted by. @param {any} group @param {string} name */
export function valueOf(group, name) {
  switch (name) {
    case "bytes":
      return sum(group.txBytes, group.rxBytes);
    case "packets":
      return sum(group.txPackets, group.rxPackets);
    case "average":
      return group.averageBitsPerSecond ?? 0;
    case "peak":
      return group.peakBitsPerSecond ?? 0;
    case "p95":
      return group.percentile95BitsPerSecond ?? 0;
    default:
      return group[name];
  }
}

/** How far around its window a flow is looked at first. */
const FLOW_MS = 120_000;

/** Address of one flow's view. @param {App} app @param {any} flow */
export function flowHref(app, flow) {
  const { node, proto, src, sport, dst, dport } = flow;
  return app.href("flow", {
    ...{ node, proto: String(proto), src, sport: String(sport), dst, dport: String(dport) },
    from: String(Date.parse(flow.start) - FLOW_MS),
    to: String(Date.parse(flow.end) + FLOW_MS),
  });
}
