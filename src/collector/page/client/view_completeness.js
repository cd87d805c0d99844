// @ts-check
/// <reference lib="dom" />
/** Completeness: for each node what is known of its time, and what was lost, why, and how much exactly. Red means lost. */
import { ask } from "./api.js";
import { ago, append, classTag, h, moment, nameOf, quantity } from "./dom.js";
import { exactText, percentText, sum } from "./numbers.js";
import { emptyNote, Panel } from "./panel.js";
import { table } from "./table.js";
import { percentAt, stretchesOf, ticksOf } from "./timeline.js";
import { axisTexts, durationText, localText, utcText } from "./times.js";
import { healthDot, healthOf, loggingNodes, lostMsOf, newest } from "./view_overview.js";

/** @typedef {import("./app.js").App} App */

const GAPS_MAX = 1_000;
const GAPS_SHOWN = 200;

/** Causes in words (src/logtail/gap.ts). @type {Readonly<Record<string, string>>} */
const CAUSES = {
  full: "the node's spool was full",
  memory: "the node's disk failed, and memory was full",
  refused: "the collector refused it",
  tooLarge: "the collector found it too large",
  damaged: "bytes on the node's disk changed",
  torn: "the node ended while it was written",
  killed: "the node was killed before its last window was taken",
  output: "a local file could not be written",
};

export class CompletenessView {
  title = "Completeness";
  isLive = true;

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.lines = new Panel("Record of each node", { className: "wide", tools: [legend()] });
    this.gaps = new Panel("What is lost or missing", { className: "wide" });
    this.laws = new Panel("Self-reports", { className: "wide" });
    this.element = h(
      "div",
      { class: "view completeness" },
      this.lines.element,
      this.gaps.element,
      this.laws.element,
    );
  }

  refresh() {
    const { from, to, check } = this.app.values;
    const range = { from, to };
    void this.lines.load(
      (signal) =>
        Promise.all([
          ask("/nodes", range, signal),
          ask("/gaps", { ...range, limit: GAPS_MAX }, signal),
        ]),
      ([nodes, gaps]) => {
        this.gaps.show(this.#gaps(gaps));
        return this.#lines(nodes, gaps);
      },
    );
    if (check !== "true") {
      const note = emptyNote(
        "Not checked yet",
        "Each process reports sums of all that it wrote. Checking reads all its windows.",
      );
      note.append(this.#checkButton());
      this.laws.show(note);
    } else {void this.laws.load((signal) =>
        ask("/nodes", { ...range, check: true, timeout: "60s" }, signal), (answer) =>
        this.#laws(answer));}
  }

  close() {
    for (const panel of [this.lines, this.gaps, this.laws]) panel.close();
  }

  #checkButton() {
    return h("button", {
      type: "button",
      click: () => this.app.go({ check: "true" }),
    }, "Check the books");
  }

  /** @param {any} nodes @param {any} gaps */
  #lines({ range, nodes }, { gaps }) {
    const logging = loggingNodes(nodes);
    if (logging.length === 0) {
      return emptyNote(
        "No node logs here yet",
        "Have a node log here, [FlowLog] Collector = this address, and adopt it: tunlog collect adopt PUBLIC_ID.",
      );
    }
    const span = { fromMs: Date.parse(range.from), toMs: Date.parse(range.to) };
    const nowMs = Date.now();
    const rows = logging.map((/** @type {any} */ node) => {
      const track = h("div", { class: "track" });
      for (const stream of node.streams) {
        for (const stretch of stretchesOf(stream, gaps, span)) {
          append(track, segment(stretch, span));
        }
      }
      const lostMs = lostMsOf(node);
      const shares = node.streams.map((/** @type {any} */ stream) => stream.share).filter((
        /** @type {unknown} */ share,
      ) => share !== null);
      const share = shares.length === 0 ? null : Math.min(...shares);
      return h(
        "li",
        {},
        h(
          "div",
          { class: "track-name" },
          healthDot(healthOf(node, nowMs)),
          nameOf(node.name || node.nodeId, "no name"),
        ),
        track,
        h(
          "div",
          { class: "track-facts" },
          h(
            "span",
            { class: lostMs > 0 ? "is-lost" : "" },
            share === null ? "–" : percentText(share),
          ),
          h(
            "span",
            { class: "muted" },
            lostMs > 0 ? `${durationText(lostMs)} lost` : ago(newest(node), nowMs),
          ),
        ),
      );
    });
    return h("div", { class: "tracks" }, h("ol", {}, rows), axis(span));
  }

  /** @param {any} answer */
  #gaps({ gaps, truncated }) {
    if (gaps.length === 0) {
      return emptyNote(
        "Nothing is lost in this range",
        "No node declared a loss, and no entry is missing without a word.",
      );
    }
    const { units } = this.app;
    const more = gaps.length > GAPS_SHOWN || truncated !== null
      ? h("p", { class: "muted rest" }, `The newest ${Math.min(gaps.length, GAPS_SHOWN)} are shown`)
      : null;
    return [
      table("Gaps, the newest first", [
        { name: "node", label: "Node", cell: (/** @type {any} */ gap) => nameOf(gap.node) },
        {
          name: "kind",
          label: "What",
          cell: (/** @type {any} */ gap) =>
            h(
              "span",
              { class: `gap-kind kind-${gap.kind}` },
              gap.kind === "declared" ? "lost, declared" : "missing",
            ),
        },
        { name: "from", label: "From", cell: (/** @type {any} */ gap) => moment(gap.from) },
        {
          name: "length",
          label: "Length",
          isNumber: true,
          cell: (/** @type {any} */ gap) => durationText(Date.parse(gap.to) - Date.parse(gap.from)),
        },
        {
          name: "cause",
          label: "Cause",
          cell: (/** @type {any} */ gap) =>
            gap.cause === undefined
              ? h("span", { class: "muted" }, "not declared")
              : h("span", { title: gap.cause }, CAUSES[gap.cause] ?? gap.cause),
        },
        {
          name: "entries",
          label: "Entries",
          hint: "First to last number of the process",
          isNumber: true,
          cell: (/** @type {any} */ gap) =>
            h("span", {
              class: "number",
              title: `${gap.firstSeq} to ${gap.lastSeq} of process ${gap.procId}`,
            }, exactText(gap.entries)),
        },
        {
          name: "loss",
          label: "Exact loss",
          cell: (/** @type {any} */ gap) => lossCell(gap, units),
        },
      ], gaps.slice(0, GAPS_SHOWN)),
      more,
    ];
  }

  /** @param {any} answer */
  #laws({ nodes }) {
    const rows = nodes.flatMap((/** @type {any} */ node) =>
      node.streams.flatMap((/** @type {any} */ stream) =>
        stream.processes.map((/** @type {any} */ process) => ({ node, process }))
      )
    );
    if (rows.length === 0) {
      return emptyNote("No process has reported", "Reports come once a minute.");
    }
    return table("Processes and their reports", [
      {
        name: "node",
        label: "Node",
        cell: (/** @type {any} */ { node }) => nameOf(node.name || node.nodeId),
      },
      {
        name: "process",
        label: "Process",
        cell: (/** @type {any} */ { process }) => process.procId,
      },
      {
        name: "received",
        label: "Received",
        isNumber: true,
        cell: (/** @type {any} */ { process }) => exactText(process.received),
      },
      {
        name: "report",
        label: "Newest report",
        cell: (/** @type {any} */ { process }) =>
          process.report === null ? "–" : moment(process.report.end),
      },
      {
        name: "law",
        label: "Books",
        cell: (/** @type {any} */ { process }) => lawCell(process.law),
      },
    ], rows);
  }
}

function legend() {
  const item = (/** @type {string} */ state, /** @type {string} */ text) =>
    h("span", { class: "state-key" }, h("span", { class: `state state-${state}` }), text);
  return h(
    "span",
    { class: "state-keys" },
    item("complete", "complete"),
    item("gap", "lost, declared"),
    item("missing", "missing"),
    item("silent", "nothing said"),
  );
}

/** @param {import("./timeline.js").Stretch} stretch @param {import("./times.js").RangeMs} span */
function segment({ state, fromMs, toMs, gap }, span) {
  const words = { complete: "Complete", gap: "Lost, declared", missing: "Missing without a word" };
  const facts = gap === undefined
    ? ""
    : `: ${gap.entries} entries${
      gap.cause === undefined ? "" : `, ${CAUSES[gap.cause] ?? gap.cause}`
    }`;
  const text = `${words[state]}${facts}\n${localText(fromMs)} – ${localText(toMs)}\n${
    utcText(fromMs)
  }`;
  const part = h("span", {
    class: `state state-${state}`,
    title: text,
    role: "img",
    "aria-label": text,
    tabindex: state === "complete" ? null : 0,
  });
  part.style.left = `${percentAt(fromMs, span)}%`;
  part.style.width = `${percentAt(toMs, span) - percentAt(fromMs, span)}%`;
  return part;
}

/** @param {import("./times.js").RangeMs} span */
function axis(span) {
  const { ticks, stepMs } = ticksOf(span, 6);
  const texts = axisTexts(ticks.map((ms) => ms / 1_000), stepMs / 1_000);
  const line = h("div", { class: "track-axis", "aria-hidden": "true" });
  for (const [index, ms] of ticks.entries()) {
    const percent = percentAt(ms, span);
    // At the edges a text stands within the line, not around its moment.
    const place = percent < 4 ? "at-start" : percent > 96 ? "at-end" : "";
    const tick = h("span", { class: place, title: utcText(ms) }, texts[index].replace("\n", " "));
    tick.style.left = `${percent}%`;
    append(line, tick);
  }
  return h("div", { class: "track-foot" }, line);
}

/** @param {any} gap @param {import("./numbers.js").UnitSystem} units */
function lossCell(gap, units) {
  if (gap.sums === undefined || gap.sums === null) {
    return h(
      "span",
      { class: "muted" },
      gap.kind === "missing" ? "not known: nobody tells" : "not known",
    );
  }
  const classes = Object.entries(gap.sums);
  if (classes.length === 0) return h("span", { class: "muted" }, "no traffic");
  return h(
    "ul",
    { class: "losses" },
    classes.map(([name, sums]) =>
      h(
        "li",
        {},
        classTag(name),
        " ",
        quantity("bytes", sum(sums.txBytes, sums.rxBytes), units),
        h("span", { class: "muted" }, " in "),
        quantity("count", sum(sums.txPackets, sums.rxPackets)),
        h("span", { class: "muted" }, " pkts"),
      )
    ),
  );
}

/** @param {any} law */
function lawCell(law) {
  /** @type {Readonly<Record<string, string>>} */
  const words = {
    kept: "agree",
    missing: "entries are missing",
    broken: "do not agree",
    unknown: "cannot be said",
  };
  return h(
    "span",
    { class: `verdict law-${law.state}`, title: law.reason ?? "" },
    words[law.state] ?? law.state,
    law.reason === undefined ? null : h("span", { class: "muted" }, ` ${law.reason}`),
  );
}
