/**
 * CryptoPort in TypeScript, on @noble/*: for machines without OpenSSL 3, and for tests, because it works on any memory.
 *
 * About 20 times slower per packet than libcrypto, and it allocates per packet (docs: README "Limits").
 */
import { chacha20poly1305, xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";
import { TAG_BYTES } from "../limits.ts";
import type { AeadKey, CryptoPort, NativeBuffer } from "../ports.ts";
import {
  assertInside,
  assertLength,
  HASH_BYTES,
  KEY_BYTES,
  NONCE_BYTES,
  writeCounter,
} from "./crypto_shape.ts";

/** Version of @noble/* that deno.json pins; a test holds the two equal. */
export const NOBLE_VERSION = "2.4.0";

/** crypto.getRandomValues gives no more at once (Web Cryptography API §10.1.1). */
const RANDOM_BYTES_MAX = 65_536;
const EMPTY_NONCE = new Uint8Array(NONCE_BYTES);

/** Makes the fallback. It needs nothing of the machine. */
export function openNoble(): CryptoPort {
  return new NobleCrypto();
}

class NobleCrypto implements CryptoPort {
  readonly name = `noble ${NOBLE_VERSION}`;

  random(output: Uint8Array): void {
    for (let at = 0; at < output.length; at += RANDOM_BYTES_MAX) {
      const part = output.subarray(at, at + RANDOM_BYTES_MAX);
      // The type of getRandomValues leaves shared memory out, and so do some of its implementations.
      part.set(crypto.getRandomValues(new Uint8Array(part.length)));
    }
  }

  hash(output: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void {
    assertLength("output", output, HASH_BYTES);
    const state = blake2s.create().update(input1);
    if (input2 !== undefined) state.update(input2);
    output.set(state.digest());
  }

  mac(output: Uint8Array, key: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void {
    const state = blake2s.create({ key, dkLen: output.length }).update(input1);
    if (input2 !== undefined) state.update(input2);
    output.set(state.digest());
  }

  hmac(output: Uint8Array, key: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void {
    assertLength("output", output, HASH_BYTES);
    const state = hmac.create(blake2s, key).update(input1);
    if (input2 !== undefined) state.update(input2);
    output.set(state.digest());
  }

  x25519(output: Uint8Array, secretKey: Uint8Array, publicKey: Uint8Array): boolean {
    assertLength("output", output, KEY_BYTES);
    assertLength("secret key", secretKey, KEY_BYTES);
    assertLength("public key", publicKey, KEY_BYTES);
    try {
      output.set(x25519.getSharedSecret(secretKey, publicKey));
      return true;
    } catch {
      // With both lengths right, a shared secret of zero is all that it throws for.
      output.fill(0);
      return false;
    }
  }

  x25519Public(output: Uint8Array, secretKey: Uint8Array): void {
    assertLength("output", output, KEY_BYTES);
    assertLength("secret key", secretKey, KEY_BYTES);
    output.set(x25519.getPublicKey(secretKey));
  }

  aeadSeal(
    output: Uint8Array,
    key: Uint8Array,
    plaintext: Uint8Array,
    associated: Uint8Array,
  ): void {
    chacha20poly1305(key, EMPTY_NONCE, associated).encrypt(plaintext, output);
  }

  aeadOpen(
    output: Uint8Array,
    key: Uint8Array,
    sealed: Uint8Array,
    associated: Uint8Array,
  ): boolean {
    return decrypt(chacha20poly1305(key, EMPTY_NONCE, associated), sealed, output);
  }

  xaeadSeal(
    output: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    plaintext: Uint8Array,
    associated: Uint8Array,
  ): void {
    xchacha20poly1305(key, nonce, associated).encrypt(plaintext, output);
  }

  xaeadOpen(
    output: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    associated: Uint8Array,
  ): boolean {
    return decrypt(xchacha20poly1305(key, nonce, associated), sealed, output);
  }

  aeadKey(key: Uint8Array): AeadKey {
    return new NobleAeadKey(key);
  }
}

class NobleAeadKey implements AeadKey {
  readonly #key: Uint8Array;
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  readonly #nonceView = new DataView(this.#nonce.buffer);

  constructor(key: Uint8Array) {
    assertLength("key", key, KEY_BYTES);
    this.#key = key.slice();
  }

  seal(buffer: NativeBuffer, offset: number, length: number, counter: number): void {
    assertInside(buffer, offset, length + TAG_BYTES);
    writeCounter(this.#nonceView, 0, counter);
    const sealed = buffer.bytes.subarray(offset, offset + length + TAG_BYTES);
    // Input and output are the same bytes, which noble allows: it copies the one onto the other first.
    chacha20poly1305(this.#key, this.#nonce).encrypt(sealed.subarray(0, length), sealed);
  }

  open(buffer: NativeBuffer, offset: number, length: number, counter: number): boolean {
    assertInside(buffer, offset, length);
    writeCounter(this.#nonceView, 0, counter);
    const sealed = buffer.bytes.subarray(offset, offset + length);
    const plaintext = sealed.subarray(0, length - TAG_BYTES);
    return decrypt(chacha20poly1305(this.#key, this.#nonce), sealed, plaintext);
  }

  destroy(): void {
    this.#key.fill(0);
  }
}

/** noble throws for a wrong tag; anything else that it throws is our bug and goes on. */
function decrypt(
  cipher: { decrypt(sealed: Uint8Array, output: Uint8Array): Uint8Array },
  sealed: Uint8Array,
  output: Uint8Array,
): boolean {
  if (sealed.length < TAG_BYTES) return false;
  try {
    cipher.decrypt(sealed, output);
    return true;
  } catch (error) {
    if (error instanceof Error && error.message === "invalid tag") return false;
    throw error;
  }
}
