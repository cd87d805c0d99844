/**
 * Goal: no text makes the language throw or lose its place; what it writes it reads as the same. Method: raw text, soups
 * of tokens, filters with one character changed, deep nesting, huge lists; properties over random trees.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { FILTER_CHARS_MAX } from "../../../src/limits.ts";
import {
  completeFilter,
  COMPLETIONS_MAX,
  formatFilter,
  parseFilter,
  problemText,
} from "../../../src/collector/mod.ts";
import { quantityText, readQuantity } from "../../../src/collector/filter/quantity.ts";
import { tokenize } from "../../../src/collector/filter/tokens.ts";
import { TERM_STARTS } from "../../../src/collector/filter/words.ts";
import { arbitraryExpression } from "./filter_support.ts";

const VOCABULARY = {
  nodes: ["web-1", "web 2", "and", 'q"'],
  addresses: ["10.0.0.1"],
  ports: ["80"],
};

/** What must be true of any text. @returns Whether it is a filter. */
function check(text: string): boolean {
  const result = parseFilter(text);
  if (result.ok) {
    const written = formatFilter(result.filter);
    const again = parseFilter(written);
    // Only canonical text beyond the limit of length is not read again.
    if (written.length <= FILTER_CHARS_MAX) {
      assert.ok(again.ok, written);
      assert.deepEqual(again.filter, result.filter);
      assert.equal(formatFilter(again.filter), written);
    }
  } else {
    const { message, start, end, expected } = result.problem;
    assert.ok(0 <= start && start <= end && end <= text.length, `${start}..${end}: ${text}`);
    assert.ok(start < end || start === text.length, "an empty place is the text's end");
    assert.match(message, /^["A-Z].*[^.]$/s);
    assert.ok(message.length < 250, message);
    assert.equal(new Set(expected).size, expected.length);
    assert.equal(problemText(text, result.problem).split("\n").length, 3);
  }
  return result.ok;
}

const PIECES = [
  ...TERM_STARTS,
  ...[
    ")",
    "and",
    "or",
    "and",
    "or",
    "in",
    "in (",
    ",",
    "=",
    "!=",
    "<",
    ">=",
    "none",
    "&&",
    "||",
    "!",
  ],
  ...["virtual", "subnet", "web-1", '"a b"', "'", '"', "10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"],
  ...[
    "80",
    "443",
    "1-65535",
    "0",
    "99999",
    "10k",
    "1MiB",
    "2Gbit",
    "1.5",
    "*",
    "\\",
    "ü",
    "&",
    "\u0000",
  ],
];

/** Terms that are right, so that soups of them are filters often. */
const TERMS = [
  ...[
    "tcp",
    "class exit",
    "dport 443",
    "port in (1, 2)",
    "src none",
    "host in (::1, a)",
    "bytes > 1k",
  ],
  ...["node != x", "net not in (10.0.0.0/8)", "folded"],
];

test("parse: any text is a filter or has a problem within it", () => {
  for (const unit of ["binary", "grapheme", "binary-ascii"] as const) {
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 300, size: "max" }), (text) => void check(text)),
      { numRuns: 1_000, seed: 51 },
    );
  }
  // Lone surrogates too.
  const halves = fc.array(fc.nat(0xffff), { maxLength: 50 })
    .map((codes) => `node "${String.fromCharCode(...codes)}"`);
  fc.assert(fc.property(halves, (text) => void check(text)), { numRuns: 1_000, seed: 52 });
});

test("parse: soups of tokens are filters or have a problem within them", () => {
  let right = 0;
  const spaced = fc.constantFrom(" ", " ", " ", "", "\n");
  const soup = fc.array(fc.tuple(fc.constantFrom(...PIECES), spaced), {
    maxLength: 12,
    size: "max",
  });
  fc.assert(
    fc.property(soup, (pieces) => {
      if (check(pieces.flat().join(""))) right++;
    }),
    { numRuns: 5_000, seed: 53 },
  );
  assert.ok(right > 50, `${right} right`);
});

test("parse: soups of whole terms are often filters", () => {
  let right = 0;
  const joint = fc.constantFrom(" and ", " or ", " and not ", ") or (", " and (", ")", "(");
  const soup = fc.array(fc.tuple(fc.constantFrom(...TERMS), joint), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(soup, (pieces) => {
      const text = pieces.flat().join("").replace(/( and not | and | or )$/, "");
      if (check(text)) right++;
    }),
    { numRuns: 3_000, seed: 54 },
  );
  assert.ok(right > 300, `${right} right`);
});

test("parse: filters with one character changed", () => {
  let right = 0;
  fc.assert(
    fc.property(arbitraryExpression, fc.nat(), fc.constantFrom("", " ", "x", "(", '"', "1", ","), (
      expression,
      at,
      put,
    ) => {
      const text = formatFilter(expression);
      const cut = at % (text.length + 1);
      if (check(text.slice(0, cut) + put + text.slice(cut + 1))) right++;
    }),
    { numRuns: 3_000, seed: 55 },
  );
  assert.ok(right > 300, `${right} right`);
});

test("parse: the longest, deepest and widest texts end, with the place they stop at", () => {
  const fill = (piece: string) => piece.repeat(Math.floor(FILTER_CHARS_MAX / piece.length));
  const pieces = [
    ...["(", ")", "not ", "!", "tcp ", "tcp and ", "tcp or(", "port in (", "80,", "'", '"', '\\"'],
    ...["a", "=", "==", "9", "0.", "::", "/", "* ", "&", "|", "ü", "😀", "\ud800", "\u00a0"],
  ];
  for (const piece of pieces) {
    for (const start of ["", "tcp and ", "node ", 'node "', "port in (80,", "bytes > ", "net "]) {
      check((start + fill(piece)).slice(0, FILTER_CHARS_MAX));
      check(start + fill(piece) + piece.repeat(9));
    }
  }
});

test("parse: reading takes linear time", () => {
  // By tokens, not by the clock: each is looked at in one pass, and there are no more than characters.
  for (const piece of ["(", "tcp ", "'x' ", "a=", "== "]) {
    const counts = [100, 200].map((count) => tokenize(piece.repeat(count)).length - 1);
    assert.equal(counts[1], counts[0] * 2, piece);
  }
});

test("format: parse(format(f)) is f", () => {
  fc.assert(
    fc.property(arbitraryExpression, (expression) => {
      const text = formatFilter(expression);
      const result = parseFilter(text);
      assert.ok(result.ok, `${text}: ${result.ok ? "" : result.problem.message}`);
      assert.deepEqual(result.filter, expression);
    }),
    { numRuns: 5_000, seed: 56 },
  );
});

test("quantities: read(write(n)) is n, for every unit", () => {
  const value = fc.oneof(
    fc.maxSafeNat(),
    fc.tuple(fc.nat(9_999), fc.constantFrom(1e3, 1e6, 1e9, 1024, 2 ** 20, 2 ** 30, 2 ** 39))
      .map(([a, b]) => a * b),
  );
  for (const quantity of ["bytes", "pkts", "rate"] as const) {
    fc.assert(
      fc.property(value, (number) => {
        assert.equal(readQuantity(quantityText(number, quantity), quantity), number);
      }),
      { numRuns: 1_000, seed: 57 },
    );
  }
});

test("complete: any text at any position is answered within it", () => {
  let offered = 0;
  const soup = fc.array(fc.constantFrom(...PIECES), { maxLength: 8 }).map((all) => all.join(" "));
  fc.assert(
    fc.property(fc.oneof(soup, fc.string({ unit: "binary" })), fc.nat(60), (text, position) => {
      const { from, to, items } = completeFilter(text, position, VOCABULARY);
      const at = Math.min(position, text.length);
      assert.ok(0 <= from && from <= at && at <= to && to <= text.length);
      assert.ok(items.length <= COMPLETIONS_MAX);
      assert.equal(new Set(items.map((item) => item.text)).size, items.length);
      // Each offered word is one that the parser can stand there.
      for (const { text: word } of items) {
        const result = parseFilter(text.slice(0, from) + word);
        const end = from + word.length;
        assert.ok(result.ok || result.problem.start >= end, `${text.slice(0, from)}|${word}`);
      }
      offered += items.length;
    }),
    { numRuns: 3_000, seed: 58 },
  );
  assert.ok(offered > 3_000, `${offered} offered`);
});
