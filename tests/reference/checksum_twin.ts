/** Slow twin of checksum.ts: one 16-bit word after the other, carry added at once (RFC 1071 §1). */

/** Sum of the bytes, not complemented; an odd last byte is a high half. */
export function sumTwin(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2) {
    sum += bytes[index] * 256 + (bytes[index + 1] ?? 0);
    if (sum > 0xffff) sum = sum - 0x10000 + 1;
  }
  return sum;
}

/** Addresses, length and protocol as they are summed (RFC 793 §3.1, RFC 8200 §8.1). */
export function pseudoHeaderTwin(packet: Uint8Array, proto: number, bytes: number): number[] {
  return packet[0] >>> 4 === 4
    ? [...packet.subarray(12, 20), 0, proto, bytes >>> 8, bytes & 0xff]
    : [...packet.subarray(8, 40), 0, 0, bytes >>> 8, bytes & 0xff, 0, 0, 0, proto];
}

/** Writes the checksum of an IPv4 header. */
export function setIpv4Checksum(packet: Uint8Array): void {
  const header = packet.subarray(0, (packet[0] & 15) * 4);
  header.fill(0, 10, 12);
  const checksum = 0xffff - sumTwin(header);
  header.set([checksum >>> 8, checksum & 0xff], 10);
}

/**
 * Writes the checksum of a TCP (6) or UDP (17) header that stands at `at`: the whole one, or the pseudo header's sum.
 * In UDP 0 becomes 0xffff (RFC 768).
 */
export function setTransportChecksum(
  packet: Uint8Array,
  at: number,
  proto: number,
  partial = false,
): void {
  const transport = packet.subarray(at);
  const field = proto === 6 ? 16 : 6;
  transport.fill(0, field, field + 2);
  const pseudo = pseudoHeaderTwin(packet, proto, transport.length);
  const whole = new Uint8Array(pseudo.length + transport.length);
  whole.set(pseudo);
  whole.set(transport, pseudo.length);
  let checksum = partial ? sumTwin(pseudo) : 0xffff - sumTwin(whole);
  if (!partial && proto === 17 && checksum === 0) checksum = 0xffff;
  transport.set([checksum >>> 8, checksum & 0xff], field);
}
