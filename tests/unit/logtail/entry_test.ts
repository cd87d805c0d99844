/**
 * Goal: an entry is HEAD's byte for byte, and one valid JSON object on one line whatever came in.
 * Method: every HEAD case of SPEC 8.6, then laws over any text, with JSON.parse as judge.
 *
 * Where tunlog differs from HEAD on purpose:
 * - Write's length: encodeEntry returns the entry, not a count, so "returns the input length" has no counterpart.
 * - UploadLogs, Disabled at start, SetEnabled: tunlog has no such switches; a node without a collector makes no uploader.
 * - three text writes, fast shutdown: those are the uploader's, see tests/unit/node/delivery_test.ts.
 * - Allocation budgets (text 0, JSON 1): strings allocate here; entries are made once in 5 s, not per packet.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  cut,
  encodeEntry,
  encodeObjectEntry,
  ENTRY_BYTES_MAX,
  entryLine,
  type EntryMetadata,
  metadataMembers,
  takeLevelMark,
  TEXT_BYTES_MAX,
  TEXT_BYTES_MAX_SMALL,
} from "../../../src/logtail/mod.ts";

const FC = { seed: 8_006, numRuns: 300 };
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Clock of HEAD's encode cases: 123 s + 456 ns. */
const AT_123: EntryMetadata = { clientTimeNs: 123_000_000_456n, procId: 7, procSeq: 1 };
const M = `"logtail":{"client_time":"1970-01-01T00:02:03.000000456Z","proc_id":7,"proc_seq":1}`;
/** Clock of HEAD's builder cases. */
const Y2K_NS = BigInt(Date.parse("2000-01-01T00:00:00Z")) * 1_000_000n;
const Y2K: EntryMetadata = { clientTimeNs: Y2K_NS, metrics: "metrics" };
const L = `"logtail":{"client_time":"2000-01-01T00:00:00Z"}`;
const D =
  `"logtail":{"client_time":"2000-01-01T00:00:00Z","error":{"detail":"duplicate logtail member","bad_data":"duplicate"}}`;

function encoded(input: string | Uint8Array, metadata: EntryMetadata, textBytesMax?: number) {
  const bytes = encodeEntry(input, metadata, textBytesMax);
  assert.ok(bytes !== null);
  return DECODER.decode(bytes);
}

test("encodeEntry() encodes HEAD's cases at clock 123 s + 456 ns", () => {
  const cases: [input: string, output: string][] = [
    ["normal", `{${M},"text":"normal"}`],
    ["and a [v1] level one", `{${M},"v":1,"text":"and a level one"}`],
    ["[v2] some verbose two", `{${M},"v":2,"text":"some verbose two"}`],
    ["{}", `{${M}}`],
    [`{"foo":"bar"}`, `{${M},"foo":"bar"}`],
    [`foo: [v\0JSON]0{"foo":1}`, `{${M},"foo":1}`],
    [`foo: [v\0JSON]2{"foo":1}`, `{${M},"v":2,"foo":1}`],
  ];
  for (const [input, output] of cases) {
    assert.equal(encoded(input, AT_123), `${output}\n`, JSON.stringify(input));
    assert.equal(encoded(new TextEncoder().encode(input), AT_123), `${output}\n`);
  }
});

test("encodeEntry() writes `[v1] foo` as HEAD buffers it at clock 123 s", () => {
  assert.equal(
    encoded("[v1] foo", { clientTimeNs: 123_000_000_000n }),
    `{"logtail":{"client_time":"1970-01-01T00:02:03Z"},"v":1,"text":"foo"}\n`,
  );
});

test("encodeEntry() makes one entry each of `log line` and of its JSON", () => {
  for (const input of ["log line", `{"text":"log line"}`]) {
    const entry = JSON.parse(encoded(input, AT_123));
    assert.equal(entry.text, "log line");
    assert.equal(entry.logtail.client_time, "1970-01-01T00:02:03.000000456Z");
  }
});

test("encodeEntry() writes nothing for empty input", () => {
  assert.equal(encodeEntry("", AT_123), null);
  assert.equal(encodeEntry(new Uint8Array(0), AT_123), null);
});

test("takeLevelMark() finds HEAD's markers", () => {
  const cases: [input: string, level: number, text: string][] = [
    ["no level", 0, "no level"],
    ["[v1] level 1", 1, "level 1"],
    ["level 1 [v1] ", 1, "level 1 "],
    ["[v2] level 2", 2, "level 2"],
    ["level [v2] 2", 2, "level 2"],
    ["[v3] no level 3", 0, "[v3] no level 3"],
    [`some ignored text then [v\0JSON]5{"foo":1234}`, 5, `{"foo":1234}`],
    // Beyond HEAD's table: the rest must not be empty, an object has no marker, every occurrence goes.
    ["[v\0JSON]5", 0, "[v\0JSON]5"],
    [`{"a":"[v1] "}`, 0, `{"a":"[v1] "}`],
    ["[v1] a [v1] b", 1, "a b"],
    ["[v2] a [v1] b", 1, "[v2] a b"],
  ];
  for (const [input, level, text] of cases) {
    assert.deepEqual(takeLevelMark(input), { level, text }, JSON.stringify(input));
  }
});

test("metadataMembers() writes HEAD's metadata cases", () => {
  const logtail = (inner: string) => `"logtail":{${inner}}`;
  const cases: [name: string, metadata: EntryMetadata, output: string][] = [
    ["nothing special", Y2K, `${L},"metrics":"metrics"`],
    ["skip time", { metrics: "metrics" }, `"metrics":"metrics"`],
    ["skip metrics", { clientTimeNs: Y2K_NS }, L],
    ["skip both", {}, ""],
    ["proc_id", { procId: 1 }, logtail(`"proc_id":1`)],
    ["proc_seq", { procSeq: 2 }, logtail(`"proc_seq":2`)],
    ["proc_id and proc_seq", { procId: 1, procSeq: 2 }, logtail(`"proc_id":1,"proc_seq":2`)],
    ["error detail", { errorDetail: "error" }, logtail(`"error":{"detail":"error"}`)],
    ["error data", { errorDataJson: "null" }, logtail(`"error":{"bad_data":null}`)],
    ["level 5", { level: 5 }, `"v":5`],
    ["level 0", { level: 0 }, ""],
    [
      "everything",
      { ...Y2K, procId: 1, procSeq: 2, errorDetail: "error", errorDataJson: "null", level: 5 },
      `"logtail":{"client_time":"2000-01-01T00:00:00Z","proc_id":1,"proc_seq":2,` +
      `"error":{"detail":"error","bad_data":null}},"metrics":"metrics","v":5`,
    ],
  ];
  for (const [name, metadata, output] of cases) {
    assert.equal(metadataMembers(metadata), output, name);
  }
});

test("entryLine() writes HEAD's text cases with little memory", () => {
  const line = (text: string) => entryLine(text, { clientTimeNs: Y2K_NS }, TEXT_BYTES_MAX_SMALL);
  assert.equal(line(""), `{${L}}\n`);
  assert.equal(line(`\b\f\n\r\t"\\`), String.raw`{${L},"text":"\b\f\n\r\t\"\\"}` + "\n");
  assert.equal(
    line("\u0001\u001f\u007f\u2028<>&"),
    `{${L},"text":"\\u0001\\u001f\u007f\u2028<>&"}\n`,
  );
  const face = "\u{1f600}";
  assert.equal(
    line("x" + face.repeat(262_144)),
    `{${L},"text":"x${face.repeat(1_023)}…+1044484"}\n`,
  );
});

test("entryLine() writes HEAD's text-or-JSON cases", () => {
  const duplicate = `"logtail" : "duplicate"`;
  const cases: [name: string, input: string, output: string][] = [
    ["empty", "", `{${L},"metrics":"metrics"}`],
    ["array", "[]", `{${L},"metrics":"metrics","text":"[]"}`],
    ["empty object", "{}", `{${L}}`],
    ["two objects", "{}{}", `{${L},"metrics":"metrics","text":"{}{}"}`],
    ["newlines", `{\n"fizz"\n:\n"buzz"\n}\n`, `{${L},"fizz":"buzz"}`],
    ["duplicate alone", `{ ${duplicate} }`, `{${D}}`],
    ["fizz before", `{ "fizz" : "buzz" , ${duplicate} }`, `{${D}, "fizz" : "buzz"}`],
    ["fizz after", `{ ${duplicate} , "fizz" : "buzz" }`, `{${D} , "fizz" : "buzz"}`],
    [
      "fizz around",
      `{ "fizz" : "buzz" , ${duplicate} , "wizz" : "wuzz" }`,
      `{${D}, "fizz" : "buzz" , "wizz" : "wuzz"}`,
    ],
  ];
  for (const [name, input, output] of cases) {
    assert.equal(entryLine(input, Y2K, TEXT_BYTES_MAX_SMALL), `${output}\n`, name);
  }
  assert.equal(
    entryLine("text", { ...Y2K, level: 1 }),
    `{${L},"metrics":"metrics","v":1,"text":"text"}\n`,
    "level 1",
  );
  const tooLarge = JSON.parse(entryLine(`{"long":"${"a".repeat(262_144)}"}`, Y2K));
  assert.deepEqual(tooLarge.logtail.error, {
    detail: "entry too large: 262155 bytes",
    bad_data: `{"long":"${"a".repeat(43_690 - 9)}…+218465`,
  });
  assert.deepEqual(Object.keys(tooLarge), ["logtail"]);
});

test("entryLine() takes an object of the longest size whole and no byte more", () => {
  const ofBytes = (bytes: number) => `{"é":"${"a".repeat(bytes - 9)}"}`;
  for (const [bytes, fits] of [[ENTRY_BYTES_MAX, true], [ENTRY_BYTES_MAX + 1, false]] as const) {
    assert.equal(new TextEncoder().encode(ofBytes(bytes)).length, bytes);
    assert.equal("é" in JSON.parse(entryLine(ofBytes(bytes), AT_123)), fits, `${bytes}`);
  }
});

test("cut() keeps the limit itself and cuts one byte more", () => {
  assert.equal(cut("a".repeat(TEXT_BYTES_MAX), TEXT_BYTES_MAX), "a".repeat(TEXT_BYTES_MAX));
  assert.equal(
    cut("a".repeat(TEXT_BYTES_MAX + 1), TEXT_BYTES_MAX),
    `${"a".repeat(TEXT_BYTES_MAX)}…+1`,
  );
  // A character that ends at the limit goes although it would have fitted: HEAD's rule.
  assert.equal(cut("aéb", 3), "a…+3");
  assert.equal(cut("aéb", 4), "aéb");
  assert.equal(cut("aéb", 2), "a…+3");
  assert.equal(cut("é", 1), "…+2");
});

test("encodeEntry() takes what is not UTF-8, or not strict JSON, for text", () => {
  const bytes = Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
  assert.equal(JSON.parse(encoded(bytes, AT_123)).text, `{"\ufffd":1}`);
  for (const input of [`{"a":1,"a":2}`, `{"a":1,}`, `{"\\ud800":1}`, "{", `{"a":01}`]) {
    assert.equal(JSON.parse(encoded(input, AT_123)).text, input);
  }
  assert.equal(JSON.parse(entryLine("half \ud800 pair", AT_123)).text, "half \ufffd pair");
});

test("encodeEntry() makes one JSON object on one line of any input", () => {
  let objects = 0;
  const input = fc.oneof(
    fc.string({ unit: "binary", maxLength: 200 }),
    fc.string({ unit: fc.constantFrom("{", "}", `"`, ":", ",", "a", "\n", "\\", "logtail") }),
    fc.json(),
    fc.dictionary(fc.constantFrom("logtail", "v", "a", "é"), fc.jsonValue()).map((value) => {
      return JSON.stringify(value, null, 1);
    }),
    fc.uint8Array({ size: "max", maxLength: 200 }),
  );
  fc.assert(
    fc.property(input, (value) => {
      const bytes = encodeEntry(value, AT_123);
      if (value.length === 0) return assert.equal(bytes, null);
      const line = DECODER.decode(bytes!);
      assert.equal(line.indexOf("\n"), line.length - 1);
      const entry = JSON.parse(line);
      assert.equal(entry.logtail.proc_seq, 1);
      assert.ok(line.startsWith(`{"logtail":{"client_time":`));
      if (!("text" in entry)) objects++;
    }),
    { ...FC, numRuns: 2_000 },
  );
  assert.ok(objects > 200, `${objects} objects only`);
});

test("entryLine() copies the members of an object, its numbers to the last digit", () => {
  const text = `{"b":18446744073709551615,"a":[1.0, 1E400,-0],"c":{"logtail":1}}`;
  assert.equal(entryLine(text, AT_123), `{${M},${text.slice(1)}\n`);
});

test("encodeObjectEntry() equals entryLine() on objects of our own", () => {
  const value = fc.dictionary(
    fc.string({ unit: "grapheme" }).filter((name) => name !== "logtail"),
    fc.jsonValue({ stringUnit: "grapheme" }),
    { noNullPrototype: true },
  );
  const metadata = fc.record({
    clientTimeNs: fc.bigInt(0n, 4_000_000_000_000_000_000n),
    procId: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    procSeq: fc.integer({ min: 1 }),
    errorDetail: fc.string({ unit: "grapheme" }),
    metrics: fc.string(),
    level: fc.integer({ min: 0, max: 9 }),
  }, { requiredKeys: [] });
  let empty = 0;
  fc.assert(
    fc.property(value, metadata, (object, about) => {
      const text = JSON.stringify(object);
      if (text === "{}") empty++;
      const bytes = encodeObjectEntry(new TextEncoder().encode(text), about);
      assert.equal(DECODER.decode(bytes), entryLine(text, about));
    }),
    { ...FC, examples: [[{}, {}], [{}, AT_123], [{ a: 1 }, {}]] },
  );
  assert.ok(empty >= 2);
});

test("encodeObjectEntry() leaves the object as it is and says when it is too large", () => {
  for (const bytes of [ENTRY_BYTES_MAX, ENTRY_BYTES_MAX + 1]) {
    const text = `{"a":"${"b".repeat(bytes - 8)}"}`;
    const object = new TextEncoder().encode(text);
    assert.equal(object.length, bytes);
    assert.equal(DECODER.decode(encodeObjectEntry(object, AT_123)), entryLine(text, AT_123));
    assert.equal(DECODER.decode(object), text);
  }
});
