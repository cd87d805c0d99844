/**
 * A whole flow log under virtual time: eight data-plane writers, the flow-log task, spool, delivery, and a collector, with
 * seeded faults in everything that can fail.
 *
 * In: a seed. Out: what was counted, what the collector has, what the log itself declares lost. The law that the books
 * balance is the test's (tests/unit/node/flow_log_simulation_test.ts). Witness of what was counted is the traffic's own
 * book, kept beside the writers and never read by the product.
 */
import { CLASS_NAMES, type ClassName, Counters, type TrafficSums } from "../../src/counters.ts";
import { ERRNO } from "../../src/errors.ts";
import { createBanks, FlowReader, FlowWriter } from "../../src/flow/mod.ts";
import { NO_SUMS } from "../../src/logtail/mod.ts";
import { CollectorOutput } from "../../src/node/collector_output.ts";
import { Delivery } from "../../src/node/delivery.ts";
import { FlowLog } from "../../src/node/flow_log.ts";
import { LogStream } from "../../src/node/log_stream.ts";
import type { LogView } from "../../src/node/log_routes.ts";
import { Spool } from "../../src/node/spool.ts";
import { HASH_SECRET_WORDS, parseAddressPort, parsePrefix } from "../../src/packet/mod.ts";
import { KEY_WORDS } from "../../src/packet/mod.ts";
import { MemoryClock } from "../../src/platform/memory_clock.ts";
import { MemoryDisk, MemorySpoolFiles } from "./memory_spool_files.ts";

const WRITERS = 8;
const PERIOD_MS = 5_000;
const SECRET = Uint32Array.from(
  { length: HASH_SECRET_WORDS },
  (_, at) => Math.imul(at + 1, 0x9e3779b9),
);

/** Turns of the microtask queue that any chain of promises in here takes less than: ten times cheaper than setImmediate. */
const TURNS = 40;

async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await null;
}

/** Random numbers that a seed determines (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Sums by class and direction that can be changed. */
export type Book = Record<ClassName, { -readonly [K in keyof TrafficSums]: bigint }>;

/** An empty book. */
export function makeBook(): Book {
  return Object.fromEntries(CLASS_NAMES.map((name) => [name, { ...NO_SUMS[name] }])) as Book;
}

/** What may go wrong in a world. */
export interface Faults {
  readonly collector: boolean;
  readonly disk: boolean;
  readonly kills: boolean;
  readonly clock: boolean;
  readonly smallSpool: boolean;
}

/** What one process counted, by the witness. */
export interface ProcessBook {
  readonly procId: number;
  readonly counted: Book;
  /** What of it was counted when the banks of the last window that reached the spool had been flipped. */
  durable: Book;
  /** Killed, or ended while the disk failed, so that what was in memory only went with it. */
  killed: boolean;
}

/** Kinds of traffic: class and the two ends. `SUBNET` flows only while its route is there. */
const FLOWS: readonly (readonly [ClassName, number, string, string])[] = [
  ["virtual", 6, "10.77.0.1:1000", "10.77.0.2:80"],
  ["virtual", 17, "[fd77::1]:53", "[fd77::2]:5353"],
  ["subnet", 6, "10.77.0.1:1001", "192.168.5.9:443"],
  ["exit", 6, "10.77.0.1:1002", "8.8.8.8:443"],
  ["exit", 17, "10.77.0.1:1003", "9.9.9.9:53"],
  // No IPv6 default route: nothing explains it.
  ["unknown", 17, "[fd77::1]:9", "[2001:db8::1]:9"],
];
const SUBNET = "192.168.5.0/24";
const PHYSICAL = ["physical", 0, "10.77.0.2:0", "192.0.2.2:51820"] as const;

function keyOf(proto: number, src: string, dst: string): Uint32Array {
  const key = new Uint32Array(KEY_WORDS);
  const [from, to] = [parseAddressPort(src)!, parseAddressPort(dst)!];
  key[0] = proto | (from.family === 6 ? 1 << 8 : 0) | (to.family === 6 ? 1 << 9 : 0);
  key[1] = ((from.port << 16) | to.port) >>> 0;
  key.set(from.addressWords, 2);
  key.set(to.addressWords, 6);
  return key;
}

function swap(key: Uint32Array): Uint32Array {
  const swapped = key.slice();
  swapped[0] = (key[0] & 0xff) | ((key[0] & (1 << 8)) << 1) | ((key[0] & (1 << 9)) >>> 1);
  swapped[1] = ((key[1] << 16) | (key[1] >>> 16)) >>> 0;
  swapped.set(key.subarray(6, 10), 2);
  swapped.set(key.subarray(2, 6), 6);
  return swapped;
}

const KEYS = [...FLOWS, PHYSICAL].map(([name, proto, src, dst]) => {
  const key = keyOf(proto, src, dst);
  return { name, tx: key, rx: swap(key) };
});
const PHYSICAL_KEY = KEYS.at(-1)!;

/** One process of the node, from start to end or kill. */
class Process {
  readonly book: ProcessBook;
  readonly files: MemorySpoolFiles;
  readonly #world: World;
  readonly #virtual: FlowWriter[] = [];
  readonly #physical: FlowWriter[] = [];
  readonly #flowLog: FlowLog;
  #flipped: Book = makeBook();
  #isTraffic = true;
  hasSubnet = true;
  isOver = false;

  constructor(world: World, procId: number) {
    this.#world = world;
    this.book = { procId, counted: makeBook(), durable: makeBook(), killed: false };
    this.files = new MemorySpoolFiles(world.disk);
    const { clock } = world;
    const timers = {
      // What a killed process had planned does not happen.
      schedule: (delayMs: number, run: () => void) =>
        clock.schedule(delayMs, () => this.isDead || run()),
    };
    const warn = (message: string) => void world.warnings.push(message);
    const stream: LogStream = new LogStream({
      procId,
      clock,
      append: (procSeq, meta, entry) => spool.append(procSeq, meta, entry),
    });
    const spool = new Spool({
      files: this.files,
      bytesMax: world.faults.smallSpool ? world.spoolBytesMax : 1 << 24,
      procId,
      nextSeq: () => stream.nextSeq(),
      ...{ clock, warn },
    });
    const delivery = new Delivery({
      spool,
      uploader: { post: (body) => world.post(body, this) },
      ...{ clock, timers, warn },
      random: world.random,
    });
    const output = new CollectorOutput({
      ...{ stream, spool, delivery },
      about: { url: "", collection: "", publicId: "", compression: "", waitingBytesMax: 0 },
    });
    const readers = [this.#virtual, this.#physical].map((writers) =>
      Array.from({ length: WRITERS }, () => {
        const memory = createBanks(64, SECRET);
        writers.push(new FlowWriter(memory, () => this.#told()));
        return new FlowReader(memory);
      })
    );
    const write = output.write.bind(output);
    output.write = (window) => {
      write(window);
      if (!this.isDead) this.book.durable = this.#flipped;
    };
    const counters = new Counters();
    this.#flowLog = new FlowLog({
      virtual: readers[0],
      physical: readers[1],
      ...{ clock, timers, hashSecret: SECRET, warn },
      periodMs: PERIOD_MS,
      exitPolicy: { mode: "zero" },
      overlayRanges: null,
      name: "world",
      lines: null,
      collector: output,
      counters: () => counters.values(),
      wake: () => this.#flip(),
    });
    try {
      spool.open();
      delivery.wake();
    } catch (error) {
      // Killed while it opened the spool.
      if (!this.files.isKilled) throw error;
    }
  }

  get isDead(): boolean {
    return this.files.isKilled;
  }

  async start(): Promise<void> {
    await this.#flowLog.start();
    this.reconfigure();
    this.#nextTraffic();
  }

  reconfigure(): void {
    this.#flowLog.reconfigure(view(this.hasSubnet));
  }

  /** Ends in order; resolves with what is left in the spool, or null when it was killed on the way. */
  async stop(timeoutMs: number): Promise<number | null> {
    // Writers count until the very end.
    for (let index = 0; index < WRITERS; index++) this.#count(index);
    this.#isTraffic = false;
    const stopping = this.#flowLog.stop(timeoutMs);
    for (const again of [1, 2]) void this.#flowLog.stop(timeoutMs * again);
    const left = await this.#world.settled(stopping);
    // What comes late is nobody's any more, and hurts nobody.
    for (const writer of this.#virtual) writer.countTx(KEYS[0].tx, 1, 1, 0);
    this.#flowLog.counting();
    this.isOver = true;
    return this.isDead ? null : left;
  }

  /** Notices come from another thread: later, and after a kill never. */
  #told(): void {
    this.#world.clock.schedule(this.#world.random() * 3, () => {
      if (!this.isDead) this.#flowLog.counting();
    });
  }

  /** The data plane is woken: each writer answers at once, or at its next batch. */
  #flip(): void {
    this.#flipped = structuredClone(this.book.counted);
    for (const writer of [...this.#virtual, ...this.#physical]) {
      if (this.#world.random() < 0.5) writer.handOver();
      else this.#world.clock.schedule(this.#world.random() * 20, () => writer.handOver());
    }
  }

  #nextTraffic(): void {
    const { random, clock } = this.#world;
    // Mostly busy, sometimes idle for long.
    const delayMs = random() < 0.03 ? random() * 30_000 : random() * 800;
    clock.schedule(delayMs, () => {
      if (this.isDead || !this.#isTraffic || this.#world.isHealthy) return;
      this.#count(Math.floor(random() * WRITERS));
      this.#nextTraffic();
    });
  }

  #count(index: number): void {
    const { random } = this.#world;
    const writers = [this.#virtual[index], this.#physical[index]];
    for (const writer of writers) writer.handOver();
    for (let packets = 1 + Math.floor(random() * 6); packets > 0; packets--) {
      const kind = KEYS[Math.floor(random() * FLOWS.length)];
      if (kind.name === "subnet" && !this.hasSubnet) continue;
      this.#countOne(this.#virtual[index], kind);
      this.#countOne(this.#physical[index], PHYSICAL_KEY);
    }
  }

  #countOne(writer: FlowWriter, { name, tx, rx }: typeof PHYSICAL_KEY): void {
    const { random } = this.#world;
    // Now and then so many that sums of sums need care, though not beyond 2^53: a bank is exact to there.
    const bytes = random() < 0.01 ? 2 ** 46 + 1 : 1 + Math.floor(random() * 65_535);
    const packets = 1 + Math.floor(random() * 3);
    const sums = this.book.counted[name];
    if (random() < 0.5) {
      writer.countTx(tx, packets, bytes, 0);
      sums.txPackets += BigInt(packets);
      sums.txBytes += BigInt(bytes);
    } else {
      writer.countRx(rx, packets, bytes, 0);
      sums.rxPackets += BigInt(packets);
      sums.rxBytes += BigInt(bytes);
    }
  }
}

function view(hasSubnet: boolean): LogView {
  const prefixes = (texts: readonly string[]) => texts.map((text) => parsePrefix(text)!);
  return {
    publicKey: "self",
    friendlyName: "alpha",
    addresses: prefixes(["10.77.0.1/24", "fd77::1/64"]),
    subnetRoutes: [],
    peers: [{
      publicKey: "peer",
      friendlyName: "beta",
      allowedIps: prefixes([
        "10.77.0.2/32",
        "fd77::2/128",
        "0.0.0.0/0",
        ...(hasSubnet ? [SUBNET] : []),
      ]),
    }],
  };
}

/** See file header. */
export class World {
  readonly clock = new MemoryClock();
  readonly disk = new MemoryDisk();
  readonly random: () => number;
  readonly faults: Faults;
  readonly spoolBytesMax: number;
  readonly warnings: string[] = [];
  readonly processes: Process[] = [];
  /** What the collector has: entries by `procId:procSeq`. */
  readonly stored = new Map<string, string>();
  /** Entries that came again with other bytes. */
  readonly contradictions: string[] = [];
  /** Answers given, by kind: so that a test can tell that the faults happen. */
  readonly answers = new Map<string, number>();
  /** From the end on nothing fails any more, and traffic has ended. */
  isHealthy = false;
  #diskFault: "none" | "full" | "kill" = "none";
  #nextProcId = 1;

  constructor(seed: number, faults: Faults) {
    this.random = seeded(seed);
    this.faults = faults;
    this.spoolBytesMax = 20_000 + Math.floor(this.random() * 60_000);
    this.disk.fault = ({ operation, length }) => this.#fault(operation, length);
  }

  get #process(): Process {
    return this.processes.at(-1)!;
  }

  /** Lives for so many virtual minutes under faults, then ends in order, then is healthy until nothing waits. */
  async run(minutes: number): Promise<void> {
    await this.#startProcess();
    const endMs = this.clock.nowMs() + minutes * 60_000;
    while (this.clock.nowMs() < endMs) {
      await this.advance(this.random() * 9_000);
      await this.#happen();
      if (this.#process.isDead) await this.#restart();
    }
    await this.#stopProcess(5_000);
    this.isHealthy = true;
    this.#diskFault = "none";
    // What was left is delivered by the next starts.
    for (let starts = 0; starts < 4; starts++) {
      await this.#startProcess();
      await this.advance(700_000);
      if (await this.#process.stop(60_000) === 0 && starts > 0) return;
    }
    throw new Error("Cannot empty the spool although all is well");
  }

  /** Something happens, or nothing. */
  async #happen(): Promise<void> {
    const { random, faults } = this;
    if (faults.clock && random() < 0.05) {
      this.clock.stepWall(
        (random() < 0.5 ? -1 : 1) * random() * (random() < 0.3 ? 7_200_000 : 9_000),
      );
    }
    if (random() < 0.1) {
      this.#process.hasSubnet = !this.#process.hasSubnet;
      this.#process.reconfigure();
    }
    if (faults.disk) this.#diskFault = random() < 0.2 ? "full" : "none";
    if (faults.kills && random() < 0.06) {
      // At once, or in the middle of the next file operation.
      if (random() < 0.5) this.#process.files.isKilled = true;
      else this.#diskFault = "kill";
    }
    if (random() < 0.03) {
      await this.#stopProcess(random() * 8_000);
      if (!this.#process.isDead) await this.#startProcess();
    }
  }

  async #stopProcess(timeoutMs: number): Promise<void> {
    const { book } = this.#process;
    await this.#process.stop(timeoutMs);
    if (this.#process.isDead || this.#diskFault === "full") book.killed = true;
  }

  async #restart(): Promise<void> {
    this.#process.book.killed = true;
    this.#diskFault = "none";
    await this.advance(this.random() * 20_000);
    await this.#startProcess();
  }

  async #startProcess(): Promise<void> {
    const process = new Process(this, this.#nextProcId++);
    this.processes.push(process);
    await this.settled(process.start());
  }

  #fault(operation: string, length: number): ReturnType<MemoryDisk["fault"]> {
    const { random } = this;
    const writtenBytes = Math.floor(random() * (length + 1));
    if (this.#diskFault === "kill" && random() < 0.2) {
      this.#diskFault = "none";
      return { kill: true, writtenBytes };
    }
    const isRefused = this.#diskFault === "full" && operation === "write" && random() < 0.8;
    return isRefused ? { errno: ERRNO.ENOSPC, writtenBytes } : null;
  }

  /** Lets time pass and promises settle; stops early when the process is killed. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.clock.nowMs() + byMs;
    await settle();
    while (this.clock.nextDueMs <= untilMs) {
      this.clock.advance(this.clock.nextDueMs - this.clock.nowMs());
      await settle();
    }
    this.clock.advance(untilMs - this.clock.nowMs());
  }

  /** Lets time pass until `promise` has settled, or the process is dead. */
  async settled<T>(promise: Promise<T>): Promise<T | null> {
    let result: { value: T } | null = null;
    void promise.then((value) => result = { value });
    await settle();
    while (result === null && !this.#process.isDead) {
      if (this.clock.nextDueMs === Infinity) throw new Error("Cannot go on: nothing is due");
      this.clock.advance(this.clock.nextDueMs - this.clock.nowMs());
      await settle();
    }
    return (result as { value: T } | null)?.value ?? null;
  }

  /** The collector's answer to one request. */
  async post(body: Uint8Array, process: Process) {
    if (process.isDead) return await new Promise<never>(() => {});
    const { random } = this;
    const kind = this.#answerKind(body.length);
    this.answers.set(kind, (this.answers.get(kind) ?? 0) + 1);
    const delayMs = kind === "slow" ? random() * 44_000 : random() * 50;
    const isStored = kind === "ok" || kind === "slow" || kind === "timeout after store";
    const text = new TextDecoder().decode(body);
    await this.#pass(isStored ? delayMs * random() : delayMs);
    if (isStored) this.#store(text);
    await this.#pass(delayMs / 2);
    const result = (status: number | null, retryAfter: string | null = null) => ({
      status,
      retryAfter,
      problem: status === 200 ? null : kind,
      sentBytes: body.length,
    });
    if (kind === "ok" || kind === "slow") return result(200);
    if (kind === "timeout after store" || kind === "reset") return result(null);
    if (kind !== "429") return result(Number(kind));
    const isDate = random() < 0.5;
    const date = new Date(this.clock.wallMs() + 3_000).toUTCString();
    return result(429, isDate ? date : "2");
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.schedule(ms, resolve));
  }

  #answerKind(bodyBytes: number): string {
    if (this.isHealthy || !this.faults.collector) return "ok";
    if (bodyBytes > 12_000) return "413";
    const { random } = this;
    // Weather: a collector that is down is down for a while.
    const isBad = Math.sin(this.clock.nowMs() / 37_000) > 0.3;
    if (random() > (isBad ? 0.95 : 0.15)) return "ok";
    const kinds = ["timeout after store", "reset", "400", "401", "413", "429", "500", "slow"];
    return kinds[Math.floor(random() * kinds.length)];
  }

  #store(body: string): void {
    for (const entry of body.slice(1, -1).split("\n,")) {
      const line = entry.trimEnd();
      const { proc_id: procId, proc_seq: procSeq } = JSON.parse(line).logtail;
      const name = `${procId}:${procSeq}`;
      const known = this.stored.get(name);
      if (known !== undefined && known !== line) this.contradictions.push(`${known}\n${line}`);
      this.stored.set(name, line);
    }
  }
}
