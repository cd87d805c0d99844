/**
 * FFI of Deno: translates the table of `signatures.ts` for `Deno.dlopen`.
 *
 * Measured on Deno 2.9: a `pointer` parameter costs 3 ns, a `buffer` 8 ns (24 ns when the view is fresh), a `usize`
 * given a number 80-300 ns.
 */
import { PermissionError } from "../errors.ts";
import type { CFunctions, Foreign, Pointer } from "./ffi.ts";
import type { CParameter, CResult, CTable } from "./signatures.ts";

const PARAMETERS = {
  i32: "i32",
  u32: "u32",
  size: "usize",
  pointer: "pointer",
  buffer: "buffer",
} as const satisfies Record<CParameter, Deno.NativeType>;

const RESULTS = {
  void: "void",
  i32: "i32",
  u32: "u32",
  pointer: "pointer",
} as const satisfies Record<CResult, Deno.NativeResultType>;

/** Makes the FFI of Deno. Touches nothing before it is used, so that missing permissions show at the first call. */
export function denoForeign(): Foreign {
  return { load, addressOf, pointer, address, memory, text, allowed };
}

function load<T extends CTable>(file: string, table: T): CFunctions<T> {
  const symbols: Record<string, Deno.ForeignFunction> = {};
  for (const [name, { symbol, parameters, result }] of Object.entries(table)) {
    symbols[name] = {
      name: symbol ?? name,
      parameters: parameters.map((kind) => PARAMETERS[kind]),
      result: RESULTS[result],
    };
  }
  // The types of Deno cannot follow a table that is built at run time; CFunctions is derived from the same table.
  return Deno.dlopen(file, symbols).symbols as unknown as CFunctions<T>;
}

function addressOf(bytes: Uint8Array): number {
  try {
    // Deno's type leaves shared memory out; its implementation takes it (unit test: shared memory).
    const pointer = Deno.UnsafePointer.of(bytes as Uint8Array<ArrayBuffer>);
    return pointer === null ? 0 : Number(Deno.UnsafePointer.value(pointer));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new PermissionError("address memory for C", "ffi");
    }
    throw cause;
  }
}

function pointer(address: number): Pointer {
  return Deno.UnsafePointer.create(BigInt(address)) as unknown as Pointer;
}

function address(pointer: Pointer): number {
  return Number(Deno.UnsafePointer.value(toDeno(pointer)));
}

function memory(pointer: Pointer, byteLength: number): ArrayBuffer {
  return Deno.UnsafePointerView.getArrayBuffer(toDeno(pointer), byteLength);
}

function text(pointer: Pointer): string {
  return Deno.UnsafePointerView.getCString(toDeno(pointer));
}

function allowed(file: string): boolean {
  return Deno.permissions.querySync({ name: "ffi", path: file }).state === "granted";
}

function toDeno(pointer: Pointer): Deno.PointerObject {
  return pointer as unknown as Deno.PointerObject;
}
