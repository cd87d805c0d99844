/**
 * Question: what does it cost to classify and encode one flow, by number of routes and of flows? Budget: 1.2 µs a flow,
 * flat in the number of routes (the original: 8.5 µs at 10, 45 µs at 1,000).
 *
 * Traffic `peers`: 65 % between the node and up to 40 peers (a quarter of it IPv6), 20 % to hosts behind routes, 15 % to
 * 500 hosts of the internet; random ports, a few big counters. Traffic `distinct`: the same, but no address stands in two
 * flows. A round is one window: WindowEncoder.add() for each flow, encode() to finished messages with node objects,
 * clear(). What hands over the rows, a copy of ten words, is part of it.
 *
 *   deno run -A tests/bench/classify_bench.ts [rounds] [exit mode]
 *   bun --no-install tests/bench/classify_bench.ts
 */
import process from "node:process";
import {
  HASH_SECRET_WORDS,
  KEY,
  KEY_DST_V6,
  KEY_SRC_V6,
  KEY_WORDS,
  parsePrefix,
  type Prefix,
} from "../../src/packet/mod.ts";
import {
  Classifier,
  EXIT_MODES,
  type ExitPolicy,
  NodeDirectory,
  OverlayRanges,
  type RouteConfig,
  RouteTable,
  WindowEncoder,
} from "../../src/netlog/mod.ts";

/** What the traffic is made of. */
export type Mix = "peers" | "distinct";

/** One line of the result. */
export interface Measurement {
  readonly mix: Mix;
  readonly routes: number;
  readonly flows: number;
  /** ns per flow, one for each round, sorted. */
  readonly nsPerFlow: readonly number[];
  readonly messages: number;
  readonly messageBytes: number;
  /** Of the messages' bytes: the same on every machine and runtime. */
  readonly checksum: number;
}

const PEERS = 40;
const INTERNET_HOSTS = 500;
const SELF_4 = 0x64400001;
const ULA = [0xfd7a115c, 0xa1e00000, 0] as const;
const SUBNETS = 0x0a000000;

/** Numbers in an order that is the same in every run. */
function makeRandom(): (below: number) => number {
  let state = 12345;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    // By the high bits: the low ones of this generator repeat soon.
    return Math.floor((state >>> 0) * below / 2 ** 32);
  };
}

function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === null) throw new RangeError(`Not a prefix: ${text}`);
  return prefix;
}

/** Peers that have a route of their own: up to half of all routes. */
function peersOf(routes: number): number {
  return Math.min(PEERS, routes >>> 1);
}

/** Overlay and peers, and as many /24 networks behind them as there are routes left. */
function makeRoutes(mix: Mix, routes: number): RouteConfig {
  const route = (text: string, peer: number) => ({ prefix: prefixOf(text), peer: `peer${peer}` });
  const wide = ["fd7a:115c:a1e0::/48", ...(mix === "peers" ? [] : ["100.64.0.0/10", "10.0.0.0/8"])];
  const peers = Array.from(
    { length: mix === "peers" ? peersOf(routes) : 0 },
    (_, peer) => route(`100.64.0.${peer + 2}/32`, peer),
  );
  const subnets = Array.from(
    { length: routes - peers.length - wide.length },
    (_, n) => route(`10.${n >>> 8}.${n & 0xff}.0/24`, n % PEERS),
  );
  return {
    localAddresses: [prefixOf("100.64.0.1/32"), prefixOf("fd7a:115c:a1e0::1/128")],
    routes: [...peers, ...wide.map((text) => route(text, 0)), ...subnets],
    subnetRoutes: [],
  };
}

function makeNodes(): NodeDirectory {
  const facts = (host: number) => ({
    nodeId: `node${host}`,
    name: `node${host}.example.net.`,
    addresses: [prefixOf(`100.64.0.${host}/32`), prefixOf(`fd7a:115c:a1e0::${host.toString(16)}`)],
    os: "linux",
  });
  return new NodeDirectory(facts(1), Array.from({ length: PEERS }, (_, peer) => facts(peer + 2)));
}

/** Writes an IPv4 address into a key at `at`. */
function set4(keys: Uint32Array, at: number, word: number): void {
  keys.set([0, 0, 0xffff, word], at);
}

/** Keys of flows, KEY_WORDS each. */
function makeKeys(mix: Mix, flows: number, routes: number): Uint32Array {
  const random = makeRandom();
  const peers = peersOf(routes);
  const subnets = Math.min(200, routes - peers - 1);
  const keys = new Uint32Array(flows * KEY_WORDS);
  for (let flow = 0; flow < flows; flow++) {
    const at = flow * KEY_WORDS;
    const kind = random(100);
    const isV6 = kind < 16;
    keys[at + KEY.HEAD] = (random(10) < 7 ? 6 : 17) | (isV6 ? KEY_SRC_V6 | KEY_DST_V6 : 0);
    keys[at + KEY.PORTS] = random(2 ** 32);
    const isDistinct = mix === "distinct";
    if (isV6) {
      keys.set([...ULA, isDistinct ? flow : 1], at + KEY.SRC);
      keys.set([...ULA, isDistinct ? flow + 2 ** 24 : random(peers) + 2], at + KEY.DST);
      continue;
    }
    set4(keys, at + KEY.SRC, isDistinct ? SELF_4 + flow : SELF_4);
    if (isDistinct) {
      set4(
        keys,
        at + KEY.DST,
        (kind < 65 ? SELF_4 : kind < 85 ? SUBNETS : 0x08080000) + flow + 2 ** 20,
      );
    } else if (kind < 65) set4(keys, at + KEY.DST, SELF_4 + 1 + random(peers));
    else if (kind < 85) set4(keys, at + KEY.DST, SUBNETS + random(subnets * 256));
    else set4(keys, at + KEY.DST, 0x08080000 + random(INTERNET_HOSTS) * 257);
  }
  return keys;
}

/** A row of the kind that FlowReader gives: one object for all. */
function makeRow() {
  return {
    key: new Uint32Array(KEY_WORDS),
    txPackets: 0,
    txBytes: 0,
    rxPackets: 0,
    rxBytes: 0,
    folded: false,
    other: false,
  };
}

/** Adds every flow. */
function addAll(encoder: WindowEncoder, keys: Uint32Array, row: ReturnType<typeof makeRow>): void {
  const flows = keys.length / KEY_WORDS;
  const { key } = row;
  for (let flow = 0; flow < flows; flow++) {
    const at = flow * KEY_WORDS;
    for (let word = 0; word < KEY_WORDS; word++) key[word] = keys[at + word];
    row.txPackets = 1 + (flow & 63);
    row.txBytes = row.txPackets * 1_400;
    row.rxPackets = flow & 127;
    row.rxBytes = row.rxPackets * ((flow & 1023) === 0 ? 2 ** 33 : 90);
    encoder.add(row, false);
  }
}

/** A policy of each name. */
function policyOf(mode: string): ExitPolicy {
  const known = EXIT_MODES.find((name) => name === mode);
  if (known === undefined) throw new RangeError(`No exit mode "${mode}"`);
  if (known !== "keyed") return { mode: known };
  // Nothing but the look of a PRF: what is measured is how often it is asked.
  return { mode: known, prf: (input) => new Uint8Array(32).fill(input[2] ^ input[1]) };
}

/** Measures one mix, number of routes and number of flows. */
export function measure(
  mix: Mix,
  { routes, flows, rounds, exitMode = "zero" }: {
    routes: number;
    flows: number;
    rounds: number;
    exitMode?: string;
  },
): Measurement {
  const secret = Uint32Array.from(
    { length: HASH_SECRET_WORDS },
    (_, word) => Math.imul(word + 1, 0x9e3779b9),
  );
  const encoder = new WindowEncoder(secret, policyOf(exitMode));
  const view = {
    classifier: new Classifier([new RouteTable(makeRoutes(mix, routes))], new OverlayRanges()),
    nodes: makeNodes(),
    window: { startNs: 1_700_000_000_000_000_000n, endNs: 1_700_000_004_999_999_999n },
  };
  const keys = makeKeys(mix, flows, routes);
  const row = makeRow();
  const nsPerFlow: number[] = [];
  let messages = 0;
  let messageBytes = 0;
  let checksum = 0;
  // The first round makes room and warms the code; it is not counted.
  for (let round = 0; round <= rounds; round++) {
    const startMs = performance.now();
    addAll(encoder, keys, row);
    const parts = encoder.encode(view);
    encoder.clear();
    const ms = performance.now() - startMs;
    if (round > 0) nsPerFlow.push(ms * 1e6 / flows);
    if (round < rounds) continue;
    messages = parts.length;
    for (const { bytes } of parts) {
      messageBytes += bytes.length;
      for (const byte of bytes) checksum = (Math.imul(checksum, 31) + byte) | 0;
    }
  }
  nsPerFlow.sort((a, b) => a - b);
  return { mix, routes, flows, nsPerFlow, messages, messageBytes, checksum };
}

function main(): void {
  const [rounds = "15", exitMode = "zero"] = process.argv.slice(2);
  const runtime = process.versions.bun === undefined ? "Deno" : "Bun";
  console.log(
    `classify + encode, ns per flow (exit mode ${exitMode}, ${runtime}); median (p10 - p90)`,
  );
  for (const mix of ["peers", "distinct"] as const) {
    for (const flows of [1_000, 10_000, 100_000]) {
      for (const routes of [10, 100, 1_000, 10_000]) {
        // Small windows are over too soon for the clock and the compiler.
        const factor = flows === 1_000 ? 20 : flows === 10_000 ? 3 : 1;
        const result = measure(mix, { routes, flows, rounds: Number(rounds) * factor, exitMode });
        const ns = result.nsPerFlow;
        const at = (part: number) => ns[Math.round((ns.length - 1) * part)].toFixed(0);
        console.log(
          `${mix.padEnd(8)} ${String(flows).padStart(7)} flows ${
            String(routes).padStart(6)
          } routes ` +
            ` ${at(0.5).padStart(5)}  (${at(0.1)} - ${at(0.9)})  ${result.messages} messages, ` +
            `${result.messageBytes} bytes, checksum ${result.checksum}`,
        );
      }
    }
  }
}

if (import.meta.main) main();
