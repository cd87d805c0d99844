/** Files that a running tunnel keeps outside its namespace: the file system is not per namespace. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Sockets of `wg`, and our own sockets and notes. */
const RUN_DIRECTORIES = ["/var/run/wireguard", "/var/run/tunlog"] as const;

/** Returns the files of a tunnel that exist (sockets, notes for a later start), as paths; none = it is gone. */
export function tunnelFiles(name: string): string[] {
  return RUN_DIRECTORIES.flatMap((directory) =>
    existsSync(directory)
      ? readdirSync(directory).filter((file) => file.startsWith(`${name}.`))
        .map((file) => join(directory, file))
      : []
  );
}
