/**
 * What stands for an address in exit rows, by the exit mode, once per address.
 *
 * In: numbers of an AddressTable. Out: numbers of the same table, new addresses being entered where the mode makes some.
 * Guarantees: what is made never is a node's address, or it would be read as that node's traffic. Not here: the modes
 * themselves (exit_mode.ts).
 */
import { ADDRESS_WORDS } from "../packet/mod.ts";
import { type AddressTable, NO_ADDRESS } from "./address_table.ts";
import { type ExitPolicy, Pseudonyms, truncateAddress } from "./exit_mode.ts";
import { NO_NODES, type NodeSource } from "./nodes.ts";

/** See file header. */
export class ExitAddresses {
  readonly #policy: ExitPolicy;
  readonly #pseudonyms: Pseudonyms | null;
  readonly #words = new Uint32Array(ADDRESS_WORDS);
  /** By number: what stands for it, + 1; 0 = not yet asked. */
  #replacements = new Uint32Array(0);
  #nodes: NodeSource = NO_NODES;

  constructor(policy: ExitPolicy) {
    this.#policy = policy;
    this.#pseudonyms = policy.mode === "keyed" ? new Pseudonyms(policy.prf) : null;
  }

  /** Begins a window with the addresses numbered below `count`. */
  begin(count: number, nodes: NodeSource): void {
    this.#nodes = nodes;
    const room = this.#replacements.length;
    if (count > room || room > Math.max(count * 4, 1 << 16)) {
      this.#replacements = new Uint32Array(count);
    } else this.#replacements.fill(0, 0, count);
  }

  /** Number of what stands for address `number`. @param isNode Whether a known node has it. */
  replacement(addresses: AddressTable, number: number, isNode: boolean): number {
    const known = this.#replacements[number];
    if (known !== 0) return known - 1;
    const replacement = this.#find(addresses, number, isNode);
    this.#replacements[number] = replacement + 1;
    return replacement;
  }

  #find(addresses: AddressTable, number: number, isNode: boolean): number {
    const { mode } = this.#policy;
    if (mode === "zero") return NO_ADDRESS;
    if (mode === "full" || isNode) return number;
    const family = addresses.family(number);
    if (mode === "node" || family === 0) return NO_ADDRESS;
    const words = this.#words;
    const start = number * ADDRESS_WORDS;
    for (let word = 0; word < ADDRESS_WORDS; word++) words[word] = addresses.words[start + word];
    const isNodes = () => this.#nodes.byAddress(words, 0, family) !== null;
    if (this.#pseudonyms === null) {
      truncateAddress(words, family);
      if (isNodes()) return NO_ADDRESS;
    } else {
      // Pseudonyms are a permutation, so that going on from a node's address ends at another's, and no two end at one.
      do this.#pseudonyms.replace(words, family); while (isNodes());
    }
    return addresses.number(words, 0, family === 6);
  }
}
