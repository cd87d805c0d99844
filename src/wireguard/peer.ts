/**
 * One peer: its sessions, its handshake and its timers as a state machine (whitepaper §5, §6).
 *
 * In: packets to be sealed, messages that authenticated, and the time. Out: sealed packets in place, and events:
 * messages to be sent, "a session is ready", "it failed". Guarantees: the endpoint moves only by an authentic message
 * that is not a replay; a session seals only after the other end has shown that it has it; what is sealed or received
 * costs no allocation. Not here: who a message is for (wireguard.ts), macs and load (cookie.ts, load_gauge.ts).
 */
import type { NativeBuffer } from "../ports.ts";
import { ENDPOINT, ENDPOINT_WORDS } from "../ports.ts";
import { TRANSPORT_HEADER_BYTES } from "../limits.ts";
import { type Answers, AnswerWords, SharedAnswers, TimedAnswers } from "./answers.ts";
import type { Board } from "./board.ts";
import { CARRIED, NEWS } from "./board_layout.ts";
import { KEY_BYTES } from "./bytes.ts";
import { CookieHolder } from "./cookie.ts";
import type { DeadlineHeap } from "./deadline_heap.ts";
import type { IndexTable } from "./index_table.ts";
import { Initiator, type InitiatorContext } from "./initiator.ts";
import type { Jitter } from "./jitter.ts";
import { parseResponse, RESPONSE_BYTES } from "./messages.ts";
import { type OpenedInitiation, SessionKeys } from "./noise.ts";
import { Session } from "./session.ts";
import { SessionSet } from "./session_set.ts";
import { RECEIVE, SEAL } from "./status.ts";
import { compareTimestamps } from "./tai64n.ts";
import { PeerTimers, TIMER } from "./timers.ts";
import { ERASE_AFTER_LIFETIMES, lastMinuteRekeyMs, type Timing } from "./timing.ts";

/** What the protocol asks of the data plane. Calls come from within WireGuard's methods. */
export interface WireGuardEvents {
  /**
   * Send this handshake message, cookie reply or keepalive now.
   * @param peer null for a cookie reply to a stranger.
   * @param bytes The datagram; valid during the call only.
   * @param endpoint ENDPOINT_WORDS words; valid during the call only.
   */
  send(peer: Peer | null, bytes: Uint8Array, endpoint: Uint32Array): void;
  /**
   * A session can now seal: send what was kept for this peer, by WireGuard.seal.
   * @returns Packets sent. After 0 an initiator sends a keepalive, which confirms the session to the responder.
   */
  sessionReady(peer: Peer): number;
  /** No session will come, or the peer was removed: what was kept for it must go. */
  sessionFailed(peer: Peer): void;
}

/** What all peers of one interface share. */
export interface PeerContext extends InitiatorContext {
  readonly timing: Timing;
  readonly events: WireGuardEvents;
  readonly jitter: Jitter;
  readonly deadlines: DeadlineHeap;
  readonly sessions: IndexTable<Session>;
  /** DATA_BYTES_MIN bytes in which keepalives are sealed. */
  readonly keepalive: NativeBuffer;
  /** Where carriers find sessions and peers; null = there are none. */
  readonly board: Board | null;
  mtuBytes: number;
}

/** Indices of a peer's numbers, a Float64Array because class fields of this size may be boxed on each write. */
const NUMBER = {
  TX_DATAGRAMS: 0,
  TX_BYTES: 1,
  RX_DATAGRAMS: 2,
  RX_BYTES: 3,
  /** Unix time of the last completed handshake, 0 = none. */
  HANDSHAKE_WALL_MS: 4,
  /** When we last sent an initiation or response. */
  HANDSHAKE_SENT_MS: 5,
  /** When something last asked for a session: initiations are repeated until REKEY_ATTEMPT_TIME after. */
  ATTEMPT_START_MS: 6,
  /** When we last took an initiation. */
  INITIATION_TAKEN_MS: 7,
} as const;

/** Words of an endpoint that say where the peer is; the others say by which of our addresses. */
const ENDPOINT_REMOTE_WORDS = ENDPOINT.LOCAL_ADDRESS;

/** One peer. Made and owned by WireGuard. */
export class Peer {
  readonly slot: number;
  readonly publicKey: Uint8Array;
  /** Mixed into every handshake; all zero = none. */
  readonly presharedKey = new Uint8Array(KEY_BYTES);
  /** Where the peer is, see ENDPOINT. Read only outside this class. */
  readonly endpoint = new Uint32Array(ENDPOINT_WORDS);
  /** Family of overlayAddress: 4, 6, or 0 when the peer has no AllowedIPs. */
  overlayFamily: 0 | 4 | 6 = 0;
  /** First single address among the peer's AllowedIPs, else base of the first; as in ENDPOINT. */
  readonly overlayAddress = new Uint32Array(4);
  /** Times that an authentic message came from a new address or port. */
  roams = 0;

  readonly #context: PeerContext;
  readonly #timers: PeerTimers;
  readonly #answers: Answers;
  /** null = no handshake message has been sent: of many peers most are never heard of, and memory is theirs. */
  #cookies: CookieHolder | null = null;
  readonly #initiator: Initiator;
  readonly #numbers = new Float64Array(Object.keys(NUMBER).length);

  readonly #sessions: SessionSet;
  /** Timestamp of the last initiation that was taken, null = none. */
  #lastTimestamp: Uint8Array | null = null;
  /** The renewal of a session that is only received on was asked for. */
  #lastMinuteAsked = false;
  #persistentKeepaliveMs = 0;

  constructor(context: PeerContext, slot: number, publicKey: Uint8Array) {
    this.#context = context;
    this.slot = slot;
    this.publicKey = publicKey.slice();
    this.#initiator = new Initiator(context, slot, this.publicKey);
    this.#sessions = new SessionSet(context.sessions);
    this.#timers = new PeerTimers(slot, context.deadlines, context.time);
    const { board } = context;
    this.#answers = board === null ? new TimedAnswers(context, this.#timers) : new SharedAnswers(
      context,
      this.#timers,
      new AnswerWords(board.views, board.views.peer(slot)),
    );
    this.#numbers[NUMBER.HANDSHAKE_SENT_MS] = -Infinity;
    this.#numbers[NUMBER.INITIATION_TAKEN_MS] = -Infinity;
  }

  get hasEndpoint(): boolean {
    return this.endpoint[ENDPOINT.FAMILY] !== 0;
  }

  /** 0 = off. */
  get persistentKeepaliveMs(): number {
    return this.#persistentKeepaliveMs;
  }

  /** Datagrams sent, as the data plane reported them. */
  get txDatagrams(): number {
    return this.#numbers[NUMBER.TX_DATAGRAMS] + this.#carried(CARRIED.TX_DATAGRAMS);
  }

  /** Authentic datagrams received, as the data plane reported them. */
  get rxDatagrams(): number {
    return this.#numbers[NUMBER.RX_DATAGRAMS] + this.#carried(CARRIED.RX_DATAGRAMS);
  }

  /** UDP payload bytes sent, as the data plane reported them. */
  get txBytes(): number {
    return this.#numbers[NUMBER.TX_BYTES] + this.#carried(CARRIED.TX_BYTES);
  }

  /** UDP payload bytes of authentic datagrams received, as the data plane reported them. */
  get rxBytes(): number {
    return this.#numbers[NUMBER.RX_BYTES] + this.#carried(CARRIED.RX_BYTES);
  }

  /** Unix time of the last completed handshake; 0 = none. */
  get lastHandshakeWallMs(): number {
    return this.#numbers[NUMBER.HANDSHAKE_WALL_MS];
  }

  /** Counts datagrams that the data plane sent; bytes are their UDP payload. */
  addTx(datagrams: number, bytes: number): void {
    this.#numbers[NUMBER.TX_DATAGRAMS] += datagrams;
    this.#numbers[NUMBER.TX_BYTES] += bytes;
  }

  /** Counts authentic datagrams that the data plane received. */
  addRx(datagrams: number, bytes: number): void {
    this.#numbers[NUMBER.RX_DATAGRAMS] += datagrams;
    this.#numbers[NUMBER.RX_BYTES] += bytes;
  }

  #carried(field: number): number {
    return this.#context.board?.sum(this.slot, field) ?? 0;
  }

  // ---- Packets --------------------------------------------------------------------------------------------------

  /**
   * Seals a packet in place, padded; `length` 0 is a keepalive. Starts a handshake when the session has come into
   * its years, or when there is none.
   * @see WireGuard.seal
   */
  seal(buffer: NativeBuffer, offset: number, length: number): number {
    if (!this.hasEndpoint) return SEAL.NO_ENDPOINT;
    const session = this.#sessions.current;
    if (session === null || !session.maySeal()) {
      if (this.#initiator.staticStatic() === null) return SEAL.NO_HANDSHAKE;
      this.#wantSession();
      return SEAL.NO_SESSION;
    }
    const sealedLength = session.sealPadded(buffer, offset, length, this.#context.mtuBytes);
    this.#onSent();
    if (length !== 0) this.#answers.dataSent();
    if (session.wantsRenewal()) this.#wantSession();
    return sealedLength;
  }

  /**
   * A data message opened under `session`, which is one of ours.
   * @param isKeepalive Whether it was empty.
   */
  onData(
    session: Session,
    isKeepalive: boolean,
    endpoints: Uint32Array,
    endpointOffset: number,
  ): void {
    this.#moveEndpoint(endpoints, endpointOffset);
    this.#onReceived();
    if (!isKeepalive) this.#answers.dataReceived();
    if (this.#sessions.confirm(session)) {
      this.publish();
      this.#onHandshakeDone();
      this.#context.events.sessionReady(this);
    }
    this.#renewAtLastMinute();
  }

  /** What carriers have to say of this peer. @param movedTo An endpoint, valid iff it moved. */
  onNews(news: number, movedTo: Uint32Array): void {
    if ((news & NEWS.MOVED) !== 0) this.#moveEndpoint(movedTo, 0);
    if ((news & NEWS.RENEW) !== 0) this.#wantSession();
    if ((news & NEWS.LAST_MINUTE) !== 0) this.#renewAtLastMinute();
    this.#answers.rearm();
  }

  /** Tells carriers where the peer is and which session seals. */
  publish(): void {
    const { current } = this.#sessions;
    this.#context.board?.writePeer(this.slot, this, current?.place ?? null);
  }

  /** Renews a session on which we only receive, before it ends (§6.2). */
  #renewAtLastMinute(): void {
    const { current } = this.#sessions;
    if (this.#lastMinuteAsked || current === null || !current.isInitiator) return;
    if (!current.isOlderThan(lastMinuteRekeyMs(this.#context.timing))) return;
    this.#lastMinuteAsked = true;
    this.#wantSession();
  }

  // ---- Handshakes -----------------------------------------------------------------------------------------------

  /**
   * Takes an initiation whose static key is this peer's, and answers it.
   * @returns RECEIVE.HANDSHAKE, or why not; then nothing has changed.
   */
  onInitiation(
    opened: OpenedInitiation,
    bytes: Uint8Array,
    endpoints: Uint32Array,
    endpointOffset: number,
  ): number {
    const { noise, timing, time } = this.#context;
    const staticStatic = this.#initiator.staticStatic();
    if (staticStatic === null || !noise.openTimestamp(opened, bytes, staticStatic)) {
      return RECEIVE.HANDSHAKE_INVALID;
    }
    const isReplay = this.#lastTimestamp !== null &&
      compareTimestamps(opened.timestamp, this.#lastTimestamp) <= 0;
    const sinceLastMs = time.nowMs - this.#numbers[NUMBER.INITIATION_TAKEN_MS];
    if (isReplay || sinceLastMs < timing.initiationIntervalMs) return RECEIVE.HANDSHAKE_REPLAY;

    const keys = new SessionKeys();
    const localIndex = this.#context.drawIndex();
    const message = new Uint8Array(RESPONSE_BYTES);
    if (!noise.createResponse(message, opened, localIndex, this.presharedKey, keys)) {
      return RECEIVE.HANDSHAKE_INVALID;
    }
    this.#lastTimestamp = opened.timestamp.slice();
    this.#numbers[NUMBER.INITIATION_TAKEN_MS] = time.nowMs;
    this.#moveEndpoint(endpoints, endpointOffset);
    this.#onReceived();

    const session = this.#derive(keys, localIndex, opened.senderIndex, false);
    this.#sessions.addUnconfirmed(session);
    this.#onSessionDerived();
    this.#sendHandshake(message);
    return RECEIVE.HANDSHAKE;
  }

  /**
   * Takes the response to our handshake.
   * @returns RECEIVE.HANDSHAKE, or why not; then nothing has changed.
   */
  onResponse(
    bytes: Uint8Array,
    endpoints: Uint32Array,
    endpointOffset: number,
  ): number {
    const keys = new SessionKeys();
    const localIndex = this.#initiator.finish(bytes, this.presharedKey, keys);
    if (localIndex === 0) return RECEIVE.HANDSHAKE_INVALID;
    this.#moveEndpoint(endpoints, endpointOffset);
    this.#onReceived();

    const session = this.#derive(keys, localIndex, parseResponse(bytes).senderIndex, true);
    this.#sessions.addConfirmed(session, this.#initiator.yields());
    this.publish();
    this.#onSessionDerived();
    this.#onHandshakeDone();
    if (this.#context.events.sessionReady(this) === 0) this.sendKeepalive();
    return RECEIVE.HANDSHAKE;
  }

  /** Makes a session of `keys`, which are wiped. */
  #derive(
    keys: SessionKeys,
    localIndex: number,
    remoteIndex: number,
    isInitiator: boolean,
  ): Session {
    const { crypto, timing, time, board } = this.#context;
    const options = { peerSlot: this.slot, localIndex, remoteIndex, isInitiator, keys };
    const place = board?.reserve({ ...options, birthMs: time.nowMs }) ?? null;
    const session = new Session(crypto, timing, time, { ...options, place });
    keys.wipe();
    return session;
  }

  /** Takes a cookie for our next handshake message. @returns Whether it was authentic. */
  onCookie(bytes: Uint8Array): boolean {
    return this.#cookies !== null && this.#cookies.take(bytes, this.#context.time.nowMs);
  }

  /** Something asks for a session: the time for attempts begins anew. */
  #wantSession(): void {
    this.#numbers[NUMBER.ATTEMPT_START_MS] = this.#context.time.nowMs;
    this.#initiate();
  }

  /** Sends an initiation, or sees to it that one is sent as soon as REKEY_TIMEOUT allows. */
  #initiate(): void {
    if (!this.hasEndpoint) return;
    const { timing, jitter } = this.#context;
    const waitMs = timing.rekeyTimeoutMs + jitter.nextMs(timing.rekeyTimeoutJitterMs);
    const sinceLastMs = this.#context.time.nowMs - this.#numbers[NUMBER.HANDSHAKE_SENT_MS];
    if (sinceLastMs < timing.rekeyTimeoutMs) {
      // Linux leaves it to the next packet to ask again. If that never comes, because the only packet waits and the
      // initiator's confirmation was lost, both ends would wait for ever.
      if (!this.#timers.isRunning(TIMER.RETRANSMIT)) {
        this.#timers.start(TIMER.RETRANSMIT, waitMs - sinceLastMs);
      }
      return;
    }
    const message = this.#initiator.begin();
    if (message === null) return;
    this.#sendHandshake(message);
    this.#timers.start(TIMER.RETRANSMIT, waitMs);
  }

  #sendHandshake(message: Uint8Array): void {
    const { crypto, timing, events, time } = this.#context;
    this.#cookies ??= new CookieHolder(crypto, this.publicKey, timing);
    this.#cookies.addMacs(message, time.nowMs);
    this.#numbers[NUMBER.HANDSHAKE_SENT_MS] = time.nowMs;
    this.#onSent();
    events.send(this, message, this.endpoint);
  }

  /** Either end has confirmed a session: the handshake under way, if any, has lost its purpose. */
  #onHandshakeDone(): void {
    this.#timers.stop(TIMER.RETRANSMIT);
    this.#lastMinuteAsked = false;
    this.#numbers[NUMBER.HANDSHAKE_WALL_MS] = this.#context.time.wallMs;
    this.#initiator.drop();
  }

  #onSessionDerived(): void {
    const { rejectAfterTimeMs } = this.#context.timing;
    this.#timers.start(TIMER.ERASE, ERASE_AFTER_LIFETIMES * rejectAfterTimeMs);
    this.#answers.rearm();
  }

  // ---- Timers ---------------------------------------------------------------------------------------------------

  /** Runs the timers that are due. */
  expire(): void {
    const timers = this.#timers;
    if (timers.take(TIMER.ERASE)) this.#erase();
    if (timers.take(TIMER.RETRANSMIT)) this.#retransmit();
    if (this.#answers.takeSilence()) {
      this.#forgetLocalAddress();
      this.#wantSession();
    }
    if (this.#answers.takeDebt()) {
      this.sendKeepalive();
      this.#answers.repay();
    }
    if (timers.take(TIMER.PERSISTENT) && this.#persistentKeepaliveMs > 0) this.#keepOpen();
    this.#answers.rearm();
    timers.reschedule();
  }

  /** Sends a persistent keepalive, unless carriers sent or received since the timer was set. */
  #keepOpen(): void {
    const { board, time } = this.#context;
    const lastMs = board?.lastMs(this.slot) ?? 0;
    const leftMs = lastMs + this.#persistentKeepaliveMs - time.nowMs;
    if (leftMs > 0 && lastMs > 0) this.#timers.start(TIMER.PERSISTENT, leftMs);
    else this.sendKeepalive();
  }

  /** Sends an empty message, or starts a handshake where there is no session. */
  sendKeepalive(): void {
    const { keepalive, events } = this.#context;
    const length = this.seal(keepalive, TRANSPORT_HEADER_BYTES, 0);
    if (length > 0) events.send(this, keepalive.bytes, this.endpoint);
  }

  #retransmit(): void {
    const { timing, events, time } = this.#context;
    if (time.nowMs - this.#numbers[NUMBER.ATTEMPT_START_MS] < timing.rekeyAttemptTimeMs) {
      this.#forgetLocalAddress();
      this.#initiate();
      return;
    }
    this.#answers.stopOwing();
    this.#initiator.drop();
    events.sessionFailed(this);
  }

  #onSent(): void {
    this.#answers.sent();
    this.#onTraversal();
  }

  #onReceived(): void {
    this.#answers.received();
    this.#onTraversal();
  }

  #onTraversal(): void {
    if (this.#persistentKeepaliveMs > 0) {
      this.#timers.start(TIMER.PERSISTENT, this.#persistentKeepaliveMs);
    }
  }

  // ---- Endpoint -------------------------------------------------------------------------------------------------

  /** Follows the peer to where an authentic, new message came from. */
  #moveEndpoint(endpoints: Uint32Array, endpointOffset: number): void {
    const own = this.endpoint;
    let word = 0;
    while (word < ENDPOINT_WORDS && own[word] === endpoints[endpointOffset + word]) word++;
    if (word === ENDPOINT_WORDS) return;
    if (word < ENDPOINT_REMOTE_WORDS && this.hasEndpoint) this.roams++;
    for (; word < ENDPOINT_WORDS; word++) own[word] = endpoints[endpointOffset + word];
    this.publish();
  }

  /** The address that we sent from may be what fails: the kernel is to choose anew (linux timers.c). */
  #forgetLocalAddress(): void {
    this.endpoint.fill(0, ENDPOINT.LOCAL_ADDRESS);
    this.publish();
  }

  // ---- Configuration --------------------------------------------------------------------------------------------

  /** @param periodMs 0 = off. */
  setPersistentKeepalive(periodMs: number): void {
    this.#persistentKeepaliveMs = periodMs;
    this.#timers.stop(TIMER.PERSISTENT);
  }

  /** Opens the session that persistent keepalives, if configured, are to hold open. */
  startPersistentKeepalive(): void {
    if (this.#persistentKeepaliveMs > 0 && this.hasEndpoint) this.sendKeepalive();
  }

  /**
   * Our own key changed: all that was agreed under the old one is void. A handshake that was under way begins
   * anew, or fails when there is no key any more.
   */
  onIdentity(): void {
    const wasAsking = this.#timers.isRunning(TIMER.RETRANSMIT);
    this.#erase();
    this.#timers.stop(TIMER.RETRANSMIT);
    this.#answers.stopAwaiting();
    this.#timers.stop(TIMER.ERASE);
    this.#initiator.reset();
    this.#numbers[NUMBER.HANDSHAKE_SENT_MS] = -Infinity;
    if (this.#context.identity === null) this.#context.events.sessionFailed(this);
    else if (wasAsking) this.#wantSession();
  }

  /** The peer is taken away: wipes its secrets and leaves all tables. Not to be used after. */
  remove(): void {
    this.#erase();
    this.#timers.stopAll();
    this.#cookies?.wipe();
    this.#initiator.reset();
    this.presharedKey.fill(0);
    this.#context.events.sessionFailed(this);
  }

  /** Erases all sessions and the handshake under way (§6.3). */
  #erase(): void {
    this.#initiator.drop();
    this.#sessions.clear();
    this.publish();
    this.#answers.stopOwing();
    this.#lastMinuteAsked = false;
  }
}
