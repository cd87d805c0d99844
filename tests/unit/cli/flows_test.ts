// Goal: every question answers from the real engine, in all three forms, at every width, and says how complete that is; what is
// wrong is said in one place with the right exit code. Method: a small log of three nodes, one with a hostile name, through the
// standard input; tables against tests/vectors/flows.txt, which were looked at by people.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { columnsOf, parseExactJson, printable } from "../../../src/netlog/mod.ts";
import { run } from "../../../src/cli/flows.ts";
import { FLOWS_COMMANDS } from "../../../src/cli/flows/commands.ts";
import { endFilter } from "../../../src/cli/flows/explain.ts";
import { reasonOf } from "../../../src/cli/flows/source_http.ts";
import { refusal } from "../../../src/cli/flows/source.ts";
import { run as runHelp } from "../../../src/cli/help.ts";
import { FILTER_HELP } from "../../../src/collector/mod.ts";
import { flowsLines, HOSTILE_NAME } from "../../support/flows_lines.ts";
import { FakeIo, type FakeIoOptions } from "./support.ts";

const LINES = flowsLines();
const LOG = LINES.join("\n");

async function flows(
  args: readonly string[],
  options: FakeIoOptions = {},
): Promise<{ code: number; out: string; err: string }> {
  const io = new FakeIo({ stdin: LOG, ...options });
  const code = await run([...args, "--utc", "--file", "-"], io);
  return { code, out: io.out, err: io.err };
}

/** The same words as a line of a shell, quotes left out. */
function words(line: string): string[] {
  return line.split(" ");
}

const QUESTIONS = [
  "top",
  "top --by node,class --rates",
  "query",
  "series",
  "nodes --check",
  "gaps",
  "reconcile --all",
  "explain alpha beta:443",
  "export",
];

test("flows prints the tables that people looked at, at 60, 80 and 200 columns", async () => {
  const vectors = readFileSync(new URL("../../vectors/flows.txt", import.meta.url), "utf8");
  const sections = vectors.split(/^==== /m).slice(1);
  assert.equal(sections.length, 30);
  for (const section of sections) {
    const [, columns, question, wanted] = /^(\d+): (.*)\n([^]*)$/.exec(section)!;
    const { code, out, err } = await flows(words(question), { columns: Number(columns) });
    assert.equal(out, wanted, `${columns}: ${question}`);
    assert.deepEqual([code, err], [0, ""]);
  }
});

test("flows keeps tables within any width, and names what had no room", async () => {
  for (const question of QUESTIONS.filter((line) => line !== "export")) {
    for (const columns of [50, 61, 79, 100, 140]) {
      const { out } = await flows(words(question), { columns });
      // Titles of columns are no longer than the screen, but for very many.
      for (const line of out.split("\n").filter((text) => !/^(No room for|\d{4}-)/.test(text))) {
        assert.ok(columnsOf(line) <= columns, `${question} at ${columns}: ${line}`);
      }
    }
  }
});

test("flows --json prints rows, then all else with the completeness; sums agree", async () => {
  const { code, out, err } = await flows([
    "top",
    "--by",
    "src,dst,class",
    "--limit",
    "3",
    "--json",
  ]);
  assert.deepEqual([code, err], [0, ""]);
  const lines = out.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.length, 4);
  const { groupCount, rest, total, completeness } = lines[3];
  assert.equal(groupCount, 8);
  assert.equal(rest.groups, 5);
  for (const name of ["txPackets", "txBytes", "rxPackets", "rxBytes"]) {
    const shown = lines.slice(0, 3).reduce((sum, line) => sum + line[name], 0);
    assert.equal(shown + rest[name], total[name], name);
  }
  assert.equal(completeness.gaps, 1);
  assert.equal(completeness.missing, 1);
  assert.equal(completeness.nodes[1].node, HOSTILE_NAME);
  for (const question of QUESTIONS) {
    const answer = await flows([...words(question), "--json"]);
    const all = answer.out.trimEnd().split("\n").map((line) => JSON.parse(line));
    if (question !== "export") assert.ok("completeness" in all.at(-1), question);
    assert.ok(all.length > 1, question);
  }
});

test("flows keeps counters beyond 2^53", async () => {
  const stdin = '{"nodeId":"n","start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:05Z",' +
    '"virtualTraffic":[{"proto":6,"src":"100.64.0.1:1","dst":"100.64.0.2:2","txPkts":1,' +
    '"txBytes":9007199254740993,"rxPkts":18446744073709551615}]}';
  const table = await flows(["query", "--exact"], { stdin });
  assert.match(table.out, / 9007199254740993 +18446744073709551615 /);
  const json = await flows(["query", "--json"], { stdin });
  const row = parseExactJson(json.out.split("\n")[0]) as Record<string, unknown>;
  assert.equal(row.txBytes, 9_007_199_254_740_993n);
  assert.match((await flows(["query", "--csv"], { stdin })).out, /,1,9007199254740993,184467/);
  // Lines without numbers of entries say nothing of what is missing.
  assert.match(table.out, /\nCompleteness is not known\n$/);
});

test("flows --csv has a header, CRLF, no formula, and the completeness beside it", async () => {
  for (const question of QUESTIONS) {
    const { code, out, err } = await flows([...words(question), "--csv"]);
    assert.equal(code, 0);
    const records = out.split("\r\n");
    assert.equal(records.pop(), "");
    assert.ok(records.length > 1, question);
    assert.match(records[0], /^[a-zA-Z0-9]+(,[a-zA-Z0-9]+)*$/, question);
    for (const record of records) assert.doesNotMatch(record, /(^|,)"?[=+@]/, question);
    assert.match(err, /^tunlog: Complete: \d/, question);
  }
  const { out } = await flows(["nodes", "--csv"]);
  assert.match(out, /^"'=cmd\|""x""\ufffd\[31m,gamma",n3,/m);
});

test("flows sends nothing of a hostile name to the terminal, in any form", async () => {
  for (const question of QUESTIONS) {
    for (const form of ["--json", "--csv", "--exact"]) {
      const { out, err } = await flows([...words(question), form]);
      const text = (out + err).replaceAll("\r\n", "\n");
      for (const line of text.split("\n")) {
        assert.equal(line, printable(line), `${question} ${form}`);
      }
    }
  }
});

test("flows colours only a terminal that shows colours, and what is lost is red", async () => {
  const plain = { isTerminal: true, columns: 100 };
  const red = (text: string) => text.includes("\u001b[31mComplete: 95.83%");
  assert.ok(red((await flows(["gaps"], plain)).out));
  assert.ok(!(await flows(["gaps"], { ...plain, env: { NO_COLOR: "1" } })).out.includes("\u001b"));
  assert.ok(!(await flows(["gaps"])).out.includes("\u001b"));
  const whole = await flows(["gaps", "node", "alpha"], plain);
  assert.match(whole.out, /No gaps\nComplete: 100%\n$/);
});

test("flows takes the words behind the options for a filter, and ranges as the API does", async () => {
  const one = await flows(["query", "--json", "dst", "port", "443", "and", "node", "alpha"]);
  const rows = one.out.trimEnd().split("\n").slice(0, -1).map((line) => JSON.parse(line));
  assert.equal(rows.length, 24);
  assert.ok(rows.every(({ dport, node }) => dport === 443 && node === "alpha"));
  assert.equal((await flows(["query", "--json", "dst port 443 and node alpha"])).out, one.out);
  const last = await flows(["query", "--json", "--last", "10s", "dst port 443"]);
  assert.equal(last.out.split("\n").length, 2 + 2);
  assert.equal((await flows(["query", "--json", "--from", "-10s", "dst port 443"])).out, last.out);
  // Pages are fetched until there are enough.
  const all = await flows(["query", "--json", "--limit", "20000"]);
  assert.equal(all.out.split("\n").length, 187 + 2);
});

test("flows export prints every row, oldest first; messages read back as the same log", async () => {
  const rows = (await flows(["export"])).out.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.equal(rows.length, 187);
  const ends = rows.map(({ end }) => end);
  assert.deepEqual(ends, [...ends].sort());
  const messages = await flows(["export", "--messages"]);
  assert.match(messages.err, new RegExp(`^tunlog: ${LINES.length} entries\n$`));
  const again = await flows(["top", "--json"], { stdin: messages.out });
  assert.equal(again.out, (await flows(["top", "--json"])).out);
});

test("flows tail shows what the standard input brings, then how complete it was", async () => {
  const stdinPieces = [LOG.slice(0, 5_000), LOG.slice(5_000)].map((text) =>
    new TextEncoder().encode(text)
  );
  const tail = await flows(["tail", "--json"], { stdinPieces });
  assert.deepEqual([tail.code, tail.err], [0, ""]);
  const lines = tail.out.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.length, 188);
  assert.equal(lines.at(-1).completeness.missing, 1);
  const windows = await flows(["tail", "--windows", "--csv"], { stdinPieces });
  // Windows of alpha have four classes, those of the others one.
  assert.equal(windows.out.split("\r\n").length, 1 + 24 * 4 + 22 + 23 + 1);
  assert.match(windows.err, /^tunlog: Complete: 95\.83%/);
  const filtered = await flows(["tail", "dst port 443"], { stdinPieces, columns: 120 });
  assert.match(filtered.out, /^End +Node +Class/);
  assert.equal(filtered.out.match(/ 100\.64\.0\.2:443 /g)?.length, 24);
});

test("flows tail goes on with what is written to a file", async () => {
  const directory = mkdtempSync(join(tmpdir(), "tunlog-test-"));
  const path = join(directory, "flows.ndjson");
  writeFileSync(path, `${LINES.slice(0, 30).join("\n")}\n`);
  /** Writes more when it is told that the log is followed; goes away when it has seen that. */
  class GrowingIo extends FakeIo {
    override print(text: string): Promise<boolean> {
      if (this.prints === 0) {
        writeFileSync(path, `${LINES.slice(30, 60).join("\n")}\n`, { flag: "a" });
      }
      this.prints++;
      this.out += text;
      return Promise.resolve(this.out.split("\n").length < 30);
    }
  }
  const io = new GrowingIo();
  try {
    assert.equal(await run(["tail", "--last", "5s", "--json", "--file", path], io), 0);
    const rows = io.out.trimEnd().split("\n").map((line) => JSON.parse(line));
    const ends = new Set(rows.map(({ end }) => end));
    // The last window that was there, whose other nodes came with the ten windows behind it.
    assert.equal(ends.size, 1 + 10);
    assert.equal(new Set(rows.map(({ entry, row }) => `${entry} ${row}`)).size, rows.length);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("flows ends quietly when nobody reads on, and leaves no directory behind", async () => {
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith("tunlog-flows-"));
  for (const question of [...QUESTIONS, "tail", "export --messages"]) {
    const { code, out, err } = await flows(words(question), { printsMax: 0 });
    assert.deepEqual([question, code, out, err], [question, 0, "", ""]);
  }
  const after = readdirSync(tmpdir()).filter((name) => name.startsWith("tunlog-flows-"));
  assert.deepEqual(after.filter((name) => !before.includes(name)), []);
});

test("flows shows the place of a filter's problem and what could stand there", async () => {
  const { code, out, err } = await flows(["top", "class", "subet", "and", "port", "80"]);
  assert.deepEqual([code, out], [2, ""]);
  assert.equal(
    err,
    'tunlog: Class "subet" is not known: "subnet" is probably meant\n' +
      "tunlog:   class subet and port 80\n" +
      "tunlog:         ^^^^^\n" +
      "tunlog:   expected: CLASS, in\n",
  );
});

test("flows names the option that is wrong, exit code 2", async () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ["top --by foo", /^tunlog: --by: "foo" is not known: class, node/],
    ["top --limit 0", /^tunlog: --limit: "0" is not a whole number from 1 to/],
    ["top --from yesterday", /^tunlog: --from: "yesterday" is not a time/],
    ["top --last 1h --to now", /^tunlog: Option --last excludes --from and --to\n/],
    ["query --limit 1.5", /^tunlog: --limit must be a whole number above 0\n/],
    ["query --order newst", /^tunlog: --order: "newst" is not known: "newest" is probably meant\n/],
    ["series --show byte", /^tunlog: --show: "byte" is not known: "bytes" is probably meant\n/],
    ["top --json --csv", /^tunlog: Option --json excludes --csv\n/],
    ["top --data x", /^tunlog: Option --data excludes --file\n/],
    ["top --jsn", /^tunlog: Option "--jsn" is not known: "--json" is probably meant\n/],
    ["explain alpha", /^tunlog: Argument DST is missing\n/],
    ["explain alpha beta --proto a--b", /^tunlog: Cannot look for a connection from "alpha" to/],
    ["export --collection x", /^tunlog: Option --collection is for --messages\n/],
    ["export --messages --csv", /^tunlog: Option --messages excludes --csv\n/],
    ["export --messages tcp", /^tunlog: Option --messages excludes a filter\n/],
    ["export --messages --from never", /^tunlog: --from: "never" is not a time/],
  ];
  for (const [line, said] of wrong) {
    const { code, out, err } = await flows(words(line));
    assert.match(err, said);
    assert.deepEqual([code, out], [2, ""], line);
  }
});

test("flows says what cannot be answered, exit code 1", async () => {
  const io = new FakeIo();
  assert.equal(await run(["top", "--file", "/nowhere/x"], io), 1);
  assert.equal(await run(["top", "--data", "/nowhere"], io), 1);
  assert.equal(await run(["top", "--key-file", "/nowhere/key"], io), 1);
  assert.equal(
    io.err,
    'tunlog: Cannot read "/nowhere/x": errno is 2 (ENOENT)\n' +
      'tunlog: Cannot read store "/nowhere/store.db": it does not exist\n' +
      'tunlog: Cannot read "/nowhere/key": errno is 2 (ENOENT)\n',
  );
  const none = await flows(["explain", "alpha", "198.51.100.99"]);
  assert.deepEqual([none.code, none.out], [1, ""]);
  assert.match(none.err, /^tunlog: No connection between these ends is in the log/);
});

test("flows leaves out lines that are no JSON objects, and says how many", async () => {
  const stdin = `${LINES[0]}\nnot json\n[1]\nnull\n\n${LINES[1]}`;
  const { code, err } = await flows(["top"], { stdin });
  assert.equal(code, 0);
  assert.equal(err, "tunlog: 3 lines of standard input are no JSON objects and are left out\n");
  const empty = await flows(["top"], { stdin: "" });
  assert.match(empty.out, /No traffic\nCompleteness is not known\n$/);
});

test("flows knows its questions and refuses others with advice", async () => {
  const said = async (args: string[]) => {
    const io = new FakeIo();
    return [await run(args, io), io.err.split("\n")[0]];
  };
  assert.deepEqual(await said([]), [2, "tunlog: Argument QUESTION is missing"]);
  assert.deepEqual(await said(["tpo"]), [
    2,
    'tunlog: Question "tpo" is not known: "top" is probably meant',
  ]);
  assert.deepEqual(await said(["toString"]), [
    2,
    `tunlog: Question "toString" is not known: wanted is ${Object.keys(FLOWS_COMMANDS).join(", ")}`,
  ]);
  assert.deepEqual(await said(["top", "--collector", "ftp://x"]), [
    2,
    'tunlog: "ftp://x" is no URL such as http://127.0.0.1:8080',
  ]);
  assert.deepEqual(await said(["top", "--key", "a", "--key-file", "b"]), [
    2,
    "tunlog: Option --key excludes --key-file",
  ]);
});

test("help explains questions and the filter language, all of both", async () => {
  const help = async (...args: string[]) => {
    const io = new FakeIo();
    assert.equal(await runHelp(args, io), 0);
    return io.out;
  };
  const flowsText = await help("flows");
  for (const [name, spec] of Object.entries(FLOWS_COMMANDS)) {
    assert.ok(flowsText.includes(spec.summary), name);
    const text = await help("flows", name);
    assert.ok(text.startsWith(`Usage: tunlog flows ${name} [OPTIONS]`), text);
    for (const option of Object.keys(spec.options)) assert.ok(text.includes(`--${option}`), option);
  }
  assert.equal(await help("flows", "nonsense"), flowsText);
  const io = new FakeIo();
  assert.equal(await run(["--help"], io), 0);
  assert.equal(io.out, flowsText);
  const filterText = await help("filter");
  for (const { form, meaning, example } of FILTER_HELP) {
    for (const part of [form, meaning, example]) assert.ok(filterText.includes(part), part);
  }
});

test("refusal() says what a status means, in one line, without steering the terminal", () => {
  const source = { name: "Collector http://c" };
  const said = (status: number, text: string, retryAfterS?: number) =>
    refusal(source, { status, text, retryAfterS: retryAfterS ?? null }).message;
  assert.equal(
    said(401, '{"error":"an API key is needed as user name"}'),
    "Collector http://c wants an API key that it knows: --key-file or TUNLOG_KEY",
  );
  assert.match(said(403, ""), /^Collector http:\/\/c answers only its own machine: /);
  assert.match(said(404, "<html>"), /no collector of tunlog/);
  assert.equal(
    said(503, '{"error":{"message":"Too many queries wait: try again later"}}', 2),
    "Collector http://c cannot answer now, try again in 2 s: Too many queries wait: try again later",
  );
  assert.match(said(503, "x"), /cannot answer now, try again later$/);
  assert.match(said(504, '{"error":{"message":"m"}}'), /ran out of time: m$/);
  assert.equal(
    said(500, '{"error":{"message":"\\u001b[2J"}}'),
    "Collector http://c answered 500: \ufffd[2J",
  );
  assert.equal(said(301, ""), "Collector http://c answered 301");
  assert.equal(said(400, '{"error":{"message":"m","parameter":"by"}}'), "--by: m");
  assert.equal(said(400, '{"error":{"message":"m"}}'), "m");
});

test("reasonOf() says why a connection failed, in either runtime's words", () => {
  const withCode = (message: string, code: string) => Object.assign(new Error(message), { code });
  const cases: readonly (readonly [unknown, string])[] = [
    [
      new TypeError("client error (Connect): tcp connect error: Connection refused (os error 111)"),
      "connection refused: is it running there?",
    ],
    [
      withCode("Unable to connect", "ConnectionRefused"),
      "connection refused: is it running there?",
    ],
    [new TypeError("fetch failed", { cause: withCode("x", "ENOTFOUND") }), "its name is not known"],
    [
      new TypeError("invalid peer certificate: UnknownIssuer"),
      "its certificate is not trusted (invalid peer certificate: UnknownIssuer)",
    ],
    [new TypeError("Network is unreachable (os error 101)"), "there is no route to it"],
    [new TypeError("connect: operation timed out"), "it did not answer"],
    [new TypeError("odd \u001b[2J\nmore"), "odd \ufffd[2J"],
    ["text", "text"],
  ];
  for (const [error, words] of cases) assert.equal(reasonOf(error), words);
});

test("endFilter() takes addresses, names, and ports behind either", () => {
  assert.deepEqual(endFilter("src", "10.0.0.1"), ["src host 10.0.0.1"]);
  assert.deepEqual(endFilter("dst", "10.0.0.1:80"), ["dst host 10.0.0.1", "dst port 80"]);
  assert.deepEqual(endFilter("src", "fd7a::1"), ["src host fd7a::1"]);
  assert.deepEqual(endFilter("src", "[fd7a::1]:80"), ["src host fd7a::1", "src port 80"]);
  assert.deepEqual(endFilter("src", "db1"), ['src host "db1"']);
  assert.deepEqual(endFilter("src", "db1:5432"), ['src host "db1"', "src port 5432"]);
  assert.deepEqual(endFilter("src", 'a"b\\'), ['src host "a\\"b\\\\"']);
});
