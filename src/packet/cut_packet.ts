/**
 * Decoding of packets that a capture has cut off (snaplen).
 *
 * In: the bytes that are there, and how many there were. Out: what decode() says of the whole packet, as far as its headers
 * were captured: addresses, length, protocol, and ports if all four bytes of them are there.
 */
import { decode, INFO } from "./decode.ts";
import { KEY } from "./key.ts";

/** No IP packet is longer: 40 bytes of IPv6 header and 65,535 behind it. */
const PACKET_BYTES_MAX = 40 + 65_535;
/** Source and destination port. */
const PORTS_BYTES = 4;

/** Reads cut packets as if zeros followed. */
export class CutPacketDecoder {
  readonly #bytes = new Uint8Array(PACKET_BYTES_MAX);
  readonly #view = new DataView(this.#bytes.buffer);
  /** Bytes that are not zero any more. */
  #used = 0;

  /**
   * Decodes a packet.
   * @param capturedBytes What is there of it.
   * @param wireBytes What there was.
   * @returns One of DECODE.
   */
  decode(
    view: DataView,
    offset: number,
    capturedBytes: number,
    wireBytes: number,
    key: Uint32Array,
    info: Uint32Array,
  ): number {
    const copied = Math.min(capturedBytes, PACKET_BYTES_MAX);
    this.#bytes.set(new Uint8Array(view.buffer, view.byteOffset + offset, copied));
    if (copied < this.#used) this.#bytes.fill(0, copied, this.#used);
    this.#used = copied;
    const length = Math.min(wireBytes, PACKET_BYTES_MAX);
    // Addresses that are made of zeros are none.
    const addressesEnd = this.#bytes[0] >>> 4 === 6 ? 40 : 20;
    const status = decode(this.#view, 0, copied < addressesEnd ? copied : length, key, info);
    const transportOffset = info[INFO.TRANSPORT_OFFSET];
    if (status === 0 && transportOffset > 0 && copied < transportOffset + PORTS_BYTES) {
      key[KEY.PORTS] = 0;
      info[INFO.DETAIL] = 0;
    }
    return status;
  }
}
