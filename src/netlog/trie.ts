/**
 * Longest prefix that holds an address, for sets of prefixes that are built once.
 *
 * In: prefixes with a value each. Out: the value of the longest one around an address. Two binary tries, one per
 * family, path-compressed: a node stands where a prefix ends or two fork, so that n prefixes make less than 2n nodes
 * and a look-up visits at most 33 or 129 of them, however many prefixes there are.
 */
import type { Family, Prefix } from "../packet/mod.ts";

/** Answer of a look-up that finds no prefix. */
export const NO_VALUE = -1;

/**
 * Words of a node. ADDRESS: 4, left-aligned; IPv4 uses the first; bits behind the prefix
 * are without meaning. CHILD: node numbers by the bit behind the
 * prefix, 0 = none. VALUE: value + 1, 0 = a fork only.
 */
const NODE = { ADDRESS: 0, BITS: 4, CHILD: 5, VALUE: 7 } as const;
const NODE_SHIFT = 3;

/** Node 0 is no node: where its children would be stand the roots, so that a root is a link like others. */
const ROOT_4 = NODE.CHILD;
const ROOT_6 = NODE.CHILD + 1;

/** See file header. */
export class PrefixTrie {
  #nodes = new Int32Array(64 << NODE_SHIFT);
  #used = 1;
  readonly #key = new Int32Array(4);

  /**
   * Adds a prefix; host bits are ignored. One that is already there keeps its value.
   * @param value 0 .. 2^31 - 2.
   */
  add(prefix: Prefix, value: number): void {
    const bits = prefix.prefixBits;
    const key = this.#key;
    if (prefix.family === 4) key[0] = prefix.addressWords[3];
    else key.set(prefix.addressWords);
    let link = prefix.family === 4 ? ROOT_4 : ROOT_6;
    for (;;) {
      const node = this.#nodes[link];
      if (node === 0) {
        this.#setLink(link, this.#newNode(bits, value + 1));
        return;
      }
      const at = node << NODE_SHIFT;
      const nodeBits = this.#nodes[at + NODE.BITS];
      const common = Math.min(bits, nodeBits, this.#commonBits(at));
      if (common < nodeBits) {
        this.#split(link, node, common, bits, value);
        return;
      }
      if (nodeBits === bits) {
        if (this.#nodes[at + NODE.VALUE] === 0) this.#nodes[at + NODE.VALUE] = value + 1;
        return;
      }
      link = at + NODE.CHILD + bitAt(key, 0, nodeBits);
    }
  }

  /** Value of the longest prefix around the address at `wordOffset`, or NO_VALUE. */
  find(words: Uint32Array, wordOffset: number, family: Family): number {
    const nodes = this.#nodes;
    const isV4 = family === 4;
    const key0 = words[isV4 ? wordOffset + 3 : wordOffset] | 0;
    const key1 = words[wordOffset + 1] | 0;
    const key2 = words[wordOffset + 2] | 0;
    const key3 = words[wordOffset + 3] | 0;
    let value = 0;
    for (let node = nodes[isV4 ? ROOT_4 : ROOT_6]; node !== 0;) {
      const at = node << NODE_SHIFT;
      const bits = nodes[at + NODE.BITS];
      const whole = bits >>> 5;
      if (whole > 0 && nodes[at] !== key0) break;
      if (whole > 1 && nodes[at + 1] !== key1) break;
      if (whole > 2 && nodes[at + 2] !== key2) break;
      if (whole > 3 && nodes[at + 3] !== key3) break;
      // The word in which the prefix ends and the next bit lies; without meaning when all bits were compared.
      const key = whole === 0 ? key0 : whole === 1 ? key1 : whole === 2 ? key2 : key3;
      const rest = bits & 31;
      if (rest !== 0 && ((nodes[at + whole] ^ key) >>> (32 - rest)) !== 0) break;
      if (nodes[at + NODE.VALUE] !== 0) value = nodes[at + NODE.VALUE];
      // Below a whole address there is nothing.
      node = nodes[at + NODE.CHILD + ((key >>> (31 - rest)) & 1)];
    }
    return value - 1;
  }

  /** Puts a fork, or the new prefix itself, above `node`, which differs from it behind `common` bits. */
  #split(link: number, node: number, common: number, bits: number, value: number): void {
    const isPrefix = common === bits;
    const above = this.#newNode(common, isPrefix ? value + 1 : 0);
    const below = isPrefix ? 0 : this.#newNode(bits, value + 1);
    const aboveAt = above << NODE_SHIFT;
    const side = bitAt(this.#nodes, node << NODE_SHIFT, common);
    this.#nodes[aboveAt + NODE.CHILD + side] = node;
    this.#nodes[aboveAt + NODE.CHILD + (side ^ 1)] = below;
    this.#setLink(link, above);
  }

  #setLink(link: number, node: number): void {
    this.#nodes[link] = node;
  }

  /** Makes a node for the first `bits` bits of the key at hand. */
  #newNode(bits: number, valuePlusOne: number): number {
    if ((this.#used + 1) << NODE_SHIFT > this.#nodes.length) {
      const nodes = new Int32Array(this.#nodes.length * 2);
      nodes.set(this.#nodes);
      this.#nodes = nodes;
    }
    const node = this.#used++;
    const at = node << NODE_SHIFT;
    this.#nodes.set(this.#key, at + NODE.ADDRESS);
    this.#nodes[at + NODE.BITS] = bits;
    this.#nodes[at + NODE.VALUE] = valuePlusOne;
    return node;
  }

  /** Leading bits in which the key at hand equals the node's address. */
  #commonBits(at: number): number {
    for (let word = 0; word < 4; word++) {
      const difference = this.#nodes[at + word] ^ this.#key[word];
      if (difference !== 0) return word * 32 + Math.clz32(difference);
    }
    return 128;
  }
}

/** Bit `index` of the words at `offset`, 0 = the most significant. */
function bitAt(words: Int32Array, offset: number, index: number): number {
  return (words[offset + (index >>> 5)] >>> (31 - (index & 31))) & 1;
}
