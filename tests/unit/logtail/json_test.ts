/**
 * Goal: findMember() takes exactly strict JSON objects and points at the right places.
 * Method: hostile texts by name; JSON.parse as twin over generated and broken texts.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { findMember } from "../../../src/logtail/mod.ts";

const FC = { seed: 8_259, numRuns: 3_000 };

test("findMember() points at the member, and at the end of what stands before it", () => {
  const text = `{ "a" : [1, {"x": 2}] , "x" : {"y":"}"} , "b":null } \n`;
  const places = findMember(text, "x");
  assert.ok(places !== null && places.member !== null);
  assert.equal(text[places.close], "}");
  assert.equal(text.slice(places.close + 1).trim(), "");
  assert.equal(text.slice(places.member.valueStart, places.member.valueEnd), `{"y":"}"}`);
  assert.equal(text.slice(0, places.member.start), `{ "a" : [1, {"x": 2}]`);
  assert.equal(findMember(text, "y")?.member, null);
});

test("findMember() finds a name written with escapes", () => {
  const member = findMember(String.raw`{"\u006cogtail":1}`, "logtail")?.member;
  assert.ok(member);
});

test("findMember() refuses what is not one strict object", () => {
  const deep = (depth: number) => `${`{"a":`.repeat(depth)}1${"}".repeat(depth)}`;
  const nine = Array.from({ length: 9 }, (_, index) => `"${index}":0`).join(",");
  const cases: [name: string, text: string][] = [
    ["empty", ""],
    ["array", "[]"],
    ["white space in front", " {}"],
    ["byte order mark", "\ufeff{}"],
    ["two objects", "{}{}"],
    ["not closed", `{"a":1`],
    ["comma behind the last", `{"a":1,}`],
    ["comma in front", `{,"a":1}`],
    ["no colon", `{"a" 1}`],
    ["no value", `{"a":}`],
    ["bare name", "{a:1}"],
    ["zero in front", `{"a":01}`],
    ["plus sign", `{"a":+1}`],
    ["bare minus", `{"a":-}`],
    ["no digit behind the point", `{"a":1.}`],
    ["no exponent", `{"a":1e}`],
    ["not a number", `{"a":NaN}`],
    ["literal in capitals", `{"a":True}`],
    ["literal with more", `{"a":nullx}`],
    ["array with a comma behind the last", `{"a":[1,]}`],
    ["array not closed", `{"a":[1}`],
    ["control character in a string", `{"a":"\u0001"}`],
    ["unknown escape", String.raw`{"a":"\x"}`],
    ["short unicode escape", String.raw`{"a":"\u12"}`],
    ["escape at the end", `{"a":"\\`],
    ["high surrogate alone", String.raw`{"a":"\ud800"}`],
    ["high surrogate and no low one", String.raw`{"a":"\ud800\u0041"}`],
    ["low surrogate alone", String.raw`{"a":"\udc00"}`],
    ["raw half of a pair", `{"a":"\ud800"}`],
    ["name twice", `{"a":1,"a":2}`],
    ["name twice, once escaped", String.raw`{"a":1,"\u0061":2}`],
    ["name twice deep inside", `{"b":[{"a":1,"a":2}]}`],
    ["name twice among many", `{${nine},"3":0}`],
    ["name twice among many, the newest", `{${nine},"9":0,"9":0}`],
    ["too deep", deep(513)],
  ];
  for (const [name, text] of cases) assert.equal(findMember(text, "a"), null, name);
  assert.ok(findMember(deep(512), "a"), "deepest");
  assert.ok(findMember(`{${nine},"9":0}`, "a"), "many names");
  assert.ok(findMember(String.raw`{"a":"\ud83d\ude00\/\b"}`, "a"), "a pair");
});

test("findMember() agrees with JSON.parse about any text", () => {
  const piece = fc.constantFrom(
    ...'{}[]",:0123456789.-+eE\\u \n\ttrue'.split(""),
    "null",
    `"a"`,
    `"b":`,
    "\\u0041",
    "\u0001",
    "é",
  );
  const object = fc.dictionary(fc.string(), fc.jsonValue()).map((value) => JSON.stringify(value));
  // A valid object with one piece put in, or one character taken out, is nearly valid.
  const near = fc.tuple(object, fc.nat(), piece, fc.boolean()).map(([text, at, extra, cutOne]) => {
    const index = at % (text.length + 1);
    return text.slice(0, index) + (cutOne ? "" : extra) + text.slice(index + (cutOne ? 1 : 0));
  });
  const count = { taken: 0, refused: 0 };
  fc.assert(
    fc.property(fc.oneof(object, near, fc.array(piece).map((p) => `{${p.join("")}`)), (text) => {
      const places = findMember(text, "a");
      if (places !== null) {
        count.taken++;
        const value = JSON.parse(text);
        if (places.member === null) return assert.ok(!Object.hasOwn(value, "a"));
        const part = text.slice(places.member.valueStart, places.member.valueEnd);
        return assert.deepEqual(JSON.parse(part), value.a);
      }
      count.refused++;
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch {
        return;
      }
      // JSON.parse is laxer about three things only.
      assert.ok(!text.startsWith("{") || isLax(text, value), text);
    }),
    FC,
  );
  assert.ok(count.taken > 500 && count.refused > 500, JSON.stringify(count));
});

/** Whether a text that JSON.parse takes has half a surrogate pair, or names a member twice. */
function isLax(text: string, value: unknown): boolean {
  const names = (part: unknown): number =>
    part === null || typeof part !== "object" ? 0 : Object.values(part).reduce(
      (sum, inner) => sum + names(inner),
      Array.isArray(part) ? 0 : Object.keys(part).length,
    );
  const written = (text.match(/"(?:[^"\\]|\\.)*"\s*:/g) ?? []).length;
  return !JSON.stringify(value).isWellFormed() || /\\ud[89a-f]/i.test(text) ||
    written > names(value);
}

test("findMember() takes linear time for long and for broken texts", () => {
  const steps = (rows: number) => `{"a":[${Array(rows).fill(`{"b":1,"c":"d"}`).join(",")}]`;
  const time = (text: string) => {
    let best = Infinity;
    for (let round = 0; round < 5; round++) {
      const start = performance.now();
      findMember(text, "z");
      best = Math.min(best, performance.now() - start);
    }
    return best;
  };
  time(steps(8_000));
  const ratio = time(steps(16_000)) / time(steps(2_000));
  assert.ok(ratio < 40, `8 times the text took ${ratio} times as long`);
});
