/**
 * Physical rows: which endpoints carried the tunnel (DESIGN "Accounting rules").
 *
 * In: datagrams sent, or received and authenticated. Out: rows of proto 0, src = the peer's first overlay address
 * with port 0, dst = its endpoint, bytes = UDP payload; and the peer's own totals, which `wg show` prints.
 */
import { ENDPOINT } from "../ports.ts";
import { KEY, KEY_DST_V6, KEY_SRC_V6, KEY_WORDS } from "../packet/mod.ts";
import type { FlowWriter } from "../flow/mod.ts";
import type { CarriedPeer } from "../wireguard/mod.ts";

/** Counts physical rows. One per data-plane thread. */
export class PhysicalRows {
  readonly #writer: FlowWriter;
  readonly #key = new Uint32Array(KEY_WORDS);

  constructor(writer: FlowWriter) {
    this.#writer = writer;
  }

  /** Counts datagrams sent to one endpoint. `peer` is null for a cookie reply to a stranger: a row without source. */
  countTx(
    peer: CarriedPeer | null,
    endpoints: Uint32Array,
    endpointWord: number,
    datagrams: number,
    bytes: number,
  ): void {
    const key = this.#key;
    const v6 = endpoints[endpointWord + ENDPOINT.FAMILY] === 6;
    key[KEY.HEAD] = (overlayIsV6(peer) ? KEY_SRC_V6 : 0) | (v6 ? KEY_DST_V6 : 0);
    key[KEY.PORTS] = endpoints[endpointWord + ENDPOINT.PORT]!;
    this.#fillOverlay(peer, KEY.SRC);
    this.#fillEndpoint(endpoints, endpointWord, KEY.DST);
    peer?.addTx(datagrams, bytes);
    this.#writer.countTx(key, datagrams, bytes, 0);
  }

  /** Counts authenticated datagrams received from one endpoint, which is their source: countRx swaps the sides. */
  countRx(
    peer: CarriedPeer,
    endpoints: Uint32Array,
    endpointWord: number,
    datagrams: number,
    bytes: number,
  ): void {
    const key = this.#key;
    const v6 = endpoints[endpointWord + ENDPOINT.FAMILY] === 6;
    key[KEY.HEAD] = (v6 ? KEY_SRC_V6 : 0) | (overlayIsV6(peer) ? KEY_DST_V6 : 0);
    key[KEY.PORTS] = endpoints[endpointWord + ENDPOINT.PORT]! << 16;
    this.#fillEndpoint(endpoints, endpointWord, KEY.SRC);
    this.#fillOverlay(peer, KEY.DST);
    peer.addRx(datagrams, bytes);
    this.#writer.countRx(key, datagrams, bytes, 0);
  }

  #fillOverlay(peer: CarriedPeer | null, side: number): void {
    for (let word = 0; word < 4; word++) {
      this.#key[side + word] = peer === null ? 0 : peer.overlayAddress[word]!;
    }
  }

  #fillEndpoint(endpoints: Uint32Array, endpointWord: number, side: number): void {
    for (let word = 0; word < 4; word++) {
      this.#key[side + word] = endpoints[endpointWord + ENDPOINT.ADDRESS + word]!;
    }
  }
}

function overlayIsV6(peer: CarriedPeer | null): boolean {
  return peer !== null && peer.overlayFamily === 6;
}
