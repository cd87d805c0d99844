/**
 * Sends raw datagrams; a program of its own, because it runs inside a namespace.
 *
 * In: `ADDRESS PORT`; one datagram a line, hexadecimal, on standard input (an empty line = an empty datagram).
 * Out: `sent N`.
 */
import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import process from "node:process";
import { createInterface } from "node:readline";

/** A pause after so many: the receiver's socket buffer must not be what drops them. */
const BURST_DATAGRAMS = 32;
const BURST_PAUSE_MS = 2;

const [address, port] = process.argv.slice(2) as [string, string];
const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
// A closed port answers with ICMP; that is for the test to find out.
socket.on("error", () => {});

let sent = 0;
for await (const line of createInterface({ input: process.stdin })) {
  await new Promise<void>((resolve, reject) => {
    socket.send(
      Buffer.from(line, "hex"),
      Number(port),
      address,
      (error) => error ? reject(error) : resolve(),
    );
  });
  sent++;
  if (sent % BURST_DATAGRAMS === 0) {
    await new Promise((resolve) => setTimeout(resolve, BURST_PAUSE_MS));
  }
}
socket.close();
console.log(`sent ${sent}`);
