// @ts-check
/**
 * JSON with counters of any size: the API writes integers beyond 2^53 as digits, which JSON.parse would round.
 *
 * In: text. Out: values; integers that a double cannot hold exactly are bigints, all others numbers.
 */

/** A string as JSON writes it, or a whole number token, fraction and exponent included; with the colon that makes it a name. */
const TOKENS = /(?:"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*)(?:\s*:)?/g;
/** Marks digits in the text that JSON.parse is given; strings that begin with it get one more. */
const MARK = "~";

/**
 * @param {string} text
 * @returns {any}
 * @throws {SyntaxError}
 */
export function parseExact(text) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const marked = text.replace(TOKENS, (token) => {
    if (!token.startsWith('"')) return isExact(token) ? token : `"${MARK}${token}"`;
    const isName = token.endsWith(":");
    return !isName && /^"(?:~|\\u007e)/i.test(token) ? `"${MARK}${token.slice(1)}` : token;
  });
  return JSON.parse(marked, (_name, value) => {
    if (typeof value !== "string" || !value.startsWith(MARK)) return value;
    return value.startsWith(MARK + MARK) ? value.slice(1) : BigInt(value.slice(1));
  });
}

/** Whether JSON.parse keeps all of it, or has to see it to refuse it. @param {string} token */
function isExact(token) {
  return !/^-?[1-9]\d*$/.test(token) || Number.isSafeInteger(Number(token));
}
