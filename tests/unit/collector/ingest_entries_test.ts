/** What becomes of each form of entry: the original's two, our own, and everything that should not be. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { gapText, NO_SUMS } from "../../../src/logtail/mod.ts";
import { parseTime } from "../../../src/time_text.ts";
import { jsonOf, kindsOf, readEntries, readEntry, rowTexts } from "./ingest_support.ts";

const TIMES = `"start":"2022-10-13T20:23:09.644Z","end":"2022-10-13T20:23:14Z"`;
const LOGTAIL = `"logtail":{"client_time":"2022-10-13T20:23:14.1Z","proc_id":7,"proc_seq":3}`;
const MAX = 18446744073709551615n;

// ---- Messages -----------------------------------------------------------------------------------------------------

test("a message of HEAD lands as rows, with exact counters beyond 2^53", () => {
  const entry = readEntry(
    `[{${LOGTAIL},"nodeId":"n1",${TIMES},"srcNode":{"nodeId":"n1","name":"alpha"},` +
      `"virtualTraffic":[{"proto":6,"src":"100.64.0.1:22","dst":"[fd7a:115c:a1e0::53]:80","txPkts":1,"txBytes":2,"rxBytes":18446744073709551615}],` +
      `"exitTraffic":[{"txPkts":3}],"physicalTraffic":[{"src":"100.64.0.9:0","dst":"192.0.2.1:41641","rxPkts":9007199254740993}]}\n]`,
  );
  assert.deepEqual(rowTexts(entry), [
    `virtual 6 100.64.0.1:22>fd7a:115c:a1e0::53:80 1 2 0 ${MAX}`,
    "exit 0 :0>:0 3 0 0 0",
    "physical 0 100.64.0.9:0>192.0.2.1:41641 0 0 9007199254740993 0",
  ]);
  const message = entry.entry;
  assert.ok(message.kind === "message");
  assert.deepEqual([message.procId, message.procSeq], [7, 3]);
  assert.equal(message.clientTimeNs, parseTime("2022-10-13T20:23:14.1Z"));
  assert.equal(message.startNs, parseTime("2022-10-13T20:23:09.644Z"));
  assert.deepEqual([message.lengthMs, message.nodeId, message.nodeName], [4_356, "n1", "alpha"]);
  assert.equal(message.sums.virtual.rxBytes, MAX);
  assert.equal(message.sums.physical.rxPackets, 9007199254740993n);
  assert.equal(message.sums.exit.txPackets, 3n);
  assert.deepEqual(Object.keys(jsonOf(entry)), ["logtail", "nodeId", "start", "end", "srcNode"]);
});

test("a message of SEED lands as rows: sorted keys, empty addresses, floats, escapes", () => {
  const entry = readEntry(
    `[{"end":"2022-10-13T20:23:14Z","exitTraffic":[{"dst":"","proto":0,"src":"","txPkts":3}],${LOGTAIL},` +
      `"start":"2022-10-13T20:23:09.644Z","virtualTraffic":[{"dst":"[fd7a:115c:a1e0::53]:80","proto":6,"rxBytes":18446744073709552000,"src":"100.64.0.1:22","txBytes":1.8446744073709552e19,"txPkts":1e3}]}\n]`,
  );
  assert.deepEqual(rowTexts(entry), [
    "exit 0 :0>:0 3 0 0 0",
    `virtual 6 100.64.0.1:22>fd7a:115c:a1e0::53:80 1000 ${MAX} 0 ${MAX}`,
  ]);
  // Kept with `logtail` in front, for that is where it is completed when it is handed out.
  const { entry: message } = entry;
  assert.ok(message.kind === "message" && message.restJson.startsWith(`{${LOGTAIL},"end"`));
});

test("a message is read the same with white space, escaped names and unknown members of rows", () => {
  const plain = `{"proto":17,"src":"10.0.0.1:53","dst":"10.0.0.2:53","txPkts":1,"txBytes":60}`;
  const odd =
    ` { "proto" : 17 , "\\u0073rc":"10.0.0.1:53","dst":"10.0.0.2:53","txPkts":1,"txBytes":60,"new":{"a":[1]}}`;
  const read = (row: string) => readEntry(`[{${TIMES},"subnetTraffic":[${row}]}]`);
  assert.deepEqual(rowTexts(read(odd)), rowTexts(read(plain)));
  assert.deepEqual(rowTexts(read(odd)), ["subnet 17 10.0.0.1:53>10.0.0.2:53 1 60 0 0"]);
  // One list fast, one slow.
  const both = readEntry(`{${TIMES},"subnetTraffic":[${odd}],"virtualTraffic":[${plain}]}`);
  assert.deepEqual(rowTexts(both).sort(), [
    "subnet 17 10.0.0.1:53>10.0.0.2:53 1 60 0 0",
    "virtual 17 10.0.0.1:53>10.0.0.2:53 1 60 0 0",
  ]);
});

test("addresses of every form are read, names of protocols too, and null is absent", () => {
  const rows = [
    `{"src":"[::]:0","dst":"[::1]:65535"}`,
    `{"src":"[::ffff:1.2.3.4]:1","dst":"[1:2:3:4:5:6:7:8]:2"}`,
    `{"src":"[1::]:3","dst":"[2001:DB8:0:1:1:1:1:1]:4"}`,
    `{"src":"[fe80::1%eth0]:5","dst":"255.255.255.255:6","folded":true}`,
    `{"proto":"UDP","src":null,"dst":"0.0.0.0:0","txPkts":null}`,
    `{}`,
  ];
  assert.deepEqual(rowTexts(readEntry(`[{${TIMES},"virtualTraffic":[${rows.join(",")}]}]`)), [
    "virtual 0 :::0>::1:65535 0 0 0 0",
    "virtual 0 ::ffff:1.2.3.4:1>1:2:3:4:5:6:7:8:2 0 0 0 0",
    "virtual 0 1:::3>2001:db8:0:1:1:1:1:1:4 0 0 0 0",
    "virtual 0 fe80::1%eth0:5>255.255.255.255:6 0 0 0 0 folded",
    "virtual 17 :0>0.0.0.0:0 0 0 0 0",
    "virtual 0 :0>:0 0 0 0 0",
  ]);
});

test("a message that is wrong is kept whole as an error, under its name, and leaves no row", () => {
  const wrong = [
    `"virtualTraffic":[{"txPkts":1},{"src":"10.0.0.1"}]`,
    `"virtualTraffic":[{"src":"10.0.0.256:1"}]`,
    `"virtualTraffic":[{"src":"10.0.0.01:1"}]`,
    `"virtualTraffic":[{"src":"10.0.0.1:65536"}]`,
    `"virtualTraffic":[{"src":"10.0.0.1:080"}]`,
    `"virtualTraffic":[{"src":"[1:2:3:4:5:6:7:8:9]:1"}]`,
    `"virtualTraffic":[{"src":"[1::2::3]:1"}]`,
    `"virtualTraffic":[{"src":"[1:2:3:4:5:6:7:]:1"}]`,
    `"virtualTraffic":[{"src":"[12345::]:1"}]`,
    `"virtualTraffic":[{"src":"[]:1"}]`,
    `"virtualTraffic":[{"proto":256}]`,
    `"virtualTraffic":[{"txPkts":-1}]`,
    `"virtualTraffic":[{"txPkts":1.5}]`,
    `"virtualTraffic":[{"txPkts":18446744073709552001}]`,
    `"virtualTraffic":[{"txPkts":"1"}]`,
    `"virtualTraffic":[1]`,
    `"virtualTraffic":{}`,
    `"virtualTraffic":[{"txPkts":1}],"srcNode":7`,
  ];
  for (const list of wrong) {
    const entry = readEntry(`[{${LOGTAIL},${TIMES},${list}}]`);
    assert.equal(entry.entry.kind, "error", list);
    assert.deepEqual([entry.entry.procId, entry.entry.procSeq], [7, 3], list);
    const { logtail, ...rest } = jsonOf(entry) as { logtail: { error: { detail: string } } };
    assert.match(logtail.error.detail, /^Cannot read a flow message/, list);
    assert.deepEqual(rest, JSON.parse(`{${TIMES},${list}}`));
  }
});

test("windows that no store can keep are errors: before 1970, beyond 2262, ended before they began", () => {
  const read = (start: string, end: string) =>
    readEntry(`{"start":"${start}","end":"${end}","exitTraffic":[{"txPkts":1}]}`).entry.kind;
  assert.equal(read("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"), "message");
  assert.equal(read("1969-12-31T23:59:59.999999999Z", "1970-01-01T00:00:05Z"), "error");
  assert.equal(read("2262-04-11T23:47:16Z", "2262-04-11T23:47:16.854775807Z"), "message");
  assert.equal(read("2262-04-11T23:47:16Z", "2262-04-11T23:47:16.854775808Z"), "error");
  assert.equal(read("2022-10-13T20:23:14.000000001Z", "2022-10-13T20:23:14Z"), "error");
});

test("HEAD's blank message is an object, not a window", () => {
  const blank = `{"nodeId":"","start":"0001-01-01T00:00:00Z","end":"0001-01-01T00:00:00Z"}`;
  assert.equal(readEntry(`[${blank}]`).entry.kind, "object");
});

test("parts, lengths and exit modes of our own messages are understood", () => {
  const read = (extension: string) => {
    const { entry } = readEntry(`{${TIMES},"exitTraffic":[{"txPkts":5}],"tunlog":${extension}}`);
    assert.ok(entry.kind === "message");
    return entry;
  };
  assert.deepEqual([read(`{"part":2,"parts":3}`).part, read(`{"part":2,"parts":3}`).parts], [2, 3]);
  assert.equal(read(`{"part":4,"parts":3}`).parts, undefined);
  assert.equal(read(`{"part":1,"parts":1}`).parts, undefined);
  assert.equal(read(`{"lengthMs":5000}`).lengthMs, 5_000);
});

test("the one exit row of mode zero is split into its exit and unknown parts; others stay exit", () => {
  const read = (exit: string, extension: string) =>
    rowTexts(readEntry(`{${TIMES},"exitTraffic":[${exit}],"tunlog":${extension}}`));
  const unknown = `"unknown":{"txPkts":2,"txBytes":20}`;
  assert.deepEqual(read(`{"txPkts":5,"txBytes":90,"rxPkts":1}`, `{${unknown}}`), [
    "exit 0 :0>:0 3 70 1 0",
    "unknown 0 :0>:0 2 20 0 0",
  ]);
  assert.deepEqual(read(`{"txPkts":2,"txBytes":20}`, `{${unknown}}`), [
    "unknown 0 :0>:0 2 20 0 0",
  ]);
  // More than there is, another mode, another row: nobody can tell.
  assert.deepEqual(read(`{"txPkts":1,"txBytes":90}`, `{${unknown}}`), ["exit 0 :0>:0 1 90 0 0"]);
  assert.equal(read(`{"txPkts":5,"txBytes":90}`, `{"exitMode":"node",${unknown}}`).length, 1);
  assert.deepEqual(
    read(`{"txPkts":5,"txBytes":90},{"src":"100.64.0.1:0","txPkts":1}`, `{${unknown}}`),
    [
      "exit 0 :0>:0 5 90 0 0",
      "exit 0 100.64.0.1:0>:0 1 0 0 0",
    ],
  );
  // Exact beyond 2^53.
  assert.deepEqual(
    read(`{"txBytes":18446744073709551615}`, `{"unknown":{"txBytes":9007199254740993}}`),
    [`exit 0 :0>:0 0 ${MAX - 9007199254740993n} 0 0`, "unknown 0 :0>:0 0 9007199254740993 0 0"],
  );
});

// ---- Other entries --------------------------------------------------------------------------------------------------

test("texts, drop markers, objects and clients' errors are told apart", () => {
  const entries = readEntries(
    `[{"logtail": {"client_time":"2022-10-13T20:23:14Z","proc_id": 7,"proc_seq": 1}, "v":1,"text": "logtail started"}\n,` +
      `{"text":"----------- 12 logs dropped ----------"}\n,` +
      `{"logtail":{"proc_id":7,"proc_seq":2},"metric":1}\n,` +
      `{"logtail":{"proc_id":7,"proc_seq":3,"error":{"detail":"entry too large: 9 bytes","bad_data":"{…+8"}}}\n]`,
  );
  assert.deepEqual(kindsOf(entries), ["text", "drops", "object", "error"]);
  const drops = entries[1].entry;
  assert.ok(drops.kind !== "message" && drops.dropped === 12);
  assert.deepEqual([entries[0].entry.procSeq, drops.procId, drops.procSeq], [1, 0, 0]);
});

test("gap records and reports of our own are read; wrong ones are errors under their names", () => {
  const range = { cause: "full", procId: 7, firstSeq: 4, lastSeq: 6, entries: 3 } as const;
  const times = { startNs: 1_000n, endNs: 2_000n, sums: NO_SUMS, offered: false };
  const text = gapText([{ ...range, ...times }]);
  const gap = readEntry(`[{${LOGTAIL},${text.slice(1)}]`).entry;
  assert.ok(gap.kind === "gap");
  assert.deepEqual(gap.gaps, [{ ...range, ...times }]);
  const report = `{${LOGTAIL},"nodeId":"n",${TIMES},"tunlog":{"report":{"windows":3}}}`;
  assert.equal(readEntry(report).entry.kind, "report");
  for (
    const wrong of [
      text.replace(`"full"`, `"fate"`),
      text.replace(`"firstSeq":4`, `"firstSeq":7`),
      text.replace(`"procId":7`, `"procId":4294967296`),
      `{"gap":{"lost":7}}`,
      `{"nodeId":"n",${TIMES},"tunlog":{"report":{"windows":-3}}}`,
    ]
  ) {
    const entry = readEntry(`{${LOGTAIL},${wrong.slice(1)}`);
    assert.equal(entry.entry.kind, "error", wrong);
    assert.equal(entry.entry.procSeq, 3);
  }
});

test("members of logtail that clients may not set are moved into its error, and the entry is kept", () => {
  const logtail = (text: string) =>
    jsonOf(readEntry(`[{"logtail":${text},"text":"x"}]`)).logtail as Record<string, unknown>;
  const detail = "logtail has members that clients may not set, or not so";
  assert.deepEqual(logtail(`{"proc_id":1,"proc_seq":2,"level":5}`), {
    ...{ proc_id: 1, proc_seq: 2, error: { detail, bad_data: { level: 5 } } },
  });
  assert.deepEqual(logtail(`{"proc_id":4294967296,"proc_seq":-1,"client_time":"now"}`), {
    error: { detail, bad_data: { proc_id: 4294967296, proc_seq: -1, client_time: "now" } },
  });
  assert.deepEqual(logtail(`{"a":1,"error":{"detail":"own"}}`), {
    error: { detail, bad_data: { a: 1, error: { detail: "own" } } },
  });
  assert.deepEqual(logtail(`[1]`), {
    error: { detail: "logtail is not an object", bad_data: [1] },
  });
  // What servers set is set anew.
  assert.deepEqual(logtail(`{"proc_id":1,"server_time":"x","id":"y","instance":"z"}`), {
    proc_id: 1,
  });
  const message = readEntry(`[{"logtail":{"level":5},${TIMES},"exitTraffic":[{"txPkts":1}]}]`);
  assert.equal(message.entry.kind, "message");
  assert.deepEqual(jsonOf(message).logtail, { error: { detail, bad_data: { level: 5 } } });
});

test("both sides of the limits of proc_id and proc_seq", () => {
  const read = (id: number, seq: number) => {
    const { entry } = readEntry(`[{"logtail":{"proc_id":${id},"proc_seq":${seq}},"text":"x"}]`);
    return [entry.kind, entry.procId, entry.procSeq];
  };
  assert.deepEqual(read(4294967295, 9007199254740991), ["text", 4294967295, 9007199254740991]);
  assert.deepEqual(read(4294967296, 9007199254740992), ["error", 0, 0]);
});

// ---- Bodies that are broken -------------------------------------------------------------------------------------------

const GOOD = [1, 2, 3].map((seq) =>
  `{"logtail":{"proc_id":7,"proc_seq":${seq}},"text":"t${seq}"}\n`
);

/** What the good entries of a body are, and the error's data. */
function split(body: string): { good: number[]; bad: unknown; detail: string } {
  const entries = readEntries(body);
  const errors = entries.filter(({ entry }) => entry.kind === "error");
  assert.equal(errors.length, 1, `${errors.length} error entries for ${body}`);
  const { logtail } = jsonOf(errors[0]) as {
    logtail: { error: { detail: string; bad_data: unknown } };
  };
  const good = entries.filter(({ entry }) => entry.kind !== "error");
  return {
    good: good.map(({ entry }) => entry.procSeq),
    bad: logtail.error.bad_data,
    detail: logtail.error.detail,
  };
}

test("one broken element costs no other, wherever it stands", () => {
  const broken = [
    `{"text":"control \u0001 byte"}`,
    `{"text":"no end}`,
    `{"text":}`,
    `{"text":"x"`,
    `{"text" "x"}`,
    `{"text":"x",}`,
    `{"a":1,"a":2}`,
    `{"a":01}`,
    `{"a":tru}`,
    `{"a":"\\x"}`,
    `{"a":[}]}`,
    `{1:2}`,
    `7`,
    `"text"`,
    `null`,
    `[{"text":"inner"}]`,
    `nonsense`,
    `{"a":${"[".repeat(300)}${"]".repeat(300)}}`,
  ];
  for (const element of broken) {
    for (const place of [0, 1, 2, 3]) {
      const elements = [...GOOD.slice(0, place), `${element}\n`, ...GOOD.slice(place)];
      const { good, bad } = split(`[${elements.join(",")}]`);
      assert.deepEqual(good, [1, 2, 3], `${element} at ${place}: ${JSON.stringify(bad)}`);
    }
  }
});

test("several broken elements make one error entry that shows all of them", () => {
  const { good, bad } = split(`[1,${GOOD[0]},"two",${GOOD[1]},{"a":x}\n]`);
  assert.deepEqual(good, [1, 2]);
  assert.deepEqual(bad, ["1", '"two"', '{"a":x}']);
});

test("an array that is cut keeps what is whole", () => {
  const body = `[${GOOD.join(",")}]`;
  for (let length = 1; length < body.length; length++) {
    const { good } = split(body.slice(0, length));
    const whole = GOOD.filter((_, index) => length >= GOOD.slice(0, index + 1).join(",").length);
    assert.deepEqual(good, whole.map((_, index) => index + 1), `cut at ${length}`);
  }
});

test("bodies that are no array or object, or go on behind it, make one error entry", () => {
  for (const body of ["", "  \n", "null", "7", `"x"`, "GET / HTTP/1.1", "\u0000\u0001"]) {
    const { good } = split(body);
    assert.deepEqual(good, [], body);
  }
  assert.deepEqual(split(`[${GOOD[0]}] x`).good, [1]);
  assert.deepEqual(split(`[${GOOD[0].trim()}}\n,${GOOD[1]}]`).good, [1, 2]);
  assert.deepEqual(split(`x${GOOD.join(",")}]`).good, [2, 3]);
  assert.deepEqual(split(`{${GOOD.join(",")}]`).good, [2, 3]);
  assert.deepEqual(split(`${GOOD[0]} ${GOOD[1]}`).good, [1]);
  assert.deepEqual(readEntries(" [ ] "), []);
  assert.deepEqual(kindsOf(readEntries(` ${GOOD[0]} `)), ["text"]);
});

test("what an error entry shows of a long body is cut", () => {
  const { bad } = split(`x${"é".repeat(200_000)}`);
  assert.ok(typeof bad === "string" && bad.length < 17_000, `${String(bad).length}`);
  assert.match(String(bad), /…\+\d+$/);
});

test("bytes that are not UTF-8 and half surrogates are kept as far as they can be", () => {
  const body = new Uint8Array([
    ...new TextEncoder().encode(`[{"text":"a`),
    0xff,
    0xc3,
    ...new TextEncoder().encode(`b"}]`),
  ]);
  assert.equal(jsonOf(readEntry(body)).text, "a\ufffd\ufffdb");
  assert.equal(kindsOf(readEntries(`[{"text":"\\ud800"}]`))[0], "text");
});

test("entries are kept on one line", () => {
  const { entry } = readEntry(`[{"a":\n1,\r\n"logtail":\n{"proc_id":1}}]`);
  assert.ok(entry.kind === "object");
  assert.ok(!/[\r\n]/.test(entry.json), entry.json);
  assert.deepEqual(JSON.parse(entry.json), { logtail: { proc_id: 1 }, a: 1 });
});
