/**
 * Both ends of the demo's traffic: children of the demo, inside its namespaces; not a command for people.
 *
 * In: `serve ADDRESS` or `talk ADDRESS…`. Out: HTTP over TCP, DNS-like UDP and bulk TCP, some exchanges a second, until the
 * standard input ends, as it does when the demo ends in whatever way. The server prints `serving` when it is ready.
 * Errors are of the moment (a tunnel comes up, the demo ends): the next exchange shows whether they last.
 */
import { createSocket } from "node:dgram";
import { createServer as createHttpServer, get } from "node:http";
import { createConnection, createServer, type Server } from "node:net";
import process from "node:process";
import { SERVICE_PORTS } from "./topology.ts";

/** First argument of `tunlog demo` in such a child. */
export const TRAFFIC_WORD = "traffic";

const PAGE_BYTES = 60_000;
const QUERY_BYTES = 40;
const ANSWER_BYTES = 120;
/** Sent at once to each server, and again after BULK_PERIOD_MS: what a slow machine carries as well. */
const BULK_BYTES = [300_000, 180_000, 90_000];
const HTTP_PERIOD_MS = 400;
const DNS_PERIOD_MS = 250;
const BULK_PERIOD_MS = 500;
/** Whoever does not answer is given up. */
const ANSWER_MS_MAX = 5_000;

/** Runs one end. @returns When the standard input ends. */
export async function runTraffic([role, ...addresses]: readonly string[]): Promise<void> {
  const isOver = new Promise<void>((resolve) => {
    process.stdin.on("end", resolve).on("error", resolve).resume();
  });
  if (role === "serve") {
    for (const address of addresses) await serve(address);
    process.stdout.write("serving\n");
  } else {
    addresses.forEach(talk);
  }
  await isOver;
}

async function serve(address: string): Promise<void> {
  const page = new Uint8Array(PAGE_BYTES);
  const answer = new Uint8Array(ANSWER_BYTES);
  const dns = createSocket("udp4");
  dns.on("message", (_query, from) => dns.send(answer, from.port, from.address));
  dns.on("error", ignore);
  await Promise.all([
    listen(createHttpServer((_request, response) => response.end(page)), SERVICE_PORTS.http),
    listen(createServer((socket) => socket.on("error", ignore).resume()), SERVICE_PORTS.bulk),
    new Promise<void>((resolve) => dns.bind(SERVICE_PORTS.dns, address, resolve)),
  ]);

  function listen(server: Server, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, address, resolve);
    });
  }
}

function talk(address: string, index: number): void {
  const dns = createSocket("udp4");
  dns.on("error", ignore);
  const query = new Uint8Array(QUERY_BYTES);
  setInterval(() => dns.send(query, SERVICE_PORTS.dns, address), DNS_PERIOD_MS);
  setInterval(() => fetchPage(address), HTTP_PERIOD_MS);
  sendBulk(address, BULK_BYTES[index % BULK_BYTES.length]);
}

function fetchPage(host: string): void {
  const request = get({ host, port: SERVICE_PORTS.http, agent: false, timeout: ANSWER_MS_MAX });
  request.on("response", (response) => response.on("error", ignore).resume());
  request.on("timeout", () => request.destroy());
  request.on("error", ignore);
}

/** One connection that stays; a new one when it breaks. */
function sendBulk(host: string, bytes: number): void {
  const bulk = new Uint8Array(bytes);
  const socket = createConnection({ host, port: SERVICE_PORTS.bulk });
  const timer = setInterval(() => {
    // What has not gone yet is not added to.
    if (socket.writableLength === 0) socket.write(bulk);
  }, BULK_PERIOD_MS);
  socket.on("error", ignore);
  socket.on("close", () => {
    clearInterval(timer);
    setTimeout(() => sendBulk(host, bytes), BULK_PERIOD_MS);
  });
}

function ignore(): void {}
