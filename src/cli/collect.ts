/** `tunlog collect`: the log collection as a program; its API keys and its streams. */
import process from "node:process";
import { resolve } from "node:path";
import { ApiKeys, COLLECTOR_FILES, isCollectionName, makeDirectory } from "../collector/mod.ts";
import {
  HOURS_KEPT_MS_DEFAULT,
  INGEST_BODY_BYTES_MAX,
  INGEST_BODY_BYTES_MAX_DEFAULT,
  INGEST_BODY_BYTES_MIN,
  MINUTES_KEPT_MS_DEFAULT,
  RAW_KEPT_MS_DEFAULT,
  STORE_BYTES_MAX_DEFAULT,
} from "../limits.ts";
import {
  COLLECTOR_DIRECTORY,
  COLLECTOR_LISTEN,
  DAYS_FORM,
  LISTEN_FORM,
  parseByteCount,
  parseDays,
  parseListen,
  parseStoreSize,
  STORE_SIZE_FORM,
} from "../node/mod.ts";
import { requirePermissions } from "../platform/mod.ts";
import { type OptionValues, runCommand, UsageError } from "./args.ts";
import { adoptStream } from "./collect_adopt.ts";
import { type CollectorSettings, makeCollector } from "./collector_run.ts";
import { COMMANDS } from "./commands.ts";
import { type CommandIo, EXIT } from "./io.ts";
import { COLLECTOR_NEEDS } from "./needs.ts";

type CollectValues = OptionValues<typeof COMMANDS.collect.options>;

const END_SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** Options of the collector itself; the actions take none of them but `data`. */
const SERVING = [
  ...["listen", "retention-raw", "retention-minutes", "retention-hours", "size-max", "body-max"],
  ...["tls-cert", "tls-key", "adopt-all", "closed"],
] as const;

/** See file header. */
export function run(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.collect, args, io, async ({ positionals, values }) => {
    const [action, ...rest] = positionals;
    if (action === undefined) {
      if (values.collection !== undefined) {
        throw new UsageError('Option "--collection" is for "tunlog collect adopt"');
      }
      return await serve(collectorSettingsOf(values), io);
    }
    refuseServingOptions(values, action);
    requirePermissions(COLLECTOR_NEEDS);
    const directory = directoryOf(values);
    switch (action) {
      case "adopt":
        return await adopt(rest, values, directory, io);
      case "key":
        if (values.collection !== undefined) {
          throw new UsageError('Option "--collection" is for "tunlog collect adopt"');
        }
        return manageKeys(rest, directory, io);
      default:
        throw new UsageError(`Action "${action}" is not known: wanted is key or adopt`);
    }
  });
}

/** What the options ask for. @throws {UsageError} If one is wrong. */
export function collectorSettingsOf(values: CollectValues): CollectorSettings {
  const days = (
    name: "retention-raw" | "retention-minutes" | "retention-hours",
    byDefault: number,
  ) =>
    valueOf(
      values,
      name,
      `${DAYS_FORM}, with an optional d`,
      byDefault,
      (text) => parseDays(text.replace(/d$/, "")),
    );
  const listen = valueOf(
    values,
    "listen",
    LISTEN_FORM,
    COLLECTOR_LISTEN,
    (text) => parseListen(text, 0),
  );
  const certPath = values["tls-cert"];
  const keyPath = values["tls-key"];
  if ((certPath === undefined) !== (keyPath === undefined)) {
    throw new UsageError('Options "--tls-cert" and "--tls-key" belong together');
  }
  const bodyForm = `bytes with an optional K or M, ${INGEST_BODY_BYTES_MIN / 1_024}K..${
    INGEST_BODY_BYTES_MAX / 2 ** 20
  }M`;
  return {
    directory: directoryOf(values),
    host: listen.host,
    port: listen.port,
    tls: certPath === undefined || keyPath === undefined ? null : { certPath, keyPath },
    kept: {
      rawMs: days("retention-raw", RAW_KEPT_MS_DEFAULT),
      minutesMs: days("retention-minutes", MINUTES_KEPT_MS_DEFAULT),
      hoursMs: days("retention-hours", HOURS_KEPT_MS_DEFAULT),
      bytesMax: valueOf(
        ...[values, "size-max", STORE_SIZE_FORM, STORE_BYTES_MAX_DEFAULT] as const,
        parseStoreSize,
      ),
    },
    bodyBytesMax: valueOf(
      ...[values, "body-max", bodyForm, INGEST_BODY_BYTES_MAX_DEFAULT] as const,
      (text) => parseByteCount(text, INGEST_BODY_BYTES_MIN, INGEST_BODY_BYTES_MAX),
    ),
    adoptAll: values["adopt-all"],
    openCollections: !values.closed,
    adopted: [],
  };
}

function valueOf<T>(
  values: CollectValues,
  name: keyof CollectValues,
  form: string,
  byDefault: T,
  parse: (text: string) => T | undefined,
): T {
  const text = values[name];
  if (typeof text !== "string") return byDefault;
  const value = parse(text);
  if (value === undefined) throw new UsageError(`Option "--${name}" must be ${form}`);
  return value;
}

function directoryOf(values: CollectValues): string {
  return resolve(values.data ?? COLLECTOR_DIRECTORY);
}

function refuseServingOptions(values: CollectValues, action: string): void {
  for (const name of SERVING) {
    if (values[name as keyof CollectValues] || values[name as keyof CollectValues] === "") {
      throw new UsageError(`Option "--${name}" does not go with "${action}"`);
    }
  }
}

/** Runs until it is told to end. */
async function serve(settings: CollectorSettings, io: CommandIo): Promise<number> {
  requirePermissions(COLLECTOR_NEEDS);
  const say = (message: string): void => io.stderr(`tunlog: ${message}\n`);
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => end = resolve);
  for (const signal of END_SIGNALS) process.on(signal, end);
  const collector = await makeCollector(settings, say);
  try {
    await collector.start();
    say(`Collector is at ${collector.url}, its store in ${settings.directory}`);
    await ended;
  } finally {
    // A second signal finds the end under way; it must not cut it short.
    await collector.stop();
    for (const signal of END_SIGNALS) process.off(signal, end);
  }
  return EXIT.DONE;
}

async function adopt(
  [publicId, ...more]: readonly string[],
  values: CollectValues,
  directory: string,
  io: CommandIo,
): Promise<number> {
  if (publicId === undefined || more.length > 0) {
    throw new UsageError('"tunlog collect adopt" takes one public id');
  }
  if (!/^[0-9a-fA-F]{64}$/.test(publicId)) {
    throw new UsageError("A public id is 64 hexadecimal digits");
  }
  const { collection = null } = values;
  if (collection !== null && !isCollectionName(collection)) {
    throw new UsageError("--collection must be 1 to 253 characters a-z A-Z 0-9 _ . -");
  }
  const names = await adoptStream(directory, publicId.toLowerCase(), collection);
  for (const name of names) io.stdout(`adopted ${publicId.toLowerCase()} in ${name}\n`);
  return EXIT.DONE;
}

function manageKeys(
  [what, name, ...more]: readonly string[],
  directory: string,
  io: CommandIo,
): number {
  const keys = new ApiKeys(`${directory}/${COLLECTOR_FILES.keys}`);
  if (what === "list" && name === undefined) {
    for (const key of keys.list()) {
      io.stdout(`${new Date(key.createdMs).toISOString()}  ${key.name}\n`);
    }
    return EXIT.DONE;
  }
  if ((what !== "add" && what !== "remove") || name === undefined || more.length > 0) {
    throw new UsageError("Wanted is: key add NAME, key list or key remove NAME");
  }
  if (what === "add") {
    makeDirectory(directory);
    io.stdout(`${keys.add(name, Date.now())}\n`);
    io.stderr("tunlog: The key is shown this once; it goes where a user name is asked for\n");
    return EXIT.DONE;
  }
  if (keys.remove(name)) return EXIT.DONE;
  io.stderr(`tunlog: There is no key "${name}"\n`);
  return EXIT.FAILED;
}
