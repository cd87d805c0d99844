/** Slow twin of segment.ts: headers and a slice of payload, then every field from its definition. */
import { setIpv4Checksum, setTransportChecksum } from "./checksum_twin.ts";

/** Where the parts of a packet are. */
export interface PacketShape {
  /** Bytes up to the transport header. */
  readonly transport: number;
  /** Bytes up to the payload. */
  readonly header: number;
  /** 6 or 17. */
  readonly proto: number;
}

/** Returns the packets of a super-packet; one packet comes back with its checksums made. */
export function segmentTwin(
  packet: Uint8Array,
  { transport, header, proto }: PacketShape,
  segmentBytes: number,
): Uint8Array[] {
  const payload = packet.subarray(header);
  const slices: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < payload.length; at += segmentBytes) {
    slices.push(payload.subarray(at, at + segmentBytes));
  }
  return slices.map((slice, index) => {
    const bytes = new Uint8Array(header + slice.length);
    bytes.set(packet.subarray(0, header));
    bytes.set(slice, header);
    const view = new DataView(bytes.buffer);
    if (bytes[0] >>> 4 === 4) {
      view.setUint16(2, bytes.length);
      view.setUint16(4, view.getUint16(4) + index);
      setIpv4Checksum(bytes);
    } else {
      view.setUint16(4, bytes.length - 40);
    }
    if (proto === 17) {
      view.setUint16(transport + 4, bytes.length - transport);
    } else {
      view.setUint32(transport + 4, view.getUint32(transport + 4) + index * segmentBytes);
      if (index < slices.length - 1) bytes[transport + 13] &= ~(1 | 8);
      if (index > 0) bytes[transport + 13] &= ~128;
    }
    setTransportChecksum(bytes, transport, proto);
    return bytes;
  });
}
