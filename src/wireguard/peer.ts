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
import { PADDING_BYTES, TRANSPORT_HEADER_BYTES } from "../limits.ts";
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
  /** null = no handshake message has been sent: of many peers most are never heard of, and memory is theirs. */
  #cookies: CookieHolder | null = null;
  readonly #initiator: Initiator;
  readonly #numbers = new Float64Array(Object.keys(NUMBER).length);

  readonly #sessions: SessionSet;
  /** Timestamp of the last initiation that was taken, null = none. */
  #lastTimestamp: Uint8Array | null = null;
  /** Data came in while the keepalive timer ran: one more keepalive after it (linux timers.c). */
  #needsAnotherKeepalive = false;
  /** The renewal of a session that is only received on was asked for. */
  #lastMinuteAsked = false;
  #persistentKeepaliveMs = 0;

  constructor(context: PeerContext, slot: number, publicKey: Uint8Array) {
    this.#context = context;
    this.slot = slot;
    this.publicKey = publicKey.slice();
    this.#initiator = new Initiator(context, slot, this.publicKey);
    this.#sessions = new SessionSet(context.sessions);
    this.#timers = new PeerTimers(slot, context.deadlines);
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
    return this.#numbers[NUMBER.TX_DATAGRAMS];
  }

  /** Authentic datagrams received, as the data plane reported them. */
  get rxDatagrams(): number {
    return this.#numbers[NUMBER.RX_DATAGRAMS];
  }

  /** UDP payload bytes sent, as the data plane reported them. */
  get txBytes(): number {
    return this.#numbers[NUMBER.TX_BYTES];
  }

  /** UDP payload bytes of authentic datagrams received, as the data plane reported them. */
  get rxBytes(): number {
    return this.#numbers[NUMBER.RX_BYTES];
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

  // ---- Packets --------------------------------------------------------------------------------------------------

  /**
   * Seals a packet in place, padded; `length` 0 is a keepalive. Starts a handshake when the session has come into
   * its years, or when there is none.
   * @see WireGuard.seal
   */
  seal(
    buffer: NativeBuffer,
    offset: number,
    length: number,
    nowMs: number,
    wallMs: number,
  ): number {
    if (!this.hasEndpoint) return SEAL.NO_ENDPOINT;
    const session = this.#sessions.current;
    if (session === null || !session.maySeal(nowMs)) {
      if (this.#initiator.staticStatic() === null) return SEAL.NO_HANDSHAKE;
      this.#wantSession(nowMs, wallMs);
      return SEAL.NO_SESSION;
    }
    const paddedLength = this.#paddedLength(length);
    const bytes = buffer.bytes;
    for (let at = offset + length; at < offset + paddedLength; at++) bytes[at] = 0;
    const sealedLength = session.seal(buffer, offset, paddedLength);
    this.#onSent(nowMs);
    if (length !== 0 && !this.#timers.isRunning(TIMER.NO_ANSWER)) {
      const { timing, jitter } = this.#context;
      const waitMs = timing.keepaliveTimeoutMs + timing.rekeyTimeoutMs +
        jitter.nextMs(timing.rekeyTimeoutJitterMs);
      this.#timers.start(TIMER.NO_ANSWER, nowMs + waitMs);
    }
    if (session.wantsRenewal(nowMs)) this.#wantSession(nowMs, wallMs);
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
    nowMs: number,
    wallMs: number,
  ): void {
    this.#moveEndpoint(endpoints, endpointOffset);
    this.#onReceived(nowMs);
    if (!isKeepalive) {
      if (this.#timers.isRunning(TIMER.KEEPALIVE)) {
        this.#needsAnotherKeepalive = true;
      } else {
        this.#needsAnotherKeepalive = false;
        this.#timers.start(TIMER.KEEPALIVE, nowMs + this.#context.timing.keepaliveTimeoutMs);
      }
    }
    if (this.#sessions.confirm(session)) {
      this.#onHandshakeDone(wallMs);
      this.#context.events.sessionReady(this);
    }
    this.#renewAtLastMinute(nowMs, wallMs);
  }

  /** Linux calculate_skb_padding: to 16 bytes, but not beyond the MTU, so that no full packet grows. */
  #paddedLength(length: number): number {
    const padded = (length + PADDING_BYTES - 1) & -PADDING_BYTES;
    return Math.max(length, Math.min(padded, this.#context.mtuBytes));
  }

  /** Renews a session on which we only receive, before it ends (§6.2). */
  #renewAtLastMinute(nowMs: number, wallMs: number): void {
    const { current } = this.#sessions;
    if (this.#lastMinuteAsked || current === null || !current.isInitiator) return;
    if (!current.isOlderThan(lastMinuteRekeyMs(this.#context.timing), nowMs)) return;
    this.#lastMinuteAsked = true;
    this.#wantSession(nowMs, wallMs);
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
    nowMs: number,
  ): number {
    const { noise, timing, crypto } = this.#context;
    const staticStatic = this.#initiator.staticStatic();
    if (staticStatic === null || !noise.openTimestamp(opened, bytes, staticStatic)) {
      return RECEIVE.HANDSHAKE_INVALID;
    }
    const isReplay = this.#lastTimestamp !== null &&
      compareTimestamps(opened.timestamp, this.#lastTimestamp) <= 0;
    const sinceLastMs = nowMs - this.#numbers[NUMBER.INITIATION_TAKEN_MS];
    if (isReplay || sinceLastMs < timing.initiationIntervalMs) return RECEIVE.HANDSHAKE_REPLAY;

    const keys = new SessionKeys();
    const localIndex = this.#context.drawIndex();
    const message = new Uint8Array(RESPONSE_BYTES);
    if (!noise.createResponse(message, opened, localIndex, this.presharedKey, keys)) {
      return RECEIVE.HANDSHAKE_INVALID;
    }
    this.#lastTimestamp = opened.timestamp.slice();
    this.#numbers[NUMBER.INITIATION_TAKEN_MS] = nowMs;
    this.#moveEndpoint(endpoints, endpointOffset);
    this.#onReceived(nowMs);

    const session = new Session(crypto, timing, {
      peerSlot: this.slot,
      localIndex,
      remoteIndex: opened.senderIndex,
      isInitiator: false,
      keys,
      nowMs,
    });
    keys.wipe();
    this.#sessions.addUnconfirmed(session, nowMs);
    this.#onSessionDerived(nowMs);
    this.#sendHandshake(message, nowMs);
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
    nowMs: number,
    wallMs: number,
  ): number {
    const { timing, crypto } = this.#context;
    const keys = new SessionKeys();
    const localIndex = this.#initiator.finish(bytes, this.presharedKey, keys);
    if (localIndex === 0) return RECEIVE.HANDSHAKE_INVALID;
    this.#moveEndpoint(endpoints, endpointOffset);
    this.#onReceived(nowMs);

    const session = new Session(crypto, timing, {
      peerSlot: this.slot,
      localIndex,
      remoteIndex: parseResponse(bytes).senderIndex,
      isInitiator: true,
      keys,
      nowMs,
    });
    keys.wipe();
    this.#sessions.addConfirmed(session, this.#initiator.yields(), nowMs);
    this.#onSessionDerived(nowMs);
    this.#onHandshakeDone(wallMs);
    if (this.#context.events.sessionReady(this) === 0) this.sendKeepalive(nowMs, wallMs);
    return RECEIVE.HANDSHAKE;
  }

  /** Takes a cookie for our next handshake message. @returns Whether it was authentic. */
  onCookie(bytes: Uint8Array, nowMs: number): boolean {
    return this.#cookies !== null && this.#cookies.take(bytes, nowMs);
  }

  /** Something asks for a session: the time for attempts begins anew. */
  #wantSession(nowMs: number, wallMs: number): void {
    this.#numbers[NUMBER.ATTEMPT_START_MS] = nowMs;
    this.#initiate(nowMs, wallMs);
  }

  /** Sends an initiation, or sees to it that one is sent as soon as REKEY_TIMEOUT allows. */
  #initiate(nowMs: number, wallMs: number): void {
    if (!this.hasEndpoint) return;
    const { timing, jitter } = this.#context;
    const dueMs = this.#numbers[NUMBER.HANDSHAKE_SENT_MS] + timing.rekeyTimeoutMs;
    if (nowMs < dueMs) {
      // Linux leaves it to the next packet to ask again. If that never comes, because the only packet waits and the
      // initiator's confirmation was lost, both ends would wait for ever.
      if (!this.#timers.isRunning(TIMER.RETRANSMIT)) {
        this.#timers.start(TIMER.RETRANSMIT, dueMs + jitter.nextMs(timing.rekeyTimeoutJitterMs));
      }
      return;
    }
    const message = this.#initiator.begin(wallMs);
    if (message === null) return;
    this.#sendHandshake(message, nowMs);
    const waitMs = timing.rekeyTimeoutMs + jitter.nextMs(timing.rekeyTimeoutJitterMs);
    this.#timers.start(TIMER.RETRANSMIT, nowMs + waitMs);
  }

  #sendHandshake(message: Uint8Array, nowMs: number): void {
    const { crypto, timing, events } = this.#context;
    this.#cookies ??= new CookieHolder(crypto, this.publicKey, timing);
    this.#cookies.addMacs(message, nowMs);
    this.#numbers[NUMBER.HANDSHAKE_SENT_MS] = nowMs;
    this.#onSent(nowMs);
    events.send(this, message, this.endpoint);
  }

  /** Either end has confirmed a session: the handshake under way, if any, has lost its purpose. */
  #onHandshakeDone(wallMs: number): void {
    this.#timers.stop(TIMER.RETRANSMIT);
    this.#lastMinuteAsked = false;
    this.#numbers[NUMBER.HANDSHAKE_WALL_MS] = wallMs;
    this.#initiator.drop();
  }

  #onSessionDerived(nowMs: number): void {
    const { rejectAfterTimeMs } = this.#context.timing;
    this.#timers.start(TIMER.ERASE, nowMs + ERASE_AFTER_LIFETIMES * rejectAfterTimeMs);
  }

  // ---- Timers ---------------------------------------------------------------------------------------------------

  /** Runs the timers that are due. */
  expire(nowMs: number, wallMs: number): void {
    const timers = this.#timers;
    if (timers.take(TIMER.ERASE, nowMs)) this.#erase();
    if (timers.take(TIMER.RETRANSMIT, nowMs)) this.#retransmit(nowMs, wallMs);
    if (timers.take(TIMER.NO_ANSWER, nowMs)) {
      this.#forgetLocalAddress();
      this.#wantSession(nowMs, wallMs);
    }
    if (timers.take(TIMER.KEEPALIVE, nowMs)) {
      this.sendKeepalive(nowMs, wallMs);
      if (this.#needsAnotherKeepalive) {
        this.#needsAnotherKeepalive = false;
        timers.start(TIMER.KEEPALIVE, nowMs + this.#context.timing.keepaliveTimeoutMs);
      }
    }
    if (timers.take(TIMER.PERSISTENT, nowMs) && this.#persistentKeepaliveMs > 0) {
      this.sendKeepalive(nowMs, wallMs);
    }
    timers.reschedule();
  }

  /** Sends an empty message, or starts a handshake where there is no session. */
  sendKeepalive(nowMs: number, wallMs: number): void {
    const { keepalive, events } = this.#context;
    const length = this.seal(keepalive, TRANSPORT_HEADER_BYTES, 0, nowMs, wallMs);
    if (length > 0) events.send(this, keepalive.bytes, this.endpoint);
  }

  #retransmit(nowMs: number, wallMs: number): void {
    const { timing, events } = this.#context;
    if (nowMs - this.#numbers[NUMBER.ATTEMPT_START_MS] < timing.rekeyAttemptTimeMs) {
      this.#forgetLocalAddress();
      this.#initiate(nowMs, wallMs);
      return;
    }
    this.#timers.stop(TIMER.KEEPALIVE);
    this.#initiator.drop();
    events.sessionFailed(this);
  }

  #onSent(nowMs: number): void {
    this.#timers.stop(TIMER.KEEPALIVE);
    this.#onTraversal(nowMs);
  }

  #onReceived(nowMs: number): void {
    this.#timers.stop(TIMER.NO_ANSWER);
    this.#onTraversal(nowMs);
  }

  #onTraversal(nowMs: number): void {
    if (this.#persistentKeepaliveMs > 0) {
      this.#timers.start(TIMER.PERSISTENT, nowMs + this.#persistentKeepaliveMs);
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
  }

  /** The address that we sent from may be what fails: the kernel is to choose anew (linux timers.c). */
  #forgetLocalAddress(): void {
    this.endpoint.fill(0, ENDPOINT.LOCAL_ADDRESS);
  }

  // ---- Configuration --------------------------------------------------------------------------------------------

  /** @param periodMs 0 = off. */
  setPersistentKeepalive(periodMs: number): void {
    this.#persistentKeepaliveMs = periodMs;
    this.#timers.stop(TIMER.PERSISTENT);
  }

  /** Opens the session that persistent keepalives, if configured, are to hold open. */
  startPersistentKeepalive(nowMs: number, wallMs: number): void {
    if (this.#persistentKeepaliveMs > 0 && this.hasEndpoint) this.sendKeepalive(nowMs, wallMs);
  }

  /**
   * Our own key changed: all that was agreed under the old one is void. A handshake that was under way begins
   * anew, or fails when there is no key any more.
   */
  onIdentity(nowMs: number, wallMs: number): void {
    const wasAsking = this.#timers.isRunning(TIMER.RETRANSMIT);
    this.#erase();
    this.#timers.stop(TIMER.RETRANSMIT);
    this.#timers.stop(TIMER.NO_ANSWER);
    this.#timers.stop(TIMER.ERASE);
    this.#initiator.reset();
    this.#numbers[NUMBER.HANDSHAKE_SENT_MS] = -Infinity;
    if (this.#context.identity === null) this.#context.events.sessionFailed(this);
    else if (wasAsking) this.#wantSession(nowMs, wallMs);
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
    this.#timers.stop(TIMER.KEEPALIVE);
    this.#lastMinuteAsked = false;
  }
}
