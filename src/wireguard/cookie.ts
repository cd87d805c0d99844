/**
 * The two macs of handshake messages, and cookies (whitepaper §5.4.4, §5.4.7), in both roles.
 *
 * In: handshake messages without macs, or with macs to be checked. Out: mac1, which shows that the sender knows the
 * receiver's public key; mac2, which shows that it receives what is sent to its address; cookie replies that hand out
 * the key for mac2. Nothing here is kept per stranger: a cookie is a mac of the address under a secret of our own.
 */
import type { CryptoPort } from "../ports.ts";
import { ENDPOINT } from "../ports.ts";
import { equalConstantTime, KEY_BYTES } from "./bytes.ts";
import {
  COOKIE_VALUE_BYTES,
  emitCookieReply,
  INITIATION,
  MAC_BYTES,
  parseCookieReply,
  readWord,
} from "./messages.ts";
import type { Timing } from "./timing.ts";

const text = (value: string) => new TextEncoder().encode(value);
const LABEL_MAC1 = text("mac1----");
const LABEL_COOKIE = text("cookie--");
const NONCE_BYTES = 24;
const SEALED_COOKIE_BYTES = 32;
/** Address and port, as the mac of a cookie takes them: 16 + 2 bytes. */
const SOURCE_BYTES = 18;

/** Keys for macs and cookies of messages to the owner of `publicKey`. */
class MacKeys {
  readonly mac1 = new Uint8Array(KEY_BYTES);
  readonly cookie = new Uint8Array(KEY_BYTES);

  constructor(crypto: CryptoPort, publicKey: Uint8Array) {
    crypto.hash(this.mac1, LABEL_MAC1, publicKey);
    crypto.hash(this.cookie, LABEL_COOKIE, publicKey);
  }
}

/** The receiving side: checks macs of messages to us and answers with cookies. */
export class CookieChecker {
  readonly #crypto: CryptoPort;
  readonly #secretMs: number;
  readonly #keys: MacKeys;
  /** Secret under which cookies are made, drawn anew every `secretMs`. */
  readonly #secret = new Uint8Array(KEY_BYTES);
  #secretBirthMs = -Infinity;

  readonly #mac = new Uint8Array(MAC_BYTES);
  readonly #cookie = new Uint8Array(COOKIE_VALUE_BYTES);
  readonly #source = new Uint8Array(SOURCE_BYTES);
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  readonly #sealedCookie = new Uint8Array(SEALED_COOKIE_BYTES);

  /** @param publicKey Our own. */
  constructor(crypto: CryptoPort, publicKey: Uint8Array, timing: Timing) {
    this.#crypto = crypto;
    this.#keys = new MacKeys(crypto, publicKey);
    this.#secretMs = timing.cookieSecretMs;
  }

  /** Whether mac1 is right. @param bytes Initiation or response. */
  hasMac1(bytes: Uint8Array): boolean {
    const start = bytes.length - 2 * MAC_BYTES;
    this.#crypto.mac(this.#mac, this.#keys.mac1, bytes.subarray(0, start));
    return equalConstantTime(this.#mac, bytes.subarray(start, start + MAC_BYTES));
  }

  /** Whether mac2 is right for a message that came from the endpoint at `endpointOffset`. */
  hasMac2(
    bytes: Uint8Array,
    endpoints: Uint32Array,
    endpointOffset: number,
    nowMs: number,
  ): boolean {
    const start = bytes.length - MAC_BYTES;
    this.#makeCookie(endpoints, endpointOffset, nowMs);
    this.#crypto.mac(this.#mac, this.#cookie, bytes.subarray(0, start));
    this.#cookie.fill(0);
    return equalConstantTime(this.#mac, bytes.subarray(start));
  }

  /** Writes the cookie reply to a message with right mac1. @param output COOKIE_BYTES. */
  reply(
    output: Uint8Array,
    bytes: Uint8Array,
    endpoints: Uint32Array,
    endpointOffset: number,
    nowMs: number,
  ): void {
    const start = bytes.length - 2 * MAC_BYTES;
    this.#makeCookie(endpoints, endpointOffset, nowMs);
    this.#crypto.random(this.#nonce);
    this.#crypto.xaeadSeal(
      this.#sealedCookie,
      this.#keys.cookie,
      this.#nonce,
      this.#cookie,
      bytes.subarray(start, start + MAC_BYTES),
    );
    this.#cookie.fill(0);
    emitCookieReply({
      // Initiation and response have their sender's index at the same place.
      receiverIndex: readWord(bytes, INITIATION.SENDER),
      nonce: this.#nonce,
      sealedCookie: this.#sealedCookie,
    }, output);
  }

  /** Forgets the secret. */
  wipe(): void {
    this.#secret.fill(0);
    this.#secretBirthMs = -Infinity;
  }

  /** #cookie := Mac(secret, address and port). */
  #makeCookie(endpoints: Uint32Array, endpointOffset: number, nowMs: number): void {
    if (nowMs - this.#secretBirthMs >= this.#secretMs) {
      this.#crypto.random(this.#secret);
      this.#secretBirthMs = nowMs;
    }
    const view = new DataView(this.#source.buffer);
    const address = endpointOffset + ENDPOINT.ADDRESS;
    for (let word = 0; word < 4; word++) view.setUint32(word * 4, endpoints[address + word]);
    view.setUint16(16, endpoints[endpointOffset + ENDPOINT.PORT]);
    this.#crypto.mac(this.#cookie, this.#secret, this.#source);
  }
}

/** The sending side, one per peer: puts macs on our messages and keeps the cookie that the peer gave us. */
export class CookieHolder {
  readonly #crypto: CryptoPort;
  readonly #lifetimeMs: number;
  readonly #keys: MacKeys;
  readonly #cookie = new Uint8Array(COOKIE_VALUE_BYTES);
  #cookieBirthMs = -Infinity;
  /** mac1 of our last message: a cookie reply is bound to it. */
  readonly #lastMac1 = new Uint8Array(MAC_BYTES);
  /** Whether a message awaits a cookie; a second reply to it would be a replay. */
  #awaitsCookie = false;

  /** @param publicKey The peer's. */
  constructor(crypto: CryptoPort, publicKey: Uint8Array, timing: Timing) {
    this.#crypto = crypto;
    this.#keys = new MacKeys(crypto, publicKey);
    this.#lifetimeMs = timing.cookieSecretMs - timing.cookieLatencyMs;
  }

  /** Writes mac1, and mac2 where we have a cookie. @param bytes Initiation or response, otherwise complete. */
  addMacs(bytes: Uint8Array, nowMs: number): void {
    const start = bytes.length - 2 * MAC_BYTES;
    const mac1 = bytes.subarray(start, start + MAC_BYTES);
    this.#crypto.mac(mac1, this.#keys.mac1, bytes.subarray(0, start));
    this.#lastMac1.set(mac1);
    this.#awaitsCookie = true;
    const mac2 = bytes.subarray(start + MAC_BYTES);
    if (nowMs - this.#cookieBirthMs < this.#lifetimeMs) {
      this.#crypto.mac(mac2, this.#cookie, bytes.subarray(0, start + MAC_BYTES));
    } else {
      mac2.fill(0);
    }
  }

  /** Takes the cookie of a reply to our last message. @returns Whether it was authentic. */
  take(bytes: Uint8Array, nowMs: number): boolean {
    if (!this.#awaitsCookie) return false;
    const { nonce, sealedCookie } = parseCookieReply(bytes);
    const cookie = new Uint8Array(COOKIE_VALUE_BYTES);
    if (
      !this.#crypto.xaeadOpen(cookie, this.#keys.cookie, nonce, sealedCookie, this.#lastMac1)
    ) return false;
    this.#cookie.set(cookie);
    this.#cookieBirthMs = nowMs;
    this.#awaitsCookie = false;
    return true;
  }

  /** Forgets the cookie. */
  wipe(): void {
    this.#cookie.fill(0);
    this.#cookieBirthMs = -Infinity;
    this.#awaitsCookie = false;
  }
}
