// Goal: `pcap` prints what a capture holds, says what is wrong, and refuses a command line that makes no sense. Method: the
// command over a fake io and files of its own; delivery to a real server is tests/system/pcap_oracle_test.ts's.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { run } from "../../../src/cli/pcap.ts";
import { type Message, parseMessage } from "../../../src/netlog/mod.ts";
import { ethernet, pcapFile, tcp, udp } from "../../support/capture_writer.ts";
import { FakeIo, type FakeIoOptions } from "./support.ts";

const DIRECTORY = mkdtempSync(join(tmpdir(), "tunlog-pcap-"));
after(() => rmSync(DIRECTORY, { recursive: true }));

function file(name: string, content: Uint8Array | string): string {
  const path = join(DIRECTORY, name);
  writeFileSync(path, content);
  return path;
}

/** 2023-11-14T22:13:21.5Z. */
const TIME_NS = 1_700_000_001_500_000_000n;
const OUT = { src: "100.64.0.1", dst: "100.64.0.2", srcPort: 1000, dstPort: 80 };
const BACK = { src: "100.64.0.2", dst: "100.64.0.1", srcPort: 80, dstPort: 1000 };
const LAN = { src: "100.64.0.2", dst: "192.168.1.9", srcPort: 2000, dstPort: 22 };
const CAPTURE = pcapFile([
  { bytes: ethernet(tcp(BACK, 0x10, 5)), timeNs: TIME_NS },
  { bytes: ethernet(tcp(OUT, 0x10, 6)), timeNs: TIME_NS + 1_000n },
  { bytes: ethernet(udp(LAN, 7)), timeNs: TIME_NS + 2_000n },
  { bytes: new Uint8Array(60), timeNs: TIME_NS + 3_000n },
]);
const PATH = file("a.pcap", CAPTURE);

async function pcap(args: readonly string[], options: FakeIoOptions = {}) {
  const io = new FakeIo(options);
  const code = await run(args, io);
  return { code, out: io.out, err: io.err };
}

function messagesOf(out: string): Message[] {
  return out.split("\n").filter((line) => line !== "").map(parseMessage);
}

function rowsOf(out: string): string[] {
  return messagesOf(out).flatMap(({ virtual, subnet, exit }) =>
    Object.entries({ virtual, subnet, exit }).flatMap(([list, rows]) =>
      rows.map((row) => `${list} ${row.src} ${row.dst} ${row.txBytes} ${row.rxBytes}`)
    )
  );
}

test("pcap prints messages as lines of JSON, and on standard error what was read", async () => {
  const { code, out, err } = await pcap([PATH]);
  assert.equal(code, 0);
  assert.deepEqual(rowsOf(out), [
    "exit 100.64.0.2:80 100.64.0.1:1000 45 46",
    "exit 100.64.0.2:2000 192.168.1.9:22 35 0",
  ]);
  assert.match(err, /^tunlog: 4 packets: 3 counted with 126 bytes, 1 are not IP\n/);
  assert.match(err, /tx is what the side sent that was seen first/);
  assert.equal(messagesOf(out)[0].extension.exitMode, "full");
});

test("pcap takes sides, classes, node, mode and period from its options", async () => {
  const { out, err } = await pcap([
    ...[PATH, "--local", "100.64.0.1", "--local", "192.168.1.0/24", "--node", "gateway"],
    ...["--routes=100.64.0.0/10", "--subnet-routes=192.168.1.0/24", "--period", "1"],
  ]);
  assert.deepEqual(rowsOf(out), [
    "virtual 100.64.0.1:1000 100.64.0.2:80 46 45",
    "subnet 192.168.1.9:22 100.64.0.2:2000 0 35",
  ]);
  assert.doesNotMatch(err, /seen first/);
  const messages = messagesOf(out);
  assert.deepEqual(messages.map(({ nodeId }) => nodeId), ["gateway"]);
  assert.deepEqual(messages[0].srcNode?.addresses, ["100.64.0.1"]);
  // An own address outside of the overlay explains nothing.
  const lan = await pcap([PATH, "--local", "192.168.1.9"]);
  assert.equal(rowsOf(lan.out)[1], "exit 192.168.1.9:22 100.64.0.2:2000 0 35");
  const zero = await pcap([PATH, "--exit-mode", "zero"]);
  assert.deepEqual(rowsOf(zero.out), ["exit   80 46"]);
  const none = await pcap([
    PATH,
    "--overlay",
    "10.0.0.0/8,!10.1.0.0/16",
    "--routes",
    "100.64.0.0/10",
  ]);
  assert.equal(messagesOf(none.out)[0].subnet.length, 2);
});

test("pcap prints tables on a terminal, unless JSON is wanted", async () => {
  const { out } = await pcap([PATH, "--utc"], { isTerminal: true });
  assert.match(out, /^=+\nWindow: 2023-11-14 22:13:21\.499Z \(0\.0\d\ds\)\n-+ {2}Tx\[P\/s\]/);
  assert.match(out, /\nExitTraffic: .*\n {4}TCP: {2,}100\.64\.0\.2:80 -> 100\.64\.0\.1:1000 /);
  const json = await pcap([PATH, "--json"], { isTerminal: true });
  assert.ok(json.out.startsWith('{"nodeId":'));
});

const CONFIG = `[Interface]
# friendly_name = gw
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
Address = 100.64.0.1/24
[FlowLog]
SubnetRoutes = 192.168.1.0/24
Period = 10
ExitMode = node
[Peer]
# friendly_name = laptop
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
AllowedIPs = 100.64.0.2/32
`;

test("pcap takes all of it from a node's file", async () => {
  const config = file("wg0.conf", CONFIG);
  const { code, out, err } = await pcap([PATH, "--config", config]);
  assert.equal(code, 0, err);
  assert.deepEqual(rowsOf(out), [
    "virtual 100.64.0.1:1000 100.64.0.2:80 46 45",
    "subnet 192.168.1.9:22 100.64.0.2:2000 0 35",
  ]);
  const [message] = messagesOf(out);
  // The key that belongs to the private one, as wg pubkey prints it.
  assert.equal(message.nodeId, "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=");
  assert.deepEqual([message.srcNode?.name, message.dstNodes[0].name], ["gw", "laptop"]);
  assert.equal(message.extension.exitMode, "node");
  assert.equal(message.startNs, TIME_NS - 999_999n);
  const other = await pcap([PATH, "--config", config, "--local", "100.64.0.2", "--exit-mode=full"]);
  assert.equal(rowsOf(other.out)[0], "virtual 100.64.0.2:80 100.64.0.1:1000 45 46");
  assert.equal(messagesOf(other.out)[0].extension.exitMode, "full");
  const wrong = await pcap([PATH, "--config", file("wg1.conf", "[Interface]\n")]);
  assert.equal(wrong.code, 2);
});

test("pcap gives what there is of a file that breaks off, with a warning and exit code 1", async () => {
  const cut = await pcap([file("cut.pcap", CAPTURE.slice(0, -70))]);
  assert.equal(cut.code, 1);
  assert.equal(rowsOf(cut.out).length, 2);
  assert.match(
    cut.err,
    /breaks off within a record, after \d+ bytes; what stands before it was read/,
  );
  const broken = CAPTURE.slice();
  broken.fill(0xff, 24 + 16 + 60 + 8, 24 + 16 + 60 + 12);
  const { code, out, err } = await pcap([file("broken.pcap", broken)]);
  assert.deepEqual([code, rowsOf(out).length], [1, 1]);
  assert.match(
    err,
    /Cannot read the capture: a record states 4294967295 bytes \(at byte 100\); what/,
  );
  for (const [name, content] of [["text", "hello, world"], ["empty", ""]]) {
    const nothing = await pcap([file(name, content)]);
    assert.deepEqual([nothing.code, nothing.out], [1, ""]);
    assert.match(
      nothing.err,
      /tunlog: (Cannot read the capture: it is neither|The capture is empty)/,
    );
  }
  assert.equal((await pcap([join(DIRECTORY, "none")])).code, 1);
});

test("pcap reads the standard input, and ends quietly when nobody reads its output", async () => {
  const stdinPieces = Array.from(CAPTURE, (byte) => Uint8Array.of(byte));
  assert.equal(rowsOf((await pcap(["-"], { stdinPieces })).out).length, 2);
  const unread = await pcap(["-"], { stdinPieces, printsMax: 0 });
  assert.deepEqual(unread, { code: 0, out: "", err: "" });
});

test("pcap refuses options that make no sense, before it reads", async () => {
  const id = file("id", "0123456789abcdef".repeat(4));
  const target = ["--post", "http://localhost:1", "--collection", "c", "--id", id];
  const cases: readonly (readonly [args: readonly string[], said: RegExp])[] = [
    [[], /Argument FILE is missing/],
    [["x", "--local", "10.0.0.0/33"], /--local has "10\.0\.0\.0\/33", which is no prefix/],
    [["x", "--routes", "10.0.0.0/8,"], /--routes has "", which is no prefix/],
    [["x", "--subnet-routes", "host"], /--subnet-routes has "host"/],
    [["x", "--overlay", "!"], /Overlay range "!" is not a prefix/],
    [["x", "--exit-mode", "keyed"], /--exit-mode must be zero, node, prefix or full/],
    [["x", "--period", "0"], /--period must be 1 to 60 seconds/],
    [["x", "--period", "61"], /--period must be/],
    [["x", "--period", "1.5"], /--period must be/],
    [
      ["x", "--config", "y.conf", "--routes", "10.0.0.0/8"],
      /"--routes" does not go with "--config"/,
    ],
    [["x", "--config", "y.conf", "--node", "n"], /"--node" does not go with "--config"/],
    [["x", "--collection", "c"], /"--collection" needs "--post"/],
    [["x", "--id", id], /"--id" needs "--post"/],
    [["x", ...target.slice(0, 2)], /"--post" needs "--collection"/],
    [["x", ...target.slice(0, 4)], /"--post" needs "--id"/],
    [["x", ...target.with(1, "localhost:80")], /--post must be a URL/],
    [["x", ...target.with(1, "ftp://localhost")], /--post must be a URL/],
    [["x", ...target.with(3, "a/b")], /--collection must be/],
    [["x", ...target.with(5, file("bad", "0123"))], /must hold 64 hexadecimal digits/],
    [
      ["x", ...target.with(5, file("bad.json", '{"PrivateID":'))],
      /must hold 64 hexadecimal digits/,
    ],
  ];
  for (const [args, said] of cases) {
    const { code, out, err } = await pcap(args);
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.match(err, said);
  }
});
