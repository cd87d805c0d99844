// @ts-check
/// <reference lib="dom" />
/** A table whose columns sort it. In: columns, rows, what it is sorted by. Out: an element; a sort that was asked for. */
import { h } from "./dom.js";

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} name
 * @property {import("./dom.js").Child} label
 * @property {string} [hint]
 * @property {boolean} [isNumber]
 * @property {boolean} [isSortable]
 * @property {(row: Row) => import("./dom.js").Child | import("./dom.js").Child[]} cell
 */

/**
 * @template Row
 * @param {string} caption
 * @param {readonly Column<Row>[]} columns
 * @param {readonly Row[]} rows
 * @param {{ sort?: string, onSort?: (sort: string) => void }} [options] `-name` = the smallest first.
 */
export function table(caption, columns, rows, { sort = "", onSort } = {}) {
  const heads = columns.map(({ name, label, hint, isNumber, isSortable }) => {
    const isUp = sort === `-${name}`;
    const isDown = sort === name;
    const attributes = {
      scope: "col",
      class: isNumber ? "numeric" : null,
      title: hint,
      "aria-sort": isUp ? "ascending" : isDown ? "descending" : null,
    };
    if (!isSortable || onSort === undefined) return h("th", attributes, label);
    const click = () => onSort(isDown ? `-${name}` : name);
    const arrow = h(
      "span",
      { class: "arrow", "aria-hidden": "true" },
      isUp ? "↑" : isDown ? "↓" : "",
    );
    return h(
      "th",
      attributes,
      h("button", { type: "button", click, "data-sort": name }, label, arrow),
    );
  });
  return h(
    "div",
    { class: "table-scroll", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "hidden-text" }, caption),
      h("thead", {}, h("tr", {}, heads)),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            columns.map(({ cell, isNumber }) =>
              h("td", { class: isNumber ? "numeric" : null }, ...[cell(row)].flat())
            ),
          )
        ),
      ),
    ),
  );
}

/**
 * Sorts by a column's value; rows that are alike stay in their order, what is not known comes last either way.
 * @template Row
 * @param {readonly Row[]} rows
 * @param {string} sort
 * @param {(row: Row, name: string) => unknown} valueOf
 */
export function sorted(rows, sort, valueOf) {
  if (sort === "") return rows;
  const name = sort.replace(/^-/, "");
  const sign = sort.startsWith("-") ? 1 : -1;
  return rows.toSorted((a, b) => {
    const [left, right] = [valueOf(a, name), valueOf(b, name)];
    const unknown = Number(isUnknown(left)) - Number(isUnknown(right));
    return unknown !== 0 ? unknown : isUnknown(left) ? 0 : sign * compare(left, right);
  });
}

/** @param {unknown} value */
function isUnknown(value) {
  return value === null || value === undefined || Number.isNaN(value);
}

/** @param {any} a @param {any} b */
function compare(a, b) {
  if (typeof a === "string" && typeof b === "string") {
    return a.localeCompare(b, "en", { numeric: true });
  }
  return a < b ? -1 : a > b ? 1 : 0;
}
