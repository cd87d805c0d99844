/**
 * What sealing and receiving answer: numbers, for nothing throws per packet.
 *
 * In: nothing. Out: the status numbers, the layout of a receive result, and the counter of each rejection.
 */
import { COUNTER } from "../counters.ts";

/** WireGuard.seal answers with a datagram's length, which is above 0, or with one of these. */
export const SEAL = {
  /** No session that may seal. A handshake was started if one was due; the caller keeps the packet. */
  NO_SESSION: 0,
  /** The peer's endpoint is not known; the packet cannot go and is not worth keeping. */
  NO_ENDPOINT: -1,
  /** No handshake can ever succeed: we have no private key, or the peer's public key is a point of low order. */
  NO_HANDSHAKE: -2,
} as const;

/** What WireGuard.receive answers. Those up to COOKIE were taken; the others changed nothing. */
export const RECEIVE = {
  /** A packet: RESULT names peer and plaintext. */
  DATA: 0,
  /** An authentic empty message. */
  KEEPALIVE: 1,
  /** A handshake initiation or response was accepted. */
  HANDSHAKE: 2,
  /** A cookie for our next handshake message was accepted. */
  COOKIE: 3,
  MALFORMED: 4,
  MAC_INVALID: 5,
  COOKIE_REQUIRED: 6,
  RATE_LIMITED: 7,
  HANDSHAKE_INVALID: 8,
  UNKNOWN_PEER: 9,
  HANDSHAKE_REPLAY: 10,
  UNKNOWN_SESSION: 11,
  EXPIRED_SESSION: 12,
  AUTHENTICATION: 13,
  REPLAY: 14,
  /** A carrier left it as it was: it is for the protocol's worker. A rejection only if that cannot take it. */
  ELSEWHERE: 15,
} as const;

/** First status of RECEIVE that is a rejection. */
export const RECEIVE_REJECTED = RECEIVE.MALFORMED;

/** Index in Counters of each rejection, by status; -1 for what was taken. */
export const COUNTER_BY_RECEIVE: Int32Array = (() => {
  const byStatus: Record<keyof typeof RECEIVE, number> = {
    DATA: -1,
    KEEPALIVE: -1,
    HANDSHAKE: -1,
    COOKIE: -1,
    MALFORMED: COUNTER.inMalformed,
    MAC_INVALID: COUNTER.inMacInvalid,
    COOKIE_REQUIRED: COUNTER.inCookieRequired,
    RATE_LIMITED: COUNTER.inRateLimited,
    HANDSHAKE_INVALID: COUNTER.inHandshakeInvalid,
    UNKNOWN_PEER: COUNTER.inUnknownPeer,
    HANDSHAKE_REPLAY: COUNTER.inHandshakeReplay,
    UNKNOWN_SESSION: COUNTER.inUnknownSession,
    EXPIRED_SESSION: COUNTER.inExpiredSession,
    AUTHENTICATION: COUNTER.inAuthentication,
    REPLAY: COUNTER.inReplay,
    ELSEWHERE: COUNTER.inRelayFull,
  };
  const table = new Int32Array(Object.keys(RECEIVE).length);
  for (const name of Object.keys(RECEIVE) as (keyof typeof RECEIVE)[]) {
    table[RECEIVE[name]] = byStatus[name];
  }
  return table;
})();

/** Words that WireGuard.receive fills. */
export const RESULT = {
  /** Slot of the peer that sent it, or NO_PEER; set for whatever was taken. */
  PEER: 0,
  /** Offset of the plaintext in the buffer. Valid iff the status is DATA. */
  OFFSET: 1,
  /** Length of the plaintext, its padding included. Valid iff the status is DATA. */
  LENGTH: 2,
} as const;

/** Words of one receive result. */
export const RESULT_WORDS = 3;

/** RESULT.PEER of a datagram that no peer could be made responsible for. */
export const NO_PEER = 0xffffffff;
