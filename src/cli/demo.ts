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
import { startNodes } from "./demo/nodes.ts";
import { Screen } from "./demo/screen.ts";
import { NODES, ROLES } from "./demo/topology.ts";
import { startTraffic } from "./demo/traffic_start.ts";
import { runTraffic, TRAFFIC_WORD } from "./demo/traffic.ts";
import { type CommandIo, EXIT } from "./io.ts";

const SECONDS_MAX = 86_400;
const REDRAW_MS = 1_000;

/** See file header. */
export async function run(args: readonly string[], io: CommandIo): Promise<number> {
  if (args[0] === TRAFFIC_WORD) {
    await runTraffic(args.slice(1));
    return EXIT.DONE;
  }
  return await runCommand(COMMANDS.demo, args, io, async ({ values }) => {
    const seconds = secondsOf(values);
    if (values.pcap) {
      await showCapture(io);
      return EXIT.DONE;
    }
    requirePermissions([
      { name: "run", action: "start nodes and ip" },
      { name: "read", action: "look for what an earlier demo left" },
      { name: "write", action: "write the nodes' configuration" },
    ]);
    const problem = obstacle();
    if (problem !== null) {
      io.stderr(`tunlog: The demo ${problem}\n`);
      io.stderr('tunlog: "tunlog demo --pcap" shows the same of a capture, without that\n');
      return EXIT.FAILED;
    }
    return await demo(seconds, io);
  });
}

function secondsOf({ seconds, pcap }: OptionValues<typeof COMMANDS.demo.options>): number | null {
  if (seconds === undefined) return null;
  if (pcap) {
    throw new UsageError('Option "--seconds" does not go with "--pcap", which ends at once');
  }
  const value = /^\d{1,5}$/.test(seconds) ? Number(seconds) : 0;
  if (value >= 1 && value <= SECONDS_MAX) return value;
  throw new UsageError(`--seconds must be 1 to ${SECONDS_MAX}, whole`);
}

/** Why it cannot run here; null = it can. */
function obstacle(): string | null {
  if (process.getuid?.() !== 0) return "makes network namespaces: it must be run as root";
  if (!hasCommand("ip")) return 'needs the command "ip" (Debian: apt-get install iproute2)';
  return null;
}

async function demo(seconds: number | null, io: CommandIo): Promise<number> {
  const say = (message: string): void => io.stderr(`tunlog: ${message}\n`);
  const ending = new Ending();
  const swept = await sweepDeadLabs();
  if (swept.length > 0) say(`Removed what a killed demo left (process ${swept.join(", ")})`);
  say("Starting three nodes in network namespaces; Ctrl-C ends the demo");
  const lab = new Lab();
  const screen = new Screen({
    io,
    isLive: true,
    onGone: () => ending.ask(),
    head: headOf(performance.now()),
  });
  const timer = setInterval(() => screen.draw(), REDRAW_MS);
  let failure: unknown = null;
  try {
    await runLab(lab, seconds, ending, screen);
  } catch (error) {
    // Steps that a signal interrupts fail as they like.
    if (!ending.isAsked) failure = error;
  }
  // Nodes write their last windows when they end.
  const problems = await lab.close();
  clearInterval(timer);
  screen.close();
  ending.release();
  problems.forEach(say);
  if (failure !== null) throw failure;
  if (problems.length > 0) return EXIT.FAILED;
  say("The demo is over: its nodes, interfaces and namespaces are gone");
  return EXIT.DONE;
}

/** Runs until it is to end. */
async function runLab(
  lab: Lab,
  seconds: number | null,
  ending: Ending,
  screen: Screen,
): Promise<void> {
  await lab.open();
  ending.check();
  await startNodes(lab, ending, (message) => screen.add(message));
  await startTraffic(lab, ending);
  if (seconds !== null) ending.askAfter(seconds * 1_000);
  await ending.asked;
}

function headOf(startMs: number): () => readonly string[] {
  const nodes = NODES.map((name) => `${name} (${ROLES[name]})`).join(", ");
  return () => [
    "",
    `tunlog demo  ${nodes}  ${Math.floor((performance.now() - startMs) / 1_000)} s`,
    "",
  ];
}
