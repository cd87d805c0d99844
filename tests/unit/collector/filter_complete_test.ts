/** Goal: what is offered is what could be typed. Method: the cursor as `|` in the text. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { completeFilter, COMPLETIONS_MAX } from "../../../src/collector/mod.ts";
import { TERM_STARTS } from "../../../src/collector/filter/words.ts";

const VOCABULARY = {
  nodes: ["web-1", "web-2", "büro 2", "and"],
  addresses: ["10.0.0.1", "fd00::1"],
  prefixes: ["10.0.0.0/8"],
  ports: ["443", "53"],
};

/** Replaced piece and offered words. */
function complete(marked: string, vocabulary = VOCABULARY): [string, string[]] {
  const position = marked.indexOf("|");
  const text = marked.replace("|", "");
  const { from, to, items } = completeFilter(text, position, vocabulary);
  return [text.slice(from, to), items.map((item) => item.text)];
}

const CASES: readonly [string, string, readonly string[]][] = [
  ["|", "", TERM_STARTS],
  ["cl|", "cl", ["class"]],
  ["CL|", "CL", ["class"]],
  ["cl|ass", "class", ["class"]],
  ["tcp|", "tcp", ["tcp"]],
  ["tcp |", "", ["and", "or"]],
  ["tcp a|", "a", ["and"]],
  ["tcp a| udp", "a", ["and"]],
  ["(tcp |", "", ["and", "or", ")"]],
  ["tcp and n|", "n", ["node", "net", "not"]],
  ["tcp and (|", "", TERM_STARTS],
  ["!|", "", TERM_STARTS],
  ["class |", "", ["virtual", "subnet", "exit", "unknown", "physical", "in"]],
  ["class in (v|", "v", ["virtual"]],
  ["class in (virtual|)", "virtual", ["virtual"]],
  ["class in (virtual |", "", [",", ")"]],
  ["class != |", "", ["virtual", "subnet", "exit", "unknown", "physical"]],
  ["proto s|", "s", ["sctp"]],
  ["node |", "", ["web-1", "web-2", '"büro 2"', '"and"', "in"]],
  ["node w|", "w", ["web-1", "web-2"]],
  ['node "bü|', '"bü', ['"büro 2"']],
  ['node "we|', '"we', ["web-1", "web-2"]],
  ["node bü|", "bü", ['"büro 2"']],
  ["node bür|o and tcp", "büro", ['"büro 2"']],
  ["src |", "", ["10.0.0.1", "fd00::1", "10.0.0.0/8", "host", "net", "port", "none", "in"]],
  ["src 1|", "1", ["10.0.0.1", "10.0.0.0/8"]],
  ["src host w|", "w", ["web-1", "web-2"]],
  ["net |", "", ["10.0.0.0/8", "in"]],
  ["dport |", "", ["443", "53", "<", "<=", ">", ">=", "in"]],
  ["dport >|", ">", [">", ">="]],
  ["dport > |", "", ["443", "53"]],
  ["tx |", "", ["bytes", "pkts", "rate"]],
  ["tx b|", "b", ["bytes"]],
  ["bytes |", "", ["=", "!=", "<", "<=", ">", ">="]],
  ["bytes > |", "", []],
  ["nonsense and |", "", []],
  ["tcp udp a|", "a", []],
];

for (const [marked, piece, words] of CASES) {
  test(`completeFilter() at ${marked}`, () => {
    assert.deepEqual(complete(marked), [piece, [...words]]);
  });
}

test("completeFilter() takes a key for one word, and case for nothing", () => {
  const key = `${"A".repeat(43)}=`;
  const vocabulary = { ...VOCABULARY, nodes: ["Web-3", key] };
  assert.deepEqual(complete(`node ${key}|`, vocabulary), [key, [key]]);
  assert.deepEqual(complete("node we|", vocabulary), ["we", ["Web-3"]]);
});

test("completeFilter() says what each word is", () => {
  const details = new Map(
    completeFilter("", 0, VOCABULARY).items.map(({ text, detail }) => [text, detail]),
  );
  assert.equal(details.get("class"), "class of traffic");
  assert.equal(details.get("tcp"), "protocol");
  assert.equal(details.get("not"), "does not match");
  assert.equal(completeFilter("node ", 5, VOCABULARY).items[0].detail, "node");
});

test("completeFilter() offers what the store has, where it is told", () => {
  const vocabulary = { ...VOCABULARY, classes: ["exit"], protos: ["tcp", "99"] };
  assert.deepEqual(complete("class |", vocabulary)[1], ["exit", "in"]);
  assert.deepEqual(complete("proto |", vocabulary)[1], ["tcp", "99", "in"]);
});

test("completeFilter() offers no more than a screen holds, and takes any position", () => {
  for (const count of [COMPLETIONS_MAX - 1, COMPLETIONS_MAX, COMPLETIONS_MAX + 1]) {
    const nodes = Array.from({ length: count }, (_, index) => `web-${index}`);
    const { items } = completeFilter("node w", 6, { nodes });
    assert.equal(items.length, Math.min(count, COMPLETIONS_MAX));
  }
  // The language's words come in any case, in their place, as many values as there are.
  const addresses = Array.from({ length: 3 * COMPLETIONS_MAX }, (_, index) => `10.0.0.${index}`);
  const { items } = completeFilter("src ", 4, { nodes: [], addresses });
  const words = ["host", "net", "port", "none", "in"];
  assert.equal(items.length, COMPLETIONS_MAX);
  assert.deepEqual(items.slice(-words.length).map(({ text }) => text), words);
  assert.equal(items[0].text, "10.0.0.0");
  assert.deepEqual(completeFilter("tcp ", 999, VOCABULARY).from, 4);
  assert.deepEqual(completeFilter("tcp ", -5, VOCABULARY).to, 0);
});
