/** `tunlog up CONF`: brings a tunnel up and serves it until it is told to end. */
import process from "node:process";
import { INGEST_BODY_BYTES_MAX_DEFAULT } from "../limits.ts";
import {
  type EmbeddedCollectorConfig,
  Node,
  type NodeConfig,
  OFFLOAD_CHOICES,
  type OffloadChoice,
  parseNodeConfig,
  parseWorkers,
  readConfigFile,
  WORKERS_FORM,
  type WorkersChoice,
} from "../node/mod.ts";
import { requirePermissions } from "../platform/mod.ts";
import { runCommand, UsageError } from "./args.ts";
import { CollectorThread } from "./collector_thread.ts";
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
    const overrides = { ...readOffloads(values.offloads), ...readWorkers(values.workers) };
    requirePermissions(NODE_NEEDS);
    const say = (message: string): void => io.stderr(`tunlog: ${message}\n`);
    const read = (): NodeConfig => {
      const file = readConfigFile(positionals[0]!);
      if (file.warning !== null) say(file.warning);
      const config = parseNodeConfig(file.text, file.path, values.collect);
      return { ...config, ...overrides };
    };
    const config = read();
    const node = new Node(config, openMachine(io), {
      sink: openFlowOutput(config, io),
      runHooks: hookRunner(config, values["allow-hooks"], say),
      readConfig: read,
      info: say,
      warn: say,
    });
    const collector = config.collector === null ? null : new CollectorThread(say);
    return await serve(node, say, collector, config);
  });
}

/** Reads the level that overrides the file's. @throws {UsageError} If there is no such level. */
function readOffloads(text: string | undefined): { offloads?: OffloadChoice } {
  if (text === undefined) return {};
  const choice = OFFLOAD_CHOICES.find((each) => each === text);
  if (choice === undefined) {
    throw new UsageError(
      `Option "--offloads" is "${text}": must be ${OFFLOAD_CHOICES.join(", ")}`,
    );
  }
  return { offloads: choice };
}

/** Reads the number of workers that overrides the file's. @throws {UsageError} If it is none. */
function readWorkers(text: string | undefined): { workers?: WorkersChoice } {
  if (text === undefined) return {};
  const workers = parseWorkers(text);
  if (workers === undefined) {
    throw new UsageError(`Option "--workers" is "${text}": must be ${WORKERS_FORM}`);
  }
  return { workers };
}

/** Starts the collector, where one is wanted: before the node, which is to find it. */
async function startCollector(
  collector: CollectorThread,
  config: EmbeddedCollectorConfig,
  say: (message: string) => void,
): Promise<void> {
  const { listen, directory, rawMs, minutesMs, hoursMs, bytesMax } = config;
  const url = await collector.start({
    ...{ directory, host: listen.host, port: listen.port, tls: null },
    ...{ kept: { rawMs, minutesMs, hoursMs, bytesMax } },
    ...{ bodyBytesMax: INGEST_BODY_BYTES_MAX_DEFAULT, adoptAll: false },
    ...{ openCollections: true, adopted: [] },
  });
  say(`Collector is at ${url}, its store in ${directory}`);
}

/** The node's own stream is kept; its public id is known once it has started. */
async function adoptOwn(collector: CollectorThread, node: Node): Promise<void> {
  const { flowLog } = await node.status();
  if (flowLog.collector === null) return;
  const { collection, publicId } = flowLog.collector;
  await collector.adopt({ collection, publicId });
}

/** Starts the node, waits for a reason to end, and ends it. */
async function serve(
  node: Node,
  say: (message: string) => void,
  collector: CollectorThread | null,
  config: NodeConfig,
): Promise<number> {
  let end: (exitCode: number) => void = () => {};
  const ended = new Promise<number>((resolve) => end = resolve);
  const onEnd = (): void => end(EXIT.DONE);
  const onReload = (): void => {
    node.reloadFromFile().catch((error: Error) => say(`Not reloaded: ${error.message}`));
  };
  for (const signal of END_SIGNALS) process.on(signal, onEnd);
  process.on("SIGHUP", onReload);
  try {
    if (collector !== null && config.collector !== null) {
      await startCollector(collector, config.collector, say);
    }
    await node.start();
    if (collector !== null) await adoptOwn(collector, node);
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
    // After the node, whose last window it is to take.
    await collector?.stop().catch((error: Error) => say(`Collector: ${error.message}`));
    for (const signal of END_SIGNALS) process.off(signal, onEnd);
    process.off("SIGHUP", onReload);
  }
}
