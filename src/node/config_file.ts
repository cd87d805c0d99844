/**
 * Finding and reading a configuration file.
 *
 * In: what the user named: a path, or an interface as wg-quick takes it. Out: the text, and a warning when others
 * can read the keys in it. Not here: what the text means (config.ts).
 */
import { readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { ConfigError, ERRNO } from "../errors.ts";
import { CONFIG_BYTES_MAX } from "../limits.ts";
import { isInterfaceName } from "./config.ts";
import { systemError } from "./system_error.ts";

/** Where wg-quick keeps its files. */
const CONFIG_DIRECTORY = "/etc/wireguard";

/** A file that was read. */
export interface ConfigFile {
  readonly path: string;
  readonly text: string;
  /** null = only its owner and group can read it. */
  readonly warning: string | null;
}

/** Path of the file that `argument` names: `wg0` stands for `/etc/wireguard/wg0.conf`, as in wg-quick. */
export function configPathOf(argument: string): string {
  return isInterfaceName(argument) && !argument.endsWith(".conf")
    ? `${CONFIG_DIRECTORY}/${argument}.conf`
    : argument;
}

/**
 * Reads the file that `argument` names.
 * @throws {SystemCallError} If it cannot be read.
 * @throws {ConfigError} If it is no file, or too big to be one of ours.
 */
export function readConfigFile(argument: string): ConfigFile {
  const path = configPathOf(argument);
  try {
    const file = statSync(path);
    if (!file.isFile()) throw new ConfigError("The configuration must be a regular file", path);
    if (file.size > CONFIG_BYTES_MAX) {
      throw new ConfigError(`The file is longer than ${CONFIG_BYTES_MAX} bytes`, path);
    }
    const directoryMode = statSync(dirname(path)).mode;
    const text = readFileSync(path, "utf8");
    return { path, text, warning: worldAccessWarning(path, file.mode, directoryMode) };
  } catch (error) {
    throw systemError(`read configuration "${path}"`, error, {
      [ERRNO.ENOENT]: "give the path of a wg-quick file, or the name of one in /etc/wireguard",
      [ERRNO.EACCES]: "run as root, or as the file's owner",
    });
  }
}

/**
 * Warns as wg-quick does when others may reach the file: both it and its directory give them a right.
 * @param fileMode Permission bits.
 * @param directoryMode Those of the directory that it lies in.
 */
export function worldAccessWarning(
  path: string,
  fileMode: number,
  directoryMode: number,
): string | null {
  if ((fileMode & directoryMode & 0o007) === 0) return null;
  return `"${path}" holds private keys and is accessible to everyone: chmod 600 "${path}"`;
}
