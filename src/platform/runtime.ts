/** Which JavaScript runtime this is. */
import process from "node:process";
import { IS_BUN } from "./ffi.ts";

/** Name and version, e.g. `deno 2.9.6`. */
export function runtimeName(): string {
  return IS_BUN ? `bun ${process.versions.bun}` : `deno ${process.versions.deno}`;
}
