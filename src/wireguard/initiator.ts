/**
 * The initiator's half of handshakes with one peer, and the secret that both halves share.
 *
 * In: the wish for an initiation, and responses. Out: the initiation, and a session's keys. At most one handshake is
 * under way; a new one replaces it. Not here: when to initiate (peer.ts), the messages' insides (noise.ts).
 */
import type { CryptoPort } from "../ports.ts";
import { KEY_BYTES } from "./bytes.ts";
import type { IndexTable } from "./index_table.ts";
import { INITIATION_BYTES, TIMESTAMP_BYTES } from "./messages.ts";
import { type Identity, type Noise, PendingHandshake, type SessionKeys } from "./noise.ts";
import type { PresentTime } from "./time.ts";
import { TIMESTAMP_GRAIN_NS, TimestampSource } from "./tai64n.ts";

/** Step of the time in initiations while the clock is behind it: a grain, and up to whole milliseconds for rounding. */
const TIMESTAMP_STEP_MS = Math.ceil(TIMESTAMP_GRAIN_NS / 1e6);

/** What all initiators of one interface share. */
export interface InitiatorContext {
  readonly crypto: CryptoPort;
  readonly time: PresentTime;
  readonly noise: Noise;
  /** Handshakes under way by their local index. */
  readonly handshakes: IndexTable<PendingHandshake>;
  /** A random number, not 0, that no session or handshake has. */
  drawIndex(): number;
  /** Our key; null = none. */
  identity: Identity | null;
  /** The latest Unix time that stood in an initiation: a peer that is removed and added again must not fall behind. */
  timestampWallMs: number;
}

/** See file header. */
export class Initiator {
  readonly #context: InitiatorContext;
  readonly #peerSlot: number;
  readonly #peerKey: Uint8Array;
  readonly #timestamps = new TimestampSource();
  #pending: PendingHandshake | null = null;
  /** Shared secret of both static keys; undefined = not computed, null = there is none. */
  #staticStatic: Uint8Array | null | undefined = undefined;

  /** @param peerKey The peer's public key, kept. */
  constructor(context: InitiatorContext, peerSlot: number, peerKey: Uint8Array) {
    this.#context = context;
    this.#peerSlot = peerSlot;
    this.#peerKey = peerKey;
  }

  /**
   * Shared secret of both static keys, computed when first needed: for 65,536 peers at start it would take seconds.
   * @returns null when we have no key or the peer's is a point of low order: no handshake can succeed.
   */
  staticStatic(): Uint8Array | null {
    if (this.#staticStatic === undefined) {
      const { crypto, identity } = this.#context;
      const secret = new Uint8Array(KEY_BYTES);
      const isSound = identity !== null &&
        crypto.x25519(secret, identity.privateKey, this.#peerKey);
      this.#staticStatic = isSound ? secret : null;
    }
    return this.#staticStatic;
  }

  /**
   * Whether, of two sessions that both ends began at once, ours is the one to be given up: the smaller key yields.
   * Valid iff we have a key.
   */
  yields(): boolean {
    const own = this.#context.identity!.publicKey;
    const differing = own.findIndex((byte, index) => byte !== this.#peerKey[index]);
    return own[differing] < this.#peerKey[differing];
  }

  /** Begins a handshake in place of the one under way. @returns The initiation without macs; null if impossible. */
  begin(): Uint8Array | null {
    const context = this.#context;
    const { identity } = context;
    const { wallMs } = context.time;
    const staticStatic = this.staticStatic();
    if (identity === null || staticStatic === null) return null;
    this.drop();
    const isBehind = wallMs < context.timestampWallMs;
    context.timestampWallMs = isBehind ? context.timestampWallMs + TIMESTAMP_STEP_MS : wallMs;
    const timestamp = new Uint8Array(TIMESTAMP_BYTES);
    this.#timestamps.next(timestamp, context.timestampWallMs);
    const pending = new PendingHandshake(this.#peerSlot, context.drawIndex());
    const message = new Uint8Array(INITIATION_BYTES);
    const isSound = context.noise.createInitiation(
      message,
      pending,
      identity,
      this.#peerKey,
      staticStatic,
      timestamp,
    );
    if (!isSound) return null;
    this.#pending = pending;
    context.handshakes.add(pending.localIndex, pending);
    return message;
  }

  /**
   * Opens the response to the handshake under way, which then is over.
   * @returns The session's local index; 0 = the response is not authentic and nothing has changed.
   */
  finish(response: Uint8Array, presharedKey: Uint8Array, keys: SessionKeys): number {
    const pending = this.#pending;
    const { identity, noise } = this.#context;
    if (pending === null || identity === null) return 0;
    if (!noise.openResponse(pending, response, identity, presharedKey, keys)) return 0;
    const { localIndex } = pending;
    this.drop();
    return localIndex;
  }

  /** Gives up and wipes the handshake under way, if any. */
  drop(): void {
    if (this.#pending === null) return;
    this.#context.handshakes.remove(this.#pending.localIndex);
    this.#pending.wipe();
    this.#pending = null;
  }

  /** Wipes all secrets; what is shared with the peer is computed anew when our key has changed. */
  reset(): void {
    this.drop();
    this.#staticStatic?.fill(0);
    this.#staticStatic = undefined;
  }
}
