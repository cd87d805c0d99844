// @ts-check
/// <reference lib="dom" />
/** Explore: any question to the log: filter, groups, table, drawing, single flows, and the API calls behind them. */
import { apiUrl, ask } from "./api.js";
import { Chart } from "./chart.js";
import { classTag, h, moment, nameOf, quantity, replace } from "./dom.js";
import { apiCall, downloadButtons } from "./files.js";
import { FilterBox } from "./filter_box.js";
import {
  bytesOf,
  capitalized,
  DIMENSIONS,
  dimensionText,
  flowHref,
  labelOf,
  valueOf,
} from "./explore_parts.js";
import { lostOf, ratesOf } from "./grid.js";
import { endText, narrowed, protoName, shownName, termOf } from "./names.js";
import { exactText, percentText, sum } from "./numbers.js";
import { emptyNote, Panel, warnings } from "./panel.js";
import { sankey } from "./sankey.js";
import { sorted, table } from "./table.js";
import { durationText, rangeOf } from "./times.js";
import { newestOf } from "./view_overview.js";

/** @typedef {import("./app.js").App} App */

/** Beyond, groups are read from sums of hours: from minutes a day of 10 M rows takes a second (tests/bench/page_bench.ts). */
const MINUTES_MS_MAX = 6 * 3_600_000 + 60_000;
/** From here on steps are hours anyway. */
const HOURS_MS_MAX = 400 * 3_600_000;
/** What sums of hours cannot tell, or tell otherwise. */
const NO_ROLL_UP = /\b(sport|port|folded|bytes|pkts|rate)\b/;

const SHOWS = [["groups", "Groups"], ["sankey", "Sankey"], ["flows", "Flows"]];
const GROUPS_MAX = 300;
const GAPS_MAX = 1_000;
const PAGE_ROWS = 25;
const LINES = 7;
const SANKEY_GROUPS = 40;
const FLOWS = 50;
const DOWNLOAD_ROWS = 10_000;

export class ExploreView {
  title = "Explore";
  isLive = false;
  /** @type {any} */
  #answer = null;

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.box = new FilterBox((filter) => app.go({ filter, page: "1", cursor: "" }));
    this.controls = h("div", { class: "controls" });
    this.chartPanel = new Panel("Rate", { className: "wide chart-panel" });
    this.main = new Panel("", { className: "wide" });
    this.calls = h("div", { class: "calls" });
    this.chart = new Chart({
      label: "Rates of the greatest groups. Arrow keys move, plus and minus zoom.",
      onRange: (fromMs, toMs) => app.go({ from: String(fromMs), to: String(toMs), cursor: "" }),
      onHide: () => {},
    });
    this.element = h(
      "div",
      { class: "view explore" },
      this.box.element,
      this.controls,
      this.chartPanel.element,
      this.main.element,
      this.calls,
    );
  }

  refresh() {
    const { filter, show } = this.app.values;
    this.box.show(filter);
    this.#drawControls();
    this.chartPanel.element.hidden = show === "flows";
    const calls = [];
    if (show !== "flows") calls.push(this.#loadSeries());
    if (show === "sankey") calls.push(this.#loadSankey());
    else if (show === "flows") calls.push(this.#loadFlows());
    else calls.push(this.#loadGroups());
    replace(this.calls, apiCall(calls));
  }

  close() {
    this.chart.close();
    this.box.close();
    this.chartPanel.close();
    this.main.close();
  }

  /** What all questions say. */
  #question() {
    const { from, to, filter } = this.app.values;
    return { from, to, filter };
  }

  #spanMs() {
    const range = rangeOf(this.app.values, Date.now());
    return range === null ? 0 : range.toMs - range.fromMs;
  }

  #by() {
    const names = DIMENSIONS.map(([name]) => name);
    const by = [...new Set(this.app.values.by.split(","))].filter((name) => names.includes(name))
      .slice(0, 2);
    return by.length === 0 ? ["src", "dst"] : by;
  }

  /** @param {import("./api.js").ApiError} error */
  #onProblem(error) {
    if (error.kind !== "wrong" || error.details.parameter !== "filter") return;
    this.box.showProblem(this.app.values.filter, error.message, error.details.position);
  }

  #drawControls() {
    const { app } = this;
    const { show } = app.values;
    const by = this.#by();
    const select = (/** @type {number} */ index, /** @type {string} */ label) => {
      const options = DIMENSIONS.map(([name, text]) =>
        h(
          "option",
          { value: name, selected: by[index] === name, disabled: by[1 - index] === name },
          text,
        )
      );
      const none = index === 0
        ? null
        : h("option", { value: "", selected: by[1] === undefined }, "nothing");
      return h(
        "select",
        {
          ...{ name: `by${index}`, "aria-label": label },
          change: (/** @type {Event} */ event) => {
            const chosen = [...by];
            chosen[index] = /** @type {HTMLSelectElement} */ (event.target).value;
            app.go({
              by: chosen.filter((name) => name !== "" && name !== undefined).join(","),
              sort: "",
              page: "1",
            });
          },
        },
        none,
        options,
      );
    };
    const tabs = SHOWS.map(([name, label]) =>
      h("button", {
        type: "button",
        class: "tab",
        "aria-pressed": String(show === name),
        click: () => app.go({ show: name, cursor: "" }),
      }, label)
    );
    const tools = show === "sankey" ? [] : downloadButtons(`tunlog-${show}`, () => this.#rows());
    const isFocused = this.controls.contains(document.activeElement);
    const focus = isFocused
      ? [...this.controls.querySelectorAll("button, select")].indexOf(
        /** @type {Element} */ (document.activeElement),
      )
      : -1;
    replace(
      this.controls,
      h("div", { class: "tabs", role: "group", "aria-label": "Show" }, tabs),
      show === "groups"
        ? h(
          "div",
          { class: "group-by" },
          "by ",
          select(0, "Group by"),
          " and ",
          select(1, "and by"),
        )
        : null,
      tools.length === 0
        ? null
        : h("div", { class: "downloads" }, h("span", { class: "muted" }, "Download "), tools),
    );
    if (focus >= 0) {
      /** @type {HTMLElement[]} */ ([...this.controls.querySelectorAll("button, select")])[focus]
        ?.focus();
    }
  }

  #loadSeries() {
    const [by] = this.app.values.show === "sankey" ? ["dport"] : this.#by();
    const spanMs = this.#spanMs();
    const isLong = spanMs > MINUTES_MS_MAX && spanMs < HOURS_MS_MAX;
    const step = isLong && by !== "class" && by !== "node" ? "1h" : "";
    const question = { ...this.#question(), by, limit: LINES, step };
    void this.chartPanel.load(
      (signal) =>
        Promise.all([
          ask("/series", question, signal),
          ask("/gaps", { ...this.#question(), limit: GAPS_MAX }, signal),
          ask("/nodes", this.#question(), signal),
        ]),
      ([answer, gaps, { nodes }]) => this.#series(answer, by, lostOf(gaps), newestOf(nodes)),
      (error) => {
        if (error.details.parameter === "filter") this.chartPanel.element.hidden = true;
      },
    );
    return apiUrl("/series", question);
  }

  /** @param {any} answer @param {string} by @param {{ fromMs: number, toMs: number }[]} lost @param {number} newestMs */
  #series({ range, stepMs, series, rest, shares }, by, lost, newestMs) {
    const { units } = this.app;
    const fromMs = Date.parse(range.from);
    const heard = { fromMs, newestMs };
    replace(this.chartPanel.title, `Rate by ${dimensionText(by)}`);
    const totalOf = (/** @type {any} */ line) =>
      sum(0, ...[...line.txBytes, ...line.rxBytes].filter((count) => count !== null));
    const lines = series.map((/** @type {any} */ line, /** @type {number} */ index) => ({
      name: labelOf(by, line[by]),
      color: by === "class" ? `--class-${line.class}` : `--line-${index % LINES}`,
      rates: ratesOf(line, stepMs, heard),
      isStacked: by !== "class" || line.class !== "physical",
      total: quantity("bytes", totalOf(line), units),
      bytes: totalOf(line),
    })).filter((/** @type {any} */ line) => Number(line.bytes) > 0);
    if (rest !== null && Number(totalOf(rest)) > 0) {
      lines.push({
        name: "all others",
        color: "--line-rest",
        rates: ratesOf(rest, stepMs, heard),
        isStacked: true,
        total: quantity("bytes", totalOf(rest), units),
      });
    }
    this.chartPanel.element.hidden = lines.length === 0;
    if (lines.length === 0) return [];
    if (!this.chart.element.isConnected) replace(this.chartPanel.body, this.chart.element);
    this.chart.show({ fromMs, stepMs, lines, shares, lost }, []);
    return null;
  }

  #groupsQuestion(limit = GROUPS_MAX) {
    const order =
      ["bytes", "packets", "txBytes", "rxBytes"].find((name) => name === this.app.values.order) ??
        "bytes";
    const { filter } = this.app.values;
    const by = this.#by();
    const isRolled = this.#spanMs() > MINUTES_MS_MAX && !by.includes("sport") &&
      !NO_ROLL_UP.test(filter);
    const tier = isRolled ? "hour" : "";
    return { ...this.#question(), by: by.join(","), order, limit, rates: true, tier };
  }

  #loadGroups() {
    const question = this.#groupsQuestion();
    void this.main.load(
      (signal) => ask("/top", question, signal),
      (answer) => this.#groups(answer),
      (error) => this.#onProblem(error),
    );
    return apiUrl("/top", question);
  }

  /** @param {any} answer */
  #groups(answer) {
    this.#answer = answer;
    const { groups, groupCount, total, rest, completeness, truncated, notes, tier } = answer;
    const { values } = this.app;
    if (groups.length === 0) {
      return emptyNote(
        "No row matches",
        values.filter === ""
          ? "There is no traffic in this range."
          : "Loosen the filter, or choose a longer range.",
      );
    }
    const rows = sorted(groups, values.sort, valueOf);
    const pages = Math.ceil(rows.length / PAGE_ROWS);
    const page = Math.min(pages, Math.max(1, Number(values.page) || 1));
    const shown = rows.slice((page - 1) * PAGE_ROWS, page * PAGE_ROWS);
    const all = sum(total.txBytes, total.rxBytes);
    const most = Math.max(...groups.map(bytesOf));
    const more = groupCount > groups.length
      ? h(
        "span",
        {},
        `the ${groups.length} greatest of ${exactText(groupCount)} groups; the others: `,
        quantity("bytes", rest === null ? null : sum(rest.txBytes, rest.rxBytes), this.app.units),
      )
      : `${exactText(groupCount)} ${groupCount === 1 ? "group" : "groups"}`;
    return [
      warnings(completeness, truncated),
      h(
        "p",
        { class: "muted summary" },
        more,
        " · ",
        quantity("bytes", all, this.app.units),
        " in all · read from ",
        tier === "raw" ? "windows" : `roll-ups (${tier})`,
        notes.map((/** @type {string} */ note) => `. ${note}`),
      ),
      table("Groups", this.#columns(Number(all), most, groups[0].rateBucketMs), shown, {
        sort: values.sort || "bytes",
        onSort: (sort) =>
          this.app.go({ sort, page: "1" }, {
            isQuiet: true,
            run: () => this.main.show(this.#groups(this.#answer)),
          }),
      }),
      pages > 1 ? this.#pager(page, pages) : null,
    ];
  }

  /** @param {number} all Bytes. @param {number} most Bytes of the greatest group. @param {number} bucketMs Of the rates. */
  #columns(all, most, bucketMs) {
    const { app } = this;
    const { filter } = app.values;
    const dimensions = this.#by().map((name) => ({
      name,
      label: capitalized(dimensionText(name)),
      isSortable: true,
      cell: (/** @type {any} */ group) => {
        const term = termOf(name, group[name]);
        const label = name === "class" ? classTag(group[name]) : nameOf(labelOf(name, group[name]));
        return term === "" ? label : h("a", {
          href: app.href("explore", {
            ...app.values,
            filter: narrowed(filter, term),
            page: "1",
            sort: "",
          }),
          title: `Narrow: ${shownName(term)}`,
        }, label);
      },
    }));
    const rate = (
      /** @type {string} */ name,
      /** @type {string} */ label,
      /** @type {string} */ member,
      /** @type {string} */ hint,
    ) => ({
      ...{ name, label, hint, isNumber: true, isSortable: true },
      cell: (/** @type {any} */ group) => quantity("rate", group[member]),
    });
    return [
      ...dimensions,
      {
        ...{
          name: "bytes",
          label: "Total",
          hint: "Bytes, both directions",
          isNumber: true,
          isSortable: true,
        },
        cell: (/** @type {any} */ group) => {
          const bytes = sum(group.txBytes, group.rxBytes);
          const part = h("span", { class: "bar-part" });
          part.style.width = `${most === 0 ? 0 : Number(bytes) / most * 100}%`;
          const share = all === 0 ? "" : `${percentText(Number(bytes) / all)} of all`;
          return h(
            "span",
            { class: "with-bar" },
            quantity("bytes", bytes, app.units),
            h("span", { class: "bar", title: share, "aria-hidden": "true" }, part),
          );
        },
      },
      {
        name: "txBytes",
        label: "Sent",
        isNumber: true,
        isSortable: true,
        cell: (/** @type {any} */ group) => quantity("bytes", group.txBytes, app.units),
      },
      {
        name: "rxBytes",
        label: "Received",
        isNumber: true,
        isSortable: true,
        cell: (/** @type {any} */ group) => quantity("bytes", group.rxBytes, app.units),
      },
      {
        name: "packets",
        label: "Packets",
        isNumber: true,
        isSortable: true,
        cell: (/** @type {any} */ group) =>
          quantity("count", sum(group.txPackets, group.rxPackets)),
      },
      rate("average", "Average", "averageBitsPerSecond", "Over the whole range"),
      rate("peak", "Peak", "peakBitsPerSecond", `The greatest ${durationText(bucketMs)}`),
      rate(
        "p95",
        "95th pct.",
        "percentile95BitsPerSecond",
        `Of 100 times ${durationText(bucketMs)}, 95 are not above it, idle ones included`,
      ),
    ];
  }

  /** @param {number} page @param {number} pages */
  #pager(page, pages) {
    const go = (/** @type {number} */ to) =>
      this.app.go({ page: String(to) }, {
        isQuiet: true,
        run: () => this.main.show(this.#groups(this.#answer)),
      });
    return h(
      "nav",
      { class: "pager", "aria-label": "Pages" },
      h("button", {
        type: "button",
        class: "quiet",
        disabled: page <= 1,
        click: () => go(page - 1),
      }, "‹ Greater"),
      h("span", {}, `${page} of ${pages}`),
      h("button", {
        type: "button",
        class: "quiet",
        disabled: page >= pages,
        click: () => go(page + 1),
      }, "Smaller ›"),
    );
  }

  #loadSankey() {
    const question = {
      ...this.#question(),
      by: "src,dst,dport",
      limit: SANKEY_GROUPS,
    };
    void this.main.load(
      (signal) => ask("/top", question, signal),
      (answer) => this.#sankey(answer),
      (error) => this.#onProblem(error),
    );
    return apiUrl("/top", question);
  }

  /** @param {any} answer */
  #sankey({ groups, groupCount, rest, completeness, truncated }) {
    const { app } = this;
    if (groups.length === 0) {
      return emptyNote("No row matches", "Loosen the filter, or choose a longer range.");
    }
    const { filter } = app.values;
    const hrefOf = (/** @type {string} */ term) =>
      app.href("explore", { ...app.values, filter: narrowed(filter, term) });
    const more = rest === null || rest.groups === 0 ? null : h(
      "p",
      { class: "muted summary" },
      `The ${groups.length} greatest of ${groupCount}; not drawn: `,
      quantity("bytes", sum(rest.txBytes, rest.rxBytes), app.units),
    );
    return [
      warnings(completeness, truncated),
      more,
      sankey(groups, this.main.body.clientWidth, { units: app.units, hrefOf }),
    ];
  }

  #flowsQuestion() {
    return { ...this.#question(), limit: FLOWS, cursor: this.app.values.cursor };
  }

  #loadFlows() {
    const question = this.#flowsQuestion();
    void this.main.load(
      (signal) => ask("/flows", question, signal),
      (answer) => this.#flows(answer),
      (error) => this.#onProblem(error),
    );
    return apiUrl("/flows", question);
  }

  /** @param {any} answer */
  #flows({ flows, next, completeness, truncated }) {
    const { app } = this;
    if (flows.length === 0 && next === null) {
      return emptyNote("No row matches", "Loosen the filter, or choose a longer range.");
    }
    const columns = [
      {
        name: "end",
        label: "Window until",
        cell: (/** @type {any} */ flow) =>
          h(
            "a",
            { href: flowHref(app, flow), title: "Both ends, class and message" },
            moment(flow.end),
          ),
      },
      { name: "node", label: "Node", cell: (/** @type {any} */ flow) => nameOf(flow.node) },
      { name: "class", label: "Class", cell: (/** @type {any} */ flow) => classTag(flow.class) },
      {
        name: "proto",
        label: "Protocol",
        cell: (/** @type {any} */ flow) => protoName(flow.proto),
      },
      {
        name: "src",
        label: "Source",
        cell: (/** @type {any} */ flow) =>
          h("bdi", { class: "address" }, endText(flow.src, flow.sport)),
      },
      {
        name: "dst",
        label: "Destination",
        cell: (/** @type {any} */ flow) =>
          h("bdi", { class: "address" }, endText(flow.dst, flow.dport)),
      },
      { name: "peer", label: "Peer", cell: (/** @type {any} */ flow) => nameOf(flow.peer) },
      {
        name: "tx",
        label: "Sent",
        isNumber: true,
        cell: (/** @type {any} */ flow) => quantity("bytes", flow.txBytes, app.units),
      },
      {
        name: "rx",
        label: "Received",
        isNumber: true,
        cell: (/** @type {any} */ flow) => quantity("bytes", flow.rxBytes, app.units),
      },
      {
        name: "packets",
        label: "Packets",
        isNumber: true,
        cell: (/** @type {any} */ flow) => quantity("count", sum(flow.txPackets, flow.rxPackets)),
      },
    ];
    const nav = h(
      "nav",
      { class: "pager", "aria-label": "Pages" },
      app.values.cursor === "" ? null : h("button", {
        type: "button",
        class: "quiet",
        click: () => app.go({ cursor: "" }),
      }, "‹ Newest"),
      next === null ? null : h("button", {
        type: "button",
        class: "quiet",
        click: () => app.go({ cursor: next }),
      }, "Older ›"),
    );
    return [
      warnings(completeness, truncated),
      table("Flows, the newest first", columns, flows),
      nav,
    ];
  }

  /** All rows of what is shown, for a file. */
  async #rows() {
    if (this.app.values.show === "flows") {
      const { flows } = await ask("/flows", { ...this.#flowsQuestion(), limit: DOWNLOAD_ROWS });
      return { columns: Object.keys(flows[0] ?? {}), rows: flows };
    }
    // With rates of so many groups the question may be too much: one that long is for a script.
    const { groups } = await ask("/top", this.#groupsQuestion(1_000));
    return { columns: Object.keys(groups[0] ?? {}), rows: groups };
  }
}
