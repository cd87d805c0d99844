/**
 * A server on a Unix socket, for requests of a few lines and their answers; UAPI and control both are one.
 *
 * In: a path and a protocol. Out: answers. Guarantees: the socket and what it lies in are never accessible to others
 * than its owner; a socket that a dead process left is replaced, a live one is not; connections, bytes and time are
 * bounded; requests of one connection are answered one at a time, in order.
 */
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import process from "node:process";
import { ERRNO, SystemCallError } from "../errors.ts";
import { LOCAL_CONNECTIONS_MAX, LOCAL_IDLE_MS_MAX, LOCAL_REQUEST_MS_MAX } from "../limits.ts";
import { FrameReader } from "./frame_reader.ts";
import { errnoOf, systemError } from "./system_error.ts";

/** What is spoken on a socket. */
export interface LocalProtocol {
  readonly requestEnd: "line" | "blank line";
  readonly requestBytesMax: number;
  /** Whether a request may begin with this line; if not, the rest is not waited for. */
  mayBegin(line: string): boolean;
  /** Answers one request, given without its end. Never rejects: what goes wrong is an answer too. */
  answer(request: string): Promise<Reply>;
  /** Text for what is not a request: too long, too slow, broken off. @param errno Positive. */
  refusal(errno: number): string;
}

/** Answer to one request. */
export interface Reply {
  readonly text: string;
  /** Whether the connection ends with it. */
  readonly close: boolean;
}

/** Time limits; tests shorten them. */
export interface LocalServerTimes {
  readonly requestMs: number;
  readonly idleMs: number;
}

/** See file header. */
export class LocalServer {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #listening = false;

  constructor(
    readonly path: string,
    protocol: LocalProtocol,
    times: LocalServerTimes = { requestMs: LOCAL_REQUEST_MS_MAX, idleMs: LOCAL_IDLE_MS_MAX },
  ) {
    // Half-open: a client may send its requests, shut down its side, and still wants the answers.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      if (this.#connections.size >= LOCAL_CONNECTIONS_MAX) {
        socket.on("error", () => socket.destroy());
        endSocket(socket, protocol.refusal(ERRNO.EAGAIN), times.requestMs);
        return;
      }
      const connection = new Connection(socket, protocol, times, () => {
        this.#connections.delete(connection);
      });
      this.#connections.add(connection);
    });
  }

  /**
   * Makes the directory and the socket, and serves.
   * @throws {SystemCallError} EADDRINUSE if a live process serves the path; other errno as the kernel gives them.
   */
  async start(): Promise<void> {
    const action = `listen on "${this.path}"`;
    try {
      // As wireguard-go and wg-quick have it; the sockets in it are what is guarded.
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o755 });
      await removeStale(this.path);
      await this.#listen();
    } catch (error) {
      throw systemError(action, error, {
        [ERRNO.EACCES]: "run as root",
        [ERRNO.EPERM]: "run as root",
        [ERRNO.EROFS]: "its directory is read-only",
      });
    }
  }

  /** Ends all connections, after the answers that are under way, and removes the socket. Safe to call twice. */
  async stop(): Promise<void> {
    if (!this.#listening) return;
    this.#listening = false;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    removeIfThere(this.path);
    for (const connection of this.#connections) connection.finish();
    await closed;
  }

  /** Binds under a umask that lets no one else in, not even between bind and chmod. */
  async #listen(): Promise<void> {
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once("error", reject);
        this.#server.listen(this.path, () => {
          this.#server.off("error", reject);
          resolve();
        });
      });
    } finally {
      process.umask(umask);
    }
    chmodSync(this.path, 0o600);
    this.#listening = true;
  }
}

/** Removes a socket on which nobody listens any more. */
async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  const action = `listen on "${path}"`;
  if (!found.isSocket()) {
    throw new SystemCallError(action, ERRNO.EEXIST, "a file that is no socket is in the way");
  }
  if (await isServed(path)) {
    throw new SystemCallError(
      action,
      ERRNO.EADDRINUSE,
      "the interface is already served by another process",
    );
  }
  removeIfThere(path);
}

/** Whether a process listens on the socket at `path`. */
async function isServed(path: string): Promise<boolean> {
  const socket = createConnection(path);
  try {
    return await new Promise<boolean>((resolve, reject) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", (error) => {
        const errno = errnoOf(error);
        if (errno === ERRNO.ECONNREFUSED || errno === ERRNO.ENOENT) resolve(false);
        else reject(error);
      });
    });
  } finally {
    socket.destroy();
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) !== ERRNO.ENOENT) throw error;
  }
}

/** Writes the last text and ends the connection; a client that does not take it in `ms` is cut off. */
function endSocket(socket: Socket, text: string, ms: number): void {
  const timer = setTimeout(() => socket.destroy(), ms);
  socket.once("close", () => clearTimeout(timer));
  // Flowing, or the other side's end is never seen.
  socket.resume();
  // Not `end` alone: a half-open socket would then wait for the other side's end, which may never come.
  socket.end(text, () => socket.destroySoon());
}

/** One client. */
class Connection {
  readonly #socket: Socket;
  readonly #protocol: LocalProtocol;
  readonly #times: LocalServerTimes;
  readonly #reader: FrameReader;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What the running timer waits for. */
  #waitsFor: "request" | "rest of a request" | "nothing" = "nothing";
  #answering = false;
  #peerEnded = false;
  #finishing = false;

  constructor(
    socket: Socket,
    protocol: LocalProtocol,
    times: LocalServerTimes,
    onClose: () => void,
  ) {
    this.#socket = socket;
    this.#protocol = protocol;
    this.#times = times;
    this.#reader = new FrameReader(protocol.requestEnd);
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("end", () => {
      this.#peerEnded = true;
      void this.#serve();
    });
    // A client that goes away harms itself only; `close` follows.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#wait("nothing");
      onClose();
    });
    this.#wait("request");
  }

  /** Ends the connection, after the answer that is under way. */
  finish(): void {
    this.#finishing = true;
    if (!this.#answering) this.#socket.destroy();
  }

  #receive(chunk: Uint8Array): void {
    this.#reader.push(chunk);
    // The socket is paused while an answer is made; a chunk or two may still come.
    const isFlood = this.#answering && this.#reader.length > this.#protocol.requestBytesMax;
    if (isFlood) this.#socket.destroy();
    else void this.#serve();
  }

  /** Answers all whole requests, then decides what to wait for. */
  async #serve(): Promise<void> {
    if (this.#answering || this.#socket.destroyed) return;
    this.#answering = true;
    try {
      for (let request = this.#reader.take(); request !== null; request = this.#reader.take()) {
        this.#wait("nothing");
        this.#socket.pause();
        const reply = await this.#protocol.answer(request);
        if (reply.close || this.#finishing) {
          this.#close(reply.text);
          return;
        }
        if (!await this.#write(reply.text)) return;
      }
    } finally {
      this.#answering = false;
    }
    this.#socket.resume();
    this.#waitForMore();
  }

  #waitForMore(): void {
    const { length } = this.#reader;
    const firstLine = this.#reader.firstLine();
    if (firstLine !== null && !this.#protocol.mayBegin(firstLine)) this.#refuse(ERRNO.EPROTO);
    else if (length > this.#protocol.requestBytesMax) this.#refuse(ERRNO.EMSGSIZE);
    else if (this.#peerEnded && length > 0) this.#refuse(ERRNO.EPROTO);
    else if (this.#peerEnded) this.#close("");
    else this.#wait(length > 0 ? "rest of a request" : "request");
  }

  #refuse(errno: number): void {
    this.#close(this.#protocol.refusal(errno));
  }

  #close(text: string): void {
    this.#wait("nothing");
    this.#socket.removeAllListeners("data");
    endSocket(this.#socket, text, this.#times.requestMs);
  }

  /** @returns Whether the client took it in time. */
  async #write(text: string): Promise<boolean> {
    const timer = setTimeout(() => this.#socket.destroy(), this.#times.requestMs);
    const error = await new Promise<Error | null | undefined>((resolve) => {
      this.#socket.once("close", () => resolve(new Error("closed")));
      this.#socket.write(text, resolve);
    });
    clearTimeout(timer);
    return !error;
  }

  /** The time for a request runs from its first byte: a byte now and then does not prolong it. */
  #wait(what: "request" | "rest of a request" | "nothing"): void {
    if (what === this.#waitsFor && what === "rest of a request") return;
    clearTimeout(this.#timer);
    this.#waitsFor = what;
    if (what === "nothing") return;
    const ms = what === "request" ? this.#times.idleMs : this.#times.requestMs;
    this.#timer = setTimeout(() => {
      if (what === "request") this.#socket.destroy();
      else this.#refuse(ERRNO.ETIMEDOUT);
    }, ms);
  }
}
