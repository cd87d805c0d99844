// Goal: `fmt` prints every message of any stream of JSON when it is complete, and says what is wrong. Method: the command
// over a fake io; the same bytes cut at every place; broken and random input.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { addressNameOf, run } from "../../../src/cli/fmt.ts";
import { UsageError } from "../../../src/cli/args.ts";
import { gapText, type LostRange, NO_SUMS } from "../../../src/logtail/mod.ts";
import { NO_COUNTS, type Report, writeReport } from "../../../src/netlog/mod.ts";
import { FakeIo, type FakeIoOptions } from "./support.ts";

const VECTORS = new URL("../../vectors/", import.meta.url);
const GOLDEN = readFileSync(new URL("fmt.json", VECTORS), "utf8");
const GOLDEN_TABLE = readFileSync(new URL("fmt.txt", VECTORS), "utf8");

async function fmt(
  stdin: string,
  args: readonly string[] = [],
  options: FakeIoOptions = {},
): Promise<FakeIo & { code: number }> {
  const io = new FakeIo({ stdin, ...options });
  return Object.assign(io, { code: await run(["--utc", ...args], io) });
}

/** What is printed of input that is right. */
async function printed(stdin: string, args: readonly string[] = []): Promise<string> {
  const { code, out, err } = await fmt(stdin, args);
  assert.deepEqual([code, err], [0, ""]);
  return out;
}

function small(name: string, more = ""): string {
  const times = `"start":"2022-10-13T20:23:05Z","end":"2022-10-13T20:23:10Z"`;
  return `{"nodeId":"${name}",${times},"exitTraffic":[{"txPkts":5}]${more}}`;
}

function nodeIds(text: string): string[] {
  return [...text.matchAll(/^NodeID: (.*)$/gm)].map(([, name]) => name);
}

test("fmt prints the golden sample, from the standard input and from a file", async () => {
  assert.equal(await printed(GOLDEN), GOLDEN_TABLE);
  assert.equal(await printed(GOLDEN, ["-"]), GOLDEN_TABLE);
  const directory = mkdtempSync(join(tmpdir(), "tunlog-fmt-"));
  try {
    const path = join(directory, "log.json");
    writeFileSync(path, GOLDEN);
    assert.equal(await printed("", [path]), GOLDEN_TABLE);
    const missing = await fmt("", [`${path}.none`]);
    assert.equal(missing.code, 1);
    assert.equal(
      missing.err,
      `tunlog: Cannot read "${path}.none": errno is 2 (ENOENT)\n`,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("fmt finds messages in lines, uploads, answers of APIs, and inside one another", async () => {
  const find = async (text: string) => nodeIds(await printed(text));
  assert.deepEqual(await find(`${small("a")}\n${small("b")}\n`), ["a", "b"]);
  assert.deepEqual(await find(`[${small("a")}\n,${small("b")}]`), ["a", "b"]);
  assert.deepEqual(await find(`{"logs":[${small("a")},${small("b")}]}`), ["a", "b"]);
  const nested = small("outer", `,"x":{"y":[${small("a")},{"z":${small("b")}}]}`);
  assert.deepEqual(await find(nested), ["a", "b", "outer"]);
  // What belongs to a message is not searched.
  assert.deepEqual(await find(small("outer", `,"logtail":{"x":${small("a")}}`)), ["outer"]);
  assert.deepEqual(await find(`{"text":{"x":${small("a")}},"gap":[${small("b")}]}`), ["a", "b"]);
  for (const nothing of ["", "\n", "null", "[1,2]", `{"nodeId":"a","start":"x"}`]) {
    assert.equal(await printed(nothing), "", nothing);
  }
});

test("fmt prints the same wherever its input is cut, and each table as soon as it is complete", async () => {
  const text = `[${small("grün€😀")}\n,{"x":${small("b\\u0041")}}]`;
  const bytes = new TextEncoder().encode(text);
  const wanted = await printed(text);
  assert.deepEqual(nodeIds(wanted), ["grün€😀", "bA"]);
  for (let at = 0; at <= bytes.length; at++) {
    const stdinPieces = [bytes.subarray(0, at), bytes.subarray(at)];
    assert.equal((await fmt("", [], { stdinPieces })).out, wanted, `cut at ${at}`);
  }
  const stdinPieces = Array.from(bytes, (byte) => Uint8Array.of(byte));
  const io = await fmt("", [], { stdinPieces });
  assert.equal(io.out, wanted);
  assert.equal(io.prints, 2);
});

test("fmt says where input is wrong, exit code 1, after the tables before it", async () => {
  const wrong: readonly (readonly [text: string, said: RegExp])[] = [
    ["}", /Unexpected "}" in JSON at character 1\d\d/],
    ["[", /Unexpected end of JSON/],
    [`{"exitTraffic":[{"txPkts":"1"}]}`, /"txPkts" is "1", not an integer/],
    [`{"exitTraffic":{}}`, /"exitTraffic" is an object, not an array/],
    [`{"gap":{"lost":1}}`, /Cannot read gap record/],
    [`{"gap":{"lost":[{"cause":"none"}]}}`, /Cannot read gap record/],
    [`{"tunlog":{"report":{}}}`, /"start" is absent/],
  ];
  for (const [text, said] of wrong) {
    const { code, out, err } = await fmt(small("a") + text);
    assert.equal(code, 1, text);
    assert.deepEqual(nodeIds(out), ["a"], text);
    assert.match(err, /^tunlog: processStream: .*\n$/, text);
    assert.match(err, said, text);
  }
});

test("fmt ends quietly when nobody reads any more", async () => {
  const lines = new TextEncoder().encode(`${small("a")}\n`);
  const stdinPieces = Array.from({ length: 10 }, () => lines);
  for (const printsMax of [0, 3]) {
    const { code, err, out } = await fmt("", [], { stdinPieces, printsMax });
    assert.deepEqual([code, err, nodeIds(out).length], [0, "", printsMax]);
  }
  const broken = await fmt(`${small("a")}}`, [], { printsMax: 0 });
  assert.deepEqual([broken.code, broken.err], [0, ""]);
});

test("addressNameOf() understands the original's spellings", () => {
  const known = {
    nodeid: ["id", "ids", "nodeId", "node-IDs", "node_id", "Node Id"],
    name: ["name", "Names", "hostname", "host-names", "HOST_NAME"],
    user: ["user", "users", "tag", "tags", "user-tags", "usertag", "tag_user", "Tag Users"],
  };
  for (const [name, texts] of Object.entries(known)) {
    for (const text of texts) assert.equal(addressNameOf(text), name, text);
  }
  for (const text of ["", "s", "-", " _"]) assert.equal(addressNameOf(text), null, text);
  for (const text of ["names s", "idss", "toString", "user/tag", "x"]) {
    assert.throws(
      () => addressNameOf(text),
      (error) =>
        error instanceof UsageError &&
        error.message === '--resolve-addrs must be "nodeId", "name", or "user"',
      text,
    );
  }
});

test("fmt resolves addresses by --resolve-names and --resolve-addrs", async () => {
  const node = `{"nodeId":"nSelf","name":"self","addresses":["100.64.0.1"],"user":"a@b"}`;
  const row = `{"src":"100.64.0.1:22","dst":"100.64.0.2:80","txPkts":1}`;
  const text = small("a", `,"srcNode":${node},"virtualTraffic":[${row}]`);
  const end = async (...args: string[]) => / (\S+):22/.exec(await printed(text, args))?.[1];
  assert.equal(await end(), "100.64.0.1");
  assert.equal(await end("--resolve-addrs="), "100.64.0.1");
  assert.equal(await end("--resolve-names"), "self");
  assert.equal(await end("--resolve-addrs", "node-ids"), "nSelf");
  assert.equal(await end("--resolve-addrs=user"), "a@b");
  assert.equal(await end("--resolve-addrs=user", "--resolve-names"), "self");
  const wrong = await fmt(text, ["--resolve-addrs=x"]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /^tunlog: --resolve-addrs must be "nodeId", "name", or "user"\n/);
});

const COUNTS = { txPackets: 3n, txBytes: 2n ** 64n, rxPackets: 0n, rxBytes: 0n };
const LOST: LostRange = {
  cause: "full",
  procId: 7,
  firstSeq: 12,
  lastSeq: 14,
  entries: 3,
  startNs: 1_665_692_585_000_000_000n,
  endNs: 1_665_692_599_999_999_999n,
  sums: { ...NO_SUMS, subnet: COUNTS },
  offered: false,
};

test("fmt prints gap records", async () => {
  const unknown: LostRange = {
    ...LOST,
    ...{
      cause: "killed",
      procId: 0,
      firstSeq: 0,
      lastSeq: 0,
      entries: 0,
      sums: null,
      offered: true,
    },
  };
  const gap = gapText([LOST, unknown]).slice(1, -1);
  assert.equal(
    await printed(`[{"logtail":{"id":"ab","server_time":"2022-10-13T20:24:00Z"},${gap}}]`),
    [
      "============================================================",
      "LogID:  ab",
      "Logged: 2022-10-13 20:24:00Z",
      "Gap:    lost at least 3 entries with 3 packets: full, killed",
      "    full: 3 entries (process 7, 12 to 14), 2022-10-13 20:23:05Z (15.000s)",
      "        subnet: tx 3 packets, 18446744073709551616 bytes; rx 0 packets, 0 bytes",
      "    killed: entries, sent and perhaps stored, 2022-10-13 20:23:05Z (15.000s)",
      "        traffic unknown",
      "",
    ].join("\n"),
  );
  // Somebody else's member of that name.
  assert.equal(await printed(`{"gap":{"mm":5}}`), "");
});

test("fmt prints self-reports", async () => {
  const report: Report = {
    nodeId: "n1",
    startNs: LOST.startNs,
    endNs: LOST.endNs,
    windows: 3,
    messages: 4,
    rows: 20,
    foldedRows: 1,
    traffic: { virtual: { ...NO_COUNTS, txPackets: 1, txBytes: 84 } },
    tun: { ...NO_COUNTS, txPackets: 1, txBytes: 84 },
    sock: null,
    stale: NO_COUNTS,
    drops: { outNoRoute: { packets: 2, bytes: 168 } },
    lost: { full: { ...NO_COUNTS, entries: 1, rxPackets: 9, rxBytes: 99 } },
    waitingEntries: 2,
  };
  assert.equal(
    await printed(writeReport(report)),
    [
      "============================================================",
      "NodeID: n1",
      "Report: 2022-10-13 20:23:05Z (15.000s)",
      "    3 windows, 4 messages, 20 rows, 1 of them folded",
      "    logged virtual: tx 1 packets, 84 bytes; rx 0 packets, 0 bytes",
      "    counted by TUN: tx 1 packets, 84 bytes; rx 0 packets, 0 bytes",
      "    dropped outNoRoute: 2 packets, 168 bytes",
      "    lost full: 1 entries",
      "        of traffic: tx 0 packets, 0 bytes; rx 9 packets, 99 bytes",
      "    2 entries wait for upload",
      "",
    ].join("\n"),
  );
});

test("fmt prints texts only when asked to, without what could move a cursor", async () => {
  const text = `{"logtail":{"id":"ab"},"text":"12 logs dropped\\u001b[2J\\n"}`;
  assert.equal(await printed(text), "");
  assert.equal(
    await printed(text, ["--all"]),
    `${"=".repeat(60)}\nLogID:  ab\nText:   12 logs dropped\ufffd[2J\n`,
  );
});

test("property: fmt never fails but by saying what is wrong with its input", async () => {
  const texts = [GOLDEN, small("a"), gapText([LOST])];
  const codes = [0, 0];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...texts),
      fc.array(fc.tuple(fc.nat(), fc.constantFrom(...'{}[]",:0-9ztx\\ \u0000€')), { maxLength: 3 }),
      async (text, changes) => {
        let changed = text;
        for (const [at, character] of changes) {
          const cut = at % (changed.length + 1);
          changed = changed.slice(0, cut) + character + changed.slice(cut + at % 2);
        }
        const { code, err } = await fmt(changed);
        codes[code]++;
        assert.equal(code === 0, err === "");
        assert.match(err, code === 0 ? /^$/ : /^tunlog: processStream: /, changed);
      },
    ),
    { seed: 74, numRuns: 1_500 },
  );
  assert.ok(codes[0] > 100 && codes[1] > 100, String(codes));
});
