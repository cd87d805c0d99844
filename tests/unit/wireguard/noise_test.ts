// Goal: the handshake is Noise_IKpsk2 to the byte, refuses whatever was altered, and wipes what it need not keep.
// Method: a twin written from the Noise specification plays either side; each bit of each message is turned once.
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  Identity,
  Noise,
  OpenedInitiation,
  PendingHandshake,
  SessionKeys,
} from "../../../src/wireguard/noise.ts";
import {
  INITIATION,
  INITIATION_BYTES,
  RESPONSE,
  RESPONSE_BYTES,
} from "../../../src/wireguard/messages.ts";
import { isAllZero } from "../../../src/wireguard/bytes.ts";
import type { CryptoPort } from "../../../src/ports.ts";
import { SeededRandom } from "../../../src/platform/memory.ts";
import { NoiseTwin } from "../../reference/noise_twin.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";
import { ScriptedCrypto } from "../../support/scripted_crypto.ts";

const SEED = 4;
const PROLOGUE = "WireGuard v1 zx2c4 Jason@zx2c4.com";

/** All that a handshake depends on. */
interface Inputs {
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
  readonly initiatorEphemeral: Uint8Array;
  readonly responderEphemeral: Uint8Array;
  readonly presharedKey: Uint8Array;
  readonly timestamp: Uint8Array;
}

function drawInputs(seed: number): Inputs {
  const random = new SeededRandom(seed);
  const draw = (bytes: number): Uint8Array => {
    const output = new Uint8Array(bytes);
    random.fill(output);
    return output;
  };
  return {
    initiator: draw(32),
    responder: draw(32),
    initiatorEphemeral: draw(32),
    responderEphemeral: draw(32),
    presharedKey: seed % 2 === 0 ? draw(32) : new Uint8Array(32),
    timestamp: draw(12),
  };
}

/** Both sides of one handshake by the code under test. */
class Sides {
  readonly noise: Noise;
  readonly initiator: Identity;
  readonly responder: Identity;
  readonly staticStatic = new Uint8Array(32);
  readonly pending = new PendingHandshake(0, 0x11223344);
  readonly opened = new OpenedInitiation();
  readonly initiation = new Uint8Array(INITIATION_BYTES);
  readonly response = new Uint8Array(RESPONSE_BYTES);
  readonly initiatorKeys = new SessionKeys();
  readonly responderKeys = new SessionKeys();

  constructor(port: CryptoPort, readonly inputs: Inputs) {
    const ephemerals = [inputs.initiatorEphemeral, inputs.responderEphemeral];
    const crypto = new ScriptedCrypto(port, (output) => output.set(ephemerals.shift()!));
    this.noise = new Noise(crypto);
    this.initiator = new Identity(crypto, inputs.initiator);
    this.responder = new Identity(crypto, inputs.responder);
    crypto.x25519(this.staticStatic, this.initiator.privateKey, this.responder.publicKey);
  }

  initiate(): boolean {
    const { noise, initiation, pending, initiator, responder, staticStatic, inputs } = this;
    return noise.createInitiation(
      initiation,
      pending,
      initiator,
      responder.publicKey,
      staticStatic,
      inputs.timestamp,
    );
  }

  open(bytes: Uint8Array = this.initiation): boolean {
    const { noise, opened, responder, staticStatic } = this;
    return noise.openInitiation(opened, bytes, responder) &&
      noise.openTimestamp(opened, bytes, staticStatic);
  }

  respond(): boolean {
    const { noise, response, opened, inputs, responderKeys } = this;
    return noise.createResponse(response, opened, 0x55667788, inputs.presharedKey, responderKeys);
  }

  finish(bytes: Uint8Array = this.response, presharedKey = this.inputs.presharedKey): boolean {
    const { noise, pending, initiator, initiatorKeys } = this;
    return noise.openResponse(pending, bytes, initiator, presharedKey, initiatorKeys);
  }

  twin(isInitiator: boolean): NoiseTwin {
    const { inputs } = this;
    return new NoiseTwin({
      isInitiator,
      prologue: PROLOGUE,
      staticPrivate: isInitiator ? inputs.initiator : inputs.responder,
      ephemeralPrivate: isInitiator ? inputs.initiatorEphemeral : inputs.responderEphemeral,
      presharedKey: inputs.presharedKey,
      responderPublic: this.responder.publicKey,
    });
  }
}

/** The part of a WireGuard message that is Noise's. */
const noisePart = {
  initiation: (bytes: Uint8Array) => bytes.subarray(INITIATION.EPHEMERAL, INITIATION.MAC1),
  response: (bytes: Uint8Array) => bytes.subarray(RESPONSE.EPHEMERAL, RESPONSE.MAC1),
};

for (const port of CRYPTO_PORTS) {
  test(`Noise writes and reads what the Noise twin does, in both roles (${port.name})`, () => {
    for (let seed = 0; seed < 12; seed++) {
      const sides = new Sides(port, drawInputs(seed));
      const twinInitiator = sides.twin(true);
      const twinResponder = sides.twin(false);
      assert.ok(sides.initiate());
      const first = noisePart.initiation(sides.initiation);
      assert.deepEqual(first, twinInitiator.write(sides.inputs.timestamp));
      assert.deepEqual(twinResponder.read(first), sides.inputs.timestamp);
      assert.deepEqual(twinResponder.remoteStatic, sides.initiator.publicKey);

      assert.ok(sides.open());
      assert.equal(sides.opened.senderIndex, 0x11223344);
      assert.deepEqual(sides.opened.staticPublic, sides.initiator.publicKey);
      assert.deepEqual(sides.opened.timestamp, sides.inputs.timestamp);
      assert.ok(sides.respond());
      const second = noisePart.response(sides.response);
      assert.deepEqual(second, twinResponder.write(new Uint8Array(0)));
      assert.equal(twinInitiator.read(second).length, 0);

      assert.ok(sides.finish());
      const [toResponder, toInitiator] = twinInitiator.split();
      assert.deepEqual(twinResponder.split(), [toResponder, toInitiator]);
      assert.deepEqual(sides.initiatorKeys.send, toResponder);
      assert.deepEqual(sides.initiatorKeys.receive, toInitiator);
      assert.deepEqual(sides.responderKeys.send, toInitiator);
      assert.deepEqual(sides.responderKeys.receive, toResponder);
    }
  });

  test(`Noise refuses points of low order (${port.name})`, () => {
    const sides = new Sides(port, drawInputs(1));
    const { noise, pending, initiator, staticStatic, inputs } = sides;
    const zero = new Uint8Array(32);
    const message = new Uint8Array(INITIATION_BYTES);
    assert.ok(
      !noise.createInitiation(message, pending, initiator, zero, staticStatic, inputs.timestamp),
    );
    const whole = new Sides(port, drawInputs(1));
    whole.initiate();
    whole.initiation.fill(0, INITIATION.EPHEMERAL, INITIATION.STATIC);
    assert.ok(!whole.open());
    const answered = new Sides(port, drawInputs(1));
    answered.initiate();
    answered.open();
    answered.respond();
    answered.response.fill(0, RESPONSE.EPHEMERAL, RESPONSE.EMPTY);
    assert.ok(!answered.finish());
  });
}

const fastest = CRYPTO_PORTS.at(-1)!;

/** Turns bit after bit of `bytes` from `from` to `to`. Random ones, for each costs key agreements. */
function eachFlip(
  bytes: Uint8Array,
  from: number,
  to: number,
  check: (flipped: Uint8Array) => void,
) {
  fc.assert(
    fc.property(fc.integer({ min: from * 8, max: to * 8 - 1 }), (bit) => {
      const flipped = bytes.slice();
      flipped[bit >> 3] ^= 1 << (bit & 7);
      check(flipped);
    }),
    { seed: SEED, numRuns: 150 },
  );
}

test("Noise refuses an initiation in which any bit is turned", () => {
  const sides = new Sides(fastest, drawInputs(2));
  sides.initiate();
  eachFlip(sides.initiation, INITIATION.EPHEMERAL, INITIATION.MAC1, (flipped) => {
    // The top bit of a point is no part of it (RFC 7748 §5), but it is hashed.
    assert.ok(!sides.open(flipped));
    const { noise, opened, responder } = sides;
    const isBeforeTimestamp = flipped.some((byte, index) =>
      index < INITIATION.TIMESTAMP && byte !== sides.initiation[index]
    );
    assert.equal(noise.openInitiation(opened, flipped, responder), !isBeforeTimestamp);
  });
  assert.ok(sides.open());
});

test("Noise refuses a response in which any bit is turned, and takes the true one after", () => {
  const sides = new Sides(fastest, drawInputs(2));
  sides.initiate();
  sides.open();
  sides.respond();
  eachFlip(sides.response, RESPONSE.EPHEMERAL, RESPONSE.MAC1, (flipped) => {
    assert.ok(!sides.finish(flipped));
  });
  assert.ok(sides.finish());
});

test("Noise refuses a response made with another preshared key", () => {
  const sides = new Sides(fastest, drawInputs(2));
  sides.initiate();
  sides.open();
  sides.respond();
  assert.ok(!sides.finish(sides.response, new Uint8Array(32)));
  assert.ok(sides.finish());
});

test("Noise refuses an initiation to another responder", () => {
  const sides = new Sides(fastest, drawInputs(2));
  const other = new Sides(fastest, drawInputs(3));
  sides.initiate();
  assert.ok(!other.open(sides.initiation));
});

test("wipe() leaves nothing of a handshake or of keys", () => {
  const sides = new Sides(fastest, drawInputs(2));
  sides.initiate();
  sides.open();
  sides.respond();
  sides.finish();
  const { pending, opened, initiatorKeys, initiator } = sides;
  const secrets = [
    pending.ephemeralPrivate,
    pending.hash,
    pending.chainingKey,
    opened.chainingKey,
    opened.hash,
    initiatorKeys.send,
    initiatorKeys.receive,
    initiator.privateKey,
  ];
  assert.ok(secrets.every((secret) => !isAllZero(secret)));
  for (const owner of [pending, opened, initiatorKeys, initiator]) owner.wipe();
  assert.ok(secrets.every(isAllZero));
});

test("Identity clamps its private key and keeps a copy", () => {
  const key = new Uint8Array(32).fill(0xff);
  const identity = new Identity(fastest, key);
  assert.deepEqual([identity.privateKey[0], identity.privateKey[31]], [0xf8, 0x7f]);
  assert.ok(key.every((byte) => byte === 0xff));
});
