// @ts-check
/// <reference lib="dom" />
/** The range of time of all views. In: the address's range. Out: a new one; nothing is kept here. */
import { append, h, replace } from "./dom.js";
import { changedRange, inputText, rangeOf, rangeText } from "./times.js";

const PRESETS = [
  ["-5m", "5 min"],
  ["-15m", "15 min"],
  ["-1h", "1 h"],
  ["-6h", "6 h"],
  ["-1d", "1 d"],
  ["-7d", "7 d"],
  ["-30d", "30 d"],
];

export class TimePicker {
  /** @type {import("./times.js").RangeText} */
  #range = { from: "-1h", to: "now" };

  /** @param {(range: import("./times.js").RangeText) => void} onRange */
  constructor(onRange) {
    this.onRange = onRange;
    this.label = h("summary", { class: "picker-label", title: "Choose a range of time" });
    this.presets = h("div", { class: "presets", role: "group", "aria-label": "Last" });
    this.from = h("input", { type: "datetime-local", step: 1, name: "from", required: true });
    this.to = h("input", { type: "datetime-local", step: 1, name: "to", required: true });
    this.problem = h("p", { class: "field-problem", role: "alert" });
    const form = h(
      "form",
      { class: "picker-form", submit: (/** @type {SubmitEvent} */ event) => this.#onSubmit(event) },
      ...[h("label", {}, "From", this.from), h("label", {}, "To", this.to), this.problem],
      h("button", { type: "submit" }, "Show"),
    );
    this.details = h(
      "details",
      { class: "picker" },
      this.label,
      h("div", { class: "popup" }, this.presets, form),
    );
    const step = (
      /** @type {string} */ text,
      /** @type {string} */ label,
      /** @type {{ move?: number, scale?: number }} */ change,
    ) =>
      h("button", {
        type: "button",
        class: "quiet icon",
        title: label,
        "aria-label": label,
        click: () => this.#change(change),
      }, text);
    this.element = h(
      "div",
      { class: "time-picker" },
      ...[
        step("‹", "Earlier", { move: -0.5 }),
        this.details,
        step("›", "Later", { move: 0.5 }),
        step("⤢", "Zoom out", { scale: 2 }),
      ],
    );
    this.details.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#close(true);
    });
    document.addEventListener("click", (event) => {
      if (!this.details.contains(/** @type {Node} */ (event.target))) this.#close(false);
    });
  }

  /** @param {import("./times.js").RangeText} range */
  show(range) {
    this.#range = range;
    const nowMs = Date.now();
    replace(this.label, rangeText(range, nowMs));
    replace(this.presets);
    for (const [from, label] of PRESETS) {
      const isCurrent = range.from === from && range.to === "now";
      append(
        this.presets,
        h("button", {
          ...{ type: "button", class: "quiet", "aria-pressed": String(isCurrent) },
          click: () => this.#choose({ from, to: "now" }),
        }, label),
      );
    }
    const found = rangeOf(range, nowMs);
    if (found === null || this.details.open) return;
    this.from.value = inputText(found.fromMs);
    this.to.value = inputText(found.toMs);
  }

  /** @param {{ move?: number, scale?: number }} change */
  #change(change) {
    const nowMs = Date.now();
    const range = rangeOf(this.#range, nowMs);
    if (range === null) return;
    const { fromMs, toMs } = changedRange(range, change);
    this.onRange({ from: String(fromMs), to: String(Math.min(toMs, nowMs)) });
  }

  /** @param {SubmitEvent} event */
  #onSubmit(event) {
    event.preventDefault();
    const fromMs = Date.parse(this.from.value);
    const toMs = Date.parse(this.to.value);
    const isRange = fromMs < toMs;
    replace(this.problem, isRange ? null : "The start must be before the end");
    if (isRange) this.#choose({ from: String(fromMs), to: String(toMs) });
  }

  /** @param {import("./times.js").RangeText} range */
  #choose(range) {
    this.#close(true);
    this.onRange(range);
  }

  /** @param {boolean} isByKeyboard */
  #close(isByKeyboard) {
    if (!this.details.open) return;
    this.details.open = false;
    replace(this.problem);
    if (isByKeyboard) this.label.focus();
  }
}
