/**
 * ChaCha20-Poly1305 (RFC 8439) of OpenSSL 3 through FFI: one EVP context a key, three or four calls a packet, nothing
 * allocated.
 *
 * Nonce and tag are set by EVP_CIPHER_CTX_set_params, the nonce as TLS's "fixed part", which for this cipher is all of
 * it: EVP_*Init_ex2 with a nonce alone looks up the nonce's length, for several times the price of setting parameters.
 * Sealing 64 B took 577 against 1034 ns, 1424 B 1321 against 1900 (both ways in turns, minimum of 9 rounds, Deno 2.9.6
 * on a busy machine; no benchmark in the repository repeats it yet). An OpenSSL that does otherwise is found out when
 * it is loaded, and gets EVP_*Init_ex2.
 * The OSSL_PARAMs lie in memory of ours and their addresses are written before the call: so they need no pointers.
 * Source: providers/implementations/ciphers/cipher_chacha20_poly1305.c, crypto/evp/evp_enc.c of OpenSSL 3.0.
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
const AT = {
  NONCE: 0,
  LENGTH: 16,
  TAG: 32,
  TAG_NAME: 48,
  NONCE_NAME: 52,
  /** Parameters: the tag; the nonce; both. Each list ends with one of zeroes. */
  TAG_PARAMS: 64,
  NONCE_PARAMS: 64 + 2 * OSSL_PARAM.BYTES,
  BOTH_PARAMS: 64 + 4 * OSSL_PARAM.BYTES,
  BYTES: 64 + 7 * OSSL_PARAM.BYTES,
} as const;

/** Memory that all keys of a thread use during a call, and the cipher. */
export class AeadContext {
  readonly scratch: NativeMemory = allocateNative(AT.BYTES);
  readonly nonce: Pointer = this.scratch.pointerAt(AT.NONCE);
  /** Where EVP writes how many bytes it has written, which is always all. */
  readonly length: Pointer = this.scratch.pointerAt(AT.LENGTH);
  /** Parameters that name the tag, the nonce, and both. */
  readonly params: Pointer = this.scratch.pointerAt(AT.TAG_PARAMS);
  readonly nonceParams: Pointer = this.scratch.pointerAt(AT.NONCE_PARAMS);
  readonly bothParams: Pointer = this.scratch.pointerAt(AT.BOTH_PARAMS);
  /** Where OpenSSL writes and reads tags. */
  readonly tag: Uint8Array = this.scratch.bytes.subarray(AT.TAG, AT.TAG + TAG_BYTES);
  /** Whether a nonce can be set as a parameter. */
  readonly hasNonceParameter: boolean;

  constructor(readonly c: Libcrypto, readonly cipher: Pointer) {
    const { bytes } = this.scratch;
    bytes.set(cString("tag"), AT.TAG_NAME);
    bytes.set(cString("tlsivfixed"), AT.NONCE_NAME);
    this.#putParam(AT.TAG_PARAMS, AT.TAG_NAME, AT.TAG, TAG_BYTES);
    this.#putParam(AT.NONCE_PARAMS, AT.NONCE_NAME, AT.NONCE, NONCE_BYTES);
    this.#putParam(AT.BOTH_PARAMS, AT.NONCE_NAME, AT.NONCE, NONCE_BYTES);
    this.#putParam(AT.BOTH_PARAMS + OSSL_PARAM.BYTES, AT.TAG_NAME, AT.TAG, TAG_BYTES);
    this.hasNonceParameter = takesNonceParameter(this);
  }

  #putParam(at: number, name: number, data: number, bytes: number): void {
    const { view, address } = this.scratch;
    writeAddress(view, at + OSSL_PARAM.KEY, address + name);
    view.setUint32(at + OSSL_PARAM.TYPE, OSSL_TYPE.OCTET_STRING, true);
    writeAddress(view, at + OSSL_PARAM.DATA, address + data);
    view.setUint32(at + OSSL_PARAM.SIZE, bytes, true);
  }

  setCounter(counter: number): void {
    writeCounter(this.scratch.view, AT.NONCE, counter);
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

/** Copies a tag: quicker than telling OpenSSL each time where it lies. */
function copyTag(from: DataView, fromOffset: number, to: DataView, toOffset: number): void {
  for (let at = 0; at < TAG_BYTES; at += 4) {
    to.setInt32(toOffset + at, from.getInt32(fromOffset + at));
  }
}

const ZERO_NONCE = new Uint8Array(NONCE_BYTES);

/** What the context of a key was last initialised for. */
const MODE = { NONE: 0, SEAL: 1, OPEN: 2 } as const;

/** AeadKey whose key lies in OpenSSL's memory only, which EVP_CIPHER_CTX_free wipes. */
export class LibcryptoAeadKey implements AeadKey {
  readonly #c: Libcrypto;
  readonly #shared: AeadContext;
  readonly #hasNonceParameter: boolean;
  #ctx: Pointer | null;
  #mode: number = MODE.NONE;

  /** @param hasNonceParameter Whether to set nonces as parameters. */
  constructor(
    shared: AeadContext,
    key: Uint8Array,
    hasNonceParameter: boolean = shared.hasNonceParameter,
  ) {
    this.#c = shared.c;
    this.#shared = shared;
    this.#hasNonceParameter = hasNonceParameter;
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
    const ready = this.#mode === MODE.SEAL && this.#hasNonceParameter
      ? c.EVP_CIPHER_CTX_set_params(ctx, shared.nonceParams)
      : c.EVP_EncryptInit_ex2(ctx, null, null, shared.nonce, null);
    this.#mode = MODE.SEAL;
    const done = ready &
      c.EVP_EncryptUpdate(ctx, text, shared.length, text, length) &
      c.EVP_EncryptFinal_ex(ctx, text, shared.length) &
      c.EVP_CIPHER_CTX_get_params(ctx, shared.params);
    if (done !== 1) throw new Error("Cannot seal a packet: OpenSSL failed");
    copyTag(shared.scratch.view, AT.TAG, native.view, offset + length);
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
    copyTag(native.view, offset + textBytes, shared.scratch.view, AT.TAG);
    const ready = this.#mode === MODE.OPEN && this.#hasNonceParameter
      ? c.EVP_CIPHER_CTX_set_params(ctx, shared.bothParams)
      : c.EVP_DecryptInit_ex2(ctx, null, null, shared.nonce, null) &
        c.EVP_CIPHER_CTX_set_params(ctx, shared.params);
    this.#mode = MODE.OPEN;
    const done = ready &
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

/** Bytes of the messages by which takesNonceParameter tries: none, less than a block, several. */
const TRIED_BYTES = [0, 5, 64, 200];

/** Seals and opens some messages both ways. @returns Whether the results are the same. */
function takesNonceParameter(shared: AeadContext): boolean {
  const key = new Uint8Array(KEY_BYTES).fill(7);
  const [quick, plain] = [true, false].map((way) => new LibcryptoAeadKey(shared, key, way)) as [
    LibcryptoAeadKey,
    LibcryptoAeadKey,
  ];
  const opener = new LibcryptoAeadKey(shared, key, true);
  const buffers = [allocateNative(256), allocateNative(256)] as const;
  // Twice, because the first message of a context is initialised in any case.
  const isSame = [...TRIED_BYTES, ...TRIED_BYTES].every((length, counter) => {
    for (const [index, sealer] of [quick, plain].entries()) {
      buffers[index]!.bytes.fill(0);
      try {
        sealer.seal(buffers[index]!, 0, length, counter);
      } catch {
        return false;
      }
    }
    if (buffers[0].bytes.some((byte, at) => byte !== buffers[1].bytes[at])) return false;
    buffers[0].bytes[length]! ^= 1;
    return opener.open(buffers[1], 0, length + TAG_BYTES, counter) &&
      buffers[1].bytes.subarray(0, length).every((byte) => byte === 0) &&
      !opener.open(buffers[0], 0, length + TAG_BYTES, counter);
  });
  for (const each of [quick, plain, opener]) each.destroy();
  return isSame;
}
