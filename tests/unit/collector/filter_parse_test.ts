/**
 * Goal: the language is what its grammar says; the first problem is named in its place, with what was probably meant.
 * Method: pairs of spellings that mean the same; a table of wrong filters with message and marked place; both sides of
 * each limit.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import {
  FILTER_CHARS_MAX,
  FILTER_DEPTH_MAX,
  FILTER_LIST_MAX,
  FILTER_TERMS_MAX,
} from "../../../src/limits.ts";
import {
  FILTER_HELP,
  type FilterProblem,
  formatFilter,
  needs,
  parseFilter,
  problemText,
} from "../../../src/collector/mod.ts";
import { PROTO_NUMBERS, TERM_WORDS } from "../../../src/collector/filter/words.ts";
import { filterOf } from "./filter_support.ts";

function problemOf(text: string, nodes?: readonly string[]): FilterProblem {
  const result = parseFilter(text, nodes === undefined ? {} : { nodes: new Set(nodes) });
  assert.ok(!result.ok, `"${text}" was read`);
  return result.problem;
}

/** Text as written, and its canonical form. */
const SPELLINGS: readonly [string, string][] = [
  ["", ""],
  [" \t\n ", ""],
  ["class subnet and dst net 10.0.0.0/8 and dport 443", ""],
  [
    "CLASS Subnet AND Dst Net 10.0.0.0/8 && DPORT = 443",
    "class subnet and dst net 10.0.0.0/8 and dport 443",
  ],
  ["class==virtual||class!=exit", "class virtual or not class exit"],
  ["class in(virtual,subnet)", "class in (virtual, subnet)"],
  ["node not in (a, b)", "not node in (a, b)"],
  ["((tcp))", "tcp"],
  ["proto 6 or proto TCP or proto 99", "tcp or tcp or proto 99"],
  ["proto in (6, 99)", "proto in (tcp, 99)"],
  ["tcp and (udp and icmp) and sctp", "tcp and udp and icmp and sctp"],
  ["tcp or (udp or (icmp or gre))", "tcp or udp or icmp or gre"],
  ["tcp and udp or icmp and gre", ""],
  ["tcp and (udp or icmp)", ""],
  ["(tcp and udp) or icmp", "tcp and udp or icmp"],
  ["!tcp&&!(udp||esp)", "not tcp and not (udp or esp)"],
  ["not tcp and udp", ""],
  ["not (tcp and udp)", ""],
  ["not not tcp", ""],
  ["! ! folded", "not not folded"],
  ["src 10.1.2.3", "src host 10.1.2.3"],
  ["dst 10.1.2.3/8", "dst net 10.0.0.0/8"],
  ["src in (10.0.0.1, 10.0.0.0/31)", "src net in (10.0.0.1/32, 10.0.0.0/31)"],
  ["src net in (10.0.0.1/32, 10.0.0.2/32)", "src host in (10.0.0.1, 10.0.0.2)"],
  ["net 2001:DB8:0::/48", "net 2001:db8::/48"],
  ["dst host in (10.0.0.1, web, ::1)", "dst host in (10.0.0.1, ::1) or dst host web"],
  ["tcp and host not in (::1, web)", "tcp and not (host ::1 or host web)"],
  ["host != web", "not host web"],
  [
    "src none or DST None or host none or src host none",
    "src none or dst none or host none or src none",
  ],
  ["src port 80 or dst port 80 or port 80", "sport 80 or dport 80 or port 80"],
  ["port in (80, 443, 8000-8100)", ""],
  ["port 80-80", "port 80"],
  ["dport >= 1024 or dport > 1023", "dport >= 1024 or dport >= 1024"],
  [
    "dport < 1024 or dport <= 1023 or dport 1-1023",
    "dport <= 1023 or dport <= 1023 or dport <= 1023",
  ],
  ["dport > 65534 or dport < 2", "dport 65535 or dport 1"],
  ["port 0 or port 0-1", ""],
  ["bytes>10k", "bytes > 10kB"],
  ["tx bytes == 1MiB", "tx bytes = 1MiB"],
  ["bytes > 8kbit or bytes > 1.5K", "bytes > 1kB or bytes > 1500"],
  ["rate > 2Gbit/s or rx rate <= 100MB/s", "rate > 2Gbit or rx rate <= 800Mbit"],
  ["pkts != 1Ki", "pkts != 1Ki"],
  ["bytes >= 9007199254740991", ""],
  ["node 'a b' or node \"it's\"", 'node "a b" or node "it\'s"'],
  ['node "say \\"hi\\" \\\\"', ""],
  ['node "web-1"', "node web-1"],
  ['node "and" or host "10.0.0.1"', ""],
  ["peer *.example.net.", ""],
  ["node AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/+8= and tcp", ""],
  ["host AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+8=", ""],
];

for (const [text, canonical] of SPELLINGS) {
  test(`parseFilter() reads ${JSON.stringify(text)}`, () => {
    const written = formatFilter(filterOf(text));
    assert.equal(written, canonical === "" && text.trim() !== "" ? text : canonical);
    assert.deepEqual(filterOf(written), filterOf(text));
  });
}

test("parseFilter() keeps the case of names and makes trees of plain values", () => {
  assert.deepEqual(filterOf("NODE Web-1 or Not tx Bytes < 5"), {
    kind: "or",
    operands: [
      { kind: "node", patterns: ["Web-1"] },
      {
        kind: "not",
        operand: { kind: "volume", quantity: "bytes", direction: "tx", comparison: "<", value: 5 },
      },
    ],
  });
  assert.deepEqual(filterOf(""), { kind: "all" });
});

/** Wrong filters: the text with the problem's place in « », and a part of the message. */
const PROBLEMS: readonly [string, string][] = [
  ["«clas» virtual", 'Word "clas" is not known: "class" is probably meant'],
  ["tcp and «dprot» 80", '"dport" is probably meant'],
  ["«protocol» 6", '"proto" is probably meant'],
  ["«packets» > 3", '"pkts" is probably meant'],
  ["«subnet» and tcp", '"class subnet" is probably meant'],
  ["port 80 or «443»", '"port 443" is probably meant, or a list: port in (80, 443)'],
  ["«10.0.0.1»", '"host 10.0.0.1" is probably meant'],
  ["«10.0.0.0/8»", '"net 10.0.0.0/8" is probably meant'],
  ["«fd00::1»", '"host fd00::1" is probably meant'],
  ["«frontend»", '"node frontend" or "host frontend" names a node'],
  ['«"web 1"»', 'a name stands behind "node", "peer" or "host"'],
  ["tcp «udp»", '"and" or "or" is missing before "udp"'],
  ["tcp «adn» udp", 'Word "adn" is not known: "and" is probably meant'],
  ["tcp «(»udp)", '"and" or "or" is missing before "("'],
  ["(tcp «udp»)", '"and" or "or" is missing before "udp"'],
  ["tcp «!»udp", '"and" or "or" is missing before "!"'],
  ["tcp and«»", 'A term is missing after "and"'],
  ["not«»", 'A term is missing after "not"'],
  ["«and» tcp", '"and" cannot begin a filter'],
  ["tcp or «or» udp", '"or" cannot stand after "or"'],
  ["tcp and «)»", '")" cannot stand after "and"'],
  ["«)»", '")" cannot begin a filter'],
  ["tcp«)»", '")" closes nothing'],
  ["(tcp«»", "Parenthesis at position 0 is not closed"],
  ["tcp and («)»", "Parentheses hold nothing"],
  ["port 80«,» 443", '"," stands only in lists'],
  ["tcp «=» 6", '"=" cannot stand after "tcp"'],
  ["class«»", 'A class is missing after "class"'],
  ["class «and» tcp", 'A class is missing after "class"'],
  ["class «virtaul»", 'Class "virtaul" is not known: "virtual" is probably meant'],
  ["class «tcp»", 'Class "tcp" is not known: virtual, subnet, exit, unknown, physical'],
  ["class «(»virtual)", '"in" is missing before the list: class in (…)'],
  ["port in («(»80))", 'A port is missing after "("'],
  ["port = «(»80)", 'A port is missing after "="'],
  ["class in «virtual»", '"(" is missing after "in"'],
  ["class in («)»", 'A class is missing after "("'],
  ["class in (virtual«»", "List is not closed"],
  ["class in (virtual «subnet»)", '"," or ")" is missing before "subnet"'],
  ["class in (virtual, «)»", 'A class is missing after ","'],
  ["proto «256»", "is above 255"],
  ["proto «tpc»", '"tcp" is probably meant'],
  ["node «»", 'A node\'s name is missing after "node"'],
  ['node «""»', "Name is empty"],
  ['node «"open»', 'Quote " is not closed'],
  ["node «ü»ber", "names with it stand in quotes"],
  ["tcp «&» udp", '"and" is probably meant'],
  ["tcp «|» udp", '"or" is probably meant'],
  ["«😀»", "Character"],
  ["host «10.0.0»", '"10.0.0" is not an address'],
  ["host «10.0.0.0/8»", '"net" takes it'],
  ["host in (web, «none»)", '"none" stands only behind'],
  ["src != «none»", '"none" stands only behind'],
  ["net «10.0.0.0»", "has no length"],
  ["net «10.0.0.0/33»", "is not a prefix"],
  ["net «web»", "is not a prefix"],
  ['net «"10.0.0.0/8"»', "A prefix stands without quotes"],
  ["src «web»", '"web" is not an address, nor "host", "net", "port" or "none"'],
  ["src «prot» 80", '"prot" is not an address, nor "host", "net", "port" or "none"'],
  ["«web»", '"node web" or "host web" names a node'],
  ["«dup»", '"udp" is probably meant'],
  ["dst «10.0.0.256»", "is neither an address nor a prefix"],
  ["src«»", 'An address or a prefix is missing after "src"'],
  ["src «or» dst port 80", 'An address or a prefix is missing after "src"'],
  ["port «65536»", "is above 65535"],
  ["port «http»", '"http" is not a port'],
  ["port «90-80»", "ends before it begins"],
  ["port > «80-90»", "cannot be compared with"],
  ["dport > «65535»", "No port is > 65535"],
  ["dport < «1»", "No port is < 1"],
  ["dport <= «0»", "No port is <= 0"],
  ["bytes «10k»", 'A comparison is missing after "bytes"'],
  ["bytes >«»", 'A number is missing after ">"'],
  ["bytes > «ten»", "is not a number"],
  ["bytes > «1.5»", "is not a whole number of bytes"],
  ["bytes > «1bit»", "is not a whole number of bytes"],
  ["bytes > «10kb»", "may be bits or bytes"],
  ["bytes > «1MB/s»", '"rate" compares it'],
  ["pkts > «1kB»", "packets have none"],
  ["bytes > «9007199254740992»", "is too large"],
  ["bytes > «9999999999999999»", "is too large"],
  ["bytes > «00000000000000001»", "has more than 16 digits"],
  ["bytes > 10 «MiB»", 'Number and unit stand without a space: "10MiB"'],
  ["tx «port» 3", '"bytes", "pkts" or "rate" is missing after "tx"'],
  ["tx«»", '"bytes", "pkts" or "rate" is missing after "tx"'],
];

for (const [marked, message] of PROBLEMS) {
  test(`parseFilter() refuses ${marked}`, () => {
    const text = marked.replace(/[«»]/g, "");
    const problem = problemOf(text);
    assert.ok(problem.message.includes(message), problem.message);
    assert.doesNotMatch(problem.message, /\.$/);
    const { start, end } = problem;
    assert.equal(`${text.slice(0, start)}«${text.slice(start, end)}»${text.slice(end)}`, marked);
  });
}

test("parseFilter() names the first problem, though a later one cannot even be read", () => {
  assert.match(problemOf('clas virtual and node "x').message, /"class" is probably meant/);
  assert.match(problemOf("tcp udp &").message, /is missing before "udp"/);
});

test("parseFilter() says what could stand there", () => {
  assert.deepEqual(problemOf("tcp udp").expected, ["and", "or"]);
  assert.deepEqual(problemOf("(tcp udp").expected, ["and", "or", ")"]);
  assert.deepEqual(problemOf("dport").expected, ["PORT", "<", "<=", ">", ">=", "in"]);
  assert.deepEqual(problemOf("dport in (").expected, ["PORT"]);
  assert.deepEqual(problemOf("dport in (1").expected, [",", ")"]);
  assert.deepEqual(problemOf("bytes").expected, ["=", "!=", "<", "<=", ">", ">="]);
  assert.ok(problemOf("tcp and").expected.includes("class"));
});

test("parseFilter() checks names against those that are known, if it is told them", () => {
  const nodes = ["web-1", "web-2", "db"];
  for (const text of ["node web-1", "peer db", "host in (db, 10.0.0.1)", "node x*"]) {
    assert.ok(parseFilter(text, { nodes: new Set(nodes) }).ok, text);
  }
  for (const text of ["node wbe-1", "peer wbe-1", "src host wbe-1", 'host in (db, "wbe-1")']) {
    assert.match(problemOf(text, nodes).message, /"wbe-1" is not known: "web-1" is probably meant/);
  }
  assert.match(problemOf("node mail", nodes).message, /no node has this name or id/);
  assert.match(problemOf("node Web-1", nodes).message, /"web-1" is probably meant/);
});

test("parseFilter() keeps messages short, whatever is written", () => {
  const long = "x".repeat(5_000);
  for (const text of [long, `tcp ${long}`, `class ${long}`, `port ${long}`, `bytes > ${long}`]) {
    assert.ok(problemOf(text).message.length < 200, text.slice(0, 10));
  }
});

// ---- Limits -----------------------------------------------------------------------------------------------------

test("parseFilter() reads as many characters as the limit says, and says where it stops", () => {
  const padded = (length: number) => "tcp".padEnd(length);
  for (const length of [FILTER_CHARS_MAX - 1, FILTER_CHARS_MAX]) {
    assert.ok(parseFilter(padded(length)).ok);
  }
  const { message, start, end } = problemOf(padded(FILTER_CHARS_MAX + 1));
  assert.match(message, /^Filter has 12289 characters: at most 12288 are read$/);
  assert.deepEqual([start, end], [FILTER_CHARS_MAX, FILTER_CHARS_MAX + 1]);
});

test("parseFilter() reads as many levels as the limit says", () => {
  const nested = (open: string, depth: number, inner = "tcp", close = ")") =>
    open.repeat(depth) + inner + (open === "(" ? close.repeat(depth) : "");
  for (const open of ["(", "!", "not "]) {
    assert.ok(parseFilter(nested(open, FILTER_DEPTH_MAX)).ok, open);
    const { message, start } = problemOf(nested(open, FILTER_DEPTH_MAX + 1));
    assert.match(message, /nested too deep: at most 32 levels/);
    assert.equal(start, FILTER_DEPTH_MAX * open.length);
  }
  // What is written with one more level in canonical form counts as one.
  for (const inner of ["port != 80", "node not in (a)", "host in (::1, a)"]) {
    const wide = nested("(", FILTER_DEPTH_MAX - 1, inner);
    assert.ok(parseFilter(wide).ok, inner);
    assert.match(problemOf(nested("(", FILTER_DEPTH_MAX, inner)).message, /nested too deep/);
  }
  assert.ok(parseFilter(nested("(", FILTER_DEPTH_MAX - 2, "host not in (::1, a)")).ok);
  assert.match(
    problemOf(nested("(", FILTER_DEPTH_MAX - 1, "host not in (::1, a)")).message,
    /nested too deep/,
  );
});

test("parseFilter() reads as many values and terms as the limits say", () => {
  const ports = (count: number) => `port in (${new Array(count).fill("80").join(", ")})`;
  assert.ok(parseFilter(ports(FILTER_LIST_MAX)).ok);
  assert.match(problemOf(ports(FILTER_LIST_MAX + 1)).message, /List is too long: at most 256/);
  const terms = (count: number, last: string) => [...new Array(count).fill("tcp"), last].join("||");
  assert.ok(parseFilter(terms(FILTER_TERMS_MAX - 1, "udp")).ok);
  assert.match(problemOf(terms(FILTER_TERMS_MAX, "udp")).message, /too many terms: at most 256/);
  // A list of addresses and names is two terms.
  assert.ok(parseFilter(terms(FILTER_TERMS_MAX - 2, "host in (::1, a)")).ok);
  assert.match(
    problemOf(terms(FILTER_TERMS_MAX - 1, "host in (::1, a)")).message,
    /too many terms/,
  );
});

test("limits: the longest list of IPv6 prefixes fits a filter", () => {
  const prefix = "2001:0db8:0000:0000:ffff:ffff:ffff:ffff/127";
  assert.ok(parseFilter(`net in (${new Array(FILTER_LIST_MAX).fill(prefix).join(", ")})`).ok);
});

// ---- Needs, help, messages --------------------------------------------------------------------------------------

test("needs() names what a filter looks at, wherever it stands", () => {
  const needed = (text: string) =>
    Object.entries(needs(filterOf(text))).filter(([, isNeeded]) => isNeeded).map(([name]) => name);
  assert.deepEqual(needed(""), []);
  assert.deepEqual(needed("class exit"), ["classes"]);
  assert.deepEqual(needed("tcp"), ["protos"]);
  assert.deepEqual(needed("node a"), ["nodes"]);
  for (const text of ["peer a", "host a", "src 10.0.0.1", "net ::/0", "dst none"]) {
    assert.deepEqual(needed(text), ["addresses"]);
  }
  assert.deepEqual(needed("sport 1"), ["srcPort"]);
  assert.deepEqual(needed("dport 1"), ["dstPort"]);
  assert.deepEqual(needed("port 1"), ["srcPort", "dstPort"]);
  assert.deepEqual(needed("tx bytes > 1"), ["counters"]);
  assert.deepEqual(needed("pkts > 1"), ["counters"]);
  assert.deepEqual(needed("rate > 1"), ["counters", "rate"]);
  assert.deepEqual(needed("folded"), ["folded"]);
  assert.deepEqual(needed("tcp or not (udp and (dport 1 or not folded))"), [
    "protos",
    "dstPort",
    "folded",
  ]);
});

test("FILTER_HELP has an example for each form that is read, and tells of every word", () => {
  for (const { name, example } of FILTER_HELP) {
    const result = parseFilter(example);
    assert.ok(result.ok, `${name}: ${result.ok ? "" : result.problem.message}`);
  }
  const forms = FILTER_HELP.map(({ form }) => form).join(" ").split(/[^\w-]+/);
  for (const word of [...TERM_WORDS.keys(), ...PROTO_NUMBERS.keys(), "and", "or", "not", "in"]) {
    assert.ok(forms.includes(word), word);
  }
});

test("problemText() shows the place under the text", () => {
  const show = (text: string) => problemText(text, problemOf(text)).split("\n");
  assert.deepEqual(show("tcp\nand clas x"), [
    'Word "clas" is not known: "class" is probably meant',
    "  tcp and clas x",
    "          ^^^^",
  ]);
  assert.deepEqual(show("tcp and").slice(1), ["  tcp and", "         ^"]);
  const [, line, carets] = show(`${"tcp or ".repeat(90)}clas${" or tcp".repeat(90)}`);
  assert.equal(line.slice(carets.indexOf("^"), carets.lastIndexOf("^") + 1), "clas");
  assert.ok(line.length < 150);
  assert.ok(show("x".repeat(5_000))[2].length < 150);
  assert.ok(!show("node \u001b[31m tcp").join("").includes("\u001b"));
});

test("purity: the filter language imports no effects and reads no clock", () => {
  const folder = new URL("../../../src/collector/filter/", import.meta.url);
  const files = readdirSync(folder);
  assert.ok(files.length > 8);
  for (const file of files) {
    const text = readFileSync(new URL(file, folder), "utf8");
    assert.doesNotMatch(text, /from "(?!\.)/, file);
    assert.doesNotMatch(text, /\b(Date\.now|performance\.|Math\.random|setTimeout|new Date)/, file);
  }
});
