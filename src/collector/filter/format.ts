/**
 * Filter → canonical text.
 *
 * In: a filter in canonical form (syntax.ts). Out: text that parseFilter() reads as the same filter, with no needless
 * parentheses: one spelling for one filter, for the address of a page, for keys of caches, for messages.
 * The text of a filter at the limit of length may be longer than what it was read from, by its spaces and words.
 */
import { addressBits, addressText, type Prefix, prefixText } from "../../packet/mod.ts";
import { quantityText } from "./quantity.ts";
import type { Expression, Filter, PortRange, Side, Term } from "./syntax.ts";
import { isBareWord, quoted } from "./tokens.ts";
import { looksLikeAddress, PROTO_NAMES, RESERVED_WORDS } from "./words.ts";
import { PORT_MAX } from "./values.ts";

/** Writes a filter. The one that every row matches is "". */
export function formatFilter(filter: Filter): string {
  return filter.kind === "all" ? "" : expressionText(filter);
}

function expressionText(expression: Expression): string {
  switch (expression.kind) {
    case "or":
      return expression.operands.map(expressionText).join(" or ");
    case "and":
      return expression.operands.map((operand) => inParentheses(operand, ["or"])).join(" and ");
    case "not":
      return `not ${inParentheses(expression.operand, ["or", "and"])}`;
    default:
      return termText(expression);
  }
}

function inParentheses(operand: Expression, kinds: readonly Expression["kind"][]): string {
  const text = expressionText(operand);
  return kinds.includes(operand.kind) ? `(${text})` : text;
}

function termText(term: Term): string {
  switch (term.kind) {
    case "class":
      return `class ${listText(term.classes)}`;
    case "node":
    case "peer":
      return `${term.kind} ${listText(term.patterns.map(nameText))}`;
    case "proto": {
      const [proto] = term.protos;
      const isWord = term.protos.length === 1 && PROTO_NAMES.has(proto);
      const text = listText(term.protos.map((number) => PROTO_NAMES.get(number) ?? `${number}`));
      return isWord ? text : `proto ${text}`;
    }
    case "address":
      return sidedText(term.side, addressesText(term.prefixes));
    case "name":
      return sidedText(term.side, `host ${listText(term.patterns.map(nameText))}`);
    case "none":
      return term.side === "any" ? "host none" : `${term.side} none`;
    case "port":
      return `${{ any: "port", src: "sport", dst: "dport" }[term.side]} ${portsText(term.ranges)}`;
    case "volume": {
      const direction = term.direction === "both" ? "" : `${term.direction} `;
      const value = quantityText(term.value, term.quantity);
      return `${direction}${term.quantity} ${term.comparison} ${value}`;
    }
    case "folded":
      return "folded";
  }
}

function sidedText(side: Side, text: string): string {
  return side === "any" ? text : `${side} ${text}`;
}

function listText(values: readonly string[]): string {
  return values.length === 1 ? values[0] : `in (${values.join(", ")})`;
}

/** `host` where all are addresses, `net` with lengths where one is not. */
function addressesText(prefixes: readonly Prefix[]): string {
  const areAddresses = prefixes.every(({ family, prefixBits }) =>
    prefixBits === addressBits(family)
  );
  return areAddresses
    ? `host ${listText(prefixes.map((each) => addressText(each.addressWords, 0, each.family)))}`
    : `net ${listText(prefixes.map(prefixText))}`;
}

function portsText(ranges: readonly PortRange[]): string {
  const [{ first, last }] = ranges;
  const isLone = ranges.length === 1 && first !== last;
  if (isLone && last === PORT_MAX) return `>= ${first}`;
  if (isLone && first === 1) return `<= ${last}`;
  return listText(
    ranges.map((range) =>
      range.first === range.last ? `${range.first}` : `${range.first}-${range.last}`
    ),
  );
}

/** Writes a name, in quotes where it could be taken for something else. */
export function nameText(name: string): string {
  const isBare = isBareWord(name) && !RESERVED_WORDS.has(name.toLowerCase()) &&
    !looksLikeAddress(name);
  return isBare ? name : quoted(name);
}
