/**
 * The board as a carrier has it: it reads of sessions and peers, and writes what it has to say of peers.
 *
 * In: what the protocol's worker wrote (board.ts). Out: sessions and peers, or nothing when they are being changed:
 * then the protocol's worker is the one to ask. Guarantees: what is read was true at one moment; a session that a
 * carrier has is not given to another before the carrier has left it.
 */
import { ENDPOINT_WORDS } from "../ports.ts";
import { AnswerWords } from "./answers.ts";
import {
  type BoardViews,
  boardViews,
  CARRIED,
  ENTRY,
  HEADER,
  NEWS,
  NOTES,
  PEER,
  SESSION,
  TABLE_START,
} from "./board_layout.ts";
import { SessionKeys } from "./noise.ts";
import { type SessionPlace, SharedSession } from "./shared_session.ts";

/** A session as it is read from the board. */
export interface FoundSession {
  readonly place: HeldPlace;
  readonly peerSlot: number;
  readonly peerGeneration: number;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly isInitiator: boolean;
  readonly birthMs: number;
  /** The reader's, to be wiped. */
  readonly keys: SessionKeys;
}

/** See file header. One, in the carrier's thread. */
export class CarrierBoard {
  readonly views: BoardViews;
  readonly #carrier: number;
  /** Wakes the protocol's worker. */
  readonly #wake: () => void;

  constructor(memory: SharedArrayBuffer, carrier: number, wake: () => void) {
    this.views = boardViews(memory);
    this.#carrier = carrier;
    this.#wake = wake;
  }

  /** Sessions that have ended so far. */
  get ends(): number {
    return Atomics.load(this.views.words, HEADER.ENDS);
  }

  /** Finds the place of the session that goes by `index`; -1 = none, or it is being moved. */
  find(index: number): number {
    const { words, tableMask } = this.views;
    const key = index | 0;
    // The table is at most half full; the bound is for one that is changed under us.
    for (let step = 0, slot = key & tableMask; step <= tableMask; step++) {
      const at = TABLE_START + slot * ENTRY.WORDS;
      const found = Atomics.load(words, at);
      if (found === 0) return -1;
      if (found === key) return Atomics.load(words, at + ENTRY.PLACE) - 1;
      slot = (slot + 1) & tableMask;
    }
    return -1;
  }

  /** Takes the session at `place`. @returns null when there is none any more. */
  take(place: number): FoundSession | null {
    const { words, floats } = this.views;
    const base = this.views.session(place);
    // Held before it is looked at: from now on its place is not used for another.
    Atomics.add(words, base + SESSION.HOLDERS, 1);
    const serial = Atomics.load(words, base + SESSION.STATE);
    const held = new HeldPlace(this.views, place, serial);
    const keys = new SessionKeys();
    this.#readKey(keys.send, base + SESSION.SEND_KEY);
    this.#readKey(keys.receive, base + SESSION.RECEIVE_KEY);
    const found = {
      place: held,
      peerSlot: Atomics.load(words, base + SESSION.PEER),
      peerGeneration: Atomics.load(words, base + SESSION.PEER_GENERATION),
      localIndex: Atomics.load(words, base + SESSION.LOCAL_INDEX),
      remoteIndex: Atomics.load(words, base + SESSION.REMOTE_INDEX) >>> 0,
      isInitiator: Atomics.load(words, base + SESSION.IS_INITIATOR) === 1,
      birthMs: floats[(base + SESSION.BIRTH) / 2],
      keys,
    };
    if (serial !== 0 && Atomics.load(words, base + SESSION.STATE) === serial) return found;
    keys.wipe();
    held.end();
    return null;
  }

  #readKey(key: Uint8Array, word: number): void {
    const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
    for (let at = 0; at < key.length; at += 4) {
      // In the byte order in which the words are bytes of the board.
      view.setInt32(at, Atomics.load(this.views.words, word + at / 4), LITTLE_ENDIAN);
    }
  }

  /** Version of what the board says of a peer. */
  version(slot: number): number {
    return Atomics.load(this.views.words, this.views.peer(slot) + PEER.VERSION);
  }

  /**
   * Reads a peer, PEER.GENERATION up to the last word of its endpoint, to `output`, each at its place in the layout.
   * @returns The version that was read; -1 = it is being changed.
   */
  readPeer(slot: number, output: Int32Array): number {
    const { words } = this.views;
    const base = this.views.peer(slot);
    const version = this.version(slot);
    for (let word = PEER.GENERATION; word < PEER_WORDS; word++) {
      output[word] = Atomics.load(words, base + word);
    }
    return (version & 1) === 0 && this.version(slot) === version ? version : -1;
  }

  answers(slot: number): AnswerWords {
    return new AnswerWords(this.views, this.views.peer(slot));
  }

  /** Begins to count for the peer of this generation, from nothing. */
  beginPeer(slot: number, generation: number): void {
    const { words } = this.views;
    const base = this.views.carried(this.#carrier, slot);
    Atomics.store(words, base + CARRIED.GENERATION, 0);
    words.fill(0, base + CARRIED.MOVED_TO, base + CARRIED.WORDS);
    Atomics.store(words, base + CARRIED.GENERATION, generation);
  }

  /** Where this carrier's numbers of a peer are: index of CARRIED.TX_DATAGRAMS in views.floats. */
  numbers(slot: number): number {
    return (this.views.carried(this.#carrier, slot) + CARRIED.TX_DATAGRAMS) / 2;
  }

  /** Tells the protocol's worker something about a peer; it is woken if it does not know yet. */
  say(slot: number, news: number): void {
    const { words, notesMask } = this.views;
    const base = this.views.carried(this.#carrier, slot);
    if (Atomics.or(words, base + CARRIED.NEWS, news) !== 0) return;
    const notes = this.views.notes(this.#carrier);
    const head = words[notes + NOTES.HEAD];
    words[notes + NOTES.WORDS + (head & notesMask)] = slot;
    Atomics.store(words, notes + NOTES.HEAD, (head + 1) | 0);
    this.#wake();
  }

  /** Tells the protocol's worker where a peer was heard from. */
  sayMoved(slot: number, endpoints: Uint32Array, endpointOffset: number): void {
    const { words } = this.views;
    const base = this.views.carried(this.#carrier, slot);
    Atomics.add(words, base + CARRIED.MOVED_VERSION, 1);
    for (let word = 0; word < ENDPOINT_WORDS; word++) {
      Atomics.store(words, base + CARRIED.MOVED_TO + word, endpoints[endpointOffset + word]);
    }
    Atomics.add(words, base + CARRIED.MOVED_VERSION, 1);
    this.say(slot, NEWS.MOVED);
  }
}

/** Words that readPeer fills. */
export const PEER_WORDS = PEER.ENDPOINT + ENDPOINT_WORDS;

const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** A session's place, as a carrier has it. */
export class HeldPlace implements SessionPlace {
  readonly shared: SharedSession;
  readonly #words: Int32Array;
  readonly #base: number;

  constructor(views: BoardViews, readonly number: number, readonly serial: number) {
    this.#words = views.words;
    this.#base = views.session(number);
    this.shared = new SharedSession(views.words, this.#base);
  }

  /** Whether the protocol's worker has ended the session, as of a moment ago. */
  get hasEnded(): boolean {
    return this.#words[this.#base + SESSION.STATE] !== this.serial;
  }

  /** It is there for all already. */
  publish(): void {}

  end(): void {
    Atomics.sub(this.#words, this.#base + SESSION.HOLDERS, 1);
  }
}
