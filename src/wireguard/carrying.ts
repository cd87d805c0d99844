/**
 * What the packet path needs of the protocol: the shapes behind which the whole of it (wireguard.ts) or, in a further
 * worker, the established sessions alone (carrier.ts) stand.
 *
 * In: packets, datagrams, the time. Out: sealed or opened packets in place. Not here: handshakes, configuration.
 */
import type { NativeBuffer } from "../ports.ts";

/** A peer as the packet path sees it. */
export interface CarriedPeer {
  /** Small integer, reused after removal. */
  readonly slot: number;
  /** Where the peer is, see ENDPOINT. */
  readonly endpoint: Uint32Array;
  /** Family of overlayAddress: 4, 6, or 0 when the peer has no AllowedIPs. */
  readonly overlayFamily: number;
  /** First single address among the peer's AllowedIPs, else base of the first; as in ENDPOINT. */
  readonly overlayAddress: Uint32Array;
  /** Counts datagrams that the data plane sent; bytes are their UDP payload. */
  addTx(datagrams: number, bytes: number): void;
  /** Counts authentic datagrams that the data plane received. */
  addRx(datagrams: number, bytes: number): void;
}

/** See file header. What seals and receives goes by the time that was set last. */
export interface Carrying {
  /** The peer whose AllowedIPs are the longest match of the packet's destination. @param offset Of its IP header. */
  peerByDestination(view: DataView, offset: number): CarriedPeer | null;
  /** Whether the peer's AllowedIPs are the longest match of the packet's source. @param offset Of its IP header. */
  sourceAllowed(peer: CarriedPeer, view: DataView, offset: number): boolean;
  /**
   * Seals a packet in place: the TRANSPORT_HEADER_BYTES before `offset` become the header, padding and tag go
   * behind. The buffer has PADDING_BYTES - 1 + TAG_BYTES to spare there.
   * @returns Length of the datagram, which starts at `offset` - TRANSPORT_HEADER_BYTES; or one of SEAL.
   */
  seal(peer: CarriedPeer, buffer: NativeBuffer, offset: number, length: number): number;
  /**
   * Takes any datagram that came in. What is rejected leaves everything as it was.
   * @param endpoints Words of endpoints; it came from the one at `endpointOffset`.
   * @param result RESULT_WORDS words, written.
   * @returns One of RECEIVE.
   */
  receive(
    buffer: NativeBuffer,
    offset: number,
    length: number,
    endpoints: Uint32Array,
    endpointOffset: number,
    result: Uint32Array,
  ): number;
  /** The peer of `slot`, as a result of receive names it. */
  peer(slot: number): CarriedPeer;
  /** The data plane says that more comes in than it can do, or that it is over. Holds for a second. */
  setUnderLoad(underLoad: boolean, nowMs: number): void;
  /** Sets the time for what is sealed and received from now on. Once per batch will do. */
  setTime(nowMs: number, wallMs: number): void;
  /** When tick is to be called next, on the scale of nowMs; Infinity = not until something happens. */
  readonly nextDeadlineMs: number;
  /** Runs the timers that are due. */
  tick(nowMs: number, wallMs: number): void;
}
