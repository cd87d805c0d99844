/** Goal: files hold what was there, and nothing in them is run. Method: a reader of RFC 4180, hostile names. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseExact } from "../../../../src/collector/page/client/exact_json.js";
import { csvText, jsonText, ndjsonText } from "../../../../src/collector/page/client/text_files.js";

/** Reads a file by RFC 4180. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  while (cell.lastIndex < text.length) {
    const match = cell.exec(text);
    assert.ok(match !== null, `not RFC 4180: ${JSON.stringify(text)}`);
    row.push(match[1]?.replaceAll('""', '"') ?? match[2]);
    if (match[3] === "\r\n") {
      rows.push(row);
      row = [];
    }
  }
  assert.deepEqual(row, []);
  return rows;
}

test("csvText() is RFC 4180: quotes, commas and line ends are kept", () => {
  const rows = [{ name: 'a "b", c', bytes: 2n ** 64n, rate: 1.5 }, {
    name: "x\r\ny",
    bytes: 0,
    rate: null,
  }];
  const text = csvText(["name", "bytes", "rate", "none"], rows);
  assert.equal(
    text,
    'name,bytes,rate,none\r\n"a ""b"", c",18446744073709551616,1.5,\r\n"x\r\ny",0,,\r\n',
  );
  assert.equal(csvText(["a"], []), "a\r\n");
});

/** What a spreadsheet would run, or a trick that leads to it. */
const FORMULAS = [
  ...["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x")', "=cmd|' /C calc'!A0", "-2+3"],
  ...[
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\u00a0=1",
    "\u0000=1",
    "\t",
    "\r",
    "＝1+1",
    "＋1",
    "－1",
    "＠A1",
  ],
];

test("csvText() makes no text a formula, and keeps it readable", () => {
  for (const formula of FORMULAS) {
    const [, [cell]] = readCsv(csvText(["name"], [{ name: formula }]));
    assert.equal(cell, `'${formula}`, JSON.stringify(formula));
  }
  for (const harmless of ["", "a=b", "1-2", "10.0.0.1", "::1", "web-1", "'", "büro", " a", "<=>"]) {
    const [, [cell]] = readCsv(csvText(["name"], [{ name: harmless }]));
    assert.equal(cell, harmless);
  }
  // Numbers are numbers, below zero too; what is neither is no way around.
  const [, cells] = readCsv(csvText(["a", "b", "c", "d", "e"], [
    { a: -1, b: -(2n ** 60n), c: ["=1", '"'], d: { x: "=1" }, e: true },
  ]));
  assert.deepEqual(cells, ["-1", `${-(2n ** 60n)}`, '["=1","\\""]', '{"x":"=1"}', "true"]);
});

test("csvText() read back is what was there", () => {
  const value = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom(...FORMULAS, '"', ",", "\r\n", '","'),
  );
  fc.assert(
    fc.property(fc.array(fc.record({ a: value, b: value }), { maxLength: 5 }), (rows) => {
      const [head, ...found] = readCsv(csvText(["b", "a"], rows));
      assert.deepEqual(head, ["b", "a"]);
      const wanted = rows.map(({ a, b }) => [b, a]);
      // But for the quote before what would be a formula.
      for (const [index, cells] of found.entries()) {
        for (const [column, cell] of cells.entries()) {
          const text = wanted[index][column];
          assert.ok(cell === text || cell === `'${text}`);
          assert.ok(!/^[=+\-@\t\r\n]/.test(cell), JSON.stringify(cell));
        }
      }
      assert.equal(found.length, rows.length);
    }),
    { seed: 1, numRuns: 500 },
  );
});

test("ndjsonText() is one value a line, with every digit", () => {
  const rows = [{ a: 2n ** 64n, b: "x\ny\u2028", c: [1n, null, undefined], d: undefined }, {}];
  const text = ndjsonText(rows);
  assert.equal(text, '{"a":18446744073709551616,"b":"x\\ny\u2028","c":[1,null,null]}\n{}\n');
  assert.deepEqual(parseExact(text.split("\n")[0]), {
    a: 2n ** 64n,
    b: "x\ny\u2028",
    c: [1, null, null],
  });
  fc.assert(
    fc.property(fc.array(fc.dictionary(fc.string(), fc.jsonValue())), (values) => {
      const lines = ndjsonText(values).split("\n");
      assert.equal(lines.pop(), "");
      assert.deepEqual(lines, values.map((each) => JSON.stringify(each)));
    }),
    { seed: 1 },
  );
  assert.equal(jsonText(NaN), "null");
  assert.equal(jsonText(undefined), "null");
});
