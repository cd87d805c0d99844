/**
 * One session: two keys, our counter, and the window of the other's (whitepaper §5.4.6).
 *
 * In: plaintext in a buffer with room for a header in front and a tag behind, or a data message. Out: the other,
 * in place. Guarantees: no counter is used twice in either direction, whichever workers share the session; nothing
 * seals or opens past the session's end.
 * Not here: which session is used when (peer.ts).
 */
import type { AeadKey, CryptoPort, NativeBuffer } from "../ports.ts";
import { NONCE_BLOCK, PADDING_BYTES, TAG_BYTES, TRANSPORT_HEADER_BYTES } from "../limits.ts";
import { DATA, MESSAGE } from "./messages.ts";
import type { SessionKeys } from "./noise.ts";
import { ReplayWindow } from "./replay.ts";
import type { SessionPlace, SharedSession } from "./shared_session.ts";
import { RECEIVE } from "./status.ts";
import type { PresentTime } from "./time.ts";
import type { Timing } from "./timing.ts";

/** Indices in a session's numbers, a Float64Array because class fields of this size may be boxed on each write. */
const NUMBER = {
  BIRTH_MS: 0,
  /** The next counter. */
  COUNTER: 1,
  /** The first counter that is not ours to use: Infinity, unless others seal, too. */
  COUNTER_END: 2,
  REMOTE_INDEX: 3,
} as const;

const WORD = 2 ** 32;

/** Whom a session is with and how it came about. */
export interface SessionOptions {
  readonly peerSlot: number;
  /** Number that the peer puts into messages to us. */
  readonly localIndex: number;
  /** Number that we put into messages to the peer. */
  readonly remoteIndex: number;
  /** Whether we sent the initiation: the initiator renews the session. */
  readonly isInitiator: boolean;
  /** Read, not kept. */
  readonly keys: SessionKeys;
  /** When it was derived; absent: now. */
  readonly birthMs?: number;
  /** Where other workers find it; absent or null = nobody else has it. */
  readonly place?: SessionPlace | null;
}

/** Linux calculate_skb_padding: to 16 bytes, but not beyond the MTU, so that no full packet grows. */
function paddedLength(length: number, mtuBytes: number): number {
  const padded = (length + PADDING_BYTES - 1) & -PADDING_BYTES;
  return Math.max(length, Math.min(padded, mtuBytes));
}

/** A pair of transport keys. */
export class Session {
  readonly peerSlot: number;
  readonly localIndex: number;
  readonly isInitiator: boolean;
  /** null = no other worker has it. */
  readonly place: SessionPlace | null;
  readonly #timing: Timing;
  readonly #time: PresentTime;
  readonly #sendKey: AeadKey;
  readonly #receiveKey: AeadKey;
  readonly #numbers = new Float64Array(4);
  readonly #shared: SharedSession | null;
  readonly #received: ReplayWindow | SharedSession;

  constructor(crypto: CryptoPort, timing: Timing, time: PresentTime, options: SessionOptions) {
    this.peerSlot = options.peerSlot;
    this.localIndex = options.localIndex;
    this.isInitiator = options.isInitiator;
    this.#timing = timing;
    this.#time = time;
    this.#sendKey = crypto.aeadKey(options.keys.send);
    this.#receiveKey = crypto.aeadKey(options.keys.receive);
    this.place = options.place ?? null;
    this.#shared = this.place?.shared ?? null;
    this.#received = this.#shared ?? new ReplayWindow();
    this.#numbers[NUMBER.BIRTH_MS] = options.birthMs ?? time.nowMs;
    this.#numbers[NUMBER.COUNTER_END] = this.#shared === null ? Infinity : 0;
    this.#numbers[NUMBER.REMOTE_INDEX] = options.remoteIndex;
  }

  /** Whether it is older than `ageMs`. */
  isOlderThan(ageMs: number): boolean {
    return this.#time.nowMs - this.#numbers[NUMBER.BIRTH_MS] >= ageMs;
  }

  /** Whether it is past its end: it neither seals nor opens. */
  isExpired(): boolean {
    return this.isOlderThan(this.#timing.rejectAfterTimeMs);
  }

  /** Whether seal may be called. */
  maySeal(): boolean {
    if (this.#shared !== null) this.#chooseBlock(this.#shared);
    return this.#numbers[NUMBER.COUNTER] < this.#timing.rejectAfterMessages &&
      !this.isExpired();
  }

  /** Sees to it that the next counter is nobody else's, and not far behind theirs. */
  #chooseBlock(shared: SharedSession): void {
    const numbers = this.#numbers;
    const end = numbers[NUMBER.COUNTER_END];
    if (numbers[NUMBER.COUNTER] < end && !shared.isBehind(end - NONCE_BLOCK)) return;
    const first = shared.takeBlock();
    numbers[NUMBER.COUNTER] = first;
    numbers[NUMBER.COUNTER_END] = first + NONCE_BLOCK;
  }

  /** Whether the one who seals is to renew it (§6.2): by count either side, by age the initiator alone. */
  wantsRenewal(): boolean {
    return this.#numbers[NUMBER.COUNTER] >= this.#timing.rekeyAfterMessages ||
      (this.isInitiator && this.isOlderThan(this.#timing.rekeyAfterTimeMs));
  }

  /**
   * Seals in place; maySeal was true. The header goes into the TRANSPORT_HEADER_BYTES before `offset`, the tag
   * behind the plaintext.
   * @returns Length of the message, which starts at `offset` - TRANSPORT_HEADER_BYTES.
   */
  seal(buffer: NativeBuffer, offset: number, length: number): number {
    const view = buffer.view;
    const numbers = this.#numbers;
    const counter = numbers[NUMBER.COUNTER];
    numbers[NUMBER.COUNTER] = counter + 1;
    const header = offset - TRANSPORT_HEADER_BYTES;
    view.setUint32(header, MESSAGE.DATA, true);
    view.setUint32(header + DATA.RECEIVER, numbers[NUMBER.REMOTE_INDEX], true);
    view.setUint32(header + DATA.COUNTER_LO, counter, true);
    view.setUint32(header + DATA.COUNTER_HI, counter / WORD, true);
    this.#sendKey.seal(buffer, offset, length, counter);
    return length + TRANSPORT_HEADER_BYTES + TAG_BYTES;
  }

  /**
   * Pads a packet with zeroes and seals it as seal() does; the buffer has room for the padding, too.
   * @param mtuBytes Padding makes no packet longer than this.
   */
  sealPadded(buffer: NativeBuffer, offset: number, length: number, mtuBytes: number): number {
    const padded = paddedLength(length, mtuBytes);
    const { bytes } = buffer;
    for (let at = offset + length; at < offset + padded; at++) bytes[at] = 0;
    return this.seal(buffer, offset, padded);
  }

  /**
   * Opens a data message in place and marks it received.
   * @param length At least DATA_BYTES_MIN. The plaintext is at `offset` + 16 and 32 bytes shorter.
   * @returns RECEIVE.DATA or why not; then the session is as before.
   */
  open(buffer: NativeBuffer, offset: number, length: number): number {
    if (this.isExpired()) return RECEIVE.EXPIRED_SESSION;
    const { view } = buffer;
    // From 2^53 on it is rounded, but not to below the limit, which is less than that. See DEFAULT_TIMING.
    const counter = view.getUint32(offset + DATA.COUNTER_HI, true) * WORD +
      view.getUint32(offset + DATA.COUNTER_LO, true);
    if (counter >= this.#timing.rejectAfterMessages) return RECEIVE.EXPIRED_SESSION;
    // Looked at before the message is authentic, for it is far cheaper; marked only after.
    if (!this.#received.isNew(counter)) return RECEIVE.REPLAY;
    const sealed = offset + DATA.PAYLOAD;
    if (!this.#receiveKey.open(buffer, sealed, length - TRANSPORT_HEADER_BYTES, counter)) {
      return RECEIVE.AUTHENTICATION;
    }
    return this.#received.accept(counter) ? RECEIVE.DATA : RECEIVE.REPLAY;
  }

  /** Wipes the keys. Not to be used after. */
  destroy(): void {
    this.#sendKey.destroy();
    this.#receiveKey.destroy();
    this.place?.end();
  }
}
