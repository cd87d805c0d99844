// Goal: tables fit any width, numbers keep their value, CSV keeps its cells and starts no formula. Method: cases at both sides
// of each limit, and laws over random texts with a fixed seed.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { columnsOf, printable } from "../../../src/netlog/mod.ts";
import { type Column, cutTo, FlowTable, wrapped } from "../../../src/cli/flows/columns.ts";
import { csvRecord } from "../../../src/cli/flows/csv.ts";
import { harmlessJson, jsonLine } from "../../../src/cli/flows/json_line.ts";
import { bar, curve } from "../../../src/cli/flows/series.ts";
import {
  endText,
  NumberWriter,
  percentText,
  shortText,
  spanText,
  TimeWriter,
} from "../../../src/cli/flows/values.ts";

const SEED = 20_261_126;

interface Row {
  readonly name: string;
  readonly host: string;
  readonly packets: string;
  readonly bytes: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: "Name", cell: ({ name }) => name, columnsMin: 6 },
  { title: "Host", cell: ({ host }) => host, columnsMin: 8, hasTail: true, dropOrder: 2 },
  { title: "Tx", cell: ({ packets }) => packets, align: "right", dropOrder: 1 },
  { title: "Rx", cell: ({ packets }) => packets, align: "right", dropOrder: 1 },
  { title: "Bytes", cell: ({ bytes }) => bytes, align: "right" },
];
const ROWS: readonly Row[] = [
  { name: "alphabet", host: "[fd7a:115c::1]:443", packets: "12", bytes: "1.64Ki" },
  { name: "b", host: "10.0.0.1:80", packets: "3", bytes: "9" },
];

function tableAt(columns: number): string[] {
  const table = new FlowTable(COLUMNS, { columns, hasColor: false });
  return table.lines(ROWS).split("\n").slice(0, -1);
}

test("FlowTable aligns, cuts texts, then drops columns by their order, equal ones together", () => {
  assert.deepEqual(tableAt(Infinity), [
    "Name      Host                Tx  Rx   Bytes",
    "alphabet  [fd7a:115c::1]:443  12  12  1.64Ki",
    "b         10.0.0.1:80          3   3       9",
  ]);
  assert.deepEqual(tableAt(44), tableAt(Infinity));
  // One less: the widest text loses its middle.
  assert.equal(tableAt(43)[1], "alphabet  [fd7a:11…::1]:443  12  12  1.64Ki");
  assert.equal(tableAt(32)[1], "alpha…  [fd7…443  12  12  1.64Ki");
  // Numbers are never cut: both columns of the lowest order go.
  assert.deepEqual(tableAt(31), [
    "Name      Host            Bytes",
    "alphabet  [fd7a:…1]:443  1.64Ki",
    "b         10.0.0.1:80         9",
  ]);
  assert.equal(tableAt(24)[1], "alpha…  [fd7…443  1.64Ki");
  assert.equal(tableAt(23)[1], "alphabet  1.64Ki");
  assert.deepEqual(tableAt(14), ["Name     Bytes", "alpha…  1.64Ki", "b            9"]);
  const table = new FlowTable(COLUMNS, { columns: 23, hasColor: false });
  table.lines(ROWS);
  assert.deepEqual(table.dropped(), ["Host", "Tx", "Rx"]);
});

test("FlowTable leaves out columns without text, and writes titles again only when they change", () => {
  const table = new FlowTable(COLUMNS, { columns: 80, hasColor: false });
  const row = { name: "a", host: "", packets: "1", bytes: "2" };
  assert.equal(table.lines([row]), "Name  Tx  Rx  Bytes\na      1   1      2\n");
  assert.equal(table.lines([row]), "a      1   1      2\n");
  assert.equal(table.lines([]), "");
  assert.equal(
    table.lines([{ ...row, host: "h" }]),
    "Name  Host  Tx  Rx  Bytes\na     h      1   1      2\n",
  );
  assert.equal(table.lines([row]), "a            1   1      2\n");
});

test("FlowTable colours titles and marked rows only when it may", () => {
  const table = new FlowTable(COLUMNS, { columns: 80, hasColor: true });
  const text = table.lines(ROWS, ({ name }) => name === "b");
  assert.match(
    text.replaceAll("\u001b", "E"),
    /^E\[1mName[^E]*E\[0m\nalphabet[^E]*\nE\[31mb [^E]*E\[0m\n$/,
  );
});

test("FlowTable is never wider than it may be, whatever stands in it, and lets nothing steer the terminal", () => {
  const text = fc.string({ unit: "binary", maxLength: 40, size: "max" });
  let cut = 0;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 24, max: 90 }),
      (pairs, columns) => {
        const rows = pairs.map(([name, host]) => ({ name, host, packets: "123", bytes: "1.64Ki" }));
        const lines = new FlowTable(COLUMNS, { columns, hasColor: false }).lines(rows).split("\n");
        for (const line of lines) {
          assert.ok(columnsOf(line) <= columns, `${columnsOf(line)} > ${columns}: ${line}`);
          assert.equal(line, printable(line));
          if (line.includes("…")) cut++;
        }
        assert.equal(lines.length, rows.length + 2);
      },
    ),
    { seed: SEED, numRuns: 300 },
  );
  assert.ok(cut > 50, `only ${cut} lines were cut`);
});

test("cutTo() keeps what fits, and the tail where it tells more", () => {
  assert.equal(cutTo("abcdef", 6), "abcdef");
  assert.equal(cutTo("abcdef", 5), "abcd…");
  assert.equal(cutTo("abcdef", 5, true), "ab…ef");
  assert.equal(cutTo("abcdef", 1), "…");
  assert.equal(cutTo("abcdef", 0), "");
  // A wide character does not fit half.
  assert.equal(cutTo("日本語", 4), "日…");
  assert.equal(cutTo("日本語", 6), "日本語");
});

test("wrapped() breaks at blanks, and nowhere else", () => {
  assert.equal(wrapped("one two three", 13), "one two three");
  assert.equal(wrapped("one two three", 12), "one two\n  three");
  assert.equal(wrapped("one two three", 7), "one two\n  three");
  assert.equal(wrapped("one two three", 6), "one\n  two\n  three");
  assert.equal(wrapped("verylongword a", 4), "verylongword\n  a");
  assert.equal(wrapped("one two", Infinity), "one two");
});

test("shortText() writes three digits that count and never 1000 of a unit", () => {
  const cases: readonly (readonly [number, 1000 | 1024, string])[] = [
    [0, 1000, "0"],
    [999, 1000, "999"],
    [1_000, 1000, "1.00k"],
    [9_994, 1000, "9.99k"],
    [9_996, 1000, "10.0k"],
    [99_940, 1000, "99.9k"],
    [99_960, 1000, "100k"],
    [999_499, 1000, "999k"],
    [999_501, 1000, "1.00M"],
    [0.04, 1000, "<0.1"],
    [0.06, 1000, "0.1"],
    [3.25, 1000, "3.3"],
    [999, 1024, "999"],
    [1_000, 1024, "0.98Ki"],
    [1_024, 1024, "1.00Ki"],
    [1_023_488, 1024, "0.98Mi"],
    [2 ** 60, 1024, "1.00Ei"],
    [2 ** 63, 1024, "8.00Ei"],
    [-1_500, 1000, "-1.50k"],
  ];
  for (const [value, base, text] of cases) assert.equal(shortText(value, base), text);
});

test("NumberWriter writes all digits when it is exact, beyond 2^53 too", () => {
  const exact = new NumberWriter(true);
  assert.equal(exact.bytes(9_007_199_254_740_993n), "9007199254740993");
  assert.equal(exact.count(1_234), "1234");
  assert.equal(exact.rate(1.6), "2");
  const short = new NumberWriter(false);
  assert.equal(short.bytes(9_007_199_254_740_993n), "8.00Pi");
  assert.equal(short.count(1_234n), "1.23k");
});

test("percentText() never calls whole what is not", () => {
  assert.equal(percentText(1), "100%");
  assert.equal(percentText(0.999_999), "99.99%");
  assert.equal(percentText(0.5), "50%");
  assert.equal(percentText(0.07), "7%");
  assert.equal(percentText(0), "0%");
});

test("spanText() and endText() write spans and ends", () => {
  assert.deepEqual(
    [0, 999, 1_000, 4_250, 59_999, 60_000, 200_000, 3_600_000, 7_500_000, 86_400_000, 273_600_000]
      .map(spanText),
    ["0ms", "999ms", "1s", "4.2s", "59.9s", "1m", "3m 20s", "1h", "2h 5m", "1d", "3d 4h"],
  );
  assert.equal(endText("10.0.0.1", 443), "10.0.0.1:443");
  assert.equal(endText("fd7a::1", 80), "[fd7a::1]:80");
  assert.equal(endText("fd7a::1", 0), "fd7a::1");
  assert.equal(endText("", 53), "*:53");
  assert.equal(endText("", 0), "");
});

test("TimeWriter leaves out the day where all lie on one, by the zone", () => {
  const utc = new TimeWriter(() => 0);
  utc.look(["2026-09-21T14:13:24.999999999Z", "2026-09-21T14:15:20Z"]);
  // The end of a window is 1 ns before the next.
  assert.equal(utc.short("2026-09-21T14:13:24.999999999Z"), "14:13:25");
  assert.equal(utc.short("2026-09-21T14:13:24.25Z"), "14:13:24.25");
  assert.equal(utc.short("2026-09-20T23:00:00Z"), "09-20 23:00:00");
  assert.equal(utc.whole("2026-09-21T14:15:20Z"), "2026-09-21 14:15:20Z");
  const east = new TimeWriter(() => 120);
  east.look(["2026-09-21T21:30:00Z", "2026-09-21T22:30:00Z"]);
  assert.equal(east.short("2026-09-21T21:30:00Z"), "09-21 23:30:00");
  assert.equal(east.whole("2026-09-21T22:30:00Z"), "2026-09-22 00:30:00+02:00");
  const years = new TimeWriter(() => 0);
  years.look(["2025-12-31T23:00:00Z", "2026-01-01T01:00:00Z"]);
  assert.equal(years.short("2026-01-01T01:00:00Z"), "2026-01-01 01:00:00");
  assert.equal(years.short("no time"), "no time");
});

test("bar() and curve() tell nothing, little and not known apart", () => {
  assert.equal(bar(8, 8, 4), "████");
  assert.equal(bar(1, 1_000_000, 4), "▏");
  assert.equal(bar(0, 8, 4), "");
  assert.equal(bar(null, 8, 4), "·");
  assert.equal(curve([0, 1, 50, 100, null], 10), "▁▂▄█·");
  // Of buckets that share a column the greatest stands.
  assert.equal(curve([0, 100, null, 50, null, null], 3), "█▄·");
  assert.equal(curve([0, 0], 10), "▁▁");
});

/** Reads CSV by the grammar of RFC 4180, as strictly as it is written. */
function parseCsv(text: string): string[][] {
  const records: string[][] = [];
  let at = 0;
  while (at < text.length) {
    const record: string[] = [];
    for (;;) {
      const cell = /"((?:[^"]|"")*)"|[^",\r\n]*/y;
      cell.lastIndex = at;
      const [whole, quoted] = cell.exec(text)!;
      record.push(quoted === undefined ? whole : quoted.replaceAll('""', '"'));
      at += whole.length;
      if (text[at] !== ",") break;
      at++;
    }
    assert.equal(text.slice(at, at + 2), "\r\n");
    at += 2;
    records.push(record);
  }
  return records;
}

test("csvRecord() quotes what must be, and starts no formula", () => {
  assert.equal(
    csvRecord(["a", 1, 9_007_199_254_740_993n, null, undefined]),
    "a,1,9007199254740993,,\r\n",
  );
  assert.equal(csvRecord(['say "x", y']), '"say ""x"", y"\r\n');
  for (const first of ["=", "+", "-", "@"]) {
    assert.equal(csvRecord([`${first}1+1`]), `'${first}1+1\r\n`);
  }
  assert.equal(csvRecord(["\t=1"]), "'\ufffd=1\r\n");
  // A number below zero is ours, and stays one.
  assert.equal(csvRecord([-5]), "-5\r\n");
  assert.equal(csvRecord([true]), "true\r\n");
});

test("csvRecord() reads back as it was, but for what is made harmless", () => {
  const cell = fc.oneof(
    fc.string({ unit: "binary", size: "max", maxLength: 20 }),
    fc.constantFrom("=", '"', ",", "\r\n", "-1"),
  );
  let guarded = 0;
  fc.assert(
    fc.property(fc.array(cell, { minLength: 1, maxLength: 6 }), (cells) => {
      const [record, ...more] = parseCsv(csvRecord(cells));
      assert.deepEqual(more, []);
      for (const [index, text] of record.entries()) {
        assert.doesNotMatch(text, /^[=+\-@\t\r]/);
        const isGuarded = /^[=+\-@\t\r]/.test(cells[index]);
        if (isGuarded) guarded++;
        assert.equal(text, printable(isGuarded ? `'${cells[index]}` : cells[index]));
      }
    }),
    { seed: SEED, numRuns: 500 },
  );
  assert.ok(guarded > 100, `only ${guarded} cells were guarded`);
});

test("jsonLine() escapes what could steer a terminal, and reads back the same", () => {
  const value = { name: "\u001b[31m\u009b31m\u202e\u007f", bytes: 9_007_199_254_740_993n };
  const line = jsonLine(value);
  assert.equal(
    line,
    '{"name":"\\u001b[31m\\u009b31m\\u202e\\u007f","bytes":9007199254740993}\n',
  );
  assert.equal(JSON.parse(line).name, value.name);
  fc.assert(
    fc.property(fc.string({ unit: "binary", size: "max", maxLength: 50 }), (text) => {
      const written = harmlessJson(JSON.stringify(text));
      assert.equal(written, printable(written));
      assert.equal(JSON.parse(written), text);
    }),
    { seed: SEED, numRuns: 500 },
  );
});
