// Goal: what a stranger or an eavesdropper sends changes nothing: not what is sent, not when, not any state that shows.
// Method: each run is made twice with the same seed, once with hostile datagrams in between; both must leave the same
// trace, byte for byte. Hostile are random bytes, and messages overheard: repeated, cut, lengthened, altered.
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { RECEIVE, RECEIVE_REJECTED } from "../../../src/wireguard/mod.ts";
import { SeededRandom } from "../../../src/platform/memory.ts";
import { hexText } from "../../support/hex.ts";
import { endpoint4, labBuffer, type LabNode, WireGuardLab } from "../../support/wireguard_lab.ts";

const SEED = 5;
const STEPS = 40;
const STRANGER = endpoint4(0xcb007109, 4242);
const BUFFER_BYTES = 4096;
const DELAY_MS = 5;
/** Long enough for a message, its cut and its lengthened forms. */
const DATAGRAM_BYTES_MAX = 2000;

/** How a hostile datagram is made: from `bytes` alone, or from an overheard message. */
interface Attack {
  readonly kind: "random" | "typed" | "repeat" | "cut" | "lengthen" | "flip" | "index";
  /** Step of the run before which it comes in. */
  readonly step: number;
  readonly toFirst: boolean;
  /** Which of the overheard messages, counted from the last. */
  readonly which: number;
  readonly bytes: Uint8Array;
}

const attack: fc.Arbitrary<Attack> = fc.record({
  kind: fc.constantFrom("random", "typed", "repeat", "cut", "lengthen", "flip", "index"),
  step: fc.integer({ min: 0, max: STEPS - 1 }),
  toFirst: fc.boolean(),
  which: fc.integer({ min: 0, max: 12 }),
  bytes: fc.uint8Array({ minLength: 4, maxLength: DATAGRAM_BYTES_MAX, size: "max" }),
}, { noNullPrototype: true });

function makeDatagram(
  { kind, which, bytes }: Attack,
  overheard: readonly Uint8Array[],
): Uint8Array {
  if (kind === "random") return bytes;
  if (kind === "typed") {
    const lengths = [148, 92, 64, 32 + (bytes[1] & 0x3f) * 16];
    const type = bytes[0] & 3;
    const datagram = new Uint8Array(lengths[type]);
    datagram.set(bytes.subarray(0, datagram.length));
    datagram.set([type + 1, 0, 0, 0]);
    return datagram;
  }
  const message = overheard.at(-1 - which % Math.max(1, overheard.length));
  if (message === undefined) return bytes;
  const position = (bytes[0] | bytes[1] << 8) % message.length;
  switch (kind) {
    case "repeat":
      return message;
    case "cut":
      return message.slice(0, position);
    case "lengthen":
      return Uint8Array.of(...message, ...bytes.subarray(0, 1 + (bytes[2] & 31)));
    case "flip": {
      const altered = message.slice();
      altered[position] ^= 1 << (bytes[2] & 7);
      return altered;
    }
    default: {
      // A message of another session or handshake than its number says.
      const altered = message.slice();
      altered.set(bytes.subarray(0, 4), message[0] === 2 ? 8 : 4);
      return altered;
    }
  }
}

/** Plays traffic between two nodes with attacks in between. @returns All that can be seen from outside. */
function play(seed: number, attacks: readonly Attack[], statuses: Map<number, number>): string[] {
  const { lab, a, b } = WireGuardLab.pair({ seed, faults: { delayMs: DELAY_MS } });
  const random = new SeededRandom(seed);
  const overheard: { readonly atMs: number; readonly bytes: Uint8Array }[] = [];
  const trace: string[] = [];
  lab.tap = ({ atMs, from, bytes }) => {
    overheard.push({ atMs, bytes });
    trace.push(`${atMs} ${from.index} ${hexText(bytes)}`);
  };
  for (let step = 0; step < STEPS; step++) {
    for (const one of attacks.filter((item) => item.step === step)) {
      // A copy that overtakes its original would be the original.
      const arrived = overheard.filter(({ atMs }) => atMs + DELAY_MS < lab.nowMs);
      const datagram = makeDatagram(one, arrived.map(({ bytes }) => bytes));
      strike(one.toFirst ? a : b, datagram, statuses);
    }
    const [from, to] = random.happens(0.5) ? [a, b] : [b, a];
    if (random.happens(0.8)) lab.send(from, to, 28 + random.below(200));
    // Often so short that handshakes are under way when the next attack comes.
    lab.run(random.happens(0.5) ? random.below(12) : random.below(60_000));
  }
  const state = (node: LabNode): string =>
    JSON.stringify([
      node.wireguard.snapshot(),
      node.wireguard.nextDeadlineMs,
      node.crypto.keysAlive,
    ]);
  const delivered = [a, b].map((node) => [...node.delivered].join());
  return [...trace, state(a), state(b), ...delivered];
}

/** Sends a datagram from a stranger's address. It must be refused, unless it is news to its receiver. */
function strike(node: LabNode, datagram: Uint8Array, statuses: Map<number, number>): void {
  const buffer = labBuffer(BUFFER_BYTES);
  const offset = BUFFER_BYTES - datagram.length;
  buffer.bytes.set(datagram, offset);
  const { wireguard } = node;
  const result = new Uint32Array(3);
  const before = JSON.stringify([wireguard.snapshot(), node.crypto.keysAlive]);
  const status = wireguard.receive(
    buffer,
    offset,
    datagram.length,
    STRANGER,
    0,
    result,
  );
  statuses.set(status, (statuses.get(status) ?? 0) + 1);
  assert.ok(status >= RECEIVE_REJECTED, `taken with status ${status}`);
  assert.equal(JSON.stringify([wireguard.snapshot(), node.crypto.keysAlive]), before);
}

test("hostile datagrams change nothing at all", () => {
  const statuses = new Map<number, number>();
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000 }),
      fc.array(attack, { minLength: 20, maxLength: 50, size: "max" }),
      (seed, attacks) => {
        const peaceful = play(seed, [], statuses);
        const attacked = play(seed, attacks, statuses);
        assert.deepEqual(attacked, peaceful);
      },
    ),
    { seed: SEED, numRuns: 60 },
  );
  const expected = ["MALFORMED", "MAC_INVALID", "HANDSHAKE_INVALID", "HANDSHAKE_REPLAY"] as const;
  const transport = ["UNKNOWN_SESSION", "EXPIRED_SESSION", "AUTHENTICATION", "REPLAY"] as const;
  for (const name of [...expected, ...transport]) {
    assert.ok((statuses.get(RECEIVE[name]) ?? 0) > 0, `${name} was never reached`);
  }
});

test("receive() never throws and never reads beyond the datagram", () => {
  const { lab, a, b } = WireGuardLab.pair();
  lab.send(a, b);
  lab.run(100);
  const result = new Uint32Array(3);
  // A buffer that ends with the datagram: a read beyond it throws.
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200, size: "max" }),
      fc.integer({ min: 0, max: 5 }),
      (bytes, type) => {
        const buffer = labBuffer(bytes.length);
        buffer.bytes.set(bytes);
        if (type > 0 && bytes.length >= 4) buffer.bytes.set([type, 0, 0, 0]);
        const status = b.wireguard.receive(
          buffer,
          0,
          bytes.length,
          STRANGER,
          0,
          result,
        );
        assert.ok(status >= RECEIVE_REJECTED);
      },
    ),
    { seed: SEED, numRuns: 2_000 },
  );
  const id = lab.send(a, b);
  lab.run(100);
  assert.ok(b.delivered.has(id));
});
