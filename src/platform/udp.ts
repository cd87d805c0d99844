/**
 * UDP sockets of Linux as UdpPort, many datagrams a system call.
 *
 * In: a family and a port. Out: non-blocking sockets bound to any address, which tell the address that a datagram
 * came to and answer from it. Fragmentation is left on, as Linux WireGuard does (`df = 0`, `ignore_df`
 * in drivers/net/wireguard/socket.c): a tunnel whose path got narrower goes on, slower, instead of going dark.
 */
import { ERRNO, SystemCallError } from "../errors.ts";
import { SOCKET_BUFFER_BYTES } from "../limits.ts";
import {
  ENDPOINT,
  ENDPOINT_WORDS,
  NO_UDP_OFFLOADS,
  type PacketBatch,
  type UdpOffloads,
  type UdpPort,
} from "../ports.ts";
import { anyAddress, DatagramVectors, hasLocal, portOf, SOCKET } from "./datagram_vectors.ts";
import {
  type Advice,
  bindSocket,
  checked,
  closeFile,
  lastErrno,
  type Libc,
  libc,
  OPEN,
  openSocket,
  setSocketOption,
} from "./libc.ts";
import { verifyOffloads } from "./udp_self_test.ts";

/** Type of datagram sockets, with SOCK_NONBLOCK. Source: bits/socket_type.h. */
const SOCK_DGRAM_NONBLOCK = 2 | OPEN.NONBLOCK;
const MSG_DONTWAIT = 0x40;

/** Options of setsockopt(2). Source: asm-generic/socket.h, linux/in.h, linux/in6.h. */
const SOL_SOCKET = 1;
const OPTION = {
  SEND_BUFFER: 7,
  RECEIVE_BUFFER: 8,
  SEND_BUFFER_FORCE: 32,
  RECEIVE_BUFFER_FORCE: 33,
  REUSE_PORT: 15,
  MARK: 36,
  MTU_DISCOVER_4: 10,
  MTU_DISCOVER_6: 23,
  V6_ONLY: 26,
  RECEIVE_PKTINFO_6: 49,
} as const;
const PMTU_DISCOVER_NEVER = 0;

/** Pairs of ports tried when the kernel chooses IPv4's and IPv6's turns out taken. */
const PAIR_ATTEMPTS_MAX = 16;

const ADVICE_BIND: Advice = {
  [ERRNO.EADDRINUSE]: "another program uses this port: stop it or choose another ListenPort",
  [ERRNO.EACCES]: "ports below 1024 need root or CAP_NET_BIND_SERVICE",
  [ERRNO.EPERM]: "run as root or choose another ListenPort",
};

/** What openUdp is asked for. */
export interface UdpOptions {
  readonly family: 4 | 6;
  /** 0 = the kernel's choice. */
  readonly port: number;
  /** SO_MARK; 0 or absent = none. */
  readonly mark?: number;
  /** Whether many datagrams are to be moved as one, as far as the kernel knows how, which is tried. Default: no. */
  readonly offloads?: boolean;
  /** Whether to join sockets that shared their port. Default: no, and then nobody else may have it. */
  readonly joins?: boolean;
}

/** Sockets of both families on one port; null where the machine has no such family. */
export interface UdpPair {
  readonly udp4: UdpPort | null;
  readonly udp6: UdpPort | null;
  readonly port: number;
}

/** Opens a UDP socket. @throws {SystemCallError} If the kernel refuses; nothing is left open. */
export function openUdp(options: UdpOptions): UdpPort {
  return open(
    options,
    options.offloads === true ? trustedOffloads(options.family) : NO_UDP_OFFLOADS,
  );
}

/** @param wanted Offloads that are asked of the kernel. */
function open(options: UdpOptions, wanted: UdpOffloads): UdpPort {
  const { family, port, mark = 0, joins = false } = options;
  const fd = openSocket(
    family === 4 ? SOCKET.FAMILY_4 : SOCKET.FAMILY_6,
    SOCK_DGRAM_NONBLOCK,
    0,
    `UDP socket of IPv${family}`,
  );
  const udp = new NativeUdp(fd, family, setOffloads(fd, wanted));
  try {
    configure(fd, family);
    if (joins) sharePort(fd);
    if (mark !== 0) udp.setMark(mark);
    bindSocket(fd, anyAddress(family, port), `bind UDP port ${port} of IPv${family}`, ADVICE_BIND);
    udp.port = boundPort(fd);
  } catch (error) {
    udp.close();
    throw error;
  }
  return udp;
}

/** Port of a socket that another thread opened with openUdp; only one of the two may close it. */
export function udpOf(fd: number, family: 4 | 6, offloads: UdpOffloads): UdpPort {
  const udp = new NativeUdp(fd, family, offloads);
  udp.port = boundPort(fd);
  return udp;
}

/**
 * Opens sockets of both families on one port. With port 0 the kernel chooses IPv4's, and again if IPv6's is taken.
 *
 * @throws {SystemCallError} If the port is taken, or the machine has neither family; nothing is left open.
 */
export function openUdpPair(port: number, mark = 0, offloads = false): UdpPair {
  return pairUp((options) => openUdp({ ...options, offloads }), port, mark);
}

/**
 * Opens pairs of sockets on one port, between which the kernel chooses by where a datagram comes from (SO_REUSEPORT).
 *
 * The first is bound without sharing, so that a port that another program has is still found to be taken.
 * @throws {SystemCallError} As openUdpPair.
 */
export function openUdpPairs(
  port: number,
  mark: number,
  offloads: boolean,
  count: number,
): UdpPair[] {
  const first = openUdpPair(port, mark, offloads);
  const pairs = [first];
  try {
    const ports = [first.udp4, first.udp6].filter((udp) => udp !== null);
    if (count > 1) { for (const udp of ports) sharePort(udp.fd); }
    const joined = (family: 4 | 6): UdpPort =>
      openUdp({ family, port: first.port, mark, offloads, joins: true });
    while (pairs.length < count) {
      const udp4 = first.udp4 === null ? null : joined(4);
      const index = pairs.push({ udp4, udp6: null, port: first.port }) - 1;
      if (first.udp6 !== null) pairs[index] = { ...pairs[index]!, udp6: joined(6) };
    }
    return pairs;
  } catch (error) {
    for (const { udp4, udp6 } of pairs) {
      udp4?.close();
      udp6?.close();
    }
    throw error;
  }
}

/** Lets sockets of this user that want it share the port. */
function sharePort(fd: number): void {
  const status = setSocketOption(fd, SOL_SOCKET, OPTION.REUSE_PORT, 1);
  if (status < 0) throw new SystemCallError("share a UDP port between workers", -status);
}

/** Asks for what is wanted; that of it which the kernel does not know is left out. */
function setOffloads(fd: number, { segmentation, coalescing }: UdpOffloads): UdpOffloads {
  return {
    // Of no size, which is what a socket has anyway: each send says its own.
    segmentation: segmentation &&
      setSocketOption(fd, SOCKET.LEVEL_UDP, SOCKET.UDP_SEGMENT, 0) === 0,
    coalescing: coalescing && setSocketOption(fd, SOCKET.LEVEL_UDP, SOCKET.UDP_GRO, 1) === 0,
  };
}

const ALL_OFFLOADS: UdpOffloads = { segmentation: true, coalescing: true };
const trusted = new Map<4 | 6, UdpOffloads>();

/** Which offloads of a family do what they should, tried once over the loopback. */
function trustedOffloads(family: 4 | 6): UdpOffloads {
  let offloads = trusted.get(family);
  if (offloads === undefined) {
    offloads = tryOffloads(family);
    trusted.set(family, offloads);
  }
  return offloads;
}

function tryOffloads(family: 4 | 6): UdpOffloads {
  const sockets: UdpPort[] = [];
  try {
    for (let end = 0; end < 2; end++) sockets.push(open({ family, port: 0 }, ALL_OFFLOADS));
    return verifyOffloads(sockets[0]!, sockets[1]!);
  } catch (error) {
    // No sockets for a test: whoever wants one next hears why.
    if (error instanceof SystemCallError) return ALL_OFFLOADS;
    throw error;
  } finally {
    for (const socket of sockets) socket.close();
  }
}

/** openUdpPair with the way to open one socket as a parameter, for tests. */
export function pairUp(
  open: (options: UdpOptions) => UdpPort,
  port: number,
  mark: number,
): UdpPair {
  for (let attempt = 1;; attempt++) {
    const udp4 = openIfSupported(open, { family: 4, port, mark });
    try {
      const udp6 = openIfSupported(open, { family: 6, port: udp4?.port ?? port, mark });
      const bound = udp4 ?? udp6;
      if (bound === null) throw new SystemCallError("open a UDP socket", ERRNO.EAFNOSUPPORT);
      return { udp4, udp6, port: bound.port };
    } catch (error) {
      udp4?.close();
      const taken = error instanceof SystemCallError && error.errno === ERRNO.EADDRINUSE;
      if (port !== 0 || !taken || attempt === PAIR_ATTEMPTS_MAX) throw error;
    }
  }
}

function openIfSupported(
  open: (options: UdpOptions) => UdpPort,
  options: UdpOptions,
): UdpPort | null {
  try {
    return open(options);
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === ERRNO.EAFNOSUPPORT) return null;
    throw error;
  }
}

/** Options before bind. Those that are wishes (buffer sizes) may fail; the others are in every kernel since 2.6. */
function configure(fd: number, family: 4 | 6): void {
  const action = `configure the UDP socket of IPv${family}`;
  const set = (level: number, option: number, value: number): void => {
    const status = setSocketOption(fd, level, option, value);
    if (status < 0) throw new SystemCallError(action, -status);
  };
  if (family === 4) {
    set(SOCKET.LEVEL_4, SOCKET.PKTINFO_4, 1);
    set(SOCKET.LEVEL_4, OPTION.MTU_DISCOVER_4, PMTU_DISCOVER_NEVER);
  } else {
    // Without V6_ONLY this socket would take IPv4's port as well.
    set(SOCKET.LEVEL_6, OPTION.V6_ONLY, 1);
    set(SOCKET.LEVEL_6, OPTION.RECEIVE_PKTINFO_6, 1);
    set(SOCKET.LEVEL_6, OPTION.MTU_DISCOVER_6, PMTU_DISCOVER_NEVER);
  }
  setBuffer(fd, OPTION.RECEIVE_BUFFER_FORCE, OPTION.RECEIVE_BUFFER);
  setBuffer(fd, OPTION.SEND_BUFFER_FORCE, OPTION.SEND_BUFFER);
}

/** The forced option passes net.core.*mem_max, but needs CAP_NET_ADMIN. */
function setBuffer(fd: number, forced: number, polite: number): void {
  if (setSocketOption(fd, SOL_SOCKET, forced, SOCKET_BUFFER_BYTES) < 0) {
    setSocketOption(fd, SOL_SOCKET, polite, SOCKET_BUFFER_BYTES);
  }
}

function boundPort(fd: number): number {
  const address = new Uint8Array(28);
  const length = new Uint8Array(Uint32Array.of(address.length).buffer);
  checked(libc().getsockname(fd, address, length), "read the port of a UDP socket");
  return portOf(address);
}

/**
 * Errors that an ICMP message left on the socket: they concern a datagram sent earlier and are gone once told.
 * Unconnected sockets see them rarely (IP_RECVERR is off).
 */
function isPending(errno: number): boolean {
  return errno === ERRNO.ECONNREFUSED || errno === ERRNO.EHOSTUNREACH ||
    errno === ERRNO.ENETUNREACH || errno === ERRNO.EPROTO || errno === ERRNO.ENOPROTOOPT;
}

/** Errors by which the kernel refuses a source address that is ours no more (ip_route_output, ip6_datagram_send_ctl). */
function isSourceGone(errno: number): boolean {
  return errno === ERRNO.EINVAL || errno === ERRNO.ENODEV || errno === ERRNO.EADDRNOTAVAIL ||
    errno === ERRNO.ENETUNREACH || errno === ERRNO.EHOSTUNREACH;
}

class NativeUdp implements UdpPort {
  readonly #libc: Libc = libc();
  readonly #receiving = new WeakMap<PacketBatch, DatagramVectors>();
  readonly #sending = new WeakMap<PacketBatch, DatagramVectors>();
  #open = true;
  port = 0;

  constructor(
    readonly fd: number,
    readonly family: 4 | 6,
    readonly offloads: UdpOffloads,
  ) {}

  receive(batch: PacketBatch): number {
    const vectors = this.#receivingOf(batch);
    let received = this.#receive(vectors, batch.limit);
    if (received < 0 && isPending(-received)) received = this.#receive(vectors, batch.limit);
    if (received < 0) {
      batch.count = 0;
      return received === -ERRNO.EAGAIN || received === -ERRNO.EINTR ? 0 : received;
    }
    vectors.takeReceived(batch, received);
    return received;
  }

  #receive(vectors: DatagramVectors, limit: number): number {
    const received = this.#libc.recvmmsg(this.fd, vectors.pointer, limit, MSG_DONTWAIT, null);
    return received < 0 ? -lastErrno() : received;
  }

  send(batch: PacketBatch, first: number): number {
    const vectors = this.#sendingOf(batch);
    const sent = this.#send(batch, first, vectors);
    if (sent >= 0) return sent;
    const words = first * ENDPOINT_WORDS;
    if (isSourceGone(-sent) && hasLocal(batch.endpoint, words)) {
      batch.endpoint.fill(0, words + ENDPOINT.LOCAL_ADDRESS, words + ENDPOINT_WORDS);
      return this.#send(batch, first, vectors);
    }
    // An interrupted call has sent nothing, and the error that ICMP left has been told by now.
    const again = sent === -ERRNO.EINTR || sent === -ERRNO.ECONNREFUSED;
    return again ? this.#send(batch, first, vectors) : sent;
  }

  #send(batch: PacketBatch, first: number, vectors: DatagramVectors): number {
    const ready = vectors.prepareSend(batch, first);
    if (ready <= 0) return ready;
    const sent = this.#libc.sendmmsg(this.fd, vectors.pointer, ready, MSG_DONTWAIT);
    return sent < 0 ? -lastErrno() : sent;
  }

  setMark(mark: number): void {
    const status = setSocketOption(this.fd, SOL_SOCKET, OPTION.MARK, mark | 0);
    if (status < 0) {
      const advice = status === -ERRNO.EPERM ? "run as root or grant CAP_NET_ADMIN" : undefined;
      throw new SystemCallError(`set the firewall mark ${mark} of a UDP socket`, -status, advice);
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeFile(this.fd);
  }

  #receivingOf(batch: PacketBatch): DatagramVectors {
    let vectors = this.#receiving.get(batch);
    if (vectors === undefined) {
      vectors = new DatagramVectors(batch, this.family);
      vectors.prepareReceive(batch);
      this.#receiving.set(batch, vectors);
    }
    return vectors;
  }

  #sendingOf(batch: PacketBatch): DatagramVectors {
    let vectors = this.#sending.get(batch);
    if (vectors === undefined) {
      vectors = new DatagramVectors(batch, this.family);
      this.#sending.set(batch, vectors);
    }
    return vectors;
  }
}
