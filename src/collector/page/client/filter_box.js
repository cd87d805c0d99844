// @ts-check
/// <reference lib="dom" />
/**
 * A filter being written: words that could follow, what is wrong and where.
 *
 * In: a text. Out: the text when it is sent off. A combobox by the keyboard pattern of WAI-ARIA: arrows choose, Enter or Tab
 * takes, Escape closes; Enter without a choice sends it off.
 */
import { ApiError, ask } from "./api.js";
import {
  isWrongAlready,
  movedChoice,
  NO_COMPLETION,
  stillFitting,
  withItem,
} from "./completion.js";
import { append, h, replace } from "./dom.js";
import { EXPLORE_FILTER } from "./url_state.js";

const WAIT_MS = 80;

export class FilterBox {
  #completion = NO_COMPLETION;
  /** The text that it completes. */
  #completed = "";
  #chosen = -1;
  /** Whether it has the focus, and nobody has clicked or written yet. */
  #isFresh = false;
  /** @type {AbortController | null} */
  #asking = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer = undefined;

  /** @param {(filter: string) => void} onFilter */
  constructor(onFilter) {
    this.onFilter = onFilter;
    this.input = h("input", {
      ...{
        type: "text",
        id: "filter",
        name: "filter",
        class: "filter-input",
        spellcheck: "false",
        autocomplete: "off",
      },
      ...{
        autocapitalize: "off",
        role: "combobox",
        "aria-expanded": "false",
        "aria-controls": "filter-list",
      },
      ...{ "aria-autocomplete": "list", "aria-describedby": "filter-problem", maxlength: 12_288 },
      placeholder: "Filter: class subnet and dst net 10.0.0.0/8 and dport 443",
      input: () => this.#onInput(),
      keydown: (/** @type {KeyboardEvent} */ event) => this.#onKey(event),
      focus: () => this.#onFocus(),
      click: () => this.#onClick(),
      blur: () => this.#close(),
    });
    this.list = h("ul", {
      id: "filter-list",
      class: "completions",
      role: "listbox",
      "aria-label": "Words that could stand here",
      hidden: true,
    });
    this.problem = h("div", {
      id: "filter-problem",
      class: "filter-problem",
      "aria-live": "polite",
    });
    this.help = h("details", { class: "filter-help" }, h("summary", {}, "Filter language"));
    this.help.addEventListener("toggle", () => void this.#showHelp());
    this.element = h(
      "form",
      {
        class: "filter-box",
        role: "search",
        submit: (/** @type {SubmitEvent} */ event) => {
          event.preventDefault();
          this.#send();
        },
      },
      h("label", { class: "hidden-text", for: "filter" }, "Filter"),
      h(
        "div",
        { class: "filter-line" },
        h("div", { class: "filter-field" }, this.input, this.list),
        h("button", { type: "submit" }, "Apply"),
        this.#clearButton(),
      ),
      this.problem,
      this.help,
    );
  }

  /** Who writes a filter of their own begins anew: what stands there by default is chosen, so that it is written over. */
  #onFocus() {
    this.#isFresh = this.input.value === EXPLORE_FILTER;
    if (this.#isFresh) this.input.select();
    this.#help();
  }

  /** A click that brings the focus sets the caret after it: what was chosen is chosen again, once. */
  #onClick() {
    if (this.#isFresh) this.input.select();
    this.#isFresh = false;
    this.#help();
  }

  /** The words are of the text before: what of them still fits is left until they come anew, and none is chosen. */
  #onInput() {
    this.#isFresh = false;
    this.#completion = stillFitting(this.#completed, this.#completion, this.input.value);
    this.#completed = this.input.value;
    this.#chosen = -1;
    this.#drawList();
    this.#help();
  }

  #clearButton() {
    const click = () => {
      this.input.value = "";
      this.#send();
      this.input.focus();
    };
    return h("button", { type: "button", class: "quiet", click }, "Clear");
  }

  /** @param {string} filter */
  show(filter) {
    if (document.activeElement !== this.input) this.input.value = filter;
    replace(this.problem);
    this.input.removeAttribute("aria-invalid");
  }

  /**
   * Marks what is wrong under the text.
   * @param {string} text
   * @param {string} message
   * @param {{ start: number, end: number } | undefined} position
   */
  showProblem(text, message, position) {
    this.input.setAttribute("aria-invalid", "true");
    replace(this.problem);
    if (position !== undefined) {
      const { start, end } = position;
      const wrong = text.slice(start, end);
      append(
        this.problem,
        h(
          "p",
          { class: "filter-mark" },
          text.slice(0, start),
          h("mark", {}, wrong === "" ? "\u00a0" : wrong),
          text.slice(end),
        ),
      );
    }
    append(this.problem, h("p", {}, message));
  }

  close() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }

  #send() {
    this.#close();
    clearTimeout(this.#timer);
    this.onFilter(this.input.value.trim());
  }

  #help() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), WAIT_MS);
  }

  async #ask() {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    const text = this.input.value;
    const position = this.input.selectionStart ?? text.length;
    try {
      const answer = await ask("/complete", { text, position }, asking.signal);
      if (asking.signal.aborted || document.activeElement !== this.input) return;
      // More may have been typed meanwhile.
      const { value } = this.input;
      const chosen = this.#completion.items[this.#chosen]?.text;
      this.#completion = stillFitting(text, answer, value);
      this.#completed = value;
      this.#chosen = this.#completion.items.findIndex((item) => item.text === chosen);
      this.#drawList();
      if (value !== text) return;
      const { problem } = answer;
      if (isWrongAlready(text, problem)) this.showProblem(text, problem.message, problem.position);
      else {
        replace(this.problem);
        this.input.removeAttribute("aria-invalid");
      }
    } catch (error) {
      // Help may fail: the filter can be written without.
      if (!asking.signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }

  #drawList() {
    const { items } = this.#completion;
    replace(this.list);
    for (const [index, { text, detail }] of items.entries()) {
      append(
        this.list,
        h(
          "li",
          {
            ...{
              id: `filter-option-${index}`,
              role: "option",
              "aria-selected": String(index === this.#chosen),
            },
            // Before the field loses the focus.
            mousedown: (/** @type {MouseEvent} */ event) => {
              event.preventDefault();
              this.#take(index);
            },
          },
          h("bdi", {}, text),
          h("span", { class: "detail" }, detail),
        ),
      );
    }
    const isOpen = items.length > 0;
    this.list.hidden = !isOpen;
    this.input.setAttribute("aria-expanded", String(isOpen));
    if (this.#chosen >= 0) {
      this.input.setAttribute("aria-activedescendant", `filter-option-${this.#chosen}`);
    } else this.input.removeAttribute("aria-activedescendant");
    this.list.children[this.#chosen]?.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const count = this.list.hidden ? 0 : this.#completion.items.length;
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && count > 0) {
      this.#chosen = movedChoice(this.#chosen, event.key === "ArrowDown" ? 1 : -1, count);
      this.#drawList();
    } else if (event.key === "Escape" && count > 0) this.#close();
    else if (event.key === "Enter" && this.#chosen >= 0 && count > 0) this.#take(this.#chosen);
    else if (event.key === "Tab" && this.#chosen >= 0 && count > 0) this.#take(this.#chosen);
    else return;
    event.preventDefault();
  }

  /** @param {number} index */
  #take(index) {
    if (this.input.value === this.#completed) {
      const { text, position } = withItem(this.#completed, this.#completion, index);
      this.input.value = text;
      this.input.setSelectionRange(position, position);
    }
    this.#close();
    this.#help();
  }

  #close() {
    this.#chosen = -1;
    this.#completion = NO_COMPLETION;
    this.#drawList();
  }

  async #showHelp() {
    if (!this.help.open || this.help.childElementCount > 1) return;
    const response = await fetch("/page/filter_help.json").catch(() => null);
    // It is asked for again when it is opened again.
    if (response?.ok !== true || this.help.childElementCount > 1) return;
    /** @type {{ form: string, meaning: string, example: string }[]} */
    const rows = await response.json();
    append(
      this.help,
      h(
        "dl",
        {},
        rows.flatMap(({ form, meaning, example }) => [
          h("dt", {}, h("code", {}, form)),
          h(
            "dd",
            {},
            meaning,
            h("button", {
              ...{ type: "button", class: "quiet example", title: "Use this filter" },
              click: () => {
                this.input.value = example;
                this.#send();
              },
            }, example),
          ),
        ]),
      ),
    );
  }
}
