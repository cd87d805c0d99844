/**
 * Goal: help with a filter leads somewhere, whatever is in the text and whatever nodes call themselves. Method: answers of
 * /complete over a store of hostile names; random walks along what is offered; right filters cut anywhere.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  completeFilter,
  COMPLETIONS_MAX,
  formatFilter,
  parseFilter,
} from "../../../src/collector/mod.ts";
import { FILTER_CHARS_MAX, FILTER_DEPTH_MAX } from "../../../src/limits.ts";
import { MemoryStoreReader } from "../../support/memory_store_reader.ts";
import { ApiScene } from "./api_support.ts";
import { arbitraryExpression } from "./filter_support.ts";
import { askStore, type Found, HOUR_MS, rowOf, START_MS, windowOf } from "./query_support.ts";

/** What nodes may call themselves. */
const NAMES = [
  ...[
    "web-1",
    "web-2",
    "and",
    "IN",
    "none",
    "10.0.0.1",
    "fd00::",
    "büro 2",
    " ",
    "a b",
    "*",
    "w*b",
  ],
  ...[
    'say "hi"',
    "it's",
    "back\\slash",
    '\\"',
    "(a)",
    "a,b",
    "a=b",
    "<img src=x onerror=alert(1)>",
  ],
  ...[
    "line\nend",
    "tab\there",
    "nul\u0000",
    "\u202egnp.exe",
    "\u2028",
    "😀",
    "\ud800",
    "é",
    "-",
    "%00",
  ],
  ...["__proto__", "constructor", "x".repeat(253), `${"A".repeat(43)}=`],
];

function storeOf(names: readonly string[] = NAMES): MemoryStoreReader {
  const reader = new MemoryStoreReader();
  for (const [index, nodeName] of names.entries()) {
    const { number: stream } = reader.addStream({ nodeName, nodeId: `id${index}` });
    const src = `100.64.1.${index}`;
    reader.add(windowOf(0, [rowOf({ src })], { stream }), {
      srcNode: { nodeId: `id${index}`, addresses: [src, `fd7a::${index}`] },
    });
  }
  // One without a name goes by its id.
  reader.addStream({ nodeName: "", nodeId: "nNAMELESS" });
  return reader;
}

const STORE = storeOf();

function help(text: string, position = text.length): Found {
  const { status, value } = askStore(STORE, {
    ...{ kind: "complete", text, position },
    ...{ nowMs: START_MS + HOUR_MS, timeMs: 10_000 },
  });
  assert.equal(status, 200);
  return value;
}

/** What is in the field after an item was taken. */
function taken(text: string, { from, to }: Found, item: string): string {
  return `${text.slice(0, from)}${item} ${text.slice(to).trimStart()}`;
}

/** Whether a text is a filter, or the beginning of one: nothing is wrong but that it ends. */
function isBeginning(text: string): boolean {
  const result = parseFilter(text);
  return result.ok || (result.problem.start === text.length && result.problem.expected.length > 0);
}

test("/complete: every name and address of the store can be taken, and is then what the filter says", () => {
  for (
    const before of ["node ", "tcp and not peer ", "src host ", "node in (", "dst host in (web-1, "]
  ) {
    const { items, from, to } = help(before);
    assert.deepEqual([from, to], [before.length, before.length]);
    assert.equal(items.length > 20, true, before);
    for (const { text } of items) {
      const whole = taken(before, { from, to }, text) + (before.includes("(") ? ")" : "");
      if (text !== "in" && text !== "host" && text !== "net" && text !== "port") {
        assert.ok(parseFilter(whole).ok, JSON.stringify(whole));
      } else assert.ok(isBeginning(whole.replace(")", "")), whole);
    }
  }
  const addresses = help("src ").items.map(({ text }: Found) => text);
  assert.ok(addresses.includes("100.64.1.30") && addresses.includes("fd7a::30"), addresses.join());
  const offered = [...NAMES, "nNAMELESS"].filter((name) => {
    const filters = help("node ").items.map(({ text }: Found) => parseFilter(`node ${text}`));
    return filters.some(({ ok, filter }: Found) => ok && filter.patterns[0] === name);
  });
  assert.deepEqual(offered, [...NAMES, "nNAMELESS"]);
});

test("/complete: a walk along what is offered is a filter, or can be made one", () => {
  let filters = 0;
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 1, maxLength: 40 }), (choices) => {
      let text = "";
      for (const choice of choices) {
        const answer = help(text);
        const items = answer.items.length > 0 ? answer.items : [{ text: valueFor(answer) }];
        const next = taken(text, answer, items[choice % items.length].text);
        if (parenthesesOf(next) > FILTER_DEPTH_MAX) continue;
        text = next;
        assert.ok(isBeginning(text), JSON.stringify(text));
      }
      if (parseFilter(text).ok) filters++;
    }),
    { seed: 1, numRuns: 400 },
  );
  assert.ok(filters > 100, `${filters} walks ended at a filter`);
});

/** A value where the store has none to offer. */
function valueFor({ problem }: Found): string {
  const values: Record<string, string> = { NUMBER: "10k", PORT: "443", PREFIX: "10.0.0.0/8" };
  const kind = problem.expected.find((each: string) => each in values);
  assert.ok(kind, `nothing is offered, but ${problem.expected}`);
  return values[kind];
}

function parenthesesOf(text: string): number {
  return text.replace(/"(?:[^"\\]|\\[^])*"/g, "").split("(").length;
}

test("/complete: in a right filter that is cut anywhere, what is offered leads on", () => {
  let offered = 0;
  fc.assert(
    fc.property(arbitraryExpression, fc.nat(), (filter, cut) => {
      const whole = formatFilter(filter);
      fc.pre(whole.length <= FILTER_CHARS_MAX);
      const text = whole.slice(0, cut % (whole.length + 1));
      const answer = help(text);
      for (const { text: item } of answer.items) {
        const next = taken(text, answer, item);
        assert.ok(isBeginning(next), `${JSON.stringify(text)} + ${item}`);
        offered++;
      }
    }),
    { seed: 2, numRuns: 1_500 },
  );
  assert.ok(offered > 3_000, `${offered} items`);
});

test("/complete: within a text, the piece under the cursor is replaced and nothing else", () => {
  fc.assert(
    fc.property(arbitraryExpression, fc.nat(), (filter, place) => {
      const text = formatFilter(filter);
      fc.pre(text.length <= FILTER_CHARS_MAX);
      const position = place % (text.length + 1);
      const { from, to, items } = help(text, position);
      assert.ok(0 <= from && from <= position && position <= to && to <= text.length);
      assert.ok(items.length <= COMPLETIONS_MAX);
      // A piece is one token: taking an item joins or splits no other.
      const piece = text.slice(from, to);
      assert.ok(/^(?:[^\s()"']*|["'][^]*)$/.test(piece), JSON.stringify(piece));
    }),
    { seed: 3, numRuns: 500 },
  );
});

test("/complete: any text and place are answered, by the words of the schema and in bounds", () => {
  const hostile = fc.oneof(
    fc.string({ unit: "binary", maxLength: 60, size: "max" }),
    fc.array(
      fc.constantFrom(...NAMES, '"', "'", "(", ")", "\\", "node", "in", "or", "\u0000", " "),
      {
        maxLength: 12,
      },
    ).map((pieces) => pieces.join(" ")),
  );
  fc.assert(
    fc.property(hostile, fc.oneof(fc.nat(70), fc.constant(FILTER_CHARS_MAX)), (text, position) => {
      const { from, to, items, canonical, problem } = help(text, position);
      assert.ok(0 <= from && from <= to && to <= text.length, `${from}..${to}`);
      assert.ok(items.length <= COMPLETIONS_MAX);
      assert.equal(canonical === null, problem !== null);
      assert.equal(canonical !== null, parseFilter(text).ok);
      if (problem !== null) {
        assert.ok(problem.position.start <= problem.position.end);
        assert.ok(problem.position.end <= text.length);
      }
    }),
    { seed: 4, numRuns: 1_000 },
  );
});

test("/complete: the longest texts are answered, longer ones refused with the parameter's name", async () => {
  const scene = new ApiScene(STORE);
  const ask = (text: string, position?: string) =>
    scene.get(`/complete?${new URLSearchParams({ text, ...(position && { position }) })}`);
  for (
    const text of [
      "x".repeat(FILTER_CHARS_MAX),
      "(".repeat(FILTER_CHARS_MAX),
      '"'.repeat(FILTER_CHARS_MAX),
      "\\".repeat(FILTER_CHARS_MAX),
      `"${"\\".repeat(FILTER_CHARS_MAX - 1)}`,
      "not ".repeat(FILTER_CHARS_MAX / 4),
      "tcp or ".repeat(FILTER_CHARS_MAX / 7),
      `node in (${"a,".repeat(FILTER_CHARS_MAX / 2 - 6)}`,
    ]
  ) {
    const { status, value } = await ask(text);
    assert.equal(status, 200, text.slice(0, 10));
    assert.ok(value.items.length <= COMPLETIONS_MAX);
  }
  const long = await ask("x".repeat(FILTER_CHARS_MAX + 1));
  assert.deepEqual([long.status, long.value.error.parameter], [400, "text"]);
  for (const position of ["-1", "1.5", "x", "", " 1", "1e3", `${FILTER_CHARS_MAX + 1}`]) {
    const answer = await ask("tcp", position === "" ? " " : position);
    assert.deepEqual([answer.status, answer.value.error.parameter], [400, "position"], position);
  }
  for (const position of ["0", `${FILTER_CHARS_MAX}`]) {
    assert.equal((await ask("tcp", position)).status, 200);
  }
  assert.equal((await scene.get("/complete")).value.items.length > 10, true);
  assert.equal((await scene.get("/complete?text=a&text=b")).status, 400);
  assert.equal((await scene.get("/complete?txt=a")).status, 400);
});

test("/complete: OpenAPI says what can be asked and what is answered", async () => {
  const scene = new ApiScene(STORE);
  const { value } = await scene.get("/openapi.json");
  const { get } = value.paths["/api/v1/complete"];
  const parameters = Object.fromEntries(get.parameters.map((each: Found) => [each.name, each]));
  assert.deepEqual(Object.keys(parameters), ["text", "position", "timeout"]);
  assert.equal(parameters.text.schema.maxLength, FILTER_CHARS_MAX);
  assert.deepEqual(
    [parameters.position.schema.minimum, parameters.position.schema.maximum],
    [0, FILTER_CHARS_MAX],
  );
  const { schema } = get.responses["200"].content["application/json"];
  assert.deepEqual(Object.keys(schema.properties), ["from", "to", "items", "canonical", "problem"]);
  assert.deepEqual(Object.keys(schema.properties.items.items.properties), ["text", "detail"]);
});

test("completeFilter() offers no word that is longer than a filter may be", () => {
  const longest = "x".repeat(FILTER_CHARS_MAX - "node ".length);
  const { items } = completeFilter("node ", 5, { nodes: [`${longest}x`, longest, "short"] });
  assert.deepEqual(items.map(({ text }) => text), [longest, "short", "in"]);
  for (const { text } of items) assert.ok(isBeginning(`node ${text}`), text.slice(0, 9));
});
