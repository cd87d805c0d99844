/**
 * Coalescing: neighbouring packets of one flow, as super-packets that a TUN device takes in one write.
 *
 * In: the packets of one batch, decoded, in the order of their arrival. Out: groups, each of the parts that one
 * writev(2) takes and the words of its virtio header. Guarantees: segmenting a group gives its packets again, byte
 * for byte; packets of one flow keep their order; nothing is copied, and only headers of first packets are changed,
 * in finish(). Not here: writing.
 */
import type { NativeBuffer } from "../ports.ts";
import { VIRTIO_WORDS } from "./virtio.ts";

/** What the device takes. */
export interface CoalescerOptions {
  /** Most packets between begin() and finish(). */
  readonly capacity: number;
  /** Whether the device takes super-packets of TCP (TUN_F_TSO4, TUN_F_TSO6). */
  readonly tcp: boolean;
  /** Whether the device takes super-packets of UDP (TUN_F_USO4, TUN_F_USO6). */
  readonly udp: boolean;
}

/** Makes super-packets of packets that lie in one buffer. Group arrays are valid from finish() to the next begin(). */
export class Coalescer {
  /** Groups; group `g` is one write. In the order of their first packets. */
  groupCount = 0;
  /** Per group: its first part. */
  readonly groupPart: Uint32Array;
  /** Per group: parts, and so packets: part 0 is a whole packet, each other one the payload of one more. */
  readonly groupParts: Uint32Array;
  /** Per group: IP bytes of its packets as they came in, which is what is counted. */
  readonly groupIpBytes: Uint32Array;
  /** Per group: bytes of all its parts, virtio header not included: what the write has to take. */
  readonly groupBytes: Uint32Array;
  /** Per group VIRTIO_WORDS words. */
  readonly groupVirtio: Uint32Array;
  /** Per part: where it lies in the buffer. */
  readonly partOffset: Uint32Array;
  /** Per part: its length. */
  readonly partLength: Uint32Array;

  constructor(readonly buffer: NativeBuffer, options: CoalescerOptions) {
    const { capacity } = options;
    this.groupPart = new Uint32Array(capacity);
    this.groupParts = new Uint32Array(capacity);
    this.groupIpBytes = new Uint32Array(capacity);
    this.groupBytes = new Uint32Array(capacity);
    this.groupVirtio = new Uint32Array(capacity * VIRTIO_WORDS);
    this.partOffset = new Uint32Array(capacity);
    this.partLength = new Uint32Array(capacity);
  }

  /** Forgets the batch before. */
  begin(): void {
    this.groupCount = 0;
  }

  /** Whether the next add() needs finish() and begin() first. */
  get full(): boolean {
    return false;
  }

  /**
   * Takes one packet, which must stay where it is until it is written.
   * @param length Its length by its own header, without padding (INFO.IP_BYTES).
   * @param key Flow key of decode(); read, not kept. Ports that a fragment cache filled in are welcome.
   * @param info Words of decode(); read, not kept.
   */
  add(_offset: number, _length: number, _key: Uint32Array, _info: Uint32Array): void {}

  /** Makes the groups: fills the arrays above and changes the headers of packets that others were joined to. */
  finish(): void {}
}
