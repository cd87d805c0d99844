/** Goal: what is taken from the list is what stands in the field. Method: values; the collector's own completion. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { completeFilter, parseFilter } from "../../../../src/collector/mod.ts";
import { FILTER_CHARS_MAX } from "../../../../src/limits.ts";
import { ASSETS } from "../../../../src/collector/page/assets.ts";
import {
  isWrongAlready,
  movedChoice,
  NO_COMPLETION,
  stillFitting,
  withItem,
} from "../../../../src/collector/page/client/completion.js";

test("movedChoice() goes round, and from none to the first or the last", () => {
  assert.deepEqual([movedChoice(-1, 1, 3), movedChoice(-1, -1, 3)], [0, 2]);
  assert.deepEqual([movedChoice(2, 1, 3), movedChoice(0, -1, 3)], [0, 2]);
  assert.deepEqual([movedChoice(0, 1, 3), movedChoice(-1, 1, 1), movedChoice(0, -1, 1)], [1, 0, 0]);
});

test("withItem() replaces the piece, with one space and the cursor behind it", () => {
  const vocabulary = { nodes: ["web-1", "a b"] };
  const take = (marked: string, item: string) => {
    const position = marked.indexOf("|");
    const text = marked.replace("|", "");
    const completion = completeFilter(text, position, vocabulary);
    const index = completion.items.findIndex((each) => each.text === item);
    assert.ok(index >= 0, `${marked} is not offered ${item}`);
    const found = withItem(text, completion, index);
    return `${found.text.slice(0, found.position)}|${found.text.slice(found.position)}`;
  };
  assert.equal(take("cl|", "class"), "class |");
  assert.equal(take("node w| and tcp", "web-1"), "node web-1 |and tcp");
  assert.equal(take("node we|b-9   and tcp", "web-1"), "node web-1 |and tcp");
  assert.equal(take("node |", '"a b"'), 'node "a b" |');
  assert.equal(take('node "a|', '"a b"'), 'node "a b" |');
  assert.equal(take("|", "tcp"), "tcp |");
  assert.equal(take("class in (v|)", "virtual"), "class in (virtual |)");
  assert.deepEqual(NO_COMPLETION.items, []);
});

test("stillFitting() leaves what still begins as what is written, where it is written", () => {
  const items = ["and", "any", "or", '"a b"'].map((text) => ({ text, detail: "" }));
  const after = (before: string, from: number, to: number, text: string) => {
    const found = stillFitting(before, { from, to, items }, text);
    return [found.from, found.to, found.items.map((item) => item.text)];
  };
  assert.deepEqual(after("tcp ", 4, 4, "tcp a"), [4, 5, ["and", "any", '"a b"']]);
  assert.deepEqual(after("tcp ", 4, 4, "tcp AN"), [4, 6, ["and", "any"]]);
  assert.deepEqual(after("tcp ", 4, 4, 'tcp "a'), [4, 6, ["and", "any", '"a b"']]);
  assert.deepEqual(after("tcp a udp", 4, 5, "tcp an udp"), [4, 6, ["and", "any"]]);
  assert.deepEqual(after("tcp a", 4, 5, "tcp "), [4, 4, ["and", "any", "or", '"a b"']]);
  assert.deepEqual(after("tcp ax", 4, 6, "tcp ax"), [4, 6, items.map(({ text }) => text)]);
  const none = [0, 0, []];
  assert.deepEqual(after("tcp ", 4, 4, "tcp a "), none);
  assert.deepEqual(after("tcp ", 4, 4, "tcp("), [0, 0, []]);
  assert.deepEqual(after("tcp ", 4, 4, "tcp (a"), none);
  assert.deepEqual(after("tcp ", 4, 4, "udp a"), none);
  assert.deepEqual(after("tcp a udp", 4, 5, "tcp a icmp"), none);
  assert.deepEqual(after("tcp a", 4, 5, "tc"), none);
  assert.deepEqual(after("tcp a", 4, 5, ""), none);
  // What stands around it was changed, or is the same letter twice.
  assert.deepEqual(after("a)b", 0, 1, "a)c"), none);
  assert.deepEqual(after("(x(", 1, 2, "("), none);
});

test("stillFitting() is what the collector would say of words, one letter at a time", () => {
  const vocabulary = { nodes: ["web-1", "web-2", "a b", "Alpha"], addresses: ["10.0.0.1"] };
  const texts = [
    "class virtual and node web-1",
    "not tcp or src 10.0.0.1",
    "node in (web-1, Alpha)",
  ];
  let narrowed = 0;
  for (const text of texts) {
    for (let at = 1; at < text.length; at++) {
      const [before, now] = [text.slice(0, at), text.slice(0, at + 1)];
      const found = stillFitting(before, completeFilter(before, at, vocabulary), now);
      if (found.items.length === 0) continue;
      const wanted = completeFilter(now, at + 1, vocabulary);
      assert.deepEqual(found, wanted, now);
      narrowed++;
    }
  }
  assert.ok(narrowed > 30, `${narrowed} narrowed`);
});

test("isWrongAlready() waits for what only misses its end", () => {
  const of = (text: string) => {
    const result = parseFilter(text);
    return isWrongAlready(text, result.ok ? null : { position: result.problem });
  };
  for (const text of ["", "tcp", "tcp and", "tcp and ", "node ", "class in (", "dport > "]) {
    assert.equal(of(text), false, text);
  }
  for (const text of ["tcp udp", "class subnat", "class subnat ", ") ", "dport 99999"]) {
    assert.equal(of(text), true, text);
  }
  fc.assert(fc.property(fc.string(), (text) => void of(text)), { seed: 1 });
});

test("the field takes as many characters as a filter may have", () => {
  const written = /maxlength: ([\d_]+)/.exec(ASSETS["filter_box.js"].text)![1];
  assert.equal(Number(written.replaceAll("_", "")), FILTER_CHARS_MAX);
});
