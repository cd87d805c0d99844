/**
 * A way to alpha's collector from outside of alpha's namespace, for the user's browser and for the demo itself.
 *
 * In: connections to a port of this machine's loopback. Out: the same bytes at the collector's loopback port. How: the file
 * system is not per namespace, so a socket in it joins both halves: the demo's own, and a child's inside the namespace.
 */
import { createConnection, createServer, type Server, type Socket } from "node:net";
import process from "node:process";
import { systemError } from "../../node/mod.ts";

/** First argument of `tunlog demo` in the child; not for people. */
export const RELAY_WORD = "relay";

const LOOPBACK = "127.0.0.1";

/** The child: relays until the standard input ends, as it does when the demo ends in whatever way. */
export async function runRelay([path, port]: readonly string[]): Promise<void> {
  const isOver = new Promise<void>((resolve) => {
    process.stdin.on("end", resolve).on("error", resolve).resume();
  });
  const server = joiner(() => createConnection({ host: LOOPBACK, port: Number(port) }));
  await listen(server, { path });
  process.stdout.write("relaying\n");
  await isOver;
}

/** The demo's half. */
export class RelayPort {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  /** @param path Socket of the child. */
  constructor(path: string) {
    this.#server = joiner(() => createConnection({ path }));
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  /** @param port 0 = the kernel's choice. @returns Base URL. @throws {SystemCallError} If the port is taken. */
  async start(port: number): Promise<string> {
    try {
      await listen(this.#server, { host: LOOPBACK, port });
    } catch (error) {
      throw systemError(`listen on ${LOOPBACK}:${port}`, error);
    }
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("The relay has no port");
    return `http://${LOOPBACK}:${address.port}`;
  }

  /** Lets go of all connections. Safe to call when it did not start. */
  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close(() => {});
  }
}

/** A server that joins each connection with one that it makes. */
function joiner(connect: () => Socket): Server {
  return createServer((near) => {
    const far = connect();
    for (const [a, b] of [[near, far], [far, near]]) {
      // The other side is told by its close.
      a.on("error", () => {});
      a.on("close", () => b.destroy());
      a.pipe(b);
    }
  });
}

function listen(
  server: Server,
  where: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
