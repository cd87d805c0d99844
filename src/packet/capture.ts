/**
 * Reads capture files as a stream: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).
 *
 * In: bytes in pieces, cut anywhere. Out: packets, one at a time, in an object that is used again. Both byte orders;
 * pcap with micro- and nanoseconds; pcapng in capture_pcapng.ts. Guarantees: what is no capture is a SyntaxError that says
 * where, and nothing else is thrown; at most one record or block is held, CAPTURE_RECORD_BYTES_MAX.
 * Not here: what the packets' bytes mean (link_layer.ts, decode.ts).
 */
import { CAPTURE_RECORD_BYTES_MAX } from "../limits.ts";
import { PcapngFormat } from "./capture_pcapng.ts";
import {
  BYTE_ORDER_MAGIC_AT,
  type CapturedPacket,
  type CaptureFormat,
  wrong,
} from "./capture_format.ts";

export type { CapturedPacket } from "./capture_format.ts";

/** Files begin with one of these; the first is told by its bytes in either order. */
const MAGIC = {
  MICROSECONDS: 0xa1b2c3d4,
  NANOSECONDS: 0xa1b23c4d,
  PCAPNG: 0x0a0d0d0a,
  GZIP: 0x1f8b,
} as const;

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;

/** See file header. */
export class CaptureReader {
  readonly #visit: (packet: CapturedPacket) => void;
  #format: CaptureFormat | null = null;
  /** What is not read yet: bytes of #view from #at to #end. */
  #buffer = new Uint8Array(0);
  #view = new DataView(this.#buffer.buffer);
  #at = 0;
  #end = 0;
  /** Bytes to come that nobody wants. */
  #skip = 0;
  /** Position in the file of the buffer's start. */
  #offset = 0;

  /** @param visit Called with each packet; must keep neither it nor its bytes. */
  constructor(visit: (packet: CapturedPacket) => void) {
    this.#visit = visit;
  }

  /** Reads the next piece; not kept. After an error the reader is of no more use. @throws {SyntaxError} */
  push(bytes: Uint8Array): void {
    this.#append(bytes);
    this.#format ??= this.#begin();
    if (this.#format === null) return;
    for (;;) {
      const skipped = Math.min(this.#skip, this.#end - this.#at);
      this.#at += skipped;
      this.#skip -= skipped;
      if (this.#at === this.#end) return;
      const bytesRead = this.#format.read(this.#view, this.#at, this.#end, this.#offset);
      if (bytesRead === 0) return;
      // More than there is: the rest of a block that nobody wants.
      const here = Math.min(bytesRead, this.#end - this.#at);
      this.#at += here;
      this.#skip = bytesRead - here;
    }
  }

  /**
   * Says that nothing follows.
   * @returns Where the file breaks off, as a sentence; null = it is whole.
   */
  end(): string | null {
    const left = this.#end - this.#at;
    if (this.#format === null) {
      return left === 0
        ? "The capture is empty"
        : `The capture breaks off within its header, after ${left} bytes`;
    }
    if (left === 0 && this.#skip === 0) return null;
    return `The capture breaks off within a record, after ${this.#offset + this.#end} bytes`;
  }

  #append(bytes: Uint8Array): void {
    const left = this.#end - this.#at;
    const needed = left + bytes.length;
    this.#offset += this.#at;
    if (this.#buffer.length < needed) {
      const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(this.#at, this.#end));
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer);
    } else {
      this.#buffer.copyWithin(0, this.#at, this.#end);
    }
    this.#buffer.set(bytes, left);
    this.#at = 0;
    this.#end = needed;
  }

  /** Finds the format. @returns null as long as there is too little to tell. */
  #begin(): CaptureFormat | null {
    if (this.#end < 4) return null;
    const view = this.#view;
    if (view.getUint16(0) === MAGIC.GZIP) throw wrong("it is compressed by gzip", 0);
    // The same in both byte orders.
    if (view.getUint32(0) === MAGIC.PCAPNG) {
      return this.#end < BYTE_ORDER_MAGIC_AT + 4 ? null : new PcapngFormat(this.#visit);
    }
    for (const isLittle of [false, true]) {
      const magic = view.getUint32(0, isLittle);
      if (magic !== MAGIC.MICROSECONDS && magic !== MAGIC.NANOSECONDS) continue;
      if (this.#end < FILE_HEADER_BYTES) return null;
      const major = view.getUint16(4, isLittle);
      if (major !== 2) throw wrong(`version ${major} of pcap is not known`, 4);
      this.#at = FILE_HEADER_BYTES;
      const unitsPerMs = magic === MAGIC.MICROSECONDS ? 1e3 : 1e6;
      // Bits above say whether frames have a check sequence.
      const linkType = view.getUint32(20, isLittle) & 0xffff;
      return new PcapFormat({ isLittle, unitsPerMs, linkType }, this.#visit);
    }
    throw wrong("it is neither pcap nor pcapng", 0);
  }
}

/** What a pcap file's header says. */
interface PcapHeader {
  readonly isLittle: boolean;
  readonly unitsPerMs: number;
  readonly linkType: number;
}

/** Records behind a pcap file's header. */
class PcapFormat implements CaptureFormat {
  readonly #header: PcapHeader;
  readonly #visit: (packet: CapturedPacket) => void;
  readonly #packet: CapturedPacket;

  constructor(header: PcapHeader, visit: (packet: CapturedPacket) => void) {
    this.#header = header;
    this.#visit = visit;
    this.#packet = {
      view: new DataView(new ArrayBuffer(0)),
      offset: 0,
      capturedBytes: 0,
      wireBytes: 0,
      wallMs: 0,
      linkType: header.linkType,
    };
  }

  read(view: DataView, at: number, end: number, fileOffset: number): number {
    if (end - at < RECORD_HEADER_BYTES) return 0;
    const { isLittle, unitsPerMs } = this.#header;
    const capturedBytes = view.getUint32(at + 8, isLittle);
    if (capturedBytes > CAPTURE_RECORD_BYTES_MAX) {
      throw wrong(`a record states ${capturedBytes} bytes`, fileOffset + at);
    }
    if (end - at < RECORD_HEADER_BYTES + capturedBytes) return 0;
    const packet = this.#packet;
    packet.view = view;
    packet.offset = at + RECORD_HEADER_BYTES;
    packet.capturedBytes = capturedBytes;
    packet.wireBytes = Math.max(capturedBytes, view.getUint32(at + 12, isLittle));
    packet.wallMs = view.getUint32(at, isLittle) * 1e3 +
      view.getUint32(at + 4, isLittle) / unitsPerMs;
    this.#visit(packet);
    return RECORD_HEADER_BYTES + capturedBytes;
  }
}
