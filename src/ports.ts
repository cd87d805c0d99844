/**
 * The shapes by which effects are handed to pure code: memory that C can address, batches of
 * packets, cryptography, network configuration. Only types and layout constants stand here;
 * `platform/` implements them for the real machine and in memory.
 *
 * Hot-path rule: a port returns a number (>= 0 done, < 0 a negated errno) and never throws per packet.
 */

/**
 * Memory that TypeScript and C both address. It is allocated at start by the platform, never moves,
 * and is freed when the last reference to `bytes` goes: keep one for as long as C may write to it.
 */
export interface NativeBuffer {
  /** The whole buffer. */
  readonly bytes: Uint8Array;
  /** The same bytes, for multi-byte reads and writes. */
  readonly view: DataView;
}

/**
 * Words of one UDP endpoint in a Uint32Array. Addresses are 4 words in network order, an IPv4
 * address being 0, 0, 0xffff, a.b.c.d (RFC 4291 §2.5.5.2); FAMILY tells the two apart.
 * The LOCAL words say which of our own addresses the peer talks to, so that a multi-homed host answers
 * from it (as Linux WireGuard does); all zero = let the kernel choose.
 */
export const ENDPOINT = {
  /** 0 = no endpoint, 4 or 6. */
  FAMILY: 0,
  ADDRESS: 1,
  PORT: 5,
  /** IPv6 scope id (interface index) of a link-local address, else 0. */
  SCOPE: 6,
  LOCAL_ADDRESS: 7,
  /** Interface index that the datagram came in by; 0 = any. */
  LOCAL_INTERFACE: 11,
} as const;

/** Words of one endpoint, see ENDPOINT. */
export const ENDPOINT_WORDS = 12;

/**
 * A batch of packets or datagrams that lie in one NativeBuffer. Reading fills slot after slot; sending
 * takes `offset`/`length` as they are, which need not be slot starts, so that a packet read from TUN is
 * sealed in place and sent from where it lies.
 */
export interface PacketBatch {
  readonly buffer: NativeBuffer;
  /** Most packets a batch can hold. */
  readonly capacity: number;
  /** Bytes from one slot's start to the next. */
  readonly slotBytes: number;
  /** Bytes kept free in front of a packet that is read, for the header that sealing puts there. */
  readonly headroomBytes: number;
  /** Packets in the batch. */
  count: number;
  /** Most packets that the next receive may take, 1 .. capacity: large ones are taken fewer at a time. */
  limit: number;
  /** Per packet: offset in `buffer` of its first byte. */
  readonly offset: Uint32Array;
  /** Per packet: length in bytes. */
  readonly length: Uint32Array;
  /** Per packet: payload bytes of each segment of a super-packet (GSO/GRO); 0 = one ordinary packet. */
  readonly segmentBytes: Uint32Array;
  /** Per packet, ENDPOINT_WORDS words: where it came from or goes to. Valid iff the batch is of datagrams. */
  readonly endpoint: Uint32Array;
}

/** What a TUN device was told to do for us; `header` is needed for the two others. */
export interface TunOffloads {
  /** Each packet has a virtio header in front (see packet/virtio.ts). */
  readonly header: boolean;
  /** Reads give and writes take super-packets of TCP, of both families, and checksums may be partial. */
  readonly tcp: boolean;
  /** The same for UDP. */
  readonly udp: boolean;
}

/** Offloads of a device that moves plain packets only. */
export const NO_TUN_OFFLOADS: TunOffloads = { header: false, tcp: false, udp: false };

/** Bytes that must be free behind the offset of TunPort.read: the longest IP packet or super-packet. */
export const TUN_READ_BYTES = 65_535;
/** Most parts of one write. */
export const TUN_WRITE_PARTS_MAX = 1_000;

/** TUN device, opened non-blocking. Closing it removes the interface. */
export interface TunPort {
  readonly fd: number;
  /** Name that the kernel gave, e.g. `wg0`. */
  readonly name: string;
  readonly offloads: TunOffloads;
  /** Virtio header of the packet that read() gave last. All zero iff the device has no headers. */
  readonly readHeader: DataView;
  /** Virtio header of the next writeParts(), the caller's to write. Not used iff the device has no headers. */
  readonly writeHeader: DataView;
  /**
   * Reads one packet or super-packet to `offset`, behind which TUN_READ_BYTES are free.
   * @returns Its length; -EAGAIN = none waits; another negated errno.
   */
  read(buffer: NativeBuffer, offset: number): number;
  /** Writes one plain IP packet. @returns `length`, or a negated errno. */
  write(buffer: NativeBuffer, offset: number, length: number): number;
  /**
   * Writes one packet or super-packet that lies in parts `first` .. `first + count - 1`, at most
   * TUN_WRITE_PARTS_MAX, with writeHeader in front.
   * @returns Its length, or a negated errno.
   */
  writeParts(
    buffer: NativeBuffer,
    partOffset: Uint32Array,
    partLength: Uint32Array,
    first: number,
    count: number,
  ): number;
  close(): void;
}

/** What a UDP socket was told to do for us. */
export interface UdpOffloads {
  /** Entries of a send may be many datagrams: segmentBytes. */
  readonly segmentation: boolean;
  /** Entries of a receive may be many datagrams. */
  readonly coalescing: boolean;
}

/** Offloads of a socket that moves one datagram an entry. */
export const NO_UDP_OFFLOADS: UdpOffloads = { segmentation: false, coalescing: false };

/** Most datagrams of one entry of a send (UDP_MAX_SEGMENTS, linux/udp.h, of all kernels since 4.18). */
export const UDP_SEGMENTS_MAX = 64;
/** Most bytes of one entry of a send: what one IPv4 datagram can carry. */
export const UDP_SEND_BYTES_MAX = 65_507;

/** UDP socket of one family, non-blocking, bound. */
export interface UdpPort {
  readonly fd: number;
  readonly family: 4 | 6;
  /** Port it is bound to. */
  readonly port: number;
  readonly offloads: UdpOffloads;
  /**
   * Fills the batch with what waits, at most `limit` entries, and their endpoints. An entry is one datagram, or, iff
   * its segmentBytes is not 0, datagrams of one sender behind one another: each segmentBytes long but the last, which
   * may be shorter. One longer than slotBytes - headroomBytes has `length` set to UDP_TRUNCATED.
   * @returns Entries received; 0 = none waits; a negated errno.
   */
  receive(batch: PacketBatch): number;
  /**
   * Sends entries `first` .. `count - 1` in order; each is one datagram or, iff its segmentBytes is not 0, at most
   * UDP_SEGMENTS_MAX, all of which are sent or none. When the kernel refuses entry `first` because its LOCAL
   * address is ours no more, its LOCAL words are cleared in the batch and it is sent again at once.
   * @returns How many entries were sent, at least 1, or a negated errno that concerns entry `first` alone.
   */
  send(batch: PacketBatch, first: number): number;
  /** Sets SO_MARK; 0 clears it. */
  setMark(mark: number): void;
  close(): void;
}

/** `length` of a received datagram that did not fit its slot. */
export const UDP_TRUNCATED = 0xffffffff;

/** Waits for the data plane's descriptors; made for one fixed set (see Poller masks). */
export interface PollPort {
  /**
   * @param timeoutMs Milliseconds, rounded up; Infinity = no limit; 0 = look only.
   * @returns Bit mask of POLL; 0 = timed out or interrupted.
   */
  wait(timeoutMs: number): number;
  /** Says which UDP sockets are to be watched; null = none. */
  watch(udp4: UdpPort | null, udp6: UdpPort | null): void;
  /** Waits until `port` takes more datagrams or `timeoutMs` is over. @returns Whether it does. */
  waitWritable(port: UdpPort, timeoutMs: number): boolean;
}

/** Bits of PollPort.wait. */
export const POLL = { TUN: 1, UDP4: 2, UDP6: 4, WAKE: 8, ERROR: 16 } as const;

/** eventfd that wakes a blocked data plane. */
export interface WakePort {
  readonly fd: number;
  /** Wakes the waiter. Any thread. */
  wake(): void;
  /** Takes back all wake-ups so far. The waiter's thread. */
  drain(): void;
  close(): void;
}

/** The two clocks. Both in milliseconds with a fraction; reading one costs less than 100 ns, so once per batch. */
export interface ClockPort {
  /** Time since some fixed point, time asleep included: keys and sessions age while a laptop sleeps. */
  nowMs(): number;
  /** Unix time; jumps when the clock is set. */
  wallMs(): number;
}

/** Timers of an event loop; in tests they run under virtual time. */
export interface TimerPort {
  /**
   * Has `run` called once, not before `delayMs` have passed.
   * @returns Cancels it; harmless when it has run.
   */
  schedule(delayMs: number, run: () => void): () => void;
}

/** Compressor of request bodies in Zstandard's format (RFC 8878). */
export interface ZstdPort {
  /** What does the work, for status; `none` = bodies are not compressed. */
  readonly name: string;
  /** Returns one frame whose header says the content's length; with `none` the body itself. The body is not kept. */
  compress(body: Uint8Array): Uint8Array;
}

/** One AEAD key, expanded once: ChaCha20-Poly1305 (RFC 8439) with WireGuard's nonce (4 zero bytes, LE64 counter). */
export interface AeadKey {
  /**
   * Encrypts `length` bytes at `offset` in place and writes the 16-byte tag behind them. No associated data.
   * @param counter Integer, 0 .. 2^53 - 1.
   */
  seal(buffer: NativeBuffer, offset: number, length: number, counter: number): void;
  /**
   * Decrypts in place. `length` includes the 16-byte tag and is at least 16.
   * @returns Whether the tag is right; if not, the bytes are undefined and must not be used.
   */
  open(buffer: NativeBuffer, offset: number, length: number, counter: number): boolean;
  /** Wipes and frees the key. Safe to call twice; not to be used after. */
  destroy(): void;
}

/** Cryptography of WireGuard. One object per thread. Outputs are the caller's; no function keeps its inputs. */
export interface CryptoPort {
  /** What does the work, e.g. `libcrypto 3.0.17` or `noble 2.4.0`; shown by doctor and status. */
  readonly name: string;
  /** Fills `output` with random bytes. */
  random(output: Uint8Array): void;
  /** BLAKE2s-256 (RFC 7693) of the inputs, concatenated. `output` is 32 bytes. */
  hash(output: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void;
  /** Keyed BLAKE2s, `output.length` (16 or 32) bytes. `key` is 1..32 bytes. */
  mac(output: Uint8Array, key: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void;
  /** HMAC-BLAKE2s (RFC 2104). `output` is 32 bytes. */
  hmac(output: Uint8Array, key: Uint8Array, input1: Uint8Array, input2?: Uint8Array): void;
  /** X25519 (RFC 7748). @returns false when the shared secret is all zero (low-order point). */
  x25519(output: Uint8Array, secretKey: Uint8Array, publicKey: Uint8Array): boolean;
  /** Public key of `secretKey`, which need not be clamped. */
  x25519Public(output: Uint8Array, secretKey: Uint8Array): void;
  /** ChaCha20-Poly1305 with counter 0 nonce and associated data; `output` = ciphertext and tag. */
  aeadSeal(
    output: Uint8Array,
    key: Uint8Array,
    plaintext: Uint8Array,
    associated: Uint8Array,
  ): void;
  /** Inverse of aeadSeal. @returns Whether the tag is right; `output` is undefined if not. */
  aeadOpen(
    output: Uint8Array,
    key: Uint8Array,
    sealed: Uint8Array,
    associated: Uint8Array,
  ): boolean;
  /** XChaCha20-Poly1305 with a 24-byte nonce (cookie replies). */
  xaeadSeal(
    output: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    plaintext: Uint8Array,
    associated: Uint8Array,
  ): void;
  xaeadOpen(
    output: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    associated: Uint8Array,
  ): boolean;
  /** Expands a key for the packet path. */
  aeadKey(key: Uint8Array): AeadKey;
}

// ---- Network configuration ------------------------------------------------------------------------------------------

/** Routing tables with fixed numbers (linux/rtnetlink.h). */
export const ROUTE_TABLE = { DEFAULT: 253, MAIN: 254, LOCAL: 255 } as const;

/**
 * What the kernel counted on one interface since it was made, each exact to 2^53. Directions are the
 * kernel's: on a TUN, `tx` is what we read from it and `rx` what we wrote to it.
 */
export interface LinkStatistics {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly rxDropped: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly txDropped: number;
}

/** One network interface. */
export interface NetworkLink {
  readonly index: number;
  readonly name: string;
  /** Driver, e.g. `tun`; null where the kernel names none (hardware, loopback). */
  readonly kind: string | null;
  readonly mtuBytes: number;
  readonly up: boolean;
  readonly statistics: LinkStatistics;
}

/** Change of one interface. Members that are absent stay as they are. */
export interface NetworkLinkChange {
  readonly mtuBytes?: number;
  readonly up?: boolean;
  readonly txQueuePackets?: number;
  /** `none`: the kernel makes no IPv6 link-local address. Must come before `up`. */
  readonly addressGeneration?: "none";
}

/** Address of one interface. */
export interface NetworkAddress {
  readonly interfaceIndex: number;
  /** Address and prefix length, e.g. `10.0.0.1/24` or `fd00::1/64`. */
  readonly prefix: string;
}

/** Route over an interface without a gateway. */
export interface NetworkRoute {
  /** Network and prefix length; bits behind the prefix must be zero. It tells the family. */
  readonly destination: string;
  readonly interfaceIndex: number;
  /** Routing table, 1..2^32 - 1. */
  readonly table: number;
  /** Absent: the kernel's default (0 for IPv4, 1024 for IPv6). */
  readonly metric?: number;
}

/** Route as the kernel lists it. */
export interface NetworkRouteInfo extends NetworkRoute {
  readonly metric: number;
  /** null = directly over the interface. */
  readonly gateway: string | null;
  /** MTU that the route itself carries; null = the interface's. */
  readonly mtuBytes: number | null;
  /** Whether it leads somewhere; false: local, broadcast, multicast, blackhole and the like. */
  readonly unicast: boolean;
}

/** How the kernel would send to one destination. */
export interface NetworkRouteAnswer {
  readonly interfaceIndex: number;
  /** Address it would send from; null when it names none. */
  readonly source: string | null;
  readonly gateway: string | null;
  readonly mtuBytes: number | null;
}

/** Rule that sends packets to a routing table. */
export interface NetworkRule {
  readonly family: 4 | 6;
  /** Rules are asked in rising order of this. */
  readonly priority: number;
  readonly table: number;
  /** Asks only for packets with this mark; null = whatever the mark. Compared under `markMask`. */
  readonly mark: number | null;
  /** Valid iff `mark` is not null. */
  readonly markMask: number;
  /** Turns the mark's condition round. */
  readonly invert: boolean;
  /** Ignores what the table answers with a prefix of this length or shorter; null = ignores nothing. */
  readonly suppressPrefixBits: number | null;
}

/** Rule as the kernel lists it. */
export interface NetworkRuleInfo extends NetworkRule {
  /** Whether it has conditions or actions that NetworkRule cannot say; such a rule is never ours. */
  readonly foreign: boolean;
}

/** Packet filter that a default route through the tunnel needs; see wg-quick's add_default. */
export interface NetworkFirewall {
  readonly family: 4 | 6;
  /** nftables table that holds it. */
  readonly tableName: string;
  readonly interfaceName: string;
  /** Addresses of the interface, of `family`: packets to them that come in elsewhere are dropped. */
  readonly ownAddresses: readonly string[];
  /** Mark of the tunnel's own datagrams; answers to them get it back by connection tracking. */
  readonly mark: number;
}

/**
 * Configures interfaces of the network namespace that the process is in. Calls are synchronous and happen
 * at start, reload and stop only. Every call but the look-ups needs CAP_NET_ADMIN.
 *
 * @throws {SystemCallError} Each call, when the kernel refuses; the message says what was to be done.
 */
export interface NetworkPort {
  links(): NetworkLink[];
  /** null = no such interface. */
  linkByName(name: string): NetworkLink | null;
  linkByIndex(interfaceIndex: number): NetworkLink | null;
  setLink(interfaceIndex: number, change: NetworkLinkChange): void;

  /** Both families, in the kernel's order. */
  addresses(interfaceIndex: number): NetworkAddress[];
  /** IPv6 addresses are usable at once: no duplicate address detection, for no other host shares the link. */
  addAddress(address: NetworkAddress): void;
  deleteAddress(address: NetworkAddress): void;

  /** Routes of one family, of one table and of one interface where given. */
  routes(filter: { family: 4 | 6; table?: number; interfaceIndex?: number }): NetworkRouteInfo[];
  addRoute(route: NetworkRoute): void;
  deleteRoute(route: NetworkRoute): void;
  /** null = the destination cannot be reached. @param mark Mark of the packet; absent = 0. */
  routeGet(destination: string, mark?: number): NetworkRouteAnswer | null;

  /** Rules of one family in rising order of priority. */
  rules(family: 4 | 6): NetworkRuleInfo[];
  addRule(rule: NetworkRule): void;
  /** The kernel overlooks `invert` when it compares, so look for the very rule in rules() first. */
  deleteRule(rule: NetworkRule): void;

  /**
   * Makes the table, in place of one of that name, all at once or not at all.
   * A kernel that lacks nftables, or a part of it, answers ENOENT, EPROTONOSUPPORT, EOPNOTSUPP or EAFNOSUPPORT.
   */
  addFirewall(firewall: NetworkFirewall): void;
  /** Deletes the table; one that does not exist is no error. */
  deleteFirewall(family: 4 | 6, tableName: string): void;

  /** Value of a kernel parameter without its line end. @param name E.g. `net/ipv4/ip_forward`. */
  sysctl(name: string): string;
  setSysctl(name: string, value: string): void;

  close(): void;
}
