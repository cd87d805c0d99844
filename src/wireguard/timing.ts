/**
 * The times and message counts that rule sessions, and nothing else.
 *
 * In: what a test or a configuration wants shorter. Out: a complete Timing whose relations hold.
 * Sources: WireGuard whitepaper §6.1 (the table of constants), linux/drivers/net/wireguard/messages.h.
 */

/** Times of the protocol in milliseconds, and counts of messages. */
export interface Timing {
  /** An initiator renews a session that is older, when it sends (whitepaper §6.2). */
  readonly rekeyAfterTimeMs: number;
  /** A session that is older neither seals nor opens. */
  readonly rejectAfterTimeMs: number;
  /** Unanswered initiations are repeated for so long after the last packet that asked for a session (§6.4). */
  readonly rekeyAttemptTimeMs: number;
  /** Least time between two handshake messages to one peer (§6.1). */
  readonly rekeyTimeoutMs: number;
  /** Random addition to rekeyTimeoutMs, 0 .. this, so that two ends do not keep initiating at once (§6.1). */
  readonly rekeyTimeoutJitterMs: number;
  /** Data that came in is acknowledged by an empty message when nothing else was sent for so long (§6.5). */
  readonly keepaliveTimeoutMs: number;
  /** Lifetime of a cookie secret (§5.4.7). */
  readonly cookieSecretMs: number;
  /** The one who was given a cookie stops using it this much before the secret's end: time for it to arrive. */
  readonly cookieLatencyMs: number;
  /** Least time between two initiations of one peer: 50 a second (linux INITIATIONS_PER_SECOND). */
  readonly initiationIntervalMs: number;
  /** Messages after which the sender renews the session. */
  readonly rekeyAfterMessages: number;
  /** Messages after which a session seals no more; also the first counter that is not opened. */
  readonly rejectAfterMessages: number;
}

/**
 * The protocol's own values. Counters are JavaScript numbers, exact to 2^53: REJECT_AFTER_MESSAGES, which is
 * 2^64 - 2^13 - 1 on the wire, is therefore 2^53 - 2^13 - 1 here. A session lives 180 s, so that an honest peer
 * would need 5 * 10^13 packets a second to tell the difference. REKEY_AFTER_MESSAGES is lowered likewise.
 */
export const DEFAULT_TIMING: Timing = {
  rekeyAfterTimeMs: 120_000,
  rejectAfterTimeMs: 180_000,
  rekeyAttemptTimeMs: 90_000,
  rekeyTimeoutMs: 5_000,
  rekeyTimeoutJitterMs: 333,
  keepaliveTimeoutMs: 10_000,
  cookieSecretMs: 120_000,
  cookieLatencyMs: 5_000,
  initiationIntervalMs: 20,
  rekeyAfterMessages: 2 ** 52,
  rejectAfterMessages: 2 ** 53 - 2 ** 13 - 1,
};

/** Sessions and keys are erased when so many lifetimes have passed without a new one (§6.3). */
export const ERASE_AFTER_LIFETIMES = 3;

/**
 * Returns the protocol's values with those of `changes` in their place.
 * @throws {RangeError} If the times contradict one another.
 */
export function completeTiming(changes: Partial<Timing> = {}): Timing {
  const timing = { ...DEFAULT_TIMING, ...changes };
  for (const [name, value] of Object.entries(timing)) {
    if (!Number.isFinite(value) || value < 0) {
      throw new RangeError(`Cannot use timing "${name}": must be 0 or more, is ${value}`);
    }
  }
  const { rekeyTimeoutMs, keepaliveTimeoutMs } = timing;
  const holds = rekeyTimeoutMs > 0 && keepaliveTimeoutMs > 0 &&
    timing.rekeyAfterTimeMs <= lastMinuteRekeyMs(timing) &&
    timing.rekeyAttemptTimeMs >= rekeyTimeoutMs &&
    timing.cookieLatencyMs < timing.cookieSecretMs &&
    timing.rekeyAfterMessages <= timing.rejectAfterMessages &&
    timing.rejectAfterMessages <= DEFAULT_TIMING.rejectAfterMessages;
  if (!holds) {
    throw new RangeError(
      "Cannot use timing: needs 0 < rekeyTimeout <= rekeyAttemptTime, 0 < keepaliveTimeout, " +
        "rekeyAfterTime <= rejectAfterTime - keepaliveTimeout - rekeyTimeout, " +
        "cookieLatency < cookieSecret, rekeyAfterMessages <= rejectAfterMessages < 2^53",
    );
  }
  return timing;
}

/** Age of a session at which an initiator that only receives renews it (§6.2, last paragraph). */
export function lastMinuteRekeyMs(timing: Timing): number {
  return timing.rejectAfterTimeMs - timing.keepaliveTimeoutMs - timing.rekeyTimeoutMs;
}
