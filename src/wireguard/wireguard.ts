/**
 * The WireGuard protocol of one interface: all peers, and which of them a packet or datagram is for.
 *
 * In: configuration, packets, datagrams, and the time. Out: sealed or opened packets in place, and events.
 * Guarantees: nothing that a stranger sends changes anything but the count of handshakes under load; what belongs to
 * an established session costs no allocation; nothing is read from a clock; keys are neither logged nor thrown.
 * Not here: sockets, queues, counting; what a peer does with what is for it (peer.ts).
 */
import type { CryptoPort, NativeBuffer } from "../ports.ts";
import { ENDPOINT_WORDS } from "../ports.ts";
import { MTU_BYTES_DEFAULT } from "../limits.ts";
import { AllowedIps, destinationOwner, NO_OWNER, sourceOwner } from "./allowed_ips.ts";
import type { Board, NewsListener } from "./board.ts";
import { equalConstantTime, isAllZero, KEY_BYTES, mapKey } from "./bytes.ts";
import type { CarriedPeer, Carrying } from "./carrying.ts";
import type { AllowedIp, DeviceSnapshot, DeviceUpdate, PeerUpdate, RouteChange } from "./config.ts";
import { CookieChecker } from "./cookie.ts";
import { DeadlineHeap } from "./deadline_heap.ts";
import { IndexTable } from "./index_table.ts";
import { Jitter } from "./jitter.ts";
import { SourceLimiter } from "./limiter.ts";
import { LoadGauge } from "./load_gauge.ts";
import {
  COOKIE_BYTES,
  DATA,
  DATA_BYTES_MIN,
  MESSAGE,
  messageKind,
  NOT_A_MESSAGE,
  parseCookieReply,
  parseResponse,
  readWord,
} from "./messages.ts";
import { Identity, Noise, OpenedInitiation } from "./noise.ts";
import { Peer, type PeerContext, type WireGuardEvents } from "./peer.ts";
import { NO_PEER, RECEIVE, RESULT } from "./status.ts";
import { PresentTime } from "./time.ts";
import { completeTiming, type Timing } from "./timing.ts";
import { checkUpdate } from "./update.ts";

/** What a WireGuard is made of. */
export interface WireGuardOptions {
  readonly crypto: CryptoPort;
  readonly events: WireGuardEvents;
  /** Times other than the protocol's own. */
  readonly timing?: Partial<Timing>;
  readonly mtuBytes?: number;
  /** Where carriers find sessions and peers; absent: there are none. */
  readonly board?: Board | null;
}

/**
 * See file header. Times: `nowMs` is monotonic and counts suspension, `wallMs` is Unix time. What seals and receives
 * goes by the time that was given last: by setTime, tick or configure.
 */
export class WireGuard implements Carrying {
  readonly #crypto: CryptoPort;
  readonly #context: PeerContext;
  readonly #allowedIps = new AllowedIps();
  readonly #peers: (Peer | null)[] = [];
  readonly #freeSlots: number[] = [];
  /** By mapKey of the public key, in the order of adding. */
  readonly #peerByKey = new Map<string, Peer>();

  /** What carriers have not been told yet; stays empty where there are none. */
  #routeChanges: RouteChange[] = [];
  readonly #onNews: NewsListener = (slot, news, movedTo) =>
    this.#peers[slot]?.onNews(news, movedTo);

  /** null = we have no key, so no handshake is for us. */
  #checker: CookieChecker | null = null;
  readonly #limiter: SourceLimiter;
  readonly #load = new LoadGauge();
  readonly #opened = new OpenedInitiation();
  readonly #reply = new Uint8Array(COOKIE_BYTES);
  readonly #replyEndpoint = new Uint32Array(ENDPOINT_WORDS);

  /** @throws {RangeError} If the timing contradicts itself. */
  constructor(options: WireGuardOptions) {
    const { crypto, events } = options;
    const sessions: PeerContext["sessions"] = new IndexTable();
    const handshakes: PeerContext["handshakes"] = new IndexTable();
    const drawWord = (): number => {
      crypto.random(word);
      return readWord(word, 0);
    };
    const word = new Uint8Array(4);
    // Made from an ArrayBuffer: memory that C addresses must not move.
    const keepaliveMemory = new ArrayBuffer(DATA_BYTES_MIN);
    this.#crypto = crypto;
    this.#limiter = new SourceLimiter(drawWord());
    this.#context = {
      crypto,
      events,
      time: new PresentTime(),
      noise: new Noise(crypto),
      timing: completeTiming(options.timing),
      jitter: new Jitter(drawWord()),
      deadlines: new DeadlineHeap(),
      sessions,
      handshakes,
      drawIndex: () => {
        for (;;) {
          const index = drawWord();
          const isFree = sessions.get(index) === null && handshakes.get(index) === null;
          if (index !== 0 && isFree) return index;
        }
      },
      keepalive: { bytes: new Uint8Array(keepaliveMemory), view: new DataView(keepaliveMemory) },
      identity: null,
      board: options.board ?? null,
      mtuBytes: options.mtuBytes ?? MTU_BYTES_DEFAULT,
      timestampWallMs: 0,
    };
  }

  // ---- Packets --------------------------------------------------------------------------------------------------

  /** Padding never makes a packet longer than this. */
  get mtuBytes(): number {
    return this.#context.mtuBytes;
  }

  set mtuBytes(bytes: number) {
    this.#context.mtuBytes = bytes;
  }

  /** The peer whose AllowedIPs are the longest match of the packet's destination. @param offset Of its IP header. */
  peerByDestination(view: DataView, offset: number): Peer | null {
    const owner = destinationOwner(this.#allowedIps, view, offset);
    return owner === NO_OWNER ? null : this.#peers[owner];
  }

  /** Whether `peer`'s AllowedIPs are the longest match of the packet's source. @param offset Of its IP header. */
  sourceAllowed(peer: CarriedPeer, view: DataView, offset: number): boolean {
    return sourceOwner(this.#allowedIps, view, offset) === peer.slot;
  }

  /**
   * Seals a packet in place: the TRANSPORT_HEADER_BYTES before `offset` become the header, padding and tag go
   * behind. The buffer has PADDING_BYTES - 1 + TAG_BYTES to spare there.
   * @returns Length of the datagram, which starts at `offset` - TRANSPORT_HEADER_BYTES; or one of SEAL.
   */
  seal(peer: CarriedPeer, buffer: NativeBuffer, offset: number, length: number): number {
    // All peers that this object gives out are of this class.
    return (peer as Peer).seal(buffer, offset, length);
  }

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
  ): number {
    result[RESULT.PEER] = NO_PEER;
    const kind = messageKind(buffer.view, offset, length);
    if (kind === NOT_A_MESSAGE) return RECEIVE.MALFORMED;
    if (kind !== MESSAGE.DATA) {
      const bytes = buffer.bytes.subarray(offset, offset + length);
      return kind === MESSAGE.COOKIE
        ? this.#receiveCookie(bytes, result)
        : this.#receiveHandshake(kind, bytes, endpoints, endpointOffset, result);
    }
    const session = this.#context.sessions.get(
      buffer.view.getInt32(offset + DATA.RECEIVER, true),
    );
    if (session === null) return RECEIVE.UNKNOWN_SESSION;
    const status = session.open(buffer, offset, length);
    if (status !== RECEIVE.DATA) return status;
    const isKeepalive = length === DATA_BYTES_MIN;
    result[RESULT.PEER] = session.peerSlot;
    result[RESULT.OFFSET] = offset + DATA.PAYLOAD;
    result[RESULT.LENGTH] = length - DATA_BYTES_MIN;
    const peer = this.#peers[session.peerSlot]!;
    peer.onData(session, isKeepalive, endpoints, endpointOffset);
    return isKeepalive ? RECEIVE.KEEPALIVE : RECEIVE.DATA;
  }

  #receiveHandshake(
    kind: number,
    bytes: Uint8Array,
    endpoints: Uint32Array,
    endpointOffset: number,
    result: Uint32Array,
  ): number {
    const checker = this.#checker;
    const { nowMs } = this.#context.time;
    if (checker === null || !checker.hasMac1(bytes)) return RECEIVE.MAC_INVALID;
    this.#load.note(nowMs);
    if (this.#load.isUnderLoad(nowMs)) {
      if (!checker.hasMac2(bytes, endpoints, endpointOffset, nowMs)) {
        checker.reply(this.#reply, bytes, endpoints, endpointOffset, nowMs);
        const endpoint = endpoints.subarray(endpointOffset, endpointOffset + ENDPOINT_WORDS);
        this.#replyEndpoint.set(endpoint);
        this.#context.events.send(null, this.#reply, this.#replyEndpoint);
        return RECEIVE.COOKIE_REQUIRED;
      }
      if (!this.#limiter.allow(endpoints, endpointOffset, nowMs)) return RECEIVE.RATE_LIMITED;
    }
    if (kind === MESSAGE.INITIATION) {
      return this.#receiveInitiation(bytes, endpoints, endpointOffset, result);
    }
    const pending = this.#context.handshakes.get(parseResponse(bytes).receiverIndex);
    if (pending === null) return RECEIVE.HANDSHAKE_INVALID;
    const peer = this.#peers[pending.peerSlot]!;
    result[RESULT.PEER] = peer.slot;
    return peer.onResponse(bytes, endpoints, endpointOffset);
  }

  #receiveInitiation(
    bytes: Uint8Array,
    endpoints: Uint32Array,
    endpointOffset: number,
    result: Uint32Array,
  ): number {
    const { noise, identity } = this.#context;
    const opened = this.#opened;
    let status: number = RECEIVE.HANDSHAKE_INVALID;
    if (noise.openInitiation(opened, bytes, identity!)) {
      const peer = this.peerByKey(opened.staticPublic);
      if (peer === null) {
        status = RECEIVE.UNKNOWN_PEER;
      } else {
        result[RESULT.PEER] = peer.slot;
        status = peer.onInitiation(opened, bytes, endpoints, endpointOffset);
      }
    }
    opened.wipe();
    return status;
  }

  #receiveCookie(bytes: Uint8Array, result: Uint32Array): number {
    // It answers an initiation, by the number of the handshake, or a response, by that of the session made with it.
    const { sessions, handshakes } = this.#context;
    const { receiverIndex } = parseCookieReply(bytes);
    const addressee = handshakes.get(receiverIndex) ?? sessions.get(receiverIndex);
    if (addressee === null) return RECEIVE.HANDSHAKE_INVALID;
    const peer = this.#peers[addressee.peerSlot]!;
    if (!peer.onCookie(bytes)) return RECEIVE.HANDSHAKE_INVALID;
    result[RESULT.PEER] = peer.slot;
    return RECEIVE.COOKIE;
  }

  /** The data plane says that more comes in than it can do, or that it is over. Holds for a second. */
  setUnderLoad(underLoad: boolean, nowMs: number): void {
    this.#load.judge(underLoad, nowMs);
  }

  /** Hears what carriers have to say of peers. */
  hearCarriers(): void {
    this.#context.board?.takeNews(this.#onNews);
  }

  /** Hands out what carriers are to take over of the configurations since. */
  takeRouteChanges(): readonly RouteChange[] {
    return this.#routeChanges.splice(0);
  }

  #tellRoute(change: RouteChange): void {
    if (this.#context.board !== null) this.#routeChanges.push(change);
  }

  // ---- Time -----------------------------------------------------------------------------------------------------

  /** Sets the time for what is sealed and received from now on. Once per batch will do. */
  setTime(nowMs: number, wallMs: number): void {
    this.#context.time.set(nowMs, wallMs);
  }

  /** When tick is to be called next, on the scale of nowMs; Infinity = not until something happens. */
  get nextDeadlineMs(): number {
    return this.#context.deadlines.earliestMs;
  }

  /** Runs the timers that are due. */
  tick(nowMs: number, wallMs: number): void {
    const { deadlines, time } = this.#context;
    time.set(nowMs, wallMs);
    // Each peer once at most: one that is due again at once waits for the next call.
    for (let left = deadlines.count; left > 0 && deadlines.earliestMs <= nowMs; left--) {
      this.#peers[deadlines.earliestSlot]!.expire();
    }
  }

  // ---- Peers ----------------------------------------------------------------------------------------------------

  get peerCount(): number {
    return this.#peerByKey.size;
  }

  /** The peer of `slot`, which must be in use. Slots are small integers, reused after removal. */
  peer(slot: number): Peer {
    return this.#peers[slot]!;
  }

  /** The peer with this public key, or null. */
  peerByKey(publicKey: Uint8Array): Peer | null {
    return this.#peerByKey.get(mapKey(publicKey)) ?? null;
  }

  /** All peers, in the order in which they were added. */
  peers(): Iterable<Peer> {
    return this.#peerByKey.values();
  }

  /** What `wg show` wants to know; everything in it is a copy. */
  snapshot(): DeviceSnapshot {
    const { identity } = this.#context;
    return {
      privateKey: identity?.privateKey.slice() ?? new Uint8Array(KEY_BYTES),
      publicKey: identity?.publicKey.slice() ?? new Uint8Array(KEY_BYTES),
      peers: Array.from(this.#peerByKey.values(), (peer) => ({
        publicKey: peer.publicKey.slice(),
        presharedKey: peer.presharedKey.slice(),
        endpoint: peer.hasEndpoint ? peer.endpoint.slice() : null,
        lastHandshakeWallMs: peer.lastHandshakeWallMs,
        txDatagrams: peer.txDatagrams,
        txBytes: peer.txBytes,
        rxDatagrams: peer.rxDatagrams,
        rxBytes: peer.rxBytes,
        roams: peer.roams,
        persistentKeepaliveS: peer.persistentKeepaliveMs / 1000,
        allowedIps: this.#allowedIps.list(peer.slot),
      })),
    };
  }

  // ---- Configuration --------------------------------------------------------------------------------------------

  /**
   * Changes the interface. All of it or, when it throws, nothing.
   * @throws {RangeError} If a member is malformed or a limit would be passed.
   */
  configure(update: DeviceUpdate, nowMs: number, wallMs: number): void {
    this.#context.time.set(nowMs, wallMs);
    checkUpdate(update, { peerKeys: this.#peerByKey.keys(), allowedIps: this.#allowedIps });
    if (update.replacePeers === true) {
      for (const peer of [...this.#peerByKey.values()]) this.#removePeer(peer);
    }
    if (update.privateKey !== undefined) this.#setIdentity(update.privateKey);
    const moved = new Set<Peer>();
    for (const change of update.peers ?? []) this.#configurePeer(change, moved);
    for (const peer of moved) this.#chooseOverlayAddress(peer);
  }

  #setIdentity(privateKey: Uint8Array): void {
    const context = this.#context;
    const before = context.identity;
    const identity = isAllZero(privateKey) ? null : new Identity(this.#crypto, privateKey);
    const isSame = before === null || identity === null
      ? before === identity
      : equalConstantTime(before.privateKey, identity.privateKey);
    if (isSame) {
      identity?.wipe();
      return;
    }
    before?.wipe();
    this.#checker?.wipe();
    context.identity = identity;
    this.#checker = identity === null
      ? null
      : new CookieChecker(this.#crypto, identity.publicKey, context.timing);
    // A peer with our own key would be ourselves (wg_set_device).
    const self = identity === null ? null : this.peerByKey(identity.publicKey);
    if (self !== null) this.#removePeer(self);
    for (const peer of this.#peerByKey.values()) {
      peer.onIdentity();
      peer.startPersistentKeepalive();
    }
  }

  /** Carries out one peer's change. @param moved Peers whose AllowedIPs have changed are added. */
  #configurePeer(change: PeerUpdate, moved: Set<Peer>): void {
    let peer = this.peerByKey(change.publicKey);
    if (change.remove === true) {
      if (peer !== null) this.#removePeer(peer);
      return;
    }
    if (peer === null) {
      const own = this.#context.identity?.publicKey;
      const isSelf = own !== undefined && equalConstantTime(own, change.publicKey);
      // Silently, so that one list of peers can be given to all of them (wg's set_peer).
      if (change.updateOnly === true || isSelf) return;
      peer = this.#addPeer(change.publicKey);
    }
    if (change.presharedKey !== undefined) peer.presharedKey.set(change.presharedKey);
    if (change.endpoint !== undefined) peer.endpoint.set(change.endpoint);
    if (change.persistentKeepaliveS !== undefined) {
      peer.setPersistentKeepalive(change.persistentKeepaliveS * 1000);
    }
    this.#changeAllowedIps(peer, change, moved);
    const isReachableAnew = change.endpoint !== undefined ||
      change.persistentKeepaliveS !== undefined;
    if (isReachableAnew) peer.startPersistentKeepalive();
  }

  #changeAllowedIps(peer: Peer, change: PeerUpdate, moved: Set<Peer>): void {
    const table = this.#allowedIps;
    const { slot } = peer;
    if (change.replaceAllowedIps === true) {
      table.removeAll(slot);
      this.#tellRoute({ type: "clear", slot });
    }
    for (const entry of change.removeAllowedIps ?? []) {
      table.remove(entry, slot);
      this.#tellRoute({ type: "remove", slot, entry });
    }
    for (const entry of change.allowedIps ?? []) {
      this.#tellRoute({ type: "add", slot, entry });
      const loser = table.add(entry, peer.slot);
      if (loser !== NO_OWNER) moved.add(this.#peers[loser]!);
    }
    moved.add(peer);
  }

  #addPeer(publicKey: Uint8Array): Peer {
    const slot = this.#freeSlots.pop() ?? this.#peers.length;
    const { board } = this.#context;
    if (board !== null) {
      this.#tellRoute({ type: "peer", slot, generation: board.addPeer(slot) });
    }
    const peer = new Peer(this.#context, slot, publicKey);
    this.#peers[slot] = peer;
    this.#peerByKey.set(mapKey(publicKey), peer);
    return peer;
  }

  #removePeer(peer: Peer): void {
    this.#allowedIps.removeAll(peer.slot);
    this.#peerByKey.delete(mapKey(peer.publicKey));
    peer.remove();
    this.#peers[peer.slot] = null;
    this.#freeSlots.push(peer.slot);
    this.#tellRoute({ type: "gone", slot: peer.slot });
  }

  /** The address that stands for the peer in physical rows. */
  #chooseOverlayAddress(peer: Peer): void {
    const entries = this.#allowedIps.list(peer.slot);
    const chosen = entries.find(isSingleAddress) ?? entries[0];
    peer.overlayFamily = chosen?.family ?? 0;
    if (chosen === undefined) peer.overlayAddress.fill(0);
    else peer.overlayAddress.set(chosen.addressWords);
    peer.publish();
  }
}

function isSingleAddress(entry: AllowedIp): boolean {
  return entry.prefixBits === (entry.family === 4 ? 32 : 128);
}
