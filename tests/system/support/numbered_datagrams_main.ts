/**
 * Sends datagrams no two of which are of the same connection; a program of its own, because it runs inside a namespace.
 *
 * In: `ADDRESS SOURCE_PORT COUNT INTERVAL_MS BURST`. Out: so many datagrams of different lengths from that port to
 * NUMBERED_PORT_FIRST, the next port, and so on, BURST of them at each interval; then `sent`. An address that cannot be reached at the moment is tried again with the next one.
 */
import { createSocket } from "node:dgram";
import process from "node:process";
import { NUMBERED_PORT_FIRST, NUMBERED_PORT_LAST } from "./numbered_datagrams.ts";

const [address, ...numbers] = process.argv.slice(2) as [string, ...string[]];
const [sourcePort, count, intervalMs, burst] = numbers.map(Number) as [
  number,
  number,
  number,
  number,
];
const socket = createSocket("udp4");
// Refused, or no such network: the node at this end is not there.
socket.on("error", () => {});
socket.bind(sourcePort, () => {
  const endPort = Math.min(NUMBERED_PORT_FIRST + count, NUMBERED_PORT_LAST + 1);
  let port = NUMBERED_PORT_FIRST;
  const timer = setInterval(() => {
    for (let index = 0; index < burst && port < endPort; index++) {
      socket.send(new Uint8Array(port % 64), port++, address, () => {});
    }
    if (port < endPort) return;
    clearInterval(timer);
    // What is under way is sent first.
    socket.send(new Uint8Array(0), 9, "127.0.0.1", () => socket.close());
    console.log("sent");
  }, intervalMs);
  console.log("sending");
});
