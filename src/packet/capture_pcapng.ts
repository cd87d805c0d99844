/**
 * Blocks of pcapng files (draft-ietf-opsawg-pcapng).
 *
 * In: blocks. Out: packets of enhanced, simple and obsolete packet blocks. Sections may differ in byte order; interfaces
 * have link types, resolutions and offsets of time of their own; other blocks are skipped, whatever their length.
 */
import { CAPTURE_INTERFACES_MAX, CAPTURE_RECORD_BYTES_MAX } from "../limits.ts";
import {
  BYTE_ORDER_MAGIC_AT,
  type CapturedPacket,
  type CaptureFormat,
  wrong,
} from "./capture_format.ts";

const BLOCK = {
  SECTION: 0x0a0d0d0a,
  INTERFACE: 1,
  /** Obsolete, but written by old tools. */
  PACKET: 2,
  SIMPLE_PACKET: 3,
  ENHANCED_PACKET: 6,
} as const;
const READ_BLOCKS: readonly number[] = Object.values(BLOCK);

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** Type, length, and length again at the end. */
const BLOCK_BYTES_MIN = 12;
const BODY_AT = 8;
/** Bytes of the fixed part of each body. */
const BODY_BYTES_MIN: Readonly<Record<number, number>> = {
  [BLOCK.SECTION]: 16,
  [BLOCK.INTERFACE]: 8,
  [BLOCK.PACKET]: 20,
  [BLOCK.SIMPLE_PACKET]: 4,
  [BLOCK.ENHANCED_PACKET]: 20,
};
const OPTION = { END: 0, TIME_RESOLUTION: 9, TIME_OFFSET: 14 } as const;

/** One interface of a section. */
interface CaptureInterface {
  readonly linkType: number;
  /** 0 = no limit. */
  readonly snapBytes: number;
  readonly unitsPerMs: number;
  readonly offsetMs: number;
}

/** See file header. */
export class PcapngFormat implements CaptureFormat {
  readonly #visit: (packet: CapturedPacket) => void;
  #isLittle = false;
  #interfaces: CaptureInterface[] = [];
  readonly #packet: CapturedPacket = {
    view: new DataView(new ArrayBuffer(0)),
    offset: 0,
    capturedBytes: 0,
    wireBytes: 0,
    wallMs: 0,
    linkType: 0,
  };

  constructor(visit: (packet: CapturedPacket) => void) {
    this.#visit = visit;
  }

  read(view: DataView, at: number, end: number, fileOffset: number): number {
    if (end - at < BLOCK_BYTES_MIN) return 0;
    // The same in both byte orders.
    if (view.getUint32(at) === BLOCK.SECTION) {
      this.#isLittle = isLittleSection(view, at, fileOffset);
      this.#interfaces = [];
    }
    const type = view.getUint32(at, this.#isLittle);
    const bytes = view.getUint32(at + 4, this.#isLittle);
    if (bytes < BLOCK_BYTES_MIN || bytes % 4 !== 0) {
      throw wrong(`a block states ${bytes} bytes`, fileOffset + at);
    }
    if (!READ_BLOCKS.includes(type)) return bytes;
    if (bytes > CAPTURE_RECORD_BYTES_MAX) {
      throw wrong(`a block states ${bytes} bytes`, fileOffset + at);
    }
    if (bytes < BLOCK_BYTES_MIN + BODY_BYTES_MIN[type]) {
      throw wrong(`a block of type ${type} states only ${bytes} bytes`, fileOffset + at);
    }
    if (end - at < bytes) return 0;
    const repeated = view.getUint32(at + bytes - 4, this.#isLittle);
    if (repeated !== bytes) {
      throw wrong(`a block states ${bytes} bytes and then ${repeated}`, fileOffset + at);
    }
    try {
      this.#readBody(type, view, at + BODY_AT, at + bytes - 4);
    } catch (error) {
      // Thrown by #readBody, which does not know where it is.
      throw error instanceof BlockError ? wrong(error.message, fileOffset + at) : error;
    }
    return bytes;
  }

  #readBody(type: number, view: DataView, at: number, end: number): void {
    const isLittle = this.#isLittle;
    switch (type) {
      case BLOCK.SECTION: {
        const major = view.getUint16(at + 4, isLittle);
        if (major !== 1) throw new BlockError(`version ${major} of pcapng is not known`);
        break;
      }
      case BLOCK.INTERFACE:
        if (this.#interfaces.length >= CAPTURE_INTERFACES_MAX) {
          throw new BlockError(`a section has more than ${CAPTURE_INTERFACES_MAX} interfaces`);
        }
        this.#interfaces.push(readInterface(view, at, end, isLittle));
        break;
      case BLOCK.ENHANCED_PACKET:
        this.#readPacket(view, at, end, view.getUint32(at, isLittle));
        break;
      case BLOCK.PACKET:
        // Its number of drops stands where the other's interface has its upper half.
        this.#readPacket(view, at, end, view.getUint16(at, isLittle));
        break;
      case BLOCK.SIMPLE_PACKET:
        this.#readSimplePacket(view, at, end);
        break;
    }
  }

  #readPacket(view: DataView, at: number, end: number, index: number): void {
    const { unitsPerMs, offsetMs, linkType } = this.#interface(index);
    const isLittle = this.#isLittle;
    const capturedBytes = view.getUint32(at + 12, isLittle);
    if (capturedBytes > end - at - 20) {
      throw new BlockError(`a packet states ${capturedBytes} bytes, more than its block`);
    }
    const packet = this.#packet;
    const units = view.getUint32(at + 4, isLittle) * 2 ** 32 + view.getUint32(at + 8, isLittle);
    packet.view = view;
    packet.offset = at + 20;
    packet.capturedBytes = capturedBytes;
    packet.wireBytes = Math.max(capturedBytes, view.getUint32(at + 16, isLittle));
    packet.wallMs = units / unitsPerMs + offsetMs;
    packet.linkType = linkType;
    this.#visit(packet);
  }

  /** Simple packets belong to the first interface and have no time. */
  #readSimplePacket(view: DataView, at: number, end: number): void {
    const { linkType, snapBytes } = this.#interface(0);
    const wireBytes = view.getUint32(at, this.#isLittle);
    const capturedBytes = snapBytes === 0 ? wireBytes : Math.min(wireBytes, snapBytes);
    if (capturedBytes > end - at - 4) {
      throw new BlockError(`a packet states ${capturedBytes} bytes, more than its block`);
    }
    const packet = this.#packet;
    packet.view = view;
    packet.offset = at + 4;
    packet.capturedBytes = capturedBytes;
    packet.wireBytes = wireBytes;
    packet.wallMs = NaN;
    packet.linkType = linkType;
    this.#visit(packet);
  }

  #interface(index: number): CaptureInterface {
    if (index < this.#interfaces.length) return this.#interfaces[index];
    throw new BlockError(`a packet names interface ${index} of ${this.#interfaces.length}`);
  }
}

/** What is wrong within a block. */
class BlockError extends Error {}

function isLittleSection(view: DataView, at: number, fileOffset: number): boolean {
  for (const isLittle of [false, true]) {
    if (view.getUint32(at + BYTE_ORDER_MAGIC_AT, isLittle) === BYTE_ORDER_MAGIC) return isLittle;
  }
  throw wrong("a section does not state its byte order", fileOffset + at);
}

function readInterface(
  view: DataView,
  at: number,
  end: number,
  isLittle: boolean,
): CaptureInterface {
  let unitsPerMs = 1e3;
  let offsetMs = 0;
  for (let option = at + 8; option + 4 <= end;) {
    const code = view.getUint16(option, isLittle);
    const bytes = view.getUint16(option + 2, isLittle);
    const value = option + 4;
    if (code === OPTION.END) break;
    if (value + bytes > end) throw new BlockError("an option is longer than its block");
    if (code === OPTION.TIME_RESOLUTION && bytes === 1) {
      const exponent = view.getUint8(value);
      // The highest bit tells powers of two from powers of ten.
      unitsPerMs = (exponent < 0x80 ? 10 ** exponent : 2 ** (exponent & 0x7f)) / 1e3;
    }
    if (code === OPTION.TIME_OFFSET && bytes === 8) {
      offsetMs = Number(view.getBigInt64(value, isLittle)) * 1e3;
    }
    option = value + Math.ceil(bytes / 4) * 4;
  }
  const linkType = view.getUint16(at, isLittle);
  return { linkType, snapBytes: view.getUint32(at + 4, isLittle), unitsPerMs, offsetMs };
}
