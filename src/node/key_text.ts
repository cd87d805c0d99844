/**
 * WireGuard keys as text: base64 as wg-quick files and `wg` have them, hexadecimal as the UAPI has them.
 *
 * In: text from outside. Out: 32 bytes, or undefined when the text is not exactly such a key. Both directions are
 * inverses: every key has one text, and no other text is taken for it.
 */

import { KEY_BYTES } from "../wireguard/mod.ts";

/** 43 characters of 6 bits each, of which the last has two bits to spare that must be zero, and one `=`. */
const KEY_BASE64 = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;
const KEY_HEX = /^[0-9a-fA-F]{64}$/;

/** Reads a key of 44 base64 characters; undefined when it is not one, or not in its one canonical form. */
export function keyFromBase64(text: string): Uint8Array | undefined {
  if (!KEY_BASE64.test(text)) return undefined;
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Writes a key as 44 base64 characters. */
export function keyToBase64(key: Uint8Array): string {
  return btoa(String.fromCharCode(...key));
}

/** Reads a key of 64 hexadecimal digits; undefined when it is not one. */
export function keyFromHex(text: string): Uint8Array | undefined {
  if (!KEY_HEX.test(text)) return undefined;
  const key = new Uint8Array(KEY_BYTES);
  for (let index = 0; index < KEY_BYTES; index++) {
    key[index] = parseInt(text.slice(index * 2, index * 2 + 2), 16);
  }
  return key;
}

/** Writes a key as 64 lower-case hexadecimal digits. */
export function keyToHex(key: Uint8Array): string {
  return Array.from(key, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether all bytes are zero, which in WireGuard's interfaces means "no key". */
export function isZeroKey(key: Uint8Array): boolean {
  return key.every((byte) => byte === 0);
}
