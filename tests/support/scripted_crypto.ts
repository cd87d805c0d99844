/**
 * A CryptoPort whose randomness is scripted: seeded for runs that repeat, or given bytes for known answers.
 *
 * In: a real CryptoPort. Out: the same computations with other random numbers.
 */
import type { AeadKey, CryptoPort, NativeBuffer } from "../../src/ports.ts";
import { SeededRandom } from "../../src/platform/memory.ts";

/** Wraps a port so that `random` is called in place of its own. Counts key agreements and AEAD keys alive. */
export class ScriptedCrypto implements CryptoPort {
  readonly name: string;
  /** X25519 computations so far. */
  agreements = 0;
  /** AEAD keys made and not destroyed. */
  keysAlive = 0;
  readonly #port: CryptoPort;
  readonly #random: (output: Uint8Array) => void;

  constructor(port: CryptoPort, random: (output: Uint8Array) => void) {
    this.name = port.name;
    this.#port = port;
    this.#random = random;
  }

  random(output: Uint8Array): void {
    this.#random(output);
  }
  hash(output: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void {
    this.#port.hash(output, input1, input2);
  }
  mac(output: Uint8Array, key: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void {
    this.#port.mac(output, key, input1, input2);
  }
  hmac(output: Uint8Array, key: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void {
    this.#port.hmac(output, key, input1, input2);
  }
  x25519(output: Uint8Array, secretKey: Uint8Array, publicKey: Uint8Array): boolean {
    this.agreements++;
    return this.#port.x25519(output, secretKey, publicKey);
  }
  x25519Public(output: Uint8Array, secretKey: Uint8Array): void {
    this.agreements++;
    this.#port.x25519Public(output, secretKey);
  }
  aeadSeal(output: Uint8Array, key: Uint8Array, plain: Uint8Array, associated: Uint8Array): void {
    this.#port.aeadSeal(output, key, plain, associated);
  }
  aeadOpen(
    output: Uint8Array,
    key: Uint8Array,
    sealed: Uint8Array,
    associated: Uint8Array,
  ): boolean {
    return this.#port.aeadOpen(output, key, sealed, associated);
  }
  xaeadSeal(
    output: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    plain: Uint8Array,
    associated: Uint8Array,
  ): void {
    this.#port.xaeadSeal(output, key, nonce, plain, associated);
  }
  xaeadOpen(
    output: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    associated: Uint8Array,
  ): boolean {
    return this.#port.xaeadOpen(output, key, nonce, sealed, associated);
  }
  aeadKey(key: Uint8Array): AeadKey {
    this.keysAlive++;
    return new CountedKey(this, this.#port.aeadKey(key));
  }
}

class CountedKey implements AeadKey {
  #alive = true;
  constructor(readonly crypto: ScriptedCrypto, readonly key: AeadKey) {}

  seal(buffer: NativeBuffer, offset: number, length: number, counter: number): void {
    this.key.seal(buffer, offset, length, counter);
  }
  open(buffer: NativeBuffer, offset: number, length: number, counter: number): boolean {
    return this.key.open(buffer, offset, length, counter);
  }
  destroy(): void {
    if (this.#alive) this.crypto.keysAlive--;
    this.#alive = false;
    this.key.destroy();
  }
}

/** A port whose random numbers repeat with the seed. */
export function seededCrypto(port: CryptoPort, seed: number): ScriptedCrypto {
  const random = new SeededRandom(seed);
  return new ScriptedCrypto(port, (output) => random.fill(output));
}
