// @ts-check
/// <reference lib="dom" />
/** Paths: between which nodes packets are lost, what the tunnel costs, where peers were reached. */
import { apiUrl, ask } from "./api.js";
import { h, nameOf, quantity, replace } from "./dom.js";
import { apiCall } from "./files.js";
import { endText, narrowed, shownName, termOf } from "./names.js";
import { exactText, percentText, sum } from "./numbers.js";
import { emptyNote, Panel, warnings } from "./panel.js";
import { table } from "./table.js";
import { lossText, verdictTag } from "./view_flow.js";

/** @typedef {import("./app.js").App} App */

const PAIRS_MAX = 2_000;
const ROWS_SHOWN = 100;
const ENDPOINTS = 50;
/** Beyond, a matrix cannot be read: the pairs with the greatest loss are listed. */
const MATRIX_MAX = 24;

export class PathsView {
  title = "Paths";
  isLive = false;

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.matrix = new Panel("Loss between nodes", { className: "wide" });
    this.overhead = new Panel("Overhead of the tunnel");
    this.endpoints = new Panel("Endpoints seen");
    this.calls = h("div", { class: "calls" });
    this.element = h(
      "div",
      { class: "view paths" },
      this.matrix.element,
      this.overhead.element,
      this.endpoints.element,
      this.calls,
    );
  }

  refresh() {
    const { from, to, skew } = this.app.values;
    const range = { from, to };
    const reconcile = { ...range, skew, limit: 1 };
    const pairs = { ...range, by: "node,peer,class", limit: PAIRS_MAX };
    const ends = { ...range, by: "peer,dst,dport", filter: "class physical", limit: ENDPOINTS };
    // The collector answers one after the other: what takes longest comes last.
    void this.overhead.load(
      (signal) => ask("/top", pairs, signal),
      (answer) => this.#overhead(answer),
    );
    void this.endpoints.load(
      (signal) => ask("/top", ends, signal),
      (answer) => this.#endpoints(answer),
    );
    void this.matrix.load(
      (signal) => ask("/reconcile", reconcile, signal),
      (answer) => this.#matrix(answer),
    );
    replace(
      this.calls,
      apiCall([apiUrl("/reconcile", reconcile), apiUrl("/top", pairs), apiUrl("/top", ends)]),
    );
  }

  close() {
    for (const panel of [this.matrix, this.overhead, this.endpoints]) panel.close();
  }

  /** @param {any} answer */
  #matrix({ pairs, alarms, skewMs, transitMs, completeness, truncated }) {
    if (pairs.length === 0) {
      return emptyNote(
        "No two books can be compared",
        "Two nodes that both log must have talked to each other in this range.",
      );
    }
    /** @type {Map<string, any>} */
    const byEnds = new Map();
    for (const pair of pairs) {
      for (const direction of pair.directions) {
        byEnds.set(`${direction.from}\n${direction.to}`, direction);
      }
    }
    const names = [...new Set(pairs.flatMap((/** @type {any} */ pair) => pair.nodes))].sort((
      a,
      b,
    ) => a.localeCompare(b, "en", { numeric: true }));
    const head = h(
      "p",
      { class: "muted summary" },
      `${pairs.length} ${pairs.length === 1 ? "pair" : "pairs"}, `,
      h(
        "span",
        { class: alarms > 0 ? "is-lost" : "" },
        `${exactText(alarms)} ${
          alarms === 1 ? "flow" : "flows"
        } in which the books certainly differ`,
      ),
      `. ≤ is the most that can be lost though the books agree, ≥ in red the least that is. Clocks may be wrong by ${
        skewMs / 1_000
      } s, packets may take ${transitMs / 1_000} s.`,
    );
    const content = names.length > MATRIX_MAX ? this.#list(pairs) : this.#grid(names, byEnds);
    return [warnings(completeness, truncated), head, content];
  }

  /** @param {string[]} names @param {Map<string, any>} byEnds */
  #grid(names, byEnds) {
    const heads = names.map((name) => h("th", { scope: "col" }, nameOf(name)));
    const rows = names.map((from) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, nameOf(from)),
        names.map((to) =>
          h(
            "td",
            {},
            from === to
              ? h("span", { class: "none" }, "")
              : this.#cell(byEnds.get(`${from}\n${to}`)),
          )
        ),
      )
    );
    return h(
      "div",
      {
        class: "table-scroll",
        tabindex: 0,
        role: "region",
        "aria-label": "Loss from the node of the row to the node of the column",
      },
      h(
        "table",
        { class: "matrix" },
        h("thead", {}, h("tr", {}, h("th", { class: "corner" }, "from ↓ to →"), heads)),
        h("tbody", {}, rows),
      ),
    );
  }

  /** @param {any} direction */
  #cell(direction) {
    if (direction === undefined) return h("span", { class: "none", title: "No traffic" }, "·");
    const { from, to, verdict, lostPackets, sentPackets } = direction;
    const filter = narrowed(narrowed(termOf("node", from), termOf("peer", to)), "class virtual");
    const title = `${shownName(from)} → ${shownName(to)}: ${lossText(direction)}`;
    if (lostPackets === null) {
      return h("a", {
        class: "cell cell-unknown",
        href: this.app.href("explore", { filter, by: "src,dst" }),
        title,
      }, "?");
    }
    const text = verdict === "good"
      ? percentAtMost(lostPackets, sentPackets)
      : lossShare(lostPackets, sentPackets);
    return h("a", {
      class: `cell cell-${verdict}`,
      href: this.app.href("explore", { filter, by: "src,dst" }),
      title,
    }, text);
  }

  /** @param {any[]} pairs */
  #list(pairs) {
    const rows = pairs.flatMap((pair) => pair.directions).sort((a, b) =>
      (b.lostPackets?.[0] ?? -1) - (a.lostPackets?.[0] ?? -1)
    ).slice(0, ROWS_SHOWN);
    return table("Pairs, the greatest loss first", [
      { name: "from", label: "From", cell: (/** @type {any} */ row) => nameOf(row.from) },
      { name: "to", label: "To", cell: (/** @type {any} */ row) => nameOf(row.to) },
      {
        name: "verdict",
        label: "Books",
        cell: (/** @type {any} */ row) => verdictTag(row.verdict),
      },
      { name: "loss", label: "Loss", cell: (/** @type {any} */ row) => lossText(row) },
    ], rows);
  }

  /** @param {any} answer */
  #overhead({ groups, truncated }) {
    /** @type {Map<string, { node: string, peer: string, carried: import("./numbers.js").Count, physical: import("./numbers.js").Count }>} */
    const pairs = new Map();
    for (const { node, peer, class: name, txBytes, rxBytes } of groups) {
      if (peer === "" || !["virtual", "physical"].includes(name)) continue;
      const key = `${node}\n${peer}`;
      const found = pairs.get(key) ?? { node, peer, carried: 0, physical: 0 };
      const bytes = sum(txBytes, rxBytes);
      if (name === "physical") found.physical = sum(found.physical, bytes);
      else found.carried = sum(found.carried, bytes);
      pairs.set(key, found);
    }
    const rows = [...pairs.values()].sort((a, b) => Number(b.physical) - Number(a.physical)).slice(
      0,
      ROWS_SHOWN,
    );
    if (rows.length === 0) {
      return emptyNote("No traffic between nodes", "There is none in this range.");
    }
    const { units } = this.app;
    return [
      warnings(null, truncated),
      table("Overhead of each pair", [
        { name: "node", label: "Node", cell: (row) => nameOf(row.node) },
        { name: "peer", label: "Peer", cell: (row) => nameOf(row.peer) },
        {
          name: "carried",
          label: "Virtual",
          hint: "Bytes between the two nodes, both directions",
          isNumber: true,
          cell: (row) => quantity("bytes", row.carried, units),
        },
        {
          name: "physical",
          label: "Physical",
          hint:
            "Payload of the tunnel's datagrams, both directions; it carries subnet and exit traffic too",
          isNumber: true,
          cell: (row) => quantity("bytes", row.physical, units),
        },
        {
          name: "overhead",
          label: "Physical ÷ virtual",
          isNumber: true,
          cell: (row) => overheadCell(row),
        },
      ], rows),
    ];
  }

  /** @param {any} answer */
  #endpoints({ groups, groupCount }) {
    if (groups.length === 0) {
      return emptyNote("No datagram was seen", "There is no physical traffic in this range.");
    }
    const { units } = this.app;
    return [
      table("Endpoints, the greatest first", [
        {
          name: "peer",
          label: "Peer",
          cell: (/** @type {any} */ group) => nameOf(group.peer, "not known"),
        },
        {
          name: "end",
          label: "Endpoint",
          cell: (/** @type {any} */ group) =>
            h("bdi", { class: "address" }, endText(group.dst, group.dport)),
        },
        {
          name: "bytes",
          label: "Bytes",
          isNumber: true,
          cell: (/** @type {any} */ group) =>
            quantity("bytes", sum(group.txBytes, group.rxBytes), units),
        },
        {
          name: "packets",
          label: "Datagrams",
          isNumber: true,
          cell: (/** @type {any} */ group) =>
            quantity("count", sum(group.txPackets, group.rxPackets)),
        },
      ], groups),
      groupCount > groups.length
        ? h("p", { class: "muted rest" }, `${exactText(groupCount - groups.length)} more`)
        : null,
    ];
  }
}

/** @param {{ carried: import("./numbers.js").Count, physical: import("./numbers.js").Count }} row */
function overheadCell({ carried, physical }) {
  if (Number(carried) === 0) {
    return h("span", { class: "none", title: "Nothing was carried between the two" }, "–");
  }
  const ratio = Number(physical) / Number(carried);
  return h("span", {
    class: "number",
    title: `${exactText(physical)} ÷ ${exactText(carried)} bytes`,
  }, `${ratio.toFixed(ratio < 10 ? 3 : 1)}`);
}

/** @param {number[]} lost @param {number[]} sent */
function percentAtMost([, most], [, sent]) {
  return most === 0 || sent === 0 ? "0" : `≤ ${percentText(Math.min(1, most / sent))}`;
}

/** @param {number[]} lost @param {number[]} sent */
function lossShare([least], [, sent]) {
  return sent === 0 ? `${least}` : `≥ ${percentText(Math.max(0, least / sent))}`;
}
