/** Chooses the cryptography at start: OpenSSL where it can be had, else TypeScript. */
import type { CryptoPort } from "../ports.ts";
import { openLibcrypto } from "./libcrypto.ts";
import { openNoble } from "./noble.ts";

/** Name of an implementation, for configuration. */
export type CryptoName = "libcrypto" | "noble";

/** What was chosen, and why. */
export interface CryptoChoice {
  readonly crypto: CryptoPort;
  /** Why it is not OpenSSL, one sentence; null when it is, or when noble was asked for. */
  readonly obstacle: string | null;
}

/**
 * Opens the implementation asked for, or the fastest that works here. One object per thread.
 *
 * @throws {PermissionError | LibraryError} If libcrypto was asked for by name and cannot be had.
 */
export function chooseCrypto(preference?: CryptoName): CryptoChoice {
  if (preference === "noble") return { crypto: openNoble(), obstacle: null };
  try {
    return { crypto: openLibcrypto(), obstacle: null };
  } catch (error) {
    if (preference === "libcrypto" || !(error instanceof Error)) throw error;
    return { crypto: openNoble(), obstacle: error.message };
  }
}

/** As chooseCrypto, for those who do not ask why. */
export function openCrypto(preference?: CryptoName): CryptoPort {
  return chooseCrypto(preference).crypto;
}
