/**
 * The node's control socket: `/var/run/tunlog/<interface>.sock`.
 *
 * In: requests of `tunlog status`, `down`, `reload`. Out: calls of the backend, replies. Format: control.ts.
 */
import { CONTROL_REQUEST_BYTES_MAX } from "../limits.ts";
import {
  CONTROL_DIRECTORY,
  type ControlReply,
  formatControlReply,
  parseControlRequest,
} from "./control.ts";
import { type LocalProtocol, LocalServer } from "./local_server.ts";
import type { NodeStatus } from "./status.ts";

/** The node behind the socket. What it throws becomes a reply. */
export interface ControlBackend {
  status(): Promise<NodeStatus>;
  /** Reads the configuration again. @returns Warnings. */
  reload(): Promise<readonly string[]>;
  /**
   * Takes the interface down. It must not wait for the control server's stop(), which waits for this reply; the
   * client, for its part, also waits until the connection ends.
   */
  down(): Promise<void>;
}

/** Makes the control server of one interface; start() opens the socket. */
export function createControlServer(
  interfaceName: string,
  backend: ControlBackend,
  directory: string = CONTROL_DIRECTORY,
): LocalServer {
  return new LocalServer(`${directory}/${interfaceName}.sock`, controlProtocol(backend));
}

/** What is spoken on the socket. */
export function controlProtocol(backend: ControlBackend): LocalProtocol {
  return {
    requestEnd: "line",
    requestBytesMax: CONTROL_REQUEST_BYTES_MAX,
    mayBegin: () => true,
    answer: async (line) => ({
      text: formatControlReply(await reply(line, backend)),
      close: false,
    }),
    refusal: (errno) =>
      formatControlReply({ op: "failed", error: `Cannot take request: errno is ${errno}` }),
  };
}

async function reply(line: string, backend: ControlBackend): Promise<ControlReply> {
  try {
    const op = parseControlRequest(line);
    switch (op) {
      case "status":
        return { op, status: await backend.status() };
      case "reload":
        return { op, warnings: await backend.reload() };
      case "down":
        await backend.down();
        return { op };
    }
  } catch (error) {
    return { op: "failed", error: error instanceof Error ? error.message : String(error) };
  }
}
