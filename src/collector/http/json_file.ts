/** Small files of JSON that only their owner may read: written whole or not at all, and durable then. */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { ConfigError } from "../../errors.ts";

/**
 * Reads one. @returns null if there is none.
 * @throws {ConfigError} If it does not hold what it should.
 */
export function readJsonFile<T>(path: string, isRight: (value: unknown) => value is T): T | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return null;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (isRight(value)) return value;
  } catch {
    // Said below.
  }
  throw new ConfigError("The file is not one of the collector's; mend it or remove it", path);
}

/** Writes one. */
export function writeJsonFile(path: string, value: unknown): void {
  const next = `${path}.new`;
  rmSync(next, { force: true });
  const fd = openSync(next, "wx", 0o600);
  try {
    writeFileSync(fd, `${JSON.stringify(value, null, 2)}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(next, path);
}
