// Goal: the demo's table is right in its numbers and fits its terminal; its files are files that nodes take; a made-up capture
// comes out as it was made. Method: messages by hand, a fake io, widths one by one. What runs is tests/system/demo_test.ts's.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { run } from "../../../src/cli/demo.ts";
import { CAPTURE_S, demoCapture } from "../../../src/cli/demo/capture.ts";
import { FlowBook, HISTORY_WINDOWS_MAX } from "../../../src/cli/demo/flow_book.ts";
import { bytesText, flowTable, siText } from "../../../src/cli/demo/flow_table.ts";
import { makeKeys } from "../../../src/cli/demo/nodes.ts";
import { Screen } from "../../../src/cli/demo/screen.ts";
import { nodeConfig, NODES, OVERLAY } from "../../../src/cli/demo/topology.ts";
import { type Connection, type Message } from "../../../src/netlog/mod.ts";
import { parseNodeConfig } from "../../../src/node/mod.ts";
import { CaptureReader } from "../../../src/packet/mod.ts";
import { FakeIo } from "./support.ts";

const SECOND_NS = 1_000_000_000n;

/** A row; bytes are 100 times the packets. */
function row(src: string, dst: string, tx: number, rx: number, proto = 6): Connection {
  const counts = { txPackets: tx, txBytes: tx * 100, rxPackets: rx, rxBytes: rx * 100 };
  return { proto, src, dst, ...counts, folded: false };
}

type Lists = Partial<Pick<Message, "virtual" | "subnet" | "exit" | "physical">>;

/** A message of a node for the two seconds before `endS`. */
function message(name: keyof typeof OVERLAY, endS: number, lists: Lists): Message {
  const nodeOf = (each: keyof typeof OVERLAY) => ({
    nodeId: `id-${each}`,
    name: each,
    addresses: [OVERLAY[each]],
  });
  return {
    nodeId: `id-${name}`,
    startNs: BigInt(endS - 2) * SECOND_NS,
    endNs: BigInt(endS) * SECOND_NS,
    srcNode: nodeOf(name),
    dstNodes: NODES.filter((each) => each !== name).map(nodeOf),
    ...{ virtual: [], subnet: [], exit: [], physical: [], extension: {} },
    ...lists,
  };
}

const ALPHA = message("alpha", 10, {
  virtual: [
    row("100.64.0.1:40000", "100.64.0.2:80", 2, 4),
    row("100.64.0.1:40001", "100.64.0.2:80", 1, 1),
  ],
  subnet: [row("100.64.0.1:0", "10.20.0.10:0", 1, 1, 1)],
  exit: [row("100.64.0.1:50000", "198.51.100.10:53", 3, 2, 17)],
  physical: [row("100.64.0.2:0", "192.0.2.6:51820", 9, 8, 0)],
});
const BETA = message("beta", 10, {
  virtual: [row("100.64.0.2:80", "100.64.0.1:40000", 4, 2)],
  subnet: [row("10.20.0.10:0", "100.64.0.1:0", 1, 1, 1)],
  physical: [row("100.64.0.1:0", "192.0.2.2:51820", 8, 9, 0)],
});

function bookOf(...messages: readonly Message[]): FlowBook {
  const book = new FlowBook();
  for (const each of messages) book.add(each);
  return book;
}

const brief = (book: FlowBook) =>
  book.flows().map(({ className, proto, from, to, txBytes, rxBytes, reporters }) =>
    `${className} ${proto} ${from}>${to} ${txBytes} ${rxBytes} ${reporters.join("+")}`
  );

test("FlowBook joins a client's connections and both ends' reports, whichever comes first", () => {
  const wanted = [
    "virtual TCP alpha>beta:80 300 500 alpha+beta",
    "subnet ICMP alpha>10.20.0.10 100 100 alpha+beta",
    "exit UDP alpha>198.51.100.10:53 300 200 alpha",
    "physical  alpha>beta 900 800 alpha+beta",
  ];
  assert.deepEqual(brief(bookOf(ALPHA, BETA)), wanted);
  assert.deepEqual(brief(bookOf(BETA, ALPHA)), wanted);
});

test("FlowBook tells what one end alone reports from the client's side too", () => {
  assert.deepEqual(brief(bookOf(BETA)), [
    "virtual TCP alpha>beta:80 200 400 beta",
    "subnet ICMP alpha>10.20.0.10 100 100 beta",
    "physical  alpha>beta 900 800 beta",
  ]);
});

test("FlowBook has rates of the newest window only, and sums of all", () => {
  const book = bookOf(ALPHA);
  const http = () => book.flows()[0];
  assert.deepEqual([http().txRate, http().rxRate, http().connections], [150, 250, 2]);
  // A part of the same window adds to it, an older window to sums alone.
  const again = (endS: number, lists: Lists) => book.add(message("alpha", endS, lists));
  again(10, { virtual: [row("100.64.0.1:40002", "100.64.0.2:80", 1, 0)] });
  again(8, { virtual: [row("100.64.0.1:40003", "100.64.0.2:80", 10, 0)] });
  assert.deepEqual([http().txRate, http().txBytes, http().connections], [200, 1_400, 3]);
  assert.deepEqual(http().history, [900]);
  again(12, { exit: [row("100.64.0.1:50000", "198.51.100.10:53", 1, 1, 17)] });
  assert.deepEqual([http().txRate, http().txBytes, http().connections], [0, 1_400, 0]);
  assert.deepEqual(http().history, [900, 0]);
});

test("FlowBook keeps so many windows and no more", () => {
  const book = new FlowBook();
  for (let window = 1; window <= HISTORY_WINDOWS_MAX + 1; window++) {
    const lists = { virtual: [row("100.64.0.1:40000", "100.64.0.2:80", window, 0)] };
    book.add(message("alpha", 2 * window, lists));
    const { history } = book.flows()[0];
    assert.equal(history.length, Math.min(window, HISTORY_WINDOWS_MAX));
    assert.equal(history.at(-1), window * 100);
  }
});

test("FlowBook names what has no address, and takes the lower port for the service", () => {
  const book = bookOf(message("alpha", 10, {
    exit: [row("", "", 1, 1, 0), row("100.64.0.1:22", "198.51.100.10:8080", 1, 2)],
  }));
  assert.deepEqual(book.flows().map(({ from, to }) => `${from}>${to}`), [
    "198.51.100.10>alpha:22",
    "others>others",
  ]);
});

test("FlowBook takes ports from 32768 on for clients'", () => {
  const book = bookOf(message("alpha", 10, {
    virtual: [
      row("100.64.0.1:40000", "100.64.0.2:32767", 1, 1),
      row("100.64.0.1:40000", "100.64.0.2:32768", 1, 1),
    ],
  }));
  assert.deepEqual(book.flows().map(({ to }) => to), ["beta", "beta:32767"]);
});

test("flowTable() fits any width, and shows each flow and class in it", () => {
  const flows = bookOf(ALPHA, BETA).flows();
  for (let columns = 1; columns <= 220; columns++) {
    for (const isLive of [true, false]) {
      const lines = flowTable(flows, { columns, hasColor: false, isLive });
      assert.equal(lines.length, 1 + 4 + 4);
      for (const line of lines) assert.ok(line.length <= columns, `${columns}: "${line}"`);
    }
  }
});

test("flowTable() puts numbers below one another", () => {
  const flows = bookOf(ALPHA, BETA).flows();
  assert.deepEqual(
    flowTable(flows, { columns: 80, hasColor: false, isLive: true }),
    [
      "  PROTO FLOW                               TX/s     RX/s    TOTAL  SEEN BY",
      "virtual  between nodes                    150 B    250 B    800 B",
      "  TCP   alpha → beta:80                   150 B    250 B    800 B  alpha beta",
      "subnet  networks behind nodes              50 B     50 B    200 B",
      "  ICMP  alpha → 10.20.0.10                 50 B     50 B    200 B  alpha beta",
      "exit  internet behind exit nodes          150 B    100 B    500 B",
      "  UDP   alpha → 198.51.100.10:53          150 B    100 B    500 B  alpha",
      "physical  datagrams on the wire           450 B    400 B  1.70 kB",
      "        alpha → beta (192.0.2.6:51820)    450 B    400 B  1.70 kB  alpha beta",
    ],
  );
});

test("flowTable() has colours only where they are wanted, and they change no column", () => {
  const flows = bookOf(ALPHA, BETA).flows();
  const look = { columns: 140, isLive: true };
  const plain = flowTable(flows, { ...look, hasColor: false });
  const colored = flowTable(flows, { ...look, hasColor: true });
  const escape = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*m`, "g");
  assert.equal(plain.join("").includes("\x1b"), false);
  assert.notDeepEqual(colored, plain);
  assert.deepEqual(colored.map((line) => line.replace(escape, "")), plain);
});

test("siText() and bytesText() have three digits on both sides of each limit", () => {
  const cases: [number, string][] = [
    ...[[0, "0"], [1, "1"], [999, "999"], [999.4, "999"], [999.5, "1.00k"]] as const,
    ...[[9_994, "9.99k"], [9_995, "10.0k"], [99_940, "99.9k"], [99_950, "100k"]] as const,
    ...[[999_499, "999k"], [999_500, "1.00M"], [12_345_678, "12.3M"], [1e9, "1.00G"]] as const,
  ].map(([value, text]) => [value, text]);
  for (const [value, text] of cases) assert.equal(siText(value), text, String(value));
  assert.deepEqual([0, 840, 12_345].map(bytesText), ["-", "840 B", "12.3 kB"]);
});

test("siText() is at most five characters long, up to 1e18", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 9e17, noNaN: true }), (value) => {
      assert.ok(siText(value).length <= 5, siText(value));
    }),
    { seed: 1, numRuns: 2_000 },
  );
});

function screenOn(io: FakeIo, size = { columns: 80, rows: 24 }): Screen {
  const never = () => assert.fail("nobody went away");
  return new Screen({
    ...{ io, isLive: true, onGone: never },
    head: () => ["head ".repeat(40)],
    size: () => size,
  });
}

test("Screen redraws in place on a terminal, and shows the cursor again", () => {
  const io = new FakeIo({ isTerminal: true });
  const screen = screenOn(io);
  screen.add(ALPHA);
  assert.ok(io.out.startsWith("\x1b[?25l\r"));
  io.out = "";
  screen.add(BETA);
  assert.ok(io.out.startsWith("\x1b[10A\r"), JSON.stringify(io.out.slice(0, 20)));
  io.out = "";
  screen.close();
  assert.ok(io.out.endsWith("\x1b[?25h"));
});

test("Screen has no colours with NO_COLOR", () => {
  const io = new FakeIo({ isTerminal: true, env: { NO_COLOR: "1" } });
  screenOn(io).add(ALPHA);
  assert.equal(/\dm/.test(io.out), false);
  assert.match(io.out, /virtual {2}between nodes/);
});

test("Screen never draws more rows than there are, nor wider lines", () => {
  for (const rows of [4, 9, 10, 11, 12]) {
    const io = new FakeIo({ isTerminal: true, env: { NO_COLOR: "1" } });
    screenOn(io, { columns: 60, rows }).add(ALPHA);
    const lines = io.out.replace("\x1b[?25l\r", "").replaceAll("\x1b[K", "").split("\n").slice(
      0,
      -1,
    );
    assert.equal(lines.length, Math.min(10, rows - 1));
    for (const line of lines) assert.ok(line.length <= 60, line);
    assert.equal(
      /… (\d+) more lines/.exec(lines.at(-1)!)?.[1],
      {
        ...{ 4: "8", 9: "3", 10: "2" } as Record<number, string>,
      }[rows],
    );
  }
});

test("Screen appends lines elsewhere, and the table at the end", () => {
  const io = new FakeIo();
  const screen = screenOn(io, { columns: 78, rows: 24 });
  screen.add(BETA);
  screen.draw();
  assert.deepEqual(io.out.split("\n"), [
    "00:00:10  beta   virtual   TCP   alpha → beta:80                   tx   200 B  rx   400 B",
    "00:00:10  beta   subnet    ICMP  alpha → 10.20.0.10                tx   100 B  rx   100 B",
    "00:00:10  beta   physical        alpha → beta (192.0.2.2:51820)    tx   900 B  rx   800 B",
    "",
  ]);
  screen.close();
  assert.match(io.out, /\n\n {2}PROTO FLOW [^]*\nphysical .*\n.* beta\n$/);
});

test("Screen says when nobody reads any more", async () => {
  let isGone = false;
  const io = new FakeIo({ printsMax: 1 });
  const onGone = () => isGone = true;
  const screen = new Screen({ io, isLive: true, onGone, head: () => [] });
  screen.add(ALPHA);
  await Promise.resolve();
  assert.equal(isGone, false);
  screen.add(BETA);
  await Promise.resolve();
  assert.equal(isGone, true);
});

test("nodeConfig() writes files that nodes take, whose peers know each other", () => {
  const keys = makeKeys();
  const configs = NODES.map((name) =>
    parseNodeConfig(nodeConfig(name, keys, ["Period = 2"]), `/x/${name}.conf`)
  );
  assert.deepEqual(configs.map(({ friendlyName }) => friendlyName), [...NODES]);
  assert.deepEqual(configs.map(({ peers }) => peers.map(({ friendlyName }) => friendlyName)), [
    ["beta", "gamma"],
    ["alpha"],
    ["alpha"],
  ]);
  assert.deepEqual(configs.map(({ flowLog }) => [flowLog.periodMs, flowLog.exitMode]), [
    [2_000, "full"],
    [2_000, "full"],
    [2_000, "full"],
  ]);
  assert.deepEqual(configs.map(({ flowLog }) => flowLog.subnetRoutes.length), [0, 1, 1]);
});

test("demoCapture() is a whole file, in order, of the length that it states", () => {
  const times: number[] = [];
  const reader = new CaptureReader(({ wallMs, wireBytes, capturedBytes }) => {
    times.push(wallMs);
    assert.ok(capturedBytes <= 40 && wireBytes <= 1_420 && capturedBytes <= wireBytes);
  });
  reader.push(demoCapture(1_700_000_000_000));
  assert.equal(reader.end(), null);
  assert.ok(times.length > 10_000);
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
  assert.ok(times[0] >= 1_700_000_000_000);
  assert.ok(times.at(-1)! < 1_700_000_000_000 + CAPTURE_S * 1_000);
});

test("demo --pcap shows three classes by the names of their ends", async () => {
  const io = new FakeIo();
  assert.equal(await run(["--pcap"], io), 0);
  assert.match(io.out, /alpha {2}virtual +TCP +alpha → beta:80 /);
  assert.match(io.out, /alpha {2}subnet +ICMP +alpha → 10\.20\.0\.10 /);
  assert.match(io.out, /alpha {2}exit +UDP +alpha → 198\.51\.100\.10:53 /);
  // What was counted is all that was made: 12 echoes each way to each host, of 84 bytes.
  assert.equal(
    [...io.out.matchAll(/^ {2}ICMP .* 1\.01 kB {2}1\.01 kB {2}2\.02 kB +24 /gm)].length,
    3,
  );
  assert.match(io.err, /^tunlog: (\d+) packets: \1 counted/);
  assert.match(io.err, /^tunlog: 3 windows, 3 messages/m);
});

test("demo refuses options that make no sense", async () => {
  for (
    const args of [
      ["--seconds", "0"],
      ["--seconds", "86401"],
      ["--seconds", "1.5"],
      ["--port", "0"],
      ["--port", "65536"],
      ["--pcap", "--port", "1"],
      ["--pcap", "--seconds", "1"],
      ["more"],
    ]
  ) {
    const io = new FakeIo();
    assert.equal(await run(args, io), 2, args.join(" "));
    assert.equal(io.out, "");
  }
});
