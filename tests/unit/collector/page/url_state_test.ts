/** Goal: an address shows what it was made for, and any other shows something. Method: round trips over random values. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { VIEW_PATHS as SERVED_PATHS } from "../../../../src/collector/page/page.ts";
import {
  DEFAULTS,
  readState,
  sharedValues,
  VIEW_PATHS,
  type ViewName,
  writeState,
} from "../../../../src/collector/page/client/url_state.js";

const VIEWS = Object.keys(VIEW_PATHS) as ViewName[];

const read = (address: string) => {
  const { pathname, search } = new URL(address, "http://collector.invalid");
  return readState({ pathname, search });
};

test("VIEW_PATHS are the paths that the collector serves", () => {
  assert.deepEqual(Object.values(VIEW_PATHS), SERVED_PATHS);
  assert.deepEqual(Object.keys(DEFAULTS), VIEWS);
});

test("readState() is the inverse of writeState(), and what is there anyway is not written", () => {
  for (const view of VIEWS) {
    const names = Object.keys(DEFAULTS[view]);
    assert.equal(writeState(view, {}), VIEW_PATHS[view]);
    assert.equal(writeState(view, DEFAULTS[view]), VIEW_PATHS[view]);
    // Lone halves of surrogate pairs are no text: an address has U+FFFD for them.
    const value = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("", "a&b=c", "#?+% ", "é\n\0"),
    )
      .map((text) => text.toWellFormed());
    fc.assert(
      fc.property(fc.record(Object.fromEntries(names.map((name) => [name, value]))), (values) => {
        const address = writeState(view, { ...values, unknown: "x" });
        assert.ok(!address.includes("#") && !address.includes("unknown"));
        assert.deepEqual(read(address), { view, values: { ...values } });
        assert.equal(writeState(view, read(address).values), address);
      }),
      { seed: 1, numRuns: 200 },
    );
  }
});

test("readState() of any address is a view with all its values, and no others", () => {
  const address = fc.oneof(
    fc.string().map((text) => `/${encodeURIComponent(text)}`),
    fc.tuple(fc.constantFrom(...Object.values(VIEW_PATHS)), fc.string())
      .map(([path, query]) => `${path}?${query}`),
    fc.constantFrom(
      "/?from=a&from=b",
      "/explore?__proto__=x&constructor=y",
      "/flow?%zz=%",
      "/EXPLORE",
    ),
  );
  fc.assert(
    fc.property(address, (text) => {
      const { view, values } = read(text.replaceAll("#", ""));
      assert.deepEqual(Object.keys(values), Object.keys(DEFAULTS[view]));
      for (const value of Object.values(values)) assert.equal(typeof value, "string");
    }),
    { seed: 1, numRuns: 500 },
  );
  assert.equal(read("/nothing").view, "overview");
  assert.equal(read("/?from=a&from=b").values.from, "a");
});

test("sharedValues() takes along the range that was chosen, and no view's own", () => {
  for (const from of VIEWS) {
    const own = DEFAULTS[from];
    assert.deepEqual(sharedValues(from, { ...own, units: "iec" }), { units: "iec" });
    for (const to of VIEWS) {
      // From where it was chosen, over any other view.
      const chosen = { ...own, from: "-42m", to: "now" };
      const address = writeState(to, sharedValues(from, chosen));
      assert.equal(read(address).values.from, "-42m");
    }
  }
  // What is one view's default can be chosen in another.
  const quarter = { ...DEFAULTS.overview, from: DEFAULTS.paths.from };
  assert.equal(sharedValues("overview", quarter).from, DEFAULTS.paths.from);
  assert.equal(read(writeState("explore", sharedValues("overview", quarter))).values.from, "-15m");
});
