/**
 * Who the nodes are: names for addresses.
 *
 * In: the node itself and its peers. Out: for an address the node that has it. A WireGuard peer's id is its public key in
 * base64 unless configured otherwise.
 */
import { NODE_ID_CHARS_MAX } from "../limits.ts";
import { type Address, addressBits, addressText, type Family, type Prefix } from "../packet/mod.ts";
import type { NodeInfo } from "./schema.ts";

/** Where the Logger asks. */
export interface NodeSource {
  /** The node itself, or null while it is not known: windows are then written without it, and nothing is lost. */
  self(): NodeInfo | null;
  /** Node that has the address at `wordOffset`, or null. The same object for the same node, within a window. */
  byAddress(words: Uint32Array, wordOffset: number, family: Family): NodeInfo | null;
}

/** No node is known. */
export const NO_NODES: NodeSource = {
  self: () => null,
  byAddress: () => null,
};

/** What is known of a node, as it is configured. */
export interface NodeFacts {
  readonly nodeId: string;
  readonly name?: string | null;
  /** Its addresses; those that are not single addresses are networks behind it and do not name it. */
  readonly addresses: readonly Prefix[];
  readonly os?: string | null;
  readonly tags?: readonly string[];
  /** Login name of whoever owns it; without meaning for a node with tags. */
  readonly user?: string | null;
}

/**
 * What a message tells of a node (SPEC 1.8.8): its name without the dot at the end, its last single IPv4 and IPv6
 * address, tags sorted and each once, and its user only if it has no tags.
 * @throws {RangeError} If the id is longer than NODE_ID_CHARS_MAX.
 */
export function nodeInfo(facts: NodeFacts): NodeInfo {
  if (facts.nodeId.length > NODE_ID_CHARS_MAX) {
    throw new RangeError(`Cannot name a node by more than ${NODE_ID_CHARS_MAX} characters`);
  }
  const name = (facts.name ?? "").replace(/\.$/, "");
  const addresses = ([4, 6] as const).flatMap((family) => {
    const last = singles(facts.addresses).findLast((address) => address.family === family);
    return last === undefined ? [] : [addressText(last.addressWords, 0, family)];
  });
  const tags = [...new Set(facts.tags ?? [])].sort();
  return {
    nodeId: facts.nodeId,
    ...(name !== "" && { name }),
    ...(addresses.length > 0 && { addresses }),
    ...(facts.os && { os: facts.os }),
    ...(tags.length > 0 ? { tags } : facts.user ? { user: facts.user } : {}),
  };
}

function singles(addresses: readonly Prefix[]): readonly Prefix[] {
  return addresses.filter(({ family, prefixBits }) => prefixBits === addressBits(family));
}

/** NodeSource over a fixed list. */
export class NodeDirectory implements NodeSource {
  readonly #self: NodeInfo | null;
  readonly #byAddress4 = new Map<number, NodeInfo>();
  readonly #byAddress6 = new Map<string, NodeInfo>();

  /**
   * @param self null = not known.
   * @param peers An address that two nodes list is the first one's; the node's own address is its own.
   * @throws {RangeError} As nodeInfo.
   */
  constructor(self: NodeFacts | null, peers: readonly NodeFacts[]) {
    this.#self = self === null ? null : this.#add(self);
    for (const peer of peers) this.#add(peer);
  }

  self(): NodeInfo | null {
    return this.#self;
  }

  byAddress(words: Uint32Array, wordOffset: number, family: Family): NodeInfo | null {
    const found = family === 4
      ? this.#byAddress4.get(words[wordOffset + 3])
      : this.#byAddress6.get(key6(words, wordOffset));
    return found ?? null;
  }

  #add(facts: NodeFacts): NodeInfo {
    const info = nodeInfo(facts);
    for (const address of singles(facts.addresses)) this.#addAddress(address, info);
    return info;
  }

  #addAddress({ family, addressWords }: Address, info: NodeInfo): void {
    if (family === 4) {
      if (!this.#byAddress4.has(addressWords[3])) this.#byAddress4.set(addressWords[3], info);
      return;
    }
    const key = key6(addressWords, 0);
    if (!this.#byAddress6.has(key)) this.#byAddress6.set(key, info);
  }
}

function key6(words: Uint32Array, at: number): string {
  return String.fromCharCode(
    words[at] >>> 16,
    words[at] & 0xffff,
    words[at + 1] >>> 16,
    words[at + 1] & 0xffff,
    words[at + 2] >>> 16,
    words[at + 2] & 0xffff,
    words[at + 3] >>> 16,
    words[at + 3] & 0xffff,
  );
}
