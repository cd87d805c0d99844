/** Files and the standard input, read piece by piece. In: a path. Out: bytes; errors in the project's form. */
import { createReadStream } from "node:fs";
import { systemError } from "../node/mod.ts";
import { requirePermissions } from "../platform/mod.ts";
import type { CommandIo } from "./io.ts";

/** Bytes of one piece. */
const PIECE_BYTES = 64 * 1024;

/**
 * Reads what `path` names; undefined and `-` name the standard input.
 * @throws {SystemCallError} If the file cannot be read.
 */
export async function* readInput(
  path: string | undefined,
  io: CommandIo,
): AsyncGenerator<Uint8Array> {
  if (path === undefined || path === "-") {
    yield* io.stdinChunks();
    return;
  }
  requirePermissions([{ name: "read", action: `read "${path}"` }]);
  try {
    yield* createReadStream(path, { highWaterMark: PIECE_BYTES }) as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw systemError(`read "${path}"`, error);
  }
}
