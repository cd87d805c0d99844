/**
 * `tunlog demo`: three nodes in network namespaces, real traffic between them and through them, and their flow log as it
 * comes. `--pcap` shows the same of a capture that it makes up, without root.
 *
 * In: options. Out: a table of flows by class, redrawn on a terminal, lines elsewhere. Guarantees: when it ends, by signal,
 * by time or by failure, nothing is left but what it printed.
 */
import process from "node:process";
import { requirePermissions } from "../platform/mod.ts";
import { type OptionValues, runCommand, UsageError } from "./args.ts";
import { COMMANDS } from "./commands.ts";
import { showCapture } from "./demo/capture_show.ts";
import { Ending } from "./demo/ending.ts";
import { hasCommand, Lab, sweepDeadLabs } from "./demo/lab.ts";
import { adoptStreams, CollectorSource, type LogSource } from "./demo/log_source.ts";
import { COLLECTOR_PORT, collectorDirectory, startNodes } from "./demo/nodes.ts";
import { RELAY_WORD, RelayPort, runRelay } from "./demo/relay.ts";
import { Screen } from "./demo/screen.ts";
import { NODES, ROLES } from "./demo/topology.ts";
import { startPings, startRelay, startTraffic } from "./demo/helpers.ts";
import { runTraffic, TRAFFIC_WORD } from "./demo/traffic.ts";
import { type CommandIo, EXIT } from "./io.ts";
import { NODE_NEEDS } from "./needs.ts";

const SECONDS_MAX = 86_400;
const PORT_MAX = 65_535;
const REDRAW_MS = 1_000;

/** See file header. */
export async function run(args: readonly string[], io: CommandIo): Promise<number> {
  if (args[0] === TRAFFIC_WORD) {
    await runTraffic(args.slice(1));
    return EXIT.DONE;
  }
  if (args[0] === RELAY_WORD) {
    await runRelay(args.slice(1));
    return EXIT.DONE;
  }
  return await runCommand(COMMANDS.demo, args, io, async ({ values }) => {
    const wanted = wantedOf(values);
    if (values.pcap) {
      await showCapture(io);
      return EXIT.DONE;
    }
    requirePermissions([
      { name: "run", action: "start nodes and ip" },
      { name: "env", action: "hand on its environment to them" },
      ...NODE_NEEDS,
    ]);
    const problem = obstacle();
    if (problem !== null) {
      io.stderr(`tunlog: The demo ${problem}\n`);
      io.stderr('tunlog: "tunlog demo --pcap" shows the same of a capture, without that\n');
      return EXIT.FAILED;
    }
    return await demo(wanted, io);
  });
}

/** What the options ask for. */
interface Wanted {
  /** null = until a signal comes. */
  readonly seconds: number | null;
  /** Of the collector, on this machine's loopback; 0 = the kernel's choice. */
  readonly port: number;
}

function wantedOf(values: OptionValues<typeof COMMANDS.demo.options>): Wanted {
  const number = (name: "seconds" | "port", max: number): number | null => {
    const text = values[name];
    if (text === undefined) return null;
    if (values.pcap) throw new UsageError(`Option "--${name}" does not go with "--pcap"`);
    const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
    if (value >= 1 && value <= max) return value;
    throw new UsageError(`--${name} must be 1 to ${max}, whole`);
  };
  return { seconds: number("seconds", SECONDS_MAX), port: number("port", PORT_MAX) ?? 0 };
}

/** Why it cannot run here; null = it can. */
function obstacle(): string | null {
  if (process.getuid?.() !== 0) return "makes network namespaces: it must be run as root";
  if (!hasCommand("ip")) return 'needs the command "ip" (Debian: apt-get install iproute2)';
  return null;
}

async function demo(wanted: Wanted, io: CommandIo): Promise<number> {
  const say = (message: string): void => io.stderr(`tunlog: ${message}\n`);
  const ending = new Ending();
  const swept = await sweepDeadLabs();
  if (swept.length > 0) say(`Removed what a killed demo left (process ${swept.join(", ")})`);
  say("Starting three nodes in network namespaces; Ctrl-C ends the demo");
  const running = new Demo(wanted, ending, io);
  let failure: unknown = null;
  try {
    await running.run();
  } catch (error) {
    // Steps that a signal interrupts fail as they like.
    if (!ending.isAsked) failure = error;
  }
  const problems = await running.close();
  ending.release();
  problems.forEach(say);
  if (failure !== null) throw failure;
  if (problems.length > 0) return EXIT.FAILED;
  say("The demo is over: its nodes, interfaces and namespaces are gone");
  return EXIT.DONE;
}

/** All that runs. */
class Demo {
  readonly #wanted: Wanted;
  readonly #ending: Ending;
  readonly #io: CommandIo;
  readonly #lab = new Lab();
  readonly #relayPath = `${this.#lab.directory}/collector.sock`;
  readonly #relay = new RelayPort(this.#relayPath);
  readonly #screen: Screen;
  readonly #startMs = performance.now();
  #source: LogSource | null = null;
  #url = "";
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(wanted: Wanted, ending: Ending, io: CommandIo) {
    this.#wanted = wanted;
    this.#ending = ending;
    this.#io = io;
    const onGone = () => ending.ask();
    this.#screen = new Screen({ io, isLive: true, onGone, head: () => this.#head() });
  }

  /** Runs until it is to end. @throws {Error} If it cannot run, or was asked to end while it started. */
  async run(): Promise<void> {
    const ending = this.#ending;
    // First, for this is what may fail by the user's wish.
    this.#url = await this.#relay.start(this.#wanted.port);
    if (!this.#io.isTerminal) this.#io.stderr(`tunlog: ${this.#collectorText()}\n`);
    await this.#lab.open();
    ending.check();
    this.#timer = setInterval(() => this.#screen.draw(), REDRAW_MS);
    const [publicIds] = await Promise.all([
      startNodes(this.#lab, ending),
      startRelay(this.#lab, ending, this.#relayPath, COLLECTOR_PORT),
      startTraffic(this.#lab, ending),
    ]);
    startPings(this.#lab);
    await ending.orEnd(adoptStreams(this.#url, collectorDirectory(this.#lab), publicIds));
    this.#source = new CollectorSource(this.#url);
    this.#source.follow((message) => this.#screen.add(message), (reason) => ending.fail(reason));
    if (this.#wanted.seconds !== null) ending.askAfter(this.#wanted.seconds * 1_000);
    await ending.asked;
  }

  /** Ends and removes everything. @returns What could not be removed. */
  async close(): Promise<string[]> {
    clearInterval(this.#timer);
    this.#source?.stop();
    this.#screen.close();
    this.#relay.stop();
    return await this.#lab.close();
  }

  #head(): string[] {
    const nodes = NODES.map((name) => `${name} (${ROLES[name]})`).join(", ");
    const seconds = Math.floor((performance.now() - this.#startMs) / 1_000);
    return [
      `tunlog demo  ${nodes}  ${seconds} s`,
      this.#collectorText(),
      "",
    ];
  }

  #collectorText(): string {
    return `page         ${this.#url}  API ${this.#url}/api/v1`;
  }
}
