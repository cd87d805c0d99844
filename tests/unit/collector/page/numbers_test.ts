/** Goal: short numbers never mislead, exact ones keep every digit. Method: borders of units, properties over counts of any size. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseExact } from "../../../../src/collector/page/client/exact_json.js";
import {
  bytesText,
  countText,
  exactText,
  percentText,
  rateText,
  shortText,
  sum,
} from "../../../../src/collector/page/client/numbers.js";

const plain = (text: string) => text.replaceAll("\u202f", " ");

test("shortText() rounds to the next unit rather than to four digits before it", () => {
  const cases: readonly [number | bigint, string, string][] = [
    [0, "0 B", "0 B"],
    [1, "1 B", "1 B"],
    [999, "999 B", "999 B"],
    [1_000, "1.00 kB", "1000 B"],
    [1_023, "1.02 kB", "1023 B"],
    [1_024, "1.02 kB", "1.00 KiB"],
    [9_994, "9.99 kB", "9.76 KiB"],
    [9_995, "10.0 kB", "9.76 KiB"],
    [99_949, "99.9 kB", "97.6 KiB"],
    [99_950, "100 kB", "97.6 KiB"],
    [999_499, "999 kB", "976 KiB"],
    [999_500, "1.00 MB", "976 KiB"],
    [1_048_063, "1.05 MB", "1023 KiB"],
    [1_048_064, "1.05 MB", "1.00 MiB"],
    [2 ** 53, "9.01 PB", "8.00 PiB"],
    [2n ** 63n, "9.22 EB", "8.00 EiB"],
    [2n ** 64n - 1n, "18.4 EB", "16.0 EiB"],
    [10n ** 24n, "1.00 YB", "847 ZiB"],
    [10n ** 28n, "10000 YB", "8272 YiB"],
  ];
  for (const [value, si, iec] of cases) {
    assert.equal(plain(bytesText(value)), si, `${value} in SI`);
    assert.equal(plain(bytesText(value, "iec")), iec, `${value} in IEC`);
  }
  assert.equal(plain(rateText(1_500)), "1.50 kbit/s");
  assert.equal(countText(7), "7");
  assert.equal(plain(countText(7_000)), "7.00 k");
});

test("shortText() of parts, of nothing, and of what is below zero", () => {
  const cases: readonly [number, string][] = [
    [0.01, "< 0.1"],
    [0.049, "< 0.1"],
    [0.05, "0.1"],
    [0.5, "0.5"],
    [99.96, "100.0"],
    [999.4, "999.4"],
    [999.5, "1.00 k"],
    [-1, "−1"],
    [-999_500, "−1.00 M"],
    [NaN, "–"],
    [Infinity, "–"],
    [-0, "0"],
  ];
  for (const [value, text] of cases) assert.equal(plain(shortText(value, "")), text, `${value}`);
});

const PREFIXES = {
  si: ["", "k", "M", "G", "T", "P", "E"],
  iec: ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"],
};

test("shortText() is within half a unit of its last digit, and never out of order", () => {
  for (const system of ["si", "iec"] as const) {
    const base = system === "si" ? 1000 : 1024;
    const read = (text: string) => {
      const [digits, prefix = ""] = plain(text).split(" ");
      const step = PREFIXES[system].indexOf(prefix);
      const unit = base ** step;
      const decimals = digits.split(".")[1]?.length ?? 0;
      return { value: Number(digits) * unit, error: 0.5 * unit / 10 ** decimals, digits };
    };
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 64n - 1n), fc.nat(60), (big, shift) => {
        const value = big >> BigInt(shift);
        const { value: shown, error, digits } = read(shortText(value, "", system));
        // A double's own error, far below a digit that is shown, added.
        assert.ok(Math.abs(shown - Number(value)) <= error * (1 + 1e-9), `${value}: ${digits}`);
        assert.ok(digits.replace(".", "").length <= 4, digits);
        const after = read(shortText(value + 1n + value / 997n, "", system));
        assert.ok(after.value >= shown, `${value}`);
      }),
      { seed: 1, numRuns: 3_000 },
    );
  }
});

test("exactText() keeps every digit", () => {
  assert.equal(plain(exactText(0)), "0");
  assert.equal(plain(exactText(999, "bytes")), "999 bytes");
  assert.equal(plain(exactText(1_000)), "1 000");
  assert.equal(plain(exactText(-1_234_567)), "-1 234 567");
  assert.equal(
    plain(exactText(18_446_744_073_709_551_615n, "bytes")),
    "18 446 744 073 709 551 615 bytes",
  );
  assert.equal(plain(exactText(1e21)), "1 000 000 000 000 000 000 000");
  assert.equal(plain(exactText(1234.5678)), "1 234.568");
  fc.assert(
    fc.property(fc.bigInt(), (value) => {
      const text = exactText(value);
      assert.equal(BigInt(text.replaceAll("\u202f", "")), value);
      assert.ok(/^-?\d{1,3}(\u202f\d{3})*$/.test(text), text);
    }),
    { seed: 1 },
  );
});

test("sum() is exact, a number as long as that is", () => {
  assert.equal(sum(), 0);
  assert.equal(sum(1, 2), 3);
  assert.equal(sum(1, 2n), 3);
  assert.equal(sum(Number.MAX_SAFE_INTEGER, 0), Number.MAX_SAFE_INTEGER);
  assert.equal(sum(Number.MAX_SAFE_INTEGER, 1), 2n ** 53n);
  assert.equal(sum(2n ** 53n, -1), Number.MAX_SAFE_INTEGER);
  const counts = fc.array(fc.oneof(fc.maxSafeNat(), fc.bigInt(0n, 2n ** 64n)));
  fc.assert(
    fc.property(counts, (values) => {
      const total = values.reduce((all: bigint, each) => all + BigInt(each), 0n);
      const found = sum(...values);
      assert.equal(BigInt(found), total);
      assert.equal(typeof found, total <= BigInt(Number.MAX_SAFE_INTEGER) ? "number" : "bigint");
    }),
    { seed: 1 },
  );
});

test("percentText() says 100 % and 0 % only where that is so", () => {
  const cases: readonly [number, string][] = [
    [1, "100 %"],
    [1.5, "100 %"],
    [1 - 2 ** -53, "> 99.99 %"],
    [0.99991, "> 99.99 %"],
    [0.9999, "99.99 %"],
    [0.99, "99.00 %"],
    [0.5, "50.0 %"],
    [0.0123, "1.23 %"],
    [0.005, "0.50 %"],
    [0.0001, "0.010 %"],
    [0.00009, "< 0.01 %"],
    [Number.MIN_VALUE, "< 0.01 %"],
    [0, "0 %"],
    [-1, "0 %"],
  ];
  for (const [share, text] of cases) assert.equal(percentText(share), text, `${share}`);
});

test("parseExact() keeps integers of any size, and all else as JSON.parse", () => {
  const text =
    '{"a":9007199254740993,"b":[-18446744073709551615,1.5,1e3,9007199254740991],"c":"9007199254740993"}';
  assert.deepEqual(parseExact(text), {
    a: 9007199254740993n,
    b: [-18446744073709551615n, 1.5, 1000, 9007199254740991],
    c: "9007199254740993",
  });
  // Texts that look like the mark that is used on the way.
  const marked = ["~", "~1", "~~9007199254740993", "\u007e9007199254740993", '"~', "\\u007e"];
  for (const each of marked) {
    const value = { [each]: each, big: 2n ** 60n, list: [each] };
    const json = `{${JSON.stringify(each)}:${JSON.stringify(each)},"big":${2n ** 60n},"list":["${
      JSON.stringify(each).slice(1, -1).replace("~", "\\u007E")
    }"]}`;
    assert.deepEqual(parseExact(json), value);
  }
});

/** JSON values with integers of any size, and their text. */
const exactJson = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.bigInt(-(2n ** 70n), 2n ** 70n),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: "binary" }),
    fc.constantFrom(null, true, false, "~", "~~1", '":', "9007199254740993"),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie("value"), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

function written(value: unknown): string {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[ ${value.map(written).join(" , ")} ]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${
    Object.entries(value).map(([name, each]) => `${JSON.stringify(name)} : ${written(each)}`).join()
  }}`;
}

/** As parseExact() gives it: integers that a double holds are numbers, and there is no -0. */
function expected(value: unknown): unknown {
  if (typeof value === "bigint") {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
  if (typeof value === "number") {
    const text = JSON.stringify(value);
    return /^-?\d+$/.test(text) && !Number.isSafeInteger(value) ? BigInt(text) : JSON.parse(text);
  }
  if (Array.isArray(value)) return value.map(expected);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, expected(each)]));
}

test("parseExact() reads what was written, and refuses what JSON.parse refuses", () => {
  fc.assert(
    fc.property(exactJson, (value) => {
      assert.deepEqual(parseExact(written(value)), expected(value));
    }),
    { seed: 1, numRuns: 1_000 },
  );
  for (
    const wrong of [
      ...[
        "",
        "9007199254740993,",
        "[9007199254740993",
        "09007199254740993",
        "[-9007199254740993-]",
      ],
      ...["[9007199254740993 1]", '"9007199254740993', "{9007199254740993:1}", "9007199254740993n"],
      ...["+9007199254740993", "9007199254740993.", "1e9007199254740993e", "[~9007199254740993]"],
    ]
  ) {
    assert.throws(() => JSON.parse(wrong), SyntaxError, wrong);
    assert.throws(() => parseExact(wrong), SyntaxError, wrong);
  }
});
