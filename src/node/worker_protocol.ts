/**
 * What main and a data-plane worker say to each other.
 *
 * In: commands from main, each answered once, in order. Out: answers, and notices that nobody asked for. A command
 * is posted, then `CONTROL.POSTED` is raised, then the wake port is written to; the worker leaves poll(2), and
 * returns to its event loop only when there is a command to take, so that a bank flip costs no turn of it.
 */
import type { TunOffloads, UdpOffloads } from "../ports.ts";
import type { DeviceSnapshot, DeviceUpdate, RouteChange, Timing } from "../wireguard/mod.ts";
import type { OffloadState } from "./offload_state.ts";
import type { RelayMemory } from "./relay.ts";

/** Words of the control block in shared memory (Int32Array). */
export const CONTROL = {
  /** Commands posted so far. Main writes. */
  POSTED: 0,
} as const;

/** Bytes of the control block. */
export const CONTROL_BYTES = 4;

/** A UDP socket that main opened, by its descriptor: one process has one table of them. */
export interface SocketHandle {
  readonly fd: number;
  readonly port: number;
  readonly offloads: UdpOffloads;
}

/** Everything the worker needs to begin. Descriptors are main's to close, after the worker has stopped. */
export interface WorkerStart {
  readonly tun: { readonly fd: number; readonly name: string; readonly offloads: TunOffloads };
  readonly wakeFd: number;
  readonly mtuBytes: number;
  readonly timing: Partial<Timing>;
  /** Which cryptography to use; absent = the best that is there. */
  readonly cryptoName?: "libcrypto" | "noble";
  /** HASH_SECRET_WORDS random words, for hash tables that strangers can fill. */
  readonly hashSecret: Uint32Array;
  readonly control: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly virtual: SharedArrayBuffer;
  readonly physical: SharedArrayBuffer;
  /** What several workers share; null = it is the only one. */
  readonly team: TeamStart | null;
}

/** What several workers share. */
export interface TeamStart {
  /** Which one it is: 0 runs the protocol, the others carry. */
  readonly worker: number;
  readonly board: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
  /** Of each carrier, in order. */
  readonly relays: readonly RelayMemory[];
  /** Of each worker, in order. */
  readonly wakeFds: readonly number[];
}

/** Order to the worker. */
export type Command =
  | { readonly type: "start"; readonly start: WorkerStart }
  | {
    readonly type: "sockets";
    readonly udp4: SocketHandle | null;
    readonly udp6: SocketHandle | null;
  }
  /** To the one that runs the protocol. */
  | { readonly type: "configure"; readonly update: DeviceUpdate }
  /** To carriers: what came of a configuration. */
  | { readonly type: "routes"; readonly changes: readonly RouteChange[] }
  /** To the one that runs the protocol. */
  | { readonly type: "snapshot" }
  | { readonly type: "offloads" }
  | { readonly type: "stop" };

/** State of the interface, for status and `wg show`. */
export interface WorkerSnapshot {
  readonly device: DeviceSnapshot;
  readonly waitingPackets: number;
  readonly cryptoName: string;
  readonly offloads: OffloadState;
}

/** From the worker: the answer to a command, or a notice. */
export type Answer =
  | { readonly type: "done" }
  | { readonly type: "configured"; readonly changes: readonly RouteChange[] }
  | { readonly type: "snapshot"; readonly snapshot: WorkerSnapshot }
  | { readonly type: "offloads"; readonly offloads: OffloadState }
  /** The command changed nothing; the message is for people. */
  | { readonly type: "refused"; readonly message: string }
  /** Notice: a flow was counted into an empty bank, so there will be a window to take. */
  | { readonly type: "counting" }
  /** Notice: the data plane cannot go on. */
  | { readonly type: "failed"; readonly message: string };
