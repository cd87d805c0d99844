/** The real machine as a node's platform: descriptors, network, clock, and the data-plane thread. */
import process from "node:process";
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { type Answer, type NodePlatform, systemResolver, type WorkerThread } from "../node/mod.ts";
import {
  openClock,
  openNetwork,
  openTimers,
  openTunQueues,
  openUdpPairs,
  openWake,
  openZstd,
  runtimeName,
} from "../platform/mod.ts";
import type { CommandIo } from "./io.ts";

/** Variable that asks for one of the two implementations of cryptography, for tests and for comparing. */
const CRYPTO_VARIABLE = "TUNLOG_CRYPTO";

/** Builds it. @throws {PermissionError} If the runtime does not allow FFI. */
export function openMachine(io: CommandIo): NodePlatform {
  const cryptoName = io.env(CRYPTO_VARIABLE);
  if (cryptoName !== undefined && cryptoName !== "libcrypto" && cryptoName !== "noble") {
    throw new Error(`Cannot use ${CRYPTO_VARIABLE} "${cryptoName}": must be libcrypto or noble`);
  }
  return {
    runtime: runtimeName(),
    processId: process.pid,
    clock: openClock(),
    timers: openTimers(),
    network: openNetwork(),
    resolver: systemResolver,
    ...(cryptoName !== undefined && { cryptoName }),
    cores: availableParallelism(),
    openTun: openTunQueues,
    openSockets: openUdpPairs,
    openWake,
    openZstd,
    startWorker,
    randomWords: (count) => {
      const words = new Uint32Array(count);
      new Uint8Array(words.buffer).set(randomBytes(words.byteLength));
      return words;
    },
  };
}

/** Starts a data-plane thread. */
function startWorker(): WorkerThread {
  const worker = new Worker(new URL("./data_plane_worker.ts", import.meta.url), { type: "module" });
  return {
    post: (command) => worker.postMessage(command),
    onAnswer: (listener) => {
      worker.onmessage = ({ data }: MessageEvent) => listener(data as Answer);
    },
    onError: (listener) => {
      worker.onerror = (event) => {
        event.preventDefault();
        listener(event.message);
      };
    },
    terminate: () => worker.terminate(),
  };
}
