// @ts-check
/**
 * Names that others chose, made safe to look at and to put into a filter.
 *
 * In: names of nodes, addresses, ports, protocols. Out: texts that show what cannot be seen, terms of the filter language.
 */

/** Characters that would steer the text around them, or look like nothing: controls, marks of direction, line ends, fillers. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u2800\u3164\uffa0]/gu;

/** @param {string} name */
export function shownName(name) {
  return name.replace(INVISIBLE, "\ufffd");
}

/** A name in quotes, as the filter language reads it. @param {string} name */
export function quotedName(name) {
  return `"${name.replace(/[\\"]/g, "\\$&")}"`;
}

/** @type {Readonly<Record<number, string>>} */
const PROTOS = {
  1: "ICMP",
  2: "IGMP",
  6: "TCP",
  17: "UDP",
  47: "GRE",
  50: "ESP",
  51: "AH",
  58: "ICMPv6",
  132: "SCTP",
};

/** @param {number} proto */
export function protoName(proto) {
  return proto === 0 ? "–" : PROTOS[proto] ?? `proto ${proto}`;
}

/** Address and port; "" and 0 are none. @param {string} address @param {number} [port] */
export function endText(address, port = 0) {
  if (address === "") return port === 0 ? "–" : `:${port}`;
  if (port === 0) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/**
 * The term that selects what has this value; "" = none can.
 * @param {string} dimension
 * @param {string | number} value
 */
export function termOf(dimension, value) {
  const text = String(value);
  switch (dimension) {
    case "class":
      return `class ${text}`;
    case "node":
    case "peer":
      return text === "" ? "" : `${dimension} ${quotedName(text)}`;
    case "proto":
      return `proto ${text}`;
    case "src":
    case "dst":
      return text === "" ? `${dimension} none` : `${dimension} host ${text}`;
    case "host":
      return text === "" ? "host none" : `host ${text}`;
    case "sport":
    case "dport":
      return `${dimension} ${text}`;
    case "srcNet":
    case "dstNet":
      return text === "" ? `${dimension.slice(0, 3)} none` : `${dimension.slice(0, 3)} net ${text}`;
    default:
      return "";
  }
}

/** @param {string} filter @param {string} term */
export function narrowed(filter, term) {
  const text = filter.trim();
  if (term === "" || text === "") return text || term;
  // The language's words ignore case.
  return /\bor\b|\|\|/i.test(text) ? `(${text}) and ${term}` : `${text} and ${term}`;
}
