/**
 * Which permissions of Deno a command lacks, said before it half works. Bun and Node have none: all is granted.
 *
 * In: what a command needs and what for. Out: one sentence for each that is missing. Asking never prompts the user.
 */
import { PermissionError } from "../errors.ts";
import { IS_BUN } from "./ffi.ts";

/** Deno's permissions that tunlog uses. */
export type PermissionName = "ffi" | "read" | "write" | "net" | "env" | "sys" | "run";

/** One permission that a command needs. */
export interface PermissionNeed {
  readonly name: PermissionName;
  /** What it is needed for, without "Cannot": `call the kernel`. */
  readonly action: string;
  /** File or directory, library, variable, host or command that it is needed for; absent = all. */
  readonly target?: string;
}

/** How to ask whether a permission is granted, for tests. */
export type PermissionQuery = (need: PermissionNeed) => boolean;

/** Returns an error for each of `needs` that is not granted, in their order. */
export function missingPermissions(
  needs: readonly PermissionNeed[],
  query: PermissionQuery = isGranted,
): PermissionError[] {
  return needs.filter((need) => !query(need)).map(({ name, action, target }) =>
    new PermissionError(target === undefined ? action : `${action} (${target})`, name)
  );
}

/** @throws {PermissionError} For the first of `needs` that is not granted. */
export function requirePermissions(
  needs: readonly PermissionNeed[],
  query: PermissionQuery = isGranted,
): void {
  const [first] = missingPermissions(needs, query);
  if (first !== undefined) throw first;
}

function isGranted(need: PermissionNeed): boolean {
  if (IS_BUN) return true;
  return Deno.permissions.querySync(descriptorOf(need)).state === "granted";
}

/** Each of Deno's permissions calls its target otherwise. */
function descriptorOf({ name, target }: PermissionNeed): Deno.PermissionDescriptor {
  if (target === undefined) return { name };
  switch (name) {
    case "ffi":
    case "read":
    case "write":
      return { name, path: target };
    case "net":
      return { name, host: target };
    case "env":
      return { name, variable: target };
    case "run":
      return { name, command: target };
    case "sys":
      // Its targets are a closed list, of which tunlog asks for none by name.
      return { name };
  }
}
