/**
 * Endpoints given by name.
 *
 * In: host names. Out: endpoint words of the first address that the system's resolver gives, as `wg` takes it.
 * A name that does not resolve is tried again, ever more rarely, for as long as the node runs.
 */
import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { RESOLVE_RETRY_MS_MAX, RESOLVE_RETRY_MS_MIN } from "../limits.ts";
import { parseAddress } from "../packet/mod.ts";
import type { NodeConfig, PeerConfig } from "./config.ts";
import { type ConfigEndpoint, endpointWords } from "./config_values.ts";

/** Finds the address of a host. @throws If there is none, or the resolver cannot be asked. */
export type Resolver = (host: string) => Promise<string>;

/** The system's resolver. */
export const systemResolver: Resolver = async (host) => (await lookup(host)).address;

/** Endpoints of the peers whose names resolved, and the peers whose did not. */
export interface Resolved {
  readonly endpoints: Map<PeerConfig, Uint32Array>;
  readonly unresolved: readonly { readonly peer: PeerConfig; readonly problem: string }[];
}

/** Looks up the endpoints of all peers that name a host, at once. */
export async function resolveEndpoints(config: NodeConfig, resolver: Resolver): Promise<Resolved> {
  const endpoints = new Map<PeerConfig, Uint32Array>();
  const unresolved: { peer: PeerConfig; problem: string }[] = [];
  await Promise.all(config.peers.map(async (peer) => {
    if (peer.endpoint === null || peer.endpoint.words !== null) return;
    try {
      endpoints.set(peer, await resolveOne(peer.endpoint, resolver));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      unresolved.push({ peer, problem: `Cannot resolve endpoint "${peer.endpoint.host}": ${why}` });
    }
  }));
  return { endpoints, unresolved };
}

async function resolveOne(endpoint: ConfigEndpoint, resolver: Resolver): Promise<Uint32Array> {
  const [host, zone] = endpoint.host.split("%") as [string, string?];
  // A link-local address with its interface by name needs no resolver, but an interface that is there.
  const text = zone === undefined ? await resolver(host) : host;
  const scope = zone === undefined ? 0 : scopeOf(zone);
  const address = parseAddress(text);
  if (address === null) throw new Error(`the resolver's answer is "${text}"`);
  if (zone !== undefined && scope === 0) throw new Error(`no interface "${zone}" with IPv6`);
  return endpointWords(address.family, address.addressWords, endpoint.port, scope);
}

/** Index of an interface by the scope of its link-local address; 0 = it has none. */
export function scopeOf(zone: string): number {
  for (const address of networkInterfaces()[zone] ?? []) {
    if (address.family === "IPv6" && address.scopeid > 0) return address.scopeid;
  }
  return 0;
}

/** Tries one peer's endpoint until it resolves. */
export class EndpointRetry {
  #timer: ReturnType<typeof setTimeout> | null = null;
  #waitMs = RESOLVE_RETRY_MS_MIN;
  #stopped = false;

  constructor(
    private readonly endpoint: ConfigEndpoint,
    private readonly resolver: Resolver,
    private readonly resolved: (words: Uint32Array) => void,
  ) {}

  start(): void {
    this.#timer = setTimeout(() => void this.#try(), this.#waitMs);
    this.#waitMs = Math.min(2 * this.#waitMs, RESOLVE_RETRY_MS_MAX);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #try(): Promise<void> {
    try {
      const words = await resolveOne(this.endpoint, this.resolver);
      if (!this.#stopped) this.resolved(words);
    } catch {
      // The first failure was reported; the peer's missing endpoint shows in status for as long as it lasts.
      if (!this.#stopped) this.start();
    }
  }
}
