/**
 * Both ends of the demo's traffic; a program of its own, because each end runs inside a namespace.
 *
 * In: `serve` or `talk`, and the server's addresses. Out: HTTP and DNS-like UDP over each of them, about ten
 * exchanges a second, until it is ended. The server prints `serving` when it is ready.
 */
import { createSocket, type SocketType } from "node:dgram";
import { createServer } from "node:http";
import process from "node:process";

const HTTP_PORT = 8080;
const UDP_PORT = 5353;
const BODY = new Uint8Array(200_000);

const [role, ...addresses] = process.argv.slice(2);

function socketType(address: string): SocketType {
  return address.includes(":") ? "udp6" : "udp4";
}

async function serve(address: string): Promise<void> {
  const server = createServer((_request, response) => response.end(BODY));
  const socket = createSocket(socketType(address));
  socket.on("message", (message, from) => socket.send(message, from.port, from.address));
  await new Promise<void>((resolve) => server.listen(HTTP_PORT, address, resolve));
  await new Promise<void>((resolve) => socket.bind(UDP_PORT, address, resolve));
}

/** Errors are of the moment (the tunnel comes up, the demo ends); the next exchange shows whether they last. */
function talk(address: string): void {
  const host = address.includes(":") ? `[${address}]` : address;
  const socket = createSocket(socketType(address));
  socket.on("error", () => {});
  setInterval(() => socket.send(new Uint8Array(48), UDP_PORT, address), 150);
  setInterval(() => {
    fetch(`http://${host}:${HTTP_PORT}/`).then((response) => response.arrayBuffer()).catch(
      () => {},
    );
  }, 400);
}

if (role === "serve") {
  await Promise.all(addresses.map(serve));
  console.log("serving");
} else {
  for (const address of addresses) talk(address);
}
