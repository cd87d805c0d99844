/**
 * What this machine offers to a node, found out by trying: facts for `doctor` and for choosing offloads.
 *
 * In: nothing. Out: plain data; what was made for it (a TUN device for a moment, sockets) is gone afterwards.
 * Not here: what to think of the facts, and how to print them.
 */
import process from "node:process";
import { SystemCallError } from "../errors.ts";
import { chooseCrypto } from "./crypto.ts";
import {
  CAPABILITY,
  effectiveCapabilities,
  effectiveUserId,
  hasCapability,
  readTextNative,
} from "./files.ts";
import { ADVICE_NET_ADMIN, closeFile, deviceControl, getSocketOption, libc } from "./libc.ts";
import { runtimeName } from "./runtime.ts";
import { interfaceRequest, openTunNode, TUN_FLAG, TUN_OFFLOAD, TUN_REQUEST } from "./tun.ts";
import { openUdp } from "./udp.ts";

/** Facts about TUN devices. */
export interface TunFacts {
  /** Why no device can be made, one sentence; null when one was. */
  readonly obstacle: string | null;
  /** Flags that TUNGETFEATURES reports, see TUN_FLAG; null when not even the node opens. */
  readonly features: number | null;
  readonly multiQueue: boolean;
  /** Whether packets can carry a virtio header, which every offload needs. */
  readonly virtioHeader: boolean;
  /** Offloads that TUNSETOFFLOAD accepts: super-packets of TCP and of UDP, by family. */
  readonly offloads: { readonly tso4: boolean; readonly tso6: boolean; readonly uso: boolean };
}

/** Facts about UDP sockets of one family. */
export interface UdpFacts {
  /** Why none can be opened, one sentence; null when one was. */
  readonly obstacle: string | null;
  /** Whether one call can send many datagrams of one size, and receive many as one; tried over the loopback. */
  readonly segmentation: boolean;
  readonly coalescing: boolean;
  /** Bytes of buffer that the kernel granted of those asked for (SOCKET_BUFFER_BYTES). */
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
}

/** All facts. */
export interface MachineFacts {
  /** `deno 2.9.6`. */
  readonly runtime: string;
  /** `6.1.0-18-amd64`; null if the kernel does not tell. */
  readonly kernel: string | null;
  /** `x64` or `arm64`. */
  readonly architecture: string;
  /** Effective user id; 0 = root. */
  readonly userId: number;
  /** Effective capabilities, 64 bits in hexadecimal; null if the kernel does not tell. */
  readonly capabilities: string | null;
  readonly hasNetAdmin: boolean;
  /** Implementation of cryptography that would be used, and why not a faster one. */
  readonly crypto: { readonly name: string; readonly obstacle: string | null };
  readonly tun: TunFacts;
  readonly udp4: UdpFacts;
  readonly udp6: UdpFacts;
}

const SOL_SOCKET = 1;
const SOCKET_OPTION = { SEND_BUFFER: 7, RECEIVE_BUFFER: 8 } as const;
/** `%d`: the first free number, so that two probes at once do not meet. */
const PROBE_NAME = "tlprobe%d";

const NO_TUN: TunFacts = {
  obstacle: null,
  features: null,
  multiQueue: false,
  virtioHeader: false,
  offloads: { tso4: false, tso6: false, uso: false },
};

/** Finds out what this machine offers. @throws {PermissionError} If the runtime does not allow FFI. */
export function probeMachine(): MachineFacts {
  const userId = effectiveUserId();
  const capabilities = orNull(effectiveCapabilities);
  const { crypto, obstacle } = chooseCrypto();
  return {
    runtime: runtimeName(),
    kernel: orNull(() => readTextNative("/proc/sys/kernel/osrelease").trim()),
    architecture: process.arch,
    userId,
    capabilities,
    hasNetAdmin: capabilities === null
      ? userId === 0
      : hasCapability(capabilities, CAPABILITY.NET_ADMIN),
    crypto: { name: crypto.name, obstacle },
    tun: probeTun(),
    udp4: probeUdp(4),
    udp6: probeUdp(6),
  };
}

/** Makes a TUN device for a moment and tries what it can do. */
export function probeTun(): TunFacts {
  const action = "make a TUN device";
  let fd = -1;
  let features: number | null = null;
  try {
    fd = openTunNode(action);
    const answer = new Uint8Array(4);
    deviceControl(fd, TUN_REQUEST.GET_FEATURES, answer, action);
    features = new DataView(answer.buffer).getUint32(0, true);
    const virtioHeader = (features & TUN_FLAG.VIRTIO_HEADER) !== 0;
    const flags = TUN_FLAG.TUN | TUN_FLAG.NO_PACKET_INFO |
      (virtioHeader ? TUN_FLAG.VIRTIO_HEADER : 0);
    const request = interfaceRequest(PROBE_NAME, flags);
    deviceControl(fd, TUN_REQUEST.SET_INTERFACE, request, action, ADVICE_NET_ADMIN);
    const accepts = (offload: number): boolean =>
      virtioHeader &&
      libc().ioctlValue(fd, TUN_REQUEST.SET_OFFLOAD, TUN_OFFLOAD.CHECKSUM | offload) === 0;
    return {
      obstacle: null,
      features,
      multiQueue: (features & TUN_FLAG.MULTI_QUEUE) !== 0,
      virtioHeader,
      offloads: {
        tso4: accepts(TUN_OFFLOAD.TSO4),
        tso6: accepts(TUN_OFFLOAD.TSO6),
        uso: accepts(TUN_OFFLOAD.USO4 | TUN_OFFLOAD.USO6),
      },
    };
  } catch (error) {
    return { ...NO_TUN, obstacle: messageOf(error), features };
  } finally {
    if (fd >= 0) closeFile(fd);
  }
}

/** Opens a UDP socket of one family for a moment and tries what it can do. */
export function probeUdp(family: 4 | 6): UdpFacts {
  let socket;
  try {
    socket = openUdp({ family, port: 0, offloads: true });
  } catch (error) {
    return {
      obstacle: messageOf(error),
      segmentation: false,
      coalescing: false,
      receiveBufferBytes: 0,
      sendBufferBytes: 0,
    };
  }
  const { fd, offloads } = socket;
  // The kernel doubles what it grants, for its own overhead (socket(7)).
  const granted = (option: number): number => (getSocketOption(fd, SOL_SOCKET, option) ?? 0) / 2;
  const facts: UdpFacts = {
    obstacle: null,
    ...offloads,
    receiveBufferBytes: granted(SOCKET_OPTION.RECEIVE_BUFFER),
    sendBufferBytes: granted(SOCKET_OPTION.SEND_BUFFER),
  };
  socket.close();
  return facts;
}

/** What the kernel tells, or null where it does not: a hidden /proc is no reason to stop. */
function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof SystemCallError) return null;
    throw error;
  }
}

/** Sentence of a refusal; our own bugs go on. */
function messageOf(error: unknown): string {
  if (error instanceof SystemCallError) return error.message;
  throw error;
}
