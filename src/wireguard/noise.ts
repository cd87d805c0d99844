/**
 * The handshake Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard uses it (whitepaper §5.4.1 - §5.4.5).
 *
 * In: keys, the other side's message. Out: our message, and at the end the two keys of a session.
 * Guarantees: nothing that a message says is used before it is authenticated but to authenticate it; a message that
 * fails leaves the state of the handshake as it was; what is no longer needed is wiped.
 * Not here: macs and cookies (cookie.ts), replay of initiations (peer.ts), sending.
 */
import type { CryptoPort } from "../ports.ts";
import { TAG_BYTES } from "../limits.ts";
import { KEY_BYTES } from "./bytes.ts";
import {
  emitInitiation,
  emitResponse,
  parseInitiation,
  parseResponse,
  TIMESTAMP_BYTES,
} from "./messages.ts";

const text = (value: string) => new TextEncoder().encode(value);

/** Name of the handshake, hashed first (§5.4: CONSTRUCTION). */
const CONSTRUCTION = text("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s");
/** Hashed next (§5.4: IDENTIFIER). */
const IDENTIFIER = text("WireGuard v1 zx2c4 Jason@zx2c4.com");
const EMPTY = new Uint8Array(0);
const BYTE_1 = Uint8Array.of(1);
const BYTE_2 = Uint8Array.of(2);
const BYTE_3 = Uint8Array.of(3);

/** Our static key pair. */
export class Identity {
  /** Clamped (RFC 7748 §5). */
  readonly privateKey: Uint8Array;
  readonly publicKey = new Uint8Array(KEY_BYTES);

  /** @param privateKey 32 bytes, copied. */
  constructor(crypto: CryptoPort, privateKey: Uint8Array) {
    this.privateKey = clamp(privateKey.slice());
    crypto.x25519Public(this.publicKey, this.privateKey);
  }

  wipe(): void {
    this.privateKey.fill(0);
  }
}

/** What an initiator keeps until the response comes. */
export class PendingHandshake {
  readonly ephemeralPrivate = new Uint8Array(KEY_BYTES);
  readonly hash = new Uint8Array(KEY_BYTES);
  readonly chainingKey = new Uint8Array(KEY_BYTES);

  /**
   * @param peerSlot The peer it is with.
   * @param localIndex Number by which the response, and later the session, is found.
   */
  constructor(readonly peerSlot: number, readonly localIndex: number) {}

  wipe(): void {
    this.ephemeralPrivate.fill(0);
    this.hash.fill(0);
    this.chainingKey.fill(0);
  }
}

/** What a responder has learnt from an initiation. One object serves all, one after the other. */
export class OpenedInitiation {
  /** Number by which the initiator finds our response. */
  senderIndex = 0;
  readonly ephemeral = new Uint8Array(KEY_BYTES);
  /** Who it claims to be from. Proven only when openTimestamp was true. */
  readonly staticPublic = new Uint8Array(KEY_BYTES);
  /** Valid iff openTimestamp was true. */
  readonly timestamp = new Uint8Array(TIMESTAMP_BYTES);
  readonly hash = new Uint8Array(KEY_BYTES);
  readonly chainingKey = new Uint8Array(KEY_BYTES);

  wipe(): void {
    this.hash.fill(0);
    this.chainingKey.fill(0);
  }
}

/** The two keys of a session, seen from our side. */
export class SessionKeys {
  readonly send = new Uint8Array(KEY_BYTES);
  readonly receive = new Uint8Array(KEY_BYTES);

  wipe(): void {
    this.send.fill(0);
    this.receive.fill(0);
  }
}

/** Runs handshakes, both roles, one step at a time. Holds scratch memory only, wiped after each step. */
export class Noise {
  readonly #crypto: CryptoPort;
  /** Hash of CONSTRUCTION, and that mixed with IDENTIFIER: where every handshake begins. */
  readonly #firstChainingKey = new Uint8Array(KEY_BYTES);
  readonly #firstHash = new Uint8Array(KEY_BYTES);

  readonly #shared = new Uint8Array(KEY_BYTES);
  readonly #key = new Uint8Array(KEY_BYTES);
  readonly #extracted = new Uint8Array(KEY_BYTES);
  readonly #expanded = new Uint8Array(KEY_BYTES);
  readonly #tau = new Uint8Array(KEY_BYTES);
  readonly #mixed = new Uint8Array(KEY_BYTES);
  readonly #hash = new Uint8Array(KEY_BYTES);
  readonly #chainingKey = new Uint8Array(KEY_BYTES);
  readonly #ephemeralPrivate = new Uint8Array(KEY_BYTES);
  readonly #ephemeralPublic = new Uint8Array(KEY_BYTES);
  readonly #sealedStatic = new Uint8Array(KEY_BYTES + TAG_BYTES);
  readonly #sealedTimestamp = new Uint8Array(TIMESTAMP_BYTES + TAG_BYTES);
  readonly #sealedEmpty = new Uint8Array(TAG_BYTES);

  constructor(crypto: CryptoPort) {
    this.#crypto = crypto;
    crypto.hash(this.#firstChainingKey, CONSTRUCTION);
    crypto.hash(this.#firstHash, this.#firstChainingKey, IDENTIFIER);
  }

  /**
   * Writes an initiation, its macs zero, and fills `pending` with what the response needs.
   * @param output INITIATION_BYTES.
   * @param staticStatic Shared secret of both static keys.
   * @param timestamp TIMESTAMP_BYTES.
   * @returns false when the peer's public key is a point of low order.
   */
  createInitiation(
    output: Uint8Array,
    pending: PendingHandshake,
    identity: Identity,
    remotePublic: Uint8Array,
    staticStatic: Uint8Array,
    timestamp: Uint8Array,
  ): boolean {
    const crypto = this.#crypto;
    const { hash, chainingKey, ephemeralPrivate } = pending;
    this.#begin(hash, chainingKey, remotePublic);
    this.#drawEphemeral(ephemeralPrivate);
    this.#mixKey(chainingKey, this.#ephemeralPublic);
    this.#mixHash(hash, this.#ephemeralPublic);
    if (!crypto.x25519(this.#shared, ephemeralPrivate, remotePublic)) return false;
    this.#mixKey(chainingKey, this.#shared, this.#key);
    crypto.aeadSeal(this.#sealedStatic, this.#key, identity.publicKey, hash);
    this.#mixHash(hash, this.#sealedStatic);
    this.#mixKey(chainingKey, staticStatic, this.#key);
    crypto.aeadSeal(this.#sealedTimestamp, this.#key, timestamp, hash);
    this.#mixHash(hash, this.#sealedTimestamp);
    emitInitiation({
      senderIndex: pending.localIndex,
      ephemeral: this.#ephemeralPublic,
      sealedStatic: this.#sealedStatic,
      sealedTimestamp: this.#sealedTimestamp,
    }, output);
    this.#wipe();
    return true;
  }

  /**
   * Opens an initiation as far as its sender's static key, so that the peer can be looked up.
   * @param bytes INITIATION_BYTES, mac1 checked.
   * @returns Whether it opened.
   */
  openInitiation(opened: OpenedInitiation, bytes: Uint8Array, identity: Identity): boolean {
    const crypto = this.#crypto;
    const message = parseInitiation(bytes);
    const { hash, chainingKey } = opened;
    opened.senderIndex = message.senderIndex;
    opened.ephemeral.set(message.ephemeral);
    this.#begin(hash, chainingKey, identity.publicKey);
    this.#mixKey(chainingKey, message.ephemeral);
    this.#mixHash(hash, message.ephemeral);
    let isOpen = crypto.x25519(this.#shared, identity.privateKey, message.ephemeral);
    if (isOpen) {
      this.#mixKey(chainingKey, this.#shared, this.#key);
      isOpen = crypto.aeadOpen(opened.staticPublic, this.#key, message.sealedStatic, hash);
      this.#mixHash(hash, message.sealedStatic);
    }
    this.#wipe();
    return isOpen;
  }

  /**
   * Opens the rest of an initiation, which proves that its sender has the static key.
   * @param staticStatic Shared secret of both static keys.
   */
  openTimestamp(opened: OpenedInitiation, bytes: Uint8Array, staticStatic: Uint8Array): boolean {
    const { sealedTimestamp } = parseInitiation(bytes);
    this.#mixKey(opened.chainingKey, staticStatic, this.#key);
    const isOpen = this.#crypto.aeadOpen(
      opened.timestamp,
      this.#key,
      sealedTimestamp,
      opened.hash,
    );
    this.#mixHash(opened.hash, sealedTimestamp);
    this.#wipe();
    return isOpen;
  }

  /**
   * Answers an opened initiation: writes a response, its macs zero, and the responder's session keys.
   * @param output RESPONSE_BYTES.
   * @param localIndex Number by which the session is found.
   * @returns false when one of the initiator's keys is a point of low order.
   */
  createResponse(
    output: Uint8Array,
    opened: OpenedInitiation,
    localIndex: number,
    presharedKey: Uint8Array,
    keys: SessionKeys,
  ): boolean {
    const crypto = this.#crypto;
    const { hash, chainingKey } = opened;
    const secret = this.#ephemeralPrivate;
    this.#drawEphemeral(secret);
    this.#mixKey(chainingKey, this.#ephemeralPublic);
    this.#mixHash(hash, this.#ephemeralPublic);
    const isSound = this.#mixShared(chainingKey, secret, opened.ephemeral) &&
      this.#mixShared(chainingKey, secret, opened.staticPublic);
    if (isSound) {
      this.#mixPresharedKey(hash, chainingKey, presharedKey);
      crypto.aeadSeal(this.#sealedEmpty, this.#key, EMPTY, hash);
      emitResponse({
        senderIndex: localIndex,
        receiverIndex: opened.senderIndex,
        ephemeral: this.#ephemeralPublic,
        sealedEmpty: this.#sealedEmpty,
      }, output);
      this.#expand(chainingKey, EMPTY, keys.receive, keys.send);
    }
    this.#wipe();
    return isSound;
  }

  /**
   * Opens a response and derives the initiator's session keys. `pending` stays as it is, so that a forged response
   * does not keep the true one from being taken.
   * @param bytes RESPONSE_BYTES, mac1 checked.
   * @returns Whether it opened; `keys` are valid iff it did.
   */
  openResponse(
    pending: PendingHandshake,
    bytes: Uint8Array,
    identity: Identity,
    presharedKey: Uint8Array,
    keys: SessionKeys,
  ): boolean {
    const message = parseResponse(bytes);
    const hash = this.#hash;
    const chainingKey = this.#chainingKey;
    hash.set(pending.hash);
    chainingKey.set(pending.chainingKey);
    this.#mixKey(chainingKey, message.ephemeral);
    this.#mixHash(hash, message.ephemeral);
    let isOpen = this.#mixShared(chainingKey, pending.ephemeralPrivate, message.ephemeral) &&
      this.#mixShared(chainingKey, identity.privateKey, message.ephemeral);
    if (isOpen) {
      this.#mixPresharedKey(hash, chainingKey, presharedKey);
      isOpen = this.#crypto.aeadOpen(EMPTY, this.#key, message.sealedEmpty, hash);
    }
    if (isOpen) this.#expand(chainingKey, EMPTY, keys.send, keys.receive);
    this.#wipe();
    return isOpen;
  }

  /** State before the first message: CONSTRUCTION, IDENTIFIER and the responder's public key. */
  #begin(hash: Uint8Array, chainingKey: Uint8Array, responderPublic: Uint8Array): void {
    chainingKey.set(this.#firstChainingKey);
    hash.set(this.#firstHash);
    this.#mixHash(hash, responderPublic);
  }

  #drawEphemeral(secret: Uint8Array): void {
    this.#crypto.random(secret);
    clamp(secret);
    this.#crypto.x25519Public(this.#ephemeralPublic, secret);
  }

  /** H := Hash(H || data). */
  #mixHash(hash: Uint8Array, data: Uint8Array): void {
    this.#crypto.hash(this.#mixed, hash, data);
    hash.set(this.#mixed);
  }

  /** (C, key) := Kdf2(C, input), or C := Kdf1(C, input) where no key is wanted. */
  #mixKey(chainingKey: Uint8Array, input: Uint8Array, key?: Uint8Array): void {
    this.#expand(chainingKey, input, this.#expanded, key);
    chainingKey.set(this.#expanded);
  }

  /** C := Kdf1(C, DH(secret, public)). @returns false when the point is of low order. */
  #mixShared(chainingKey: Uint8Array, secret: Uint8Array, publicKey: Uint8Array): boolean {
    if (!this.#crypto.x25519(this.#shared, secret, publicKey)) return false;
    this.#mixKey(chainingKey, this.#shared);
    return true;
  }

  /** (C, tau, key) := Kdf3(C, Q); H := Hash(H || tau). */
  #mixPresharedKey(hash: Uint8Array, chainingKey: Uint8Array, presharedKey: Uint8Array): void {
    this.#expand(chainingKey, presharedKey, this.#expanded, this.#tau, this.#key);
    chainingKey.set(this.#expanded);
    this.#mixHash(hash, this.#tau);
  }

  /** Kdf_n (§5.4): HKDF with BLAKE2s (RFC 5869), n being the number of outputs. */
  #expand(
    chainingKey: Uint8Array,
    input: Uint8Array,
    output1: Uint8Array,
    output2?: Uint8Array,
    output3?: Uint8Array,
  ): void {
    const crypto = this.#crypto;
    crypto.hmac(this.#extracted, chainingKey, input);
    crypto.hmac(output1, this.#extracted, BYTE_1);
    if (output2 !== undefined) crypto.hmac(output2, this.#extracted, output1, BYTE_2);
    if (output3 !== undefined) crypto.hmac(output3, this.#extracted, output2!, BYTE_3);
  }

  #wipe(): void {
    this.#shared.fill(0);
    this.#key.fill(0);
    this.#extracted.fill(0);
    this.#expanded.fill(0);
    this.#tau.fill(0);
    this.#hash.fill(0);
    this.#chainingKey.fill(0);
    this.#ephemeralPrivate.fill(0);
  }
}

/** Makes a secret key a valid scalar, in place (RFC 7748 §5, decodeScalar25519). */
function clamp(secret: Uint8Array): Uint8Array {
  secret[0] &= 248;
  secret[31] = (secret[31] & 127) | 64;
  return secret;
}
