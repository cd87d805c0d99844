/**
 * The board as the protocol's worker has it: it writes of sessions and peers, and reads what carriers have to say.
 *
 * In: sessions and peers as they come, change and go. Out: the same for carriers (carrier_board.ts); their news and
 * sums. Guarantees: a session that carriers still have keeps its place, so that neither its counters nor its window
 * can be taken for another's; keys are wiped from the board when their session ends.
 */
import { ENDPOINT_WORDS } from "../ports.ts";
import {
  type BoardViews,
  boardViews,
  CARRIED,
  ENTRY,
  HEADER,
  NOTES,
  PEER,
  SESSION,
  TABLE_START,
} from "./board_layout.ts";
import { KEY_BYTES } from "./bytes.ts";
import type { SessionKeys } from "./noise.ts";
import { type SessionPlace, SharedSession } from "./shared_session.ts";

/** What carriers must know of a session. */
export interface BoardSession {
  readonly peerSlot: number;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly isInitiator: boolean;
  readonly birthMs: number;
  /** Read, not kept but on the board. */
  readonly keys: SessionKeys;
}

/** Hears a peer's news. */
export type NewsListener = (slot: number, news: number, movedTo: Uint32Array) => void;

/** See file header. One, in the protocol's thread. */
export class Board {
  readonly views: BoardViews;
  /** Called when a session has ended that carriers have: they are to be woken. */
  readonly #onEnded: () => void;
  readonly #shared: SharedSession[] = [];
  /** Places never used begin here; those used before wait in #left until no carrier has them. */
  #used = 0;
  #left: number[] = [];
  #serial = 0;
  readonly #movedTo = new Uint32Array(ENDPOINT_WORDS);

  constructor(memory: SharedArrayBuffer, onEnded: () => void) {
    this.views = boardViews(memory);
    this.#onEnded = onEnded;
  }

  // ---- Sessions -------------------------------------------------------------------------------------------------

  /** Gives a session a place, where carriers do not see it yet. @returns null when there is none. */
  reserve(session: BoardSession): SessionPlace | null {
    const number = this.#takePlace();
    if (number < 0) return null;
    const { words, floats, memory } = this.views;
    const base = this.views.session(number);
    this.#shared[number] ??= new SharedSession(words, base);
    const shared = this.#shared[number];
    shared.reset();
    words[base + SESSION.PEER] = session.peerSlot;
    words[base + SESSION.PEER_GENERATION] = this.generation(session.peerSlot);
    words[base + SESSION.LOCAL_INDEX] = session.localIndex;
    words[base + SESSION.REMOTE_INDEX] = session.remoteIndex;
    words[base + SESSION.IS_INITIATOR] = session.isInitiator ? 1 : 0;
    floats[(base + SESSION.BIRTH) / 2] = session.birthMs;
    const { send, receive } = session.keys;
    new Uint8Array(memory, (base + SESSION.SEND_KEY) * 4, KEY_BYTES).set(send);
    new Uint8Array(memory, (base + SESSION.RECEIVE_KEY) * 4, KEY_BYTES).set(receive);
    return new Place(this, number, session.localIndex, shared);
  }

  /** Shows a session to carriers: it is confirmed. */
  publish({ number, localIndex }: Place): void {
    const { words } = this.views;
    // Positive: 2^31 sessions of one node take longer than any node runs.
    this.#serial = (this.#serial + 1) & 0x7fff_ffff || 1;
    Atomics.store(words, this.views.session(number) + SESSION.STATE, this.#serial);
    this.#enter(localIndex, number);
  }

  /** Takes a session back and wipes its keys. */
  end({ number, localIndex }: Place): void {
    const { words } = this.views;
    const base = this.views.session(number);
    const wasShown = Atomics.exchange(words, base + SESSION.STATE, 0) !== 0;
    for (let word = 0; word < KEY_BYTES / 2; word++) {
      Atomics.store(words, base + SESSION.SEND_KEY + word, 0);
    }
    this.#left.push(number);
    if (!wasShown) return;
    this.#leave(localIndex);
    Atomics.add(words, HEADER.ENDS, 1);
    if (Atomics.load(words, base + SESSION.HOLDERS) > 0) this.#onEnded();
  }

  #takePlace(): number {
    const { words, sessionsMax } = this.views;
    const free = this.#left.findIndex((place) =>
      Atomics.load(words, this.views.session(place) + SESSION.HOLDERS) === 0
    );
    if (free >= 0) return this.#left.splice(free, 1)[0];
    return this.#used < sessionsMax ? this.#used++ : -1;
  }

  /** Enters a session under its index. Readers check what they find, so that no order of stores can mislead them. */
  #enter(index: number, place: number): void {
    const { words, tableMask } = this.views;
    let slot = index & tableMask;
    while (words[entryAt(slot)] !== 0) slot = (slot + 1) & tableMask;
    Atomics.store(words, entryAt(slot) + ENTRY.PLACE, place + 1);
    Atomics.store(words, entryAt(slot), index);
  }

  /** As IndexTable.remove. A reader who finds nothing meanwhile asks the protocol's worker. */
  #leave(index: number): void {
    const { words, tableMask } = this.views;
    const key = index | 0;
    let hole = key & tableMask;
    while (words[entryAt(hole)] !== key) {
      if (words[entryAt(hole)] === 0) return;
      hole = (hole + 1) & tableMask;
    }
    for (let next = (hole + 1) & tableMask;; next = (next + 1) & tableMask) {
      const nextKey = words[entryAt(next)];
      if (nextKey === 0) break;
      const home = nextKey & tableMask;
      if (((next - home) & tableMask) >= ((next - hole) & tableMask)) {
        Atomics.store(words, entryAt(hole) + ENTRY.PLACE, words[entryAt(next) + ENTRY.PLACE]);
        Atomics.store(words, entryAt(hole), nextKey);
        hole = next;
      }
    }
    Atomics.store(words, entryAt(hole), 0);
  }

  // ---- Peers ----------------------------------------------------------------------------------------------------

  /** Clears a slot for another peer. @returns Its generation. */
  addPeer(slot: number): number {
    const { words } = this.views;
    const base = this.views.peer(slot);
    Atomics.add(words, base + PEER.VERSION, 1);
    const generation = Atomics.add(words, base + PEER.GENERATION, 1) + 1;
    words.fill(0, base + PEER.SENDING, base + PEER.WORDS);
    Atomics.add(words, base + PEER.VERSION, 1);
    return generation;
  }

  generation(slot: number): number {
    return Atomics.load(this.views.words, this.views.peer(slot) + PEER.GENERATION);
  }

  /** Says where a peer is, what stands for it in rows, and which session seals; null = none. */
  writePeer(
    slot: number,
    peer: {
      readonly endpoint: Uint32Array;
      readonly overlayFamily: number;
      readonly overlayAddress: Uint32Array;
    },
    sending: SessionPlace | null,
  ): void {
    const { words } = this.views;
    const base = this.views.peer(slot);
    Atomics.add(words, base + PEER.VERSION, 1);
    const put = (word: number, value: number): void => {
      Atomics.store(words, base + word, value);
    };
    put(PEER.SENDING, sending === null ? 0 : sending.number + 1);
    put(PEER.OVERLAY_FAMILY, peer.overlayFamily);
    for (let word = 0; word < 4; word++) {
      put(PEER.OVERLAY_ADDRESS + word, peer.overlayAddress[word]);
    }
    for (let word = 0; word < ENDPOINT_WORDS; word++) {
      put(PEER.ENDPOINT + word, peer.endpoint[word]);
    }
    Atomics.add(words, base + PEER.VERSION, 1);
  }

  /** Sum over all carriers of one of CARRIED's numbers of a peer. */
  sum(slot: number, field: number): number {
    return this.#fold(slot, field, (sum, value) => sum + value);
  }

  /** When a carrier last sent to or received from a peer; 0 = never. */
  lastMs(slot: number): number {
    return this.#fold(slot, CARRIED.LAST_MS, Math.max);
  }

  #fold(slot: number, field: number, combine: (sum: number, value: number) => number): number {
    const { words, floats, carriers } = this.views;
    const generation = this.generation(slot);
    let folded = 0;
    for (let carrier = 0; carrier < carriers; carrier++) {
      const base = this.views.carried(carrier, slot);
      if (Atomics.load(words, base + CARRIED.GENERATION) !== generation) continue;
      folded = combine(folded, floats[(base + field) / 2]);
    }
    return folded;
  }

  // ---- News -----------------------------------------------------------------------------------------------------

  /** Hands out what carriers have said since. News of a peer that is gone are passed over. */
  takeNews(listener: NewsListener): void {
    const { words, notesMask, carriers } = this.views;
    for (let carrier = 0; carrier < carriers; carrier++) {
      const notes = this.views.notes(carrier);
      const head = Atomics.load(words, notes + NOTES.HEAD);
      let tail = words[notes + NOTES.TAIL];
      for (; tail !== head; tail = (tail + 1) | 0) {
        const slot = words[notes + NOTES.WORDS + (tail & notesMask)];
        // Taken out before the bits are cleared, for a cleared slot may be noted again.
        Atomics.store(words, notes + NOTES.TAIL, (tail + 1) | 0);
        this.#hear(carrier, slot, listener);
      }
    }
  }

  #hear(carrier: number, slot: number, listener: NewsListener): void {
    const { words } = this.views;
    const base = this.views.carried(carrier, slot);
    const news = Atomics.exchange(words, base + CARRIED.NEWS, 0);
    const before = Atomics.load(words, base + CARRIED.MOVED_VERSION);
    for (let word = 0; word < ENDPOINT_WORDS; word++) {
      this.#movedTo[word] = Atomics.load(words, base + CARRIED.MOVED_TO + word);
    }
    const generation = Atomics.load(words, base + CARRIED.GENERATION);
    // Who is writing says so again when it is done.
    const isWhole = (before & 1) === 0 &&
      Atomics.load(words, base + CARRIED.MOVED_VERSION) === before;
    if (!isWhole || generation !== this.generation(slot)) return;
    listener(slot, news, this.#movedTo);
  }
}

/** A session's place on the board, as its owner has it. */
class Place implements SessionPlace {
  readonly #board: Board;

  constructor(
    board: Board,
    readonly number: number,
    readonly localIndex: number,
    readonly shared: SharedSession,
  ) {
    this.#board = board;
  }

  publish(): void {
    this.#board.publish(this);
  }

  end(): void {
    this.#board.end(this);
  }
}

function entryAt(slot: number): number {
  return TABLE_START + slot * ENTRY.WORDS;
}
