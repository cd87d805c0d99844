/**
 * Asking running nodes over their control sockets.
 *
 * In: an interface's name and a question. Out: the reply, or one clear sentence why there is none.
 */
import { readdirSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { ConfigError, ERRNO, SystemCallError } from "../errors.ts";
import { CONTROL_ANSWER_BYTES_MAX, CONTROL_ANSWER_MS_MAX } from "../limits.ts";
import { interfaceNameOf, isInterfaceName } from "./config.ts";
import {
  CONTROL_DIRECTORY,
  type ControlOp,
  type ControlReply,
  formatControlRequest,
  parseControlReply,
} from "./control.ts";
import { FrameReader } from "./frame_reader.ts";
import { errnoOf, systemError } from "./system_error.ts";

const SOCKET_SUFFIX = ".sock";
const IS_ENDING = "it is ending, or has too many clients";

/** Where and how long to ask; tests change it. */
export interface ControlClientOptions {
  readonly directory?: string;
  readonly timeoutMs?: number;
}

/**
 * Interface that `argument` names: itself, or the file that it is configured by.
 * @throws {ConfigError} If it is neither.
 */
export function interfaceOfArgument(argument: string): string {
  if (argument.endsWith(".conf")) return interfaceNameOf(argument);
  if (!isInterfaceName(argument)) {
    throw new ConfigError(`Interface "${argument}" must be 1..15 characters a-z A-Z 0-9 _ = + . -`);
  }
  return argument;
}

/**
 * Asks one node. After `down`, waits until the node has ended the connection, too.
 * @throws {SystemCallError} If no node can be reached, or none answers in time.
 * @throws {TypeError} If what it answers is not understood.
 */
export async function askNode(
  interfaceName: string,
  op: ControlOp,
  options: ControlClientOptions = {},
): Promise<ControlReply> {
  const { directory = CONTROL_DIRECTORY, timeoutMs = CONTROL_ANSWER_MS_MAX } = options;
  const action = `reach the node of interface "${interfaceName}"`;
  const socket = createConnection(`${directory}/${interfaceName}${SOCKET_SUFFIX}`);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    socket.destroy();
  }, timeoutMs);
  try {
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const line = await exchange(socket, formatControlRequest(op));
    const reply = line === null ? null : parseControlReply(line);
    if (reply?.op === "down") await closed;
    if (isLate) throw new SystemCallError(action, ERRNO.ETIMEDOUT);
    if (reply === null) throw new SystemCallError(action, ERRNO.ECONNRESET, IS_ENDING);
    return reply;
  } catch (error) {
    throw systemError(action, error, {
      [ERRNO.ENOENT]: 'no tunlog node runs there; "tunlog up" starts one',
      [ERRNO.ECONNREFUSED]: 'the node was killed; "tunlog up" starts it again and cleans up',
      [ERRNO.ECONNRESET]: IS_ENDING,
      [ERRNO.EPIPE]: IS_ENDING,
      [ERRNO.EACCES]: "run as root, or as the user who started it",
      [ERRNO.EPERM]: "run as root, or as the user who started it",
    });
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/** Sends a line and reads one. @returns null if the other side ended first. */
function exchange(socket: Socket, request: string): Promise<string | null> {
  const reader = new FrameReader("line");
  return new Promise((resolve, reject) => {
    // Stays for good: a reset after the reply is no news, and must not become an uncaught error.
    socket.on("error", reject);
    socket.once("connect", () => socket.write(request));
    socket.on("data", (chunk) => {
      reader.push(chunk);
      const line = reader.take();
      if (line !== null) resolve(line);
      else if (reader.length > CONTROL_ANSWER_BYTES_MAX) {
        reject(new RangeError(`Cannot read reply: longer than ${CONTROL_ANSWER_BYTES_MAX} bytes`));
      }
    });
    socket.once("close", () => resolve(null));
  });
}

/**
 * Names of the interfaces that have a control socket, sorted; a node that was killed leaves its own behind.
 * @throws {SystemCallError} If the directory cannot be read; one that does not exist holds none.
 */
export function knownNodes(directory: string = CONTROL_DIRECTORY): string[] {
  try {
    return readdirSync(directory)
      .filter((file) => file.endsWith(SOCKET_SUFFIX))
      .map((file) => file.slice(0, -SOCKET_SUFFIX.length))
      .filter(isInterfaceName)
      .sort();
  } catch (error) {
    if (errnoOf(error) === ERRNO.ENOENT) return [];
    throw systemError(`list nodes in "${directory}"`, error, { [ERRNO.EACCES]: "run as root" });
  }
}

/** Asks all nodes that run for their status, in the order of their names; the dead are passed over. */
export async function allStatuses(options: ControlClientOptions = {}): Promise<ControlReply[]> {
  const replies = await Promise.all(
    knownNodes(options.directory).map(async (name) => {
      try {
        return await askNode(name, "status", options);
      } catch (error) {
        const errno = error instanceof SystemCallError ? error.errno : 0;
        if (errno === ERRNO.ECONNREFUSED || errno === ERRNO.ENOENT) return null;
        throw error;
      }
    }),
  );
  return replies.filter((reply) => reply !== null);
}
