/**
 * What carriers hand to the protocol's worker, and how it hears of it.
 *
 * In: packets that no session is known for, datagrams that are not of a known session. Out: the same at the other
 * worker. Guarantees: what does not fit is told to the caller, which counts it; the other worker is woken once, however
 * much is handed over before it looks.
 */
import { RELAY_BYTES } from "../limits.ts";
import { ENDPOINT_WORDS, type WakePort } from "../ports.ts";
import { createRelayMemory, RelayRing } from "./relay_ring.ts";
import type { WaitingPackets } from "./staging.ts";

/** Shared memory of one carrier's two rings. */
export interface RelayMemory {
  readonly packets: SharedArrayBuffer;
  readonly datagrams: SharedArrayBuffer;
}

/** Makes the memory of one carrier's rings. */
export function createRelay(bytes = RELAY_BYTES): RelayMemory {
  return { packets: createRelayMemory(bytes), datagrams: createRelayMemory(bytes) };
}

/** Bytes of the shared memory of a Bell. */
export const BELL_BYTES = 4;

/** Wakes the protocol's worker, once until it looks. */
export class Bell {
  readonly #rung: Int32Array;
  readonly #wake: WakePort;

  /** @param wake Of the worker that is to be woken. */
  constructor(memory: SharedArrayBuffer, wake: WakePort) {
    this.#rung = new Int32Array(memory, 0, 1);
    this.#wake = wake;
  }

  /** There is something to look at. Any thread. */
  ring(): void {
    if (Atomics.exchange(this.#rung, 0, 1) === 0) this.#wake.wake();
  }

  /** Before looking. @returns Whether it was rung. The worker that is woken. */
  answer(): boolean {
    if (Atomics.load(this.#rung, 0) === 0) return false;
    Atomics.store(this.#rung, 0, 0);
    return true;
  }
}

/** A carrier's side. */
export class RelayOut implements WaitingPackets {
  readonly #packets: RelayRing;
  readonly #datagrams: RelayRing;
  readonly #bell: Bell;
  readonly #onDropped: (bytes: number) => void;

  /** @param onDropped Told the length of each packet that found no room. */
  constructor(memory: RelayMemory, bell: Bell, onDropped: (bytes: number) => void) {
    this.#packets = new RelayRing(memory.packets, 0);
    this.#datagrams = new RelayRing(memory.datagrams, ENDPOINT_WORDS);
    this.#bell = bell;
    this.#onDropped = onDropped;
  }

  /** Hands over a datagram. @returns Whether there was room. */
  pushDatagram(
    endpoints: Uint32Array,
    endpointOffset: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): boolean {
    const isTaken = this.#datagrams.push(endpoints, endpointOffset, bytes, offset, length);
    // A full ring means that nobody has looked since, so that the bell is rung in any case.
    this.#bell.ring();
    return isTaken;
  }

  /** Hands over a packet: whom it is for, the other worker finds out anew. */
  push(_peerSlot: number, bytes: Uint8Array, offset: number, length: number): void {
    if (!this.#packets.push(NO_WORDS, 0, bytes, offset, length)) this.#onDropped(length);
    this.#bell.ring();
  }

  /** What is handed over waits elsewhere. */
  get total(): number {
    return 0;
  }

  count(): number {
    return 0;
  }

  pop(): number {
    return 0;
  }

  clear(): void {}
}

const NO_WORDS = new Uint32Array(0);

/** The protocol's worker's side: the rings of all carriers. */
export class RelayIn {
  readonly packets: readonly RelayRing[];
  readonly datagrams: readonly RelayRing[];
  readonly #bell: Bell;

  constructor(memories: readonly RelayMemory[], bell: Bell) {
    this.packets = memories.map((memory) => new RelayRing(memory.packets, 0));
    this.datagrams = memories.map((memory) => new RelayRing(memory.datagrams, ENDPOINT_WORDS));
    this.#bell = bell;
  }

  /** Whether carriers have something; asked before it is taken. */
  isRung(): boolean {
    return this.#bell.answer();
  }

  /** Packets that wait. */
  get waitingPackets(): number {
    return this.packets.reduce((sum, ring) => sum + ring.count, 0);
  }
}
