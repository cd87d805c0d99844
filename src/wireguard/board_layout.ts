/**
 * Layout of the board: the shared memory in which the protocol's worker tells carriers of sessions and peers.
 *
 * In: how many of each. Out: word offsets, which all workers derive from the first words of the memory itself.
 *
 *   header | index table | sessions | peers | per carrier: its words of each peer, its notes
 *
 * What stands behind each word, and who writes it: board.ts, carrier_board.ts, shared_session.ts, answers.ts.
 */

/** Words of the header. */
export const HEADER = {
  MAGIC: 0,
  PEERS_MAX: 1,
  SESSIONS_MAX: 2,
  CARRIERS: 3,
  /** Sessions that have ended so far: when it moves, carriers look which of theirs have. */
  ENDS: 16,
  WORDS: 32,
} as const;

/** Words of an entry of the index table: a local index, 0 = free, and the session's place + 1. */
export const ENTRY = { INDEX: 0, PLACE: 1, WORDS: 2 } as const;

/** Words of a session. All but STATE, HOLDERS, BLOCKS, LOCK and the window are constant while STATE is not 0. */
export const SESSION = {
  /** The session's serial number once it is confirmed; 0 = there is none. */
  STATE: 0,
  /** Carriers that have the session. The place is not used again before they have left it. */
  HOLDERS: 1,
  PEER: 2,
  PEER_GENERATION: 3,
  LOCAL_INDEX: 4,
  REMOTE_INDEX: 5,
  IS_INITIATOR: 6,
  /** Float64. */
  BIRTH: 8,
  /** 8 words each, as bytes. */
  SEND_KEY: 10,
  RECEIVE_KEY: 18,
  /** Blocks of counters handed out. Alone in its cache line, for every sender writes it. */
  BLOCKS: 32,
  /** 1 = the window is being changed. */
  LOCK: 48,
  /** Float64: largest counter received. */
  LARGEST: 50,
  /** The replay window's bits. */
  BITS: 64,
  WORDS: 64 + 256,
} as const;

/** Words of a peer, written by the protocol's worker but for the last three groups, which are of answers.ts. */
export const PEER = {
  /** Odd while what follows is written. */
  VERSION: 0,
  /** How often a peer was added at this slot: tells whom a carrier's knowledge is of. */
  GENERATION: 1,
  /** Place of the session that seals, + 1; 0 = none. */
  SENDING: 2,
  OVERLAY_FAMILY: 3,
  OVERLAY_ADDRESS: 4,
  /** ENDPOINT_WORDS words. */
  ENDPOINT: 8,
  /** Whether we wait for an answer; 0 or 1. */
  AWAITING: 32,
  /** Whether we owe an answer; 2 = more data came meanwhile. */
  OWING: 33,
  /** Whether the protocol's worker will look at the two by itself. */
  ARMED: 34,
  /** Float64: since when. */
  AWAITING_SINCE: 36,
  OWING_SINCE: 38,
  WORDS: 48,
} as const;

/** Words of a carrier about one peer, written by that carrier. */
export const CARRIED = {
  /** Bits of NEWS that the protocol's worker has not seen. It alone clears them. */
  NEWS: 0,
  /** PEER.GENERATION of the peer that the rest is about. */
  GENERATION: 1,
  /** Odd while MOVED_TO is written. */
  MOVED_VERSION: 2,
  /** ENDPOINT_WORDS words: where the peer was last heard from. */
  MOVED_TO: 4,
  /** Float64 each. */
  TX_DATAGRAMS: 16,
  TX_BYTES: 18,
  RX_DATAGRAMS: 20,
  RX_BYTES: 22,
  /** When anything was last sent or received. */
  LAST_MS: 24,
  WORDS: 32,
} as const;

/** Words in front of a carrier's notes, which are the slots of peers with news: each at most once. */
export const NOTES = { HEAD: 0, TAIL: 16, WORDS: 32 } as const;

/** What a carrier has to say of a peer. */
export const NEWS = {
  /** An answer is owed or awaited, and nobody looks. */
  LOOK: 1,
  /** A new session is wanted by one that sealed. */
  RENEW: 2,
  /** A session is only received on and nears its end. */
  LAST_MINUTE: 4,
  /** The peer was heard from another endpoint. */
  MOVED: 8,
} as const;

/** Says that memory is a board, of this layout. */
const MAGIC = 0x626f7264;

/** How much a board holds. */
export interface BoardSize {
  readonly peersMax: number;
  /** Sessions beyond are carried by the protocol's worker alone. */
  readonly sessionsMax: number;
  readonly carriers: number;
}

/** Views and offsets of a board. */
export interface BoardViews extends BoardSize {
  readonly memory: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly floats: Float64Array;
  /** Entries of the index table, less one. */
  readonly tableMask: number;
  /** Entries of a carrier's notes, less one. */
  readonly notesMask: number;
  session(place: number): number;
  peer(slot: number): number;
  carried(carrier: number, slot: number): number;
  notes(carrier: number): number;
}

/** Makes an empty board. Memory that no peer or session reaches is never resident. */
export function createBoard(size: BoardSize): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(offsetsOf(size).totalWords * 4);
  const words = new Int32Array(memory);
  words[HEADER.PEERS_MAX] = size.peersMax;
  words[HEADER.SESSIONS_MAX] = size.sessionsMax;
  words[HEADER.CARRIERS] = size.carriers;
  words[HEADER.MAGIC] = MAGIC;
  return memory;
}

/** @throws {TypeError} If the memory was not made by createBoard. */
export function boardViews(memory: SharedArrayBuffer): BoardViews {
  const words = new Int32Array(memory);
  if (words[HEADER.MAGIC] !== MAGIC) throw new TypeError("Cannot read a board: no such memory");
  const size = {
    peersMax: words[HEADER.PEERS_MAX],
    sessionsMax: words[HEADER.SESSIONS_MAX],
    carriers: words[HEADER.CARRIERS],
  };
  const { table, notesEntries, sessions, peers, carriers, carrierWords } = offsetsOf(size);
  return {
    ...size,
    memory,
    words,
    floats: new Float64Array(memory),
    tableMask: table - 1,
    notesMask: notesEntries - 1,
    session: (place) => sessions + place * SESSION.WORDS,
    peer: (slot) => peers + slot * PEER.WORDS,
    carried: (carrier, slot) => carriers + carrier * carrierWords + slot * CARRIED.WORDS,
    notes: (carrier) => carriers + carrier * carrierWords + size.peersMax * CARRIED.WORDS,
  };
}

/** First word of the index table. */
export const TABLE_START = HEADER.WORDS;

function offsetsOf({ peersMax, sessionsMax, carriers: carrierCount }: BoardSize) {
  // At most half full: probes stay short.
  const table = 2 ** Math.ceil(Math.log2(sessionsMax * 2));
  const notesEntries = 2 ** Math.ceil(Math.log2(peersMax));
  const sessions = toLine(TABLE_START + table * ENTRY.WORDS);
  const peers = sessions + sessionsMax * SESSION.WORDS;
  const carriers = toLine(peers + peersMax * PEER.WORDS);
  const carrierWords = toLine(peersMax * CARRIED.WORDS + NOTES.WORDS + notesEntries);
  const totalWords = carriers + carrierCount * carrierWords;
  return { table, notesEntries, sessions, peers, carriers, carrierWords, totalWords };
}

/** Rounds up to whole cache lines of 16 words. */
function toLine(words: number): number {
  return Math.ceil(words / 16) * 16;
}
