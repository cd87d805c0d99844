/**
 * What outlives a node: the record of rules, packet filters and kernel parameters that it made.
 *
 * In: records while the node runs. Out: a file under /run that is gone after every exit but SIGKILL, and that the next
 * start of the same interface undoes. Written in full beside the old one and renamed, so that a crash leaves one of
 * the two.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { ERRNO } from "../errors.ts";
import { type NetworkUndo, parseNetworkUndo } from "./network_undo.ts";
import { errnoOf, systemError } from "./system_error.ts";

/** Where state files and control sockets lie; cleared by a reboot, as what they describe is. */
export const RUN_DIRECTORY = "/var/run/tunlog";

/** See file header. */
export class StateFile {
  readonly path: string;

  constructor(interfaceName: string, directory: string = RUN_DIRECTORY) {
    this.path = `${directory}/${interfaceName}.json`;
  }

  /**
   * Reads what a killed node left.
   * @returns null when there is nothing.
   * @throws {SyntaxError} If the file is no record; {SystemCallError} if it cannot be read.
   */
  read(): NetworkUndo | null {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch (error) {
      if (errnoOf(error) === ERRNO.ENOENT) return null;
      throw systemError(`read state file "${this.path}"`, error);
    }
    return parseNetworkUndo(JSON.parse(text));
  }

  /** Replaces the file; a record without entries needs none. @throws {SystemCallError} If it cannot be written. */
  write(undo: NetworkUndo): void {
    if (undo.entries.length === 0) return this.remove();
    const next = `${this.path}.new`;
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o755 });
      writeFileSync(next, JSON.stringify(undo), { mode: 0o600 });
      renameSync(next, this.path);
    } catch (error) {
      throw systemError(`write state file "${this.path}"`, error);
    }
  }

  remove(): void {
    rmSync(this.path, { force: true });
  }
}
