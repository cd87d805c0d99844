/**
 * What a WireGuard interface is configured with, and what it reports: the shapes behind the cross-platform
 * UAPI (wireguard.com/xplatform), without its text form.
 *
 * Keys are 32-byte Uint8Arrays; endpoints are ENDPOINT_WORDS words (see ports.ts).
 */

/** One AllowedIPs entry. `addressWords` are as in ENDPOINT; `prefixBits` counts in the family's own length. */
export interface AllowedIp {
  readonly family: 4 | 6;
  /** 4 words, network order; IPv4 as 0, 0, 0xffff, a.b.c.d. Bits behind the prefix may be set; they are masked. */
  readonly addressWords: Uint32Array;
  /** 0..32 or 0..128. */
  readonly prefixBits: number;
}

/** Change of one peer. Members that are absent stay as they are. */
export interface PeerUpdate {
  readonly publicKey: Uint8Array;
  /** Remove the peer; all else but publicKey is ignored. */
  readonly remove?: boolean;
  /** Change only if the peer exists. */
  readonly updateOnly?: boolean;
  /** All zero = none. */
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: Uint32Array;
  /** Seconds; 0 = off. */
  readonly persistentKeepaliveS?: number;
  /** Empty the peer's AllowedIPs first. */
  readonly replaceAllowedIps?: boolean;
  readonly allowedIps?: readonly AllowedIp[];
  /** Taken from the peer before `allowedIps` are added; one that another peer owns stays (UAPI `allowed_ip=-…`). */
  readonly removeAllowedIps?: readonly AllowedIp[];
}

/** Change of the interface. Members that are absent stay as they are. Port and fwmark concern sockets: see node/. */
export interface DeviceUpdate {
  /** All zero = remove the key: no handshakes. */
  readonly privateKey?: Uint8Array;
  readonly replacePeers?: boolean;
  readonly peers?: readonly PeerUpdate[];
}

/** What a carrier must take over of a configuration, in order. */
export type RouteChange =
  /** A peer was added at this slot. @see Board.addPeer */
  | { readonly type: "peer"; readonly slot: number; readonly generation: number }
  | { readonly type: "gone"; readonly slot: number }
  /** It lost all AllowedIPs. */
  | { readonly type: "clear"; readonly slot: number }
  | { readonly type: "add"; readonly slot: number; readonly entry: AllowedIp }
  | { readonly type: "remove"; readonly slot: number; readonly entry: AllowedIp };

/** State of one peer as `wg show` wants it. */
export interface PeerSnapshot {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
  /** null = none yet. */
  readonly endpoint: Uint32Array | null;
  /** Unix time of the last completed handshake in ms; 0 = never. */
  readonly lastHandshakeWallMs: number;
  /** Datagrams exchanged, handshakes and keepalives included; bytes are their UDP payload. */
  readonly txDatagrams: number;
  readonly txBytes: number;
  readonly rxDatagrams: number;
  readonly rxBytes: number;
  /** Times that an authentic message came from a new address or port. */
  readonly roams: number;
  readonly persistentKeepaliveS: number;
  readonly allowedIps: readonly AllowedIp[];
}

/** State of the interface. */
export interface DeviceSnapshot {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly peers: readonly PeerSnapshot[];
}
