// Goal: what stands between a source and the answer is right: pages keep their range, nothing is shown twice, the completeness
// tells all that is lost. Method: sources that answer by script and remember what they were asked.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { UTC } from "../../../src/netlog/mod.ts";
import { run } from "../../../src/cli/flows.ts";
import { completenessLine } from "../../../src/cli/flows/completeness.ts";
import { Members } from "../../../src/cli/flows/members.ts";
import { flowPages } from "../../../src/cli/flows/query.ts";
import type { FlowsContext, FlowsSource, LiveItem } from "../../../src/cli/flows/source.ts";
import { tail } from "../../../src/cli/flows/tail.ts";
import { NumberWriter, TimeWriter } from "../../../src/cli/flows/values.ts";
import { flowsLines } from "../../support/flows_lines.ts";
import { FakeIo } from "./support.ts";

const WHOLE = { share: 1, nodes: [], nodesIncomplete: 0, gaps: 0, missing: 0 };
const TIME = "2026-09-21T14:15:20Z";

/** Answers by path, one after the other, and remembers questions. */
class ScriptedSource implements FlowsSource {
  readonly name = "a script";
  readonly range = null;
  readonly asked: string[] = [];

  constructor(
    readonly answers: Readonly<Record<string, unknown[]>>,
    readonly items: readonly LiveItem[] = [],
  ) {}

  ask(path: string, parameters: URLSearchParams): Promise<{ status: number; text: string }> {
    this.asked.push(`${path}?${parameters}`);
    return Promise.resolve({ status: 200, text: JSON.stringify(this.answers[path].shift()) });
  }

  async *live(after: number): AsyncGenerator<LiveItem> {
    this.asked.push(`live ${after}`);
    for (const item of this.items) yield await Promise.resolve(item);
  }

  async *entries(): AsyncGenerator<string> {}

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function contextOf(source: FlowsSource, values: FlowsContext["values"], io: FakeIo): FlowsContext {
  return {
    ...{ io, source, values, filter: "tcp", format: "json", zone: UTC },
    style: { columns: 80, hasColor: false },
    numbers: new NumberWriter(false),
    signal: new AbortController().signal,
  };
}

test("flowPages() asks all pages for the range of the first, and for no more rows than are wanted", async () => {
  const range = { from: "2026-09-21T14:00:00Z", to: TIME };
  const page = (rows: number, next: string | null) => ({
    range,
    flows: Array(rows).fill({}),
    next,
  });
  const source = new ScriptedSource({ "/flows": [page(10_000, "1.2.3"), page(50, "4.5.6")] });
  const context = contextOf(source, {}, new FakeIo());
  let rows = 0;
  for await (const found of flowPages(context, new URLSearchParams({ from: "-1h" }), 10_050)) {
    rows += found.list("flows").length;
  }
  assert.equal(rows, 10_050);
  assert.deepEqual(source.asked, [
    "/flows?from=-1h&limit=10000",
    "/flows?from=2026-09-21T14%3A00%3A00Z&limit=50&to=2026-09-21T14%3A15%3A20Z&cursor=1.2.3",
  ]);
});

test("tail() shows what came between its first two questions once, of other windows nothing", async () => {
  const flow = (entry: number) => ({ entry, end: TIME });
  const page = (...entries: number[]) => ({
    range: { from: TIME, to: TIME },
    flows: entries.map(flow),
    next: null,
  });
  const window = new Members({ id: 6, start: "2026-09-21T14:15:15Z", end: TIME, sums: {} });
  const source = new ScriptedSource({
    "/health": [{ store: { lastEntry: 5 } }],
    // Entry 6 was stored meanwhile; entry 4 ended at the same moment, but is old.
    "/flows": [page(4, 5, 6), page(4, 5, 6)],
    "/gaps": [{ range: {}, gaps: [], truncated: null, completeness: WHOLE }],
  }, [{ kind: "notice", text: "a\u001bb" }, { kind: "windows", windows: [window] }]);
  const io = new FakeIo();
  assert.equal(await tail(contextOf(source, { last: "10s" }, io)), true);
  const rows = io.out.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(rows.slice(0, -1).map(({ entry }) => entry), [4, 5, 6]);
  assert.deepEqual(rows.at(-1).completeness, WHOLE);
  const endMs = Date.parse(TIME);
  assert.deepEqual(source.asked, [
    "/health?",
    "/flows?from=-10s&to=now&order=oldest&filter=tcp&limit=10000",
    "live 5",
    `/flows?from=${endMs - 1}&to=${endMs}&order=oldest&orphans=true&filter=tcp&limit=10000`,
    `/gaps?from=${endMs - 5_000}&to=${endMs}&limit=1`,
  ]);
  assert.equal(io.err, "tunlog: Following a script\ntunlog: a\ufffdb\n");
});

test("completenessLine() is red for every kind of loss, and for nothing else", () => {
  const line = (completeness: object, truncated: string[] | null = null) => {
    const times = new TimeWriter(UTC);
    times.look([TIME]);
    return completenessLine(
      new Members({ completeness: { ...WHOLE, ...completeness }, truncated }),
      times,
    );
  };
  assert.deepEqual(line({}), { text: "Complete: 100%", isLost: false });
  assert.deepEqual(line({ share: null }), { text: "Completeness is not known", isLost: false });
  assert.deepEqual(line({ share: 0.999_999 }), { text: "Complete: 99.99%", isLost: true });
  assert.deepEqual(line({ gaps: 2 }), { text: "Complete: 100%; 2 gaps declared", isLost: true });
  assert.deepEqual(line({ share: null, missing: 3 }), {
    text: "Completeness is not known; 3 entries missing",
    isLost: true,
  });
  assert.deepEqual(line({}, ["rows", "groups"]), {
    text: "Complete: 100%; cut off: rows, groups",
    isLost: true,
  });
  assert.deepEqual(line({}, []), { text: "Complete: 100%", isLost: false });
  const nodes = [
    { node: "a\u009bb", stream: 1, share: 0.5, gapMs: 1_000, missingMs: 2_000, silentMs: 90_000 },
    { node: "c", stream: 2, share: 1, silentSince: TIME },
  ];
  assert.equal(
    line({ share: 0.75, nodes, nodesIncomplete: 9 }).text,
    "Complete: 75%; a\ufffdb 50% (gap 1s, missing 2s, silent 1m 30s), c silent since 14:15:20, 7 more nodes",
  );
});

test("Members gives values of their type, and names what is not", () => {
  const members = Members.parse('{"a":"x","n":1,"big":9007199254740993,"l":["x"],"o":{},"z":null}');
  assert.equal(members.text("a"), "x");
  assert.equal(members.integer("big"), 9_007_199_254_740_993n);
  assert.equal(members.number("n"), 1);
  assert.deepEqual(members.texts("l"), ["x"]);
  assert.deepEqual(members.object("o").value, {});
  assert.ok(members.isNull("z") && members.isNull("none") && !members.isNull("a"));
  const refused: readonly (readonly [() => unknown, RegExp])[] = [
    [() => members.text("n"), /^Error: Cannot read the answer: "n" must be a text$/],
    [() => members.number("big"), /"big" must be a number$/],
    [() => members.integer("a"), /"a" must be an integer$/],
    [() => members.list("o"), /"o" must be a list$/],
    [() => members.objects("l"), /^Error: Cannot read the answer's "l": it is no JSON object$/],
    [() => members.object("none"), /"none" must be there$/],
    [() => members.text("toString"), /"toString" must be there$/],
    [() => Members.parse("[]"), /it is no JSON object$/],
    [() => Members.parse("{"), /it is not JSON$/],
  ];
  for (const [read, said] of refused) assert.throws(read, said);
});

test("flows explain finds a connection that only the other end logged", async () => {
  const io = new FakeIo({ stdin: flowsLines().join("\n") });
  const args = ["explain", "192.168.7.20", "alpha", "--json", "--file", "-"];
  assert.equal(await run(args, io), 0, io.err);
  const [flow] = io.out.split("\n").map((line) => line === "" ? null : JSON.parse(line));
  assert.deepEqual([flow.node, flow.src, flow.dst], ["alpha", "100.64.0.1", "192.168.7.20"]);
});

test("flows tail begins anew when the file was", async () => {
  const directory = mkdtempSync(join(tmpdir(), "tunlog-test-"));
  const path = join(directory, "flows.ndjson");
  const lines = flowsLines();
  writeFileSync(path, `${lines.slice(0, 30).join("\n")}\n`);
  /** Writes the file anew, shorter than it was, when the first rows have been shown. */
  class RotatingIo extends FakeIo {
    override print(text: string): Promise<boolean> {
      if (this.prints++ === 0) writeFileSync(path, `${lines.slice(30, 36).join("\n")}\n`);
      this.out += text;
      return Promise.resolve(this.prints < 2);
    }
  }
  const io = new RotatingIo();
  try {
    assert.equal(await run(["tail", "--last", "5s", "--json", "--file", path], io), 0);
    const ends = io.out.trimEnd().split("\n").map((line) => JSON.parse(line).end);
    assert.ok(ends.includes("2026-09-21T14:14:19.999999999Z"), ends.join(" "));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
