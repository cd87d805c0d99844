/**
 * FFI of Bun: translates the table of `signatures.ts` for `dlopen` of `bun:ffi`.
 *
 * `bun:ffi` is fetched at run time by name, so that Deno and bundlers never meet an import of it.
 */
import { existsSync, readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
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
  const path = trustedPath(file);
  const functions: Record<string, unknown> = {};
  const plain: Record<string, { args: readonly string[]; returns: string }> = {};
  for (const [name, { symbol = name, parameters, result }] of Object.entries(table)) {
    const definition = {
      args: parameters.map((kind) => PARAMETERS[kind]),
      returns: RESULTS[result],
    };
    if (symbol === name) plain[name] = definition;
    else functions[name] = ffi.dlopen(path, { [symbol]: definition }).symbols[symbol];
  }
  return Object.assign(functions, ffi.dlopen(path, plain).symbols) as CFunctions<T>;
}

/** Where Linux distributions put libraries, for those that the process has not loaded yet. */
const LIBRARY_DIRECTORIES = [
  ...["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"],
  ...["/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu"],
  ...["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib64", "/usr/local/lib"],
];

/**
 * Finds a library by ourselves, because what the system does not have Bun loads from the working directory, where
 * anybody may have put it while tunlog runs as root. A library that is loaded already (the C library) is found by name.
 *
 * @throws {Error} If it is nowhere.
 */
function trustedPath(file: string): string {
  if (readFileSync("/proc/self/maps", "utf8").includes(`/${file}\n`)) return file;
  const own = (process.env["LD_LIBRARY_PATH"] ?? "").split(":").filter((path) => isAbsolute(path));
  for (const directory of [...own, ...LIBRARY_DIRECTORIES]) {
    const path = join(directory, file);
    if (existsSync(path)) return path;
  }
  throw new Error(`${file}: in none of the system's library directories`);
}
