/**
 * Entry of the data-plane thread: builds the platform and hands it to the host.
 *
 * It stands beside main.ts because `bun build --compile` finds workers only in the folder of the main entry.
 */
import { type Command, DataPlaneHost, type WorkerPlatform } from "../node/mod.ts";
import { wasmMemory } from "../packet/mod.ts";
import {
  NativeMemory,
  openClock,
  openCrypto,
  openPoll,
  tunOf,
  udpOf,
  wakeOf,
} from "../platform/mod.ts";

/** What a worker's global scope has; its own type would need another `lib` than the rest of the program. */
interface WorkerScope {
  postMessage(message: unknown): void;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;

const platform: WorkerPlatform = {
  clock: openClock(),
  // Memory that C and WebAssembly both address.
  allocate: (bytes) => new NativeMemory(wasmMemory(bytes), 0, bytes),
  adoptTun: tunOf,
  adoptUdp: udpOf,
  adoptWake: wakeOf,
  openPoll,
  openCrypto,
};

const host = new DataPlaneHost(platform, (answer) => scope.postMessage(answer));
scope.onmessage = ({ data }) => host.accept(data as Command);
