// @ts-check
/// <reference lib="dom" />
/** Overview: how much of which class, who talks most, who logs and how well. Live where the range ends now. */
import { ask, shared } from "./api.js";
import { Chart } from "./chart.js";
import { ago, append, h, nameOf, quantity, replace } from "./dom.js";
import { lostOf, ratesOf } from "./grid.js";
import { narrowed, shownName, termOf } from "./names.js";
import { percentText, sum } from "./numbers.js";
import { emptyNote, Panel, warnings } from "./panel.js";
import { table } from "./table.js";
import { clockText, durationText } from "./times.js";
import { EXPLORE_FILTER } from "./url_state.js";

/** @typedef {import("./app.js").App} App */

/** From the bottom of the stack. The tunnel's own datagrams carry all others: they are a line over them, not one more part. */
export const STACK = ["virtual", "subnet", "exit", "unknown"];
const COUNTED =
  "All classes but physical, as the nodes counted it: what two nodes that both log said to each other is counted by both";
const TALKERS = 8;
const GAPS_MAX = 1_000;
const NEWS_MAX = 6;
/** Longer than a node needs to report that it is idle. */
const QUIET_MS = 120_000;

export class OverviewView {
  title = "Overview";
  isLive = true;
  /** @type {any[]} */
  #news = [];
  #asking = new AbortController();

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.totals = new Panel("", { className: "totals" });
    this.traffic = new Panel("Traffic by class", { className: "wide" });
    this.talkers = new Panel("Top talkers", {
      tools: [h("a", { class: "panel-link", href: app.href("explore", {}) }, "Explore")],
    });
    this.nodes = new Panel("Nodes", {
      tools: [h("a", { class: "panel-link", href: app.href("completeness", {}) }, "Completeness")],
    });
    this.chart = new Chart({
      label: "Traffic by class over time. Arrow keys move, plus and minus zoom.",
      onRange: (fromMs, toMs) => app.go({ from: String(fromMs), to: String(toMs) }),
      onHide: (hidden) => app.go({ hidden: hidden.join(",") }, { isQuiet: true }),
    });
    this.news = h("ol", { class: "news", "aria-label": "Newest windows" });
    this.element = h(
      "div",
      { class: "view overview" },
      this.totals.element,
      this.traffic.element,
      this.talkers.element,
      this.nodes.element,
      this.news,
    );
  }

  refresh() {
    const { from, to } = this.app.values;
    const range = { from, to };
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal: ofAll } = this.#asking;
    const series = shared(() => ask("/series", { ...range, by: "class" }, ofAll));
    const nodes = shared(() => ask("/nodes", range, ofAll));
    void this.traffic.load(
      (signal) =>
        Promise.all([
          series(),
          ask("/gaps", { ...range, limit: GAPS_MAX }, signal),
          nodes(),
        ]),
      ([answer, gaps, known]) => this.#traffic(answer, lostOf(gaps), newestOf(known.nodes)),
    );
    void this.totals.load(series, (answer) => this.#totals(answer));
    void this.nodes.load(nodes, (answer) => this.#nodes(answer));
    void this.talkers.load(
      (signal) =>
        Promise.all([
          ask("/top", { ...range, by: "src,dst", filter: EXPLORE_FILTER, limit: TALKERS }, signal),
          nodes(),
        ]),
      ([answer, known]) => this.#talkers(answer, namesOf(known.nodes)),
    );
  }

  /** @param {any} window */
  onWindow(window) {
    this.#news = [window, ...this.#news].slice(0, NEWS_MAX);
    const { units } = this.app;
    replace(this.news);
    for (const { node, end, rows, sums } of this.#news) {
      const bytes = sum(
        0,
        ...STACK.flatMap((name) =>
          sums[name] === undefined ? [] : [sums[name].txBytes, sums[name].rxBytes]
        ),
      );
      append(
        this.news,
        h(
          "li",
          {},
          h("time", { datetime: end }, clockText(Date.parse(end))),
          nameOf(node),
          quantity("bytes", bytes, units),
          h("span", { class: "muted" }, `${rows} ${rows === 1 ? "row" : "rows"}`),
        ),
      );
    }
  }

  close() {
    this.#asking.abort();
    this.chart.close();
    for (const panel of [this.totals, this.traffic, this.talkers, this.nodes]) panel.close();
  }

  /** @param {any} answer */
  #totals({ series, completeness }) {
    const { units } = this.app;
    const of = (/** @type {string[]} */ names, /** @type {string} */ counter) =>
      sum(
        0,
        ...series.filter((/** @type {any} */ line) => names.includes(line.class)).flatMap((
          /** @type {any} */ line,
        ) => line[counter].filter((/** @type {unknown} */ count) => count !== null)),
      );
    const figure = (
      /** @type {string} */ label,
      /** @type {import("./dom.js").Child} */ value,
      /** @type {string} */ hint,
      className = "",
    ) =>
      h(
        "div",
        { class: `figure ${className}`, title: hint },
        h("dt", {}, label),
        h("dd", {}, value),
      );
    const { share } = completeness;
    const isLost = completeness.gaps > 0 || completeness.missing > 0;
    return h(
      "dl",
      { class: "figures" },
      figure(
        "Sent",
        quantity("bytes", of(STACK, "txBytes"), units),
        COUNTED,
      ),
      figure(
        "Received",
        quantity("bytes", of(STACK, "rxBytes"), units),
        COUNTED,
      ),
      figure(
        "Packets",
        quantity("count", sum(of(STACK, "txPackets"), of(STACK, "rxPackets"))),
        COUNTED,
      ),
      figure(
        "On the wire",
        quantity("bytes", sum(of(["physical"], "txBytes"), of(["physical"], "rxBytes")), units),
        "Datagrams of the tunnels themselves: headers, padding, handshakes and keepalives included",
      ),
      figure(
        "Complete",
        share === null ? "–" : percentText(share),
        share === null
          ? "Nothing was expected in this range"
          : "Part of the expected time of all nodes for which nothing is missing or lost",
        isLost ? "is-lost" : "",
      ),
    );
  }

  /** @param {any} answer @param {{ fromMs: number, toMs: number }[]} lost @param {number} newestMs */
  #traffic({ range, stepMs, series, shares, completeness, truncated }, lost, newestMs) {
    const { units, values } = this.app;
    const fromMs = Date.parse(range.from);
    const byClass = new Map(series.map((/** @type {any} */ line) => [line.class, line]));
    const lines = [...STACK, "physical"].flatMap((name) => {
      const line = byClass.get(name);
      if (line === undefined) return [];
      const total = sum(0, ...[...line.txBytes, ...line.rxBytes].filter((count) => count !== null));
      // A class that never occurs takes no room; the first two are what one looks for.
      if (Number(total) === 0 && !["virtual", "subnet"].includes(name)) return [];
      return [{
        ...{
          name,
          color: `--class-${name}`,
          rates: ratesOf(line, stepMs, { fromMs, newestMs }),
          isStacked: name !== "physical",
        },
        total: quantity("bytes", total, units),
        hint: name === "physical"
          ? "Datagrams of the tunnels themselves, which carry all other classes"
          : `Show or hide ${name}`,
      }];
    });
    const isEmpty = shares.every((/** @type {number | null} */ share) => share === null) &&
      lines.every(({ rates }) => rates.every((rate) => rate === null || rate === 0));
    if (isEmpty) {
      return emptyNote(
        "No traffic is known in this range",
        "Choose a longer range, or have a node log here: [FlowLog] Collector = this address.",
      );
    }
    if (!this.chart.element.isConnected) replace(this.traffic.body, this.chart.element);
    const hidden = values.hidden === "" ? [] : values.hidden.split(",");
    this.chart.show({ fromMs, stepMs, lines, shares, lost }, hidden);
    const note = warnings(completeness, truncated);
    replace(this.traffic.note, note);
    return null;
  }

  /** @param {any} answer @param {ReadonlyMap<string, string>} names */
  #talkers({ groups, rest, total }, names) {
    if (groups.length === 0) {
      return emptyNote("Nobody talked", "There is no traffic in this range.");
    }
    const { app } = this;
    const { units } = app;
    const all = Number(sum(total.txBytes, total.rxBytes));
    const rows = groups.map((/** @type {any} */ group) => {
      const bytes = sum(group.txBytes, group.rxBytes);
      const filter = narrowed(termOf("src", group.src), termOf("dst", group.dst));
      return h(
        "li",
        {},
        h(
          "a",
          {
            class: "talker",
            href: app.href("explore", { filter, by: "proto,dport" }),
            title: all === 0
              ? null
              : `${percentText(Number(bytes) / all)} of all; shows what they talk about`,
          },
          h("span", { class: "ends" }, endsOf(group, names)),
          quantity("bytes", bytes, units),
          bar(all === 0 ? 0 : Number(bytes) / all),
        ),
      );
    });
    const others = rest === null || rest.groups === 0 ? null : h(
      "p",
      { class: "muted rest" },
      `${rest.groups} more: `,
      quantity("bytes", sum(rest.txBytes, rest.rxBytes), units),
    );
    return [h("ol", { class: "talkers" }, rows), others];
  }

  /** @param {any} answer */
  #nodes({ nodes }) {
    const nowMs = Date.now();
    const rows = loggingNodes(nodes);
    const others = nodes.filter((/** @type {any} */ node) => !node.logs).length;
    if (rows.length === 0) {
      return emptyNote(
        "No node logs here yet",
        "Have a node log here, [FlowLog] Collector = this address, and adopt it: tunlog collect adopt PUBLIC_ID.",
      );
    }
    return [
      table("Nodes", [
        {
          name: "name",
          label: "Node",
          cell: (/** @type {any} */ node) =>
            h(
              "a",
              {
                class: "node-name",
                href: this.app.href("explore", {
                  filter: narrowed(EXPLORE_FILTER, termOf("node", node.name || node.nodeId)),
                  by: "peer,class",
                }),
              },
              healthDot(healthOf(node, nowMs)),
              nameOf(node.name || node.nodeId, "no name"),
            ),
        },
        {
          name: "seen",
          label: "Last word",
          hint: "End of the newest window or report",
          cell: (/** @type {any} */ node) => ago(newest(node), nowMs),
        },
        {
          name: "share",
          label: "Complete",
          isNumber: true,
          cell: (/** @type {any} */ node) => shareCell(node),
        },
        {
          name: "queue",
          label: "Queue",
          hint: "Entries that waited at the node when it last reported",
          isNumber: true,
          cell: (/** @type {any} */ node) => quantity("count", waitingOf(node)),
        },
        {
          name: "gaps",
          label: "Lost",
          hint: "Time of which the record was lost or is missing",
          isNumber: true,
          cell: (/** @type {any} */ node) => lostCell(node),
        },
      ], rows),
      others === 0
        ? null
        : h("p", { class: "muted rest" }, `${others} more are named by others and do not log`),
    ];
  }
}

/** @param {any} group @param {ReadonlyMap<string, string>} names */
function endsOf({ src, dst }, names) {
  // What left for the internet is one sum, unless the node was told to write more.
  if (src === "" && dst === "") return h("span", {}, "internet, addresses not kept");
  return [
    endOf(src, names),
    h("span", { class: "arrow", "aria-label": "to" }, "→"),
    endOf(dst, names),
  ];
}

/** @param {string} address @param {ReadonlyMap<string, string>} names */
function endOf(address, names) {
  const name = names.get(address);
  const text = h("bdi", { class: "address" }, shownName(address) || "no address");
  return name === undefined
    ? text
    : h("span", { class: "end", title: address }, nameOf(name), " ", text);
}

/** Names by address. @param {any[]} nodes @returns {Map<string, string>} */
function namesOf(nodes) {
  return new Map(
    nodes.filter(({ name }) => name !== "").flatMap(({ name, addresses }) =>
      addresses.map((/** @type {string} */ address) => [address, name])
    ),
  );
}

/** When the log ends. @param {any[]} nodes */
export function newestOf(nodes) {
  return Math.max(0, ...nodes.map((node) => Date.parse(newest(node) ?? "") || 0));
}

/** @param {number} share */
function bar(share) {
  const part = h("span", { class: "bar-part" });
  part.style.width = `${Math.max(0.5, share * 100)}%`;
  return h("span", { class: "bar", "aria-hidden": "true" }, part);
}

/** @param {any} node @returns {string | null} */
export function newest(node) {
  const words = node.streams.map((/** @type {any} */ stream) => stream.lastWord).filter((
    /** @type {unknown} */ word,
  ) => word !== null);
  return words.sort().at(-1) ?? null;
}

/** Nodes that log, by name. @param {any[]} nodes @returns {any[]} */
export function loggingNodes(nodes) {
  const labelOf = (/** @type {any} */ node) => node.name || node.nodeId;
  return nodes.filter((node) => node.streams.length > 0)
    .sort((a, b) => labelOf(a).localeCompare(labelOf(b), "en", { numeric: true }));
}

/** Time of which a node's record is lost or missing. @param {any} node */
export function lostMsOf(node) {
  return total(node, "gapMs") + total(node, "missingMs");
}

/** @param {any} node @param {string} member */
function total(node, member) {
  return node.streams.reduce(
    (/** @type {number} */ all, /** @type {any} */ stream) => all + stream[member],
    0,
  );
}

/** @param {any} node */
function waitingOf(node) {
  const reports = node.streams.flatMap((/** @type {any} */ stream) => stream.processes)
    .filter((/** @type {any} */ process) => process.report !== null)
    .sort((/** @type {any} */ a, /** @type {any} */ b) => a.report.end < b.report.end ? 1 : -1);
  return reports[0]?.report.waitingEntries ?? null;
}

/** @param {any} node @param {number} nowMs @returns {"good" | "lost" | "quiet"} */
export function healthOf(node, nowMs) {
  if (lostMsOf(node) > 0) return "lost";
  const word = newest(node);
  return word === null || nowMs - Date.parse(word) > QUIET_MS ? "quiet" : "good";
}

/** @param {"good" | "lost" | "quiet"} health */
export function healthDot(health) {
  const words = {
    good: "in good order",
    lost: "part of its record is lost",
    quiet: "has not spoken for a while",
  };
  return h("span", {
    class: `dot dot-${health}`,
    role: "img",
    "aria-label": words[health],
    title: words[health],
  });
}

/** @param {any} node */
function shareCell(node) {
  const expected = ["completeMs", "gapMs", "missingMs", "silentMs"].reduce(
    (all, member) => all + total(node, member),
    0,
  );
  const share = node.streams.length === 1
    ? node.streams[0].share
    : expected === 0
    ? null
    : total(node, "completeMs") / expected;
  return share === null
    ? h("span", { class: "none", title: "Nothing was expected in this range" }, "–")
    : h("span", { class: lostMsOf(node) > 0 ? "is-lost" : "" }, percentText(share));
}

/** @param {any} node */
function lostCell(node) {
  const ms = lostMsOf(node);
  return ms === 0 ? h("span", { class: "none" }, "0 s") : h(
    "span",
    { class: "is-lost", title: `${ms} ms` },
    durationText(ms),
  );
}
