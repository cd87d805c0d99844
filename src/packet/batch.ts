/**
 * Makes the arrays of a packet batch over memory that the platform gave. In: a buffer and its division into slots.
 * Out: an empty PacketBatch. Not here: the memory itself, which only the platform can make.
 */
import { ENDPOINT_WORDS, type NativeBuffer, type PacketBatch } from "../ports.ts";

/** How a buffer is divided. */
export interface BatchShape {
  /** Most packets. */
  readonly capacity: number;
  /** Bytes from one slot's start to the next, headroom included. */
  readonly slotBytes: number;
  /** Bytes kept free in front of each packet that is read. */
  readonly headroomBytes: number;
}

/** Bytes of buffer that a batch of this shape needs. */
export function batchBytes(shape: BatchShape): number {
  return shape.capacity * shape.slotBytes;
}

/**
 * Makes an empty batch over `buffer`, which stays the caller's.
 * @throws {RangeError} If the buffer is too small or a slot has no room behind its headroom.
 */
export function createBatch(buffer: NativeBuffer, shape: BatchShape): PacketBatch {
  const { capacity, slotBytes, headroomBytes } = shape;
  if (batchBytes(shape) > buffer.bytes.length) {
    throw new RangeError(
      `Cannot divide ${buffer.bytes.length} bytes into ${capacity} slots of ${slotBytes}`,
    );
  }
  if (headroomBytes >= slotBytes) {
    throw new RangeError(`Cannot keep ${headroomBytes} bytes free in a slot of ${slotBytes}`);
  }
  return {
    buffer,
    capacity,
    slotBytes,
    headroomBytes,
    count: 0,
    limit: capacity,
    offset: new Uint32Array(capacity),
    length: new Uint32Array(capacity),
    segmentBytes: new Uint32Array(capacity),
    endpoint: new Uint32Array(capacity * ENDPOINT_WORDS),
  };
}
