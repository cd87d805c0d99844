// @ts-check
/// <reference lib="dom" />
/** One connection: what both ends say of it, why it is in its class, which way it went, the messages it stands in. */
import { apiUrl, ask, shared } from "./api.js";
import { classTag, h, moment, nameOf, quantity, replace } from "./dom.js";
import { apiCall } from "./files.js";
import { endText, protoName, shownName } from "./names.js";
import { exactText, sum } from "./numbers.js";
import { emptyNote, Panel, warnings } from "./panel.js";
import { table } from "./table.js";

/** @typedef {import("./app.js").App} App */

const ROWS = 300;
/** Rows of the other end further from those of this one are of other windows: a window's length, and clocks. */
const NEAR_MS = 8_000;

export class FlowView {
  title = "Flow";
  isLive = false;

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.heading = h("h1", { class: "flow-title" });
    this.why = new Panel("Class");
    this.verdict = new Panel("Books compared");
    this.ends = new Panel("Both ends", { className: "wide" });
    this.path = new Panel("Physical path", { className: "wide" });
    this.raw = new Panel("Raw messages", { className: "wide" });
    this.calls = h("div", { class: "calls" });
    this.element = h(
      "div",
      { class: "view flow" },
      this.heading,
      this.why.element,
      this.verdict.element,
      this.ends.element,
      this.path.element,
      this.raw.element,
      this.calls,
    );
  }

  refresh() {
    const { from, to, node, proto, src, sport, dst, dport } = this.app.values;
    replace(
      this.heading,
      h("bdi", { class: "address" }, endText(src, Number(sport))),
      h("span", { class: "arrow", "aria-label": "to" }, " → "),
      h("bdi", { class: "address" }, endText(dst, Number(dport))),
      h("span", { class: "muted" }, ` ${protoName(Number(proto))} · `),
      nameOf(node),
    );
    if (node === "" || proto === "") {
      for (const panel of this.#panels()) {
        panel.show(emptyNote("No flow is chosen", "Choose one in Explore, under Flows."));
      }
      return;
    }
    const connection = { node, proto, src, sport, dst, dport };
    const explain = { from, to, ...connection, limit: ROWS };
    const answer = shared(() => ask("/explain", explain));
    void this.why.load(answer, (found) => this.#why(found));
    void this.ends.load(answer, (found) => this.#ends(found));
    void this.path.load(answer, (found) => this.#path(found));
    void this.raw.load(answer, (found) => this.#raw(found));
    const reconcile = { from, to, filter: filterOf(this.app.values), all: true };
    void this.verdict.load(
      (signal) => ask("/reconcile", reconcile, signal),
      (found) => this.#verdict(found),
    );
    replace(this.calls, apiCall([apiUrl("/explain", explain), apiUrl("/reconcile", reconcile)]));
  }

  close() {
    for (const panel of this.#panels()) panel.close();
  }

  #panels() {
    return [this.why, this.verdict, this.ends, this.path, this.raw];
  }

  /** @param {any} answer */
  #why({ classes, completeness, truncated }) {
    if (classes.length === 0) return emptyNote("No window has this flow", "Choose a longer range.");
    return [
      ...classes.map((/** @type {any} */ found) =>
        h(
          "div",
          { class: "reason" },
          classTag(found.class),
          h("p", {}, `${shownName(found.reason)}.`),
          found.exitMode === undefined ? null : h(
            "p",
            { class: "muted" },
            `Exit addresses are written in the mode "${found.exitMode}".`,
          ),
        )
      ),
      warnings(completeness, truncated),
    ];
  }

  /** @param {any} answer */
  #ends({ node, peer, flows, otherEnd }) {
    if (flows.length === 0) return emptyNote("No window has this flow", "Choose a longer range.");
    const fromMs = Date.parse(flows[0].end) - NEAR_MS;
    const toMs = Date.parse(flows.at(-1).end) + NEAR_MS;
    const near = (otherEnd ?? []).filter((/** @type {any} */ { end }) =>
      Date.parse(end) >= fromMs && Date.parse(end) <= toMs
    );
    const side = (
      /** @type {string} */ role,
      /** @type {any} */ who,
      /** @type {any[]} */ rows,
    ) => {
      const name = who === null
        ? h("span", { class: "muted" }, "no node that is known")
        : nameOf(who.name || who.nodeId, "no name");
      const hint = who?.logs
        ? "It has no row of this flow in the windows of the other."
        : "It does not log here: what it saw cannot be compared.";
      return h(
        "div",
        { class: "side" },
        h("h3", {}, h("span", { class: "muted" }, `${role} `), name),
        rows.length > 0
          ? totalsOf(rows, this.app.units)
          : h("p", { class: "muted side-total" }, hint),
      );
    };
    return [
      h(
        "div",
        { class: "sides" },
        side("Reported by", node, flows),
        side("Other end", peer, near),
      ),
      this.#windows(flows, near, node, peer),
    ];
  }

  /**
   * Windows of both ends beside each other: what one sent, then what the other received of it.
   * @param {any[]} flows @param {any[]} near @param {any} node @param {any} peer
   */
  #windows(flows, near, node, peer) {
    const { units } = this.app;
    const rows = beside(flows, near);
    const nameOfEnd = (/** @type {any} */ who) =>
      nameOf(who?.name || who?.nodeId || "", "other end");
    const column = (
      /** @type {"own" | "other"} */ end,
      /** @type {"tx" | "rx"} */ way,
    ) => ({
      name: `${end}-${way}`,
      label: h(
        "span",
        {},
        nameOfEnd(end === "own" ? node : peer),
        way === "tx" ? " sent" : " received",
      ),
      isNumber: true,
      cell: (/** @type {any} */ row) =>
        row[end] === null
          ? h("span", { class: "none", title: "No row in this window" }, "–")
          : pair(row[end][`${way}Packets`], row[end][`${way}Bytes`], units),
    });
    const time = {
      name: "end",
      label: "Window until",
      cell: (/** @type {any} */ { end }) => moment(end),
    };
    const columns = near.length === 0 ? [time, column("own", "tx"), column("own", "rx")] : [
      time,
      column("own", "tx"),
      column("other", "rx"),
      column("other", "tx"),
      column("own", "rx"),
    ];
    return h(
      "div",
      { class: "ends-table" },
      table("Windows of both ends", columns, rows),
      near.length === 0 ? null : h(
        "p",
        { class: "muted rest" },
        "A packet may be sent in one window and arrive in the next: what is lost is told by the books compared, not by one row.",
      ),
    );
  }

  /** @param {any} answer */
  #path({ physical, peer }) {
    if (physical.length === 0) {
      return emptyNote(
        "No datagrams of the tunnel stand beside it",
        peer === null
          ? "The other end is no node that is known."
          : "Its windows hold no physical rows of this peer.",
      );
    }
    /** @type {Map<string, any[]>} */
    const byEnd = Map.groupBy(physical, (/** @type {any} */ row) => endText(row.dst, row.dport));
    const { units } = this.app;
    return [
      h(
        "p",
        { class: "muted summary" },
        "Endpoints that the peer was reached at in the same windows. All its datagrams are counted, not only this flow's.",
      ),
      table("Endpoints", [
        {
          name: "endpoint",
          label: "Endpoint",
          cell: (/** @type {any} */ [end]) => h("bdi", { class: "address" }, end),
        },
        {
          name: "windows",
          label: "Windows",
          isNumber: true,
          cell: (/** @type {any} */ [, rows]) => String(rows.length),
        },
        {
          name: "tx",
          label: "Sent",
          isNumber: true,
          cell: (/** @type {any} */ [, rows]) =>
            pair(totalOf(rows, "txPackets"), totalOf(rows, "txBytes"), units),
        },
        {
          name: "rx",
          label: "Received",
          isNumber: true,
          cell: (/** @type {any} */ [, rows]) =>
            pair(totalOf(rows, "rxPackets"), totalOf(rows, "rxBytes"), units),
        },
      ], [...byEnd]),
    ];
  }

  /** @param {any} answer */
  #raw({ messages }) {
    if (messages.length === 0) {
      return emptyNote(
        "No message is kept",
        "Roll-ups outlive the messages that they were made of.",
      );
    }
    return messages.map((/** @type {any} */ message) =>
      h(
        "details",
        { class: "message" },
        h(
          "summary",
          {},
          `Entry ${message.entry}, process ${message.procId}, number ${message.procSeq}`,
        ),
        h(
          "pre",
          { tabindex: 0 },
          message.json === null ? "no longer kept" : prettyJson(message.json),
        ),
      )
    );
  }

  /** @param {any} answer */
  #verdict({ pairs }) {
    const { src, sport, dst, dport } = this.app.values;
    const flows = pairs.flatMap((/** @type {any} */ found) => found.flows).filter(
      (/** @type {any} */ flow) => {
        const ends = [endText(flow.src, flow.sport), endText(flow.dst, flow.dport)].sort().join();
        return ends === [endText(src, Number(sport)), endText(dst, Number(dport))].sort().join();
      },
    );
    if (flows.length === 0) {
      return emptyNote(
        "There are not two books of it",
        "Only traffic between two nodes that both log can be compared.",
      );
    }
    return h(
      "ul",
      { class: "verdicts" },
      flows.map((/** @type {any} */ flow) =>
        h(
          "li",
          {},
          h(
            "p",
            {},
            nameOf(flow.from),
            h("span", { class: "arrow" }, " → "),
            nameOf(flow.to),
            " ",
            verdictTag(flow.verdict),
          ),
          h("p", { class: "muted" }, lossText(flow)),
        )
      ),
    );
  }
}

/**
 * Rows of both ends by window. The grid is the same for all nodes; where it is not, rows stand alone.
 * @param {any[]} flows @param {any[]} near
 * @returns {{ end: string, own: any, other: any }[]}
 */
export function beside(flows, near) {
  /** @type {Map<number, { end: string, own: any, other: any }>} */
  const rows = new Map();
  const rowAt = (/** @type {string} */ end) => {
    const ms = Date.parse(end);
    const row = rows.get(ms) ?? { end, own: null, other: null };
    rows.set(ms, row);
    return row;
  };
  for (const flow of flows) rowAt(flow.end).own = flow;
  for (const flow of near) rowAt(flow.end).other = flow;
  return [...rows].sort(([a], [b]) => a - b).map(([, row]) => row);
}

/** @param {any[]} rows @param {string} member */
function totalOf(rows, member) {
  return sum(0, ...rows.map((row) => row[member]));
}

/** @param {any[]} rows @param {import("./numbers.js").UnitSystem} units */
function totalsOf(rows, units) {
  return h(
    "p",
    { class: "side-total" },
    "sent ",
    pair(totalOf(rows, "txPackets"), totalOf(rows, "txBytes"), units),
    " · received ",
    pair(totalOf(rows, "rxPackets"), totalOf(rows, "rxBytes"), units),
  );
}

/** @param {import("./numbers.js").Count} packets @param {import("./numbers.js").Count} bytes @param {import("./numbers.js").UnitSystem} units */
function pair(packets, bytes, units) {
  return h(
    "span",
    { class: "pair" },
    quantity("bytes", bytes, units),
    " ",
    h("span", { class: "muted", title: exactText(packets, "packets") }, "in "),
    quantity("count", packets),
    h("span", { class: "muted" }, " pkts"),
  );
}

const VERDICTS = {
  good: "agree",
  loss: "loss",
  altered: "more arrived than was sent",
  withheld: "one end is silent",
  unknown: "cannot be said",
};

/** @param {string} verdict */
export function verdictTag(verdict) {
  const text = VERDICTS[/** @type {keyof typeof VERDICTS} */ (verdict)] ?? verdict;
  return h("span", { class: `verdict verdict-${verdict}` }, text);
}

/** Bounds in words. @param {any} flow */
export function lossText({ sentPackets, lostPackets, lostBytes }) {
  if (lostPackets === null) return "There is no time in which both records are complete.";
  const bounds = (/** @type {number[]} */ [min, max]) =>
    min === max ? exactText(min) : `${exactText(min)} to ${exactText(max)}`;
  return `${bounds(lostPackets)} of ${bounds(sentPackets)} packets lost, ${
    bounds(lostBytes)
  } bytes`;
}

/** Text as it came, with lines: numbers keep every digit, so nothing is parsed. @param {string} json */
export function prettyJson(json) {
  let depth = 0;
  const line = () => "\n" + "  ".repeat(Math.max(0, depth));
  return json.replace(/\p{Cf}/gu, "\ufffd").replace(
    /"(?:[^"\\]|\\.)*"|[{[]\s*[}\]]|[{}[\],:]/g,
    (token) => {
      if (token === "{" || token === "[") {
        depth++;
        return token + line();
      }
      if (token === "}" || token === "]") {
        depth--;
        return line() + token;
      }
      return token === "," ? `,${line()}` : token === ":" ? ": " : token;
    },
  );
}

/** @param {import("./url_state.js").Values} values */
function filterOf({ proto, src, sport, dst, dport }) {
  const host = (/** @type {string} */ address) => address === "" ? "host none" : `host ${address}`;
  const port = (/** @type {string} */ number) => number === "0" ? "" : ` and port ${number}`;
  return `proto ${proto} and ${host(src)} and ${host(dst)}${port(sport)}${port(dport)}`;
}
