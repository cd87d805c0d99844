/**
 * Questions: how many handshakes a second does one core make, both roles counted together; what does it cost to find
 * the peer of a packet among 10, 1 k and 100 k AllowedIPs? Budgets: a node with 10,000 peers renews 83 sessions a
 * second, which should stay below a tenth of a core (1 ms each); a look-up below 100 ns at 1 k prefixes
 * (1 Mpps = 1000 ns a packet); at 100 k it is memory that is waited for, some 17 nodes one after the other.
 *
 * A handshake is initiation, response and the keepalive that confirms it, all four messages' macs included, between
 * two WireGuards in this process. Look-ups go to addresses drawn evenly from the prefixes, the worst order there is;
 * prefixes are /16 to /32 and /32 to /128, drawn at random with overlaps. The slow twin is given 10 and 1 k.
 *
 *   deno run -A tests/bench/handshake_bench.ts [rounds]        bun --no-install tests/bench/handshake_bench.ts
 */
import process from "node:process";
import type { CryptoPort } from "../../src/ports.ts";
import { type AllowedIp, WireGuard, type WireGuardEvents } from "../../src/wireguard/mod.ts";
import { AllowedIps } from "../../src/wireguard/allowed_ips.ts";
import { SeededRandom } from "../../src/platform/memory.ts";
import { AllowedIpsTwin } from "../reference/allowed_ips_twin.ts";
import { CRYPTO_PORTS } from "../support/crypto_ports.ts";
import { endpoint4, labBuffer } from "../support/wireguard_lab.ts";

/** One line of the result. */
export interface Measurement {
  readonly name: string;
  /** ns per operation, one for each round, sorted. */
  readonly ns: readonly number[];
  /** The same on every machine and runtime. */
  readonly checksum: number;
}

/** Initiations of one peer are at least this far apart, else they would be taken for a flood. */
const APART_MS = 200_000;
/** Look-ups take turns among this many packets. */
const PACKETS = 65_536;
const PACKET_BYTES = 40;

/** Two WireGuards; what one sends the other receives at once. */
class Pair {
  /** Handshakes that both ends have finished. */
  completed = 0;
  readonly #wireguards: readonly WireGuard[];
  #nowMs = 0;

  constructor(crypto: CryptoPort) {
    const endpoint = endpoint4(0x7f000001);
    const result = new Uint32Array(3);
    const buffer = labBuffer(256);
    const make = (side: number): WireGuard => {
      const events: WireGuardEvents = {
        send: (_peer, bytes) => {
          buffer.bytes.set(bytes);
          const other = this.#wireguards[1 - side];
          other.setTime(this.#nowMs, this.#nowMs);
          other.receive(buffer, 0, bytes.length, endpoint, 0, result);
        },
        sessionReady: () => {
          if (side === 1) this.completed++;
          return 0;
        },
        sessionFailed: () => {},
      };
      const wireguard = new WireGuard({ crypto, events });
      wireguard.configure({ privateKey: new Uint8Array(32).fill(side + 1) }, 0, 0);
      return wireguard;
    };
    this.#wireguards = [make(0), make(1)];
    for (const side of [0, 1]) {
      const { publicKey } = this.#wireguards[1 - side].snapshot();
      this.#wireguards[side].configure({ peers: [{ publicKey, endpoint }] }, 0, 0);
    }
  }

  handshake(): void {
    const [initiator] = this.#wireguards;
    const [peer] = initiator.peers();
    this.#nowMs += APART_MS;
    initiator.setTime(this.#nowMs, this.#nowMs);
    initiator.seal(peer, labBuffer(256), 16, PACKET_BYTES);
  }
}

/** Measures full handshakes. */
export function measureHandshakes(
  crypto: CryptoPort,
  options: { rounds: number; handshakes: number },
): Measurement {
  const pair = new Pair(crypto);
  const ns: number[] = [];
  // The first round warms the code; it is not counted.
  for (let round = 0; round <= options.rounds; round++) {
    const startMs = performance.now();
    for (let count = 0; count < options.handshakes; count++) pair.handshake();
    const tookNs = (performance.now() - startMs) * 1e6 / options.handshakes;
    if (round > 0) ns.push(tookNs);
  }
  ns.sort((a, b) => a - b);
  return { name: `handshake, ${crypto.name}`, ns, checksum: pair.completed };
}

/** Random prefixes of one family, with overlaps. */
function drawPrefixes(family: 4 | 6, count: number): AllowedIp[] {
  const random = new SeededRandom(count);
  return Array.from({ length: count }, () => {
    if (family === 4) {
      const addressWords = Uint32Array.of(0, 0, 0xffff, 0x0a000000 | random.below(0x1000000));
      return { family, addressWords, prefixBits: 16 + random.below(17) };
    }
    const addressWords = Uint32Array.from({ length: 4 }, () => random.word());
    addressWords[0] = 0xfd000000 | random.below(0x10000);
    return { family, addressWords, prefixBits: 32 + random.below(97) };
  });
}

/** Destinations within the prefixes, as packets of 16 bytes each. */
function drawDestinations(prefixes: readonly AllowedIp[]): DataView {
  const random = new SeededRandom(7);
  const view = new DataView(new ArrayBuffer(PACKETS * 16));
  for (let packet = 0; packet < PACKETS; packet++) {
    const { family, addressWords } = prefixes[random.below(prefixes.length)];
    addressWords.forEach((word, index) => {
      if (family === 6) view.setUint32(packet * 16 + index * 4, word);
      else if (index === 3) view.setUint32(packet * 16, word);
    });
  }
  return view;
}

/** Measures look-ups of the trie, or of its slow twin. */
export function measureLookups(
  family: 4 | 6,
  prefixCount: number,
  options: { rounds: number; lookups: number; twin: boolean },
): Measurement {
  const prefixes = drawPrefixes(family, prefixCount);
  const view = drawDestinations(prefixes);
  const table = new AllowedIps();
  const twin = new AllowedIpsTwin();
  prefixes.forEach((entry, index) => {
    table.add(entry, index & 0xffff);
    if (options.twin) twin.add(entry, index & 0xffff);
  });
  const ns: number[] = [];
  let checksum = 0;
  for (let round = 0; round <= options.rounds; round++) {
    const startMs = performance.now();
    checksum = 0;
    for (let count = 0; count < options.lookups; count++) {
      const offset = (count & (PACKETS - 1)) * 16;
      if (options.twin) checksum += twin.find(family, twinAddress(family, view, offset));
      else if (family === 4) checksum += table.find4(view, offset);
      else checksum += table.find6(view, offset);
    }
    const tookNs = (performance.now() - startMs) * 1e6 / options.lookups;
    if (round > 0) ns.push(tookNs);
  }
  ns.sort((a, b) => a - b);
  const what = options.twin ? "look-up by the twin" : "look-up";
  return { name: `${what}, v${family}, ${prefixCount} prefixes`, ns, checksum };
}

function twinAddress(family: 4 | 6, view: DataView, offset: number): bigint {
  return family === 4
    ? BigInt(view.getUint32(offset))
    : view.getBigUint64(offset) << 64n | view.getBigUint64(offset + 8);
}

function print({ name, ns, checksum }: Measurement): void {
  const at = (part: number): string => {
    const value = ns[Math.round((ns.length - 1) * part)];
    return value >= 10_000 ? `${(value / 1000).toFixed(0)} µs` : `${value.toFixed(1)} ns`;
  };
  const perSecond = ns[0] >= 10_000 ? `, ${Math.round(1e9 / ns[ns.length >> 1])} a second` : "";
  console.log(
    `${name.padEnd(40)} ${at(0.5).padStart(9)}  (${at(0.1)} - ${at(0.9)})${perSecond}` +
      `  checksum ${checksum}`,
  );
}

function main(): void {
  const rounds = Number(process.argv[2] ?? 7);
  console.log(`${process.versions.bun === undefined ? "Deno" : "Bun"}; median (p10 - p90)`);
  for (const crypto of CRYPTO_PORTS) {
    print(measureHandshakes(crypto, { rounds, handshakes: 200 }));
  }
  for (const family of [4, 6] as const) {
    for (const prefixes of [10, 1_000, 100_000]) {
      print(measureLookups(family, prefixes, { rounds, lookups: 2_000_000, twin: false }));
      // The twin's time grows with the number of prefixes: 100 k would take minutes.
      if (prefixes > 1_000) continue;
      print(measureLookups(family, prefixes, { rounds, lookups: 2_000, twin: true }));
    }
  }
}

if (import.meta.main) main();
