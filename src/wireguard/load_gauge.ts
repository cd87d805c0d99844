/**
 * Decides whether we are under load, so that handshakes must show a cookie (whitepaper §5.3).
 *
 * In: the data plane's own judgement, and each handshake message with a right mac1. Out: yes or no.
 */
import { HANDSHAKES_CALM_PER_SECOND } from "../limits.ts";

/** Load is taken to last this long after its last sign (wg_receive_handshake_packet: one second). */
const HOLD_MS = 1000;
const COUNT_MS = 1000;

/** Remembers signs of load. */
export class LoadGauge {
  #untilMs = -Infinity;
  #countStartMs = -Infinity;
  #count = 0;

  /** Somebody else sees load now, or sees that it is over. */
  judge(isUnderLoad: boolean, nowMs: number): void {
    this.#untilMs = isUnderLoad ? nowMs + HOLD_MS : -Infinity;
  }

  /** One handshake message that is ours to answer came in. */
  note(nowMs: number): void {
    if (nowMs - this.#countStartMs >= COUNT_MS) {
      this.#countStartMs = nowMs;
      this.#count = 0;
    }
    this.#count++;
    if (this.#count > HANDSHAKES_CALM_PER_SECOND) this.#untilMs = nowMs + HOLD_MS;
  }

  /** Whether handshakes must show a cookie now. */
  isUnderLoad(nowMs: number): boolean {
    return nowMs < this.#untilMs;
  }
}
