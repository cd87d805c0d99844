/**
 * CryptoPort on OpenSSL 3 through FFI.
 *
 * In: keys and messages in any memory. Out: what the RFCs say; each function holds no secret after it returns but
 * aeadKey, whose destroy() wipes it.
 * Guarantees: before it is handed out it has reproduced known answers, so a library with another layout or without
 * these algorithms is refused and the caller falls back to noble.ts.
 */
import { hchacha } from "@noble/ciphers/chacha.js";
import { LibraryError } from "../errors.ts";
import { TAG_BYTES } from "../limits.ts";
import type { AeadKey, CryptoPort } from "../ports.ts";
import {
  assertAead,
  assertLength,
  HASH_BLOCK_BYTES,
  HASH_BYTES,
  KEY_BYTES,
  LONG_NONCE_BYTES,
  NONCE_BYTES,
  plaintextLength,
} from "./crypto_shape.ts";
import { cryptoProblem } from "./crypto_self_test.ts";
import { cSize, cString, foreign, loadLibrary, type Pointer } from "./ffi.ts";
import {
  AeadContext,
  type Libcrypto,
  LibcryptoAeadKey,
  OSSL_PARAM,
  OSSL_TYPE,
} from "./libcrypto_aead.ts";
import { allocateNative, type NativeMemory, writeAddress } from "./native_buffer.ts";
import { LIBCRYPTO } from "./signatures.ts";

/** Argument of OpenSSL_version that gives `3.0.19`. Source: openssl/crypto.h. */
const VERSION_NUMBER_TEXT = 6;
/** NID_X25519 of openssl/obj_mac.h. */
const X25519 = 1034;
/** EVP_PKEY_KEYPAIR of openssl/evp.h: private and public part are given. */
const KEY_PAIR = 0x87;
/** "expand 32-byte k" as words (RFC 8439 §2.3). */
const SIGMA = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);
const HMAC_INNER = 0x36;
const HMAC_OUTER = 0x5c;
const EMPTY_NONCE = new Uint8Array(NONCE_BYTES);

/**
 * Loads OpenSSL.
 *
 * @throws {PermissionError} If the runtime does not allow FFI.
 * @throws {LibraryError} If there is no OpenSSL 3, or it cannot do what is needed.
 */
export function openLibcrypto(): CryptoPort {
  const port = new LibcryptoCrypto(loadLibrary(LIBCRYPTO));
  const problem = cryptoProblem(port);
  if (problem !== null) throw new LibraryError(LIBCRYPTO.title, [problem]);
  return port;
}

/** Places in the scratch memory: `size` of the MAC, the X25519 key and its parameters, a `size_t`. */
const AT = {
  SIZE_NAME: 0,
  PRIVATE_NAME: 8,
  PUBLIC_NAME: 16,
  SIZE: 24,
  KEY_RESULT: 32,
  PRIVATE: 64,
  PUBLIC: 96,
  MAC_PARAMS: 128,
  KEY_PARAMS: 128 + 2 * OSSL_PARAM.BYTES,
  BYTES: 128 + 5 * OSSL_PARAM.BYTES,
} as const;

class LibcryptoCrypto implements CryptoPort {
  readonly name: string;
  readonly #c: Libcrypto;
  readonly #aead: AeadContext;
  readonly #scratch: NativeMemory = allocateNative(AT.BYTES);
  readonly #digest: Pointer;
  readonly #digestContext: Pointer;
  readonly #macContext: Pointer;
  readonly #keyContext: Pointer;
  readonly #block = new Uint8Array(HASH_BLOCK_BYTES);
  readonly #inner = new Uint8Array(HASH_BYTES);
  /** A `size_t` that C overwrites with what it used: set before each call. */
  readonly #length = new Uint32Array(2);
  readonly #lengthBytes = new Uint8Array(this.#length.buffer);

  constructor(c: Libcrypto) {
    this.#c = c;
    this.name = `libcrypto ${foreign.text(c.OpenSSL_version(VERSION_NUMBER_TEXT)!)}`;
    const cipher = found(
      c.EVP_CIPHER_fetch(null, cString("ChaCha20-Poly1305"), null),
      "ChaCha20-Poly1305",
    );
    this.#aead = new AeadContext(c, cipher);
    this.#digest = found(c.EVP_MD_fetch(null, cString("BLAKE2S-256"), null), "BLAKE2s");
    this.#digestContext = found(c.EVP_MD_CTX_new(), "memory");
    const mac = found(c.EVP_MAC_fetch(null, cString("BLAKE2SMAC"), null), "keyed BLAKE2s");
    this.#macContext = found(c.EVP_MAC_CTX_new(mac), "memory");
    this.#keyContext = found(
      c.EVP_PKEY_CTX_new_from_name(null, cString("X25519"), null),
      "X25519",
    );
    if (c.EVP_PKEY_fromdata_init(this.#keyContext) !== 1) found(null, "X25519 keys");
    this.#layScratch();
  }

  #layScratch(): void {
    const { bytes } = this.#scratch;
    bytes.set(cString("size"), AT.SIZE_NAME);
    bytes.set(cString("priv"), AT.PRIVATE_NAME);
    bytes.set(cString("pub"), AT.PUBLIC_NAME);
    this.#putParam(AT.MAC_PARAMS, AT.SIZE_NAME, OSSL_TYPE.UNSIGNED_INTEGER, AT.SIZE, 8);
    const octets = OSSL_TYPE.OCTET_STRING;
    this.#putParam(AT.KEY_PARAMS, AT.PRIVATE_NAME, octets, AT.PRIVATE, KEY_BYTES);
    const second = AT.KEY_PARAMS + OSSL_PARAM.BYTES;
    this.#putParam(second, AT.PUBLIC_NAME, octets, AT.PUBLIC, KEY_BYTES);
  }

  #putParam(at: number, name: number, type: number, data: number, bytes: number): void {
    const { view, address } = this.#scratch;
    writeAddress(view, at + OSSL_PARAM.KEY, address + name);
    view.setUint32(at + OSSL_PARAM.TYPE, type, true);
    writeAddress(view, at + OSSL_PARAM.DATA, address + data);
    view.setUint32(at + OSSL_PARAM.SIZE, bytes, true);
  }

  random(output: Uint8Array): void {
    done(this.#c.RAND_bytes(output, output.length), "draw random bytes");
  }

  hash(output: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void {
    assertLength("output", output, HASH_BYTES);
    this.#hashBegin();
    this.#hashAdd(input1);
    if (input2 !== undefined) this.#hashAdd(input2);
    this.#hashEnd(output);
  }

  #hashBegin(): void {
    done(this.#c.EVP_DigestInit_ex(this.#digestContext, this.#digest, null), "hash");
  }

  #hashAdd(input: Uint8Array): void {
    done(this.#c.EVP_DigestUpdate(this.#digestContext, input, cSize(input.length)), "hash");
  }

  #hashEnd(output: Uint8Array): void {
    done(this.#c.EVP_DigestFinal_ex(this.#digestContext, output, null), "hash");
  }

  mac(output: Uint8Array, key: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void {
    if (key.length === 0 || key.length > KEY_BYTES || output.length > HASH_BYTES) {
      throw new RangeError(`Cannot make a MAC of ${output.length} bytes by a key of ${key.length}`);
    }
    const c = this.#c;
    const context = this.#macContext;
    const params = this.#scratch.pointerAt(AT.MAC_PARAMS);
    this.#scratch.view.setUint32(AT.SIZE, output.length, true);
    done(c.EVP_MAC_init(context, key, cSize(key.length), params), "make a MAC");
    done(c.EVP_MAC_update(context, input1, cSize(input1.length)), "make a MAC");
    if (input2 !== undefined) {
      done(c.EVP_MAC_update(context, input2, cSize(input2.length)), "make a MAC");
    }
    done(c.EVP_MAC_final(context, output, null, cSize(output.length)), "make a MAC");
  }

  hmac(output: Uint8Array, key: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void {
    assertLength("output", output, HASH_BYTES);
    const block = this.#block;
    block.fill(0);
    if (key.length > HASH_BLOCK_BYTES) this.hash(block.subarray(0, HASH_BYTES), key);
    else block.set(key);
    for (let index = 0; index < HASH_BLOCK_BYTES; index++) block[index]! ^= HMAC_INNER;
    this.#hashBegin();
    this.#hashAdd(block);
    this.#hashAdd(input1);
    if (input2 !== undefined) this.#hashAdd(input2);
    this.#hashEnd(this.#inner);
    for (let index = 0; index < HASH_BLOCK_BYTES; index++) {
      block[index]! ^= HMAC_INNER ^ HMAC_OUTER;
    }
    this.#hashBegin();
    this.#hashAdd(block);
    this.#hashAdd(this.#inner);
    this.#hashEnd(output);
    block.fill(0);
    this.#inner.fill(0);
  }

  x25519(output: Uint8Array, secretKey: Uint8Array, publicKey: Uint8Array): boolean {
    assertLength("output", output, KEY_BYTES);
    assertLength("public key", publicKey, KEY_BYTES);
    const c = this.#c;
    const own = this.#privateKey(secretKey);
    const peer = found(
      c.EVP_PKEY_new_raw_public_key(X25519, null, publicKey, cSize(KEY_BYTES)),
      "memory",
    );
    const context = found(c.EVP_PKEY_CTX_new(own, null), "memory");
    this.#setLength(KEY_BYTES);
    const derived = c.EVP_PKEY_derive_init(context) === 1 &&
      c.EVP_PKEY_derive_set_peer(context, peer) === 1 &&
      c.EVP_PKEY_derive(context, output, this.#lengthBytes) === 1;
    c.EVP_PKEY_CTX_free(context);
    c.EVP_PKEY_free(peer);
    c.EVP_PKEY_free(own);
    if (!derived) {
      // OpenSSL refuses a shared secret of zero (RFC 7748 §6.1) and says so in its list of errors.
      c.ERR_clear_error();
      output.fill(0);
    }
    return derived;
  }

  /**
   * Makes a private key by its parameters, with a public key that is a mere placeholder. By
   * EVP_PKEY_new_raw_private_key OpenSSL would work the public key out, which costs as much as the exchange itself
   * (52 against 29 µs) and plays no part in it: the self test would notice if it did.
   */
  #privateKey(secretKey: Uint8Array): Pointer {
    assertLength("secret key", secretKey, KEY_BYTES);
    const { bytes, view } = this.#scratch;
    bytes.set(secretKey, AT.PRIVATE);
    bytes.fill(0, AT.KEY_RESULT, AT.KEY_RESULT + 8);
    const result = this.#scratch.pointerAt(AT.KEY_RESULT);
    const params = this.#scratch.pointerAt(AT.KEY_PARAMS);
    const made = this.#c.EVP_PKEY_fromdata(this.#keyContext, result, KEY_PAIR, params);
    bytes.fill(0, AT.PRIVATE, AT.PRIVATE + KEY_BYTES);
    done(made, "make a key");
    const low = view.getUint32(AT.KEY_RESULT, true);
    const high = view.getUint32(AT.KEY_RESULT + 4, true);
    return foreign.pointer(high * 0x1_0000_0000 + low);
  }

  x25519Public(output: Uint8Array, secretKey: Uint8Array): void {
    assertLength("output", output, KEY_BYTES);
    assertLength("secret key", secretKey, KEY_BYTES);
    const c = this.#c;
    const key = found(
      c.EVP_PKEY_new_raw_private_key(X25519, null, secretKey, cSize(KEY_BYTES)),
      "memory",
    );
    this.#setLength(KEY_BYTES);
    const status = c.EVP_PKEY_get_raw_public_key(key, output, this.#lengthBytes);
    c.EVP_PKEY_free(key);
    done(status, "work out a public key");
  }

  #setLength(bytes: number): void {
    this.#length[0] = bytes;
    this.#length[1] = 0;
  }

  aeadSeal(
    output: Uint8Array,
    key: Uint8Array,
    plaintext: Uint8Array,
    associated: Uint8Array,
  ): void {
    this.#seal(output, key, EMPTY_NONCE, plaintext, associated);
  }

  aeadOpen(
    output: Uint8Array,
    key: Uint8Array,
    sealed: Uint8Array,
    associated: Uint8Array,
  ): boolean {
    return this.#unseal(output, key, EMPTY_NONCE, sealed, associated);
  }

  xaeadSeal(
    output: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    plaintext: Uint8Array,
    associated: Uint8Array,
  ): void {
    const subkey = longNonceKey(key, nonce);
    this.#seal(output, subkey, longNonceRest(nonce), plaintext, associated);
    subkey.fill(0);
  }

  xaeadOpen(
    output: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    associated: Uint8Array,
  ): boolean {
    const subkey = longNonceKey(key, nonce);
    const opened = this.#unseal(output, subkey, longNonceRest(nonce), sealed, associated);
    subkey.fill(0);
    return opened;
  }

  aeadKey(key: Uint8Array): AeadKey {
    return new LibcryptoAeadKey(this.#aead, key);
  }

  #seal(
    output: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    plaintext: Uint8Array,
    associated: Uint8Array,
  ): void {
    assertAead(output.subarray(0, -TAG_BYTES), key, plaintext.length);
    const c = this.#c;
    const { length, params, tag } = this.#aead;
    const context = this.#aead.open(key);
    const sealed = c.encryptInit(context, null, null, nonce, null) === 1 &&
      (associated.length === 0 ||
        c.encryptUpdate(context, null, length, associated, associated.length) === 1) &&
      (plaintext.length === 0 ||
        c.encryptUpdate(context, output, length, plaintext, plaintext.length) === 1) &&
      c.EVP_EncryptFinal_ex(context, length, length) === 1 &&
      c.EVP_CIPHER_CTX_get_params(context, params) === 1;
    c.EVP_CIPHER_CTX_free(context);
    if (!sealed) throw new Error("Cannot seal a message: OpenSSL failed");
    output.set(tag, plaintext.length);
  }

  #unseal(
    output: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    associated: Uint8Array,
  ): boolean {
    const plaintextBytes = plaintextLength(sealed);
    if (plaintextBytes < 0) return false;
    assertAead(output, key, plaintextBytes);
    const c = this.#c;
    const { length, params, tag } = this.#aead;
    const context = this.#aead.open(key);
    tag.set(sealed.subarray(plaintextBytes));
    const opened = c.decryptInit(context, null, null, nonce, null) === 1 &&
      c.EVP_CIPHER_CTX_set_params(context, params) === 1 &&
      (associated.length === 0 ||
        c.decryptUpdate(context, null, length, associated, associated.length) === 1) &&
      (plaintextBytes === 0 ||
        c.decryptUpdate(context, output, length, sealed, plaintextBytes) === 1) &&
      c.EVP_DecryptFinal_ex(context, length, length) === 1;
    c.EVP_CIPHER_CTX_free(context);
    return opened;
  }
}

/** Key of ChaCha20-Poly1305 for one long nonce: HChaCha20 of its first 16 bytes (draft-irtf-cfrg-xchacha-03 §2.2). */
function longNonceKey(key: Uint8Array, nonce: Uint8Array): Uint8Array {
  assertLength("key", key, KEY_BYTES);
  assertLength("nonce", nonce, LONG_NONCE_BYTES);
  const keyWords = new Uint32Array(key.slice().buffer);
  const nonceWords = new Uint32Array(nonce.slice(0, 16).buffer);
  const subkey = new Uint32Array(KEY_BYTES / 4);
  hchacha(SIGMA, keyWords, nonceWords, subkey);
  keyWords.fill(0);
  return new Uint8Array(subkey.buffer);
}

/** Nonce that goes with it: 4 zero bytes and the last 8 (ibid. §2.3). */
function longNonceRest(nonce: Uint8Array): Uint8Array {
  const rest = new Uint8Array(NONCE_BYTES);
  rest.set(nonce.subarray(16), 4);
  return rest;
}

/** Passes on what OpenSSL made. @throws {LibraryError} If it made nothing. */
function found(pointer: Pointer | null, what: string): Pointer {
  if (pointer === null) throw new LibraryError(LIBCRYPTO.title, [`it gives no ${what}`]);
  return pointer;
}

/** Asserts that a call that cannot fail did not. */
function done(status: number, action: string): void {
  if (status !== 1) throw new Error(`Cannot ${action}: OpenSSL failed`);
}
