/**
 * The program: finds the command, runs it, exits with its code. Entry of the single binary.
 *
 * Each command is imported when it is asked for, so that help needs no permission and starts fast.
 */
import process from "node:process";
import type { CommandName } from "./commands.ts";
import { generalHelp, isCommandName, unknownCommand } from "./help.ts";
import { type Command, type CommandIo, EXIT, processIo } from "./io.ts";

const LOADERS: Record<CommandName, () => Promise<Command>> = {
  up: async () => (await import("./up.ts")).run,
  down: async () => (await import("./down.ts")).run,
  reload: async () => (await import("./reload.ts")).run,
  status: async () => (await import("./status.ts")).run,
  genkey: async () => (await import("./keys.ts")).runGenkey,
  pubkey: async () => (await import("./keys.ts")).runPubkey,
  genpsk: async () => (await import("./keys.ts")).runGenpsk,
  doctor: async () => (await import("./doctor.ts")).run,
  collect: async () => (await import("./collect.ts")).run,
  fmt: async () => (await import("./fmt.ts")).run,
  pcap: async () => (await import("./pcap.ts")).run,
  flows: async () => (await import("./flows.ts")).run,
  demo: async () => (await import("./demo.ts")).run,
  help: async () => (await import("./help.ts")).run,
};

/** Runs one command line, the program's name left out. @returns Exit code. */
export async function main(args: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h") {
    io.stdout(generalHelp());
    return EXIT.DONE;
  }
  if (!isCommandName(name)) {
    io.stderr(unknownCommand(name));
    return EXIT.USAGE;
  }
  const run = await LOADERS[name]();
  return await run(rest, io);
}

/** Runs the process's own command line and ends the process. */
export async function runProgram(): Promise<never> {
  const exitCode = await main(process.argv.slice(2), processIo());
  // A pipe takes output asynchronously, and exit() would cut off what it has not taken yet.
  await new Promise<void>((resolve) => process.stdout.write("", () => resolve()));
  process.exit(exitCode);
}

if (import.meta.main) await runProgram();
