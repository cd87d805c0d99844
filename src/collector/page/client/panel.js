// @ts-check
/// <reference lib="dom" />
/**
 * A part of a view that shows one answer, and what can be said while there is none.
 *
 * In: a title, how to ask, how to show. Out: a section that is loading, empty, wrong or shown. While more is asked the old
 * stays; of two answers under way the older is called off.
 */
import { ApiError } from "./api.js";
import { h, replace } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */

export class Panel {
  /** @type {AbortController | null} */
  #asking = null;

  /**
   * @param {string} title "" = none.
   * @param {{ className?: string, tools?: Child[], note?: string }} [options]
   */
  constructor(title, { className = "", tools = [], note = "" } = {}) {
    this.body = h("div", { class: "panel-body" }, skeleton());
    this.note = h("span", { class: "panel-note" }, note);
    this.title = h("h2", {}, title);
    const head = title === ""
      ? null
      : h("header", { class: "panel-head" }, this.title, this.note, ...tools);
    this.element = h(
      "section",
      { class: `panel ${className}`, "aria-busy": "true" },
      head,
      this.body,
    );
    this.hasContent = false;
  }

  /**
   * @template Answer
   * @param {(signal: AbortSignal) => Promise<Answer>} question
   * @param {(answer: Answer) => Child | Child[]} show What to put there; null = it was put there already.
   * @param {(error: ApiError) => void} [onProblem]
   */
  async load(question, show, onProblem) {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.element.setAttribute("aria-busy", "true");
    try {
      const answer = await question(asking.signal);
      if (asking.signal.aborted) return;
      this.show(show(answer));
    } catch (error) {
      if (asking.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      onProblem?.(error);
      // The frame of the page says it for all.
      if (error.kind === "login" || error.kind === "forbidden") return;
      if (error.kind === "unreachable" && this.hasContent) return;
      this.hasContent = false;
      replace(this.body, errorNote(error, () => void this.load(question, show, onProblem)));
    } finally {
      if (this.#asking === asking) {
        this.#asking = null;
        this.element.setAttribute("aria-busy", "false");
      }
    }
  }

  /** @param {Child | Child[]} content */
  show(content) {
    this.hasContent = true;
    if (this.#asking === null) this.element.setAttribute("aria-busy", "false");
    if (content !== null) replace(this.body, ...[content].flat());
  }

  close() {
    this.#asking?.abort();
  }
}

function skeleton() {
  return h(
    "div",
    { class: "skeleton", role: "status" },
    h("span", { class: "hidden-text" }, "Loading"),
  );
}

/** @param {string} title @param {string} hint */
export function emptyNote(title, hint) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), h("p", {}, hint));
}

/** @param {ApiError} error @param {() => void} retry */
function errorNote(error, retry) {
  const titles = {
    unreachable: "The collector cannot be reached",
    busy: "The collector is busy",
    wrong: "This question cannot be answered",
  };
  const title = titles[/** @type {keyof typeof titles} */ (error.kind)] ?? "Something went wrong";
  return h(
    "div",
    { class: "empty error", role: "alert" },
    h("p", { class: "empty-title" }, title),
    error.message === title ? null : h("p", {}, error.message),
    h("button", { type: "button", click: retry }, "Try again"),
  );
}

/**
 * How complete an answer is, in words; null = nothing to say.
 * @param {any} completeness
 * @param {string[] | null} truncated
 */
export function warnings(completeness, truncated) {
  const notes = [];
  const isLost = (completeness?.missing ?? 0) + (completeness?.gaps ?? 0) > 0;
  if (truncated !== null && truncated !== undefined) {
    notes.push(`Not all was read: ${truncated.join(", ")} cut off`);
  }
  const { missing = 0, gaps = 0 } = completeness ?? {};
  if (gaps > 0 || missing > 0) {
    notes.push(
      `The record has holes in this range: ${gaps} declared, ${missing} entries missing without a word`,
    );
  }
  return notes.length === 0
    ? null
    : h("p", { class: isLost ? "warning" : "muted summary", role: "note" }, notes.join(". "));
}
