/**
 * Endpoints to which datagrams must go one by one.
 *
 * In: endpoints to which the kernel refused a batch. Out: whether an endpoint is one of them. Bounded: when there are
 * too many, every endpoint is one. Kept until the sockets change.
 */
import { PLAIN_PATHS_MAX } from "../limits.ts";
import { ENDPOINT } from "../ports.ts";

/** Words that say where an endpoint is; by which of our addresses it is reached does not matter. */
const WORDS = ENDPOINT.LOCAL_ADDRESS;

/** See file header. */
export class PlainPaths {
  readonly #endpoints = new Uint32Array(PLAIN_PATHS_MAX * WORDS);
  #count = 0;
  #isEvery = false;

  /** How many; Infinity = every endpoint. */
  get count(): number {
    return this.#isEvery ? Infinity : this.#count;
  }

  /** Whether the endpoint whose words start at `word` is one. */
  has(endpoints: Uint32Array, word: number): boolean {
    if (this.#isEvery) return true;
    for (let path = 0; path < this.#count; path++) {
      if (this.#isAt(path, endpoints, word)) return true;
    }
    return false;
  }

  /** Remembers the endpoint whose words start at `word`. */
  add(endpoints: Uint32Array, word: number): void {
    if (this.has(endpoints, word)) return;
    if (this.#count === PLAIN_PATHS_MAX) {
      this.#isEvery = true;
      return;
    }
    const at = this.#count++ * WORDS;
    for (let index = 0; index < WORDS; index++) {
      this.#endpoints[at + index] = endpoints[word + index]!;
    }
  }

  clear(): void {
    this.#count = 0;
    this.#isEvery = false;
  }

  #isAt(path: number, endpoints: Uint32Array, word: number): boolean {
    for (let index = 0; index < WORDS; index++) {
      if (this.#endpoints[path * WORDS + index] !== endpoints[word + index]) return false;
    }
    return true;
  }
}
