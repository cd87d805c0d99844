/** `tunlog up CONF`: brings a tunnel up and serves it until it is told to end. */
import process from "node:process";
import { Node, type NodeConfig, parseNodeConfig, readConfigFile } from "../node/mod.ts";
import { requirePermissions } from "../platform/mod.ts";
import { runCommand } from "./args.ts";
import { COMMANDS } from "./commands.ts";
import { openFlowOutput } from "./flow_output.ts";
import { hookRunner } from "./hooks.ts";
import { type CommandIo, EXIT } from "./io.ts";
import { openMachine } from "./machine.ts";
import { NODE_NEEDS } from "./needs.ts";

const END_SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** See file header. */
export function run(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.up, args, io, async ({ positionals, values }) => {
    requirePermissions(NODE_NEEDS);
    const say = (message: string): void => io.stderr(`tunlog: ${message}\n`);
    const read = (): NodeConfig => {
      const file = readConfigFile(positionals[0]!);
      if (file.warning !== null) say(file.warning);
      return parseNodeConfig(file.text, file.path);
    };
    const config = read();
    const node = new Node(config, openMachine(io), {
      sink: openFlowOutput(config, io),
      runHooks: hookRunner(config, values["allow-hooks"], say),
      readConfig: read,
      info: say,
      warn: say,
    });
    return await serve(node, say);
  });
}

/** Starts the node, waits for a reason to end, and ends it. */
async function serve(node: Node, say: (message: string) => void): Promise<number> {
  let end: (exitCode: number) => void = () => {};
  const ended = new Promise<number>((resolve) => end = resolve);
  const onEnd = (): void => end(EXIT.DONE);
  const onReload = (): void => {
    node.reloadFromFile().catch((error: Error) => say(`Not reloaded: ${error.message}`));
  };
  for (const signal of END_SIGNALS) process.on(signal, onEnd);
  process.on("SIGHUP", onReload);
  try {
    await node.start();
    say(`${node.interfaceName} is up`);
    void node.asked.then(onEnd);
    void node.failed.then((message) => {
      say(message);
      end(EXIT.FAILED);
    });
    return await ended;
  } finally {
    // A second signal finds the end under way; it must not cut it short.
    await node.stop();
    for (const signal of END_SIGNALS) process.off(signal, onEnd);
    process.off("SIGHUP", onReload);
  }
}
