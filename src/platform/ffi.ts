/**
 * Calls to C, the same on Deno and Bun.
 *
 * In: a library of `signatures.ts`. Out: its functions, typed by the table. The runtime's own FFI is reached only by
 * `ffi_deno.ts` and `ffi_bun.ts`.
 *
 * Guarantees: a library is loaded once per thread, at its first use; what is missing (permission, file, function)
 * is one sentence in a PermissionError or LibraryError. Calls are synchronous and never made `nonblocking`, because
 * errno would then belong to another thread.
 */
import { LibraryError, PermissionError } from "../errors.ts";
import { bunForeign } from "./ffi_bun.ts";
import { denoForeign } from "./ffi_deno.ts";
import type { CLibrary, CParameter, CResult, CSignature, CTable } from "./signatures.ts";

declare const POINTER: unique symbol;

/** Address that C understands: an object on Deno, a number on Bun. Opaque; NULL is `null`. */
export interface Pointer {
  readonly [POINTER]: true;
}

interface ParameterTypes {
  i32: number;
  u32: number;
  size: number | bigint;
  pointer: Pointer | null;
  buffer: Uint8Array | null;
}

interface ResultTypes {
  void: void;
  i32: number;
  u32: number;
  pointer: Pointer | null;
}

type ArgumentsOf<P extends readonly CParameter[]> = {
  -readonly [I in keyof P]: ParameterTypes[P[I]];
};

/** JavaScript's view of one C function. */
export type CFunction<S extends CSignature> = (
  ...args: ArgumentsOf<S["parameters"]>
) => ResultTypes[S["result"] & CResult];

/** JavaScript's view of a library. */
export type CFunctions<T extends CTable> = { readonly [N in keyof T]: CFunction<T[N]> };

/** What a runtime's FFI must be able to do; one implementation each for Deno and Bun. */
export interface Foreign {
  /** Loads `file` and looks up all of `table`. @throws {Error} If the file or a function is missing. */
  load<T extends CTable>(file: string, table: T): CFunctions<T>;
  /** Address of the first byte of `bytes`, whose memory must not move: see native_buffer.ts. */
  addressOf(bytes: Uint8Array): number;
  /** Pointer of an address, which is below 2^53 in user space on all of Linux. */
  pointer(address: number): Pointer;
  /** Address of a pointer. */
  address(pointer: Pointer): number;
  /** Memory of C as an ArrayBuffer; valid as long as C keeps it. */
  memory(pointer: Pointer, byteLength: number): ArrayBuffer;
  /** Text up to the closing zero. */
  text(pointer: Pointer): string;
  /** Whether calls to `file` are allowed. Never asks the user. */
  allowed(file: string): boolean;
}

/** Whether this is Bun; the rest runs on Deno. */
export const IS_BUN: boolean = "Bun" in globalThis;

/** FFI of the runtime that this runs on. */
export const foreign: Foreign = IS_BUN ? bunForeign() : denoForeign();

/**
 * Loads a library, trying its file names in turn.
 *
 * @throws {PermissionError} If the runtime does not allow calls to C.
 * @throws {LibraryError} If no file can be loaded, or a function is missing in it.
 */
export function loadLibrary<T extends CTable>(library: CLibrary<T>): CFunctions<T> {
  const problems: string[] = [];
  for (const file of library.files) {
    if (!foreign.allowed(file)) {
      throw new PermissionError(`load ${library.title} (${file})`, "ffi");
    }
    try {
      return foreign.load(file, library.functions);
    } catch (cause) {
      problems.push(cause instanceof Error ? cause.message : String(cause));
    }
  }
  throw new LibraryError(library.title, problems);
}

/** size_t values made beforehand. The longest handshake message has 148 bytes; HMAC blocks and cookies are shorter. */
const SIZES: readonly bigint[] = Array.from({ length: 513 }, (_, size) => BigInt(size));

/**
 * Returns a length as a `size` parameter wants it: Deno takes 80-300 ns to convert a number, 3 ns for a bigint that is
 * there already (a hash of 148 bytes: 640 against 330 ns). Bun takes both alike.
 */
export function cSize(length: number): number | bigint {
  return SIZES[length] ?? length;
}

/** Text as C wants it: UTF-8 with a closing zero. @throws {RangeError} If it has a zero inside. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new RangeError(`Cannot pass text with a zero byte to C: "${text}"`);
  }
  return new TextEncoder().encode(`${text}\0`);
}
