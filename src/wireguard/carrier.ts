/**
 * The established sessions of one interface, as a further worker carries them.
 *
 * In: packets, datagrams, the time; what the board says; changes of routes. Out: sealed or opened packets in place;
 * news for the protocol's worker. Guarantees: as Carrying; whatever this worker is not sure of is left as it was and
 * said to be the protocol's worker's (SEAL.NO_SESSION, RECEIVE.ELSEWHERE). Not here: handshakes, timers, endpoints of
 * our own choice.
 */
import type { CryptoPort, NativeBuffer } from "../ports.ts";
import { ENDPOINT, ENDPOINT_WORDS } from "../ports.ts";
import { AllowedIps, destinationOwner, NO_OWNER, sourceOwner } from "./allowed_ips.ts";
import type { AnswerWords } from "./answers.ts";
import { CARRIED, NEWS, PEER } from "./board_layout.ts";
import { type CarrierBoard, type HeldPlace, PEER_WORDS } from "./carrier_board.ts";
import type { CarriedPeer, Carrying } from "./carrying.ts";
import type { RouteChange } from "./config.ts";
import { IndexTable } from "./index_table.ts";
import { DATA, DATA_BYTES_MIN, MESSAGE, messageKind, NOT_A_MESSAGE } from "./messages.ts";
import { Session } from "./session.ts";
import { NO_PEER, RECEIVE, RESULT, SEAL } from "./status.ts";
import { PresentTime } from "./time.ts";
import { completeTiming, lastMinuteRekeyMs, type Timing } from "./timing.ts";

/** What a carrier is made of. */
export interface CarrierOptions {
  readonly crypto: CryptoPort;
  readonly board: CarrierBoard;
  readonly timing?: Partial<Timing>;
  readonly mtuBytes: number;
}

/** Floats behind CarrierBoard.numbers. */
const floatOf = (field: number): number => (field - CARRIED.TX_DATAGRAMS) / 2;
const NUMBER = {
  TX_DATAGRAMS: floatOf(CARRIED.TX_DATAGRAMS),
  TX_BYTES: floatOf(CARRIED.TX_BYTES),
  RX_DATAGRAMS: floatOf(CARRIED.RX_DATAGRAMS),
  RX_BYTES: floatOf(CARRIED.RX_BYTES),
  LAST_MS: floatOf(CARRIED.LAST_MS),
} as const;

/** See file header. */
export class Carrier implements Carrying {
  readonly #crypto: CryptoPort;
  readonly #board: CarrierBoard;
  readonly #timing: Timing;
  readonly #mtuBytes: number;
  readonly #time = new PresentTime();
  readonly #allowedIps = new AllowedIps();
  readonly #peers: (CarrierPeer | null)[] = [];
  readonly #byIndex = new IndexTable<HeldSession>();
  readonly #byPlace: (HeldSession | null)[] = [];
  readonly #held = new Set<HeldSession>();
  /** CarrierBoard.ends when the sessions were last looked through. */
  #ends = 0;

  /** @throws {RangeError} If the timing contradicts itself. */
  constructor(options: CarrierOptions) {
    this.#crypto = options.crypto;
    this.#board = options.board;
    this.#timing = completeTiming(options.timing);
    this.#mtuBytes = options.mtuBytes;
  }

  // ---- Packets --------------------------------------------------------------------------------------------------

  peerByDestination(view: DataView, offset: number): CarriedPeer | null {
    const owner = destinationOwner(this.#allowedIps, view, offset);
    return owner === NO_OWNER ? null : this.#peers[owner];
  }

  sourceAllowed(peer: CarriedPeer, view: DataView, offset: number): boolean {
    return sourceOwner(this.#allowedIps, view, offset) === peer.slot;
  }

  peer(slot: number): CarriedPeer {
    return this.#peers[slot]!;
  }

  seal(carried: CarriedPeer, buffer: NativeBuffer, offset: number, length: number): number {
    // All peers that this object gives out are of this class.
    const peer = carried as CarrierPeer;
    const held = this.#sendingOf(peer);
    if (held === null || !held.session.maySeal()) return SEAL.NO_SESSION;
    const { session } = held;
    const sealedLength = session.sealPadded(buffer, offset, length, this.#mtuBytes);
    const time = this.#time;
    peer.note(time);
    peer.answers.sent();
    if (peer.answers.dataSent(time)) this.#board.say(peer.slot, NEWS.LOOK);
    if (session.wantsRenewal()) this.#ask(held, NEWS.RENEW);
    return sealedLength;
  }

  receive(
    buffer: NativeBuffer,
    offset: number,
    length: number,
    endpoints: Uint32Array,
    endpointOffset: number,
    result: Uint32Array,
  ): number {
    result[RESULT.PEER] = NO_PEER;
    const kind = messageKind(buffer.view, offset, length);
    if (kind === NOT_A_MESSAGE) return RECEIVE.MALFORMED;
    if (kind !== MESSAGE.DATA) return RECEIVE.ELSEWHERE;
    const held = this.#receivingBy(buffer.view.getInt32(offset + DATA.RECEIVER, true));
    if (held === null) return RECEIVE.ELSEWHERE;
    const { session, peer } = held;
    const status = session.open(buffer, offset, length);
    if (status !== RECEIVE.DATA) return status;
    const isKeepalive = length === DATA_BYTES_MIN;
    result[RESULT.PEER] = peer.slot;
    result[RESULT.OFFSET] = offset + DATA.PAYLOAD;
    result[RESULT.LENGTH] = length - DATA_BYTES_MIN;
    this.#onData(held, isKeepalive, endpoints, endpointOffset);
    return isKeepalive ? RECEIVE.KEEPALIVE : RECEIVE.DATA;
  }

  #onData(
    held: HeldSession,
    isKeepalive: boolean,
    endpoints: Uint32Array,
    endpointOffset: number,
  ): void {
    const { peer, session } = held;
    const time = this.#time;
    peer.note(time);
    peer.answers.received();
    if (!isKeepalive && peer.answers.dataReceived(time)) this.#board.say(peer.slot, NEWS.LOOK);
    if (!sameEndpoint(peer.endpoint, endpoints, endpointOffset)) {
      this.#onOtherEndpoint(peer, endpoints, endpointOffset);
    }
    if (session.isInitiator && session.isOlderThan(lastMinuteRekeyMs(this.#timing))) {
      this.#ask(held, NEWS.LAST_MINUTE);
    }
  }

  /** Tells where the peer was heard from, once. */
  #onOtherEndpoint(peer: CarrierPeer, endpoints: Uint32Array, endpointOffset: number): void {
    this.#refresh(peer);
    if (sameEndpoint(peer.endpoint, endpoints, endpointOffset)) return;
    const isSaid = peer.movedVersion === peer.version &&
      sameEndpoint(peer.movedTo, endpoints, endpointOffset);
    if (isSaid) return;
    for (let word = 0; word < ENDPOINT_WORDS; word++) {
      peer.movedTo[word] = endpoints[endpointOffset + word];
    }
    peer.movedVersion = peer.version;
    this.#board.sayMoved(peer.slot, endpoints, endpointOffset);
  }

  /** Asks for a session's renewal, again after REKEY_TIMEOUT. */
  #ask(held: HeldSession, news: number): void {
    const { nowMs } = this.#time;
    if (nowMs - held.askedMs < this.#timing.rekeyTimeoutMs) return;
    held.askedMs = nowMs;
    this.#board.say(held.peer.slot, news);
  }

  // ---- Sessions -------------------------------------------------------------------------------------------------

  /** The session that seals for a peer; null = none that we know of, or no endpoint. */
  #sendingOf(peer: CarrierPeer): HeldSession | null {
    if (!peer.isUpToDate && !this.#refresh(peer)) return null;
    return peer.endpoint[ENDPOINT.FAMILY] === 0 ? null : peer.sending;
  }

  /** Takes over what the board says of a peer. @returns Whether it is of this peer, and no change is under way. */
  #refresh(peer: CarrierPeer): boolean {
    const words = peer.boardWords;
    const version = this.#board.readPeer(peer.slot, words);
    if (version < 0 || words[PEER.GENERATION] !== peer.generation) return false;
    peer.overlayFamily = words[PEER.OVERLAY_FAMILY];
    for (let word = 0; word < 4; word++) {
      peer.overlayAddress[word] = words[PEER.OVERLAY_ADDRESS + word];
    }
    for (let word = 0; word < ENDPOINT_WORDS; word++) {
      peer.endpoint[word] = words[PEER.ENDPOINT + word];
    }
    const place = words[PEER.SENDING] - 1;
    peer.sending = place < 0 ? null : this.#at(place);
    // A session that is gone again: the board's next version will say so.
    peer.version = place >= 0 && peer.sending === null ? NO_VERSION : version;
    return true;
  }

  /** The session that a datagram's index names; null = none that we know of. */
  #receivingBy(index: number): HeldSession | null {
    const held = this.#byIndex.get(index);
    if (held !== null) {
      if (!held.place.hasEnded) return held;
      this.#leave(held);
    }
    const place = this.#board.find(index);
    const found = place < 0 ? null : this.#at(place);
    return found !== null && (found.session.localIndex | 0) === index ? found : null;
  }

  /** The session at a place, taken from the board if it is new to us. */
  #at(place: number): HeldSession | null {
    const known = this.#byPlace[place] ?? null;
    if (known !== null) {
      if (!known.place.hasEnded) return known;
      this.#leave(known);
    }
    const found = this.#board.take(place);
    if (found === null) return null;
    const peer = this.#peers[found.peerSlot] ?? null;
    if (peer === null || peer.generation !== found.peerGeneration) {
      found.keys.wipe();
      found.place.end();
      return null;
    }
    const session = new Session(this.#crypto, this.#timing, this.#time, found);
    found.keys.wipe();
    const held = new HeldSession(session, found.place, peer);
    this.#held.add(held);
    this.#byPlace[place] = held;
    this.#byIndex.add(session.localIndex, held);
    return held;
  }

  #leave(held: HeldSession): void {
    this.#held.delete(held);
    this.#byPlace[held.place.number] = null;
    this.#byIndex.remove(held.session.localIndex);
    if (held.peer.sending === held) {
      held.peer.sending = null;
      held.peer.version = NO_VERSION;
    }
    held.session.destroy();
  }

  /** Wipes what this worker has. Not to be used after. */
  close(): void {
    for (const held of this.#held) this.#leave(held);
  }

  // ---- Peers and time -------------------------------------------------------------------------------------------

  /** Takes over changes of peers and AllowedIPs, in order. */
  change(changes: readonly RouteChange[]): void {
    for (const change of changes) {
      const { slot } = change;
      if (change.type === "peer") {
        this.#board.beginPeer(slot, change.generation);
        this.#peers[slot] = new CarrierPeer(this.#board, slot, change.generation);
      } else if (change.type === "gone") {
        this.#allowedIps.removeAll(slot);
        for (const held of this.#held) if (held.peer.slot === slot) this.#leave(held);
        this.#peers[slot] = null;
      } else if (change.type === "clear") {
        this.#allowedIps.removeAll(slot);
      } else if (change.type === "add") {
        this.#allowedIps.add(change.entry, slot);
      } else {
        this.#allowedIps.remove(change.entry, slot);
      }
    }
  }

  setTime(nowMs: number, wallMs: number): void {
    this.#time.set(nowMs, wallMs);
    const ends = this.#board.ends;
    if (ends === this.#ends) return;
    this.#ends = ends;
    for (const held of this.#held) if (held.place.hasEnded) this.#leave(held);
  }

  /** Load is judged where handshakes are. */
  setUnderLoad(): void {}

  /** It has no timers. */
  get nextDeadlineMs(): number {
    return Infinity;
  }

  tick(): void {}
}

/** Not a version that the board can have. */
const NO_VERSION = -1;

/** A session that this worker has. */
class HeldSession {
  /** When its renewal was last asked for. */
  askedMs = -Infinity;

  constructor(
    readonly session: Session,
    readonly place: HeldPlace,
    readonly peer: CarrierPeer,
  ) {}
}

/** A peer as this worker knows it: a copy of what the board said at `version`. */
class CarrierPeer implements CarriedPeer {
  readonly endpoint = new Uint32Array(ENDPOINT_WORDS);
  overlayFamily = 0;
  readonly overlayAddress = new Uint32Array(4);
  version = NO_VERSION;
  sending: HeldSession | null = null;
  /** Scratch of CarrierBoard.readPeer. */
  readonly boardWords = new Int32Array(PEER_WORDS);
  readonly answers: AnswerWords;
  /** Endpoint that was last told, while the board said `movedVersion`. */
  readonly movedTo = new Uint32Array(ENDPOINT_WORDS);
  movedVersion = NO_VERSION;
  readonly #floats: Float64Array;
  readonly #first: number;
  readonly #words: Int32Array;
  readonly #versionWord: number;

  constructor(board: CarrierBoard, readonly slot: number, readonly generation: number) {
    this.answers = board.answers(slot);
    this.#floats = board.views.floats;
    this.#first = board.numbers(slot);
    this.#words = board.views.words;
    this.#versionWord = board.views.peer(slot) + PEER.VERSION;
  }

  /** Whether the board said the same a moment ago. */
  get isUpToDate(): boolean {
    return this.#words[this.#versionWord] === this.version;
  }

  addTx(datagrams: number, bytes: number): void {
    this.#floats[this.#first + NUMBER.TX_DATAGRAMS] += datagrams;
    this.#floats[this.#first + NUMBER.TX_BYTES] += bytes;
  }

  addRx(datagrams: number, bytes: number): void {
    this.#floats[this.#first + NUMBER.RX_DATAGRAMS] += datagrams;
    this.#floats[this.#first + NUMBER.RX_BYTES] += bytes;
  }

  /** Something was sent or received. */
  note(time: PresentTime): void {
    this.#floats[this.#first + NUMBER.LAST_MS] = time.nowMs;
  }
}

function sameEndpoint(own: Uint32Array, endpoints: Uint32Array, offset: number): boolean {
  for (let word = 0; word < ENDPOINT_WORDS; word++) {
    if (own[word] !== endpoints[offset + word]) return false;
  }
  return true;
}
