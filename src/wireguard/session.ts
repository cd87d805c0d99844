/**
 * One session: two keys, our counter, and the window of the other's (whitepaper §5.4.6).
 *
 * In: plaintext in a buffer with room for a header in front and a tag behind, or a data message. Out: the other,
 * in place. Guarantees: no counter is used twice in either direction; nothing seals or opens past the session's end.
 * Not here: which session is used when (peer.ts).
 */
import type { AeadKey, CryptoPort, NativeBuffer } from "../ports.ts";
import { TAG_BYTES, TRANSPORT_HEADER_BYTES } from "../limits.ts";
import { DATA, MESSAGE } from "./messages.ts";
import type { SessionKeys } from "./noise.ts";
import { ReplayWindow } from "./replay.ts";
import { RECEIVE } from "./status.ts";
import type { PresentTime } from "./time.ts";
import type { Timing } from "./timing.ts";

/** Indices in a session's numbers, a Float64Array because class fields of this size may be boxed on each write. */
const NUMBER = { BIRTH_MS: 0, COUNTER: 1, REMOTE_INDEX: 2 } as const;

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
}

/** A pair of transport keys. */
export class Session {
  readonly peerSlot: number;
  readonly localIndex: number;
  readonly isInitiator: boolean;
  readonly #timing: Timing;
  readonly #time: PresentTime;
  readonly #sendKey: AeadKey;
  readonly #receiveKey: AeadKey;
  readonly #numbers = new Float64Array(3);
  readonly #received = new ReplayWindow();

  constructor(crypto: CryptoPort, timing: Timing, time: PresentTime, options: SessionOptions) {
    this.peerSlot = options.peerSlot;
    this.localIndex = options.localIndex;
    this.isInitiator = options.isInitiator;
    this.#timing = timing;
    this.#time = time;
    this.#sendKey = crypto.aeadKey(options.keys.send);
    this.#receiveKey = crypto.aeadKey(options.keys.receive);
    this.#numbers[NUMBER.BIRTH_MS] = time.nowMs;
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
    return this.#numbers[NUMBER.COUNTER] < this.#timing.rejectAfterMessages &&
      !this.isExpired();
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
    this.#received.mark(counter);
    return RECEIVE.DATA;
  }

  /** Wipes the keys. Not to be used after. */
  destroy(): void {
    this.#sendKey.destroy();
    this.#receiveKey.destroy();
  }
}
