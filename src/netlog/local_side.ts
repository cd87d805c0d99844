/**
 * Which side of a connection is ours, where no tunnel says so.
 *
 * In: flow keys of packets in the order of a capture. Out: whether the packet's source is the local side. Prefixes that are
 * given decide, the source's before the destination's; absent any that fit, the source of a connection's first packet is
 * the local side. Memory is bounded: of connections not seen for long, the next packet is the first again.
 */
import { CAPTURE_CONNECTIONS_MAX } from "../limits.ts";
import {
  type Family,
  KEY,
  KEY_DST_V6,
  KEY_HEAD_MASK,
  KEY_SRC_V6,
  type Prefix,
} from "../packet/mod.ts";
import { NO_VALUE, PrefixTrie } from "./trie.ts";

const PROTO_MASK = 0xff;

/** See file header. */
export class LocalSide {
  readonly #local = new PrefixTrie();
  readonly #connectionsMax: number;
  /** First packets' keys of connections, as text; those met lately and those met before. */
  #recent = new Set<string>();
  #older = new Set<string>();

  /**
   * @param local Prefixes of our side.
   * @param connectionsMax For tests.
   */
  constructor(local: readonly Prefix[], connectionsMax: number = CAPTURE_CONNECTIONS_MAX) {
    for (const prefix of local) this.#local.add(prefix, 0);
    this.#connectionsMax = connectionsMax;
  }

  /** Whether the source of a packet with this key is the local side. */
  isSource(key: Uint32Array): boolean {
    if (this.#isLocal(key, KEY.SRC, KEY_SRC_V6)) return true;
    if (this.#isLocal(key, KEY.DST, KEY_DST_V6)) return false;
    return this.#wasSource(key);
  }

  #isLocal(key: Uint32Array, at: number, v6: number): boolean {
    const family: Family = (key[KEY.HEAD] & v6) === 0 ? 4 : 6;
    return this.#local.find(key, at, family) !== NO_VALUE;
  }

  #wasSource(key: Uint32Array): boolean {
    const forward = directionText(key, KEY.SRC, KEY.DST, key[KEY.PORTS]);
    if (this.#knows(forward)) return true;
    const ports = key[KEY.PORTS];
    const backward = directionText(key, KEY.DST, KEY.SRC, (ports << 16) | (ports >>> 16));
    if (this.#knows(backward)) return false;
    this.#remember(forward);
    return true;
  }

  #knows(direction: string): boolean {
    if (this.#recent.has(direction)) return true;
    if (!this.#older.has(direction)) return false;
    this.#remember(direction);
    return true;
  }

  #remember(direction: string): void {
    if (this.#recent.size >= this.#connectionsMax) {
      this.#older = this.#recent;
      this.#recent = new Set();
    }
    this.#recent.add(direction);
  }
}

/** Words of a key in one direction, as text of 16 bits a character. Both sides of a packet are of one family. */
function directionText(key: Uint32Array, src: number, dst: number, ports: number): string {
  const head = key[KEY.HEAD] & KEY_HEAD_MASK;
  const isV6 = (head & KEY_SRC_V6) !== 0;
  const { fromCharCode } = String;
  const ends = fromCharCode(
    ...[(isV6 ? 0x100 : 0) | (head & PROTO_MASK), ports >>> 16, ports & 0xffff],
    ...[key[src + 3] >>> 16, key[src + 3] & 0xffff, key[dst + 3] >>> 16, key[dst + 3] & 0xffff],
  );
  if (!isV6) return ends;
  let text = ends;
  for (let word = 0; word < 3; word++) {
    text += fromCharCode(
      ...[key[src + word] >>> 16, key[src + word] & 0xffff],
      ...[key[dst + word] >>> 16, key[dst + word] & 0xffff],
    );
  }
  return text;
}
