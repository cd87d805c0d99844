/** The implementations of CryptoPort that can be had here, for tests that must hold for each. */
import type { CryptoPort } from "../../src/ports.ts";
import { openLibcrypto } from "../../src/platform/libcrypto.ts";
import { openNoble } from "../../src/platform/noble.ts";

function tryLibcrypto(): CryptoPort[] {
  try {
    return [openLibcrypto()];
  } catch {
    return [];
  }
}

/** noble always, libcrypto where OpenSSL 3 is installed. */
export const CRYPTO_PORTS: readonly CryptoPort[] = [openNoble(), ...tryLibcrypto()];
