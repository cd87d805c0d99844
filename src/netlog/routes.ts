/**
 * Route maps: what is routed into the tunnel, and which peer each part of it belongs to.
 *
 * In: own addresses, routes and advertised routes. Out: the longest route around an address. The original's rule
 * (SPEC 5.1): single addresses count from all three lists, prefixes only from the latter two, a default route never.
 * Mended: where one of these lists holds both halves of an address family, `0.0.0.0/1` and `128.0.0.0/1`, they are a
 * default route written in two; they explain overlay addresses, as before, but make no subnet of the internet.
 * Not here: which version is valid when (route_history.ts).
 */
import { addressBits, type Family, maskPrefix, type Prefix, prefixText } from "../packet/mod.ts";
import { NO_VALUE, PrefixTrie } from "./trie.ts";

/** One route. */
export interface Route {
  readonly prefix: Prefix;
  /** Node that it leads to, e.g. its public key; null = this one, or not known. */
  readonly peer: string | null;
}

/** What a router is configured with, as far as the flow log is concerned (SPEC 1.7). */
export interface RouteConfig {
  /** The node's own addresses. Those that are not single addresses are ignored. */
  readonly localAddresses: readonly Prefix[];
  /** What is routed into the tunnel. */
  readonly routes: readonly Route[];
  /** What this node offers to others. */
  readonly subnetRoutes: readonly Prefix[];
}

/** Nothing is routed. */
export const NO_ROUTES: RouteConfig = { localAddresses: [], routes: [], subnetRoutes: [] };

/** No route. */
export const NO_ROUTE = NO_VALUE;

/** Which list a route came from. */
export type RouteOrigin = "local" | "route" | "subnetRoute";

/** A route as the table keeps it. */
export interface RouteEntry extends Route {
  readonly origin: RouteOrigin;
  /** Whether it is a default route, whole or half. */
  readonly isDefault: boolean;
}

/** One version of the route maps; never changes. */
export class RouteTable {
  /** By route number. */
  readonly entries: readonly RouteEntry[];
  /** Equal for equal maps. */
  readonly signature: string;
  readonly #trie = new PrefixTrie();
  readonly #defaults = { 4: NO_ROUTE, 6: NO_ROUTE };

  constructor(config: RouteConfig) {
    const entries = listEntries(config);
    this.entries = entries;
    this.signature = JSON.stringify(
      entries.map(({ prefix, peer, origin }) => [origin, prefixText(prefix), peer]),
    );
    for (const [number, { prefix, isDefault }] of entries.entries()) {
      if (isDefault && this.#defaults[prefix.family] === NO_ROUTE) {
        this.#defaults[prefix.family] = number;
      }
      if (prefix.prefixBits > 0) this.#trie.add(prefix, number);
    }
  }

  /** Number of the longest route around the address, default routes included, or NO_ROUTE. */
  find(words: Uint32Array, wordOffset: number, family: Family): number {
    const route = this.#trie.find(words, wordOffset, family);
    return route === NO_ROUTE ? this.#defaults[family] : route;
  }

  /**
   * Number of the route that explains the address, or NO_ROUTE.
   * @param isOverlay Whether it is an overlay address.
   */
  within(words: Uint32Array, wordOffset: number, family: Family, isOverlay: boolean): number {
    const route = this.#trie.find(words, wordOffset, family);
    return route !== NO_ROUTE && !isOverlay && this.entries[route].isDefault ? NO_ROUTE : route;
  }

  /** Number of the first default route of a family, or NO_ROUTE. */
  defaultOf(family: Family): number {
    return this.#defaults[family];
  }
}

function isSingle(prefix: Prefix): boolean {
  return prefix.prefixBits === addressBits(prefix.family);
}

function listEntries({ localAddresses, routes, subnetRoutes }: RouteConfig): RouteEntry[] {
  const routed = routes.map(({ prefix }) => prefix);
  const isHalved = (family: Family) =>
    hasBothHalves(routed, family) || hasBothHalves(subnetRoutes, family);
  const halved = { 4: isHalved(4), 6: isHalved(6) };
  const entry = (prefix: Prefix, peer: string | null, origin: RouteOrigin): RouteEntry => ({
    prefix: maskPrefix(prefix),
    peer,
    origin,
    isDefault: prefix.prefixBits === 0 || (prefix.prefixBits === 1 && halved[prefix.family]),
  });
  return [
    ...localAddresses.filter(isSingle).map((prefix) => entry(prefix, null, "local")),
    ...routes.map(({ prefix, peer }) => entry(prefix, peer, "route")),
    ...subnetRoutes.map((prefix) => entry(prefix, null, "subnetRoute")),
  ];
}

function hasBothHalves(prefixes: readonly Prefix[], family: Family): boolean {
  const first = family === 4 ? 3 : 0;
  const halves = prefixes.filter((prefix) => prefix.family === family && prefix.prefixBits === 1);
  const isUpper = ({ addressWords }: Prefix) => addressWords[first] >= 0x80000000;
  return halves.some(isUpper) && !halves.every(isUpper);
}
