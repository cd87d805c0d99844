/**
 * Token bucket per source, for handshake messages under load (linux/drivers/net/wireguard/ratelimiter.c).
 *
 * In: a source's endpoint and the time. Out: whether one more handshake message of it may cost us a key agreement.
 * Only sources that have proved their address by a cookie come this far, so the table cannot be filled by forgers.
 * Memory is fixed: a bucket that has filled up again says nothing and gives its place to another source.
 */
import { LIMITER_PROBES, LIMITER_SLOTS } from "../limits.ts";
import { ENDPOINT } from "../ports.ts";

/** Handshake messages of one source per second, in the long run (PACKETS_PER_SECOND). */
export const LIMITER_PER_SECOND = 20;
/** Handshake messages at once after a pause (PACKETS_BURSTABLE). */
export const LIMITER_BURST = 5;

const COST_MS = 1000 / LIMITER_PER_SECOND;
/** Words of a source: family, then the address, of IPv6 only the /64, for a host has all of it at its disposal. */
const SOURCE_WORDS = 3;

/** Bounded table of token buckets. A hash seed makes it unknown which sources share places. */
export class SourceLimiter {
  readonly #seed: number;
  readonly #sources = new Uint32Array(LIMITER_SLOTS * SOURCE_WORDS);
  /**
   * When the bucket is full again, per place: each message moves it COST_MS on. A place whose time is past is free.
   */
  readonly #fullMs = new Float64Array(LIMITER_SLOTS).fill(-Infinity);

  /** @param seed Random u32. */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /**
   * Takes one token of the source.
   * @param endpoints Words of endpoints; the one at `endpointOffset` is looked at (see ENDPOINT).
   * @returns Whether there was one; also false when the source is new and its places are all in use.
   */
  allow(endpoints: Uint32Array, endpointOffset: number, nowMs: number): boolean {
    const family = endpoints[endpointOffset + ENDPOINT.FAMILY];
    const first = endpointOffset + ENDPOINT.ADDRESS;
    const high = family === 4 ? endpoints[first + 3] : endpoints[first];
    const low = family === 4 ? 0 : endpoints[first + 1];
    const place = this.#place(family, high, low, nowMs);
    if (place < 0) return false;
    const full = Math.max(this.#fullMs[place], nowMs) + COST_MS;
    if (full > nowMs + LIMITER_BURST * COST_MS) return false;
    this.#fullMs[place] = full;
    return true;
  }

  /** The source's place, or a free one made its own; -1 = none. */
  #place(family: number, high: number, low: number, nowMs: number): number {
    const home = this.#hash(family, high, low);
    let free = -1;
    for (let probe = 0; probe < LIMITER_PROBES; probe++) {
      const place = (home + probe) & (LIMITER_SLOTS - 1);
      if (this.#fullMs[place] <= nowMs) {
        if (free < 0) free = place;
        continue;
      }
      const at = place * SOURCE_WORDS;
      if (
        this.#sources[at] === family && this.#sources[at + 1] === high &&
        this.#sources[at + 2] === low
      ) return place;
    }
    if (free >= 0) {
      const at = free * SOURCE_WORDS;
      this.#sources[at] = family;
      this.#sources[at + 1] = high;
      this.#sources[at + 2] = low;
    }
    return free;
  }

  /** Mixes the source with the seed; the finisher of MurmurHash3 per word. */
  #hash(family: number, high: number, low: number): number {
    let hash = this.#seed ^ family;
    hash = mix(hash ^ high);
    return mix(hash ^ low);
  }
}

function mix(value: number): number {
  let mixed = value;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
