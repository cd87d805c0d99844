/**
 * Noise_IKpsk2 after the Noise Protocol Framework, revision 34: objects and tokens as §5 defines them, nothing of
 * WireGuard's own notation, primitives taken from @noble/* directly. Slow, and made of fresh arrays throughout.
 */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";

type Token = "e" | "s" | "ee" | "es" | "se" | "ss" | "psk";

/** §7.5 and §9.4: IK with the preshared key at the end of the second message. */
const IK_PSK2: readonly (readonly Token[])[] = [["e", "es", "s", "ss"], ["e", "ee", "se", "psk"]];
const NAME = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

const utf8 = (text: string) => new TextEncoder().encode(text);
const concat = (...parts: Uint8Array[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));

/** §5.1. */
class CipherState {
  #nonce = 0n;
  constructor(readonly key: Uint8Array) {}

  encrypt(associated: Uint8Array, plaintext: Uint8Array): Uint8Array {
    return chacha20poly1305(this.key, this.#nextNonce(), associated).encrypt(plaintext);
  }
  decrypt(associated: Uint8Array, ciphertext: Uint8Array): Uint8Array {
    return chacha20poly1305(this.key, this.#nextNonce(), associated).decrypt(ciphertext);
  }
  #nextNonce(): Uint8Array {
    const nonce = new Uint8Array(12);
    new DataView(nonce.buffer).setBigUint64(4, this.#nonce++, true);
    return nonce;
  }
}

/** §5.2. */
class SymmetricState {
  #chainingKey: Uint8Array;
  #hash: Uint8Array;
  #cipher: CipherState | null = null;

  constructor(name: string) {
    // Longer than a hash, so it is hashed and not padded.
    this.#hash = blake2s(utf8(name));
    this.#chainingKey = this.#hash;
  }
  mixHash(data: Uint8Array): void {
    this.#hash = blake2s(concat(this.#hash, data));
  }
  mixKey(material: Uint8Array): void {
    const [chainingKey, key] = hkdf(this.#chainingKey, material, 2);
    this.#chainingKey = chainingKey;
    this.#cipher = new CipherState(key);
  }
  mixKeyAndHash(material: Uint8Array): void {
    const [chainingKey, hash, key] = hkdf(this.#chainingKey, material, 3);
    this.#chainingKey = chainingKey;
    this.mixHash(hash);
    this.#cipher = new CipherState(key);
  }
  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.#cipher!.encrypt(this.#hash, plaintext);
    this.mixHash(ciphertext);
    return ciphertext;
  }
  decryptAndHash(ciphertext: Uint8Array): Uint8Array {
    const plaintext = this.#cipher!.decrypt(this.#hash, ciphertext);
    this.mixHash(ciphertext);
    return plaintext;
  }
  split(): [Uint8Array, Uint8Array] {
    const [first, second] = hkdf(this.#chainingKey, new Uint8Array(0), 2);
    return [first, second];
  }
}

/** §4.3. */
function hkdf(chainingKey: Uint8Array, material: Uint8Array, count: number): Uint8Array[] {
  const temporary = hmac(blake2s, chainingKey, material);
  const outputs: Uint8Array[] = [];
  for (let index = 1; index <= count; index++) {
    const previous = outputs.at(-1) ?? new Uint8Array(0);
    outputs.push(hmac(blake2s, temporary, concat(previous, Uint8Array.of(index))));
  }
  return outputs;
}

/** Keys of one side. */
export interface NoiseTwinOptions {
  readonly isInitiator: boolean;
  readonly prologue: string;
  readonly staticPrivate: Uint8Array;
  readonly ephemeralPrivate: Uint8Array;
  readonly presharedKey: Uint8Array;
  /** The responder's; the initiator must know it. */
  readonly responderPublic: Uint8Array;
}

/** §5.3: one side of one handshake. */
export class NoiseTwin {
  readonly #symmetric = new SymmetricState(NAME);
  readonly #options: NoiseTwinOptions;
  #message = 0;
  /** The other side's static key, once known. */
  remoteStatic: Uint8Array | null;
  #remoteEphemeral: Uint8Array | null = null;

  constructor(options: NoiseTwinOptions) {
    this.#options = options;
    this.remoteStatic = options.isInitiator ? options.responderPublic : null;
    this.#symmetric.mixHash(utf8(options.prologue));
    this.#symmetric.mixHash(options.responderPublic);
  }

  write(payload: Uint8Array): Uint8Array {
    const { staticPrivate, ephemeralPrivate } = this.#options;
    const parts: Uint8Array[] = [];
    for (const token of IK_PSK2[this.#message++]) {
      if (token === "e") {
        const ephemeral = x25519.getPublicKey(ephemeralPrivate);
        parts.push(ephemeral);
        this.#mixEphemeral(ephemeral);
      } else if (token === "s") {
        parts.push(this.#symmetric.encryptAndHash(x25519.getPublicKey(staticPrivate)));
      } else this.#mix(token);
    }
    return concat(...parts, this.#symmetric.encryptAndHash(payload));
  }

  /** @throws {Error} If the message is not authentic. */
  read(message: Uint8Array): Uint8Array {
    let rest = message;
    const take = (bytes: number): Uint8Array => {
      const part = rest.slice(0, bytes);
      rest = rest.slice(bytes);
      return part;
    };
    for (const token of IK_PSK2[this.#message++]) {
      if (token === "e") {
        this.#remoteEphemeral = take(32);
        this.#mixEphemeral(this.#remoteEphemeral);
      } else if (token === "s") this.remoteStatic = this.#symmetric.decryptAndHash(take(48));
      else this.#mix(token);
    }
    return this.#symmetric.decryptAndHash(rest);
  }

  /** Keys after the last message: initiator to responder, and back. */
  split(): [Uint8Array, Uint8Array] {
    return this.#symmetric.split();
  }

  #mixEphemeral(ephemeral: Uint8Array): void {
    this.#symmetric.mixHash(ephemeral);
    // §9.2: in a handshake with a preshared key, so that keys are random even before it is mixed in.
    this.#symmetric.mixKey(ephemeral);
  }

  #mix(token: Token): void {
    const { isInitiator, staticPrivate, ephemeralPrivate, presharedKey } = this.#options;
    if (token === "psk") {
      this.#symmetric.mixKeyAndHash(presharedKey);
      return;
    }
    // First letter: the initiator's key, second: the responder's.
    const own = isInitiator ? token[0] : token[1];
    const other = isInitiator ? token[1] : token[0];
    const secret = own === "s" ? staticPrivate : ephemeralPrivate;
    const point = other === "s" ? this.remoteStatic : this.#remoteEphemeral;
    this.#symmetric.mixKey(x25519.getSharedSecret(secret, point!));
  }
}
