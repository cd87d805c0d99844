/**
 * The one table of C functions that tunlog calls, as data. `ffi_deno.ts` and `ffi_bun.ts` translate it for their
 * runtime; nothing else in the program says what a C function looks like.
 *
 * Kinds of parameters:
 * - `i32`, `u32`: C int and unsigned int; also enumerations, descriptors and socklen_t.
 * - `size`: size_t and unsigned long. Deno takes 80-300 ns to convert a number to it, so functions on the packet path
 *   are chosen or declared without it, and handshakes pass bigints made beforehand (cSize of ffi.ts).
 * - `pointer`: address made beforehand (see native_buffer.ts), 2-3 ns. `null` is NULL.
 * - `buffer`: Uint8Array whose first byte C is to see during the call only, 8-24 ns. `null` is NULL.
 *
 * Results of type ssize_t are declared `i32`: no call of ours moves 2 GiB, and -1 keeps its sign.
 */

/** Kind of one parameter. */
export type CParameter = "i32" | "u32" | "size" | "pointer" | "buffer";

/** Kind of a result. A `pointer` result is null iff C returned NULL. */
export type CResult = "void" | "i32" | "u32" | "pointer";

/** One C function. */
export interface CSignature {
  /** Name in the library, when it differs from the table's: one C function declared in two ways. */
  readonly symbol?: string;
  readonly parameters: readonly CParameter[];
  readonly result: CResult;
}

/** The functions of one library by name. */
export type CTable = Readonly<Record<string, CSignature>>;

/** A library: file names to try in turn, and what is called in it. */
export interface CLibrary<T extends CTable> {
  /** How people call it. */
  readonly title: string;
  readonly files: readonly string[];
  readonly functions: T;
}

function signature<const P extends readonly CParameter[], const R extends CResult>(
  parameters: P,
  result: R,
  symbol?: string,
): { readonly parameters: P; readonly result: R; readonly symbol?: string } {
  return symbol === undefined ? { parameters, result } : { parameters, result, symbol };
}

/**
 * C library. `open` and `ioctl` are variadic in C; on Linux x86-64 and arm64 their arguments travel in the same
 * registers as those of an ordinary function.
 */
export const LIBC = {
  title: "C library",
  files: ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"],
  functions: {
    /** int *__errno_location(void): address of this thread's errno. */
    __errno_location: signature([], "pointer"),

    // Files.
    open: signature(["buffer", "i32", "u32"], "i32"),
    close: signature(["i32"], "i32"),
    read: signature(["i32", "buffer", "size"], "i32"),
    write: signature(["i32", "buffer", "size"], "i32"),

    // The packet path of TUN: iovecs stand in memory, so that no size_t is passed.
    readv: signature(["i32", "pointer", "i32"], "i32"),
    writev: signature(["i32", "pointer", "i32"], "i32"),

    // Device control. The kernel takes the request as unsigned int.
    ioctl: signature(["i32", "u32", "buffer"], "i32"),
    ioctlValue: signature(["i32", "u32", "size"], "i32", "ioctl"),

    // Sockets.
    socket: signature(["i32", "i32", "i32"], "i32"),
    bind: signature(["i32", "buffer", "u32"], "i32"),
    getsockname: signature(["i32", "buffer", "buffer"], "i32"),
    getsockopt: signature(["i32", "i32", "i32", "buffer", "buffer"], "i32"),
    setsockopt: signature(["i32", "i32", "i32", "buffer", "u32"], "i32"),
    send: signature(["i32", "buffer", "size", "i32"], "i32"),
    recv: signature(["i32", "buffer", "size", "i32"], "i32"),
    sendmmsg: signature(["i32", "pointer", "u32", "i32"], "i32"),
    recvmmsg: signature(["i32", "pointer", "u32", "i32", "pointer"], "i32"),

    // Waiting. nfds_t is unsigned long in C, but the kernel takes unsigned int.
    poll: signature(["pointer", "u32", "i32"], "i32"),
    eventfd: signature(["u32", "i32"], "i32"),
    clock_gettime: signature(["i32", "pointer"], "i32"),

    // The process.
    geteuid: signature([], "u32"),
    getpid: signature([], "i32"),
  },
} as const satisfies CLibrary<CTable>;

/**
 * OpenSSL 3.0 or newer. OpenSSL 1.1 and LibreSSL lack EVP_MAC_fetch and so fail to load, as they should: their
 * BLAKE2s takes no key.
 * Lengths of EVP_*Update of ciphers are int; those of digests are size_t, which only handshakes use.
 */
export const LIBCRYPTO = {
  title: "OpenSSL 3",
  files: ["libcrypto.so.3", "libcrypto.so"],
  functions: {
    OpenSSL_version: signature(["i32"], "pointer"),
    ERR_clear_error: signature([], "void"),
    RAND_bytes: signature(["buffer", "i32"], "i32"),

    // AEAD on the packet path: pointers made beforehand.
    EVP_CIPHER_fetch: signature(["pointer", "buffer", "pointer"], "pointer"),
    EVP_CIPHER_CTX_new: signature([], "pointer"),
    EVP_CIPHER_CTX_free: signature(["pointer"], "void"),
    EVP_EncryptInit_ex2: signature(["pointer", "pointer", "pointer", "pointer", "pointer"], "i32"),
    EVP_EncryptUpdate: signature(["pointer", "pointer", "pointer", "pointer", "i32"], "i32"),
    EVP_EncryptFinal_ex: signature(["pointer", "pointer", "pointer"], "i32"),
    EVP_DecryptInit_ex2: signature(["pointer", "pointer", "pointer", "pointer", "pointer"], "i32"),
    EVP_DecryptUpdate: signature(["pointer", "pointer", "pointer", "pointer", "i32"], "i32"),
    EVP_DecryptFinal_ex: signature(["pointer", "pointer", "pointer"], "i32"),
    EVP_CIPHER_CTX_get_params: signature(["pointer", "pointer"], "i32"),
    EVP_CIPHER_CTX_set_params: signature(["pointer", "pointer"], "i32"),
    // The same for handshakes: any bytes.
    encryptInit: signature(
      ["pointer", "pointer", "buffer", "buffer", "pointer"],
      "i32",
      "EVP_EncryptInit_ex2",
    ),
    encryptUpdate: signature(
      ["pointer", "buffer", "pointer", "buffer", "i32"],
      "i32",
      "EVP_EncryptUpdate",
    ),
    decryptInit: signature(
      ["pointer", "pointer", "buffer", "buffer", "pointer"],
      "i32",
      "EVP_DecryptInit_ex2",
    ),
    decryptUpdate: signature(
      ["pointer", "buffer", "pointer", "buffer", "i32"],
      "i32",
      "EVP_DecryptUpdate",
    ),

    // BLAKE2s, keyed BLAKE2s.
    EVP_MD_fetch: signature(["pointer", "buffer", "pointer"], "pointer"),
    EVP_MD_CTX_new: signature([], "pointer"),
    EVP_DigestInit_ex: signature(["pointer", "pointer", "pointer"], "i32"),
    EVP_DigestUpdate: signature(["pointer", "buffer", "size"], "i32"),
    EVP_DigestFinal_ex: signature(["pointer", "buffer", "pointer"], "i32"),
    EVP_MAC_fetch: signature(["pointer", "buffer", "pointer"], "pointer"),
    EVP_MAC_CTX_new: signature(["pointer"], "pointer"),
    EVP_MAC_init: signature(["pointer", "buffer", "size", "pointer"], "i32"),
    EVP_MAC_update: signature(["pointer", "buffer", "size"], "i32"),
    EVP_MAC_final: signature(["pointer", "buffer", "pointer", "size"], "i32"),

    // X25519.
    EVP_PKEY_CTX_new_from_name: signature(["pointer", "buffer", "pointer"], "pointer"),
    EVP_PKEY_fromdata_init: signature(["pointer"], "i32"),
    EVP_PKEY_fromdata: signature(["pointer", "pointer", "i32", "pointer"], "i32"),
    EVP_PKEY_new_raw_private_key: signature(["i32", "pointer", "buffer", "size"], "pointer"),
    EVP_PKEY_new_raw_public_key: signature(["i32", "pointer", "buffer", "size"], "pointer"),
    EVP_PKEY_get_raw_public_key: signature(["pointer", "buffer", "buffer"], "i32"),
    EVP_PKEY_free: signature(["pointer"], "void"),
    EVP_PKEY_CTX_new: signature(["pointer", "pointer"], "pointer"),
    EVP_PKEY_CTX_free: signature(["pointer"], "void"),
    EVP_PKEY_derive_init: signature(["pointer"], "i32"),
    EVP_PKEY_derive_set_peer: signature(["pointer", "pointer"], "i32"),
    EVP_PKEY_derive: signature(["pointer", "buffer", "buffer"], "i32"),
  },
} as const satisfies CLibrary<CTable>;
