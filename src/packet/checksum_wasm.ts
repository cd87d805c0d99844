/**
 * Internet checksums in WebAssembly SIMD: five times as fast as TypeScript (docs/design/0005-offloads.md).
 *
 * In: memory made here, and ranges of it. Out: sums as checksum.ts describes them. Guarantees: the memory never
 * moves; code is compiled once per thread; where the runtime has no SIMD, there is no WasmSums and nobody is told.
 * The module is assembled below, instruction by instruction (WebAssembly 2.0 §5), so that no tool chain is needed.
 */
import type { NativeBuffer } from "../ports.ts";
import type { BufferSums } from "./checksum.ts";

const PAGE_BYTES = 65_536;

/** Which memory an array buffer belongs to. */
const memories = new WeakMap<ArrayBufferLike, WebAssembly.Memory>();

/** Makes zeroed memory of at least `byteLength` bytes that WebAssembly addresses; it never grows, so never moves. */
export function wasmMemory(byteLength: number): ArrayBufferLike {
  const pages = Math.ceil(byteLength / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  memories.set(memory.buffer, memory);
  return memory.buffer;
}

/** Functions of the module. All three numbers are addresses or lengths in bytes. */
interface SumExports {
  sum(at: number, length: number, unused: number): number;
  copy(at: number, length: number, target: number): number;
}

/** Sums by machine code. */
export class WasmSums implements BufferSums {
  readonly name = "webassembly";
  readonly #exports: SumExports;
  /** Where the buffer starts in its memory. */
  readonly #start: number;

  private constructor(exports: SumExports, start: number) {
    this.#exports = exports;
    this.#start = start;
  }

  /** Returns the sums over a buffer; null when it lies in other memory or the runtime has no SIMD. */
  static over(buffer: NativeBuffer): WasmSums | null {
    const memory = memories.get(buffer.bytes.buffer);
    const module = memory === undefined ? null : sumModule();
    if (memory === undefined || module === null) return null;
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    return new WasmSums(exports as unknown as SumExports, buffer.bytes.byteOffset);
  }

  sum(offset: number, length: number): number {
    return this.#exports.sum(this.#start + offset, length, 0);
  }

  copy(offset: number, length: number, target: number): number {
    return this.#exports.copy(this.#start + offset, length, this.#start + target);
  }
}

let compiled: WebAssembly.Module | null | undefined;

function sumModule(): WebAssembly.Module | null {
  if (compiled === undefined) {
    const bytes = Uint8Array.from(assemble());
    compiled = WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : null;
  }
  return compiled;
}

// ---- Assembler: code is a list of bytes -----------------------------------------------------------------------------

const TYPE = { I32: 0x7f, V128: 0x7b, FUNCTION: 0x60, NONE: 0x40 } as const;
/** Locals of both functions: three parameters, and what locals() declares. */
const LOCAL = { AT: 0, LENGTH: 1, TARGET: 2, END: 3, SUM: 4, WORD: 5, EVEN: 6, ODD: 7, LANES: 8 };

const I32_ADD = [0x6a];
const I32_GT_U = [0x4b];
const I32_LT_U = [0x49];
const I32_AND = [0x71];
const I32_OR = [0x72];
const I32_SHL = [0x74];
const I32_SHR_U = [0x76];
const END = [0x0b];

/** Unsigned LEB128 (§5.2.2). */
function leb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)];
}

/** i32.const of a number from 0 on; signed LEB128, so a set bit 6 at the end takes one more byte. */
function constant(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 0x3f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [0x41, ...bytes, value];
}

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
/** Memory access of no stated alignment, `offset` behind the address on the stack. */
const access = (code: number[], offset: number): number[] => [...code, 0, ...leb(offset)];
const simd = (code: number): number[] => [0xfd, ...leb(code)];
const V128_LOAD = simd(0);
const V128_STORE = simd(11);
const I32X4_ADD = simd(0xae);
/** Adds neighbouring 16-bit lanes into 32-bit lanes. */
const I32X4_EXTADD_I16X8_U = simd(0x7f);
const I32X4_EXTRACT_LANE = simd(0x1b);
const I32_LOAD8_U = [0x2d];
const I32_LOAD16_U = [0x2f];
const I32_STORE8 = [0x3a];
const I32_STORE16 = [0x3b];

/** Loads from AT + offset and, when copying, stores at TARGET + offset. Leaves the value on the stack. */
function take(load: number[], store: number[] | null, local: number, offset: number): number[] {
  const value = [...get(LOCAL.AT), ...access(load, offset)];
  if (store === null) return value;
  return [
    ...value,
    ...set(local),
    ...get(LOCAL.TARGET),
    ...get(local),
    ...access(store, offset),
    ...get(local),
  ];
}

/** Moves AT, and TARGET when copying. */
function advance(bytes: number, copying: boolean): number[] {
  const pointers = copying ? [LOCAL.AT, LOCAL.TARGET] : [LOCAL.AT];
  return pointers.flatMap((local) => [
    ...get(local),
    ...constant(bytes),
    ...I32_ADD,
    ...set(local),
  ]);
}

/** Runs `body` for as long as `bytes` more bytes lie before END. */
function whileRoom(bytes: number, copying: boolean, body: number[]): number[] {
  return [
    ...[0x02, TYPE.NONE, 0x03, TYPE.NONE],
    ...[...get(LOCAL.AT), ...constant(bytes), ...I32_ADD, ...get(LOCAL.END), ...I32_GT_U],
    ...[0x0d, 1], // br_if: out of the block.
    ...body,
    ...advance(bytes, copying),
    ...[0x0c, 0], // br: the loop once more.
    ...[...END, ...END],
  ];
}

/** Adds 16 bytes at AT + offset to the lanes of `lanes`. */
function addVector(offset: number, lanes: number, copying: boolean): number[] {
  return [
    ...take(V128_LOAD, copying ? V128_STORE : null, LOCAL.LANES, offset),
    ...I32X4_EXTADD_I16X8_U,
    ...get(lanes),
    ...I32X4_ADD,
    ...set(lanes),
  ];
}

/** SUM = its high and low half, added. */
const FOLD = [
  ...[...get(LOCAL.SUM), ...constant(0xffff), ...I32_AND],
  ...[...get(LOCAL.SUM), ...constant(16), ...I32_SHR_U],
  ...[...I32_ADD, ...set(LOCAL.SUM)],
];

/** SUM += what lies on the stack. */
const ADD_TO_SUM = [...get(LOCAL.SUM), ...I32_ADD, ...set(LOCAL.SUM)];

/** Sums little-endian words, as the machine loads them, and swaps the sum's bytes in the end (RFC 1071 §2 (B)). */
function sumFunction(copying: boolean): number[] {
  // All words of SUM_BYTES_MAX together stay below 2^32.
  const lane = (index: number) => [
    ...get(LOCAL.EVEN),
    ...I32X4_EXTRACT_LANE,
    index,
    ...ADD_TO_SUM,
  ];
  const code = [
    ...[...get(LOCAL.AT), ...get(LOCAL.LENGTH), ...I32_ADD, ...set(LOCAL.END)],
    // Two sets of lanes, so that additions need not wait for one another.
    ...whileRoom(64, copying, [
      ...addVector(0, LOCAL.EVEN, copying),
      ...addVector(16, LOCAL.ODD, copying),
      ...addVector(32, LOCAL.EVEN, copying),
      ...addVector(48, LOCAL.ODD, copying),
    ]),
    ...whileRoom(16, copying, addVector(0, LOCAL.EVEN, copying)),
    ...[...get(LOCAL.EVEN), ...get(LOCAL.ODD), ...I32X4_ADD, ...set(LOCAL.EVEN)],
    ...[0, 1, 2, 3].flatMap(lane),
    ...whileRoom(2, copying, [
      ...take(I32_LOAD16_U, copying ? I32_STORE16 : null, LOCAL.WORD, 0),
      ...ADD_TO_SUM,
    ]),
    ...[...get(LOCAL.AT), ...get(LOCAL.END), ...I32_LT_U, 0x04, TYPE.NONE],
    ...take(I32_LOAD8_U, copying ? I32_STORE8 : null, LOCAL.WORD, 0),
    ...ADD_TO_SUM,
    ...END,
    ...FOLD,
    ...FOLD,
    ...[...get(LOCAL.SUM), ...constant(8), ...I32_SHR_U],
    ...[...get(LOCAL.SUM), ...constant(0xff), ...I32_AND, ...constant(8), ...I32_SHL, ...I32_OR],
    ...END,
  ];
  const locals = [2, ...[3, TYPE.I32], ...[3, TYPE.V128]];
  const body = [...locals, ...code];
  return [...leb(body.length), ...body];
}

function section(id: number, items: number[][]): number[] {
  const body = [...leb(items.length), ...items.flat()];
  return [id, ...leb(body.length), ...body];
}

function name(text: string): number[] {
  return [text.length, ...new TextEncoder().encode(text)];
}

/** The module: memory in, sum and copy out. */
function assemble(): number[] {
  const { I32 } = TYPE;
  return [
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [[TYPE.FUNCTION, 3, I32, I32, I32, 1, I32]]),
    // A memory without a stated maximum takes one of any size.
    ...section(2, [[...name("env"), ...name("memory"), 2, 0, 1]]),
    ...section(3, [[0], [0]]),
    ...section(7, [[...name("sum"), 0, 0], [...name("copy"), 0, 1]]),
    ...section(10, [sumFunction(false), sumFunction(true)]),
  ];
}
