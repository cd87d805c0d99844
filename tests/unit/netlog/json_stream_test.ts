// Goal: objects are found as SPEC 7.2 says, wherever pieces are cut; what is no JSON is a SyntaxError and nothing else.
// Method: examples, every cut of a hostile text, and random JSON against a slow twin over JSON.parse.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { JsonStream } from "../../../src/netlog/mod.ts";
import { STREAM_DEPTH_MAX } from "../../../src/limits.ts";

const WANTED = new Map([["a", /./], ["b", /./], ["s", /"/]]);

/** Objects found, as entries of name and raw value. */
function find(pieces: readonly string[], heldMax?: number): [string, string][][] {
  const found: [string, string][][] = [];
  const stream = new JsonStream(WANTED, (members) => found.push([...members]), heldMax);
  for (const piece of pieces) stream.push(piece);
  stream.end();
  return found;
}

const HOSTILE =
  ` {"x":[1,{"a":[{"b":1}],"c":{"b":"\\"}{\\u00e9\\\\"}},-0.5e+3],"\\u0061": {"q":null} ,` +
  `"s":{"b":true},"b":2,"b":false}\n[] "text" 12 {"s":"€\u{1f600}"}null`;
const HOSTILE_FOUND = [
  [["b", '"\\"}{\\u00e9\\\\"']],
  [["a", '[{"b":1}]']],
  [["b", "true"]],
  [["a", '{"q":null}'], ["b", "false"]],
  [["s", '"€\u{1f600}"']],
];

test("JsonStream finds inner objects before outer ones and does not search wanted members", () => {
  assert.deepEqual(find([HOSTILE]), HOSTILE_FOUND);
});

test("JsonStream finds the same wherever the text is cut", () => {
  for (let at = 0; at <= HOSTILE.length; at++) {
    assert.deepEqual(find([HOSTILE.slice(0, at), HOSTILE.slice(at)]), HOSTILE_FOUND, `at ${at}`);
  }
  assert.deepEqual(find(HOSTILE.split("")), HOSTILE_FOUND);
});

test("JsonStream takes bodies of uploads, wrappers of APIs and lines alike", () => {
  const one = [["a", "1"]];
  assert.deepEqual(find(['[{"a":1}\n,{"a":1}]']), [one, one]);
  assert.deepEqual(find(['{"logs":[{"a":1},{"a":1}],"next":null}']), [one, one]);
  assert.deepEqual(find(['{"a":1}\n{"a":1}\r\n']), [one, one]);
  assert.deepEqual(find(['{"a":1}{"a":1}']), [one, one]);
  for (const nothing of ["", " \n\t", "1", "null", "[]", "{}", '"a"', '["a",{"x":"b"}]']) {
    assert.deepEqual(find([nothing]), [], nothing);
  }
});

test("JsonStream says what is no JSON, whole or in pieces", () => {
  const wrong = [
    "{",
    "[",
    '"a',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    "}",
    "]",
    ",",
    ":",
    "[1,]",
    '{"a":1,}',
    "{a:1}",
    "{1:1}",
    "[1 2]",
    '{"a" 1}',
    '{"a":1 "b":2}',
    '{"a":1]',
    "[1}",
    "tru",
    "nul",
    "True",
    "truefalse",
    "01",
    "1.",
    ".5",
    "+1",
    "-",
    "1e",
    "0x10",
    "1_0",
    "NaN",
    "Infinity",
    "'a'",
    '"\\x"',
    '"\\u12g4"',
    '"\\u123',
    '"a\nb"',
    '"\t"',
    "\u00a0",
    "\ufeff{}",
    "/**/1",
    '{"a":"\\q"}',
    '{"a":{"b\n":1}}',
    '[{"a":1}',
  ];
  for (const text of wrong) {
    assert.throws(() => find([text]), SyntaxError, text);
    assert.throws(() => find(text.split("")), SyntaxError, text);
  }
  assert.throws(() => find(['{"a":1} ', "[!"]), {
    name: "SyntaxError",
    message: 'Unexpected "!" in JSON at character 10',
  });
  assert.throws(() => find(["[nulll]"]), {
    name: "SyntaxError",
    message: 'Unexpected "nulll" in JSON before character 7',
  });
});

test("JsonStream visits what is complete before it says what is wrong", () => {
  const found: string[] = [];
  const stream = new JsonStream(WANTED, (members) => found.push(members.get("a")!));
  assert.throws(() => stream.push('{"a":1}{"a":2}}{"a":3}'), SyntaxError);
  assert.deepEqual(found, ["1", "2"]);
});

test("JsonStream nests to its limit and not deeper", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  assert.deepEqual(find([nested(STREAM_DEPTH_MAX)]), []);
  assert.throws(() => find([nested(STREAM_DEPTH_MAX + 1)]), /nests deeper than 10000/);
  assert.throws(() => find(['{"x":'.repeat(STREAM_DEPTH_MAX + 1)]), /nests deeper than 10000/);
});

test("JsonStream holds no more than it may, and forgets what is closed", () => {
  const object = (chars: number) => `{"a":"${"x".repeat(chars - 2)}"`;
  const pieces = (text: string) => text.split(/(?<=,)/);
  assert.equal(find([`${object(99)}`, ',"c":1}'], 100).length, 1);
  assert.equal(find([`${object(100)}`, ',"c":1}'], 100).length, 1);
  assert.throws(() => find([`${object(101)}`, ',"c":1}'], 100), /more than 100 characters/);
  // Open objects count together; the same member again counts once; names and numbers under way count.
  const inner = `${object(60)},"c":${object(60)},"d":1}}`;
  assert.throws(() => find(pieces(inner), 100), /more than 100/);
  assert.equal(find([`${object(60)},"a":"${"y".repeat(60)}"`, "}"], 100).length, 1);
  assert.throws(() => find(["1".repeat(101)], 100), /more than 100/);
  assert.throws(() => find([`{"${"n".repeat(101)}`, '":1}'], 100), /more than 100/);
  // Not what is not wanted, and not what is over.
  assert.deepEqual(find([`["${"x".repeat(500)}`, '"]'], 100), []);
  assert.equal(find(Array.from({ length: 50 }, () => `${object(60)}}`), 100).length, 50);
});

/** Slow twin: the same over values that JSON.parse made. */
function findSlowly(value: unknown, found: [string, unknown][][]): void {
  if (Array.isArray(value)) { for (const item of value) findSlowly(item, found); }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return;
  const wanted: [string, unknown][] = [];
  for (const [name, member] of Object.entries(value)) {
    if (name === "a" || name === "b" || (name === "s" && typeof member === "string")) {
      wanted.push([name, member]);
    } else findSlowly(member, found);
  }
  if (wanted.length > 0) found.push(wanted);
}

const anyJson = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.oneof(fc.string({ unit: "binary" }), fc.double({ noNaN: true, noDefaultInfinity: true })),
    fc.constantFrom(null, true, false, 0, "", '"', "\\", "{", "}"),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom("a", "b", "s", "c"), fc.string()), tie("value"), {
      maxKeys: 5,
      noNullPrototype: true,
    }),
  ),
})).value;

test("property: JsonStream finds what a search of the parsed value finds", () => {
  let objects = 0;
  fc.assert(
    fc.property(anyJson, fc.constantFrom(undefined, 2), fc.nat(40), (value, indent, cut) => {
      const text = JSON.stringify(value, null, indent);
      const wanted: [string, unknown][][] = [];
      findSlowly(JSON.parse(text), wanted);
      const pieces = [text.slice(0, cut), text.slice(cut)];
      const found = find(pieces).map((members) =>
        members.map(([name, raw]): [string, unknown] => [name, JSON.parse(raw)])
      );
      assert.deepEqual(found, wanted);
      objects += found.length;
    }),
    { seed: 71, numRuns: 3_000 },
  );
  assert.ok(objects > 300, `${objects} objects found`);
});

/** Whether the first value ends before the text does: a stream takes several, JSON.parse one. */
function closesEarly(text: string): boolean {
  let depth = 0;
  const brackets = text.replace(/"(?:[^"\\]|\\.)*"/gs, "").replace(/[^[\]{}]/g, "");
  return [...brackets].some((bracket, index) => {
    depth += "[{".includes(bracket) ? 1 : -1;
    return depth === 0 && index < brackets.length - 1;
  });
}

test("property: JsonStream takes what JSON.parse takes, and refuses the rest with a SyntaxError", () => {
  const token = fc.constantFrom(
    ...[
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"a"',
      '"\\u00',
      '\\"',
      '"',
      "1",
      "-0",
      "1e5",
      "true",
      "null",
      " ",
    ],
    "x",
    "\n",
  );
  const mutated = fc.tuple(anyJson, fc.nat(), fc.oneof(token, fc.string({ maxLength: 2 }))).map(
    ([value, at, text]) => {
      const whole = JSON.stringify(value);
      const cut = at % (whole.length + 1);
      return whole.slice(0, cut) + text + whole.slice(cut + 1);
    },
  );
  const soup = fc.array(token, { maxLength: 12 }).map((tokens) => tokens.join(""));
  const seen = { taken: 0, refused: 0 };
  fc.assert(
    fc.property(fc.oneof(mutated, soup), (text) => {
      // In an array, so that several values in a row are refused as they are by JSON.parse.
      const whole = `[${text}]`;
      fc.pre(!closesEarly(whole));
      let isJson = true;
      try {
        JSON.parse(whole);
      } catch {
        isJson = false;
      }
      let isTaken = true;
      try {
        find([whole]);
      } catch (error) {
        assert.ok(error instanceof SyntaxError, String(error));
        isTaken = false;
      }
      assert.equal(isTaken, isJson, whole);
      seen[isTaken ? "taken" : "refused"]++;
    }),
    { seed: 72, numRuns: 5_000 },
  );
  assert.ok(seen.taken > 500 && seen.refused > 500, JSON.stringify(seen));
});
