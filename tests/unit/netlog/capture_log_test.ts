// Goal: the flow log of a capture holds every packet once, in the window of its time and on the right side; windows keep
// their laws whatever the times. Method: small captures by hand; random ones against sums and a twin that sorts by hand.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  CaptureLog,
  type CaptureLogOptions,
  type LoggedWindow,
  type Message,
  NO_NODES,
  NO_ROUTES,
  OverlayRanges,
  parseMessage,
} from "../../../src/netlog/mod.ts";
import { LocalSide } from "../../../src/netlog/local_side.ts";
import { LINK_TYPE } from "../../../src/packet/mod.ts";
import { parseTime } from "../../../src/time_text.ts";
import { ethernet, fragments, icmp, tcp, udp, udpDatagram } from "../../support/capture_writer.ts";
import { keyOf, prefix, routeConfig, SECRET } from "./support.ts";

/** 2023-11-14T22:13:20Z: a multiple of 5 s. */
const GRID_MS = 1_700_000_000_000;

interface Given {
  readonly bytes: Uint8Array;
  readonly wallMs: number;
  readonly linkType?: number;
  readonly wireBytes?: number;
}

function logOf(given: readonly Given[], options: Partial<CaptureLogOptions> = {}) {
  const windows: LoggedWindow[] = [];
  const log = new CaptureLog({
    local: [],
    routes: NO_ROUTES,
    overlay: new OverlayRanges(),
    nodes: NO_NODES,
    exitPolicy: { mode: "full" },
    hashSecret: SECRET,
    write: (window) => windows.push(window),
    flowsMax: 64,
    ...options,
  });
  for (const { bytes, wallMs, linkType = LINK_TYPE.RAW, wireBytes = bytes.length } of given) {
    // Poison around it.
    const around = new Uint8Array(bytes.length + 20).fill(0x45);
    around.set(bytes, 10);
    log.add({
      ...{ view: new DataView(around.buffer), offset: 10, capturedBytes: bytes.length },
      ...{ wireBytes, wallMs, linkType },
    });
  }
  log.end();
  const messages = windows.flatMap((window) =>
    window.messages.map(({ bytes }) => parseMessage(new TextDecoder().decode(bytes)))
  );
  return { totals: log.totals, windows, messages };
}

const OUT = { src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1000, dstPort: 80 };
const BACK = { src: "10.0.0.2", dst: "10.0.0.1", srcPort: 80, dstPort: 1000 };

function rowsOf({ virtual, subnet, exit }: Message): string[] {
  return [...virtual, ...subnet, ...exit].map((row) =>
    `${row.proto} ${row.src} ${row.dst} ${row.txPackets}/${row.txBytes} ${row.rxPackets}/${row.rxBytes}`
  );
}

test("CaptureLog folds both directions into one row, the first packet's source being local", () => {
  const { messages, totals } = logOf([
    { bytes: tcp(OUT, 2), wallMs: GRID_MS + 1 },
    { bytes: tcp(BACK, 0x12, 10), wallMs: GRID_MS + 2 },
    { bytes: udp(BACK, 3), wallMs: GRID_MS + 3 },
    { bytes: udp(OUT, 4), wallMs: GRID_MS + 4 },
    { bytes: icmp({ src: "fd00::1", dst: "fd00::2" }), wallMs: GRID_MS + 5 },
    { bytes: icmp({ src: "fd00::2", dst: "fd00::1" }, true, 2), wallMs: GRID_MS + 6 },
  ]);
  assert.equal(messages.length, 1);
  assert.deepEqual(rowsOf(messages[0]), [
    "6 10.0.0.1:1000 10.0.0.2:80 1/40 1/50",
    "17 10.0.0.2:80 10.0.0.1:1000 1/31 1/32",
    "58 [fd00::1]:0 [fd00::2]:0 1/48 1/50",
  ]);
  assert.equal(messages[0].extension.exitMode, "full");
  assert.deepEqual([totals.packets, totals.counted, totals.bytes, totals.rows], [6, 6, 251, 3]);
});

test("CaptureLog keeps a connection's side over windows", () => {
  const { messages } = logOf([
    { bytes: udp(OUT), wallMs: GRID_MS + 1 },
    { bytes: udp(BACK), wallMs: GRID_MS + 7_000 },
  ]);
  assert.deepEqual(messages.map(rowsOf), [
    ["17 10.0.0.1:1000 10.0.0.2:80 1/28 0/0"],
    ["17 10.0.0.1:1000 10.0.0.2:80 0/0 1/28"],
  ]);
});

test("CaptureLog goes by the local prefixes where they say something", () => {
  const given = [{ bytes: udp(BACK), wallMs: GRID_MS }, { bytes: udp(OUT), wallMs: GRID_MS }];
  const rows = (...local: string[]) =>
    rowsOf(logOf(given, { local: local.map(prefix) }).messages[0]);
  const ours = ["17 10.0.0.1:1000 10.0.0.2:80 1/28 1/28"];
  const theirs = ["17 10.0.0.2:80 10.0.0.1:1000 1/28 1/28"];
  assert.deepEqual(rows("10.0.0.1"), ours);
  assert.deepEqual(rows("10.0.0.2"), theirs);
  assert.deepEqual(rows("fd00::/8", "10.0.0.1/32"), ours);
  assert.deepEqual(rows("192.168.0.0/16"), theirs);
  // Both are ours: each direction is sent by us.
  assert.deepEqual(rows("10.0.0.0/8"), [
    "17 10.0.0.1:1000 10.0.0.2:80 1/28 0/0",
    "17 10.0.0.2:80 10.0.0.1:1000 1/28 0/0",
  ]);
});

test("LocalSide remembers connections within its bound", () => {
  const side = new LocalSide([], 2);
  const key = (n: number) => keyOf(17, `10.0.0.1:${n}`, "10.0.0.2:80");
  const back = (n: number) => keyOf(17, "10.0.0.2:80", `10.0.0.1:${n}`);
  assert.ok(side.isSource(key(1)));
  assert.ok(!side.isSource(back(1)));
  for (const n of [2, 3, 4]) assert.ok(side.isSource(key(n)));
  // 1 and 2 are among the older ones; what is met again is kept.
  assert.ok(!side.isSource(back(1)));
  for (const n of [5, 6, 7]) assert.ok(side.isSource(key(n)));
  assert.ok(!side.isSource(back(7)));
  assert.ok(side.isSource(back(2)), "forgotten");
  // Protocol, ports, families and both halves of addresses tell connections apart.
  const others = [
    keyOf(6, "10.0.0.2:80", "10.0.0.1:7"),
    keyOf(17, "10.0.0.2:81", "10.0.0.1:7"),
    keyOf(17, "10.0.0.2:80", "10.0.1.1:7"),
    keyOf(17, "[::ffff:10.0.0.2]:80", "[::ffff:10.0.0.1]:7"),
  ];
  for (const other of others) {
    const fresh = new LocalSide([]);
    fresh.isSource(key(7));
    assert.ok(fresh.isSource(other));
  }
  const six = new LocalSide([]);
  assert.ok(six.isSource(keyOf(17, "[fd00::1]:1", "[fd00:1::1]:2")));
  assert.ok(six.isSource(keyOf(17, "[fd00:1::1]:2", "[fd01::1]:1")));
  assert.ok(!six.isSource(keyOf(17, "[fd00:1::1]:2", "[fd00::1]:1")));
});

test("CaptureLog classifies by routes", () => {
  const { messages } = logOf(
    [
      { bytes: udp({ ...OUT, src: "100.64.0.1", dst: "100.64.0.2" }), wallMs: GRID_MS },
      { bytes: udp({ ...OUT, src: "100.64.0.1", dst: "192.168.1.2" }), wallMs: GRID_MS },
      { bytes: udp({ ...OUT, src: "100.64.0.1", dst: "8.8.8.8" }), wallMs: GRID_MS },
    ],
    { routes: routeConfig(["100.64.0.1"], ["100.64.0.0/10", "192.168.1.0/24", "0.0.0.0/0"]) },
  );
  const [{ virtual, subnet, exit, extension }] = messages;
  assert.deepEqual([virtual, subnet, exit].map((list) => list.map(({ dst }) => dst)), [
    ["100.64.0.2:80"],
    ["192.168.1.2:80"],
    ["8.8.8.8:80"],
  ]);
  assert.equal(extension.unknown, undefined);
});

test("CaptureLog cuts windows on the grid, and a packet at a window's end is in it", () => {
  const at = (wallMs: number) => ({ bytes: udp(OUT), wallMs });
  const labels = (given: readonly number[], options = {}) =>
    logOf(given.map(at), options).messages.map(({ startNs, endNs, exit }) => [
      Number(startNs - BigInt(GRID_MS) * 1_000_000n),
      Number(endNs - BigInt(GRID_MS) * 1_000_000n),
      Number(exit[0].txPackets),
    ]);
  const s = 1e9;
  assert.deepEqual(
    labels([GRID_MS + 1_000, GRID_MS + 5_000, GRID_MS + 5_000.001, GRID_MS + 6_000.5]),
    [[0.999 * s + 1, 5 * s, 2], [5 * s + 1, 6.001 * s, 2]],
  );
  // Idle windows are left out; a packet on the grid's very point belongs to the window that ends there.
  assert.deepEqual(labels([GRID_MS + 1_000, GRID_MS + 20_000]), [
    [0.999 * s + 1, 5 * s, 1],
    [15 * s + 1, 20 * s, 1],
  ]);
  assert.deepEqual(labels([GRID_MS]), [[-0.001 * s + 1, 0, 1]]);
  assert.deepEqual(labels([GRID_MS + 500, GRID_MS + 1_500], { periodMs: 1_000 }), [
    [0.499 * s + 1, 1 * s, 1],
    [1 * s + 1, 1.5 * s, 1],
  ]);
});

test("CaptureLog counts what comes out of order into the window under way", () => {
  const at = (wallMs: number) => ({ bytes: udp(OUT), wallMs });
  const { totals, messages } = logOf(
    [GRID_MS + 4_000, GRID_MS + 3_999.5, GRID_MS + 6_000, GRID_MS + 5_500, GRID_MS + 5_000, 0, NaN]
      .map(at),
  );
  assert.deepEqual(messages.map(({ exit }) => exit[0].txPackets), [2, 5]);
  // Before the window: at its start and at 1970; 3,999.5 is within the first's opening millisecond.
  assert.equal(totals.late, 2);
  assert.deepEqual(logOf([GRID_MS, GRID_MS - 1].map(at)).totals.late, 1);
});

test("CaptureLog keeps absurd times within what labels can say", () => {
  const times = [NaN, -1e300, 0, 1e12, Infinity, 1e300];
  const { totals, messages } = logOf(times.map((wallMs) => ({ bytes: udp(OUT), wallMs })));
  assert.equal(totals.counted, times.length);
  assert.deepEqual([messages[0].startNs, messages[0].endNs], [1n, 5_000_000_000n]);
  assert.equal(messages.at(-1)!.endNs, parseTime("9998-01-01T00:00:00Z"));
});

test("CaptureLog counts fragments under their first one's ports, each with its own length", () => {
  const parts = fragments({ ...OUT, proto: 17, payload: udpDatagram(OUT, 3000), id: 9 }, 1480);
  const { messages, totals } = logOf(parts.map((bytes) => ({ bytes, wallMs: GRID_MS })));
  const bytes = parts.reduce((sum, { length }) => sum + length, 0);
  assert.deepEqual(rowsOf(messages[0]), [`17 10.0.0.1:1000 10.0.0.2:80 3/${bytes} 0/0`]);
  assert.equal(totals.bytes, bytes);
});

test("CaptureLog counts the IP length: no padding, and all of what was cut off", () => {
  const padded = ethernet(udp(OUT));
  assert.equal(padded.length, 60);
  const long = ethernet(udp(OUT, 1000));
  const { messages, totals } = logOf([
    { bytes: padded, wallMs: GRID_MS, linkType: LINK_TYPE.ETHERNET },
    {
      bytes: long.slice(0, 64),
      wireBytes: long.length,
      wallMs: GRID_MS,
      linkType: LINK_TYPE.ETHERNET,
    },
    // A super-packet states no length.
    { bytes: udp(OUT, 100).with(2, 0).with(3, 0), wallMs: GRID_MS },
  ]);
  assert.equal(totals.bytes, 28 + 1028 + 128);
  assert.deepEqual(rowsOf(messages[0]), [
    "0 10.0.0.1:0 10.0.0.2:0 1/128 0/0",
    "17 10.0.0.1:1000 10.0.0.2:80 2/1056 0/0",
  ]);
});

test("CaptureLog tells what it could not count", () => {
  const given: Given[] = [
    { bytes: new Uint8Array(60), wallMs: GRID_MS, linkType: LINK_TYPE.ETHERNET },
    { bytes: udp(OUT), wallMs: GRID_MS, linkType: 147 },
    { bytes: Uint8Array.of(0x45, 0), wallMs: GRID_MS },
    { bytes: udp(OUT).slice(0, 19), wireBytes: 28, wallMs: GRID_MS },
    { bytes: udp(OUT), wallMs: GRID_MS },
  ];
  const { packets, counted, notIp, linkTypeUnknown, undecodable } = logOf(given).totals;
  assert.deepEqual([packets, counted, notIp, linkTypeUnknown, undecodable], [5, 1, 1, 1, 2]);
  const nothing = logOf([]);
  assert.deepEqual([nothing.windows, nothing.totals.packets], [[], 0]);
  assert.deepEqual(logOf(given.slice(0, 4)).windows, []);
});

test("CaptureLog shares rows beyond its flows, and loses no count", () => {
  const given = Array.from({ length: 200 }, (_, n) => ({
    bytes: udp({ ...OUT, srcPort: n + 1 }, n),
    wallMs: GRID_MS,
  }));
  const { totals, messages } = logOf(given);
  assert.ok(totals.foldedRows > 0);
  const rows = messages.flatMap(({ exit }) => exit);
  const sum = (name: "txPackets" | "txBytes") =>
    rows.reduce((total, row) => total + Number(row[name]), 0);
  assert.deepEqual([sum("txPackets"), sum("txBytes")], [200, totals.bytes]);
});

test("property: windows keep their laws, and hold every packet, whatever the order of times", () => {
  const packet = fc.record({
    port: fc.integer({ min: 1, max: 5 }),
    isBack: fc.boolean(),
    bytes: fc.nat(200),
    wallMs: fc.oneof(
      fc.double({ min: GRID_MS, max: GRID_MS + 30_000, noNaN: true }),
      fc.nat(30).map((seconds) => GRID_MS + seconds * 1_000),
      fc.constantFrom(NaN, 0, GRID_MS + 1e9),
    ),
  });
  let late = 0;
  fc.assert(
    fc.property(
      fc.array(packet, { minLength: 1, maxLength: 60 }),
      fc.constantFrom(1_000, 5_000, 60_000),
      fc.boolean(),
      (packets, periodMs, isSorted) => {
        const list = isSorted ? packets.toSorted((a, b) => a.wallMs - b.wallMs) : packets;
        const given = list.map(({ port, isBack, bytes, wallMs }) => ({
          bytes: udp(
            isBack ? { ...BACK, dstPort: port } : { ...OUT, srcPort: port },
            bytes,
          ),
          wallMs,
        }));
        const { totals, windows, messages } = logOf(given, { periodMs });
        let endNs = -(10n ** 18n);
        for (const window of windows) {
          assert.ok(window.startNs > endNs, "no window begins before the one before it ended");
          assert.ok(window.endNs >= window.startNs);
          assert.ok(window.endNs - window.startNs < BigInt(periodMs) * 1_000_000n);
          endNs = window.endNs;
        }
        const rows = messages.flatMap(({ exit }) => exit);
        const counted = rows.reduce(
          (sum, row) => sum + Number(row.txPackets) + Number(row.rxPackets),
          0,
        );
        const bytes = rows.reduce((sum, row) => sum + Number(row.txBytes) + Number(row.rxBytes), 0);
        assert.deepEqual([counted, bytes], [list.length, totals.bytes]);
        // Twin: each packet that is not older than one before it lies in a window that holds its time.
        let newestMs = -Infinity;
        for (const { wallMs } of list) {
          if (!(wallMs >= newestMs)) continue;
          newestMs = wallMs;
          const isHeld = windows.some(({ startNs, endNs }) =>
            wallMs * 1e6 >= Number(startNs) - 1_000 && wallMs * 1e6 <= Number(endNs) + 1_000
          );
          assert.ok(isHeld, `${wallMs}`);
        }
        late += totals.late;
      },
    ),
    { seed: 78, numRuns: 800 },
  );
  assert.ok(late > 100, `${late} late`);
});
