/**
 * The UAPI socket: `/var/run/wireguard/<interface>.sock`, where `wg` looks for it.
 *
 * In: what `wg` and others send. Out: calls of the backend, answers. Format: uapi.ts; socket: local_server.ts.
 */
import { networkInterfaces } from "node:os";
import { ERRNO, SystemCallError } from "../errors.ts";
import { UAPI_REQUEST_BYTES_MAX } from "../limits.ts";
import { type LocalProtocol, LocalServer, type Reply } from "./local_server.ts";
import {
  beginsUapiRequest,
  formatUapiErrno,
  formatUapiState,
  parseUapiRequest,
  type UapiChange,
  type UapiState,
} from "./uapi.ts";

/** Where `wg` looks. Source: wireguard-tools ipc-uapi-unix.h SOCK_PATH. */
export const UAPI_DIRECTORY = "/var/run/wireguard";

/** The node behind the socket. */
export interface UapiBackend {
  get(): Promise<UapiState>;
  /**
   * Applies a change, all of it or nothing. Calls come one after another per connection, but connections overlap.
   * @returns 0, or a positive errno.
   * @throws {SystemCallError} Counts as its errno; any other error as EIO.
   */
  set(change: UapiChange): Promise<number>;
}

/** Makes the server of one interface; start() opens the socket. */
export function createUapiServer(
  interfaceName: string,
  backend: UapiBackend,
  directory: string = UAPI_DIRECTORY,
): LocalServer {
  return new LocalServer(`${directory}/${interfaceName}.sock`, uapiProtocol(backend));
}

/** What is spoken on the socket. */
export function uapiProtocol(backend: UapiBackend): LocalProtocol {
  return {
    requestEnd: "blank line",
    requestBytesMax: UAPI_REQUEST_BYTES_MAX,
    mayBegin: beginsUapiRequest,
    answer: (text) => answer(text, backend),
    refusal: (errno) => formatUapiErrno("set", errno),
  };
}

async function answer(text: string, backend: UapiBackend): Promise<Reply> {
  const request = parseUapiRequest(text, scopeOf);
  if (request.op === "bad") {
    // Who does not speak the protocol is sent away; who got one value wrong may go on.
    const close = !beginsUapiRequest(text.slice(0, text.search(/\n|$/)));
    return { text: formatUapiErrno("set", request.errno), close };
  }
  try {
    if (request.op === "get") return { text: formatUapiState(await backend.get()), close: false };
    return { text: formatUapiErrno("set", await backend.set(request.change)), close: false };
  } catch (error) {
    const errno = error instanceof SystemCallError ? error.errno : ERRNO.EIO;
    return { text: formatUapiErrno(request.op, errno), close: false };
  }
}

/** Index of an interface by the scope of its link-local address; 0 = it has none. */
function scopeOf(zone: string): number {
  for (const address of networkInterfaces()[zone] ?? []) {
    if (address.family === "IPv6" && address.scopeid > 0) return address.scopeid;
  }
  return 0;
}
