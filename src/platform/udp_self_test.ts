/**
 * Tries whether the kernel does what it says of UDP_SEGMENT and UDP_GRO.
 *
 * In: two sockets of one family on this machine. Out: which of their offloads may be trusted. A kernel that takes the
 * options and then refuses, drops or mangles what they are for is found out before a tunnel depends on them.
 * Where nothing passes at all (loopback down or filtered), nothing is known and all is trusted: the data plane steps
 * down by itself when a path refuses.
 */
import { refusesSegments } from "../errors.ts";
import {
  ENDPOINT,
  ENDPOINT_WORDS,
  type PacketBatch,
  type UdpOffloads,
  type UdpPort,
} from "../ports.ts";
import { allocateNative } from "./native_buffer.ts";

/** Lengths of the datagrams of the one entry that is sent: two of a size and a shorter last one, as the rule is. */
const LENGTHS = [1_000, 1_000, 500];
const TOTAL_BYTES = LENGTHS.reduce((sum, length) => sum + length, 0);
/** Room for the entry joined again, and for a mistake. */
const SLOT_BYTES = 4_096;

/** Sends one entry of several datagrams from `sender` to `receiver` and looks at what comes. */
export function verifyOffloads(sender: UdpPort, receiver: UdpPort): UdpOffloads {
  const told = {
    segmentation: sender.offloads.segmentation,
    coalescing: receiver.offloads.coalescing,
  };
  if (!told.segmentation) return told;
  const out = smallBatch(1);
  out.buffer.bytes.forEach((_, at) => out.buffer.bytes[at] = at * 7 ^ at >>> 8);
  out.length[0] = TOTAL_BYTES;
  out.segmentBytes[0] = LENGTHS[0]!;
  out.count = 1;
  toLoopback(out.endpoint, receiver);
  const sent = sender.send(out, 0);
  if (sent < 0) return { ...told, segmentation: !refusesSegments(-sent) };
  const received = smallBatch(LENGTHS.length + 1);
  const entries = receiver.receive(received);
  if (entries <= 0) return told;
  if (isAsSent(received, entries, out.buffer.bytes)) return told;
  // Where nothing was joined, joining is not to blame.
  const joined = received.segmentBytes.subarray(0, entries).some((bytes) => bytes !== 0);
  return { segmentation: false, coalescing: told.coalescing && !joined };
}

/** Whether the entries are the datagrams of LENGTHS, joined or not, with their bytes. */
function isAsSent(batch: PacketBatch, entries: number, bytes: Uint8Array): boolean {
  const lengths: number[] = [];
  let at = 0;
  for (let entry = 0; entry < entries; entry++) {
    const start = batch.offset[entry]!;
    const length = batch.length[entry]!;
    // One that was cut off has a length of its own kind.
    if (at + length > TOTAL_BYTES) return false;
    for (let byte = 0; byte < length; byte++) {
      if (batch.buffer.bytes[start + byte] !== bytes[at + byte]) return false;
    }
    at += length;
    const segmentBytes = batch.segmentBytes[entry]! || length;
    for (let left = length; left > 0; left -= segmentBytes) {
      lengths.push(Math.min(segmentBytes, left));
    }
  }
  return lengths.join() === LENGTHS.join();
}

function smallBatch(capacity: number): PacketBatch {
  return {
    buffer: allocateNative(capacity * SLOT_BYTES),
    capacity,
    slotBytes: SLOT_BYTES,
    headroomBytes: 0,
    count: 0,
    limit: capacity,
    offset: Uint32Array.from({ length: capacity }, (_, slot) => slot * SLOT_BYTES),
    length: new Uint32Array(capacity),
    segmentBytes: new Uint32Array(capacity),
    endpoint: new Uint32Array(capacity * ENDPOINT_WORDS),
  };
}

/** Writes the endpoint of a socket of this machine. */
function toLoopback(endpoint: Uint32Array, { family, port }: UdpPort): void {
  endpoint[ENDPOINT.FAMILY] = family;
  endpoint[ENDPOINT.PORT] = port;
  endpoint[ENDPOINT.ADDRESS + 2] = family === 4 ? 0xffff : 0;
  endpoint[ENDPOINT.ADDRESS + 3] = family === 4 ? 0x7f00_0001 : 1;
}
