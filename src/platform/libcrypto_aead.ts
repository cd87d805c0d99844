/**
 * ChaCha20-Poly1305 (RFC 8439) of OpenSSL 3 through FFI: one EVP context a key, four calls a packet, nothing allocated.
 *
 * The tag is read and set by EVP_CIPHER_CTX_get_params and _set_params with an OSSL_PARAM whose data address is
 * written before the call: so it needs no pointer object of its own, and saves the translation that
 * EVP_CIPHER_CTX_ctrl does (20 ns of 400 for 64 B, 10 of 790 for 1420 B, tests/bench/platform_bench.ts).
 */
import { TAG_BYTES } from "../limits.ts";
import type { AeadKey, NativeBuffer } from "../ports.ts";
import {
  assertInside,
  assertLength,
  KEY_BYTES,
  NONCE_BYTES,
  writeCounter,
} from "./crypto_shape.ts";
import { type CFunctions, cString, type Pointer } from "./ffi.ts";
import {
  allocateNative,
  type NativeMemory,
  nativeMemoryOf,
  writeAddress,
} from "./native_buffer.ts";
import type { LIBCRYPTO } from "./signatures.ts";

/** Functions of OpenSSL. */
export type Libcrypto = CFunctions<typeof LIBCRYPTO.functions>;

/** `OSSL_PARAM` of openssl/core.h on 64-bit machines; an array of them ends with one of zeroes. */
export const OSSL_PARAM = {
  KEY: 0,
  TYPE: 8,
  DATA: 16,
  SIZE: 24,
  RETURN_SIZE: 32,
  BYTES: 40,
} as const;
/** Types of OSSL_PARAM. Source: openssl/core.h. */
export const OSSL_TYPE = { UNSIGNED_INTEGER: 2, OCTET_STRING: 5 } as const;

/** What is where in the scratch memory. */
const AT = { NONCE: 0, LENGTH: 16, TAG: 32, TAG_NAME: 48, PARAMS: 64, BYTES: 64 + 2 * 40 } as const;

/** Memory that all keys of a thread use during a call, and the cipher. */
export class AeadContext {
  readonly scratch: NativeMemory = allocateNative(AT.BYTES);
  readonly nonce: Pointer = this.scratch.pointerAt(AT.NONCE);
  /** Where EVP writes how many bytes it has written, which is always all. */
  readonly length: Pointer = this.scratch.pointerAt(AT.LENGTH);
  readonly params: Pointer = this.scratch.pointerAt(AT.PARAMS);
  /** Address of `tag`. */
  readonly tagAddress: number = this.scratch.address + AT.TAG;
  /** Tag of a message that is not in native memory. */
  readonly tag: Uint8Array = this.scratch.bytes.subarray(AT.TAG, AT.TAG + TAG_BYTES);

  constructor(readonly c: Libcrypto, readonly cipher: Pointer) {
    const { view, bytes, address } = this.scratch;
    bytes.set(cString("tag"), AT.TAG_NAME);
    writeAddress(view, AT.PARAMS + OSSL_PARAM.KEY, address + AT.TAG_NAME);
    view.setUint32(AT.PARAMS + OSSL_PARAM.TYPE, OSSL_TYPE.OCTET_STRING, true);
    view.setUint32(AT.PARAMS + OSSL_PARAM.SIZE, TAG_BYTES, true);
  }

  setCounter(counter: number): void {
    writeCounter(this.scratch.view, AT.NONCE, counter);
  }

  /** Says where the tag is read from or written to. */
  setTagAddress(address: number): void {
    writeAddress(this.scratch.view, AT.PARAMS + OSSL_PARAM.DATA, address);
  }

  /** Makes an EVP context that has the cipher and `key`. */
  open(key: Uint8Array): Pointer {
    assertLength("key", key, KEY_BYTES);
    const ctx = this.c.EVP_CIPHER_CTX_new();
    if (ctx === null) throw new Error("Cannot make a cipher context: OpenSSL is out of memory");
    if (this.c.encryptInit(ctx, this.cipher, key, ZERO_NONCE, null) !== 1) {
      this.c.EVP_CIPHER_CTX_free(ctx);
      throw new Error("Cannot set a key: OpenSSL refuses ChaCha20-Poly1305");
    }
    return ctx;
  }
}

const ZERO_NONCE = new Uint8Array(NONCE_BYTES);

/** AeadKey whose key lies in OpenSSL's memory only, which EVP_CIPHER_CTX_free wipes. */
export class LibcryptoAeadKey implements AeadKey {
  readonly #c: Libcrypto;
  readonly #shared: AeadContext;
  #ctx: Pointer | null;

  constructor(shared: AeadContext, key: Uint8Array) {
    this.#c = shared.c;
    this.#shared = shared;
    this.#ctx = shared.open(key);
  }

  seal(buffer: NativeBuffer, offset: number, length: number, counter: number): void {
    assertInside(buffer, offset, length + TAG_BYTES);
    const c = this.#c;
    const shared = this.#shared;
    const ctx = this.#context();
    const native = nativeMemoryOf(buffer);
    const text = native.pointerAt(offset);
    shared.setCounter(counter);
    shared.setTagAddress(native.address + offset + length);
    const done = c.EVP_EncryptInit_ex2(ctx, null, null, shared.nonce, null) &
      c.EVP_EncryptUpdate(ctx, text, shared.length, text, length) &
      c.EVP_EncryptFinal_ex(ctx, text, shared.length) &
      c.EVP_CIPHER_CTX_get_params(ctx, shared.params);
    if (done !== 1) throw new Error("Cannot seal a packet: OpenSSL failed");
  }

  open(buffer: NativeBuffer, offset: number, length: number, counter: number): boolean {
    assertInside(buffer, offset, length);
    if (length < TAG_BYTES) return false;
    const c = this.#c;
    const shared = this.#shared;
    const ctx = this.#context();
    const native = nativeMemoryOf(buffer);
    const text = native.pointerAt(offset);
    const textBytes = length - TAG_BYTES;
    shared.setCounter(counter);
    shared.setTagAddress(native.address + offset + textBytes);
    const done = c.EVP_DecryptInit_ex2(ctx, null, null, shared.nonce, null) &
      c.EVP_CIPHER_CTX_set_params(ctx, shared.params) &
      c.EVP_DecryptUpdate(ctx, text, shared.length, text, textBytes) &
      c.EVP_DecryptFinal_ex(ctx, text, shared.length);
    return done === 1;
  }

  destroy(): void {
    if (this.#ctx === null) return;
    this.#c.EVP_CIPHER_CTX_free(this.#ctx);
    this.#ctx = null;
  }

  /** C would follow a freed context without a word. */
  #context(): Pointer {
    if (this.#ctx === null) throw new Error("Cannot use a key that was destroyed");
    return this.#ctx;
  }
}
