// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Elements. Texts only ever become text nodes and attribute values: nothing that a node, a peer or an address says can become
 * markup.
 */
import { bytesText, countText, exactText, rateText } from "./numbers.js";
import { agoText, localText, utcText } from "./times.js";
import { shownName } from "./names.js";

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes] Functions are listeners; null, undefined and false are left out.
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  fill(element, attributes, children);
  return element;
}

/** @param {Element} element @param {Attributes} attributes @param {(Child | Child[])[]} children */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, ...children);
}

/** @param {Element} element @param {...(Child | Child[])} children */
export function append(element, ...children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** @param {Element} element @param {...(Child | Child[])} children */
export function replace(element, ...children) {
  element.replaceChildren();
  append(element, ...children);
}

/** A name that somebody chose; it does not turn the text around it. @param {string} text @param {string} [fallback] */
export function nameOf(text, fallback = "–") {
  return h("bdi", { class: "name", title: shownName(text) }, shownName(text) || fallback);
}

/**
 * A count; every digit on hover.
 * @param {"bytes" | "rate" | "count"} kind
 * @param {import("./numbers.js").Count | null | undefined} value
 * @param {import("./numbers.js").UnitSystem} [units]
 */
export function quantity(kind, value, units) {
  if (value === null || value === undefined) {
    return h("span", { class: "number none", title: "not known" }, "–");
  }
  const unit = kind === "bytes" ? "bytes" : kind === "rate" ? "bit/s" : "";
  const text = kind === "bytes"
    ? bytesText(value, units)
    : kind === "rate"
    ? rateText(value)
    : countText(value);
  return h("span", { class: "number", title: exactText(value, unit) }, text);
}

/** A moment: local, UTC on hover. @param {string | number} time @param {string} [text] */
export function moment(time, text) {
  const ms = typeof time === "number" ? time : Date.parse(time);
  return h(
    "time",
    { datetime: new Date(ms).toISOString(), title: utcText(ms) },
    text ?? localText(ms),
  );
}

/** A moment as a distance. @param {string | null} time @param {number} nowMs */
export function ago(time, nowMs) {
  if (time === null) return h("span", { class: "none" }, "never");
  const ms = Date.parse(time);
  return h(
    "time",
    { datetime: time, title: `${localText(ms)} · ${utcText(ms)}` },
    agoText(ms, nowMs),
  );
}

/** A class of traffic with its colour. @param {string} name */
export function classTag(name) {
  return h("span", { class: `class-tag class-${name}` }, name);
}

/** The colour that a custom property stands for, as a canvas understands it. @param {string} property */
export function colorOf(property) {
  const probe = h("span", { hidden: true });
  probe.style.color = `var(${property})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
