// Goal: a status survives JSON unchanged, reads like `wg show`, and shows each drop with its meaning. Method: one full
// literal status; every member taken away in turn.
import assert from "node:assert/strict";
import { test } from "node:test";
import { COUNTER_INFO, COUNTER_NAMES, Counters } from "../../../src/counters.ts";
import {
  type ControlReply,
  formatControlReply,
  formatControlRequest,
  parseControlReply,
  parseControlRequest,
} from "../../../src/node/control.ts";
import { type ControlBackend, controlProtocol } from "../../../src/node/control_server.ts";
import {
  bytesText,
  durationText,
  formatStatus,
  type NodeStatus,
} from "../../../src/node/status.ts";

const WALL_MS = 1_700_000_100_000;

const STATUS: NodeStatus = {
  interfaceName: "wg0",
  friendlyName: "hub",
  publicKey: "1QZ34G8tmftDIt0As+6qM0JgVBCdVUwbmxo2lLToe1w=",
  listenPort: 51820,
  fwmark: 0xca6c,
  mtuBytes: 1420,
  addresses: ["10.0.0.1/24", "fd00::1/64"],
  runtime: "deno 2.9.6",
  cryptoName: "libcrypto 3.0.17",
  offloads: [],
  workers: [5],
  processId: 42,
  startedWallMs: WALL_MS - 3_723_000,
  peers: [{
    publicKey: "old",
    friendlyName: null,
    hasPresharedKey: false,
    endpoint: null,
    allowedIps: [],
    lastHandshakeWallMs: 0,
    txBytes: 0,
    rxBytes: 0,
    persistentKeepaliveS: 0,
    roams: 0,
    physicalTx: { packets: 0, bytes: 0 },
    physicalRx: { packets: 0, bytes: 0 },
  }, {
    publicKey: "new",
    friendlyName: "Alice",
    hasPresharedKey: true,
    endpoint: "192.0.2.1:5",
    allowedIps: ["10.0.0.2/32", "::/0"],
    lastHandshakeWallMs: WALL_MS - 61_500,
    txBytes: 1023,
    rxBytes: 1536,
    persistentKeepaliveS: 25,
    roams: 2,
    physicalTx: { packets: 3, bytes: 1200 },
    physicalRx: { packets: 1, bytes: 1700 },
  }],
  counters: {
    ...new Counters().values(),
    tunRead: { packets: 9, bytes: 900 },
    outNoRoute: { packets: 1, bytes: 40 },
    inReplay: { packets: 2, bytes: 300 },
  },
  link: { rxPackets: 1, rxBytes: 2, rxDropped: 3, txPackets: 4, txBytes: 5, txDropped: 6 },
  flowLog: {
    virtual: { txPackets: 8, txBytes: 860, rxPackets: 1, rxBytes: 84 },
    physical: { txPackets: 3, txBytes: 1200, rxPackets: 1, rxBytes: 1700 },
    classes: {
      virtual: { txPackets: 5, txBytes: 500, rxPackets: 0, rxBytes: 0 },
      subnet: { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 },
      exit: { txPackets: 3, txBytes: 360, rxPackets: 1, rxBytes: 84 },
      unknown: { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 },
      physical: { txPackets: 3, txBytes: 1200, rxPackets: 1, rxBytes: 1700 },
    },
    windows: 7,
    messages: 8,
    rows: 3,
    foldedRows: 1,
    windowsFailed: 1,
    lines: { lines: 6, linesFailed: 2, lastError: "disk full" },
    collector: {
      url: "http://192.0.2.9:8080",
      collection: "tunlog",
      publicId: "6c60a9e0",
      compression: "zstd-wasm",
      delivery: {
        lastSuccessWallMs: WALL_MS - 7_000,
        lastProblem: "status is 503",
        failuresInRow: 2,
        uploads: 9,
        uploadsFailed: 2,
        entriesDelivered: 6,
        bodyBytes: 4096,
        sentBytes: 512,
        nextTryWallMs: WALL_MS + 30_000,
      },
      waitingEntries: 1,
      waitingBytes: 2048,
      waitingBytesMax: 268_435_456,
      where: "memory",
      diskError: "no space left",
      lost: {
        full: { entries: 3, packets: 30, bytes: 4096, complete: true },
        killed: { entries: 0, packets: 0, bytes: 0, complete: false },
      },
    },
  },
  waitingPackets: 2,
  warnings: ["DNS is not applied"],
};

test("formatStatus() says how packets were shared out between workers", () => {
  const textOf = (workers: number[]) =>
    formatStatus({ ...STATUS, workers }, { color: false, wallMs: WALL_MS });
  assert.match(textOf([3, 1]), /^ {2}workers: 2 \(75 %, 25 % of packets\)$/m);
  assert.match(textOf([0, 0, 0]), /^ {2}workers: 3$/m);
});

test("formatStatus() writes a status in the style of wg show", () => {
  assert.equal(
    formatStatus(STATUS, { color: false, wallMs: WALL_MS }),
    `interface: wg0 (hub)
  public key: 1QZ34G8tmftDIt0As+6qM0JgVBCdVUwbmxo2lLToe1w=
  listening port: 51820
  fwmark: 0xca6c
  addresses: 10.0.0.1/24, fd00::1/64
  mtu: 1420
  runtime: deno 2.9.6, libcrypto 3.0.17, process 42
  offloads: none
  workers: 1
  up for: 1 hour, 2 minutes, 3 seconds

peer: new (Alice)
  preshared key: (hidden)
  endpoint: 192.0.2.1:5 (moved 2 times)
  allowed ips: 10.0.0.2/32, ::/0
  latest handshake: 1 minute, 1 second ago
  transfer: 1.50 KiB received, 1023 B sent
  datagrams: 1 datagram received, 3 sent
  persistent keepalive: every 25 seconds

peer: old
  allowed ips: (none)

flow log
  windows: 7
  rows: 3 (1 folded)
  counted: 1 packet (84 B) received, 8 packets (860 B) sent
  virtual: 0 B received, 500 B sent
  exit: 84 B received, 360 B sent
  physical: 1.66 KiB received, 1.17 KiB sent
  windows not made: 1
  lines not written: 2: disk full
  waiting: 2 packets for a session

collector: http://192.0.2.9:8080 (tunlog)
  stream: 6c60a9e0
  last upload: 7 seconds ago
  delivered: 6 entries, 4.00 KiB sent as 512 B (zstd-wasm)
  queue: 1 entry, 2.00 KiB of 256.00 MiB in memory
  failing: 2 times in a row, next try in 30 seconds: status is 503
  spool: no space left
  lost: 3 entries with 30 packets (4.00 KiB): full
  lost: an unknown amount: killed

dropped
  outNoRoute: 1 packet (40 B): ${COUNTER_INFO.outNoRoute.meaning}
  inReplay: 2 packets (300 B): ${COUNTER_INFO.inReplay.meaning}

warning: DNS is not applied
`,
  );
});

test("formatStatus() leaves out what there is nothing to say of", () => {
  const quiet: NodeStatus = {
    ...STATUS,
    fwmark: 0,
    peers: [],
    warnings: [],
    waitingPackets: 0,
    counters: new Counters().values(),
    flowLog: { ...STATUS.flowLog, windowsFailed: 0, lines: null, collector: null },
  };
  const text = formatStatus(quiet, { color: false, wallMs: WALL_MS });
  for (const absent of ["fwmark", "peer", "dropped", "warning", "waiting", "not ", "collector"]) {
    assert.ok(!text.includes(absent), absent);
  }
});

test("formatStatus() colours only when asked, and changes nothing else", () => {
  const colored = formatStatus(STATUS, { color: true, wallMs: WALL_MS });
  assert.ok(colored.includes("\x1b[32;1mwg0 (hub)\x1b[0m"));
  // deno-lint-ignore no-control-regex -- the colours are what is taken out.
  const plain = colored.replace(/\x1b\[[0-9;]*m/g, "");
  assert.equal(plain, formatStatus(STATUS, { color: false, wallMs: WALL_MS }));
});

test("formatStatus() says so when a handshake lies in the future", () => {
  const text = formatStatus(STATUS, { color: false, wallMs: WALL_MS - 100_000 });
  assert.match(text, /latest handshake: in the future/);
});

test("bytesText() and durationText() write numbers as wg does", () => {
  assert.deepEqual([0, 1023, 1024, 1048575, 1048576, 2 ** 50, 2 ** 61].map(bytesText), [
    ...["0 B", "1023 B", "1.00 KiB", "1024.00 KiB", "1.00 MiB", "1.00 PiB", "2048.00 PiB"],
  ]);
  assert.deepEqual([0, 1.9, 60, 86_401, 365 * 86_400 + 3600].map(durationText), [
    ...["0 seconds", "1 second", "1 minute", "1 day, 1 second", "1 year, 1 hour"],
  ]);
});

// ---- Control protocol -----------------------------------------------------------------------------------------------

test("parseControlReply() reads back what formatControlReply() wrote", () => {
  const replies: ControlReply[] = [
    { op: "status", status: STATUS },
    { op: "status", status: { ...STATUS, friendlyName: null, link: null } },
    { op: "down" },
    { op: "reload", warnings: ["a", "b"] },
    { op: "failed", error: "x\ny" },
  ];
  for (const reply of replies) {
    const line = formatControlReply(reply);
    assert.equal(line.indexOf("\n"), line.length - 1);
    assert.deepEqual(parseControlReply(line.slice(0, -1)), reply);
  }
  for (const op of ["status", "down", "reload"] as const) {
    assert.equal(parseControlRequest(formatControlRequest(op)), op);
  }
});

test("parseControlReply() passes over members that it does not know", () => {
  const reply = JSON.parse(formatControlReply({ op: "status", status: STATUS }));
  reply.status.later = 1;
  reply.status.peers[0].later = 1;
  assert.deepEqual(parseControlReply(JSON.stringify(reply)), { op: "status", status: STATUS });
});

test("parseControlReply() names the member that is missing or of another kind", () => {
  for (const name of Object.keys(STATUS)) {
    const broken = { ...STATUS, [name]: undefined } as unknown as NodeStatus;
    assert.throws(
      () => parseControlReply(formatControlReply({ op: "status", status: broken })),
      (error) => error instanceof TypeError && error.message.includes(`reply.status.${name}`),
      name,
    );
  }
  for (const counter of COUNTER_NAMES) {
    const counters = { ...STATUS.counters, [counter]: { packets: -1, bytes: 0 } };
    const line = formatControlReply({ op: "status", status: { ...STATUS, counters } });
    assert.throws(() => parseControlReply(line), new RegExp(`counters\\.${counter}\\.packets`));
  }
});

test("parseControlRequest() and parseControlReply() refuse what is not theirs", () => {
  const bad = ["", "x", "null", "[]", "{}", '{"op":"status"}', '{"version":2,"op":"status"}'];
  bad.push('{"version":1}', '{"version":1,"op":"toString"}', '{"version":1,"op":["status"]}');
  for (const line of bad) {
    assert.throws(() => parseControlRequest(line), TypeError, line);
    assert.throws(() => parseControlReply(line), TypeError, line);
  }
  assert.throws(() => parseControlRequest('{"version":2,"op":"status"}'), /different versions/);
});

test("controlProtocol() calls the backend, and turns what it throws into a reply", async () => {
  const calls: string[] = [];
  const backend: ControlBackend = {
    status: () => Promise.resolve(STATUS),
    reload: () => Promise.reject(new Error("wg0.conf:3: bad")),
    down: () => {
      calls.push("down");
      return Promise.resolve();
    },
  };
  const protocol = controlProtocol(backend);
  const ask = async (line: string) => parseControlReply((await protocol.answer(line)).text);
  assert.deepEqual(await ask(formatControlRequest("status")), { op: "status", status: STATUS });
  assert.deepEqual(await ask(formatControlRequest("down")), { op: "down" });
  assert.deepEqual(calls, ["down"]);
  assert.deepEqual(await ask(formatControlRequest("reload")), {
    op: "failed",
    error: "wg0.conf:3: bad",
  });
  assert.match(JSON.stringify(await ask("nonsense")), /must be JSON/);
  assert.match(protocol.refusal(90), /errno is 90/);
});
