/**
 * Whole small files through C: Deno refuses paths below /proc and /sys without --allow-all, whatever --allow-read says,
 * while the FFI permission, which a node has anyway, allows them.
 */
import { closeFile, libc, OPEN, openFile, readFile, writeFile } from "./libc.ts";

/** Files of the kernel that tunlog reads are far shorter. */
const TEXT_BYTES_MAX = 1024 * 1024;

/**
 * Reads a text file.
 *
 * @throws {SystemCallError} If it cannot be opened or read.
 * @throws {RangeError} If it is longer than 1 MiB.
 */
export function readTextNative(path: string): string {
  const fd = openFile(path, OPEN.READ);
  try {
    const decoder = new TextDecoder();
    const chunk = new Uint8Array(4096);
    let text = "";
    for (let total = 0; total <= TEXT_BYTES_MAX;) {
      const length = readFile(fd, chunk, `read "${path}"`);
      if (length === 0) return text + decoder.decode();
      text += decoder.decode(chunk.subarray(0, length), { stream: true });
      total += length;
    }
    throw new RangeError(`Cannot read "${path}": longer than ${TEXT_BYTES_MAX} bytes`);
  } finally {
    closeFile(fd);
  }
}

/**
 * Writes a text into an existing file by one call, as files below /proc and /sys want it.
 *
 * @throws {SystemCallError} If it cannot be opened or written.
 */
export function writeTextNative(path: string, text: string): void {
  const fd = openFile(path, OPEN.WRITE);
  try {
    writeFile(fd, new TextEncoder().encode(text), `write "${path}"`);
  } finally {
    closeFile(fd);
  }
}

/** Capabilities that tunlog asks for. Source: linux/capability.h. */
export const CAPABILITY = { NET_BIND_SERVICE: 10, NET_ADMIN: 12, NET_RAW: 13 } as const;

/** Effective capabilities of this process, as 64 bits in hexadecimal; null if the kernel does not tell. */
export function effectiveCapabilities(): string | null {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(readTextNative("/proc/self/status"));
  return match === null ? null : match[1]!.padStart(16, "0");
}

/** Whether a capability, see CAPABILITY, is among those of effectiveCapabilities(). All of them are below 32. */
export function hasCapability(effective: string, capability: number): boolean {
  return ((parseInt(effective.slice(-8), 16) >>> capability) & 1) === 1;
}

/** Effective user id; 0 = root. */
export function effectiveUserId(): number {
  return libc().geteuid();
}
