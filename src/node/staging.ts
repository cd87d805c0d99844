/**
 * Packets that wait for a session.
 *
 * In: packets that a peer could not seal yet. Out: the same packets in order, once; or pushed out, each reported to
 * `onDropped`. Memory grows by chunks to STAGED_PACKETS_TOTAL_MAX slots and is then reused: a flood towards a peer
 * that does not answer allocates nothing.
 */

/** Slots allocated at once: few hosts ever need more than one chunk. */
const CHUNK_SLOTS = 64;
/** End of a list. */
const NONE = -1;

/** Where packets go that no session is there for. See StagedPackets. */
export interface WaitingPackets {
  readonly total: number;
  count(peerSlot: number): number;
  push(peerSlot: number, bytes: Uint8Array, offset: number, length: number): void;
  pop(peerSlot: number, output: Uint8Array, offset: number): number;
  clear(peerSlot: number, onDropped: (bytes: number) => void): void;
}

/** First-in first-out queues of packets, one per peer slot, over one bounded pool. */
export class StagedPackets implements WaitingPackets {
  readonly #perPeerMax: number;
  readonly #totalMax: number;
  readonly #slotBytes: number;
  readonly #onDropped: (bytes: number) => void;

  readonly #chunks: Uint8Array[] = [];
  /** Per pool slot: the next one of the same queue or of the free list. */
  readonly #next: Int32Array;
  readonly #length: Uint32Array;
  #free = NONE;
  #slots = 0;

  /** Per peer slot: first and last packet, and how many. Grown with the highest peer slot seen. */
  #head = new Int32Array(0);
  #tail = new Int32Array(0);
  #count = new Int32Array(0);
  #total = 0;

  /**
   * @param limits.perPeerMax Packets one peer may hold; the oldest gives way.
   * @param limits.totalMax Packets all peers may hold together.
   * @param limits.slotBytes Longest packet.
   * @param onDropped Told the length of each packet that is pushed out.
   */
  constructor(
    limits: { perPeerMax: number; totalMax: number; slotBytes: number },
    onDropped: (bytes: number) => void,
  ) {
    this.#perPeerMax = limits.perPeerMax;
    this.#totalMax = limits.totalMax;
    this.#slotBytes = limits.slotBytes;
    this.#onDropped = onDropped;
    this.#next = new Int32Array(limits.totalMax);
    this.#length = new Uint32Array(limits.totalMax);
  }

  /** Packets that wait, over all peers. */
  get total(): number {
    return this.#total;
  }

  /** Packets that wait for `peerSlot`. */
  count(peerSlot: number): number {
    return peerSlot < this.#count.length ? this.#count[peerSlot]! : 0;
  }

  /**
   * Keeps a copy of a packet. When the peer's queue is full its oldest packet goes; when the pool is full the
   * peer's oldest goes, or this packet if the peer has none.
   */
  push(peerSlot: number, bytes: Uint8Array, offset: number, length: number): void {
    if (length > this.#slotBytes) {
      this.#onDropped(length);
      return;
    }
    this.#growPeers(peerSlot);
    if (this.#count[peerSlot]! >= this.#perPeerMax) this.#dropOldest(peerSlot);
    let slot = this.#take();
    if (slot === NONE && this.#count[peerSlot]! > 0) {
      this.#dropOldest(peerSlot);
      slot = this.#take();
    }
    if (slot === NONE) {
      this.#onDropped(length);
      return;
    }
    const chunk = this.#chunks[Math.floor(slot / CHUNK_SLOTS)]!;
    const start = (slot % CHUNK_SLOTS) * this.#slotBytes;
    for (let index = 0; index < length; index++) chunk[start + index] = bytes[offset + index]!;
    this.#length[slot] = length;
    this.#next[slot] = NONE;
    if (this.#tail[peerSlot] === NONE) this.#head[peerSlot] = slot;
    else this.#next[this.#tail[peerSlot]!] = slot;
    this.#tail[peerSlot] = slot;
    this.#count[peerSlot]!++;
    this.#total++;
  }

  /**
   * Takes the oldest packet of a peer out into `output` at `offset`.
   * @returns Its length, or 0 when none waits.
   */
  pop(peerSlot: number, output: Uint8Array, offset: number): number {
    if (this.count(peerSlot) === 0) return 0;
    const slot = this.#unlinkOldest(peerSlot);
    const chunk = this.#chunks[Math.floor(slot / CHUNK_SLOTS)]!;
    const start = (slot % CHUNK_SLOTS) * this.#slotBytes;
    const length = this.#length[slot]!;
    for (let index = 0; index < length; index++) output[offset + index] = chunk[start + index]!;
    return length;
  }

  /** Drops all packets of a peer. @param onDropped Told each length, in place of the constructor's. */
  clear(peerSlot: number, onDropped: (bytes: number) => void): void {
    while (this.count(peerSlot) > 0) onDropped(this.#length[this.#unlinkOldest(peerSlot)]!);
  }

  #dropOldest(peerSlot: number): void {
    this.#onDropped(this.#length[this.#unlinkOldest(peerSlot)]!);
  }

  #unlinkOldest(peerSlot: number): number {
    const slot = this.#head[peerSlot]!;
    this.#head[peerSlot] = this.#next[slot]!;
    if (this.#head[peerSlot] === NONE) this.#tail[peerSlot] = NONE;
    this.#count[peerSlot]!--;
    this.#total--;
    this.#next[slot] = this.#free;
    this.#free = slot;
    return slot;
  }

  /** A free slot, from the free list or from memory not yet asked for; NONE when the pool is used up. */
  #take(): number {
    if (this.#free !== NONE) {
      const slot = this.#free;
      this.#free = this.#next[slot]!;
      return slot;
    }
    if (this.#slots >= this.#totalMax) return NONE;
    if (this.#slots % CHUNK_SLOTS === 0) {
      this.#chunks.push(new Uint8Array(CHUNK_SLOTS * this.#slotBytes));
    }
    return this.#slots++;
  }

  #growPeers(peerSlot: number): void {
    const had = this.#head.length;
    if (peerSlot < had) return;
    const size = Math.max(16, 2 ** Math.ceil(Math.log2(peerSlot + 1)));
    const grown = (old: Int32Array<ArrayBuffer>, fill: number): Int32Array<ArrayBuffer> => {
      const array = new Int32Array(size).fill(fill);
      array.set(old);
      return array;
    };
    this.#head = grown(this.#head, NONE);
    this.#tail = grown(this.#tail, NONE);
    this.#count = grown(this.#count, 0);
  }
}
