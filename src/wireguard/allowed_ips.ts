/**
 * AllowedIPs: which peer an address belongs to, by longest prefix.
 *
 * In: prefixes with their owner (a peer slot), and packets' bytes. Out: an owner. One prefix has one owner at a time:
 * adding it to another peer takes it from the first, as Linux and `wg` have it (whitepaper §2, cryptokey routing).
 *
 * Two binary tries, one per family, path-compressed: a node stands where prefixes end or fork, so that n prefixes
 * make less than 2n nodes and a look-up touches as many as the address has such places. Nodes are 8 words of one
 * Int32Array, half a cache line; a look-up reads the address from the packet and allocates nothing.
 */
import { ALLOWED_IPS_MAX } from "../limits.ts";
import type { AllowedIp } from "./config.ts";

/** Answer of a look-up that finds no owner. */
export const NO_OWNER = -1;

/**
 * Words of a node. ADDRESS: 4, left-aligned, masked; IPv4 uses the first. OWNER: slot + 1, 0 = a fork only.
 * CHILD: node numbers by the bit behind the prefix, 0 = none.
 */
const NODE = { ADDRESS: 0, BITS: 4, CHILD: 5, OWNER: 7 } as const;
const NODE_SHIFT = 3;

/** Node 0 is no node: the words where its children would be hold the roots, so that a root is a link like others. */
const ROOT_LINK_4 = NODE.CHILD;
const ROOT_LINK_6 = NODE.CHILD + 1;

/** Words of a node's place in its owner's list, which keeps the order of adding for `wg show`. */
const LINK = { NEXT: 0, PREVIOUS: 1, FAMILY: 2 } as const;
const LINK_WORDS = 3;

/** Words of an owner: first and last node of its list, and their number. */
const LIST = { HEAD: 0, TAIL: 1, COUNT: 2 } as const;
const LIST_WORDS = 3;

/** IPv4 in IPv6 form, the word before the address (RFC 4291 §2.5.5.2). */
const MAPPED_WORD = 0xffff;

/** Longest-prefix table from addresses to owners. Owners are small integers. */
export class AllowedIps {
  #nodes = new Int32Array(16 << NODE_SHIFT);
  #links = new Int32Array(16 * LINK_WORDS);
  #lists = new Int32Array(16 * LIST_WORDS);
  /** Nodes ever used, node 0 included. */
  #used = 1;
  /** First of the freed nodes, chained by CHILD; 0 = none. */
  #free = 0;
  #nodeCount = 0;
  #count = 0;
  /** The prefix at hand: what #load made of an AllowedIp. */
  readonly #key = new Int32Array(4);

  /** Prefixes in the table. */
  get count(): number {
    return this.#count;
  }

  /** Nodes that they take, forks included: less than twice as many. */
  get nodeCount(): number {
    return this.#nodeCount;
  }

  /** Owner of the IPv4 address at `offset` (4 bytes there), or NO_OWNER. */
  find4(view: DataView, offset: number): number {
    const key = view.getInt32(offset);
    const nodes = this.#nodes;
    let owner = 0;
    for (let node = nodes[ROOT_LINK_4]; node !== 0;) {
      const at = node << NODE_SHIFT;
      const bits = nodes[at + NODE.BITS];
      if (bits !== 0 && ((nodes[at] ^ key) >>> (32 - bits)) !== 0) break;
      if (nodes[at + NODE.OWNER] !== 0) owner = nodes[at + NODE.OWNER];
      if (bits === 32) break;
      node = nodes[at + NODE.CHILD + ((key >>> (31 - bits)) & 1)];
    }
    return owner - 1;
  }

  /** Owner of the IPv6 address at `offset` (16 bytes there), or NO_OWNER. */
  find6(view: DataView, offset: number): number {
    const key0 = view.getInt32(offset);
    const key1 = view.getInt32(offset + 4);
    const key2 = view.getInt32(offset + 8);
    const key3 = view.getInt32(offset + 12);
    const nodes = this.#nodes;
    let owner = 0;
    for (let node = nodes[ROOT_LINK_6]; node !== 0;) {
      const at = node << NODE_SHIFT;
      const bits = nodes[at + NODE.BITS];
      const whole = bits >>> 5;
      if (whole > 0 && nodes[at] !== key0) break;
      if (whole > 1 && nodes[at + 1] !== key1) break;
      if (whole > 2 && nodes[at + 2] !== key2) break;
      if (whole > 3 && nodes[at + 3] !== key3) break;
      // The word in which the prefix ends and in which the next bit lies; unused when all 128 bits were compared.
      const key = whole === 0 ? key0 : whole === 1 ? key1 : whole === 2 ? key2 : key3;
      const rest = bits & 31;
      if (rest !== 0 && ((nodes[at + whole] ^ key) >>> (32 - rest)) !== 0) break;
      if (nodes[at + NODE.OWNER] !== 0) owner = nodes[at + NODE.OWNER];
      if (bits === 128) break;
      node = nodes[at + NODE.CHILD + ((key >>> (31 - rest)) & 1)];
    }
    return owner - 1;
  }

  /** Owner of this very prefix, or NO_OWNER. */
  ownerOf(entry: AllowedIp): number {
    const node = this.#exact(entry);
    return node === 0 ? NO_OWNER : this.#nodes[(node << NODE_SHIFT) + NODE.OWNER] - 1;
  }

  /**
   * Gives a prefix to `owner`, taking it from whoever has it. It becomes the last of the owner's list.
   * @returns The owner that lost it, or NO_OWNER; `owner` itself when it had it already.
   * @throws {RangeError} If the table is full.
   */
  add(entry: AllowedIp, owner: number): number {
    this.#reserveOwner(owner);
    const existing = this.#exact(entry);
    if (existing !== 0) {
      const at = existing << NODE_SHIFT;
      const before = this.#nodes[at + NODE.OWNER] - 1;
      if (before !== NO_OWNER) this.#leaveList(existing, before);
      else this.#count++;
      this.#nodes[at + NODE.OWNER] = owner + 1;
      this.#joinList(existing, owner, entry.family);
      return before;
    }
    if (this.#count >= ALLOWED_IPS_MAX) {
      throw new RangeError(`Cannot hold more than ${ALLOWED_IPS_MAX} AllowedIPs`);
    }
    this.#reserveNodes(2);
    const node = this.#insert(entry.family === 4 ? ROOT_LINK_4 : ROOT_LINK_6, entry.prefixBits);
    this.#nodes[(node << NODE_SHIFT) + NODE.OWNER] = owner + 1;
    this.#joinList(node, owner, entry.family);
    this.#count++;
    return NO_OWNER;
  }

  /** Takes a prefix from `owner`. @returns Whether it had it. */
  remove(entry: AllowedIp, owner: number): boolean {
    const node = this.#exact(entry);
    if (node === 0 || this.#nodes[(node << NODE_SHIFT) + NODE.OWNER] !== owner + 1) return false;
    this.#removeNode(node, owner);
    return true;
  }

  /** Takes all prefixes from `owner`. */
  removeAll(owner: number): void {
    if (owner * LIST_WORDS >= this.#lists.length) return;
    for (;;) {
      const node = this.#lists[owner * LIST_WORDS + LIST.HEAD];
      if (node === 0) return;
      this.#removeNode(node, owner);
    }
  }

  /** Number of the owner's prefixes. */
  countOf(owner: number): number {
    const at = owner * LIST_WORDS;
    return at < this.#lists.length ? this.#lists[at + LIST.COUNT] : 0;
  }

  /** The owner's prefixes in the order in which it got them, masked. */
  list(owner: number): AllowedIp[] {
    const entries: AllowedIp[] = [];
    if (this.countOf(owner) === 0) return entries;
    let node = this.#lists[owner * LIST_WORDS + LIST.HEAD];
    while (node !== 0) {
      entries.push(this.#entry(node));
      node = this.#links[node * LINK_WORDS + LINK.NEXT];
    }
    return entries;
  }

  #entry(node: number): AllowedIp {
    const at = node << NODE_SHIFT;
    const prefixBits = this.#nodes[at + NODE.BITS];
    if (this.#links[node * LINK_WORDS + LINK.FAMILY] === 4) {
      const addressWords = Uint32Array.of(0, 0, MAPPED_WORD, this.#nodes[at]);
      return { family: 4, addressWords, prefixBits };
    }
    return {
      family: 6,
      addressWords: new Uint32Array(this.#nodes.subarray(at, at + 4)),
      prefixBits,
    };
  }

  /** Puts the prefix, left-aligned and masked, into #key. */
  #load(entry: AllowedIp): void {
    const key = this.#key;
    if (entry.family === 4) {
      key.fill(0);
      key[0] = entry.addressWords[3];
    } else {
      key.set(entry.addressWords);
    }
    maskWords(key, 0, entry.prefixBits);
  }

  /** The node of this very prefix, a fork included; 0 = none. Leaves the prefix in #key. */
  #exact(entry: AllowedIp): number {
    this.#load(entry);
    const nodes = this.#nodes;
    const bits = entry.prefixBits;
    let node = nodes[entry.family === 4 ? ROOT_LINK_4 : ROOT_LINK_6];
    while (node !== 0) {
      const at = node << NODE_SHIFT;
      const nodeBits = nodes[at + NODE.BITS];
      if (nodeBits > bits || this.#commonBits(node, nodeBits) < nodeBits) return 0;
      if (nodeBits === bits) return node;
      node = nodes[at + NODE.CHILD + bitAt(this.#key, 0, nodeBits)];
    }
    return 0;
  }

  /** Adds a node for the prefix in #key, which has none. Two nodes are reserved. @returns The node, without owner. */
  #insert(rootLink: number, bits: number): number {
    const nodes = this.#nodes;
    const leaf = this.#take(this.#key, 0, bits);
    let link = rootLink;
    let node = nodes[link];
    let common = 0;
    while (node !== 0) {
      const at = node << NODE_SHIFT;
      const nodeBits = nodes[at + NODE.BITS];
      common = this.#commonBits(node, Math.min(bits, nodeBits));
      if (common < nodeBits) break;
      link = at + NODE.CHILD + bitAt(this.#key, 0, nodeBits);
      node = nodes[link];
    }
    if (node === 0) {
      nodes[link] = leaf;
      return leaf;
    }
    const nodeBit = bitAt(nodes, node << NODE_SHIFT, common);
    if (common === bits) {
      nodes[(leaf << NODE_SHIFT) + NODE.CHILD + nodeBit] = node;
      nodes[link] = leaf;
      return leaf;
    }
    const fork = this.#take(this.#key, 0, common);
    nodes[(fork << NODE_SHIFT) + NODE.CHILD + nodeBit] = node;
    nodes[(fork << NODE_SHIFT) + NODE.CHILD + 1 - nodeBit] = leaf;
    nodes[link] = fork;
    return leaf;
  }

  /** Takes the owner off a node, and the node out of the trie unless a fork is needed there. */
  #removeNode(node: number, owner: number): void {
    const nodes = this.#nodes;
    const at = node << NODE_SHIFT;
    this.#leaveList(node, owner);
    nodes[at + NODE.OWNER] = 0;
    this.#count--;
    const child0 = nodes[at + NODE.CHILD];
    const child1 = nodes[at + NODE.CHILD + 1];
    if (child0 !== 0 && child1 !== 0) return;

    // The way down again, for nodes do not know their parents: removal is rare, memory is not.
    const rootLink = this.#links[node * LINK_WORDS + LINK.FAMILY] === 4 ? ROOT_LINK_4 : ROOT_LINK_6;
    let parent = 0;
    let parentLink = 0;
    let link = rootLink;
    while (nodes[link] !== node) {
      parentLink = link;
      parent = nodes[link];
      const parentAt = parent << NODE_SHIFT;
      link = parentAt + NODE.CHILD + bitAt(nodes, at, nodes[parentAt + NODE.BITS]);
    }
    nodes[link] = child0 | child1;
    this.#release(node);
    if (nodes[link] === 0 && parent !== 0) this.#collapse(parent, parentLink);
  }

  /** Takes out a fork that has lost one of its two children. */
  #collapse(fork: number, forkLink: number): void {
    const nodes = this.#nodes;
    const at = fork << NODE_SHIFT;
    if (nodes[at + NODE.OWNER] !== 0) return;
    nodes[forkLink] = nodes[at + NODE.CHILD] | nodes[at + NODE.CHILD + 1];
    this.#release(fork);
  }

  /** Number of leading bits, at most `limit`, in which the node's address equals #key. */
  #commonBits(node: number, limit: number): number {
    const at = node << NODE_SHIFT;
    for (let word = 0; word * 32 < limit; word++) {
      const difference = this.#nodes[at + word] ^ this.#key[word];
      if (difference !== 0) return Math.min(limit, word * 32 + Math.clz32(difference));
    }
    return limit;
  }

  /** A node with the first `bits` bits of the address at `words[offset]`, without children or owner. */
  #take(words: Int32Array, offset: number, bits: number): number {
    let node = this.#free;
    if (node !== 0) this.#free = this.#nodes[(node << NODE_SHIFT) + NODE.CHILD];
    else node = this.#used++;
    this.#nodeCount++;
    const at = node << NODE_SHIFT;
    for (let word = 0; word < 4; word++) this.#nodes[at + word] = words[offset + word];
    maskWords(this.#nodes, at, bits);
    this.#nodes[at + NODE.BITS] = bits;
    this.#nodes[at + NODE.CHILD] = 0;
    this.#nodes[at + NODE.CHILD + 1] = 0;
    this.#nodes[at + NODE.OWNER] = 0;
    return node;
  }

  #release(node: number): void {
    this.#nodeCount--;
    this.#nodes[(node << NODE_SHIFT) + NODE.CHILD] = this.#free;
    this.#free = node;
  }

  #joinList(node: number, owner: number, family: number): void {
    const list = owner * LIST_WORDS;
    const tail = this.#lists[list + LIST.TAIL];
    const at = node * LINK_WORDS;
    this.#links[at + LINK.NEXT] = 0;
    this.#links[at + LINK.PREVIOUS] = tail;
    this.#links[at + LINK.FAMILY] = family;
    if (tail === 0) this.#lists[list + LIST.HEAD] = node;
    else this.#links[tail * LINK_WORDS + LINK.NEXT] = node;
    this.#lists[list + LIST.TAIL] = node;
    this.#lists[list + LIST.COUNT]++;
  }

  #leaveList(node: number, owner: number): void {
    const list = owner * LIST_WORDS;
    const next = this.#links[node * LINK_WORDS + LINK.NEXT];
    const previous = this.#links[node * LINK_WORDS + LINK.PREVIOUS];
    if (previous === 0) this.#lists[list + LIST.HEAD] = next;
    else this.#links[previous * LINK_WORDS + LINK.NEXT] = next;
    if (next === 0) this.#lists[list + LIST.TAIL] = previous;
    else this.#links[next * LINK_WORDS + LINK.PREVIOUS] = previous;
    this.#lists[list + LIST.COUNT]--;
  }

  #reserveNodes(count: number): void {
    if ((this.#used + count) << NODE_SHIFT <= this.#nodes.length) return;
    const nodes = new Int32Array(this.#nodes.length * 2);
    nodes.set(this.#nodes);
    this.#nodes = nodes;
    const links = new Int32Array(this.#links.length * 2);
    links.set(this.#links);
    this.#links = links;
  }

  #reserveOwner(owner: number): void {
    if ((owner + 1) * LIST_WORDS <= this.#lists.length) return;
    const lists = new Int32Array(2 ** Math.ceil(Math.log2(owner + 1)) * LIST_WORDS);
    lists.set(this.#lists);
    this.#lists = lists;
  }
}

/** Offsets of the addresses in an IP header (RFC 791 §3.1, RFC 8200 §3). */
const IP4 = { SOURCE: 12, DESTINATION: 16 } as const;
const IP6 = { SOURCE: 8, DESTINATION: 24 } as const;

/** Owner of the destination of the packet whose IP header is at `offset`, or NO_OWNER. */
export function destinationOwner(table: AllowedIps, view: DataView, offset: number): number {
  return (view.getUint8(offset) >>> 4) === 4
    ? table.find4(view, offset + IP4.DESTINATION)
    : table.find6(view, offset + IP6.DESTINATION);
}

/** Owner of the source of the packet whose IP header is at `offset`, or NO_OWNER. */
export function sourceOwner(table: AllowedIps, view: DataView, offset: number): number {
  return (view.getUint8(offset) >>> 4) === 4
    ? table.find4(view, offset + IP4.SOURCE)
    : table.find6(view, offset + IP6.SOURCE);
}

/** Zeroes all but the first `bits` bits of the 4 words at `offset`. */
function maskWords(words: Int32Array, offset: number, bits: number): void {
  for (let word = 0; word < 4; word++) {
    const kept = Math.min(32, Math.max(0, bits - word * 32));
    words[offset + word] &= kept === 0 ? 0 : -1 << (32 - kept);
  }
}

/** Bit `index` of the 4 words at `offset`, 0 = the most significant. */
function bitAt(words: Int32Array, offset: number, index: number): number {
  return (words[offset + (index >>> 5)] >>> (31 - (index & 31))) & 1;
}
