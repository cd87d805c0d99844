/**
 * Memory that TypeScript and C both address.
 *
 * In: a size, or memory that somebody else made. Out: NativeMemory, which is a NativeBuffer with addresses.
 *
 * Guarantees: the memory never moves (it is an ArrayBuffer or SharedArrayBuffer made before any view of it: small
 * typed arrays of V8 and JSC start inside the garbage-collected heap and would move out of it later), starts at a
 * multiple of 8, and lives as long as the NativeMemory or its `bytes`. C knows nothing of that: whoever leaves an
 * address in a structure must keep the NativeMemory for as long as C may follow it.
 */
import type { NativeBuffer } from "../ports.ts";
import { foreign, IS_BUN, type Pointer } from "./ffi.ts";

/** Start addresses are a multiple of this, so that structures of C can lie there. Bun gives small buffers no more. */
const ALIGNMENT_BYTES = 8;
/** Pointers of this many bytes of memory are kept together (see pointerAt). */
const CHUNK_SHIFT = 12;
const CHUNK_MASK = (1 << CHUNK_SHIFT) - 1;
/** Pointers are kept for offsets that are a multiple of 1 << STEP_SHIFT. */
const STEP_SHIFT = 2;
const STEP_MASK = (1 << STEP_SHIFT) - 1;

/** `struct iovec` on 64-bit Linux. */
export const IOVEC = { BASE: 0, LENGTH: 8, BYTES: 16 } as const;

/** A NativeBuffer whose addresses can be given to C. */
export class NativeMemory implements NativeBuffer {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Address of the first byte. */
  readonly address: number;
  /** Pointer to the first byte. */
  readonly pointer: Pointer;
  readonly #chunks: (Pointer | null)[][];

  /**
   * @param memory Not empty and not a view that could move: made by allocateNative, or any ArrayBuffer or
   *   SharedArrayBuffer. Never transfer it to another thread.
   */
  constructor(
    memory: ArrayBufferLike,
    byteOffset = 0,
    byteLength: number = memory.byteLength - byteOffset,
  ) {
    if (byteLength === 0) throw new RangeError("Cannot address memory of 0 bytes");
    this.bytes = new Uint8Array(memory, byteOffset, byteLength);
    this.view = new DataView(memory, byteOffset, byteLength);
    this.address = foreign.addressOf(this.bytes);
    this.pointer = foreign.pointer(this.address);
    this.#chunks = new Array(IS_BUN ? 0 : ((byteLength >>> CHUNK_SHIFT) + 1)).fill(NO_POINTERS);
  }

  /**
   * Pointer to the byte at `offset`, 0 .. byte length; out of range it is undefined behaviour in C, so the
   * caller checks.
   *
   * On Deno a pointer is an object that takes 100 ns to make, so those at multiples of 4 are made once and kept:
   * at most 3 times the buffer's size when each is asked for, in practice one per packet slot. WireGuard
   * messages lie at such offsets unless the MTU is odd. On Bun a pointer is a number.
   */
  pointerAt(offset: number): Pointer {
    if (IS_BUN) return (this.address + offset) as unknown as Pointer;
    if ((offset & STEP_MASK) !== 0) return foreign.pointer(this.address + offset);
    const kept = this.#chunks[offset >>> CHUNK_SHIFT]![(offset & CHUNK_MASK) >>> STEP_SHIFT];
    return kept ?? this.#keepPointer(offset);
  }

  #keepPointer(offset: number): Pointer {
    const index = offset >>> CHUNK_SHIFT;
    if (this.#chunks[index] === NO_POINTERS) {
      this.#chunks[index] = new Array<Pointer | null>((CHUNK_MASK + 1) >>> STEP_SHIFT).fill(null);
    }
    const pointer = foreign.pointer(this.address + offset);
    this.#chunks[index]![(offset & CHUNK_MASK) >>> STEP_SHIFT] = pointer;
    return pointer;
  }
}

/** Stands for every chunk of which no pointer has been asked for yet. */
const NO_POINTERS: (Pointer | null)[] = [];

/** Makes `byteLength` zeroed bytes of native memory, which other threads can map iff `shared`. */
export function allocateNative(byteLength: number, shared = false): NativeMemory {
  const memory = shared ? new SharedArrayBuffer(byteLength) : new ArrayBuffer(byteLength);
  const native = new NativeMemory(memory);
  if (native.address % ALIGNMENT_BYTES !== 0) {
    throw new Error(`Native memory starts at ${native.address}, no multiple of ${ALIGNMENT_BYTES}`);
  }
  return native;
}

const adopted = new WeakMap<NativeBuffer, NativeMemory>();

/**
 * Returns `buffer` as native memory; one that other code made (in-memory twins, tests) gets its addresses at the
 * first call. Costs 2 ns for a NativeMemory.
 */
export function nativeMemoryOf(buffer: NativeBuffer): NativeMemory {
  return buffer instanceof NativeMemory ? buffer : adopt(buffer);
}

function adopt(buffer: NativeBuffer): NativeMemory {
  let native = adopted.get(buffer);
  if (native === undefined) {
    const { buffer: memory, byteOffset, byteLength } = buffer.bytes;
    native = new NativeMemory(memory, byteOffset, byteLength);
    adopted.set(buffer, native);
  }
  return native;
}

/** Writes an address as C's `void *` at `offset`: two little-endian words, without a BigInt. */
export function writeAddress(view: DataView, offset: number, address: number): void {
  view.setUint32(offset, address >>> 0, true);
  view.setUint32(offset + 4, Math.floor(address / 0x1_0000_0000), true);
}
