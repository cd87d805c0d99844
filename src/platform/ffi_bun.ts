/**
 * FFI of Bun: translates the table of `signatures.ts` for `dlopen` of `bun:ffi`.
 *
 * `bun:ffi` is fetched at run time by name, so that Deno and bundlers never meet an import of it.
 */
import process from "node:process";
import type { CFunctions, Foreign, Pointer } from "./ffi.ts";
import type { CParameter, CResult, CTable } from "./signatures.ts";

/** The part of `bun:ffi` that is used here. */
interface BunFfi {
  dlopen(
    file: string,
    symbols: Record<string, { args: readonly string[]; returns: string }>,
  ): { symbols: Record<string, (...args: unknown[]) => unknown> };
  ptr(bytes: ArrayBufferView): number;
  toArrayBuffer(pointer: number, byteOffset: number, byteLength: number): ArrayBuffer;
  CString: new (pointer: number) => { toString(): string };
}

const PARAMETERS: Record<CParameter, string> = {
  i32: "i32",
  u32: "u32",
  size: "usize",
  pointer: "ptr",
  buffer: "ptr",
};

const RESULTS: Record<CResult, string> = { void: "void", i32: "i32", u32: "u32", pointer: "ptr" };

/** Makes the FFI of Bun. */
export function bunForeign(): Foreign {
  const { getBuiltinModule } = process as unknown as { getBuiltinModule(name: string): unknown };
  const ffi = getBuiltinModule("bun:ffi") as BunFfi;
  return {
    load: (file, table) => load(ffi, file, table),
    addressOf: (bytes) => (bytes.length === 0 ? 0 : ffi.ptr(bytes)),
    pointer: (address) => address as unknown as Pointer,
    address: (pointer) => pointer as unknown as number,
    memory: (pointer, byteLength) => ffi.toArrayBuffer(pointer as unknown as number, 0, byteLength),
    text: (pointer) => new ffi.CString(pointer as unknown as number).toString(),
    allowed: () => true,
  };
}

/**
 * Bun looks functions up by their key in the table, so one that is declared a second time under another name needs a
 * second `dlopen`. The dynamic linker counts both as one library.
 */
function load<T extends CTable>(ffi: BunFfi, file: string, table: T): CFunctions<T> {
  const functions: Record<string, unknown> = {};
  for (const [name, { symbol = name, parameters, result }] of Object.entries(table)) {
    if (symbol === name) continue;
    const definition = {
      args: parameters.map((kind) => PARAMETERS[kind]),
      returns: RESULTS[result],
    };
    functions[name] = ffi.dlopen(file, { [symbol]: definition }).symbols[symbol];
  }
  const plain: Record<string, { args: readonly string[]; returns: string }> = {};
  for (const [name, { symbol = name, parameters, result }] of Object.entries(table)) {
    if (symbol !== name) continue;
    plain[name] = { args: parameters.map((kind) => PARAMETERS[kind]), returns: RESULTS[result] };
  }
  return Object.assign(functions, ffi.dlopen(file, plain).symbols) as CFunctions<T>;
}
